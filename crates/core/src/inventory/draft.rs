//! One device while the JSON parser or the fast scanner reads its object.
//!
//! Decides the meaning of a value for its field. Knows no JSON.

use std::borrow::Cow;

use super::address;
use super::columns::{Columns, Interner, NO_TIME, SYMBOLS, TEXTS, TIMES};
use super::layout::{self, DeviceKey};
use super::lenient::Scalar;
use super::tally::Tally;
use crate::device::{self, Column, Field};
use crate::text;
use crate::time::Timestamp;

/// Each field has a bit in [`DeviceDraft::note`].
const _: () = assert!(3 + TEXTS + SYMBOLS + TIMES + 4 <= 128);

/// The most tags or interfaces of a device. The service's devices have dozens. A longer list is not from a device, and reading
/// all of it would take minutes and gigabytes.
pub(super) const LONGEST_LIST: usize = 10_000;

/// One device while its object is being read.
pub(super) struct DeviceDraft<'de> {
    /// Empty: missing.
    texts: [Cow<'de, str>; TEXTS],
    pub(super) symbols: [u32; SYMBOLS],
    times: [i64; TIMES],
    last_addresses: [Vec<u8>; 2],
    pub(super) addresses: Vec<u8>,
    pub(super) hardware: Vec<u8>,
    pub(super) tags: Vec<u32>,
    /// `machineTags` is there and not null.
    pub(super) has_tag_list: bool,
    /// `machineTags` is present and is neither a list of texts nor null.
    pub(super) tags_are_unreadable: bool,
    /// A field whose value it cannot have: the field is then unknown, not missing.
    pub(super) garbled: Option<&'static str>,
    /// A bit for each known key that was read.
    keys: u128,
    /// A known key appears twice in the object: readers take the first or the last, and neither can be trusted.
    repeats: bool,
}

impl Default for DeviceDraft<'_> {
    fn default() -> Self {
        DeviceDraft {
            texts: Default::default(),
            symbols: [0; SYMBOLS],
            times: [NO_TIME; TIMES],
            last_addresses: Default::default(),
            addresses: Vec::new(),
            hardware: Vec::new(),
            tags: Vec::new(),
            has_tag_list: false,
            tags_are_unreadable: false,
            garbled: None,
            keys: 0,
            repeats: false,
        }
    }
}

impl<'de> DeviceDraft<'de> {
    /// Forgets the device and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.texts = Default::default();
        self.symbols = [0; SYMBOLS];
        self.times = [NO_TIME; TIMES];
        self.last_addresses.iter_mut().for_each(Vec::clear);
        self.addresses.clear();
        self.hardware.clear();
        self.tags.clear();
        self.has_tag_list = false;
        self.tags_are_unreadable = false;
        self.garbled = None;
        self.keys = 0;
        self.repeats = false;
    }

    /// Notes a key of the object. `false` if it appears for the second time.
    #[inline]
    pub(super) fn note(&mut self, key: DeviceKey) -> bool {
        let bit = match key {
            DeviceKey::Field(field) => match field.column() {
                Column::Text(index) => 1 << (3 + index),
                Column::Symbol(index) => 1 << (3 + TEXTS + index),
                Column::Time(index) => 1 << (3 + TEXTS + SYMBOLS + index),
                Column::Bytes(index) => 1 << (3 + TEXTS + SYMBOLS + TIMES + index),
                _ => return true,
            },
            DeviceKey::Tags => 1,
            DeviceKey::Addresses => 1 << 1,
            DeviceKey::Vm => 1 << 2,
            DeviceKey::Value
            | DeviceKey::NextLink
            | DeviceKey::Count
            | DeviceKey::Error
            | DeviceKey::Other => return true,
        };
        let is_new = self.keys & bit == 0;
        self.keys |= bit;
        self.repeats |= !is_new;
        is_new
    }

    /// Takes a value; interns symbols at once.
    pub(super) fn take(&mut self, field: Field, value: Scalar<'de>, columns: &mut Columns) {
        if !fits(field, &value) {
            self.garbled = Some(field.name());
            return;
        }
        match (field.column(), value) {
            (Column::Symbol(index), value) => {
                self.symbols[index] = symbol(field, value, &mut columns.symbols[index].dictionary);
            }
            (_, Scalar::Text(Cow::Borrowed(text))) => self.take_text(field, text),
            (Column::Text(index), value) => self.texts[index] = value.text().unwrap_or_default(),
            (Column::Time(index), Scalar::Text(text)) => self.times[index] = ticks(&text),
            (Column::Time(index), _) => self.times[index] = NO_TIME,
            (Column::Bytes(index), value) => {
                self.last_addresses[index].clear();
                if let Scalar::Text(text) = value {
                    address::encode_ip(&text, &mut self.last_addresses[index]);
                }
            }
            _ => {}
        }
    }

    /// Takes the text of a field that is not a symbol.
    #[inline]
    pub(super) fn take_text(&mut self, field: Field, text: &'de str) {
        match field.column() {
            Column::Text(index) => self.texts[index] = Cow::Borrowed(text),
            Column::Time(index) => {
                self.times[index] = ticks(text);
                if self.times[index] == NO_TIME && !is_time(text) {
                    self.garbled = Some(field.name());
                }
            }
            Column::Bytes(index) => {
                self.last_addresses[index].clear();
                address::encode_ip(text, &mut self.last_addresses[index]);
            }
            _ => {}
        }
    }

    /// Appends the device as a row, or counts it as skipped. Returns whether it became a row.
    pub(super) fn finish(&mut self, columns: &mut Columns, tally: &mut Tally) -> bool {
        self.texts.iter_mut().filter(|text| text::is_zero_guid(text)).for_each(|text| *text = Cow::default());
        if !device::is_id(&self.texts[layout::ID]) {
            tally.without_id += 1;
            return false;
        }
        if self.tags_are_unreadable || self.repeats || self.garbled.is_some() {
            let name = &self.texts[layout::NAME];
            tally.skip_unreadable(if name.is_empty() { &self.texts[layout::ID] } else { name }, self.garbled);
            return false;
        }
        let derived = subscription_of(&self.texts[layout::RESOURCE_ID]);
        if let (0, Some(subscription)) = (self.symbols[layout::SUBSCRIPTION], derived) {
            self.symbols[layout::SUBSCRIPTION] =
                columns.symbols[layout::SUBSCRIPTION].dictionary.intern(subscription);
        }
        for (column, text) in columns.texts.iter_mut().zip(&self.texts) {
            column.push(text);
        }
        for (column, code) in columns.symbols.iter_mut().zip(self.symbols) {
            column.push(code);
        }
        for (column, time) in columns.times.iter_mut().zip(self.times) {
            column.push(time);
        }
        let [last, external] = &self.last_addresses;
        for (column, bytes) in columns.bytes.iter_mut().zip([last, external, &self.addresses, &self.hardware])
        {
            column.push(bytes);
        }
        columns.tags.push(distinct(&mut self.tags));
        if !self.has_tag_list {
            columns.without_tag_list.push(columns.len() as u32 - 1);
        }
        true
    }
}

