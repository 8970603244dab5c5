//! Lints that need logic: selectors that no device or every device meets, rules that add nothing to another, family members that
//! never stay, lookups that nothing reads.
//!
//! A finding is true for every inventory: a rule that is called dead never changes a plan.

use std::collections::HashSet;
use std::time::Duration;

use super::logic::{Formula, Formulas};
use super::node::shown;
use super::reader::Reader;
use super::selector::walk;
use super::settle::is_dead;
use super::{Filter, Policy, Rule, SelectorKind, TagExpressionKind, TemplatePart, Test};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};
use crate::tag::TagPattern;

/// The most rules for which lints compare every rule with every other.
pub(super) const MOST_COMPARED: usize = 1_000;

/// Devices send a full report about once a day (documented), so devices flap in and out of a shorter window.
const REPORT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Reports the dead parts of a set without errors.
pub(super) fn check(reader: &mut Reader<'_>, policy: &Policy) {
    let mut formulas = Formulas::new(policy);
    let rules: Vec<RuleFormula<'_>> = policy
        .rules
        .iter()
        .filter(|rule| !is_dead(rule, reader.now))
        .map(|rule| RuleFormula { rule, formula: formulas.of(&rule.select) })
        .collect();
    let mut useless = selectors(reader, policy, &mut formulas, &rules);
    if rules.len() <= MOST_COMPARED {
        repeated(reader, &rules, &mut useless);
        family_members(reader, policy, &rules, &useless);
    }
    unused_lookups(reader, policy);
    unused_maps(reader, policy);
    short_windows(reader, policy);
}

/// A rule and its selector as a formula; `None` if that is too large.
struct RuleFormula<'p> {
    rule: &'p Rule,
    formula: Option<Formula<'p>>,
}

/// Reports selectors that no device or every device meets in any inventory. Returns the names of rules that select no device.
fn selectors<'p>(
    reader: &mut Reader<'_>,
    policy: &'p Policy,
    formulas: &mut Formulas<'p>,
    rules: &[RuleFormula<'p>],
) -> HashSet<String> {
    let mut useless = HashSet::new();
    let report = |reader: &mut Reader<'_>, who: String, span: Span, formula: &Formula<'_>| {
        if formula.is_impossible() {
            let finding =
                Diagnostic::warning("W0710", span, format!("{who} holds for no device, whatever it is"));
            reader.report(finding.label("contradicts itself").help("delete it, or one of the conditions"));
            return true;
        }
        if formula.is_certain() {
            let finding = Diagnostic::warning("W0711", span, format!("{who} holds for every device"));
            reader.report(finding.label("always true").help("write `everything: true` if that is meant"));
        }
        false
    };
    for RuleFormula { rule, formula } in rules {
        let Some(formula) = formula.as_ref().filter(|_| !is_plainly_everything(&rule.select.kind)) else {
            continue;
        };
        if report(reader, format!("the selector of rule `{}`", shown(&rule.name)), rule.span, formula) {
            useless.insert(rule.name.clone());
        }
    }
    for protection in policy.protections.iter().filter(|one| !is_plainly_everything(&one.select.kind)) {
        if let Some(formula) = formulas.of(&protection.select) {
            report(
                reader,
                format!("the protection `{}`", shown(&protection.name)),
                protection.span,
                &formula,
            );
        }
    }
    useless
}

/// Whether it is `everything: true` alone: then it does what its author wrote.
fn is_plainly_everything(kind: &SelectorKind) -> bool {
    match kind {
        SelectorKind::Everything => true,
        SelectorKind::All(parts) => parts.len() == 1 && is_plainly_everything(&parts[0].kind),
        _ => false,
    }
}

