//! `mdetag doctor --probe`: finds out the service's disputed answers with one device and scratch tags, and restores the device.
//!
//! Decides nothing about a call: `probe` of the core chooses them. This has the question before, the lock, the journal, and the
//! end.

use std::sync::Arc;

use mdetag::store::journal::{self, Closing, Journal};
use mdetag::store::{output_file, probe_journal, service_file};
use mdetag_core::apply::DeviceState;
use mdetag_core::hex;
use mdetag_core::probe::scratch::{PREFIX, ScratchTags, is_scratch};
use mdetag_core::probe::{Leftover, MAX_CALLS, Measured, ProbedDevice, ServiceProfile, measure};
use mdetag_core::report::escape::terminal;
use mdetag_core::report::probe::{self as report, ProbeEnd};
use mdetag_core::report::words::counted;

use super::bench::{ProbeContext, Subject, TOOL, restored, unusable};
use super::cleaning;
use crate::cli::args::{DoctorArgs, Format};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::planning::PolicySet;
use crate::cli::progress::Reading;
use crate::cli::session::{self, SANDBOX};
use crate::cli::signals::StopConditions;
use crate::cli::{ci, output, policy_set, question};

/// Probes, or cleans up after a probe.
///
/// # Errors
/// Policy, identity, network, files; a device that the policies protect from writing.
pub async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "doctor", &[Format::Human, Format::Json])?;
    refuse_recorded(context)?;
    let set = policies(context)?;
    if !args.auto_approve && !context.console.asks {
        return Err(Failure::usage("nobody can be asked: this is no terminal")
            .help("pass --auto-approve, or run it in a terminal"));
    }
    if args.auto_approve && set.is_none() {
        return Err(Failure::usage("there is no policy set here, which could protect the device")
            .help("run it in the repository of the policies, or without --auto-approve in a terminal"));
    }
    let mut stops = StopConditions::listen(context, None);
    let policy = set.as_ref().map(|set| &set.policy);
    let (session, prober) = stops.or(session::open_to_probe(context, policy)).await?;
    let now = session.ledger.clock().now();
    let holder = format!("process {} of {}, since {}", std::process::id(), ci::origin(), now.rounded_down());
    let held = session.state.backend().hold(&session.state.lock(), &holder);
    let hold = held.map_err(|error| Failure::file(chain(&error)))?;
    let bench =
        ProbeContext { context, args, set: set.as_ref(), session: &session, prober: &prober, hold: &hold };
    let ended = match (&args.probe, &args.probe_cleanup) {
        (Some(device), _) => bench.probe(device, &mut stops).await,
        (None, named) => cleaning::run(&bench, named.as_deref().unwrap_or_default(), &mut stops).await,
    };
    session.close().await;
    ended
}

/// A recording says nothing about the present service.
fn refuse_recorded(context: &Context) -> Result<(), Failure> {
    match context.recorded_flag() {
        Some(flag) => Err(Failure::usage(format!("a probe takes no `{flag}`, from the environment either"))),
        None => Ok(()),
    }
}

/// The policies that may protect the device from writing; `None` without any.
fn policies(context: &Context) -> Result<Option<PolicySet>, Failure> {
    let paths = context.policy_paths(&[])?;
    if paths.iter().all(|path| std::fs::symlink_metadata(path).is_err()) {
        return Ok(None);
    }
    policy_set::load(context, &paths, context.policy_now()).map(Some)
}

