//! Journals: `runs/RUN-ID.jsonl`, one JSON object per line with a checksum, synced before work continues.
//!
//! The journal is the audit record that the service lacks. `history` knows what it means for later plans.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use mdetag_core::apply::{ChangeKey, DeviceState, Entry};
use mdetag_core::plan::guard::ApprovalUse;
use mdetag_core::plan::{Plan, WithheldReason, stale};
use mdetag_core::time::{TICKS_PER_SECOND, Timestamp};

use super::backend::{Log, WriteLease, is_lease_lost};
pub use super::journal_error::JournalError;
pub use super::journal_header::{Closing, Header, RunKind};
use super::journal_line::{self as line, Line};
use super::path_text::shown;
use super::state::StateDir;

/// The longest journal line, in bytes; an entry has at most 1,000 changes.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Journal {
    log: Box<dyn Log>,
    path: PathBuf,
}

/// An id for a run that starts now. Ids sort by time, also within a second, so that the newest run is the one that is resumed.
/// The tenant's lock keeps two runs from starting at the same moment.
pub fn run_id(now: Timestamp) -> String {
    let time: String = Timestamp::from_seconds(now.seconds())
        .to_string()
        .chars()
        .filter(|scalar| !matches!(scalar, '-' | ':'))
        .collect();
    format!("{time}-{:06x}", now.ticks().rem_euclid(TICKS_PER_SECOND))
}

impl Journal {
    /// Creates the journal of a new run, and stores its plan beside it. `document`: the plan file's bytes.
    ///
    /// # Errors
    /// [`JournalError::Unusable`], also if the run exists.
    pub fn create(
        state: &StateDir,
        header: &Header,
        plan: &Plan,
        document: &[u8],
        now: Timestamp,
    ) -> Result<Journal, JournalError> {
        let path = state.journal(&header.run);
        let kept = state.backend().write(&state.plan(&header.run), document);
        kept.map_err(|source| unusable(&path, source))?;
        Journal::begin(state, path, header, contested(plan), now)
    }

    /// Starts a journal at a path.
    pub(super) fn begin(
        state: &StateDir,
        path: PathBuf,
        header: &Header,
        contested: Vec<ChangeKey>,
        now: Timestamp,
    ) -> Result<Journal, JournalError> {
        let log = state.backend().create_log(&path).map_err(|source| unusable(&path, source))?;
        let mut journal = Journal { log, path };
        journal.write(&[Line::Run { at: now, header: Box::new(header.clone()), contested }])?;
        Ok(journal)
    }

    /// Opens the journal of a run that ended early, to continue it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn resume(state: &StateDir, header: &Header, now: Timestamp) -> Result<Journal, JournalError> {
        Journal::go_on(state, state.journal(&header.run), header, now)
    }

    /// Continues the journal at a path.
    pub(super) fn go_on(
        state: &StateDir,
        path: PathBuf,
        header: &Header,
        now: Timestamp,
    ) -> Result<Journal, JournalError> {
        let log = state.backend().continue_log(&path).map_err(|source| unusable(&path, source))?;
        let mut journal = Journal { log, path };
        journal.write(&[Line::Run { at: now, header: Box::new(header.clone()), contested: Vec::new() }])?;
        Ok(journal)
    }

    /// The right to write to the tenant that this journal needs, if it needs one.
    pub fn hold(&self) -> Option<WriteLease> {
        self.log.hold()
    }

    /// Writes entries and returns when the disk has them.
    ///
    /// # Errors
    /// [`JournalError::Unusable`]: no further call may be sent.
    pub fn append(&mut self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let lines: Vec<Line> = entries.into_iter().map(Line::Entry).collect();
        self.write(&lines)
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// [`JournalError::Unusable`].
    pub fn close(&mut self, closing: Closing) -> Result<(), JournalError> {
        self.write(&[Line::Closed(closing)])?;
        self.log.finish();
        Ok(())
    }

    pub(super) fn write(&mut self, lines: &[Line]) -> Result<(), JournalError> {
        if lines.is_empty() {
            return Ok(());
        }
        let fence = self.log.fence();
        let text: String = lines.iter().map(|line| line::render(line, fence)).collect();
        self.log.append(text.as_bytes()).map_err(|source| unusable(&self.path, source))
    }
}

