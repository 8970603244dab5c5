//! `mdetag state accept`: makes a source's current count the baseline, whatever earlier runs counted.
//!
//! Counts the tenant and the files in their current state, and writes nothing to the tenant.

use mdetag::store::baselines_file::{self, Accepted};
use mdetag_core::inventory::Baselines;
use mdetag_core::policy::DEVICES;
use mdetag_core::report::escape::terminal;
use mdetag_core::selection;

use crate::cli::args::AcceptArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::set_names;
use crate::cli::source;
use crate::cli::{ci, policy_set};

/// Makes the current count the baseline.
///
/// # Errors
/// A source that the set lacks, a possibly incomplete read, policy, identity, network, files.
pub async fn run(context: &Context, args: &AcceptArgs) -> Result<Exit, Failure> {
    if context.global.inventory.is_some() {
        return Err(Failure::usage("`state accept` counts the tenant as it is: it takes no `--inventory`"));
    }
    if mdetag_core::text::is_blank(&args.reason) {
        return Err(Failure::usage("`--reason` is empty").help("say why the source became smaller"));
    }
    let paths = context.policy_paths(&args.policy.policy)?;
    let set = policy_set::load(context, &paths, context.policy_now())?;
    let source = source::read(context, Some(&set)).await?;
    let (now, origin) = (context.clock.now(), ci::origin());
    let Some(state) = source.state.clone() else {
        return Err(Failure::usage("`state accept` needs a tenant"));
    };
    let trust = &source.inventory.trust;
    if args.source == DEVICES && !trust.is_trusted() {
        return Err(Failure::tenant(format!("the read could be short: {}", trust.sentences().join("; ")))
            .help("nothing was accepted; a count is accepted only from a trusted read"));
    }
    let second = now.rounded_down();
    let holder = format!("process {} of {origin}, since {second}", std::process::id());
    let _lock = state.backend().hold(&state.lock(), &holder).map_err(|error| Failure::file(chain(&error)))?;
    let counts = selection::count_sources(&set.policy, &source.inventory.snapshot, &source.hunting);
    let name = set_names::set_of(context, &set.reference);
    let mut accepted = None;
    let accept = |baselines: &mut Baselines| {
        accepted = baselines.accept(&args.source, &counts, &source.kept.filter, now);
        let (_, count) = accepted?;
        let by = format!("{second} {origin}");
        Some(Accepted {
            set: name.clone(),
            by,
            source: args.source.clone(),
            count,
            reason: args.reason.clone(),
        })
    };
    let others = |baselines: &mut Baselines| {
        baselines.accept_known(&args.source, &counts, &source.kept.filter, now);
    };
    let kept = baselines_file::update_with_others(&state, &name, accept, others);
    kept.map_err(|error| Failure::file(chain(&error)))?;
    let Some((before, count)) = accepted else {
        let known: Vec<&str> = counts.names().collect();
        return Err(Failure::usage(format!("the policy set has no source `{}`", terminal(&args.source)))
            .help(format!("its sources are {}", terminal(&known.join(", ")))));
    };
    let from =
        before.map_or_else(|| "for the first time: ".to_owned(), |before| format!("from {before} to "));
    context.console.result(&format!("accepted: {} {from}{count}\n", terminal(&args.source)))?;
    source.close().await;
    Ok(Exit::Success)
}
