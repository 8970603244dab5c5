//! `mdetag doctor`: identity, roles, reachability, clock, proxy, remaining budget, findings of probes. Safe to paste into a
//! ticket, because it prints no secret.
//!
//! Continues as far as it can: a missing role or a failed sign-in is one finding among others, not the end.

mod bench;
mod cleaning;
pub mod probe;
mod watch;

use mdetag::store::backend::{self, StatePlace};
use mdetag::store::path_text::shown;
use mdetag::store::service_file;
use mdetag::tenant::{self, CredentialSource, RequiredAccess, TenantError};
use mdetag_core::plan::Lane;
use mdetag_core::probe::ServiceProfile;
use mdetag_core::report::doctor::{self, DoctorCheck, LaneBudget, SignedIn};
use mdetag_core::report::escape::terminal;
use mdetag_core::report::words::counted;
use mdetag_core::selection;

use super::args::{DoctorArgs, Format};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::planning::{PolicySet, has_errors};
use super::policy_set;
use super::progress::Reading;
use super::session::{self, PreparedSession, Session};
use super::sightings;
use super::state_store;

/// The clock difference above which tokens and ages go wrong.
const CLOCK_LIMIT_MILLIS: i64 = 120_000;

fn failed(name: &'static str, error: &TenantError) -> DoctorCheck {
    DoctorCheck::bad(name, error.to_string(), error.help.join("\n"))
}

/// Runs the checks, and shows the result of each.
///
/// # Errors
/// A profile, host or credential that cannot be used at all. Everything later is a finding.
pub async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "doctor", &[Format::Human, Format::Json])?;
    let (set, policies) = policies(context);
    let prepared = session::prepare(context, set.as_ref().map(|set| &set.policy)).await?;
    let mut checks = surroundings(&prepared);
    checks.extend(state(context));
    checks.push(policies);
    if args.check_version {
        checks.push(version().await);
    }
    let (endpoints, prepared_source) = (prepared.endpoints().clone(), prepared.source());
    let session = match prepared.connect(context, None).await {
        Ok(session) => Some(session),
        Err(failure) => {
            // This is only the last place where a credential is searched; nothing shows that there is one.
            if matches!(prepared_source, CredentialSource::ManagedIdentity | CredentialSource::AzureCli) {
                checks.retain(|check| check.name != "credential");
            }
            let help = failure.help.clone().unwrap_or_default();
            checks.push(DoctorCheck::bad("sign-in", failure.to_string(), help));
            checks.extend(host(tenant::reach(&endpoints, &*context.clock).await));
            None
        }
    };
    if let Some(session) = &session {
        checks.extend(identity(session));
        checks.extend(reachability(context, session).await);
        sightings::learn(context, session);
        checks.extend(hunting(context, session, set.as_ref()).await);
        checks.extend(ledger(session));
    }
    let is_good = checks.iter().all(|check| check.is_good);
    let profile = session.as_ref().and_then(|session| profile(session, &mut checks));
    let is_good = is_good && checks.iter().all(|check| check.is_good);
    let signed_in = session.as_ref().map(|session| SignedIn {
        tenant: &session.reference,
        budget: budget(session),
        service: profile.clone().unwrap_or_default(),
        now: session.ledger.clock().now(),
    });
    let text = match context.global.format {
        Format::Json => doctor::json(&checks, signed_in.as_ref()),
        _ => doctor::human(context.global.sandbox.is_some(), &checks, signed_in.as_ref()),
    };
    context.console.result(&text)?;
    if let Some(session) = session {
        session.close().await;
    }
    Ok(if is_good { Exit::Success } else { Exit::Error })
}

/// The findings of probes, if there are any.
fn profile(session: &Session, checks: &mut Vec<DoctorCheck>) -> Option<ServiceProfile> {
    service_file::read(&session.state).unwrap_or_else(|error| {
        let found = format!("{} cannot be used: {error}", shown(&session.state.service()));
        checks.push(DoctorCheck::bad(
            "measured",
            found,
            "remove the file and measure anew: mdetag doctor --probe DEVICE",
        ));
        None
    })
}

