//! Evaluates every distinct test of every field once: in one pass per field, or once per distinct value if there are few.
//!
//! Does not combine tests; that is `evaluate`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rayon::prelude::*;
use regex::RegexSet;

use super::Join;
use super::address::AddressMatcher;
use super::compile::Leaf;
use super::hits::gather;
use super::matcher::{SeenList, TextMatcher};
use crate::device::{Field, Kind};
use crate::inventory::{DeviceSet, Row, Snapshot, Stored, TagId};
use crate::policy::{ListFile, LookupCell, Policy, Test, TextList};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The input of the tests.
pub(super) struct LeafInputs<'a> {
    pub(super) policy: &'a Policy,
    pub(super) snapshot: &'a Snapshot,
    pub(super) joins: &'a [Join],
    pub(super) now: Timestamp,
}

/// The tests of one field, with their numbers in the program.
type Tests<'p> = Vec<(usize, &'p Test)>;

/// The lists of each field, with the values that some device has.
pub(super) type SeenLists<'p> = Vec<(Field, Vec<SeenList<'p>>)>;

/// The results of all tests.
pub(super) struct LeafSets<'p> {
    /// The devices for which each leaf holds.
    pub(super) sets: Vec<DeviceSet>,
    pub(super) lists: SeenLists<'p>,
    /// By address field, the devices whose text is not an IP address: every test of it is unknown.
    garbled: BTreeMap<Field, DeviceSet>,
}

/// Evaluates every leaf on every device.
pub(super) fn evaluate<'p>(world: &LeafInputs<'_>, leaves: &[Leaf<'p>]) -> LeafSets<'p> {
    let mut fields: BTreeMap<Field, Tests<'p>> = BTreeMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        fields.entry(leaf.field).or_default().push((index, leaf.test));
    }
    let mut sets: Vec<Option<DeviceSet>> = leaves.iter().map(|_| None).collect();
    let (mut seen, mut garbled) = (Vec::new(), BTreeMap::new());
    // In parallel: while one core prepares a field, the others work on another.
    let found: Vec<_> = fields.par_iter().map(|(field, tests)| field_sets(world, *field, tests)).collect();
    for ((field, tests), found) in fields.iter().zip(found) {
        seen.push((*field, found.lists));
        garbled.extend(found.garbled.map(|set| (*field, set)));
        for ((index, test), mut set) in tests.iter().zip(found.sets) {
            if matches!(test, Test::Exists(false) | Test::HasNone(_)) {
                set.complement();
            }
            sets[*index] = Some(set);
        }
    }
    let sets = sets.into_iter().map(|set| set.expect("every leaf has a field, and every field was asked"));
    LeafSets { sets: sets.collect(), lists: seen, garbled }
}

/// For each leaf, the devices on which unknown data leaves it undecided; `None` if there are none.
pub(super) fn unknown(
    world: &LeafInputs<'_>,
    leaves: &[Leaf<'_>],
    found: &LeafSets<'_>,
    lists: &[UnknownList],
) -> Vec<Option<Arc<DeviceSet>>> {
    let mut fields: BTreeMap<Field, Option<Arc<DeviceSet>>> = BTreeMap::new();
    let mut unknown = |field: Field| {
        let Field::Lookup { lookup, column } = field else { return None };
        let of = || {
            let width = world.policy.lookups[usize::from(lookup)].columns.len();
            world.joins[usize::from(lookup)].unknown(usize::from(column), width).map(Arc::new)
        };
        fields.entry(field).or_insert_with(of).clone()
    };
    let of = |(leaf, holds): (&Leaf<'_>, &DeviceSet)| match found.garbled.get(&leaf.field) {
        None => match lists.iter().find(|unknown| unknown.is_read_by(leaf.field, leaf.test)) {
            Some(list) => Some(list.devices.clone()),
            None => unknown(leaf.field),
        },
        Some(_) if matches!(leaf.test, Test::Exists(_)) => None,
        // If another address of the device meets the test, the test holds whatever this one is.
        Some(garbled) => {
            let mut open = garbled.clone();
            open.difference_with(holds);
            Some(Arc::new(open)).filter(|open| !open.is_empty())
        }
    };
    leaves.iter().zip(&found.sets).map(of).collect()
}

/// A list of ids or names of which no value is a device.
pub(super) struct UnknownList {
    pub(super) field: Field,
    pub(super) list: ListFile,
    /// Devices that have the field: they may be meant. What has no name is on no list of names.
    pub(super) devices: Arc<DeviceSet>,
}

impl UnknownList {
    fn is_read_by(&self, field: Field, test: &Test) -> bool {
        self.field == field && reads(test, &self.list)
    }
}

/// Whether a test reads a list.
pub(super) fn reads(test: &Test, list: &ListFile) -> bool {
    matches!(test, Test::Text(TextList { file: Some(file), .. }) if file == list)
}

/// The results of one field's tests.
struct FieldSets<'p> {
    /// One set per test, before `exists: false` and `hasNone` are inverted.
    sets: Vec<DeviceSet>,
    /// The lists from files, with the values that were seen.
    lists: Vec<SeenList<'p>>,
    /// As [`LeafSets::garbled`].
    garbled: Option<DeviceSet>,
}

