//! The re-read: compares changes that no answer proved with the list, after it has settled.
//!
//! Does not read the list; the caller does, and passes it in.

use std::sync::Arc;

use crate::service::Question;
use crate::time::Timestamp;

use super::changes::{ChangeIndex, ChangeState, Effect, NO_ITEM};
use super::evidence::ReplyEvidence;
use super::run::Run;
use super::{DeviceState, Entry, Outcome};

impl Run<'_> {
    /// When to read the list again: after all tag calls, or all calls, are done and the last unproven answer has settled. `None`:
    /// nothing to re-read, or not yet.
    pub(super) fn reread_due(&self, is_idle: bool) -> Option<Timestamp> {
        if self.verifying.is_some() {
            return None;
        }
        // A device's removals wait for its additions; they must not also wait hours for the values of other devices.
        let last = self.changes.last_doubt(!is_idle)?;
        let is_tag = |change: &ChangeIndex| !matches!(self.changes.get(*change).what, Effect::Value(_));
        let is_due = is_idle
            || self.queues.has_no_tag_work()
                && !self.flights.values().any(|flight| flight.members.iter().any(is_tag));
        is_due.then(|| last.plus(self.options.settle))
    }

    /// Judges the changes by the re-read. `observed` gives the device with an id, if the list has it; `is_trusted`: whether its
    /// absence proves anything.
    pub fn verify(
        &mut self,
        observed: &dyn Fn(&str) -> Option<DeviceState>,
        is_trusted: bool,
        now: Timestamp,
    ) -> Vec<Entry> {
        let Some(asked) = self.verifying.take() else { return self.drain() };
        let settled = asked.minus(self.options.settle);
        let doubts: Vec<ChangeIndex> = self
            .changes
            .doubts
            .iter()
            .filter(|(_, doubt)| doubt.since <= settled)
            .map(|(change, _)| *change)
            .collect();
        for change in doubts {
            self.judge(change, observed, is_trusted, (asked, now));
        }
        if is_trusted {
            self.find_bounced(observed, asked);
        }
        self.emit_ended(now);
        self.drain()
    }

    /// The list could not be read again.
    pub fn verify_failed(&mut self, reason: &str, now: Timestamp) -> Vec<Entry> {
        let Some(asked) = self.verifying.take() else { return self.drain() };
        let settled = asked.minus(self.options.settle);
        let doubts = self.changes.doubts.iter().filter(|(_, doubt)| doubt.since <= settled);
        let (named, doubts): (Vec<_>, Vec<_>) =
            doubts.partition(|(_, doubt)| doubt.evidence == ReplyEvidence::Named);
        let named: Vec<ChangeIndex> = named.into_iter().map(|(change, _)| *change).collect();
        let doubts: Vec<(ChangeIndex, Arc<str>)> = doubts
            .into_iter()
            .map(|(change, doubt)| {
                (*change, format!("{}; the list could not be read again: {reason}", doubt.error).into())
            })
            .collect();
        named.into_iter().for_each(|change| self.ask_named_alone(change));
        for (change, error) in doubts {
            self.changes.end(change, Outcome::Unknown, Some(&error));
        }
        self.emit_ended(now);
        self.drain()
    }

    fn judge(
        &mut self,
        change: ChangeIndex,
        observed: &dyn Fn(&str) -> Option<DeviceState>,
        is_trusted: bool,
        (asked, now): (Timestamp, Timestamp),
    ) {
        let Some(doubt) = self.changes.doubts.get(&change).cloned() else { return };
        let device = self.changes.get(change).device;
        let state = observed(self.changes.device_id(device));
        if doubt.evidence == ReplyEvidence::Named && (state.is_some() || !is_trusted) {
            return self.ask_named_alone(change);
        }
        let waited = Some(asked.since(doubt.since).as_secs());
        let Some(state) = state else {
            let is_missing = matches!(doubt.evidence, ReplyEvidence::Missing | ReplyEvidence::Named);
            if is_trusted {
                match doubt.evidence {
                    ReplyEvidence::Named => self.sightings.note(Question::UnknownId, "refusedNamed", None),
                    ReplyEvidence::Accepted if !matches!(self.changes.get(change).what, Effect::Value(_)) => {
                        self.sightings.note(Question::UnknownId, "partial", None);
                    }
                    _ => {}
                }
            }
            if is_missing && is_trusted {
                return self.changes.end(change, Outcome::Gone, Some(&doubt.error));
            }
            let list = if is_trusted {
                "the list no longer has the device"
            } else {
                "the list that was read again is incomplete"
            };
            let error: Arc<str> = format!("{}; {list}", doubt.error).into();
            return self.changes.end(change, Outcome::Unknown, Some(&error));
        };
        // A lagging list shows the tags from before the call, so nothing seems lost.
        self.check_watched(device, &state, false, now);
        let shown = self.changes.is_so(change, &state);
        if shown == Some(true) {
            if doubt.evidence == ReplyEvidence::Accepted {
                self.sightings.note(Question::ListLag, "measured", waited);
            }
            self.changes.end(change, Outcome::Done, None);
            // The list shows the change, so it is new enough to show the call's other effects.
            return self.check_neighbours(change, &state, now);
        }
        let item = self.changes.get(change).item;
        let is_first_try = item != NO_ITEM && self.is_by_choice(item) && !self.single.works();
        if doubt.evidence == ReplyEvidence::Missing && is_first_try {
            // The list shows the device, so it is the route that does not exist.
            self.leave_single_route(&doubt.error, now);
            self.changes.wait_again(change);
            // Changes that were not sent yet go by bulk calls when their turn comes.
            if !self.queues.item(item).members.as_slice().contains(&change) {
                self.pool(change);
            }
            return;
        }
        if doubt.evidence != ReplyEvidence::Missing {
            // The registry may have restored the removed tag at once, but not the twin that was removed with it.
            self.check_neighbours(change, &state, now);
        }
        // An answer that shows the old state is evidence in itself; a silent one is not, while the list may lag.
        let may_lag =
            doubt.evidence == ReplyEvidence::Accepted && asked < doubt.since.plus(self.options.visibility);
        let (outcome, error) = match doubt.evidence {
            // A device that is listed without its tags or value is there, and nothing more is known.
            ReplyEvidence::None | ReplyEvidence::Accepted | ReplyEvidence::Refuted if shown.is_none() => {
                let missing = match self.changes.get(change).what {
                    Effect::Value(_) => "a value",
                    _ => "its tags",
                };
                let error =
                    format!("{}; the list that was read again shows it without {missing}", doubt.error);
                (Outcome::Unknown, error.into())
            }
            ReplyEvidence::None => (Outcome::Failed, doubt.error),
            ReplyEvidence::Missing => {
                (Outcome::Refused, format!("{}; the list shows the device", doubt.error).into())
            }
            _ if may_lag => {
                self.sightings.note(Question::ListLag, "atLeast", waited);
                let error = format!(
                    "{}, and the list does not show it yet: it may lag; plan again later",
                    doubt.error
                );
                (Outcome::Unknown, error.into())
            }
            _ => (
                Outcome::Bounced,
                "accepted, and a later read shows the old state: another origin holds it".into(),
            ),
        };
        self.changes.end(change, outcome, Some(&error));
    }

    /// Finds changes that an answer confirmed longer ago than the list may lag, and that the list does not show: another origin
    /// holds the old state.
    fn find_bounced(&mut self, observed: &dyn Fn(&str) -> Option<DeviceState>, asked: Timestamp) {
        let error: Arc<str> = "confirmed by its answer, and undone since: another origin holds it".into();
        for change in 0..self.changes.len() {
            let is_old = |confirmed: Timestamp| confirmed.plus(self.options.visibility) <= asked;
            if self.changes.get(change).state != ChangeState::Ended(Outcome::Done)
                || !self.changes.confirmed_at(change).is_some_and(is_old)
            {
                continue;
            }
            let device = self.changes.get(change).device;
            let state = observed(self.changes.device_id(device));
            if state.is_some_and(|state| self.changes.is_so(change, &state) == Some(false)) {
                self.changes.revise(change, Outcome::Bounced, &error);
            }
        }
    }
}
