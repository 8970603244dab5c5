//! The knowledge about a rejected bulk call that is being split.
//!
//! `isolate` fills it in and uses it.

use std::collections::HashSet;

use super::changes::ChangeIndex;

/// The knowledge about a rejected call that is being split.
#[derive(Clone, Debug, Default)]
pub(super) struct Isolation {
    /// Calls of several devices that were rejected.
    pub(super) rejections: u32,
    /// Codes of the devices that were picked and refused alone; `None` until they are picked.
    pub(super) sample: Option<Vec<String>>,
    /// If all others, sent together once more, fail with this code, the tag is the cause.
    pub(super) suspected: Option<String>,
    /// An answer of 403, 404 or 405 may be about the route.
    pub(super) doubts_route: bool,
    /// Devices that a rejection named while it did not name others.
    pub(super) named: HashSet<u32>,
    /// Halves of rejected calls, each by its first member, the next to be sent in front.
    pub(super) halves: Vec<(ChangeIndex, ChangeIndex)>,
    /// Other bulk calls wait until this item knows whether the route is closed.
    pub(super) holds_route: bool,
}
