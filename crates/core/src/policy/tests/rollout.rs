//! `guard.rollout`: how it is parsed, and which rollouts cannot be carried out or notice faults too late.

use std::time::Duration;

use super::*;
use crate::policy::{Percent, Quantity, blind_bounces};

fn rollout(keys: &str) -> ResolvedSet {
    one(&format!("guard:\n  rollout: {{ {keys} }}\n"))
}

#[test]
fn a_rollout_says_its_steps_and_its_gates_and_has_defaults_for_the_rest() {
    let set = rollout("waves: [25, 10%, 100%]");
    assert_eq!(set.codes(), Vec::<&str>::new());
    let rollout = set.policy.guard.rollout.unwrap();
    assert_eq!((rollout.from, rollout.wait), (100, Duration::ZERO));
    let steps =
        [Quantity::Count(25), Quantity::Share(Percent::whole(10)), Quantity::Share(Percent::whole(100))];
    assert_eq!(rollout.waves, steps);
    let stop_at = (rollout.stop_at.failed, rollout.stop_at.bounced);
    assert_eq!(stop_at, (Percent::whole(5), Percent::whole(20)));
    assert!(rollout.first.is_none() && rollout.health.is_none());
    let set = self::rollout(
        "from: 10, waves: [5], first: { use: canaries }, wait: 2h, stopAt: { failed: 2% }, \
         health: { select: { healthStatus: NoSensorData }, atMost: 5% }",
    );
    assert_eq!(set.codes(), ["E0205"], "selectors are looked up by name");
}

#[test]
fn waves_rise_and_each_adds_devices() {
    for keys in [
        "waves: [10, 5]",
        "waves: [5, 5]",
        "waves: [20%, 10%]",
        "waves: [0]",
        "waves: [0%]",
        "waves: [100%, 5]",
    ] {
        assert_eq!(rollout(keys).codes(), ["E0506"], "{keys}");
    }
    assert_eq!(rollout("waves: []").codes(), ["E0204"]);
    assert_eq!(rollout("from: 5").codes(), ["E0105"]);
    assert_eq!(rollout("waves: [5], wait: soon").codes(), ["E0208"]);
    let many: Vec<String> = (1..=101).map(|wave| wave.to_string()).collect();
    assert_eq!(rollout(&format!("waves: [{}]", many.join(", "))).codes(), ["E0506"]);
}

#[test]
fn a_gate_that_cannot_see_in_time_is_warned_about() {
    let health = "health: { select: { healthStatus: Inactive }, atMost: 5% }";
    assert_eq!(rollout(&format!("waves: [5], {health}")).codes(), ["W0502"]);
    assert_eq!(rollout(&format!("waves: [5], wait: 59m, {health}")).codes(), ["W0502"]);
    assert_eq!(rollout(&format!("waves: [5], wait: 1h, {health}")).codes(), Vec::<&str>::new());
    let visibility = Duration::from_secs(3_600);
    let bounced = |keys: &str| blind_bounces(&rollout(keys).policy, visibility).is_some();
    assert!(bounced("waves: [5], wait: 30m, stopAt: { bounced: 5% }"));
    assert!(!bounced("waves: [5], wait: 1h, stopAt: { bounced: 5% }"));
    assert!(bounced("waves: [5]") && bounced("waves: [5], wait: 10m"), "the default is as blind");
    assert!(!bounced("waves: [5], wait: 1h"));
    assert!(!bounced("waves: [5], stopAt: { bounced: 100% }"), "a gate that lets all pass is none");
    let default = blind_bounces(&rollout("waves: [5], wait: 10m").policy, visibility).unwrap();
    assert_eq!(
        default.help.as_deref(),
        Some("write a `wait` of 1 h or more, or write `stopAt: { bounced: 100% }`")
    );
}

#[test]
fn a_wait_without_a_unit_asks_for_the_unit_and_is_not_called_short() {
    let set = rollout("waves: [5], wait: 2, health: { select: { healthStatus: Inactive }, atMost: 5% }");
    assert_eq!(set.codes(), ["E0208"]);
    assert_eq!(set.findings[0].help.as_deref(), Some("say of what: `2h`, `2m` or `2d`"));
    let visibility = Duration::from_secs(3_600);
    assert!(blind_bounces(&set.policy, visibility).is_none());
}

#[test]
fn selectors_and_lookups_that_only_the_rollout_uses_are_used() {
    let set = one("selectors:\n  canaries: { machineTags: { has: Canary } }\n\
         guard:\n  rollout: { waves: [5], first: { use: canaries } }\n");
    assert_eq!((set.codes(), set.notes()), (Vec::<&str>::new(), Vec::<&str>::new()));
}
