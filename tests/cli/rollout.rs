//! Plans in waves: waits, what other plans may write meanwhile, and how a rollout ends.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::Project;

fn policy(tag: &str, rollout: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nrules:\n  - name: all\n    select: {{ everything: true }}\n    tags: [{tag}]\n\
         guard:\n  caps: {{ devices: {{ percent: 100 }}, additions: {{ floor: 1000 }} }}\n  rollout: {{ {rollout} }}\n"
    )
}

fn project(rollout: &str) -> Project {
    let project = Project::with_policy(&policy("Zebra", rollout));
    project.run(&["sandbox", "create", "--devices", "300"]).exits(0);
    project
}

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];

fn done(document: &Value) -> u64 {
    document["outcomes"]["done"].as_u64().unwrap()
}

fn devices(plan: &Value) -> BTreeSet<&str> {
    let changes = plan["changes"].as_array().unwrap();
    changes.iter().map(|change| change["device"]["id"].as_str().unwrap()).collect()
}

fn wave(plan: &Value, wave: u64) -> BTreeSet<&str> {
    let changes = plan["changes"].as_array().unwrap().iter();
    let of_wave = changes.filter(|change| change["wave"] == wave);
    of_wave.map(|change| change["device"]["id"].as_str().unwrap()).collect()
}

#[test]
fn a_wave_waits_and_nothing_is_written_before_its_time() {
    let project = project("waves: [25, 50%, 100%], wait: 2h");
    let plan = project.run(&["plan", "--sandbox", "-o", "plan.json", "--format", "json"]).exits(0).json();
    let listed: Vec<u64> = plan["rollout"]["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| wave["devices"].as_u64().unwrap())
        .collect();
    assert_eq!(listed, [25, 125, 150]);
    let shown = project.run(&["show", "plan.json"]).exits(0);
    assert!(shown.out.contains("in 3 waves: wave 1: 25 devices (1 call)"), "{}", shown.out);
    let first = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!((done(&first), &first["exitCode"]), (25, &6.into()), "{first}");
    assert_eq!(first["outcomes"]["notAttempted"], 275, "the outcomes add up: {}", first["outcomes"]);
    let not_before = first["notBefore"].as_str().unwrap().to_owned();
    let calls = project.calls("default", "bulkTag").len();
    let again = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!((again["notBefore"].as_str(), done(&again)), (Some(&*not_before), 25), "{again}");
    assert_eq!(project.calls("default", "bulkTag").len(), calls, "nothing was written");
    let told = project.run(&["apply", "--resume", "--sandbox"]).exits(6);
    assert!(told.out.contains(&not_before), "{}", told.out);

    // The same plan, the same policies and other policies of the set write none of the unwritten waves.
    let repeated = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(done(&repeated), 0, "{repeated}");
    project.run(&APPLY).exits(0);
    project.write("policies/p.yaml", &policy("Zebra, Lion", "waves: [25, 50%, 100%], wait: 2h"));
    let other = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(devices(&other), wave(&plan, 1), "only devices of the wave that was written");
    let held = &other["withheld"][0];
    assert_eq!((&held["reason"], &held["name"]), (&"wave".into(), &first["runId"]), "{held}");
    assert_eq!(held["devices"], 275);
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 25);
}

#[test]
fn without_a_wait_wave_follows_wave_and_each_device_is_written_in_its_own() {
    let project = project("waves: [25, 50%, 100%]");
    let plan = project.run(&["plan", "--sandbox", "-o", "plan.json", "--format", "json"]).exits(0).json();
    let applied = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(done(&applied), 300, "{applied}");
    let calls = project.calls("default", "bulkTag");
    let sent: Vec<BTreeSet<String>> = calls.iter().map(ids).collect();
    assert_eq!(sent.len(), 3, "{calls:?}");
    for (number, sent) in (1..).zip(&sent) {
        let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
        assert_eq!(sent, wave(&plan, number), "wave {number}");
    }
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 0);
}

/// The devices of a bulk call.
fn ids(call: &Value) -> BTreeSet<String> {
    let body = &call["body"];
    let body: Value = body.as_str().map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap());
    body["MachineIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_short_wait_is_slept_through_or_resumed_after() {
    let project = project("waves: [25, 100%], wait: 1s");
    let slept = project.run(&[&APPLY[..], &["--wait"]].concat()).exits(0).json();
    assert_eq!((done(&slept), slept.get("notBefore")), (300, None), "{slept}");
}

