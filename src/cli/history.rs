//! `mdetag history`: who put which tag where, when, by which rule, commit and run, from the journals.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use mdetag::store::history::{self, HistoryEntry};
use mdetag::store::journal::{self, Recorded};
use mdetag::store::path_text::shown;
use mdetag::store::state::StateDir;
use mdetag_core::apply::Outcome;
use mdetag_core::plan::{Cause, ChangeKey, ChangeWhat, Plan, document, stale};
use mdetag_core::report::escape::{self, terminal};
use mdetag_core::report::words::{counted, number};

use super::args::{Format, HistoryArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, chain};
use super::output;
use super::session::{SANDBOX, sandbox_dir};

/// Prints the runs, or what happened to one device or tag.
///
/// # Errors
/// No state directory, journals that cannot be read.
pub fn run(context: &Context, args: &HistoryArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "history", &[Format::Human, Format::Json])?;
    let mut text = String::new();
    let mut documents = Vec::new();
    for state in states(context)? {
        let runs = journal::runs(&state)
            .map_err(|error| Failure::file(format!("{}: {error}", shown(&state.runs()))))?;
        for run in runs {
            let recorded = match journal::read(&state, &run) {
                Ok(recorded) => recorded,
                Err(error) => {
                    context.console.say(&format!("left out: {}", chain(&error)));
                    continue;
                }
            };
            let (lines, document) = match &args.subject {
                None => summary(&run, &recorded),
                Some(subject) => happened(&run, &recorded, &state, subject),
            };
            text.push_str(&lines);
            documents.extend(document);
        }
    }
    if context.global.format == Format::Json {
        let key = if args.subject.is_some() { "changes" } else { "runs" };
        let document = json!({ "formatVersion": "1.0", key: documents });
        context.console.result(&escape::json_document(&document))?;
    } else if text.is_empty() {
        let of = args
            .subject
            .as_ref()
            .map(|subject| format!(" about `{}`", terminal(subject)))
            .unwrap_or_default();
        context.console.result(&format!("no run in {} says anything{of}\n", shown(&context.state_dir())))?;
    } else {
        context.console.result(&text)?;
    }
    Ok(Exit::Success)
}

