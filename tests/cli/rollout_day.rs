//! Rollouts as the sandbox's clock goes on: what is written before a wave is due, and what an hourly job writes meanwhile.

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

/// How many devices a wave of a plan has in it, and which.
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
    // A little more than the hour within which the list may still lag behind a write.
    let step = HOUR + Duration::from_secs(60);
    for hour in 1..24 {
        pass(&project, step);
        // A device that is enrolled meanwhile, and another one of the first wave that somebody edits.
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
