//! A source that shrank removes nothing, whatever was planned in between.

use crate::project::Project;

const ALL: usize = 100;

/// A set with a rule that reads a list of ids; `file` is the list, relative to the set's folder.
fn policy(file: &str, approvals: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nclaims: [Zebra]\nrules:\n  - name: listed\n    select: {{ id: {{ inFile: {file} }} }}\n    \
         tags: [Zebra]\nguard:\n  caps: {{ removals: {{ percent: 100 }}, removalsPerTag: {{ percent: 100 }} }}\n  \
         inventory: {{ maxShrink: 10% }}\n{approvals}"
    )
}

/// A project whose set was applied once with the whole list.
fn applied() -> (Project, Vec<String>) {
    let project = Project::new();
    project.run(&["sandbox", "create", "--devices", &ALL.to_string()]).exits(0);
    project.write(
        "all/p.yaml",
        "version: 1\nscope: { everything: true }\nrules:\n  - name: all\n    select: { everything: true }\n    tags: [T]\n",
    );
    let plan = project.run(&["plan", "all", "--sandbox", "--format", "json"]).exits(0).json();
    let ids = plan["changes"].as_array().unwrap().iter();
    let ids: Vec<String> = ids.map(|change| change["device"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), ALL);
    project.write("policies/p.yaml", &policy("data/list.txt", ""));
    list(&project, "policies/data/list.txt", &ids);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    (project, ids)
}

fn list(project: &Project, path: &str, ids: &[String]) {
    project.write(path, &ids.iter().map(|id| format!("{id}\n")).collect::<String>());
}

/// Devices that carry the tag.
fn carriers(project: &Project) -> usize {
    let devices =
        project.run(&["devices", "--sandbox", "--format", "json", "--tag", "Zebra"]).exits(0).json();
    devices["rows"].as_array().unwrap().len()
}

#[test]
fn a_plan_of_another_set_does_not_lower_what_a_source_is_compared_with() {
    let (project, ids) = applied();
    project.write("other/p.yaml", &policy("data/list.txt", ""));
    list(&project, "other/data/list.txt", &ids[..10]);
    project.run(&["plan", "other", "--sandbox"]);
    list(&project, "policies/data/list.txt", &ids[..10]);
    project.run(&["plan", "--sandbox"]).exits(0);
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    let words: Vec<&str> = refused.out.split_whitespace().collect();
    assert!(words.join(" ").contains("mdetag state accept"), "{}", refused.out);
    assert_eq!(carriers(&project), ALL);
}

