//! Totals over runs: what earlier runs used of an approval, and what a refusal then offers to paste.

use super::*;
use crate::plan::{ChangeKey, ChangeWhat};

/// What a run leaves behind that removed `T` from the first `removed` devices and needed what `raised` it.
fn past_of(removed: usize, raised: &[ApprovalUse], is_resumed: bool) -> Past {
    let key =
        |index| ChangeKey { device: format!("{index:06}").into(), what: ChangeWhat::Remove("T".into()) };
    let changed = (0..removed).map(key).collect();
    let mut count = PastCount::default();
    count.add(&PastWork {
        run: "1",
        plan: None,
        changed: &changed,
        confirmed: &changed,
        of_day: &Default::default(),
        raised,
        is_resumed,
    });
    count.sum()
}

fn needed(plan: Plan, guard: &Guard, allowances: &[Allowance]) -> Vec<ApprovalUse> {
    check(plan, guard, allowances).needed(&StateReport::default())
}

#[test]
fn an_allowance_holds_for_its_run_and_takes_nothing_from_another() {
    let allowed = [allow("removals=30")];
    let raised = needed(removing(30, 100), &Guard::default(), &allowed);
    assert_eq!(raised.len(), 1);
    let judged = |is_resumed, removals| {
        let mut plan = removing(removals, 100);
        plan.measures.past = Some(past_of(20, &raised, is_resumed));
        check(plan, &Guard::default(), &allowed)
    };
    assert!(!judged(false, 30).refused, "another run has its own");
    assert!(!judged(true, 10).refused, "the run goes on with what is left");
    let report = judged(true, 12);
    assert!(report.refused, "20 + 12 are more than the run was allowed");
    let words = report.snippet.unwrap().allow;
    assert!(words.contains(&"removals=32".to_owned()), "the number is a total of the run: {words:?}");
}

#[test]
fn the_entries_to_paste_raise_what_refuses_also_where_earlier_runs_used_some() {
    // Every tag that is removed from a tenth of its devices needs an approval too.
    let guard = |entries: &[u64]| {
        let tag = || Some(TagPattern::Literal("T".to_owned()));
        // The day that a snippet of this plan names.
        let of = |axis, max| approval(axis, max, "2026-12-06");
        let per_tag = |max| Approval { tag: tag(), ..of(Axis::RemovalsPerTag, max) };
        let both = entries.iter().flat_map(|max| [of(Axis::Removals, *max), per_tag(*max)]);
        Guard { caps: vec![(Axis::RemovalsPerTag, Axis::Removals.default_cap())], ..approved(both.collect()) }
    };
    let past = past_of(23, &needed(removing(30, 100), &guard(&[30]), &[]), false);
    let next = || {
        let mut plan = removing(21, 100);
        plan.measures.past = Some(past.clone());
        plan
    };
    let report = check(next(), &guard(&[30]), &[]);
    let approvals = &report.snippet.as_ref().unwrap().approvals;
    let max = |at: usize| approvals[at].split("max: ").nth(1)?.split(',').next()?.parse().ok();
    assert_eq!((max(0), max(1)), (Some(44), Some(44)), "{approvals:?}");
    assert!(!check(next(), &guard(&[44]), &[]).refused, "pasted in place of the old entries");
    assert!(!check(next(), &guard(&[30, 44]), &[]).refused, "pasted beside them");
}

#[test]
fn a_refusal_names_the_approvals_of_which_too_little_is_left() {
    let guard = || approved(vec![approval(Axis::Removals, 30, "2026-12-01")]);
    let raised = needed(removing(30, 1_000), &guard(), &[]);
    assert!(raised.is_empty(), "a tenth of 1,000 needs nothing");
    let raised = needed(removing(30, 100), &guard(), &[]);
    let mut plan = removing(21, 100);
    plan.measures.past = Some(past_of(23, &raised, false));
    let report = check(plan, &guard(), &[]);
    assert!(report.refused);
    assert_eq!((report.approvals[0].used, report.raises(0)), (23, false));
    let left = "(approval \"SEC-2001\"; earlier runs used 23, 7 are left)";
    assert!(report.approvals[0].sentence().ends_with(left), "{}", report.approvals[0].sentence());
}

#[test]
fn no_entry_is_offered_while_a_journal_cannot_be_read() {
    let mut plan = removing(30, 100);
    let journal = UnreadJournal { file: "runs/1.ndjson".to_owned(), may_be_of_day: false };
    plan.measures.past = Some(Past { unread: vec![journal], ..Past::default() });
    let snippet = check(plan, &Guard::default(), &[]).snippet.unwrap();
    assert!(snippet.approvals.is_empty(), "no approval counts then: {snippet:?}");
    assert!(!snippet.allow.is_empty());
}
