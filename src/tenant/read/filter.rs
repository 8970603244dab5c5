//! The part of a selector that the service can check too, as an OData filter.
//!
//! The filter may match more devices than the selector, never fewer: doubtful parts are left out, and every device is checked
//! again locally.

use mdetag_core::device::Field;
use mdetag_core::policy::{NamedSelector, Selector, SelectorKind, Test};
use mdetag_core::time::Timestamp;

/// The longest list in a filter, because the filter is in a URL.
const MOST: usize = 20;
/// The deepest chain of selectors that use each other, more than occurs in practice.
const DEPTH: usize = 16;

/// A filter that matches every device that `scope` selects, and perhaps more; `None` if a filter is not worthwhile. Uses only
/// fields that both of the service's lists of filterable fields name, and only comparisons that the service cannot make narrower
/// than ours: no free text, whose case the service may respect. `refused`: fields that this service was measured to reject.
pub fn pushed(
    scope: &Selector,
    named: &[NamedSelector],
    refused: &[Field],
    now: Timestamp,
) -> Option<String> {
    Pushing { named, refused, now }.condition(scope, DEPTH).map(|filter| filter.text)
}

/// Shared by all conditions of a filter.
struct Pushing<'a> {
    named: &'a [NamedSelector],
    refused: &'a [Field],
    now: Timestamp,
}

struct Filter {
    text: String,
    /// Whether it needs parentheses inside `and`.
    alternatives: bool,
}

impl Pushing<'_> {
    fn condition(&self, selector: &Selector, depth: usize) -> Option<Filter> {
        let depth = depth.checked_sub(1)?;
        match &selector.kind {
            // Leaving out a part only makes the filter wider.
            SelectorKind::All(parts) => {
                let parts = parts.iter().filter_map(|part| self.condition(part, depth)).collect();
                joined(parts, " and ")
            }
            // If an alternative cannot be pushed, neither can the whole.
            SelectorKind::Any(parts) => {
                let parts: Option<Vec<Filter>> =
                    parts.iter().map(|part| self.condition(part, depth)).collect();
                joined(parts?, " or ")
            }
            SelectorKind::Use(index) => self.condition(&self.named.get(*index)?.selector, depth),
            SelectorKind::Field { field, .. } if self.refused.contains(field) => None,
            SelectorKind::Field { field, test } => tested(*field, test, self.now),
            SelectorKind::Not(_)
            | SelectorKind::Everything
            | SelectorKind::Superseded { .. }
            | SelectorKind::Hunting(_) => None,
        }
    }
}

fn joined(mut parts: Vec<Filter>, with: &str) -> Option<Filter> {
    if parts.len() < 2 {
        return parts.pop();
    }
    let alternatives = with == " or ";
    let texts = parts.into_iter().map(|part| match part.alternatives && !alternatives {
        true => format!("({})", part.text),
        false => part.text,
    });
    Some(Filter { text: texts.collect::<Vec<_>>().join(with), alternatives })
}

fn tested(field: Field, test: &Test, now: Timestamp) -> Option<Filter> {
    let name = field.name();
    let plain = |text: String| Some(Filter { text, alternatives: false });
    match (field, test) {
        (Field::LastSeen, Test::Within(span)) => plain(format!("{name} ge {}", now.minus(*span))),
        (Field::LastSeen, Test::OlderThan(span)) => plain(format!("{name} lt {}", now.minus(*span))),
        (Field::LastSeen, Test::Before(moment)) => plain(format!("{name} lt {moment}")),
        (Field::LastSeen, Test::After(moment)) => plain(format!("{name} gt {moment}")),
        (Field::RbacGroupId, Test::Integer(numbers)) => {
            any_of(numbers.iter().map(|number| Some(format!("{name} eq {number}"))))
        }
        (
            Field::HealthStatus | Field::OnboardingStatus | Field::RiskScore | Field::ExposureLevel,
            Test::Text(list),
        ) => any_of(list.values.iter().map(|value| {
            // In the service's own spelling, because it could reject an unknown word.
            let known = field.known_values().iter().find(|known| mdetag_core::text::equal(known, value))?;
            Some(format!("{name} eq '{known}'"))
        })),
        _ => None,
    }
}