pub(super) fn unusable(path: &Path, source: std::io::Error) -> JournalError {
    if is_lease_lost(&source) {
        return JournalError::LeaseLost { source };
    }
    JournalError::Unusable { path: shown(path), source }
}

/// Changes that the plan withholds because another origin holds them. A later plan must not take their absence from this run as a
/// sign that they are no longer contested.
fn contested(plan: &Plan) -> Vec<ChangeKey> {
    let groups = plan.withheld.iter().filter(|withheld| withheld.reason == WithheldReason::Contested);
    let devices = groups.flat_map(|withheld| &withheld.devices);
    devices.flat_map(|change| stale::keys(plan, change)).collect()
}

/// A journal that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedRun {
    pub header: Header,
    pub started: Option<Timestamp>,
    /// The headers of resumptions, with their times.
    pub resumed: Vec<(Timestamp, Header)>,
    pub entries: Vec<Entry>,
    /// Changes that the plan withheld as contested.
    pub contested: Vec<ChangeKey>,
    /// The device of a probe in its original state.
    pub before: Option<DeviceState>,
    /// The last line; `None` if the run was killed or is still working.
    pub closing: Option<Closing>,
    /// Number of torn or damaged lines: at most one if a run was killed.
    pub damaged: u64,
    /// Whether a line was lost that was not the last of its part. A kill does not cause that, and the line's content is unknown.
    pub is_broken: bool,
}

impl RecordedRun {
    /// The approvals and allowances that the run and its resumptions needed.
    pub fn raised(&self) -> Vec<ApprovalUse> {
        let mut raised: Vec<ApprovalUse> = Vec::new();
        let headers = std::iter::once(&self.header).chain(self.resumed.iter().map(|(_, header)| header));
        for of_run in headers.flat_map(|header| &header.raised) {
            let is_it = |other: &ApprovalUse| {
                (
                    &other.approval.from,
                    &other.approval.expires,
                    &other.approval.changes,
                    &other.approval.cap,
                    &other.tag,
                ) == (
                    &of_run.approval.from,
                    &of_run.approval.expires,
                    &of_run.approval.changes,
                    &of_run.approval.cap,
                    &of_run.tag,
                )
            };
            if !raised.iter().any(is_it) {
                raised.push(of_run.clone());
            }
        }
        raised
    }

    /// The values of `--allow` for the run, over all its resumptions including this one.
    pub fn allowed(&self, now: &[String]) -> Vec<String> {
        let headers = std::iter::once(&self.header).chain(self.resumed.iter().map(|(_, header)| header));
        let kept = headers.flat_map(|header| &header.allow);
        kept.chain(now).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Whether the run ended early and can be resumed.
    pub fn is_resumable(&self) -> bool {
        !self.closing.as_ref().is_some_and(|closing| closing.is_complete)
    }
}

/// Reads the journal of a run.
///
/// # Errors
/// [`JournalError`].
pub fn read(state: &StateDir, run: &str) -> Result<RecordedRun, JournalError> {
    let none = || JournalError::NoSuchRun { run: run.to_owned(), folder: shown(&state.runs()) };
    if !super::path_text::is_name(run) {
        return Err(none());
    }
    let path = state.journal(run);
    let log = state.backend().read_log(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound if state.backend().read_log(&state.probe(run)).is_ok() => {
            JournalError::IsProbe { run: run.to_owned() }
        }
        std::io::ErrorKind::NotFound => none(),
        _ => unusable(&path, source),
    })?;
    read_lines(BufReader::new(log), &path)
}

