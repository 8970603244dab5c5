//! A sandbox's directory: its settings, edits, calls and counted slots, and the lock that lets only one process own it.
//!
//! Files: `sandbox.json`, `fleet.ndjson` if it was made from given devices, `edits.ndjson`, `calls.ndjson`, `slots.log`, `lock`,
//! `address`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::edits::Edit;
use crate::fleet::Fleet;
use crate::log::LoggedCall;
use crate::sandbox_file;
use crate::settings::{SandboxError, Settings};
use mdetag_vocabulary::time::Timestamp;

/// Size in bytes above which the call log is rotated when the sandbox is opened; one older log is kept.
const LOG_LIMIT: u64 = 16 << 20;
/// Slots older than this count in no window.
const SLOT_LIFE: std::time::Duration = std::time::Duration::from_secs(2 * 3600);

/// The open files of the process that owns the directory.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    edits: File,
    calls: File,
    slots: File,
    /// Held until the process ends.
    _lock: File,
}

/// State that an earlier process left on disk.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) edits: Vec<Edit>,
    /// Key and time, in order.
    pub(super) slots: Vec<(String, Timestamp)>,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SandboxError + '_ {
    move |source| SandboxError::File { path: path.display().to_string(), source }
}

/// The settings of a directory, if there is a sandbox in it.
pub(super) fn settings(directory: &Path) -> Result<Option<Settings>, SandboxError> {
    let path = directory.join("sandbox.json");
    let text = match sandbox_file::text(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed(&path))?,
    };
    let foreign = |detail: String| SandboxError::Foreign { path: path.display().to_string(), detail };
    let settings: Settings = serde_json::from_str(&text).map_err(|error| foreign(error.to_string()))?;
    match settings.format_version.starts_with("1.") {
        true => Ok(Some(settings)),
        false => Err(foreign(format!("format version {}", settings.format_version))),
    }
}

/// Writes the settings, whole or not at all.
pub(super) fn save_settings(directory: &Path, settings: &Settings) -> Result<(), SandboxError> {
    let path = directory.join("sandbox.json");
    let text = serde_json::to_string_pretty(settings).map_err(io::Error::other).map_err(failed(&path))?;
    replace(&path, text.as_bytes()).map_err(failed(&path))
}

/// Keeps the devices that a sandbox is made of.
pub(super) fn save_fleet(directory: &Path, lines: &str) -> Result<(), SandboxError> {
    sandbox_file::make_directory(directory).map_err(failed(directory))?;
    let path = directory.join("fleet.ndjson");
    replace(&path, lines.as_bytes()).map_err(failed(&path))
}

