//! Checks of client assertions: signed by a certificate of the app, or issued by a party that the app trusts.
use super::service::Service;
use super::sign_in::Refusal;
use crate::time::Timestamp;

/// Whether an assertion proves the app.
pub(super) fn check(
    _service: &mut Service,
    _kind: Option<&str>,
    _assertion: &str,
    _endpoint: &str,
    _now: Timestamp,
) -> Result<(), Refusal> {
    let text = "Client assertion failed signature validation.".to_owned();
    Err(Refusal(401, "invalid_client", 700027, text))
}
