//! Files of the repository may only name files of the repository. Nothing else is read, and no line of it is shown.

use crate::project::{Project, Ran};

const SECRET: &str = "eyJhbGciOi-very-secret";

/// A repository in `repo`, and a token beside it.
fn project() -> Project {
    let project = Project::new();
    project.write("token", &format!("{SECRET}\nversion: 1\n"));
    project.write("outside/p.yaml", &format!("version: 1\n{SECRET}: [\n"));
    project.write("repo/.git/HEAD", "ref: refs/heads/main\n");
    project.write("repo/policies/p.yaml", "version: 1\nclaims: [T]\n");
    project.write("repo/i.json", "[]");
    project
}

#[track_caller]
fn refused(project: &Project, words: &[&str], name: &str) {
    for format in ["human", "json"] {
        let mut command = project.command(&[words, &["--format", format]].concat());
        command.current_dir(project.path().join("repo")).env("AZURE_CLIENT_SECRET", SECRET);
        let Ran { code, out, err } = crate::project::ran(command.output().unwrap());
        let told = format!("{out}{err}");
        assert_eq!(code, 1, "{told}");
        assert!(!told.contains(SECRET), "{told}");
        assert!(told.contains(name) && told.contains("outside the repository"), "{words:?}: {told}");
    }
}

const READERS: [&[&str]; 4] = [
    &["validate"],
    &["plan", "--inventory", "i.json"],
    &["test"],
    &["explain", "d", "--inventory", "i.json"],
];

#[cfg(unix)]
#[test]
fn settings_that_link_out_of_the_repository_are_refused_unread() {
    for target in ["../token", "/proc/self/environ"] {
        let project = project();
        std::os::unix::fs::symlink(target, project.path().join("repo/mdetag.yaml")).unwrap();
        READERS.iter().for_each(|words| refused(&project, words, "mdetag.yaml"));
        // Without a repository, the file's own folder is the limit.
        let outer = project.path().join("alone");
        std::fs::create_dir(&outer).unwrap();
        std::os::unix::fs::symlink(target, outer.join("mdetag.yaml")).unwrap();
        let mut command = project.command(&["validate"]);
        let ended = crate::project::ran(command.current_dir(&outer).output().unwrap()).exits(1);
        assert!(!ended.err.contains(SECRET) && ended.err.contains("mdetag.yaml"), "{}", ended.err);
    }
}

#[test]
fn policies_of_a_profile_lie_in_the_repository() {
    for path in ["../token", "../outside", "../outside/p.yaml", "/etc/passwd"] {
        let project = project();
        project
            .write("repo/mdetag.yaml", &format!("version: 1\ntenants: {{ t: {{ policies: [{path}] }} }}\n"));
        if cfg!(unix) || path.starts_with('.') {
            READERS.iter().for_each(|words| refused(&project, words, path));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_folder_of_policies_that_is_a_link_is_followed_inside_the_repository_only() {
    let project = project();
    let link = project.path().join("repo/policies");
    std::fs::rename(&link, project.path().join("repo/real")).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    let mut inside = project.command(&["validate"]);
    crate::project::ran(inside.current_dir(project.path().join("repo")).output().unwrap()).exits(0);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("../outside", &link).unwrap();
    READERS.iter().for_each(|words| refused(&project, words, "policies"));
}

#[test]
fn a_path_that_a_person_types_is_a_root_of_its_own() {
    let project = project();
    project.write("outside/p.yaml", "version: 1\nclaims: [T]\n");
    let mut typed = project.command(&["validate", "../outside"]);
    crate::project::ran(typed.current_dir(project.path().join("repo")).output().unwrap()).exits(0);
}

#[cfg(unix)]
#[test]
fn a_base_that_links_out_of_itself_is_not_read() {
    let project = project();
    project.write("outside/p.yaml", "version: 1\nclaims: [T]\n");
    project.write("base/mdetag.yaml", "version: 1\n");
    std::os::unix::fs::symlink("../outside", project.path().join("base/policies")).unwrap();
    let mut command = project.command(&["plan", "--inventory", "i.json", "--base", "../base"]);
    let ended = crate::project::ran(command.current_dir(project.path().join("repo")).output().unwrap());
    assert!(ended.err.contains("link out of it"), "{}", ended.err);
}
