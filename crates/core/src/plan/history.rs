//! What a plan needs besides policies and inventory: what earlier runs did, and how the service stores tags.
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
    /// Bounced in the last three runs, or known to come from elsewhere, with the origin that holds the old state.
    pub contested: BTreeMap<ChangeKey, String>,
    /// When those that bounced are tried again.
    pub contested_until: BTreeMap<ChangeKey, Timestamp>,
    /// What the service refuses run after run, by device.
    pub unwritable: BTreeMap<Arc<str>, Vec<Unwritable>>,
    /// Confirmed by an answer so lately that the list may not show it yet.
    pub pending: BTreeSet<ChangeKey>,
    /// When the list shows all of these, at the latest.
    pub shown_by: Option<Timestamp>,
    /// By device with a pending value: the values that the list showed before these writes. Another one is somebody
    /// else's. A device without an entry is not known.
    pub values_before: BTreeMap<Arc<str>, BTreeSet<Option<Arc<str>>>>,
    /// What the policies may want although a run undid it, with that run.
    pub reverted: BTreeMap<ChangeKey, Arc<str>>,
    /// Devices that a run of the last 24 hours wrote: the service may not have put them into their group yet.
    pub written_lately: BTreeSet<Arc<str>>,
    /// Tags that calls of earlier runs took along, as the additions that put them back. What the list shows again is not owed.
    pub lost: BTreeMap<ChangeKey, Owed>,
    /// Devices that wait for their wave of an open rollout, with its run.
    pub waiting_for_wave: BTreeMap<Arc<str>, String>,
    /// The other policy sets of the tenant.
    pub others: Vec<OtherSet>,
    /// What earlier runs of the policy set did, as the guard counts it; none where no state is kept.
    pub past: Option<guard::Past>,
    /// How the service stores tags: case, blanks and length.
    pub limits: TagLimits,
}

/// A call that removed a tag by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Its run.
    pub run: Arc<str>,
    /// When the loss was seen, at the latest.
    pub lost: Timestamp,
    /// Until when the list may still show the tag although it is gone; none once a read has missed it, or that time has passed.
    pub shown_until: Option<Timestamp>,
}

impl History {
    /// With the keys that [`ChangeKey::under`] and [`ChangeKey::awaited`] give: an earlier run may have spelled a tag otherwise.
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
    /// What two keys have in common exactly when they are about one change where tags compare so.
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

    /// As [`ChangeKey::under`], for what the list does not show yet: an addition brings the tag in any spelling, a removal takes the
    /// one away that was live. Another one in the list is not the state from before the write.
    pub fn awaited(&self, case: TagCase) -> Cow<'_, ChangeKey> {
        match self.what {
            ChangeWhat::Remove(_) => Cow::Borrowed(self),
            ChangeWhat::Add(_) | ChangeWhat::Value(_) => self.under(case),
        }
    }
}
