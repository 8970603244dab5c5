//! Results of the hunting queries of a policy set: recorded in a file, or run.
//!
//! Decides nothing; a query without a result is refused by `selection`.

use crate::policy::Policy;
use crate::selection::{self, HuntingResults};
use crate::store::regular_file;

use super::context::Context;
use super::failure::Failure;
use super::session::{Session, unreachable_tenant};

/// Recorded results from `--hunting-results`, or none.
///
/// # Errors
/// A file that cannot be read or holds something else.
pub fn recorded(context: &Context) -> Result<HuntingResults, Failure> {
    let Some(path) = &context.global.hunting_results else { return Ok(HuntingResults::default()) };
    let named = |error: String| Failure::file(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| named(regular_file::reason(&error)))?;
    HuntingResults::from_json(&bytes).map_err(named)
}

/// Results of every query of the set: recorded ones, else live ones.
///
/// # Errors
/// A recorded file that cannot be used; without one: a missing role, and every query that fails or is cut.
pub async fn results(
    context: &Context,
    policy: Option<&Policy>,
    session: &Session,
) -> Result<HuntingResults, Failure> {
    let mut results = recorded(context)?;
    if context.global.hunting_results.is_some() {
        return Ok(results);
    }
    let queries = policy.map(|policy| selection::queries(policy, context.policy_now())).unwrap_or_default();
    if queries.is_empty() {
        return Ok(results);
    }
    let hunter = session.tenant.hunter().await.map_err(unreachable_tenant)?;
    for query in queries {
        let hunted = hunter
            .run(&query.query, &query.column, session.ledger.as_ref())
            .await
            .map_err(unreachable_tenant)?;
        tracing::info!(
            rows = hunted.rows,
            devices = hunted.devices.len(),
            unusable = hunted.unusable,
            "hunting query ran"
        );
        results.insert(&query, hunted.devices);
    }
    Ok(results)
}
