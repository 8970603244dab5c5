//! Whether a set settles in one run: no selector may read what the set writes.
//!
//! Conflicts between rules on real devices are for `desired`; this looks at the text alone.

use std::collections::{HashMap, HashSet};

use super::overlap::{ComparisonBudget, FlatPattern};
use super::reader::Reader;
use super::selector::walk;
use super::syntax::shown;
use super::{Policy, Rule, Selector, SelectorKind, TagExpressionKind, Test, template};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};
use crate::pattern::Glob;
use crate::tag::TagPattern;
use crate::time::Timestamp;

/// Whether the last day of a rule has passed: it never comes back.
pub(super) fn is_dead(rule: &Rule, now: Timestamp) -> bool {
    rule.until.is_some_and(|until| now >= until.end())
}

/// Where the set writes a tag, and how: the end of "the set writes it: …".
#[derive(Clone, Debug)]
struct Write {
    span: Span,
    how: String,
}

/// Everything that the set writes.
#[derive(Default)]
pub(super) struct Writes {
    literals: HashMap<String, Write>,
    globs: Vec<(Glob, FlatPattern, Write, Coverage)>,
    value: Option<Write>,
}

/// How surely a glob writes a tag that it matches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coverage {
    /// A claim, `removeTags` or `retire`: every tag that matches.
    All,
    /// A template with some fixed text: it may well.
    Some,
    /// A template of placeholders only: it could yield anything.
    Anything,
}

impl Writes {
    fn new(policy: &Policy, now: Timestamp) -> Writes {
        let mut writes = Writes::default();
        for rule in policy.rules.iter().filter(|rule| !is_dead(rule, now)) {
            let name = shown(&rule.name);
            for tag in &rule.tags {
                let write = Write { span: tag.span, how: format!("rule `{name}` assigns it") };
                match &tag.kind {
                    TagExpressionKind::Literal(literal) => writes.literal(literal, write),
                    TagExpressionKind::Template(template) => {
                        let is_open = template.glob.source().bytes().all(|byte| byte == b'*');
                        let coverage = if is_open { Coverage::Anything } else { Coverage::Some };
                        let shape = FlatPattern::new(template.glob.source());
                        writes.globs.push((template.glob.clone(), shape, write, coverage));
                    }
                }
            }
            for tag in &rule.remove_tags {
                let how = format!("rule `{name}` removes it");
                writes.pattern(&tag.pattern, Write { span: tag.span, how });
            }
            if rule.device_value.is_some() && writes.value.is_none() {
                writes.value = Some(Write { span: rule.span, how: format!("rule `{name}` sets values") });
            }
        }
        for claim in &policy.claims {
            writes.pattern(&claim.pattern, Write { span: claim.span, how: "it is claimed here".to_owned() });
        }
        for retire in &policy.retire {
            writes
                .pattern(&retire.pattern, Write { span: retire.span, how: "it is retired here".to_owned() });
        }
        for rename in &policy.renames {
            let write = Write { span: rename.span, how: "it is renamed here".to_owned() };
            writes.literal(&rename.from, write.clone());
            writes.literal(&rename.to, write);
        }
        for family in &policy.families {
            for member in &family.members {
                let how = format!("it is kept in the family `{}`", shown(&family.name));
                writes.literal(&member.tag, Write { span: member.span, how });
            }
        }
        if let (Some(default), None) = (policy.default_value, &writes.value) {
            writes.value =
                Some(Write { span: default.span, how: "the default value is set here".to_owned() });
        }
        writes
    }

    fn literal(&mut self, tag: &str, write: Write) {
        self.literals.entry(tag.to_owned()).or_insert(write);
    }

    fn pattern(&mut self, pattern: &TagPattern, write: Write) {
        match pattern {
            TagPattern::Literal(literal) => self.literal(literal, write),
            TagPattern::Glob(glob) => {
                self.globs.push((glob.clone(), FlatPattern::new(glob.source()), write, Coverage::All));
            }
        }
    }

