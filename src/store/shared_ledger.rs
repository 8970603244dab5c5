//! The ledger of several computers: an object in the store for each application, changed under a condition.
//!
//! A request for each call would cost as much as the calls. So slots are reserved several at a time, and the next reservation
//! reports what became of them. Others count a reserved slot as taken until its call must have ended, so that all together exceed
//! no window.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use mdetag_core::apply::budget::{Budget, SlotRecord};
use mdetag_core::plan::Lane;
use mdetag_core::time::Timestamp;

use super::backend::{Condition, SharedCell, Version};

/// The first words of the object, followed by a word that differs in each write.
const HEADER: &str = "mdetag-ledger 1 shared ";

/// How often a write that lost against another computer's is retried.
const TRIES: u32 = 12;

/// How long the object is not used after a failure.
const REST: Duration = Duration::from_secs(30);

/// Times are rounded up to this fraction of a minute, so that calls of the same moment share a line.
const GRAINS: u32 = 600;

/// Larger numbers of calls per lane are not believed: no hour has as many.
const MOST_CALLS: u32 = 20_000;

/// A slot that no process has: represents reserved ones.
const FOREIGN: u64 = u64::MAX;

/// This process's knowledge of the object, and its records that are not written yet.
pub(super) struct SharedLedger {
    cell: SharedCell,
    owner: String,
    writes: u64,
    known: Option<(Option<Version>, LedgerRows)>,
    open: Vec<(Lane, u64, Timestamp)>,
    /// Calls that were answered and are not written yet.
    spent: Vec<(Lane, Timestamp)>,
    /// Lanes that were closed and are not written yet.
    closed: BTreeMap<Lane, Timestamp>,
    rests_until: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LedgerRows {
    stamp: String,
    spent: BTreeMap<(Lane, Timestamp), u32>,
    closed: BTreeMap<Lane, Timestamp>,
    /// By lane and owner: the number of slots, and the time by which their calls start.
    reserved: BTreeMap<(Lane, String), (u32, Timestamp)>,
}

impl SharedLedger {
    /// The ledger in an object that need not exist.
    pub(super) fn new(cell: SharedCell) -> SharedLedger {
        let mut random = [0u8; 8];
        // Without randomness, the process id still differs.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
        let owner = format!("{:x}-{:x}", u64::from_le_bytes(random), std::process::id());
        SharedLedger {
            cell,
            owner,
            writes: 0,
            known: None,
            open: Vec::new(),
            spent: Vec::new(),
            closed: BTreeMap::new(),
            rests_until: None,
        }
    }

    /// Reads the object the first time, and reserves the wanted slots.
    ///
    /// # Errors
    /// The store does not answer, or refuses: the budget is this process's own for a while.
    pub(super) fn before(&mut self, budget: &mut Budget, now: Timestamp) -> Result<()> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let done = if self.known.is_none() { self.look(budget, now) } else { Ok(()) };
        let done = done.and_then(|()| {
            budget.share(true);
            let wanted = budget.wanted();
            if wanted.is_empty() { Ok(()) } else { self.publish(budget, &wanted, now) }
        });
        self.rested(done, budget, now)
    }

    /// Adds the events of this process. A lane that the service closed is written at once.
    ///
    /// # Errors
    /// As [`SharedLedger::before`].
    pub(super) fn after(&mut self, budget: &mut Budget, now: Timestamp) -> Result<()> {
        let mut is_urgent = false;
        for record in budget.drain_records() {
            match record {
                SlotRecord::Taken { lane, slot, at } => self.open.push((lane, slot, at)),
                SlotRecord::Answered { lane, slot, at } => {
                    self.open.retain(|(_, other, _)| *other != slot);
                    self.spent.push((lane, at));
                }
                SlotRecord::Closed { lane, until } => {
                    is_urgent = true;
                    self.closed.insert(lane, until);
                }
            }
        }
        if !is_urgent || self.rests_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let done = self.publish(budget, &[], now);
        self.rested(done, budget, now)
    }