/// The plan of a run, as stored beside its journal.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn plan_text(state: &StateDir, run: &str) -> std::io::Result<String> {
    let bytes = state.backend().read(&state.plan(run), MOST_PLAN)?;
    String::from_utf8(bytes).map_err(|_| std::io::ErrorKind::InvalidData.into())
}

/// The largest plan, in bytes: a million changes take a third of it.
const MOST_PLAN: u64 = 4 << 30;

pub(super) fn read_lines(mut reader: impl BufRead, path: &Path) -> Result<RecordedRun, JournalError> {
    let mut recorded = RecordedRun::default();
    let mut has_header = false;
    let (mut bytes, mut first) = (Vec::new(), Vec::new());
    let mut is_torn = false;
    loop {
        bytes.clear();
        let mut limited = reader.by_ref().take(LONGEST_LINE);
        if limited.read_until(b'\n', &mut bytes).map_err(|source| unusable(path, source))? == 0 {
            break;
        }
        if bytes == b"\n" {
            continue;
        }
        let line = line::parse(&bytes);
        if first.is_empty() {
            first.clone_from(&bytes);
        }
        recorded.is_broken |= is_torn && !matches!(line, Some(Line::Run { .. }));
        is_torn = line.is_none();
        match line {
            Some(Line::Run { at, header, contested }) if !has_header => {
                has_header = true;
                (recorded.started, recorded.header, recorded.contested) = (Some(at), *header, contested);
            }
            Some(Line::Run { at, header, .. }) => {
                recorded.resumed.push((at, *header));
                recorded.closing = None;
            }
            Some(Line::Before { device, .. }) => recorded.before = Some(device),
            Some(Line::Entry(entry)) => recorded.entries.push(entry),
            Some(Line::Closed(closing)) => recorded.closing = Some(closing),
            None => recorded.damaged += 1,
        }
    }
    match has_header {
        true => Ok(recorded),
        false if recorded.entries.is_empty() && recorded.damaged <= 1 && never_began(&first) => {
            Err(JournalError::NeverBegan { path: shown(path) })
        }
        false => Err(JournalError::NoHeader { path: shown(path) }),
    }
}

/// The first header of a run's journal with its time, without the rest; `None` if the run was killed before it started: no call
/// is sent before the first line is complete.
///
/// # Errors
/// An unreadable first line: it is then unknown what the run did.
pub fn header(state: &StateDir, run: &str) -> Result<Option<(Timestamp, Header)>, JournalError> {
    let path = state.journal(run);
    let log = state.backend().read_log(&path).map_err(|source| unusable(&path, source))?;
    let mut bytes = Vec::new();
    let read = BufReader::new(log).take(LONGEST_LINE).read_until(b'\n', &mut bytes);
    read.map_err(|source| unusable(&path, source))?;
    match line::parse(&bytes) {
        Some(Line::Run { at, header, .. }) => Ok(Some((at, *header))),
        _ if never_began(&bytes) => Ok(None),
        _ => Err(JournalError::NoHeader { path: shown(&path) }),
    }
}

/// Whether these bytes are all that a kill within the first line leaves.
fn never_began(bytes: &[u8]) -> bool {
    bytes.is_empty() || bytes.starts_with(b"{") && !bytes.contains(&b'\n')
}

/// The first headers of all runs, oldest first, without runs that never started.
///
/// # Errors
/// Those of [`header`], and the folder cannot be read.
pub fn headers(state: &StateDir) -> Result<Vec<Header>, JournalError> {
    let runs = runs(state).map_err(|source| unusable(&state.runs(), source))?;
    let mut headers = Vec::with_capacity(runs.len());
    for run in &runs {
        headers.extend(header(state, run)?.map(|(_, header)| header));
    }
    Ok(headers)
}