fn any_of(tests: impl ExactSizeIterator<Item = Option<String>>) -> Option<Filter> {
    if tests.len() > MOST {
        return None;
    }
    let parts: Option<Vec<String>> = tests.collect();
    let parts = parts?.into_iter().map(|text| Filter { text, alternatives: false }).collect();
    joined(parts, " or ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mdetag_core::diagnostic::{SourceId, Span};
    use mdetag_core::policy::TextList;

    use super::*;

    fn node(kind: SelectorKind) -> Selector {
        Selector { kind, span: Span { source: SourceId(0), start: 0, end: 0 } }
    }

    fn field(field: Field, test: Test) -> Selector {
        node(SelectorKind::Field { field, test })
    }

    fn words(of: Field, values: &[&str]) -> Selector {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        field(of, Test::Text(TextList { values, file: None }))
    }

    fn filter(selector: &Selector) -> Option<String> {
        pushed(selector, &[], &[], Timestamp::parse("2026-11-22").unwrap())
    }

    #[test]
    fn times_numbers_and_known_words_are_pushed() {
        let recent = field(Field::LastSeen, Test::Within(Duration::from_secs(86_400)));
        assert_eq!(filter(&recent).unwrap(), "lastSeen ge 2026-11-21T00:00:00Z");
        let group = field(Field::RbacGroupId, Test::Integer(vec![140, 7]));
        assert_eq!(filter(&group).unwrap(), "rbacGroupId eq 140 or rbacGroupId eq 7");
        let both =
            node(SelectorKind::All(vec![group, words(Field::OnboardingStatus, &["onboarded"]), recent]));
        assert_eq!(
            filter(&both).unwrap(),
            "(rbacGroupId eq 140 or rbacGroupId eq 7) and onboardingStatus eq 'Onboarded' and lastSeen ge 2026-11-21T00:00:00Z"
        );
    }

    #[test]
    fn whatever_is_in_doubt_only_widens_the_filter() {
        let onboarded = || words(Field::OnboardingStatus, &["Onboarded"]);
        let name = || words(Field::ComputerDnsName, &["dc01"]);
        for doubtful in [
            name(),
            words(Field::OsPlatform, &["Windows11"]),
            words(Field::HealthStatus, &["SomethingNew"]),
            node(SelectorKind::Everything),
            node(SelectorKind::Not(Box::new(onboarded()))),
            field(Field::LastSeen, Test::Exists(true)),
            field(Field::RbacGroupId, Test::Integer((0..50).collect())),
        ] {
            assert_eq!(filter(&doubtful), None, "{doubtful:?}");
            let all = node(SelectorKind::All(vec![onboarded(), doubtful.clone()]));
            assert_eq!(filter(&all).unwrap(), "onboardingStatus eq 'Onboarded'");
            assert_eq!(filter(&node(SelectorKind::Any(vec![onboarded(), doubtful]))), None);
        }
    }

    #[test]
    fn a_field_that_the_service_refuses_is_left_out() {
        let scope = node(SelectorKind::All(vec![
            words(Field::OnboardingStatus, &["onboarded"]),
            field(Field::RbacGroupId, Test::Integer(vec![140])),
        ]));
        let pushed = |refused: &[Field]| super::pushed(&scope, &[], refused, Timestamp::EPOCH);
        assert_eq!(pushed(&[Field::OnboardingStatus]).unwrap(), "rbacGroupId eq 140");
        assert_eq!(pushed(&[Field::OnboardingStatus, Field::RbacGroupId]), None);
    }

    #[test]
    fn named_selectors_are_followed_and_cycles_end() {
        let named = |index: usize| NamedSelector {
            name: "n".into(),
            selector: node(SelectorKind::Use(index)),
            span: Span { source: SourceId(0), start: 0, end: 0 },
        };
        assert_eq!(pushed(&node(SelectorKind::Use(0)), &[named(0)], &[], Timestamp::EPOCH), None);
        let found = NamedSelector { selector: words(Field::RiskScore, &["high"]), ..named(0) };
        let filter = pushed(&node(SelectorKind::Use(0)), &[found], &[], Timestamp::EPOCH);
        assert_eq!(filter.unwrap(), "riskScore eq 'High'");
    }
}
