//! `mdetag doctor --probe-cleanup`: restores the device of an interrupted probe, or removes scratch tags from a device.

use mdetag::store::journal::{self, Closing, RecordedRun};
use mdetag::store::probe_journal;
use mdetag_core::apply::DeviceState;
use mdetag_core::probe::scratch::{PREFIX, is_scratch};
use mdetag_core::probe::{Leftover, MAX_CALLS};
use mdetag_core::report::escape::{tag, terminal};

use super::bench::{ProbeContext, Subject, restored, unusable};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::question;
use crate::cli::signals::StopConditions;

/// Cleans up. `named`: a device, or empty for that of the newest probe that did not restore its device.
///
/// # Errors
/// Those of a probe.
pub async fn run(bench: &ProbeContext<'_>, named: &str, stops: &mut StopConditions) -> Result<Exit, Failure> {
    let open = unfinished(bench, Some(named).filter(|named| !named.is_empty()))?;
    let subject = match (&open, named) {
        (None, "") => {
            bench.context.console.say("nothing to clean up: no probe left anything on its device");
            return Ok(Exit::Success);
        }
        // The journal proves that the probe wrote to it, so it is restored even if the policies protect it now.
        (Some(recorded), _) => recorded.before.clone(),
        (None, named) => Some(state_of(&stops.or(bench.subject(named)).await?)),
    };
    let Some(before) = subject else { return Ok(Exit::Success) };
    if !bench.args.auto_approve {
        let text = asked(bench, &before, open.as_ref());
        if !question::approved(&bench.context.console, text, &mut stops.signals).await? {
            bench.context.console.say("not cleaned up: nothing was written");
            return Ok(Exit::Success);
        }
    }
    let clock = bench.session.ledger.clock().clone();
    let (state, now) = (&bench.session.state, clock.now());
    let mut journal = match &open {
        Some(recorded) => {
            probe_journal::resume(state, &bench.header(&recorded.header.run), now).map_err(unusable)?
        }
        None => {
            let mut journal =
                probe_journal::create(state, &bench.header(&journal::run_id(now)), now).map_err(unusable)?;
            probe_journal::keep(&mut journal, &before, now).map_err(unusable)?;
            journal
        }
    };
    let leftover = match &open {
        Some(recorded) => Leftover {
            before: Some(before.clone()).filter(|_| probe_journal::is_patched(recorded)),
            tags: probe_journal::added(recorded),
            calls: MAX_CALLS - 1,
        },
        None => Leftover { before: None, tags: Vec::new(), calls: MAX_CALLS - 1 },
    };
    match bench.cleaned(&mut journal, &before, &leftover).await {
        Ok(after) => {
            let closing = Closing { at: clock.now(), is_complete: true, reason: "cleaned up".to_owned() };
            journal.close(closing).map_err(unusable)?;
            let (says, _) = restored(&before, &after);
            bench.context.console.result(&format!("device {}: {says}\n", terminal(&before.id)))?;
            // Others may have changed the device since the probe, which is not the clean-up's fault.
            Ok(Exit::Success)
        }
        Err(why) => {
            let id = terminal(&before.id);
            bench.context.console.result(&format!("device {id} is not put back: {}\n", terminal(&why)))?;
            Ok(Exit::Partial)
        }
    }
}

/// The newest probe that did not restore its device; only of this device, if one is named by its id.
///
/// # Errors
/// Journals that cannot be read.
pub fn unfinished(bench: &ProbeContext<'_>, device: Option<&str>) -> Result<Option<RecordedRun>, Failure> {
    probe_journal::last_unfinished(&bench.session.state, device).map_err(unusable)
}

fn state_of(subject: &Subject) -> DeviceState {
    let (id, tags, value) = (subject.id.clone(), subject.tags.clone(), subject.value.clone());
    DeviceState { id, tags, has_tag_list: true, value }
}

fn asked(bench: &ProbeContext<'_>, before: &DeviceState, open: Option<&RecordedRun>) -> String {
    let back = open.filter(|recorded| probe_journal::is_patched(recorded)).map(|_| {
        let own = before.tags.iter().filter(|tag| !is_scratch(tag)).map(|own| tag(own).into_owned());
        let own: Vec<String> = own.collect();
        format!(
            "Puts back what the device lost of its tags from before the probe: {}\n",
            terminal(&own.join(", "))
        )
    });
    format!(
        "\nClean up device {} of {}?\nRemoves its tags that begin with {PREFIX}.\n{}Only `yes` is taken as a yes: ",
        terminal(&before.id),
        question::tenant_name(&bench.session.reference),
        back.unwrap_or_default(),
    )
}