    /// Writes the remaining records, and gives back the reserved slots.
    pub(super) fn end(&mut self, budget: &mut Budget, now: Timestamp) {
        let owns = |rows: &LedgerRows| rows.reserved.keys().any(|(_, owner)| *owner == self.owner);
        let is_told = self.spent.is_empty() && !self.known.as_ref().is_some_and(|(_, rows)| owns(rows));
        budget.share(false);
        if !is_told && self.rests_until.is_none() && self.publish(budget, &[], now).is_err() {
            tracing::debug!("the last calls of this process are not in the shared ledger");
        }
    }

    fn rested(&mut self, done: Result<()>, budget: &mut Budget, now: Timestamp) -> Result<()> {
        self.rests_until = None;
        if done.is_err() {
            self.rests_until = Some(now.plus(REST));
            self.known = None;
            budget.share(false);
        }
        done
    }

    fn look(&mut self, budget: &mut Budget, now: Timestamp) -> Result<()> {
        let found = self.cell.get()?;
        let (version, rows) = match found {
            Some(cell) => (Some(cell.version), LedgerRows::parse(&cell.bytes)),
            None => (None, LedgerRows::default()),
        };
        self.fill(budget, &rows, now);
        self.known = Some((version, rows));
        Ok(())
    }

    /// Fills the windows with the calls of all processes from the object, and with this process's unwritten ones.
    fn fill(&self, budget: &mut Budget, rows: &LedgerRows, now: Timestamp) {
        budget.forget();
        let timeout = budget.limits().call_timeout;
        let mut left: BTreeMap<Lane, u32> = BTreeMap::new();
        let mut merge = |record: SlotRecord, lane: Lane, count: u32| {
            let left = left.entry(lane).or_insert(MOST_CALLS);
            let count = count.min(*left);
            *left -= count;
            (0..count).for_each(|_| budget.merge(record, now));
        };
        for ((lane, at), count) in &rows.spent {
            merge(SlotRecord::Answered { lane: *lane, slot: 0, at: *at }, *lane, *count);
        }
        for ((lane, owner), (count, until)) in &rows.reserved {
            let ended = until.plus(timeout);
            let record = match ended <= now {
                true => SlotRecord::Answered { lane: *lane, slot: 0, at: ended },
                false => SlotRecord::Taken { lane: *lane, slot: FOREIGN, at: *until },
            };
            if *owner != self.owner {
                merge(record, *lane, *count);
            }
        }
        for (lane, until) in rows.closed.iter().chain(&self.closed) {
            budget.merge(SlotRecord::Closed { lane: *lane, until: *until }, now);
        }
        for (lane, at) in &self.spent {
            budget.merge(SlotRecord::Answered { lane: *lane, slot: 0, at: *at }, now);
        }
        for (lane, slot, at) in &self.open {
            budget.merge(SlotRecord::Taken { lane: *lane, slot: *slot, at: *at }, now);
        }
    }

