//! Input of a plan besides policies and inventory: the changes of earlier runs, and how the service stores tags.
//!
//! Reads no journal itself; an empty history plans everything.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ChangeKey, ChangeWhat, OtherSet, TagCase, TagLimits, Unwritable, guard};
use crate::time::Timestamp;

/// What the journals of earlier runs say about changes that the list does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Bounced in the last three runs, or known to come from elsewhere; with the origin that holds the old state.
    pub contested: BTreeMap<ChangeKey, String>,
    /// When bounced changes are tried again.
    pub contested_until: BTreeMap<ChangeKey, Timestamp>,
    /// Changes that the service refuses run after run, by device.
    pub unwritable: BTreeMap<Arc<str>, Vec<Unwritable>>,
    /// Confirmed by an answer so recently that the list may not show it yet.
    pub pending: BTreeSet<ChangeKey>,
    /// The latest time by which the list shows all of these.
    pub shown_by: Option<Timestamp>,
    /// By device with a pending value: the values that the list showed before these writes. Any other value is from somebody
    /// else. A device without an entry is unknown.
    pub values_before: BTreeMap<Arc<str>, BTreeSet<Option<Arc<str>>>>,
    /// Changes that a run undid although the policies may want them, with that run.
    pub reverted: BTreeMap<ChangeKey, Arc<str>>,
    /// Devices that a run of the last 24 hours wrote: the service may not have moved them to their group yet.
    pub written_lately: BTreeSet<Arc<str>>,
    /// Tags that calls of earlier runs removed by accident, as the additions that put them back. A tag that the list shows again
    /// is no longer due.
    pub lost: BTreeMap<ChangeKey, Owed>,
    /// Devices that wait for their wave of an open rollout, with its run.
    pub waiting_for_wave: BTreeMap<Arc<str>, String>,
    /// The other policy sets of the tenant.
    pub others: Vec<OtherSet>,
    /// The work of earlier runs of the policy set, as the guard counts it; `None` if no state is kept.
    pub past: Option<guard::Past>,
    /// How the service stores tags: case, blanks and length.
    pub limits: TagLimits,
}

/// A call that removed a tag by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its run.
    pub run: Arc<str>,
    /// The latest time at which the loss was noticed.
    pub lost: Timestamp,
    /// The time until which the list may still show the lost tag; `None` after a read has missed it, or that time has passed.
    pub shown_until: Option<Timestamp>,
}

impl History {
    /// The history with the keys of [`ChangeKey::under`] and [`ChangeKey::awaited`], because an earlier run may have used another
    /// spelling of a tag.
    pub(super) fn under(&self, case: TagCase) -> Cow<'_, History> {
        if case == TagCase::Exact {
            return Cow::Borrowed(self);
        }
        let mut folded = self.clone();
        folded.contested = by_tag(&self.contested, case);
        folded.contested_until = by_tag(&self.contested_until, case);
        folded.reverted = by_tag(&self.reverted, case);
        folded.pending = self.pending.iter().map(|key| key.awaited(case).into_owned()).collect();
        Cow::Owned(folded)
    }
}

fn by_tag<T: Clone>(by_key: &BTreeMap<ChangeKey, T>, case: TagCase) -> BTreeMap<ChangeKey, T> {
    by_key.iter().map(|(key, value)| (key.under(case).into_owned(), value.clone())).collect()
}

impl ChangeKey {
    /// A key that two changes share exactly when they are the same change under this `tagCase`.
    pub fn under(&self, case: TagCase) -> Cow<'_, ChangeKey> {
        let (ChangeWhat::Add(tag) | ChangeWhat::Remove(tag)) = &self.what else { return Cow::Borrowed(self) };
        let folded = case.key(tag);
        if *folded == **tag {
            return Cow::Borrowed(self);
        }
        let tag = Arc::from(&*folded);
        let what = match self.what {
            ChangeWhat::Add(_) => ChangeWhat::Add(tag),
            _ => ChangeWhat::Remove(tag),
        };
        Cow::Owned(ChangeKey { device: self.device.clone(), what })
    }

    /// Like [`ChangeKey::under`], for changes that the list does not show yet. An addition gives the tag in any spelling; a
    /// removal removes the live spelling, and another one in the list is not the state before the write.
    pub fn awaited(&self, case: TagCase) -> Cow<'_, ChangeKey> {
        match self.what {
            ChangeWhat::Remove(_) => Cow::Borrowed(self),
            ChangeWhat::Add(_) | ChangeWhat::Value(_) => self.under(case),
        }
    }
}
