//! The state of a tenant for a command: from its folder or store.
//!
//! A store is opened once per command. Read-only commands continue without it, and say which figures are missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use mdetag::store::backend::{self, Bucket, ObjectBucket, StatePlace, StoreAddress, UnreachableStore};
use mdetag::store::path_text::shown;
use mdetag::store::state::{SANDBOX, StateDir};
use mdetag::store::state_copy;
use mdetag_core::plan::TenantReference;
use mdetag_core::report::escape::terminal;
use mdetag_core::time::Timestamp;

use super::ci;
use super::context::Context;
use super::failure::Failure;

/// Why the state is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateNeed {
    /// For writing to the tenant: nothing is written without it.
    Must,
    /// For reading: its figures are missing without it, which is reported.
    May,
}

/// The state of a fully named tenant.
///
/// # Errors
/// A cloud or id that cannot name a folder; if it must be available, an unusable store.
pub fn of_tenant(context: &Context, tenant: &TenantReference, need: StateNeed) -> Result<StateDir, Failure> {
    let StatePlace::Store(address) = &context.place else {
        if need == StateNeed::Must {
            original(context)?;
        }
        return local(context, tenant);
    };
    let (cloud, id) = (tenant.cloud.as_deref().unwrap_or_default(), tenant.id.as_deref().unwrap_or_default());
    let sandbox = tenant.name.as_deref().filter(|_| cloud == SANDBOX);
    let kept: Arc<dyn backend::Backend> = match opened(context, address) {
        Ok(objects) => Arc::new(Bucket::new(objects.clone(), objects, context.clock.clone())),
        Err(why) if need == StateNeed::Must => {
            return Err(Failure::file(format!("the state in {address} cannot be used: {why}"))
                .help("nothing was written; `mdetag doctor` looks at the state as well"));
        }
        Err(why) => {
            context.console.complain(&format!(
                "warning: the state in {address} cannot be used: {why}\nmissing: what earlier runs counted (maxShrink, the day's figures), contested and pending changes, and the runs"
            ));
            Arc::new(UnreachableStore)
        }
    };
    StateDir::in_store(kept, &address.to_string(), cloud, sandbox, id).map_err(Failure::file)
}

/// A warning if the state is in the default folder of a CI job, whose computer the next job does not have.
pub fn local_in_ci(context: &Context) -> Option<String> {
    let is_lost = context.is_default_place && context.global.sandbox.is_none() && ci::is_ci();
    is_lost.then(|| {
        format!(
            "state lies in {} on this runner: the next job has it only if it is carried there, and another job does not see this one's lock",
            shown(&context.state_dir())
        )
    })
}

/// The advice for that.
pub const NAME_A_STORE: &str =
    "set MDETAG_STATE to azblob://ACCOUNT/CONTAINER/PREFIX or s3://BUCKET/PREFIX (docs/state.md)";

/// The folder of a tenant on this computer.
///
/// # Errors
/// A cloud or id that cannot name a folder.
pub fn local(context: &Context, tenant: &TenantReference) -> Result<StateDir, Failure> {
    in_folder(&context.state_dir(), tenant)
}

/// The folder of a tenant in another state directory.
///
/// # Errors
/// Those of [`local`].
pub fn in_folder(state: &Path, tenant: &TenantReference) -> Result<StateDir, Failure> {
    let (cloud, id) = (tenant.cloud.as_deref().unwrap_or_default(), tenant.id.as_deref().unwrap_or_default());
    match (cloud, tenant.name.as_deref()) {
        (SANDBOX, Some(name)) => StateDir::of_sandbox(state, name, id),
        _ => StateDir::new(state, cloud, id),
    }
    .map_err(Failure::file)
}

