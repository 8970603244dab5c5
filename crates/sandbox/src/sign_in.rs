//! The sign-in service: token endpoints of both versions, their errors, and who gets which claims.
//!
//! `assertion` checks the signatures of certificates and federated tokens.

use serde_json::{Value, json};

use crate::assertion;
use crate::service::Service;
use crate::switches::Switch;
use crate::tokens::{Refusal, issue, known_resource, refused};
use crate::wire::{Answer, Request, parameters};
use mdetag_vocabulary::time::Timestamp;

/// `POST /{tenant}/oauth2/v2.0/token` and `/{tenant}/oauth2/token`.
pub(super) fn token(service: &mut Service, request: &Request, tenant: &str, now: Timestamp) -> Answer {
    match grant(service, request, tenant, now) {
        Ok(body) => Answer::json(200, &body).header("cache-control", "no-store, no-cache"),
        Err(refusal) => refused(&refusal, now),
    }
}

fn grant(service: &mut Service, request: &Request, tenant: &str, now: Timestamp) -> Result<Value, Refusal> {
    let form = parameters(&String::from_utf8_lossy(&request.body));
    let field = |name: &str| form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    if tenant != service.settings.tenant_id || service.switches.is(Switch::Tenant, "unknown") {
        let text = format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
        return Err(Refusal(400, "invalid_request", 90002, text));
    }
    if field("grant_type") != Some("client_credentials") {
        let text = "The app requested an unsupported grant type.".to_owned();
        return Err(Refusal(400, "unsupported_grant_type", 70003, text));
    }
    let app = field("client_id").unwrap_or_default();
    if app != service.settings.client_id {
        let text = format!("Application with identifier '{app}' was not found in the directory.");
        return Err(Refusal(400, "unauthorized_client", 700016, text));
    }
    match (field("client_secret"), field("client_assertion")) {
        (Some(secret), _) => check_secret(service, secret)?,
        (None, Some(assertion)) => {
            assertion::check(service, request, field("client_assertion_type"), assertion, now)?;
        }
        (None, None) => {
            let text = "The request body must contain 'client_assertion' or 'client_secret'.".to_owned();
            return Err(Refusal(401, "invalid_client", 7000216, text));
        }
    }
    let is_v1 = !request.path.ends_with("/v2.0/token");
    let resource = if is_v1 {
        let resource = field("resource").filter(|resource| !resource.is_empty());
        resource.ok_or_else(|| {
            Refusal(400, "invalid_request", 900144, "The request body must contain 'resource'.".to_owned())
        })?
    } else {
        let scope = field("scope").unwrap_or_default();
        scope.strip_suffix("/.default").filter(|resource| !resource.is_empty()).ok_or_else(|| {
            let text =
                format!("The provided value for scope {scope} is not valid: it must end in '/.default'.");
            Refusal(400, "invalid_scope", 1002012, text)
        })?
    };
    let resource = resource.trim_end_matches('/');
    known_resource(service, resource)?;
    let (token, life) = issue(service, resource, now);
    Ok(if is_v1 {
        json!({
            "token_type": "Bearer", "expires_in": life.to_string(), "ext_expires_in": life.to_string(),
            "expires_on": (now.seconds() + life).to_string(), "not_before": now.seconds().to_string(),
            "resource": resource, "access_token": token,
        })
    } else {
        json!({ "token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token })
    })
}

fn check_secret(service: &Service, secret: &str) -> Result<(), Refusal> {
    let app = &service.settings.client_id;
    if secret != service.settings.client_secret {
        let text = format!("Invalid client secret provided for app '{app}'.");
        return Err(Refusal(401, "invalid_client", 7000215, text));
    }
    if service.switches.is(Switch::Secret, "expired") {
        let text = format!("The provided client secret keys for app '{app}' are expired.");
        return Err(Refusal(401, "invalid_client", 7000222, text));
    }
    Ok(())
}
