//! `mdetag state pull | push`: copies the state of tenants into a folder, and back to its place.
//!
//! A pull takes no lock; a push holds the tenant's.

use std::path::{Path, PathBuf};

use mdetag::store::backend::StatePlace;
use mdetag::store::path_text::shown;
use mdetag::store::state::{SANDBOX, StateDir, prepare};
use mdetag::store::state_copy::{self, CopyCount, CopyError};
use mdetag_core::plan::TenantReference;
use mdetag_core::report::words::counted;

use crate::cli::args::CopyArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::state_store::{self, StateNeed};
use crate::cli::{ci, history};

/// Copies the state of all tenants, or of the named one, into a folder.
///
/// # Errors
/// A folder whose state would be lost, state that changes during the copy, unreadable or unwritable files.
pub fn pull(context: &Context, args: &CopyArgs) -> Result<Exit, Failure> {
    // In the form for opening and not for showing: on Windows these differ.
    let root = match &context.place {
        StatePlace::Folder(_) => context.state_dir(),
        StatePlace::Store(address) => PathBuf::from(address.to_string()),
    };
    let folder = apart(context, &args.folder)?;
    let states = history::states(context)?;
    if !states.is_empty() {
        prepare(&folder);
    }
    for state in &states {
        let tenant = tenant_of(state, &root)?;
        let copy = state_store::in_folder(&folder, &tenant)?;
        let count = state_copy::pull(state, &copy, context.clock.now())
            .map_err(|error| refused(&error, &args.folder))?;
        report_copy(context, "pulled", state, count)?;
    }
    if states.is_empty() {
        context.console.result("the state holds no tenant\n")?;
    }
    Ok(Exit::Success)
}

/// Copies the state of all tenants in a folder, or of the named one, to its place.
///
/// # Errors
/// A place that was written to since the copy was made, another apply at work, unreadable or unwritable files.
pub fn push(context: &Context, args: &CopyArgs) -> Result<Exit, Failure> {
    let folder = apart(context, &args.folder)?;
    let copies = history::states_in(context, &folder)?;
    if copies.is_empty() {
        return Err(Failure::usage(format!("there is no state of a tenant in {}", shown(&args.folder)))
            .help("name the folder that `mdetag state pull` made, or a state directory such as .mdetag"));
    }
    if let Some(place) = context.place.folder() {
        prepare(place);
    }
    let now = context.clock.now();
    let holder = format!("process {} of {}, since {}", std::process::id(), ci::origin(), now.rounded_down());
    for copy in &copies {
        let state = state_store::of_tenant(context, &tenant_of(copy, &folder)?, StateNeed::Must)?;
        let held = |state: &StateDir| {
            state.backend().hold(&state.lock(), &holder).map_err(|error| Failure::file(chain(&error)))
        };
        // An apply at work in the folder would continue writing to the copied state.
        let (_of_copy, hold) = (held(copy)?, held(&state)?);
        let count =
            state_copy::push(copy, &state, &hold, now).map_err(|error| refused(&error, &args.folder))?;
        report_copy(context, "pushed", &state, count)?;
    }
    Ok(Exit::Success)
}

fn report_copy(context: &Context, what: &str, state: &StateDir, count: CopyCount) -> Result<(), Failure> {
    let (place, runs) = (shown(state.path()), counted(count.runs, "run"));
    let text = match count.files {
        0 => format!("{place}: nothing to copy, {runs}\n"),
        files => format!("{what} {place}: {}, {runs}\n", counted(files, "file")),
    };
    Ok(context.console.result(&text)?)
}

fn refused(error: &CopyError, folder: &Path) -> Failure {
    let folder = shown(folder);
    let help = match error {
        CopyError::Unusable(_) => "run the command again: what was copied stays".to_owned(),
        CopyError::Unpushed { .. } => {
            format!("push it first with `mdetag state push {folder}`, or pull into another folder")
        }
        CopyError::WentOn { .. } => {
            "pull again into another folder: what runs wrote since then would be lost".to_owned()
        }
        CopyError::Rewritten { .. } => "pull again into another folder".to_owned(),
        CopyError::Torn { .. } => {
            "run the command again; if it keeps failing, check what is between here and the store".to_owned()
        }
        CopyError::Busy { .. } => {
            "an apply is at work; `mdetag state show` says who holds the lock".to_owned()
        }
    };
    Failure::file(chain(error)).help(help)
}

/// The folder, which must not be the place of the state.
fn apart(context: &Context, folder: &Path) -> Result<PathBuf, Failure> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = context.folder.join(folder);
    match context.place.folder() {
        Some(place) if real(&folder).starts_with(real(&context.folder.join(place))) => {
            Err(Failure::usage(format!("{} is where the state lies", shown(&folder)))
                .help("name another folder, or another place with --state"))
        }
        _ => Ok(folder),
    }
}

/// The tenant of a state, from its path below `root`.
fn tenant_of(state: &StateDir, root: &Path) -> Result<TenantReference, Failure> {
    let below = state.path().strip_prefix(root).map(shown).unwrap_or_default();
    let reference = |cloud: &str, name: Option<&str>, id: &str| TenantReference {
        id: Some(id.to_owned()),
        name: name.map(str::to_owned),
        cloud: Some(cloud.to_owned()),
    };
    match below.split('/').collect::<Vec<_>>().as_slice() {
        [cloud, name, id] if *cloud == SANDBOX => Ok(reference(cloud, Some(name), id)),
        [cloud, id] => Ok(reference(cloud, None, id)),
        _ => Err(Failure::file(format!("{} is no state of a tenant", shown(state.path())))),
    }
}
