//! The project's files, for tests that compare documents with the code.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files of the project with one of these extensions, as paths from its root.
pub(crate) fn files(extensions: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".mdetag", "node_modules"].contains(&&*name) {
                    walk(&path, found);
                }
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    let wanted =
        |path: &PathBuf| path.extension().is_some_and(|has| extensions.iter().any(|wanted| has == *wanted));
    let name = |path: PathBuf| {
        path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/")
    };
    let mut names: Vec<String> = found.into_iter().filter(wanted).map(name).collect();
    names.sort();
    names
}

pub(crate) fn nothing(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
