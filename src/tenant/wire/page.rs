//! The head of a list page: ids, times, links, and the values by which a list can be split.
//!
//! `inventory` reads devices into columns.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use mdetag_core::strict_json::is_next_link;

/// The head of a list page, as far as paging needs it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::tenant) struct PageSketch<'a> {
    /// Id and `lastSeen` of each row, if they are text.
    pub(in crate::tenant) rows: Vec<SketchRow<'a>>,
    /// `@odata.nextLink`.
    pub(in crate::tenant) next_link: Option<Cow<'a, str>>,
    /// `@odata.count`.
    pub(in crate::tenant) count: Option<u64>,
    /// Number of properties of the first row that are in neither the service's metadata (of 2026-05) nor a reported answer;
    /// `None` without a row.
    pub(in crate::tenant) unknown_properties: Option<u64>,
}

/// Known properties of devices, including those that mdetag does not read.
const KNOWN_PROPERTIES: [&str; 32] = [
    "aadDeviceId",
    "agentVersion",
    "computerDnsName",
    "defenderAvStatus",
    "deviceValue",
    "exclusionReason",
    "exposureLevel",
    "firstSeen",
    "healthStatus",
    "id",
    "ipAddresses",
    "isAadJoined",
    "isExcluded",
    "isPotentialDuplication",
    "lastExternalIpAddress",
    "lastIpAddress",
    "lastSeen",
    "machineTags",
    "managedBy",
    "managedByStatus",
    "mergedIntoMachineId",
    "onboardingStatus",
    "osArchitecture",
    "osBuild",
    "osPlatform",
    "osProcessor",
    "osVersion",
    "rbacGroupId",
    "rbacGroupName",
    "riskScore",
    "version",
    "vmMetadata",
];

/// One row of a [`PageSketch`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::tenant) struct SketchRow<'a> {
    pub(in crate::tenant) id: Option<Cow<'a, str>>,
    pub(in crate::tenant) last_seen: Option<Cow<'a, str>>,
}

/// Reads the head of a list page.
///
/// # Errors
/// The body is not a JSON object with a list `value`.
pub(in crate::tenant) fn sketch(body: &[u8]) -> Result<PageSketch<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the page is not UTF-8".to_owned())?;
    let mut json = serde_json::Deserializer::from_str(text);
    let sketch = json.deserialize_map(PageVisitor).and_then(|sketch| json.end().map(|()| sketch));
    match sketch {
        Ok(Some(sketch)) => Ok(sketch),
        Ok(None) => Err("the page has no list `value`".to_owned()),
        Err(error) => Err(format!("the page is no JSON as expected: {error}")),
    }
}

/// A field by which a list can be split if `lastSeen` cannot: both of the service's lists of filterable fields name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tenant) enum SplitField {
    OsPlatform,
    HealthStatus,
    RbacGroupId,
}

impl SplitField {
    pub(in crate::tenant) const ALL: [SplitField; 3] =
        [SplitField::OsPlatform, SplitField::HealthStatus, SplitField::RbacGroupId];

    pub(in crate::tenant) fn name(self) -> &'static str {
        match self {
            SplitField::OsPlatform => "osPlatform",
            SplitField::HealthStatus => "healthStatus",
            SplitField::RbacGroupId => "rbacGroupId",
        }
    }

    /// A value in the form of a filter.
    pub(in crate::tenant) fn literal(self, value: &str) -> String {
        match self {
            // Only whole numbers are used as values.
            SplitField::RbacGroupId => value.to_owned(),
            _ => format!("'{}'", value.replace('\'', "''")),
        }
    }
}