/// The policy set, if it can be read: its pin and its hunting queries matter here.
fn policies(context: &Context) -> (Option<PolicySet>, DoctorCheck) {
    const NAME: &str = "policies";
    let paths = match context.policy_paths(&[]) {
        Ok(paths) => paths,
        Err(failure) => {
            return (None, DoctorCheck::bad(NAME, failure.to_string(), failure.help.unwrap_or_default()));
        }
    };
    if !paths.iter().any(|path| path.exists()) {
        return (None, DoctorCheck::good(NAME, "none here: the tenant pin and hunting are not checked"));
    }
    let set = policy_set::read(context, &paths, context.policy_now()).set;
    if has_errors(&set.findings) {
        return (None, DoctorCheck::bad(NAME, "the policy set has errors", "see them with: mdetag validate"));
    }
    let found = match &set.policy.guard.tenant_id {
        Some((pin, _)) => format!("pinned to tenant {pin}"),
        None => "not pinned to a tenant (`guard.tenantId`)".to_owned(),
    };
    (Some(set), DoctorCheck::good(NAME, found))
}

/// Whether a newer version exists. The request is anonymous: it contains no credential and no tenant.
async fn version() -> DoctorCheck {
    const NAME: &str = "version";
    const CURRENT: &str = env!("CARGO_PKG_VERSION");
    let url = std::env::var("MDETAG_RELEASES_URL").ok().filter(|url| !url.is_empty());
    match tenant::newest(url.as_deref().unwrap_or(tenant::RELEASES)).await {
        Ok(newest) if tenant::is_newer(&newest, CURRENT) => {
            DoctorCheck::good(NAME, format!("{CURRENT}; {newest} is out, and CHANGELOG.md says what is new"))
        }
        Ok(_) => DoctorCheck::good(NAME, format!("{CURRENT}, the newest")),
        Err(why) => DoctorCheck::bad(
            NAME,
            format!("{CURRENT}; whether it is the newest cannot be asked: {}", terminal(&why)),
            "see https://github.com/mdetag/mdetag/releases, or name a mirror in MDETAG_RELEASES_URL",
        ),
    }
}

/// The checks that need no request.
fn surroundings(prepared: &PreparedSession) -> Vec<DoctorCheck> {
    let endpoints = prepared.endpoints();
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    // Its value may contain a password.
    let proxy = match proxy {
        Some(name) if endpoints.api.is_loopback() => format!("{name} is set, but loopback needs none"),
        Some(name) => format!("{name} is set"),
        None => "none".to_owned(),
    };
    vec![
        DoctorCheck::good("credential", prepared.source().name()),
        DoctorCheck::good("sign-in host", endpoints.login.as_str()),
        DoctorCheck::good("API host", endpoints.api.as_str()),
        DoctorCheck::good("proxy", proxy),
    ]
}

/// The place of the state, and whether it can be used.
fn state(context: &Context) -> Vec<DoctorCheck> {
    const NAME: &str = "state";
    let StatePlace::Store(address) = &context.place else {
        let check = DoctorCheck::good(NAME, shown(&context.state_dir()));
        let lost = state_store::local_in_ci(context)
            .map(|why| DoctorCheck::good("shared", format!("no: {why}; {}", state_store::NAME_A_STORE)));
        return std::iter::once(check).chain(lost).collect();
    };
    let check = DoctorCheck::good(NAME, address.to_string());
    let help = "see docs/state.md for the rights and the variables that each store needs";
    let used = match state_store::opened(context, address) {
        Err(why) => vec![DoctorCheck::bad("store", why, help)],
        Ok(objects) => match backend::examine(&objects) {
            Err(error) => vec![DoctorCheck::bad("store", error.to_string(), help)],
            Ok(ahead_millis) => vec![
                DoctorCheck::good(
                    "store",
                    "lists, writes, reads and removes; keeps to the conditions of writes",
                ),
                store_clock(ahead_millis),
            ],
        },
    };
    std::iter::once(check).chain(used).collect()
}

/// How far this computer's clock is ahead of the store's.
fn store_clock(ahead_millis: i64) -> DoctorCheck {
    let check = clock(ahead_millis);
    DoctorCheck { name: "store clock", found: check.found.replace("service", "store"), ..check }
}

