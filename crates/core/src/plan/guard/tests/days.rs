//! The day's caps: which changes count, and which do not.

use super::*;
use crate::plan::{ChangeKey, ChangeWhat, PlannedFamily, RuleReference, document};

/// The work of a run that removed `T` from these devices.
fn work(removed: std::ops::Range<usize>) -> std::collections::HashSet<ChangeKey> {
    let what = || ChangeWhat::Remove("T".into());
    removed.map(|index| ChangeKey { device: format!("{index:06}").into(), what: what() }).collect()
}

#[test]
fn ten_applies_of_a_tenth_stop_at_the_second_cap_with_the_arithmetic() {
    let mut count = PastCount::default();
    let mut applied = 0;
    let mut refused = None;
    for run in 0..10 {
        let left = 1_000 - applied;
        let mut plan = removing(left as usize / 10, left);
        let mut past = PastCount::default();
        std::mem::swap(&mut past, &mut count);
        let changed = work(0..applied as usize);
        past.add(&PastWork {
            run: "1",
            plan: None,
            changed: &changed,
            confirmed: &changed,
            of_day: &changed,
            raised: &[],
            is_resumed: false,
        });
        plan.measures.past = Some(past.sum());
        match SafePlan::new(plan, &Guard::default(), &[], &sources()) {
            Ok(safe) => applied += safe.plan().totals().removals,
            Err(plan) => {
                refused = Some((run, plan.plan));
                break;
            }
        }
    }
    let (run, plan) = refused.expect("ten runs must not do what one may not");
    assert_eq!((run, applied), (2, 190));
    let day = plan.state.day.iter().find(|day| day.axis == Axis::Removals).unwrap();
    assert_eq!((day.done, day.planned, day.allowed, day.base), (190, 81, 200, 1_000));
    let snippet = plan.guard.snippet.expect("a refusal says how to go on");
    assert_eq!(snippet.allow, ["--allow", "removals=81"]);
}

#[test]
fn an_allowance_covers_a_days_cap_and_a_revert_is_not_stopped() {
    let past = Some(Past { removals: 200, ..Past::default() });
    let plan = || {
        let mut plan = removing(50, 1_000);
        plan.measures.past = past.clone();
        plan
    };
    assert!(check(plan(), &Guard::default(), &[]).refused);
    assert!(check(plan(), &Guard::default(), &[allow("removals=49")]).refused);
    let safe = SafePlan::new(plan(), &Guard::default(), &[allow("removals=50")], &sources()).unwrap();
    let needed = safe.plan().guard.needed(&safe.plan().state);
    assert_eq!(needed.iter().map(|use_of| use_of.count).collect::<Vec<_>>(), [50]);
    let mut revert = plan();
    revert.header.reverts = Some("run".into());
    assert!(!check(revert, &Guard::default(), &[]).refused);
    let mut unknown = plan();
    unknown.measures.past = None;
    let safe = SafePlan::new(unknown, &Guard::default(), &[], &sources()).unwrap();
    assert!(safe.plan().state.is_unknown);
}

#[test]
fn a_day_counts_neither_what_was_undone_nor_what_an_allowance_covered_nor_replaced_family_members() {
    let mut plan = removing(10, 100);
    let place = sources().place(SPAN);
    plan.causes[1] = Cause::Family { family: "f".into(), place };
    plan.changes[9].remove[0].cause = CauseIndex(1);
    let changed = work(0..10);
    let mut count = PastCount::default();
    let run = PastWork {
        run: "1",
        plan: Some(&plan),
        changed: &changed,
        confirmed: &changed,
        of_day: &changed,
        raised: &[],
        is_resumed: false,
    };
    count.add(&run);
    let back = [ChangeKey { device: "000003".into(), what: ChangeWhat::Add("T".into()) }].into();
    count.add(&PastWork {
        run: "2",
        plan: None,
        changed: &back,
        confirmed: &back,
        of_day: &back,
        raised: &[],
        is_resumed: false,
    });
    let past = count.sum();
    assert_eq!((past.removals, past.removals_per_tag.get("T").copied()), (8, Some(8)));

    let raised = check(removing(50, 100), &Guard::default(), &[allow("removals=50")]);
    let raised = raised.needed(&StateReport::default());
    let mut count = PastCount::default();
    count.add(&PastWork { raised: &raised, is_resumed: true, ..run });
    let past = count.sum();
    assert_eq!((past.removals, past.uses[0].count), (0, 10));
    assert_eq!(past.removals_per_tag.get("T").copied(), Some(9), "another axis is not covered");
}

/// Ten swaps of `T` for `New` in one family, in which `T` is removed because its rule no longer holds.
fn swapping() -> Plan {
    let mut plan = removing(10, 100);
    let place = sources().place(SPAN);
    plan.causes = vec![Cause::Unselected { claim: "f".into(), place }, Cause::Rule(vec![0])];
    plan.families = vec![PlannedFamily { name: "f".into(), members: vec!["New".to_owned(), "T".to_owned()] }];
    plan.rules = vec![RuleReference {
        name: "new".to_owned(),
        place: sources().place(SPAN),
        priority: 0,
        description: None,
        owner: None,
        ticket: None,
    }];
    for change in &mut plan.changes {
        change.add = vec![TagChange { tag: TagIndex(1), cause: CauseIndex(1) }];
    }
    plan
}

