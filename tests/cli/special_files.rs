//! Pipes, devices and links in place of files: refused by name, at once; never read, emptied or waited for.
#![cfg(unix)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::project::{Project, Ran, ran};

const POLICY: &str = "version: 1\nclaims: [T]\nguard: { inventory: { maxShrink: 10% } }\nrules: [{ name: r, select: { osPlatform: Windows11 }, tags: [T] }]\n";
const FLEET: &str = r#"{"id":"1111111111111111111111111111111111111111","computerDnsName":"a","osPlatform":"Windows11","machineTags":[]}"#;

fn pipe(path: &Path) {
    let _ = std::fs::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Runs to the end. A command that still runs after a minute is waiting for something.
fn soon(project: &Project, environment: &[(&str, &str)], words: &[&str]) -> Ran {
    let mut command = project.command(words);
    command.envs(environment.iter().copied());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(output) => ran(output),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &id]).status();
            panic!("{words:?} waits for ever");
        }
    }
}

#[test]
fn files_that_a_person_names_are_regular_ones() {
    let project = Project::with_policy(POLICY);
    project.write("i.json", FLEET);
    pipe(&project.path().join("pipe"));
    let with = |words: &[&'static str]| [&["plan", "--inventory", "i.json"], words].concat();
    for special in ["pipe", "/dev/zero"] {
        for words in [
            vec!["show", special],
            vec!["apply", "--sandbox", "link.json"],
            vec!["plan", "--inventory", special],
            vec!["sandbox", "create", "--fleet", special],
            with(&["--hunting-results", special]),
            with(&[special]),
        ] {
            let link = project.path().join("link.json");
            let _ = std::fs::remove_file(&link);
            symlink(special, &link).unwrap();
            let ended = soon(&project, &[], &words).exits(1);
            assert!(ended.err.contains("not a regular file"), "{words:?}: {}", ended.err);
            ended.is_for_people();
        }
    }
}

#[test]
fn secrets_and_certificates_lie_in_regular_files() {
    let project = Project::with_policy(POLICY);
    project.write("mdetag.yaml", "version: 1\ntenants: { t: { tenantId: 11111111-2222-3333-4444-555555555555, clientId: 66666666-7777-8888-9999-000000000000 } }\n");
    pipe(&project.path().join("pipe"));
    for special in ["pipe", "/dev/zero"] {
        for name in ["SSL_CERT_FILE", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH"] {
            let login =
                [("MDETAG_LOGIN_URL", "http://127.0.0.1:9"), ("MDETAG_API_URL", "http://127.0.0.1:9")];
            let ended = soon(&project, &[&login[..], &[(name, special)]].concat(), &["plan"]).exits(1);
            assert!(ended.err.contains(name) && ended.err.contains("not a regular file"), "{}", ended.err);
        }
    }
}

#[test]
fn a_stream_that_the_shell_hands_in_is_read() {
    let project = Project::with_policy(POLICY);
    let file = project.write("i.json", FLEET);
    let mut command = project.command(&["plan", "--inventory", "/dev/stdin"]);
    let ended = ran(command.stdin(std::fs::File::open(file).unwrap()).output().unwrap()).exits(0);
    assert!(ended.out.contains("1 addition"), "{}", ended.out);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), FLEET.as_bytes()).unwrap();
    assert!(ran(child.wait_with_output().unwrap()).exits(0).out.contains("1 addition"));
}

#[test]
fn git_is_asked_nothing_that_waits() {
    let project = Project::with_policy(POLICY);
    project.write("i.json", FLEET);
    for file in ["HEAD", "commondir", "packed-refs", "config"] {
        for special in ["", "/dev/zero"] {
            let _ = std::fs::remove_dir_all(project.path().join(".git"));
            project.write(".git/HEAD", "ref: refs/heads/main\n");
            let path = project.path().join(".git").join(file);
            pipe(&path);
            if !special.is_empty() {
                std::fs::remove_file(&path).unwrap();
                symlink(special, &path).unwrap();
            }
            soon(&project, &[], &["plan", "--inventory", "i.json"]).exits(0);
        }
    }
}

