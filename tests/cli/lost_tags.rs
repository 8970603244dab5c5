//! Tags that a call of a run removed by accident: each is named with its device, and counted if it is not back.

use serde_json::{Value, json};

use crate::project::Project;
use crate::tenant::{id, policy};

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--sandbox-speed", "600"];
const NO_PUT_BACK: &str = "forbidden=bulkTag:always+singleTag:always";

/// Devices that should get a value, set by a `PATCH` that removes a tag by accident.
fn values(devices: usize) -> Project {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.write("mdetag.yaml", "version: 1\nwrites: { values: both }\n");
    project.devices(devices);
    project
}

/// The arguments of an apply against a `PATCH` that loses tags.
fn apply<'a>(faults: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let faults = faults.iter().flat_map(|fault| ["--sandbox-fault", fault]);
    APPLY.into_iter().chain(faults).chain(more.iter().copied()).collect()
}

/// The device that lost its tag.
fn loser(project: &Project) -> String {
    let fleet = project.fleet();
    let mut without = fleet.iter().filter(|(_, (tags, _))| tags.is_empty());
    let (device, _) = without.next().expect("a device without its tag");
    assert_eq!(without.next(), None, "one canary");
    device.clone()
}

/// The name of the device with this id.
fn name(id: &str) -> String {
    format!("d{}.example.com", u64::from_str_radix(id, 16).unwrap())
}

#[test]
fn a_tag_that_a_patch_lost_and_that_is_not_put_back_is_named_and_ends_with_4() {
    let project = values(6);
    let reports = ["md", "html", "csv", "ndjson", "junit", "sarif", "openmetrics"];
    let names = ["markdown", "html", "csv", "ndjson", "junit", "sarif", "openmetrics"];
    let targets: Vec<String> =
        names.iter().zip(reports).map(|(format, file)| format!("{format}=out.{file}")).collect();
    let mut more = vec!["--format", "json"];
    targets.iter().for_each(|target| more.extend(["--report", target]));
    let document = project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &more)).exits(4).json();
    let device = loser(&project);
    assert_eq!(document["outcomes"]["done"], 6, "{document}");
    let lost = &document["lostTags"];
    assert_eq!(lost.as_array().map(Vec::len), Some(1), "{document}");
    assert_eq!(
        (&lost[0]["device"]["id"], &lost[0]["tag"], &lost[0]["restored"]),
        (&json!(device), &json!("Own"), &json!(false))
    );
    assert!(lost[0]["error"].as_str().unwrap().starts_with("403"), "{lost}");
    assert_eq!(document["exitCode"], 4);
    for file in reports {
        let text = std::fs::read_to_string(project.path().join(format!("out.{file}"))).unwrap();
        if file == "openmetrics" {
            assert!(text.contains("mdetag_lost_tags{tenant=\"default\",restored=\"false\"} 1"), "{text}");
            continue;
        }
        assert!(text.contains("Own"), "the tag is not in {text}");
        assert!(text.contains(&name(&device)), "the device is not in {text}");
    }
    let history = project.run(&["history", "--sandbox", &device, "--format", "json"]).exits(0).out;
    assert!(history.contains("Own"), "{history}");
}

#[test]
fn people_read_which_device_lost_which_tag_and_that_it_is_not_back() {
    let project = values(6);
    let ran = project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    ran.is_for_people();
    let device = loser(&project);
    assert!(ran.out.contains("applied in part: 6 of 6 changes done"), "{}", ran.out);
    let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("1 tag that a call took along is not back"), "{flat}");
    assert!(flat.contains("\"Own\"") && flat.contains(&name(&device)), "{flat}");
}

#[test]
fn a_tag_that_was_put_back_is_named_with_its_device_too() {
    let project = values(6);
    let ran = project.run(&apply(&["patch_loses=value"], &[])).exits(0);
    ran.is_for_people();
    assert!(project.fleet().values().all(|(tags, value)| tags == &["Own"] && value == "High"));
    let flat = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("1 tag that a call took along was put back"), "{flat}");
    assert!(flat.contains("tag \"Own\" of d"), "{flat}");
}

