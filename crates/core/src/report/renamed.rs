//! Shows a rename once: the old name's removal also represents the new name's addition on the same device.
//!
//! Only for people. Documents for programs keep removal and addition separate, and no sum changes.

use std::borrow::Cow;

use hashbrown::{HashMap, HashSet};

use crate::plan::Cause;

use super::escape;
use super::model::{ChangeGroup, Model, ReportedChange};
use super::words::{noun_for, number};

/// The groups, with the additions of renames merged into their removals.
pub(super) fn joined<'m, 'a>(model: &Model<'a>, groups: &'m [ChangeGroup<'a>]) -> Cow<'m, [ChangeGroup<'a>]> {
    let mut gaining = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        if let (ReportedChange::Add(tag), Some(to), None) = (group.what, new_name(model, group), group.error)
            && tag == to
        {
            let devices: HashSet<&str> = members(model, group).collect();
            gaining.insert((to, group.outcome), (at, devices));
        }
    }
    if gaining.is_empty() {
        return Cow::Borrowed(groups);
    }
    let mut joined = groups.to_vec();
    for group in joined.iter_mut().filter(|group| matches!(group.what, ReportedChange::Remove(_))) {
        let to = new_name(model, group).filter(|_| group.error.is_none());
        if let Some((_, devices)) = to.and_then(|to| gaining.get_mut(&(to, group.outcome))) {
            // A device with two old names gains the new one once.
            group.gained = members(model, group).filter(|device| devices.remove(device)).count() as u64;
        }
    }
    for (at, devices) in gaining.into_values() {
        joined[at].members.retain(|member| devices.contains(model.device_id(*member)));
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

/// The new name of a group that also represents additions.
pub(super) fn gained<'a>(model: &Model<'a>, group: &ChangeGroup<'a>) -> Option<&'a str> {
    new_name(model, group).filter(|_| group.gained > 0)
}

/// `Old → New`, or the one name.
pub(super) fn label(model: &Model<'_>, group: &ChangeGroup<'_>) -> String {
    let label = group.what.label();
    gained(model, group).map_or(label.clone(), |to| format!("{label} → {}", escape::tag(to)))
}

/// The reason if the label has the new name: `renamed`.
pub(super) fn why(model: &Model<'_>, group: &ChangeGroup<'_>) -> Option<String> {
    let to = gained(model, group)?;
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
