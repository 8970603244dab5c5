//! How the figures of one guard differ from another's, defaults included: a reviewer must see first that the rails themselves
//! moved.
//!
//! Judges nothing; one sentence per difference. `policy::differences` compares the guard's lists, as they are written.

use std::collections::BTreeMap;

use crate::policy::{Axis, Guard, Quantity};
use crate::time::spoken;

/// The statements of a guard by key, in words that do not depend on their place.
type Statements = BTreeMap<String, String>;

/// One sentence per difference, the loss of the whole guard first.
pub fn changes(base: &Guard, new: &Guard) -> Vec<String> {
    let mut sentences = Vec::new();
    if base.span.is_some() && new.span.is_none() {
        sentences.push(
            "the guard is gone: no file of this policy set states one, and the default caps hold".to_owned(),
        );
    }
    let (before, after) = (statements(base), statements(new));
    for (key, was) in &before {
        match after.get(key) {
            Some(is) if is == was => {}
            Some(is) => sentences.push(format!("guard.{key} changes from {was} to {is}")),
            None => sentences.push(format!("guard.{key} is taken out; it was {was}")),
        }
    }
    let added = after.iter().filter(|(key, _)| !before.contains_key(*key));
    sentences.extend(added.map(|(key, is)| format!("guard.{key} is new: {is}")));
    sentences
}

fn statements(guard: &Guard) -> Statements {
    let mut statements = Statements::new();
    let mut state = |key: String, value: String| drop(statements.insert(key, value));
    if let Some((id, _)) = &guard.tenant_id {
        state("tenantId".to_owned(), id.clone());
    }
    for axis in Axis::ALL {
        let cap = guard.cap(axis);
        state(format!("caps.{}", axis.word()), format!("{} with a floor of {}", cap.percent, cap.floor));
    }
    for (axis, _) in &guard.day_caps {
        let cap = guard.day_cap(*axis);
        state(format!("caps.{}.day", axis.word()), format!("{} with a floor of {}", cap.percent, cap.floor));
    }
    if let Some((least, _)) = guard.min_devices {
        state("inventory.min".to_owned(), least.to_string());
    }
    if let Some((most, _)) = guard.max_shrink {
        state("inventory.maxShrink".to_owned(), most.to_string());
    }
    for (tag, _) in &guard.allow_reserved {
        state(format!("allowReserved `{tag}`"), "allowed".to_owned());
    }
    if let Some(rollout) = &guard.rollout {
        let steps: Vec<String> = rollout.waves.iter().copied().map(quantity).collect();
        state("rollout.waves".to_owned(), steps.join(", "));
        state("rollout.from".to_owned(), rollout.from.to_string());
        state("rollout.wait".to_owned(), spoken(rollout.wait));
        state("rollout.stopAt.failed".to_owned(), rollout.stop_at.failed.to_string());
        state("rollout.stopAt.bounced".to_owned(), rollout.stop_at.bounced.to_string());
        if rollout.first.is_some() {
            state("rollout.first".to_owned(), rollout.first_text.clone());
        }
        if let Some(health) = &rollout.health {
            state("rollout.health".to_owned(), format!("at most {} of {}", health.at_most, health.text));
        }
    }
    statements
}

fn quantity(quantity: Quantity) -> String {
    match quantity {
        Quantity::Count(count) => count.to_string(),
        Quantity::Share(share) => share.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Cap, Percent};

    #[test]
    fn a_raised_cap_and_a_lost_guard_are_said() {
        let span = crate::diagnostic::Span { source: crate::diagnostic::SourceId(0), start: 0, end: 0 };
        let strict = Cap { percent: Percent::whole(5), floor: 20, span: Some(span) };
        let base = Guard { caps: vec![(Axis::Removals, strict)], span: Some(span), ..Guard::default() };
        assert_eq!(changes(&base, &base), [""; 0]);
        let lost = changes(&base, &Guard::default());
        assert_eq!(lost.len(), 2);
        assert!(lost[0].starts_with("the guard is gone"), "{lost:?}");
        assert_eq!(
            lost[1],
            "guard.caps.removals changes from 5 % with a floor of 20 to 10 % with a floor of 10"
        );
    }

    #[test]
    fn a_rollout_that_loses_its_wait_or_a_gate_is_said() {
        let guard = |keys: &str| {
            let text = format!("version: 1\nguard:\n  rollout: {{ {keys} }}\n");
            let sources = crate::diagnostic::Sources::from_text("p.yaml", &text);
            crate::policy::resolve(&sources, crate::tag::TagCase::Exact, crate::time::Timestamp::EPOCH)
                .0
                .guard
        };
        let health = "health: { select: { healthStatus: Inactive }, atMost: 5% }";
        let base = guard(&format!("waves: [5], wait: 2h, {health}"));
        let lost = changes(&base, &guard("waves: [5]"));
        assert_eq!(
            lost,
            [
                "guard.rollout.health is taken out; it was at most 5 % of { healthStatus: Inactive }",
                "guard.rollout.wait changes from 2 h to 0 s"
            ]
        );
    }

    #[test]
    fn places_do_not_matter() {
        let at =
            |start| crate::diagnostic::Span { source: crate::diagnostic::SourceId(0), start, end: start };
        let pin = |start| Guard {
            tenant_id: Some(("t".into(), at(start))),
            span: Some(at(start)),
            ..Guard::default()
        };
        assert_eq!(changes(&pin(1), &pin(2)), [""; 0]);
    }
}
