//! The guard's arithmetic, on the smallest plans that show it.

mod days;
mod totals;

use super::*;
use crate::device::DeviceValue;
use crate::diagnostic::{SourceId, Span};
use crate::plan::{CauseIndex, Measures, TagChange, ValueChange};
use crate::policy::{Approval, Cap, Percent};
use crate::tag::{TagCase, TagPattern};
use crate::time::{Date, Timestamp};

const SPAN: Span = Span { source: SourceId(0), start: 0, end: 1 };

fn sources() -> Sources {
    Sources::from_text("guard.yaml", "version: 1\n")
}

/// A plan that removes tag `T` from `removals` of `in_scope` devices, all of which carry it.
fn removing(removals: usize, in_scope: u64) -> Plan {
    let place = sources().place(SPAN);
    let changes = (0..removals).map(|index| DeviceChange {
        id: format!("{index:06}").into(),
        name: None,
        observed_tags: [TagIndex(0)].into(),
        observed_value: Some("Normal".into()),
        add: Vec::new(),
        remove: vec![TagChange { tag: TagIndex(0), cause: CauseIndex(0) }],
        value: None,
    });
    let mut plan = Plan {
        tags: vec!["T".into(), "New".into()],
        causes: vec![Cause::Retired { place: place.clone() }, Cause::Renamed { to: "New".into(), place }],
        changes: changes.collect(),
        measures: Measures {
            in_scope,
            removable_pairs: in_scope,
            carriers: vec![(TagIndex(0), in_scope)],
            ..Measures::default()
        },
        ..Plan::default()
    };
    plan.header.now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    plan
}

fn check(plan: Plan, guard: &Guard, allowances: &[Allowance]) -> GuardReport {
    match SafePlan::new(plan, guard, allowances, &sources()) {
        Ok(safe) => {
            assert!(!safe.plan().guard.refused);
            safe.plan().guard.clone()
        }
        Err(refused) => {
            assert!(refused.plan.guard.refused);
            refused.plan.guard
        }
    }
}

fn axis(report: &GuardReport, axis: Axis) -> &AxisReport {
    report.axes.iter().find(|entry| entry.axis == axis).unwrap()
}

fn allow(text: &str) -> Allowance {
    Allowance::parse(text).unwrap()
}

#[test]
fn a_cap_is_the_greater_of_floor_and_share_rounded_down() {
    let report = check(removing(10, 59), &Guard::default(), &[]);
    assert!(!report.refused, "the floor of 10 counts while a tenth is less");
    assert!(check(removing(11, 59), &Guard::default(), &[]).refused);
    let report = check(removing(12, 129), &Guard::default(), &[]);
    let removals = axis(&report, Axis::Removals);
    assert_eq!((removals.planned, removals.allowed, removals.base, report.refused), (12, 12, 129, false));
    assert!(check(removing(13, 129), &Guard::default(), &[]).refused);
}

#[test]
fn nothing_allowed_means_none_and_not_unlimited() {
    let none = Cap { percent: Percent::whole(0), floor: 0, span: Some(SPAN) };
    let guard = Guard { caps: vec![(Axis::RemovalsPerTag, none)], ..Guard::default() };
    let report = check(removing(1, 1000), &guard, &[]);
    assert!(report.refused && axis(&report, Axis::RemovalsPerTag).is_exceeded());
    assert!(!check(removing(0, 1000), &guard, &[]).refused);
}

#[test]
fn every_axis_is_in_the_report_and_per_tag_once_a_tag_with_removals() {
    let report = check(removing(1, 1000), &Guard::default(), &[]);
    let axes: Vec<_> = report.axes.iter().map(|entry| (entry.axis.word(), entry.tag.as_deref())).collect();
    let expected = [
        ("devices", None),
        ("additions", None),
        ("removals", None),
        ("removalsPerTag", Some("T")),
        ("values", None),
    ];
    assert_eq!(axes, expected);
}

#[test]
fn allowances_raise_one_cap_to_a_number_and_never_lower_it() {
    let raised = check(removing(50, 100), &Guard::default(), &[allow("removals=50")]);
    assert!(!raised.refused);
    assert_eq!(raised.approvals[0].sentence(), "removals=50 for this run (--allow)");
    assert_eq!((raised.axes[2].raised_by, raised.axes[2].cap), (Some(0), 10));
    assert!(check(removing(50, 100), &Guard::default(), &[allow("removals=49")]).refused);
    let lower = check(removing(10, 100), &Guard::default(), &[allow("removals=1")]);
    assert!(!lower.refused && lower.approvals.is_empty());
}

