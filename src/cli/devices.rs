//! `mdetag devices`: the devices that a selector, a rule or a tag matches, with the requested fields.

use mdetag_core::device::Field;
use mdetag_core::diagnostic::{Source, Sources};
use mdetag_core::groups::Membership;
use mdetag_core::inventory::{DeviceSet, Row, Snapshot};
use mdetag_core::policy::{self, Policy, Protection};
use mdetag_core::report::escape::terminal;
use mdetag_core::report::listing::{Cell, Listing};
use mdetag_core::report::words::counted;
use mdetag_core::selection::{self, Selections};
use mdetag_core::tag::TagPattern;

use super::args::DevicesArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::looking::{self, ViewInputs};
use super::planning::has_errors;

/// The name of the command line's selector among the policies' own.
const WHERE: &str = "command-line";

/// Lists devices, by id.
///
/// # Errors
/// An unknown selector, rule or field; policies, identity, network, standard output.
pub async fn run(context: &Context, args: &DevicesArgs) -> Result<Exit, Failure> {
    looking::formats(context, "devices")?;
    let mut fields = args.fields.iter().map(|name| field(name)).collect::<Result<Vec<Field>, Failure>>()?;
    // Every row begins with it.
    fields.retain(|field| *field != Field::Id);
    let seen = looking::read(context, &args.policy).await?;
    let wanted = wanted(context, args, &seen)?;
    let listing = listing(&seen.source.inventory.snapshot, &wanted, args, &fields);
    looking::show_seen(context, &seen, listing, true)?;
    seen.source.close().await;
    Ok(Exit::Success)
}

fn field(name: &str) -> Result<Field, Failure> {
    let name = name.trim();
    Field::parse(name).ok_or_else(|| {
        let known = Field::ALL.iter().map(|field| field.name());
        let near = mdetag_core::diagnostic::did_you_mean(name, known);
        let failure = Failure::usage(format!("there is no field `{}`", terminal(name)));
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        failure.help(format!("{near}`mdetag help selectors` lists the fields"))
    })
}

/// The devices that meet every condition of the command line.
fn wanted(context: &Context, args: &DevicesArgs, seen: &ViewInputs) -> Result<DeviceSet, Failure> {
    let snapshot = &seen.source.inventory.snapshot;
    let mut wanted = DeviceSet::full(snapshot.len());
    if let Some(selector) = &args.matching {
        wanted.intersect_with(&by_selector(context, seen, selector)?);
    }
    if let Some(name) = &args.rule {
        wanted.intersect_with(&by_rule(context, seen, name)?);
    }
    if let Some(glob) = &args.tag {
        let pattern = TagPattern::parse(glob, context.settings.tag_case).map_err(Failure::usage)?;
        let mut carriers = DeviceSet::new(snapshot.len());
        for tag in snapshot
            .tag_ids()
            .filter(|tag| pattern.matches(snapshot.tag(*tag), context.settings.tag_case, true))
        {
            carriers.union_with(&snapshot.carriers(tag));
        }
        wanted.intersect_with(&carriers);
    }
    if let Some(name) = &args.group {
        wanted.intersect_with(&by_group(seen, name)?);
    }
    Ok(wanted)
}

/// The devices with this predicted device group.
fn by_group(seen: &ViewInputs, name: &str) -> Result<DeviceSet, Failure> {
    let Some((groups, _)) = &seen.set.policy.device_groups else {
        return Err(Failure::usage("`--group` needs the tenant's device groups")
            .help("add `deviceGroups: { file: data/device-groups.json }` to a policy file"));
    };
    let Some(index) = groups.find(name) else {
        let near = mdetag_core::diagnostic::did_you_mean(
            name,
            groups.groups.iter().map(|group| group.name.as_str()),
        );
        let failure = Failure::usage(format!("there is no device group `{}`", terminal(name)));
        return Err(match near {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help("`mdetag groups` lists them"),
        });
    };
    let snapshot = &seen.source.inventory.snapshot;
    let assignment = Membership::new(groups, snapshot).assign();
    Ok(DeviceSet::of(snapshot.len(), snapshot.rows().filter(|row| assignment.of(*row) == index)))
}

