//! What is known about a bulk call that was rejected and is being cut down.
//!
//! `isolate` fills it in and decides by it.

use std::collections::HashSet;

use super::changes::ChangeIndex;

/// What is known about a call that was rejected and is being cut down.
#[derive(Clone, Debug, Default)]
pub(super) struct Isolation {
    /// Calls of several devices that were rejected.
    pub(super) rejections: u32,
    /// Codes of the devices that were drawn and refused alone; `None` until they are drawn.
    pub(super) sample: Option<Vec<String>>,
    /// The code with which all others, asked together once more, must fail for the tag to be at fault.
    pub(super) suspected: Option<String>,
    /// An answer of 403, 404 or 405 may be about the route.
    pub(super) doubts_route: bool,
    /// Devices that a rejection named beside others that it did not.
    pub(super) named: HashSet<u32>,
    /// Halves of rejected calls, each by its first member, the one that is asked first in front.
    pub(super) halves: Vec<(ChangeIndex, ChangeIndex)>,
    /// Other bulk calls wait until this item knows whether the route is closed.
    pub(super) holds_route: bool,
}
