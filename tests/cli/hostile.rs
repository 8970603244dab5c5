//! Files that a person, an export or a stranger got wrong: a clear error, quickly, on the right stream, and no panic.

use std::time::{Duration, Instant};

use crate::project::{Project, Ran};

const POLICY: &str = "version: 1\nclaims: [T, \"o:*\"]\nrules:\n  - { name: all, select: { everything: true }, tags: [T, \"o:{computerDnsName}\"] }\n";

/// Runs for people and for programs; both must end with 1 and this message.
#[track_caller]
fn fails(project: &Project, words: &[&str], says: &str) {
    let start = Instant::now();
    let plain = project.run(words).exits(1);
    let json = project.run(&[words, &["--format", "json"]].concat()).exits(1);
    assert!(start.elapsed() < Duration::from_secs(60), "{words:?} took {:?}", start.elapsed());
    plain.is_for_people();
    json.is_for_people();
    let told = format!("{}{}", plain.out, plain.err);
    assert!(told.contains(says), "`{says}` in:\n{told}");
    assert!(!told.contains("os error"), "{told}");
    let document = json.json();
    assert!(document["errors"].as_u64().unwrap() >= 1, "{document}");
    assert!(document["diagnostics"][0]["message"].is_string(), "{document}");
}

#[test]
fn hostile_policies_end_in_one_clear_error() {
    let bomb = "abcdefgh"
        .chars()
        .zip("bcdefghi".chars())
        .fold("version: 1\nx-a: &a [1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, (of, name)| {
            format!("{text}x-{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(","))
        });
    let cases: [(Vec<u8>, &str); 17] = [
        (bomb.into_bytes(), "anchors and aliases expand to more than"),
        (
            format!("version: 1\nscope: {}{{id: a}}{}\n", "{not: ".repeat(5_000), "}".repeat(5_000))
                .into_bytes(),
            "nest deeper",
        ),
        (format!("version: 1\nclaims: {}\n", "[".repeat(200_000)).into_bytes(), "nest deeper"),
        (format!("version: 1\nclaims:\n  {}x\n", "- ".repeat(50_000)).into_bytes(), "nest deeper"),
        (b"version: 1\nclaims: [\xff]\n".to_vec(), "not UTF-8 text (line 2)"),
        (b"\xff\xfev\0e\0r\0".to_vec(), "not UTF-8 text"),
        (b"version: 1\nclaims: [\"a\0b\"]\n".to_vec(), "not valid YAML"),
        (b"version: 1\nclaims: [\"a\x1b[31mb\"]\n".to_vec(), "not valid YAML"),
        (b"version: 1\nrules:\n\t- name: r\n".to_vec(), "indent with spaces"),
        (
            b"version: 1\nselectors: { a: { use: b }, b: { not: { use: a } } }\nscope: { use: a }\n".to_vec(),
            "`a` uses `b` uses `a`",
        ),
        (
            b"version: 1\nscope: { id: { regex: \"((((x{100}){100}){100}){100})\" } }\n".to_vec(),
            "the expression is too large",
        ),
        (
            format!("version: 1\nscope: {{ id: {{ glob: \"{}\" }} }}\n", "a*".repeat(2_000)).into_bytes(),
            "1 to 2000 bytes",
        ),
        (b"version: 1\n---\nversion: 1\n".to_vec(), "one document a file"),
        (b"# nothing\n".to_vec(), "holds no document"),
        (b"- version: 1\n".to_vec(), "expected a mapping"),
        (b"version: 1\rclaims: [T]\rclaimz: 1\r".to_vec(), "a carriage return alone"),
        (b"\xef\xbb\xbfversion: 1\r\nclaimz: 1\r\n".to_vec(), "p.yaml:2:1"),
    ];
    let project = Project::new();
    for (bytes, says) in cases {
        project.write("policies/p.yaml", "");
        std::fs::write(project.path().join("policies/p.yaml"), bytes).unwrap();
        fails(&project, &["validate"], says);
        fails(&project, &["plan", "--sandbox"], says);
    }
    std::fs::write(project.path().join("policies/p.yaml"), vec![b'x'; 50_000_000]).unwrap();
    fails(&project, &["validate"], "has more than 10485760 bytes");
}

