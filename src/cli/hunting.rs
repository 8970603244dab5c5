//! Results of the hunting queries of a policy set: recorded in a file, or fetched; and the origins of tags.
//!
//! Decides nothing; a query without a result is refused by `selection`.

use std::collections::BTreeMap;
use std::sync::Arc;

use mdetag::store::path_text::shown;
use mdetag::store::regular_file;
use mdetag::tenant::OriginsOf;
use mdetag_core::apply::Origins;
use mdetag_core::plan::{ChangeKey, ChangeWhat};
use mdetag_core::policy::Policy;
use mdetag_core::selection::{self, HuntingResults};

use super::context::Context;
use super::failure::Failure;
use super::progress::Reading;
use super::session::{Session, unreachable_tenant};

/// The largest file of results: a row of 1,000 bytes for each of two million devices.
const MAX_BYTES: u64 = 2 << 30;

/// Recorded results from `--hunting-results`, or none.
///
/// # Errors
/// An unreadable file, or one with other content.
pub fn recorded(context: &Context) -> Result<HuntingResults, Failure> {
    let Some(path) = &context.global.hunting_results else { return Ok(HuntingResults::default()) };
    let named = |error: String| Failure::file(format!("{}: {error}", shown(path)));
    let bytes = regular_file::argument(path, MAX_BYTES).map_err(named)?;
    HuntingResults::from_json(&bytes).map_err(named)
}

/// Results of every query of the set: recorded ones, else live ones. Includes those of the `--base` set; a query of both runs
/// once.
///
/// # Errors
/// An unusable recorded file; without one: a missing role, and every query that fails or is truncated.
pub async fn results(
    context: &Context,
    policy: Option<&Policy>,
    base: Option<&Policy>,
    session: &Session,
) -> Result<HuntingResults, Failure> {
    let mut results = recorded(context)?;
    if context.global.hunting_results.is_some() {
        return Ok(results);
    }
    let own = selection::queries(policy.as_slice(), context.policy_now());
    let both: Vec<&Policy> = policy.into_iter().chain(base).collect();
    let queries = selection::queries(&both, context.policy_now());
    if queries.is_empty() {
        return Ok(results);
    }
    if session.is_sandbox() {
        context.console.say(
            "note: the sandbox does not interpret KQL: it knows plain columns of DeviceInfo; give other results with --hunting-results",
        );
    }
    let hunter = session.tenant.hunter().await.map_err(unreachable_tenant)?;
    let reading = Reading::start(context, &session.ledger);
    for query in queries {
        let columns: Vec<&str> = query.columns.iter().map(String::as_str).collect();
        let rows = match hunter.run(&query.text, &columns, &reading).await {
            Err(error) if own.iter().all(|own| own.text.trim() != query.text.trim()) => {
                // The base then cannot be planned, which is reported; the current set does not need it.
                context.console.say(&format!("warning: a hunting query of the base has no result: {error}"));
                continue;
            }
            rows => rows.map_err(unreachable_tenant)?,
        };
        tracing::info!(rows = rows.len(), "hunting query ran");
        results.insert(&query.text, rows);
    }
    Ok(results)
}

/// Hunting's knowledge of the origins of tags.
#[derive(Default)]
pub struct KnownOrigins {
    /// Removals that would not last, with the origin of their tags.
    pub foreign: BTreeMap<ChangeKey, String>,
    /// Manual and foreign tags by device.
    pub known: Origins,
}

/// The origins of tags: asked once, if `writes.origins` is on. Asks for all devices only if a combined `PATCH` must know the
/// manual tags.
///
/// # Errors
/// A missing role, and a query that fails or is truncated.
pub async fn origins(context: &Context, session: &Session) -> Result<KnownOrigins, Failure> {
    let mut found = KnownOrigins::default();
    let writes = &context.settings.writes;
    if !writes.origins {
        return Ok(found);
    }
    let devices = if writes.combine { OriginsOf::All } else { OriginsOf::Foreign };
    let hunter = session.tenant.hunter().await.map_err(unreachable_tenant)?;
    let reading = Reading::start(context, &session.ledger);
    for origins in hunter.origins(devices, &reading).await.map_err(unreachable_tenant)? {
        let device: Arc<str> = origins.device.as_str().into();
        let registry =
            origins.registry.iter().map(|tag| (tag, "the device's registry or its management profile"));
        let dynamic = origins.dynamic.iter().map(|tag| (tag, "a dynamic rule"));
        for (tag, origin) in registry.chain(dynamic).filter(|(tag, _)| origins.is_foreign(tag)) {
            let what = ChangeWhat::Remove(tag.as_str().into());
            found
                .foreign
                .insert(ChangeKey { device: device.clone(), what }, format!("{origin} sets the tag"));
        }
        let foreign = origins.registry.iter().chain(&origins.dynamic);
        let shared = |tag: &String| Arc::from(tag.as_str());
        found.known.insert(device, origins.manual.iter().map(shared), foreign.map(shared));
    }
    tracing::info!(tags = found.foreign.len(), "tags of other origins");
    Ok(found)
}
