//! The last run that wrote each tag, from the journals through their index.
//!
//! Knows nothing about values and probes.

use std::collections::HashMap;

use mdetag::store::history_index::{self, IndexedChange};
use mdetag::store::journal::{self, JournalError};
use mdetag::store::path_text::shown;
use mdetag::store::state::StateDir;
use mdetag_core::apply::Outcome;
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::failure::{Failure, chain};

/// The last run that wrote a tag.
#[derive(Clone, Debug)]
pub struct LastRun {
    /// Its id.
    pub run: String,
    /// The last write of this tag in it.
    pub at: Timestamp,
}

/// The last run of each tag, by the tag's exact text. An unreadable journal is left out and named.
///
/// # Errors
/// The folder of the journals cannot be read.
pub fn by_tag(context: &Context, state: &StateDir) -> Result<HashMap<String, LastRun>, Failure> {
    let runs =
        journal::runs(state).map_err(|error| Failure::file(format!("{}: {error}", shown(&state.runs()))))?;
    let mut last: HashMap<String, LastRun> = HashMap::new();
    for run in runs {
        match history_index::read(state, &run) {
            Ok(indexed) => {
                for change in indexed.changes.into_iter().filter(wrote_a_tag) {
                    let newest = last.get(&change.what).is_none_or(|known| known.at <= change.at);
                    if newest {
                        last.insert(change.what, LastRun { run: run.clone(), at: change.at });
                    }
                }
            }
            // It did nothing.
            Err(JournalError::NeverBegan { .. }) => {}
            Err(error) => context.console.say(&format!("left out: {}", chain(&error))),
        }
    }
    Ok(last)
}

/// Whether a call may have written the tag, including one whose answer was lost, and one that removed the tag by accident.
fn wrote_a_tag(change: &IndexedChange) -> bool {
    const WROTE: [Outcome; 4] = [Outcome::Done, Outcome::Pending, Outcome::Bounced, Outcome::Unknown];
    change.was_lost
        || change.action != "value" && WROTE.iter().any(|outcome| outcome.word() == change.outcome)
}
