//! What a run says about its waves: started, ended, halted by a gate, passed.
//!
//! Judges nothing; that is `waves`.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::sync::Arc;

use crate::time::Timestamp;

mdetag_vocabulary::words! {
    /// What stops a rollout between two waves.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Gate {
        /// Too many devices failed, or ended unknown.
        Failed = "failed",
        /// Too many changes were undone by another origin.
        Bounced = "bounced",
        /// Too many devices fell ill, or are not shown any more.
        Health = "health",
        /// Nothing shows how the wave fared.
        Evidence = "evidence",
    }
}

/// A wave that did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    pub wave: u32,
    pub gate: Gate,
    /// Devices on the wrong side of it.
    pub bad: u64,
    /// Devices that were judged.
    pub of: u64,
    /// The share that it allows; none where there was nothing to judge.
    pub at_most: Option<String>,
    /// Ids of the first few of them.
    pub devices: Vec<Arc<str>>,
}

/// What happened to a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveEvent {
    /// Its calls may follow. These of its devices were ill before; several entries of one wave add up.
    Started {
        /// Device ids.
        ill: Vec<Arc<str>>,
    },
    /// All of its changes ended.
    Ended {
        /// The next wave may not start earlier.
        not_before: Timestamp,
    },
    Halted(Halt),
    /// The next wave may start: its gates let it, or a person did, for this reason.
    Passed {
        /// None where the gates let it.
        reason: Option<String>,
    },
    /// A person or a revert ended the rollout, for this reason.
    Closed {
        reason: String,
    },
}
