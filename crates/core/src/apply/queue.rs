//! Items and their queues: which one each lane sends next, and which wait for time or for a device.
//!
//! Does not know the budget or the meaning of answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use crate::device::DeviceValue;
use crate::plan::Lane;
use crate::time::Timestamp;

use super::TagAction;
use super::changes::ChangeIndex;
use super::isolation::Isolation;

pub(super) type ItemIndex = u32;

/// The queue of an item, in the order of preference if lanes are equally busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queue {
    /// Combined devices that were just read, to be written before somebody else writes.
    Write,
    /// A bulk call with one device that tests whether the bulk route is closed to us.
    Probe,
    Bulk,
    Single,
    /// Values that must use `setDeviceValue`, because `PATCH` refused them.
    SetValue,
    Value,
    /// Combined devices to be read.
    Read,
}

impl Queue {
    pub(super) const ALL: [Queue; 7] =
        [Queue::Write, Queue::Probe, Queue::Bulk, Queue::Single, Queue::SetValue, Queue::Value, Queue::Read];

    /// The lanes that serve it. Values use `PATCH` only if `both` routes are chosen.
    pub(super) fn lanes(self, both: bool) -> &'static [Lane] {
        match self {
            Queue::Write => &[Lane::UpdateDevice],
            Queue::Probe | Queue::Bulk => &[Lane::BulkTag],
            Queue::Single => &[Lane::SingleTag],
            Queue::Value if both => &[Lane::SetValue, Lane::UpdateDevice],
            Queue::SetValue | Queue::Value => &[Lane::SetValue],
            Queue::Read => &[Lane::Get],
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum ItemKind {
    Tags {
        tag: u32,
        action: TagAction,
    },
    /// One value on one device.
    Value(DeviceValue),
    /// All changes of one device in one `PATCH`, after a read.
    Combined {
        list: Option<PatchBody>,
        has_written: bool,
    },
}

/// The content of a combined write, built from a read at `read_at`.
#[derive(Clone, Debug)]
pub(super) struct PatchBody {
    pub(super) value: Option<DeviceValue>,
    pub(super) tags: Option<Vec<Arc<str>>>,
    /// The tags in that read.
    pub(super) before: Vec<Arc<str>>,
    pub(super) read_at: Timestamp,
}

/// The changes of one call. One change needs no allocation, because there may be a million values.
#[derive(Clone, Debug)]
pub(super) enum ItemChanges {
    One(ChangeIndex),
    Many(Vec<ChangeIndex>),
}

impl ItemChanges {
    pub(super) fn from(mut members: Vec<ChangeIndex>) -> ItemChanges {
        if members.len() == 1 { ItemChanges::One(members.remove(0)) } else { ItemChanges::Many(members) }
    }

    pub(super) fn as_slice(&self) -> &[ChangeIndex] {
        match self {
            ItemChanges::One(member) => std::slice::from_ref(member),
            ItemChanges::Many(members) => members,
        }
    }
}

/// A unit of work. Its changes go in one call, or, after a rejection, in several consecutive ones.
#[derive(Clone, Debug)]
pub(super) struct WorkItem {
    pub(super) kind: ItemKind,
    pub(super) queue: Queue,
    pub(super) priority: i64,
    /// The changes of the next call.
    pub(super) members: ItemChanges,
    /// The changes of further calls, in order. A change may be in several, and is sent once.
    pub(super) rest: VecDeque<Vec<ChangeIndex>>,
    /// Number of times the next call was sent without a clear answer.
    pub(super) tries: u8,
    /// Number of 404s that it got.
    pub(super) misses: u8,
    /// Whether a try may have reached the service.
    pub(super) may_have_effect: bool,
    /// Number of members that are not released yet.
    pub(super) blockers: u32,
    /// Some member is a twin's removal: it goes after everything else.
    pub(super) is_last: bool,
    pub(super) isolation: Option<Box<Isolation>>,
}

impl WorkItem {
    pub(super) fn new(kind: ItemKind, queue: Queue, priority: i64, members: ItemChanges) -> WorkItem {
        WorkItem {
            kind,
            queue,
            priority,
            members,
            rest: VecDeque::new(),
            tries: 0,
            misses: 0,
            may_have_effect: false,
            blockers: 0,
            is_last: false,
            isolation: None,
        }
    }

    /// Whether it was sent before: retries and splits go before new work.
    pub(super) fn is_retry(&self) -> bool {
        self.tries > 0 || self.misses > 0 || self.isolation.is_some()
    }
}

/// The smaller goes first: retries, then priority, then size, then age; twins' removals after everything.
type Rank = (u8, Reverse<i64>, Reverse<u32>, ItemIndex);

/// All items, ready, delayed, or waiting for a device.
#[derive(Default)]
pub(super) struct Queues {
    items: Vec<WorkItem>,
    ready: [BinaryHeap<Reverse<Rank>>; Queue::ALL.len()],
    delayed: BinaryHeap<Reverse<(Timestamp, ItemIndex)>>,
    parked: HashMap<u32, Vec<ItemIndex>>,
    parked_count: usize,
    moves: u64,
    /// Single changes that will go in bulk calls: repairs, and leftovers of other routes.
    pool: BTreeMap<(u32, TagAction), Vec<ChangeIndex>>,
}

impl Queues {
    pub(super) fn push(&mut self, item: WorkItem) -> ItemIndex {
        self.items.push(item);
        self.items.len() as ItemIndex - 1
    }

    pub(super) fn item(&self, index: ItemIndex) -> &WorkItem {
        &self.items[index as usize]
    }

    pub(super) fn item_mut(&mut self, index: ItemIndex) -> &mut WorkItem {
        &mut self.items[index as usize]
    }

    /// Puts an item into its queue.
    pub(super) fn enqueue(&mut self, index: ItemIndex) {
        let item = &self.items[index as usize];
        let class = match (item.is_retry(), item.is_last) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let size = item.members.as_slice().len() as u32;
        let rank = (class, Reverse(item.priority), Reverse(size), index);
        self.ready[item.queue as usize].push(Reverse(rank));
        self.moves += 1;
    }

    /// Number of times that anything entered a queue or the pool, or left a queue. Equal numbers mean that nothing moved.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// The next item of a queue.
    pub(super) fn peek(&self, queue: Queue) -> Option<ItemIndex> {
        self.ready[queue as usize].peek().map(|Reverse((_, _, _, index))| *index)
    }

    pub(super) fn pop(&mut self, queue: Queue) -> Option<ItemIndex> {
        // An item that turns out to need no call makes room for pooled changes, so the dispatcher must look again.
        self.moves += 1;
        self.ready[queue as usize].pop().map(|Reverse((_, _, _, index))| index)
    }

    /// Removes an item from its queue, at any position; returns whether it was there.
    pub(super) fn take(&mut self, queue: Queue, wanted: ItemIndex) -> bool {
        let before = self.ready[queue as usize].len();
        self.ready[queue as usize].retain(|Reverse((_, _, _, index))| *index != wanted);
        self.ready[queue as usize].len() < before
    }

    /// Moves items picked evenly from a queue to its front, so that a few calls are representative of all.
    pub(super) fn draw_evenly(&mut self, queue: Queue, count: usize) {
        let mut waiting = std::mem::take(&mut self.ready[queue as usize]).into_sorted_vec();
        let step = (waiting.len() / count).max(1);
        for Reverse(rank) in waiting.iter_mut().step_by(step).take(count) {
            rank.0 = 0;
        }
        self.ready[queue as usize] = waiting.into();
    }

    /// Queues an item again at a later moment.
    pub(super) fn delay(&mut self, index: ItemIndex, until: Timestamp) {
        self.delayed.push(Reverse((until, index)));
    }

    /// Enqueues delayed items whose time has come.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse((until, index))) = self.delayed.peek().copied() {
            if until > now {
                break;
            }
            self.delayed.pop();
            self.enqueue(index);
        }
    }

