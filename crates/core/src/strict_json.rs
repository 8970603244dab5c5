//! JSON that means what it seems to mean: no object has a key twice, of which readers take the first or the last, and no link to
//! the rest of a list is ignored.
//!
//! Knows no format except that of lists in parts.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::text::visible;

/// Whether a key links to the rest of a list, as spelled in any version of OData and in any case. A list with one is never
/// complete.
pub fn is_next_link(key: &str) -> bool {
    let bare = key.strip_prefix('@').unwrap_or(key);
    let has_prefix = bare.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("odata."));
    let bare = if has_prefix { &bare[6..] } else { bare };
    bare.eq_ignore_ascii_case("nextLink")
}

/// A value in which no object, at any depth, has a key twice, in any format that serde reads.
#[derive(Clone, Debug, PartialEq)]
pub struct StrictValue(pub Value);

/// Reads a JSON document. Use it for maps and free values: for structs, serde itself notices repeated keys.
///
/// # Errors
/// Text that is not JSON, JSON of another form, and an object with a repeated key.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let StrictValue(value) = serde_json::from_slice(bytes)?;
    // A value no longer knows where it stood: only the text says in which line it is of another form.
    T::deserialize(value).or_else(|_| serde_json::from_slice(bytes))
}

impl<'de> Deserialize<'de> for StrictValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StrictValue, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = StrictValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<StrictValue, E> {
        Ok(StrictValue(value.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<StrictValue, E> {
        Ok(StrictValue(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<StrictValue, E> {
        Ok(StrictValue(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<StrictValue, E> {
        Ok(StrictValue(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<StrictValue, E> {
        Ok(StrictValue(text.into()))
    }

    fn visit_unit<E>(self) -> Result<StrictValue, E> {
        Ok(StrictValue(Value::Null))
    }

    fn visit_none<E>(self) -> Result<StrictValue, E> {
        Ok(StrictValue(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<StrictValue, D::Error> {
        StrictValue::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictValue, A::Error> {
        let mut list = Vec::new();
        while let Some(StrictValue(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(StrictValue(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<StrictValue, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(repeated(&key));
            }
            let StrictValue(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(StrictValue(Value::Object(object)))
    }
}

fn repeated<E: serde::de::Error>(key: &str) -> E {
    let cut: String = key.chars().take(80).collect();
    E::custom(format_args!("the key `{}` stands twice in one object", visible(&cut)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_link_to_the_rest_is_known_in_every_spelling() {
        for key in ["@odata.nextLink", "odata.nextLink", "nextLink", "@nextLink", "@OData.NEXTLINK"] {
            assert!(is_next_link(key), "{key}");
        }
        for key in ["", "@", "odata.", "@odata.count", "nextLinks", "é.nextLink", "value"] {
            assert!(!is_next_link(key), "{key}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth_however_it_is_spelt() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, "{\"k\":{\"a\":1,\"\\u0061\":1}}"]
        {
            let value = serde_json::from_str::<StrictValue>(text).unwrap_err().to_string();
            let map = from_slice::<BTreeMap<String, Value>>(text.as_bytes()).unwrap_err().to_string();
            assert!(value.contains("the key `a` stands twice"), "{value}");
            assert_eq!(value, map);
        }
        let text = r#"{"a":[{"k":1.5},{"k":-1,"K":null}],"b":{"a":true,"c":"x"}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::from_str::<StrictValue>(text).unwrap().0, expected);
        assert_eq!(from_slice::<Value>(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_of_another_form_is_told_with_its_place() {
        type Counts = BTreeMap<String, BTreeMap<String, u8>>;
        for text in
            ["{\n \"a\": { \"b\": \"x\" }}", "{\n \"a\": { \"b\": 256 }}", "{\n \"a\": [1]}", "{\"a\":{}} x"]
        {
            let told = from_slice::<Counts>(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(told, serde_json::from_str::<Counts>(text).unwrap_err().to_string());
        }
        let deep = "[".repeat(200);
        let told = from_slice::<Value>(deep.as_bytes()).unwrap_err().to_string();
        assert!(told.starts_with("recursion limit exceeded"), "{told}");
        assert_eq!(from_slice::<Counts>(br#"{"a":{"b":7}}"#).unwrap()["a"]["b"], 7);
    }
}