/// Refuses a folder that is a copy, because its lock keeps nobody out of the original state.
///
/// # Errors
/// It is one, or that cannot be found out.
pub fn original(context: &Context) -> Result<(), Failure> {
    let folder = context.state_dir();
    let looked = || match state_copy::mark_below(&folder) {
        Ok(mark) => Ok(mark.map(|mark| (mark.from, mark.at))),
        Err(error) => Err(format!("{}: {error}", shown(&folder))),
    };
    match context.copied_from.get_or_init(looked) {
        Ok(None) => Ok(()),
        Ok(Some((from, at))) => Err(Failure::file(format!(
            "{} is a copy of {}, made at {}",
            shown(&folder),
            terminal(from),
            at.rounded_down()
        ))
        .help("use the state itself with --state, and bring the copy there with `mdetag state push`")),
        Err(why) => Err(Failure::file(why.clone())),
    }
}

/// The store, tested.
///
/// # Errors
/// A sentence: no container, no rights, a wrong clock, conditions that are ignored.
pub fn opened(context: &Context, address: &StoreAddress) -> Result<Arc<ObjectBucket>, String> {
    let open = || {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let objects =
            backend::connect(address, &variables, &context.clock).map_err(|error| error.to_string())?;
        objects.heed(context.stopping.subscribe());
        backend::probe(&objects).map_err(|error| error.to_string())?;
        Ok(objects)
    };
    context.store.get_or_init(open).clone()
}

/// The applications whose calls the store counts, with the time of the last write; `None` if it does not answer.
pub fn ledgers(
    context: &Context,
    address: &StoreAddress,
    state: &StateDir,
) -> Vec<(String, Option<Timestamp>)> {
    let root = address.to_string();
    let below = state.path().strip_prefix(&root).map(shown).unwrap_or_default();
    let folder = [address.prefix(), &below, "ledger"].join("/");
    let folder = folder.trim_start_matches('/');
    let keys =
        opened(context, address).ok().and_then(|objects| objects.list(folder).ok()).unwrap_or_default();
    let named = keys.iter().filter_map(|(key, _)| key.strip_prefix(folder)?.strip_prefix('/'));
    let written = |application: &str| {
        let cell = state.backend().shared(&state.shared_ledger(application).ok()?).ok()??;
        Some(cell.get().ok()??.modified)
    };
    named.map(|application| (application.to_owned(), written(application))).collect()
}

/// The lock object, because an apply that died before its first entry left nothing else.
const LOCK: &str = "apply.lock";

/// The name in [`StateDir::snapshot`].
const SNAPSHOT: &str = "snapshot.ndjson.zst";

/// The tenants with runs, a lease or a snapshot in the store; `sandbox` and `tenant` narrow them.
///
/// # Errors
/// An unusable store.
pub fn tenants(
    context: &Context,
    address: &StoreAddress,
    sandbox: Option<&str>,
    tenant: Option<&str>,
) -> Result<Vec<StateDir>, Failure> {
    let unusable = |why: String| Failure::file(format!("the state in {address} cannot be used: {why}"));
    let objects = opened(context, address).map_err(unusable)?;
    let keys = objects.list(address.prefix()).map_err(|error| unusable(error.to_string()))?;
    let prefix = address.prefix();
    let mut found: BTreeSet<(String, Option<String>, String)> = BTreeSet::new();
    for (key, _) in &keys {
        let below = key.strip_prefix(prefix).unwrap_or(key).trim_start_matches('/');
        match below.split('/').collect::<Vec<_>>().as_slice() {
            [cloud, name, id, "runs" | LOCK | SNAPSHOT, ..] if *cloud == SANDBOX => {
                found.insert(((*cloud).to_owned(), Some((*name).to_owned()), (*id).to_owned()));
            }
            [cloud, id, "runs" | LOCK | SNAPSHOT, ..] => {
                found.insert(((*cloud).to_owned(), None, (*id).to_owned()));
            }
            _ => {}
        }
    }
    let is_wanted = |(_, name, id): &(String, Option<String>, String)| {
        sandbox.is_none_or(|only| name.as_deref() == Some(only))
            && tenant.is_none_or(|only| only.eq_ignore_ascii_case(id))
    };
    let states = found.into_iter().filter(is_wanted).map(|(cloud, name, id)| {
        let kept = Arc::new(Bucket::new(objects.clone(), objects.clone(), context.clock.clone()));
        StateDir::in_store(kept, &address.to_string(), &cloud, name.as_deref(), &id)
    });
    states.collect::<Result<_, _>>().map_err(Failure::file)
}
