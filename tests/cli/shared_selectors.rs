//! Named selectors that use each other: explained once, however often they are used.

use crate::project::Project;

#[test]
fn selectors_that_use_each_other_twice_are_explained_once() {
    let doubled: String = (1..13)
        .map(|at| {
            format!("  s{at}: {{ any: [{{ use: s{before} }}, {{ use: s{before} }}] }}\n", before = at - 1)
        })
        .collect();
    let policy = format!(
        "version: 1\nclaims: [T]\nselectors:\n  s0: {{ osPlatform: Windows11 }}\n{doubled}rules: [{{ name: r, select: {{ use: s12 }}, tags: [T] }}]\n"
    );
    let project = Project::with_policy(&policy);
    project.write(
        "i.json",
        r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#,
    );
    project.write(
        "policies/p.test.yaml",
        "version: 1\ntests:\n  - name: t\n    device: { computerDnsName: a, osPlatform: Windows10 }\n    expect: { tags: [T] }\n",
    );
    for words in [
        &["explain", "a", "T", "--inventory", "i.json"][..],
        &["explain", "a", "--inventory", "i.json", "--format", "json"],
        &["test"],
    ] {
        let told = project.run(words);
        assert!(told.out.len() + told.err.len() < 50_000, "{words:?}: {} bytes", told.out.len());
    }
    let told = project.run(&["explain", "a", "T", "--inventory", "i.json"]).exits(0);
    assert_eq!(told.out.matches("osPlatform eq Windows11").count(), 1, "{}", told.out);
    assert!(told.out.contains("use s0, as above"), "{}", told.out);
}
