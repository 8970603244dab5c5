//! Rollouts over time on the sandbox's clock: what is written before a wave is due, and what an hourly job writes meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{device, id, policy};

const HOUR: Duration = Duration::from_secs(3_600);

fn project(rollout: &str) -> Project {
    let text =
        policy("New", "tags: [New]").replace("guard:\n", &format!("guard:\n  rollout: {{ {rollout} }}\n"));
    let project = Project::with_policy(&text);
    project.devices(120);
    project
}

fn apply(project: &Project, words: &[&str], code: i32) -> Value {
    project.run(&[&["apply", "--sandbox", "--format", "json"], words].concat()).exits(code).json()
}

/// The devices that carry the tag.
fn tagged(project: &Project) -> BTreeSet<String> {
    let fleet = project.fleet().into_iter();
    fleet.filter(|(_, (tags, _))| tags.iter().any(|tag| tag == "New")).map(|(id, _)| id).collect()
}

fn pass(project: &Project, span: Duration) {
    project.portal(|sandbox| sandbox.advance(span).unwrap());
}

/// The number of devices in each wave of a plan, and their ids.
fn waves(plan: &Value) -> Vec<BTreeSet<String>> {
    let changes = plan["changes"].as_array().unwrap();
    let of = |wave: u64| {
        let changes = changes.iter().filter(move |change| change["wave"] == wave);
        changes.map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect()
    };
    (1..=plan["rollout"]["waves"].as_array().unwrap().len() as u64).map(of).collect()
}

#[test]
fn two_hours_between_waves_are_two_hours_of_the_service_s_clock() {
    let project = project("waves: [25, 50%, 100%], wait: 2h");
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let waves = waves(&serde_json::from_str(&project.read("plan.json")).unwrap());
    let first = apply(&project, &["plan.json"], 6);
    assert_eq!(tagged(&project), waves[0]);
    let not_before = first["notBefore"].as_str().unwrap();
    for span in [Duration::from_secs(60), HOUR, HOUR - Duration::from_secs(180)] {
        pass(&project, span);
        let early = apply(&project, &["--resume"], 6);
        assert_eq!(early["notBefore"], not_before, "{early}");
        let told = project.run(&["apply", "--resume", "--sandbox"]).exits(6);
        assert!(told.out.contains(not_before) && told.out.contains("nothing failed"), "{}", told.out);
        assert_eq!(tagged(&project), waves[0], "nothing is written before its time");
    }
    pass(&project, Duration::from_secs(180));
    let second = apply(&project, &["--resume"], 6);
    assert!(second["notBefore"].as_str().unwrap() > not_before, "{second}");
    assert_eq!(tagged(&project), &waves[0] | &waves[1]);
    pass(&project, 2 * HOUR + Duration::from_secs(60));
    let last = apply(&project, &["--resume"], 0);
    assert_eq!((last.get("notBefore"), tagged(&project).len()), (None, 120), "{last}");
    let again = project.run(&["apply", "--resume", "--sandbox"]).exits(0);
    assert!(again.err.contains("nothing to resume"), "{}", again.err);
}

#[test]
fn an_hourly_job_writes_other_devices_for_a_day_and_none_of_the_unwritten_waves() {
    let project = project("waves: [25, 50%, 100%], wait: 1d");
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let waves = waves(&serde_json::from_str(&project.read("plan.json")).unwrap());
    let first = apply(&project, &["plan.json"], 6);
    let mut written = waves[0].clone();
    // A little more than the hour in which the list may lag behind a write.
    let step = HOUR + Duration::from_secs(60);
    for hour in 1..24 {
        pass(&project, step);
        // A device that is enrolled meanwhile, and one of the first wave that somebody edits.
        let enrolled = 200 + hour;
        let edited = usize::from_str_radix(waves[0].iter().nth(hour).unwrap(), 16).unwrap();
        project.portal(|sandbox| {
            let devices = [enrolled, edited].map(|number| device(number, json!(["Own"])));
            sandbox.insert(&json!(devices)).unwrap();
        });
        written.insert(id(enrolled));
        let hourly = apply(&project, &["--auto-approve"], 0);
        assert_eq!(hourly["outcomes"]["done"], 2, "hour {hour}: {hourly}");
        assert_eq!(tagged(&project), written, "hour {hour}");
        let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(0).json();
        let held = &drift["withheld"][0];
        assert_eq!((&held["reason"], &held["name"]), (&json!("wave"), &first["runId"]), "{held}");
        assert_eq!(held["devices"], 95);
    }
    let sent = project.calls("default", "bulkTag");
    let unwritten = &waves[1] | &waves[2];
    assert!(sent.iter().all(|call| unwritten.iter().all(|id| !call["body"].to_string().contains(id))));
    pass(&project, HOUR);
    apply(&project, &["--resume"], 6);
    assert_eq!(tagged(&project), &written | &waves[1]);
}

