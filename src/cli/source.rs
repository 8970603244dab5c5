//! The devices of a command: from a file, or from a tenant with its ledger, and what earlier runs know about them.
//!
//! Plans nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use mdetag::store::path_text::shown;
use mdetag::store::snapshot_file;
use mdetag::store::state::StateDir;
use mdetag::tenant::{self, ReadDevices, ReadScope, ReadWatch};
use mdetag_core::apply::Origins;
use mdetag_core::inventory::Counts;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::plan::{ChangeKey, History};
use mdetag_core::policy::Policy;
use mdetag_core::selection::HuntingResults;
use mdetag_core::time::{Clock, Timestamp, spoken};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::hunting;
use super::planning::{Inventory, PlanInputs, PolicySet};
use super::progress::Reading;
use super::session::{self, Session};

/// The devices of a command, and what is known beside them.
pub struct Source {
    /// Devices and verdict.
    pub inventory: Inventory,
    /// The tenant that they were read from; `None` for a file.
    pub session: Option<Session>,
    /// The tenant's folder, where a tenant is named.
    pub state: Option<StateDir>,
    /// Results of the set's hunting queries.
    pub hunting: HuntingResults,
    /// Removals that would not last, with the origin of their tags; empty unless `writes.origins` asks for them.
    pub origins: BTreeMap<ChangeKey, String>,
    /// Where tags come from, as far as hunting told.
    pub known: Origins,
    /// What the last trusted run counted.
    pub last: Option<Counts>,
}

impl Source {
    /// What a plan is made with.
    pub fn plan_inputs<'a>(
        &'a self,
        context: &Context,
        history: &'a History,
        allowances: &'a [Allowance],
    ) -> PlanInputs<'a> {
        PlanInputs {
            now: context.policy_now(),
            created_at: context.clock.now(),
            options: context.options(),
            hunting: &self.hunting,
            history,
            last: self.last.as_ref(),
            allowances,
        }
    }

    /// The clock of the journals: the service's where the tenant was asked, else this computer's.
    pub fn clock<'a>(&'a self, context: &'a Context) -> &'a dyn Clock {
        self.session.as_ref().map_or(&*context.clock, |session| &**session.ledger.clock())
    }

    /// Ends a simulated tenant's server, and hands back what may be large.
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
    let policy = set.map(|set| &set.policy);
    if let Some(path) = &context.global.inventory {
        return from_file(context, path, policy);
    }
    of_session(context, set, session::open(context, policy).await?).await
}

/// Reads the devices of a tenant that is signed in to. A recorded inventory still goes first: a sandbox may be applied to
/// with one.
///
/// # Errors
/// As [`read`].
pub async fn of_session(
    context: &Context,
    set: Option<&PolicySet>,
    session: Session,
) -> Result<Source, Failure> {
    let policy = set.map(|set| &set.policy);
    let hunting = hunting::results(context, policy, &session).await?;
    let hunting::KnownOrigins { foreign: origins, known } = hunting::origins(context, &session).await?;
    let inventory = match &context.global.inventory {
        Some(path) => from_file(context, path, policy)?.inventory,
        None => live(context, &session, policy).await?,
    };
    let (state, last) = (session.state.clone(), session.state.last_counts());
    note_missing_counts(context, policy, last.as_ref());
    Ok(Source { inventory, session: Some(session), state: Some(state), hunting, origins, known, last })
}

/// Reads the list of a tenant that is signed in to.
///
/// # Errors
/// No usable answer.
pub async fn live(
    context: &Context,
    session: &Session,
    policy: Option<&Policy>,
) -> Result<Inventory, Failure> {
    let filter = policy.and_then(|policy| pushed(policy, context));
    let reading = Reading::start(context, &session.ledger);
    let progress = |progress: &tenant::ReadProgress| reading.show(progress);
    let watch = ReadWatch { meter: &reading, progress: &progress, pages: None };
    let read = session.tenant.reader().read(&ReadScope { filter }, watch).await;
    reading.end();
    let (snapshot, trust) = read.map_err(session::unreachable_tenant)?;
    Ok(Inventory { snapshot, trust, tenant: session.reference.clone() })
}

/// The scope's conditions that the service can evaluate. None while the guard counts devices: it counts before scope.
fn pushed(policy: &Policy, context: &Context) -> Option<String> {
    let counts = policy.guard.min_devices.is_some() || policy.guard.max_shrink.is_some();
    let scope = policy.scope.as_ref().filter(|_| !counts)?;
    tenant::pushed(scope, &policy.selectors, context.policy_now())
}

fn from_file(context: &Context, path: &std::path::Path, policy: Option<&Policy>) -> Result<Source, Failure> {
    let file = snapshot_file::read(path).map_err(|error| Failure::file(super::failure::chain(&error)))?;
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
    let state = if is_named { session::state_of(context, &file.tenant).ok() } else { None };
    let last = state.as_ref().and_then(StateDir::last_counts);
    let inventory = Inventory { snapshot: file.snapshot, trust: file.trust, tenant: file.tenant };
    Ok(Source {
        inventory,
        session: None,
        state,
        hunting,
        origins: BTreeMap::new(),
        known: Origins::default(),
        last,
    })
}

/// Says how old a recorded inventory is, once it is older than a day: ages in policies count from now, not from then.
fn note_age(context: &Context, path: &std::path::Path, read_at: Option<Timestamp>) {
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
            path.display(),
            spoken(age),
            Timestamp::from_seconds(read_at.seconds()),
        ));
    }
}

/// Says that a shrink cannot be seen yet. A guard that silently does nothing is worse than none.
fn note_missing_counts(context: &Context, policy: Option<&Policy>, last: Option<&Counts>) {
    if last.is_none() && policy.is_some_and(|policy| policy.guard.max_shrink.is_some()) {
        context.console.say(
            "note: the state directory holds no earlier run of this tenant, so `guard.inventory.maxShrink` cannot be checked this time",
        );
    }
}
