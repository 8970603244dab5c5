//! Runs before and after each call of a probe: signal, lease, journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag::store::backend::WriteLease;
use mdetag::store::journal::{Journal, JournalError};
use mdetag::store::probe_journal;
use mdetag::tenant::ProbeWatch;
use mdetag_core::apply::{CallId, DeviceState, Entry};
use mdetag_core::probe::{Answer, Interrupted, ProbeCall};
use mdetag_core::time::Clock;

use crate::cli::failure::chain;

/// Journals each write of a probe before it is sent.
pub struct JournalWatch<'a> {
    /// The journal of this probe.
    pub journal: &'a mut Journal,
    /// The right to write to the tenant.
    pub hold: &'a WriteLease,
    /// The journal's clock.
    pub clock: Arc<dyn Clock>,
    /// A signal ends a probe, but not a clean-up.
    pub signals: Option<&'a mut UnboundedReceiver<()>>,
    pub device: Arc<str>,
    /// The device before the first write.
    pub before: Option<DeviceState>,
    pub calls: u64,
}

impl JournalWatch<'_> {
    fn append(&mut self, entry: Entry) -> Result<(), Interrupted> {
        self.journal.append(vec![entry]).map_err(|error| ended(&error))
    }
}

fn ended(error: &JournalError) -> Interrupted {
    Interrupted(chain(error))
}

fn signalled() -> Interrupted {
    Interrupted("stopped by a signal".to_owned())
}

impl ProbeWatch for JournalWatch<'_> {
    fn before(&mut self, call: &ProbeCall) -> Result<(), Interrupted> {
        if self.signals.as_mut().is_some_and(|signals| signals.try_recv().is_ok()) {
            return Err(signalled());
        }
        self.calls += 1;
        let Some(request) = call.as_call(&self.device).filter(|_| call.writes()) else { return Ok(()) };
        if self.before.is_none() {
            return Err(Interrupted("nobody knows yet how the device was before".to_owned()));
        }
        self.hold.check().map_err(|lost| Interrupted(lost.to_string()))?;
        let (call, at) = (CallId(self.calls), self.clock.now());
        self.append(Entry::Intent { call, at, request, value_was: None })
    }

    fn after(&mut self, call: &ProbeCall, answer: &Answer) -> Result<(), Interrupted> {
        let now = self.clock.now();
        if self.before.is_none()
            && let (ProbeCall::Device, Some(device), true) = (call, &answer.device, answer.is_success())
        {
            probe_journal::keep(self.journal, device, now).map_err(|error| ended(&error))?;
            self.before = Some(device.clone());
        }
        if !call.writes() {
            return Ok(());
        }
        self.append(Entry::Reply {
            call: CallId(self.calls),
            at: now,
            answer: answer.shape(),
            ended: Vec::new(),
        })
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), Interrupted> {
        let Some(signals) = &mut self.signals else {
            tokio::time::sleep(wait).await;
            return Ok(());
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            Some(()) = signals.recv() => Err(signalled()),
        }
    }
}
