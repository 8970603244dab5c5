//! Differences of tags and values by device, with their tables: each tag and cause once.
//!
//! `diff` and `open` find them.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{Cause, CauseIndex, TagIndex};
use crate::desired::{Claimed, Desired};
use crate::device::{DeviceValue, Field};
use crate::diagnostic::Sources;
use crate::inventory::{DeviceSet, Row, TagId};

/// A difference of one tag on one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagEntry {
    pub(super) row: Row,
    pub(super) tag: TagIndex,
    pub(super) cause: CauseIndex,
    pub(super) is_removal: bool,
    /// Whether it is an addition that depends on untrusted data.
    pub(super) is_doubted: bool,
    /// One more than the index of the undecided rule, or of the rule whose template could yield the tag if its data were present.
    /// There may be millions of entries, and this takes half the space of an optional number.
    pub(super) gap: Option<NonZero<u32>>,
}

/// A difference of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueEntry {
    pub(super) row: Row,
    pub(super) to: DeviceValue,
    pub(super) cause: CauseIndex,
    pub(super) is_default: bool,
    /// Whether it depends on untrusted data.
    pub(super) is_doubted: bool,
    /// The undecided rule that it depends on.
    pub(super) gap: Option<u32>,
}

/// All differences, and the tables that they refer to.
pub(super) struct Differences<'a> {
    pub(super) tags: Vec<TagEntry>,
    pub(super) values: Vec<ValueEntry>,
    pub(super) names: TagNames<'a>,
    pub(super) causes: Causes<'a>,
}

impl<'a> Differences<'a> {
    /// An empty list.
    pub(super) fn new(desired: &'a Desired<'a>, sources: &'a Sources) -> Differences<'a> {
        Differences {
            tags: Vec::new(),
            values: Vec::new(),
            names: TagNames::new(desired),
            causes: Causes { desired, sources, list: Vec::new(), numbers: HashMap::new() },
        }
    }
}

/// The plan's tags, each once, and the texts that devices share.
pub(super) struct TagNames<'a> {
    desired: &'a Desired<'a>,
    pub(super) list: Vec<Arc<str>>,
    texts: HashMap<Arc<str>, TagIndex>,
    live: Vec<Option<TagIndex>>,
    /// By code in the snapshot.
    values: Vec<Option<Arc<str>>>,
}

impl<'a> TagNames<'a> {
    fn new(desired: &'a Desired<'a>) -> TagNames<'a> {
        let snapshot = desired.snapshot;
        let live = vec![None; snapshot.tag_count()];
        let codes = 0..snapshot.code_bound(Field::DeviceValue).unwrap_or(1) as u32;
        let value = |code: u32| snapshot.code_text(Field::DeviceValue, code).map(Arc::from);
        TagNames {
            desired,
            list: Vec::new(),
            texts: HashMap::new(),
            live,
            values: codes.map(value).collect(),
        }
    }

    /// Numbers the tags of these devices for [`TagNames::live`]. Tags that no change uses come last, in their order in the
    /// snapshot.
    pub(super) fn observe(&mut self, devices: &DeviceSet) {
        let snapshot = self.desired.snapshot;
        let carried: Vec<AtomicBool> = snapshot.tag_ids().map(|_| AtomicBool::new(false)).collect();
        (0..snapshot.len() as u32).into_par_iter().map(Row).filter(|row| devices.contains(*row)).for_each(
            |row| {
                // Nearly every tag was seen before, and reading it first does not take its cache line from the other cores.
                for tag in snapshot.tags(row).iter().map(|tag| &carried[tag.0 as usize]) {
                    if !tag.load(Ordering::Relaxed) {
                        tag.store(true, Ordering::Relaxed);
                    }
                }
            },
        );
        for (tag, is_carried) in snapshot.tag_ids().zip(carried) {
            if is_carried.into_inner() {
                self.of_live(tag);
            }
        }
    }

    /// The index of an observed tag.
    pub(super) fn live(&self, tag: TagId) -> TagIndex {
        self.live[tag.0 as usize].expect("the tags of devices with changes were observed")
    }

    /// The value of a device as read.
    pub(super) fn value(&self, row: Row) -> Option<&Arc<str>> {
        self.values[self.desired.snapshot.code(Field::DeviceValue, row) as usize].as_ref()
    }

    /// The rank of every tag in bytewise order.
    pub(super) fn places(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.list.len() as u32).collect();
        order.sort_unstable_by_key(|index| &*self.list[*index as usize]);
        let mut places = vec![0; order.len()];
        for (place, index) in order.into_iter().enumerate() {
            places[index as usize] = place as u32;
        }
        places
    }

    /// The index of a tag by its text.
    pub(super) fn of_text(&mut self, text: &Arc<str>) -> TagIndex {
        if let Some(index) = self.texts.get(text) {
            return *index;
        }
        let index = TagIndex(self.list.len() as u32);
        self.list.push(text.clone());
        self.texts.insert(text.clone(), index);
        index
    }

    /// The index of a live tag.
    pub(super) fn of_live(&mut self, tag: TagId) -> TagIndex {
        if let Some(index) = self.live[tag.0 as usize] {
            return index;
        }
        let index = self.of_text(&Arc::from(self.desired.snapshot.tag(tag)));
        self.live[tag.0 as usize] = Some(index);
        index
    }
}

/// A cause, by index into the policy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum CauseSource {
    Rules(Vec<u32>),
    Unselected(Claimed),
    Family(u32),
    Renamed(u32),
    Retired(u32),
    Default,
    Restored(Arc<str>),
}

/// The plan's causes, each once.
pub(super) struct Causes<'a> {
    desired: &'a Desired<'a>,
    sources: &'a Sources,
    pub(super) list: Vec<Cause>,
    numbers: HashMap<CauseSource, CauseIndex>,
}

impl Causes<'_> {
    pub(super) fn number(&mut self, why: CauseSource) -> CauseIndex {
        if let Some(number) = self.numbers.get(&why) {
            return *number;
        }
        let number = CauseIndex(self.list.len() as u32);
        self.list.push(self.cause(&why));
        self.numbers.insert(why, number);
        number
    }

    fn cause(&self, why: &CauseSource) -> Cause {
        let policy = self.desired.policy;
        let place = |span| self.sources.place(span);
        match why {
            CauseSource::Rules(rules) => Cause::Rule(rules.clone()),
            CauseSource::Unselected(Claimed::Claim(index)) => {
                let claim = &policy.claims[*index as usize];
                Cause::Unselected { claim: claim.pattern.to_string(), place: place(claim.span) }
            }
            CauseSource::Unselected(Claimed::Family(index)) => {
                let family = &policy.families[*index as usize];
                Cause::Unselected { claim: family.name.clone(), place: place(family.span) }
            }
            CauseSource::Unselected(Claimed::Rename(index)) => {
                let rename = &policy.renames[*index as usize];
                Cause::Unselected { claim: rename.from.clone(), place: place(rename.span) }
            }
            CauseSource::Family(index) => {
                let family = &policy.families[*index as usize];
                Cause::Family { family: family.name.clone(), place: place(family.span) }
            }
            CauseSource::Renamed(index) => {
                let rename = &policy.renames[*index as usize];
                Cause::Renamed { to: rename.to.as_str().into(), place: place(rename.span) }
            }
            CauseSource::Retired(index) => {
                Cause::Retired { place: place(policy.retire[*index as usize].span) }
            }
            CauseSource::Default => {
                let default = policy.default_value.expect("only a default value is planned by default");
                Cause::Default { place: place(default.span) }
            }
            CauseSource::Restored(run) => Cause::Restored { run: run.clone() },
        }
    }
}