#[test]
fn data_files_stay_below_the_policy_root_and_were_not_cut() {
    let project = Project::new();
    project.write("secret.csv", "k,o\na,x\n");
    let cases = [
        ("../secret.csv", "leaves the policy root"),
        ("/etc/x.csv", "is absolute"),
        ("missing.csv", "there is no such file"),
        ("folder.csv", "it is a folder"),
        ("empty.csv", "holds no rows"),
        ("twice.csv", "lines 2 and 3"),
        ("cut.csv", "never closed"),
        ("cut.json", "EOF while parsing"),
        ("second.ndjson", "line 2: "),
    ];
    for (file, text) in [
        ("folder.csv/x", ""),
        ("empty.csv", "k,o\n"),
        ("twice.csv", "k,o\na,x\nA,y\n"),
        ("cut.csv", "k,o\na,\"x\nb,y\n"),
        ("cut.json", "[{\"k\":\"a\""),
        ("second.ndjson", "{\"k\":\"a\",\"o\":\"x\"}\nnot json\n"),
    ] {
        project.write(&format!("policies/{file}"), text);
    }
    let policy = |file: &str| {
        let text = format!(
            "version: 1\nlookups: {{ c: {{ file: {file}, key: k, match: deviceName }} }}\nrules:\n  - {{ name: r, select: {{ lookup.c.o: x }}, tags: [T] }}\n"
        );
        project.write("policies/p.yaml", &text);
    };
    for (file, says) in cases {
        policy(file);
        fails(&project, &["validate"], says);
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../secret.csv", project.path().join("policies/link.csv")).unwrap();
        policy("link.csv");
        fails(&project, &["validate"], "a link that leaves the policy root");
        project.write("policies/p.yaml", POLICY);
        std::os::unix::fs::symlink("..", project.path().join("policies/folder.csv/up")).unwrap();
        fails(&project, &["validate"], "leads back to a folder above it");
    }
}

#[test]
fn hostile_inventories_are_refused_or_not_trusted() {
    let project = Project::with_policy(POLICY);
    for (text, says) in [
        ("", "it is empty"),
        ("42", "neither `{` nor `[`"),
        ("{\"value\":[{\"id\":\"a1\"},{\"id\":\"a2", "EOF while parsing"),
        ("{\"value\":\"x\"}", "expected a list of devices"),
        ("{\"formatVersion\":\"2.0\",\"kind\":\"snapshot\"}\n", "2.0"),
    ] {
        project.write("i.json", text);
        fails(&project, &["plan", "--inventory", "i.json"], says);
    }
    std::fs::write(project.path().join("i.json"), b"\x1f\x8b\x08garbage").unwrap();
    fails(&project, &["plan", "--inventory", "i.json"], "damaged or cut");
    fails(&project, &["plan", "--inventory", "policies"], "it is a folder");

    let ids = "[{\"id\":\"../x\"},{\"id\":\"a/b\"},{\"id\":\"\"},{\"computerDnsName\":\"no id\"},null,\
        {\"id\":\"a1\",\"computerDnsName\":\"h\\u001b[31m\\u202e\\n::error::x\",\"machineTags\":[\"o:\\u001b]0;x\\u0007\"]},{\"id\":\"a2\",\"osBuild\":1e300}]";
    project.write("i.json", ids);
    for format in ["human", "markdown", "csv", "html", "junit"] {
        let ran = project.run(&["plan", "--inventory", "i.json", "--details", "--format", format]).exits(0);
        ran.is_for_people();
        for slip in ['\u{1b}', '\u{7}', '\u{202e}'] {
            assert!(!ran.out.contains(slip), "{slip:?} in {format}:\n{}", ran.out);
        }
        assert!(!ran.out.lines().any(|line| line.starts_with("::error")), "{}", ran.out);
    }
    let document = project.run(&["plan", "--inventory", "i.json", "--format", "json"]).exits(0).json();
    assert_eq!(document["inventory"]["trusted"], false);
    assert_eq!(document["inventory"]["devices"], 1, "a2 has a build that no system has");
    assert_eq!(document["summary"]["removals"], 0);
}