/// The fleet before any edit: the devices that the sandbox was made of, else those of its seed.
pub(super) fn first_fleet(
    directory: Option<&Path>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Fleet, SandboxError> {
    let Some(path) = directory.map(|directory| directory.join("fleet.ndjson")) else {
        return Ok(Fleet::generated(settings.devices, settings.seed, settings.created, now));
    };
    match sandbox_file::text(&path) {
        Ok(lines) => Fleet::of_lines(&lines)
            .map_err(|detail| SandboxError::Foreign { path: path.display().to_string(), detail }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => first_fleet(None, settings, now),
        Err(error) => Err(failed(&path)(error)),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Takes the lock of a directory, and makes the directory if needed; `None` if another process holds the lock.
pub(super) fn lock(directory: &Path) -> Result<Option<File>, SandboxError> {
    sandbox_file::make_directory(directory).map_err(failed(directory))?;
    let path = directory.join("lock");
    let file = sandbox_file::open(&path, OpenOptions::new().create(true).truncate(false).write(true))
        .map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

/// The address that the lock's holder serves on; `None` until it has announced one.
pub(super) fn address(directory: &Path) -> Option<std::net::SocketAddr> {
    sandbox_file::text(&directory.join("address")).ok()?.trim().parse().ok()
}

impl Disk {
    /// Opens the files for the process that holds the lock, and reads what they hold.
    pub(super) fn open(directory: &Path, lock: File, now: Timestamp) -> Result<(Disk, Saved), SandboxError> {
        // A process that ended may have left its address, where nobody answers any more.
        let _ = fs::remove_file(directory.join("address"));
        let calls = directory.join("calls.ndjson");
        if fs::metadata(&calls).is_ok_and(|calls| calls.len() > LOG_LIMIT) {
            let older = directory.join("calls.1.ndjson");
            fs::rename(&calls, &older).map_err(failed(&older))?;
        }
        let edits = directory.join("edits.ndjson");
        let saved_edits = read_edits(&edits)?;
        let slots = directory.join("slots.log");
        let saved_slots = read_slots(&slots, now)?;
        let append = |path: &Path| {
            sandbox_file::open(path, OpenOptions::new().create(true).append(true)).map_err(failed(path))
        };
        let disk = Disk {
            directory: directory.to_owned(),
            edits: append(&edits)?,
            calls: append(&calls)?,
            slots: append(&slots)?,
            _lock: lock,
        };
        Ok((disk, Saved { edits: saved_edits, slots: saved_slots }))
    }

    /// Tells other processes where this one serves.
    pub(super) fn announce(&self, address: std::net::SocketAddr) -> Result<(), SandboxError> {
        let path = self.directory.join("address");
        replace(&path, address.to_string().as_bytes()).map_err(failed(&path))
    }

    /// Appends edits in one write, so that a process that dies leaves at most a torn last line.
    pub(super) fn save(&mut self, edits: &[Edit]) -> io::Result<()> {
        let mut out = Vec::new();
        for edit in edits {
            serde_json::to_writer(&mut out, edit)?;
            out.push(b'\n');
        }
        self.edits.write_all(&out)
    }

    /// Appends a call. If the log cannot be written, the call still succeeds.
    pub(super) fn log_call(&mut self, call: &LoggedCall) {
        if let Ok(mut line) = serde_json::to_vec(call) {
            line.push(b'\n');
            let _ = self.calls.write_all(&line);
        }
    }

    /// Appends a counted call. If this fails, a restarted sandbox is only more lenient.
    pub(super) fn log_slot(&mut self, key: &str, at: Timestamp) {
        let _ = self.slots.write_all(format!("{} {key}\n", at.ticks()).as_bytes());
    }

    /// Forgets every edit and slot.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.edits.set_len(0)?;
        self.slots.set_len(0)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Reads the edits and cuts off a torn last line.
fn read_edits(path: &Path) -> Result<Vec<Edit>, SandboxError> {
    let file = match sandbox_file::open(path, OpenOptions::new().read(true).write(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed(path))?,
    };
    let mut reader = BufReader::new(&file);
    let (mut edits, mut whole, mut line) = (Vec::new(), 0u64, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(failed(path))?;
        if length == 0 {
            return Ok(edits);
        }
        match serde_json::from_slice(&line) {
            Ok(edit) if line.ends_with(b"\n") => edits.push(edit),
            Err(error) if line.ends_with(b"\n") => {
                let detail = format!("line {}: {error}", edits.len() + 1);
                return Err(SandboxError::Foreign { path: path.display().to_string(), detail });
            }
            _ => {
                file.set_len(whole).map_err(failed(path))?;
                return Ok(edits);
            }
        }
        whole += length as u64;
    }
}

/// Reads the slots that may still count, and keeps only those.
fn read_slots(path: &Path, now: Timestamp) -> Result<Vec<(String, Timestamp)>, SandboxError> {
    let text = match sandbox_file::text(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed(path))?,
    };
    let mut slots: Vec<(String, Timestamp)> = text
        .lines()
        .filter_map(|line| {
            let (ticks, key) = line.split_once(' ')?;
            Some((key.to_owned(), Timestamp::from_ticks(ticks.parse().ok()?)))
        })
        .filter(|(_, at)| at.plus(SLOT_LIFE) > now)
        .collect();
    slots.sort_by_key(|(_, at)| *at);
    let kept: String = slots.iter().map(|(key, at)| format!("{} {key}\n", at.ticks())).collect();
    replace(path, kept.as_bytes()).map_err(failed(path))?;
    Ok(slots)
}
