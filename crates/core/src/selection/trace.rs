//! Explains one selector on one device: every condition with the device's actual value.
//!
//! Evaluates one test at a time, straight from the language reference, and shares nothing with the evaluation by columns, so that
//! each checks the other.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::superseded::is_kept_over;
use super::{HuntingResults, Selections, address, hunting, leaves};
use crate::device::{Field, Kind};
use crate::diagnostic::Span;
use crate::inventory::{Row, Snapshot, Stored};
use crate::policy::{Hunting, Keep, LookupCell, Policy, Selector, SelectorKind, Test};
use crate::text;
use crate::time::{self, Timestamp};

/// A condition on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The condition in the policy's words, as short as possible.
    pub label: String,
    /// Whether it holds; `None` if that is unknown.
    pub holds: Option<bool>,
    /// The device's value; `None` if it has none, and for conditions that only combine others.
    pub actual: Option<String>,
    /// The place of the condition.
    pub span: Span,
    /// The conditions that it combines.
    pub children: Vec<Trace>,
}

/// Why a selector selects a device or not. A named selector is explained at its first use.
pub fn trace(
    policy: &Policy,
    snapshot: &Snapshot,
    selections: &Selections,
    hunting: &HuntingResults,
    now: Timestamp,
    selector: &Selector,
    row: Row,
) -> Trace {
    let shared = RefCell::default();
    Tracer { policy, snapshot, selections, hunting, now, row, shared }.selector(selector)
}

struct Tracer<'a> {
    policy: &'a Policy,
    snapshot: &'a Snapshot,
    selections: &'a Selections,
    hunting: &'a HuntingResults,
    now: Timestamp,
    row: Row,
    /// The results of named selectors that were already explained. Without it, selectors that use another twice would double the
    /// work each time.
    shared: RefCell<HashMap<usize, Option<bool>>>,
}

