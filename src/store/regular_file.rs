//! The only way to open a file that may be anything: never waits for a pipe, never reads a device, and checks the file after
//! opening it.
//!
//! A check before opening would not be safe: the path may be another file a moment later. Knows no format.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use mdetag_core::inventory::foreign_encoding;

/// The links that a path may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPolicy {
    /// Links are followed: the user gave the path, and chose where it leads.
    Followed,
    /// The last part must not be a link, because only mdetag creates files there.
    Refused,
}

/// Opens a regular file with these options. Anything else is refused without waiting for it.
///
/// # Errors
/// As the end of the sentence "it cannot be opened: …", with [`reason`].
pub fn open(path: &Path, links: LinkPolicy, options: &mut OpenOptions) -> io::Result<File> {
    guard(options, links);
    let file = options.open(path).map_err(|error| match error.kind() {
        // Systems differ in their error for a link that must not be followed; saying that it is a link is clearer than any of
        // them.
        ErrorKind::NotFound | ErrorKind::AlreadyExists => error,
        _ if links == LinkPolicy::Refused && path.is_symlink() => refusal("it is a link"),
        // Windows calls it "permission denied".
        _ if path.is_dir() => ErrorKind::IsADirectory.into(),
        // A pipe without a reader, or a socket.
        _ if path.metadata().is_ok_and(|known| !known.is_file()) => refusal(NOT_REGULAR),
        _ => error,
    })?;
    let known = file.metadata()?;
    match known.file_type() {
        kind if kind.is_file() => Ok(file),
        kind if kind.is_dir() => Err(ErrorKind::IsADirectory.into()),
        kind if kind.is_symlink() => Err(refusal("it is a link")),
        _ => Err(refusal(NOT_REGULAR)),
    }
}

const NOT_REGULAR: &str = "it is not a regular file";

fn refusal(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(unix)]
fn guard(options: &mut OpenOptions, links: LinkPolicy) {
    use std::os::unix::fs::OpenOptionsExt;
    let link = if links == LinkPolicy::Refused { libc::O_NOFOLLOW } else { 0 };
    // Does not wait for the other end of a pipe, and does not make a terminal ours. A regular file ignores both.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | link);
}

#[cfg(windows)]
fn guard(options: &mut OpenOptions, links: LinkPolicy) {
    use std::os::windows::fs::OpenOptionsExt;
    /// `FILE_FLAG_OPEN_REPARSE_POINT`: opens the link itself, which is then not a regular file.
    const OPEN_LINK: u32 = 0x0020_0000;
    if links == LinkPolicy::Refused {
        options.custom_flags(OPEN_LINK);
    }
}

/// Opens a regular file for reading, through links.
///
/// # Errors
/// As [`open`].
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open(path, LinkPolicy::Followed, OpenOptions::new().read(true))
}

/// Opens a file that a user named as an argument: a regular file, or a stream of this process (`/dev/stdin`, `/dev/fd/63` of a
/// process substitution).
///
/// # Errors
/// As [`open`].
pub fn open_argument(path: &Path) -> io::Result<File> {
    match is_own_descriptor(path) {
        true => File::open(path),
        false => open(path, LinkPolicy::Followed, OpenOptions::new().read(true)),
    }
}

#[cfg(unix)]
fn is_own_descriptor(path: &Path) -> bool {
    let own = Path::new("/proc").join(std::process::id().to_string()).join("fd");
    let Some(parent) = path.parent() else { return false };
    // `/dev/stdin` is a link to `/proc/self/fd/0` on Linux, and a separate device on macOS.
    let is_stream = path == Path::new("/dev/stdin");
    is_stream || std::fs::canonicalize(parent).is_ok_and(|real| real == own || real == Path::new("/dev/fd"))
}

#[cfg(not(unix))]
fn is_own_descriptor(_: &Path) -> bool {
    false
}

/// The target of a path, if it is inside `root` after every link is resolved.
///
/// # Errors
/// It leads outside or nowhere; as the end of the sentence "it cannot be read: …".
pub fn within(path: &Path, root: &Path) -> Result<PathBuf, String> {
    let real = |path: &Path| std::fs::canonicalize(path).map_err(|error| reason(&error));
    let (root, real) = (real(root)?, real(path)?);
    if real.starts_with(root) {
        return Ok(real);
    }
    let is_special = real.metadata().is_ok_and(|known| !known.is_file() && !known.is_dir());
    Err(if is_special { NOT_REGULAR } else { "it lies outside the repository" }.to_owned())
}

/// The text of a file inside `root`, links resolved.
///
/// # Errors
/// As [`within`] and [`text`].
pub fn text_within(path: &Path, root: &Path, most: u64) -> Result<String, String> {
    // A link that replaced it meanwhile is refused.
    let file = open(&within(path, root)?, LinkPolicy::Refused, OpenOptions::new().read(true));
    utf8(file.and_then(|file| whole(file, most)).map_err(|error| reason(&error))?)
}

/// The text of a file.
///
/// # Errors
/// Those of [`bytes`], and text that is not UTF-8; as the end of the sentence "it cannot be read: …".
pub fn text(path: &Path, most: u64) -> Result<String, String> {
    utf8(bytes(path, most)?)
}

/// The text of a file or stream that a user named as an argument.
///
/// # Errors
/// As [`text`].
pub fn argument_text(path: &Path, most: u64) -> Result<String, String> {
    utf8(argument(path, most)?)
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
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

/// The bytes of a regular file, up to a limit.
///
/// # Errors
/// It is not a regular file, cannot be opened, or has more than `most` bytes; as the end of a sentence.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = open(path, LinkPolicy::Followed, OpenOptions::new().read(true));
    file.and_then(|file| whole(file, most)).map_err(|error| reason(&error))
}

/// The bytes of a file or stream that a user named as an argument, up to a limit.
///
/// # Errors
/// As [`bytes`].
pub fn argument(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    open_argument(path).and_then(|file| whole(file, most)).map_err(|error| reason(&error))
}

/// All bytes of an open file, up to a limit.
///
/// # Errors
/// More than `most` bytes, and errors of reading.
pub(super) fn whole(file: File, most: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {most} bytes"));
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// An I/O error in words, without the operating system's number.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        // This kind has no stable name yet (`io_error_more`), and its number differs between systems.
        kind if format!("{kind:?}") == "FilesystemLoop" => {
            "it is a link that leads back to itself".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused_without_waiting_for_their_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("pipe", &link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        for path in [pipe, link, folder.path().join("socket"), "/dev/zero".into(), "/dev/tty".into()] {
            for options in [OpenOptions::new().read(true), OpenOptions::new().append(true).create(true)] {
                let why = reason(&open(&path, LinkPolicy::Followed, options).unwrap_err());
                assert!(
                    why == "it is not a regular file" || path.ends_with("tty"),
                    "{}: {why}",
                    path.display()
                );
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_only_where_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "keep").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(text(&link, 5).unwrap(), "keep");
        for options in [
            OpenOptions::new().read(true),
            OpenOptions::new().write(true).truncate(true),
            OpenOptions::new().append(true).create(true),
        ] {
            assert_eq!(reason(&open(&link, LinkPolicy::Refused, options).unwrap_err()), "it is a link");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "keep");
    }

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
