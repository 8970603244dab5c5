//! Shared by a probe and a clean-up: the device, the session, the journal.
//!
//! Asks the service nothing itself; `probe` and `cleaning` do.

use std::sync::Arc;

use mdetag::store::backend::WriteLease;
use mdetag::store::journal::{self, Header, Journal};
use mdetag::tenant::Prober;
use mdetag_core::apply::DeviceState;
use mdetag_core::device::Field;
use mdetag_core::inventory::{Row, Snapshot};
use mdetag_core::probe::{Leftover, clean_up};
use mdetag_core::report::escape::terminal;
use mdetag_core::report::probe as report;
use mdetag_core::selection;

use super::watch::JournalWatch;
use crate::cli::args::DoctorArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, chain};
use crate::cli::planning::{self, PolicySet};
use crate::cli::progress::Reading;
use crate::cli::session::{Session, unreachable_tenant};
use crate::cli::{ci, hunting};

/// The version of mdetag that measured.
pub const TOOL: &str = concat!("mdetag ", env!("CARGO_PKG_VERSION"));

/// The input of a probe and a clean-up.
pub struct ProbeContext<'a> {
    pub context: &'a Context,
    pub args: &'a DoctorArgs,
    /// The policies, if there are any.
    pub set: Option<&'a PolicySet>,
    pub session: &'a Session,
    pub prober: &'a Prober,
    /// The right to write to the tenant.
    pub hold: &'a WriteLease,
}

/// A device that may be written.
pub struct Subject {
    pub id: Arc<str>,
    /// Its name and id, for people.
    pub shown: String,
    pub tags: Vec<Arc<str>>,
    pub value: Option<Arc<str>>,
}

impl ProbeContext<'_> {
    /// Cleans up without catching signals: the next one ends the process, and the journal knows what is left.
    pub async fn cleaned(
        &self,
        journal: &mut Journal,
        before: &DeviceState,
        leftover: &Leftover,
    ) -> Result<DeviceState, String> {
        let mut client = self.client(&before.id, journal, None, Some(before.clone()));
        clean_up(&mut client, &before.id, leftover).await.map_err(|interrupted| interrupted.0)
    }

    /// Sends the calls of a probe or a clean-up, and journals them.
    pub fn client<'b>(
        &'b self,
        id: &Arc<str>,
        journal: &'b mut Journal,
        signals: Option<&'b mut tokio::sync::mpsc::UnboundedReceiver<()>>,
        before: Option<DeviceState>,
    ) -> mdetag::tenant::ActiveProbe<'b, JournalWatch<'b>> {
        let clock = self.session.ledger.clock().clone();
        let watch =
            JournalWatch { journal, hold: self.hold, clock, signals, device: id.clone(), before, calls: 0 };
        self.prober.probe(id.clone(), &*self.session.ledger, self.session.scale, watch)
    }

    /// The journal's first line.
    pub fn header(&self, run: &str) -> Header {
        let (origin, tenant) = (ci::who(), &self.session.reference);
        Header {
            run: run.to_owned(),
            tool: TOOL.to_owned(),
            tenant: tenant.id.clone().unwrap_or_default(),
            cloud: tenant.cloud.clone().unwrap_or_default(),
            who: origin.who,
            host: origin.host,
            job: origin.job,
            ..Header::default()
        }
    }

    /// The device, if the policies allow writing to it.
    pub async fn subject(&self, named: &str) -> Result<Subject, Failure> {
        let reading = Reading::start(self.context, &self.session.ledger);
        let read = self.session.tenant.reader().device(named, &reading).await;
        reading.end();
        let snapshot = read.map_err(unreachable_tenant)?;
        let snapshot = snapshot.filter(|snapshot| !snapshot.find_device(named).is_empty());
        let Some(snapshot) = snapshot else {
            return Err(Failure::usage(format!("the service knows no device `{}`", terminal(named)))
                .help("name it by its id or its full name"));
        };
        self.check(&snapshot).await?;
        let row = Row(0);
        if !snapshot.has_tag_list(row) {
            return Err(Failure::usage(format!(
                "the service does not say which tags `{}` has",
                terminal(named)
            ))
            .help("nothing was written: a probe must know the tags that it may not lose"));
        }
        let id = snapshot.id(row);
        let name = snapshot.text(Field::ComputerDnsName, row);
        let shown = match name {
            Some(name) => format!("{} ({})", terminal(&name), terminal(id)),
            None => terminal(id).into_owned(),
        };
        let tags = snapshot.tags(row).iter().map(|tag| snapshot.tag(*tag).into()).collect();
        Ok(Subject { id: id.into(), shown, tags, value: snapshot.value(row).map(Into::into) })
    }

    /// Refuses a device that `scope` leaves out or that is protected.
    async fn check(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        let Some(set) = self.set else { return Ok(()) };
        let hunting = hunting::results(self.context, Some(&set.policy), None, self.session).await?;
        let selected = selection::select(&set.policy, snapshot, &hunting, self.context.policy_now());
        let selections = selected.map_err(|findings| Failure::policy(set.sources.clone(), findings))?;
        let why = if !selections.scope.contains(Row(0)) {
            "is outside `scope` of the policies"
        } else if planning::protected(&selections, 1).contains(Row(0)) {
            "is protected by the policies"
        } else {
            return Ok(());
        };
        let failure = Failure::usage(format!("device {} {why}", terminal(snapshot.id(Row(0)))))
            .help("nothing was written; probe with another device");
        Err(Failure { exit: Exit::Refused, ..failure })
    }
}

/// Whether the device is in its original state, in words.
pub fn restored(before: &DeviceState, now: &DeviceState) -> (String, Exit) {
    match report::difference(before, now) {
        None => ("its tags and its value are as before".to_owned(), Exit::Success),
        Some(what) => (what, Exit::Partial),
    }
}

/// A journal that cannot be used.
pub fn unusable(error: journal::JournalError) -> Failure {
    Failure::file(chain(&error))
}