impl Tracer<'_> {
    fn selector(&self, selector: &Selector) -> Trace {
        let several = |parts: &[Selector]| parts.iter().map(|part| self.selector(part)).collect::<Vec<_>>();
        let (label, holds, actual, children) = match &selector.kind {
            SelectorKind::Everything => ("everything".to_owned(), Some(true), None, Vec::new()),
            SelectorKind::All(parts) => {
                let children = several(parts);
                ("all of".to_owned(), joined(&children, true), None, children)
            }
            SelectorKind::Any(parts) => {
                let children = several(parts);
                ("any of".to_owned(), joined(&children, false), None, children)
            }
            SelectorKind::Not(inner) => {
                let child = self.selector(inner);
                ("not".to_owned(), child.holds.map(|holds| !holds), None, vec![child])
            }
            SelectorKind::Use(index) => {
                let named = &self.policy.selectors[*index];
                let known = self.shared.borrow().get(index).copied();
                match known {
                    Some(holds) => (format!("use {}, as above", named.name), holds, None, Vec::new()),
                    None => {
                        let child = self.selector(&named.selector);
                        self.shared.borrow_mut().insert(*index, child.holds);
                        (format!("use {}", named.name), child.holds, None, vec![child])
                    }
                }
            }
            SelectorKind::Field { field, test } => {
                let label = format!("{} {}", self.name(*field), condition(test));
                let holds = self.holds(*field, test);
                if self.reads_unknown_list(*field, test) {
                    let actual = "a list of which no value is a device".to_owned();
                    (label, None, Some(actual), Vec::new())
                } else if self.is_unknown(*field) {
                    (label, None, Some("a value that nobody knows".to_owned()), Vec::new())
                } else if !holds && self.is_garbled(*field, test) {
                    let actual = self.actual(*field).unwrap_or_default();
                    (label, None, Some(format!("{actual}, which is no address")), Vec::new())
                } else {
                    (label, Some(holds), self.actual(*field), Vec::new())
                }
            }
            SelectorKind::Superseded { by, keep } => {
                let (holds, actual) = match self.policy.stated_superseded {
                    Some(stated) => (stated, Some("as the test states".to_owned())),
                    None => self.superseded(*by, *keep),
                };
                let kept = match keep {
                    Keep::Newest => "newest",
                    Keep::Oldest => "oldest",
                };
                (format!("superseded by {}, keep {kept}", by.name()), Some(holds), actual, Vec::new())
            }
            SelectorKind::Hunting(query) => {
                let (holds, actual) = self.listed(query);
                (query.title(), holds, Some(actual.to_owned()), Vec::new())
            }
        };
        Trace { label, holds, actual, span: selector.span, children }
    }

    /// Whether a hunting result contains the device.
    fn listed(&self, query: &Hunting) -> (Option<bool>, &'static str) {
        if self.hunting.get(&query.query).is_none() {
            return (None, "no result");
        }
        if self.selections.unknown_queries.contains(query) {
            return (None, "a result of which no row is a device");
        }
        match hunting::lists(&self.hunting.ids(query), self.snapshot.id(self.row)) {
            true => (Some(true), "a row in the result"),
            false => (Some(false), "no row in the result"),
        }
    }

    fn is_unknown(&self, field: Field) -> bool {
        let Field::Lookup { lookup, column } = field else { return false };
        self.cell(lookup, column) == Some(LookupCell::Unknown)
    }

    /// Whether the device's text is not an IP address, so that every test of it is unknown.
    fn is_garbled(&self, field: Field, test: &Test) -> bool {
        let is_open = field.kind() == Kind::Address && !matches!(test, Test::Exists(_));
        is_open && self.snapshot.addresses(field, self.row).any(|stored| !matches!(stored, Stored::Ip(_)))
    }

    fn cell(&self, lookup: u16, column: u16) -> Option<LookupCell<'_>> {
        let width = self.policy.lookups[usize::from(lookup)].columns.len();
        self.selections.joins[usize::from(lookup)].cell(self.row, usize::from(column), width)
    }

    fn name(&self, field: Field) -> String {
        match field {
            Field::Lookup { lookup, column } => {
                let table = &self.policy.lookups[usize::from(lookup)];
                format!("lookup.{}.{}", table.name, table.columns[usize::from(column)])
            }
            field => field.name().to_owned(),
        }
    }

    /// Whether it is unknown what a list selects. A device without the field is not on it.
    fn reads_unknown_list(&self, field: Field, test: &Test) -> bool {
        let mut lists = self.selections.unknown_lists.iter();
        lists.any(|(of, list)| *of == field && leaves::reads(test, list)) && self.text(field).is_some()
    }

    fn text(&self, field: Field) -> Option<&str> {
        match field {
            Field::Lookup { lookup, column } => match self.cell(lookup, column)? {
                LookupCell::Text(text) => Some(text),
                LookupCell::Empty | LookupCell::Unknown => None,
            },
            field => self.snapshot.plain(field, self.row),
        }
    }

    fn actual(&self, field: Field) -> Option<String> {
        match field {
            Field::Lookup { .. } => self.text(field).map(str::to_owned),
            field => self.snapshot.shown(field, self.row),
        }
    }

    fn holds(&self, field: Field, test: &Test) -> bool {
        match field.kind() {
            Kind::Text | Kind::Version => match (self.text(field), test) {
                (found, Test::Exists(wanted)) => found.is_some() == *wanted,
                (Some(text), test) => text_holds(test, text),
                (None, _) => false,
            },
            Kind::Integer => match (self.snapshot.integer(field, self.row), test) {
                (found, Test::Exists(wanted)) => found.is_some() == *wanted,
                (Some(number), Test::Integer(numbers)) => numbers.contains(&number),
                (Some(number), Test::IntegerRange { least, greatest }) => {
                    *least <= number && number <= *greatest
                }
                _ => false,
            },
            Kind::Boolean => match (self.snapshot.boolean(field, self.row), test) {
                (found, Test::Exists(wanted)) => found.is_some() == *wanted,
                (Some(found), Test::Boolean(wanted)) => found == *wanted,
                _ => false,
            },
            Kind::Time => self.time_holds(field, test),
            Kind::Address => self.address_holds(field, test),
            Kind::Hardware => {
                let shown = self.snapshot.addresses(field, self.row).map(|stored| stored.to_string());
                let found: Vec<String> = shown.collect();
                match test {
                    Test::Exists(wanted) => found.is_empty() != *wanted,
                    Test::Hardware(values) => {
                        found.iter().any(|own| values.iter().any(|value| text::equal(own, value)))
                    }
                    test => found.iter().any(|own| text_holds(test, own)),
                }
            }
            Kind::Tags => self.tags_hold(test),
        }
    }

    fn time_holds(&self, field: Field, test: &Test) -> bool {
        let Some(moment) = self.snapshot.time(field, self.row) else {
            return matches!(test, Test::Exists(false));
        };
        let age = self.now.since(moment);
        match test {
            Test::Exists(wanted) => *wanted,
            Test::Within(span) => age <= *span,
            Test::OlderThan(span) => age > *span,
            Test::Before(bound) => moment < *bound,
            Test::After(bound) => moment > *bound,
            _ => false,
        }
    }

    fn address_holds(&self, field: Field, test: &Test) -> bool {
        let found: Vec<Stored<'_>> = self.snapshot.addresses(field, self.row).collect();
        let any = |holds: &dyn Fn(IpAddr) -> bool| {
            found.iter().any(|stored| matches!(stored, Stored::Ip(address) if holds(*address)))
        };
        match test {
            Test::Exists(wanted) => found.is_empty() != *wanted,
            Test::Address(addresses) => {
                any(&|own| addresses.iter().any(|address| address.to_canonical() == own))
            }
            Test::Cidr(nets) => any(&|own| nets.iter().any(|net| address::is_within(net, own))),
            _ => false,
        }
    }

    fn tags_hold(&self, test: &Test) -> bool {
        let tags: Vec<&str> =
            self.snapshot.tags(self.row).iter().map(|tag| self.snapshot.tag(*tag)).collect();
        let case = self.policy.tag_case;
        let has = |tag: &String| tags.iter().any(|own| case.is_same(own, tag));
        match test {
            Test::Exists(wanted) => tags.is_empty() != *wanted,
            Test::HasAny(wanted) => wanted.iter().any(has),
            Test::HasAll(wanted) => wanted.iter().all(has),
            Test::HasNone(unwanted) => !unwanted.iter().any(has),
            Test::TagMatches(globs) => tags.iter().any(|tag| globs.iter().any(|glob| glob.matches(tag))),
            _ => false,
        }
    }

    fn superseded(&self, by: Field, keep: Keep) -> (bool, Option<String>) {
        let Some(name) = self.snapshot.plain(by, self.row) else { return (false, None) };
        if !self.selections.scope.contains(self.row) {
            return (false, Some(name.to_owned()));
        }
        let is_same = |row: &Row| self.snapshot.plain(by, *row).is_some_and(|other| text::equal(other, name));
        let mut kept = self.row;
        for row in self.selections.scope.iter().filter(is_same) {
            if row != kept && is_kept_over(self.snapshot, keep, row, kept) {
                kept = row;
            }
        }
        if kept == self.row {
            return (false, Some(name.to_owned()));
        }
        (true, Some(format!("{name}; {} is kept", self.snapshot.id(kept))))
    }
}

