//! What earlier runs did counts: the caps of a day, and approvals as totals.

use crate::project::Project;

#[test]
fn runs_of_a_day_stop_at_the_second_cap_until_an_allowance_covers_more() {
    let policy = |without: &[String]| {
        format!(
            "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: all\n    select: {{ not: {{ id: [{}] }} }}\n    tags: [Zebra]\n",
            without.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
        )
    };
    let project = Project::with_policy(&policy(&["none".to_owned()]));
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
        project.write(path, &policy(&ids[..without]));
        project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    }
    project.write(path, &policy(&ids[..30]));
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("20 + 10 of 100"), "{}", refused.out);
    let day =
        project.run(&["plan", "--sandbox", "--format", "json"]).exits(3).json()["state"]["day"][0].clone();
    assert_eq!((&day["axis"], &day["done"], &day["allowed"]), (&"removals".into(), &20.into(), &20.into()));
    project.run(&["apply", "--sandbox", "--auto-approve", "--allow", "removals=10"]).exits(0);
}

#[test]
fn the_number_of_an_approval_is_a_total_over_runs() {
    let policy = |without: &[String], approvals: &str| {
        format!(
            "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: all\n    select: {{ not: {{ id: [{}] }} }}\n    \
             tags: [Zebra]\nguard:\n  caps: {{ removals: {{ percent: 1, floor: 1 }} }}\n{approvals}",
            without.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
        )
    };
    let project = Project::with_policy(&policy(&["none".to_owned()], ""));
    let path = "policies/p.yaml";
    project.run(&["sandbox", "create", "--devices", "100"]).exits(0);
    let first = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let expires = first["createdAt"].as_str().unwrap().split('T').next().unwrap().to_string();
    let approvals = format!("  approvals: [{{ cap: removals, max: 12, expires: {expires} }}]\n");
    let changes = first["changes"].as_array().unwrap();
    let ids: Vec<String> =
        changes.iter().map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.write(path, &policy(&ids[..7], &approvals));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.write(path, &policy(&ids[..12], &approvals));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let approval = &plan["guard"]["approvals"][0];
    assert_eq!((&approval["max"], &approval["used"]), (&12.into(), &7.into()), "{approval}");
    project.write(path, &policy(&ids[..13], &approvals));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
}
