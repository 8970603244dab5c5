//! The events of a run's waves: started, ended, halted by a gate, passed.
//!
//! Judges nothing; that is `waves`.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::sync::Arc;

use crate::time::Timestamp;

mdetag_vocabulary::words! {
    /// A check that stops a rollout between two waves.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Gate {
        /// Too many devices failed, or ended with an unknown outcome.
        Failed = "failed",
        /// Too many changes were undone by another origin.
        Bounced = "bounced",
        /// Too many devices became sick, or are no longer shown.
        Health = "health",
        /// Nothing shows the result of the wave.
        Evidence = "evidence",
    }
}

/// A wave that did not pass its gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    pub wave: u32,
    pub gate: Gate,
    /// Number of devices that fail the gate.
    pub bad: u64,
    /// Number of devices that were judged.
    pub of: u64,
    /// The allowed share; `None` if there was nothing to judge.
    pub at_most: Option<String>,
    /// Ids of the first few failing devices.
    pub devices: Vec<Arc<str>>,
}

/// An event of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveEvent {
    /// Its calls may follow. These of its devices were sick before; several entries of one wave add up.
    Started {
        /// Device ids.
        ill: Vec<Arc<str>>,
    },
    /// All of its changes ended.
    Ended {
        /// The earliest start of the next wave.
        not_before: Timestamp,
    },
    Halted(Halt),
    /// The next wave may start: the gates passed, or a person decided so for this reason.
    Passed {
        /// `None` if the gates passed.
        reason: Option<String>,
    },
    /// A person or a revert ended the rollout, for this reason.
    Closed {
        reason: String,
    },
}
