//! Removals that wait for the addition that replaces them: the reference, and cases that once failed.

use std::collections::BTreeSet;

use serde_json::json;

use super::reference::View;
use super::*;
use crate::device::DeviceValue;
use crate::diagnostic::Sources;
use crate::policy::{self, Claim, Family};
use crate::selection::{self, HuntingResults};
use crate::time::Timestamp;

/// Whether an addition replaces a removal.
pub(super) fn replaces(view: &View<'_>, (new, why): (&str, &str), (old, cause): (&str, &str)) -> bool {
    let policy = &view.world.policy;
    let is_twin = new.to_lowercase() == old.to_lowercase();
    let is_rename = cause.strip_prefix("renamed ").is_some_and(|to| view.same(new, to));
    let rules = |cause: &str| -> BTreeSet<String> {
        let list = cause.strip_prefix("rule [").map(|list| list.trim_end_matches(']'));
        list.into_iter().flat_map(|list| list.split(", ")).map(str::to_owned).collect()
    };
    let in_family = |family: &Family| {
        let has = |tag: &str| family.members.iter().any(|member| view.same(&member.tag, tag));
        has(new) && has(old)
    };
    let in_claim = |claim: &Claim| view.covers(&claim.pattern, new) && view.covers(&claim.pattern, old);
    is_twin
        || is_rename
        || !rules(why).is_disjoint(&rules(cause))
        || policy.families.iter().any(in_family)
        || policy.claims.iter().any(in_claim)
}

/// The plan for one device with these tags, if the addition of a tag is contested or pending.
fn plan_of(policy: &str, live: &[&str], tag: &str, is_pending: bool) -> Plan {
    let sources = Sources::from_text("p.yaml", &format!("version: 1\n{policy}"));
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now);
    assert!(!findings.iter().any(|one| one.severity == crate::diagnostic::Severity::Error), "{findings:?}");
    let snapshot = crate::inventory::fleet(&[json!({ "machineTags": live })]);
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let key = ChangeKey { device: "d0".into(), what: ChangeWhat::Add(tag.into()) };
    let mut history = History::default();
    if is_pending {
        history.pending.insert(key);
    } else {
        history.contested.insert(key, "another origin".to_owned());
    }
    diff(&desired, &history, Header::default(), &sources)
}

/// The planned removals, and the withheld ones by reason and name.
fn waiting(policy: &str, live: &[&str], tag: &str, is_pending: bool) -> (Vec<String>, Vec<String>) {
    let plan = plan_of(policy, live, tag, is_pending);
    let removals = |changes: &[DeviceChange]| -> Vec<String> {
        let all = changes.iter().flat_map(|change| &change.remove);
        all.map(|remove| plan.tag(remove.tag).to_string()).collect()
    };
    let groups = plan.withheld.iter().filter(|group| group.removals > 0);
    let withheld = groups.map(|group| {
        let name = group.name.as_deref().unwrap_or_default();
        format!("{} {name}: {}", group.reason.word(), removals(&group.devices).join(" "))
    });
    (removals(&plan.changes), withheld.collect())
}

/// Whether a pending `Low` is planned if the list shows this value and showed `Normal` before the write.
fn plans_low(live: &str) -> bool {
    let policy = "version: 1\nrules:\n  - { name: r, select: { everything: true }, deviceValue: Low }\n";
    let sources = Sources::from_text("p.yaml", policy);
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (policy, _) = policy::resolve(&sources, crate::tag::TagCase::Exact, now);
    let snapshot = crate::inventory::fleet(&[json!({ "machineTags": [], "deviceValue": live })]);
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let mut history = History::default();
    history.pending.insert(ChangeKey { device: "d0".into(), what: ChangeWhat::Value(DeviceValue::Low) });
    history.values_before.insert("d0".into(), BTreeSet::from([Some("Normal".into())]));
    let plan = diff(&desired, &history, Header::default(), &sources);
    assert_eq!(plan.pending.is_empty(), !plan.changes.is_empty());
    !plan.changes.is_empty()
}

