//! Shows a rename once: the old name's removal also represents the new name's addition on the same device.
//!
//! Only for people. Documents for programs keep removal and addition separate, and no sum changes.

use std::borrow::Cow;

use hashbrown::HashMap;

use crate::plan::Cause;

use super::escape;
use super::model::{ChangeGroup, Model, ReportedChange};
use super::words::{noun_for, number};

/// The additions of one new name, whatever old names lead to it.
#[derive(Default)]
struct Gaining<'a> {
    /// Indices of the groups of additions.
    groups: Vec<usize>,
    /// The devices that gain the name, with the name as it is written on them.
    devices: HashMap<&'a str, &'a str>,
}

/// The groups, with the additions of renames merged into their removals.
pub(super) fn joined<'m, 'a>(model: &Model<'a>, groups: &'m [ChangeGroup<'a>]) -> Cow<'m, [ChangeGroup<'a>]> {
    let case = model.plan().header.options.tag_case;
    let mut gaining: HashMap<_, Gaining<'a>> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        if let (ReportedChange::Add(tag), Some(to), None) = (group.what, new_name(model, group), group.error)
            && case.is_same(tag, to)
        {
            // Several old names can have one new name: each is a cause, so each has a group of its own.
            let found = gaining.entry((case.key(to), group.outcome)).or_default();
            found.groups.push(at);
            found.devices.extend(members(model, group).map(|device| (device, tag)));
        }
    }
    if gaining.is_empty() {
        return Cow::Borrowed(groups);
    }
    let mut joined = groups.to_vec();
    for group in joined.iter_mut().filter(|group| matches!(group.what, ReportedChange::Remove(_))) {
        let to = new_name(model, group).filter(|_| group.error.is_none());
        if let Some(found) = to.and_then(|to| gaining.get_mut(&(case.key(to), group.outcome))) {
            // A device with two old names gains the new one once.
            let gained = members(model, group).filter_map(|device| found.devices.remove(device));
            let (count, name) =
                gained.fold((0, None), |(count, first), tag| (count + 1, first.or(Some(tag))));
            (group.gained, group.new_name) = (count, name);
        }
    }
    for found in gaining.into_values() {
        for at in found.groups {
            joined[at].members.retain(|member| found.devices.contains_key(model.device_id(*member)));
        }
    }
    joined.retain(|group| !group.members.is_empty());
    Cow::Owned(joined)
}

/// The new name, if the group is part of a rename.
fn new_name<'a>(model: &Model<'a>, group: &ChangeGroup<'a>) -> Option<&'a str> {
    match model.plan().causes.get(group.cause?.0 as usize)? {
        Cause::Renamed { to, .. } => Some(to),
        _ => None,
    }
}

fn members<'a, 'm>(model: &'m Model<'a>, group: &'m ChangeGroup<'a>) -> impl Iterator<Item = &'a str> + 'm {
    group.members.iter().map(|member| model.device_id(*member))
}

/// `Old → New`, or the one name.
pub(super) fn label(group: &ChangeGroup<'_>) -> String {
    let label = group.what.label();
    group.new_name.map_or(label.clone(), |to| format!("{label} → {}", escape::tag(to)))
}

/// The reason if the label has the new name: `renamed`.
pub(super) fn why(group: &ChangeGroup<'_>) -> Option<String> {
    let to = group.new_name?;
    Some(match group.gained == group.devices() {
        true => "renamed".to_owned(),
        false => {
            let gain = noun_for(group.gained, "gains|gain");
            format!("renamed; {} of them {gain} \"{to}\" by it", number(group.gained))
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::plan::{CauseIndex, Plan, TagChange};
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};
    use crate::report::{Format, Style, markdown, write};

    use super::*;

    /// Three devices with the old name, one of which already has the new name.
    fn plan() -> Plan {
        let mut plan = fixtures::empty();
        plan.causes.push(Cause::Renamed { to: "New".into(), place: fixtures::place("policies/a.yaml", 7) });
        let (old, new) = (fixtures::tag(&mut plan, "Old"), fixtures::tag(&mut plan, "New"));
        let change = |tag| TagChange { tag, cause: CauseIndex(3) };
        for number in 0..3 {
            let mut device = fixtures::device(&format!("a{number}"), &format!("host-{number}"));
            device.remove.push(change(old));
            if number > 0 {
                device.add.push(change(new));
            }
            plan.changes.push(device);
        }
        plan
    }

    fn text(format: Format, model: &Model<'_>) -> String {
        let mut out = Vec::new();
        write(format, model, &Style::default(), markdown::MAX_CHARS, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The screen with single blanks between columns.
    fn screen(model: &Model<'_>) -> String {
        text(Format::Human, model).split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_rename_is_one_group_for_people() {
        let plan = plan();
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let human = screen(&model);
        assert!(
            human.contains("- Old → New 3 devices renamed; 2 of them gain \"New\" by it policies/a.yaml:7\n"),
            "{human}"
        );
        assert!(
            !human.contains("\n + ") && human.contains("2 additions, 3 removals on 3 devices"),
            "{human}"
        );
        let markdown = text(Format::Markdown, &model);
        assert!(
            markdown.contains(
                "| - | **`Old` → `New`** | 3 | `renamed; 2 of them gain \"New\" by it` | `policies/a.yaml:7` |\n"
            ) && !markdown.contains("| + |"),
            "{markdown}"
        );
        let html = text(Format::Html, &model);
        let groups = html.split("id=\"groups\"").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(groups.contains("<bdi>Old → New</bdi>") && !groups.contains("+ add"), "{groups}");
        let sarif = text(Format::Sarif, &model);
        assert!(sarif.contains("will rename tag \\\"Old\\\" to \\\"New\\\" on 3 devices"), "{sarif}");
        assert!(!sarif.contains("will add tag"), "{sarif}");
        assert!(sarif.contains("\"changes\": 5") || sarif.contains("\"changes\":5"), "{sarif}");
    }

    /// Old names `a` and `b` of one new name: one device has `a`, one has `b`, and one has both.
    fn two_old_names(spelled: &str) -> Plan {
        let mut plan = fixtures::empty();
        for line in [7, 8] {
            let to = if line == 7 { "new" } else { spelled };
            plan.causes
                .push(Cause::Renamed { to: to.into(), place: fixtures::place("policies/a.yaml", line) });
        }
        let [a, b, new] = ["a", "b", "new"].map(|name| fixtures::tag(&mut plan, name));
        let change = |tag, cause| TagChange { tag, cause: CauseIndex(cause) };
        for (number, has) in [[true, false], [false, true], [true, true]].into_iter().enumerate() {
            let mut device = fixtures::device(&format!("a{number}"), &format!("host-{number}"));
            device.remove.extend(has[0].then(|| change(a, 3)));
            device.remove.extend(has[1].then(|| change(b, 4)));
            device.add.push(change(new, if has[0] { 3 } else { 4 }));
            plan.changes.push(device);
        }
        plan
    }

    #[test]
    fn two_old_names_of_one_new_name_are_two_groups_and_no_addition() {
        let plan = two_old_names("new");
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let human = screen(&model);
        for line in [
            "- a → new 2 devices renamed policies/a.yaml:7\n",
            "- b → new 2 devices renamed; 1 of them gains \"new\" by it policies/a.yaml:8\n",
            "3 additions, 4 removals on 3 devices",
        ] {
            assert!(human.contains(line), "{human}");
        }
        assert!(!human.contains("+ new"), "{human}");
        let markdown = text(Format::Markdown, &model);
        assert!(markdown.contains("| **`b` → `new`** |") && !markdown.contains("| + |"), "{markdown}");
        let html = text(Format::Html, &model);
        let groups = html.split("id=\"groups\"").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(groups.contains("<bdi>b → new</bdi>") && !groups.contains("+ add"), "{groups}");
        let sarif = text(Format::Sarif, &model);
        assert!(sarif.contains("will rename tag \\\"b\\\" to \\\"new\\\""), "{sarif}");
        assert!(!sarif.contains("will add tag"), "{sarif}");
    }

    #[test]
    fn a_new_name_is_shown_as_it_is_written_where_case_does_not_count() {
        let mut plan = two_old_names("NEW");
        plan.header.options.tag_case = crate::tag::TagCase::Insensitive;
        let human = screen(&Model::new(Input::new(Subject::Plan, &plan)));
        assert!(human.contains("- b → new 2 devices") && !human.contains("+ new"), "{human}");
    }

    #[test]
    fn a_run_says_renamed_and_not_removed() {
        let plan = two_old_names("new");
        let mut run = fixtures::run(&plan);
        for outcome in &mut run.outcomes {
            (outcome.outcome, outcome.error) = (crate::apply::Outcome::Done, None);
        }
        let model = Model::new(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) });
        let sarif = text(Format::Sarif, &model);
        assert!(sarif.contains("rename tag \\\"a\\\" to \\\"new\\\" on 2 devices"), "{sarif}");
        assert!(!sarif.contains("add tag") && !sarif.contains("remove tag \\\"a\\\" on"), "{sarif}");
    }

    #[test]
    fn an_addition_whose_old_name_stays_is_shown_by_itself() {
        let mut plan = plan();
        plan.changes[2].remove.clear();
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let human = screen(&model);
        assert!(human.contains("- Old → New 2 devices") && human.contains("+ New 1 device "), "{human}");
    }

    #[test]
    fn a_run_shows_a_rename_once_where_both_ended_alike() {
        let plan = plan();
        let mut run = fixtures::run(&plan);
        for outcome in &mut run.outcomes {
            (outcome.outcome, outcome.error) = (crate::apply::Outcome::Done, None);
        }
        let model = Model::new(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) });
        let human = screen(&model);
        assert!(human.contains("- Old → New 3 devices done"), "{human}");
        assert!(!human.contains("+ New"), "{human}");
        run.outcomes.retain(|outcome| matches!(outcome.key.what, crate::apply::ChangeWhat::Add(_)));
        let model = Model::new(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) });
        assert!(screen(&model).contains("+ New"));
    }
}
