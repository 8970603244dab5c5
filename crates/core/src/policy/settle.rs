//! Checks that a set settles in one run: no selector may read what the set writes.
//!
//! Looks only at the text; `desired` finds conflicts between rules on real devices.

use std::collections::{HashMap, HashSet};

use super::node::shown;
use super::overlap::{ComparisonBudget, FlatPattern};
use super::reader::Reader;
use super::selector::walk;
use super::{Policy, Rule, Selector, SelectorKind, TagExpressionKind, Test, template};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};
use crate::pattern::Glob;
use crate::tag::{self, TagCase, TagPattern};
use crate::time::{Date, Timestamp};

/// Whether a rule's last day has passed: it never applies again.
pub(super) fn is_dead(rule: &Rule, now: Timestamp) -> bool {
    rule.until.is_some_and(|until| now >= until.end())
}

/// The days on which a rule, or anything outside of rules, is in force. Both ends are inclusive; a missing end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Period {
    from: Option<Date>,
    until: Option<Date>,
}

impl Period {
    fn of(rule: &Rule) -> Period {
        Period { from: rule.from, until: rule.until }
    }

    /// Whether some day is in both.
    fn meets(self, other: Period) -> bool {
        let starts_in_time = |one: Period, two: Period| {
            one.from.is_none_or(|from| two.until.is_none_or(|until| from <= until))
        };
        starts_in_time(self, other) && starts_in_time(other, self)
    }

    /// Whether it contains every day of the other.
    fn covers(self, other: Period) -> bool {
        self.from.is_none_or(|from| other.from.is_some_and(|start| from <= start))
            && self.until.is_none_or(|until| other.until.is_some_and(|end| end <= until))
    }
}

/// One write of a tag: its place, how (the end of "the set writes it: …"), and its days.
#[derive(Clone, Debug)]
struct Write {
    span: Span,
    how: String,
    period: Period,
}

/// A glob by which the set writes tags.
struct GlobWrite {
    glob: Glob,
    shape: FlatPattern,
    write: Write,
    coverage: MatchCertainty,
}

/// All writes of the set.
pub(super) struct Writes {
    case: TagCase,
    allow_reserved: bool,
    /// By key, without writes on days that an earlier one covers.
    literals: HashMap<String, Vec<Write>>,
    globs: Vec<GlobWrite>,
    value: Vec<Write>,
}

/// How surely a glob writes a tag that it matches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchCertainty {
    /// A claim, `removeTags` or `retire`: it covers every tag that matches.
    All,
    /// A template with some fixed text: it is likely.
    Some,
    /// A template with only placeholders: it could yield anything.
    Anything,
}

impl Writes {
    fn new(policy: &Policy, now: Timestamp) -> Writes {
        let mut writes = Writes {
            case: policy.tag_case,
            allow_reserved: policy.guard.allows_reserved(),
            literals: HashMap::new(),
            globs: Vec::new(),
            value: Vec::new(),
        };
        for rule in policy.rules.iter().filter(|rule| !is_dead(rule, now)) {
            writes.rule(rule);
        }
        let always = |span: Span, how: &str| Write { span, how: how.to_owned(), period: Period::default() };
        for claim in &policy.claims {
            writes.pattern(&claim.pattern, always(claim.span, "it is claimed here"));
        }
        for retire in &policy.retire {
            writes.pattern(&retire.pattern, always(retire.span, "it is retired here"));
        }
        for rename in &policy.renames {
            writes.literal(&rename.from, always(rename.span, "it is renamed here"));
            writes.literal(&rename.to, always(rename.span, "it is renamed here"));
        }
        for family in &policy.families {
            for member in &family.members {
                let how = format!("it is kept in the family `{}`", shown(&family.name));
                writes.literal(&member.tag, always(member.span, &how));
            }
        }
        if let Some(default) = policy.default_value {
            note(&mut writes.value, always(default.span, "the default value is set here"));
        }
        writes
    }

