//! `mdetag import`: makes a policy set from live tags whose plan has no changes. Proves that before it writes a file, and writes
//! none from a possibly incomplete list.

use std::sync::Arc;

use mdetag::store::path_text::shown;
use mdetag::store::whole_file;
use mdetag_core::diagnostic::{DataFile, Severity, Source as Text, Sources};
use mdetag_core::import::{self, ImportOptions, Imported};
use mdetag_core::plan::{History, PolicyReference};
use mdetag_core::policy;
use mdetag_core::report::escape::terminal;
use mdetag_core::report::import as report;
use mdetag_core::report::words::noun_for;
use mdetag_core::tag::{TagCase, TagPattern};

use super::args::{Format, ImportArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::looking;
use super::output;
use super::planning::{self, PolicySet, has_errors};
use super::policy_set;
use super::source::{self, Source};

/// Reads the tenant and writes the policy set.
///
/// # Errors
/// An untrusted inventory, identity, network, existing files, and a set whose plan would have changes (a bug, reported as one).
pub async fn run(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "import", &[Format::Human, Format::Json])?;
    let mut options = asked(args)?;
    let source = source::read(context, None).await?;
    trusted(context, args, &source)?;
    let snapshot = &source.inventory.snapshot;
    for (text, pattern) in args.tag.iter().zip(&options.tags) {
        if !snapshot.tag_ids().any(|tag| pattern.matches(snapshot.tag(tag), TagCase::Exact, true)) {
            context.console.say(&format!("note: no live tag matches `--tag {}`", terminal(text)));
        }
    }
    look_around(context, args, &source, &mut options);
    let imported = import::import(&source.inventory.snapshot, &options);
    let taken: Vec<&str> = imported
        .files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| args.output.join(path).exists())
        .collect();
    if !taken.is_empty() {
        let failure = Failure::file(format!(
            "{} {} already in {}",
            taken.join(", "),
            noun_for(taken.len() as u64, "exists|exist"),
            shown(&args.output)
        ));
        return Err(failure.help("nothing was written; choose another folder with -o"));
    }
    prove(context, &imported, &source)?;
    for file in &imported.files {
        whole_file::write(&args.output.join(&file.path), file.text.as_bytes())?;
    }
    let others = beside(context, args, &imported, &source);
    show(context, args, &imported, &others)?;
    source.close().await;
    Ok(Exit::Success)
}

/// The options from the flags.
fn asked(args: &ImportArgs) -> Result<ImportOptions, Failure> {
    let pattern = |flag: &str, text: &String| {
        TagPattern::parse(text, TagCase::Exact)
            .map_err(|error| Failure::usage(format!("{flag} {text}: {error}")))
    };
    let percent = args.fit.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let percent = percent.filter(|percent| (1.0..=100.0).contains(percent));
    let fit = percent.ok_or_else(|| {
        Failure::usage(format!("--fit {}: a percentage from 1 to 100 is meant, as in --fit 95", args.fit))
    })?;
    let claims = args.claim.iter().map(|text| Ok((text.clone(), pattern("--claim", text)?)));
    Ok(ImportOptions {
        tags: args.tag.iter().map(|text| pattern("--tag", text)).collect::<Result<_, Failure>>()?,
        claims: claims.collect::<Result<_, Failure>>()?,
        fit: fit / 100.0,
        ..ImportOptions::default()
    })
}

/// An incomplete list explains tags without the missing devices, and a claim based on it would remove tags later.
fn trusted(context: &Context, args: &ImportArgs, source: &Source) -> Result<(), Failure> {
    let trust = &source.inventory.trust;
    if trust.is_trusted() {
        return Ok(());
    }
    let reasons = trust.sentences().join("; ");
    if !args.untrusted_ok {
        let mut failure = Failure::tenant(format!("the inventory is untrusted: {reasons}"))
            .help("nothing was written; --untrusted-ok writes rules without claims");
        failure.exit = Exit::Refused;
        return Err(failure);
    }
    if !args.claim.is_empty() {
        let mut failure = Failure::tenant(format!("--claim needs a trusted inventory: {reasons}"))
            .help("nothing was written; leave out --claim, and add claims once the list is whole");
        failure.exit = Exit::Refused;
        return Err(failure);
    }
    context.console.say(&format!("note: the inventory is untrusted: {reasons}"));
    Ok(())
}

