//! Signing in without a secret: certificates, federated tokens, managed identities. Only what the sandbox checks.

use mdetag_core::time::Clock;
use mdetag_sandbox::{Federated, Sandbox};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};

use super::client::{Client, Reply, reply, small};

const SCOPE: (&str, &str) = ("scope", "https://api.securitycenter.microsoft.com/.default");
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const CERTIFICATE: &str = include_str!("app-certificate.pem");

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let places = bits.as_bytes().chunks(6).map(|six| {
        let text = format!("{:0<6}", std::str::from_utf8(six).unwrap());
        char::from(ALPHABET[usize::from_str_radix(&text, 2).unwrap()])
    });
    places.collect()
}

fn certificate_der() -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text: String = CERTIFICATE.lines().filter(|line| !line.starts_with('-')).collect();
    let place = |byte: u8| ALPHABET.iter().position(|other| *other == byte);
    let bits: String = text.bytes().filter_map(place).map(|place| format!("{place:06b}")).collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes.map(|eight| u8::from_str_radix(std::str::from_utf8(eight).unwrap(), 2).unwrap()).collect()
}

fn signed(header: &Value, claims: &Value, encoding: &'static dyn RsaEncoding) -> String {
    let key = RsaKeyPair::from_pkcs8(include_bytes!("../../crates/sandbox/src/issuer-key.der")).unwrap();
    let text = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", base64(&signature))
}

/// The documented assertion, changed by `change`.
fn assertion(client: &Client, now: i64, change: impl Fn(&mut Value, &mut Value)) -> String {
    let app = &client.credentials.client_id;
    let mut header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": base64(digest(&SHA256, &certificate_der()).as_ref()) });
    let mut claims = json!({
        "aud": format!("{}/{}/oauth2/v2.0/token", client.base, client.credentials.tenant_id), "iss": app, "sub": app,
        "jti": format!("{now}"), "iat": now, "nbf": now, "exp": now + 600,
    });
    change(&mut header, &mut claims);
    let encoding: &'static dyn RsaEncoding =
        if header["alg"] == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
    signed(&header, &claims, encoding)
}

async fn sign_in(client: &Client, assertion: &str) -> Reply {
    let fields = [("client_assertion_type", KIND), ("client_assertion", assertion), SCOPE];
    client.assertion_call(&fields).await
}

fn number(reply: &Reply) -> u64 {
    reply.body["error_codes"][0].as_u64().unwrap_or_else(|| panic!("{}", reply.text))
}

#[tokio::test]
async fn a_certificate_signs_in_once_with_each_assertion() {
    let (sandbox, _running, client, clock) = small(&[]).await;
    let now = clock.now().seconds();
    let plain = assertion(&client, now, |_, _| {});
    assert_eq!(number(&sign_in(&client, &plain).await), 700027, "not registered");
    assert!(sandbox.trust_certificate("no certificate").is_err());
    sandbox.trust_certificate(CERTIFICATE).unwrap();
    assert_eq!(sign_in(&client, &plain).await.status, 200);
    assert_eq!(number(&sign_in(&client, &plain).await), 50027, "used before");
    let official = |_: &mut Value, claims: &mut Value| {
        let tenant = &client.credentials.tenant_id;
        claims["aud"] = json!(format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"));
        claims["jti"] = json!("official");
    };
    assert_eq!(sign_in(&client, &assertion(&client, now, official)).await.status, 200);
}

#[tokio::test]
async fn each_flaw_of_an_assertion_has_its_error() {
    let (sandbox, _running, client, clock) = small(&[]).await;
    sandbox.trust_certificate(CERTIFICATE).unwrap();
    let now = clock.now().seconds();
    type Flaw = fn(&mut Value, &mut Value);
    let flaws: [(Flaw, u64); 8] = [
        (|_, claims| claims["aud"] = json!("https://attacker.example/token"), 700212),
        (|_, claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 1), 700024),
        (|_, claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 5 * 3600), 700024),
        (|_, claims| claims["sub"] = json!("another"), 700021),
        (|_, claims| claims["jti"] = Value::Null, 50027),
        (|header, _| header["x5t#S256"] = json!("AAAA"), 700027),
        (|header, _| header["alg"] = json!("none"), 700027),
        (|header, _| header["alg"] = json!("ES256"), 700027),
    ];
    for (flaw, expected) in flaws {
        let reply = sign_in(&client, &assertion(&client, now, flaw)).await;
        assert_eq!((reply.status, number(&reply)), (401, expected), "{}", reply.text);
    }
    let mut tampered = assertion(&client, now, |_, _| {});
    tampered.replace_range(tampered.len() - 6..tampered.len() - 2, "AAAA");
    assert_eq!(number(&sign_in(&client, &tampered).await), 700027);
    assert_eq!(number(&sign_in(&client, "garbage").await), 50027);
    let no_kind = client.assertion_call(&[("client_assertion", &tampered), SCOPE]).await;
    assert_eq!((no_kind.status, number(&no_kind)), (400, 900144));
}

