//! The token in an answer of Entra or of a managed identity, and the errors that both have.
//!
//! Sends nothing; `exchange` and `ambient` do.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::CredentialSource;
use crate::tenant::error::{TenantError, TenantErrorKind};
use crate::tenant::http::{Answer, CERTIFICATES, HttpFailure};

/// A granted token.
pub(super) struct IssuedToken {
    pub(super) token: SecretString,
    /// Its life from now.
    pub(super) life: Option<Duration>,
    pub(super) source: CredentialSource,
}

/// The token in a 2xx answer of Entra or of a managed identity. Numbers may be text.
pub(super) fn granted(answer: &Answer, source: CredentialSource) -> Result<IssuedToken, TenantError> {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let field = |name: &str| document.as_ref().and_then(|document| document.get(name));
    if field("error").is_some_and(|error| !error.is_null()) {
        // Its words are not shown, because this body was not scrubbed of its token.
        let what = format!("the sign-in with {} answered with a token and an error at once", source.name());
        return Err(TenantError::new(TenantErrorKind::SignIn, what));
    }
    let token = field("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| {
        TenantError::new(TenantErrorKind::SignIn, format!("the sign-in with {} gave no token", source.name()))
    })?;
    let seconds = field("expires_in").and_then(number);
    Ok(IssuedToken {
        token: SecretString::from(token.to_owned()),
        life: seconds.map(|seconds| Duration::from_secs(seconds.min(86_400 * 2))),
        source,
    })
}

/// A number that may be written as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

pub(in crate::tenant) fn unreachable_service(host: &str, trouble: &HttpFailure) -> TenantError {
    TenantError::new(TenantErrorKind::Network, format!("cannot sign in: {host}: {}", trouble.detail())).help(
        format!("check the network, HTTPS_PROXY and, for a proxy with its own certificates, {CERTIFICATES}"),
    )
}
