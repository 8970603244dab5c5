//! The state directory: only for its owner, out of git, and never redirected by links.

use std::path::Path;
use std::process::Command;

use crate::project::Project;

const POLICY: &str =
    "version: 1\nclaims: [T]\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const FLEET: &str = r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#;

fn project() -> Project {
    let project = Project::with_policy(POLICY);
    project.write("i.json", FLEET);
    project
}

fn git(folder: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=n", "-c", "user.email=a@b"];
    let run = Command::new("git").args(identity).args(words).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
}

#[cfg(unix)]
#[test]
fn state_is_for_its_owner_alone_and_git_does_not_see_it() {
    use std::os::unix::fs::PermissionsExt;
    let project = project();
    git(project.path(), &["init", "-q"]);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    assert_eq!(project.read(".mdetag/.gitignore"), "*\n");
    let mut folders = vec![project.path().join(".mdetag")];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }
    git(project.path(), &["add", "-A"]);
    let listed = Command::new("git").arg("ls-files").current_dir(project.path()).output().unwrap().stdout;
    assert!(!String::from_utf8_lossy(&listed).contains(".mdetag"), "{}", String::from_utf8_lossy(&listed));
}

#[test]
fn state_that_git_tracks_is_refused() {
    let project = project();
    git(project.path(), &["init", "-q"]);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    git(project.path(), &["add", "-f", ".mdetag/.gitignore"]);
    project.run(&["plan", "--sandbox"]).exits(0);
    git(project.path(), &["add", "-f", ".mdetag/sandbox"]);
    for words in [
        &["plan", "--sandbox"][..],
        &["drift", "--sandbox"],
        &["apply", "--sandbox", "--auto-approve"],
        &["history"],
        &["sandbox", "create", "--fleet", "i.json"],
        &["plan", "--inventory", "i.json"],
    ] {
        let ended = project.run(words).exits(1);
        assert!(ended.err.contains("git tracks `.mdetag/sandbox"), "{words:?}: {}", ended.err);
        assert!(ended.err.contains("git rm -r --cached .mdetag"), "{}", ended.err);
    }
    project.run(&["validate"]).exits(0);
    git(project.path(), &["rm", "-rq", "--cached", ".mdetag"]);
    project.run(&["plan", "--sandbox"]).exits(0);
}

#[cfg(unix)]
#[test]
fn state_is_not_led_elsewhere_by_a_link() {
    for folder in ["sandbox", "sandbox/default", "sandboxes", "sandboxes/default"] {
        let (project, other) = (project(), tempfile::tempdir().unwrap());
        project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
        project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
        let place = project.path().join(".mdetag").join(folder);
        std::fs::rename(&place, other.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(other.path().join("moved"), &place).unwrap();
        let ended = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(1);
        assert!(ended.err.contains("not followed through links"), "{folder}: {}", ended.err);
    }
}

#[cfg(unix)]
#[test]
fn a_state_directory_that_git_brings_as_a_link_is_refused() {
    let (project, other) = (project(), tempfile::tempdir().unwrap());
    git(project.path(), &["init", "-q"]);
    std::os::unix::fs::symlink(other.path(), project.path().join(".mdetag")).unwrap();
    git(project.path(), &["add", "-A"]);
    let ended = project.run(&["plan", "--sandbox"]).exits(1);
    assert!(ended.err.contains("git tracks `.mdetag`"), "{}", ended.err);
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_default_state_directory_that_is_a_link_is_refused_and_one_that_is_named_is_followed() {
    let (project, other) = (project(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(other.path(), project.path().join(".mdetag")).unwrap();
    for words in
        [&["plan", "--inventory", "i.json"][..], &["sandbox", "create", "--fleet", "i.json"], &["history"]]
    {
        let ended = project.run(words).exits(1);
        assert!(ended.err.contains(".mdetag is a link") && ended.err.contains("--state"), "{}", ended.err);
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    }
    project.run(&["sandbox", "create", "--fleet", "i.json", "--state", ".mdetag"]).exits(0);
    project.run(&["plan", "--sandbox", "--state", ".mdetag"]).exits(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_without_a_user_name_in_its_environment_names_the_number_of_its_account() {
    use std::os::unix::fs::MetadataExt as _;
    let project = project();
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    let uid = std::fs::metadata(project.path()).unwrap().uid();
    let past = project.run(&["history", "--sandbox"]).exits(0);
    assert!(past.out.contains(&format!("uid {uid}")), "{}", past.out);
}

#[test]
fn there_is_no_lock_to_end_where_no_apply_is_at_work_and_a_reason_is_asked_for() {
    let project = project();
    project.run(&["state", "unlock", "--reason", "x", "--sandbox"]).exits(1);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    project.run(&["state", "unlock", "--sandbox"]).exits(1);
    project.run(&["state", "unlock", "--reason", " ", "--sandbox"]).exits(1);
    let told = project.run(&["state", "unlock", "--reason", "x", "--sandbox"]).exits(0);
    assert!(told.out.contains("nobody holds the tenant"), "{}", told.out);
}
