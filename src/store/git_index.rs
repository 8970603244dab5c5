//! Reads the tracked paths from the index of a git repository, without running `git`.
//!
//! Knows no content and no commit. An index that it cannot parse tracks nothing.

use std::path::Path;

use super::git_folder;
use super::regular_file;

/// The largest index, in bytes: a million files take a tenth of it.
const MOST: u64 = 1 << 30;

/// The tracked paths of a repository, from its root, in git's order.
pub(super) fn tracked(root: &Path) -> Vec<String> {
    let Some(git) = git_folder::git_folder(root) else { return Vec::new() };
    let Ok(bytes) = regular_file::bytes(&git.join("index"), MOST) else { return Vec::new() };
    let hash = if git_folder::is_sha256(root) { 32 } else { 20 };
    names(&bytes, hash).unwrap_or_default()
}

/// The names in an index of version 2, 3 or 4, whose object ids have `hash` bytes.
fn names(bytes: &[u8], hash: usize) -> Option<Vec<String>> {
    let mut rest = bytes.strip_prefix(b"DIRC")?;
    let version = number(&mut rest)?;
    let count = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut names = Vec::new();
    let mut name: Vec<u8> = Vec::new();
    for _ in 0..count {
        let start = rest.len();
        // Times, device, inode, mode, owner, size and id precede the flags.
        rest = rest.get(40 + hash..)?;
        let flags = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
        let is_extended = version > 2 && flags & 0x4000 != 0;
        rest = rest.get(if is_extended { 4 } else { 2 }..)?;
        if version == 4 {
            let cut = offset(&mut rest)?;
            name.truncate(name.len().checked_sub(cut)?);
        } else {
            name.clear();
        }
        let end = rest.iter().position(|byte| *byte == 0)?;
        name.extend_from_slice(&rest[..end]);
        // Entries before version 4 are padded to eight bytes, with at least one zero.
        let used = start - rest.len() + end;
        let fill = if version == 4 { 1 } else { 8 - used % 8 };
        rest = rest.get(end + fill..)?;
        names.push(String::from_utf8_lossy(&name).into_owned());
    }
    Some(names)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (four, after) = rest.split_at_checked(4)?;
    *rest = after;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// A number with seven bits per byte, like offsets in packs.
fn offset(rest: &mut &[u8]) -> Option<usize> {
    let mut value: usize = 0;
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value = value.checked_shl(7)? | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
        value = value.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn every_version_of_the_index_names_what_is_tracked() {
        let folder = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let run = Command::new("git").args(words).current_dir(folder.path()).output();
            run.is_ok_and(|output| output.status.success())
        };
        if !git(&["init", "-q"]) {
            return;
        }
        let files = ["a", "folder/first-long-name.yaml", "folder/first-long-other.yaml", "z/Büro"];
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        assert_eq!(tracked(folder.path()), Vec::<String>::new());
        for version in ["2", "4"] {
            assert!(git(&["add", "-A"]));
            assert!(git(&["update-index", "--index-version", version]));
            assert_eq!(tracked(folder.path()), files, "version {version}");
        }
        assert!(git(&["add", "-N", "a"]));
    }

    #[test]
    fn a_torn_index_tracks_nothing() {
        assert_eq!(names(b"DIRC\0\0\0\x02\0\0\0\x05torn", 20), None);
        assert_eq!(names(b"", 20), None);
    }
}
