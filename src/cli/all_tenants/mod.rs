//! `--all-tenants`: one command for every profile in parallel, each with its own budget and state.
//!
//! Each tenant's output is one block under its name, and memory grows with `--parallel`, not with the number of tenants. The last
//! lines give each tenant's counts and exit code; the exit code is the worst of all.

mod offline;
pub mod results;
mod waves;

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use mdetag_core::report::model::Subject;
use mdetag_core::report::tenants::TenantResult;
use mdetag_core::report::tenants::ends::{self, TenantEndings};
use mdetag_core::time::spoken;

use super::args::{ApplyArgs, DriftArgs, Format, PlanArgs, ReportArgs};
use super::console::BufferedOutput;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::{apply, drift, findings, fleet, plan, signals};
use results::Folder;

pub use offline::{test, validate};

/// The file of a tenant's plan in `--out-dir`, beside its result.
const PLAN_FILE: &str = "plan.json";
const REPORT_FILE: &str = "report.json";

/// `plan` for every profile.
///
/// # Errors
/// There is no profile, or flags name one file for all.
pub async fn plan(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    if args.output.is_some() && args.report.results.out_dir.is_some() {
        return Err(Failure::usage("`--out-dir` has a place for each plan: leave `-o` out"));
    }
    no_shared_file(args.output.as_deref(), &args.report)?;
    let all = All::new(context, Subject::Plan, &args.report)?;
    all.each(all.names()?, |context, folder| async move {
        let mut args = args.clone();
        if let Some(folder) = &folder {
            folder.direct(&mut args.report)?;
            args.output = Some(folder.file(PLAN_FILE));
        }
        plan::run(&context, &args).await
    })
    .await
}

/// `drift` for every profile.
///
/// # Errors
/// Those of [`plan()`].
pub async fn drift(context: &Context, args: &DriftArgs) -> Result<Exit, Failure> {
    no_shared_file(None, &args.report)?;
    let all = All::new(context, Subject::Drift, &args.report)?;
    all.each(all.names()?, |context, folder| async move {
        let mut args = args.clone();
        if let Some(folder) = &folder {
            folder.direct(&mut args.report)?;
            args.report.reports.push(folder.report("json", REPORT_FILE)?);
        }
        drift::run(&context, &args).await
    })
    .await
}

/// `apply` for every profile, or for one wave of them. Asks nothing, because questions of several tenants at once could not be
/// told apart.
///
/// # Errors
/// Those of [`plan()`], a missing `--auto-approve`, and a wave whose predecessor did not end well (exit 3).
pub async fn apply(context: &Context, args: &ApplyArgs) -> Result<Exit, Failure> {
    no_shared_file(None, &args.report)?;
    if !args.auto_approve {
        return Err(Failure::usage("`apply --all-tenants` needs `--auto-approve`")
            .help("review the plans first: mdetag plan --all-tenants --out-dir plans"));
    }
    if args.plans.is_some() && !args.paths.is_empty() {
        return Err(Failure::usage("`--plans` names the plans of all tenants: leave plans and policies out"));
    }
    let mut all = All::new(context, Subject::Applied, &args.report)?;
    let mut names = fleet::names(context, &args.report.fleet.select, None)?;
    if let Some(number) = args.tenant_wave {
        names = waves::tenants_of_wave(context, &names, number, args.after.as_deref())?;
        all.wave = Some(number);
    } else if names.len() > 1 && args.waves.is_none() && (args.resume.is_none() || args.or_plan) {
        waves::none_has_waves(context, &names)?;
    }
    names = fleet::part_of(context, names, args.report.fleet.shard.as_deref())?;
    all.each(names, |context, folder| async move {
        let mut args = args.clone();
        if let Some(folder) = &folder {
            folder.direct(&mut args.report)?;
            args.report.reports.push(folder.report("json", REPORT_FILE)?);
        }
        if let Some(plans) = &args.plans {
            args.paths = vec![reviewed(&context, plans)?];
        }
        apply::run(&context, &args).await
    })
    .await
}

/// The plan that `plan --all-tenants --out-dir` saved for this tenant.
fn reviewed(context: &Context, plans: &Path) -> Result<PathBuf, Failure> {
    let name = context.global.tenant.as_deref().unwrap_or_default();
    let path = plans.join(name).join(PLAN_FILE);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::plan(format!("there is no plan of `{name}` in `{}`", plans.display())).help(
        "make it with `mdetag plan --all-tenants --out-dir DIR`; a tenant without a plan is not applied",
    ))
}

