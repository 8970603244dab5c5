//! Selectors as formulas: which ones no device can meet, which ones every device meets, and which follow from others.
//!
//! Sound but incomplete: a claim is true for every inventory, but some true claims are not found.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Policy, Selector, SelectorKind, Test};
use crate::device::{Field, Kind};
use crate::text;

/// The most parts of a formula that is examined, because a comparison may look at every pair.
const MOST_PARTS: usize = 200;

/// The most values of a list that is compared value by value.
const MOST_VALUES: usize = 200;

/// A selector without names and without nested lists of the same kind. Negations are only at atoms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Formula<'p> {
    Always,
    Never,
    /// At least two, none of them `All`.
    All(Vec<Formula<'p>>),
    /// At least two, none of them `Any`.
    Any(Vec<Formula<'p>>),
    /// A test, or a part that is only compared as a whole.
    Atom(Atom<'p>),
    /// An atom that must not hold.
    Not(Atom<'p>),
}

/// The smallest part of a selector.
#[derive(Clone, Debug)]
pub(super) struct Atom<'p> {
    test: Option<(Field, &'p Test)>,
    /// Two atoms of one key hold for the same devices.
    key: String,
}

impl PartialEq for Atom<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Atom<'_> {}

/// The selectors of a policy as formulas. Each named selector is expanded once.
pub(super) struct Formulas<'p> {
    policy: &'p Policy,
    named: HashMap<usize, Option<Formula<'p>>>,
}

impl<'p> Formulas<'p> {
    pub(super) fn new(policy: &'p Policy) -> Formulas<'p> {
        Formulas { policy, named: HashMap::new() }
    }

    /// The formula of a selector; `None` if it is too large to examine.
    pub(super) fn of(&mut self, selector: &'p Selector) -> Option<Formula<'p>> {
        let formula = self.formula(selector, false)?;
        (formula.parts() <= MOST_PARTS).then_some(formula)
    }

    fn formula(&mut self, selector: &'p Selector, is_negated: bool) -> Option<Formula<'p>> {
        let atom = |test: Option<(Field, &'p Test)>, key: String| {
            let atom = Atom { test, key };
            Some(if is_negated { Formula::Not(atom) } else { Formula::Atom(atom) })
        };
        match &selector.kind {
            SelectorKind::Everything => Some(if is_negated { Formula::Never } else { Formula::Always }),
            SelectorKind::All(parts) => self.parts(parts, is_negated, !is_negated),
            SelectorKind::Any(parts) => self.parts(parts, is_negated, is_negated),
            SelectorKind::Not(inner) => self.formula(inner, !is_negated),
            SelectorKind::Use(index) => {
                let formula = match self.named.get(index) {
                    Some(known) => known.clone(),
                    None => {
                        // A cycle is reported as an error elsewhere, so it is not followed here.
                        self.named.insert(*index, None);
                        let policy = self.policy;
                        let found = self.formula(&policy.selectors[*index].selector, false);
                        let found = found.filter(|formula| formula.parts() <= MOST_PARTS);
                        self.named.insert(*index, found.clone());
                        found
                    }
                };
                formula.map(|formula| if is_negated { formula.negated() } else { formula })
            }
            // One atom for a field that exists and one that does not: else neither would be the negation of the other.
            SelectorKind::Field { field, test: Test::Exists(exists) } => {
                static EXISTS: Test = Test::Exists(true);
                let atom = Atom { test: Some((*field, &EXISTS)), key: format!("{field:?} exists") };
                Some(if is_negated == *exists { Formula::Not(atom) } else { Formula::Atom(atom) })
            }
            SelectorKind::Field { field, test } => {
                atom(Some((*field, test)), format!("{field:?} {}", key(test)))
            }
            SelectorKind::Superseded { by, keep } => atom(None, format!("superseded {by:?} {keep:?}")),
            SelectorKind::Hunting(query) => atom(None, format!("hunting {query:?}")),
        }
    }

    fn parts(&mut self, parts: &'p [Selector], is_negated: bool, is_all: bool) -> Option<Formula<'p>> {
        let parts = parts.iter().map(|part| self.formula(part, is_negated)).collect::<Option<Vec<_>>>()?;
        Some(joined(parts, is_all))
    }
}

/// A test as text. Patterns appear as their sources, because the `Debug` form of a compiled one is long and says no more.
fn key(test: &Test) -> String {
    match test {
        Test::Glob(globs) => format!("glob {:?}", globs.iter().map(|glob| glob.source()).collect::<Vec<_>>()),
        Test::TagMatches(globs) => {
            format!("matches {:?}", globs.iter().map(|glob| glob.source()).collect::<Vec<_>>())
        }
        Test::Regex(patterns) => {
            format!("regex {:?}", patterns.iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// The parts as one formula, flattened and without parts that change nothing.
fn joined(parts: Vec<Formula<'_>>, is_all: bool) -> Formula<'_> {
    let (neutral, deciding) =
        if is_all { (Formula::Always, Formula::Never) } else { (Formula::Never, Formula::Always) };
    let mut flat: Vec<Formula<'_>> = Vec::new();
    for part in parts {
        match part {
            Formula::All(inner) if is_all => flat.extend(inner),
            Formula::Any(inner) if !is_all => flat.extend(inner),
            part if part == neutral => {}
            part if part == deciding => return deciding,
            part => flat.push(part),
        }
    }
    let mut distinct: Vec<Formula<'_>> = Vec::new();
    for part in flat {
        if !distinct.contains(&part) {
            distinct.push(part);
        }
    }
    match distinct.len() {
        0 => neutral,
        1 => distinct.remove(0),
        _ if is_all => Formula::All(distinct),
        _ => Formula::Any(distinct),
    }
}

impl<'p> Formula<'p> {
    fn parts(&self) -> usize {
        match self {
            Formula::All(parts) | Formula::Any(parts) => parts.iter().map(Formula::parts).sum(),
            _ => 1,
        }
    }

    /// The formula that holds for exactly the other devices.
    pub(super) fn negated(&self) -> Formula<'p> {
        match self {
            Formula::Always => Formula::Never,
            Formula::Never => Formula::Always,
            Formula::All(parts) => Formula::Any(parts.iter().map(Formula::negated).collect()),
            Formula::Any(parts) => Formula::All(parts.iter().map(Formula::negated).collect()),
            Formula::Atom(atom) => Formula::Not(atom.clone()),
            Formula::Not(atom) => Formula::Atom(atom.clone()),
        }
    }

    /// Whether no device can meet it.
    pub(super) fn is_impossible(&self) -> bool {
        match self {
            Formula::Never => true,
            Formula::Any(parts) => parts.iter().all(Formula::is_impossible),
            Formula::All(parts) => {
                parts.iter().any(Formula::is_impossible)
                    || parts
                        .iter()
                        .enumerate()
                        .any(|(index, part)| parts[index + 1..].iter().any(|other| part.excludes(other)))
            }
            _ => false,
        }
    }

    /// Whether every device meets it.
    pub(super) fn is_certain(&self) -> bool {
        self.negated().is_impossible()
    }

    /// Whether no device meets both.
    fn excludes(&self, other: &Formula<'p>) -> bool {
        match (self, other) {
            (Formula::Any(parts), other) | (other, Formula::Any(parts)) => {
                parts.iter().all(|part| part.excludes(other))
            }
            (Formula::All(parts), other) | (other, Formula::All(parts)) => {
                parts.iter().any(|part| part.excludes(other))
            }
            (Formula::Atom(one), Formula::Atom(two)) => excludes(one, two),
            (Formula::Atom(one), Formula::Not(two)) | (Formula::Not(two), Formula::Atom(one)) => {
                follows(one, two)
            }
            (Formula::Never, _) | (_, Formula::Never) => true,
            _ => false,
        }
    }

    /// Whether every device that meets it also meets the other.
    pub(super) fn implies(&self, other: &Formula<'p>) -> bool {
        if self == other || *other == Formula::Always || *self == Formula::Never {
            return true;
        }
        match (self, other) {
            (Formula::Any(parts), other) => parts.iter().all(|part| part.implies(other)),
            (Formula::Atom(atom), other) if other.holds_for_each_value(atom) => true,
            (one, Formula::All(parts)) => parts.iter().all(|part| one.implies(part)),
            (one, Formula::Any(parts)) if parts.iter().any(|part| one.implies(part)) => true,
            (Formula::All(parts), other) => parts.iter().any(|part| part.implies(other)),
            (Formula::Atom(one), Formula::Atom(two)) => follows(one, two),
            (Formula::Not(one), Formula::Not(two)) => follows(two, one),
            (Formula::Atom(one), Formula::Not(two)) => excludes(one, two),
            _ => false,
        }
    }
}

impl Formula<'_> {
    /// Whether the atom compares a single-valued field with a list, and each value of the list meets this formula. So the list `a, b`
    /// implies `a` or `b`, although it implies neither.
    fn holds_for_each_value(&self, atom: &Atom<'_>) -> bool {
        let Some((field, Test::Text(list))) = atom.test else { return false };
        let is_examined = is_single(field) && list.values.len() <= MOST_VALUES;
        is_examined && list.values.iter().all(|value| self.holds_for(field, value) == Some(true))
    }

    /// Whether every device with this value of the field meets it, or none does; `None` if that depends on the device.
    fn holds_for(&self, field: Field, value: &str) -> Option<bool> {
        match self {
            Formula::Always => Some(true),
            Formula::Never => Some(false),
            Formula::All(parts) => decided_by(false, parts, field, value),
            Formula::Any(parts) => decided_by(true, parts, field, value),
            Formula::Atom(atom) => atom.holds_for(field, value),
            Formula::Not(atom) => atom.holds_for(field, value).map(|holds| !holds),
        }
    }
}

/// What parts say together if one part with the answer `deciding` decides for all: `false` in `All`, `true` in `Any`.
fn decided_by(deciding: bool, parts: &[Formula<'_>], field: Field, value: &str) -> Option<bool> {
    let answers: Vec<Option<bool>> = parts.iter().map(|part| part.holds_for(field, value)).collect();
    if answers.contains(&Some(deciding)) {
        return Some(deciding);
    }
    answers.iter().all(Option::is_some).then_some(!deciding)
}

impl Atom<'_> {
    fn holds_for(&self, field: Field, value: &str) -> Option<bool> {
        self.test.filter(|(own, _)| *own == field).and_then(|(_, test)| holds(test, value))
    }
}

/// Whether a device has at most one value of the field, so that two different values exclude each other.
fn is_single(field: Field) -> bool {
    matches!(field.kind(), Kind::Text | Kind::Version | Kind::Integer | Kind::Boolean | Kind::Time)
}

/// Whether a device has at most one address in the field. Only IPv4 is compared: an IPv6 address can hold one of IPv4.
fn has_one_address(field: Field) -> bool {
    matches!(field, Field::LastIpAddress | Field::LastExternalIpAddress)
}

/// Whether the second atom holds whenever the first does.
fn follows(one: &Atom<'_>, two: &Atom<'_>) -> bool {
    if one == two {
        return true;
    }
    let (Some((field, one)), Some((other, two))) = (one.test, two.test) else { return false };
    if field != other {
        return false;
    }
    match (one, two) {
        (Test::Exists(_), _) => false,
        (Test::HasNone(some), Test::HasNone(fewer)) => fewer.iter().all(|tag| some.contains(tag)),
        (Test::HasNone(_), _) => false,
        // A field that is compared with any value exists.
        (_, Test::Exists(true)) => true,
        (Test::HasAll(some), Test::HasAll(fewer)) => fewer.iter().all(|tag| some.contains(tag)),
        (Test::HasAll(some), Test::HasAny(more)) => some.iter().any(|tag| more.contains(tag)),
        (Test::HasAny(some), Test::HasAny(more)) => some.iter().all(|tag| more.contains(tag)),
        (Test::HasAll(some), Test::TagMatches(globs)) => {
            some.iter().any(|tag| globs.iter().any(|glob| glob.matches(tag)))
        }
        (Test::HasAny(some), Test::TagMatches(globs)) => {
            some.iter().all(|tag| globs.iter().any(|glob| glob.matches(tag)))
        }
        (Test::Within(short), Test::Within(long)) => short <= long,
        (Test::OlderThan(long), Test::OlderThan(short)) => long >= short,
        (Test::Before(early), Test::Before(late)) => early <= late,
        (Test::After(late), Test::After(early)) => late >= early,
        (Test::Integer(some), Test::Integer(more)) => some.iter().all(|number| more.contains(number)),
        (Test::Integer(some), Test::IntegerRange { least, greatest }) => {
            some.iter().all(|number| (least..=greatest).contains(&number))
        }
        (Test::IntegerRange { least, greatest }, Test::IntegerRange { least: lower, greatest: higher }) => {
            lower <= least && greatest <= higher
        }
        (Test::StartsWith(some), Test::StartsWith(more)) => {
            every_text(some, more, |text, other| text.starts_with(other))
        }
        (Test::EndsWith(some), Test::EndsWith(more)) => {
            every_text(some, more, |text, other| text.ends_with(other))
        }
        (Test::StartsWith(some) | Test::EndsWith(some) | Test::Contains(some), Test::Contains(more)) => {
            every_text(some, more, |text, other| text.contains(other))
        }
        (Test::Glob(globs), Test::StartsWith(more)) => globs.iter().all(|glob| {
            let start = text::fold(&glob.literal_start()).into_owned();
            more.iter().any(|other| start.starts_with(&*text::fold(other)))
        }),
        (Test::Address(some), Test::Cidr(nets)) => {
            some.iter().all(|address| nets.iter().any(|net| net.contains(address)))
        }
        (Test::Cidr(some), Test::Cidr(more)) => {
            some.iter().all(|net| more.iter().any(|wide| wide.contains(net)))
        }
        (Test::Text(list), two) if is_single(field) && list.values.len() <= MOST_VALUES => {
            list.values.iter().all(|value| holds(two, value) == Some(true))
        }
        _ => false,
    }
}

fn every_text(some: &[String], more: &[String], is_met: impl Fn(&str, &str) -> bool) -> bool {
    some.iter().all(|text| {
        let folded = text::fold(text);
        more.iter().any(|other| is_met(&folded, &text::fold(other)))
    })
}

/// Whether no device meets both.
fn excludes(one: &Atom<'_>, two: &Atom<'_>) -> bool {
    let (Some((field, one)), Some((other, two))) = (one.test, two.test) else { return false };
    if field != other {
        return false;
    }
    match (one, two) {
        (Test::Exists(false), Test::HasNone(_)) | (Test::HasNone(_), Test::Exists(false)) => false,
        (Test::Exists(false), Test::Exists(false)) => false,
        (Test::Exists(false), _) | (_, Test::Exists(false)) => true,
        (Test::HasNone(none), Test::HasAny(any)) | (Test::HasAny(any), Test::HasNone(none)) => {
            any.iter().all(|tag| none.contains(tag))
        }
        (Test::HasNone(none), Test::HasAll(all)) | (Test::HasAll(all), Test::HasNone(none)) => {
            all.iter().any(|tag| none.contains(tag))
        }
        (Test::Within(young), Test::OlderThan(old)) | (Test::OlderThan(old), Test::Within(young)) => {
            young <= old
        }
        (Test::Before(early), Test::After(late)) | (Test::After(late), Test::Before(early)) => early <= late,
        (Test::Boolean(one), Test::Boolean(two)) => one != two,
        (Test::Integer(some), Test::Integer(others)) if is_single(field) => {
            some.iter().all(|number| !others.contains(number))
        }
        (Test::Integer(some), Test::IntegerRange { least, greatest })
        | (Test::IntegerRange { least, greatest }, Test::Integer(some))
            if is_single(field) =>
        {
            some.iter().all(|number| !(least..=greatest).contains(&number))
        }
        (Test::IntegerRange { least, greatest }, Test::IntegerRange { least: lower, greatest: higher }) => {
            greatest < lower || higher < least
        }
        (Test::Address(some), Test::Cidr(nets)) | (Test::Cidr(nets), Test::Address(some))
            if has_one_address(field) =>
        {
            let is_outside = |address: &IpAddr, net: &IpNet| {
                address.is_ipv4() && matches!(net, IpNet::V4(_)) && !net.contains(address)
            };
            some.iter().all(|address| nets.iter().all(|net| is_outside(address, net)))
        }
        (Test::Cidr(some), Test::Cidr(others)) if has_one_address(field) => {
            let is_apart = |one: &IpNet, other: &IpNet| match (one, other) {
                (IpNet::V4(one), IpNet::V4(other)) => !one.contains(other) && !other.contains(one),
                _ => false,
            };
            some.iter().all(|one| others.iter().all(|other| is_apart(one, other)))
        }
        (Test::Text(list), other) | (other, Test::Text(list))
            if is_single(field) && list.values.len() <= MOST_VALUES =>
        {
            list.values.iter().all(|value| holds(other, value) == Some(false))
        }
        _ => false,
    }
}

/// Whether a test of a text field holds for a value; `None` if that is not decided here.
fn holds(test: &Test, value: &str) -> Option<bool> {
    let folded = text::fold(value);
    let any = |parts: &[String], is_met: &dyn Fn(&str) -> bool| {
        Some(parts.iter().any(|part| is_met(&text::fold(part))))
    };
    match test {
        Test::Exists(is_there) => Some(*is_there),
        Test::Text(list) if list.values.len() <= MOST_VALUES => {
            Some(list.values.iter().any(|other| text::equal(other, value)))
        }
        Test::Glob(globs) => Some(globs.iter().any(|glob| glob.matches(value))),
        Test::Regex(patterns) => Some(patterns.iter().any(|pattern| pattern.is_match(value))),
        Test::StartsWith(parts) => any(parts, &|part| folded.starts_with(part)),
        Test::EndsWith(parts) => any(parts, &|part| folded.ends_with(part)),
        Test::Contains(parts) => any(parts, &|part| folded.contains(part)),
        _ => None,
    }
}
