//! What is known beside the list: changes that are contested or pending, from the journals of a tenant, and tags whose
//! origin hunting named.

use crate::store::history::{self, Present};
use mdetag_core::plan::{History, Plan, WithheldReason, stale};
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::source::Source;

/// The history of a tenant; empty where no tenant is named or nothing ran yet.
pub fn history(context: &Context, source: &Source, policy: &str, retry_contested: bool) -> History {
    let Some(state) = &source.state else { return History::default() };
    let (now, visibility) = (context.clock.now(), context.settings.writes.visibility);
    let mut history = history::read(state, Present { now, visibility, policy, retry_contested });
    if !retry_contested {
        // What hunting says of an origin is better than what bounces let guess.
        history.contested.extend(source.origins.iter().map(|(key, origin)| (key.clone(), origin.clone())));
    }
    history
}

/// Keeps which pending changes a trusted live read still did not show.
pub fn keep(source: &Source, plan: &Plan, read_at: Timestamp) {
    let (Some(_), Some(state)) = (&source.session, &source.state) else { return };
    if !plan.is_trusted() {
        return;
    }
    let pending = plan.pending.iter().filter(|group| group.reason == WithheldReason::Pending);
    let keys: Vec<_> =
        pending.flat_map(|group| &group.devices).flat_map(|change| stale::keys(plan, change)).collect();
    if let Err(error) = history::keep_pending(state, read_at, keys.iter()) {
        tracing::warn!(%error, "cannot keep which changes are pending");
    }
}
