//! The snapshot: devices as rows of columns, and the queries that the pipeline needs.
//!
//! Does not read (that is `builder`) and does not select.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::address::{self, Stored};
use super::columns::{Columns, Lists, NO_TIME};
use super::layout;
use super::{DeviceSet, Row, TagId, copies, digest};
use crate::device::{Column, Field};
use crate::text;
use crate::time::Timestamp;

/// The inventory at one moment. Rows are in the order in which they were read; ids are unique.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) columns: Columns,
    /// Tags as the callers' newtype.
    tags: Lists<TagId>,
    order: Vec<Row>,
    carriers: Lists<Row>,
    digest: OnceLock<String>,
}

impl Snapshot {
    /// Sorts by id and removes repeated ids: the copy with the later `lastSeen` stays, the first of equals.
    pub(super) fn new(mut columns: Columns) -> Snapshot {
        let (mut order, mut carriers) = rayon::join(|| copies::sorted(&columns), || invert(&columns));
        if let Some(rows) = copies::kept(&columns, &order) {
            columns.retain(&rows);
            (order, carriers) = (copies::sorted(&columns), invert(&columns));
        }
        let order = order.into_iter().map(|(_, row)| Row(row)).collect();
        let tags = std::mem::take(&mut columns.tags).map(TagId);
        Snapshot { columns, tags, order, carriers, digest: OnceLock::new() }
    }