/// The count for a day of a run with this plan that ended without some of its additions.
fn day_after(plan: &Plan, unwritten: std::ops::Range<usize>) -> u64 {
    let changed = work(0..10);
    let mut confirmed = changed.clone();
    let key = |index| ChangeKey { device: format!("{index:06}").into(), what: ChangeWhat::Add("New".into()) };
    confirmed.extend((0..10).filter(|index| !unwritten.contains(index)).map(key));
    let mut count = PastCount::default();
    let (of_day, plan) = (&changed, Some(plan));
    let run = PastWork {
        run: "1",
        plan,
        changed: &changed,
        confirmed: &confirmed,
        of_day,
        raised: &[],
        is_resumed: false,
    };
    count.add(&run);
    let past = count.sum();
    assert_eq!(past.removals_per_tag.get("T").copied().unwrap_or(0), past.removals);
    past.removals
}

/// The plan's own count for the day.
fn of_day(plan: Plan) -> u64 {
    let (Ok(safe) | Err(safe)) = SafePlan::new(plan, &Guard::default(), &[allow("removals=10")], &sources())
        .map(|safe| safe.plan().clone())
        .map_err(|refused| refused.plan);
    planned(&safe).iter().find(|row| row.axis == Axis::Removals).unwrap().of_day
}

#[test]
fn a_swap_in_a_family_counts_against_no_day_whatever_the_removals_cause_is() {
    assert_eq!((of_day(swapping()), day_after(&swapping(), 0..0)), (0, 0));
    let mut ordered = swapping();
    ordered.causes[0] = Cause::Rule(vec![0]);
    assert_eq!((of_day(ordered.clone()), day_after(&ordered, 0..0)), (0, 0));
    let mut restarted = swapping();
    for change in &mut restarted.changes {
        change.add.clear();
        change.observed_tags = [TagIndex(0), TagIndex(1)].into();
    }
    assert_eq!((of_day(restarted.clone()), day_after(&restarted, 0..10)), (0, 0), "the addition came first");
    let report = check(swapping(), &Guard::default(), &[]);
    assert_eq!(axis(&report, Axis::Removals).planned, 10, "a run's own cap counts it");
}

#[test]
fn a_family_member_without_another_that_came_counts() {
    assert_eq!(day_after(&swapping(), 0..4), 4, "their additions failed");
    let mut withheld = swapping();
    withheld.changes[..3].iter_mut().for_each(|change| change.add.clear());
    assert_eq!(
        (of_day(withheld.clone()), day_after(&withheld, 0..0)),
        (3, 3),
        "their additions are withheld"
    );
    let mut both = withheld;
    for change in &mut both.changes[..3] {
        change.observed_tags = [TagIndex(0), TagIndex(1)].into();
        change.remove.push(TagChange { tag: TagIndex(1), cause: CauseIndex(0) });
    }
    assert_eq!((of_day(both.clone()), day_after(&both, 0..0)), (6, 3), "no member stays");
    let mut weaker = swapping();
    weaker.causes[0] = Cause::Family { family: "f".into(), place: sources().place(SPAN) };
    assert_eq!((of_day(weaker.clone()), day_after(&weaker, 0..4)), (0, 4), "the stronger one did not come");
    let mut stranger = swapping();
    stranger.families[0].members[0] = "Other".to_owned();
    assert_eq!((of_day(stranger.clone()), day_after(&stranger, 0..0)), (10, 10), "of no family");
    let mut twin = swapping();
    twin.header.options.tag_case = TagCase::Insensitive;
    twin.tags[1] = "t".into();
    assert_eq!(of_day(twin), 10, "another spelling is no other member");
    let mut revert = swapping();
    revert.header.reverts = Some("run".into());
    assert_eq!(day_after(&revert, 0..0), 10, "what a revert removes counts for later runs");
}

#[test]
fn a_renamed_removal_counts_for_a_day_where_the_new_name_did_not_come() {
    let mut plan = swapping();
    plan.families.clear();
    plan.causes[0] = Cause::Renamed { to: "New".into(), place: sources().place(SPAN) };
    assert_eq!((day_after(&plan, 0..0), day_after(&plan, 0..4)), (0, 4));
}

#[test]
fn a_rename_of_a_tag_that_the_guard_names_counts_for_a_day_and_the_plan_file_keeps_which_those_are() {
    let mut plan = swapping();
    plan.families.clear();
    plan.causes[0] = Cause::Renamed { to: "New".into(), place: sources().place(SPAN) };
    plan.measures.watched = vec![TagIndex(0)];
    assert_eq!((of_day(plan.clone()), day_after(&plan, 0..0)), (10, 10));
    let read = document::read(&document::written(&plan)).unwrap();
    assert_eq!(read.measures.watched.iter().map(|tag| &**read.tag(*tag)).collect::<Vec<_>>(), ["T"]);
    assert_eq!(day_after(&read, 0..0), 10);
}

#[test]
fn a_plan_file_keeps_the_families_that_lose_a_member() {
    let plan = swapping();
    let read = document::read(&document::written(&plan)).unwrap();
    assert_eq!((read.families.clone(), day_after(&read, 0..4)), (plan.families, 4));
}