#[test]
fn a_put_back_that_was_not_attempted_leaves_the_run_unfinished_and_a_resumed_one_makes_it() {
    let project = values(2);
    // One value on the usual route, a read, a PATCH that loses the tag, and no call left to put it back.
    let stopped = project.run(&apply(&["patch_loses=value"], &["--max-calls", "3", "--format", "json"]));
    let document = stopped.exits(5).json();
    let device = loser(&project);
    assert_eq!(document["lostTags"][0]["restored"], false, "{document}");
    assert_eq!(document["resumable"], true);
    let resumed = ["apply", "--resume", "--sandbox", "--sandbox-speed", "600", "--format", "json"];
    let document = project.run(&resumed).exits(0).json();
    assert_eq!(
        (&document["lostTags"][0]["device"]["id"], &document["lostTags"][0]["restored"]),
        (&json!(device), &json!(true)),
        "{document}"
    );
    assert!(project.fleet().values().all(|(tags, value)| tags == &["Own"] && value == "High"));
}

#[test]
fn a_loss_that_an_earlier_part_of_the_run_could_not_mend_is_told_and_tried_again_by_the_resumed_one() {
    let project = values(60);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &["--max-calls", "40"])).exits(4);
    loser(&project);
    let resumed = ["apply", "--resume", "--sandbox", "--sandbox-speed", "600", "--format", "json"];
    let without = [&resumed[..], &["--sandbox-fault", NO_PUT_BACK]].concat();
    let document = project.run(&without).exits(4).json();
    assert_eq!(document["lostTags"][0]["restored"], false, "{document}");
    assert_eq!(document["resumable"], true, "{document}");
    let document = project.run(&resumed).exits(0).json();
    assert_eq!(document["lostTags"][0]["restored"], true, "{document}");
    assert!(project.fleet().values().all(|(tags, value)| tags == &["Own"] && value == "High"));
}

/// The tags that a plan adds, each with its device, cause and run.
fn additions(document: &Value) -> Vec<(Value, Value, Value, Value)> {
    let of = |change: &Value| {
        let device = change["device"]["id"].clone();
        let add = change["add"].as_array().unwrap().clone();
        add.into_iter()
            .map(move |add| (device.clone(), add["tag"].clone(), add["cause"].clone(), add["run"].clone()))
    };
    document["changes"].as_array().unwrap().iter().flat_map(of).collect()
}

#[test]
fn a_lost_tag_is_drift_and_planned_until_it_is_back() {
    let project = values(6);
    let run = project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &["--format", "json"])).exits(4).json();
    let run = &run["runId"];
    let device = loser(&project);
    let owed = [(json!(device), json!("Own"), json!("restored"), run.clone())];
    let drift = project.run(&["drift", "--sandbox", "--format", "json"]).exits(2).json();
    assert_eq!(additions(&drift), owed, "{drift}");
    let shown = project.run(&["plan", "--sandbox"]).exits(0);
    let flat = shown.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let because = format!("restored: a call of run {} took it along", run.as_str().unwrap());
    assert!(flat.contains(&because), "{flat}");
    project.run(&["plan", "--sandbox", "-o", "plan.json", "-q"]).exits(0);
    project.run(&["apply", "--sandbox", "--sandbox-speed", "600", "plan.json", "-q"]).exits(0);
    assert!(project.fleet().values().all(|(tags, value)| tags == &["Own"] && value == "High"));
    project.run(&["drift", "--sandbox", "-q"]).exits(0);
    let resumed = project.run(&["apply", "--resume", "--sandbox", "--sandbox-speed", "600"]).exits(0);
    assert!(resumed.err.contains("nothing to resume"), "{}", resumed.err);
}

#[test]
fn a_lost_tag_that_was_back_and_that_a_person_removed_since_is_owed_no_more() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    put_back_and_removed(&project, 0);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(additions(&plan), []);
}

/// Sets the tags of a device; the rest is as the run wrote it.
fn edit(project: &Project, device: &str, tags: Value) {
    let mut edited = crate::tenant::device(usize::from_str_radix(device, 16).unwrap(), tags);
    edited["deviceValue"] = json!("High");
    project.portal(|sandbox| sandbox.insert(&json!([edited])).unwrap());
}

/// A person puts the lost tag back and removes it again, with a read after each. Returns the device.
fn put_back_and_removed(project: &Project, drift: i32) -> String {
    let device = loser(project);
    let drift_now = |code| project.run(&["drift", "--sandbox", "-q"]).exits(code);
    drift_now(2);
    edit(project, &device, json!(["Own"]));
    drift_now(drift);
    edit(project, &device, json!([]));
    drift_now(drift);
    device
}

