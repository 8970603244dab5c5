//! Contradictions between rules, claims, families, renames and `retire`, and combinations that a reviewer would ask about.
//!
//! Looks only at the text. `desired` and `plan` decide what happens to real devices.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::data_sources;
use super::dead_rules;
use super::node::shown;
use super::overlap::{ComparisonBudget, FlatPattern};
use super::owned_fields;
use super::reader::Reader;
use super::selector::{uses, walk};
use super::settle::is_dead;
use super::{Counted, Policy, Rule, SelectorKind, TagExpressionKind, Template, TemplatePart, Test};
use crate::diagnostic::{Diagnostic, Span};
use crate::pattern::Glob;
use crate::tag::{self, TagCase, TagPattern};
use crate::text;

/// Days before a rule's last day from which it gets a warning.
const NEAR_DAYS: i32 = 14;

/// The most rules for which lints compare every rule with every other.
const MAX_COMPARED: usize = 2_000;

/// Reports the findings that need the whole set.
pub(super) fn check(reader: &mut Reader<'_>, policy: &Policy) {
    dates(reader, policy);
    super::rollout::blind_health(policy).into_iter().for_each(|finding| reader.report(finding));
    retired(reader, policy);
    rename_targets(reader, policy);
    twins(reader, policy);
    if !reader.is_partial {
        unclaimed(reader, policy);
        unassigned(reader, policy);
        shared_by_files(reader, policy);
        data_sources::check_approvals(reader, policy);
    }
    if !reader.has_errors() {
        unused_selectors(reader, policy);
        idle_priorities(reader, policy);
        owned_fields::check(reader, policy);
        dead_rules::check(reader, policy);
    }
}

fn dates(reader: &mut Reader<'_>, policy: &Policy) {
    let today = reader.now.date();
    for rule in &policy.rules {
        let name = shown(&rule.name);
        if let Some(until) = rule.until {
            if until < today {
                let finding = Diagnostic::warning(
                    "W0402",
                    rule.span,
                    format!("rule `{name}` is dead: its last day was {until}"),
                );
                reader.report(finding.label("no longer exists").help("delete it, or move `until`"));
            } else if until.days_since(today) <= NEAR_DAYS {
                let left = match until.days_since(today) {
                    0 => "today is its last day".to_owned(),
                    1 => "its last day is tomorrow".to_owned(),
                    days => format!("its last day is in {days} days"),
                };
                let finding = Diagnostic::warning(
                    "W0401",
                    rule.span,
                    format!("rule `{name}` ends soon: {left} ({until})"),
                );
                reader.report(
                    finding.help("its claimed tags go the day after; move `until` if that is too early"),
                );
            }
        }
        if let Some(from) = rule.from.filter(|from| *from > today && !is_dead(rule, reader.now)) {
            let finding =
                Diagnostic::note("N0402", rule.span, format!("rule `{name}` does not exist before {from}"));
            reader.report(finding);
        }
    }
}

/// Reports retiring a tag that a rule assigns literally, now or later: it can only be a mistake.
fn retired(reader: &mut Reader<'_>, policy: &Policy) {
    let case = policy.tag_case;
    let mut assigned: HashMap<Cow<'_, str>, (&str, Span, &str)> = HashMap::new();
    for rule in policy.rules.iter().filter(|rule| !is_dead(rule, reader.now)) {
        for (literal, span) in literals(rule) {
            assigned.entry(case.key(literal)).or_insert((literal, span, &rule.name));
        }
    }
    for retire in &policy.retire {
        let hit = match &retire.pattern {
            TagPattern::Literal(literal) => assigned.get(&case.key(literal)),
            TagPattern::Glob(_) => {
                let matching = assigned.values().filter(|(tag, ..)| policy.covers(&retire.pattern, tag));
                matching.min_by_key(|(_, span, _)| (span.source, span.start))
            }
        };
        if let Some((tag, span, rule)) = hit {
            let message =
                format!("the tag `{}` is retired, and rule `{}` assigns it", shown(tag), shown(rule));
            let finding = Diagnostic::error("E0412", retire.span, message).label("retired here");
            reader.report(finding.related(*span, "assigned here").help("delete one of the two"));
        }
    }
}

