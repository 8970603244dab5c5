//! `tags`, `devices`, `coverage`: views of a recorded inventory before anything is written.

use crate::project::Project;

const POLICY: &str = "version: 1\nclaims: [Tier0]\nrules:\n  - name: dcs\n    owner: identity-team\n    select: { computerDnsName: { glob: \"dc*\" } }\n    tags: [Tier0]\n  - name: nobody\n    select: { osPlatform: BeOS }\n    tags: [Odd]\n";

const FLEET: &str = concat!(
    r#"{"id":"a1","computerDnsName":"dc01.corp.example.com","osPlatform":"WindowsServer2022","machineTags":["Tier0"]}"#,
    "\n",
    r#"{"id":"a2","computerDnsName":"dc02.corp.example.com","osPlatform":"WindowsServer2022","machineTags":["tier0"]}"#,
    "\n",
    r#"{"id":"a3","computerDnsName":"pc01.corp.example.com","osPlatform":"Windows11","machineTags":["Sales"]}"#,
    "\n",
);

fn project() -> Project {
    let project = Project::with_policy(POLICY);
    project.write("fleet.ndjson", FLEET);
    project
}

fn look(project: &Project, words: &[&str]) -> serde_json::Value {
    let words: Vec<&str> = words
        .iter()
        .copied()
        .chain(["--inventory", "fleet.ndjson", "--now", "2026-11-24", "--format", "json"])
        .collect();
    project.run(&words).exits(0).json()
}

fn column<'a>(document: &'a serde_json::Value, key: &str) -> Vec<&'a str> {
    let rows = document["rows"].as_array().expect("rows");
    rows.iter().map(|row| row[key].as_str().expect("text")).collect()
}

#[test]
fn tags_say_who_owns_and_gives_them() {
    let project = project();
    let document = look(&project, &["tags"]);
    assert_eq!(column(&document, "tag"), ["Sales", "Tier0", "tier0", "Odd"]);
    let tier0 = &document["rows"][1];
    assert_eq!(tier0["claimedBy"][0], "Tier0");
    assert_eq!(tier0["givenBy"][0], "dcs");
    assert_eq!(tier0["otherSpellings"][0], "tier0");
    assert_eq!(tier0["places"][0], "policies/p.yaml:2");
    assert_eq!(column(&look(&project, &["tags", "--unclaimed"]), "tag"), ["Sales", "tier0"]);
    assert_eq!(column(&look(&project, &["tags", "--dead"]), "tag"), ["Odd"]);
}

#[test]
fn devices_are_found_by_selector_rule_and_tag() {
    let project = project();
    let ids = |words: &[&str]| -> Vec<String> {
        let document = look(&project, words);
        column(&document, "id").into_iter().map(str::to_owned).collect()
    };
    assert_eq!(ids(&["devices", "--where", "{ osPlatform: { startsWith: WindowsServer } }"]), ["a1", "a2"]);
    assert_eq!(ids(&["devices", "--where", "osPlatform: Windows11"]).len(), 1);
    assert_eq!(ids(&["devices", "--rule", "dcs"]), ["a1", "a2"]);
    assert_eq!(ids(&["devices", "--tag", "[Tt]ier0"]), ["a1", "a2"]);
    assert_eq!(ids(&["devices", "--rule", "dcs", "--tag", "tier0"]), ["a2"]);
    let broken =
        project.run(&["devices", "--inventory", "fleet.ndjson", "--where", "{ osPlatfrm: x }"]).exits(1);
    assert!(broken.err.contains("did you mean `osPlatform`"), "{}", broken.err);
    let unknown = project.run(&["devices", "--inventory", "fleet.ndjson", "--rule", "dsc"]).exits(1);
    assert!(unknown.err.contains("did you mean `dcs`"), "{}", unknown.err);
    let field = project.run(&["devices", "--inventory", "fleet.ndjson", "--fields", "osPlatfrom"]).exits(1);
    assert!(field.err.contains("did you mean `osPlatform`"), "{}", field.err);
}

