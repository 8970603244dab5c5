//! Stores a run's observations of the service, beside the findings of probes.
//!
//! Sends nothing; `known_service` decides what counts.

use mdetag::store::service_file;
use mdetag_core::probe::ServiceProfile;

use super::context::Context;
use super::session::Session;

/// Stores a run's observations of the service, and reports those that contradict findings, which then no longer count.
pub fn learn(context: &Context, session: &Session) {
    let seen = session.tenant.sightings();
    let mut contradicted = session.known.contradicted(&seen);
    if !contradicted.is_empty() {
        // Reported once, by the run that marks it, and not again by a later read of the same run.
        let kept = service_file::read(&session.state).ok().flatten().unwrap_or_default();
        contradicted.retain(|(question, ..)| !kept.is_stale(*question));
    }
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
