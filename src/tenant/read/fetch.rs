//! One reading request within the budget: admitted, retried if that can help, parsed as a page.
//!
//! Does not know the order of pages.

use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use reqwest::Method;

use crate::tenant::error::{TenantError, TenantErrorKind, nonempty};
use crate::tenant::http::{Answer, CERTIFICATES, HttpFailure, LIST_LIMIT};
use crate::tenant::{Connection, wire};
use mdetag_core::apply::{Admission, Meter, Ticket};
use mdetag_core::device;
use mdetag_core::plan::Lane;
use mdetag_core::service::Question;
use mdetag_core::time::{Clock, Timestamp};

const TRIES: u32 = 5;
/// The longest sleep, so that the screen shows progress and changes by other processes are noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How to read from one lane.
pub(in crate::tenant) struct Fetch<'a> {
    pub(in crate::tenant) connection: &'a Connection,
    pub(in crate::tenant) meter: &'a dyn Meter,
    pub(in crate::tenant) lane: Lane,
    /// Its name in messages: `reading a device`.
    pub(in crate::tenant) what: &'static str,
}

/// One row of a page, as far as paging needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRow {
    /// A short form of the id; `None` if there is no usable one.
    pub(super) id: Option<u128>,
    pub(super) last_seen: Option<Timestamp>,
}

pub(super) struct Page {
    pub(super) body: Vec<u8>,
    pub(super) rows: Vec<PageRow>,
    pub(super) next_link: Option<String>,
    pub(super) count: Option<u64>,
    /// The list answered 404.
    pub(super) not_found: bool,
}

/// Shortens ids to 128 bits from two keyed hashes, so that a million ids take 16 MB per pass.
#[derive(Clone, Default)]
pub(super) struct Fingerprints(foldhash::fast::RandomState, foldhash::fast::RandomState);

impl Fingerprints {
    pub(super) fn of(&self, id: &str) -> u128 {
        u128::from(self.0.hash_one(id)) << 64 | u128::from(self.1.hash_one(id))
    }
}