fn field_sets<'p>(world: &LeafInputs<'_>, field: Field, tests: &Tests<'p>) -> FieldSets<'p> {
    let sets = match field.kind() {
        Kind::Time => time_sets(world, field, tests),
        Kind::Address => {
            let mut sets = address_sets(world, field, tests);
            let garbled = sets.pop().filter(|set| !set.is_empty());
            return FieldSets { sets, lists: Vec::new(), garbled };
        }
        Kind::Tags => tag_sets(world.snapshot, world.policy.tag_case, tests),
        Kind::Hardware => {
            let matcher = TextMatcher::new(numbered(tests));
            gather(world.snapshot.len(), tests.len(), String::new, |shown, row, hit| {
                for stored in world.snapshot.addresses(field, row) {
                    shown.clear();
                    // Writing to a string cannot fail.
                    let _ = std::fmt::Write::write_fmt(shown, format_args!("{stored}"));
                    matcher.find(shown, &mut *hit);
                }
            })
        }
        Kind::Text | Kind::Version | Kind::Integer | Kind::Boolean => {
            let matcher = TextMatcher::new(numbered(tests));
            let sets = text_sets(world, field, &matcher, tests.len());
            return FieldSets { sets, lists: matcher.lists, garbled: None };
        }
    };
    FieldSets { sets, lists: Vec::new(), garbled: None }
}

fn numbered<'p>(tests: &Tests<'p>) -> impl Iterator<Item = (u32, &'p Test)> {
    tests.iter().enumerate().map(|(number, (_, test))| (number as u32, *test))
}

fn text_sets(
    world: &LeafInputs<'_>,
    field: Field,
    matcher: &TextMatcher<'_>,
    tests: usize,
) -> Vec<DeviceSet> {
    let snapshot = world.snapshot;
    if let Field::Lookup { lookup, column } = field {
        let (table, join) = (&world.policy.lookups[usize::from(lookup)], &world.joins[usize::from(lookup)]);
        let code = |row: Row| join.line(row).map_or(0, |line| line as u32 + 1);
        let width = table.columns.len();
        let value = |code: u32| match join.rows.cell(code as usize - 1, usize::from(column), width) {
            LookupCell::Text(text) => Some(text),
            LookupCell::Empty | LookupCell::Unknown => None,
        };
        return coded_sets(snapshot.len(), join.rows.keys.len() + 1, code, value, matcher, tests);
    }
    if let Some(bound) = snapshot.code_bound(field) {
        let value = |code: u32| snapshot.code_text(field, code);
        return coded_sets(snapshot.len(), bound, |row| snapshot.code(field, row), value, matcher, tests);
    }
    gather(
        snapshot.len(),
        tests,
        || (),
        |(), row, hit| {
            if let Some(text) = snapshot.plain(field, row) {
                matcher.find(text, hit);
            }
        },
    )
}

/// Tests on a field of few values: each value is tested once, and rows take the result of their value.
fn coded_sets<'v>(
    length: usize,
    bound: usize,
    code: impl Fn(Row) -> u32,
    value: impl Fn(u32) -> Option<&'v str>,
    matcher: &TextMatcher<'_>,
    tests: usize,
) -> Vec<DeviceSet> {
    let rows = RowsByCode::new(length, bound, code);
    let mut codes: Vec<Vec<u32>> = vec![Vec::new(); tests];
    for code in (1..bound as u32).filter(|code| !rows.of(*code).is_empty()) {
        let Some(text) = value(code) else { continue };
        matcher.find(text, |test| {
            let codes = &mut codes[test as usize];
            if codes.last() != Some(&code) {
                codes.push(code);
            }
        });
    }
    // A value of many rows gets its own set, made once; rows of other values are added one by one.
    let often = length / 64 + 1;
    let dense: BTreeMap<u32, DeviceSet> = (1..bound as u32)
        .filter(|code| rows.of(*code).len() > often)
        .map(|code| (code, DeviceSet::of(length, rows.of(code).iter().copied())))
        .collect();
    let set_of = |codes: &Vec<u32>| {
        let mut set = DeviceSet::new(length);
        for code in codes {
            match dense.get(code) {
                Some(rows) => set.union_with(rows),
                None => rows.of(*code).iter().for_each(|row| set.insert(*row)),
            }
        }
        set
    };
    codes.par_iter().map(set_of).collect()
}

/// Rows sorted by their code.
struct RowsByCode {
    ends: Vec<u32>,
    rows: Vec<Row>,
}

impl RowsByCode {
    fn new(length: usize, bound: usize, code: impl Fn(Row) -> u32) -> RowsByCode {
        let mut ends = vec![0u32; bound];
        (0..length as u32).for_each(|row| ends[code(Row(row)) as usize] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum - *end;
        }
        let mut rows = vec![Row(0); length];
        for row in (0..length as u32).map(Row) {
            let place = &mut ends[code(row) as usize];
            rows[*place as usize] = row;
            *place += 1;
        }
        RowsByCode { ends, rows }
    }

