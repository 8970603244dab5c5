//! Invariants: an already broken one is reported and is drift; a plan that would break one is refused.

use crate::project::Project;

/// A set that changes nothing: no device has the name.
fn policy(invariant: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nrules:\n  - name: none\n    select: {{ computerDnsName: no-such-device }}\n    \
         tags: [Guarded]\nguard:\n  invariants:\n    - {{ name: kept, {invariant} }}\n"
    )
}

#[test]
fn an_invariant_that_is_broken_already_is_drift_and_every_report_says_it() {
    let project = Project::with_policy(&policy("tag: Guarded, atLeast: 4"));
    project.run(&["sandbox", "create", "--devices", "20"]).exits(0);
    for format in ["human", "markdown", "html"] {
        let ran = project.run(&["drift", "--sandbox", "--format", format]).exits(2);
        let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("kept` is broken"), "{format}: {words}");
        assert!(words.contains("at least 4 devices carry Guarded"), "{format}: {words}");
        assert!(!words.contains("No drift."), "{format}: {words}");
    }
    let report = project.run(&["drift", "--sandbox", "--format", "json"]).exits(2).json();
    let invariant = &report["guard"]["invariants"][0];
    assert_eq!((&invariant["broken"], &invariant["refuses"]), (&true.into(), &false.into()), "{invariant}");
    let paths = ["sarif", "junit", "openmetrics"].map(|format| (format, format!("report.{format}")));
    let flags = paths.each_ref().map(|(format, path)| format!("{format}={path}"));
    let [sarif, junit, openmetrics] = flags.each_ref().map(|flag| ["--report", flag.as_str()]);
    let words: Vec<&str> =
        ["drift", "--sandbox"].iter().chain(&sarif).chain(&junit).chain(&openmetrics).copied().collect();
    project.run(&words).exits(2);
    for (format, path) in &paths {
        let text = project.read(path);
        assert!(text.contains("kept"), "{format}: {text}");
    }
    assert!(project.read("report.openmetrics").contains(r#"mdetag_invariant_broken{"#));
    assert!(project.read("report.junit").contains("<failure"), "{}", project.read("report.junit"));
    // `plan` reports it too, and is not held back by it.
    let plan = project.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
    assert!(plan.out.contains("`kept` is broken"), "{}", plan.out);
}

#[test]
fn an_invariant_that_holds_is_no_drift() {
    let project = Project::with_policy(&policy("tag: Guarded, atMost: 4"));
    project.run(&["sandbox", "create", "--devices", "20"]).exits(0);
    let ran = project.run(&["drift", "--sandbox"]).exits(0);
    assert!(!ran.out.contains("is broken"), "{}", ran.out);
}
