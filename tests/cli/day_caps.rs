//! The day's caps under the sandbox's clock: what they stop, and what they let pass.

use std::time::Duration;

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::tenant::{device, id};

const HOUR: Duration = Duration::from_secs(3_660);

fn tenant(policy: &str) -> Project {
    let project = Project::with_policy(policy);
    project.devices(0);
    put(&project, 0..100, "Active");
    project
}

/// Inserts devices with this health. Half of them have another platform, because a hundred alike ones could be a truncated list.
fn put(project: &Project, numbers: std::ops::Range<usize>, status: &str) {
    let fleet = project.fleet();
    let put = numbers.map(|number| {
        let tags = fleet.get(&id(number)).map_or_else(|| json!(["Own"]), |(tags, _)| json!(tags));
        let mut device = device(number, tags);
        device["osPlatform"] = if number % 2 == 0 { "Windows10" } else { "Windows11" }.into();
        device["healthStatus"] = status.into();
        device
    });
    let put = Value::Array(put.collect());
    project.portal(|sandbox| sandbox.insert(&put).unwrap());
}

fn apply(project: &Project) -> Ran {
    project.run(&["apply", "--sandbox", "--auto-approve"])
}

fn pass(project: &Project, span: Duration) {
    project.portal(|sandbox| sandbox.advance(span).unwrap());
}

fn carriers(project: &Project, tag: &str) -> usize {
    project.fleet().values().filter(|(tags, _)| tags.iter().any(|own| own == tag)).count()
}

/// `Own` stays on every device except the first `without`, and the last `zebras` get `Zebra`.
fn keeps(without: usize, zebras: usize) -> String {
    let list = |range: std::ops::Range<usize>| {
        let ids: Vec<String> = range.map(|number| format!("'{}'", id(number))).collect();
        ids.join(", ")
    };
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Own, Zebra]\nrules:\n  \
         - {{ name: own, select: {{ not: {{ id: [{}] }} }}, tags: [Own] }}\n  \
         - {{ name: zebra, select: {{ id: [{}] }}, tags: [Zebra] }}\n",
        list(0..without.max(1)),
        list(100 - zebras..100)
    )
}

#[test]
fn ten_applies_of_ten_per_cent_stop_at_the_second_cap_with_the_arithmetic_and_a_day_later_go_on() {
    let project = tenant(&keeps(10, 1));
    for hour in 1..=10 {
        project.write("policies/p.yaml", &keeps(10 * hour, 1));
        // Refused changes remain to be done: the plan of a later hour is larger than one run may be, too.
        let asked = project.run(&["plan", "--sandbox"]);
        let ran = apply(&project);
        if hour <= 2 {
            assert_eq!((asked.code, ran.code), (0, 0), "hour {hour}: {}", ran.out);
        } else {
            assert_eq!((asked.code, ran.code), (3, 3), "hour {hour}: {}", ran.out);
        }
        if hour == 3 {
            let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in [
                "refused: 10 removals and the 20 of the last 24 hours are over the day's limit of 20",
                "removals of a day: 20 + 10 of 101 (29.7 %); limit `guard.caps.removals.day: 20 %, floor 20`",
                "to proceed: --allow removals=10",
            ] {
                assert!(told.contains(part), "`{part}` in: {}", ran.out);
            }
        }
        assert_eq!(carriers(&project, "Own"), 100 - 10 * hour.min(2), "hour {hour}");
        pass(&project, HOUR);
    }
    pass(&project, 16 * HOUR);
    project.write("policies/p.yaml", &keeps(30, 1));
    apply(&project).exits(0);
    assert_eq!(carriers(&project, "Own"), 70, "what was done more than a day ago no longer counts");
}

#[test]
fn a_revert_is_not_stopped_by_the_cap_of_a_day() {
    let project = tenant(&keeps(10, 40));
    let mut newest = String::new();
    for (without, zebras) in [(10, 40), (20, 40), (20, 50)] {
        project.write("policies/p.yaml", &keeps(without, zebras));
        let ran = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0).json();
        newest = ran["runId"].as_str().unwrap().to_owned();
        pass(&project, HOUR);
    }
    // The day's removals are used up, and this would remove ten more tags.
    project.run(&["revert", &newest, "-o", "undo.json", "--sandbox"]).exits(0);
    project.run(&["apply", "undo.json", "--sandbox"]).exits(0);
    assert_eq!((carriers(&project, "Own"), carriers(&project, "Zebra")), (80, 40));
    project.write("policies/p.yaml", &keeps(21, 40));
    apply(&project).exits(3);
}

#[test]
fn lifecycle_tags_that_swap_in_a_family_all_day_do_not_reach_the_cap_of_a_day() {
    let text = "version: 1\nscope: { everything: true }\nfamilies:\n  life: [life/new, life/old]\nrules:\n  \
                - { name: new, select: { healthStatus: Active }, tags: [life/new] }\n  \
                - { name: old, select: { healthStatus: Inactive }, tags: [life/old] }\n";
    let project = tenant(text);
    put(&project, 50..100, "Inactive");
    apply(&project).exits(0);
    // Ten devices an hour fall asleep or wake up: 230 removals in a day, and 20 is the day's cap.
    for hour in 0..23 {
        pass(&project, HOUR);
        let first = hour / 2 % 5 * 10;
        put(&project, first..first + 10, if hour % 2 == 0 { "Inactive" } else { "Active" });
        let swapped = project.run(&["apply", "--sandbox", "--auto-approve", "--format", "json"]).exits(0);
        assert_eq!(swapped.json()["outcomes"]["done"], 20, "hour {hour}: {}", swapped.out);
    }
    assert_eq!((carriers(&project, "life/new"), carriers(&project, "life/old")), (40, 60));
}

#[test]
fn an_allowance_is_of_its_run_alone_and_what_a_refusal_offers_to_paste_is_enough() {
    let project = tenant(&keeps(10, 1));
    apply(&project).exits(0);
    for without in [35, 60] {
        project.write("policies/p.yaml", &keeps(without, 1));
        apply(&project).exits(3);
        project.run(&["apply", "--sandbox", "--auto-approve", "--allow", "removals=25"]).exits(0);
        assert_eq!(carriers(&project, "Own"), 100 - without, "the run before had its own allowance");
        pass(&project, HOUR);
    }
    // The second refusal comes while the first one's entry is used up: the number that it offers is a total.
    for without in [80, 95] {
        project.write("policies/p.yaml", &keeps(without, 1));
        project.run(&["plan", "--sandbox", "-o", "refused.json"]).exits(3);
        let refused: Value = serde_json::from_str(&project.read("refused.json")).unwrap();
        let entries = refused["guard"]["snippet"]["approvals"].as_array().unwrap().iter();
        let entries: Vec<&str> = entries.map(|entry| entry.as_str().unwrap()).collect();
        project.write(
            "policies/guard.yaml",
            &format!("version: 1\nguard:\n  approvals:\n    {}\n", entries.join("\n    ")),
        );
        apply(&project).exits(0);
        assert_eq!(carriers(&project, "Own"), 100 - without);
        pass(&project, HOUR);
    }
}