#[test]
fn hostile_plan_files_are_refused() {
    let project = Project::with_policy(POLICY);
    project.write("i.json", "[{\"id\":\"a1\",\"computerDnsName\":\"h1\"}]");
    project.run(&["plan", "--inventory", "i.json", "-o", "plan.json"]).exits(0);
    let good = project.read("plan.json");
    project.run(&["show", "plan.json"]).exits(0);
    let edits = [
        ("\"formatVersion\": \"1.0\"", "\"formatVersion\": \"2.0\"", "format version 2.0"),
        ("\"tag\":\"T\"", "\"tag\":\"Evil\"", "changed after it was written"),
        ("\"additions\": 2", "\"additions\": -2", "no plan file"),
        ("\"devices\": 1", "\"devices\": 1e300", "expected a whole number"),
        ("\"cause\":\"rule\"", "\"cause\":\"magic\"", "expected one of `rule`"),
    ];
    for (from, to, says) in edits {
        assert!(good.contains(from), "{from} in {good}");
        project.write("p.json", &good.replace(from, to));
        fails(&project, &["show", "p.json"], says);
        fails(&project, &["apply", "p.json", "--sandbox"], says);
    }
    let deep = format!("{{\"formatVersion\":\"1.0\",\"x\":{}", "[".repeat(200_000));
    for (text, says) in
        [("", "no plan file"), ("[]", "an object"), (&good[..good.len() / 2], "EOF"), (&deep, "no plan file")]
    {
        project.write("p.json", text);
        fails(&project, &["show", "p.json"], says);
    }
    fails(&project, &["show", "none.json"], "there is no such file");
}

#[test]
fn hostile_settings_are_refused_and_say_how_to_go_on() {
    let project = Project::with_policy(POLICY);
    for (text, says) in [
        ("", "holds no document"),
        ("version: 1\ntenant: {}\n", "did you mean `tenants`"),
        ("version: 1\npassword: hunter2\n", "does not belong in mdetag.yaml"),
        ("version: 1\nbudget: { perMinute: 0 }\n", "from 1 to"),
        (
            "version: 1\ntenants: { ../x: { tenantId: 11111111-2222-3333-4444-555555555555 } }\n",
            "no usable name",
        ),
    ] {
        project.write("mdetag.yaml", text);
        fails(&project, &["validate"], says);
    }
    // Commands that explain and repair work beside a broken file.
    project.run(&["validate", "--explain", "E0801"]).exits(0);
    project.run(&["schema", "mdetag"]).exits(0);
    project.run(&["completions", "bash"]).exits(0);
    std::fs::remove_file(project.path().join("mdetag.yaml")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", project.path().join("mdetag.yaml")).unwrap();
        fails(&project, &["validate"], "it is not a regular file");
    }
}

#[test]
fn hostile_hunting_results_are_refused() {
    let project = Project::with_policy(
        "version: 1\nrules:\n  - { name: r, select: { hunting: { query: Q } }, tags: [T] }\n",
    );
    project.write("i.json", "[{\"id\":\"a1\"}]");
    for (text, says) in [
        ("", "an object of query texts"),
        ("[]", "an object of query texts"),
        ("{\"Q\":[1]}", "row 1 is neither a device id"),
        ("{\"Q\":[\"a1\"", "EOF"),
        ("{\"Q\":[]}", "has no rows"),
        ("{\"other\":[\"a1\"]}", "no result for this hunting query"),
    ] {
        project.write("h.json", text);
        fails(&project, &["plan", "--inventory", "i.json", "--hunting-results", "h.json"], says);
    }
    fails(
        &project,
        &["plan", "--inventory", "i.json", "--hunting-results", "none.json"],
        "there is no such file",
    );
}

