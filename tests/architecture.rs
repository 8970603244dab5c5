//! The rules of the house, checked on the source: which module may use which, how files and names look.
//!
//! Cargo decides who may do input and output (a manifest names no such library), and so does clippy (`disallowed-methods`).
//!
//! `ARCHITECTURE.md` says why. Each rule is one test; its message says what to do. Below them, every rule is tested on a small
//! made-up source that breaks it, so that a rule that has gone blind fails too.

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/type_names.rs"]
mod type_names;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use circles::Uses;
use source::{Named, Source};

/// The content of a crate's `lib.rs`.
struct House {
    /// The modules in data-flow order.
    order: Vec<String>,
    /// Whether it is the simulated service, which uses the service's words.
    is_service: bool,
}

impl House {
    fn read(folder: &str, lib: &str) -> House {
        let modules = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
        House {
            order: modules.map(|name| name.trim_end_matches(';').to_owned()).collect(),
            is_service: folder == "crates/sandbox",
        }
    }
}

type Rule = fn(&Source, &House) -> Vec<String>;

fn finding(source: &Source, line: usize, message: impl AsRef<str>) -> String {
    format!("{}:{line}: {}", source.path, message.as_ref())
}

/// The modules that `mdetag-core` re-exports from the vocabulary crate.
const VOCABULARY: [&str; 9] =
    ["cloud", "device", "diagnostic", "hex", "pattern", "random", "tag", "text", "time"];

fn layers(source: &Source, house: &House) -> Vec<String> {
    let module = source.module();
    let Some(top) = module.first() else { return Vec::new() };
    let place = |name: &str| house.order.iter().position(|listed| listed == name);
    let Some(own) = place(top) else {
        return vec![finding(source, 1, format!("`{top}` is not in lib.rs: list it where its data flows"))];
    };
    let judge = |named: &Named| -> Option<String> {
        let second = named.path.get(1).map(String::as_str);
        match (named.path[0].as_str(), second) {
            ("crate", Some("{" | "*")) => {
                Some("one `use crate::module…` a module: this form hides what is used".into())
            }
            ("crate", None) if named.is_use => Some("name the module: `use crate::module…`".into()),
            ("crate", Some(other)) => match place(other) {
                None if named.is_macro || VOCABULARY.contains(&other) => None,
                None => Some(format!("`crate::{other}` is no module of lib.rs")),
                Some(its) if its < own => None,
                Some(its) if its > own => Some(format!(
                    "`{top}` may not use `{other}`, which stands below it in lib.rs: move the shared part up, or hand it in"
                )),
                Some(_) if module.len() > 2 => None,
                Some(_) => Some("siblings use each other through `super::`".to_owned()),
            },
            ("super", Some("super")) => Some(format!("write `crate::{top}::…` in place of `super::super::`")),
            ("super", Some(_)) if module.len() == 1 && !source.is_in_inline_module(named.at) => {
                Some("`super::` is the crate's root here: write `crate::module`".to_owned())
            }
            _ => None,
        }
    };
    let paths = source.paths();
    paths
        .iter()
        .filter_map(|named| judge(named).map(|message| finding(source, named.line, message)))
        .collect()
}

/// Words of the service that are names in the policy language or in what people must grant, and so may appear anywhere.
const SERVICE_NAMES: [(&str, &str); 8] = [
    ("machineTags", "a field of the policy language, named as in the API's JSON"),
    ("machine_tags", "the same field as a Rust name"),
    ("mergedIntoMachineId", "a field of the policy language, named as in the API's JSON"),
    ("merged_into_machine_id", "the same field as a Rust name"),
    ("Machine.Read", "the app roles Machine.Read.All and Machine.ReadWrite.All, as people must grant them"),
    ("MachineGroupAssignments", "a key of the portal's own document of device groups"),
    ("IsUnassignedMachineGroup", "a key of the portal's own document of device groups"),
    ("virtual machine", "what clouds run, and the usual phrase for it"),
];