    /// The number of devices, which is the length of every column.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no device.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows, in the order in which they were read.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Row> + ExactSizeIterator {
        (0..self.len() as u32).map(Row)
    }

    /// All rows, bytewise by device id.
    pub fn order_by_id(&self) -> &[Row] {
        &self.order
    }

    /// The device id, as the service spells it.
    pub fn id(&self, row: Row) -> &str {
        self.columns.texts[layout::ID].get(row.index())
    }

    /// `computerDnsName`.
    pub fn name(&self, row: Row) -> Option<&str> {
        Some(self.columns.texts[layout::NAME].get(row.index())).filter(|name| !name.is_empty())
    }

    /// A device's name for people: its name, or its id if it has none.
    pub fn label(&self, row: Row) -> &str {
        self.name(row).unwrap_or_else(|| self.id(row))
    }

    /// The tags in the service's order, each once.
    pub fn tags(&self, row: Row) -> &[TagId] {
        self.tags.get(row.index())
    }

    /// Whether the device came with a list of tags, be it empty. Without one it counts as a device without tags, and is no proof
    /// that a tag is gone.
    pub fn has_tag_list(&self, row: Row) -> bool {
        self.columns.without_tag_list.binary_search(&row.0).is_err()
    }

    /// The text of a tag.
    pub fn tag(&self, tag: TagId) -> &str {
        self.columns.tag_names.get(tag.0 + 1).expect("tag ids come from this snapshot")
    }

    /// The upper bound of [`TagId`]s. Some tags below it may have no carrier left.
    pub fn tag_count(&self) -> usize {
        self.columns.tag_names.bound() - 1
    }

    /// All tags, in order of first appearance.
    pub fn tag_ids(&self) -> impl ExactSizeIterator<Item = TagId> {
        (0..self.tag_count() as u32).map(TagId)
    }

    /// The tag with exactly this text.
    pub fn find_tag(&self, text: &str) -> Option<TagId> {
        self.columns.tag_names.find(text).map(|number| TagId(number - 1))
    }

    /// The rows that carry a tag, ascending. A list, because a tenant may have more tags than bitmaps would fit in memory.
    pub fn carrier_rows(&self, tag: TagId) -> &[Row] {
        self.carriers.get(tag.0 as usize)
    }

    /// The devices that carry a tag, as a set.
    pub fn carriers(&self, tag: TagId) -> DeviceSet {
        DeviceSet::of(self.len(), self.carrier_rows(tag).iter().copied())
    }

    /// Whether a device carries a tag.
    pub fn carries(&self, row: Row, tag: TagId) -> bool {
        self.tags(row).contains(&tag)
    }

    /// `deviceValue` as read; unknown words are kept.
    pub fn value(&self, row: Row) -> Option<&str> {
        self.columns.symbols[layout::VALUE].get(row.index())
    }

    /// The device with exactly this id.
    pub fn find(&self, id: &str) -> Option<Row> {
        self.order.binary_search_by(|row| self.id(*row).cmp(id)).ok().map(|index| self.order[index])
    }

    /// The devices that a person means by a text: the one with this id; else all with this `computerDnsName` without case; else
    /// all with this `deviceName`.
    pub fn find_device(&self, text: &str) -> Vec<Row> {
        if let Some(row) = self.find(text) {
            return vec![row];
        }
        let named = |field: Field| -> Vec<Row> {
            let is_it = |row: &Row| self.text(field, *row).is_some_and(|name| text::equal(&name, text));
            self.rows().filter(is_it).collect()
        };
        let full = named(Field::ComputerDnsName);
        if full.is_empty() { named(Field::DeviceName) } else { full }
    }

    /// A text, version or integer field as text; `None` if it is missing, and for fields of other kinds.
    pub fn text(&self, field: Field, row: Row) -> Option<Cow<'_, str>> {
        self.plain(field, row).map(Cow::Borrowed)
    }

    /// Like [`Snapshot::text`], also for booleans, borrowed.
    pub(crate) fn plain(&self, field: Field, row: Row) -> Option<&str> {
        match field.column() {
            Column::Text(index) => Some(self.columns.texts[index].get(row.index())),
            Column::Symbol(index) => self.columns.symbols[index].get(row.index()),
            Column::DeviceName => self.name(row).map(|name| split(name).0),
            Column::Domain => self.name(row).map(|name| split(name).1),
            Column::Time(_) | Column::Bytes(_) | Column::Tags | Column::Lookup => None,
        }
        .filter(|text| !text.is_empty())
    }

    /// The upper bound of the codes of a field with few distinct values, which start at 1; 0 is missing. `None` for other fields.
    pub(crate) fn code_bound(&self, field: Field) -> Option<usize> {
        let Column::Symbol(index) = field.column() else { return None };
        Some(self.columns.symbols[index].dictionary.bound())
    }

    /// The code of a field with a [`Snapshot::code_bound`].
    pub(crate) fn code(&self, field: Field, row: Row) -> u32 {
        let Column::Symbol(index) = field.column() else { return 0 };
        self.columns.symbols[index].code(row.index())
    }

    /// The text of a code.
    pub(crate) fn code_text(&self, field: Field, code: u32) -> Option<&str> {
        let Column::Symbol(index) = field.column() else { return None };
        self.columns.symbols[index].dictionary.get(code)
    }

    /// Number of distinct words of closed lists that this version does not know.
    pub fn unknown_words(&self) -> u64 {
        let unknown = |field: &Field| {
            let known = field.known_values();
            let bound = self.code_bound(*field).filter(|_| !known.is_empty()).unwrap_or(0);
            let words = (1..bound as u32).filter_map(|code| self.code_text(*field, code));
            words.filter(|word| !known.contains(word)).count() as u64
        };
        Field::ALL.iter().map(unknown).sum()
    }

    /// All ticks of a time field by row; a missing time is [`i64::MIN`].
    pub(crate) fn ticks(&self, field: Field) -> &[i64] {
        let Column::Time(index) = field.column() else { return &[] };
        &self.columns.times[index]
    }

    /// A time field; `None` if it is missing.
    pub fn time(&self, field: Field, row: Row) -> Option<Timestamp> {
        let Column::Time(index) = field.column() else { return None };
        let ticks = self.columns.times[index][row.index()];
        (ticks != NO_TIME).then(|| Timestamp::from_ticks(ticks))
    }

    /// A boolean field; `None` if it is missing.
    pub fn boolean(&self, field: Field, row: Row) -> Option<bool> {
        self.plain(field, row).map(|word| word == "true")
    }

    /// An integer field; `None` if it is missing.
    pub fn integer(&self, field: Field, row: Row) -> Option<i64> {
        self.plain(field, row).and_then(|digits| digits.parse().ok())
    }

    /// An address or hardware-address field: its elements.
    pub fn addresses(&self, field: Field, row: Row) -> impl Iterator<Item = Stored<'_>> {
        let bytes = match field.column() {
            Column::Bytes(index) => self.columns.bytes[index].get(row.index()),
            _ => &[],
        };
        address::decode(bytes)
    }

    /// Any field in the form for people; `None` if it is missing (tags: if there are none).
    pub fn shown(&self, field: Field, row: Row) -> Option<String> {
        let joined = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
        match field.column() {
            Column::Time(_) => self.time(field, row).map(|time| time.rounded_down().to_string()),
            Column::Bytes(_) => joined(self.addresses(field, row).map(|stored| stored.to_string()).collect()),
            Column::Tags => joined(self.tags(row).iter().map(|tag| self.tag(*tag).to_owned()).collect()),
            _ => self.plain(field, row).map(str::to_owned),
        }
    }

    /// `sha256:…` over the devices, independent of the order and pages in which they were read. Computed once.
    pub fn digest(&self) -> String {
        self.digest.get_or_init(|| digest::digest_of(&self.columns, &self.tags, &self.order)).clone()
    }
}

/// The domain that a name ends with; none where it has no dot, or nothing after its first one.
pub(crate) fn domain_of(name: &str) -> Option<&str> {
    Some(split(name).1).filter(|domain| !domain.is_empty())
}

/// The name up to the first dot, and the rest.
fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((name, ""))
}

/// For every tag, the rows that carry it, ascending.
fn invert(columns: &Columns) -> Lists<Row> {
    let mut counts = vec![0u32; columns.tag_names.bound() - 1];
    columns.tags.all().iter().for_each(|tag| counts[*tag as usize] += 1);
    let mut ends: Vec<u32> = counts
        .iter()
        .scan(0, |sum, count| {
            *sum += count;
            Some(*sum - count)
        })
        .collect();
    let mut pool = vec![Row(0); columns.tags.all().len()];
    for row in 0..columns.len() {
        for tag in columns.tags.get(row) {
            let place = &mut ends[*tag as usize];
            pool[*place as usize] = Row(row as u32);
            *place += 1;
        }
    }
    Lists::from_parts(pool, ends)
}
