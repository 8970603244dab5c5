//! Levels of `mdetag.yaml` for what only a plan finds.

use crate::project::Project;

const POLICY: &str = "version: 1
claims: [New]
rules:
  - { name: all, select: { everything: true }, tags: [New] }
  - { name: idle, select: { osPlatform: Plan9 }, tags: [New] }
";

fn project(level: &str) -> Project {
    let project = Project::with_policy(POLICY);
    project.write("mdetag.yaml", &format!("version: 1\nlints: {{ N0601: {level} }}\n"));
    project.devices(3);
    project
}

#[test]
fn a_level_of_mdetag_yaml_counts_for_what_only_a_plan_finds() {
    for (level, told) in [("allow", ""), ("warn", "warning[N0601]")] {
        let plan = project(level).run(&["plan", "--sandbox"]).exits(0).out;
        assert_eq!((plan.contains("N0601"), plan.contains(told)), (!told.is_empty(), true), "{plan}");
    }
    let project = project("deny");
    project.run(&["validate"]).exits(0);
    for words in [&["plan"][..], &["drift"], &["apply", "--auto-approve"]] {
        let words = [words, &["--sandbox"]].concat();
        let denied = project.run(&words).exits(1);
        assert!(denied.err.contains("error[N0601]: the rule `idle` holds for no device"), "{}", denied.err);
        assert!(denied.err.contains("`lints` of mdetag.yaml denies N0601"), "{}", denied.err);
        let document = project.run(&[&words[..], &["--format", "json"]].concat()).exits(1).json();
        assert_eq!(document["diagnostics"][0]["code"], "N0601");
    }
    assert!(
        project.fleet().values().all(|(tags, _)| !tags.iter().any(|tag| tag == "New")),
        "nothing is written"
    );
}
