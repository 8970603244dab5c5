//! Why a change is planned.
//!
//! Has no text for people; `report::words` does.

use std::sync::Arc;

use crate::diagnostic::Place;

/// Why a change is planned. Reads as the end of the sentence "planned because …".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// These rules won (indices into [`Plan::rules`](super::Plan::rules), ascending, never empty).
    Rule(Vec<u32>),
    /// The tag is claimed and no rule assigns it to the device.
    Unselected {
        /// The claim as written (the family's name for a member).
        claim: String,
        /// The place of the claim.
        place: Place,
    },
    /// A stronger member of this family stays.
    Family {
        /// The family's name.
        family: String,
        /// The place of the family.
        place: Place,
    },
    /// The tag is retired.
    Retired {
        /// The place of the entry in `retire`.
        place: Place,
    },
    /// The tag has a new name.
    Renamed {
        /// The new name.
        to: Arc<str>,
        /// The place of the rename.
        place: Place,
    },
    /// No rule gives the device a value.
    Default {
        /// The place of the default.
        place: Place,
    },
    /// A call of an earlier run removed the tag by accident.
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