    /// Writes the object with this process's records, and reserves slots of the `wanted` lanes.
    fn publish(&mut self, budget: &mut Budget, wanted: &[Lane], now: Timestamp) -> Result<()> {
        for _ in 0..TRIES {
            if self.known.is_none() {
                self.look(budget, now)?;
            }
            let Some((version, rows)) = self.known.clone() else { continue };
            let before = budget.clone();
            self.fill(budget, &rows, now);
            for lane in wanted {
                budget.reserve(*lane, now);
            }
            self.writes += 1;
            let rows = self.merged_rows(rows, budget, now);
            let condition = version.map_or(Condition::Absent, Condition::Is);
            let written = match self.cell.put(rows.text().into_bytes(), condition) {
                Ok(version) => Some(version),
                // Another computer was first, or the answer to our own write was lost.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let found = self.cell.get()?;
                    found
                        .filter(|cell| LedgerRows::parse(&cell.bytes).stamp == rows.stamp)
                        .map(|cell| cell.version)
                }
                Err(error) => {
                    *budget = before;
                    return Err(error);
                }
            };
            if let Some(version) = written {
                self.known = Some((Some(version), rows));
                self.spent.clear();
                self.closed.clear();
                return Ok(());
            }
            *budget = before;
            self.known = None;
        }
        Err(Error::other("other computers always write it first"))
    }

    /// The object's rows with this process's records, without those that no window counts any more.
    fn merged_rows(&self, mut rows: LedgerRows, budget: &Budget, now: Timestamp) -> LedgerRows {
        let oldest = now.minus(budget.memory());
        let grain = (budget.minute() / GRAINS).as_nanos().div_ceil(100).max(1) as i64;
        for (lane, at) in &self.spent {
            let at =
                Timestamp::from_ticks(at.ticks().div_euclid(grain).saturating_add(1).saturating_mul(grain));
            *rows.spent.entry((*lane, at)).or_default() += 1;
        }
        rows.spent.retain(|(_, at), _| *at > oldest);
        for (lane, until) in &self.closed {
            let known = rows.closed.entry(*lane).or_insert(*until);
            *known = (*known).max(*until);
        }
        rows.closed.retain(|_, until| *until > now);
        rows.reserved.retain(|(_, owner), (_, until)| *owner != self.owner && *until > oldest);
        for lane in Lane::ALL {
            let mut own = budget.reserved(lane, now).unwrap_or((0, now));
            // A call in flight keeps its slot: it started by then.
            own.0 += self.open.iter().filter(|(of, ..)| budget.windows_of(*of) == lane).count() as u32;
            if own.0 > 0 {
                rows.reserved.insert((lane, self.owner.clone()), own);
            }
        }
        rows.stamp = format!("{}-{}", self.owner, self.writes);
        rows
    }
}

impl LedgerRows {
    /// Skips lines that are not a ledger's: they may be torn or foreign, and cost a 429 at most.
    fn parse(bytes: &[u8]) -> LedgerRows {
        let mut rows = LedgerRows::default();
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let Some(stamp) = lines.next().and_then(|line| line.strip_prefix(HEADER)) else { return rows };
        stamp.clone_into(&mut rows.stamp);
        for line in lines {
            let _ = rows.add(line);
        }
        rows
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let lane = |word: &str| Lane::ALL.into_iter().find(|lane| lane.word() == word);
        let time = |word: &str| word.parse().ok().map(Timestamp::from_ticks);
        match words.as_slice() {
            ["u", of, at, count] => {
                *self.spent.entry((lane(of)?, time(at)?)).or_default() = count.parse().ok()?;
            }
            ["r", of, owner, count, until] => {
                let row = (count.parse().ok()?, time(until)?);
                self.reserved.insert((lane(of)?, (*owner).to_owned()), row);
            }
            ["c", of, until] => {
                self.closed.insert(lane(of)?, time(until)?);
            }
            _ => {}
        }
        Some(())
    }

    fn text(&self) -> String {
        let mut text = format!("{HEADER}{}\n", self.stamp);
        for ((lane, at), count) in &self.spent {
            text.push_str(&format!("u {} {} {count}\n", lane.word(), at.ticks()));
        }
        for ((lane, owner), (count, until)) in &self.reserved {
            text.push_str(&format!("r {} {owner} {count} {}\n", lane.word(), until.ticks()));
        }
        for (lane, until) in &self.closed {
            text.push_str(&format!("c {} {}\n", lane.word(), until.ticks()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_foreign_lines_are_passed_over() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let rows = LedgerRows {
            stamp: "a-1".into(),
            spent: [((Lane::Get, at), 3), ((Lane::List, at), 1)].into(),
            closed: [(Lane::Hunting, at)].into(),
            reserved: [((Lane::Get, "a".to_owned()), (5, at))].into(),
        };
        assert_eq!(LedgerRows::parse(rows.text().as_bytes()), rows);
        let torn = format!("{}nonsense\nu get 99999999999999999999 1\nr nowhere b 1 1\nu get 7", rows.text());
        assert_eq!(LedgerRows::parse(torn.as_bytes()), rows);
        assert_eq!(LedgerRows::parse(b"\0\0 not ours\nu get 7 1\n"), LedgerRows::default());
    }
}
