//! Finds and reads git's own files of a repository.
//!
//! Knows no commit and no path of the work tree.

use std::path::{Path, PathBuf};

use super::regular_file;

/// `.git`, or the folder that a `.git` file names.
pub(super) fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = small_text(&git)?;
    Some(root.join(text.trim().strip_prefix("gitdir: ")?))
}

/// Whether object ids have 32 bytes instead of 20.
pub(super) fn is_sha256(root: &Path) -> bool {
    let config = git_folder(root).and_then(|git| small_text(&common_folder(&git).join("config")));
    let plain = config.unwrap_or_default().to_ascii_lowercase().replace([' ', '\t'], "");
    plain.lines().any(|line| line == "objectformat=sha256")
}

/// The folder that the work trees of a repository share.
pub(super) fn common_folder(git: &Path) -> PathBuf {
    small_text(&git.join("commondir")).map_or_else(|| git.to_path_buf(), |text| git.join(text.trim()))
}

/// Reads a text file of git's own; the largest of these lists every reference.
pub(super) fn small_text(path: &Path) -> Option<String> {
    regular_file::text(path, 64 << 20).ok()
}