/// Paths at which editors find the schema, relative to the folder of the policies.
const SCHEMAS: [&str; 2] = ["../schema/policy.schema.json", "schema/policy.schema.json"];

/// Adapts the set to the folder that it is written to: existing names of rules, a guard, a schema.
fn look_around(context: &Context, args: &ImportArgs, source: &Source, options: &mut ImportOptions) {
    let mut has_guard = false;
    if args.output.exists() {
        let there = policy_set::read(context, std::slice::from_ref(&args.output), context.policy_now()).set;
        options.taken = there.policy.rules.iter().map(|rule| rule.name.clone()).collect();
        let mut lines = there.sources.files.iter().flat_map(|file| file.text.lines());
        has_guard = lines.any(|line| line.starts_with("guard:"));
    }
    options.guard = source.inventory.tenant.id.clone().filter(|_| !has_guard);
    options.schema = SCHEMAS.into_iter().find(|path| args.output.join(path).is_file()).map(str::to_owned);
}

/// Plans the imported set on the devices that it was made from. The plan must be empty; anything else is our bug.
fn prove(context: &Context, imported: &Imported, source: &Source) -> Result<(), Failure> {
    let sources = in_memory(imported);
    let (policy, findings) = policy::resolve(&sources, context.settings.tag_case, context.policy_now());
    if has_errors(&findings) {
        return Err(Failure::policy(sources, findings));
    }
    let set = PolicySet { sources, policy, findings, reference: PolicyReference::default() };
    let history = History::default();
    let planned = planning::plan(&set, &source.inventory, &source.plan_inputs(context, &history, &[]))?;
    if planned.plan().is_empty() {
        return Ok(());
    }
    let (additions, removals, values) = planned.plan().counts();
    Err(Failure::plan(format!(
        "the imported set would plan {additions} additions, {removals} removals and {values} values; nothing was written"
    ))
    .help("this is a bug of mdetag: please report it, with the tags involved"))
}

/// The effect of the set together with the policies that were already in the folder. Alone, its plan has no changes.
fn beside(
    context: &Context,
    args: &ImportArgs,
    imported: &Imported,
    source: &Source,
) -> report::ExistingPolicies {
    let set = policy_set::read(context, std::slice::from_ref(&args.output), context.policy_now()).set;
    let written = imported.files.iter().filter(|file| file.path.ends_with(".yaml")).count();
    if set.sources.files.len() <= written && !has_errors(&set.findings) {
        return report::ExistingPolicies::Nothing;
    }
    if let Some(error) = set.findings.iter().find(|finding| finding.severity == Severity::Error) {
        return report::ExistingPolicies::Error(format!("{}: {}", error.code, error.message));
    }
    let (pin, tenant) = (&set.policy.guard.tenant_id, &source.inventory.tenant.id);
    if let (Some((pin, _)), Some(tenant)) = (pin, tenant)
        && !pin.eq_ignore_ascii_case(tenant)
    {
        return report::ExistingPolicies::Error(format!(
            "the tenant is {tenant}, and `guard.tenantId` pins {pin}"
        ));
    }
    let history = History::default();
    match planning::plan(&set, &source.inventory, &source.plan_inputs(context, &history, &[])) {
        Ok(planned) if planned.plan().is_empty() => report::ExistingPolicies::Nothing,
        Ok(planned) => report::ExistingPolicies::Changes(planned.plan().counts()),
        Err(failure) => report::ExistingPolicies::Error(failure.message),
    }
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

fn show(
    context: &Context,
    args: &ImportArgs,
    imported: &Imported,
    others: &report::ExistingPolicies,
) -> Result<(), Failure> {
    let folder = shown(&args.output);
    if context.global.format == Format::Json {
        return Ok(context.console.result(&report::json(&folder, imported, others))?);
    }
    looking::show(context, &report::listing(&folder, imported, others), true)
}
