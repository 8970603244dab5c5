//! Tokens for workloads without a secret: the managed-identity endpoints of virtual machines and of App Service, and an OIDC
//! issuer like that of a CI system.
//!
//! The issuer signs with a test key that anyone can read in this repository, so only sandboxes accept its tokens.

use std::sync::OnceLock;

use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, KeyPair, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::jwt::{self, Parts};
use crate::service::Service;
use crate::tokens::{self, Refusal};
use crate::wire::{Answer, Request};
use mdetag_vocabulary::time::Timestamp;

/// The issuer of a CI token unless the request names another.
const CI_ISSUER: &str = "https://token.actions.githubusercontent.com";
/// The subject of a CI token unless the request names another.
const CI_SUBJECT: &str = "repo:example-org/policies:ref:refs/heads/main";
/// Life of CI tokens in seconds.
const CI_LIFE: i64 = 600;

pub(super) fn answer(service: &Service, request: &Request, now: Timestamp) -> Answer {
    match &*request.path {
        "/metadata/identity/oauth2/token" => virtual_machine(service, request, now),
        "/msi/token" => app_service(service, request, now),
        "/oidc/token" => ci_token(service, request, now),
        "/oidc/.well-known/openid-configuration" => {
            let base = format!("http://{}/oidc", request.header("host").unwrap_or("127.0.0.1"));
            let keys = format!("{base}/jwks");
            Answer::json(
                200,
                &json!({ "issuer": base, "jwks_uri": keys, "id_token_signing_alg_values_supported": ["RS256"] }),
            )
        }
        "/oidc/jwks" => Answer::json(200, &jwks()),
        path if path.ends_with("/.well-known/openid-configuration") => discovery(service, request, now),
        _ => Answer::json(404, &json!({ "error": "not_found" })),
    }
}

/// The discovery document, which sign-in libraries read before they ask for a token.
fn discovery(service: &Service, request: &Request, now: Timestamp) -> Answer {
    let tenant = request.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if tenant != service.settings.tenant_id {
        let text = format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.");
        return tokens::refused(&Refusal(400, "invalid_tenant", 90002, text), now);
    }
    let base = format!("http://{}/{tenant}", request.header("host").unwrap_or("127.0.0.1"));
    let version = if request.path.contains("/v2.0/") { "/v2.0" } else { "" };
    Answer::json(
        200,
        &json!({
            "token_endpoint": format!("{base}/oauth2{version}/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "authorization_endpoint": format!("{base}/oauth2{version}/authorize"),
            "jwks_uri": format!("{base}/discovery{version}/keys"),
            "issuer": format!("https://login.microsoftonline.com/{tenant}{version}"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"], "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat"], "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com", "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
        }),
    )
}

fn wrong(text: &str) -> Answer {
    Answer::json(400, &json!({ "error": "invalid_request", "error_description": text }))
}

fn virtual_machine(service: &Service, request: &Request, now: Timestamp) -> Answer {
    let is_marked = request.header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !is_marked {
        return wrong("Required metadata header not specified");
    }
    // A request that came through a proxy may be somebody else's.
    if request.header("x-forwarded-for").is_some() {
        return wrong("The request was forwarded");
    }
    if request.parameter("api-version").is_none() {
        return wrong("Required query variable 'api-version' is missing");
    }
    managed(service, request, now)
}

fn app_service(service: &Service, request: &Request, now: Timestamp) -> Answer {
    if request.header("x-identity-header") != Some(&service.settings.identity_header) {
        return Answer::json(
            401,
            &json!({ "statusCode": 401, "message": "The identity header is wrong or missing." }),
        );
    }
    managed(service, request, now)
}

/// The managed-identity answer. It gives numbers as text.
fn managed(service: &Service, request: &Request, now: Timestamp) -> Answer {
    let Some(resource) = request.parameter("resource").filter(|resource| !resource.is_empty()) else {
        return wrong("Required query variable 'resource' is missing");
    };
    let app = &service.settings.client_id;
    if request.parameter("client_id").is_some_and(|client| client != *app) {
        return wrong("Identity not found");
    }
    let resource = resource.trim_end_matches('/');
    if let Err(refusal) = tokens::known_resource(service, resource) {
        return tokens::refused(&Refusal(400, "invalid_resource", refusal.2, refusal.3), now);
    }
    let (token, life) = tokens::issue(service, resource, now);
    Answer::json(
        200,
        &json!({
            "access_token": token, "client_id": app, "expires_in": life.to_string(), "ext_expires_in": life.to_string(),
            "expires_on": (now.seconds() + life).to_string(), "not_before": now.seconds().to_string(), "resource": resource,
            "token_type": "Bearer",
        }),
    )
}

fn ci_token(service: &Service, request: &Request, now: Timestamp) -> Answer {
    let bearer =
        request.header("authorization").and_then(|value| value.split_once(' ')).map(|(_, token)| token);
    if bearer != Some(&service.settings.identity_header) {
        return Answer::json(401, &json!({ "message": "The request token is wrong or missing." }));
    }
    let or = |name: &str, usual: &str| request.parameter(name).unwrap_or_else(|| usual.to_owned());
    let audience = or("audience", "https://github.com/example-org");
    let token = issued(&or("issuer", CI_ISSUER), &or("subject", CI_SUBJECT), &audience, now);
    Answer::json(200, &json!({ "count": 1, "value": token }))
}

/// A token of the issuer.
pub(super) fn issued(issuer: &str, subject: &str, audience: &str, now: Timestamp) -> String {
    let seconds = now.seconds();
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": "sandbox-test-key" });
    let claims = json!({
        "iss": issuer, "sub": subject, "aud": audience, "iat": seconds, "nbf": seconds, "exp": seconds + CI_LIFE,
        "jti": format!("{:x}", now.ticks()),
    });
    let part = |value: &Value| jwt::encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let key = issuer_key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .expect("the buffer is as long as the modulus");
    format!("{signed}.{}", jwt::encode(&signature))
}

/// Whether a token has the issuer's signature.
pub(super) fn is_signed_by_issuer(parts: &Parts) -> bool {
    let key = issuer_key().public_key().as_ref();
    UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key)
        .verify(parts.signed.as_bytes(), &parts.signature)
        .is_ok()
}

fn issuer_key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| {
        RsaKeyPair::from_pkcs8(include_bytes!("issuer-key.der")).expect("the test key is a key")
    })
}

fn jwks() -> Value {
    let public: PublicKeyComponents<Vec<u8>> = issuer_key().public().into();
    json!({ "keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "sandbox-test-key",
        "n": jwt::encode(&public.n), "e": jwt::encode(&public.e),
    }] })
}