fn rename_targets(reader: &mut Reader<'_>, policy: &Policy) {
    let ever = Assignable::new(policy, |_| true);
    let in_force = Assignable::new(policy, |rule| rule.is_live(reader.now));
    for rename in &policy.renames {
        let retired = policy.retire.iter().find(|retire| policy.covers(&retire.pattern, &rename.to));
        if let Some(retired) = retired {
            let message =
                format!("`{}` is renamed to `{}`, which is retired", shown(&rename.from), shown(&rename.to));
            let finding = Diagnostic::error("E0410", rename.span, message).label("renamed here");
            reader.report(
                finding
                    .related(retired.span, "retired here")
                    .help("delete the rename, and retire the old name as well"),
            );
            continue;
        }
        let claim = policy
            .claims
            .iter()
            .find(|claim| policy.covers(&claim.pattern, &rename.to))
            .map(|claim| claim.span);
        let members = policy.families.iter().flat_map(|family| &family.members);
        let claim = claim.or_else(|| {
            members
                .filter(|member| policy.tag_case.is_same(&member.tag, &rename.to))
                .map(|member| member.span)
                .next()
        });
        let Some(claim) = claim.filter(|_| !reader.is_partial && !in_force.could(&rename.to)) else {
            continue;
        };
        let renamed =
            format!("`{}` is renamed to `{}`, which is claimed", shown(&rename.from), shown(&rename.to));
        let finding = match ever.could(&rename.to) {
            false => {
                Diagnostic::error("E0411", rename.span, format!("{renamed} and which no rule could assign"))
                    .help("the new tag would be removed at once: let a rule assign it, or do not claim it")
            }
            true => Diagnostic::warning(
                "W0408",
                rename.span,
                format!("{renamed}, and no rule that could assign it is in force"),
            )
            .help("the old tag stays until such a rule is in force: check its dates, or take the rename out"),
        };
        reader.report(finding.label("renamed here").related(claim, "claimed here"));
    }
}

/// The tags that some rules could assign.
struct Assignable {
    case: TagCase,
    /// By key.
    literals: HashSet<String>,
    templates: Vec<(Glob, FlatPattern)>,
}

impl Assignable {
    fn new(policy: &Policy, counts: impl Fn(&Rule) -> bool) -> Assignable {
        let mut assignable =
            Assignable { case: policy.tag_case, literals: HashSet::new(), templates: Vec::new() };
        let case = policy.tag_case;
        for tag in policy.rules.iter().filter(|rule| counts(rule)).flat_map(|rule| &rule.tags) {
            match &tag.kind {
                TagExpressionKind::Literal(literal) => {
                    assignable.literals.extend([case.key(literal).into_owned()])
                }
                TagExpressionKind::Template(template) => {
                    assignable
                        .templates
                        .push((template.glob.clone(), FlatPattern::new(&template.glob, case)));
                }
            }
        }
        assignable
    }

    fn could(&self, tag: &str) -> bool {
        self.literals.contains(&*self.case.key(tag))
            || self.templates.iter().any(|(glob, shape)| shape.may_match(tag) && glob.matches(tag))
    }

    fn could_match(&self, pattern: &TagPattern, effort: &mut ComparisonBudget) -> bool {
        match pattern {
            TagPattern::Literal(literal) => self.could(literal),
            TagPattern::Glob(glob) => {
                let shape = FlatPattern::new(glob, self.case);
                self.literals.iter().any(|tag| shape.may_match(tag) && glob.matches(tag))
                    || self.templates.iter().any(|(_, other)| shape.overlaps(other, effort))
            }
        }
    }
}

/// Notes a tag that a rule assigns and no claim covers: it is never removed again.
fn unclaimed(reader: &mut Reader<'_>, policy: &Policy) {
    let now = reader.now;
    let mut seen = HashSet::new();
    for rule in policy.rules.iter().filter(|rule| !is_dead(rule, now)) {
        for tag in &rule.tags {
            let (shown_tag, is_claimed) = match &tag.kind {
                TagExpressionKind::Literal(literal) => (literal.as_str(), policy.claims_tag(literal)),
                TagExpressionKind::Template(template) => {
                    (template.source.as_str(), samples(template).all(|tag| policy.claims_tag(&tag)))
                }
            };
            if is_claimed || !seen.insert(shown_tag) {
                continue;
            }
            let message = format!("no claim covers `{}`: it is added and never removed", shown(shown_tag));
            let finding = Diagnostic::note("N0401", tag.span, message);
            reader.report(finding.help("add it to `claims` if devices that no rule selects should lose it"));
        }
    }
}

/// Sample tags that a template could yield. A claim that covers these covers the template.
fn samples(template: &Template) -> impl Iterator<Item = String> {
    ["x", "Z-9.z", "é /_"].into_iter().map(|filling| {
        let parts = template.parts.iter().map(|part| match part {
            TemplatePart::Literal(text) => text.as_str(),
            TemplatePart::Placeholder { .. } => filling,
        });
        parts.collect()
    })
}