/// A time in ticks; [`NO_TIME`] if the text is not a time.
fn ticks(text: &str) -> i64 {
    Timestamp::parse_field(text).map_or(NO_TIME, Timestamp::ticks)
}

/// Whether a text is a time, or what the service writes for none: a time before 1970 or without an offset, or empty text.
fn is_time(text: &str) -> bool {
    text.trim().is_empty() || Timestamp::is_written(text)
}

/// Whether a field can have this value: it has the field's type, and can be read where that is a number, a boolean or a time.
pub(super) fn fits(field: Field, value: &Scalar<'_>) -> bool {
    let number_is_text =
        || field.kind() == device::Kind::Version || matches!(field, Field::Id | Field::MergedIntoMachineId);
    match (value, field.kind()) {
        (Scalar::Missing, _) => true,
        (Scalar::Nested, _) => false,
        (Scalar::Text(text), device::Kind::Integer) => text.trim().is_empty() || value.integer().is_some(),
        (Scalar::Text(text), device::Kind::Boolean) => text.trim().is_empty() || value.boolean().is_some(),
        (Scalar::Text(text), device::Kind::Time) => is_time(text),
        (Scalar::Text(_), _) => true,
        (_, device::Kind::Integer) => value.integer().is_some(),
        (_, device::Kind::Boolean) => value.boolean().is_some(),
        (Scalar::Boolean(_), _) => false,
        (Scalar::Integer(_) | Scalar::Float(_), _) => number_is_text(),
    }
}

/// The code of a value in the dictionary of its field.
pub(super) fn symbol(field: Field, value: Scalar<'_>, dictionary: &mut Interner) -> u32 {
    match field.kind() {
        device::Kind::Integer => {
            let mut digits = itoa::Buffer::new();
            value.integer().map_or(0, |number| dictionary.intern(digits.format(number)))
        }
        device::Kind::Boolean => {
            value.boolean().map_or(0, |value| dictionary.intern(if value { "true" } else { "false" }))
        }
        _ => value.text().filter(|text| !text::is_zero_guid(text)).map_or(0, |text| dictionary.intern(&text)),
    }
}

/// Like [`symbol`], for a text.
#[inline]
pub(super) fn symbol_of_text(field: Field, text: &str, dictionary: &mut Interner) -> u32 {
    match field.kind() {
        device::Kind::Integer | device::Kind::Boolean => symbol(field, Scalar::Text(text.into()), dictionary),
        _ if text.is_empty() || text::is_zero_guid(text) => 0,
        _ => dictionary.intern(text),
    }
}

/// The tags without repeats, in order of first appearance.
fn distinct(tags: &mut Vec<u32>) -> &[u32] {
    // A few are compared with each other; hostile thousands must not be.
    if tags.len() <= 16 {
        let mut kept = 0;
        for at in 0..tags.len() {
            if !tags[..kept].contains(&tags[at]) {
                tags[kept] = tags[at];
                kept += 1;
            }
        }
        tags.truncate(kept);
    } else {
        let mut seen = std::collections::HashSet::with_capacity(tags.len());
        tags.retain(|tag| seen.insert(*tag));
    }
    tags
}

/// The subscription in `/subscriptions/ID/resourceGroups/…`.
fn subscription_of(resource_id: &str) -> Option<&str> {
    let mut parts = resource_id.strip_prefix('/')?.split('/');
    let is_subscription = parts.next()?.eq_ignore_ascii_case("subscriptions");
    parts.next().filter(|id| is_subscription && !id.is_empty() && !text::is_zero_guid(id))
}
