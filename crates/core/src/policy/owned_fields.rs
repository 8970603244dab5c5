//! Selectors that depend only on names or live tags. A device's owner can set both, and so decides what applies to the device.
//!
//! Looks only at the text, and only at rules with consequences. A note, because a domain may control its names well.

use std::collections::BTreeSet;

use super::node::shown;
use super::reader::Reader;
use super::settle::is_dead;
use super::{Policy, Rule, Selector, SelectorKind, TagExpressionKind};
use crate::device::{DeviceValue, Field};
use crate::diagnostic::{Diagnostic, Span};
use crate::tag;

/// Notes every `scope`, protection and rule with consequences that depends on nothing else.
pub(super) fn check(reader: &mut Reader<'_>, policy: &Policy) {
    let scope = policy.scope.iter().map(|scope| ("`scope`".to_owned(), scope, scope.span));
    let protections = policy.protections.iter().map(|protection| {
        (format!("protection `{}`", shown(&protection.name)), &protection.select, protection.span)
    });
    let rules = policy.rules.iter().filter(|rule| !is_dead(rule, reader.now)).filter_map(|rule| {
        let who = format!("rule `{}`, which gives {},", shown(&rule.name), weight(policy, rule)?);
        Some((who, &rule.select, rule.span))
    });
    let found: Vec<(String, &Selector, Span)> = scope.chain(protections).chain(rules).collect();
    for (who, selector, span) in found {
        let SelectorInputs::Owned(fields) = basis(policy, selector, true) else { continue };
        let names: Vec<String> = fields.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("{who} rests only on {}", names.join(" and "));
        reader.report(
            Diagnostic::note("N0202", span, message)
                .label("a device's owner can set these")
                .help("add a condition that the owner does not decide, such as a list, a lookup or `osPlatform`; or keep it knowingly"),
        );
    }
}

/// The first consequence of a rule that matters.
fn weight(policy: &Policy, rule: &Rule) -> Option<String> {
    if rule.device_value == Some(DeviceValue::High) {
        return Some("the value High".to_owned());
    }
    let literals = rule.tags.iter().filter_map(|tag| match &tag.kind {
        TagExpressionKind::Literal(literal) => Some(literal),
        TagExpressionKind::Template(_) => None,
    });
    let mut of_weight = literals.filter(|tag| tag::is_reserved(tag) || policy.moves_groups(tag));
    of_weight.next().map(|tag| format!("the tag `{}`", shown(tag)))
}

