//! A pull request for a tenant with earlier drift: the report separates the two.

use serde_json::json;

use crate::project::Project;
use crate::tenant::{LOOSE, device};

/// Every device should carry `Prod`; the first ten also `Fresh`, if `extra` has that rule.
fn policy(extra: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Old]\nrules:\n  - name: production\n    select: {{ everything: true }}\n    \
         tags: [Prod]\n{extra}{LOOSE}"
    )
}

const ADDED: &str =
    "  - name: fresh\n    select: { machineTags: { has: Own } }\n    tags: [Fresh]\n    deviceValue: High\n";

/// Twelve devices: three lost `Prod`, two more carry `Old`; the target branch in `base/`, the pull request in `policies/`.
fn drifted() -> Project {
    let project = Project::with_policy(&policy(ADDED));
    project.write("base/p.yaml", &policy(""));
    project.devices(0);
    let devices: Vec<_> = (0..12)
        .map(|number| match number {
            0..3 => device(number, json!(["Own"])),
            3..5 => device(number, json!(["Own", "Prod", "Old"])),
            5..10 => device(number, json!(["Own", "Prod"])),
            _ => device(number, json!(["Prod"])),
        })
        .collect();
    project.portal(|sandbox| sandbox.insert(&json!(devices)).unwrap());
    project
}

#[test]
fn a_rule_that_is_new_and_drift_that_is_old_stand_apart() {
    let project = drifted();
    let words = ["plan", "--sandbox", "--base", "base", "policies"];
    let with = |format: &str| project.run(&[&words[..], &["--format", format]].concat()).exits(0);

    let plan = with("json").json();
    let (new, old) = (&plan["split"]["thisChange"], &plan["split"]["before"]);
    let counts = |half: &serde_json::Value| {
        ["additions", "removals", "values"].map(|key| half[key].as_u64().unwrap_or_default())
    };
    assert_eq!((counts(new), counts(old)), ([10, 0, 10], [3, 2, 0]), "{}", plan["split"]);

    for format in ["human", "markdown"] {
        let text = with(format).out;
        let lower = text.to_lowercase();
        let this = lower.find("this change").unwrap_or_else(|| panic!("no half for this change in\n{text}"));
        let before = lower
            .find("drift that was there already")
            .unwrap_or_else(|| panic!("no half for drift in\n{text}"));
        assert!(this < before, "what the reviewer decides on comes first:\n{text}");
        let (mine, theirs) = text[this..].split_at(before - this);
        // Markdown ends with a list of devices for both halves.
        let theirs = theirs.split("<details>").next().unwrap_or_default();
        assert!(mine.contains("Fresh") && !mine.contains("Old"), "{mine}");
        assert!(theirs.contains("Prod") && theirs.contains("Old") && !theirs.contains("Fresh"), "{theirs}");
    }
}

#[test]
fn without_a_change_everything_was_there_already() {
    let project = drifted();
    let plan =
        project.run(&["plan", "--sandbox", "--base", "base", "--format", "json", "base"]).exits(0).json();
    assert_eq!(plan["split"]["thisChange"]["additions"], 0);
    assert_eq!(plan["split"]["before"]["additions"], 3);
    assert_eq!(plan["split"]["before"]["removals"], 2);
}

#[test]
fn a_base_without_policies_is_the_empty_set_and_one_with_errors_is_a_warning() {
    let project = drifted();
    let plan = |base: &str| {
        let ran =
            project.run(&["plan", "--sandbox", "--base", base, "--format", "json", "policies"]).exits(0);
        (ran.json(), ran.err)
    };
    std::fs::create_dir(project.path().join("empty")).unwrap();
    for base in ["nowhere", "empty"] {
        let (document, err) = plan(base);
        let split = &document["split"];
        // Everything is from this change.
        let counts = [&split["thisChange"], &split["before"]].map(|half| half["additions"].as_u64().unwrap());
        assert_eq!(counts, [13, 0], "{base}: {split}");
        assert!(!err.contains("not split"), "{err}");
    }
    project.write("broken/p.yaml", "version: 1\nclaimz: [Old]\n");
    let (document, err) = plan("broken");
    assert!(document["split"].is_null(), "{}", document["split"]);
    assert!(err.contains("warning") && err.contains("broken") && err.contains("not split"), "{err}");
}

