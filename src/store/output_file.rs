//! Files that users name for output: a plan, a report, a snapshot. Files appear whole; pipes and devices are written directly.
//!
//! Knows no format. A repository may contain links: a link to a file outside of the working directory is replaced, not followed;
//! a link to such a folder is refused, and so is everything in `.git`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Result, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::path_text::shown;
use super::regular_file::{self, LinkPolicy};
use super::whole_file;

/// More links than this lead nowhere, as in Linux.
const MAX_LINKS: usize = 40;

/// The target of an output's content.
enum Place {
    /// A regular file at this path, existing or not: replaced at once.
    Whole(PathBuf),
    /// A pipe, a device, or a descriptor of this process: written directly.
    Open(File),
}

/// Writes an output piece by piece. After a power failure, a regular file may contain only a part.
///
/// # Errors
/// A sentence with the path if it cannot be written, and the errors of the content.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    written(path, content)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", shown(path))))
}

/// Checks that an output may be written to a place, before anything is created there.
///
/// # Errors
/// A folder behind a link that leads out of the working directory, and a place in `.git`.
pub fn check(path: &Path) -> Result<()> {
    let named = |why: String| io::Error::new(ErrorKind::PermissionDenied, format!("{}: {why}", shown(path)));
    reached(path).map_err(named)
}

/// Why an output must not be written there.
fn reached(path: &Path) -> std::result::Result<(), String> {
    let here = fs::canonicalize(".").map_err(|error| error.to_string())?;
    if is_in_git(path, &here) {
        return Err("it lies in `.git`, where git would take it for its own".to_owned());
    }
    let mut walked = PathBuf::new();
    for part in folder(path).components() {
        walked.push(part);
        let is_link = fs::symlink_metadata(&walked).is_ok_and(|known| known.is_symlink());
        // Links above the working directory belong to this computer.
        let is_brought = || fs::canonicalize(folder(&walked)).is_ok_and(|above| above.starts_with(&here));
        if is_link && is_brought() {
            let leads_inside = fs::canonicalize(&walked).is_ok_and(|target| target.starts_with(&here));
            if !leads_inside {
                let link = shown(&walked);
                return Err(format!(
                    "`{link}` is a link that leads out of the working directory; name the folder itself"
                ));
            }
        }
    }
    // Also through links: of the folder, and of the file itself.
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let real = fs::canonicalize(folder(&target)).unwrap_or_else(|_| folder(&target).to_path_buf());
        let name = target.file_name().map_or_else(PathBuf::new, PathBuf::from);
        if is_in_git(&real.join(name), &here) {
            return Err("it leads into `.git`, where git would take it for its own".to_owned());
        }
        let Ok(next) = fs::read_link(&target) else { break };
        target = folder(&target).join(next);
    }
    Ok(())
}

/// Whether a path has a part `.git`, not counting the working directory itself.
fn is_in_git(path: &Path, here: &Path) -> bool {
    let below = path.strip_prefix(here).unwrap_or(path);
    below.iter().any(|part| {
        part.to_str().is_some_and(|part| part.trim_end_matches(['.', ' ']).eq_ignore_ascii_case(".git"))
    })
}

fn written(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    match place(path)? {
        Place::Open(file) => buffered(file, content),
        Place::Whole(path) => match beside(&path) {
            Ok(mut file) => {
                buffered(file.as_file_mut(), content)?;
                replace(file, &path)
            }
            // A file that is mounted alone is often in a folder that cannot be written.
            Err(error) => match in_place(&path, &error) {
                Some(file) => buffered(file?, content),
                None => Err(error),
            },
        },
    }
}

/// Opens an output for appending: a step summary, which the steps of a job share.
///
/// # Errors
/// A sentence with the path if it cannot be written.
pub fn append(path: &Path) -> Result<File> {
    let opened = place(path).and_then(|place| match place {
        Place::Open(file) => Ok(file),
        Place::Whole(path) => {
            regular_file::open(&path, LinkPolicy::Followed, OpenOptions::new().create(true).append(true))
        }
    });
    opened.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", shown(path))))
}

fn buffered(file: impl Write, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, file);
    content(&mut out)?;
    out.flush()
}

/// A temporary file whose content appears at `path` when [`put`] is called.
///
/// # Errors
/// There is no place for it.
pub fn temporary(path: &Path) -> Result<NamedTempFile> {
    // A pipe or device needs no temporary file beside it; opening it now would make a reader of a pipe wait with us.
    check(path)?;
    match fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        true => NamedTempFile::new(),
        false => beside(path).or_else(|_| NamedTempFile::new()),
    }
}

