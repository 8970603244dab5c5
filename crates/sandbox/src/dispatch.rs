//! A request and a time in, an answer out, without a socket. A call has two halves, so that calls can overlap:
//! [`Service::begin`] when it arrives, [`Service::finish`] when its answer leaves.
//!
//! Waits for nothing and reads no clock: `server` does both, and a simulation in virtual time needs neither.

use std::time::Duration;

use serde_json::Value;

use crate::access::{self, Caller};
use crate::control;
use crate::faults::Fault;
use crate::hunting;
use crate::identity;
use crate::limits::{Shape, Verdict, Window};
use crate::log::LoggedCall;
use crate::read;
use crate::routes::{self, Route};
use crate::service::Service;
use crate::sign_in;
use crate::switches::Switch;
use crate::tokens;
use crate::wire::{Answer, Delivery, Request, http_date};
use crate::write::{self, Write};
use mdetag_vocabulary::time::Timestamp;

/// Calls kept in memory. The log file of a sandbox with a directory keeps more.
const CALLS_KEPT: usize = 20_000;

/// A call that has arrived and not yet been answered.
#[derive(Debug)]
pub(super) struct OpenCall {
    /// How long until [`Service::finish`] is due.
    pub(super) wait: Duration,
    call: Option<LoggedCall>,
    work: Work,
    fault: Option<Fault>,
    ids: Vec<Box<str>>,
    /// The `Authorization` header, for error texts that repeat it.
    echo: Option<String>,
}

/// The work left for [`Service::finish`].
#[derive(Debug)]
enum Work {
    Answer(Answer),
    Write(Write),
}

impl Service {
    /// The first half of a call: everything up to the service's decision.
    pub(super) fn begin(&mut self, request: &Request, clock: Timestamp) -> OpenCall {
        let now = clock.plus(self.ahead);
        if request.path.starts_with("/_sim/") {
            let answer = control::answer(self, request, now);
            return OpenCall {
                wait: Duration::ZERO,
                call: None,
                work: Work::Answer(answer),
                fault: None,
                ids: Vec::new(),
                echo: None,
            };
        }
        let (route, subject) = routes::route(&request.method, &request.path);
        self.call_number += 1;
        let mut call = LoggedCall::new(self.call_number, now, route, request);
        let (work, fault) = self.decide(request, route, &subject, now);
        call.fault = fault;
        let ids = match &work {
            Work::Write(write) => write.ids(),
            Work::Answer(_) => Vec::new(),
        };
        for id in &ids {
            let others = self.under_way.entry(id.clone()).or_default();
            call.overlaps.extend(others.iter().copied());
            others.push(call.number);
        }
        call.overlaps.sort_unstable();
        call.overlaps.dedup();
        let echoes = self.switches.on(Switch::EchoAuthorization);
        let echo = request.header("authorization").filter(|_| echoes).map(str::to_owned);
        let mut wait = Duration::from_millis(self.switches.number(Switch::Latency));
        if let Work::Write(write) = &work {
            wait += write.wait;
        }
        if fault == Some(Fault::Slow) {
            wait += Duration::from_millis(self.switches.number(Switch::SlowMs));
        }
        OpenCall { wait: wait / self.speed.max(1), call: Some(call), work, fault, ids, echo }
    }

    /// The second half: performs a pending write and gives the answer.
    pub(super) fn finish(&mut self, open: OpenCall, clock: Timestamp) -> Answer {
        let now = clock.plus(self.ahead);
        let answer = match open.work {
            Work::Answer(answer) => answer,
            Work::Write(write) => write::finish(self, write, now),
        };
        let answer = match open.echo {
            Some(header) if answer.status >= 400 => echoing(answer, &header),
            _ => answer,
        };
        let drip = Duration::from_millis(self.switches.number(Switch::DripMs)) / self.speed.max(1);
        let answer = spoil(answer, open.fault, drip);
        if let Some(mut call) = open.call {
            for id in &open.ids {
                let empty = self.under_way.get_mut(id).is_some_and(|calls| {
                    calls.retain(|other| *other != call.number);
                    calls.is_empty()
                });
                if empty {
                    self.under_way.remove(id);
                }
            }
            call.finish(&answer, now);
            self.keep(call);
        }
        let dated = answer.headers.iter().any(|(name, _)| name == "date");
        if dated { answer } else { answer.header("date", &http_date(now)) }
    }

