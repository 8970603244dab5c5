//! The mark "last devices": removals that leave a tag, a device group or a rule without any device, in the words of reports.
//!
//! Does not escape: names are unchanged from the policy, the file of device groups and the devices.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::apply::{ChangeOutcome, Outcome};
use crate::plan::{ChangeWhat, LastDevices, LastOf, Plan};

use super::change::ReportedChange;
use super::escape::clip;
use super::words::number;

/// The most names of groups and rules in one mark.
const NAMED: usize = 3;
/// The most characters of each name.
const LONGEST: usize = 60;

/// By tag, what its removal leaves without any device.
#[derive(Clone, Debug, Default)]
pub(super) struct LastDeviceMarks<'p>(BTreeMap<&'p str, Vec<&'p LastDevices>>);

impl<'p> LastDeviceMarks<'p> {
    /// What a plan leaves without any device; at the end of its run, only what the run did: one removal that did not happen, and the
    /// tag is still on a device.
    pub(super) fn of(plan: &'p Plan, outcomes: &[ChangeOutcome]) -> LastDeviceMarks<'p> {
        let left = |ended: &ChangeOutcome| match &ended.key.what {
            ChangeWhat::Remove(tag)
                if !matches!(ended.outcome, Outcome::Done | Outcome::Noop | Outcome::Gone) =>
            {
                Some(tag.clone())
            }
            _ => None,
        };
        let left: HashSet<Arc<str>> = outcomes.iter().filter_map(left).collect();
        let mut marks: BTreeMap<&str, Vec<&LastDevices>> = BTreeMap::new();
        for last in plan.last_devices.iter().filter(|last| last.tags.iter().all(|tag| !left.contains(&**tag)))
        {
            last.tags.iter().for_each(|tag| marks.entry(&**tag).or_default().push(last));
        }
        LastDeviceMarks(marks)
    }

    /// What a change leaves without any device; empty unless it is a removal.
    pub(super) fn on(&self, what: ReportedChange<'_>) -> &[&'p LastDevices] {
        match what {
            ReportedChange::Remove(tag) => self.0.get(tag).map_or(&[], Vec::as_slice),
            ReportedChange::Add(_) | ReportedChange::Value { .. } => &[],
        }
    }
}

/// What a removal leaves without any device, in a document.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LastDevicesDocument<'a> {
    /// `tag`, `group` or `rule`.
    pub of: LastOf,
    /// Its name.
    pub name: &'a str,
}

/// `last devices, also of device group Tier-0 servers`; `None` without a mark.
pub(super) fn phrase(marks: &[&LastDevices]) -> Option<String> {
    let others: Vec<&&LastDevices> = marks.iter().filter(|last| last.of != LastOf::Tag).collect();
    let mut names: Vec<String> =
        others.iter().take(NAMED).map(|last| clip(&label(last), LONGEST).into_owned()).collect();
    if others.len() > names.len() {
        names.push(format!("{} more", number((others.len() - names.len()) as u64)));
    }
    match (marks.len() > others.len(), names.is_empty()) {
        (false, true) => None,
        (true, true) => Some("last devices".to_owned()),
        (true, false) => Some(format!("last devices, also of {}", names.join(", "))),
        (false, false) => Some(format!("last devices of {}", names.join(", "))),
    }
}

/// All of them in one cell: `tag; device group Tier-0 servers`.
pub(super) fn cell(marks: &[&LastDevices]) -> String {
    marks.iter().map(|last| label(last)).collect::<Vec<_>>().join("; ")
}

/// A tag is always the one of the change, so it is not named again.
fn label(last: &LastDevices) -> String {
    match last.of {
        LastOf::Tag => "tag".to_owned(),
        LastOf::Group => format!("device group {}", last.name),
        LastOf::Rule => format!("rule {}", last.name),
    }
}

/// The entries of a document.
pub(super) fn documents<'p>(marks: &[&'p LastDevices]) -> Vec<LastDevicesDocument<'p>> {
    marks.iter().map(|last| LastDevicesDocument { of: last.of, name: &last.name }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ChangeKey;

    #[test]
    fn a_run_that_did_not_remove_a_tag_everywhere_left_it_on_a_device() {
        let last = |of, tags: &[&str]| LastDevices {
            of,
            name: "x".to_owned(),
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
        };
        let plan = Plan {
            last_devices: vec![
                last(LastOf::Tag, &["T"]),
                last(LastOf::Group, &["T", "U"]),
                last(LastOf::Tag, &["V"]),
            ],
            ..Plan::default()
        };
        let ended = |tag: &str, outcome| ChangeOutcome {
            key: ChangeKey { device: "a".into(), what: ChangeWhat::Remove(tag.into()) },
            outcome,
            error: None,
        };
        let marks = |outcomes: &[ChangeOutcome]| {
            let marks = LastDeviceMarks::of(&plan, outcomes);
            ["T", "U", "V"].map(|tag| marks.on(ReportedChange::Remove(tag)).len())
        };
        assert_eq!(
            marks(&[ended("T", Outcome::Done), ended("U", Outcome::Noop), ended("V", Outcome::Gone)]),
            [2, 1, 1]
        );
        assert_eq!(
            marks(&[ended("T", Outcome::Done), ended("U", Outcome::Refused), ended("V", Outcome::Unknown)]),
            [1, 0, 0]
        );
    }

    #[test]
    fn a_mark_names_what_is_left_besides_the_tag() {
        let last = |of, name: &str| LastDevices { of, name: name.to_owned(), tags: vec!["T".into()] };
        let (tag, group) = (last(LastOf::Tag, "T"), last(LastOf::Group, "Lab"));
        let rules: Vec<LastDevices> = (0..4).map(|rule| last(LastOf::Rule, &format!("r{rule}"))).collect();
        assert_eq!(phrase(&[]), None);
        assert_eq!(phrase(&[&tag]).unwrap(), "last devices");
        assert_eq!(phrase(&[&tag, &group]).unwrap(), "last devices, also of device group Lab");
        assert_eq!(
            phrase(&rules.iter().collect::<Vec<_>>()).unwrap(),
            "last devices of rule r0, rule r1, rule r2, 1 more"
        );
        assert_eq!(cell(&[&tag, &group]), "tag; device group Lab");
    }
}