    fn rule(&mut self, rule: &Rule) {
        let (name, period) = (shown(&rule.name), Period::of(rule));
        for tag in &rule.tags {
            let write = Write { span: tag.span, how: format!("rule `{name}` assigns it"), period };
            match &tag.kind {
                TagExpressionKind::Literal(literal) => self.literal(literal, write),
                TagExpressionKind::Template(template) => {
                    let is_open = template.glob.source().bytes().all(|byte| byte == b'*');
                    let coverage = if is_open { MatchCertainty::Anything } else { MatchCertainty::Some };
                    self.glob(&template.glob, write, coverage);
                }
            }
        }
        for tag in &rule.remove_tags {
            let how = format!("rule `{name}` removes it");
            self.pattern(&tag.pattern, Write { span: tag.span, how, period });
        }
        if rule.device_value.is_some() {
            let how = format!("rule `{name}` sets values");
            note(&mut self.value, Write { span: rule.span, how, period });
        }
    }

    /// Whether a tag is the reserved one and the guard does not allow it: it is never written, and naming it is a separate error.
    fn hides(&self, tag: &str) -> bool {
        !self.allow_reserved && tag::is_reserved(tag)
    }

    fn literal(&mut self, tag: &str, write: Write) {
        if !self.hides(tag) {
            note(self.literals.entry(self.case.key(tag).into_owned()).or_default(), write);
        }
    }

    fn glob(&mut self, glob: &Glob, write: Write, coverage: MatchCertainty) {
        let shape = FlatPattern::new(glob, self.case);
        self.globs.push(GlobWrite { glob: glob.clone(), shape, write, coverage });
    }

    fn pattern(&mut self, pattern: &TagPattern, write: Write) {
        match pattern {
            TagPattern::Literal(literal) => self.literal(literal, write),
            TagPattern::Glob(glob) => self.glob(glob, write, MatchCertainty::All),
        }
    }

    /// The first write of a tag in a period, and whether it is certain.
    fn of(&self, tag: &str, period: Period) -> Option<(&Write, bool)> {
        if self.hides(tag) {
            return None;
        }
        let literal = self.literals.get(&*self.case.key(tag));
        if let Some(write) = literal.and_then(|writes| within(writes, period)) {
            return Some((write, true));
        }
        let matching = self.globs.iter().filter(|one| {
            one.write.period.meets(period) && one.shape.may_match(tag) && one.glob.matches(tag)
        });
        let surest = matching.min_by_key(|one| one.coverage == MatchCertainty::Anything)?;
        Some((&surest.write, surest.coverage != MatchCertainty::Anything))
    }

    /// The first write in a period that a `matches` glob may read, and whether it is certain.
    fn matching(&self, glob: &Glob, period: Period, effort: &mut ComparisonBudget) -> Option<(&Write, bool)> {
        let shape = FlatPattern::new(glob, self.case);
        let literals = self.literals.iter().filter(|(tag, _)| shape.may_match(tag) && glob.matches(tag));
        let literals = literals.filter_map(|(_, writes)| within(writes, period));
        if let Some(write) = literals.min_by_key(|write| (write.span.source, write.span.start)) {
            return Some((write, true));
        }
        let mut globs = self.globs.iter().filter(|one| one.write.period.meets(period));
        globs.find(|one| shape.overlaps(&one.shape, effort)).map(|one| (&one.write, false))
    }

    /// The first write in a period, in the order of files.
    fn any(&self, period: Period) -> Option<&Write> {
        let literals = self.literals.values().filter_map(|writes| within(writes, period));
        let globs = self.globs.iter().map(|one| &one.write).filter(|write| write.period.meets(period));
        literals.chain(globs).min_by_key(|write| (write.span.source, write.span.start))
    }
}

/// Adds a write that no earlier one covers.
fn note(writes: &mut Vec<Write>, write: Write) {
    if !writes.iter().any(|known| known.period.covers(write.period)) {
        writes.push(write);
    }
}

fn within(writes: &[Write], period: Period) -> Option<&Write> {
    writes.iter().find(|write| write.period.meets(period))
}