/// Resumes the run, which must leave the tag alone, say so, and journal nothing else.
fn is_left_alone(project: &Project, device: &str) {
    let resumed = ["apply", "--resume", "--sandbox", "--sandbox-speed", "600", "--format", "json"];
    let document = project.run(&resumed).exits(0).json();
    assert!(document.get("lostTags").is_none_or(|lost| lost == &json!([])), "{document}");
    let note = format!("removed by somebody since: \"Own\" on {} ({device})", name(device));
    assert!(document["notes"].as_array().unwrap().contains(&json!(note)), "{document}");
    assert_eq!(loser(project), device);
    let history = project.run(&["history", "--sandbox", device, "--format", "json"]).exits(0).out;
    assert!(history.contains("Own"), "{history}");
    project.run(&["drift", "--sandbox", "-q"]).exits(0);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(additions(&plan), []);
    let again = project.run(&["apply", "--resume", "--sandbox", "--sandbox-speed", "600"]).exits(0);
    assert!(again.err.contains("nothing to resume"), "{}", again.err);
}

#[test]
fn a_resumed_run_leaves_a_lost_tag_alone_that_a_person_put_back_and_removed() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    let device = put_back_and_removed(&project, 0);
    is_left_alone(&project, &device);
}

#[test]
fn a_resumed_run_with_other_work_leaves_a_lost_tag_alone_that_a_person_put_back_and_removed() {
    let project = values(60);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &["--max-calls", "40"])).exits(4);
    let device = put_back_and_removed(&project, 2);
    is_left_alone(&project, &device);
}

#[test]
fn a_put_back_that_was_not_attempted_is_not_made_where_a_person_put_it_back_and_removed_it() {
    let project = values(2);
    project.run(&apply(&["patch_loses=value"], &["--max-calls", "3"])).exits(5);
    let device = put_back_and_removed(&project, 0);
    is_left_alone(&project, &device);
}

#[test]
fn a_resumed_run_says_that_a_lost_tag_is_back_where_a_person_put_it_back() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    let device = loser(&project);
    project.run(&["drift", "--sandbox", "-q"]).exits(2);
    edit(&project, &device, json!(["Own"]));
    project.run(&["drift", "--sandbox", "-q"]).exits(0);
    let resumed = ["apply", "--resume", "--sandbox", "--sandbox-speed", "600", "--format", "json"];
    let document = project.run(&resumed).exits(0).json();
    assert_eq!(document["lostTags"][0]["restored"], true, "{document}");
}

#[test]
fn a_lost_tag_that_the_policies_would_take_away_is_not_put_back() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    loser(&project);
    for policies in ["claims: [Own]", "retire: [Own]"] {
        project.write("policies/q.yaml", &format!("version: 1\n{policies}\n"));
        let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
        assert_eq!(additions(&plan), [], "{policies}");
    }
    project
        .write("policies/q.yaml", "version: 1\nprotect:\n  - { name: all, select: { everything: true } }\n");
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(additions(&plan), []);
    assert_eq!(plan["withheld"][0]["reason"], "protected", "{plan}");
}

#[test]
fn an_owed_tag_out_of_scope_is_told_by_each_plan() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    let device = loser(&project);
    let text = project.read("policies/p.yaml");
    project.write("policies/p.yaml", &text.replace("{ everything: true }", "{ osPlatform: Linux }"));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let told = plan["warnings"].as_array().unwrap().iter().find(|warning| warning["code"] == "W0606");
    let message = told.unwrap_or_else(|| panic!("{plan}"))["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&name(&device)) && message.contains("Own"), "{message}");
}

/// Three devices that are best served by one `PATCH` each. The service drops their manual tag.
fn combined(faults: &[&str]) -> (Project, Value) {
    let tags = "tags: [\"a:{deviceName}\", \"b:{deviceName}\"]\n    deviceValue: High";
    let project = Project::with_policy(&policy("\"a:*\", \"b:*\"", tags));
    project.write("mdetag.yaml", "version: 1\nwrites: { combine: true, origins: true }\n");
    project.devices(3);
    let faults: Vec<&str> = ["patch_loses=list"].into_iter().chain(faults.iter().copied()).collect();
    let code = if faults.len() > 1 { 4 } else { 0 };
    let document = project.run(&apply(&faults, &["--format", "json"])).exits(code).json();
    assert!(!project.calls("default", "updateDevice").is_empty(), "{document}");
    (project, document)
}

