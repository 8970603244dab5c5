//! `mdetag groups`: the tenant's device groups, with the devices that the policy's file predicts and those that the service
//! reports; and fetching that file from the service.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mdetag::store::output_file;
use mdetag::store::path_text::shown;
use mdetag::tenant::{TenantError, TenantErrorKind};
use mdetag_core::groups::{Membership, ReportedGroups};
use mdetag_core::inventory::Snapshot;
use mdetag_core::policy::{DeviceGroups, FetchedGroups, GroupIndex, fetched_device_groups};
use mdetag_core::report::listing::{Cell, Listing};
use mdetag_core::report::saved::{self, SavedFile};
use mdetag_core::report::words::{self, counted};
use mdetag_core::selection;
use mdetag_core::text::visible;

use super::args::{Format, GroupsArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::looking;
use super::output;
use super::planning::has_errors;
use super::policy_set;
use super::progress::Reading;
use super::session::{self, Session};

/// The advice for a service without the entity set.
const PORTAL: &str = "take them from the portal: open Settings > Endpoints > Device groups with the browser's developer tools and save the answer that has `items`, or write the file by hand (`mdetag help consequences` shows how)";

/// Lists the groups by rank, or writes their file.
///
/// # Errors
/// There is no file of device groups; policies, identity, network, the file, standard output.
pub async fn run(context: &Context, args: &GroupsArgs) -> Result<Exit, Failure> {
    match &args.output {
        Some(path) => fetch(context, path).await,
        None => list(context, args).await,
    }
}

/// Writes the service's groups to a file. An existing one stays until the new one has been parsed as policies parse it.
async fn fetch(context: &Context, path: &Path) -> Result<Exit, Failure> {
    output::only(context.global.format, "groups --fetch", &[Format::Human, Format::Json])?;
    if context.global.inventory.is_some() {
        return Err(Failure::usage("`groups --fetch` asks the tenant, and `--inventory` names a file")
            .help("leave `--inventory` out: a recorded inventory has no rules of groups"));
    }
    let path = output::named(context, path)?;
    let session = session::open(context, None).await?;
    let is_sandbox = session.is_sandbox();
    let fetched = fetched(context, &session).await;
    session.close().await;
    let FetchedGroups { text, groups } = fetched.map_err(|failure| kept(&path, failure))?;
    output_file::write(&path, |out| out.write_all(text.as_bytes()))?;
    for note in &groups.notes {
        context.console.say(&format!("note: {}", visible(note)));
    }
    if let Some(note) = unread(context, &path) {
        context.console.say(&format!("note: {note}"));
    }
    // For people, the group of all other devices counts too.
    let count = groups.groups.len() as u64 + u64::from(groups.ungrouped.name.is_some());
    let file = SavedFile { path: &path.to_string_lossy(), shown: &shown(&path), is_sandbox };
    context.console.result(&match context.global.format {
        Format::Json => saved::groups_json(&file, count, &groups.notes),
        _ => saved::groups_human(&file, count),
    })?;
    Ok(Exit::Success)
}

/// A failure that says what happens to an earlier file.
fn kept(path: &Path, failure: Failure) -> Failure {
    if !path.is_file() {
        return failure;
    }
    let message = format!("{}; {} stays as it was", failure.message, shown(path));
    Failure { message, ..failure }
}

/// A note if the policies do not read the written file.
fn unread(context: &Context, path: &Path) -> Option<String> {
    let paths = context.policy_paths(&[]).ok()?;
    let set = policy_set::read(context, &paths, context.policy_now()).set;
    let Some((groups, span)) = &set.policy.device_groups else {
        let is_sound = !set.sources.files.is_empty() && !has_errors(&set.findings);
        return is_sound
            .then(|| "no policy reads it: name it in one, `deviceGroups: { file: … }`".to_owned());
    };
    let place = set.sources.place(*span);
    let read = context.base.join(&*place.file).parent()?.join(&groups.file);
    let is_it = fs::canonicalize(&read).ok()? == fs::canonicalize(path).ok()?;
    let (file, at) = (visible(&groups.file), words::place(&place));
    (!is_it).then(|| {
        format!(
            "the policies read `{file}` ({}), not this file: write to that one, or name this one there",
            visible(&at)
        )
    })
}

async fn fetched(context: &Context, session: &Session) -> Result<FetchedGroups, Failure> {
    let reader = session.tenant.reader();
    let reading = Reading::start(context, &session.ledger);
    let answer = reader.device_groups(&reading).await;
    reading.end();
    let body = answer.map_err(|mut error: TenantError| {
        if matches!(error.kind, TenantErrorKind::Rejected | TenantErrorKind::Answer) {
            error.help.push(PORTAL.to_owned());
        }
        session::unreachable_tenant(error)
    })?;
    if reader.is_delegated() {
        context
            .console
            .say("note: the token is a person's: groups that this person does not see may be missing");
    }
    fetched_device_groups(&body).map_err(|why| {
        let why = visible(&why).into_owned();
        Failure::tenant(format!(
            "the service's answer about device groups cannot be used, and nothing was written: {why}"
        ))
        .help(PORTAL)
    })
}

async fn list(context: &Context, args: &GroupsArgs) -> Result<Exit, Failure> {
    looking::formats(context, "groups")?;
    let seen = looking::read(context, &args.policy).await?;
    let Some((groups, _)) = &seen.set.policy.device_groups else {
        seen.source.close().await;
        return Err(Failure::usage("the policies name no file of device groups").help(
            "save them with `mdetag groups --fetch -o policies/data/device-groups.json` or from the portal, and add `deviceGroups: { file: data/device-groups.json }` to a policy file",
        ));
    };
    let snapshot = &seen.source.inventory.snapshot;
    let selections =
        selection::select(&seen.set.policy, snapshot, &seen.source.hunting, context.policy_now())
            .map_err(|findings| Failure::policy(seen.set.sources.clone(), findings))?;
    let assignment = Membership::new(groups, snapshot).assign();
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

/// Devices by reported group.
struct Reported {
    known: BTreeMap<GroupIndex, u64>,
    /// Groups that the file lacks.
    unknown: BTreeMap<String, u64>,
}

fn reported(
    snapshot: &Snapshot,
    groups: &DeviceGroups,
    rows: &mut dyn Iterator<Item = mdetag_core::inventory::Row>,
) -> Reported {
    let mut reported = Reported { known: BTreeMap::new(), unknown: BTreeMap::new() };
    let live = ReportedGroups::new(groups, snapshot);
    for row in rows {
        match (live.of(row), live.name(row)) {
            (Some(index), _) => *reported.known.entry(index).or_default() += 1,
            (None, name) => {
                let name = name.unwrap_or_default().into_owned();
                *reported.unknown.entry(name).or_default() += 1;
            }
        }
    }
    reported
}
