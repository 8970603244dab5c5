//! `--all-tenants`: one command for every profile, side by side, each with its own budget and state.
//!
//! Each tenant's output is one block under its name; the exit code is the worst of all.

use std::future::Future;
use std::io::Write;
use std::path::Path;

use futures_util::stream::{self, StreamExt as _};
use mdetag_core::report::tenants::{self, TenantEnd};

use super::args::{ApplyArgs, DriftArgs, FleetArgs, Format, PlanArgs, ReportArgs};
use super::console::Kept;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::{apply, drift, findings, fleet, plan};

/// `plan` for every profile.
///
/// # Errors
/// No profile, or flags that name one file for all.
pub async fn plan(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    no_shared_file(args.output.as_deref(), &args.report)?;
    each(context, &args.report.fleet, |context| async move { plan::run(&context, args).await }).await
}

/// `drift` for every profile.
///
/// # Errors
/// As [`plan()`].
pub async fn drift(context: &Context, args: &DriftArgs) -> Result<Exit, Failure> {
    no_shared_file(None, &args.report)?;
    each(context, &args.report.fleet, |context| async move { drift::run(&context, args).await }).await
}

/// `apply` for every profile. Asks nobody: questions of several tenants at once cannot be told apart.
///
/// # Errors
/// As [`plan()`], and without `--auto-approve`.
pub async fn apply(context: &Context, args: &ApplyArgs) -> Result<Exit, Failure> {
    no_shared_file(None, &args.report)?;
    if !args.auto_approve {
        return Err(Failure::usage("`apply --all-tenants` needs `--auto-approve`")
            .help("review the plans first: mdetag plan --all-tenants"));
    }
    each(context, &args.report.fleet, |context| async move { apply::run(&context, args).await }).await
}

fn no_shared_file(output: Option<&Path>, report: &ReportArgs) -> Result<(), Failure> {
    let mut names = report.reports.iter().map(String::as_str).chain(output.and_then(Path::to_str));
    if names.all(|name| name.contains(output::TENANT)) {
        return Ok(());
    }
    Err(Failure::usage("`--all-tenants` cannot write the reports of several tenants to one file")
        .help("put {tenant} into the name, as in plan-{tenant}.json, or run one job a tenant: `mdetag tenants --format json` prints the matrix"))
}

/// Runs for every profile and says at the end how each ended.
async fn each<Work, Ended>(context: &Context, fleet: &FleetArgs, work: Work) -> Result<Exit, Failure>
where
    Work: Fn(Context) -> Ended,
    Ended: Future<Output = Result<Exit, Failure>>,
{
    output::only(
        context.global.format,
        "--all-tenants",
        &[Format::Human, Format::Json, Format::Ndjson, Format::Markdown],
    )?;
    if context.settings.tenants().next().is_none() {
        return Err(Failure::usage("`--all-tenants` needs tenant profiles")
            .help("name them in mdetag.yaml under `tenants`; `mdetag init` writes one with an example"));
    }
    let names = fleet::names(context, &fleet.select, fleet.shard.as_deref())?;
    if names.is_empty() {
        context.console.say("no tenant fits `--select` and `--shard`: nothing to do");
        return Ok(Exit::Success);
    }
    // Never more than so many at a time: memory is theirs, however many tenants there are.
    let runs = stream::iter(&names).map(|name| {
        let own = own(context, name);
        let kept = own.console.kept.clone().unwrap_or_default();
        let ending = work(own);
        async move { (name, ending.await, kept) }
    });
    let mut runs = std::pin::pin!(runs.buffered(usize::from(fleet.parallel)));
    let mut worst = Exit::Success;
    let mut summary = String::from("All tenants:\n");
    let mut documents = Vec::new();
    while let Some((name, ended, kept)) = runs.next().await {
        let (exit, says) = match &ended {
            Ok(exit) => (*exit, exit.meaning().to_owned()),
            Err(failure) => (failure.exit, failure.to_string()),
        };
        let block = kept.take();
        let failure = ended.as_ref().err();
        let end = TenantEnd {
            tenant: name,
            exit_code: exit.code(),
            says,
            report: &block,
            failure: failure.map(|failure| (failure.code, failure.message.as_str(), failure.help.as_deref())),
        };
        match context.global.format {
            Format::Json => documents.push(tenants::document(&end)),
            _ => context.console.out().write_all(&block)?,
        }
        if let (Err(failure), true) = (&ended, context.global.format != Format::Json) {
            context.console.complain(&format!("{name}:"));
            findings::fail(&context.console, Format::Human, failure);
        }
        summary.push_str(&tenants::summary_line(&end));
        worst = worst.worst(exit);
    }
    if context.global.format == Format::Json {
        context.console.result(&tenants::all_document(documents, worst.code()))?;
    }
    context.console.say(&summary);
    Ok(worst)
}

/// The context of one tenant: its profile, a console that keeps results, and with `--sandbox` a sandbox of its own.
fn own(context: &Context, name: &str) -> Context {
    let mut own = context.clone();
    own.global.tenant = Some(name.to_owned());
    own.console.kept = Some(Kept::default());
    // A bar of one tenant would draw over the lines of another.
    own.console.lines |= own.console.bars;
    own.console.bars = false;
    if let Some(sandbox) = &own.global.sandbox {
        let named = if sandbox == "default" { name.to_owned() } else { format!("{sandbox}-{name}") };
        own.global.sandbox = Some(named);
    }
    own
}
