//! `mdetag snapshot`: saves the inventory to a file or in the state, as the service wrote it.

use std::sync::Mutex;

use mdetag::store::kept_snapshot;
use mdetag::store::path_text::shown;
use mdetag::store::snapshot_header::SnapshotStamp;
use mdetag::store::snapshot_writer::SnapshotPages;
use mdetag::tenant::{ReadDevices, ReadScope, ReadWatch};
use mdetag_core::report::saved::{self, SavedFile};

use super::args::{Format, SnapshotArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::progress::Reading;
use super::session;
use super::sightings;

/// Reads the list and saves it. An untrusted read is saved too, with a header that says so.
///
/// # Errors
/// Identity, network, the file, the state.
pub async fn run(context: &Context, args: &SnapshotArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "snapshot", &[Format::Human, Format::Json])?;
    if context.global.inventory.is_some() {
        return Err(Failure::usage("`snapshot` reads the tenant, and `--inventory` names a file")
            .help("leave `--inventory` out; to convert a file, copy it"));
    }
    let output_path = args.output.as_deref().map(|path| output::named(context, path)).transpose()?;
    let session = session::open(context, None).await?;
    let pages = Mutex::new(SnapshotPages::new()?);
    let reading = Reading::start(context, &session.ledger);
    let progress = |progress: &mdetag::tenant::ReadProgress| reading.show(progress);
    let mut sink = |page: &[u8]| pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(page);
    let watch = ReadWatch { meter: &reading, progress: &progress, pages: Some(&mut sink) };
    let read = session
        .tenant
        .reader()
        .read(&ReadScope { service: session.known.clone(), ..ReadScope::default() }, watch)
        .await;
    reading.end();
    sightings::learn(context, &session);
    let (snapshot, trust) = read.map_err(session::unreachable_tenant)?;
    if !trust.is_trusted() {
        context.console.say(&format!("untrusted: {}", trust.sentences().join("; ")));
    }
    let mut pages = pages.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let stamp = SnapshotStamp {
        tenant: session.reference.clone(),
        read_at: Some(context.clock.now()),
        devices: snapshot.len() as u64,
        reasons: trust.sentences(),
    };
    let mut places = Vec::new();
    if args.keep {
        kept_snapshot::keep(&session.state, &mut pages, &stamp).map_err(|error| {
            Failure::output(&error)
                .help("nothing was kept; look at what is there, then run the command again")
        })?;
        places.push(session.state.snapshot());
    }
    if let Some(path) = output_path {
        pages.write(&path, &stamp).map_err(|error| Failure::output(&error))?;
        places.push(path);
    }
    let is_sandbox = session.is_sandbox();
    session.close().await;
    for place in places {
        let (path, shown) = (place.to_string_lossy(), shown(&place));
        let file = SavedFile { path: &path, shown: &shown, is_sandbox };
        context.console.result(&match context.global.format {
            Format::Json => saved::snapshot_json(&file, stamp.devices, &stamp.reasons),
            _ => saved::snapshot_human(&file, stamp.devices, &stamp.reasons),
        })?;
    }
    Ok(Exit::Success)
}
