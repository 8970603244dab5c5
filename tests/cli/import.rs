//! Import with the real binary: the plan of its set has no changes, it claims nothing unless asked, and it never uses an
//! incomplete list.

use crate::project::Project;

#[test]
fn what_import_writes_plans_to_zero_changes_and_claims_nothing() {
    let project = Project::new();
    let imported = project.run(&["import", "--sandbox", "-o", "policies", "--fit", "90"]).exits(0);
    assert!(imported.out.contains("plans to zero changes and claims nothing"), "{}", imported.out);
    assert!(imported.out.contains("Tier0"), "{}", imported.out);
    let policy = project.read("policies/imported.yaml");
    assert!(!policy.contains("claims:") && !policy.contains("$schema"), "{policy}");
    assert!(project.read("policies/data/imported.csv").starts_with("tag,id,name\n"));
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["changes"].as_array().map(Vec::len), Some(0));
    let again = project.run(&["import", "--sandbox"]).exits(1);
    assert!(
        again.err.contains("exist already") && again.err.contains("nothing was written"),
        "{}",
        again.err
    );
}

#[test]
fn import_fits_into_a_folder_with_policies_and_a_guard() {
    let project = Project::new();
    project.write(
        "policies/p.yaml",
        "version: 1\nclaims: [Own]\nrules:\n  - { name: tier0, select: { osPlatform: Ubuntu }, tags: [Own] }\n\nguard:\n  inventory: { min: 1 }\n",
    );
    let words = ["import", "--sandbox", "--tag", "Tier0", "--claim", "Tier*", "--format", "json"];
    let document = project.run(&words).exits(0).json();
    assert_eq!(document["rules"][0]["rule"], "tier0-2", "the folder has a rule of this name");
    assert_eq!(document["claims"], serde_json::json!(["Tier*"]));
    assert!(!project.path().join("policies/guard.yaml").exists(), "the folder has a guard");
    project.run(&["validate"]).exits(0);
}

#[test]
fn an_untrusted_list_writes_nothing_unless_asked_and_never_claims() {
    let project = Project::new();
    project.write(
        "i.json",
        "{\"value\":[{\"id\":\"a\",\"machineTags\":[\"T\"]},{\"id\":\"b\",\"machineTags\":[]}]}",
    );
    let words = ["import", "--inventory", "i.json", "-o", "out"];
    let refused = project.run(&words).exits(3);
    assert!(
        refused.err.contains("untrusted") && refused.err.contains("nothing was written"),
        "{}",
        refused.err
    );
    assert!(!project.path().join("out").exists());
    let claimed = project.run(&[&words[..], &["--untrusted-ok", "--claim", "*"]].concat()).exits(3);
    assert!(claimed.err.contains("--claim needs a trusted inventory"), "{}", claimed.err);
    project.run(&[&words[..], &["--untrusted-ok"]].concat()).exits(0);
    assert!(project.read("out/imported.yaml").contains("tags: [T]"));
    let wrong = project.run(&[&words[..], &["--fit", "0"]].concat()).exits(1);
    assert!(wrong.err.contains("--fit 95"), "{}", wrong.err);
}

#[test]
fn zero_changes_are_promised_for_the_whole_set_in_the_folder() {
    let project = Project::new();
    let import = |folder: &str, policy: &str| {
        project.write(&format!("{folder}/mine.yaml"), policy);
        project.run(&["import", "--sandbox", "--tag", "Tier0", "-o", folder]).exits(0).out
    };
    let told = import("retiring", "version: 1\nretire: [Tier0]\n");
    assert!(told.contains("by itself it plans to zero") && told.contains("E0412"), "{told}");
    let rule = "rules: [{ name: r, select: { everything: true }, tags: [New] }]";
    let told = import("adding", &format!("version: 1\nclaims: [New]\n{rule}\n"));
    assert!(told.contains("by itself it plans to zero") && told.contains("plan adding` shows"), "{told}");
    let told = import("pinning", "version: 1\nguard: { tenantId: 99999999-2222-3333-4444-555555555555 }\n");
    assert!(told.contains("by itself it plans to zero") && told.contains("pins"), "{told}");
    let told = import("resting", "version: 1\nclaims: [Rest]\n");
    assert!(told.contains(": it plans to zero changes"), "{told}");
}
