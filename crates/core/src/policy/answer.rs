//! A data file that is the answer of an API: its rows are under `value`, and a link says whether there are more.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::strict_json::is_next_link;

/// An answer. Its other members are ignored.
pub(super) struct ListAnswer<Row> {
    value: Vec<Row>,
    /// Whether a link to a further page follows.
    goes_on: bool,
    count: Option<u64>,
}

impl<'de, Row: Deserialize<'de>> Deserialize<'de> for ListAnswer<Row> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListAnswer<Row>, D::Error> {
        struct AnswerVisitor<Row>(PhantomData<Row>);
        impl<'de, Row: Deserialize<'de>> Visitor<'de> for AnswerVisitor<Row> {
            type Value = ListAnswer<Row>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the list `value`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut value, mut goes_on, mut count) = (None, false, None);
                while let Some(key) = map.next_key::<String>()? {
                    match &*key {
                        "value" if value.is_some() => return Err(A::Error::duplicate_field("value")),
                        "value" => value = Some(map.next_value()?),
                        key if is_next_link(key) => {
                            goes_on |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                        }
                        key if key.eq_ignore_ascii_case("@odata.count") => {
                            count = map.next_value::<Option<u64>>()?.or(count);
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let value = value.ok_or_else(|| A::Error::missing_field("value"))?;
                Ok(ListAnswer { value, goes_on, count })
            }
        }
        deserializer.deserialize_map(AnswerVisitor(PhantomData))
    }
}

impl<Row> ListAnswer<Row> {
    /// Its rows. One page of a longer answer is an error: its rows alone would remove the tags that the other pages give.
    pub(super) fn rows(self) -> Result<Vec<Row>, String> {
        let rows = self.value.len() as u64;
        if self.goes_on || self.count.is_some_and(|count| count != rows) {
            return Err(format!(
                "it is a page of a longer answer ({rows} rows are here): save all pages in one list"
            ));
        }
        Ok(self.value)
    }
}