/// The devices, in scope or not, that match a selector from the command line.
fn by_selector(context: &Context, seen: &ViewInputs, selector: &str) -> Result<DeviceSet, Failure> {
    // In block style a selector needs no braces: `osPlatform: Windows11`.
    let indented: String = selector.trim().lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("version: 1\nselectors:\n  {WHERE}:\n{indented}");
    let mut sources: Sources = seen.set.sources.clone();
    sources.files.push(Source::new("--where", 0, "--where", text));
    let (policy, findings) = policy::resolve(&sources, context.settings.tag_case, context.policy_now());
    if has_errors(&findings) {
        return Err(Failure::policy(sources, findings));
    }
    let named = policy.selectors.iter().find(|named| named.name == WHERE);
    let Some(named) = named else { return Err(Failure::usage("`--where` holds no selector")) };
    let everything = policy::Selector { kind: policy::SelectorKind::Everything, span: named.span };
    let looking =
        Protection { name: WHERE.to_owned(), select: named.selector.clone(), reason: None, span: named.span };
    let policy = Policy { scope: Some(everything), rules: Vec::new(), protections: vec![looking], ..policy };
    let mut selections = select(context, seen, &policy, &sources)?;
    Ok(selections.protections.pop().unwrap_or_else(|| DeviceSet::new(0)))
}

/// The devices in scope that a rule selects.
fn by_rule(context: &Context, seen: &ViewInputs, name: &str) -> Result<DeviceSet, Failure> {
    let rules = &seen.set.policy.rules;
    let Some(index) = rules.iter().position(|rule| rule.name == name) else {
        let near = mdetag_core::diagnostic::did_you_mean(name, rules.iter().map(|rule| rule.name.as_str()));
        let failure = Failure::usage(format!("there is no rule `{}`", terminal(name)));
        return Err(match near {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help("`mdetag coverage` lists the rules"),
        });
    };
    let mut selections = select(context, seen, &seen.set.policy, &seen.set.sources)?;
    Ok(selections.rules.swap_remove(index))
}

fn select(
    context: &Context,
    seen: &ViewInputs,
    policy: &Policy,
    sources: &Sources,
) -> Result<Selections, Failure> {
    let snapshot = &seen.source.inventory.snapshot;
    selection::select(policy, snapshot, &seen.source.hunting, context.policy_now())
        .map_err(|findings| Failure::policy(sources.clone(), findings))
}

fn listing(snapshot: &Snapshot, wanted: &DeviceSet, args: &DevicesArgs, fields: &[Field]) -> Listing {
    let heading = format!(
        "{} of {} read",
        counted(wanted.count() as u64, "device"),
        counted(snapshot.len() as u64, "device"),
    );
    let mut listing = Listing { kind: "devices", heading, ..Listing::default() }.column("id");
    for field in fields {
        listing = listing.column(field.name());
    }
    let rows = snapshot.order_by_id().iter().filter(|row| wanted.contains(**row));
    listing.rows = rows
        .map(|row| {
            let id = Cell::Text(snapshot.id(*row).to_owned());
            std::iter::once(id).chain(fields.iter().map(|field| cell(snapshot, *field, *row))).collect()
        })
        .collect();
    if listing.rows.is_empty() && args.rule.is_some() {
        listing.remarks.push("`mdetag explain DEVICE` says why a rule does not hold for a device".to_owned());
    }
    listing
}

fn cell(snapshot: &Snapshot, field: Field, row: Row) -> Cell {
    match field {
        Field::MachineTags => {
            Cell::List(snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag).to_owned()).collect())
        }
        field => match snapshot.time(field, row) {
            Some(time) => Cell::Time(time),
            None => snapshot.shown(field, row).map_or(Cell::Missing, Cell::Text),
        },
    }
}