impl Fetch<'_> {
    /// An answer other than 429 and 5xx, after the allowed number of tries.
    pub(in crate::tenant) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
        limit: usize,
    ) -> Result<Answer, TenantError> {
        self.send_until(method, path, body, limit, |_| Ok(())).await.map(|(answer, ())| answer)
    }

    /// The same, where `read` parses the body of a 200 or says why it is broken, which is also retried.
    pub(in crate::tenant) async fn send_until<T: Default>(
        &self,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
        limit: usize,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<(Answer, T), TenantError> {
        let mut failures = 0;
        let mut refusal = None;
        loop {
            let ticket = match admitted(self.meter, self.lane).await {
                Ok(ticket) => ticket,
                Err(reason) => return Err(self.throttled(refusal, &reason)),
            };
            let body = body.map(<[u8]>::to_vec);
            let timeout = self.connection.request_timeout;
            let answer = self.connection.send_on(self.lane, method.clone(), path, body, timeout, limit).await;
            let throttled = match &answer {
                Ok(Ok(answer)) => throttled(answer, &*self.connection.service_clock),
                _ => None,
            };
            self.meter.answered(ticket, throttled);
            let why = match answer? {
                Ok(answer) if throttled.is_some() => {
                    refusal = Some(self.rejected(&answer));
                    continue;
                }
                Ok(answer) if answer.status >= 500 => self.rejected(&answer),
                Ok(answer) if answer.is_success() && !answer.is_whole() => self.partial(&answer),
                Ok(answer) if answer.is_whole() => match read(&answer.body) {
                    Ok(found) => return Ok((answer, found)),
                    Err(why) => self.broken(why, &answer),
                },
                Ok(answer) => return Ok((answer, T::default())),
                Err(trouble) => {
                    // The call used its whole time: one more try, not four.
                    failures += if trouble.is_timeout() { TRIES / 2 } else { 0 };
                    self.lost(&trouble)
                }
            };
            failures += 1;
            if failures >= TRIES || why.kind == TenantErrorKind::Answer && why.status.is_none() {
                return Err(why);
            }
            let wait = self.connection.backoff.saturating_mul(1 << (failures - 1));
            tracing::debug!(lane = self.lane.word(), error = %why, "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// A list page at a path. The service's own 404 is an empty page that says so.
    pub(super) async fn page(&self, path: &str, ids: &Fingerprints) -> Result<Page, TenantError> {
        type Head = (Vec<PageRow>, Option<String>, Option<u64>, Option<u64>);
        let read = |body: &[u8]| -> Result<Head, String> {
            let page = wire::sketch(body)?;
            let row = |row: wire::SketchRow<'_>| PageRow {
                id: row.id.filter(|id| device::is_id(id)).map(|id| ids.of(&id)),
                last_seen: row.last_seen.and_then(|text| Timestamp::parse_field(&text)),
            };
            let next_link = page.next_link.map(|link| link.into_owned()).filter(|link| !link.is_empty());
            Ok((page.rows.into_iter().map(row).collect(), next_link, page.count, page.unknown_properties))
        };
        let (answer, (rows, next_link, count, unknown)) =
            self.send_until(Method::GET, path, None, LIST_LIMIT, read).await?;
        // Only the service itself can say that there is no device; a gateway's 404 means that the service was not reached.
        let not_found = answer.status == 404 && wire::is_service_error(&answer.body);
        if !not_found {
            self.success(&answer)?;
        }
        if let Some(unknown) = unknown {
            let verdict = if unknown > 0 { "seen" } else { "none" };
            self.connection.note(Question::UnknownProperties, verdict, Some(unknown));
        }
        Ok(Page { body: answer.body, rows, next_link, count, not_found })
    }

    /// An answer other than 200 as an error.
    pub(in crate::tenant) fn success(&self, answer: &Answer) -> Result<(), TenantError> {
        if answer.is_whole() { Ok(()) } else { Err(self.rejected(answer)) }
    }

    fn route(&self) -> String {
        format!("{} at {}", self.what, self.connection.origin(self.lane))
    }

    fn rejected(&self, answer: &Answer) -> TenantError {
        let rejection = wire::rejection(answer, None);
        let mut error = TenantError::new(
            TenantErrorKind::Rejected,
            format!("{} was rejected with HTTP {}", self.route(), answer.status),
        );
        error.status = Some(answer.status);
        error.code = nonempty(rejection.code);
        error.message = nonempty(rejection.message);
        error.request_id = rejection.request_id.map(Into::into);
        let message = error.message.as_deref().unwrap_or("").to_ascii_lowercase();
        match answer.status {
            401 if message.contains("account mode is inactive") => {
                error.help("this tenant has no active Defender for Endpoint: check the subscription and `tenantId`")
            }
            401 if message.contains("license") => error.help("the tenant lacks a licence for this API"),
            401 => error.help("the service did not take a fresh token: check this computer's clock with `mdetag doctor`"),
            403 => error
                .help("check the application's roles: `mdetag doctor` shows them")
                .help("if the roles are there, check that `cloud` is right: a token for another host is refused like this"),
            404 => error.help(
                "this is not the device service's own answer: check `endpoints.api`, HTTPS_PROXY, and gateways on the way",
            ),
            _ => error,
        }
    }

    /// The lane is given up; `refusal` is the service's last answer, if this process has one.
    fn throttled(&self, refusal: Option<TenantError>, reason: &str) -> TenantError {
        let what = format!("{} is throttled: {reason}", self.route());
        let error = refusal.unwrap_or_else(|| TenantError::new(TenantErrorKind::Throttled, String::new()));
        let error = TenantError { kind: TenantErrorKind::Throttled, what, help: Vec::new(), ..error };
        error
            .help("run the same command again later")
            .help("another program may spend the same budget: limits count per tenant and application")
    }

    fn lost(&self, trouble: &HttpFailure) -> TenantError {
        let what = format!("{} failed: {}", self.route(), trouble.detail());
        if let HttpFailure::TooLarge { .. } = trouble {
            // Without a status, so that it is not tried again: the answer would be as long.
            return TenantError::new(TenantErrorKind::Answer, what);
        }
        TenantError::new(TenantErrorKind::Network, what).help(format!(
            "check the network, HTTPS_PROXY and, for a proxy with its own certificates, {CERTIFICATES}"
        ))
    }

    /// A 2xx other than 200: only a part, or nothing yet.
    fn partial(&self, answer: &Answer) -> TenantError {
        let why =
            format!("HTTP {} in place of 200: the answer may be a part of what there is", answer.status);
        self.broken(why, answer)
    }

    fn broken(&self, why: String, answer: &Answer) -> TenantError {
        let error = TenantError::new(TenantErrorKind::Answer, format!("{}: {why}", self.route()));
        TenantError { status: Some(answer.status), request_id: answer.request_id().map(Into::into), ..error }
    }
}

/// Waits for a slot of a lane.
///
/// # Errors
/// Why the lane is given up.
async fn admitted(meter: &dyn Meter, lane: Lane) -> Result<Ticket, String> {
    loop {
        match meter.admit(lane) {
            Admission::Go(ticket) => return Ok(ticket),
            Admission::GivenUp(reason) => return Err(reason),
            Admission::Wait(wait) => {
                tracing::debug!(
                    lane = lane.word(),
                    seconds = wait.span.as_secs_f64(),
                    "waiting for the budget"
                );
                meter.waits(&wait);
                tokio::time::sleep(wait.span.min(LONGEST_SLEEP)).await;
            }
        }
    }
}

/// The wait that an answer asks for, if it does: 429 always, 503 if it gives a time.
fn throttled(answer: &Answer, clock: &dyn Clock) -> Option<Option<Duration>> {
    match (answer.status, answer.retry_after(clock)) {
        (429, asked) => Some(asked),
        (503, Some(asked)) => Some(Some(asked)),
        _ => None,
    }
}

/// Runs several requests at once; the answers keep their order.
pub(super) async fn all<F: Future>(requests: Vec<F>) -> Vec<F::Output> {
    let mut pending: Vec<Pin<Box<F>>> = requests.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (request, answer) in pending.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(output) = request.as_mut().poll(context)
            {
                *answer = Some(output);
            }
        }
        if answers.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(answers.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mdetag_core::apply::budget::{Budget, Limits};
    use mdetag_core::apply::{LaneWait, WaitReason};
    use tokio::time::Instant;

    use super::*;

    /// A budget on tokio's clock, which the test stops. Records the reported waits.
    struct RecordingMeter {
        start: Instant,
        budget: Mutex<Budget>,
        told: Mutex<Vec<(u64, LaneWait)>>,
    }

    impl RecordingMeter {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH.plus(self.start.elapsed())
        }
    }

    impl Meter for RecordingMeter {
        fn admit(&self, lane: Lane) -> Admission {
            self.budget.lock().unwrap().admit(lane, self.now())
        }

        fn answered(&self, ticket: Ticket, throttled: Option<Option<Duration>>) {
            self.budget.lock().unwrap().answered(ticket, self.now(), throttled);
        }

        fn waits(&self, wait: &LaneWait) {
            self.told.lock().unwrap().push((self.start.elapsed().as_secs(), *wait));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_tells_what_it_waits_for_all_the_while() {
        let meter = RecordingMeter {
            start: Instant::now(),
            budget: Mutex::new(Budget::new(Limits::default(), 1)),
            told: Mutex::default(),
        };
        let Ok(ticket) = admitted(&meter, Lane::List).await else { panic!("unused") };
        meter.answered(ticket, Some(Some(Duration::from_secs(2_400))));
        admitted(&meter, Lane::List).await.unwrap();
        let told = meter.told.lock().unwrap().clone();
        assert_eq!(meter.start.elapsed().as_secs(), 2_400);
        assert_eq!(told.len(), 480, "every five seconds");
        for (at, wait) in told {
            assert_eq!((wait.reason, wait.span.as_secs()), (WaitReason::Throttled, 2_400 - at));
        }
    }
}