    fn keep(&mut self, call: LoggedCall) {
        if let Some(disk) = &mut self.disk {
            disk.log_call(&call);
        }
        if self.calls.len() == CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    fn decide(
        &mut self,
        request: &Request,
        route: Route,
        subject: &str,
        now: Timestamp,
    ) -> (Work, Option<Fault>) {
        let number = self.numbers.entry(route).or_default();
        *number += 1;
        let number = *number;
        if route.is_counted() {
            self.machine_calls += 1;
        }
        let fault = self.fault(route, number);
        if let Some(answer) = fault.and_then(|fault| self.instead(fault, route, now)) {
            return (Work::Answer(answer), fault);
        }
        let work = match route {
            Route::Token => Work::Answer(sign_in::token(self, request, subject, now)),
            Route::Identity => Work::Answer(identity::answer(self, request, now)),
            Route::Unknown => {
                Work::Answer(self.error(404, "NotFound", "The requested resource does not exist."))
            }
            _ => self.authorized(request, route, subject, now).unwrap_or_else(Work::Answer),
        };
        (work, fault)
    }

    fn authorized(
        &mut self,
        request: &Request,
        route: Route,
        subject: &str,
        now: Timestamp,
    ) -> Result<Work, Answer> {
        let caller = access::check(self, request, route, now)?;
        self.throttle(route, &caller, now)?;
        Ok(match route {
            Route::List => Work::Answer(read::list(self, request, &caller, now)),
            Route::Get => Work::Answer(read::get(self, subject, &caller, now)),
            Route::FindByTag => Work::Answer(read::find_by_tag(self, request, &caller, now)),
            Route::Hunting | Route::OldHunting => Work::Answer(hunting::run(self, request, route, now)),
            Route::DeviceGroups => Work::Answer(read::device_groups(self, now)),
            Route::Metadata => Work::Answer(read::metadata()),
            _ => Work::Write(write::begin(self, request, route, subject, &caller, now)?),
        })
    }

    fn fault(&mut self, route: Route, number: u64) -> Option<Fault> {
        let (all, random) = (self.machine_calls, &mut self.random);
        let due = self.switches.rules.iter().find(|rule| rule.is_due(route, number, all, random));
        due.map(|rule| rule.fault)
    }

    /// The answer of a fault that strikes before the request is looked at.
    fn instead(&self, fault: Fault, route: Route, now: Timestamp) -> Option<Answer> {
        let throttled = || match route {
            Route::Token => tokens::busy(now),
            _ => self.throttled(Window { calls: 100, length: Duration::from_secs(60) }, 5),
        };
        Some(match fault {
            Fault::ResetBefore => Answer { delivery: Delivery::Reset, ..Answer::empty(0) },
            Fault::Throttle => throttled().header("retry-after", "5"),
            Fault::ThrottleSilent => throttled(),
            Fault::ThrottleDate => {
                throttled().header("retry-after", &http_date(now.plus(Duration::from_secs(5))))
            }
            Fault::ThrottleZero => throttled().header("retry-after", "0"),
            Fault::ThrottleLong => throttled().header("retry-after", "2400"),
            Fault::ThrottleFraction => throttled().header("retry-after", "2.5"),
            Fault::ThrottleGarbled => throttled().header("retry-after", "soon"),
            Fault::Empty500 => Answer::empty(500),
            Fault::InternalError => self.error(500, "InternalServerError", ""),
            Fault::Html502 => Answer::html(502, "Bad Gateway"),
            Fault::Html503 => Answer::html(503, "Service Temporarily Unavailable"),
            Fault::Html503Wait => {
                Answer::html(503, "Service Temporarily Unavailable").header("retry-after", "5")
            }
            Fault::TokenExpired => {
                let answer = self.error(401, "Unauthorized", "Access token has expired or is not yet valid.");
                answer.header("www-authenticate", "Bearer")
            }
            Fault::Forbidden => self.error(403, "Forbidden", "The caller is not allowed to do this."),
            Fault::NotFound => self.error(404, "ResourceNotFound", "Machine was not found."),
            Fault::ResetAfter
            | Fault::AppliedBut500
            | Fault::Truncated
            | Fault::CutOff
            | Fault::Drip
            | Fault::Endless1xx
            | Fault::Slow => {
                return None;
            }
        })
    }

    fn throttle(&mut self, route: Route, caller: &Caller, now: Timestamp) -> Result<(), Answer> {
        let calls = |switch| self.switches.number(switch) as usize;
        let is_hunting = matches!(route, Route::Hunting | Route::OldHunting);
        let minute = if is_hunting { Switch::HuntingMinute } else { Switch::LimitMinute };
        let windows = [
            Window { calls: calls(minute), length: Duration::from_secs(60) },
            Window { calls: calls(Switch::LimitHour), length: Duration::from_secs(3600) },
        ];
        let tenant = &self.settings.tenant_id;
        let key = match self.switches.text(Switch::ThrottleKey) {
            _ if is_hunting => format!("hunting+{tenant}"),
            "tenant" => format!("{}+{tenant}", route.name()),
            "shared" => format!("machines+{tenant}+{}", caller.app),
            _ => format!("{}+{tenant}+{}", route.name(), caller.app),
        };
        let shape =
            if self.switches.is(Switch::ThrottleWindow, "fixed") { Shape::Fixed } else { Shape::Sliding };
        let punish = self.switches.on(Switch::ThrottlePunish);
        let verdict = self.limits.admit(&key, &windows, shape, punish, self.speed, now);
        if (verdict == Verdict::Admitted || punish)
            && let Some(disk) = &mut self.disk
        {
            disk.log_slot(&key, now);
        }
        match verdict {
            Verdict::Admitted => Ok(()),
            Verdict::Throttled(window, wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Err(self.throttled(window, seconds).header("retry-after", &seconds.to_string()))
            }
        }
    }
}

/// An error whose text repeats a header of the request, as carelessly written gateways do.
fn echoing(mut answer: Answer, header: &str) -> Answer {
    let repeated = format!(" (Authorization: {header})");
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(mut body) if body["error"]["message"].is_string() => {
            let message = body["error"]["message"].as_str().unwrap_or_default();
            body["error"]["message"] = Value::String(format!("{message}{repeated}"));
            answer.body = body.to_string().into_bytes();
        }
        _ => answer.body.extend_from_slice(repeated.as_bytes()),
    }
    answer
}

/// Applies a fault that strikes after the work is done.
fn spoil(mut answer: Answer, fault: Option<Fault>, drip: Duration) -> Answer {
    match fault {
        Some(Fault::ResetAfter) => answer.delivery = Delivery::Reset,
        Some(Fault::AppliedBut500) => return Answer::empty(500),
        Some(Fault::Truncated) => answer.body.truncate(answer.body.len() / 2),
        Some(Fault::CutOff) => answer.delivery = Delivery::CutOff,
        Some(Fault::Drip) => answer.delivery = Delivery::Drip(drip),
        Some(Fault::Endless1xx) => answer.delivery = Delivery::Interim,
        _ => {}
    }
    answer
}