fn only_the_wire_says_machine(source: &Source, house: &House) -> Vec<String> {
    let module = source.module();
    if module.is_empty() || house.is_service || module.starts_with(&["tenant", "wire"]) {
        return Vec::new();
    }
    let words = source.words().to_ascii_lowercase();
    let is_allowed = |at: usize| {
        SERVICE_NAMES.iter().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            let before = name.find("machine").expect("every allowed name holds the word");
            at.checked_sub(before).is_some_and(|start| words[start..].starts_with(&name))
        })
    };
    let found = words.match_indices("machine").filter(|(at, _)| !is_allowed(*at));
    found
        .map(|(at, _)| {
            finding(source, source.line(at), "say `device`: only tenant/wire speaks as the service does")
        })
        .collect()
}

fn files_say_what_they_are_for(source: &Source, _: &House) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![finding(source, 1, "begin with `//!`: what the file is for, then what it deliberately does not do")]
}

const MOST_LINES: usize = 500;

fn files_are_short(source: &Source, _: &House) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= MOST_LINES {
        return Vec::new();
    }
    vec![finding(
        source,
        lines,
        format!("{lines} lines, {MOST_LINES} at most: split it where a newcomer would guess"),
    )]
}

fn names_are_nouns_of_the_field(source: &Source, _: &House) -> Vec<String> {
    let is_doer = |keyword: &str, name: &str| match keyword {
        "fn" => ["process", "handle"]
            .iter()
            .any(|verb| name.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))),
        "mod" => ["util", "utils", "helper", "helpers", "common", "misc"].contains(&name),
        _ => ["Manager", "Helper", "Helpers", "Util", "Utils", "Info", "Data", "Handler"]
            .iter()
            .any(|suffix| name.ends_with(suffix)),
    };
    let definitions = source.definitions();
    let found = definitions.iter().filter(|(_, keyword, name)| is_doer(keyword, name));
    found
        .map(|(line, _, name)| {
            finding(source, *line, format!("`{name}` says nothing: name the thing itself"))
        })
        .collect()
}

fn test_modules_are_compiled_for_tests_only(source: &Source, _: &House) -> Vec<String> {
    let definitions = source.definitions();
    let found = definitions
        .iter()
        .filter(|(_, keyword, name)| *keyword == "mod" && (*name == "tests" || name.ends_with("_tests")));
    found.map(|(line, ..)| finding(source, *line, "put `#[cfg(test)]` before `mod tests`")).collect()
}

fn nothing_is_half_done(source: &Source, _: &House) -> Vec<String> {
    let paths = source.paths();
    let dry =
        paths.iter().filter(|named| named.path.iter().any(|part| part == "dry_run" || part == "dryrun"));
    let dry =
        dry.map(|named| finding(source, named.line, "no dry-run flag: hand out a reader that cannot write"));
    let lines = source.text.lines().enumerate();
    let ignored = lines.filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
    let ignored = ignored
        .map(|(number, _)| finding(source, number + 1, "a test that does not run proves nothing: mend it"));
    dry.chain(ignored).collect()
}

/// The functions that open a way to write, and the files besides `src/tenant` that may name them.
const WAYS_TO_WRITE: [(&str, &[&str]); 3] = [
    ("sign_in_to_write", &["src/cli/session.rs"]),
    ("open_to_write", &["src/cli/session.rs", "src/cli/apply.rs"]),
    ("open_to_probe", &["src/cli/session.rs", "src/cli/doctor/probe.rs"]),
];

fn only_apply_opens_a_way_to_write(source: &Source, _: &House) -> Vec<String> {
    if source.module().first() == Some(&"tenant") {
        return Vec::new();
    }
    let is_elsewhere = |named: &&Named| {
        WAYS_TO_WRITE.iter().any(|(way, files)| {
            named.path.iter().any(|part| part == way) && !files.contains(&source.path.as_str())
        })
    };
    let paths = source.paths();
    let found = paths.iter().filter(is_elsewhere);
    found
        .map(|named| {
            finding(source, named.line, "only `apply` and `doctor --probe` write: open a reading session")
        })
        .collect()
}

