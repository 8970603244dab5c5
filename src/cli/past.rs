//! What earlier runs know: changes that are contested or pending, from the journals of a tenant.

use crate::plan::History;
use crate::store::journal;
use crate::store::state::StateDir;

use super::context::Context;
use super::failure::Failure;

/// The history of a tenant; empty where no tenant is named or nothing ran yet.
///
/// # Errors
/// Journals that cannot be read.
pub fn history(context: &Context, state: Option<&StateDir>) -> Result<History, Failure> {
    let Some(state) = state else { return Ok(History::default()) };
    let visibility = context.settings.writes.visibility;
    journal::history(state, context.clock.now(), visibility).map_err(|error| Failure::file(super::failure::chain(&error)))
}
