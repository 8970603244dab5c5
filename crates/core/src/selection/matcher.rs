//! All text tests of a field in one pass over a text: literals by hash, prefixes and suffixes by tree, inner literals by one
//! automaton, the rest as one set of regular expressions.
//!
//! Knows texts, not devices. Must agree with `trace`, which evaluates one test at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use hashbrown::HashMap;
use regex::{Regex, RegexSet, RegexSetBuilder};

use super::trie::{TextEnd, Trie};
use crate::pattern::Glob;
use crate::policy::{Operator, Test, TextList};
use crate::text;

/// The compiled tests of one field.
#[derive(Debug, Default)]
pub(crate) struct TextMatcher<'p> {
    /// Leaves that hold for every text.
    always: Vec<u32>,
    /// By folded text.
    literals: HashMap<String, Vec<Literal>>,
    prefixes: Trie,
    suffixes: Trie,
    /// The items of the trees.
    entries: Vec<PatternEntry>,
    /// Tests that fix both ends of a text and will go into one of the trees: the ends and the entry.
    two_ended: Vec<(String, String, u32)>,
    /// Literals anywhere in the folded text that need no further check.
    parts: Parts,
    /// Searched in the folded text.
    inner: PatternSet,
    /// Searched in the composed text: patterns ignore case themselves.
    patterns: PatternSet,
    /// Bounds of versions, ascending, each with the test that holds at or above it.
    at_least: Vec<(&'p str, u32)>,
    /// Bounds of versions, descending, each with the test that holds below it.
    below: Vec<(&'p str, u32)>,
    /// Tests that are evaluated one by one: numbers, booleans.
    others: Vec<(u32, &'p Test)>,
    /// Lists, with the values that were seen.
    pub(super) lists: Vec<SeenList<'p>>,
}

/// A list, and which of its values some device has.
#[derive(Debug)]
pub(super) struct SeenList<'p> {
    pub(super) list: &'p TextList,
    seen: Vec<AtomicBool>,
}

impl SeenList<'_> {
    pub(super) fn is_seen(&self, index: usize) -> bool {
        self.seen[index].load(Ordering::Relaxed)
    }
}

#[derive(Clone, Copy, Debug)]
struct Literal {
    leaf: u32,
    /// The list and the index in it.
    value: Option<(u32, u32)>,
}

#[derive(Debug)]
struct PatternEntry {
    leaf: u32,
    rest: Rest,
}

/// The remaining check after a prefix, a suffix or an inner part was found.
#[derive(Debug)]
enum Rest {
    Nothing,
    /// The folded text consists of these parts with any text between them.
    Segments(Vec<String>),
    /// The composed text matches.
    Pattern(Regex),
}

/// Literals that are searched together, anywhere in a text.
#[derive(Debug, Default)]
struct Parts {
    literals: Vec<String>,
    leaves: Vec<u32>,
    automaton: Option<AhoCorasick>,
}

/// The most bytes of literals for which the fastest automaton is small enough for the caches.
const FASTEST: usize = 1 << 13;

impl Parts {
    fn add(&mut self, literal: String, leaf: u32) {
        self.literals.push(literal);
        self.leaves.push(leaf);
    }

    fn compile(&mut self) {
        let literals = std::mem::take(&mut self.literals);
        if literals.is_empty() {
            return;
        }
        let size: usize = literals.iter().map(String::len).sum();
        let kind = (size <= FASTEST).then_some(AhoCorasickKind::DFA);
        // Texts are too short for a search for rare bytes to pay off before the real search.
        let built = AhoCorasick::builder().kind(kind).prefilter(false).build(literals);
        self.automaton = Some(built.expect("the literals of policies are far below 2 GiB"));
    }

    fn search(&self, text: &str, mut visit: impl FnMut(u32)) {
        if let Some(automaton) = &self.automaton {
            let found = automaton.find_overlapping_iter(text);
            found.for_each(|part| visit(self.leaves[part.pattern().as_usize()]));
        }
    }
}