/// The files that may open files: each opens without waiting and checks what it opened, or says why it need not.
const OPENERS: [(&str, &str); 7] = [
    ("src/cli/reference_policies.rs", "a test of the README"),
    ("src/store/regular_file.rs", "the guarded way itself"),
    ("src/store/state_file.rs", "the same for the state directory"),
    ("src/store/output_file.rs", "outputs may be pipes and devices"),
    ("src/store/whole_file.rs", "new files beside the old ones"),
    ("src/disk.rs", "says how `sandbox_file` opens"),
    ("src/sandbox_file.rs", "the sandbox shares no code with the client"),
];

fn files_are_opened_with_care(source: &Source, _: &House) -> Vec<String> {
    if OPENERS.iter().any(|(path, _)| source.path == *path) {
        return Vec::new();
    }
    let is_opening = |named: &&Named| {
        let two: Vec<&str> = named.path.iter().rev().take(2).map(String::as_str).collect();
        matches!(
            two.as_slice(),
            ["open" | "create" | "create_new" | "options", "File"]
                | ["new" | "open", "OpenOptions"]
                | ["read" | "read_to_string" | "write" | "copy", "fs"]
        )
    };
    let paths = source.paths();
    let found = paths.iter().filter(is_opening);
    found
        .map(|named| {
            finding(
                source,
                named.line,
                "what lies there may be a pipe, a device or a link: open it with `store::regular_file`",
            )
        })
        .collect()
}

fn rust_files(root: &Path, folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<Source>, root: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                walk(&path, found, root);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push(Source::new(&name, &fs::read_to_string(&path).expect("the file is UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root.join(folder), &mut found, root);
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// The folders of the workspace's crates.
const CRATES: [&str; 4] = ["", "crates/vocabulary", "crates/core", "crates/sandbox"];

/// Every Rust file of the workspace with its crate, read once for all rules.
static SOURCES: LazyLock<Vec<(&'static str, House, Vec<Source>)>> = LazyLock::new(|| {
    let read = |folder: &'static str| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut lib = fs::read_to_string(root.join("src/lib.rs")).expect("every crate has a lib.rs");
        // The binary's private modules come after the library's.
        lib.push_str(&fs::read_to_string(root.join("src/main.rs")).unwrap_or_default());
        let sources =
            ["src", "tests", "benches"].into_iter().flat_map(|part| rust_files(&root, part)).collect();
        (folder, House::read(folder, &lib), sources)
    };
    CRATES.map(read).into()
});

fn hold(rule: Rule, folders: &[&str]) {
    let is_in =
        |source: &&Source| folders.iter().any(|folder| source.path.starts_with(&format!("{folder}/")));
    for (folder, house, sources) in SOURCES.iter() {
        let sources: Vec<&Source> = sources.iter().filter(is_in).collect();
        assert!(!sources.is_empty(), "no source found in `{folder}` below {folders:?}");
        let found: Vec<String> = sources.into_iter().flat_map(|source| rule(source, house)).collect();
        assert!(found.is_empty(), "in `{folder}/`:\n{}\n", found.join("\n"));
    }
}

#[test]
fn a_module_uses_only_modules_above_it() {
    hold(layers, &["src"]);
}

#[test]
fn only_tenant_wire_and_the_sandbox_say_machine() {
    hold(only_the_wire_says_machine, &["src"]);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    hold(files_say_what_they_are_for, &["src", "tests", "benches"]);
}

#[test]
fn no_file_is_over_500_lines() {
    hold(files_are_short, &["src", "tests", "benches"]);
}

#[test]
fn no_name_is_a_doer() {
    hold(names_are_nouns_of_the_field, &["src"]);
}

#[test]
fn test_modules_do_not_reach_the_product() {
    hold(test_modules_are_compiled_for_tests_only, &["src"]);
}

#[test]
fn no_dry_run_flag_and_no_ignored_test() {
    hold(nothing_is_half_done, &["src", "tests", "benches"]);
}

#[test]
fn only_apply_can_write() {
    hold(only_apply_opens_a_way_to_write, &["src"]);
}

#[test]
fn no_file_is_opened_unguarded() {
    hold(files_are_opened_with_care, &["src"]);
}

#[test]
fn no_files_of_a_room_need_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (_, _, sources) in SOURCES.iter() {
        let own: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with("src/")).collect();
        found.extend(Uses::new(&own).circles());
    }
    let found = found.join("\n");
    assert!(
        found.is_empty(),
        "these files need each other; lift what they share into a file of its own:\n{found}\n"
    );
}

