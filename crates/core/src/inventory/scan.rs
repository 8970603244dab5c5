//! Scans devices as the service and mdetag itself write them, one a line: no white space between tokens, no escapes, keys in one
//! order.
//!
//! A fast path for the common form only. The JSON parser reads whatever looks different, so nothing here decides what an
//! inventory may look like; `draft` decides the meaning of values.

use super::address;
use super::columns::Columns;
use super::draft::{self, DeviceDraft, LONGEST_LIST};
use super::layout::{self, DeviceKey};
use super::lenient::Scalar;
use crate::device::{Column, Field, Kind};

/// The most keys that are remembered of an object; further ones are read without.
const REMEMBERED: usize = 64;

/// Reads consecutive devices of the same shape.
#[derive(Debug)]
pub(super) struct Scanner {
    devices: ObjectShape<DeviceKey>,
    interfaces: ObjectShape<InterfaceKey>,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner {
            devices: ObjectShape::new(DeviceKey::Other),
            interfaces: ObjectShape::new(InterfaceKey::Other),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum InterfaceKey {
    Ip,
    Hardware,
    Other,
}

impl Scanner {
    /// Reads the object at the start of a text into a draft, and returns its length. `None` if it is not in the common form: then
    /// the draft contains a part of it.
    pub(super) fn device<'t>(
        &mut self,
        text: &'t str,
        draft: &mut DeviceDraft<'t>,
        columns: &mut Columns,
    ) -> Option<usize> {
        let mut cursor = Cursor { text, at: 0 };
        cursor.expect("{")?;
        for place in 0.. {
            let member = self.devices.member(place, &mut cursor, layout::key)?;
            if !draft.note(member.key) {
                return None;
            }
            match member.key {
                DeviceKey::Field(field) => match field.column() {
                    Column::Symbol(index) => {
                        let dictionary = &mut columns.symbols[index].dictionary;
                        draft.symbols[index] = member.code(&mut cursor, |cursor| {
                            let is_word =
                                cursor.is_text() && matches!(field.kind(), Kind::Text | Kind::Version);
                            if is_word {
                                return Some(draft::symbol_of_text(field, cursor.string()?, dictionary));
                            }
                            let value = cursor.scalar()?;
                            // The JSON parser judges values that do not fit.
                            draft::fits(field, &value).then(|| draft::symbol(field, value, dictionary))
                        })?;
                    }
                    _ if cursor.is_text() => draft.take_text(field, cursor.string()?),
                    _ => draft.take(field, cursor.scalar()?, columns),
                },
                DeviceKey::Tags => {
                    draft.tags.clear();
                    draft.has_tag_list = !cursor.is_null();
                    // The JSON parser judges anything but texts.
                    cursor.list(|cursor| {
                        let tag = cursor.string()?;
                        if !tag.is_empty() {
                            draft.tags.push(columns.tag_names.intern(tag) - 1);
                        }
                        Some(())
                    })?;
                }
                DeviceKey::Addresses => {
                    draft.addresses.clear();
                    draft.hardware.clear();
                    cursor.list(|cursor| self.interface(cursor, draft))?;
                }
                DeviceKey::Vm => vm_metadata(&mut cursor, draft, columns)?,
                DeviceKey::Other => drop(member.code(&mut cursor, Cursor::skip)?),
                DeviceKey::Value | DeviceKey::NextLink | DeviceKey::Count | DeviceKey::Error => return None,
            }
            if !cursor.goes_on()? {
                break;
            }
        }
        Some(cursor.at)
    }

    fn interface(&mut self, cursor: &mut Cursor<'_>, draft: &mut DeviceDraft<'_>) -> Option<()> {
        cursor.expect("{")?;
        for place in 0.. {
            let meaning = |name: &str| match name {
                "ipAddress" => InterfaceKey::Ip,
                "macAddress" => InterfaceKey::Hardware,
                _ => InterfaceKey::Other,
            };
            let member = self.interfaces.member(place, cursor, meaning)?;
            match member.key {
                InterfaceKey::Ip if cursor.is_text() => {
                    address::encode_ip(cursor.string()?, &mut draft.addresses);
                }
                InterfaceKey::Hardware if cursor.is_text() => {
                    address::encode_hardware(cursor.string()?, &mut draft.hardware);
                }
                // The JSON parser judges anything but a text or `null`.
                InterfaceKey::Ip | InterfaceKey::Hardware => cursor.expect("null")?,
                InterfaceKey::Other => drop(member.code(cursor, Cursor::skip)?),
            }
            if !cursor.goes_on()? {
                break;
            }
        }
        Some(())
    }
}

fn vm_metadata<'t>(
    cursor: &mut Cursor<'t>,
    draft: &mut DeviceDraft<'t>,
    columns: &mut Columns,
) -> Option<()> {
    if cursor.expect("null").is_some() {
        return Some(());
    }
    cursor.expect("{")?;
    loop {
        let name = cursor.string()?;
        cursor.expect(":")?;
        let value = cursor.scalar()?;
        if let Some(field) = Field::of_vm_key(name) {
            draft.take(field, value, columns);
        }
        if !cursor.goes_on()? {
            return Some(());
        }
    }
}

/// The members of the last object in their order. The next object usually has the same keys and often the same words, and
/// comparing is faster than looking up.
#[derive(Debug)]
struct ObjectShape<K> {
    members: Vec<ObjectMember<K>>,
    /// For members that are too far back to be remembered.
    other: ObjectMember<K>,
}

