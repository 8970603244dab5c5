//! The API's JSON straight into columns: no owned string a field a device.
//!
//! Tolerates what the service is known to send (unknown properties, other types, empty texts) and takes it as missing;
//! only text that is no JSON, or JSON of another shape, is a fault.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::address;
use super::columns::{Columns, NO_TIME, SYMBOLS, TEXTS, TIMES};
use super::layout::{self, Column};
use super::lenient::{NameSeed, Reads, Scalar, ScalarSeed, Tolerant};
use crate::device::{self, Field};
use crate::time::Timestamp;

/// One device while its object is being read; later keys win over earlier ones of the same name.
#[derive(Default)]
struct Draft<'de> {
    texts: [Option<Cow<'de, str>>; TEXTS],
    symbols: [u32; SYMBOLS],
    times: [Option<i64>; TIMES],
    last_addresses: [Vec<u8>; 2],
    addresses: Vec<u8>,
    hardware: Vec<u8>,
    tags: Vec<u32>,
}

impl<'de> Draft<'de> {
    fn clear(&mut self) {
        self.texts = Default::default();
        self.symbols = [0; SYMBOLS];
        self.times = [None; TIMES];
        self.last_addresses.iter_mut().for_each(Vec::clear);
        self.addresses.clear();
        self.hardware.clear();
        self.tags.clear();
    }

    /// Takes one value; symbols are interned at once.
    fn take(&mut self, field: Field, value: Scalar<'de>, columns: &mut Columns) {
        match layout::column(field) {
            Column::Text(index) => self.texts[index] = value.text(),
            Column::Symbol(index) => {
                let dictionary = &mut columns.symbols[index].dictionary;
                self.symbols[index] = match field.kind() {
                    device::Kind::Integer => {
                        value.integer().map_or(0, |number| dictionary.intern(&number.to_string()))
                    }
                    device::Kind::Boolean => value
                        .boolean()
                        .map_or(0, |value| dictionary.intern(if value { "true" } else { "false" })),
                    _ => value.text().map_or(0, |text| dictionary.intern(&text)),
                };
            }
            Column::Time(index) => {
                self.times[index] = match value {
                    Scalar::Text(text) => Timestamp::parse_field(&text).map(Timestamp::ticks),
                    _ => None,
                }
            }
            Column::Bytes(index) => {
                self.last_addresses[index].clear();
                if let Scalar::Text(text) = value {
                    address::encode_ip(&text, &mut self.last_addresses[index]);
                }
            }
            _ => {}
        }
    }

    /// Appends the device as a row; `false` if it has no usable id.
    fn finish(&mut self, columns: &mut Columns) -> bool {
        if !self.texts[layout::ID].as_deref().is_some_and(device::is_id) {
            return false;
        }
        let derived = self.texts[layout::RESOURCE_ID].as_deref().and_then(subscription_of);
        if let (0, Some(subscription)) = (self.symbols[layout::SUBSCRIPTION], derived) {
            self.symbols[layout::SUBSCRIPTION] =
                columns.symbols[layout::SUBSCRIPTION].dictionary.intern(subscription);
        }
        for (column, text) in columns.texts.iter_mut().zip(&self.texts) {
            column.push(text.as_deref().unwrap_or_default());
        }
        for (column, code) in columns.symbols.iter_mut().zip(self.symbols) {
            column.push(code);
        }
        for (column, time) in columns.times.iter_mut().zip(self.times) {
            column.push(time.unwrap_or(NO_TIME));
        }
        let [last, external] = &self.last_addresses;
        for (column, bytes) in columns.bytes.iter_mut().zip([last, external, &self.addresses, &self.hardware])
        {
            column.push(bytes);
        }
        columns.tags.push(distinct(&mut self.tags));
        true
    }
}

/// The tags without repeats, in order of first appearance.
fn distinct(tags: &mut Vec<u32>) -> &[u32] {
    if tags.len() > 1 {
        let mut seen = std::collections::HashSet::with_capacity(tags.len());
        tags.retain(|tag| seen.insert(*tag));
    }
    tags
}

/// The subscription in `/subscriptions/ID/resourceGroups/…`.
fn subscription_of(resource_id: &str) -> Option<&str> {
    let mut parts = resource_id.strip_prefix('/')?.split('/');
    let is_subscription = parts.next()?.eq_ignore_ascii_case("subscriptions");
    parts.next().filter(|id| is_subscription && !id.is_empty())
}

/// What one JSON value at the top level yielded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Yield {
    /// Devices that became rows.
    pub(crate) rows: u64,
    /// Devices without a usable id: not an object, no id, or one that could not stand in a path.
    pub(crate) without_id: u64,
    /// `@odata.nextLink`.
    pub(crate) next_link: Option<String>,
    /// Whether it was a list page or an array, even an empty one.
    pub(crate) is_list: bool,
}

