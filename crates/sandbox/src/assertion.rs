//! Checks of client assertions: signed by a certificate of the app, or issued by a party that the app trusts.
//!
//! The error numbers besides AADSTS70021 are general knowledge of the sign-in service; clients must decide by `error`.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::signature::{self, UnparsedPublicKey};

use crate::identity;
use crate::jwt::{self, Parts};
use crate::service::Service;
use crate::switches::Switch;
use crate::tokens::Refusal;
use crate::wire::Request;
use mdetag_vocabulary::time::Timestamp;

/// The one accepted `client_assertion_type`.
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest life of an assertion, in seconds: assertions are meant to live for minutes.
const LONGEST_LIFE: i64 = 3600;
/// Seconds that the client's clock may be ahead.
const LEEWAY: i64 = 300;
/// Sign-in hosts that the audience of an assertion may name, although the client sends it here.
const LOGIN_HOSTS: &[&str] = &["login.microsoftonline.com", "login.microsoftonline.us"];

/// Whether an assertion proves the app.
pub(super) fn check(
    service: &mut Service,
    request: &Request,
    kind: Option<&str>,
    assertion: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    if kind != Some(KIND) {
        let text =
            "The request body must contain 'client_assertion_type' with the value for JWT bearer tokens.";
        return Err(Refusal(400, "invalid_request", 900144, text.to_owned()));
    }
    let Some(parts) = jwt::parts(assertion) else {
        return refuse(50027, "JWT token is invalid or malformed.");
    };
    if parts.claims["iss"].as_str() == Some(&service.settings.client_id) {
        certificate(service, request, &parts, now)
    } else {
        federated(service, &parts, now)
    }
}

fn refuse<T>(number: u64, text: &str) -> Result<T, Refusal> {
    Err(Refusal(401, "invalid_client", number, text.to_owned()))
}

fn certificate(
    service: &mut Service,
    request: &Request,
    parts: &Parts,
    now: Timestamp,
) -> Result<(), Refusal> {
    let certificates = service.settings.certificates.iter().filter_map(|text| jwt::decode(text));
    let thumbprint = |name: &str| parts.header[name].as_str().and_then(jwt::decode);
    let (modern, old) = (thumbprint("x5t#S256"), thumbprint("x5t"));
    let names = |der: &Vec<u8>| match (&modern, &old) {
        (Some(print), _) => digest(&SHA256, der).as_ref() == &**print,
        (None, Some(print)) => digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref() == &**print,
        (None, None) => false,
    };
    let Some(der) = certificates.into_iter().find(|der| names(der)) else {
        return refuse(
            700027,
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        );
    };
    let Some(key) = public_key(&der) else {
        return refuse(700027, "The registered certificate has no RSA key.");
    };
    let algorithm = match parts.header["alg"].as_str() {
        Some("PS256") => &signature::RSA_PSS_2048_8192_SHA256,
        Some("RS256") => &signature::RSA_PKCS1_2048_8192_SHA256,
        _ => return refuse(700027, "Client assertion uses an algorithm that is not accepted."),
    };
    if UnparsedPublicKey::new(algorithm, key).verify(parts.signed.as_bytes(), &parts.signature).is_err() {
        return refuse(700027, "Client assertion failed signature validation.");
    }
    let claim = |name: &str| parts.claims[name].as_str();
    if claim("sub") != claim("iss") {
        return refuse(
            700021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        );
    }
    let own = request.header("host").unwrap_or_default();
    let audience = claim("aud").and_then(|audience| audience.split_once("://")).map_or("", |(_, rest)| rest);
    let named = |host: &&str| audience.strip_prefix(*host) == Some(&*request.path);
    if !LOGIN_HOSTS.iter().chain([&own]).any(named) {
        return refuse(700212, "Client assertion audience claim does not match the token endpoint.");
    }
    in_time(parts, now, LONGEST_LIFE)?;
    match claim("jti") {
        Some(id) if service.used_assertions.insert(id.to_owned()) => Ok(()),
        Some(_) => refuse(50027, "JWT token is invalid: its 'jti' was used before."),
        None => refuse(50027, "JWT token is invalid: it has no 'jti'."),
    }
}

fn federated(service: &mut Service, parts: &Parts, now: Timestamp) -> Result<(), Refusal> {
    let claim = |name: &str| parts.claims[name].as_str().unwrap_or_default();
    let (issuer, subject, audience) = (claim("iss"), claim("sub"), claim("aud"));
    let named = service.settings.federated.iter().find(|row| row.issuer == issuer && row.subject == subject);
    let Some(named) = named else {
        let text = format!(
            "No matching federated identity record found for presented assertion subject '{subject}' from issuer '{issuer}'. Check the issuer, subject and audience of the credential."
        );
        return refuse(70021, &text);
    };
    if named.audience != audience {
        let text = format!(
            "No matching federated identity record found for presented assertion audience '{audience}'."
        );
        return refuse(700212, &text);
    }
    if parts.header["alg"].as_str() != Some("RS256") || !identity::is_signed_by_issuer(parts) {
        return refuse(700027, "Client assertion failed signature validation.");
    }
    in_time(parts, now, 24 * 3600)?;
    if service.federated_tries < service.switches.number(Switch::FederatedSpreading) {
        service.federated_tries += 1;
        return refuse(
            70021,
            "No matching federated identity record found for presented assertion. It may still be spreading.",
        );
    }
    Ok(())
}

fn in_time(parts: &Parts, now: Timestamp, longest: i64) -> Result<(), Refusal> {
    let seconds = |name: &str| parts.claims[name].as_i64();
    let now = now.seconds();
    let starts = seconds("nbf").or_else(|| seconds("iat")).unwrap_or(now);
    match seconds("exp") {
        Some(end) if now < end && end <= now + longest + LEEWAY && starts <= now + LEEWAY => Ok(()),
        _ => refuse(700024, "Client assertion is not within its valid time range."),
    }
}

/// The RSA key inside a certificate, in the form that the verifier takes.
///
/// Not done with `rustls-webpki`, although it is in the tree: it rejects certificates of version 1, which clients use as
/// credentials too.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate, 0x30)?;
    let (mut fields, _) = element(outer, 0x30)?;
    if let Some((_, rest)) = element(fields, 0xA0) {
        fields = rest;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for tag in [0x02, 0x30, 0x30, 0x30, 0x30] {
        fields = element(fields, tag)?.1;
    }
    let (key, _) = element(fields, 0x30)?;
    let (_, rest) = element(key, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    // The first byte counts unused bits; a key has none.
    bits.strip_prefix(&[0])
}

/// The contents of the DER element at the front, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    if first < 0x80 {
        return rest.split_at_checked(usize::from(first));
    }
    let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// The bytes of a certificate in either text form: PEM or bare base64.
pub(super) fn certificate_bytes(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let bytes = jwt::decode(&lines.map(str::trim).collect::<String>())?;
    public_key(&bytes).is_some().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_certificate_is_no_certificate() {
        for bytes in [&b""[..], &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[0x30, 0x80], &[0x30, 2, 0x30, 5]] {
            assert_eq!(public_key(bytes), None);
        }
        assert_eq!(certificate_bytes("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), None);
    }
}