    /// The first write of a tag, and whether it is sure.
    fn of(&self, tag: &str) -> Option<(&Write, bool)> {
        if let Some(write) = self.literals.get(tag) {
            return Some((write, true));
        }
        let matching = |(glob, shape, _, _): &&(Glob, FlatPattern, Write, Coverage)| {
            shape.may_match(tag) && glob.matches(tag)
        };
        let all: Option<&(Glob, FlatPattern, Write, Coverage)> =
            self.globs.iter().filter(matching).min_by_key(|(.., coverage)| *coverage == Coverage::Anything);
        all.map(|(_, _, write, coverage)| (write, *coverage != Coverage::Anything))
    }

    /// The first write that a `matches` glob may read, and whether it is sure.
    fn matching(&self, glob: &Glob, effort: &mut ComparisonBudget) -> Option<(&Write, bool)> {
        let shape = FlatPattern::new(glob.source());
        let literals = self.literals.iter().filter(|(tag, _)| shape.may_match(tag) && glob.matches(tag));
        if let Some((_, write)) = literals.min_by_key(|(_, write)| (write.span.source, write.span.start)) {
            return Some((write, true));
        }
        let overlapping = self.globs.iter().find(|(_, other, ..)| shape.overlaps(other, effort));
        overlapping.map(|(_, _, write, _)| (write, false))
    }

    /// Any write of a tag: the first in the order of files.
    fn any(&self) -> Option<&Write> {
        let all = self.literals.values().chain(self.globs.iter().map(|(_, _, write, _)| write));
        all.min_by_key(|write| (write.span.source, write.span.start))
    }
}

/// Reports every selector that reads what the set writes, and `superseded` inside `scope`.
pub(super) fn check(reader: &mut Reader<'_>, policy: &Policy) {
    let writes = Writes::new(policy, reader.now);
    let now = reader.now;
    let mut checker = Checker {
        reader,
        policy,
        writes: &writes,
        visited: HashSet::new(),
        noted: HashSet::new(),
        effort: ComparisonBudget::new(),
    };
    if let Some(scope) = &policy.scope {
        checker.scope(scope);
        checker.selector(scope, "`scope`");
    }
    for protection in &policy.protections {
        checker.selector(&protection.select, &format!("protection `{}`", shown(&protection.name)));
    }
    for rule in policy.rules.iter().filter(|rule| !is_dead(rule, now)) {
        let who = format!("rule `{}`", shown(&rule.name));
        checker.selector(&rule.select, &who);
        for tag in &rule.tags {
            let TagExpressionKind::Template(template) = &tag.kind else { continue };
            for field in template::fields(template) {
                checker.template_field(field, tag.span, &who);
            }
        }
    }
}

struct Checker<'c, 'a> {
    reader: &'c mut Reader<'a>,
    policy: &'c Policy,
    writes: &'c Writes,
    /// Named selectors that were checked for their first user.
    visited: HashSet<usize>,
    /// Places that have their note.
    noted: HashSet<Span>,
    effort: ComparisonBudget,
}

impl Checker<'_, '_> {
    /// `superseded` compares devices in scope, so it cannot say what is in scope.
    fn scope(&mut self, scope: &Selector) {
        let mut seen = HashSet::new();
        let mut waiting = vec![(scope, None)];
        while let Some((selector, via)) = waiting.pop() {
            let mut found = Vec::new();
            walk(selector, &mut |part| match part.kind {
                SelectorKind::Superseded { .. } => found.push(part.span),
                SelectorKind::Use(index) if seen.insert(index) => {
                    waiting.push((&self.policy.selectors[index].selector, Some(via.unwrap_or(part.span))));
                }
                _ => {}
            });
            for span in found {
                let finding = Diagnostic::error(
                    "E0210",
                    span,
                    "`superseded` compares devices in scope, so `scope` cannot use it",
                )
                .label("not in `scope`")
                .help("put it into the rules, or into `protect`");
                let finding = match via {
                    Some(used) => finding.related(used, "used by `scope` here"),
                    None => finding,
                };
                self.reader.report(finding);
            }
        }
    }