/// Regular expressions that are searched together.
#[derive(Debug, Default)]
struct PatternSet {
    sources: Vec<String>,
    entries: Vec<u32>,
    set: Option<RegexSet>,
    /// Used if the set would be too large: one by one.
    singles: Vec<Regex>,
}

impl PatternSet {
    fn add(&mut self, source: String, entry: u32) {
        self.sources.push(source);
        self.entries.push(entry);
    }

    fn compile(&mut self, ignore_case: bool) {
        if self.sources.is_empty() {
            return;
        }
        let built = RegexSetBuilder::new(&self.sources)
            .case_insensitive(ignore_case)
            .size_limit(64 << 20)
            .dfa_size_limit(64 << 20)
            .build();
        self.set = built.ok();
        if self.set.is_none() {
            let single = |source: &String| {
                let mut builder = regex::RegexBuilder::new(source);
                builder.case_insensitive(ignore_case).size_limit(64 << 20).build()
            };
            // Each of them compiled before, alone, within a smaller limit.
            let singles = self.sources.iter().map(single).collect::<Result<_, _>>();
            self.singles = singles.expect("a pattern that compiled once compiles again");
        }
        self.sources = Vec::new();
    }

    fn search(&self, text: &str, mut visit: impl FnMut(u32)) {
        if let Some(set) = &self.set {
            // Most texts match nothing, and finding that out needs no list of matches.
            if set.is_match(text) {
                set.matches(text).iter().for_each(|index| visit(self.entries[index]));
            }
        }
        for (pattern, entry) in self.singles.iter().zip(&self.entries) {
            if pattern.is_match(text) {
                visit(*entry);
            }
        }
    }
}

impl<'p> TextMatcher<'p> {
    /// Compiles tests, each with its number.
    pub(super) fn new(tests: impl IntoIterator<Item = (u32, &'p Test)>) -> TextMatcher<'p> {
        let mut matcher = TextMatcher::default();
        for (leaf, test) in tests {
            matcher.add(leaf, test);
        }
        matcher.compile()
    }

    /// Compiles comparisons with values, each with its number: those of device groups, which are in no policy.
    pub(crate) fn of_comparisons<'v>(
        comparisons: impl IntoIterator<Item = (u32, Operator, &'v str)>,
    ) -> TextMatcher<'p> {
        let mut matcher = TextMatcher::default();
        for (leaf, operator, value) in comparisons {
            match operator {
                Operator::StartsWith => matcher.add_segments(leaf, &[value, ""]),
                Operator::EndsWith => matcher.add_segments(leaf, &["", value]),
                Operator::Contains => matcher.add_segments(leaf, &["", value, ""]),
                Operator::Equals | Operator::In => matcher.add_literal(leaf, value, None),
            }
        }
        matcher.compile()
    }

    fn compile(mut self) -> TextMatcher<'p> {
        let matcher = &mut self;
        matcher.at_least.sort_by(|(one, _), (other, _)| text::compare_versions(one, other));
        matcher.below.sort_by(|(one, _), (other, _)| text::compare_versions(other, one));
        matcher.choose_ends();
        matcher.prefixes.compile(TextEnd::Start);
        matcher.suffixes.compile(TextEnd::Finish);
        matcher.parts.compile();
        matcher.inner.compile(false);
        matcher.patterns.compile(true);
        self
    }

    fn add(&mut self, leaf: u32, test: &'p Test) {
        match test {
            // `exists: false` is the complement; the code that builds the sets inverts it.
            Test::Exists(_) => self.always.push(leaf),
            Test::Text(list) => self.add_list(leaf, list),
            Test::Hardware(values) => values.iter().for_each(|value| self.add_literal(leaf, value, None)),
            Test::StartsWith(parts) => parts.iter().for_each(|part| self.add_segments(leaf, &[part, ""])),
            Test::EndsWith(parts) => parts.iter().for_each(|part| self.add_segments(leaf, &["", part])),
            Test::Contains(parts) => parts.iter().for_each(|part| self.add_segments(leaf, &["", part, ""])),
            Test::Glob(globs) => globs.iter().for_each(|glob| self.add_glob(leaf, glob)),
            Test::Regex(patterns) => {
                for pattern in patterns {
                    let entry = self.add_entry(leaf, Rest::Nothing);
                    self.patterns.add(pattern.as_str().to_owned(), entry);
                }
            }
            Test::VersionAtLeast(bound) => self.at_least.push((bound, leaf)),
            Test::VersionBelow(bound) => self.below.push((bound, leaf)),
            other => self.others.push((leaf, other)),
        }
    }

