//! The call log: every request and its answer's status, for tests and curious readers.
//!
//! Contains no secret: it leaves out the authorization header and the credentials of sign-ins.

use serde::Serialize;

use crate::faults::Fault;
use crate::routes::Route;
use crate::wire::{Answer, Delivery, Request, parameters};
use mdetag_vocabulary::time::Timestamp;

/// A call that the sandbox answered.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedCall {
    /// From 1, within one process.
    pub number: u64,
    /// When it arrived, by the sandbox's clock.
    pub at: Timestamp,
    /// When its answer left.
    pub answered_at: Timestamp,
    /// The route the call matched.
    #[serde(serialize_with = "route_name")]
    pub route: Route,
    /// `GET`, `POST`, `PATCH`.
    pub method: String,
    /// As sent.
    pub path: String,
    /// As sent, without `?`.
    pub query: String,
    /// All headers except authorization, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; of sign-ins, only the fields that are no credential.
    pub body: String,
    /// The answer's status; 0 if the connection was closed without an answer.
    pub status: u16,
    /// The answer's `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// The fault that happened to it.
    #[serde(serialize_with = "fault_name", skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Numbers of overlapping calls that wrote one of the same devices.
    pub overlaps: Vec<u64>,
}

fn route_name<S: serde::Serializer>(route: &Route, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(route.name())
}

fn fault_name<S: serde::Serializer>(fault: &Option<Fault>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(fault.map_or("", Fault::name))
}

impl LoggedCall {
    /// A call that has arrived.
    pub(super) fn new(number: u64, now: Timestamp, route: Route, request: &Request) -> LoggedCall {
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| !matches!(&**name, "authorization" | "x-identity-header" | "cookie"));
        let body = match route {
            Route::Token => without_credentials(&String::from_utf8_lossy(&request.body)),
            _ => String::from_utf8_lossy(&request.body).into_owned(),
        };
        LoggedCall {
            number,
            at: now,
            answered_at: now,
            route,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: headers.cloned().collect(),
            body,
            status: 0,
            retry_after: None,
            fault: None,
            overlaps: Vec::new(),
        }
    }

    /// Records the answer.
    pub(super) fn finish(&mut self, answer: &Answer, now: Timestamp) {
        self.answered_at = now;
        let wait = answer.headers.iter().find(|(name, _)| name == "retry-after");
        self.retry_after = wait.map(|(_, wait)| wait.clone());
        self.status = if answer.delivery == Delivery::Reset { 0 } else { answer.status };
    }
}

fn without_credentials(form: &str) -> String {
    let shown = parameters(form).into_iter().map(|(name, value)| match &*name {
        "client_secret" | "client_assertion" => format!("{name}=[redacted]"),
        _ => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_no_credential() {
        let request = Request {
            headers: vec![("authorization".into(), "Bearer hidden".into()), ("accept".into(), "*/*".into())],
            body: b"client_id=a&client_secret=hidden&client_assertion=hidden".to_vec(),
            ..Request::default()
        };
        let call = LoggedCall::new(1, Timestamp::EPOCH, Route::Token, &request);
        let text = serde_json::to_string(&call).unwrap();
        assert!(!text.contains("hidden") && text.contains("accept"), "{text}");
    }
}
