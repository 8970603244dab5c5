//! Copies of a tenant's state on each backend: into a folder and back, and never over newer state.

use mdetag::store::baselines_file;
use mdetag::store::journal::{self, Closing, Journal};
use mdetag::store::state::StateDir;
use mdetag::store::state_copy::{self, CopyError};

use super::emulators::{Place, places};
use super::{at, begin, header, note, texts};

/// A run with this many entries, finished or stopped.
fn record(state: &StateDir, run: &str, entries: i64, is_complete: bool) {
    let _hold = state.backend().hold(&state.lock(), "run").unwrap();
    let mut journal = begin(state, run);
    (1..=entries).for_each(|number| journal.append(note(number)).unwrap());
    journal.close(Closing { at: at(99), is_complete, reason: "finished".into() }).unwrap();
}

fn count(state: &StateDir, set: &str) {
    baselines_file::update(state, set, |_| None).unwrap();
}

fn push(copy: &StateDir, state: &StateDir) -> Result<u64, CopyError> {
    let hold = state.backend().hold(&state.lock(), "push").unwrap();
    state_copy::push(copy, state, &hold, at(200)).map(|count| count.files)
}

fn pull(state: &StateDir, copy: &StateDir) -> Result<u64, CopyError> {
    state_copy::pull(state, copy, at(100)).map(|count| count.files)
}

fn copy_in(folder: &tempfile::TempDir) -> StateDir {
    StateDir::new(folder.path(), "public", "t").unwrap()
}

/// A place with two runs, the second of which can be resumed.
fn filled(place: &Place) -> StateDir {
    let state = place.open();
    record(&state, "r1", 3, true);
    record(&state, "r2", 2, false);
    count(&state, "set");
    state
}

#[test]
fn a_copy_holds_the_runs_and_is_brought_to_an_empty_place() {
    for (place, empty) in places().iter().zip(places()) {
        let state = filled(place);
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_in(&folder);
        assert_eq!(pull(&state, &copy).unwrap(), 5, "{}: two runs with their plans, and counts", place.name);
        assert_eq!(texts(&copy, "r1"), ["entry 1", "entry 2", "entry 3"], "{}", place.name);
        assert_eq!(journal::plan_text(&copy, "r2").unwrap(), "{}");
        let restored = empty.open();
        assert_eq!(push(&copy, &restored).unwrap(), 5, "{}", place.name);
        assert_eq!(push(&copy, &restored).unwrap(), 0, "{}: it is there", place.name);
        let other = empty.open();
        assert_eq!(texts(&other, "r2"), ["entry 1", "entry 2"], "{}", place.name);
        assert!(journal::read(&other, "r2").unwrap().is_resumable());
        assert!(baselines_file::read(&other, "set").unwrap().is_some());
        // The original place has the same content, so nothing is lost there.
        assert_eq!(push(&copy, &state).unwrap(), 0, "{}", place.name);
    }
}

#[test]
fn what_was_written_since_a_copy_was_made_is_never_written_over() {
    for place in places() {
        let state = filled(&place);
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_in(&folder);
        pull(&state, &copy).unwrap();
        count(&copy, "other");
        record(&state, "r3", 1, true);
        let refused = push(&copy, &state).unwrap_err();
        let names = |files: &str| files == "runs/r3.jsonl, runs/r3.plan.json";
        assert!(
            matches!(&refused, CopyError::WentOn { files, .. } if names(files)),
            "{}: {refused}",
            place.name
        );
        assert!(
            baselines_file::read(&state, "other").unwrap().is_none(),
            "{}: nothing was written",
            place.name
        );
        let refused = pull(&state, &copy).unwrap_err();
        assert!(
            matches!(&refused, CopyError::Unpushed { files, .. } if files == "baselines.json"),
            "{}: {refused}",
            place.name
        );
        // A run that was dropped at the place does not come back.
        let second = tempfile::tempdir().unwrap();
        let copy = copy_in(&second);
        pull(&state, &copy).unwrap();
        let _hold = state.backend().hold(&state.lock(), "prune").unwrap();
        mdetag::store::retention::remove(&state, "r1", &_hold).unwrap();
        drop(_hold);
        assert!(matches!(push(&copy, &state), Err(CopyError::WentOn { .. })), "{}", place.name);
    }
}

#[test]
fn a_journal_that_grew_in_the_copy_is_continued_and_a_changed_one_is_refused() {
    for place in places() {
        let state = filled(&place);
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_in(&folder);
        pull(&state, &copy).unwrap();
        let mut journal = Journal::resume(&copy, &header("r2"), at(100)).unwrap();
        journal.append(note(3)).unwrap();
        journal.close(Closing { at: at(101), is_complete: true, reason: "finished".into() }).unwrap();
        assert_eq!(push(&copy, &state).unwrap(), 1, "{}", place.name);
        assert_eq!(texts(&place.open(), "r2"), ["entry 1", "entry 2", "entry 3"], "{}", place.name);
        assert!(!journal::read(&place.open(), "r2").unwrap().is_resumable(), "{}", place.name);
        // After a push without later changes, the copy may be renewed.
        record(&state, "r4", 1, true);
        assert_eq!(pull(&state, &copy).unwrap(), 2, "{}", place.name);
        let text = std::fs::read_to_string(copy.journal("r1")).unwrap();
        std::fs::write(copy.journal("r1"), text.replace("entry 2", "entry 9")).unwrap();
        let refused = push(&copy, &state).unwrap_err();
        assert!(matches!(&refused, CopyError::Rewritten { .. }), "{}: {refused}", place.name);
        assert_eq!(texts(&state, "r1"), ["entry 1", "entry 2", "entry 3"], "{}", place.name);
    }
}

#[test]
fn a_push_that_was_interrupted_is_finished_by_the_next() {
    for (place, empty) in places().iter().zip(places()) {
        let state = filled(place);
        let folder = tempfile::tempdir().unwrap();
        let copy = copy_in(&folder);
        pull(&state, &copy).unwrap();
        let target = empty.open();
        let plan = std::fs::read(copy.plan("r1")).unwrap();
        target.backend().write(&target.plan("r1"), &plan).unwrap();
        record(&target, "r1", 3, true);
        assert_eq!(push(&copy, &target).unwrap(), 3, "{}", place.name);
        // Runs of another origin are not part of an interrupted push.
        record(&target, "r9", 1, true);
        assert!(matches!(push(&copy, &target), Err(CopyError::WentOn { .. })), "{}", place.name);
    }
}