fn identity(session: &Session) -> Vec<DoctorCheck> {
    let (tenant, claims) = (&session.tenant, session.tenant.claims());
    let mut checks = vec![
        DoctorCheck::good("signed in by", tenant.source().name()),
        DoctorCheck::good("tenant", tenant.id()),
        DoctorCheck::good("application", claims.app.as_deref().unwrap_or("not named by the token")),
    ];
    let granted = if claims.is_delegated() { &claims.scopes } else { &claims.roles };
    checks.push(DoctorCheck::good(
        "roles",
        if granted.is_empty() { "none".into() } else { granted.join(", ") },
    ));
    checks.push(match tenant.check(RequiredAccess::Read) {
        Ok(()) => DoctorCheck::good("may plan", "yes"),
        Err(error) => failed("may plan", &error),
    });
    // An identity for plans should not be able to write.
    checks.push(match tenant.check(RequiredAccess::Write) {
        Ok(()) => DoctorCheck::good("may apply", "yes"),
        Err(error) => DoctorCheck {
            is_good: true,
            found: format!(
                "no, which is right for an identity that only plans: it lacks {}",
                RequiredAccess::Write.role()
            ),
            ..failed("may apply", &error)
        },
    });
    if claims.is_delegated() {
        checks.push(DoctorCheck::bad(
            "token",
            "it acts for a user, who may not see every device",
            "reads will be untrusted; sign in as an application",
        ));
    }
    checks
}

async fn reachability(context: &Context, session: &Session) -> Vec<DoctorCheck> {
    if session.tenant.check(RequiredAccess::Read).is_err() {
        return Vec::new();
    }
    let reading = Reading::start(context, &session.ledger);
    let list_check = session.tenant.reader().check_list(&reading).await;
    reading.end();
    match list_check {
        Err(error) => vec![failed("list", &error)],
        Ok(list_check) => {
            let list = if list_check.has_devices {
                DoctorCheck::good("list", "answers, with devices")
            } else {
                DoctorCheck::bad(
                    "list",
                    "answers, without any device: reads will be untrusted",
                    "if the tenant has devices, check `cloud`, `endpoints.api` and what the application may see",
                )
            };
            let clock = list_check.clock_ahead_millis.map(clock);
            std::iter::once(list).chain(clock).collect()
        }
    }
}

/// Whether the sign-in host answers, and how far apart the clocks are.
fn host(reached: Result<Option<i64>, TenantError>) -> Vec<DoctorCheck> {
    match reached {
        Err(error) => vec![failed("network", &error)],
        Ok(ahead) => {
            let answers = DoctorCheck::good("network", "the sign-in host answers");
            std::iter::once(answers).chain(ahead.map(clock)).collect()
        }
    }
}

/// How far this computer's clock is ahead of the service's.
fn clock(ahead_millis: i64) -> DoctorCheck {
    let seconds = ahead_millis.abs() / 1000;
    let found = match seconds {
        0 => "less than a second from the service's".to_owned(),
        _ if ahead_millis < 0 => format!("{} behind the service's", counted(seconds as u64, "second")),
        _ => format!("{} ahead of the service's", counted(seconds as u64, "second")),
    };
    if ahead_millis.abs() <= CLOCK_LIMIT_MILLIS {
        return DoctorCheck::good("clock", found);
    }
    DoctorCheck::bad("clock", found, "set this computer's clock: tokens and ages depend on it")
}

/// The role for the policy set's queries, if it has any.
async fn hunting(context: &Context, session: &Session, set: Option<&PolicySet>) -> Option<DoctorCheck> {
    const NAME: &str = "may hunt";
    let queries = set.map_or(0, |set| selection::queries(&[&set.policy], context.policy_now()).len());
    let needed_for = match (queries, context.settings.writes.origins) {
        (0, false) if set.is_none() => return None,
        (0, false) => {
            return Some(DoctorCheck::good(NAME, "not needed: no lookup and no selector in force hunts"));
        }
        (0, true) => "`writes.origins`".to_owned(),
        (1, _) => "1 query of the policies".to_owned(),
        (queries, _) => format!("{queries} queries of the policies"),
    };
    Some(match session.tenant.hunter().await {
        Ok(_) => DoctorCheck::good(NAME, format!("yes, for {needed_for}")),
        Err(error) => {
            let check = failed(NAME, &error);
            DoctorCheck { found: format!("{} (for {needed_for})", check.found), ..check }
        }
    })
}

fn ledger(session: &Session) -> Option<DoctorCheck> {
    let fault = session.ledger.fault()?;
    Some(DoctorCheck::bad("ledger", fault, "make the state directory writable"))
}

fn budget(session: &Session) -> Vec<LaneBudget> {
    session.ledger.with(|budget, now| {
        let of_lane = |lane: Lane| {
            let (left, of) = budget.left(lane, now);
            LaneBudget { lane, left, of }
        };
        Lane::ALL.into_iter().map(of_lane).collect()
    })
}
