//! Earlier runs count: the caps of a day, and approvals as totals.

use crate::project::Project;

/// A policy that gives `Zebra` to every device except those with these ids.
fn striped_except(ids: &[String]) -> String {
    let ids = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: all\n    select: {{ not: {{ id: [{ids}] }} }}\n    tags: [Zebra]\n"
    )
}

#[test]
fn runs_of_a_day_stop_at_the_second_cap_until_an_allowance_covers_more() {
    let project = Project::with_policy(&striped_except(&["none".to_owned()]));
    let path = "policies/p.yaml";
    project.run(&["sandbox", "create", "--devices", "100"]).exits(0);
    let first = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(first["state"]["isUnknown"], true, "nothing ran here yet");
    let changes = first["changes"].as_array().unwrap();
    let ids: Vec<String> =
        changes.iter().map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 100);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    for without in [10, 20] {
        project.write(path, &striped_except(&ids[..without]));
        project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    }
    project.write(path, &striped_except(&ids[..30]));
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("20 + 10 of 100"), "{}", refused.out);
    let day =
        project.run(&["plan", "--sandbox", "--format", "json"]).exits(3).json()["state"]["day"][0].clone();
    assert_eq!((&day["axis"], &day["done"], &day["allowed"]), (&"removals".into(), &20.into(), &20.into()));
    project.run(&["apply", "--sandbox", "--auto-approve", "--allow", "removals=10"]).exits(0);
}

/// A sandbox whose devices all carry `Zebra`, their ids, and the policy that takes it from some of them: one removal is
/// allowed, and an approval raises that to 12.
fn approved(devices: usize) -> (Project, Vec<String>, impl Fn(&[String]) -> String) {
    let policy = |without: &[String], approvals: &str| {
        let caps = "guard:\n  caps: { removals: { percent: 1, floor: 1 } }\n";
        format!("{}{caps}{approvals}", striped_except(without))
    };
    let project = Project::with_policy(&policy(&["none".to_owned()], ""));
    project.run(&["sandbox", "create", "--devices", &devices.to_string()]).exits(0);
    let first = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let expires = first["createdAt"].as_str().unwrap().split('T').next().unwrap().to_string();
    let approvals = format!("  approvals: [{{ cap: removals, max: 12, expires: {expires} }}]\n");
    let changes = first["changes"].as_array().unwrap();
    let ids: Vec<String> =
        changes.iter().map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    (project, ids, move |without: &[String]| policy(without, &approvals))
}

#[test]
fn a_journal_that_cannot_be_read_leaves_no_approval_to_count() {
    let (project, ids, policy) = approved(20);
    project.write("policies/p.yaml", &policy(&ids[..2]));
    let runs =
        walk(&project.path().join(".mdetag/sandbox")).find(|path| path.extension() == Some("jsonl".as_ref()));
    let journal = runs.unwrap();
    let whole = std::fs::read_to_string(&journal).unwrap();
    let torn =
        whole.lines().enumerate().map(|(at, line)| if at == 1 { "{\n".into() } else { format!("{line}\n") });
    for damaged in [torn.collect(), "{}".to_owned(), String::new()] {
        std::fs::write(&journal, damaged).unwrap();
        let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(3).json();
        assert_eq!(plan["state"]["isUnknown"], true, "{}", plan["state"]);
        let file = plan["state"]["unreadable"][0].as_str().unwrap();
        assert!(file.ends_with(".jsonl"), "{file}");
        for format in ["human", "markdown", "html"] {
            let shown = project.run(&["plan", "--sandbox", "--format", format]).exits(3).out;
            let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains("cannot be read whole"), "{format}: {shown}");
        }
        project.run(&["plan", "--sandbox", "--allow", "removals=2"]).exits(0);
    }
    std::fs::write(&journal, whole).unwrap();
    project.run(&["plan", "--sandbox"]).exits(0);
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.into_iter()
}

#[test]
fn the_number_of_an_approval_is_a_total_over_runs() {
    let (project, ids, policy) = approved(100);
    let path = "policies/p.yaml";
    project.write(path, &policy(&ids[..7]));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.write(path, &policy(&ids[..12]));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let approval = &plan["guard"]["approvals"][0];
    assert_eq!((&approval["max"], &approval["used"]), (&12.into(), &7.into()), "{approval}");
    project.write(path, &policy(&ids[..13]));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
}
