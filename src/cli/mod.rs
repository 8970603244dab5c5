//! The command line: the only module that reads the clock and the environment, prints and ends the process.
//!
//! Decides nothing about devices: each command is a short path through the pipeline and its edges.

use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use mdetag_core::report::escape::terminal;

mod age;
mod all_tenants;
mod applied;
mod apply;
mod apply_request;
mod args;
mod carry_out;
mod ci;
mod console;
mod context;
mod coverage;
mod devices;
mod doctor;
#[cfg(test)]
mod documents;
mod drift;
mod drive;
mod ended_run;
mod explain;
mod exit;
mod failure;
mod findings;
mod flags;
mod fleet;
mod groups;
mod help;
mod history;
mod hunting;
mod import;
#[cfg(test)]
mod import_round_trip;
mod init;
mod known_service;
mod ledger_text;
mod last_runs;
mod left_out;
mod lock;
mod looking;
mod lost_tags;
mod manual;
mod next_wave;
mod notify;
mod merge;
mod open_rollouts;
mod opened_store;
mod other_sets;
mod output;
mod past;
mod past_run;
mod plan;
mod planning;
mod policy_set;
mod progress;
mod question;
#[cfg(test)]
mod reference_policies;
mod rehearse;
mod reread;
mod resuming;
mod revert;
mod reviewed;
mod run_display;
mod rollout;
mod run_end;
mod run_inputs;
mod run_part;
mod sandbox;
mod schema;
mod session;
mod set_names;
mod shell;
mod show;
mod sightings;
mod signals;
mod snapshot;
mod state;
mod source;
mod state_place;
mod state_store;
mod tags;
mod tenants;
mod undone;
mod unfinished;
mod validate;

use args::{Cli, Command, Format};
use console::Console;
use context::Context;
use exit::Exit;
use failure::Failure;
use output::Reports;

/// The stack of the worker thread: Linux's size for a main thread. Windows has an eighth of it, and a command for all tenants
/// overflowed that.
const STACK: usize = 8 << 20;

/// Runs the command line of this process, on a thread with the same stack on every system.
pub(crate) fn main() -> ExitCode {
    let working = std::thread::Builder::new().name("main".to_owned()).stack_size(STACK).spawn(work);
    match working.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The thread has already reported its panic.
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            let failure = Failure::file(format!("cannot start: {error}"));
            findings::fail(&Console::plain(), Format::Human, &failure);
            failure.exit.into()
        }
    }
}

fn work() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let console = Console::new(&cli.global);
    console::start_logging(&cli.global, &console);
    let format = cli.global.format;
    match start(cli, &console) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            findings::fail(&console, format, &failure);
            let exit = if failure.is_broken_pipe() { Exit::Success } else { failure.exit };
            exit.into()
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = args::folded();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// A usage error ends with 1, not with clap's 2, which means drift here. Help and version count as results.
fn usage(error: &clap::Error) -> Exit {
    let is_result = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let is_json = wants("--format", "MDETAG_FORMAT");
    let logs_json = wants("--log-format", "MDETAG_LOG_FORMAT");
    if !is_result && (is_json || logs_json) {
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ").to_owned();
        let console = Console { logs_json, is_json, ..Console::plain() };
        let format = if is_json { Format::Json } else { Format::Human };
        findings::fail(&console, format, &Failure::usage(message));
    } else {
        let text = error.render().to_string();
        // It quotes words of the command line, which a pipeline may have made from names.
        let harmless: Vec<_> = text.lines().map(terminal).collect();
        let harmless = harmless.join("\n");
        if is_result || harmless == text.trim_end_matches('\n') {
            // If the stream is gone, nobody can be told.
            let _ = error.print();
        } else {
            Console::plain().complain(&harmless);
        }
    }
    if is_result { Exit::Success } else { Exit::Error }
}

/// Whether unparsable arguments ask for JSON with this flag; without the flag, the environment counts.
fn wants(flag: &str, variable: &str) -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1] == "json");
    let joined =
        words.iter().filter_map(|word| Some(word.to_str()?.strip_prefix(flag)?.strip_prefix('=')? == "json"));
    pairs.chain(joined).last().unwrap_or_else(|| std::env::var_os(variable).is_some_and(|it| it == "json"))
}

fn start(cli: Cli, console: &Console) -> Result<Exit, Failure> {
    // The default provider of every TLS connection; installing it twice changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|error| Failure::file(format!("cannot start: {error}")))?;
    let context = Context::new(cli.global.clone(), console.clone(), &cli.command)
        .map_err(|failure| Reports::unsettled(&cli.global, console, &cli.command, failure))?;
    let ended = runtime.block_on(run(&context, cli.command));
    // A blocked question or a served connection must not keep the process alive.
    runtime.shutdown_background();
    ended
}

async fn run(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Apply(args) if args.report.fleet.all_tenants => all_tenants::apply(context, &args).await,
        Command::Apply(args) => apply::run(context, &args).await,
        Command::Sandbox(args) => sandbox::run(context, &args).await,
        Command::Doctor(args) if args.probe.is_some() || args.probe_cleanup.is_some() => {
            doctor::probe::run(context, &args).await
        }
        command => signals::end_reading(read(context, command)).await,
    }
}

/// Runs a command that writes nothing to a tenant.
async fn read(context: &Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(context, &args).await,
        Command::Validate(args) if args.fleet.all_tenants => all_tenants::validate(context, &args),
        Command::Validate(args) => validate::run(context, &args),
        Command::Plan(args) if args.report.fleet.all_tenants => all_tenants::plan(context, &args).await,
        Command::Plan(args) => plan::run(context, &args).await,
        Command::Show(args) => show::run(context, &args),
        Command::Drift(args) if args.report.fleet.all_tenants => all_tenants::drift(context, &args).await,
        Command::Drift(args) => drift::run(context, &args).await,
        Command::Explain(args) => explain::run(context, &args).await,
        Command::Tags(args) => tags::run(context, &args).await,
        Command::Devices(args) => devices::run(context, &args).await,
        Command::Coverage(args) => coverage::run(context, &args).await,
        Command::Groups(args) => groups::run(context, &args).await,
        Command::Import(args) => import::run(context, &args).await,
        Command::Snapshot(args) => snapshot::run(context, &args).await,
        Command::History(args) => history::run(context, &args),
        Command::State(args) => state::run(context, &args).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Report(args) => merge::run(context, &args),
        Command::Tenants(args) => tenants::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
        Command::Completions(args) => shell::completions(context, &args),
        Command::Revert(args) => revert::run(context, &args).await,
        Command::Test(args) if args.fleet.all_tenants => all_tenants::test(context, &args),
        Command::Test(args) => rehearse::run(context, &args),
        Command::Man(args) => manual::run(context, &args),
        Command::Help(args) => help::run(context, &args),
        Command::Apply(_) | Command::Sandbox(_) => unreachable!("they end on signals by themselves"),
    }
}
