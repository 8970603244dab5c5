//! The devices of a command: from a file, or from a tenant with its ledger, and the facts from earlier runs.
//!
//! Plans nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use mdetag::store::kept_snapshot;
use mdetag::store::path_text::shown;
use mdetag::store::snapshot_file::{self, SnapshotFile};
use mdetag::store::state::StateDir;
use mdetag::store::{baselines_file, journal};
use mdetag::tenant::{self, ReadDevices, ReadScope, ReadWatch};
use mdetag_core::apply::Origins;
use mdetag_core::cloud::Cloud;
use mdetag_core::plan::TenantReference;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::plan::{ChangeKey, History};
use mdetag_core::policy::Policy;
use mdetag_core::probe::KnownService;
use mdetag_core::selection::HuntingResults;
use mdetag_core::time::{Clock, Timestamp, spoken};

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::history;
use super::hunting;
use super::known_service;
use super::planning::{Inventory, KeptCounts, PlanInputs, PolicySet};
use super::policy_set;
use super::progress::Reading;
use super::session::{self, Session};
use super::set_names;
use super::sightings;
use super::state_store::{self, StateNeed};

/// The devices of a command, and the known facts about them.
pub struct Source {
    /// Devices and verdict.
    pub inventory: Inventory,
    /// The tenant that they were read from; `None` for a file.
    pub session: Option<Session>,
    /// The tenant's folder, if a tenant is named.
    pub state: Option<StateDir>,
    /// When the live read of the list started, by the journals' clock; `None` for recorded devices.
    pub read_started: Option<Timestamp>,
    /// When recorded devices were read, as far as their file says.
    pub recorded_at: Option<Timestamp>,
    /// Results of the set's hunting queries.
    pub hunting: HuntingResults,
    /// Removals that would not last, with the origin of their tags; empty unless `writes.origins` asks for them.
    pub origins: BTreeMap<ChangeKey, String>,
    /// The origins of tags from hunting, as far as known.
    pub known: Origins,
    /// The counts of trusted runs of the policy set.
    pub kept: KeptCounts,
    /// The findings about the service.
    pub service: KnownService,
}

impl Source {
    /// The command and its policies, adapted to the service of these devices.
    ///
    /// # Errors
    /// Policies that then contradict themselves.
    pub fn suited(&self, context: &Context, set: PolicySet) -> Result<(Context, PolicySet), Failure> {
        let context = context.suited(&self.service);
        let set = policy_set::suited(&context, set)?;
        Ok((context, set))
    }

    /// The input of a plan.
    pub fn plan_inputs<'a>(
        &'a self,
        context: &'a Context,
        history: &'a History,
        allowances: &'a [Allowance],
    ) -> PlanInputs<'a> {
        PlanInputs {
            now: context.policy_now(),
            created_at: context.clock.now(),
            options: context.options(),
            hunting: &self.hunting,
            history,
            kept: &self.kept,
            allowances,
            recorded_at: self.recorded_at,
            lints: &context.settings.lints,
        }
    }

    /// The clock of the journals: the service's if the tenant was asked, else this computer's.
    pub fn clock<'a>(&'a self, context: &'a Context) -> &'a dyn Clock {
        self.session.as_ref().map_or(&*context.clock, |session| &**session.ledger.clock())
    }

    /// Ends a simulated tenant's server, and returns the possibly large inventory.
    pub async fn close(self) -> Inventory {
        if let Some(session) = self.session {
            session.close().await;
        }
        self.inventory
    }
}

/// Reads the devices that the flags name.
///
/// # Errors
/// Files, identity, network, and a tenant other than the pinned one.
pub async fn read(context: &Context, set: Option<&PolicySet>) -> Result<Source, Failure> {
    read_for(context, set, None).await
}

/// Reads the devices that the flags name, and the hunting results for the `--base` set.
///
/// # Errors
/// Those of [`read`].
pub async fn read_for(
    context: &Context,
    set: Option<&PolicySet>,
    base: Option<&Policy>,
) -> Result<Source, Failure> {
    let policy = set.map(|set| &set.policy);
    if let Some(path) = &context.global.inventory {
        return from_file(context, path, set);
    }
    from_session(context, set, base, session::open(context, policy).await?).await
}

/// Reads the devices of a signed-in tenant. A recorded inventory still takes precedence, because a sandbox may be applied to with
/// one.
///
/// # Errors
/// Those of [`read`].
pub async fn of_session(
    context: &Context,
    set: Option<&PolicySet>,
    session: Session,
) -> Result<Source, Failure> {
    from_session(context, set, None, session).await
}

