//! Putting the device back: scratch tags go, tags that the probe took come back.

use std::sync::Arc;

use super::asking::{Ask, Asker, Interrupted};
use super::scratch::is_scratch;
use crate::apply::{DeviceState, TagAction};

/// Removes every scratch tag of the device `id` and puts back the tags of `before` that it lost, in at most `calls` calls.
/// Returns the device as the last answer shows it, which has to equal `before` without scratch tags.
///
/// # Errors
/// The device cannot be read or does not come back; in words, for `doctor`.
pub async fn clean_up<A: Asker>(
    asker: &mut A,
    id: &Arc<str>,
    before: Option<&DeviceState>,
    calls: u32,
) -> Result<DeviceState, Interrupted> {
    let mut calls = Calls { asker, left: calls };
    let mut now = calls.read().await?;
    loop {
        let work = work(&now, before);
        if work.is_empty() {
            return Ok(now);
        }
        let mut shown = None;
        for (tag, action) in work {
            let ask = Ask::Bulk { tag, action, ids: vec![Arc::clone(id)] };
            shown = calls.ask(&ask).await?.device;
        }
        // The answer to the last write knows them all; a read may lag behind it.
        now = match shown {
            Some(shown) => shown,
            None => calls.read().await?,
        };
    }
}

/// Tags to put back, then tags to take off: a device never falls out of a group between two calls.
fn work(now: &DeviceState, before: Option<&DeviceState>) -> Vec<(Arc<str>, TagAction)> {
    let own = before.into_iter().flat_map(|before| &before.tags).filter(|tag| !is_scratch(tag));
    let lost = own.filter(|tag| !now.tags.contains(tag)).map(|tag| (Arc::clone(tag), TagAction::Add));
    let scratch = now.tags.iter().filter(|tag| is_scratch(tag));
    lost.chain(scratch.map(|tag| (Arc::clone(tag), TagAction::Remove))).collect()
}

struct Calls<'a, A> {
    asker: &'a mut A,
    left: u32,
}

impl<A: Asker> Calls<'_, A> {
    async fn ask(&mut self, ask: &Ask) -> Result<super::Answer, Interrupted> {
        let Some(left) = self.left.checked_sub(1) else {
            let why = "the device still shows what the probe wrote; it may lag behind: clean up again in some minutes";
            return Err(Interrupted(why.to_owned()));
        };
        self.left = left;
        self.asker.ask(ask).await
    }

    async fn read(&mut self) -> Result<DeviceState, Interrupted> {
        let answer = self.ask(&Ask::Device).await?;
        let shape = answer.shape();
        let device = answer.device.filter(|_| (200..300).contains(&answer.status));
        device.ok_or_else(|| Interrupted(format!("the device cannot be read ({shape})")))
    }
}