    /// The time of the next delayed item.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.delayed.peek().map(|Reverse((until, _))| *until)
    }

    /// Sets an item aside until a device is free.
    pub(super) fn park(&mut self, index: ItemIndex, device: u32) {
        self.parked.entry(device).or_default().push(index);
        self.parked_count += 1;
    }

    /// Queues the items again that waited for this device.
    pub(super) fn unpark(&mut self, device: u32) {
        for index in self.parked.remove(&device).unwrap_or_default() {
            self.parked_count -= 1;
            self.enqueue(index);
        }
    }

    pub(super) fn has_ready(&self, queue: Queue) -> bool {
        !self.ready[queue as usize].is_empty()
    }

    pub(super) fn has_delayed(&self) -> bool {
        !self.delayed.is_empty()
    }

    /// Items with a try that may have reached the service.
    pub(super) fn unclear(&self) -> Vec<ItemIndex> {
        let items = self.items.iter().enumerate();
        items.filter(|(_, item)| item.may_have_effect).map(|(index, _)| index as ItemIndex).collect()
    }

    /// Items that wait for one of their members.
    pub(super) fn blocked(&self) -> impl Iterator<Item = ItemIndex> {
        let items = self.items.iter().enumerate();
        items.filter(|(_, item)| item.blockers > 0).map(|(index, _)| index as ItemIndex)
    }

    /// Whether nothing is ready, delayed, set aside or pooled.
    pub(super) fn is_idle(&self) -> bool {
        self.ready.iter().all(BinaryHeap::is_empty)
            && self.delayed.is_empty()
            && self.parked_count == 0
            && self.pool.is_empty()
    }

    /// Whether no tag call is ready, delayed or set aside.
    pub(super) fn has_no_tag_work(&self) -> bool {
        let is_tag = |index: ItemIndex| matches!(self.item(index).kind, ItemKind::Tags { .. });
        !self.has_ready(Queue::Probe)
            && !self.has_ready(Queue::Bulk)
            && !self.has_ready(Queue::Single)
            && self.pool.is_empty()
            && !self.delayed.iter().any(|Reverse((_, index))| is_tag(*index))
            && !self.parked.values().flatten().any(|index| is_tag(*index))
    }

    /// Leaves a change to a later bulk call.
    pub(super) fn pool(&mut self, tag: u32, action: TagAction, change: ChangeIndex) {
        self.pool.entry((tag, action)).or_default().push(change);
        self.moves += 1;
    }

    pub(super) fn has_pooled(&self) -> bool {
        !self.pool.is_empty()
    }

    pub(super) fn drain_pool(&mut self) -> BTreeMap<(u32, TagAction), Vec<ChangeIndex>> {
        std::mem::take(&mut self.pool)
    }
}