#[test]
fn a_checkout_as_base_has_the_policies_at_the_same_paths() {
    let project = drifted();
    project.write("old/policies/p.yaml", &policy(""));
    project.write("more/q.yaml", "version: 1\n");
    let words = ["plan", "--sandbox", "--base", "old", "--format", "json", "policies", "more"];
    let split = project.run(&words).exits(0).json()["split"].clone();
    assert_eq!((&split["thisChange"]["additions"], &split["before"]["additions"]), (&json!(10), &json!(3)));
}

#[test]
fn every_difference_of_what_keeps_a_set_safe_is_listed_before_the_plan() {
    let project = drifted();
    let rails = |approvals: &str, protect: &str, scope: &str| {
        policy("")
            .replace("scope: { everything: true }", &format!("scope: {scope}\n{protect}"))
            .replace("guard:", &format!("guard:\n  approvals: [{approvals}]"))
    };
    let one = "{ cap: removals, max: 800, expires: 2999-01-01 }";
    let both = format!("{one}, {}", one.replace("800", "900"));
    let protect = "protect:\n  - { name: glass, select: { machineTags: { has: Own } } }";
    project.write("old/policies/p.yaml", &rails(one, protect, "{ machineTags: { has: Own } }"));
    project.write("old/mdetag.yaml", "version: 1\n");
    project.write("policies/p.yaml", &rails(&both, "", "{ everything: true }"));
    project.write("mdetag.yaml", "version: 1\nwrites: { visibility: 2h }\nlints: { W0710: allow }\n");
    let expected = [
        "guard changed: guard.approvals is new: ",
        "policy changed: protect is taken out: ",
        "policy changed: scope was ",
        "mdetag.yaml changed: lints.W0710 is new: allow",
        "mdetag.yaml changed: writes.visibility is new: 2h",
    ];
    let words = ["plan", "--sandbox", "--base", "old", "policies", "--format"];
    for format in ["human", "json", "markdown", "html"] {
        let ran = project.run(&[&words[..], &[format]].concat()).exits(0);
        let text: String = ran.out.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in expected {
            assert!(text.contains(sentence.trim_end()), "{format}: no `{sentence}`");
        }
        let plan = text.find("Prod").unwrap();
        assert!(format == "json" || text.find("guard changed").unwrap() < plan, "{format}: before the plan");
    }
}

#[test]
fn harmless_differences_never_hide_those_of_guard_and_protections_from_a_comment() {
    let project = drifted();
    let claims = |count: u32| {
        let claims: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
        policy("").replace("claims: [Old]", &format!("claims: [Old, {}]", claims.join(", ")))
    };
    let protect = "protect:\n  - { name: glass, select: { machineTags: { has: Nobody } } }\n";
    project.write("base/p.yaml", &format!("{}{protect}", claims(1)));
    let approval = "guard:\n  approvals: [{ cap: removals, max: 9999, expires: 2999-01-01 }]";
    project.write("policies/p.yaml", &claims(40).replace("guard:", approval));
    let summary = project.path().join("summary.md");
    let words = ["plan", "--sandbox", "--base", "base", "policies", "--max-chars", "3000", "--format"];
    for format in ["human", "markdown", "html"] {
        let variables =
            [("GITHUB_ACTIONS", "true".to_owned()), ("GITHUB_STEP_SUMMARY", summary.display().to_string())];
        let ran = project.run_in(&variables, &[&words[..], &[format]].concat()).exits(0);
        let text: String = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let rails = ["guard.approvals is new", "protect is taken out"].map(|said| text.find(said));
        let claim = text.find("claims is new").or_else(|| text.find("39 more differences")).unwrap();
        assert!(rails.iter().all(|at| at.is_some_and(|at| at < claim)), "{format}: {text}");
        let summed = "39 more differences: claims 39";
        assert!(format != "markdown" || text.contains(summed), "the harmless are counted: {text}");
    }
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains("protect is taken out") && summary.contains("c39"), "{summary}");
}

