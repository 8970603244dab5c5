//! `mdetag import`: a policy set from live tags that plans to zero changes. Proves that before it writes a file.

use std::sync::Arc;

use crate::store::path_text::shown;
use crate::store::whole_file;
use crate::tenant::Need;
use mdetag_core::diagnostic::{DataFile, Source as Text, Sources};
use mdetag_core::import::{self, Gives, Imported};
use mdetag_core::plan::{History, PolicyReference};
use mdetag_core::policy;
use mdetag_core::report::escape;
use mdetag_core::report::words::counted;

use super::args::{Format, ImportArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::planning::{self, PolicySet, has_errors};
use super::source::{self, Source};

/// Reads the tenant and writes the policy set.
///
/// # Errors
/// Identity, network, files that are there already, and a set that would not plan to zero changes (a bug, said as one).
pub async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "import", &[Format::Human, Format::Json])?;
    let source = source::read(context, None, Need::Read).await?;
    let trust = &source.inventory.trust;
    if !trust.is_trusted() {
        context.console.say(&format!("untrusted: {}", trust.sentences().join("; ")));
    }
    let imported = import::import(&source.inventory.snapshot, source.inventory.tenant.id.as_deref());
    let taken: Vec<&str> = imported
        .files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| args.output.join(path).exists())
        .collect();
    if !taken.is_empty() {
        let failure =
            Failure::file(format!("{} exists already in {}", taken.join(", "), shown(&args.output)));
        return Err(failure.help("nothing was written; choose another folder with -o"));
    }
    prove(context, &imported, &source)?;
    for file in &imported.files {
        whole_file::write(&args.output.join(&file.path), file.text.as_bytes())?;
    }
    context.console.result(&summary(context, args, &imported))?;
    source.close().await;
    Ok(Exit::Success)
}

/// Plans the imported set on the devices that it was made from. An empty plan is the promise; anything else is our mistake.
fn prove(context: &Context, imported: &Imported, source: &Source) -> Result<(), Failure> {
    let sources = in_memory(imported);
    let (policy, findings) = policy::resolve(&sources, context.policy_now());
    if has_errors(&findings) {
        return Err(Failure::policy(sources, findings));
    }
    let set = PolicySet { sources, policy, findings, reference: PolicyReference::default() };
    let history = History::default();
    let planned = planning::plan(&set, &source.inventory, &source.circumstances(context, &history, &[]))?;
    if planned.plan().is_empty() {
        return Ok(());
    }
    let (additions, removals, values) = planned.plan().counts();
    Err(Failure::plan(format!(
        "the imported set would plan {additions} additions, {removals} removals and {values} values; nothing was written"
    ))
    .help("this is a bug of mdetag: please report it, with the tags involved"))
}

/// The set as if it had been read from files.
fn in_memory(imported: &Imported) -> Sources {
    let mut sources = Sources::default();
    for file in &imported.files {
        if file.path.ends_with(".yaml") {
            sources.files.push(Text::new(file.path.as_str(), 0, file.path.as_str(), file.text.as_str()));
        } else {
            let bytes: DataFile = Ok(Arc::from(file.text.as_bytes()));
            sources.data.insert((0, file.path.clone()), bytes);
        }
    }
    sources
}

fn summary(context: &Context, args: &ImportArgs, imported: &Imported) -> String {
    if context.global.format == Format::Json {
        let rules = imported.rules.iter().map(|rule| {
            let (tag, value) = match &rule.gives {
                Gives::Tag(tag) => (Some(tag.as_str()), None),
                Gives::Value(value) => (None, Some(value.word())),
            };
            serde_json::json!({
                "rule": rule.name, "tag": tag, "deviceValue": value, "devices": rule.devices, "selector": rule.selector,
                "precision": rule.precision, "recall": rule.recall, "exact": rule.is_exact,
            })
        });
        let files: Vec<&str> = imported.files.iter().map(|file| file.path.as_str()).collect();
        let document = serde_json::json!({
            "formatVersion": "1.0", "folder": args.output, "files": files, "rules": rules.collect::<Vec<_>>(),
            "leftOut": imported.left_out.iter().map(|(tag, why)| serde_json::json!({ "tag": tag, "reason": why })).collect::<Vec<_>>(),
        });
        return format!("{document:#}");
    }
    let exact = imported.rules.iter().filter(|rule| rule.is_exact).count();
    let mut text = format!(
        "Wrote {} with {} to {}: it plans to zero changes.\n{} have a selector that fits exactly; the others list their devices, with the nearest selector in a comment.\n",
        counted(imported.files.len() as u64, "file"),
        counted(imported.rules.len() as u64, "rule"),
        shown(&args.output),
        counted(exact as u64, "rule"),
    );
    for (tag, reason) in &imported.left_out {
        text.push_str(&format!("  left out: {} ({reason})\n", escape::terminal(tag)));
    }
    text
}