/// The ids of all runs, oldest first.
///
/// # Errors
/// The folder cannot be read. A missing one has no runs.
pub fn runs(state: &StateDir) -> std::io::Result<Vec<String>> {
    state.backend().logs(&state.runs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Entry {
        Entry::Note { at: Timestamp::EPOCH, text: text.to_owned() }
    }

    fn started(folder: &tempfile::TempDir) -> (StateDir, Header, Journal) {
        let state = StateDir::new(folder.path(), "public", "t").unwrap();
        let now = Timestamp::from_seconds(1_700_000_000);
        let header = Header { run: run_id(now), plan: "sha256:1".into(), ..Header::default() };
        let journal = Journal::create(&state, &header, &Plan::default(), b"{}", now).unwrap();
        (state, header, journal)
    }

    #[test]
    fn a_killed_run_keeps_every_whole_line_and_can_be_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let (state, header, mut journal) = started(&folder);
        journal.append(vec![note("one"), note("two")]).unwrap();
        let path = state.journal(&header.run);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let recorded = read(&state, &header.run).unwrap();
        assert!(recorded.is_resumable());
        assert_eq!((recorded.entries, recorded.damaged), (vec![note("one")], 1));
        let mut journal = Journal::resume(&state, &header, Timestamp::EPOCH).unwrap();
        journal.append(vec![note("three")]).unwrap();
        let closing = Closing { at: Timestamp::EPOCH, is_complete: true, reason: "finished".into() };
        journal.close(closing).unwrap();
        let recorded = read(&state, &header.run).unwrap();
        assert_eq!(recorded.entries, [note("one"), note("three")]);
        assert_eq!((recorded.resumed.len(), recorded.is_resumable()), (1, false));
        assert_eq!(runs(&state).unwrap(), std::slice::from_ref(&header.run));
        assert_eq!(std::fs::read(state.plan(&header.run)).unwrap(), b"{}");
    }

    #[test]
    fn only_the_last_line_of_a_part_may_be_torn() {
        let folder = tempfile::tempdir().unwrap();
        let (state, header, mut journal) = started(&folder);
        journal.append(vec![note("one"), note("two"), note("three")]).unwrap();
        let path = state.journal(&header.run);
        let text = std::fs::read_to_string(&path).unwrap();
        let is_broken = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&state, &header.run).unwrap().is_broken
        };
        assert!(!is_broken(&text));
        assert!(is_broken(&text.replace("two", "TWO")));
        assert!(!is_broken(&text.replace("three", "THREE")), "as a kill leaves it");
        is_broken(&text[..text.len() - 5]);
        Journal::resume(&state, &header, Timestamp::EPOCH).unwrap().append(vec![note("four")]).unwrap();
        assert!(!read(&state, &header.run).unwrap().is_broken, "a resumption follows what a kill tore");
    }

    #[test]
    fn a_run_is_never_written_over_and_ids_sort_by_time() {
        let folder = tempfile::tempdir().unwrap();
        let (state, header, _) = started(&folder);
        assert!(Journal::create(&state, &header, &Plan::default(), b"{}", Timestamp::EPOCH).is_err());
        assert_eq!(header.run, "20231114T221320Z-000000");
        assert!(read(&state, "../../secret").is_err());
        assert!(matches!(read(&state, "nope"), Err(JournalError::NoSuchRun { .. })));
    }

    #[test]
    fn no_journal_holds_a_log_command_and_what_it_says_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (state, header, mut journal) = started(&folder);
        let said = note("a ##vso[task.complete] ###[x]");
        journal.append(vec![said.clone()]).unwrap();
        let text = std::fs::read_to_string(state.journal(&header.run)).unwrap();
        assert!(!text.contains("##"), "{text}");
        assert_eq!(read(&state, &header.run).unwrap().entries, [said]);
    }

    #[test]
    fn a_file_that_is_no_journal_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let (state, ..) = started(&folder);
        std::fs::write(state.journal("other"), [0u8; 100]).unwrap();
        assert!(matches!(read(&state, "other"), Err(JournalError::NoHeader { .. })));
    }
}