const CAPPED: &str = "version: 1\nDEVICE_GROUPS\nguard: { caps: { groupMoves: { percent: 0, floor: 4 } } }\nclaims: [Tier0]\nrules:\n  - \
                      { name: dcs, select: { computerDnsName: { glob: 'dc*' } }, tags: [Tier0] }\n";

#[test]
fn a_change_of_the_device_groups_does_not_disarm_the_cap_on_moves() {
    let project = Project::with_policy("");
    let policy = |folder: &str, key: &str, tag: &str| {
        let tags = json!({ "devicesTagsConditions": [{ "condition": "Equals", "value": tag }] });
        let group = json!({ "deviceGroupName": "Top", "priority": 1, "automationLevel": 2, "deviceGroupRules": tags });
        project.write(&format!("{folder}/data/g.json"), &json!([group]).to_string());
        project.write(&format!("{folder}/p.yaml"), &CAPPED.replace("DEVICE_GROUPS", key));
    };
    let device = |number: u32| {
        format!("{{\"id\":\"{number:040x}\",\"computerDnsName\":\"dc{number}.x.test\",\"machineTags\":[]}}\n")
    };
    project.write("i.ndjson", &(0..12).map(device).collect::<String>());
    let named = "deviceGroups: { file: data/g.json }";
    policy("base", named, "Tier0");
    let words = ["plan", "--inventory", "i.ndjson", "--base", "base", "policies", "--format"];
    // The default cap allows ten.
    for (key, tag, axis, allowed) in
        [(named, "Nope", "both", 4), ("", "Nope", "base", 10), (named, "Tier0", "same", 4)]
    {
        policy("policies", key, tag);
        let cap = "guard: { caps: { groupMoves: { percent: 0, floor: 4 } } }\n";
        if key.is_empty() {
            // The cap needs device groups, so the pull request removes both.
            project.write("policies/p.yaml", &CAPPED.replace("DEVICE_GROUPS\n", "").replace(cap, ""));
        }
        let plan = project.run(&[&words[..], &["json"]].concat()).exits(3).json();
        let moves = plan["guard"]["axes"].as_array().unwrap().iter().find(|row| row["axis"] == "groupMoves");
        let moves = moves.unwrap_or_else(|| panic!("{axis}: {}", plan["guard"]));
        assert_eq!((&moves["planned"], &moves["allowed"]), (&json!(12), &json!(allowed)), "{axis}");
        let told = &plan["baseGroups"];
        assert_eq!(told.is_null(), axis == "same", "{told}");
        for format in ["human", "markdown", "html"] {
            let text = project.run(&[&words[..], &[format]].concat()).exits(3).out;
            let says = text.contains("with the device groups of the base 12 devices change group");
            assert_eq!(says, axis != "same", "{axis} {format}: {text}");
        }
    }
}

#[test]
fn a_base_whose_settings_have_errors_is_a_warning_and_no_split() {
    let project = drifted();
    project.write("old/policies/p.yaml", &policy(""));
    project.write("mdetag.yaml", "version: 1\n");
    let words = ["plan", "--sandbox", "--base", "old", "policies", "--format", "json"];
    for (settings, is_split) in
        [("version: 1\n", true), ("", true), ("garbage: [", false), ("version: 1\nlintz: {}\n", false)]
    {
        project.write("old/mdetag.yaml", settings);
        let ran = project.run(&words).exits(0);
        let plan = ran.json();
        assert_eq!(plan["split"]["thisChange"].is_object(), is_split, "{settings}: {}", plan["split"]);
        assert_eq!(
            ran.err.contains("mdetag.yaml") && ran.err.contains("not split"),
            !is_split,
            "{}",
            ran.err
        );
        let text = project.run(&words[..words.len() - 2]).exits(0).out;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            text.contains("the base's mdetag.yaml cannot be compared"),
            !is_split,
            "{settings}: {text}"
        );
        assert!(is_split || !text.contains("version is new"), "{settings}");
    }
}