/// Reads one value at the top level: a device, a list page, or an array of devices.
pub(crate) struct Top<'c> {
    pub(crate) columns: &'c mut Columns,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = Yield;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yield, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Yield;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device, a list page, or an array of devices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Yield, A::Error> {
        let mut found = Yield { is_list: true, ..Yield::default() };
        read_items(items, self.columns, &mut found)?;
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yield, A::Error> {
        let mut found = Yield::default();
        let mut draft = Draft::default();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            match key {
                Key::Value => {
                    let list = List { columns: self.columns, found: &mut found };
                    entries.next_value_seed(list)?;
                }
                Key::NextLink => {
                    found.next_link = entries.next_value_seed(ScalarSeed)?.text().map(Cow::into_owned);
                }
                key => read_entry(key, &mut entries, &mut draft, self.columns)?,
            }
        }
        if !found.is_list {
            let is_row = draft.finish(self.columns);
            found.rows += u64::from(is_row);
            found.without_id += u64::from(!is_row);
        }
        Ok(found)
    }
}

/// The value of `value`: a list of devices. `null` is an empty list.
struct List<'c> {
    columns: &'c mut Columns,
    found: &'c mut Yield,
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
        read_items(items, self.columns, self.found)
    }
}

fn read_items<'de, A: SeqAccess<'de>>(
    mut items: A,
    columns: &mut Columns,
    found: &mut Yield,
) -> Result<(), A::Error> {
    let mut draft = Draft::default();
    loop {
        let mut is_row = false;
        let item = Item { columns, draft: &mut draft, is_row: &mut is_row };
        if items.next_element_seed(Tolerant(item))?.is_none() {
            return Ok(());
        }
        found.rows += u64::from(is_row);
        found.without_id += u64::from(!is_row);
    }
}

/// One device of a list; anything that is no object is a device without id.
struct Item<'c, 'd, 'de> {
    columns: &'c mut Columns,
    draft: &'d mut Draft<'de>,
    is_row: &'d mut bool,
}

impl<'de> Reads<'de> for Item<'_, '_, 'de> {
    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.draft.clear();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            read_entry(key, &mut entries, self.draft, self.columns)?;
        }
        *self.is_row = self.draft.finish(self.columns);
        Ok(())
    }
}

fn read_entry<'de, A: MapAccess<'de>>(
    key: Key,
    entries: &mut A,
    draft: &mut Draft<'de>,
    columns: &mut Columns,
) -> Result<(), A::Error> {
    match key {
        Key::Field(field) => {
            let value = entries.next_value_seed(ScalarSeed)?;
            draft.take(field, value, columns);
        }
        Key::Tags => {
            draft.tags.clear();
            entries.next_value_seed(Tolerant(TagList { draft, columns }))?;
        }
        Key::Addresses => {
            draft.addresses.clear();
            draft.hardware.clear();
            entries.next_value_seed(Tolerant(Interfaces { draft }))?;
        }
        Key::Vm => entries.next_value_seed(Tolerant(Vm { draft, columns }))?,
        Key::Value | Key::NextLink | Key::Other => {
            entries.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

/// `machineTags`.
struct TagList<'c, 'd, 'de> {
    draft: &'d mut Draft<'de>,
    columns: &'c mut Columns,
}

impl<'de> Reads<'de> for TagList<'_, '_, 'de> {
    fn seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(tag) = items.next_element_seed(ScalarSeed)? {
            if let Some(text) = tag.text() {
                self.draft.tags.push(self.columns.tag_names.intern(&text) - 1);
            }
        }
        Ok(())
    }
}

/// `ipAddresses`: objects with `ipAddress` and `macAddress`.
struct Interfaces<'d, 'de> {
    draft: &'d mut Draft<'de>,
}

impl<'de> Reads<'de> for Interfaces<'_, 'de> {
    fn seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Tolerant(Interfaces { draft: self.draft }))?.is_some() {}
        Ok(())
    }

    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key_seed(NameSeed)? {
            match (&*name, entries.next_value_seed(ScalarSeed)?) {
                ("ipAddress", Scalar::Text(text)) => address::encode_ip(&text, &mut self.draft.addresses),
                ("macAddress", Scalar::Text(text)) => {
                    address::encode_hardware(&text, &mut self.draft.hardware)
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// `vmMetadata`.
struct Vm<'c, 'd, 'de> {
    draft: &'d mut Draft<'de>,
    columns: &'c mut Columns,
}

impl<'de> Reads<'de> for Vm<'_, '_, 'de> {
    fn map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key_seed(NameSeed)? {
            let value = entries.next_value_seed(ScalarSeed)?;
            if let Some(field) = layout::vm_key(&name) {
                self.draft.take(field, value, self.columns);
            }
        }
        Ok(())
    }
}

enum Key {
    Field(Field),
    Tags,
    Addresses,
    Vm,
    Value,
    NextLink,
    Other,
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match name {
            "machineTags" => Key::Tags,
            "ipAddresses" => Key::Addresses,
            "vmMetadata" => Key::Vm,
            "value" => Key::Value,
            "@odata.nextLink" => Key::NextLink,
            name => layout::key(name).map_or(Key::Other, Key::Field),
        })
    }
}
