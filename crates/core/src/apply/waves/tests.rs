//! On which side of a wave's gates each outcome is, and from how many devices on a gate speaks.

use super::*;
use crate::apply::ChangeWhat;
use crate::plan::{Cause, CauseIndex, TagChange, TagIndex, waves};
use crate::policy::{Quantity, Rollout};

/// A plan whose first wave is so many devices, and whose second is one.
fn plan(first: usize) -> Plan {
    let change = |number: usize| DeviceChange {
        id: format!("{number:04}").into(),
        name: None,
        observed_tags: Box::new([]),
        observed_value: None,
        add: vec![TagChange { tag: TagIndex(0), cause: CauseIndex(0) }],
        remove: Vec::new(),
        value: None,
    };
    let mut plan = Plan {
        tags: vec!["New".into()],
        causes: vec![Cause::Rule(vec![])],
        changes: (0..=first).map(change).collect(),
        ..Plan::default()
    };
    let text = "version: 1\nguard:\n  rollout: { from: 0, waves: [1, 100%] }\n";
    let sources = crate::diagnostic::Sources::from_text("p.yaml", text);
    let (policy, _) = crate::policy::resolve(&sources, crate::tag::TagCase::Exact, Timestamp::EPOCH);
    let rollout: Rollout = policy.guard.rollout.expect("the policy has a rollout");
    assert_eq!(rollout.waves[0], Quantity::Count(1));
    let last = format!("{first:04}");
    waves::assign(&mut plan, &rollout, &|id| id != last);
    plan
}

/// The gate that a wave of devices with these outcomes fails: which, how many are bad, and of how many.
fn failed(outcomes: &[(Outcome, usize)]) -> Option<(Gate, u64, u64)> {
    let outcomes: Vec<Outcome> =
        outcomes.iter().flat_map(|(outcome, count)| std::iter::repeat_n(*outcome, *count)).collect();
    let plan = plan(outcomes.len());
    let gates = Gates {
        failed: Percent::whole(5),
        bounced: Percent::whole(20),
        health: None,
        wait: Duration::ZERO,
        visibility: Duration::ZERO,
    };
    let mut waves = Waves::new(&plan, &plan, gates, &[]).expect("the plan has waves");
    waves.start(1, &|_| false, Timestamp::EPOCH);
    let ended = plan.changes.iter().zip(&outcomes).map(|(change, outcome)| ChangeOutcome {
        key: ChangeKey { device: change.id.clone(), what: ChangeWhat::Add("New".into()) },
        outcome: *outcome,
        error: None,
    });
    let ended = Entry::Ended { at: Timestamp::EPOCH, ended: ended.collect() };
    let said = waves.end(&[ended], false, Timestamp::EPOCH);
    let halts = said.into_iter().filter_map(|entry| match entry {
        Entry::Wave { event: WaveEvent::Halted(halt), .. } => Some((halt.gate, halt.bad, halt.of)),
        _ => None,
    });
    halts.last()
}

#[test]
fn a_gate_fails_above_its_share_and_only_at_three_devices_or_all_of_the_wave() {
    use Outcome::{Bounced, Done, Failed};
    for (outcomes, expected) in [
        (vec![(Failed, 3), (Done, 57)], None),
        (vec![(Failed, 4), (Done, 56)], Some((Gate::Failed, 4, 60))),
        (vec![(Failed, 2), (Done, 3)], None),
        (vec![(Failed, 3), (Done, 2)], Some((Gate::Failed, 3, 5))),
        (vec![(Failed, 2)], Some((Gate::Failed, 2, 2))),
        (vec![(Failed, 1)], Some((Gate::Failed, 1, 1))),
        (vec![(Bounced, 3), (Done, 12)], None),
        (vec![(Bounced, 3), (Done, 11)], Some((Gate::Bounced, 3, 14))),
        (vec![(Bounced, 2), (Done, 1)], None),
        (vec![(Failed, 2), (Bounced, 2)], None),
    ] {
        assert_eq!(failed(&outcomes), expected, "{outcomes:?}");
    }
}

#[test]
fn unknown_counts_as_failed_and_refused_gone_stale_and_noop_are_on_neither_side() {
    use Outcome::{Done, Failed, Gone, Noop, NotAttempted, Pending, Refused, Stale, Unconfirmed, Unknown};
    for (outcomes, expected) in [
        (vec![(Unknown, 2), (Failed, 1), (Done, 2)], Some((Gate::Failed, 3, 5))),
        (vec![(NotAttempted, 3), (Done, 2)], Some((Gate::Failed, 3, 5))),
        // They neither make a wave bad nor thin out what is.
        (vec![(Refused, 30), (Gone, 30), (Stale, 30), (Noop, 30), (Done, 1)], None),
        (
            vec![(Refused, 30), (Gone, 30), (Stale, 30), (Noop, 30), (Failed, 3), (Done, 2)],
            Some((Gate::Failed, 3, 5)),
        ),
        (vec![(Noop, 60), (Failed, 1)], Some((Gate::Failed, 1, 1))),
        (vec![(Gone, 5), (Stale, 5), (Noop, 5)], None),
        // What only waits for the list is good.
        (vec![(Pending, 30), (Unconfirmed, 30), (Failed, 3)], None),
        // A wave that was refused whole proves nothing.
        (vec![(Refused, 5)], Some((Gate::Evidence, 5, 5))),
    ] {
        assert_eq!(failed(&outcomes), expected, "{outcomes:?}");
    }
}