#[test]
fn coverage_says_what_no_rule_selects_and_which_rules_hold_for_nobody() {
    let project = project();
    let document = look(&project, &["coverage"]);
    assert_eq!(document["heading"], "3 devices read, 3 in scope, 1 of them that no rule selects");
    assert_eq!(document["rows"][0]["owner"], "identity-team");
    assert_eq!(document["rows"][1]["state"], "holds for nobody");
    let remarks = document["remarks"].to_string();
    assert!(remarks.contains("pc01.corp.example.com") && remarks.contains("Sales (1)"), "{remarks}");
    let of_kind = |kind: &str| {
        let rows = document["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == kind);
        rows.map(|row| {
            (row["name"].as_str().unwrap().to_owned(), row["devices"].clone(), row["id"].is_string())
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(of_kind("device"), [("pc01.corp.example.com".to_owned(), 1.into(), true)]);
    assert!(of_kind("tag").contains(&("Sales".to_owned(), 1.into(), false)));
    let csv = project.run(&["coverage", "--inventory", "fleet.ndjson", "--format", "csv"]).exits(0);
    assert!(csv.out.contains("\"device\",\"pc01.corp.example.com\""), "{}", csv.out);
    let text = project.run(&["coverage", "--inventory", "fleet.ndjson"]).exits(0);
    text.is_for_people();
    let lists_devices = |text: &str| text.lines().any(|line| line.trim_start().starts_with("device "));
    assert!(!lists_devices(&text.out), "{}", text.out);
    let whole = project.run(&["coverage", "--inventory", "fleet.ndjson", "--details"]).exits(0);
    assert!(lists_devices(&whole.out), "{}", whole.out);
}

#[test]
fn without_policies_the_tags_are_listed_all_the_same() {
    let project = Project::new();
    project.write("fleet.ndjson", FLEET);
    assert_eq!(column(&look(&project, &["tags"]), "tag"), ["Sales", "Tier0", "tier0"]);
    let html = project.run(&["tags", "--inventory", "fleet.ndjson", "--format", "junit"]).exits(1);
    assert!(html.err.contains("choose one of"), "{}", html.err);
}

#[test]
fn tags_name_the_last_run_that_wrote_them() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - name: r\n    select: { everything: true }\n    tags: [New, Kept]\n",
    );
    project.write("fleet.ndjson", FLEET);
    project.run(&["sandbox", "create", "--fleet", "fleet.ndjson", "--sandbox=z"]).exits(0);
    let rows = || {
        let document = project.run(&["tags", "--sandbox=z", "--format", "json"]).exits(0).json();
        let rows = document["rows"].as_array().expect("rows").clone();
        move |tag: &str| rows.iter().find(|row| row["tag"] == tag).expect("a row")["lastRun"].clone()
    };
    assert!(rows()("New").is_null(), "no run wrote it");
    let apply = ["apply", "--sandbox=z", "--sandbox-speed", "600", "--auto-approve", "--format", "json"];
    let first = project.run(&apply).exits(0).json()["runId"].clone();
    assert_eq!((rows()("New"), rows()("Kept")), (first.clone(), first.clone()));
    assert!(rows()("Sales").is_null());
    project.write("policies/p.yaml", "version: 1\nretire: [New]\n");
    let second = project.run(&apply).exits(0).json()["runId"].clone();
    assert_ne!(first, second);
    assert_eq!((rows()("New"), rows()("Kept")), (second.clone(), first));
    let text = project.run(&["tags", "--sandbox=z"]).exits(0).out;
    assert!(text.contains("LAST RUN") && text.contains(second.as_str().expect("text")), "{text}");
}

/// The page on consequences as a project: its policies, its file of groups and its mishap.
fn page_on_consequences() -> Project {
    let page = include_str!("../../docs/consequences.md");
    let project = Project::new();
    for fence in page.split("```yaml ").skip(1) {
        let (name, rest) = fence.split_once('\n').unwrap();
        project.write(name, rest.split_once("```").unwrap().0);
    }
    project
}

#[test]
fn the_page_on_consequences_can_be_followed_in_the_sandbox() {
    let project = page_on_consequences();
    let groups = project.run(&["groups", "--sandbox"]).exits(0).out;
    assert!(groups.starts_with("SANDBOX · 6 device groups") && !groups.contains("out of date"), "{groups}");
    let fine = project.run(&["plan", "--sandbox"]).exits(0).out;
    assert!(!fine.contains("UNRELIABLE"), "{fine}");
    let mishap = ["plan", "--sandbox", "policies/guard.yaml", "mishap/servers.yaml"];
    let plan = project.run(&[&mishap[..], &["--format", "json"]].concat()).exits(3).json();
    let report = &plan["guard"]["invariants"][0];
    assert_eq!((&report["refuses"], &plan["summary"]["removals"]), (&true.into(), &4.into()));
    let refused = project.run(&mishap).exits(3).out;
    assert_eq!(refused.matches("refused: ").count(), 1, "{refused}");
    assert!(refused.contains("invariant `tier-0-stays` would not hold"), "{refused}");
}

#[test]
fn a_refusal_by_a_file_of_groups_that_does_not_match_the_tenant_says_so() {
    let project = page_on_consequences();
    for file in ["policies/guard.yaml", "policies/data/device-groups.yaml"] {
        project.write(
            file,
            &project.read(file).replace("Tier-0", "Tier-0 servers").replace("US-Workstations", "US"),
        );
    }
    let refused = project.run(&["plan", "--sandbox"]).exits(3).out;
    let refused = refused.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "invariant `tier-0-stays` may not hold, because the file of device groups does not match the tenant",
        "after the plan in the worst case",
        "save the tenant's device groups anew",
    ] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
}

#[test]
fn reports_of_a_simulated_tenant_begin_with_that() {
    let project = page_on_consequences();
    for command in ["tags", "devices", "coverage", "groups"] {
        for format in ["human", "markdown"] {
            let text = project.run(&[command, "--sandbox", "--format", format]).exits(0).out;
            assert!(text.starts_with("SANDBOX · "), "{command} {format}: {text}");
        }
        let document = project.run(&[command, "--sandbox", "--format", "json"]).exits(0).json();
        assert_eq!(document["sandbox"], true, "{command}");
    }
}

#[test]
fn a_file_or_field_that_is_not_there_comes_with_the_next_step() {
    let project = Project::with_policy(POLICY);
    for (line, next) in [
        ("show none.json", "`mdetag plan -o FILE` writes one"),
        ("apply none.json", "`mdetag plan -o FILE` writes one"),
        ("plan --inventory none", "`mdetag snapshot -o FILE` records an inventory"),
        ("devices --sandbox --fields foo", "`mdetag help selectors` lists the fields"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let failed = project.run(&words).exits(1);
        let text = failed.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(next), "{line}: {text}");
    }
}

#[test]
fn groups_are_shown_as_predicted_and_as_reported() {
    let project = Project::with_policy(
        "version: 1\ndeviceGroups: { file: groups.yaml }\nrules:\n  - { name: a, select: { everything: true }, tags: [A] }\n",
    );
    project.write(
        "policies/groups.yaml",
        "groups:\n  - { name: Tier-0, remediation: none, access: [SOC], when: { tag: [{ equals: Tier0 }] } }\n",
    );
    let reported = FLEET.replace(r#""id":"a1","#, r#""id":"a1","rbacGroupName":"Old group","#);
    project.write("fleet.ndjson", &reported);
    let document = look(&project, &["groups"]);
    let row = |index: usize, key: &str| document["rows"][index][key].clone();
    assert_eq!(
        (row(0, "group"), row(0, "predicted"), row(0, "reported")),
        ("Tier-0".into(), 2.into(), 0.into())
    );
    assert_eq!((row(0, "remediation"), row(0, "access")[0].clone()), ("none".into(), "SOC".into()));
    assert_eq!((row(1, "predicted"), row(1, "reported")), (1.into(), 2.into()));
    assert_eq!((row(2, "group"), row(2, "reported")), ("Old group".into(), 1.into()));
    assert_eq!(column(&look(&project, &["devices", "--group", "tier-0"]), "id"), ["a1", "a2"]);
    let none = Project::with_policy(POLICY);
    none.write("fleet.ndjson", FLEET);
    let error = none.run(&["groups", "--inventory", "fleet.ndjson"]).exits(1);
    assert!(error.err.contains("deviceGroups: { file:"), "{}", error.err);
}
