//! Digests of documents: SHA-256 over the canonical form of RFC 8785, so that key order and white space mean nothing.
//!
//! Proves that a plan is the one that was reviewed and not damaged since; it is no signature.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// `sha256:` and 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in digest.as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is a hexadecimal digit"));
        }
    }
    text
}

/// The canonical form of a JSON document without the named top-level keys.
///
/// # Errors
/// Where the text is no JSON object, repeats a key, or holds a number outside the range that JSON numbers share.
pub fn canonical(json: &str, without: &[&str]) -> Result<String, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let text = Canonical { without }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(text)
}

/// Reads any JSON value as its canonical text; leaves out `without` at this level only.
#[derive(Clone, Copy)]
struct Canonical<'a> {
    without: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Canonical<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        exact(value.unsigned_abs())?;
        Ok(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        exact(value)?;
        Ok(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        number(value).ok_or_else(|| E::custom("a number that JSON cannot hold"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        // serde_json escapes exactly as RFC 8785 asks: the two-letter forms, then lower-case \u00xx.
        serde_json::to_string(value).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<String, A::Error> {
        let mut text = String::from("[");
        while let Some(item) = items.next_element_seed(Canonical { without: &[] })? {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&item);
        }
        text.push(']');
        Ok(text)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<String, A::Error> {
        // Keys sort by UTF-16 code units.
        let mut sorted: BTreeMap<Vec<u16>, (String, String)> = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            if self.without.contains(&key.as_str()) {
                entries.next_value::<de::IgnoredAny>()?;
                continue;
            }
            let value = entries.next_value_seed(Canonical { without: &[] })?;
            let written = serde_json::to_string(&key).map_err(de::Error::custom)?;
            if sorted.insert(key.encode_utf16().collect(), (written, value)).is_some() {
                return Err(de::Error::custom(format!("the key `{key}` stands twice in one object")));
            }
        }
        let mut text = String::from("{");
        for (key, value) in sorted.into_values() {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&key);
            text.push(':');
            text.push_str(&value);
        }
        text.push('}');
        Ok(text)
    }
}

/// Refuses integers that a double cannot hold: two readers would see two numbers.
fn exact<E: de::Error>(magnitude: u64) -> Result<(), E> {
    if magnitude > 1 << 53 {
        return Err(E::custom(format!("{magnitude} is too large for a number in JSON")));
    }
    Ok(())
}

/// A double as ECMAScript writes it.
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