#[test]
fn many_small_steps_are_one_large_one() {
    let (project, ids) = applied();
    list(&project, "policies/data/list.txt", &ids[..91]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    list(&project, "policies/data/list.txt", &ids[..83]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    project.run(&["drift", "--sandbox"]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert_eq!(carriers(&project), 91);
}

#[test]
fn a_renamed_file_is_compared_with_what_it_was() {
    let (project, ids) = applied();
    project.write("policies/p.yaml", &policy("data/names.txt", ""));
    list(&project, "policies/data/names.txt", &ids[..10]);
    std::fs::remove_file(project.path().join("policies/data/list.txt")).unwrap();
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("data/list.txt"), "{}", refused.out);
    assert_eq!(carriers(&project), ALL);
    list(&project, "policies/data/names.txt", &ids[..95]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(carriers(&project), 95);
}

#[test]
fn a_source_that_a_set_no_longer_has_is_told_once() {
    let (project, _) = applied();
    project.write(
        "policies/p.yaml",
        "version: 1\nscope: { everything: true }\nrules:\n  - name: all\n    select: { everything: true }\n    tags: [Zebra]\n",
    );
    let told = |ran: &crate::project::Ran| {
        let words: Vec<&str> = ran.out.split_whitespace().collect();
        words.join(" ").contains(
            "no longer has the source policies/data/list.txt; the last trusted runs counted 100 rows",
        )
    };
    let first = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert!(told(&first), "{}", first.out);
    let second = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert!(!told(&second), "{}", second.out);
}

#[test]
fn an_approval_lets_a_source_shrink_to_its_number_and_no_further() {
    let (project, ids) = applied();
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    let today = plan["createdAt"].as_str().unwrap().split('T').next().unwrap().to_owned();
    let approval = |to: u64, expires: &str| {
        format!(
            "  approvals: [{{ cap: shrink, source: data/list.txt, to: {to}, reason: sold, expires: {expires} }}]\n"
        )
    };
    list(&project, "policies/data/list.txt", &ids[..40]);
    for (to, expires, code) in
        [(41, today.as_str(), 3), (40, "2020-01-01", 3), (40, "2099-01-01", 3), (40, &today, 0)]
    {
        project.write("policies/p.yaml", &policy("data/list.txt", &approval(to, expires)));
        project.run(&["apply", "--sandbox", "--auto-approve"]).exits(code);
    }
    assert_eq!(carriers(&project), 40);
}

#[test]
fn the_count_at_hand_is_accepted_with_a_reason() {
    let (project, ids) = applied();
    list(&project, "policies/data/list.txt", &ids[..40]);
    project.run(&["state", "accept", "data/list.txt", "--sandbox"]).exits(1);
    project.run(&["state", "accept", "data/list", "--sandbox", "--reason", "sold"]).exits(1);
    let told =
        project.run(&["state", "accept", "data/list.txt", "--sandbox", "--reason", "site sold"]).exits(0);
    assert!(told.out.contains("from 100 to 40"), "{}{}", told.out, told.err);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["inventory"]["trusted"], true);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(carriers(&project), 40);
    list(&project, "policies/data/list.txt", &ids[..30]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
}

#[test]
fn damaged_baselines_trust_no_read() {
    let (project, _) = applied();
    let file = std::fs::read_dir(project.path().join(".mdetag/sandbox")).unwrap();
    let name = file.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let tenant = std::fs::read_dir(name).unwrap().next().unwrap().unwrap().path();
    std::fs::write(tenant.join("baselines.json"), "{").unwrap();
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["inventory"]["trusted"], false);
    assert!(
        plan["inventory"]["reasons"][0].as_str().unwrap().contains("baselines.json"),
        "{}",
        plan["inventory"]
    );
}

#[test]
fn a_recorded_inventory_is_compared_or_says_that_it_was_not() {
    let (project, ids) = applied();
    project.run(&["snapshot", "--sandbox", "-o", "devices.ndjson"]).exits(0);
    list(&project, "policies/data/list.txt", &ids[..10]);
    let plan = project.run(&["plan", "--inventory", "devices.ndjson", "--format", "json"]).exits(0);
    assert!(plan.json()["inventory"]["reasons"][0].as_str().unwrap().contains("from 100"), "{}", plan.out);
    std::fs::remove_dir_all(project.path().join(".mdetag/sandbox")).unwrap();
    let plan = project.run(&["plan", "--inventory", "devices.ndjson"]).exits(0);
    assert!(plan.err.contains("maxShrink"), "{}", plan.err);
}

#[test]
fn the_very_first_plan_of_a_tenant_says_nothing_of_shrinking() {
    let project = Project::with_policy(&policy("data/list.txt", ""));
    project.write("policies/data/list.txt", "a\n");
    project.run(&["sandbox", "create", "--devices", "3"]).exits(0);
    let plan = project.run(&["plan", "--sandbox"]);
    assert!(!plan.err.contains("maxShrink"), "{}", plan.err);
}

#[test]
fn two_files_of_one_written_name_are_two_sources() {
    let project = Project::new();
    project.run(&["sandbox", "create", "--devices", &ALL.to_string()]).exits(0);
    let ids = ids(&project);
    let rule = |name: &str| {
        format!(
            "version: 1\nclaims: [{name}]\nrules:\n  - name: {name}\n    select: {{ id: {{ inFile: list.txt }} }}\n    tags: [{name}]\n"
        )
    };
    let guard = |approvals: &str| {
        format!(
            "version: 1\nscope: {{ everything: true }}\nguard:\n  caps: {{ removals: {{ percent: 100 }}, removalsPerTag: {{ percent: 100 }}, additions: {{ floor: 300 }} }}\n{approvals}"
        )
    };
    project.write("policies/guard.yaml", &guard(""));
    project.write("policies/a/p.yaml", &rule("Alpha"));
    project.write("policies/b/p.yaml", &rule("Beta"));
    list(&project, "policies/a/list.txt", &ids);
    list(&project, "policies/b/list.txt", &ids[..20]);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    // The smaller of the two loses nine tenths.
    list(&project, "policies/b/list.txt", &ids[..2]);
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("policies/b/list.txt"), "{}", refused.out);
    let approved = |source: &str| {
        let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
        let today = plan["createdAt"].as_str().unwrap().split('T').next().unwrap().to_owned();
        project.write(
            "policies/guard.yaml",
            &guard(&format!(
                "  approvals: [{{ cap: shrink, source: {source}, to: 2, reason: sold, expires: {today} }}]\n"
            )),
        );
        project.run(&["apply", "--sandbox", "--auto-approve"])
    };
    let ambiguous = approved("list.txt").exits(3);
    assert!(ambiguous.err.contains("W0503"), "{}", ambiguous.err);
    let unknown = approved("cmbd").exits(3);
    assert!(unknown.err.contains("W0503") && unknown.err.contains("policies/a/list.txt"), "{}", unknown.err);
    let named = approved("b/list.txt").exits(0);
    assert!(!named.err.contains("W0503"), "{}", named.err);
}

#[test]
fn two_columns_of_one_file_are_two_sources() {
    let project = Project::new();
    project.run(&["sandbox", "create", "--devices", &ALL.to_string()]).exits(0);
    let ids = ids(&project);
    project.write(
        "policies/p.yaml",
        "version: 1\nscope: { everything: true }\nclaims: [Alpha, Beta]\nrules:\n  \
         - { name: a, select: { id: { inFile: { file: l.csv, column: a } } }, tags: [Alpha] }\n  \
         - { name: b, select: { id: { inFile: { file: l.csv, column: b } } }, tags: [Beta] }\n\
         guard: { caps: { removals: { percent: 100 }, removalsPerTag: { percent: 100 }, additions: { floor: 300 } } }\n",
    );
    let table = |second: usize| {
        let rows =
            ids.iter().enumerate().map(|(row, id)| format!("{id},{}\n", if row < second { id } else { "" }));
        project.write("policies/l.csv", &format!("a,b\n{}", rows.collect::<String>()));
    };
    table(50);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    table(5);
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(refused.out.contains("column b"), "{}", refused.out);
}

/// The ids of the sandbox's devices.
fn ids(project: &Project) -> Vec<String> {
    let devices = project.run(&["devices", "--sandbox", "--format", "json"]).exits(0).json();
    let rows = devices["rows"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// A set with a rule that reads a lookup; `more` follows its rules, and contains the guard.
fn with_lookup(more: &str) -> String {
    format!(
        "version: 1\nclaims: [Unlisted, Family1, Family2]\n\
         lookups: {{ cmdb: {{ file: cmdb.csv, key: id, match: id }} }}\n\
         selectors:\n  unlisted: {{ not: {{ lookup.cmdb.env: {{ exists: true }} }} }}\n\
         rules:\n  - {{ name: unlisted, select: {{ use: unlisted }}, tags: [Unlisted], deviceValue: High }}\n{more}"
    )
}

const WIDE: &str =
    "guard: { caps: { additions: { floor: 1000 }, values: { floor: 1000 }, devices: { floor: 1000 } } }\n";

/// A project whose lookup shrank from all devices to five after a trusted run; the set then has `more`.
fn lookup_cut(more: &str) -> Project {
    let project = Project::new();
    project.run(&["sandbox", "create", "--devices", &ALL.to_string()]).exits(0);
    let ids = ids(&project);
    let table = |ids: &[String]| {
        let rows: String = ids.iter().map(|id| format!("{id},prod\n")).collect();
        project.write("policies/cmdb.csv", &format!("id,env\n{rows}"));
    };
    table(&ids);
    project.write("policies/p.yaml", &with_lookup(&format!("scope: {{ everything: true }}\n{WIDE}")));
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    table(&ids[..5]);
    project.write("policies/p.yaml", &with_lookup(&format!("{more}{WIDE}")));
    project
}

/// Additions and values that are planned, and those that are withheld.
fn planned(project: &Project) -> ((u64, u64), (u64, u64)) {
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["inventory"]["trusted"], false);
    let of = |of: &serde_json::Value| (of["additions"].as_u64().unwrap(), of["values"].as_u64().unwrap());
    let withheld = plan["withheld"].as_array().unwrap().iter().filter(|one| one["reason"] == "untrusted");
    (of(&plan["summary"]), withheld.map(of).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
}

#[test]
fn nothing_of_a_rule_that_reads_a_cut_lookup_is_written_and_everything_else_is() {
    let project = lookup_cut(
        "  - { name: plain, select: { everything: true }, tags: [Plain] }\nscope: { everything: true }\n",
    );
    assert_eq!(planned(&project), ((100, 0), (95, 94)));
    let ran = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(3);
    assert!(ran.out.contains("withheld: the inventory is untrusted"), "{}", ran.out);
    let carriers = |tag: &str| {
        let found = project.run(&["devices", "--sandbox", "--format", "json", "--tag", tag]).exits(0).json();
        found["rows"].as_array().unwrap().len()
    };
    assert_eq!((carriers("Plain"), carriers("Unlisted")), (ALL, 0));
}

#[test]
fn what_a_rule_that_reads_a_cut_lookup_would_forbid_or_outrank_is_not_written() {
    for (what, more) in [
        (
            "a ban",
            "  - { name: ban, select: { lookup.cmdb.env: prod }, removeTags: [Plain], priority: 1 }\n  \
             - { name: plain, select: { everything: true }, tags: [Plain] }\nscope: { everything: true }\n",
        ),
        (
            "a family",
            "  - { name: first, select: { lookup.cmdb.env: prod }, tags: [Family1] }\n  \
             - { name: second, select: { everything: true }, tags: [Family2] }\nfamilies: { f: [Family1, Family2] }\n\
             scope: { everything: true }\n",
        ),
        (
            "a value",
            "  - { name: low, select: { lookup.cmdb.env: prod }, deviceValue: Low, priority: 1 }\n  \
             - { name: high, select: { everything: true }, deviceValue: High }\nscope: { everything: true }\n",
        ),
        (
            "a protection",
            "  - { name: plain, select: { everything: true }, tags: [Plain] }\nscope: { everything: true }\n\
             protect: [{ name: listed, select: { lookup.cmdb.env: prod }, reason: r }]\n",
        ),
        (
            "the scope",
            "  - { name: plain, select: { everything: true }, tags: [Plain] }\n\
             scope: { not: { lookup.cmdb.env: { exists: true } } }\n",
        ),
        (
            "a template",
            "  - { name: env, select: { everything: true }, tags: ['env/{lookup.cmdb.env|default:none}'] }\n\
             scope: { everything: true }\n",
        ),
    ] {
        let ((additions, values), withheld) = planned(&lookup_cut(more));
        assert_eq!((additions, values), (0, 0), "{what}");
        assert!(withheld.0 + withheld.1 > 0, "{what}");
    }
}

#[test]
fn what_another_rule_gives_as_well_is_written() {
    let project = lookup_cut(
        "  - { name: all, select: { everything: true }, tags: [Unlisted], deviceValue: High }\nscope: { everything: true }\n",
    );
    let ((additions, values), withheld) = planned(&project);
    assert_eq!((additions, withheld), (100, (0, 0)));
    assert!(values > 90, "{values}");
}

#[test]
fn a_list_of_which_no_value_is_a_device_takes_nothing_away() {
    let (project, ids) = applied();
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    list(&project, "policies/data/list.txt", &quoted);
    let ran = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert!(format!("{}{}", ran.out, ran.err).contains("W0303"), "{}{}", ran.out, ran.err);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(plan["withheld"][0]["reason"], "unresolved", "{plan}");
    assert_eq!(plan["withheld"][0]["removals"], ALL, "{plan}");
    assert_eq!(carriers(&project), ALL);
    project.write("policies/p.yaml", &policy("{ file: data/list.txt, unlisted: ok }", ""));
    let ran = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert!(!format!("{}{}", ran.out, ran.err).contains("W0303"), "{}{}", ran.out, ran.err);
    assert_eq!(carriers(&project), 0);
}
