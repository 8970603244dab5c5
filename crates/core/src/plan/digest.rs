//! Digests of documents: SHA-256 over the canonical form of RFC 8785, so that key order and white space do not matter.
//!
//! Proves that a plan is the reviewed one and undamaged. It is not a signature.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::hex;

/// `sha256:` and 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}

/// A SHA-256 over bytes that come in pieces.
pub(super) struct Sha256(ring::digest::Context);

impl Sha256 {
    /// Starts without any bytes.
    pub(super) fn new() -> Sha256 {
        Sha256(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// `sha256:` and 64 hexadecimal digits.
    pub(super) fn finish(self) -> String {
        format!("sha256:{}", hex::digits(self.0.finish().as_ref()))
    }
}

/// The canonical form of a JSON document without the named top-level keys.
///
/// # Errors
/// The text is not a JSON object, repeats a key, or has a number outside the range that all JSON readers share.
pub fn canonical(json: &str, without: &[&str]) -> Result<String, serde_json::Error> {
    let mut out = Vec::with_capacity(json.len());
    out.push(b'{');
    for (key, value) in members(json, without)? {
        if out.len() > 1 {
            out.push(b',');
        }
        append_text(&key, &mut out)?;
        out.push(b':');
        out.extend_from_slice(&value);
    }
    out.push(b'}');
    Ok(String::from_utf8(out).expect("only whole texts are appended"))
}

/// Appends the canonical form of any JSON value.
///
/// # Errors
/// The text is not JSON, an object repeats a key, or a number is outside the range that all JSON readers share.
pub(super) fn append(json: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Canonical { out }.deserialize(&mut reader)?;
    reader.end()
}

/// The members of a JSON object in canonical order, without the named ones, each with the canonical form of its value.
///
/// # Errors
/// As [`canonical`].
pub(super) fn members<'a>(json: &'a str, without: &[&str]) -> serde_json::Result<CanonicalMembers<'a>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let members = reader.deserialize_map(MembersVisitor { without })?;
    reader.end()?;
    Ok(members)
}

/// Keys with the canonical form of their values.
type CanonicalMembers<'a> = Vec<(Cow<'a, str>, Vec<u8>)>;

struct MembersVisitor<'a> {
    without: &'a [&'a str],
}

impl<'de> Visitor<'de> for MembersVisitor<'_> {
    type Value = CanonicalMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = entries.next_key_seed(CanonicalKeySeed)? {
            if self.without.contains(&&*key) {
                entries.next_value::<de::IgnoredAny>()?;
                continue;
            }
            let mut value = Vec::new();
            entries.next_value_seed(Canonical { out: &mut value })?;
            members.push((key, value));
        }
        sort(&mut members).map_err(de::Error::custom)?;
        Ok(members)
    }
}

/// Sorts members into canonical order. Returns whether they already were; refuses a repeated key.
fn sort<Value>(members: &mut [(Cow<'_, str>, Value)]) -> Result<bool, String> {
    if members.is_sorted_by(|one, other| by_utf16(&one.0, &other.0).is_lt()) {
        return Ok(true);
    }
    members.sort_by(|one, other| by_utf16(&one.0, &other.0));
    match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("the key `{}` appears twice in one object", pair[0].0)),
        None => Ok(false),
    }
}

/// Appends any JSON value as its canonical text.
struct Canonical<'a> {
    out: &'a mut Vec<u8>,
}

impl Canonical<'_> {
    fn put<E>(self, text: &str) -> Result<(), E> {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put("null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(if value { "true" } else { "false" })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        exact(value.unsigned_abs())?;
        self.put(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        exact(value)?;
        self.put(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.put(&number(value).ok_or_else(|| E::custom("a number that JSON cannot hold"))?)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        append_text(value, self.out).map_err(E::custom)
    }

    /// A text that could be borrowed has no escapes in the input, so it needs none.
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        append_plain(value, self.out);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let start = self.out.len();
        loop {
            let before = self.out.len();
            if before > start {
                self.out.push(b',');
            }
            if items.next_element_seed(Canonical { out: &mut *self.out })?.is_none() {
                self.out.truncate(before);
                break;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let start = self.out.len();
        // Each member without its leading comma.
        let mut members: Vec<(Cow<'de, str>, Range<usize>)> = Vec::new();
        while let Some(key) = entries.next_key_seed(CanonicalKeySeed)? {
            if !members.is_empty() {
                self.out.push(b',');
            }
            let from = self.out.len();
            match key {
                Cow::Borrowed(key) => append_plain(key, self.out),
                Cow::Owned(ref key) => append_text(key, self.out).map_err(de::Error::custom)?,
            }
            self.out.push(b':');
            entries.next_value_seed(Canonical { out: &mut *self.out })?;
            members.push((key, from..self.out.len()));
        }
        if !sort(&mut members).map_err(de::Error::custom)? {
            let unsorted = self.out.split_off(start);
            for (_, range) in members {
                if self.out.len() > start {
                    self.out.push(b',');
                }
                self.out.extend_from_slice(&unsorted[range.start - start..range.end - start]);
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// serde_json escapes exactly as RFC 8785 requires: the two-letter forms, then lower-case \u00xx.
fn append_text(text: &str, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(out, text)
}

fn append_plain(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Keys sort by UTF-16 code units.
fn by_utf16(one: &str, other: &str) -> Ordering {
    if one.is_ascii() && other.is_ascii() {
        return one.cmp(other);
    }
    one.encode_utf16().cmp(other.encode_utf16())
}

/// A key, borrowed from the text if it has no escapes.
struct CanonicalKeySeed;

impl<'de> DeserializeSeed<'de> for CanonicalKeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for CanonicalKeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Refuses integers that a double cannot represent, because two readers would see different numbers.
fn exact<E: de::Error>(magnitude: u64) -> Result<(), E> {
    if magnitude > 1 << 53 {
        return Err(E::custom(format!("{magnitude} is too large for a number in JSON")));
    }
    Ok(())
}

/// A double in ECMAScript's format.
fn number(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some("0".to_owned());
    }
    let magnitude = value.abs();
    if (1e-6..1e21).contains(&magnitude) {
        return Some(format!("{value}"));
    }
    let text = format!("{value:e}");
    Some(match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_8785_comes_out_canonical() {
        let json = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false] }"#;
        let expected = concat!(
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(canonical(json, &[]).unwrap(), expected);
    }

    #[test]
    fn keys_sort_by_utf_16_code_units() {
        let sorted = canonical(r#"{"\ufb33":1,"\ud83d\ude00":2,"1":3,"\r":4,"ö":5,"€":6}"#, &[]).unwrap();
        assert_eq!(sorted, "{\"\\r\":4,\"1\":3,\"ö\":5,\"€\":6,\"😀\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn named_keys_are_left_out_at_the_top_only() {
        assert_eq!(canonical(r#"{"b":1,"a":{"b":2}}"#, &["b"]).unwrap(), r#"{"a":{"b":2}}"#);
    }

    #[test]
    fn repeated_keys_and_inexact_numbers_are_refused() {
        assert!(canonical(r#"{"a":1,"a":2}"#, &[]).is_err());
        assert!(canonical(r#"{"a":9007199254740993}"#, &[]).is_err());
        assert!(canonical("{} {}", &[]).is_err());
    }

    #[test]
    fn sha256_of_nothing_is_known() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