/// The values of a field on a list page, row by row; `None` if there is none to filter by.
///
/// # Errors
/// The body is not a list page.
pub(in crate::tenant) fn values(body: &[u8], field: SplitField) -> Result<Vec<Option<String>>, String> {
    #[derive(Deserialize)]
    struct Wide {
        value: Option<Vec<WideRow>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WideRow {
        os_platform: Option<serde_json::Value>,
        health_status: Option<serde_json::Value>,
        rbac_group_id: Option<serde_json::Value>,
    }
    let page: Wide =
        serde_json::from_slice(body).map_err(|error| format!("the page is no JSON as expected: {error}"))?;
    let value = |row: WideRow| match field {
        SplitField::OsPlatform => row.os_platform?.as_str().map(str::to_owned),
        SplitField::HealthStatus => row.health_status?.as_str().map(str::to_owned),
        SplitField::RbacGroupId => {
            let value = row.rbac_group_id?;
            let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
            Some(number.to_string())
        }
    };
    Ok(page.value.unwrap_or_default().into_iter().map(value).collect())
}

/// The keys of a page, as the service spells them.
const PAGE_KEYS: [&str; 3] = ["value", "@odata.nextLink", "@odata.count"];

struct PageVisitor;

impl<'de> Visitor<'de> for PageVisitor {
    type Value = Option<PageSketch<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the list `value`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut sketch = PageSketch::default();
        let mut listed = false;
        let (mut linked, mut counted) = (false, false);
        let twice = |key: &str| A::Error::custom(format_args!("`{key}` appears twice"));
        while let Some(key) = map.next_key_seed(TextOrNothing)? {
            match key.as_deref().unwrap_or("") {
                "value" if listed => return Err(twice("value")),
                "@odata.nextLink" if linked => return Err(twice("@odata.nextLink")),
                "@odata.count" if counted => return Err(twice("@odata.count")),
                "value" => {
                    let rows = map.next_value::<Option<SketchRows<'de>>>()?.unwrap_or_default();
                    (sketch.rows, sketch.unknown_properties) = (rows.rows, rows.unknown_properties);
                    listed = true;
                }
                "@odata.nextLink" => {
                    sketch.next_link = match map.next_value::<serde_json::Value>()? {
                        serde_json::Value::Null => None,
                        serde_json::Value::String(link) => Some(Cow::Owned(link)),
                        _ => return Err(A::Error::custom("`@odata.nextLink` is no text")),
                    };
                    linked = true;
                }
                "@odata.count" => {
                    let count = map.next_value::<serde_json::Value>()?;
                    sketch.count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
                    if sketch.count.is_none() && !count.is_null() {
                        return Err(A::Error::custom("`@odata.count` is no number of devices"));
                    }
                    counted = true;
                }
                key if super::is_error_key(key) => {
                    if let Some(error) = map.next_value::<Option<serde_json::Value>>()? {
                        return Err(A::Error::custom(super::shown_error(&error)));
                    }
                }
                // Rows or a link under a nearly identical name would be lost silently.
                key if PAGE_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)) => {
                    return Err(A::Error::custom(format_args!(
                        "`{}` is spelt otherwise than documented",
                        crate::tenant::http::clean(key, 40)
                    )));
                }
                key if is_next_link(key) => {
                    let key = crate::tenant::http::clean(key, 40);
                    if map.next_value::<Option<IgnoredAny>>()?.is_some() {
                        return Err(A::Error::custom(format_args!(
                            "`{key}` says that there is more, and is not how the service spells it"
                        )));
                    }
                }
                "errors" => {
                    let errors = map.next_value::<serde_json::Value>()?;
                    if !errors.is_null() && errors.as_array().is_none_or(|errors| !errors.is_empty()) {
                        return Err(A::Error::custom(super::shown_error(&errors)));
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(listed.then_some(sketch))
    }
}

#[derive(Default)]
struct SketchRows<'a> {
    rows: Vec<SketchRow<'a>>,
    unknown_properties: Option<u64>,
}

impl<'de> Deserialize<'de> for SketchRows<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SketchRows<'de>, D::Error> {
        struct RowsVisitor;
        impl<'de> Visitor<'de> for RowsVisitor {
            type Value = SketchRows<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of devices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                // All rows have the same properties.
                let Some(first) = seq.next_element::<Row<'de, true>>()? else {
                    return Ok(SketchRows::default());
                };
                let mut rows = vec![first.row];
                while let Some(next) = seq.next_element::<Row<'de, false>>()? {
                    rows.push(next.row);
                }
                Ok(SketchRows { rows, unknown_properties: Some(first.unknown) })
            }
        }
        deserializer.deserialize_seq(RowsVisitor)
    }
}

struct Row<'a, const COUNTS: bool> {
    row: SketchRow<'a>,
    /// Number of unknown properties, if they are counted.
    unknown: u64,
}

impl<'de, const COUNTS: bool> Deserialize<'de> for Row<'de, COUNTS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row<'de, COUNTS>, D::Error> {
        struct RowVisitor<const COUNTS: bool>;
        impl<'de, const COUNTS: bool> Visitor<'de> for RowVisitor<COUNTS> {
            type Value = Row<'de, COUNTS>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a device object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut row, mut unknown) = (SketchRow::default(), 0);
                while let Some(key) = map.next_key_seed(TextOrNothing)? {
                    match key.as_deref().unwrap_or("") {
                        "id" => row.id = map.next_value_seed(TextOrNothing)?,
                        "lastSeen" => row.last_seen = map.next_value_seed(TextOrNothing)?,
                        name => {
                            let is_unknown = || !name.contains('@') && !KNOWN_PROPERTIES.contains(&name);
                            unknown += u64::from(COUNTS && is_unknown());
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Row { row, unknown })
            }
        }
        deserializer.deserialize_map(RowVisitor::<COUNTS>)
    }
}

/// A text, borrowed if it has no escapes, or a whole number as text; any other value becomes nothing.
struct TextOrNothing;

impl<'de> DeserializeSeed<'de> for TextOrNothing {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextOrNothing {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