/// Reports claims that overlap with those of another file: removing one of them releases no tag.
fn shared_by_files(reader: &mut Reader<'_>, policy: &Policy) {
    if policy.claims.len() > MAX_COMPARED {
        return;
    }
    let shape = |pattern: &TagPattern| match pattern {
        TagPattern::Literal(literal) => FlatPattern::literal(literal, policy.tag_case),
        TagPattern::Glob(glob) => FlatPattern::new(glob, policy.tag_case),
    };
    let shapes: Vec<FlatPattern> = policy.claims.iter().map(|claim| shape(&claim.pattern)).collect();
    let mut effort = ComparisonBudget::new();
    for (at, claim) in policy.claims.iter().enumerate() {
        let earlier = policy.claims[..at].iter().zip(&shapes).find(|(other, shape)| {
            other.span.source != claim.span.source && shapes[at].overlaps(shape, &mut effort)
        });
        if effort.is_spent() {
            return;
        }
        if let Some((other, _)) = earlier {
            let (one, two) = (shown(&claim.pattern.to_string()), shown(&other.pattern.to_string()));
            let message = format!("the claim `{one}` overlaps the claim `{two}` of another file");
            let finding = Diagnostic::warning("W0720", claim.span, message).label("claimed here");
            reader.report(
                finding
                    .related(other.span, "claimed here, too")
                    .help("claim each tag in one file, so that its reviewers see what becomes of it"),
            );
        }
    }
}

/// Reports claims and family members that no rule assigns: the tag is only ever removed.
fn unassigned(reader: &mut Reader<'_>, policy: &Policy) {
    let assignable = Assignable::new(policy, |rule| !is_dead(rule, reader.now));
    let mut effort = ComparisonBudget::new();
    for claim in &policy.claims {
        let is_renamed = policy.renames.iter().any(|rename| policy.covers(&claim.pattern, &rename.to));
        if is_renamed || assignable.could_match(&claim.pattern, &mut effort) {
            continue;
        }
        let message = format!(
            "no rule assigns what the claim `{}` covers: every such tag will be removed",
            shown(&claim.pattern.to_string())
        );
        let finding = Diagnostic::warning("W0405", claim.span, message).label("claimed here");
        reader
            .report(finding.help("add the rule, delete the claim, or write `retire` if the tags should go"));
    }
    for family in &policy.families {
        for member in &family.members {
            let is_renamed =
                policy.renames.iter().any(|rename| policy.tag_case.is_same(&rename.to, &member.tag));
            if is_renamed || assignable.could(&member.tag) {
                continue;
            }
            let message = format!(
                "no rule assigns `{}`, a member of the family `{}`",
                shown(&member.tag),
                shown(&family.name)
            );
            let finding =
                Diagnostic::warning("W0406", member.span, message).label("will be removed wherever it is");
            reader.report(finding.help("add a rule that assigns it, or take it out of the family"));
        }
    }
}

/// Reports tags of the set that differ only in case, unless they count as one tag, or only in Unicode form.
fn twins(reader: &mut Reader<'_>, policy: &Policy) {
    let mut named: Vec<(&str, Span)> = Vec::new();
    fn pattern(pattern: &TagPattern) -> Option<&str> {
        match pattern {
            TagPattern::Literal(literal) => Some(literal),
            TagPattern::Glob(_) => None,
        }
    }
    for rule in &policy.rules {
        named.extend(literals(rule));
        named.extend(rule.remove_tags.iter().filter_map(|tag| Some((pattern(&tag.pattern)?, tag.span))));
    }
    named.extend(policy.claims.iter().filter_map(|claim| Some((pattern(&claim.pattern)?, claim.span))));
    named.extend(policy.retire.iter().filter_map(|retire| Some((pattern(&retire.pattern)?, retire.span))));
    named.extend(
        policy
            .renames
            .iter()
            .flat_map(|rename| [(rename.from.as_str(), rename.span), (rename.to.as_str(), rename.span)]),
    );
    named.extend(
        policy
            .families
            .iter()
            .flat_map(|family| &family.members)
            .map(|member| (member.tag.as_str(), member.span)),
    );
    named.extend(policy.guard.invariants.iter().filter_map(|invariant| match &invariant.counts {
        Counted::Tag(tag) => Some((tag.as_str(), invariant.span)),
        Counted::Value(_) | Counted::Group { .. } => None,
    }));
    let selectors = policy.selectors.iter().map(|named| &named.selector);
    let selectors = selectors.chain(&policy.scope).chain(policy.rules.iter().map(|rule| &rule.select));
    for selector in selectors.chain(policy.protections.iter().map(|one| &one.select)) {
        walk(selector, &mut |part| {
            if let SelectorKind::Field {
                test: Test::HasAny(tags) | Test::HasAll(tags) | Test::HasNone(tags),
                ..
            } = &part.kind
            {
                named.extend(tags.iter().map(|tag| (tag.as_str(), part.span)));
            }
        });
    }
    named.sort_by_key(|(_, span)| (span.source, span.start));
    let renamed: HashMap<&str, &str> =
        policy.renames.iter().map(|rename| (rename.from.as_str(), rename.to.as_str())).collect();
    let last = |tag| renamed.get(tag).copied().unwrap_or(tag);
    let mut spellings: HashMap<String, Vec<(&str, Span)>> = HashMap::new();
    for (tag, span) in named {
        let known = spellings.entry(text::fold(tag).into_owned()).or_default();
        if known.iter().any(|(other, _)| policy.tag_case.is_same(other, tag)) {
            continue;
        }
        // A rename from one spelling to the other is the fix, not a fault.
        if let Some((other, first)) = known.iter().find(|(other, _)| last(other) != last(tag)) {
            let message = format!(
                "`{}` and `{}` differ {}, and are two tags",
                shown(tag),
                shown(other),
                tag::difference(tag, other)
            );
            let finding = Diagnostic::warning("W0404", span, message)
                .label("written so here")
                .related(*first, "written otherwise here");
            reader.report(finding.help("use one spelling; the portal shows both and people mix them up"));
        }
        known.push((tag, span));
    }
}

