//! `mdetag state show`: what earlier runs left, tenant by tenant.
//!
//! Takes no lock and changes nothing.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use mdetag::store::backend::StatePlace;
use mdetag::store::history::{self, PoliciesAtHand, Present};
use mdetag::store::journal::{self, Header, Recorded};
use mdetag::store::state::StateDir;
use mdetag::store::{baselines_file, history_index, path_text::shown};
use mdetag_core::apply::Gate;
use mdetag_core::report::escape::{self, terminal};
use mdetag_core::report::words::counted;
use mdetag_core::time::Timestamp;
use serde_json::{Value, json};

use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::unfinished::Judge;
use crate::cli::{history as past_runs, open_rollouts, output, state_store};

/// Prints what the state holds.
///
/// # Errors
/// State that cannot be listed.
pub fn run(context: &Context) -> Result<Exit, Failure> {
    output::only(context.global.format, "state show", &[Format::Human, Format::Json])?;
    let mut tenants = Vec::new();
    for state in past_runs::states(context)? {
        tenants.push(tenant(context, &state)?);
    }
    if context.global.format == Format::Json {
        let document = json!({ "formatVersion": "1.0", "tenants": tenants });
        context.console.result(&escape::json_document(&document))?;
    } else if tenants.is_empty() {
        context.console.result("the state holds no tenant\n")?;
    } else {
        context.console.result(&tenants.iter().map(text).collect::<String>())?;
    }
    Ok(Exit::Success)
}

/// What lies in the state of a tenant.
fn tenant(context: &Context, state: &StateDir) -> Result<Value, Failure> {
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
                approvals.extend(raised.map(|of_run| {
                    json!({ "run": run, "cap": of_run.approval.cap, "tag": of_run.tag, "changes": of_run.count })
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
    let known = history::read(state, Present { now, visibility, policy, retry_contested: false, tag_case });
    let mut next_waves = None;
    let rollouts: Option<Vec<String>> = match open_rollouts::open(state, None, None) {
        Ok(open) => {
            // `--now` asks what would be due then.
            let now = context.policy_now();
            next_waves = Some(open.iter().map(|recorded| next_wave(recorded, now)).collect::<Vec<Value>>());
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
    Ok(json!({
        "state": shown(state.path()),
        "runs": { "count": runs.len(), "oldest": runs.first(), "newest": runs.last() },
        "unfinished": unfinished, "unreadable": unreadable, "openRollouts": rollouts,
        "nextWaves": next_waves,
        "contested": known.contested.len(), "pending": known.pending.len(),
        "baselines": baselines, "accepted": accepted, "approvals": approvals,
        "ledger": ledger(context, state, now), "lastHolder": holder,
    }))
}

/// How far an open rollout is, and what its next wave waits for.
fn next_wave(recorded: &Recorded, now: Timestamp) -> Value {
    let progress = open_rollouts::progress(recorded);
    json!({
        "run": recorded.header.run, "written": progress.current, "waves": recorded.header.waves,
        "notBefore": progress.not_before, "gate": progress.halted.map(Gate::word),
        "isDue": progress.is_due(now),
    })
}

/// The runs that `apply --resume` would go on with, the oldest first.
fn unfinished(
    state: &StateDir,
    headers: &[Header],
    resumable: &HashSet<String>,
    open: &[String],
) -> BTreeSet<String> {
    let mut unfinished: BTreeSet<String> = open.iter().cloned().collect();
    let mut judge = Judge::new(headers);
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

/// How old the newest call is that each application made on each lane; the figures of the windows are `doctor`'s.
fn ledger(context: &Context, state: &StateDir, now: Timestamp) -> Value {
    let used = match &context.place {
        StatePlace::Store(address) => state_store::ledgers(context, address, state),
        StatePlace::Folder(_) => local_ledgers(state),
    };
    let mut applications = Vec::new();
    for (application, used) in used {
        let age = used.map(|used| now.since(used));
        applications.push(
            json!({ "application": application, "lastUsedSeconds": age.as_ref().map(Duration::as_secs) }),
        );
    }
    Value::Array(applications)
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

/// The same for people.
fn text(tenant: &Value) -> String {
    let words = |key: &str| {
        let listed = tenant[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        listed.map(|word| terminal(word).into_owned()).collect::<Vec<_>>().join(", ")
    };
    let length = |key: &str| tenant[key].as_array().map_or(0, Vec::len) as u64;
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut text = format!("{}\n", terminal(tenant["state"].as_str().unwrap_or_default()));
    let mut line = |name: &str, what: String| text.push_str(&format!("  {name:<14} {what}\n"));
    let runs = &tenant["runs"];
    let span = match (runs["oldest"].as_str(), runs["newest"].as_str()) {
        (Some(oldest), Some(newest)) => format!(", {} to {}", terminal(oldest), terminal(newest)),
        _ => String::new(),
    };
    line("runs", format!("{}{span}", number(&runs["count"])));
    for (name, key) in
        [("unfinished", "unfinished"), ("open rollouts", "openRollouts"), ("unreadable", "unreadable")]
    {
        line(
            name,
            match tenant[key].as_array() {
                None => "not known".to_owned(),
                Some(none) if none.is_empty() => "none".to_owned(),
                Some(_) => words(key),
            },
        );
    }
    for next in tenant["nextWaves"].as_array().into_iter().flatten() {
        let due = match (next["gate"].as_str(), next["notBefore"].as_str()) {
            (Some(gate), _) => {
                format!("the gate `{}` failed: only --next-wave --reason passes it", terminal(gate))
            }
            (None, Some(_)) if next["isDue"] == true => "the next is due".to_owned(),
            (None, Some(moment)) => format!("the next may start at {}", terminal(moment)),
            (None, None) => "under way".to_owned(),
        };
        let (run, written) = (next["run"].as_str().unwrap_or_default(), number(&next["written"]));
        line("next wave", format!("{}: wave {written} of {}, {due}", terminal(run), number(&next["waves"])));
    }
    line("contested", counted(number(&tenant["contested"]), "change"));
    line("pending", counted(number(&tenant["pending"]), "change"));
    let sets = tenant["baselines"].as_object().map_or(0, serde_json::Map::len) as u64;
    line(
        "baselines",
        format!("of {}, {} accepted", counted(sets, "policy set"), counted(length("accepted"), "count")),
    );
    for used in tenant["approvals"].as_array().into_iter().flatten() {
        let of = used["tag"].as_str().map(|tag| format!(" of {}", terminal(tag))).unwrap_or_default();
        let (cap, run) = (used["cap"].as_str().unwrap_or_default(), used["run"].as_str().unwrap_or_default());
        line(
            "approval used",
            format!("{}{of}: {} in run {}", terminal(cap), number(&used["changes"]), terminal(run)),
        );
    }
    for ledger in tenant["ledger"].as_array().into_iter().flatten() {
        let name = terminal(ledger["application"].as_str().unwrap_or_default());
        line("ledger", format!("{name}, last used {} s ago", number(&ledger["lastUsedSeconds"])));
    }
    line(
        "last holder",
        terminal(tenant["lastHolder"].as_str().map_or("never taken", |holder| holder)).into_owned(),
    );
    text
}