    /// Checks a selector and, once, the named ones that it uses.
    fn selector(&mut self, selector: &Selector, who: &str) {
        let mut waiting = vec![(selector, who.to_owned(), None)];
        while let Some((selector, who, via)) = waiting.pop() {
            let mut tests = Vec::new();
            walk(selector, &mut |part| match &part.kind {
                SelectorKind::Field { field, test } => tests.push((*field, test, part.span)),
                SelectorKind::Use(index) if self.visited.insert(*index) => {
                    let named = &self.policy.selectors[*index];
                    let who = format!("the selector `{}`, used by {who},", shown(&named.name));
                    waiting.push((&named.selector, who, Some(part.span)));
                }
                _ => {}
            });
            for (field, test, span) in tests {
                self.test(field, test, span, &who, via);
            }
        }
    }

    fn test(&mut self, field: Field, test: &Test, span: Span, who: &str, via: Option<Span>) {
        match field {
            Field::DeviceValue => {
                if let Some(write) = &self.writes.value {
                    self.unsettled(span, who, "`deviceValue`", (write, true), via);
                }
            }
            Field::RbacGroupName | Field::RbacGroupId | Field::ExposureLevel => self.note(field, span),
            _ => {}
        }
        let found = match test {
            Test::HasAny(tags) | Test::HasAll(tags) | Test::HasNone(tags) => {
                let hits = tags
                    .iter()
                    .filter_map(|tag| Some((format!("the tag `{}`", shown(tag)), self.writes.of(tag)?)));
                // A sure one first.
                hits.min_by_key(|(_, (_, is_sure))| !*is_sure)
            }
            Test::TagMatches(globs) => {
                let (writes, effort) = (self.writes, &mut self.effort);
                let hits = globs.iter().filter_map(|glob| {
                    Some((
                        format!("tags that match `{}`", shown(glob.source())),
                        writes.matching(glob, effort)?,
                    ))
                });
                hits.min_by_key(|(_, (_, is_sure))| !*is_sure)
            }
            Test::Exists(_) if field == Field::MachineTags => {
                self.writes.any().map(|write| ("every tag".to_owned(), (write, true)))
            }
            _ => None,
        };
        if let Some((what, write)) = found {
            self.unsettled(span, who, &what, write, via);
        }
    }

    fn unsettled(
        &mut self,
        span: Span,
        who: &str,
        what: &str,
        (write, is_sure): (&Write, bool),
        via: Option<Span>,
    ) {
        let related =
            if what == "every tag" { "the set writes tags, for example here" } else { write.how.as_str() };
        let finding = if is_sure {
            Diagnostic::error("E0211", span, format!("{who} reads {what}, which this set writes"))
                .label("read here")
        } else {
            Diagnostic::warning("W0202", span, format!("{who} reads {what}, which this set might write"))
                .label("read here")
        };
        let finding = finding.related(write.span, related);
        let finding = match via {
            Some(used) => finding.related(used, "used here"),
            None => finding,
        };
        let way_out = if what == "`deviceValue`" {
            "select by what decides the value (a named selector), or leave `deviceValue` to another set"
        } else {
            "the first run would change what the second selects: put the condition that decides the tag into a named selector and \
             `use` it, or write `renames` if one tag replaces the other"
        };
        self.reader.report(finding.help(way_out));
    }

    fn note(&mut self, field: Field, span: Span) {
        if self.noted.insert(span) {
            let message = format!("`{}` can move when this set writes tags or values", field.name());
            let finding = Diagnostic::note("N0201", span, message).label("read here");
            self.reader.report(finding.help("device groups follow tags, exposure follows values: plan again after the service has caught up"));
        }
    }

    fn template_field(&mut self, field: Field, span: Span, who: &str) {
        match (field, &self.writes.value) {
            (Field::DeviceValue, Some(write)) => {
                let message = format!("the template of {who} reads `deviceValue`, which this set writes");
                let finding =
                    Diagnostic::warning("W0202", span, message).related(write.span, write.how.clone());
                self.reader.report(finding.help(
                    "the tag follows one run behind the value; assign it by the rule that sets the value",
                ));
            }
            (Field::RbacGroupName | Field::RbacGroupId | Field::ExposureLevel, _) => self.note(field, span),
            _ => {}
        }
    }
}
