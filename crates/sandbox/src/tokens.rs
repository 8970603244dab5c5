//! Access tokens and refusals of the sign-in service: the claims that each resource's tokens get.
//!
//! Checks no credential; that is `sign_in`, `assertion` and `identity`.

use serde_json::json;

use crate::access::{GRAPH, audiences};
use crate::faults::LIST_MARKS;
use crate::jwt;
use crate::service::Service;
use crate::switches::Switch;
use crate::wire::Answer;
use mdetag_vocabulary::time::Timestamp;

/// Why the sign-in service refuses: status, `error`, number, text.
#[derive(Clone, Debug)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) u64, pub(super) String);

/// Resources that exist but that the API does not accept: it refuses tokens for them.
const OTHER_RESOURCES: &[&str] = &["https://api.security.microsoft.com", "https://management.azure.com"];

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

/// The sign-in service's answer "come back later".
pub(super) fn busy(now: Timestamp) -> Answer {
    let text = "A transient error has occurred. Please try again.".to_owned();
    refused(&Refusal(429, "temporarily_unavailable", 90033, text), now)
}

/// Checks that the tenant issues tokens for a resource.
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
        // Without a granted role, the claim is missing altogether.
        claims["roles"] = json!(roles);
    }
    (jwt::sign(&service.settings.signing_key(), &claims), life)
}

/// The granted roles that belong to a resource.
fn roles(service: &Service, resource: &str) -> Vec<String> {
    let granted =
        service.switches.text(Switch::Roles).split(LIST_MARKS).map(str::trim).filter(|role| *role != "none");
    let is_hunting = |role: &str| role.starts_with("ThreatHunting.");
    let hunts = service.switches.on(Switch::MdeHunting);
    granted
        .chain(hunts.then_some("AdvancedQuery.Read.All"))
        .filter(|role| match resource {
            resource if GRAPH.contains(&resource) => is_hunting(role),
            resource if OTHER_RESOURCES.contains(&resource) => false,
            _ => !is_hunting(role),
        })
        .map(str::to_owned)
        .collect()
}
