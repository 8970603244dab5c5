//! Policy tests that state the answer of a query or of another device.

use crate::project::Project;

const POLICY: &str = "version: 1
rules:
  - { name: seen, select: { hunting: { query: ' DeviceInfo | x ' } }, tags: [Seen] }
  - { name: filed, select: { hunting: { queryFile: data/q.kql } }, tags: [Filed] }
  - { name: twin, select: { superseded: { by: computerDnsName } }, tags: [Dup] }
guard: { rollout: { waves: [50%, 100%], health: { select: { hunting: { query: Ill } }, atMost: 5% } } }
";

fn ran(test: &str) -> (i32, String) {
    let project = Project::with_policy(POLICY);
    project.write("policies/data/q.kql", "\u{feff}DeviceEvents\n");
    project.write(
        "policies/p.test.yaml",
        &format!("version: 1\ntests:\n  - {{ name: it, device: {{ computerDnsName: a.b }}, {test} }}\n"),
    );
    let ran = project.run(&["test"]);
    (ran.code, ran.out + &ran.err)
}

#[test]
fn a_test_states_what_hunting_and_other_devices_decide() {
    for (test, code) in [
        ("expect: { tags: [] }", 0),
        ("hunting: { DeviceInfo | x: true }, expect: { tags: [Seen] }", 0),
        ("hunting: { DeviceInfo | x: false }, expect: { tags: [] }", 0),
        ("hunting: { q.kql: true }, expect: { tags: [Filed] }", 0),
        ("hunting: { data/q.kql: true }, expect: { tags: [Filed] }", 0),
        ("hunting: { DeviceEvents: true }, superseded: true, expect: { tags: [Filed, Dup] }", 0),
        ("superseded: true, expect: { tags: [Dup] }", 0),
        ("superseded: false, expect: { tags: [] }", 0),
        ("superseded: true, expect: { tags: [] }", 1),
    ] {
        let (actual, told) = ran(test);
        assert_eq!(actual, code, "{test}: {told}");
    }
    let (code, told) = ran("hunting: { DeviceInf: true }, expect: { tags: [] }");
    assert_eq!(code, 1);
    assert!(told.contains("the hunting query `DeviceInf`, which the policy does not have"), "{told}");
    let (_, told) = ran("superseded: true, expect: { tags: [] }");
    assert!(told.contains("as the test states"), "{told}");
}