    fn add_entry(&mut self, leaf: u32, rest: Rest) -> u32 {
        self.entries.push(PatternEntry { leaf, rest });
        self.entries.len() as u32 - 1
    }

    fn add_list(&mut self, leaf: u32, list: &'p TextList) {
        let number = self.lists.len() as u32;
        let seen = list.values.iter().map(|_| AtomicBool::new(false)).collect();
        self.lists.push(SeenList { list, seen });
        for (index, value) in list.values.iter().enumerate() {
            self.add_literal(leaf, value, Some((number, index as u32)));
        }
    }

    fn add_literal(&mut self, leaf: u32, text: &str, value: Option<(u32, u32)>) {
        self.literals.entry(text::fold(text).into_owned()).or_default().push(Literal { leaf, value });
    }

    /// Adds a test for texts that consist of these parts with any text between them.
    fn add_segments(&mut self, leaf: u32, segments: &[&str]) {
        let folded: Vec<String> = segments.iter().map(|segment| text::fold(segment).into_owned()).collect();
        let (first, last) = (folded[0].clone(), folded[folded.len() - 1].clone());
        let inner: Vec<String> =
            folded[1..folded.len() - 1].iter().filter(|part| !part.is_empty()).cloned().collect();
        match (first.is_empty(), last.is_empty(), inner.as_slice()) {
            (true, true, []) => self.always.push(leaf),
            (true, true, [part]) => self.parts.add(part.clone(), leaf),
            (true, true, parts) => {
                // The longest part is the rarest.
                let longest = parts.iter().max_by_key(|part| part.len()).cloned().unwrap_or_default();
                let entry = self.add_entry(leaf, Rest::Segments(folded));
                self.inner.add(regex::escape(&longest), entry);
            }
            (false, true, inner) => {
                let rest = if inner.is_empty() { Rest::Nothing } else { Rest::Segments(folded) };
                let entry = self.add_entry(leaf, rest);
                self.prefixes.insert(&first, entry);
            }
            (true, false, inner) => {
                let rest = if inner.is_empty() { Rest::Nothing } else { Rest::Segments(folded) };
                let entry = self.add_entry(leaf, rest);
                self.suffixes.insert(&last, entry);
            }
            (false, false, _) => {
                let entry = self.add_entry(leaf, Rest::Segments(folded));
                self.two_ended.push((first, last, entry));
            }
        }
    }

    /// Puts each test that fixes both ends into the tree of the end that fewer tests share. Hundreds of `web07*.example.com`
    /// share a suffix, which most texts have, while hardly any text has one of their prefixes.
    fn choose_ends(&mut self) {
        let tests = std::mem::take(&mut self.two_ended);
        let mut shared: HashMap<(&str, bool), usize> = HashMap::new();
        for (first, last, _) in &tests {
            *shared.entry((first, true)).or_default() += 1;
            *shared.entry((last, false)).or_default() += 1;
        }
        for (first, last, entry) in &tests {
            let of = |end, is_prefix| shared[&(end, is_prefix)];
            // Of equally shared ends, the longer one is rarer.
            if (of(first, true), last.len()) <= (of(last, false), first.len()) {
                self.prefixes.insert(first, *entry);
            } else {
                self.suffixes.insert(last, *entry);
            }
        }
    }

    fn add_glob(&mut self, leaf: u32, glob: &Glob) {
        let prefix = glob.literal_start();
        match glob.segments().as_deref() {
            Some([whole]) => self.add_literal(leaf, whole, None),
            Some(several) => {
                let segments: Vec<&str> = several.iter().map(String::as_str).collect();
                self.add_segments(leaf, &segments);
            }
            None if !prefix.is_empty() => {
                let pattern = Regex::new(glob.regex()).ok();
                let entry = pattern.map(|pattern| self.add_entry(leaf, Rest::Pattern(pattern)));
                match entry {
                    Some(entry) => self.prefixes.insert(&text::fold(&prefix), entry),
                    None => self.add_whole(leaf, glob),
                }
            }
            None => self.add_whole(leaf, glob),
        }
    }

