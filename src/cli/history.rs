//! `mdetag history`: who set which tag where, when, by which rule, commit and run, from the journals.
//!
//! Reads journals through their index, which is made on demand.

use std::path::Path;
use std::sync::Arc;

use mdetag::store::backend::StatePlace;
use mdetag::store::history_index::{self, IndexedChange, IndexedRun};
use mdetag::store::journal::{self, Header};
use mdetag::store::path_text::shown;
use mdetag::store::probe_journal;
use mdetag::store::state::StateDir;
use mdetag_core::apply::Outcome;
use mdetag_core::report::escape::terminal;
use mdetag_core::report::history::{self, HistoryLine, PastChange, PastProbe, PastRun, RunOrigin};
use mdetag_core::report::words::counted;
use mdetag_core::time::{Date, Timestamp, parse_duration};

use super::args::{Format, HistoryArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::output;
use super::session::{SANDBOX, sandbox_dir};
use super::state_store;

/// Prints the runs, or the changes of one device or tag, by time.
///
/// # Errors
/// No state directory, unreadable journals, an invalid time.
pub fn run(context: &Context, args: &HistoryArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "history", &[Format::Human, Format::Json])?;
    let since = args.since.as_deref().map(|text| moment(context, "--since", text)).transpose()?;
    let until = args.until.as_deref().map(|text| moment(context, "--until", text)).transpose()?;
    let mut lines = Vec::new();
    for state in states(context)? {
        let runs = journal::runs(&state)
            .map_err(|error| Failure::file(format!("{}: {error}", shown(&state.runs()))))?;
        lines.extend(probes(context, &state, args.subject.as_deref())?);
        // A run that started later contains nothing earlier.
        for run in runs.iter().filter(|run| until.is_none_or(|until| **run < journal::run_id(until))) {
            match history_index::read(&state, run) {
                Ok(indexed) => match &args.subject {
                    None => lines.push(HistoryLine::Run(past_run(run, &indexed))),
                    Some(subject) => lines.extend(changes(run, indexed, subject).map(HistoryLine::Change)),
                },
                // It did nothing.
                Err(journal::JournalError::NeverBegan { .. }) => {}
                Err(error) => context.console.say(&format!("left out: {}", chain(&error))),
            }
        }
    }
    lines.retain(|line| {
        line.at()
            .is_none_or(|at| since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until))
    });
    lines.sort_by_key(HistoryLine::at);
    let left_out = args.limit.map_or(0, |limit| lines.len().saturating_sub(limit));
    lines.drain(..left_out);
    if left_out > 0 {
        context.console.say(&format!("{} left out by --limit", counted(left_out as u64, "older line")));
    }
    let text = if context.global.format == Format::Json {
        history::json(&lines, args.subject.is_some())
    } else if lines.is_empty() {
        let is_limited_in_time = args.since.is_some() || args.until.is_some();
        history::nothing(&context.place.to_string(), args.subject.as_deref(), is_limited_in_time)
    } else {
        history::human(&lines)
    };
    context.console.result(&text)?;
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

/// The tenants whose journals are read: the named sandbox or profile, else all in the state directory.
///
/// # Errors
/// An unknown sandbox or profile.
pub fn states(context: &Context) -> Result<Vec<StateDir>, Failure> {
    if let StatePlace::Store(address) = &context.place {
        let (_, only_tenant) = only(context)?;
        return state_store::tenants(
            context,
            address,
            context.global.sandbox.as_deref(),
            only_tenant.as_deref(),
        );
    }
    states_in(context, &context.state_dir())
}

/// The named cloud and tenant.
fn only(context: &Context) -> Result<(Option<String>, Option<String>), Failure> {
    let only_cloud = match &context.global.sandbox {
        Some(name) => sandbox_dir(context, name).map(|_| Some(SANDBOX.to_owned()))?,
        None => None,
    };
    let Some(name) = &context.global.tenant else { return Ok((only_cloud, None)) };
    let id = context.profile()?.and_then(|profile| profile.tenant_id.clone());
    // A sandbox of a profile without an id may have any.
    if id.is_none() && only_cloud.is_some() {
        return Ok((only_cloud, None));
    }
    let id = id.or_else(|| std::env::var("AZURE_TENANT_ID").ok().filter(|id| !id.is_empty()));
    let only_tenant = id.ok_or_else(|| {
        Failure::usage(format!(
            "the profile `{name}` has no `tenantId`, so its state cannot be told from others"
        ))
        .help("add its `tenantId` in mdetag.yaml, or set AZURE_TENANT_ID; without --tenant it is all state")
    })?;
    Ok((only_cloud, Some(only_tenant)))
}

