//! Paths in messages, plans and reports: with forward slashes on every system, so that a plan is the same on all of them.
//!
//! Does not look at any file.

use std::path::{MAIN_SEPARATOR, Path};

/// The path for people, and for files that other systems read.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if MAIN_SEPARATOR == '\\' { forward(&text) } else { text.into_owned() }
}

/// A Windows path with forward slashes and without the prefix that turns off the limit of 260 characters: resolving links adds
/// that prefix, and nobody typed it.
fn forward(path: &str) -> String {
    let short = match path.strip_prefix(r"\\?\") {
        Some(rest) => match rest.strip_prefix(r"UNC\") {
            Some(share) => format!(r"\\{share}"),
            None => rest.to_owned(),
        },
        None => path.to_owned(),
    };
    short.replace('\\', "/")
}

/// Whether a word can name a file in this folder and nothing else. Words come from flags, plans and tokens.
pub(super) fn is_name(word: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&word.len()) && word.bytes().all(is_safe) && word.bytes().any(|byte| byte != b'.')
}

/// Whether a path leads out of its base folder on any system: a plan may be read on another system than it was made on, and
/// Windows does not call `/etc` absolute.
pub fn leads_out(path: &str) -> bool {
    let is_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    path.starts_with(['/', '\\']) || is_drive || path.split(['/', '\\']).any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_out_is_known_on_every_system() {
        for path in [
            "/etc/p.yaml",
            r"\etc\p.yaml",
            r"\\server\share",
            "C:/p.yaml",
            "c:p.yaml",
            "../p.yaml",
            r"a\..\..\p.yaml",
        ] {
            assert!(leads_out(path), "{path}");
        }
        for path in ["p.yaml", "policies/p.yaml", "policies/..p.yaml", "policies/a:b.yaml"] {
            assert!(!leads_out(path), "{path}");
        }
    }

    #[test]
    fn windows_paths_are_written_with_forward_slashes_and_without_their_prefix() {
        for (path, expected) in [
            (r"policies\servers.yaml", "policies/servers.yaml"),
            (r"\\?\C:\Büro Ost\policies", "C:/Büro Ost/policies"),
            (r"\\?\UNC\server\share\policies", "//server/share/policies"),
            (r"\\server\share", "//server/share"),
            (r"C:\policies", "C:/policies"),
            ("policies/servers.yaml", "policies/servers.yaml"),
        ] {
            assert_eq!(forward(path), expected);
        }
    }

    #[test]
    fn a_backslash_is_part_of_a_name_where_it_is_no_separator() {
        if MAIN_SEPARATOR == '/' {
            assert_eq!(shown(Path::new(r"a\b/c")), r"a\b/c");
        }
    }
}