#[test]
fn tags_that_a_combined_patch_dropped_are_told_one_by_one() {
    let (project, document) = combined(&[]);
    assert!(project.fleet().values().all(|(tags, _)| tags.contains(&"Own".to_owned())));
    let lost = document["lostTags"].as_array().unwrap();
    assert_eq!(lost.iter().filter(|lost| lost["restored"] == true).count(), 3, "{document}");
    let (project, document) = combined(&[NO_PUT_BACK]);
    let lost = document["lostTags"].as_array().unwrap();
    assert_eq!(lost.len(), 3, "{document}");
    for (number, lost) in lost.iter().enumerate() {
        let told = (&lost["device"]["id"], &lost["tag"], &lost["restored"]);
        assert_eq!(told, (&json!(id(number)), &json!("Own"), &json!(false)));
    }
    assert!(project.fleet().values().all(|(tags, _)| !tags.contains(&"Own".to_owned())));
}

#[test]
fn an_owed_tag_is_named_while_the_list_still_shows_it() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK, "visible_after_s=86400"], &[])).exits(4);
    let late = ["--sandbox-fault", "visible_after_s=86400", "--format", "json"];
    let words = [&["drift", "--sandbox"][..], &["plan", "--sandbox"]];
    for words in words {
        let document = project.run(&[words, &late].concat()).exits(0).json();
        assert_eq!(additions(&document), [], "{document}");
        let told = document["warnings"]
            .as_array()
            .unwrap_or_else(|| panic!("{words:?}: {document:#}"))
            .iter()
            .find(|warning| warning["code"] == "W0606");
        let told = told.unwrap_or_else(|| panic!("{words:?}: {document}"))["message"].to_string();
        assert!(told.contains("`Own` of device d") && told.contains("still shows it"), "{told}");
    }
    for words in [&["drift", "--sandbox"][..], &["apply", "--sandbox", "--auto-approve"]] {
        let ran = project.run(&[words, &late[..2]].concat()).exits(0);
        assert!(format!("{}{}", ran.out, ran.err).contains("W0606"), "{words:?}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn state_show_lists_owed_tags_by_name() {
    let project = values(6);
    project.run(&apply(&["patch_loses=value", NO_PUT_BACK], &[])).exits(4);
    let device = loser(&project);
    let shown = project.run(&["state", "show", "--sandbox", "--format", "json"]).exits(0).json();
    let owed = &shown["tenants"][0]["owed"];
    assert_eq!(owed[0]["device"], json!({ "id": device, "name": name(&device) }), "{shown}");
    assert_eq!((owed.as_array().unwrap().len(), &owed[0]["tag"]), (1, &json!("Own")));
    let told = project.run(&["state", "show", "--sandbox"]).exits(0).out;
    assert!(told.contains("owed tags      1 tag") && told.contains(&name(&device)), "{told}");
}

#[test]
fn history_and_tags_keep_a_loss_after_the_tag_is_back() {
    let project = values(6);
    let run = project.run(&apply(&["patch_loses=value"], &["--format", "json"])).exits(0).json();
    let lost = &run["lostTags"][0];
    assert_eq!(lost["restored"], true, "{run}");
    let id = lost["device"]["id"].as_str().unwrap();
    for subject in ["Own", id, &name(id)] {
        let history = project.run(&["history", "--sandbox", subject, "--format", "json"]).exits(0).json();
        let changes = history["changes"].as_array().unwrap();
        let told: Vec<_> = changes.iter().filter(|change| change["what"] == "Own").collect();
        assert_eq!(
            (told.len(), &told[0]["device"]),
            (1, &json!({ "id": id, "name": name(id) })),
            "{history}"
        );
        assert_eq!(told[0]["outcome"], "done");
        assert!(
            told[0]["error"].as_str().unwrap().contains("took the tag along, and it is back"),
            "{history}"
        );
    }
    let runs = project.run(&["history", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(runs["runs"][0]["outcomes"]["done"], 6, "a loss is no change of the plan: {runs}");
    let tags = project.run(&["tags", "--sandbox", "--format", "json"]).exits(0).json();
    let own = tags["rows"].as_array().unwrap().iter().find(|row| row["tag"] == "Own");
    assert_eq!(own.unwrap()["lastRun"], run["runId"], "{tags}");
}
