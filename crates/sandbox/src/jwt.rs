//! Tokens as text: base64url, signing the sandbox's own access tokens, and parsing those of others.
//!
//! Decides no rights; that is `access` and `sign_in`.

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{Engine, alphabet};
use ring::hmac;
use serde_json::{Value, json};

/// Accepts either alphabet, converted to the URL one, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// base64url without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes of base64 in either alphabet, with or without padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    LENIENT.decode(text.replace('+', "-").replace('/', "_")).ok()
}

/// A signed access token.
pub(super) fn sign(key: &[u8], claims: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "HS256", "kid": "sandbox" });
    let signed =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

/// The claims of a token that this sandbox signed.
pub(super) fn verify(key: &[u8], token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes(), &decode(signature)?).ok()?;
    parts(token).map(|parts| parts.claims)
}

/// A token split into its parts. The signature is not checked yet.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) header: Value,
    pub(super) claims: Value,
    /// The signed text.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

pub(super) fn parts(token: &str) -> Option<Parts> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let object = |part: &str| serde_json::from_slice(&decode(part)?).ok();
    Some(Parts {
        header: object(header)?,
        claims: object(claims)?,
        signed: signed.to_owned(),
        signature: decode(signature)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_there_and_back() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            assert_eq!(decode(&encode(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("*"), None);
    }

    #[test]
    fn a_changed_token_is_nobodys() {
        let token = sign(b"key", &json!({ "aud": "x" }));
        assert_eq!(verify(b"key", &token).unwrap()["aud"], "x");
        assert!(verify(b"other", &token).is_none());
        assert!(verify(b"key", &token[1..]).is_none());
    }
}
