//! The sign-in service: token endpoints of both versions, their errors, and who gets which claims.
//!
//! Signatures of certificates and federated tokens are `assertion`'s part.

use serde_json::{Value, json};

use crate::access::{GRAPH, audiences};
use crate::assertion;
use crate::faults::LIST_MARKS;
use crate::jwt;
use crate::service::Service;
use crate::settings::Federated;
use crate::switches::Switch;
use crate::wire::{Answer, Request, parameters};
use mdetag_vocabulary::time::Timestamp;

/// Why the sign-in service refuses: status, `error`, number, text.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) u64, pub(super) String);

/// Resources that exist besides the accepted audiences: tokens for them are issued and then refused by the API.
const OTHER_RESOURCES: &[&str] = &["https://api.security.microsoft.com", "https://management.azure.com"];

/// The credentials of the usual recipes: a repository's main branch in its old and its immutable form, and a pod.
pub(super) fn usual_federated() -> Vec<Federated> {
    let row = |issuer: &str, subject: &str| Federated {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
    };
    vec![
        row("https://token.actions.githubusercontent.com", "repo:example-org/policies:ref:refs/heads/main"),
        row(
            "https://token.actions.githubusercontent.com",
            "repo:example-org@1234567/policies@7654321:ref:refs/heads/main",
        ),
        row("https://oidc.cluster.example", "system:serviceaccount:mdetag:mdetag"),
    ]
}

/// `POST /{tenant}/oauth2/v2.0/token` and `/{tenant}/oauth2/token`.
pub(super) fn token(service: &mut Service, request: &Request, tenant: &str, now: Timestamp) -> Answer {
    match grant(service, request, tenant, now) {
        Ok(body) => Answer::json(200, &body).header("cache-control", "no-store, no-cache"),
        Err(refusal) => refused(&refusal, now),
    }
}

/// The sign-in service's error body.
pub(super) fn refused(Refusal(status, error, number, text): &Refusal, now: Timestamp) -> Answer {
    let id =
        format!("{:08x}-0000-4000-a000-{:012x}", now.seconds() as u32, now.ticks() as u64 & 0xFFFF_FFFF_FFFF);
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {text} Trace ID: {id} Correlation ID: {id} Timestamp: {now}"),
        "error_codes": [number], "timestamp": now, "trace_id": id, "correlation_id": id,
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    });
    Answer::json(*status, &body)
}

/// The sign-in service asks to come back later.
pub(super) fn busy(now: Timestamp) -> Answer {
    let text = "A transient error has occurred. Please try again.".to_owned();
    refused(&Refusal(429, "temporarily_unavailable", 90033, text), now)
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

/// Whether tokens for a resource can be had in the tenant.
pub(super) fn known_resource(service: &Service, resource: &str) -> Result<(), Refusal> {
    let clouds = ["public", "gcc", "gov"];
    let known = clouds.iter().any(|cloud| audiences(cloud).contains(&resource))
        || GRAPH.contains(&resource)
        || OTHER_RESOURCES.contains(&resource);
    if known && !service.switches.is(Switch::Consent, "missing") {
        return Ok(());
    }
    let text = format!("The resource principal named {resource} was not found in the tenant.");
    Err(Refusal(400, "invalid_resource", 500011, text))
}

/// An access token and its life in seconds.
pub(super) fn issue(service: &Service, resource: &str, now: Timestamp) -> (String, i64) {
    let (tenant, app) = (&service.settings.tenant_id, &service.settings.client_id);
    let life = service.switches.number(Switch::TokenLife) as i64;
    let issued = now.seconds();
    let mut claims = json!({
        "aud": resource, "iss": format!("https://sts.windows.net/{tenant}/"), "iat": issued, "nbf": issued, "exp": issued + life,
        "tid": tenant, "appid": app, "oid": "5a4db0c5-0000-4000-8000-0000000000aa", "sub": "5a4db0c5-0000-4000-8000-0000000000aa",
        "ver": "1.0", "uti": format!("{:x}", now.ticks()),
    });
    let roles = roles(service, resource);
    if service.switches.on(Switch::Delegated) {
        let scopes: Vec<&str> = roles.iter().map(|role| role.strip_suffix(".All").unwrap_or(role)).collect();
        claims["scp"] = json!(scopes.join(" "));
        claims["upn"] = json!("analyst@example.com");
    } else if !roles.is_empty() {
        // Without a grant there is no claim at all.
        claims["roles"] = json!(roles);
    }
    (jwt::sign(&service.settings.signing_key(), &claims), life)
}

/// The granted roles that belong to a resource.
fn roles(service: &Service, resource: &str) -> Vec<String> {
    let granted =
        service.switches.text(Switch::Roles).split(LIST_MARKS).map(str::trim).filter(|role| *role != "none");
    let is_hunting = |role: &str| role.starts_with("ThreatHunting.");
    granted
        .filter(|role| match resource {
            resource if GRAPH.contains(&resource) => is_hunting(role),
            resource if OTHER_RESOURCES.contains(&resource) => false,
            _ => !is_hunting(role),
        })
        .map(str::to_owned)
        .collect()
}