#[test]
fn an_allowance_for_a_tag_covers_that_tag_only() {
    let all = [allow("removals=60"), allow("removalsPerTag:T=60")];
    assert!(!check(removing(60, 100), &Guard::default(), &all).refused);
    let other = [allow("removals=60"), allow("removalsPerTag:U=60")];
    assert!(check(removing(60, 100), &Guard::default(), &other).refused);
}

#[test]
fn allowances_take_the_first_colon_and_the_last_equals_sign() {
    let odd = allow("removalsPerTag:owner:a=b=312");
    assert_eq!((odd.axis, odd.tag.as_deref(), odd.max), (Axis::RemovalsPerTag, Some("owner:a=b"), 312));
    for wrong in
        ["removals", "removals=", "removals=-1", "removals=+1", "removals:T=3", "removalsPerTag:=3", "x=1"]
    {
        assert!(Allowance::parse(wrong).is_err(), "{wrong}");
    }
}

fn approval(axis: Axis, max: u64, expires: &str) -> Approval {
    let expires = Date::parse(expires).unwrap();
    let ticket = Some("SEC-2001".into());
    Approval { axis, tag: None, max, changes: None, reason: None, ticket, expires, span: SPAN }
}

fn approved(approvals: Vec<Approval>) -> Guard {
    Guard { approvals, ..Guard::default() }
}

#[test]
fn approvals_count_through_their_last_day_and_warn_after_it() {
    let until = |expires| approved(vec![approval(Axis::Removals, 50, expires)]);
    let report = check(removing(50, 100), &until("2026-11-22"), &[]);
    assert!(!report.refused);
    assert_eq!(
        report.approvals[0].sentence(),
        "removals=50 until 2026-11-22, not bound to a plan (approval \"SEC-2001\")"
    );
    let Err(refused) = SafePlan::new(removing(50, 100), &until("2026-11-21"), &[], &sources()) else {
        panic!("an expired approval does not count")
    };
    assert_eq!(refused.plan.warnings.len(), 1);
    assert!(refused.plan.warnings[0].message.contains("expired on 2026-11-21"));
}

#[test]
fn an_approval_more_than_ninety_days_ahead_does_not_count_and_is_warned_about() {
    let until = |expires| approved(vec![approval(Axis::Removals, 50, expires)]);
    assert!(!check(removing(50, 100), &until("2027-02-20"), &[]).refused);
    let Err(refused) = SafePlan::new(removing(50, 100), &until("2027-02-21"), &[], &sources()) else {
        panic!("too far ahead")
    };
    assert!(refused.plan.warnings[0].message.contains("the last day that counts is 2027-02-20"));
}

#[test]
fn the_number_of_an_approval_is_a_total_over_all_runs() {
    let guard = approved(vec![approval(Axis::Removals, 50, "2026-12-01")]);
    let listed = check(removing(30, 100), &guard, &[]).approvals.remove(0);
    let mut second = removing(20, 100);
    let uses = vec![ApprovalUse { approval: listed.clone(), tag: None, count: 30 }];
    second.measures.past = Some(Past { uses, ..Past::default() });
    let report = check(second.clone(), &guard, &[]);
    assert!(!report.refused);
    let used = "removals=50 until 2026-12-01, not bound to a plan (approval \"SEC-2001\"; earlier runs used 30, 20 are left)";
    assert_eq!(report.approvals[0].sentence(), used);
    let mut third = removing(21, 100);
    third.measures.past = second.measures.past;
    let report = check(third.clone(), &guard, &[]);
    assert!(report.refused, "30 + 21 are more than 50");
    assert_eq!(axis(&report, Axis::Removals).allowed, 20);
    let renewed = approved(vec![approval(Axis::Removals, 50, "2026-12-02")]);
    assert!(!check(third, &renewed, &[]).refused, "another last day is another approval");
}

#[test]
fn the_tag_of_an_approval_is_a_literal_or_a_glob() {
    let of = |tag: &str| {
        let tag = Some(TagPattern::parse(tag, TagCase::Exact).unwrap());
        let per_tag = Approval { tag, ..approval(Axis::RemovalsPerTag, 60, "2026-12-01") };
        approved(vec![approval(Axis::Removals, 60, "2026-12-01"), per_tag])
    };
    let plan = || {
        let mut plan = removing(60, 100);
        plan.tags[0] = "env/test".into();
        plan
    };
    assert!(!check(plan(), &of("env/*"), &[]).refused);
    assert!(!check(plan(), &of("env/test"), &[]).refused);
    assert!(check(plan(), &of("environment/*"), &[]).refused);
}

