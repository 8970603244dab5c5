//! The git repository around the policies: its root and its commit, read from files.
//!
//! Runs no `git`, because a plan must also work with only a checkout.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::git_folder::{common_folder, git_folder, small_text};
use super::policy_files::{self, PolicyFiles};
use super::{git_index, git_objects};

/// The nearest folder at or above `start` that contains `.git`.
pub fn root(start: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(start).ok()?;
    start.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

/// The commit that is checked out at a repository root: 40 or 64 hex digits.
pub fn commit(root: &Path) -> Option<String> {
    let git = git_folder(root)?;
    let head = small_text(&git.join("HEAD"))?;
    let Some(name) = head.trim().strip_prefix("ref: ") else { return hash(head.trim()) };
    if name.split('/').any(|part| part == "..") {
        return None;
    }
    // A work tree has its own HEAD; branches and packed references are in the common folder.
    let common = common_folder(&git);
    let loose = [&git, &common].into_iter().find_map(|folder| small_text(&folder.join(name)));
    if let Some(text) = loose {
        return hash(text.trim());
    }
    let packed = small_text(&common.join("packed-refs"))?;
    packed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, known)| *known == name)
        .and_then(|(id, _)| hash(id))
}

/// The checked-out commit, if every file of a policy set is tracked and unchanged in it, and the commit has no other policy in
/// the set's folders: a deleted one may have contained the guard.
pub fn commit_of(root: &Path, files: &PolicyFiles) -> Option<String> {
    let commit = commit(root)?;
    let contents = files.contents(root)?;
    let tracked: HashSet<String> = git_index::tracked(root).into_iter().collect();
    let are_tracked = contents.iter().all(|(path, _)| tracked.contains(path));
    let known: HashSet<&str> = contents.iter().map(|(path, _)| path.as_str()).collect();
    let folders = files.folders(root)?;
    let committed = git_objects::files(root, &commit, &folders)?;
    let is_whole = committed.iter().all(|(folder, path)| {
        !policy_files::is_policy(path) || known.contains(joined(folder, path).as_str())
    });
    let contents = contents.iter().map(|(path, content)| (path.as_str(), *content));
    (are_tracked && is_whole && git_objects::holds(root, &commit, contents)).then_some(commit)
}

fn joined(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The address of the remote `origin`, without secrets.
pub fn origin(root: &Path) -> Option<String> {
    let git = git_folder(root)?;
    let common = common_folder(&git);
    let config = small_text(&common.join("config"))?;
    let section = config.lines().map(str::trim).skip_while(|line| *line != "[remote \"origin\"]").skip(1);
    let mut keys = section.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    let (_, address) = keys.find(|(key, _)| key.trim().eq_ignore_ascii_case("url"))?;
    Some(without_secrets(address.trim()))
}

/// An address without the parts that may be secret: user and password, query and fragment.
pub fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{scheme}://{}/{path}", host.rsplit_once('@').map_or(host, |(_, host)| host))
}

fn hash(text: &str) -> Option<String> {
    let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_named_without_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        fs::create_dir_all(&git).unwrap();
        assert_eq!(origin(folder.path()), None);
        let config = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://user:secret@git.example.com/a/b.git\n";
        fs::write(git.join("config"), config).unwrap();
        assert_eq!(origin(folder.path()).as_deref(), Some("https://git.example.com/a/b.git"));
        for (address, plain) in [
            ("https://git.example.com/a/b.git?private_token=t", "https://git.example.com/a/b.git"),
            ("https://u:p@git.example.com?token=t@x/y", "https://git.example.com/"),
            ("https://git.example.com/a#token", "https://git.example.com/a"),
            ("git@git.example.com:a/b.git", "git@git.example.com:a/b.git"),
        ] {
            assert_eq!(without_secrets(address), plain);
        }
    }

    #[test]
    fn a_commit_is_found_loose_packed_or_detached() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        let id = "3f2a91c0".repeat(5);
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit(folder.path()), None);
        fs::write(git.join("packed-refs"), format!("# pack-refs\n{id} refs/heads/main\n")).unwrap();
        assert_eq!(commit(folder.path()), Some(id.clone()));
        fs::write(git.join("refs/heads/main"), "00".repeat(20)).unwrap();
        assert_eq!(commit(folder.path()), Some("00".repeat(20)));
        fs::write(git.join("HEAD"), &id).unwrap();
        assert_eq!(commit(folder.path()), Some(id));
        assert_eq!(root(folder.path()), Some(fs::canonicalize(folder.path()).unwrap()));
    }
}
