//! The findings about a tenant's service, for commands that plan and write.
//!
//! Sends nothing and trusts nothing: bad, old or foreign findings are reported and left out.

use mdetag::store::service_file;
use mdetag::store::state::StateDir;
use mdetag_core::plan::TenantReference;
use mdetag_core::probe::KnownService;
use mdetag_core::report::escape::terminal;

use super::context::Context;

/// The findings of the stored profile that count; empty if there are none.
pub fn read(context: &Context, state: &StateDir, tenant: &TenantReference) -> KnownService {
    let known = match service_file::read(state) {
        Ok(None) => return KnownService::default(),
        Ok(Some(profile)) => profile.known(tenant, context.policy_now()).map_err(str::to_owned),
        Err(error) => Err(error.to_string()),
    };
    known.unwrap_or_else(|why| {
        let why = terminal(&why).into_owned();
        context.console.say(&format!("note: the service profile is not used: {why}"));
        KnownService::default()
    })
}
