//! Restores the device: removes scratch tags, and puts back tags that the probe removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::asking::{Answer, Interrupted, MAX_CALLS, ProbeCall, ProbeClient};
use super::judge::is_refusal;
use super::measure::{FOUND, Measured};
use super::scratch::is_scratch;
use crate::apply::{DeviceState, TagAction};

/// How long clean-up waits before each further read of what it wrote, if answers do not show the device.
const WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(240)];

/// Changes that a probe may have left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// The device before the probe, if it may lack one of its own tags: after a `PATCH`.
    pub before: Option<DeviceState>,
    /// Scratch tags that were added; a lagging read may not show them yet.
    pub tags: Vec<Arc<str>>,
    /// The most calls of the clean-up.
    pub calls: u32,
}

impl Leftover {
    /// The leftover of a probe that just ended.
    pub fn of(measured: &Measured) -> Leftover {
        Leftover {
            before: measured.before.clone().filter(|_| measured.patched),
            tags: measured.left.clone(),
            calls: MAX_CALLS - FOUND - measured.calls,
        }
    }
}

/// Removes every scratch tag from the device `id`, and puts back its own tags that it lost. Returns the device from the last
/// answer, without scratch tags.
///
/// # Errors
/// The device cannot be read, or is not restored; in words for `doctor`.
pub async fn clean_up<A: ProbeClient>(
    client: &mut A,
    id: &Arc<str>,
    leftover: &Leftover,
) -> Result<DeviceState, Interrupted> {
    let before = leftover.before.as_ref();
    let mut calls = Calls { client, left: leftover.calls };
    let mut unseen: Vec<Arc<str>> = leftover.tags.clone();
    // A lagging read may show tags that are gone. Adding a tag that is present changes nothing.
    let mut unsure: Vec<Arc<str>> = own(before).cloned().collect();
    let mut now = match unseen.is_empty() && unsure.is_empty() {
        true => Some(calls.read().await?),
        false => None,
    };
    let mut may_lag = true;
    let mut accepted = BTreeSet::new();
    let mut waits = WAITS.into_iter();
    loop {
        let open = work(now.as_ref(), before, (&unseen, &unsure));
        if let Some(now) = now.take_if(|_| open.is_empty()) {
            return Ok(now);
        }
        // A change that the service accepted is not sent again only because a read does not show it yet.
        let is_due = |work: &TagRepair| !may_lag || !accepted.contains(work);
        let due: Vec<TagRepair> = open.into_iter().filter(is_due).collect();
        let mut shown = None;
        for work in due {
            let (tag, action) = &work;
            let call = ProbeCall::Bulk { tag: Arc::clone(tag), action: *action, ids: vec![Arc::clone(id)] };
            let answer = calls.send(&call).await?;
            shown = None;
            if answer.is_success() || is_refusal(&answer) {
                unseen.retain(|unseen| unseen != tag);
                unsure.retain(|unsure| unsure != tag);
                shown = answer.device;
                accepted.insert(work);
            }
        }
        may_lag = shown.is_none();
        now = match shown {
            Some(shown) => Some(shown),
            None => {
                calls.client.pause(waits.next().unwrap_or(WAITS[WAITS.len() - 1])).await?;
                Some(calls.read().await?)
            }
        };
    }
}

/// One change of a tag.
type TagRepair = (Arc<str>, TagAction);

/// Tags to put back, then tags to remove, so that the device never leaves a group between two calls.
fn work(
    now: Option<&DeviceState>,
    before: Option<&DeviceState>,
    (unseen, unsure): (&[Arc<str>], &[Arc<str>]),
) -> Vec<TagRepair> {
    let shown = now.map(|now| now.tags.as_slice()).unwrap_or_default();
    let lost = own(before).filter(|tag| unsure.contains(tag) || now.is_some() && !shown.contains(tag));
    let lost = lost.map(|tag| (Arc::clone(tag), TagAction::Add));
    let scratch: BTreeSet<&Arc<str>> = shown.iter().chain(unseen).filter(|tag| is_scratch(tag)).collect();
    lost.chain(scratch.into_iter().map(|tag| (Arc::clone(tag), TagAction::Remove))).collect()
}

/// The device's own tags.
fn own(before: Option<&DeviceState>) -> impl Iterator<Item = &Arc<str>> {
    before.into_iter().flat_map(|before| &before.tags).filter(|tag| !is_scratch(tag))
}

struct Calls<'a, A> {
    client: &'a mut A,
    left: u32,
}

impl<A: ProbeClient> Calls<'_, A> {
    async fn send(&mut self, call: &ProbeCall) -> Result<Answer, Interrupted> {
        let Some(left) = self.left.checked_sub(1) else {
            let why = "the device still shows what the probe wrote; it may lag behind: clean up again in some minutes";
            return Err(Interrupted(why.to_owned()));
        };
        self.left = left;
        self.client.send(call).await
    }

    async fn read(&mut self) -> Result<DeviceState, Interrupted> {
        let answer = self.send(&ProbeCall::Device).await?;
        let shape = answer.shape();
        let device = answer.device.filter(|_| (200..300).contains(&answer.status));
        device.ok_or_else(|| Interrupted(format!("the device cannot be read ({shape})")))
    }
}