/// The tenants whose journals are looked at: the sandbox or profile that was named, else all in the state directory.
fn states(context: &Context) -> Result<Vec<StateDir>, Failure> {
    let root = context.state_dir();
    let only_cloud = match &context.global.sandbox {
        Some(name) => sandbox_dir(context, name).map(|_| Some(SANDBOX.to_owned()))?,
        None => None,
    };
    let only_tenant = match (&only_cloud, &context.global.tenant) {
        (None, Some(_)) => context.profile()?.and_then(|profile| profile.tenant_id.clone()),
        _ => None,
    };
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

fn folders(path: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = listing
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// One line a run.
fn summary(run: &str, recorded: &Recorded) -> (String, Vec<Value>) {
    let entries = history::entries_of(recorded);
    let count = |outcome: Outcome| entries.iter().filter(|one| one.outcome == outcome).count() as u64;
    let outcomes: Vec<String> = Outcome::ALL
        .into_iter()
        .filter(|outcome| count(*outcome) > 0)
        .map(|outcome| format!("{} {}", number(count(outcome)), outcome.word()))
        .collect();
    let header = &recorded.header;
    let who = header.who.as_deref().unwrap_or("unknown");
    let place = header.job.as_deref().or(header.host.as_deref()).unwrap_or("unknown");
    let commit = header
        .commit
        .as_deref()
        .map(|commit| format!(" · commit {}", &commit[..commit.len().min(7)]))
        .unwrap_or_default();
    let ended = recorded.closing.as_ref().map_or("not ended", |closing| closing.reason.as_str());
    let started = recorded.started.map(|at| at.to_string()).unwrap_or_default();
    let cloud = if header.cloud == SANDBOX { "SANDBOX · " } else { "" };
    let line = format!(
        "{run} · {cloud}{started} · by {} on {}{commit} · {} · {}\n",
        terminal(who),
        terminal(place),
        if outcomes.is_empty() { "no change".to_owned() } else { outcomes.join(", ") },
        terminal(ended),
    );
    let outcomes: serde_json::Map<String, Value> =
        Outcome::ALL.into_iter().map(|outcome| (outcome.word().to_owned(), count(outcome).into())).collect();
    let document = json!({
        "run": run, "startedAt": recorded.started, "tenant": header.tenant, "cloud": header.cloud, "who": header.who,
        "host": header.host, "job": header.job, "commit": header.commit, "policy": header.policy, "plan": header.plan,
        "outcomes": outcomes, "ended": ended, "resumable": recorded.is_resumable(), "damagedLines": recorded.damaged,
    });
    (line, vec![document])
}

/// What a run did to one device or tag.
fn happened(run: &str, recorded: &Recorded, state: &StateDir, subject: &str) -> (String, Vec<Value>) {
    let plan = journal::plan_text(state, run).ok().and_then(|text| document::read(&text).ok());
    let known = plan.as_ref().map(reasons).unwrap_or_default();
    let mut text = String::new();
    let mut documents = Vec::new();
    for HistoryEntry { at, key, outcome, error } in history::entries_of(recorded) {
        let reason = known.get(&key);
        let name = reason.and_then(|reason| reason.name.as_deref());
        let (symbol, what) = match &key.what {
            ChangeWhat::Add(tag) => ("+", tag.to_string()),
            ChangeWhat::Remove(tag) => ("-", tag.to_string()),
            ChangeWhat::Value(value) => ("~", value.to_string()),
        };
        let is_device =
            *key.device == *subject || name.is_some_and(|name| mdetag_core::text::equal(name, subject));
        if !is_device && what != subject {
            continue;
        }
        let header = &recorded.header;
        let commit = header
            .commit
            .as_deref()
            .map(|commit| format!(" · commit {}", &commit[..commit.len().min(7)]))
            .unwrap_or_default();
        let because = reason.map(|reason| format!(" · {}", terminal(&reason.because))).unwrap_or_default();
        let error_text = error.as_deref().map(|error| format!(" ({})", terminal(error))).unwrap_or_default();
        text.push_str(&format!(
            "{at}  {symbol} {}  {}  {}{error_text}{because} · by {} · run {run}{commit}\n",
            terminal(&escape::tag(&what)),
            terminal(name.unwrap_or(&key.device)),
            outcome.word(),
            terminal(header.who.as_deref().unwrap_or("unknown")),
        ));
        documents.push(json!({
            "at": at, "device": { "id": &*key.device, "name": name }, "action": symbol_word(symbol), "what": what,
            "outcome": outcome.word(), "error": error, "because": reason.map(|reason| &reason.because), "run": run,
            "who": header.who, "commit": header.commit,
        }));
    }
    (text, documents)
}

fn symbol_word(symbol: &str) -> &'static str {
    match symbol {
        "+" => "add",
        "-" => "remove",
        _ => "value",
    }
}

/// Why a change was planned, and the device's name.
struct Reason {
    name: Option<String>,
    because: String,
}

fn reasons(plan: &Plan) -> HashMap<ChangeKey, Reason> {
    let mut reasons = HashMap::new();
    for change in &plan.changes {
        let causes = change
            .add
            .iter()
            .chain(&change.remove)
            .map(|tag| tag.cause)
            .chain(change.value.map(|value| value.cause));
        for (key, cause) in stale::keys(plan, change).zip(causes) {
            let because = match plan.cause(cause) {
                Cause::Rule(rules) if rules.len() > 3 => counted(rules.len() as u64, "rule"),
                cause => mdetag_core::report::words::cause(plan, cause),
            };
            reasons.insert(key, Reason { name: change.name.as_deref().map(str::to_owned), because });
        }
    }
    reasons
}
