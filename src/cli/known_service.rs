//! What was measured of the service of a tenant, for the commands that plan and write.
//!
//! Calls nothing, and believes nothing: what is bad, old or another tenant's is told and left out.

use mdetag::store::service_file;
use mdetag::store::state::StateDir;
use mdetag_core::plan::TenantReference;
use mdetag_core::probe::{KnownService, ServiceProfile};
use mdetag_core::report::escape::terminal;

use super::context::Context;
use super::session::Session;

/// What counts of the kept profile; nothing where there is none, or where nothing of it counts.
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

/// Keeps what a run saw of the service for free, and says where it differs from what was measured: that counts no more.
pub fn learn(context: &Context, session: &Session) {
    let seen = session.tenant.sightings();
    let contradicted = session.known.contradicted(&seen);
    for (question, verdict, _) in &contradicted {
        let measured = session.known.verdict(*question).unwrap_or_default();
        context.console.say(&format!(
            "note: the service was measured otherwise: {} is {verdict}, not {measured}; later runs do not use that measurement",
            question.word()
        ));
    }
    let contradicted: Vec<_> = contradicted.into_iter().map(|(question, ..)| question).collect();
    let (check, now) = (Some(ServiceProfile::check_of(&session.reference)), session.ledger.clock().now());
    let kept = service_file::update(&session.state, |profile| {
        if profile.check != check {
            *profile = ServiceProfile { check: check.clone(), ..ServiceProfile::default() };
        }
        profile.learn(&seen, &contradicted, now)
    });
    if let Err(error) = kept {
        tracing::debug!(%error, "cannot keep what this run saw of the service");
    }
}