/// Reports rules that another makes superfluous: for all of their devices, the other says the same or more.
fn repeated(reader: &mut Reader<'_>, rules: &[RuleFormula<'_>], useless: &mut HashSet<String>) {
    for (at, one) in rules.iter().enumerate() {
        let Some(formula) = one.formula.as_ref().filter(|_| !useless.contains(&one.rule.name)) else {
            continue;
        };
        let covering = rules.iter().enumerate().find(|(index, other)| {
            *index != at
                && !useless.contains(&other.rule.name)
                && says_all_of(other.rule, one.rule)
                && other.formula.as_ref().is_some_and(|wider| formula.implies(wider))
        });
        let Some((index, other)) = covering else { continue };
        let is_same = says_all_of(one.rule, other.rule)
            && other.formula.as_ref().is_some_and(|wider| wider.implies(formula));
        // Of two rules that say the same, the later is reported.
        if is_same && index > at {
            continue;
        }
        useless.insert(one.rule.name.clone());
        let (name, its) = (shown(&one.rule.name), shown(&other.rule.name));
        let finding = if is_same {
            Diagnostic::warning(
                "W0712",
                one.rule.span,
                format!("rule `{name}` says the same as rule `{its}`"),
            )
            .label("said before")
        } else {
            let message =
                format!("rule `{name}` changes nothing: rule `{its}` says all of it for all of its devices");
            Diagnostic::warning("W0713", one.rule.span, message).label("says nothing new")
        };
        reader.report(finding.related(other.rule.span, "said here").help("delete one of them"));
    }
}

/// Whether a rule says at least what another says, with at least its priority and on each of its days. Every pair of rules comes
/// here, so cheap comparisons are first and no text is written.
fn says_all_of(more: &Rule, less: &Rule) -> bool {
    let is_same = |one: &TagExpressionKind, other: &TagExpressionKind| match (one, other) {
        (TagExpressionKind::Literal(one), TagExpressionKind::Literal(other)) => one == other,
        (TagExpressionKind::Template(one), TagExpressionKind::Template(other)) => one.source == other.source,
        _ => false,
    };
    let gives_all =
        || less.tags.iter().all(|one| more.tags.iter().any(|other| is_same(&one.kind, &other.kind)));
    let removes_all = || {
        let is_removed =
            |pattern: &TagPattern| more.remove_tags.iter().any(|other| other.pattern == *pattern);
        less.remove_tags.iter().all(|one| is_removed(&one.pattern))
    };
    let starts = more.from.is_none_or(|from| less.from.is_some_and(|day| from <= day));
    let ends = more.until.is_none_or(|until| less.until.is_some_and(|day| day <= until));
    // A rule's own `tags` win over its `removeTags`, so the wider rule could say less.
    let has_own_exceptions = !more.remove_tags.is_empty() && !more.tags.is_empty();
    more.priority >= less.priority
        && starts
        && ends
        && !has_own_exceptions
        && less.device_value.is_none_or(|value| more.device_value == Some(value))
        && gives_all()
        && removes_all()
}

/// Reports family members that never stay: every device that gets one also gets a stronger one.
fn family_members(
    reader: &mut Reader<'_>,
    policy: &Policy,
    rules: &[RuleFormula<'_>],
    useless: &HashSet<String>,
) {
    let gives = |looked: &&RuleFormula<'_>, tag: &str| {
        looked.rule.tags.iter().any(
            |expression| matches!(&expression.kind, TagExpressionKind::Literal(literal) if policy.tag_case.is_same(literal, tag)),
        )
    };
    let may_give = |tag: &str| {
        let templates = rules.iter().flat_map(|looked| &looked.rule.tags);
        templates.into_iter().any(|expression| match &expression.kind {
            TagExpressionKind::Template(template) => template.glob.matches(tag),
            TagExpressionKind::Literal(_) => false,
        }) || policy.renames.iter().any(|rename| policy.tag_case.is_same(&rename.to, tag))
    };
    let is_banned = |tag: &str| {
        let bans = rules.iter().flat_map(|looked| &looked.rule.remove_tags);
        bans.into_iter().any(|remove| policy.covers(&remove.pattern, tag))
    };
    for family in &policy.families {
        for (rank, member) in family.members.iter().enumerate().skip(1) {
            let givers: Vec<&RuleFormula<'_>> =
                rules.iter().filter(|looked| gives(looked, &member.tag)).collect();
            if givers.is_empty() || may_give(&member.tag) {
                continue;
            }
            let stronger = family.members[..rank].iter().filter(|other| !is_banned(&other.tag));
            let stronger: Vec<&RuleFormula<'_>> = stronger
                .flat_map(|other| rules.iter().filter(|looked| gives(looked, &other.tag)))
                .filter(|looked| looked.rule.from.is_none() && looked.rule.until.is_none())
                .collect();
            let is_overruled = |giver: &&RuleFormula<'_>| {
                useless.contains(&giver.rule.name)
                    || giver.formula.as_ref().is_some_and(|formula| {
                        stronger
                            .iter()
                            .any(|other| other.formula.as_ref().is_some_and(|wider| formula.implies(wider)))
                    })
            };
            if givers.iter().all(is_overruled) {
                let message = format!(
                    "the family `{}` never keeps `{}`: every device that is given it is given a stronger member too",
                    shown(&family.name),
                    shown(&member.tag)
                );
                let finding = Diagnostic::warning("W0714", member.span, message).label("never stays");
                reader.report(
                    finding
                        .related(givers[0].rule.span, "given here")
                        .help("move it up in the family, or narrow the rule of the stronger member"),
                );
            }
        }
    }
}

