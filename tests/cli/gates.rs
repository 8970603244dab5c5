//! Gates between waves: what fails one, what a failed one holds back, and that only a person with a reason passes it.

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{device, id, policy};

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];
const RESUME: [&str; 5] = ["apply", "--sandbox", "--resume", "--format", "json"];
const OR_PLAN: [&str; 7] =
    ["apply", "--sandbox", "--resume", "--or-plan", "--auto-approve", "--format", "json"];

/// Fast enough that most of a wait has passed.
const FAST: [&str; 2] = ["--sandbox-speed", "600"];

fn text(rollout: &str) -> String {
    policy("New", "tags: [New]").replace("guard:\n", &format!("guard:\n  rollout: {{ {rollout} }}\n"))
}

fn project(rollout: &str) -> Project {
    let project = Project::with_policy(&text(rollout));
    project.devices(20);
    project
}

fn tagged(project: &Project) -> Vec<String> {
    let fleet = project.fleet().into_iter();
    fleet.filter(|(_, (tags, _))| tags.iter().any(|tag| tag == "New")).map(|(id, _)| id).collect()
}

/// Gives every device that carries the tag a health status.
fn make(project: &Project, status: &str) {
    let ids = tagged(project);
    project.portal(|sandbox| {
        let devices = ids.iter().map(|id| {
            let mut device = device(usize::from_str_radix(id, 16).unwrap(), json!(["Own", "New"]));
            device["healthStatus"] = status.into();
            device
        });
        sandbox.insert(&Value::Array(devices.collect())).unwrap();
    });
}

/// Deletes devices.
fn take(project: &Project, ids: &[String]) {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    project.portal(|sandbox| sandbox.delete(&ids).unwrap());
}

fn hour(project: &Project) {
    project.portal(|sandbox| sandbox.advance(std::time::Duration::from_secs(3_660)).unwrap());
}

fn run_of(document: &Value) -> String {
    document["runId"].as_str().unwrap().to_owned()
}

const HEALTH: &str =
    "from: 5, waves: [10, 100%], wait: 1h, health: { select: { healthStatus: Inactive }, atMost: 20% }";

#[test]
fn a_failed_gate_holds_until_a_person_passes_it_however_the_devices_look_later() {
    let project = project(HEALTH);
    project.run(&APPLY).exits(6);
    make(&project, "Inactive");
    hour(&project);
    let failed = project.run(&RESUME).exits(4).json();
    assert_eq!((&failed["gate"]["gate"], &failed["gate"]["bad"]), (&json!("health"), &json!(10)), "{failed}");
    make(&project, "Active");
    for _ in 0..2 {
        let again = project.run(&RESUME).exits(4).json();
        assert_eq!(again["gate"], failed["gate"], "{again}");
        assert_eq!(tagged(&project).len(), 10);
    }
    let passed = [&RESUME[..], &["--next-wave", "--reason", "they report again"]].concat();
    project.run(&passed).exits(0);
    assert_eq!(tagged(&project).len(), 20);
}

#[test]
fn a_wave_that_an_untrusted_or_an_empty_read_left_unseen_fails_the_gate_evidence_until_a_person_passes_it() {
    for fault in ["delegated=on", "no_id=on"] {
        let project = project("from: 5, waves: [10, 100%], wait: 1h");
        let run = run_of(&project.run(&APPLY).exits(6).json());
        hour(&project);
        let failed = project.run(&[&RESUME[..], &["--sandbox-fault", fault]].concat()).exits(4).json();
        let gate = &failed["gate"];
        assert_eq!((&gate["gate"], &gate["bad"]), (&json!("evidence"), &json!(10)), "{fault}: {failed}");
        assert_eq!(failed["outcomes"]["notAttempted"], 10, "{fault}: {failed}");
        assert!(!failed["notes"].to_string().contains("was finished already"), "{fault}: {failed}");
        let told = project.run(&["apply", "--sandbox", "--resume"]).exits(4).out;
        assert!(told.contains(&format!("--resume {run} --next-wave --reason TEXT")), "{fault}: {told}");
        assert_eq!(tagged(&project).len(), 10, "{fault}");
        project.run(&[&RESUME[..], &["--next-wave", "--reason", "the service was down"]].concat()).exits(0);
        assert_eq!(tagged(&project).len(), 20, "{fault}");
    }
}