#[test]
fn a_pending_value_hides_the_old_state_and_no_other() {
    assert!(!plans_low("Normal"), "the list may lag");
    assert!(plans_low("High"), "somebody set it");
}

const RULE: &str = "rules:\n  - name: r\n    select: { everything: true }\n";

#[test]
fn a_removal_waits_for_an_addition_that_does_not_come() {
    let cases: [(&str, &[&str], &str); 5] = [
        // The service folds case, so the rule's spelling never appears.
        ("claims: [TIER0, Tier0]\n", &["Tier0"], "TIER0"),
        ("families: { f: [grp-b, grp-a] }\n", &["grp-a"], "grp-b"),
        ("claims: [\"grp-*\"]\n", &["grp-a"], "grp-b"),
        ("renames: { Old: New }\n", &["Old"], "New"),
        ("claims: [\"{Old,New}\"]\nrenames: { Old: New }\n", &["Old"], "New"),
    ];
    for (head, live, tag) in cases {
        let policy = format!("{head}{RULE}    tags: [{tag}]\n");
        for is_pending in [false, true] {
            let (planned, withheld) = waiting(&policy, live, tag, is_pending);
            assert!(planned.is_empty(), "{policy}");
            assert_eq!(withheld, [format!("unconfirmed {tag}: {}", live[0])], "{policy}");
        }
    }
}

#[test]
fn what_is_ordered_waits_for_a_pending_addition_and_for_no_contested_one() {
    let ordered = [
        format!("claims: [\"grp-*\"]\nretire: [grp-a]\n{RULE}    tags: [grp-b]\n"),
        format!("{RULE}    tags: [grp-b]\n    removeTags: [grp-a]\n"),
    ];
    for policy in ordered {
        assert_eq!(
            waiting(&policy, &["grp-a"], "grp-b", false),
            (vec!["grp-a".to_owned()], vec![]),
            "{policy}"
        );
        let held = vec!["unconfirmed grp-b: grp-a".to_owned()];
        assert_eq!(waiting(&policy, &["grp-a"], "grp-b", true), (vec![], held), "{policy}");
    }
}

#[test]
fn a_removal_does_not_wait_for_an_addition_that_has_nothing_to_do_with_it() {
    let policy = format!("claims: [Other, grp-a]\n{RULE}    tags: [grp-b]\n");
    assert_eq!(waiting(&policy, &["Other"], "grp-b", true), (vec!["Other".to_owned()], vec![]));
}

#[test]
fn a_contested_addition_beside_its_twin_blames_the_twin() {
    let name = |live: &[&str]| {
        let policy = format!("claims: [TIER0, Tier0, Other]\n{RULE}    tags: [TIER0]\n");
        let plan = plan_of(&policy, live, "TIER0", false);
        let contested = plan.withheld.iter().find(|group| group.reason == WithheldReason::Contested).unwrap();
        contested.name.clone().unwrap()
    };
    assert_eq!(name(&["Other"]), "another origin");
    assert!(name(&["Tier0"]).starts_with("the device carries `Tier0`, which differs only in case"));
}

#[test]
fn an_old_name_stays_where_the_rule_that_could_give_its_new_name_has_no_data() {
    let policy = |rules: &str| {
        format!(
            "claims: [\"team/*\"]\nrenames: {{ Old: team/blue }}\nrules:\n  \
             - {{ name: r, select: {{ everything: true }}, tags: [\"team/{{rbacGroupName}}\"] }}\n{rules}"
        )
    };
    let (removed, withheld) = waiting(&policy(""), &["Old"], "team/blue", true);
    assert_eq!((removed, withheld), (vec![], vec!["unresolved r: Old".to_owned()]));
    let other = "  - { name: s, select: { everything: true }, tags: [team/blue] }\n";
    let (removed, _) = waiting(&policy(other), &["Old", "team/blue"], "none", true);
    assert_eq!(removed, ["Old"], "another rule gives it");
}