/// Lookups of which no selector and no template reads a column.
fn unused_lookups(reader: &mut Reader<'_>, policy: &Policy) {
    let mut used: HashSet<u16> = HashSet::new();
    let roots = policy
        .rules
        .iter()
        .map(|rule| &rule.select)
        .chain(&policy.scope)
        .chain(policy.protections.iter().map(|protection| &protection.select))
        .chain(policy.guard.selectors())
        .chain(policy.selectors.iter().map(|named| &named.selector));
    for selector in roots {
        walk(selector, &mut |part| {
            if let SelectorKind::Field { field: Field::Lookup { lookup, .. }, .. } = &part.kind {
                used.insert(*lookup);
            }
        });
    }
    for expression in policy.rules.iter().flat_map(|rule| &rule.tags) {
        let TagExpressionKind::Template(template) = &expression.kind else { continue };
        for part in &template.parts {
            if let TemplatePart::Placeholder { field: Field::Lookup { lookup, .. }, .. } = part {
                used.insert(*lookup);
            }
        }
    }
    for (index, lookup) in policy.lookups.iter().enumerate() {
        if u16::try_from(index).is_ok_and(|index| !used.contains(&index)) {
            let message = format!("nothing reads the lookup `{}`", shown(&lookup.name));
            reader.report(
                Diagnostic::warning("W0715", lookup.span, message)
                    .label("not used")
                    .help("delete it, or use one of its columns"),
            );
        }
    }
}

/// Maps that no template names.
fn unused_maps(reader: &mut Reader<'_>, policy: &Policy) {
    let mut used: HashSet<usize> = HashSet::new();
    for expression in policy.rules.iter().flat_map(|rule| &rule.tags) {
        let TagExpressionKind::Template(template) = &expression.kind else { continue };
        for part in &template.parts {
            let TemplatePart::Placeholder { filters, .. } = part else { continue };
            used.extend(filters.iter().filter_map(|filter| match filter {
                Filter::Map(map) => Some(*map),
                _ => None,
            }));
        }
    }
    for (_, map) in policy.maps.iter().enumerate().filter(|(index, _)| !used.contains(index)) {
        let message = format!("nothing uses the map `{}`", shown(&map.name));
        let finding = Diagnostic::warning("W0716", map.span, message).label("not used");
        reader.report(finding.help("delete it, or name it in a template: `{FIELD|map:NAME}`"));
    }
}

/// Reports windows of `lastSeen` under a day. The service updates it about daily, so devices come and go within the window.
fn short_windows(reader: &mut Reader<'_>, policy: &Policy) {
    let rules = policy.rules.iter().map(|rule| &rule.select);
    let selectors = rules.chain(&policy.scope).chain(policy.selectors.iter().map(|named| &named.selector));
    for selector in selectors.chain(policy.protections.iter().map(|protection| &protection.select)) {
        walk(selector, &mut |part| {
            let SelectorKind::Field { field: Field::LastSeen, test } = &part.kind else { return };
            let (Test::Within(span) | Test::OlderThan(span)) = test else { return };
            if *span < REPORT_INTERVAL {
                let finding = Diagnostic::warning(
                    "W0718",
                    part.span,
                    "this window is shorter than a day, and devices report `lastSeen` about once a day",
                );
                reader.report(
                    finding
                        .label("devices will come and go")
                        .help("use at least `48h`, so that one missed report changes nothing"),
                );
            }
        });
    }
}
