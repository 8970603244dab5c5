//! Endpoints of managed identities and of the OIDC issuer.
use super::service::Service;
use super::wire::{Answer, Request};
use crate::time::Timestamp;

/// Answers an identity endpoint.
pub(super) fn answer(service: &mut Service, _request: &Request, _now: Timestamp) -> Answer {
    service.error(404, "NotFound", "")
}
