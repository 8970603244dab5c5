//! Recognises files that are not inventories, in words for people: most are another file of the same service.
//!
//! Only names the format; the reader of the file refuses it.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The encoding of a text that is not UTF-8, if its first bytes show it.
pub fn foreign_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, _, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// What a JSON text without devices seems to be, from its start.
pub fn seems_to_be(bytes: &[u8]) -> &'static str {
    let mut top = FirstKeys::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    // A truncated text still has its first keys, and these are enough.
    let _ = json.deserialize_any(&mut top);
    let has = |name: &str| top.keys.iter().any(|key| key.eq_ignore_ascii_case(name));
    if top.is_array && has("value") {
        "an array of list pages: write one page a line, or join their `value` lists into one array"
    } else if has("error") || has("odata.error") {
        "an error document of the service"
    } else if has("results") && (has("schema") || has("stats")) || has("results") && has("@odata.context") {
        "a hunting result: `--hunting-results` takes those"
    } else if has("formatVersion") && has("changes") {
        "a plan file: `mdetag show` prints it"
    } else if has("access_token") || has("accessToken") {
        "a token answer: keep it secret"
    } else if has("DeviceId") {
        "rows of a hunting table or an export, which have no `id`"
    } else {
        "JSON whose objects have no device `id`"
    }
}

/// The keys of the first object, at the top level or in an array.
#[derive(Default)]
struct FirstKeys {
    is_array: bool,
    keys: Vec<String>,
}

impl<'de> Visitor<'de> for &mut FirstKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            self.keys.push(key);
            entries.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.is_array = true;
        items.next_element_seed(FirstKeysSeed(self))?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

struct FirstKeysSeed<'t>(&'t mut FirstKeys);

impl<'de> serde::de::DeserializeSeed<'de> for FirstKeysSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_same_service_are_named() {
        let cases = [
            (r#"{"error":{"code":"Forbidden"}}"#, "error document"),
            (r#"{"schema":[],"results":[{"DeviceId":"a"}]}"#, "hunting result"),
            (r#"{"Stats":{},"Schema":[],"Results":["#, "hunting result"),
            (r#"[{"@odata.context":"c","value":[{"id":"a"}]}]"#, "array of list pages"),
            (r#"{"formatVersion":"1.0","changes":[]}"#, "plan file"),
            (r#"[{"DeviceId":"a","DeviceName":"x"}]"#, "hunting table"),
            (r#"{"a":1}"#, "no device `id`"),
        ];
        for (text, expected) in cases {
            assert!(seems_to_be(text.as_bytes()).contains(expected), "{text}");
        }
    }

    #[test]
    fn wide_encodings_are_seen_with_and_without_a_mark() {
        for bytes in [&b"\xff\xfe{\0"[..], b"\xfe\xff\0{", b"{\0\"\0", b"\0{\0\""] {
            assert_eq!(foreign_encoding(bytes), Some("UTF-16"));
        }
        assert_eq!(foreign_encoding(b"\xff\xfe\0\0{\0\0\0"), Some("UTF-32"));
        assert_eq!(foreign_encoding(b"{\"id\":1}"), None);
    }
}
