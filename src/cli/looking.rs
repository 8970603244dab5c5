//! Shared by `tags`, `devices` and `coverage`: the devices, the policies if there are any, and the formats of a listing.
//!
//! Plans nothing and writes nothing.

use std::path::PathBuf;

use mdetag_core::diagnostic::Sources;
use mdetag_core::plan::PolicyReference;
use mdetag_core::policy::Policy;
use mdetag_core::report::listing::{self, Listing};

use super::args::Format;
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::planning::PolicySet;
use super::policy_set;
use super::session::SANDBOX;
use super::source::{self, Source};

/// The policies and devices of a read-only command.
pub struct ViewInputs {
    /// The policies; empty if there are none and none were named.
    pub set: PolicySet,
    pub source: Source,
}

/// Reads both. Without policy arguments, a repository without policies counts as an empty set.
///
/// # Errors
/// Named policies that cannot be read, identity, network.
pub async fn read(context: &Context, given: &[PathBuf]) -> Result<ViewInputs, Failure> {
    let paths = context.policy_paths(given)?;
    let nothing_there = given.is_empty() && paths.iter().all(|path| std::fs::symlink_metadata(path).is_err());
    let set = if nothing_there {
        PolicySet {
            sources: Sources::default(),
            policy: Policy::default(),
            findings: Vec::new(),
            reference: PolicyReference::default(),
        }
    } else {
        policy_set::load(context, &paths, context.policy_now())?
    };
    let source = source::read(context, Some(&set)).await?;
    let (_, set) = source.suited(context, set)?;
    if !source.inventory.trust.is_trusted() {
        for reason in source.inventory.trust.sentences() {
            context.console.say(&format!("note: the inventory is untrusted: {reason}"));
        }
    }
    Ok(ViewInputs { set, source })
}

/// Refuses formats that a listing does not have.
///
/// # Errors
/// The command and its formats.
pub fn formats(context: &Context, command: &str) -> Result<(), Failure> {
    let known = [Format::Human, Format::Json, Format::Ndjson, Format::Markdown, Format::Csv];
    output::only(context.global.format, command, &known)
}

/// Prints a listing of the devices.
///
/// # Errors
/// Standard output that cannot be written.
pub fn show_seen(
    context: &Context,
    seen: &ViewInputs,
    listing: Listing,
    details: bool,
) -> Result<(), Failure> {
    let is_sandbox = seen.source.inventory.tenant.cloud.as_deref() == Some(SANDBOX);
    show(context, &Listing { is_sandbox, recorded_at: seen.source.recorded_at, ..listing }, details)
}

/// Prints a listing.
///
/// # Errors
/// Standard output that cannot be written.
pub fn show(context: &Context, listing: &Listing, details: bool) -> Result<(), Failure> {
    let style = context.console.style(details);
    let mut out = context.console.out();
    match context.global.format {
        Format::Json => listing::json_document(listing, &mut out)?,
        Format::Ndjson => listing::ndjson(listing, &mut out)?,
        Format::Markdown => listing::markdown(listing, &mut out)?,
        Format::Csv => listing::csv(listing, &mut out)?,
        _ => listing::human(listing, &style, &mut out)?,
    }
    Ok(())
}