/// Every command writes one document for programs, whether it succeeds or not.
#[test]
fn with_format_json_standard_output_is_one_document_for_every_command() {
    let project = Project::with_policy(POLICY);
    project.write(
        "policies/p.test.yaml",
        "version: 1\ntests:\n  - { name: a, device: { computerDnsName: h }, expect: { includes: [T] } }\n",
    );
    project.write("i.json", "[{\"id\":\"a1\",\"computerDnsName\":\"h1\"}]");
    let json = |words: &[&str]| -> Ran {
        let mut command = project.command(words);
        let ran = crate::project::ran(command.env("MDETAG_FORMAT", "json").output().unwrap());
        ran.json();
        ran
    };
    for words in [
        "validate",
        "validate --explain E0203",
        "test",
        "plan --inventory i.json",
        "plan --inventory i.json -o plan.json",
        "show plan.json",
        "explain h1 --inventory i.json",
        "import --inventory i.json -o imported --untrusted-ok",
        "history",
        "tenants",
        "schema",
        "completions bash",
        "man",
        "init made",
        "sandbox faults",
        "sandbox create --devices 20",
        "sandbox disturb",
        "sandbox generate --devices 3 -o g.ndjson",
        "plan --sandbox",
        "apply --sandbox --auto-approve",
        "doctor --sandbox",
        "history",
    ] {
        json(&words.split(' ').collect::<Vec<_>>()).exits(0);
    }
    json(&["drift", "--inventory", "i.json"]).exits(2);
    for words in [
        "validate nowhere",
        "validate --explain E7777",
        "validate --no-such-flag",
        "test nowhere",
        "plan --inventory none",
        "plan --all-tenants",
        "show none.json",
        "explain h9 --inventory i.json",
        "apply --sandbox",
        "snapshot --inventory i.json -o s",
        "revert none -o r.json --sandbox",
        "init made",
        "plan --now yesterday",
    ] {
        json(&words.split(' ').collect::<Vec<_>>()).exits(1);
    }
}

#[test]
fn no_word_of_the_command_line_is_a_log_command() {
    let project = Project::with_policy(POLICY);
    let words: [&[&str]; 16] = [
        &["##vso[task.x]"],
        &["plan", "--##vso[task.x]"],
        &["plan", "--format", "##vso[task.x]"],
        &["plan", "--format", "x\n::error::y"],
        &["plan", "x\u{1b}[31m", "--max-chars", "\u{1b}[31m\n::error::y"],
        &["plan", "--report", "##vso[task.x]"],
        &["plan", "--report", "markdown={tenant}##vso[x]"],
        &["plan", "--inventory", "##vso[task.x]"],
        &["plan", "--allow", "##vso[task.x]"],
        &["plan", "--tenant", "##vso[task.x]"],
        &["plan", "\n::error::y"],
        &["help", "##vso[task.x]"],
        &["man", "##vso[task.x]"],
        &["validate", "--explain", "##vso[task.x]"],
        &["apply", "--sandbox=##vso[task.x]", "--resume", "##vso[x]"],
        &["history", "--since", "\n::error::y"],
    ];
    for words in words {
        for variable in ["GITHUB_ACTIONS", "TF_BUILD"] {
            let ran = project.run_in(&[(variable, "true".to_owned())], words).exits(1);
            for text in [&ran.out, &ran.err] {
                let starts = text.lines().any(|line| line.trim_start().starts_with("::error::y"));
                let is_raw = text.contains("##vso[task.x")
                    || text.contains("##vso[x")
                    || text.contains('\u{1b}')
                    || starts;
                assert!(!is_raw, "{words:?}:\n{text}");
            }
        }
    }
}