#[derive(Debug)]
struct ObjectMember<K> {
    /// As written in the text, with quotes and colon.
    start: String,
    key: K,
    /// The last value as written, with the byte that ended it, for fields of few values; empty: none yet.
    value: String,
    /// Its code.
    code: u32,
}

impl<K: Copy> ObjectShape<K> {
    fn new(key: K) -> ObjectShape<K> {
        let other = ObjectMember { start: String::new(), key, value: String::new(), code: 0 };
        ObjectShape { members: Vec::new(), other }
    }

    /// Skips the next key, which has this index in its object.
    fn member(
        &mut self,
        place: usize,
        cursor: &mut Cursor<'_>,
        meaning: impl Fn(&str) -> K,
    ) -> Option<&mut ObjectMember<K>> {
        let is_known = self.members.get(place).is_some_and(|member| cursor.expect(&member.start).is_some());
        if !is_known {
            let name = cursor.string()?;
            cursor.expect(":")?;
            let start = format!("\"{name}\":");
            let member = ObjectMember { start, key: meaning(name), value: String::new(), code: 0 };
            if place < self.members.len() {
                self.members[place] = member;
            } else if place < REMEMBERED {
                self.members.push(member);
            } else {
                self.other = member;
                return Some(&mut self.other);
            }
        }
        self.members.get_mut(place)
    }
}

impl<K> ObjectMember<K> {
    /// Skips a value: returns the last code if the value is the same again, else the result of `code`.
    fn code<'t>(
        &mut self,
        cursor: &mut Cursor<'t>,
        code: impl FnOnce(&mut Cursor<'t>) -> Option<u32>,
    ) -> Option<u32> {
        if !self.value.is_empty() && cursor.expect(&self.value).is_some() {
            cursor.at -= 1;
            return Some(self.code);
        }
        let start = cursor.at;
        self.value.clear();
        self.code = code(cursor)?;
        self.value.push_str(cursor.text.get(start..=cursor.at)?);
        Some(self.code)
    }
}

/// A place in a text.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Skips exactly this text, or stays.
    fn expect(&mut self, expected: &str) -> Option<()> {
        self.rest().starts_with(expected.as_bytes()).then(|| self.at += expected.len())
    }

    /// Skips the comma after a member, or the end of the object: `false`.
    fn goes_on(&mut self) -> Option<bool> {
        let byte = *self.rest().first()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            b'}' => Some(false),
            _ => None,
        }
    }

    /// Skips a list or `null`.
    fn list(&mut self, mut item: impl FnMut(&mut Cursor<'t>) -> Option<()>) -> Option<()> {
        if self.expect("null").is_some() || self.expect("[]").is_some() {
            return Some(());
        }
        self.expect("[")?;
        for _ in 0..LONGEST_LIST {
            item(self)?;
            if self.expect("]").is_some() {
                return Some(());
            }
            self.expect(",")?;
        }
        // The JSON parser reports what is wrong.
        None
    }

    /// Whether a text starts here.
    fn is_text(&self) -> bool {
        self.rest().first() == Some(&b'"')
    }

    /// Whether a `null` stands here.
    fn is_null(&self) -> bool {
        self.rest().first() == Some(&b'n')
    }

    /// Skips a text without escapes, and returns it.
    fn string(&mut self) -> Option<&'t str> {
        self.expect("\"")?;
        let length = plain_length(self.rest())?;
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length + 1;
        Some(text)
    }

    /// Skips a text, a word, or a whole number that is not negative and fits, and returns it.
    fn scalar(&mut self) -> Option<Scalar<'t>> {
        match self.rest().first()? {
            b'"' => self.string().map(|text| Scalar::Text(text.into())),
            b'n' => self.expect("null").map(|()| Scalar::Missing),
            b't' => self.expect("true").map(|()| Scalar::Boolean(true)),
            b'f' => self.expect("false").map(|()| Scalar::Boolean(false)),
            _ => self.whole_number().map(Scalar::Integer),
        }
    }

    /// Skips a value that does not matter.
    fn skip(&mut self) -> Option<u32> {
        self.scalar().map(|_| 0)
    }

    fn whole_number(&mut self) -> Option<i64> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_whole = matches!(rest.get(length)?, b',' | b'}' | b']');
        let is_canonical = length == 1 || rest[0] != b'0';
        if !is_whole || !is_canonical || !(1..=18).contains(&length) {
            return None;
        }
        self.at += length;
        Some(rest[..length].iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
    }
}

/// The length of a text up to its closing quote; `None` if an escape or a control character comes first, or there is no quote.
/// Looks at eight bytes at a time.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let mut chunks = bytes.chunks_exact(8);
    let mut length = 0;
    for chunk in chunks.by_ref() {
        let word = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        // Subtracting more than a byte's value borrows into its top bit, which ASCII leaves free. Bytes above the first such byte
        // may be marked too; bytes below it are not.
        let quotes = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
        let escapes = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let controls = word.wrapping_sub(ONES * 0x20);
        let found = (quotes | escapes | controls) & !word & TOPS;
        if found != 0 {
            length += found.trailing_zeros() as usize / 8;
            return (bytes[length] == b'"').then_some(length);
        }
        length += 8;
    }
    length += chunks.remainder().iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    (bytes[length] == b'"').then_some(length)
}
