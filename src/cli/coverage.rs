//! `mdetag coverage`: devices that no rule selects, tags that no policy claims, rules and protections without devices.

use mdetag_core::coverage::{self, Coverage};
use mdetag_core::inventory::Snapshot;
use mdetag_core::report::Format;
use mdetag_core::report::escape;
use mdetag_core::report::listing::{Cell, Listing};
use mdetag_core::report::words::{counted, noun_for, number};
use mdetag_core::selection;
use mdetag_core::time::Date;

use super::args::CoverageArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::looking;

/// The most unclaimed tags that a remark names.
const MOST_TAGS: usize = 10;

/// Lists rules with their devices, and says what the policies leave out.
///
/// # Errors
/// Policies, identity, network, standard output.
pub async fn run(context: &Context, args: &CoverageArgs) -> Result<Exit, Failure> {
    looking::formats(context, "coverage")?;
    let seen = looking::read(context, &args.policy).await?;
    let (set, source, now) = (&seen.set, &seen.source, context.policy_now());
    let snapshot = &source.inventory.snapshot;
    let selections = selection::select(&set.policy, snapshot, &source.hunting, now)
        .map_err(|findings| Failure::policy(set.sources.clone(), findings))?;
    let coverage = coverage::coverage(&set.policy, &set.sources, snapshot, &selections, now);
    let mut listing = listing(&coverage);
    // A table for people would be lost behind a thousand devices.
    let is_for_people = matches!(context.global.format, Format::Human | Format::Markdown);
    if args.details || !is_for_people {
        listing.rows.extend(gaps(&coverage, snapshot));
    }
    looking::show_seen(context, &seen, listing, args.details)?;
    seen.source.close().await;
    Ok(Exit::Success)
}

fn listing(coverage: &Coverage) -> Listing {
    let heading = format!(
        "{} read, {} in scope, {} of them that no rule selects",
        counted(coverage.devices, "device"),
        number(coverage.in_scope),
        number(coverage.unselected.count),
    );
    let mut listing = Listing { kind: "coverage", heading, ..Listing::default() }
        .column("kind")
        .column("name")
        .column("devices")
        .column("state")
        .column("owner")
        .column("ticket")
        .column("until")
        .column("place")
        .detail("id");
    let text = |text: &Option<String>| text.clone().map_or(Cell::Missing, Cell::Text);
    let day = |day: Option<Date>| day.map_or(Cell::Missing, |day| Cell::Text(day.to_string()));
    for rule in &coverage.rules {
        let state = match (rule.is_in_force, rule.devices) {
            (false, _) => "not in force",
            (true, 0) => "holds for nobody",
            (true, _) => "in force",
        };
        listing.rows.push(vec![
            Cell::Text("rule".to_owned()),
            Cell::Text(rule.name.clone()),
            Cell::Number(rule.devices),
            Cell::Text(state.to_owned()),
            text(&rule.owner),
            text(&rule.ticket),
            day(rule.until),
            Cell::Text(format!("{}:{}", rule.place.file, rule.place.line)),
            Cell::Missing,
        ]);
    }
    for protection in &coverage.protections {
        let state = if protection.devices == 0 { "protects nobody" } else { "in force" };
        listing.rows.push(vec![
            Cell::Text("protection".to_owned()),
            Cell::Text(protection.name.clone()),
            Cell::Number(protection.devices),
            Cell::Text(state.to_owned()),
            Cell::Missing,
            Cell::Missing,
            Cell::Missing,
            Cell::Text(format!("{}:{}", protection.place.file, protection.place.line)),
            Cell::Missing,
        ]);
    }
    listing.remarks = remarks(coverage);
    listing
}

/// What the policies leave out, one a row: devices and tags.
fn gaps(coverage: &Coverage, snapshot: &Snapshot) -> impl Iterator<Item = Vec<Cell>> {
    let row = |kind: &str, name: &str, devices: u64, state: &str, id: Cell| {
        let text = |text: &str| Cell::Text(text.to_owned());
        let [owner, ticket, until, place] = [const { Cell::Missing }; 4];
        vec![text(kind), text(name), Cell::Number(devices), text(state), owner, ticket, until, place, id]
    };
    let devices = coverage.unselected_rows.iter().map(move |at| {
        let id = Cell::Text(snapshot.id(*at).to_owned());
        row("device", snapshot.label(*at), 1, "no rule selects it", id)
    });
    let tags = coverage.unclaimed.iter();
    devices.chain(tags.map(move |(tag, count)| row("tag", tag, *count, "unclaimed", Cell::Missing)))
}

fn remarks(coverage: &Coverage) -> Vec<String> {
    let mut remarks = Vec::new();
    if coverage.unselected.count > 0 {
        let rest = coverage.unselected.count - coverage.unselected.sample.len() as u64;
        let more = if rest > 0 { format!(", … {} more", number(rest)) } else { String::new() };
        remarks.push(format!("No rule selects: {}{more}", coverage.unselected.sample.join(", ")));
    }
    if !coverage.unclaimed.is_empty() {
        let named = coverage
            .unclaimed
            .iter()
            .take(MOST_TAGS)
            .map(|(tag, count)| format!("{} ({})", escape::tag(tag), number(*count)));
        let rest = coverage.unclaimed.len().saturating_sub(MOST_TAGS);
        let more = if rest > 0 { format!(", … {} more", number(rest as u64)) } else { String::new() };
        remarks.push(format!(
            "{} {} live and unclaimed, and so never touched: {}{more}",
            counted(coverage.unclaimed.len() as u64, "tag"),
            if noun_for(coverage.unclaimed.len() as u64, "tag") == "tag" { "is" } else { "are" },
            named.collect::<Vec<_>>().join(", "),
        ));
    }
    remarks
}
