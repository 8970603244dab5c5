//! The writing half of a tenant: one call in, one reply out.
//!
//! `apply` decides when a call may be sent, and what follows from its reply.

use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::{Call, Rejection, Reply};
use mdetag_core::plan::Lane;

use super::error::{TenantError, TenantErrorKind};
use super::http::{Answer, CALL_LIMIT, HttpFailure};
use super::{Connection, Pending, wire};

/// A call without an answer after this time counts as lost. The service documents no limit; its own gateways give up after about
/// as long.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(100);

/// Sends calls. Only `apply` has it.
pub trait WriteDevices: Send + Sync {
    /// Sends one call. Never fails: a lost connection is a reply too.
    fn send<'a>(&'a self, call: &'a Call) -> Pending<'a, Reply>;
}

/// Sends calls to a tenant whose token has the role. Comes only from [`super::sign_in_to_write`].
#[derive(Clone)]
pub struct Writer {
    connection: Arc<Connection>,
}

impl Writer {
    pub(super) fn new(connection: Arc<Connection>) -> Writer {
        Writer { connection }
    }
}

impl WriteDevices for Writer {
    fn send<'a>(&'a self, call: &'a Call) -> Pending<'a, Reply> {
        Box::pin(send(&self.connection, call))
    }
}

async fn send(connection: &Connection, call: &Call) -> Reply {
    let Some((method, path, body)) = wire::request(call) else {
        return Reply::Rejected(Rejection {
            status: 400,
            code: "InvalidDeviceId".to_owned(),
            message: "not sent: the id is none that the service gives".to_owned(),
            ..Rejection::default()
        });
    };
    match connection.send_on(call.lane(), method, &path, body, CALL_TIMEOUT, CALL_LIMIT).await {
        Ok(Ok(answer)) => reply(connection, call.lane(), &answer),
        Ok(Err(HttpFailure::Lost { detail, maybe_sent })) => Reply::Lost { detail, maybe_sent },
        Ok(Err(trouble @ (HttpFailure::Broken { status, .. } | HttpFailure::TooLarge { status, .. }))) => {
            broken(status, trouble.detail())
        }
        Err(error) => unsigned(&error),
    }
}

/// A broken body of an error is still that error; of a success, the effect is unknown.
fn broken(status: u16, detail: String) -> Reply {
    if (200..300).contains(&status) {
        return Reply::Broken { status, detail };
    }
    Reply::Rejected(Rejection { status, message: detail, ..Rejection::default() })
}

fn reply(connection: &Connection, lane: Lane, answer: &Answer) -> Reply {
    let is_as_promised = if lane == Lane::Get { answer.is_whole() } else { answer.is_done() };
    if answer.is_success() && !is_as_promised {
        let detail = "a status that leaves open what was done".to_owned();
        return Reply::Broken { status: answer.status, detail };
    }
    if !answer.is_success() {
        return Reply::Rejected(wire::rejection(answer, answer.retry_after(&*connection.service_clock)));
    }
    match wire::devices(&answer.body) {
        Ok(devices) => Reply::Answered { devices },
        Err(detail) => Reply::Broken { status: answer.status, detail },
    }
}

/// There was no token in the middle of a run: nothing was sent.
fn unsigned(error: &TenantError) -> Reply {
    if error.kind == TenantErrorKind::Network {
        return Reply::Lost { detail: error.to_string(), maybe_sent: false };
    }
    Reply::Rejected(Rejection {
        status: 401,
        code: error.code.as_deref().unwrap_or("SignIn").to_owned(),
        message: error.what.clone(),
        request_id: error.request_id.as_deref().map(str::to_owned),
        retry_after: None,
    })
}