fn no_shared_file(output: Option<&Path>, report: &ReportArgs) -> Result<(), Failure> {
    if report.results.out_dir.is_some() {
        return Ok(());
    }
    let mut names = report.reports.iter().map(String::as_str).chain(output.and_then(Path::to_str));
    if names.all(|name| name.contains(output::TENANT)) {
        return Ok(());
    }
    Err(Failure::usage("`--all-tenants` cannot write the reports of several tenants to one file")
        .help("name a folder with --out-dir, or put {tenant} into the name, as in plan-{tenant}.json"))
}

/// A command for all tenants.
struct All<'a> {
    context: &'a Context,
    command: Subject,
    report: &'a ReportArgs,
    wave: Option<usize>,
}

impl<'a> All<'a> {
    fn new(context: &'a Context, command: Subject, report: &'a ReportArgs) -> Result<All<'a>, Failure> {
        output::only(
            context.global.format,
            "--all-tenants",
            &[Format::Human, Format::Json, Format::Ndjson, Format::Markdown],
        )?;
        if context.settings.tenants().next().is_none() {
            return Err(Failure::usage("`--all-tenants` needs tenant profiles")
                .help("name them in mdetag.yaml under `tenants`; `mdetag init` writes one with an example"));
        }
        Ok(All { context, command, report, wave: None })
    }

    fn names(&self) -> Result<Vec<String>, Failure> {
        fleet::names(self.context, &self.report.fleet.select, self.report.fleet.shard.as_deref())
    }

    /// Runs for these tenants, and shows the end of each.
    async fn each<Work, Ended>(&self, names: Vec<String>, work: Work) -> Result<Exit, Failure>
    where
        Work: Fn(Context, Option<Folder>) -> Ended,
        Ended: Future<Output = Result<Exit, Failure>>,
    {
        let context = self.context;
        if names.is_empty() {
            context.console.say("no tenant fits `--select`, `--shard` and the wave: nothing to do");
            if context.global.format == Format::Json {
                Listed::begin(context)?.end(context, Exit::Success)?;
            }
            return Ok(Exit::Success);
        }
        if let Some(most) = self.report.results.jitter {
            let wait = jitter(&names, most);
            context.console.say(&format!("starting in {} (--jitter)", spoken(wait)));
            tokio::time::sleep(wait).await;
        }
        let out_dir = self.report.results.out_dir.as_deref();
        let open = |name: &String| out_dir.map(|dir| Folder::open(dir, name)).transpose();
        // A signal that stops the running tenants must not start the next ones. Read-only commands end by themselves.
        let mut signals = (self.command == Subject::Applied).then(|| signals::listen(context));
        let mut is_stopping = move || signals.as_mut().is_some_and(|signals| signals.try_recv().is_ok());
        let mut is_stopped = false;
        // Never more at the same time, so that memory does not grow with the number of tenants.
        let runs = stream::iter(&names).map(|name| {
            is_stopped |= is_stopping();
            let own = own(context, name);
            let kept = own.console.kept.clone().unwrap_or_default();
            let begun = TenantResult::begin(self.command, name, context.clock.now());
            let (folder, opened) = match open(name) {
                Ok(folder) => (folder, Ok(())),
                Err(failure) => (None, Err(failure)),
            };
            let may_start = opened.and_then(|()| if is_stopped { Err(Failure::stopped()) } else { Ok(()) });
            let ending = may_start.map(|()| work(own, folder.clone()));
            async move {
                let ended = match ending {
                    Err(failure) => Err(failure),
                    Ok(ending) => ending.await,
                };
                self.finish(begun, ended, kept, folder)
            }
        });
        let mut runs = std::pin::pin!(runs.buffered(usize::from(self.report.fleet.parallel)));
        let mut worst = Exit::Success;
        let mut summary = TenantEndings::default();
        let mut list = (context.global.format == Format::Json).then(|| Listed::begin(context)).transpose()?;
        while let Some((result, ended, kept)) = runs.next().await {
            let block = kept.take();
            match &mut list {
                Some(list) => list.add(context, &result, &block)?,
                None => context.console.out().write_all(&block)?,
            }
            if let (Err(failure), None) = (&ended, &list) {
                context.console.complain(&format!("{}:", result.tenant));
                findings::fail(&context.console, Format::Human, failure);
            }
            summary.add(&result);
            worst = worst.worst(ended.unwrap_or_else(|failure| failure.exit));
        }
        if let Some(list) = list {
            list.end(context, worst)?;
        }
        context.console.say(&summary.text());
        Ok(worst)
    }

    /// Writes a tenant's result as soon as its command has ended.
    fn finish(
        &self,
        begun: TenantResult,
        mut ended: Result<Exit, Failure>,
        kept: BufferedOutput,
        folder: Option<Folder>,
    ) -> (TenantResult, Result<Exit, Failure>, BufferedOutput) {
        let mut result = self.result(begun, &ended, &kept);
        if let Some(folder) = folder
            && let Err(failure) = folder.finish(&result)
        {
            // A lost result must not look like a good end.
            ended = Err(failure);
            result = self.result(result, &ended, &kept);
        }
        (result, ended, kept)
    }

    /// The result of a tenant whose command has ended.
    fn result(
        &self,
        begun: TenantResult,
        ended: &Result<Exit, Failure>,
        kept: &BufferedOutput,
    ) -> TenantResult {
        let profile = self.context.settings.profile(&begun.tenant);
        TenantResult {
            tenant_id: profile.and_then(|profile| profile.tenant_id.clone()),
            policies: profile.map(|profile| profile.policies.clone()).unwrap_or_default(),
            wave: self.wave,
            ended_at: self.context.clock.now(),
            exit_code: ended.as_ref().map_or_else(|failure| failure.exit, |exit| *exit).code(),
            error: ended.as_ref().err().map(results::error),
            summary: kept.summary(),
            ..begun
        }
    }
}

