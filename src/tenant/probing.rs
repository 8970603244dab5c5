//! The probing half of a tenant: sends the calls of a probe about one device.
//!
//! Decides nothing: `probe` of the core chooses calls, and a watch journals them before anything is written.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use mdetag_core::apply::{Admission, Meter, Ticket};
use mdetag_core::probe::{Answer, Interrupted, ProbeCall, ProbeClient};
use mdetag_core::time::{Clock, Timestamp};

use super::http::{self, CALL_LIMIT, LIST_LIMIT};
use super::write::CALL_TIMEOUT;
use super::{Connection, wire};

/// The longest sleep while a lane is full; signals are noticed in between.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Sends calls about one device, and writes to no other. Comes only from [`super::sign_in_to_write`].
#[derive(Clone)]
pub struct Prober {
    connection: Arc<Connection>,
}

/// Called before and after each call of a probe; can end it.
pub trait ProbeWatch {
    /// Called before each call; journals a call that writes. An error ends the probe, and the call is not sent.
    ///
    /// # Errors
    /// A signal, a journal that cannot be written, a lost lease.
    fn before(&mut self, call: &ProbeCall) -> Result<(), Interrupted>;

    /// Called after each answer.
    ///
    /// # Errors
    /// As [`ProbeWatch::before`].
    fn after(&mut self, call: &ProbeCall, answer: &Answer) -> Result<(), Interrupted>;

    /// Waits.
    ///
    /// # Errors
    /// A signal.
    fn pause(&mut self, wait: Duration) -> impl Future<Output = Result<(), Interrupted>>;
}

/// A probe of one device in progress.
pub struct ActiveProbe<'a, W> {
    prober: &'a Prober,
    device: Arc<str>,
    meter: &'a dyn Meter,
    scale: u32,
    watch: W,
}

impl Prober {
    pub(super) fn new(connection: Arc<Connection>) -> Prober {
        Prober { connection }
    }

    /// Starts with a device. `meter` admits every call, and `watch` sees it. `scale`: how much faster time runs.
    pub fn probe<'a, W: ProbeWatch>(
        &'a self,
        device: Arc<str>,
        meter: &'a dyn Meter,
        scale: u32,
        watch: W,
    ) -> ActiveProbe<'a, W> {
        ActiveProbe { prober: self, device, meter, scale: scale.max(1), watch }
    }
}

impl<W: ProbeWatch> ProbeClient for ActiveProbe<'_, W> {
    async fn send(&mut self, call: &ProbeCall) -> Result<Answer, Interrupted> {
        self.watch.before(call)?;
        let mut throttled = Vec::new();
        loop {
            let ticket = self.admitted(call).await?;
            let sent = self.prober.send(&self.device, call).await;
            let refused = sent.as_ref().ok().filter(|answer| answer.status == 429);
            let asked = refused.map(|answer| answer.retry_after(&*self.prober.connection.service_clock));
            self.meter.answered(ticket, asked);
            // A 429 had no effect, so the same call is sent again.
            if let Some(asked) = asked {
                throttled.push(asked.is_some());
                continue;
            }
            let answer = sent.map(|answer| self.understood(&answer)).unwrap_or_default();
            let answer = Answer { throttled, ..answer };
            self.watch.after(call, &answer)?;
            return Ok(answer);
        }
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), Interrupted> {
        self.watch.pause(wait / self.scale).await
    }

    fn now(&self) -> Timestamp {
        self.prober.connection.service_clock.now()
    }
}

impl<W: ProbeWatch> ActiveProbe<'_, W> {
    async fn admitted(&mut self, call: &ProbeCall) -> Result<Ticket, Interrupted> {
        loop {
            match self.meter.admit(call.lane()) {
                Admission::Go(ticket) => return Ok(ticket),
                Admission::GivenUp(reason) => return Err(Interrupted(reason)),
                Admission::Wait(wait) => {
                    self.meter.waits(&wait);
                    // The meter knows the scale itself.
                    self.watch.pause(wait.span.min(LONGEST_SLEEP)).await?;
                }
            }
        }
    }

    fn understood(&self, answer: &http::Answer) -> Answer {
        // An error with a success status, or a status that leaves the effect open, proves nothing.
        if answer.is_success() && (!answer.is_done() || wire::error_in(&answer.body).is_some()) {
            return Answer::default();
        }
        if !answer.is_success() {
            let rejection = wire::rejection(answer, None);
            let (code, message) = (rejection.code, rejection.message);
            return Answer { status: answer.status, code, message, ..Answer::default() };
        }
        let devices = wire::devices(&answer.body).unwrap_or_default();
        let rows = devices.len();
        let is_it = |state: &mdetag_core::apply::DeviceState| state.id.eq_ignore_ascii_case(&self.device);
        let device = devices.into_iter().find(is_it);
        let next_link = wire::sketch(&answer.body)
            .ok()
            .and_then(|page| page.next_link)
            .is_some_and(|link| !link.is_empty());
        Answer { status: answer.status, device, rows, next_link, ..Answer::default() }
    }
}

impl Prober {
    /// Sends a call once. A missing answer is an error without text, because evidence has none for it.
    async fn send(&self, device: &Arc<str>, call: &ProbeCall) -> Result<http::Answer, ()> {
        let (method, path, body) = request(device, call).ok_or(())?;
        let limit = if matches!(call, ProbeCall::List { .. }) { LIST_LIMIT } else { CALL_LIMIT };
        let timeout = if call.writes() { CALL_TIMEOUT } else { self.connection.request_timeout };
        let sent = self.connection.send_on(call.lane(), method, &path, body, timeout, limit).await;
        match sent {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => {
                tracing::debug!(detail = failure.detail(), "no answer");
                Err(())
            }
            Err(error) => {
                tracing::debug!(%error, "no token");
                Err(())
            }
        }
    }
}

/// A call as a request; `None` if an id could break out of its place in the path.
fn request(device: &Arc<str>, call: &ProbeCall) -> Option<(Method, String, Option<Vec<u8>>)> {
    match call {
        ProbeCall::List { top, skip, filter } => {
            Some((Method::GET, list_path(*top, *skip, filter.as_deref()), None))
        }
        _ => wire::request(&call.as_call(device)?),
    }
}

/// Unlike [`wire::ListQuery`], `$top` may be absent, because the service's behaviour then is one of the questions.
fn list_path(top: Option<u32>, skip: u32, filter: Option<&str>) -> String {
    let query = wire::ListQuery {
        filter: filter.map(str::to_owned),
        top: top.unwrap_or(0) as usize,
        skip: skip as usize,
    };
    let path = query.path();
    match top {
        Some(_) => path,
        None => path.replacen("$top=0&", "", 1).replacen("?$top=0", "", 1),
    }
}