async fn from_session(
    context: &Context,
    set: Option<&PolicySet>,
    base: Option<&Policy>,
    session: Session,
) -> Result<Source, Failure> {
    let policy = set.map(|set| &set.policy);
    let hunting = hunting::results(context, policy, base, &session).await?;
    let hunting::KnownOrigins { foreign: origins, known } = hunting::origins(context, &session).await?;
    let is_recorded = context.global.inventory.is_some();
    let read_started = (!is_recorded).then(|| session.ledger.clock().now());
    let (inventory, recorded_at) = match &context.global.inventory {
        Some(path) => {
            let recorded = from_file(context, path, set)?;
            (recorded.inventory, recorded.recorded_at)
        }
        None => (live(context, &session, policy).await?, None),
    };
    let state = session.state.clone();
    let kept = kept(context, &state, set, &session.known, is_recorded);
    // The first run has nothing to compare with and nothing to report.
    if journal::runs(&state).is_ok_and(|runs| !runs.is_empty()) {
        note_missing_counts(context, policy, &kept);
    }
    let service = session.known.clone();
    Ok(Source {
        inventory,
        session: Some(session),
        state: Some(state),
        read_started,
        recorded_at,
        hunting,
        origins,
        known,
        kept,
        service,
    })
}

/// Reads the list of a signed-in tenant.
///
/// # Errors
/// No usable answer.
pub async fn live(
    context: &Context,
    session: &Session,
    policy: Option<&Policy>,
) -> Result<Inventory, Failure> {
    let filter = policy.and_then(|policy| pushed(policy, &session.known, context.policy_now()));
    let reading = Reading::start(context, &session.ledger);
    let progress = |progress: &tenant::ReadProgress| reading.show(progress);
    let watch = ReadWatch { meter: &reading, progress: &progress, pages: None };
    let read =
        session.tenant.reader().read(&ReadScope { filter, service: session.known.clone() }, watch).await;
    reading.end();
    // A failed read shows something too: how the service refuses.
    sightings::learn(context, session);
    let (snapshot, trust) = read.map_err(session::unreachable_tenant)?;
    Ok(Inventory { snapshot, trust, tenant: session.reference.clone() })
}

/// The scope's conditions that the service can evaluate. None if the guard requires a minimum number of devices, which counts
/// before scope.
fn pushed(policy: &Policy, service: &KnownService, now: Timestamp) -> Option<String> {
    let scope = policy.scope.as_ref().filter(|_| policy.guard.min_devices.is_none())?;
    tenant::pushed(scope, &policy.selectors, &service.refused_filters(), now)
}

/// The counts of trusted runs of a set. `is_recorded`: the devices come from a file, which no filter narrowed.
fn kept(
    context: &Context,
    state: &StateDir,
    set: Option<&PolicySet>,
    service: &KnownService,
    is_recorded: bool,
) -> KeptCounts {
    let Some(set) = set else { return KeptCounts::default() };
    let filter = pushed(&set.policy, service, Timestamp::EPOCH).filter(|_| !is_recorded).unwrap_or_default();
    match baselines_file::read(state, &set_names::set_of(context, &set.reference)) {
        Ok(baselines) => KeptCounts { baselines, unreadable: None, filter },
        Err(_) => KeptCounts { baselines: None, unreadable: Some(shown(&state.baselines())), filter },
    }
}

fn from_file(context: &Context, path: &Path, set: Option<&PolicySet>) -> Result<Source, Failure> {
    let policy = set.map(|set| &set.policy);
    let file = recorded(context, path)?;
    let pin = policy.and_then(|policy| policy.guard.tenant_id.as_ref());
    if let (Some((pin, _)), Some(id)) = (pin, &file.tenant.id)
        && !pin.eq_ignore_ascii_case(id)
    {
        let mut failure =
            Failure::tenant(format!("{} is of tenant {id}, and `guard.tenantId` pins {pin}", shown(path)))
                .help("nothing was planned; read the pinned tenant, or correct the pin");
        failure.exit = Exit::Refused;
        return Err(failure);
    }
    note_age(context, path, file.read_at);
    let hunting = hunting::recorded(context)?;
    let is_named = file.tenant.id.is_some() && file.tenant.cloud.is_some();
    let state =
        if is_named { state_store::of_tenant(context, &file.tenant, StateNeed::May).ok() } else { None };
    let kept = state
        .as_ref()
        .map(|state| kept(context, state, set, &KnownService::default(), true))
        .unwrap_or_default();
    note_missing_counts(context, policy, &kept);
    let service =
        state.as_ref().map(|state| known_service::read(context, state, &file.tenant)).unwrap_or_default();
    let inventory = Inventory { snapshot: file.snapshot, trust: file.trust, tenant: file.tenant };
    Ok(Source {
        inventory,
        session: None,
        state,
        read_started: None,
        recorded_at: file.read_at,
        hunting,
        origins: BTreeMap::new(),
        known: Origins::default(),
        kept,
        service,
    })
}