/// Reports every selector that reads what the set writes, and `superseded` inside `scope`.
pub(super) fn check(reader: &mut Reader<'_>, policy: &Policy) {
    let writes = Writes::new(policy, reader.now);
    let now = reader.now;
    let mut checker = Checker {
        reader,
        policy,
        writes: &writes,
        visited: HashMap::new(),
        found: HashSet::new(),
        noted: HashSet::new(),
        effort: ComparisonBudget::new(),
    };
    if let Some(scope) = &policy.scope {
        checker.scope(scope);
        checker.selector(scope, "`scope`", Period::default());
    }
    for protection in &policy.protections {
        let who = format!("protection `{}`", shown(&protection.name));
        checker.selector(&protection.select, &who, Period::default());
    }
    for rule in policy.rules.iter().filter(|rule| !is_dead(rule, now)) {
        let who = format!("rule `{}`", shown(&rule.name));
        let period = Period::of(rule);
        checker.selector(&rule.select, &who, period);
        for tag in &rule.tags {
            let TagExpressionKind::Template(template) = &tag.kind else { continue };
            for field in template::fields(template) {
                checker.template_field(field, tag.span, &who, period);
            }
        }
    }
}

struct Checker<'c, 'a> {
    reader: &'c mut Reader<'a>,
    policy: &'c Policy,
    writes: &'c Writes,
    /// The periods in which each named selector was checked.
    visited: HashMap<usize, Vec<Period>>,
    /// Places that were already reported for reading what the set writes.
    found: HashSet<(Span, &'static str)>,
    /// Places that already have a note.
    noted: HashSet<Span>,
    effort: ComparisonBudget,
}

impl Checker<'_, '_> {
    /// Refuses `superseded` in `scope`: it compares devices in scope, so it cannot decide the scope.
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

    /// Checks a selector, and the named ones that it uses once per period.
    fn selector(&mut self, selector: &Selector, who: &str, period: Period) {
        let mut waiting = vec![(selector, who.to_owned(), None)];
        while let Some((selector, who, via)) = waiting.pop() {
            let mut tests = Vec::new();
            walk(selector, &mut |part| match &part.kind {
                SelectorKind::Field { field, test } => tests.push((*field, test, part.span)),
                SelectorKind::Use(index) => {
                    let visited = self.visited.entry(*index).or_default();
                    if visited.iter().any(|known| known.covers(period)) {
                        return;
                    }
                    visited.push(period);
                    let named = &self.policy.selectors[*index];
                    let who = format!("the selector `{}`, used by {who},", shown(&named.name));
                    waiting.push((&named.selector, who, Some(part.span)));
                }
                _ => {}
            });
            for (field, test, span) in tests {
                self.test(field, test, span, &who, via, period);
            }
        }
    }

    fn test(&mut self, field: Field, test: &Test, span: Span, who: &str, via: Option<Span>, period: Period) {
        match field {
            Field::DeviceValue => {
                if let Some(write) = within(&self.writes.value, period) {
                    self.unsettled(span, who, "`deviceValue`", (write, true), via);
                }
            }
            Field::RbacGroupName | Field::RbacGroupId | Field::ExposureLevel => self.note(field, span),
            _ => {}
        }
        let found = match test {
            Test::HasAny(tags) | Test::HasAll(tags) | Test::HasNone(tags) => {
                let hits = tags.iter().filter_map(|tag| {
                    Some((format!("the tag `{}`", shown(tag)), self.writes.of(tag, period)?))
                });
                // Certain ones first.
                hits.min_by_key(|(_, (_, is_sure))| !*is_sure)
            }
            Test::TagMatches(globs) => {
                let (writes, effort) = (self.writes, &mut self.effort);
                let hits = globs.iter().filter_map(|glob| {
                    Some((
                        format!("tags that match `{}`", shown(glob.source())),
                        writes.matching(glob, period, effort)?,
                    ))
                });
                hits.min_by_key(|(_, (_, is_sure))| !*is_sure)
            }
            Test::Exists(_) if field == Field::MachineTags => {
                self.writes.any(period).map(|write| ("every tag".to_owned(), (write, true)))
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
        // A named selector is checked once for each period of its users.
        if !self.found.insert((span, if is_sure { "E0211" } else { "W0202" })) {
            return;
        }
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

    fn template_field(&mut self, field: Field, span: Span, who: &str, period: Period) {
        match (field, within(&self.writes.value, period)) {
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
