//! `mdetag groups`: the tenant's device groups, with the devices that the policy's file predicts and those that the service reports.

use std::collections::BTreeMap;

use mdetag_core::device::Field;
use mdetag_core::groups::{Membership, TagEdits};
use mdetag_core::inventory::Snapshot;
use mdetag_core::policy::{DeviceGroups, GroupIndex};
use mdetag_core::report::listing::{Cell, Listing};
use mdetag_core::report::words::counted;
use mdetag_core::selection;

use super::args::GroupsArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::looking;

/// Lists the groups by rank.
///
/// # Errors
/// No file of device groups; policies, identity, network, standard output.
pub async fn run(context: &Context, args: &GroupsArgs) -> Result<Exit, Failure> {
    looking::formats(context, "groups")?;
    let seen = looking::read(context, &args.policy).await?;
    let Some((groups, _)) = &seen.set.policy.device_groups else {
        seen.source.close().await;
        return Err(Failure::usage("the policies name no file of device groups").help(
            "save the portal's device groups and add `deviceGroups: { file: data/device-groups.json }` to a policy file",
        ));
    };
    let snapshot = &seen.source.inventory.snapshot;
    let selections =
        selection::select(&seen.set.policy, snapshot, &seen.source.hunting, context.policy_now())
            .map_err(|findings| Failure::policy(seen.set.sources.clone(), findings))?;
    let assignment = Membership::new(groups, snapshot).assign(&TagEdits::default());
    let predicted = assignment.counts(&selections.scope);
    let reported = reported(snapshot, groups, &mut selections.scope.iter());
    let heading = format!(
        "{} · {} in scope",
        counted(groups.groups.len() as u64, "device group"),
        counted(selections.scope.count() as u64, "device"),
    );
    let mut listing = Listing { kind: "groups", heading, ..Listing::default() }
        .column("rank")
        .column("group")
        .column("predicted")
        .column("reported")
        .column("remediation")
        .column("access");
    let ranks = (0..groups.groups.len()).filter_map(|rank| u16::try_from(rank).ok()).map(GroupIndex::Group);
    for index in ranks.chain([GroupIndex::Ungrouped]) {
        let access = groups.access(index);
        listing.rows.push(vec![
            match index {
                GroupIndex::Group(rank) => Cell::Number(u64::from(rank) + 1),
                _ => Cell::Missing,
            },
            Cell::Text(groups.name(index).to_owned()),
            Cell::Number(predicted.get(&index).copied().unwrap_or(0)),
            Cell::Number(reported.known.get(&index).copied().unwrap_or(0)),
            groups.remediation(index).map_or(Cell::Missing, |level| Cell::Text(level.word().to_owned())),
            if access.is_empty() { Cell::Text("everyone".to_owned()) } else { Cell::List(access.to_vec()) },
        ]);
    }
    for (name, devices) in &reported.unknown {
        listing.rows.push(vec![
            Cell::Missing,
            Cell::Text(name.clone()),
            Cell::Number(0),
            Cell::Number(*devices),
            Cell::Missing,
            Cell::Missing,
        ]);
        listing
            .remarks
            .push(format!("The file has no group `{name}`, which the service reports: it is out of date"));
    }
    listing.remarks.extend(groups.notes.iter().map(|note| format!("Note: {note}")));
    looking::show_seen(context, &seen, listing, true)?;
    seen.source.close().await;
    Ok(Exit::Success)
}

/// Devices by the group that the service reports.
struct Reported {
    known: BTreeMap<GroupIndex, u64>,
    /// Groups that the file does not have.
    unknown: BTreeMap<String, u64>,
}

fn reported(
    snapshot: &Snapshot,
    groups: &DeviceGroups,
    rows: &mut dyn Iterator<Item = mdetag_core::inventory::Row>,
) -> Reported {
    let mut reported = Reported { known: BTreeMap::new(), unknown: BTreeMap::new() };
    for row in rows {
        let name = snapshot.text(Field::RbacGroupName, row);
        match name.as_deref().map(|name| groups.find(name).ok_or(name)) {
            None => *reported.known.entry(GroupIndex::Ungrouped).or_default() += 1,
            Some(Ok(index)) => *reported.known.entry(index).or_default() += 1,
            Some(Err(name)) => *reported.unknown.entry(name.to_owned()).or_default() += 1,
        }
    }
    reported
}