#[test]
fn every_wave_at_once_needs_a_reason_and_says_so_first() {
    let project = project("waves: [25, 100%], wait: 2h");
    project.run(&["apply", "--sandbox", "--auto-approve", "--waves", "all"]).exits(1);
    let whole = project
        .run(&["apply", "--sandbox", "--auto-approve", "--waves", "all", "--reason", "outage"])
        .exits(0);
    let report = whole.out.split("applied:").next().unwrap();
    assert!(report.contains("every wave is written at once (--waves all): outage"), "{}", whole.out);
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 0, "nothing is open");
}

#[test]
fn a_person_lets_the_next_wave_start_and_a_revert_ends_the_rollout() {
    let project = project("waves: [25, 50, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    project.run(&["apply", "--resume", run, "--sandbox", "--next-wave"]).exits(1);
    let passed =
        ["apply", "--resume", run, "--sandbox", "--next-wave", "--reason", "seen", "--format", "json"];
    let second = project.run(&passed).exits(6).json();
    assert_eq!(done(&second), 50, "{second}");
    let history = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!(history["runId"], first["runId"], "the open rollout is what goes on");
    let allow = ["--allow", "removals=50", "--allow", "removalsPerTag:Zebra=50"];
    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(3);
    let undone = project
        .run(&[&["apply", "undo.json", "--sandbox", "--format", "json"], &allow[..]].concat())
        .exits(0)
        .json();
    assert_eq!(done(&undone), 50, "{undone}");
    let ended = project.run(&["apply", "--resume", run, "--sandbox"]).exits(1);
    assert!(ended.err.contains("was undone"), "{}", ended.err);
    let anew = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(anew["changes"].as_array().unwrap().len(), 250, "only what was undone is withheld");
    assert_eq!(
        (&anew["withheld"][0]["reason"], &anew["withheld"][0]["devices"]),
        (&"reverted".into(), &50.into())
    );
    let redone = project.run(&[&APPLY[..], &["--after-revert"]].concat()).exits(6).json();
    assert_eq!(done(&redone), 25, "{redone}");
}

#[test]
fn a_rollout_that_is_ended_frees_its_devices_and_is_never_resumed() {
    let project = project("waves: [25, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    project.run(&["state", "end", run, "--sandbox"]).exits(1);
    project.run(&["state", "end", "nope", "--reason", "x", "--sandbox"]).exits(1);
    let ended = project.run(&["state", "end", run, "--reason", "new scheme", "--sandbox"]).exits(0);
    assert!(ended.out.contains("after wave 1 of 2"), "{}", ended.out);
    project.run(&["state", "end", run, "--reason", "again", "--sandbox"]).exits(1);
    let resumed = project.run(&["apply", "--resume", run, "--sandbox"]).exits(1);
    assert!(resumed.err.contains("was ended: new scheme"), "{}", resumed.err);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(devices(&plan).len(), 275, "{}", plan["withheld"]);
}

#[test]
fn an_open_rollout_whose_plan_cannot_be_read_refuses_every_other_plan_until_it_is_ended() {
    let project = project("waves: [25, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    let tenants = std::fs::read_dir(project.path().join(".mdetag/sandbox/default")).unwrap();
    let plans = tenants.map(|tenant| tenant.unwrap().path().join(format!("runs/{run}.plan.json")));
    let plan = plans.into_iter().find(|plan| plan.exists()).expect("the run keeps its plan");
    let calls = project.calls("default", "bulkTag").len();
    for damage in [Some("{"), None] {
        match damage {
            Some(text) => std::fs::write(&plan, text).unwrap(),
            None => std::fs::remove_file(&plan).unwrap(),
        }
        for words in [&APPLY[..3], &["plan", "--sandbox"], &["drift", "--sandbox"]] {
            let refused = project.run(words).exits(1);
            assert!(refused.err.contains("its unwritten devices are unknown"), "{}", refused.err);
            assert!(refused.err.contains(&format!("mdetag state end {run} --reason")), "{}", refused.err);
        }
    }
    assert_eq!(project.calls("default", "bulkTag").len(), calls, "nothing was written");
    project.run(&["state", "end", run, "--reason", "its plan is lost", "--sandbox"]).exits(0);
    project.run(&["plan", "--sandbox"]).exits(0);
}