    fn of(&self, code: u32) -> &[Row] {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.rows[start as usize..self.ends[code] as usize]
    }
}

/// Tests on a time. Each splits the devices that have one at a bound. The sets grow from bound to bound, so that hundreds of
/// tests take little more than one pass over the fleet.
fn time_sets(world: &LeafInputs<'_>, field: Field, tests: &Tests<'_>) -> Vec<DeviceSet> {
    let ticks = world.snapshot.ticks(field);
    let length = ticks.len();
    // A missing time is the smallest number, below 0 and so below every time that a field can have.
    let mut splits: Vec<(i64, bool, usize)> = numbered(tests)
        .map(|(number, test)| {
            let (bound, is_after) = match test {
                Test::Within(span) => (world.now.minus(*span).ticks(), true),
                Test::OlderThan(span) => (world.now.minus(*span).ticks(), false),
                Test::Before(moment) => (moment.ticks(), false),
                Test::After(moment) => (moment.ticks().saturating_add(1), true),
                _ => (0, true),
            };
            (bound.max(0), is_after, number as usize)
        })
        .collect();
    splits.sort_unstable();
    let mut bounds: Vec<i64> = std::iter::once(0).chain(splits.iter().map(|(bound, ..)| *bound)).collect();
    bounds.dedup();
    let codes: Vec<u32> =
        ticks.par_iter().map(|tick| bounds.partition_point(|bound| bound <= tick) as u32).collect();
    let rows = RowsByCode::new(length, bounds.len() + 1, |row| codes[row.index()]);
    let known = DeviceSet::collect(length, |row| codes[row.index()] > 0);
    let mut before = DeviceSet::new(length);
    let mut sets = vec![DeviceSet::new(length); tests.len()];
    let mut splits = splits.iter().peekable();
    for (below, bound) in bounds.iter().enumerate() {
        if below > 0 {
            rows.of(below as u32).iter().for_each(|row| before.insert(*row));
        }
        while let Some((_, is_after, test)) = splits.next_if(|split| split.0 == *bound) {
            let mut set = if *is_after { known.clone() } else { before.clone() };
            if *is_after {
                set.difference_with(&before);
            }
            sets[*test] = set;
        }
    }
    sets
}

/// One set per test, then the devices whose text is not an IP address.
fn address_sets(world: &LeafInputs<'_>, field: Field, tests: &Tests<'_>) -> Vec<DeviceSet> {
    let matcher = AddressMatcher::new(numbered(tests));
    let exists: Vec<u32> = numbered(tests)
        .filter(|(_, test)| matches!(test, Test::Exists(_)))
        .map(|(number, _)| number)
        .collect();
    gather(
        world.snapshot.len(),
        tests.len() + 1,
        || (),
        |(), row, hit| {
            for stored in world.snapshot.addresses(field, row) {
                exists.iter().for_each(|test| hit(*test));
                match stored {
                    Stored::Ip(address) => matcher.find(address).iter().for_each(|test| hit(*test)),
                    _ => hit(tests.len() as u32),
                }
            }
        },
    )
}

fn tag_sets(snapshot: &Snapshot, case: TagCase, tests: &Tests<'_>) -> Vec<DeviceSet> {
    // Spellings of each tag by key; needed only if case does not count.
    let mut spellings: HashMap<String, Vec<TagId>> = HashMap::new();
    if case == TagCase::Insensitive {
        for tag in snapshot.tag_ids() {
            spellings.entry(case.key(snapshot.tag(tag)).into_owned()).or_default().push(tag);
        }
    }
    let find = |tag: &str| match case {
        TagCase::Exact => snapshot.find_tag(tag).into_iter().collect(),
        TagCase::Insensitive => spellings.get(&*case.key(tag)).cloned().unwrap_or_default(),
    };
    let union = |tags: &mut dyn Iterator<Item = TagId>| {
        let mut set = DeviceSet::new(snapshot.len());
        tags.for_each(|tag| snapshot.carrier_rows(tag).iter().for_each(|row| set.insert(*row)));
        set
    };
    let set_of = |(_, test): &(usize, &Test)| match test {
        Test::HasAny(tags) | Test::HasNone(tags) => union(&mut tags.iter().flat_map(|tag| find(tag))),
        Test::HasAll(tags) => {
            let mut set = DeviceSet::full(snapshot.len());
            for tag in tags {
                set.intersect_with(&union(&mut find(tag).into_iter()));
            }
            set
        }
        Test::TagMatches(globs) => {
            let set = RegexSet::new(globs.iter().map(|glob| glob.regex())).ok();
            let matches = |tag: &TagId| match &set {
                Some(set) => set.is_match(snapshot.tag(*tag)),
                None => globs.iter().any(|glob| glob.matches(snapshot.tag(*tag))),
            };
            union(&mut snapshot.tag_ids().filter(matches))
        }
        _ => union(&mut snapshot.tag_ids()),
    };
    tests.par_iter().map(set_of).collect()
}
