//! `mdetag explain`: why a device has, gets or loses a tag or value, or why not.

use mdetag_core::desired;
use mdetag_core::device::Field;
use mdetag_core::diagnostic::did_you_mean;
use mdetag_core::explain;
use mdetag_core::inventory::Snapshot;
use mdetag_core::plan::guard::Allowance;
use mdetag_core::report::escape::terminal;
use mdetag_core::report::explain as rendered;

use super::args::{ExplainArgs, Format};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::past;
use super::planning::{self, PolicySet};
use super::policy_set;
use super::source::{self, Source};

/// The most devices that are explained if a name fits several.
const MOST: usize = 5;

/// Explains.
///
/// # Errors
/// Policy, identity, network, a device that is not in the inventory.
pub async fn run(context: &Context, args: &ExplainArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "explain", &[Format::Human, Format::Json])?;
    let set = policy_set::load(context, &context.policy_paths(&args.policy)?, context.policy_now())?;
    let source = source::read(context, Some(&set)).await?;
    let (context, set) = &source.suited(context, set)?;
    let text = explained(context, args, set, &source)?;
    context.console.result(&text)?;
    source.close().await;
    Ok(Exit::Success)
}

fn explained(
    context: &Context,
    args: &ExplainArgs,
    set: &PolicySet,
    source: &Source,
) -> Result<String, Failure> {
    let snapshot = &source.inventory.snapshot;
    let rows = snapshot.find_device(&args.device);
    if rows.is_empty() {
        return Err(Failure::usage(format!(
            "no device `{}` among the {} that were read",
            terminal(&args.device),
            snapshot.len()
        ))
        .help(nearest(snapshot, &args.device)));
    }
    let now = context.policy_now();
    let history = past::history(context, source, &set.reference, past::HistoryOverrides::default())?;
    let allowances: [Allowance; 0] = [];
    let with = source.plan_inputs(context, &history, &allowances);
    let findings = |findings| Failure::policy(set.sources.clone(), findings);
    let planned = planning::plan(set, &source.inventory, &with)?;
    let desired = desired::desire(&set.policy, snapshot, &planned.selections, now).map_err(findings)?;
    let explain = |row| {
        explain::explain(&desired, planned.plan(), &source.hunting, &set.sources, row, args.tag.as_deref())
    };
    let mut text = Vec::new();
    if context.global.format == Format::Json {
        match rows.as_slice() {
            [row] => rendered::json(&explain(*row), &mut text)?,
            rows => {
                let all: Vec<_> = rows.iter().map(|row| explain(*row)).collect();
                serde_json::to_writer_pretty(&mut text, &all).map_err(std::io::Error::from)?;
            }
        }
        return Ok(String::from_utf8_lossy(&text).into_owned());
    }
    let style = context.console.style(args.details || context.global.verbose > 0);
    if source.inventory.tenant.cloud.as_deref() == Some(super::session::SANDBOX) {
        text.extend_from_slice(b"SANDBOX\n");
    }
    for (index, row) in rows.iter().take(MOST).enumerate() {
        if index > 0 {
            text.push(b'\n');
        }
        rendered::human(&explain(*row), &style, &mut text)?;
    }
    if rows.len() > MOST {
        text.extend_from_slice(
            format!("\n{} more devices have this name; name one by its id\n", rows.len() - MOST).as_bytes(),
        );
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// How to name a device, and the one that was probably meant.
fn nearest(snapshot: &Snapshot, text: &str) -> String {
    let how = "name it by its id, its full name, or the name up to the first dot";
    let field = if text.contains('.') { Field::ComputerDnsName } else { Field::DeviceName };
    let names: Vec<_> = snapshot.rows().filter_map(|row| snapshot.text(field, row)).collect();
    let near = did_you_mean(text, names.iter().map(AsRef::as_ref).filter(|name| name.len() <= 80));
    // A name this long is no typing slip, and comparing it takes long.
    match near.filter(|_| text.len() <= 80) {
        Some(name) => format!("did you mean `{}`? {how}", terminal(name)),
        None => how.to_owned(),
    }
}