/// The JSON document, written tenant by tenant: `{ "formatVersion", "tenants": […], "exitCode" }`.
struct Listed {
    is_first: bool,
}

impl Listed {
    fn begin(context: &Context) -> Result<Listed, Failure> {
        context.console.out().write_all(ends::BEGINNING.as_bytes())?;
        Ok(Listed { is_first: true })
    }

    /// One tenant's part: its own output, its figures, or its failure.
    fn add(&mut self, context: &Context, result: &TenantResult, block: &[u8]) -> Result<(), Failure> {
        let comma = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        let part = ends::part(result, block);
        context.console.out().write_all(format!("{comma}{part}").as_bytes())?;
        Ok(())
    }

    fn end(self, context: &Context, worst: Exit) -> Result<(), Failure> {
        context.console.out().write_all(ends::end(worst.code()).as_bytes())?;
        Ok(())
    }
}

/// The context of one tenant: its profile, a console that keeps results, and with `--sandbox` a sandbox of its own.
fn own(context: &Context, name: &str) -> Context {
    let mut own = context.clone();
    own.global.tenant = Some(name.to_owned());
    own.console.kept = Some(BufferedOutput::default());
    // A tenant's progress bar would overwrite the lines of the others.
    own.console.lines |= own.console.bars;
    own.console.bars = false;
    if let Some(sandbox) = &own.global.sandbox {
        let named = if sandbox == "default" { name.to_owned() } else { format!("{sandbox}-{name}") };
        own.global.sandbox = Some(named);
    }
    own
}

/// How long this part of the tenants waits before it starts. The same for the same tenants and different for others, so that a
/// hundred pods do not sign in within the same second.
fn jitter(names: &[String], most: Duration) -> Duration {
    let digest = ring::digest::digest(&ring::digest::SHA256, names.join("\n").as_bytes());
    let first = digest.as_ref().iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    most.mul_f64(f64::from(first) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tenants_wait_equally_long_and_never_too_long() {
        let names = |count: usize| -> Vec<String> { (0..count).map(|at| format!("tenant-{at}")).collect() };
        let most = Duration::from_secs(300);
        assert_eq!(jitter(&names(5), most), jitter(&names(5), most));
        let waits: Vec<Duration> = (1..40).map(|count| jitter(&names(count), most)).collect();
        assert!(waits.iter().all(|wait| *wait <= most), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait < most / 4) && waits.iter().any(|wait| *wait > most / 4 * 3));
    }
}