impl ProbeContext<'_> {
    async fn probe(&self, named: &str, stops: &mut StopConditions) -> Result<Exit, Failure> {
        if let Some(open) = cleaning::unfinished(self, None)? {
            return Err(Failure::file(format!("the probe {} did not put its device back", open.header.run))
                .help("put it back first: mdetag doctor --probe-cleanup"));
        }
        let subject = stops.or(self.subject(named)).await?;
        let manual = stops.or(self.manual(&subject)).await?;
        if !self.args.auto_approve {
            let text = self.question(&subject);
            if !question::approved(&self.context.console, text, &mut stops.signals).await? {
                self.context.console.say("not probed: nothing was written");
                return Ok(Exit::Success);
            }
        }
        let clock = self.session.ledger.clock().clone();
        let start = clock.now();
        let header = self.header(&journal::run_id(start));
        let mut journal = probe_journal::create(&self.session.state, &header, start).map_err(unusable)?;
        let digest = ring::digest::digest(
            &ring::digest::SHA256,
            format!("{} {} {}", subject.id, header.run, std::process::id()).as_bytes(),
        );
        let hex = hex::digits(digest.as_ref());
        // As long as the service's own ids, and without an owner: a service that writes to the known devices of a call writes to
        // one only.
        let unknown_id = hex.chars().cycle().take(subject.id.chars().count()).collect::<String>().into();
        let device = ProbedDevice { id: subject.id.clone(), unknown_id, manual };
        let tags = ScratchTags::new(&hex[..10]);
        let measured = {
            let mut client = self.client(&subject.id, &mut journal, Some(&mut stops.signals), None);
            measure(&mut client, &device, &tags, TOOL).await
        };
        let leftover = Leftover::of(&measured);
        let cleaned = match &measured.before {
            None => Ok(None),
            Some(before) => self.cleaned(&mut journal, before, &leftover).await.map(Some),
        };
        self.end(&subject, measured, cleaned, &mut journal)
    }

    /// The tags that hunting knows to be manual; `None` if hunting cannot be asked.
    async fn manual(&self, subject: &Subject) -> Result<Option<Vec<Arc<str>>>, Failure> {
        if subject.tags.iter().all(|tag| is_scratch(tag)) {
            return Ok(Some(Vec::new()));
        }
        let Ok(hunter) = self.session.tenant.hunter().await else { return Ok(None) };
        let reading = Reading::start(self.context, &self.session.ledger);
        let origins = hunter.origins_of(&subject.id, &reading).await;
        reading.end();
        // Without an answer PATCH is not tried; the rest of the probe does not need it.
        let manual = origins.ok().flatten().map(|origins| origins.manual);
        Ok(manual.map(|manual| manual.iter().map(|tag| tag.as_str().into()).collect()))
    }

    fn question(&self, subject: &Subject) -> String {
        let tenant = &self.session.reference;
        let sandbox = if tenant.cloud.as_deref() == Some(SANDBOX) { "SANDBOX · " } else { "" };
        let value = subject.value.as_deref().unwrap_or("none");
        let nobody =
            if self.set.is_none() { "No policy set is here that could protect the device.\n" } else { "" };
        format!(
            "\n{sandbox}Probe {} with device {}?\n\
             Reads the list, adds and removes tags that begin with {PREFIX}, and sets the value that the device has ({}).\n\
             Where all of its tags are known as manual, PATCH is tried with the tags and the value that it has.\n\
             At most {MAX_CALLS} calls. Then the scratch tags are removed, and its own {} are as before.\n\
             After an interruption: mdetag doctor --probe-cleanup\n{nobody}Only `yes` is taken as a yes: ",
            question::tenant_name(tenant),
            subject.shown,
            terminal(value),
            counted(subject.tags.len() as u64, "tag"),
        )
    }

    fn end(
        &self,
        subject: &Subject,
        measured: Measured,
        cleaned: Result<Option<DeviceState>, String>,
        journal: &mut Journal,
    ) -> Result<Exit, Failure> {
        let early = measured.interrupted.as_ref().map(|interrupted| interrupted.0.clone());
        let (restored, mut exit) = match (&measured.before, &cleaned) {
            (None, _) => ("nothing was written".to_owned(), Exit::Success),
            (Some(before), Ok(Some(now))) => restored(before, now),
            (Some(_), Ok(None)) => (String::new(), Exit::Partial),
            (Some(_), Err(why)) => (
                format!("the device is not put back ({}): mdetag doctor --probe-cleanup", terminal(why)),
                Exit::Partial,
            ),
        };
        if early.is_some() {
            exit = exit.worst(Exit::Stopped);
        }
        if cleaned.is_ok() {
            let reason = early.clone().unwrap_or_else(|| "finished".to_owned());
            let at = self.session.ledger.clock().now();
            journal.close(Closing { at, is_complete: true, reason }).map_err(unusable)?;
        }
        let own = measured.profile;
        let changed = self.keep(&own)?;
        if let Some(file) = &self.args.share {
            share(self.context, &own, file)?;
        }
        let now = self.session.ledger.clock().now();
        let end = ProbeEnd {
            is_sandbox: self.session.is_sandbox(),
            device: &subject.id,
            shown: &subject.shown,
            profile: &own,
            now,
            changed: &changed,
            ended_early: early.as_deref(),
            is_restored: cleaned.is_ok() && exit != Exit::Partial,
            restored: &restored,
        };
        let text = match self.context.global.format {
            Format::Json => report::json(&end),
            _ => report::human(&end),
        };
        self.context.console.result(&text)?;
        Ok(exit)
    }

    /// Stores the findings beside those of earlier probes.
    fn keep(&self, later: &ServiceProfile) -> Result<Vec<(String, String, String)>, Failure> {
        let session = self.session;
        let check = Some(ServiceProfile::check_of(&session.reference));
        let (seen, now) = (session.tenant.sightings(), session.ledger.clock().now());
        let mut changed = Vec::new();
        let kept = service_file::renew(&session.state, |kept| {
            if kept.check != check {
                *kept = ServiceProfile { check: check.clone(), ..ServiceProfile::default() };
            }
            changed = kept.take(later.clone());
            kept.learn(&seen, &[], now);
        });
        kept.map_err(|error| Failure::file(error.to_string()))?;
        Ok(changed)
    }
}

/// Writes what may be shared: the findings of this probe only, nothing from a file.
fn share(context: &Context, profile: &ServiceProfile, file: &std::path::Path) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(profile).map_err(std::io::Error::from)?;
    Ok(output_file::write(&output::named(context, file)?, |out| writeln!(out, "{text}"))?)
}
