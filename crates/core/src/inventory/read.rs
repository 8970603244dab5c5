//! Reads the API's JSON straight into columns, without an owned string for each field of each device.
//!
//! Accepts what the service is known to send (unknown properties, numbers as text, empty texts). A value that its field cannot
//! have makes the device unreadable. Only text that is not JSON, or JSON of another shape, is a fault.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::address;
use super::columns::Columns;
use super::copies::CopyWatch;
use super::draft::{DeviceDraft, LONGEST_LIST};
use super::layout::{self, DeviceKey};
use super::lenient::{LenientReader, NameSeed, Reads, Scalar, ScalarSeed};
use super::tally::{PageTally, Tally};
use crate::device::Field;
use crate::text::visible;

/// The result of one JSON value at the top level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParsedValue {
    /// Devices that became rows.
    pub(crate) rows: u64,
    /// Skipped devices, and what a page says about further ones.
    pub(crate) tally: Tally,
    /// `@odata.nextLink`.
    pub(crate) next_link: Option<String>,
    /// Whether it was a list page or an array, even an empty one.
    pub(crate) is_list: bool,
}

/// Reads one value at the top level: a device, a list page, or an array of devices.
pub(crate) struct TopLevel<'c> {
    pub(crate) columns: &'c mut Columns,
    /// Takes repeated devices out of a long list; `None`: they stay, and are counted.
    pub(super) copies: Option<&'c mut CopyWatch>,
}

impl<'de> DeserializeSeed<'de> for TopLevel<'_> {
    type Value = ParsedValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ParsedValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ParsedValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device, a list page, or an array of devices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<ParsedValue, A::Error> {
        let mut found = ParsedValue { is_list: true, ..ParsedValue::default() };
        read_items(items, self.columns, self.copies, &mut found)?;
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<ParsedValue, A::Error> {
        let mut found = ParsedValue::default();
        let mut draft = DeviceDraft::default();
        let mut count = None;
        let mut error = None;
        let mut page_keys = Vec::new();
        while let Some(key) = entries.next_key_seed(DeviceKeySeed)? {
            if matches!(key, DeviceKey::Count | DeviceKey::Value | DeviceKey::NextLink) {
                if page_keys.contains(&key) {
                    return Err(A::Error::custom("the page has a key twice"));
                }
                page_keys.push(key);
            }
            match key {
                DeviceKey::Error => {
                    error = error.or(entries.next_value::<Option<serde_json::Value>>()?);
                }
                DeviceKey::Count => count = count_of(&entries.next_value_seed(ScalarSeed)?)?,
                DeviceKey::Value => {
                    let copies = self.copies.as_deref_mut();
                    let list = List { columns: self.columns, copies, found: &mut found };
                    entries.next_value_seed(list)?;
                }
                DeviceKey::NextLink => {
                    found.next_link = match entries.next_value_seed(ScalarSeed)? {
                        Scalar::Nested | Scalar::Boolean(_) => Some(String::new()),
                        value => value.text().map(Cow::into_owned),
                    };
                }
                key => read_entry(key, &mut entries, &mut draft, self.columns)?,
            }
        }
        if found.is_list {
            if let Some(error) = error {
                return Err(A::Error::custom(says_error(&error)));
            }
            found.tally.pages = Some(PageTally {
                rows: found.rows + found.tally.skipped(),
                count,
                goes_on: found.next_link.is_some(),
            });
        } else {
            found.rows += u64::from(draft.finish(self.columns, &mut found.tally));
        }
        Ok(found)
    }
}

/// `@odata.count`.
fn count_of<E: serde::de::Error>(value: &Scalar<'_>) -> Result<Option<u64>, E> {
    if matches!(value, Scalar::Missing) {
        return Ok(None);
    }
    let count = value.integer().and_then(|count| u64::try_from(count).ok());
    count.map(Some).ok_or_else(|| E::custom("`@odata.count` is no number of devices"))
}

/// The text of an error in a list answer, for a message: such an answer may contain only a part of the devices.
fn says_error(error: &serde_json::Value) -> String {
    let word = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
    let words = [word("code").or(error.as_str()), word("message")];
    let text: String = words.into_iter().flatten().collect::<Vec<_>>().join(": ").chars().take(200).collect();
    format!("it says that it is an error ({}), so devices may be missing", visible(&text))
}

/// The value of `value`: a list of devices. `null` is an empty list.
struct List<'c> {
    columns: &'c mut Columns,
    copies: Option<&'c mut CopyWatch>,
    found: &'c mut ParsedValue,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of devices")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.found.is_list = true;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.found.is_list = true;
        read_items(items, self.columns, self.copies, self.found)
    }
}

fn read_items<'de, A: SeqAccess<'de>>(
    mut items: A,
    columns: &mut Columns,
    mut copies: Option<&mut CopyWatch>,
    found: &mut ParsedValue,
) -> Result<(), A::Error> {
    let mut draft = DeviceDraft::default();
    loop {
        let mut is_object = false;
        let item = ListedDevice { columns, draft: &mut draft, is_object: &mut is_object };
        if items.next_element_seed(LenientReader(item))?.is_none() {
            return Ok(());
        }
        if is_object {
            found.rows += u64::from(draft.finish(columns, &mut found.tally));
        } else {
            found.tally.without_id += 1;
        }
        if let Some(copies) = copies.as_deref_mut() {
            copies.look(columns);
        }
    }
}