/// The fields that decide whether a selector holds.
enum SelectorInputs {
    /// None: it always holds, or never.
    Nothing,
    /// Only these fields, which a device's owner can set.
    Owned(BTreeSet<&'static str>),
    /// Also other fields.
    Other,
}

/// Each alternative counts alone, because one that holds is enough. `holds`: whether the selector should hold, or should not.
fn basis(policy: &Policy, selector: &Selector, holds: bool) -> SelectorInputs {
    let mut visited = BTreeSet::new();
    basis_of(policy, selector, holds, &mut visited)
}

fn basis_of(
    policy: &Policy,
    selector: &Selector,
    holds: bool,
    above: &mut BTreeSet<usize>,
) -> SelectorInputs {
    match &selector.kind {
        SelectorKind::Everything => SelectorInputs::Nothing,
        SelectorKind::Field { field, .. } => match field {
            Field::ComputerDnsName | Field::DeviceName | Field::Domain | Field::MachineTags => {
                SelectorInputs::Owned(BTreeSet::from([field.name()]))
            }
            _ => SelectorInputs::Other,
        },
        SelectorKind::Not(part) => basis_of(policy, part, !holds, above),
        SelectorKind::Use(index) => {
            // A selector that uses itself is a separate error.
            if !above.insert(*index) {
                return SelectorInputs::Other;
            }
            let found = basis_of(policy, &policy.selectors[*index].selector, holds, above);
            above.remove(index);
            found
        }
        SelectorKind::All(parts) | SelectorKind::Any(parts) => {
            let is_all = matches!(selector.kind, SelectorKind::All(_));
            let found = parts.iter().map(|part| basis_of(policy, part, holds, above));
            joined(found.collect(), is_all == holds)
        }
        SelectorKind::Superseded { .. } | SelectorKind::Hunting(_) => SelectorInputs::Other,
    }
}

/// If all parts are needed, one that reads other fields is enough; of alternatives, each one that reads only owned fields counts.
fn joined(parts: Vec<SelectorInputs>, all: bool) -> SelectorInputs {
    let has_other = parts.iter().any(|part| matches!(part, SelectorInputs::Other));
    let mut owned = BTreeSet::new();
    for part in parts {
        if let SelectorInputs::Owned(fields) = part {
            owned.extend(fields);
        }
    }
    match (has_other, owned.is_empty()) {
        (true, _) if all => SelectorInputs::Other,
        (_, false) => SelectorInputs::Owned(owned),
        (true, true) => SelectorInputs::Other,
        (false, true) => SelectorInputs::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Sources;
    use crate::policy::resolve;
    use crate::tag::TagCase;
    use crate::time::Timestamp;

    fn notes(text: &str) -> Vec<String> {
        let mut sources = Sources::from_text("p.yaml", &format!("version: 1\n{text}"));
        let groups = "groups: [{ name: Top, when: { tag: [{ equals: Tier0 }] } }]";
        sources.data.insert((0, "g.yaml".to_owned()), Ok(groups.as_bytes().into()));
        let (_, findings) = resolve(&sources, TagCase::Exact, Timestamp::EPOCH);
        assert!(findings.iter().all(|finding| !finding.code.starts_with('E')), "{findings:?}");
        findings
            .into_iter()
            .filter(|finding| finding.code == "N0202")
            .map(|finding| finding.message)
            .collect()
    }

    fn rule(select: &str, gives: &str) -> Vec<String> {
        notes(&format!(
            "deviceGroups: {{ file: g.yaml }}\nguard: {{ allowReserved: [MDE-Management] }}\n\
             selectors: {{ named: {{ computerDnsName: {{ startsWith: a }} }} }}\nrules: [{{ name: r, select: {select}, {gives} }}]\n"
        ))
    }

    #[test]
    fn what_weighs_and_rests_only_on_names_or_live_tags_is_noted() {
        let name = "{ computerDnsName: { startsWith: a } }";
        for gives in ["deviceValue: High", "tags: [MDE-Management]", "tags: [Other, Tier0]", "tags: [tier0]"]
        {
            let found = rule(name, gives);
            assert!(
                found.len() == 1 && found[0].ends_with(" rests only on `computerDnsName`"),
                "{gives}: {found:?}"
            );
        }
        for gives in ["deviceValue: Low", "tags: [Other]", "removeTags: [Gone]"] {
            assert_eq!(rule(name, gives), [""; 0], "{gives}");
        }
        assert_eq!(notes(&format!("scope: {name}\n")), ["`scope` rests only on `computerDnsName`"]);
        let protect = "protect: [{ name: glass, select: { machineTags: { has: Break } } }]\n";
        assert_eq!(notes(protect), ["protection `glass` rests only on `machineTags`"]);
        assert_eq!(notes("scope: { everything: true }\n"), [""; 0]);
    }

    #[test]
    fn every_alternative_counts_and_one_other_condition_is_enough() {
        for (select, is_noted) in [
            ("{ all: [{ domain: x.test }, { machineTags: { has: A } }] }", true),
            ("{ domain: x.test, osPlatform: Linux }", false),
            ("{ any: [{ osPlatform: Linux }, { deviceName: a }] }", true),
            ("{ any: [{ osPlatform: Linux }, { deviceName: a, osPlatform: Windows11 }] }", false),
            ("{ not: { any: [{ osPlatform: Linux }, { deviceName: a }] } }", false),
            ("{ not: { deviceName: a, osPlatform: Linux } }", true),
            ("{ use: named }", true),
            ("{ use: named, osPlatform: Linux }", false),
            ("{ everything: true }", false),
            ("{ any: [{ use: named }, { everything: true }] }", true),
            ("{ superseded: { by: deviceName } }", false),
        ] {
            assert_eq!(rule(select, "deviceValue: High").len(), usize::from(is_noted), "{select}");
        }
    }
}
