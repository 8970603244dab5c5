//! Why a change is planned.
//!
//! Knows no words for people; those are `report::words`.

use std::sync::Arc;

use crate::diagnostic::Place;

/// Why a change is planned. Reads as the end of the sentence "planned because …".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// These rules won (indices into [`Plan::rules`](super::Plan::rules), ascending, never empty).
    Rule(Vec<u32>),
    /// The tag is claimed and no rule assigns it to the device.
    Unselected {
        /// The claim as written (a family name for its members), and where it stands.
        claim: String,
        /// Where the claim stands.
        place: Place,
    },
    /// A stronger member of this family stays.
    Family {
        /// The family's name.
        family: String,
        /// Where it stands.
        place: Place,
    },
    /// The tag is retired.
    Retired {
        /// Where.
        place: Place,
    },
    /// The tag has a new name.
    Renamed {
        /// The new name.
        to: Arc<str>,
        /// Where the rename stands.
        place: Place,
    },
    /// No rule gives the device a value.
    Default {
        /// Where the default stands.
        place: Place,
    },
    /// A call of an earlier run took the tag along.
    Restored {
        /// The run.
        run: Arc<str>,
    },
}

impl Cause {
    /// The word in plans: `rule`, `unselected`, `family`, `retired`, `renamed`, `default`, `restored`.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::Rule(_) => "rule",
            Cause::Unselected { .. } => "unselected",
            Cause::Family { .. } => "family",
            Cause::Retired { .. } => "retired",
            Cause::Renamed { .. } => "renamed",
            Cause::Default { .. } => "default",
            Cause::Restored { .. } => "restored",
        }
    }
}
