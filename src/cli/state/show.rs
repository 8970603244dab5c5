//! `mdetag state show`: what earlier runs left behind, by tenant.
//!
//! Takes no lock and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mdetag::store::backend::StatePlace;
use mdetag::store::history::{self, HistoryInputs, PoliciesAtHand};
use mdetag::store::journal::{self, Header, RecordedRun};
use mdetag::store::state::StateDir;
use mdetag::store::{baselines_file, history_index, path_text::shown};
use mdetag_core::plan::{ChangeKey, ChangeWhat, Owed};
use mdetag_core::report::state::{
    self as report, KeptRuns, LastUse, NextWave, OwedTag, OwingDevice, TenantState, UsedApproval,
};
use mdetag_core::time::Timestamp;

use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::unfinished::UnfinishedRuns;
use crate::cli::{history as past_runs, open_rollouts, output, state_store};

/// Prints the content of the state.
///
/// # Errors
/// State that cannot be listed.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    output::only(context.global.format, "state show", &[Format::Human, Format::Json])?;
    let mut tenants = Vec::new();
    for state in past_runs::states(context)? {
        tenants.push(tenant(context, &state)?);
    }
    context.console.result(&match context.global.format {
        Format::Json => report::json(&tenants),
        _ => report::human(&tenants),
    })?;
    Ok(Exit::Success)
}

/// The state of one tenant.
fn tenant(context: &Context, state: &StateDir) -> Result<TenantState, Failure> {
    let failed = |error: std::io::Error| Failure::file(format!("{}: {error}", shown(state.path())));
    let runs = journal::runs(state).map_err(failed)?;
    let (mut unreadable, mut approvals) = (Vec::new(), Vec::new());
    let (mut headers, mut resumable) = (Vec::new(), HashSet::new());
    for run in &runs {
        match history_index::read(state, run) {
            Ok(indexed) => {
                if indexed.is_resumable {
                    resumable.insert(run.clone());
                }
                let raised = indexed.header.raised.iter();
                approvals.extend(raised.map(|of_run| UsedApproval {
                    run: run.clone(),
                    cap: of_run.approval.cap,
                    tag: of_run.tag.clone(),
                    changes: of_run.count,
                }));
                headers.push(indexed.header);
            }
            Err(error) => {
                unreadable.push(run.clone());
                context.console.say(&format!("left out: {}", chain(&error)));
            }
        }
    }
    let (now, visibility) = (context.clock.now(), context.settings.writes.visibility);
    let digest = headers.last().map_or("", |header| &header.policy);
    let policy = PoliciesAtHand { digest, ..PoliciesAtHand::default() };
    let tag_case = context.settings.tag_case;
    let known =
        history::read(state, HistoryInputs { now, visibility, policy, retry_contested: false, tag_case })
            .history;
    let owed = owed(state, &known.lost);
    let mut next_waves = None;
    let rollouts: Option<Vec<String>> = match open_rollouts::open(state, None, None) {
        Ok(open) => {
            // `--now` asks what would be due then.
            let now = context.policy_now();
            next_waves = Some(open.iter().map(|recorded| next_wave(recorded, now)).collect());
            Some(open.into_iter().map(|recorded| recorded.header.run).collect())
        }
        Err(error) => {
            context.console.say(&format!("open rollouts are not known: {}", chain(&error)));
            None
        }
    };
    let unfinished = unfinished(state, &headers, &resumable, rollouts.as_deref().unwrap_or_default());
    let (baselines, accepted) = baselines_file::all(state).map_err(failed)?;
    let holder = state.backend().last_holder(&state.lock()).map_err(failed)?;
    let accepted = accepted.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    Ok(TenantState {
        state: shown(state.path()),
        runs: KeptRuns { count: runs.len(), oldest: runs.first().cloned(), newest: runs.last().cloned() },
        unfinished,
        unreadable,
        open_rollouts: rollouts,
        next_waves,
        contested: known.contested.len(),
        pending: known.pending.len(),
        owed,
        baselines,
        accepted: accepted.map_err(std::io::Error::from)?,
        approvals,
        ledger: ledger(context, state, now),
        last_holder: holder,
    })
}

/// Tags that calls removed by accident, with the device's name if their run knew it.
fn owed(state: &StateDir, lost: &BTreeMap<ChangeKey, Owed>) -> Vec<OwedTag> {
    let runs: BTreeSet<&str> = lost.values().map(|owed| &*owed.run).collect();
    let mut names: HashMap<String, String> = HashMap::new();
    for indexed in runs.into_iter().filter_map(|run| history_index::read(state, run).ok()) {
        let named = indexed.changes.into_iter().filter(|change| change.was_lost);
        names.extend(named.filter_map(|change| Some((change.device, change.name?))));
    }
    let of = |(key, owed): (&ChangeKey, &Owed)| {
        let ChangeWhat::Add(tag) = &key.what else { return None };
        let (id, run) = (key.device.to_string(), owed.run.to_string());
        let device = OwingDevice { name: names.get(&id).cloned(), id };
        Some(OwedTag { device, tag: tag.to_string(), run, lost: owed.lost })
    };
    lost.iter().filter_map(of).collect()
}

/// The progress of an open rollout, and what its next wave waits for.
fn next_wave(recorded: &RecordedRun, now: Timestamp) -> NextWave {
    let progress = open_rollouts::progress(recorded);
    NextWave {
        run: recorded.header.run.clone(),
        written: progress.current,
        waves: recorded.header.waves,
        not_before: progress.not_before,
        gate: progress.halted,
        is_due: progress.is_due(now),
    }
}

/// The runs that `apply --resume` would continue, oldest first.
fn unfinished(
    state: &StateDir,
    headers: &[Header],
    resumable: &HashSet<String>,
    open: &[String],
) -> BTreeSet<String> {
    let mut unfinished: BTreeSet<String> = open.iter().cloned().collect();
    let mut judge = UnfinishedRuns::new(headers);
    for header in headers.iter().rev() {
        let is_closed = || {
            journal::read(state, &header.run)
                .is_ok_and(|recorded| open_rollouts::progress(&recorded).is_closed)
        };
        if judge.is_left(header, resumable.contains(&header.run), is_closed) {
            unfinished.insert(header.run.clone());
        }
    }
    unfinished
}

/// The age of each application's newest call on each lane; `doctor` shows the windows.
fn ledger(context: &Context, state: &StateDir, now: Timestamp) -> Vec<LastUse> {
    let used = match &context.place {
        StatePlace::Store(address) => state_store::ledgers(context, address, state),
        StatePlace::Folder(_) => local_ledgers(state),
    };
    let age = |used: Timestamp| now.since(used).as_secs();
    used.into_iter()
        .map(|(application, used)| LastUse { application, last_used_seconds: used.map(age) })
        .collect()
}

fn local_ledgers(state: &StateDir) -> Vec<(String, Option<Timestamp>)> {
    let folder = state.path().join("ledger");
    let written = |application: &String| {
        let files = std::fs::read_dir(folder.join(application)).into_iter().flatten().flatten();
        let written = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max();
        let since = written.and_then(|written| written.duration_since(std::time::UNIX_EPOCH).ok());
        since.map(|since| Timestamp::EPOCH.plus(since))
    };
    let applications = past_runs::folders(&folder).into_iter();
    applications.map(|application| (application.clone(), written(&application))).collect()
}