/// Whether all of these hold (`all`), or any. `None` if the known ones do not decide.
fn joined(children: &[Trace], all: bool) -> Option<bool> {
    if children.iter().any(|child| child.holds == Some(!all)) {
        return Some(!all);
    }
    children.iter().all(|child| child.holds.is_some()).then_some(all)
}

fn text_holds(test: &Test, text: &str) -> bool {
    let text = &*text::compose(text);
    let folded = text::fold_case(text);
    match test {
        Test::Text(list) => list.values.iter().any(|value| text::equal(value, text)),
        Test::Glob(globs) => globs.iter().any(|glob| glob.matches(text)),
        Test::Regex(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
        Test::StartsWith(parts) => parts.iter().any(|part| folded.starts_with(&*text::fold(part))),
        Test::EndsWith(parts) => parts.iter().any(|part| folded.ends_with(&*text::fold(part))),
        Test::Contains(parts) => parts.iter().any(|part| folded.contains(&*text::fold(part))),
        Test::VersionAtLeast(bound) => text::compare_versions(text, bound).is_ge(),
        Test::VersionBelow(bound) => text::compare_versions(text, bound).is_lt(),
        _ => false,
    }
}

/// A test in the policy's words.
fn condition(test: &Test) -> String {
    let listed = |word: &str, several: &str, items: Vec<String>| match items.as_slice() {
        [one] => format!("{word} {one}"),
        items => format!("{several} [{}]", shortened(items)),
    };
    let plain = |word: &str, items: &[String]| listed(word, word, items.to_vec());
    let age = |word: &str, span: &Duration| format!("{word} {}", time::spoken(*span));
    match test {
        Test::Exists(true) => "exists".to_owned(),
        Test::Exists(false) => "does not exist".to_owned(),
        Test::Text(list) => match &list.file {
            Some(file) => format!("inFile {}", file.written),
            None => listed("eq", "in", list.values.to_vec()),
        },
        Test::Glob(globs) => {
            listed("glob", "glob", globs.iter().map(|glob| glob.source().to_owned()).collect())
        }
        Test::Regex(patterns) => {
            listed("regex", "regex", patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect())
        }
        Test::StartsWith(parts) => plain("startsWith", parts),
        Test::EndsWith(parts) => plain("endsWith", parts),
        Test::Contains(parts) => plain("contains", parts),
        Test::VersionAtLeast(bound) => format!("atLeast {bound}"),
        Test::VersionBelow(bound) => format!("below {bound}"),
        Test::Integer(numbers) => listed("eq", "in", numbers.iter().map(i64::to_string).collect()),
        Test::IntegerRange { least, greatest: i64::MAX } => format!("atLeast {least}"),
        Test::IntegerRange { least: i64::MIN, greatest } => format!("atMost {greatest}"),
        Test::IntegerRange { least, greatest } => format!("atLeast {least}, atMost {greatest}"),
        Test::Boolean(value) => format!("eq {value}"),
        Test::Within(span) => age("within", span),
        Test::OlderThan(span) => age("olderThan", span),
        Test::Before(moment) => format!("before {moment}"),
        Test::After(moment) => format!("after {moment}"),
        Test::Address(addresses) => listed("eq", "in", addresses.iter().map(IpAddr::to_string).collect()),
        Test::Cidr(nets) => listed("cidr", "cidr", nets.iter().map(ToString::to_string).collect()),
        Test::Hardware(values) => listed("eq", "in", values.clone()),
        Test::HasAny(tags) => listed("has", "hasAny", tags.clone()),
        Test::HasAll(tags) => plain("hasAll", tags),
        Test::HasNone(tags) => plain("hasNone", tags),
        Test::TagMatches(globs) => {
            listed("matches", "matches", globs.iter().map(|glob| glob.source().to_owned()).collect())
        }
    }
}

fn shortened(items: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = items.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN { format!("{shown}, … {} more", items.len() - SHOWN) } else { shown }
}