/// Moves the content of a temporary file to `path`.
///
/// # Errors
/// The place cannot be written.
pub fn put(mut file: NamedTempFile, path: &Path) -> Result<()> {
    match place(path)? {
        Place::Whole(path) => replace(file, &path),
        Place::Open(mut target) => {
            file.rewind()?;
            io::copy(&mut file, &mut target).map(drop)
        }
    }
}

/// The target of a path, through links as far as they may be followed.
fn place(path: &Path) -> Result<Place> {
    reached(path).map_err(|why| io::Error::new(ErrorKind::PermissionDenied, why))?;
    let mut current = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        if let Some(file) = descriptor(&current) {
            return file.map(Place::Open);
        }
        let Ok(known) = fs::symlink_metadata(&current) else { return Ok(regular(path, current)) };
        if known.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if known.is_file() {
            return Ok(regular(path, current));
        }
        if !known.is_symlink() {
            let file = OpenOptions::new().write(true).open(&current)?;
            if current != path && swallows(&file) {
                let why = "it is a link to a device, where the content would be lost; name the device itself";
                return Err(io::Error::new(ErrorKind::PermissionDenied, why));
            }
            return Ok(Place::Open(file));
        }
        current = folder(&current).join(fs::read_link(&current)?);
    }
    Ok(Place::Whole(path.to_path_buf()))
}

/// Whether a device file discards what is written to it, as `/dev/null` does.
#[cfg(unix)]
fn swallows(file: &File) -> bool {
    use std::io::IsTerminal;
    use std::os::unix::fs::FileTypeExt;
    file.metadata().is_ok_and(|known| known.file_type().is_char_device()) && !file.is_terminal()
}

#[cfg(not(unix))]
fn swallows(_: &File) -> bool {
    false
}

/// The regular file to replace: the target of the links if it is inside the working directory, else the link itself.
fn regular(path: &Path, target: PathBuf) -> Place {
    let is_inside = || {
        let (Ok(here), Ok(there)) = (fs::canonicalize("."), fs::canonicalize(folder(&target))) else {
            return false;
        };
        there.starts_with(here)
    };
    if target != path && is_inside() { Place::Whole(target) } else { Place::Whole(path.to_path_buf()) }
}

/// An open descriptor, if the path names one: `/dev/stdout`, `/dev/fd/63`, `/proc/self/fd/1`. A regular file behind it belongs to
/// whoever opened it, so it is neither replaced nor emptied.
#[cfg(unix)]
#[expect(
    clippy::disallowed_methods,
    reason = "the path names the stream, and only a copy of it shares its position"
)]
fn descriptor(path: &Path) -> Option<Result<File>> {
    use std::os::fd::AsFd;
    let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
    let folder = fs::canonicalize(folder(path)).ok()?;
    let is_own = folder == Path::new("/dev/fd")
        || folder == Path::new("/proc").join(std::process::id().to_string()).join("fd");
    let is_any = is_own || (folder.starts_with("/proc") && folder.ends_with("fd"));
    let own = |file: std::os::fd::BorrowedFd<'_>| file.try_clone_to_owned().map(File::from);
    match number {
        // A socket cannot be opened by its path, but a copy of the descriptor can be written.
        1 if is_own => Some(own(io::stdout().as_fd())),
        2 if is_own => Some(own(io::stderr().as_fd())),
        _ if is_any => Some(OpenOptions::new().append(true).open(path)),
        _ => None,
    }
}

#[cfg(not(unix))]
fn descriptor(_: &Path) -> Option<Result<File>> {
    None
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the folder of another file; the folder is made if needed.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    tempfile::Builder::new().prefix(".mdetag-").tempfile_in(folder)
}

/// Renames a temporary file over another, or copies its content if that is impossible.
fn replace(mut file: NamedTempFile, path: &Path) -> Result<()> {
    whole_file::make_readable(file.as_file())?;
    let Err(failed) = file.persist(path) else { return Ok(()) };
    file = failed.file;
    match in_place(path, &failed.error) {
        Some(target) => {
            file.rewind()?;
            io::copy(&mut file, &mut target?).map(drop)
        }
        None => Err(failed.error),
    }
}

/// A regular file, emptied to be written in place, if the error says that it cannot be replaced: it is a mount of its own, or its
/// folder cannot be written.
fn in_place(path: &Path, error: &io::Error) -> Option<Result<File>> {
    let is_fixed = matches!(
        error.kind(),
        ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
    );
    let is_file = fs::symlink_metadata(path).is_ok_and(|known| known.is_file());
    (is_fixed && is_file)
        .then(|| regular_file::open(path, LinkPolicy::Refused, OpenOptions::new().write(true).truncate(true)))
}

#[cfg(test)]
mod tests;
