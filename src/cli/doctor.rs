//! `mdetag doctor`: identity, roles, reachability, clock, budget left. Safe to paste into a ticket: it prints no secret.

use serde_json::{Value, json};

use crate::plan::Lane;
use crate::report::escape::terminal;
use crate::report::words::number;
use crate::tenant::Need;

use super::args::Format;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::{self, Session};

/// Clocks further apart than this make tokens and ages wrong.
const CLOCK_LIMIT_MILLIS: i64 = 120_000;

/// One check.
struct Check {
    name: &'static str,
    is_good: bool,
    found: String,
    help: Option<String>,
}

/// Runs the checks and says what each found.
///
/// # Errors
/// No sign-in at all: the failure says why. Everything after it is a finding.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    output::only(context.global.format, "doctor", &[Format::Human, Format::Json])?;
    let session = session::open(context, None, Need::Read).await?;
    let mut checks = identity(&session);
    checks.extend(reachability(&session).await);
    checks.extend(environment(context, &session));
    let budget = budget(&session);
    let is_good = checks.iter().all(|check| check.is_good);
    let text = match context.global.format {
        Format::Json => document(&session, &checks, &budget),
        _ => text(&session, &checks, &budget),
    };
    context.console.result(&text)?;
    session.close().await;
    Ok(if is_good { Exit::Success } else { Exit::Error })
}

fn identity(session: &Session) -> Vec<Check> {
    let claims = session.tenant.claims();
    let good = |name, found: String| Check { name, is_good: true, found, help: None };
    let mut checks = vec![
        good("credential", session.tenant.source().name().to_owned()),
        good("tenant", session.tenant.id().to_owned()),
        good("API host", session.tenant.endpoints().api.host().to_owned()),
    ];
    let roles = if claims.roles.is_empty() { "none".to_owned() } else { claims.roles.join(", ") };
    checks.push(good("roles", roles));
    match session.tenant.writer() {
        Ok(_) => checks.push(good("may apply", "yes".to_owned())),
        // A plan identity is not supposed to write.
        Err(_) => checks.push(good("may apply", "no: this identity can plan and not apply".to_owned())),
    }
    if claims.is_delegated() {
        checks.push(Check {
            name: "token",
            is_good: false,
            found: "it acts for a user, who may not see every device".to_owned(),
            help: Some("reads will be untrusted; sign in as an application".to_owned()),
        });
    }
    checks
}

async fn reachability(session: &Session) -> Vec<Check> {
    match session.tenant.reader().glimpse(session.ledger.as_ref()).await {
        Err(error) => {
            let help = (!error.help.is_empty()).then(|| error.help.join("; "));
            vec![Check { name: "list", is_good: false, found: error.to_string(), help }]
        }
        Ok(glimpse) => {
            let found =
                if glimpse.has_devices { "answers, with devices" } else { "answers, without devices" };
            let mut checks = vec![Check { name: "list", is_good: true, found: found.to_owned(), help: None }];
            if let Some(ahead) = glimpse.clock_ahead_millis {
                let is_good = ahead.abs() <= CLOCK_LIMIT_MILLIS;
                let word = if ahead < 0 { "behind" } else { "ahead of" };
                let found = format!("{} s {word} the service", ahead.abs() / 1000);
                let help =
                    (!is_good).then(|| "set this computer's clock: tokens and ages depend on it".to_owned());
                checks.push(Check { name: "clock", is_good, found, help });
            }
            checks
        }
    }
}

fn environment(context: &Context, session: &Session) -> Vec<Check> {
    let proxy = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var_os(name).is_some());
    let proxy = proxy.map_or("none".to_owned(), |name| format!("{name} is set"));
    let mut checks = vec![
        Check { name: "proxy", is_good: true, found: proxy, help: None },
        Check { name: "state", is_good: true, found: context.state_dir().display().to_string(), help: None },
    ];
    if let Some(fault) = session.ledger.fault() {
        checks.push(Check {
            name: "ledger",
            is_good: false,
            found: fault,
            help: Some("make the state directory writable".to_owned()),
        });
    }
    checks
}

/// Calls left on each lane this hour, and how many an hour has.
fn budget(session: &Session) -> Vec<(Lane, u32, u32)> {
    session.ledger.with(|budget, now| {
        let left = |lane: Lane| {
            let (left, of) = budget.left(lane, now);
            (lane, left, of)
        };
        Lane::ALL.into_iter().map(left).collect()
    })
}

fn text(session: &Session, checks: &[Check], budget: &[(Lane, u32, u32)]) -> String {
    let mut text = String::new();
    if session.is_sandbox() {
        text.push_str("SANDBOX\n");
    }
    for check in checks {
        let mark = if check.is_good { "ok  " } else { "bad " };
        text.push_str(&format!("{mark} {:<11} {}\n", check.name, terminal(&check.found)));
        if let Some(help) = &check.help {
            text.push_str(&format!("     {:<11} {}\n", "", terminal(help)));
        }
    }
    text.push_str("budget left this hour\n");
    for (lane, left, of) in budget {
        let (left, of) = (number(u64::from(*left)), number(u64::from(*of)));
        text.push_str(&format!("     {:<13} {left:>5} of {of}\n", lane.name()));
    }
    text
}

fn document(session: &Session, checks: &[Check], budget: &[(Lane, u32, u32)]) -> String {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "check": check.name, "ok": check.is_good, "found": check.found, "help": check.help }))
        .collect();
    let budget: Vec<Value> = budget
        .iter()
        .map(|(lane, left, of)| json!({ "lane": lane.name(), "left": left, "of": of }))
        .collect();
    let tenant = json!({ "id": session.reference.id, "name": session.reference.name, "cloud": session.reference.cloud });
    format!("{:#}", json!({ "formatVersion": "1.0", "tenant": tenant, "checks": checks, "budget": budget }))
}
