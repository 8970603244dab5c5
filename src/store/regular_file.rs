//! Regular files that are read whole, within a bound: what a person or a pull request hands in may be a pipe or endless.
//!
//! Knows no format.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use mdetag_core::inventory::foreign_encoding;

/// The text of a file.
///
/// # Errors
/// As [`bytes`], and where it is not UTF-8; as the end of the sentence "it cannot be read: …".
pub fn text(path: &Path, most: u64) -> Result<String, String> {
    let bytes = bytes(path, most)?;
    if let Some(encoding) = foreign_encoding(&bytes) {
        return Err(format!(
            "it is not UTF-8 text but {encoding}, as `>` of PowerShell 5 writes it; save it as UTF-8"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        format!("it is not UTF-8 text (line {line}); save it as UTF-8")
    })
}

/// The bytes of a regular file, if there are not too many.
///
/// # Errors
/// What is there is no regular file, cannot be opened, or has more than `most` bytes; as the end of a sentence.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let meta = fs::metadata(path).map_err(|error| reason(&error))?;
    if !meta.is_file() {
        // Opening a pipe would wait for a writer for ever.
        return Err(if meta.is_dir() { "it is a folder" } else { "it is not a regular file" }.to_owned());
    }
    let too_large = || format!("it has more than {most} bytes");
    if meta.len() > most {
        return Err(too_large());
    }
    let file = fs::File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// An I/O error in words, without the number of the operating system.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        // This kind cannot be named yet (`io_error_more`), and its number differs between systems.
        kind if format!("{kind:?}") == "FilesystemLoop" => {
            "it is a link that leads back to itself".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_to_itself_is_called_so_on_every_system() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        assert_eq!(text(&link, 5).unwrap_err(), "it is a link that leads back to itself");
    }

    #[test]
    fn what_is_no_text_file_says_so_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        assert_eq!(text(&file, 5).unwrap_err(), "there is no such file");
        assert_eq!(text(folder.path(), 5).unwrap_err(), "it is a folder");
        fs::write(&file, "12345").unwrap();
        assert_eq!(text(&file, 5).unwrap(), "12345");
        assert_eq!(text(&file, 4).unwrap_err(), "it has more than 4 bytes");
        fs::write(&file, b"a\n\xff").unwrap();
        assert_eq!(text(&file, 5).unwrap_err(), "it is not UTF-8 text (line 2); save it as UTF-8");
        fs::write(&file, b"\xff\xfea\0").unwrap();
        assert_eq!(
            text(&file, 5).unwrap_err(),
            "it is not UTF-8 text but UTF-16, as `>` of PowerShell 5 writes it; save it as UTF-8"
        );
        if cfg!(unix) {
            assert_eq!(text(Path::new("/dev/zero"), 5).unwrap_err(), "it is not a regular file");
        }
    }
}