/// The value of `--inventory` for the snapshot in the tenant's state. No Windows file can have this name.
const KEPT: &str = "state:";

fn recorded(context: &Context, path: &Path) -> Result<SnapshotFile, Failure> {
    if path == Path::new(KEPT) {
        return kept_in_state(context);
    }
    snapshot_file::read(path).map_err(|error| {
        Failure::file(chain(&error)).help(
            "`mdetag snapshot -o FILE` records an inventory; with `--sandbox`, one of a simulated tenant",
        )
    })
}

/// The snapshot of the named tenant, or of the only one that has a snapshot.
fn kept_in_state(context: &Context) -> Result<SnapshotFile, Failure> {
    const HOW: &str =
        "`mdetag snapshot --keep` keeps one; the flags for tenant, sandbox and state must be the same here";
    // Searching the folders of all tenants may list a large store.
    let named = context.named_tenant();
    let states = match named.id {
        Some(_) => {
            let cloud = named.cloud.or_else(|| Some(Cloud::default().word().to_owned()));
            vec![state_store::of_tenant(context, &TenantReference { cloud, ..named }, StateNeed::May)?]
        }
        None => history::states(context)?,
    };
    let mut found = Vec::new();
    for state in states {
        let file = kept_snapshot::read(&state);
        let file = file.map_err(|error| {
            let blocked = std::fs::symlink_metadata(state.snapshot()).is_ok_and(|known| !known.is_file());
            Failure::file(chain(&error)).help(match blocked {
                true => {
                    "look at what is there and move it away; `mdetag snapshot --keep` then writes a new one"
                }
                false => "`mdetag snapshot --keep` writes a new one in its place",
            })
        })?;
        found.extend(file.map(|file| (state, file)));
        if let [(first, _), (second, _)] = found.as_slice() {
            let both = [first, second].map(|state| shown(state.path())).join(" and ");
            return Err(Failure::usage(format!("more than one tenant has a snapshot in the state: {both}"))
                .help("name one with --tenant or --sandbox"));
        }
    }
    match found.pop() {
        Some((_, file)) => Ok(file),
        None => Err(Failure::file("the state holds no snapshot of this tenant".to_owned()).help(HOW)),
    }
}

/// Notes the age of a recorded inventory older than a day, because ages in policies count from now.
fn note_age(context: &Context, path: &Path, read_at: Option<Timestamp>) {
    const DAY: Duration = Duration::from_secs(86_400);
    let Some(read_at) = read_at else { return };
    let now = context.policy_now();
    let (age, what) = match (now.since(read_at), read_at.since(now)) {
        (_, ahead) if ahead > DAY => (ahead, "after"),
        (age, _) => (age, "before"),
    };
    if age > DAY {
        context.console.say(&format!(
            "note: {} was read {} {what} the time of this plan, to which ages like `lastSeen` are compared; to plan as of then: --now {}",
            if path == Path::new(KEPT) { "the snapshot in the state".to_owned() } else { shown(path) },
            spoken(age),
            read_at.rounded_down(),
        ));
    }
}

/// Notes that a shrink cannot be noticed. A guard that silently does nothing is worse than none.
fn note_missing_counts(context: &Context, policy: Option<&Policy>, kept: &KeptCounts) {
    let has_count = kept.baselines.as_ref().is_some_and(|baselines| baselines.counts_devices(&kept.filter));
    let is_known = has_count || kept.unreadable.is_some();
    if is_known || policy.is_none_or(|policy| policy.guard.max_shrink.is_none()) {
        return;
    }
    const NOTE: &str = "note: the state directory holds no trusted run of this policy set that read the same devices, so `guard.inventory.maxShrink` did not compare their number";
    if kept.baselines.is_some() {
        return context.console.say(NOTE);
    }
    // After a folder is renamed, its guard has no counts to compare with for one run; the note says why.
    context.console.say(&format!(
        "{NOTE}, nor the rows of lookups and lists. A set is known by its repository and its policy folders: a renamed or copied folder is another set"
    ));
}