#[test]
fn a_wave_that_is_due_does_not_wait_for_a_newer_rollout() {
    let project = project("waves: [25, 100%], wait: 1d");
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let first = apply(&project, &["plan.json"], 6);
    // The hourly job meets enough new devices for a rollout of their own.
    pass(&project, HOUR);
    project.portal(|sandbox| {
        let devices: Vec<Value> = (200..320).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).unwrap();
    });
    let second = apply(&project, &["--auto-approve"], 6);
    assert_eq!((second["outcomes"]["done"].as_u64(), tagged(&project).len()), (Some(25), 50), "{second}");
    pass(&project, 23 * HOUR + Duration::from_secs(60));
    let resumed = apply(&project, &["--resume"], 6);
    assert_eq!((&resumed["runId"], tagged(&project).len()), (&first["runId"], 25 + 120), "{resumed}");
    let early = apply(&project, &["--resume"], 6);
    assert_eq!((&early["runId"], tagged(&project).len()), (&second["runId"], 25 + 120), "{early}");
    pass(&project, HOUR);
    let resumed = apply(&project, &["--resume"], 0);
    assert_eq!((&resumed["runId"], tagged(&project).len()), (&second["runId"], 240), "{resumed}");
}

#[test]
fn a_rollout_that_a_gate_stopped_keeps_no_other_from_its_wave_and_is_told() {
    let project =
        project("waves: [25, 100%], wait: 1d, health: { select: { healthStatus: Inactive }, atMost: 5% }");
    let first = apply(&project, &["--auto-approve"], 6);
    pass(&project, HOUR);
    project.portal(|sandbox| {
        let devices: Vec<Value> = (200..320).map(|number| device(number, json!(["Own"]))).collect();
        sandbox.insert(&json!(devices)).unwrap();
    });
    let second = apply(&project, &["--auto-approve"], 6);
    let ill: Vec<String> = tagged(&project).into_iter().filter(|id| *id >= self::id(200)).collect();
    project.portal(|sandbox| {
        let devices = ill.iter().map(|id| {
            let mut device = device(usize::from_str_radix(id, 16).unwrap(), json!(["Own", "New"]));
            device["healthStatus"] = "Inactive".into();
            device
        });
        sandbox.insert(&Value::Array(devices.collect())).unwrap();
    });
    pass(&project, 24 * HOUR + Duration::from_secs(60));
    let stopped = apply(&project, &["--resume"], 4);
    assert_eq!(
        (&stopped["runId"], &stopped["gate"]["gate"]),
        (&second["runId"], &json!("health")),
        "{stopped}"
    );
    // The older one is due; the exit code 4 is because the newer waits for a person.
    let went_on = apply(&project, &["--resume"], 4);
    assert_eq!((&went_on["runId"], tagged(&project).len()), (&first["runId"], 25 + 120), "{went_on}");
    assert_eq!(went_on["outcomes"]["done"], 120, "{went_on}");
    let again = apply(&project, &["--resume"], 4);
    assert_eq!((&again["runId"], &again["gate"]["gate"]), (&second["runId"], &json!("health")), "{again}");
}

/// A rollout as this test expects it: its waves, and the minute from which each may be written.
struct Expected {
    waves: Vec<BTreeSet<String>>,
    written: usize,
    due: u64,
}

#[test]
fn an_hourly_job_that_opens_rollouts_of_its_own_and_an_hourly_resume_write_each_wave_in_its_time() {
    const WAIT: u64 = 6 * 60;
    let project = project("from: 20, waves: [10, 50%, 100%], wait: 6h");
    let mut rollouts: Vec<Expected> = Vec::new();
    let mut number = 200;
    let minutes = 61;
    for hour in 0..24 {
        let now = hour * minutes;
        if hour % 5 == 3 {
            project.portal(|sandbox| {
                let devices = (number..number + 30).map(|number| device(number, json!(["Own"])));
                sandbox.insert(&Value::Array(devices.collect())).unwrap();
            });
            number += 30;
        }
        // The scheduled job for waves, then the hourly job.
        if hour > 0 {
            let due = rollouts.iter_mut().rev().find(|rollout| rollout.written < 3 && rollout.due <= now);
            if let Some(rollout) = due {
                (rollout.written, rollout.due) = (rollout.written + 1, now + WAIT);
            }
            let ended = project.run(&["apply", "--sandbox", "--resume", "--format", "json"]);
            let is_left = rollouts.iter().any(|rollout| rollout.written < 3);
            assert_eq!(ended.code, if is_left { 6 } else { 0 }, "hour {hour}: {}", ended.err);
        }
        project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
        let plan: Value = serde_json::from_str(&project.read("plan.json")).unwrap();
        let opens = !plan["changes"].as_array().unwrap().is_empty();
        apply(&project, &["--auto-approve"], if opens { 6 } else { 0 });
        if opens {
            rollouts.push(Expected { waves: waves(&plan), written: 1, due: now + WAIT });
        }
        let written = rollouts.iter().flat_map(|rollout| rollout.waves.iter().take(rollout.written));
        assert_eq!(tagged(&project), written.flatten().cloned().collect(), "hour {hour}");
        pass(&project, Duration::from_secs(minutes * 60));
    }
    assert_eq!(rollouts.len(), 6, "the first, and one for each batch of devices");
}