#[test]
fn an_approval_with_a_digest_counts_for_those_changes_or_a_part_of_them() {
    let plan = removing(50, 100);
    let digest = changes_digest(&plan);
    let bound = |changes: &str| {
        let changes = Some(changes.to_owned());
        approved(vec![Approval { changes, ..approval(Axis::Removals, 50, "2026-12-01") }])
    };
    assert!(!check(plan, &bound(&digest), &[]).refused);
    let mut part = removing(49, 100);
    assert!(check(part.clone(), &bound(&digest), &[]).refused, "other changes");
    part.measures.part_of = Some(digest.clone());
    let report = check(part, &bound(&digest), &[]);
    assert!(!report.refused);
    assert_eq!(report.part_of, Some(digest));
}

#[test]
fn a_refusal_offers_what_to_paste_for_all_caps_at_once() {
    let report = check(removing(60, 100), &Guard::default(), &[]);
    let snippet = report.snippet.expect("two caps are exceeded");
    assert_eq!(snippet.allow, ["--allow", "removals=60", "--allow", "removalsPerTag:T=60"]);
    let allowances = [allow(&snippet.allow[1]), allow(&snippet.allow[3])];
    assert!(!check(removing(60, 100), &Guard::default(), &allowances).refused);
    let text = format!("version: 1\nguard:\n  approvals:\n    {}\n", snippet.approvals.join("\n    "));
    let now = removing(0, 1).header.now;
    let (policy, findings) =
        crate::policy::resolve(&Sources::from_text("guard.yaml", &text), TagCase::Exact, now);
    assert!(
        findings.iter().all(|finding| !finding.code.starts_with('E') || finding.code == "E0111"),
        "{findings:?}"
    );
    assert!(!check(removing(60, 100), &policy.guard, &[]).refused);
}

#[test]
fn a_renamed_removal_is_free_where_the_device_gains_the_new_name() {
    let mut plan = removing(90, 100);
    for change in &mut plan.changes {
        change.remove[0].cause = CauseIndex(1);
        change.add = vec![TagChange { tag: TagIndex(1), cause: CauseIndex(1) }];
    }
    let guard = Guard { caps: vec![(Axis::Devices, Axis::Additions.default_cap())], ..Guard::default() };
    let report = check(plan.clone(), &guard, &[]);
    assert!(!report.refused);
    assert_eq!(axis(&report, Axis::RemovalsPerTag).planned, 0);
    let watched = Measures { watched: vec![TagIndex(0)], ..plan.measures.clone() };
    assert!(
        check(Plan { measures: watched, ..plan.clone() }, &guard, &[]).refused,
        "the guard names the old tag"
    );
    for change in &mut plan.changes {
        change.add.clear();
    }
    assert!(check(plan, &guard, &[]).refused, "without the new name it is a removal like any other");
}

fn invariant(at_least: Option<Quantity>, at_most: Option<Quantity>) -> Guard {
    let counts = Counted::Tag("T".into());
    let invariant = Invariant { name: "i".into(), counts, at_least, at_most, span: SPAN };
    Guard { invariants: vec![invariant], ..Guard::default() }
}

fn refuses(mut plan: Plan, before: u64, guard: &Guard) -> bool {
    plan.measures.invariants = vec![(before, before)];
    check(plan, guard, &[]).invariants[0].refuses
}

#[test]
fn invariants_are_checked_on_the_state_after_the_plan() {
    let four = invariant(Some(Quantity::Count(4)), None);
    assert!(!refuses(removing(3, 100), 7, &four));
    assert!(refuses(removing(4, 100), 7, &four));
    let share = invariant(Some(Quantity::Share(Percent::whole(5))), None);
    assert!(!refuses(removing(1, 99), 6, &share));
    assert!(refuses(removing(1, 101), 6, &share), "5 of 101 is less than 5 %");
}

#[test]
fn a_broken_invariant_refuses_only_what_moves_it_further_away() {
    let at_most = invariant(None, Some(Quantity::Count(4)));
    assert!(!refuses(removing(1, 100), 9, &at_most), "nearer, though not there");
    assert!(!refuses(removing(0, 100), 9, &at_most), "an unrelated plan is not held up");
    let at_least = invariant(Some(Quantity::Count(20)), None);
    assert!(refuses(removing(1, 100), 9, &at_least), "further away");
}

#[test]
fn invariants_on_values_see_the_planned_value() {
    let counts = Counted::Value(DeviceValue::High);
    let at_most = Some(Quantity::Count(1));
    let invariant = Invariant { name: "i".into(), counts, at_least: None, at_most, span: SPAN };
    let guard = Guard { invariants: vec![invariant], ..Guard::default() };
    let mut plan = removing(2, 100);
    for change in &mut plan.changes {
        change.remove.clear();
        change.value = Some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) });
    }
    assert!(refuses(plan.clone(), 0, &guard));
    plan.changes.truncate(1);
    assert!(!refuses(plan, 0, &guard));
}
