//! `help`, the examples below every command, the manual pages.

use crate::project::Project;

#[test]
fn help_prints_commands_topics_and_pages_of_the_guide_and_names_the_nearest_for_a_wrong_word() {
    let project = Project::new();
    let text = |words: &[&str]| project.run(words).exits(0).out;
    assert!(text(&["help"]).contains("Usage: mdetag"));
    assert!(text(&["help", "sandbox", "disturb"]).contains("--edits"));
    let codes = text(&["help", "exit-codes"]);
    for code in 0..=5 {
        assert!(codes.contains(&format!("\n  {code}  ")), "{code} is missing in:\n{codes}");
    }
    let environment = text(&["help", "environment"]);
    for name in ["MDETAG_SANDBOX_SPEED", "AZURE_CLIENT_ID", "NO_COLOR", "MDETAG_RELEASES_URL"] {
        assert!(environment.contains(name), "{name} is missing in:\n{environment}");
    }
    let selectors = text(&["help", "selectors"]);
    assert!(selectors.contains("computerDnsName") && selectors.contains("superseded"), "{selectors}");
    assert!(text(&["help", "cookbook"]).starts_with("# Cookbook"));
    assert!(text(&["help", "E0203"]).contains("everything: true"));
    let wrong = project.run(&["help", "selektors"]).exits(1).err;
    assert!(wrong.contains("did you mean `selectors`") && wrong.contains("exit-codes"), "{wrong}");
}

#[test]
fn the_help_of_plan_fits_two_screens_and_ends_with_examples() {
    let project = Project::new();
    let help = project.run(&["plan", "--help"]).exits(0).out;
    assert!(help.lines().count() <= 48, "{} lines:\n{help}", help.lines().count());
    assert!(!help.contains("--log-format"), "global options are folded:\n{help}");
    assert!(help.contains("mdetag --help"), "and it is said where they are:\n{help}");
    assert!(help.contains("\nExamples:\n"), "{help}");
}

#[test]
fn manual_pages_have_examples_files_environment_and_exit_status() {
    let project = Project::new();
    for command in ["", "plan", "sandbox"] {
        let words: Vec<&str> = ["man", command].into_iter().filter(|word| !word.is_empty()).collect();
        let page = project.run(&words).exits(0).out;
        for section in ["SYNOPSIS", "EXAMPLES", "FILES", "ENVIRONMENT", "EXIT STATUS"] {
            let heading = [format!(".SH {section}"), format!(".SH \"{section}\"")];
            assert!(heading.iter().any(|it| page.contains(it)), "{command}: no {section} in\n{page}");
        }
        assert_eq!(page.matches("\n.TH ").count(), 1, "one page a command");
    }
    project.run(&["man", "-o", "pages"]).exits(0);
    let pages = std::fs::read_dir(project.path().join("pages")).unwrap().count();
    assert!(pages > 20, "{pages}");
}

#[cfg(unix)]
#[test]
fn a_bundle_holds_program_schemas_completions_manual_and_guide_with_a_checksum_of_each() {
    let project = Project::new();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/bundle");
    let pack = || {
        let mut command = std::process::Command::new(&script);
        command.arg(env!("CARGO_BIN_EXE_mdetag")).arg(project.path().join("bundle"));
        command.env("MDETAG_FORMAT", "json").output().unwrap()
    };
    let packed = pack();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let sums = project.read("bundle/SHA256SUMS");
    for file in [
        "  mdetag",
        "docs/language.md",
        "schema/policy.schema.json",
        "completions/mdetag.bash",
        "man1/mdetag-plan.1",
    ] {
        assert!(sums.lines().any(|line| line.ends_with(file)), "no {file} in\n{sums}");
    }
    assert!(project.read("bundle/man1/mdetag-plan.1").contains(".TH"), "no document of JSON");
    assert!(!pack().status.success(), "an old folder is not mixed with a new one");
}
