//! `mdetag sandbox`: creates, serves, edits and generates simulated tenants.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mdetag::store::path_text::shown;
use mdetag::store::{output_file, regular_file, state};
use mdetag_core::policy::{Policy, TagExpressionKind};
use mdetag_core::report::sandbox::{self as report, FaultRow, SandboxEdit, SandboxEditKind, SandboxReport};
use mdetag_core::tag::is_reserved;
use mdetag_sandbox::{self as sandbox, Disturbed, FleetFile, Sandbox};

use super::args::{Format, SandboxArgs, SandboxCommand};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::policy_set;
use super::session;

/// The sandbox of commands that name none.
const DEFAULT: &str = "default";

/// Runs one of the commands on a sandbox.
///
/// # Errors
/// An existing sandbox, or an unusable state directory or file.
pub async fn run(context: &Context, args: &SandboxArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "sandbox", &[Format::Human, Format::Json])?;
    let name = context.global.sandbox.as_deref().unwrap_or(DEFAULT);
    match &args.command {
        SandboxCommand::Create { fleet: Some(fleet), .. } => create_from(context, name, fleet),
        SandboxCommand::Create { devices, seed, fleet: None } => create(context, name, *devices, *seed),
        SandboxCommand::Serve { listen } => serve(context, name, *listen).await,
        SandboxCommand::Disturb { edits, seed, policies } => disturb(context, name, *edits, *seed, policies),
        SandboxCommand::Generate { devices, seed, output } => generate(context, *devices, *seed, output),
        SandboxCommand::Faults => faults(context),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::tenant(error.to_string())
}

fn create(context: &Context, name: &str, devices: usize, seed: u64) -> Result<Exit, Failure> {
    state::prepare(&context.state_dir());
    let directory = session::sandbox_dir(context, name)?;
    session::start_empty(context, name)?;
    let options =
        sandbox::Options { devices: devices as u64, seed, ..session::sandbox_options(context, None) };
    Sandbox::create(&directory, &options, context.clock.clone()).map_err(failed)?;
    let folder = shown(&directory);
    show(context, &SandboxReport::Generated { name, devices: options.devices, seed, folder })
}

/// The largest fleet: a million devices of 4 KB.
const MAX_FLEET_BYTES: u64 = 4 << 30;

/// A sandbox of given devices.
fn create_from(context: &Context, name: &str, fleet: &Path) -> Result<Exit, Failure> {
    let named = |why: String| Failure::file(format!("cannot read {}: {why}", shown(fleet)));
    let lines = regular_file::argument_text(fleet, MAX_FLEET_BYTES).map_err(named)?;
    state::prepare(&context.state_dir());
    let directory = session::sandbox_dir(context, name)?;
    session::start_empty(context, name)?;
    let options = session::sandbox_options(context, None);
    let sandbox =
        Sandbox::create_from(&directory, &lines, &options, context.clock.clone()).map_err(failed)?;
    let devices = sandbox.devices().map_err(failed)?.len() as u64;
    let (fleet, folder) = (shown(fleet), shown(&directory));
    show(context, &SandboxReport::Loaded { name, devices, fleet, folder })
}

async fn serve(context: &Context, name: &str, listen: std::net::SocketAddr) -> Result<Exit, Failure> {
    let sandbox = session::open_sandbox(context, name, None)?;
    let running = sandbox::serve(&sandbox, listen).await.map_err(failed)?;
    let (url, known) = (running.url(), sandbox.credentials());
    let served = SandboxReport::Served {
        name,
        url: &url,
        tenant_id: &known.tenant_id,
        client_id: &known.client_id,
        client_secret: &known.client_secret,
    };
    show(context, &served)?;
    super::signals::wait().await;
    running.stop().await;
    Ok(Exit::Success)
}

/// The tags that a policy set owns: those that its rules give, and those of the devices that it claims.
fn owned_tags(policy: &Policy, sandbox: &Sandbox) -> Result<Vec<String>, Failure> {
    let devices = sandbox.devices().map_err(failed)?;
    let live = devices.iter().flat_map(|device| device["machineTags"].as_array().into_iter().flatten());
    let claimed = live.filter_map(|tag| tag.as_str()).filter(|tag| policy.claims_tag(tag));
    let given = policy.rules.iter().flat_map(|rule| &rule.tags).filter_map(|tag| match &tag.kind {
        TagExpressionKind::Literal(tag) => Some(tag.as_str()),
        TagExpressionKind::Template(_) => None,
    });
    let tags: BTreeSet<&str> = given.chain(claimed).filter(|tag| !is_reserved(tag)).collect();
    Ok(tags.into_iter().map(str::to_owned).collect())
}

fn disturb(
    context: &Context,
    name: &str,
    edits: usize,
    seed: u64,
    policies: &[PathBuf],
) -> Result<Exit, Failure> {
    let sandbox = session::open_sandbox(context, name, None)?;
    let paths = context.policy_paths(policies)?;
    let owned = match policies.is_empty() && !paths.iter().any(|path| path.exists()) {
        true => Vec::new(),
        false => owned_tags(&policy_set::load(context, &paths, context.policy_now())?.policy, &sandbox)?,
    };
    let done = sandbox.disturb(edits as u64, seed, &owned).map_err(failed)?;
    let edits = done.into_iter().map(|edit| SandboxEdit {
        device: edit.device,
        name: edit.name,
        what: match edit.what {
            Disturbed::Added(tag) => SandboxEditKind::Added(tag),
            Disturbed::Removed(tag) => SandboxEditKind::Removed(tag),
            Disturbed::Value(value) => SandboxEditKind::Value(value),
        },
    });
    show(context, &SandboxReport::Disturbed { name, edits: edits.collect() })
}

fn generate(context: &Context, devices: usize, seed: u64, path: &Path) -> Result<Exit, Failure> {
    let fleet = FleetFile { devices: devices as u64, seed, created: context.policy_now(), header: true };
    output_file::write(path, |mut out| sandbox::generate(&mut out, &fleet))?;
    show(context, &SandboxReport::Written { devices: fleet.devices, seed, file: shown(path) })
}

fn faults(context: &Context) -> Result<Exit, Failure> {
    let rows = sandbox::table().into_iter().map(|row| FaultRow {
        name: row.name,
        values: row.values,
        default: row.default,
        mark: row.mark,
        meaning: row.meaning,
    });
    show(context, &SandboxReport::Faults(rows.collect()))
}

fn show(context: &Context, done: &SandboxReport<'_>) -> Result<Exit, Failure> {
    let text = match context.global.format {
        Format::Json => report::json(done),
        _ => report::human(done),
    };
    context.console.result(&text)?;
    Ok(Exit::Success)
}