/// Like [`states`], for a folder.
///
/// # Errors
/// Those of [`states`].
pub fn states_in(context: &Context, root: &Path) -> Result<Vec<StateDir>, Failure> {
    let (only_cloud, only_tenant) = only(context)?;
    let is_wanted =
        |tenant: &String| only_tenant.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(tenant));
    let mut states = Vec::new();
    for cloud in folders(root).into_iter().filter(|cloud| cloud != "sandboxes") {
        if only_cloud.as_ref().is_some_and(|only| *only != cloud) {
            continue;
        }
        if cloud == SANDBOX {
            let only = context.global.sandbox.as_ref();
            for name in
                folders(&root.join(SANDBOX)).into_iter().filter(|name| only.is_none_or(|one| one == name))
            {
                for tenant in folders(&root.join(SANDBOX).join(&name)) {
                    if !is_wanted(&tenant) {
                        continue;
                    }
                    states.push(StateDir::of_sandbox(root, &name, &tenant).map_err(Failure::file)?);
                }
            }
            continue;
        }
        for tenant in folders(&root.join(&cloud)) {
            if !is_wanted(&tenant) {
                continue;
            }
            states.push(StateDir::new(root, &cloud, &tenant).map_err(Failure::file)?);
        }
    }
    Ok(states)
}

/// The names of the folders in a folder, sorted. Includes links; opening one is refused.
pub fn folders(path: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = listing
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn past_run(run: &str, indexed: &IndexedRun) -> PastRun {
    let header = &indexed.header;
    PastRun {
        origin: origin(run, header),
        started: indexed.started,
        policy: header.policy.clone(),
        plan: header.plan.clone(),
        outcomes: Outcome::ALL.into_iter().map(|outcome| (outcome, indexed.count(outcome))).collect(),
        ended: indexed.ended.clone(),
        is_resumable: indexed.is_resumable,
        damaged_lines: indexed.damaged,
    }
}

/// Probes of the service: all, or those with the device in question.
fn probes(context: &Context, state: &StateDir, subject: Option<&str>) -> Result<Vec<HistoryLine>, Failure> {
    let runs = probe_journal::runs(state)
        .map_err(|error| Failure::file(format!("{}: {error}", shown(&state.probes()))))?;
    let mut lines = Vec::new();
    for run in &runs {
        let recorded = match probe_journal::read(state, run) {
            Ok(recorded) => recorded,
            Err(error) => {
                context.console.say(&format!("left out: {}", chain(&error)));
                continue;
            }
        };
        let device = recorded.before.as_ref().map(|device| device.id.to_string());
        if subject.is_some_and(|subject| device.as_deref() != Some(subject)) {
            continue;
        }
        lines.push(HistoryLine::Probe(PastProbe {
            origin: origin(run, &recorded.header),
            started: recorded.started,
            device,
            ended: probe_journal::ended(&recorded).to_owned(),
        }));
    }
    Ok(lines)
}

fn origin(run: &str, header: &Header) -> RunOrigin {
    RunOrigin {
        run: run.to_owned(),
        tenant: header.tenant.clone(),
        cloud: header.cloud.clone(),
        is_sandbox: header.cloud == SANDBOX,
        who: header.who.clone(),
        host: header.host.clone(),
        job: header.job.clone(),
        commit: header.commit.clone(),
    }
}

/// The changes of a run on one device or tag.
fn changes(run: &str, indexed: IndexedRun, subject: &str) -> impl Iterator<Item = PastChange> {
    let is_about = move |change: &IndexedChange| {
        let name = change.name.as_deref();
        change.device == subject
            || change.what == subject
            || name.is_some_and(|name| mdetag_core::text::equal(name, subject))
    };
    let origin = Arc::new(origin(run, &indexed.header));
    indexed.changes.into_iter().filter(is_about).map(move |change| PastChange {
        origin: Arc::clone(&origin),
        at: change.at,
        device: change.device,
        name: change.name,
        action: change.action,
        what: change.what,
        outcome: change.outcome,
        error: change.error,
        because: change.because,
    })
}