#[test]
fn each_type_name_is_defined_once_in_a_crate() {
    for (folder, _, sources) in SOURCES.iter() {
        let own: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with("src/")).collect();
        let repeated = type_names::repeated(&own).join("\n");
        assert!(repeated.is_empty(), "in `{folder}/`, say what kind each one is:\n{repeated}\n");
    }
}

mod the_rules_see {
    use super::*;

    const LIB: &str =
        "pub mod text;\n\npub mod policy;\npub mod plan;\npub mod report;\npub mod tenant;\npub mod cli;\n";

    fn seen(rule: Rule, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(path, text), &House::read("", LIB))
    }

    fn refused(rule: Rule, path: &str, text: &str) {
        assert_eq!(seen(rule, path, text).len(), 1, "{path}: {text}");
    }

    fn allowed(rule: Rule, path: &str, text: &str) {
        assert_eq!(seen(rule, path, text), Vec::<String>::new(), "{path}: {text}");
    }

    #[test]
    fn a_use_of_a_module_below() {
        allowed(layers, "src/plan/diff.rs", "use crate::policy::Policy; use super::calls;");
        refused(layers, "src/policy/mod.rs", "use crate::plan::Plan;");
        refused(layers, "src/policy/mod.rs", "fn f() -> crate::plan::Plan { x }");
        refused(layers, "src/policy/mod.rs", "use {crate::plan::Plan, std::fmt};");
        refused(layers, "src/text.rs", "use super::plan;");
        refused(layers, "src/drawer.rs", "");
    }

    #[test]
    fn forms_that_would_hide_a_use() {
        assert!(!seen(layers, "src/plan/mod.rs", "use crate::{policy::Policy};").is_empty());
        refused(layers, "src/plan/mod.rs", "use crate::*;");
        refused(layers, "src/plan/mod.rs", "use crate as house;");
        refused(layers, "src/plan/diff.rs", "use super::super::cli;");
        refused(layers, "src/plan/diff.rs", "use crate::plan::calls;");
        allowed(layers, "src/plan/calls/bulk.rs", "use crate::plan::Plan;");
        allowed(layers, "src/plan/mod.rs", "pub(crate) fn f() {} mod inner { use super::f; }");
    }

    #[test]
    fn a_type_name_that_means_two_things() {
        let row = Source::new("src/plan/diff.rs", "struct Row;\nimpl A for Row {\n    type Item = u8;\n}");
        let other =
            Source::new("src/report/csv.rs", "pub(crate) enum Row {}\nimpl B {\n    type Item = u8;\n}");
        let test = Source::new("src/plan/tests.rs", "struct Row;");
        let repeated = type_names::repeated(&[&row, &other, &test]);
        assert_eq!(repeated, ["`Row` is defined in src/plan/diff.rs:1 and src/report/csv.rs:1"]);
        assert_eq!(type_names::repeated(&[&row, &test]), Vec::<String>::new());
    }

    #[test]
    fn files_that_go_in_circles() {
        let sources = [
            Source::new("src/plan/mod.rs", "mod a; mod b; mod c; pub use self::b::Shared;"),
            Source::new("src/plan/a.rs", "use super::Shared;"),
            Source::new("src/plan/b.rs", "use super::c; fn f() { c::g() }"),
            Source::new("src/plan/c.rs", "fn g() { super::a::h() }"),
            Source::new("src/plan/d.rs", "use super::a; #[cfg(test)] mod tests { use super::super::e; }"),
            Source::new("src/plan/e.rs", "use super::d;"),
        ];
        let circles = Uses::new(&sources.iter().collect::<Vec<_>>()).circles();
        assert_eq!(circles.into_iter().collect::<Vec<_>>(), ["plan/a plan/b plan/c"]);
    }

    #[test]
    fn real_code_only() {
        let text = "// crate::cli\n/* crate::cli /* nested */ */\nconst A: &str = r#\"crate::cli\"#; const B: char = '\"';\n\
                    fn f<'a>(x: &'a str) {}\n#[cfg(test)]\nmod tests { use crate::cli; fn g() { {} } }\n";
        allowed(layers, "src/plan/mod.rs", text);
        refused(layers, "src/plan/mod.rs", &format!("{text}use crate::cli;"));
        allowed(layers, "src/plan/tests.rs", "use crate::cli;");
        refused(test_modules_are_compiled_for_tests_only, "src/plan/mod.rs", "mod tests;");
    }

    #[test]
    fn the_services_word_outside_the_wire() {
        refused(only_the_wire_says_machine, "src/plan/mod.rs", "struct MachineRow;");
        refused(only_the_wire_says_machine, "src/tenant/read.rs", "const A: &str = \"/api/machines\";");
        allowed(only_the_wire_says_machine, "src/tenant/wire.rs", "const A: &str = \"/api/machines\";");
        allowed(
            only_the_wire_says_machine,
            "src/policy/mod.rs",
            "// machine\nconst A: &str = \"mergedIntoMachineId machineTags\";",
        );
    }

    #[test]
    fn a_way_to_write_outside_of_apply() {
        let open = "fn f() { session::open_to_write(context, None) }";
        refused(only_apply_opens_a_way_to_write, "src/cli/plan.rs", open);
        allowed(only_apply_opens_a_way_to_write, "src/cli/apply.rs", open);
        refused(only_apply_opens_a_way_to_write, "src/cli/apply.rs", "use mdetag::tenant::sign_in_to_write;");
    }

    #[test]
    fn a_file_that_is_opened_unguarded() {
        for text in [
            "fn f() { std::fs::read(path) }",
            "fn f() { fs::read_to_string(path) }",
            "fn f() { File::open(path) }",
            "fn f() { fs::OpenOptions::new() }",
        ] {
            refused(files_are_opened_with_care, "src/cli/plan.rs", text);
            allowed(files_are_opened_with_care, "src/store/regular_file.rs", text);
        }
        allowed(files_are_opened_with_care, "src/cli/plan.rs", "fn f() { state_file::read(path) }");
    }

    #[test]
    fn files_and_names() {
        refused(files_say_what_they_are_for, "src/plan/mod.rs", "use std::fmt;");
        refused(files_are_short, "src/plan/mod.rs", &"\n".repeat(501));
        allowed(files_are_short, "src/plan/mod.rs", &"\n".repeat(500));
        for doer in [
            "struct PlanManager;",
            "mod utils;",
            "fn handle_reply() {}",
            "fn process() {}",
            "enum DeviceInfo {}",
        ] {
            refused(names_are_nouns_of_the_field, "src/plan/mod.rs", doer);
        }
        allowed(names_are_nouns_of_the_field, "src/plan/mod.rs", "struct Database; fn processor() {}");
        refused(nothing_is_half_done, "src/plan/mod.rs", "struct Options { dry_run: bool }");
        refused(nothing_is_half_done, "tests/plan.rs", "    #[ignore]\nfn slow() {}");
    }
}
