//! `mdetag tags`: every tag with its owners, its writers, its number of devices, and the last run that wrote it.

use std::collections::HashMap;

use mdetag_core::coverage::{self, TagRow, TagStanding};
use mdetag_core::report::listing::{Cell, Listing};
use mdetag_core::report::words::counted;

use super::args::TagsArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::last_runs::{self, LastRun};
use super::looking::{self, ViewInputs};

/// Lists tags, the most frequent first.
///
/// # Errors
/// Policies, identity, network, standard output.
pub async fn run(context: &Context, args: &TagsArgs) -> Result<Exit, Failure> {
    looking::formats(context, "tags")?;
    let seen = looking::read(context, &args.policy).await?;
    let last = match &seen.source.state {
        Some(state) => last_runs::by_tag(context, state)?,
        None => HashMap::new(),
    };
    let listing = listing(&seen, args, &last);
    looking::show_seen(context, &seen, listing, args.details)?;
    seen.source.close().await;
    Ok(Exit::Success)
}

fn listing(seen: &ViewInputs, args: &TagsArgs, last: &HashMap<String, LastRun>) -> Listing {
    let snapshot = &seen.source.inventory.snapshot;
    let rows = coverage::tags(&seen.set.policy, &seen.set.sources, snapshot);
    let total = rows.len() as u64;
    let wanted: Vec<TagRow> = rows
        .into_iter()
        .filter(|row| !args.unclaimed || (row.is_unclaimed() && !row.is_dead()))
        .filter(|row| !args.dead || row.is_dead())
        .collect();
    let which = match (args.unclaimed, args.dead) {
        (true, _) => " that are live and that nothing claims",
        (_, true) => " that the policies name and no device carries",
        _ => "",
    };
    let heading = format!(
        "{}{which} · {} read",
        counted(wanted.len() as u64, "tag"),
        counted(snapshot.len() as u64, "device"),
    );
    let mut listing = Listing { kind: "tags", heading, ..Listing::default() }
        .column("tag")
        .column("devices")
        .column("share")
        .column("claimedBy")
        .column("givenBy")
        .column("removedBy")
        .column("otherSpellings")
        .whole_column("lastRun")
        .detail("lastRunAt")
        .detail("places");
    listing.rows = wanted.iter().map(|row| cells(row, snapshot.len(), last.get(&row.tag))).collect();
    if wanted.is_empty() && total > 0 {
        listing.remarks.push(format!("none of the {} is of that kind", counted(total, "tag")));
    }
    listing
}

fn cells(row: &TagRow, devices: usize, last: Option<&LastRun>) -> Vec<Cell> {
    let owners = |standings: &[TagStanding]| {
        let of = row.owners.iter().filter(|owner| standings.contains(&owner.standing));
        let names: Vec<String> = of
            .map(|owner| match owner.standing {
                TagStanding::Claims | TagStanding::Gives | TagStanding::Removes => owner.name.clone(),
                standing => format!("{} ({})", owner.name, standing.word()),
            })
            .collect();
        if names.is_empty() { Cell::Missing } else { Cell::List(names) }
    };
    let places = row.owners.iter().map(|owner| format!("{}:{}", owner.place.file, owner.place.line));
    vec![
        Cell::Text(row.tag.clone()),
        Cell::Number(row.devices),
        if devices == 0 { Cell::Missing } else { Cell::Percent(100.0 * row.devices as f64 / devices as f64) },
        owners(&[TagStanding::Claims, TagStanding::Family, TagStanding::Renames]),
        owners(&[TagStanding::Gives, TagStanding::MayGive]),
        owners(&[TagStanding::Removes, TagStanding::Retires]),
        if row.spellings.is_empty() { Cell::Missing } else { Cell::List(row.spellings.clone()) },
        last.map_or(Cell::Missing, |last| Cell::Text(last.run.clone())),
        last.map_or(Cell::Missing, |last| Cell::Time(last.at)),
        Cell::List(places.collect()),
    ]
}