/// One device of a list. Anything but an object counts as a device without an id.
struct ListedDevice<'c, 'd, 'de> {
    columns: &'c mut Columns,
    draft: &'d mut DeviceDraft<'de>,
    is_object: &'d mut bool,
}

impl<'de> Reads<'de> for ListedDevice<'_, '_, 'de> {
    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.draft.clear();
        while let Some(key) = entries.next_key_seed(DeviceKeySeed)? {
            read_entry(key, &mut entries, self.draft, self.columns)?;
        }
        *self.is_object = true;
        Ok(())
    }
}

fn read_entry<'de, A: MapAccess<'de>>(
    key: DeviceKey,
    entries: &mut A,
    draft: &mut DeviceDraft<'de>,
    columns: &mut Columns,
) -> Result<(), A::Error> {
    draft.note(key);
    match key {
        DeviceKey::Field(field) => {
            let value = entries.next_value_seed(ScalarSeed)?;
            draft.take(field, value, columns);
        }
        DeviceKey::Tags => {
            draft.tags.clear();
            entries.next_value_seed(TagList { draft, columns })?;
        }
        DeviceKey::Addresses => {
            draft.addresses.clear();
            draft.hardware.clear();
            entries.next_value_seed(LenientReader(InterfaceList { draft }))?;
        }
        DeviceKey::Vm => entries.next_value_seed(LenientReader(Vm { draft, columns }))?,
        DeviceKey::Value | DeviceKey::NextLink | DeviceKey::Count | DeviceKey::Error | DeviceKey::Other => {
            entries.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

/// `machineTags`.
struct TagList<'c, 'd, 'de> {
    draft: &'d mut DeviceDraft<'de>,
    columns: &'c mut Columns,
}

impl<'de> DeserializeSeed<'de> for TagList<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A list of texts, or null. Exports flatten the list; the tags are then unknown rather than absent.
impl<'de> Visitor<'de> for TagList<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.draft.has_tag_list = true;
        let mut length = 0;
        while let Some(tag) = items.next_element_seed(ScalarSeed)? {
            length += 1;
            if length > LONGEST_LIST {
                return Err(too_long("machineTags"));
            }
            match tag {
                Scalar::Text(text) if text.is_empty() => {}
                Scalar::Text(text) => self.draft.tags.push(self.columns.tag_names.intern(&text) - 1),
                _ => self.draft.tags_are_unreadable = true,
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.draft.tags_are_unreadable = true;
        ScalarSeed.visit_map(entries).map(drop)
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.draft.tags_are_unreadable = true;
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.draft.tags_are_unreadable = true;
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.draft.tags_are_unreadable = true;
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.draft.tags_are_unreadable = true;
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.draft.tags_are_unreadable = true;
        Ok(())
    }
}

fn too_long<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("`{name}` of one device has more than {LONGEST_LIST} entries"))
}

/// `ipAddresses`: a list of objects with `ipAddress` and `macAddress`.
struct InterfaceList<'d, 'de> {
    draft: &'d mut DeviceDraft<'de>,
}

const INTERFACES: Option<&str> = Some("ipAddresses");

impl<'de> Reads<'de> for InterfaceList<'_, 'de> {
    fn seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut length = 0;
        while items.next_element_seed(LenientReader(Interface { draft: self.draft }))?.is_some() {
            length += 1;
            if length > LONGEST_LIST {
                return Err(too_long("ipAddresses"));
            }
        }
        Ok(())
    }

    fn map<A: MapAccess<'de>>(self, entries: A) -> Result<(), A::Error> {
        self.draft.garbled = INTERFACES;
        ScalarSeed.visit_map(entries).map(drop)
    }

    fn scalar(self) {
        self.draft.garbled = INTERFACES;
    }
}

struct Interface<'d, 'de> {
    draft: &'d mut DeviceDraft<'de>,
}

impl<'de> Reads<'de> for Interface<'_, 'de> {
    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key_seed(NameSeed)? {
            match (&*name, entries.next_value_seed(ScalarSeed)?) {
                ("ipAddress", Scalar::Text(text)) => address::encode_ip(&text, &mut self.draft.addresses),
                ("macAddress", Scalar::Text(text)) => {
                    address::encode_hardware(&text, &mut self.draft.hardware)
                }
                ("ipAddress" | "macAddress", value) if !matches!(value, Scalar::Missing) => {
                    self.draft.garbled = INTERFACES;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.draft.garbled = INTERFACES;
        ScalarSeed.visit_seq(items).map(drop)
    }

    fn scalar(self) {
        self.draft.garbled = INTERFACES;
    }
}

/// `vmMetadata`.
struct Vm<'c, 'd, 'de> {
    draft: &'d mut DeviceDraft<'de>,
    columns: &'c mut Columns,
}

impl<'de> Reads<'de> for Vm<'_, '_, 'de> {
    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key_seed(NameSeed)? {
            let value = entries.next_value_seed(ScalarSeed)?;
            if let Some(field) = Field::of_vm_key(&name) {
                self.draft.take(field, value, self.columns);
            }
        }
        Ok(())
    }

    fn seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.scalar();
        ScalarSeed.visit_seq(items).map(drop)
    }

    fn scalar(self) {
        self.draft.garbled = Some("vmMetadata");
    }
}

struct DeviceKeySeed;

impl<'de> DeserializeSeed<'de> for DeviceKeySeed {
    type Value = DeviceKey;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<DeviceKey, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for DeviceKeySeed {
    type Value = DeviceKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<DeviceKey, E> {
        Ok(layout::key(name))
    }
}
