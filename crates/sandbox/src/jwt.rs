//! Tokens as text: base64url, signing of the sandbox's own access tokens, and a look into those of others.
//!
//! Decides nobody's rights; that is `access` and `sign_in`.

use ring::hmac;
use serde_json::{Value, json};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// base64url without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(word >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}

/// Bytes of base64 in either alphabet, with or without padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut word, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let byte = match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => other,
        };
        let place = ALPHABET.iter().position(|other| *other == byte)?;
        word = word << 6 | place as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(out)
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

/// A token taken apart, its signature not yet checked.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) header: Value,
    pub(super) claims: Value,
    /// What the signature is over.
    pub(super) signed: String,
    pub(super) signature: Vec<u8>,
}

/// Takes a token apart.
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
