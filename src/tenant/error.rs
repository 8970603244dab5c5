//! Errors of a tenant in words for people: what happened, where, and what to do next.
//!
//! Does not decide how an error looks or which exit code it gives; `report` and `cli` do.

use std::fmt;

/// The step on the way to a tenant that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TenantErrorKind {
    /// An unusable setting of a host, cloud, tenant id or credential.
    Configuration,
    /// No token: the sign-in service or the credential refused.
    SignIn,
    /// The token is for another tenant than the configured or pinned one.
    OtherTenant,
    /// The token lacks a role.
    Role,
    /// No connection, no answer, or a broken one, after all tries.
    Network,
    /// The service rejected the call.
    Rejected,
    /// The service keeps throttling, or asks for a wait of more than an hour.
    Throttled,
    /// The answer is unusable: not JSON, too large, truncated, or it points elsewhere.
    Answer,
}

/// An error on the way to a tenant. Never contains a secret, an assertion or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantError {
    /// The part of the exchange that failed.
    pub kind: TenantErrorKind,
    /// What happened and where, in one sentence without a full stop.
    pub what: String,
    /// What to do next, one step per line; may be empty.
    pub help: Vec<String>,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The service's code: `Forbidden`, `AADSTS7000215`.
    pub code: Option<Box<str>>,
    /// The service's message, cleaned and shortened.
    pub message: Option<Box<str>>,
    /// The id that the service's support asks for: the request, trace or correlation id.
    pub request_id: Option<Box<str>>,
}

impl TenantError {
    pub(super) fn new(kind: TenantErrorKind, what: impl Into<String>) -> TenantError {
        TenantError {
            kind,
            what: what.into(),
            help: Vec::new(),
            status: None,
            code: None,
            message: None,
            request_id: None,
        }
    }

    pub(super) fn help(mut self, step: impl Into<String>) -> TenantError {
        self.help.push(step.into());
        self
    }
}

/// A text of the service; `None` if it is empty.
pub(super) fn nonempty(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

impl fmt::Display for TenantError {
    /// One paragraph: what happened, then the service's own words. The steps in `help` are separate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (&self.code, &self.message) {
            (Some(code), Some(message)) if !message.contains(&**code) => write!(f, ": {code}: {message}")?,
            (_, Some(message)) => write!(f, ": {message}")?,
            (Some(code), None) if !self.what.contains(&**code) => write!(f, ": {code}")?,
            (_, None) => {}
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TenantError {}