fn github(subject: &str) -> Federated {
    Federated {
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        subject: subject.to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
    }
}

async fn federated(sandbox: &Sandbox, client: &Client, row: &Federated) -> Reply {
    sign_in(client, &sandbox.federated_token(row).unwrap()).await
}

#[tokio::test]
async fn a_federated_credential_matches_exactly_and_may_still_be_spreading() {
    let (sandbox, _running, client, _) = small(&["federated_spreading=2"]).await;
    let main = github("repo:example-org/policies:ref:refs/heads/main");
    for expected in [401, 401, 200, 200] {
        assert_eq!(federated(&sandbox, &client, &main).await.status, expected);
    }
    let immutable = github("repo:example-org@1234567/policies@7654321:ref:refs/heads/main");
    assert_eq!(federated(&sandbox, &client, &immutable).await.status, 200);
    let branch = github("repo:example-org/policies:ref:refs/heads/Main");
    assert_eq!(number(&federated(&sandbox, &client, &branch).await), 70021);
    sandbox.trust_federated(&branch).unwrap();
    assert_eq!(federated(&sandbox, &client, &branch).await.status, 200);
    let audience = Federated { audience: "https://github.com/example-org".to_owned(), ..main };
    assert_eq!(number(&federated(&sandbox, &client, &audience).await), 700212);
}

#[tokio::test]
async fn the_ci_issuer_gives_a_token_that_signs_in() {
    let (_sandbox, _running, client, _) = small(&[]).await;
    let url = format!("{}/oidc/token?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange", client.base);
    let with = |token: &str| client.http.get(&url).header("authorization", format!("bearer {token}"));
    assert_eq!(reply(with("wrong")).await.unwrap().status, 401);
    let answer = reply(with(&client.credentials.identity_secret)).await.unwrap();
    let token = answer.body["value"].as_str().unwrap();
    assert_eq!(sign_in(&client, token).await.status, 200);
    let keys = reply(client.http.get(format!("{}/oidc/jwks", client.base))).await.unwrap();
    assert_eq!(keys.body["keys"][0]["alg"], "RS256");
}

#[tokio::test]
async fn managed_identities_answer_numbers_as_text() {
    let (_sandbox, _running, mut client, _) = small(&[]).await;
    let query = "api-version=2018-02-01&resource=https://api.securitycenter.microsoft.com";
    let machine = format!("{}/metadata/identity/oauth2/token?{query}", client.base);
    assert_eq!(reply(client.http.get(&machine)).await.unwrap().status, 400);
    let marked = |url: &str| client.http.get(url).header("Metadata", "true");
    let answer = reply(marked(&machine)).await.unwrap();
    assert_eq!(answer.body["expires_in"], "3599");
    let other = reply(marked(&format!("{machine}&client_id=other"))).await.unwrap();
    assert_eq!((other.status, &other.body["error_description"]), (400, &json!("Identity not found")));
    let service = format!("{}/msi/token?{query}", client.base);
    assert_eq!(reply(client.http.get(&service)).await.unwrap().status, 401);
    let secret = client.credentials.identity_secret.clone();
    let answer = reply(client.http.get(&service).header("X-IDENTITY-HEADER", secret)).await.unwrap();
    client.token = answer.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(client.get("/api/machines").await.status, 200);
}

#[tokio::test]
async fn a_busy_sign_in_says_when_to_come_back() {
    let (_sandbox, _running, client, _) = small(&["throttle=token:2"]).await;
    let reply = client.token_call("/oauth2/v2.0/token", &[SCOPE]).await;
    assert_eq!((reply.status, &reply.body["error"]), (429, &json!("temporarily_unavailable")));
    assert_eq!(reply.headers["retry-after"], "5");
    assert_eq!(client.token_call("/oauth2/v2.0/token", &[SCOPE]).await.status, 200);
}