#[test]
fn the_gates_of_a_run_s_first_part_judge_all_of_its_waves() {
    // Each commit makes a gate or a wait of the first part more lenient before the gate was judged.
    let health = |rest: &str| HEALTH.replace("atMost: 20%", rest);
    for (first, later, gate) in [
        (HEALTH.to_owned(), health("atMost: 100%"), "health"),
        (
            HEALTH.to_owned(),
            HEALTH.replace("wait: 1h", "wait: 0s, stopAt: { bounced: 100% }").replace("20%", "99%"),
            "health",
        ),
    ] {
        let project = project(&first);
        project.run(&APPLY).exits(6);
        make(&project, "Inactive");
        hour(&project);
        project.write("policies/p.yaml", &text(&later));
        let failed = project.run(&OR_PLAN).exits(4).json();
        assert_eq!(failed["gate"]["gate"], gate, "{failed}");
        assert_eq!(failed["gate"]["atMost"], "20 %", "{failed}");
        assert_eq!(tagged(&project).len(), 10);
    }
}

#[test]
fn a_health_gate_that_nobody_can_judge_before_and_after_a_wave_stops_the_rollout() {
    let project = project(HEALTH);
    // None of these is a device, so mdetag cannot know whom the list names, before the wave or after it.
    project.write("policies/ill.txt", "gone-1\ngone-2\n");
    project.write(
        "policies/p.yaml",
        &text(&HEALTH.replace("healthStatus: Inactive", "deviceName: { inFile: ill.txt }")),
    );
    project.run(&APPLY).exits(6);
    hour(&project);
    let failed = project.run(&RESUME).exits(4).json();
    assert_eq!((&failed["gate"]["gate"], &failed["gate"]["bad"]), (&json!("health"), &json!(10)), "{failed}");
    assert_eq!(tagged(&project).len(), 10);
}

#[test]
fn a_commit_does_not_pass_a_gate_that_failed() {
    let project = project("from: 5, waves: [10, 100%]");
    let words = [&APPLY[..], &["--sandbox-fault", "html_502=bulkTag:1-10"], &FAST].concat();
    let failed = project.run(&words).exits(4).json();
    assert_eq!(failed["gate"]["gate"], "failed", "{failed}");
    let before = tagged(&project).len();
    project.write("policies/p.yaml", &text("from: 5, waves: [10, 100%], stopAt: { failed: 100% }"));
    let again = project.run(&OR_PLAN).exits(4).json();
    assert_eq!(again["gate"], failed["gate"], "{again}");
    assert_eq!(tagged(&project).len(), before);
}

#[test]
fn a_commit_that_takes_the_health_gate_away_or_looks_for_another_is_refused() {
    for later in [
        "from: 5, waves: [10, 100%], wait: 1h".to_owned(),
        HEALTH.replace("healthStatus: Inactive", "healthStatus: ImpairedCommunication"),
    ] {
        let project = project(HEALTH);
        let run = run_of(&project.run(&APPLY).exits(6).json());
        make(&project, "Inactive");
        hour(&project);
        project.write("policies/p.yaml", &text(&later));
        let refused = project.run(&OR_PLAN).exits(1);
        assert!(refused.out.contains("`health`"), "{}", refused.out);
        assert!(
            refused.out.contains(&format!("mdetag state end {run} --reason TEXT --sandbox")),
            "{}",
            refused.out
        );
        assert_eq!(tagged(&project).len(), 10);
    }
}

#[test]
fn a_health_gate_whose_words_only_look_like_a_list_outlives_a_commit() {
    let rollout = HEALTH.replace(
        "healthStatus: Inactive",
        "any: [{ healthStatus: Inactive }, { machineTags: { has: Unused } }]",
    );
    let project = project(&rollout);
    project.run(&APPLY).exits(6);
    make(&project, "Inactive");
    hour(&project);
    project.write("policies/p.yaml", &text(&rollout.replace("from: 5", "from: 6")));
    let failed = project.run(&OR_PLAN).exits(4).json();
    assert_eq!(failed["gate"]["gate"], "health", "{failed}");
    assert_eq!(tagged(&project).len(), 10);
}