fn unused_selectors(reader: &mut Reader<'_>, policy: &Policy) {
    let roots = policy.rules.iter().map(|rule| &rule.select).chain(&policy.scope);
    let roots = roots.chain(policy.protections.iter().map(|one| &one.select)).chain(policy.guard.selectors());
    let mut used: HashSet<usize> = HashSet::new();
    let mut waiting: Vec<usize> = roots.flat_map(uses).map(|(index, _)| index).collect();
    while let Some(index) = waiting.pop() {
        if used.insert(index) {
            waiting.extend(uses(&policy.selectors[index].selector).into_iter().map(|(index, _)| index));
        }
    }
    for (index, named) in policy.selectors.iter().enumerate().filter(|(index, _)| !used.contains(index)) {
        debug_assert!(index < policy.selectors.len());
        let finding = Diagnostic::note(
            "N0403",
            named.span,
            format!("nothing uses the selector `{}`", shown(&named.name)),
        );
        reader.report(finding.help("delete it, or `use` it"));
    }
}

/// Reports a priority that decides nothing: no other rule is about the same tags or about values.
fn idle_priorities(reader: &mut Reader<'_>, policy: &Policy) {
    let rules: Vec<&Rule> = policy.rules.iter().filter(|rule| !is_dead(rule, reader.now)).collect();
    if rules.len() > MAX_COMPARED {
        return;
    }
    let subjects: Vec<(Vec<FlatPattern>, bool)> =
        rules.iter().map(|rule| (subjects(rule, policy.tag_case), rule.device_value.is_some())).collect();
    let mut effort = ComparisonBudget::new();
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.priority != 0) {
        let meets = |other: usize, effort: &mut ComparisonBudget| {
            let ((one, one_value), (two, two_value)) = (&subjects[at], &subjects[other]);
            (*one_value && *two_value)
                || one.iter().any(|shape| two.iter().any(|other| shape.overlaps(other, effort)))
        };
        if !(0..rules.len()).any(|other| other != at && meets(other, &mut effort)) {
            let message = format!(
                "the priority of rule `{}` decides nothing: no other rule speaks of its tags or of values",
                shown(&rule.name)
            );
            reader.report(
                Diagnostic::note("N0404", rule.span, message)
                    .help("it only orders the writing; delete it if that is not meant"),
            );
        }
    }
}

fn subjects(rule: &Rule, case: TagCase) -> Vec<FlatPattern> {
    let assigned = rule.tags.iter().map(|tag| match &tag.kind {
        TagExpressionKind::Literal(literal) => FlatPattern::literal(literal, case),
        TagExpressionKind::Template(template) => FlatPattern::new(&template.glob, case),
    });
    let removed = rule.remove_tags.iter().map(|tag| match &tag.pattern {
        TagPattern::Literal(literal) => FlatPattern::literal(literal, case),
        TagPattern::Glob(glob) => FlatPattern::new(glob, case),
    });
    assigned.chain(removed).collect()
}

fn literals(rule: &Rule) -> impl Iterator<Item = (&str, Span)> {
    rule.tags.iter().filter_map(|tag| match &tag.kind {
        TagExpressionKind::Literal(literal) => Some((literal.as_str(), tag.span)),
        TagExpressionKind::Template(_) => None,
    })
}
