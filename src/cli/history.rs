//! `mdetag history`: who put which tag where, when, by which rule, commit and run, from the journals.
//!
//! Reads them through their index, which makes itself.

use std::path::Path;

use serde_json::{Value, json};

use mdetag::store::backend::StatePlace;
use mdetag::store::history_index::{self, IndexedChange, IndexedRun};
use mdetag::store::journal::{self, Header};
use mdetag::store::path_text::shown;
use mdetag::store::probe_journal;
use mdetag::store::state::StateDir;
use mdetag_core::apply::Outcome;
use mdetag_core::report::escape::{self, terminal};
use mdetag_core::report::words::{counted, number};
use mdetag_core::time::{Date, Timestamp, parse_duration};

use super::args::{Format, HistoryArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::output;
use super::session::{SANDBOX, sandbox_dir};
use super::state_store;

/// A line, its document, and the time that it is sorted by.
struct Told {
    at: Option<Timestamp>,
    text: String,
    document: Value,
}

/// Prints the runs, or what happened to one device or tag, by time.
///
/// # Errors
/// No state directory, journals that cannot be read, a time that is none.
pub fn run(context: &Context, args: &HistoryArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "history", &[Format::Human, Format::Json])?;
    let since = args.since.as_deref().map(|text| moment(context, "--since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| moment(context, "--until", text)).transpose()?;
    let mut told = Vec::new();
    for state in states(context)? {
        let runs = journal::runs(&state)
            .map_err(|error| Failure::file(format!("{}: {error}", shown(&state.runs()))))?;
        told.extend(probes(context, &state, args.subject.as_deref())?);
        // A run that started later than that holds nothing earlier.
        for run in runs.iter().filter(|run| until.is_none_or(|until| **run < journal::run_id(until))) {
            match history_index::read(&state, run) {
                Ok(indexed) => match &args.subject {
                    None => told.push(summary(run, &indexed)),
                    Some(subject) => told.extend(happened(run, &indexed, subject)),
                },
                Err(error) => context.console.say(&format!("left out: {}", chain(&error))),
            }
        }
    }
    told.retain(|told| {
        told.at.is_none_or(|at| since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until))
    });
    told.sort_by_key(|told| told.at);
    let left_out = args.limit.map_or(0, |limit| told.len().saturating_sub(limit));
    told.drain(..left_out);
    if left_out > 0 {
        context.console.say(&format!("{} left out by --limit", counted(left_out as u64, "older line")));
    }
    show(context, args, told)
}

fn show(context: &Context, args: &HistoryArgs, told: Vec<Told>) -> Result<Exit, Failure> {
    if context.global.format == Format::Json {
        let key = if args.subject.is_some() { "changes" } else { "runs" };
        let documents: Vec<Value> = told.into_iter().map(|told| told.document).collect();
        let document = json!({ "formatVersion": "1.0", key: documents });
        context.console.result(&escape::json_document(&document))?;
    } else if told.is_empty() {
        let subject = args.subject.as_ref();
        let of = subject.map(|subject| format!(" about `{}`", terminal(subject))).unwrap_or_default();
        let when = if args.since.is_some() || args.until.is_some() { " in that time" } else { "" };
        let folder = &context.place;
        context.console.result(&format!("no run in {folder} says anything{of}{when}\n"))?;
    } else {
        let text: String = told.into_iter().map(|told| told.text).collect();
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}

/// A time, a day (its first moment), or a span before now.
fn moment(context: &Context, flag: &str, text: &str) -> Result<Timestamp, Failure> {
    if let Ok(span) = parse_duration(text) {
        return Ok(context.policy_now().minus(span));
    }
    let day = || Date::parse(text).map(Date::midnight);
    day().or_else(|_| Timestamp::parse(text)).map_err(|_| {
        Failure::usage(format!("{flag}: `{}` is no time", terminal(text)))
            .help("write 2026-11-24, 2026-11-24T03:00:00Z, or a span before now such as 30d")
    })
}

/// The tenants whose journals are looked at: the sandbox or profile that was named, else all in the state directory.
///
/// # Errors
/// A sandbox or a profile that is not there.
pub fn states(context: &Context) -> Result<Vec<StateDir>, Failure> {
    let root = context.state_dir();
    let only_cloud = match &context.global.sandbox {
        Some(name) => sandbox_dir(context, name).map(|_| Some(SANDBOX.to_owned()))?,
        None => None,
    };
    let only_tenant = match (&only_cloud, &context.global.tenant) {
        (None, Some(_)) => context.profile()?.and_then(|profile| profile.tenant_id.clone()),
        _ => None,
    };
    if let StatePlace::Store(address) = &context.place {
        return state_store::tenants(
            context,
            address,
            context.global.sandbox.as_deref(),
            only_tenant.as_deref(),
        );
    }
    let mut states = Vec::new();
    for cloud in folders(&root).into_iter().filter(|cloud| cloud != "sandboxes") {
        if only_cloud.as_ref().is_some_and(|only| *only != cloud) {
            continue;
        }
        if cloud == SANDBOX {
            let only = context.global.sandbox.as_ref();
            for name in
                folders(&root.join(SANDBOX)).into_iter().filter(|name| only.is_none_or(|one| one == name))
            {
                for tenant in folders(&root.join(SANDBOX).join(&name)) {
                    states.extend(StateDir::of_sandbox(&root, &name, &tenant));
                }
            }
            continue;
        }
        for tenant in folders(&root.join(&cloud)) {
            if only_tenant.as_ref().is_some_and(|only| !only.eq_ignore_ascii_case(&tenant)) {
                continue;
            }
            states.extend(StateDir::new(&root, &cloud, &tenant));
        }
    }
    Ok(states)
}

/// The names of the folders in a folder, sorted.
pub fn folders(path: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = listing
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// One line a run.
fn summary(run: &str, indexed: &IndexedRun) -> Told {
    let outcomes: Vec<String> = Outcome::ALL
        .into_iter()
        .filter(|outcome| indexed.count(*outcome) > 0)
        .map(|outcome| format!("{} {}", number(indexed.count(outcome)), outcome.word()))
        .collect();
    let header = &indexed.header;
    let who = header.who.as_deref().unwrap_or("unknown");
    let place = header.job.as_deref().or(header.host.as_deref()).unwrap_or("unknown");
    let started = indexed.started.map(|at| at.to_string()).unwrap_or_default();
    let text = format!(
        "{run} · {}{started} · by {} on {}{} · {} · {}\n",
        tenant(&indexed.header),
        terminal(who),
        terminal(place),
        commit(indexed),
        if outcomes.is_empty() { "no change".to_owned() } else { outcomes.join(", ") },
        terminal(&indexed.ended),
    );
    let outcomes: serde_json::Map<String, Value> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome.word().to_owned(), indexed.count(outcome).into()))
        .collect();
    let document = json!({
        "run": run, "startedAt": indexed.started, "tenant": header.tenant, "cloud": header.cloud, "who": header.who,
        "host": header.host, "job": header.job, "commit": header.commit, "policy": header.policy, "plan": header.plan,
        "outcomes": outcomes, "ended": indexed.ended, "resumable": indexed.is_resumable,
        "damagedLines": indexed.damaged,
    });
    Told { at: indexed.started, text, document }
}

/// One line a probe: of the service, or of the device that is asked about.
fn probes(context: &Context, state: &StateDir, subject: Option<&str>) -> Result<Vec<Told>, Failure> {
    let runs = probe_journal::runs(state)
        .map_err(|error| Failure::file(format!("{}: {error}", shown(&state.probes()))))?;
    let mut told = Vec::new();
    for run in &runs {
        let recorded = match probe_journal::read(state, run) {
            Ok(recorded) => recorded,
            Err(error) => {
                context.console.say(&format!("left out: {}", chain(&error)));
                continue;
            }
        };
        let device = recorded.before.as_ref().map(|device| &*device.id);
        if subject.is_some_and(|subject| device != Some(subject)) {
            continue;
        }
        let header = &recorded.header;
        let started = recorded.started.map(|at| at.to_string()).unwrap_or_default();
        let ended =
            recorded.closing.as_ref().map_or("did not put its device back", |closing| &closing.reason);
        let text = format!(
            "{run} · {}{started} · by {} on {} · probe of the service with device {} · {}\n",
            tenant(header),
            terminal(header.who.as_deref().unwrap_or("unknown")),
            terminal(header.job.as_deref().or(header.host.as_deref()).unwrap_or("unknown")),
            terminal(device.unwrap_or("unknown")),
            terminal(ended),
        );
        let document = json!({
            "run": run, "kind": "probe", "startedAt": recorded.started, "tenant": header.tenant,
            "cloud": header.cloud, "who": header.who, "host": header.host, "job": header.job, "device": device,
            "ended": ended,
        });
        told.push(Told { at: recorded.started, text, document });
    }
    Ok(told)
}

/// SANDBOX, or the tenant's id: one state directory may hold many.
fn tenant(header: &Header) -> String {
    if header.cloud == SANDBOX {
        "SANDBOX · ".to_owned()
    } else {
        format!("{} · ", terminal(&header.tenant))
    }
}

fn commit(indexed: &IndexedRun) -> String {
    let commit = indexed.header.commit.as_deref();
    commit
        .map(|commit| format!(" · commit {}", terminal(&commit.chars().take(7).collect::<String>())))
        .unwrap_or_default()
}

/// What a run did to one device or tag.
fn happened<'a>(
    run: &'a str,
    indexed: &'a IndexedRun,
    subject: &'a str,
) -> impl Iterator<Item = Told> + use<'a> {
    let is_about = move |change: &&IndexedChange| {
        let name = change.name.as_deref();
        change.device == subject
            || change.what == subject
            || name.is_some_and(|name| mdetag_core::text::equal(name, subject))
    };
    indexed.changes.iter().filter(is_about).map(move |change| {
        let symbol = match change.action.as_str() {
            "add" => "+",
            "remove" => "-",
            _ => "~",
        };
        let because = change.because.as_deref().map(|because| format!(" · {}", terminal(because)));
        let error = change.error.as_deref().map(|error| format!(" ({})", terminal(error)));
        let header = &indexed.header;
        let text = format!(
            "{}  {symbol} {}  {}  {}{}{} · by {} · {}run {run}{}\n",
            change.at,
            terminal(&escape::tag(&change.what)),
            terminal(change.name.as_deref().unwrap_or(&change.device)),
            terminal(&change.outcome),
            error.unwrap_or_default(),
            because.unwrap_or_default(),
            terminal(header.who.as_deref().unwrap_or("unknown")),
            tenant(&indexed.header),
            commit(indexed),
        );
        let document = json!({
            "at": change.at, "device": { "id": change.device, "name": change.name }, "action": change.action,
            "what": change.what, "outcome": change.outcome, "error": change.error, "because": change.because,
            "run": run, "tenant": header.tenant, "cloud": header.cloud, "who": header.who, "commit": header.commit,
        });
        Told { at: Some(change.at), text, document }
    })
}
