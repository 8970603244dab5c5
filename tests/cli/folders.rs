//! The working directory changes nothing: neither the place of the state nor the names of files.

use crate::project::{Project, Ran, ran};

const BROKEN: &str = "version: 1\nclaims: [T]\nrules:\n  - { name: r, select: {}, tags: [T] }\n";
const POLICY: &str =
    "version: 1\nclaims: [T]\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const FLEET: &str = r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#;

fn repository(policy: &str) -> Project {
    let project = Project::with_policy(policy);
    project.write(".git/HEAD", "ref: refs/heads/main\n");
    project.write("mdetag.yaml", "version: 1\ntenants: { t: { policies: [policies] } }\n");
    project.write("sub/deep/x.txt", "");
    project.write("i.json", FLEET);
    project
}

fn in_folder(project: &Project, folder: &str, words: &[&str]) -> Ran {
    let mut command = project.command(words);
    ran(command.current_dir(project.path().join(folder)).output().unwrap())
}

#[test]
fn findings_name_files_from_the_repositorys_root() {
    let project = repository(BROKEN);
    let absolute = project.path().to_string_lossy().replace('\\', "/");
    for format in ["human", "json", "sarif", "github"] {
        let mut all = Vec::new();
        for (folder, argument) in [
            ("", "policies"),
            ("", "./policies/p.yaml"),
            ("sub/deep", "../../policies"),
            ("policies", "."),
            ("policies", "p.yaml"),
        ] {
            let ended = in_folder(&project, folder, &["validate", argument, "--format", format]).exits(1);
            all.push((format!("{folder} {argument}"), ended));
        }
        for folder in ["", "sub", "sub/deep", "policies"] {
            all.push((
                folder.to_owned(),
                in_folder(&project, folder, &["validate", "--format", format]).exits(1),
            ));
        }
        for (from, ended) in all {
            let told = format!("{}{}", ended.out, ended.err);
            assert!(told.contains("policies/p.yaml"), "{format}, {from}: {told}");
            for other in [absolute.as_str(), "../policies", "./policies"] {
                assert!(!told.contains(other), "{format}, {from}: {told}");
            }
        }
    }
}

#[test]
fn settings_are_named_from_the_repositorys_root() {
    let project = repository(POLICY);
    project.write("sub/mdetag.yaml", "version: 1\nnonsense: 1\n");
    for folder in ["sub", "sub/deep"] {
        let ended = in_folder(&project, folder, &["validate"]).exits(1);
        assert!(ended.err.contains("--> sub/mdetag.yaml:2"), "{}", ended.err);
    }
}

#[test]
fn plans_and_reports_are_the_same_from_every_folder() {
    let project = repository(POLICY);
    let words = ["plan", "--inventory", "INVENTORY", "--now", "2026-11-26", "--format"];
    let inventory = project.path().join("i.json");
    for format in ["human", "markdown", "sarif", "html", "csv", "junit"] {
        let texts = ["", "sub/deep", "policies"].map(|folder| {
            let words: Vec<&str> = words
                .iter()
                .map(|word| if *word == "INVENTORY" { inventory.to_str().unwrap() } else { word })
                .chain([format])
                .collect();
            let told = in_folder(&project, folder, &words).exits(0).out;
            // The page contains its creation time.
            told.replace(|scalar: char| scalar.is_ascii_digit(), "")
        });
        assert_eq!(texts[0], texts[1], "{format}");
        assert_eq!(texts[0], texts[2], "{format}");
    }
}

#[test]
fn two_applies_from_two_folders_share_lock_and_ledger() {
    let project = repository(POLICY);
    in_folder(&project, "", &["sandbox", "create", "--fleet", "i.json"]).exits(0);
    in_folder(&project, "sub", &["apply", "--sandbox", "--auto-approve"]).exits(0);
    in_folder(&project, "sub/deep", &["apply", "--sandbox", "--auto-approve"]).exits(0);
    for folder in ["sub", "sub/deep", "policies"] {
        assert!(!project.path().join(folder).join(".mdetag").exists(), "{folder}");
    }
    let runs = in_folder(&project, "policies", &["history", "--format", "json"]).exits(0).json();
    assert!(runs.to_string().contains("runs"), "{runs}");
    let sandbox = project.path().join(".mdetag/sandbox/default");
    let tenant = std::fs::read_dir(sandbox).unwrap().next().unwrap().unwrap().path();
    let lock = std::fs::File::open(tenant.join("apply.lock")).unwrap();
    lock.lock().unwrap();
    project.write("policies/p.yaml", &POLICY.replace("Windows11", "Windows10"));
    let second = in_folder(&project, "sub/deep", &["apply", "--sandbox", "--auto-approve"]).exits(1);
    assert!(second.err.contains("another apply is at work"), "{}", second.err);
}