/// A sandbox with one finished run; the folder of its state.
fn applied() -> (Project, std::path::PathBuf) {
    let project = Project::with_policy(POLICY);
    project.write("i.json", FLEET);
    project.run(&["sandbox", "create", "--fleet", "i.json"]).exits(0);
    project.run(&["apply", "--sandbox", "--auto-approve"]).exits(0);
    let sandbox = project.path().join(".mdetag/sandbox/default");
    let tenant = std::fs::read_dir(sandbox).unwrap().next().unwrap().unwrap().path();
    (project, tenant)
}

#[test]
fn a_link_in_place_of_the_lock_is_neither_followed_nor_emptied() {
    let (project, state) = applied();
    let other = project.write("precious.txt", "keep\n");
    let lock = state.join("apply.lock");
    std::fs::remove_file(&lock).unwrap();
    symlink(&other, &lock).unwrap();
    let ended = soon(&project, &[], &["apply", "--sandbox", "--auto-approve"]).exits(1);
    assert!(ended.err.contains("apply.lock") && ended.err.contains("is a link"), "{}", ended.err);
    assert_eq!(project.read("precious.txt"), "keep\n");
    assert!(lock.is_symlink());
}

/// The files of a folder with their content.
fn content(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut content = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            let bytes = if kind.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            if kind.is_dir() {
                folders.push(path.clone());
            }
            content.push((path, bytes));
        }
    }
    content.sort();
    content
}

#[test]
fn what_is_no_file_or_folder_in_the_state_is_refused_before_anything_is_written() {
    let (project, state) = applied();
    project.run(&["history"]).exits(0);
    let names = [
        "",
        "runs",
        "history",
        "probes",
        "ledger",
        "unwritable.json",
        "unwritable.lock",
        "pending.json",
        "pending.lock",
        "owed.json",
        "owed.lock",
        "service.json",
        "service.lock",
        "baselines.json",
        "baselines.lock",
        "apply.lock",
        "copy.json",
    ];
    let mut places: Vec<_> = names.iter().map(|name| state.join(name)).collect();
    places.extend(content(&state).into_iter().map(|(path, _)| path));
    places.sort();
    places.dedup();
    for place in places {
        let place = place.components().collect::<std::path::PathBuf>();
        let aside = project.path().join("aside");
        let is_there = place.exists();
        if is_there {
            std::fs::rename(&place, &aside).unwrap();
        }
        let other = project.write("precious.txt", "keep\n");
        for special in [None, Some(Path::new("/dev/zero")), Some(&other), Some(&aside)] {
            match special {
                None => pipe(&place),
                Some(target) => symlink(target, &place).unwrap(),
            }
            let before = content(&project.path().join(".mdetag/sandbox"));
            for words in [
                &["plan", "--sandbox"][..],
                &["apply", "--sandbox", "--auto-approve"],
                &["history"],
                &["drift", "--sandbox"],
                &["apply", "--sandbox", "--resume", "--auto-approve"],
                &["state", "show", "--sandbox"],
            ] {
                // A pipe in place of the tenant's folder is not state; opening it is refused.
                let is_unseen =
                    special.is_none() && place == state && matches!(words[0], "history" | "state");
                let ended = soon(&project, &[], words).exits(i32::from(!is_unseen));
                let said = ended.err.contains("is a link") || ended.err.contains("is not a regular file");
                assert!(said || is_unseen, "{words:?} {}: {}", place.display(), ended.err);
                ended.is_for_people();
            }
            assert_eq!(project.read("precious.txt"), "keep\n", "{}", place.display());
            assert_eq!(content(&project.path().join(".mdetag/sandbox")), before, "{}", place.display());
            std::fs::remove_file(&place).unwrap();
        }
        if is_there {
            std::fs::rename(&aside, &place).unwrap();
        }
    }
}

#[test]
fn a_second_signal_ends_a_process_that_waits_for_its_input() {
    let (project, _) = applied();
    let words = ["apply", "--sandbox", "--auto-approve", "--inventory", "/dev/stdin"];
    let mut command = project.command(&words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("two signals were ignored");
        }
        // The first signals may come before the process listens for them, and then end it.
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        std::thread::yield_now();
    };
    assert!(!ended.success());
}