#[test]
fn a_commit_that_changes_what_the_health_gate_reads_is_refused() {
    let with = |rollout: &str, ill: &str| {
        format!("{}selectors: {{ sick: {{ healthStatus: {ill} }} }}\n", text(rollout))
    };
    for (select, names) in [("use: sick", true), ("healthStatus: { inFile: ill.txt }", false)] {
        let rollout = HEALTH.replace("healthStatus: Inactive", select);
        let project = Project::with_policy(&text(&rollout));
        let write = |ill: &str| {
            project.write("policies/ill.txt", &format!("{ill}\n"));
            project.write("policies/p.yaml", &if names { with(&rollout, ill) } else { text(&rollout) });
        };
        write("Inactive");
        project.devices(20);
        project.run(&APPLY).exits(6);
        make(&project, "Inactive");
        hour(&project);
        write("NoSensorData");
        let refused = project.run(&OR_PLAN).exits(1);
        assert!(refused.out.contains("data that it may read have changed"), "{}", refused.out);
        assert_eq!(tagged(&project).len(), 10);
    }
}

#[test]
fn devices_of_a_wave_that_are_not_shown_any_more_stop_the_rollout_without_health_too() {
    let project = project("from: 5, waves: [10, 100%], wait: 1h");
    project.run(&APPLY).exits(6);
    let gone = tagged(&project)[..3].to_vec();
    take(&project, &gone);
    hour(&project);
    let failed = project.run(&RESUME).exits(4).json();
    let gate = &failed["gate"];
    assert_eq!(
        (&gate["gate"], &gate["bad"], &gate["of"]),
        (&json!("evidence"), &json!(3), &json!(10)),
        "{failed}"
    );
    assert_eq!(gate["devices"], json!(gone), "{failed}");
    assert_eq!(tagged(&project).len(), 7);
}

#[test]
fn two_devices_that_are_not_shown_stop_nothing() {
    let project = project("from: 5, waves: [10, 100%], wait: 1h");
    project.run(&APPLY).exits(6);
    let gone = tagged(&project)[..2].to_vec();
    take(&project, &gone);
    hour(&project);
    project.run(&RESUME).exits(0);
    assert_eq!(tagged(&project).len(), 18);
}

#[test]
fn what_was_allowed_holds_for_the_resumes_of_the_run() {
    let capped = |rollout: &str| {
        let text = text(rollout).replace(
            "    additions: { percent: 100, floor: 100000 }",
            "    additions: { percent: 0, floor: 5 }",
        );
        assert!(text.contains("floor: 5 }"), "{text}");
        text
    };
    let project = Project::with_policy(&capped("from: 5, waves: [10, 100%], wait: 1h"));
    project.devices(20);
    let waits = project.run(&["apply", "--sandbox", "--auto-approve", "--allow", "additions=20"]).exits(6);
    assert!(waits.out.contains("to continue: mdetag apply --resume --sandbox\n"), "{}", waits.out);
    hour(&project);
    project.run(&RESUME).exits(0);
    assert_eq!(tagged(&project).len(), 20);
    // The gate belongs to the run, not to the policies.
    project.portal(|sandbox| {
        let devices: Vec<Value> = (30..40).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).unwrap();
    });
    project.run(&APPLY).exits(3);

    let project = Project::with_policy(&capped("from: 1000, waves: [10]"));
    project.devices(20);
    project.run(&[&APPLY[..], &["--allow", "additions=20", "--max-calls", "0"]].concat()).exits(5);
    project.run(&[&RESUME[..], &["--allow", "additions=10"]].concat()).exits(0);
    assert_eq!(tagged(&project).len(), 20, "a lower number changes nothing");
    let ids: Vec<String> = (0..20).map(id).collect();
    assert_eq!(tagged(&project), ids);
}

#[test]
fn an_empty_reason_passes_nothing() {
    let project = project("from: 5, waves: [10, 100%], wait: 1h");
    for reason in ["", "  "] {
        let refused = project.run(&[&APPLY[..], &["--waves", "all", "--reason", reason]].concat()).exits(1);
        assert!(refused.out.contains("say why"), "{}", refused.out);
    }
    project.run(&APPLY).exits(6);
    for reason in ["", "\t"] {
        project.run(&[&RESUME[..], &["--next-wave", "--reason", reason]].concat()).exits(1);
    }
    assert_eq!(tagged(&project).len(), 10);
}