    fn add_whole(&mut self, leaf: u32, glob: &Glob) {
        let entry = self.add_entry(leaf, Rest::Nothing);
        self.patterns.add(glob.regex().to_owned(), entry);
    }

    /// Visits the comparisons of a matcher [`of_comparisons`](TextMatcher::of_comparisons) that hold for a text, perhaps
    /// repeatedly: those with a wanted operator.
    pub(crate) fn compare(&self, text: &str, wants: impl Fn(Operator) -> bool, mut visit: impl FnMut(u32)) {
        let folded = &*text::fold(text);
        self.always.iter().for_each(|leaf| visit(*leaf));
        if wants(Operator::Equals) || wants(Operator::In) {
            let found = self.literals.get(folded).into_iter().flatten();
            found.for_each(|literal| visit(literal.leaf));
        }
        let mut end = |entry: u32| visit(self.entries[entry as usize].leaf);
        if wants(Operator::StartsWith) {
            self.prefixes.walk(folded, &mut end);
        }
        if wants(Operator::EndsWith) {
            self.suffixes.walk(folded, &mut end);
        }
        if wants(Operator::Contains) {
            self.parts.search(folded, visit);
        }
    }

    /// Visits the tests that hold for a text, perhaps repeatedly.
    pub(crate) fn find(&self, text: &str, mut visit: impl FnMut(u32)) {
        let text = &*text::compose(text);
        let folded = &*text::fold_case(text);
        self.always.iter().for_each(|leaf| visit(*leaf));
        for literal in self.literals.get(folded).into_iter().flatten() {
            if let Some((file, index)) = literal.value {
                self.lists[file as usize].seen[index as usize].store(true, Ordering::Relaxed);
            }
            visit(literal.leaf);
        }
        let mut check = |entry: u32| {
            let PatternEntry { leaf, rest } = &self.entries[entry as usize];
            let holds = match rest {
                Rest::Nothing => true,
                Rest::Segments(segments) => has_segments(folded, segments),
                Rest::Pattern(pattern) => pattern.is_match(text),
            };
            if holds {
                visit(*leaf);
            }
        };
        self.prefixes.walk(folded, &mut check);
        self.suffixes.walk(folded, &mut check);
        self.inner.search(folded, &mut check);
        self.patterns.search(text, &mut check);
        self.parts.search(folded, &mut visit);
        let reached = self.at_least.partition_point(|(bound, _)| text::compare_versions(text, bound).is_ge());
        self.at_least[..reached].iter().for_each(|(_, leaf)| visit(*leaf));
        let under = self.below.partition_point(|(bound, _)| text::compare_versions(text, bound).is_lt());
        self.below[..under].iter().for_each(|(_, leaf)| visit(*leaf));
        for (leaf, test) in &self.others {
            if holds_one(test, text) {
                visit(*leaf);
            }
        }
    }
}

/// Numbers and booleans.
fn holds_one(test: &Test, text: &str) -> bool {
    match test {
        Test::Integer(numbers) => text.parse().is_ok_and(|number: i64| numbers.contains(&number)),
        Test::IntegerRange { least, greatest } => {
            text.parse().is_ok_and(|number: i64| (*least..=*greatest).contains(&number))
        }
        Test::Boolean(wanted) => (text == "true") == *wanted,
        _ => false,
    }
}

/// Whether a text consists of these parts, in order, with any text between them.
fn has_segments(text: &str, segments: &[String]) -> bool {
    let [first, inner @ .., last] = segments else { return false };
    let Some(text) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut text) = text.strip_suffix(last.as_str()) else { return false };
    for part in inner {
        // The first match leaves the most room for the later parts.
        let Some(place) = text.find(part.as_str()) else { return false };
        text = &text[place + part.len()..];
    }
    true
}
