//! The walk-through of device groups and waves, command by command, as a newcomer types it.

use std::fs;
use std::path::Path;

use crate::project::Project;

/// Copies the policies of an example.
fn copy(from: &Path, project: &Project, to: &str) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{to}/{}", path.file_name().unwrap().to_string_lossy());
        match path.is_dir() {
            true => copy(&path, project, &name),
            false => drop(project.write(&name, &fs::read_to_string(&path).unwrap())),
        }
    }
}

/// Words as a shell takes them: text in quotes is one.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('"').enumerate();
    let words = parts.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

#[test]
fn every_command_of_the_walk_through_ends_as_it_says() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/consequences");
    let project = Project::new();
    for folder in ["policies", "mishap"] {
        copy(&example.join(folder), &project, folder);
    }
    let readme = fs::read_to_string(example.join("README.md")).unwrap();
    let mut printed = Vec::new();
    for line in readme.lines().filter_map(|line| line.strip_prefix("mdetag ")) {
        let (command, comment) = line.split_once('#').unwrap_or((line, ""));
        let code = comment.split_once("exit code ").map_or(0, |(_, rest)| {
            rest.chars().next().and_then(|digit| digit.to_digit(10)).expect("a code") as i32
        });
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = project.run(&words).exits(code);
        printed.push(ran.out.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let expected: [&[&str]; 13] = [
        &[],
        &["Tier-0 9 9 approve-all"],
        &["Servers → Tier-0: 4 devices because of +Tier0", "in 3 waves: wave 1: 25 devices"],
        &["Device group \"Servers\" now, \"Tier-0\" after the plan", "✗ tag equals Tier0"],
        &[
            "refused: invariant `tier-0-stays` would not hold",
            "Tier-0: 9 → 7 devices",
            "automatic remediation RISES",
        ],
        &["nothing failed", "wave 1 of 3"],
        &["nothing failed"],
        &["withheld until their wave of an open rollout", "Device groups: no device changes group"],
        &["wave 1 of 3, the next may start at"],
        &["wave 2 of 3"],
        &[],
        &["Nothing to change"],
        &["Tier-0 12"],
    ];
    assert_eq!(printed.len(), expected.len(), "the reader has gone blind");
    for (number, (printed, expected)) in printed.iter().zip(expected).enumerate() {
        for part in expected {
            assert!(printed.contains(part), "command {number}: `{part}` in: {printed}");
        }
    }
}
