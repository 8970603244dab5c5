//! The model of every report: groups of changes with their counts, computed once from values.
//!
//! Decides which changes belong together, not how they look. Names are unchanged from devices; renderers escape them.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::borrow::Cow;

use fixedbitset::FixedBitSet;
use hashbrown::{HashMap, HashSet};

use crate::apply::{ChangeOutcome, ChangeWhat, Outcome};
use crate::plan::{CauseIndex, DeviceChange, LastDevices, Plan, TagAction, TagChange};
use crate::policy::Difference;

use super::alike::alike;
use super::change::device_rows;
pub use super::change::{ChangeOrigin, Class, ReportRow, ReportedChange, Totals};
use super::last::LastDeviceMarks;
use super::links::RepositoryLinks;
use super::{risk, split};

/// The subject of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The changes that would be made.
    Plan,
    /// The differences, as findings.
    Drift,
    /// The end of a run.
    Applied,
}

impl Subject {
    /// The word in documents: `plan`, `drift`, `apply`.
    pub fn word(self) -> &'static str {
        match self {
            Subject::Plan => "plan",
            Subject::Drift => "drift",
            Subject::Applied => "apply",
        }
    }
}

/// The input of a report.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the report is about.
    pub subject: Subject,
    /// The plan; for [`Subject::Applied`] the plan that was applied.
    pub plan: &'a Plan,
    /// The plan of the target branch's policies on the same inventory: splits the report in two.
    pub base: Option<&'a Plan>,
    /// How guard, protections, scope, claims, data and settings differ from the base's, rails first: the first lines of every
    /// report.
    pub policy_changes: &'a [Difference],
    /// Further sentences that must be read first.
    pub notices: &'a [String],
    /// The end of the run; only for [`Subject::Applied`].
    pub run: Option<&'a RunEnd>,
    /// The reviewed plan, if one was applied: it names the devices of changes that were no longer wanted.
    pub reviewed: Option<&'a Plan>,
    /// `repositoryUrl` of `mdetag.yaml`: places become links to it.
    pub repository: Option<&'a str>,
    /// The tenant as the command names it, known before anything is read. Marks its comments, including those about errors.
    /// `None`: the plan's name.
    pub comment_of: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// The input of a report about a plan alone.
    pub fn new(subject: Subject, plan: &'a Plan) -> Input<'a> {
        Input {
            subject,
            plan,
            base: None,
            policy_changes: &[],
            notices: &[],
            run: None,
            reviewed: None,
            repository: None,
            comment_of: None,
        }
    }

    /// A device of the plan, or of the reviewed one.
    fn find_device(&self, id: &str) -> Option<&'a DeviceChange> {
        find_device(self.plan, id).or_else(|| find_device(self.reviewed?, id))
    }
}

/// The end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunEnd {
    pub run_id: String,
    /// The digest of the plan that was applied: `sha256:…`.
    pub plan_digest: String,
    /// The outcome of every change of the plan.
    pub outcomes: Vec<ChangeOutcome>,
    /// Why the run stopped with work left, as a phrase: `the limit of 50 min is reached`.
    pub stopped: Option<String>,
    /// Whether `apply --resume` has work left.
    pub is_resumable: bool,
    /// The command that plans the rest, if a resume does not write it: `mdetag apply --sandbox`.
    pub next_plan: Option<String>,
    /// Whether a resume without the run's id finds it, because it is of the default policies.
    pub is_default_set: bool,
    /// The flags that name the tenant, each after a space: ` --sandbox`.
    pub tenant_flags: String,
    /// The flags that a resumed run needs again, each after a space: ` --sandbox --allow removals=153`.
    pub resume_flags: String,
    /// Changes that are wanted now but were not reviewed: left for the next plan.
    pub unreviewed: u64,
    /// Further events, one sentence each: a fallback, a repair, an open circuit.
    pub notes: Vec<String>,
    /// Tags that calls removed by accident, each as the addition that puts it back: no changes of the plan.
    pub lost: Vec<ChangeOutcome>,
    pub calls: u64,
    /// Seconds from the first call to the last answer.
    pub seconds: u64,
    pub exit_code: u8,
    /// The earliest start of a next wave, if one waits.
    pub not_before: Option<crate::time::Timestamp>,
    /// The run of that wave, if it is another one.
    pub next_run: Option<String>,
    /// The latest time by which the list shows what changes wait for; `None` if none wait.
    pub shown_by: Option<crate::time::Timestamp>,
    /// The gate that stopped a rollout.
    pub halt: Option<crate::apply::Halt>,
}

/// The common properties of changes of one kind, and their devices.
#[derive(Clone, Debug)]
pub struct ChangeGroup<'a> {
    pub what: ReportedChange<'a>,
    pub cause: Option<CauseIndex>,
    /// The outcome, for [`Subject::Applied`].
    pub outcome: Option<Outcome>,
    /// The error that these outcomes share, in the words of the first: ids and times differ from call to call.
    pub error: Option<&'a str>,
    /// Indices of the changes' devices, ascending: see [`Model::device`]. A device is in a group once.
    pub members: Vec<u32>,
    /// Number of additions that a group of removals represents: see `renamed`.
    pub gained: u64,
    /// The tag of these additions.
    pub new_name: Option<&'a str>,
    /// What the plan's removals of the tag leave without any device.
    pub last: Vec<&'a LastDevices>,
}

impl ChangeGroup<'_> {
    pub fn devices(&self) -> u64 {
        self.members.len() as u64
    }

    pub fn changes(&self) -> u64 {
        self.devices() + self.gained
    }
}

/// The whole report, or one half of it.
#[derive(Clone, Debug, Default)]
pub struct ReportPart<'a> {
    /// Its half; `None` if the report is whole.
    pub origin: Option<ChangeOrigin>,
    /// The riskiest first.
    pub groups: Vec<ChangeGroup<'a>>,
    /// Their sums.
    pub totals: Totals,
}

/// A report, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    /// The input that it was computed from.
    pub input: Input<'a>,
    /// One part, or two with a base: this change first.
    pub parts: Vec<ReportPart<'a>>,
    pub totals: Totals,
    /// Changes that the base would make and this policy set would not.
    pub dropped: Totals,
    /// Number of changes by class, in the order of [`Class::ALL`].
    pub classes: [u64; Class::ALL.len()],
    /// Number of changes by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Changes that the base wants too, by their index in the order of rows.
    before: FixedBitSet,
    marks: LastDeviceMarks<'a>,
}

impl<'a> Model<'a> {
    /// Computes the model. Time and memory grow with the number of changes, not with the text that is shown.
    pub fn new(input: Input<'a>) -> Model<'a> {
        let (before, dropped) = match (input.base, input.run) {
            (Some(base), None) => split::compare(input.plan, base),
            _ => (FixedBitSet::new(), Totals::default()),
        };
        let mut model = Model {
            input,
            parts: Vec::new(),
            totals: Totals::default(),
            dropped,
            classes: [0; Class::ALL.len()],
            outcomes: [0; Outcome::ALL.len()],
            before,
            marks: LastDeviceMarks::of(input.plan, input.run.map_or(&[], |run| &run.outcomes)),
        };
        model.parts = match input.run {
            Some(run) => vec![model.ended_part(run)],
            None if input.base.is_some() => [ChangeOrigin::ThisChange, ChangeOrigin::Before]
                .map(|origin| model.planned_part(Some(origin)))
                .into(),
            None => vec![model.planned_part(None)],
        };
        model.totals = match &model.parts[..] {
            [whole] => whole.totals,
            _ => model.planned_part(None).totals,
        };
        model.count();
        model
    }

    pub fn plan(&self) -> &'a Plan {
        self.input.plan
    }

    /// Whether the tenant is simulated: in the first line of every report.
    pub fn is_sandbox(&self) -> bool {
        self.plan().header.tenant.cloud.as_deref() == Some("sandbox")
    }

    /// The target of links to places, if there is one.
    pub(super) fn links(&self) -> Option<RepositoryLinks<'a>> {
        RepositoryLinks::of(self.input.repository, self.input.plan)
    }

    /// What a planned change leaves without any device.
    pub(super) fn last(&self, row: &ReportRow<'_>) -> &[&'a LastDevices] {
        if row.aside.is_some() { &[] } else { self.marks.on(row.what) }
    }

    /// Number of changes of this class.
    pub fn class(&self, class: Class) -> u64 {
        self.classes[class as usize]
    }

    /// Number of changes with this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Id and name of a member of a group.
    pub fn device(&self, member: u32) -> (&'a str, Option<&'a str>) {
        match self.input.run {
            Some(run) => {
                let id = &run.outcomes[member as usize].key.device;
                (id, self.input.find_device(id).and_then(|device| device.name.as_deref()))
            }
            None => {
                let device = &self.plan().changes[member as usize];
                (&device.id, device.name.as_deref())
            }
        }
    }

    /// The name of a member of a group, or its id if it has none.
    pub fn device_name(&self, member: u32) -> &'a str {
        let (id, name) = self.device(member);
        name.unwrap_or(id)
    }

    /// The id of a member of a group.
    pub fn device_id(&self, member: u32) -> &'a str {
        self.device(member).0
    }

    /// Every planned change, one per row, in plan order; for [`Subject::Applied`] every outcome.
    pub fn rows(&self) -> Box<dyn Iterator<Item = ReportRow<'a>> + '_> {
        match self.input.run {
            Some(run) => Box::new(outcome_rows(self.input, &run.outcomes).map(|(_, row)| row)),
            None => Box::new(self.planned().map(|(_, row)| row)),
        }
    }

    /// Planned changes with the index of their device.
    fn planned(&self) -> impl Iterator<Item = (u32, ReportRow<'a>)> + '_ {
        let plan = self.plan();
        let has_base = self.input.base.is_some();
        let rows = plan.changes.iter().enumerate().flat_map(move |(member, device)| {
            device_rows(plan, device).map(move |(what, cause)| (member as u32, device, what, cause))
        });
        rows.enumerate().map(move |(number, (member, device, what, cause))| {
            let row = ReportRow {
                id: &device.id,
                name: device.name.as_deref(),
                what,
                cause: Some(cause),
                class: what.class(),
                origin: has_base.then(|| self.origin(number)),
                aside: None,
                unresolved: None,
                outcome: None,
                is_put_back: false,
            };
            (member, row)
        })
    }

    /// The planned changes of one half, or all.
    fn planned_part(&self, origin: Option<ChangeOrigin>) -> ReportPart<'a> {
        let plan = self.plan();
        let mut groups = Groups::default();
        let mut totals = Totals::default();
        // A tag is usually added for one cause, so remembering the place of the last addition avoids a lookup by text.
        let mut last = vec![[None; 2]; plan.tags.len()];
        let mut number = 0;
        let mut is_of_part = || {
            number += 1;
            origin.is_none_or(|origin| self.origin(number - 1) == origin)
        };
        for (member, device) in plan.changes.iter().enumerate() {
            let before = totals.changes();
            for (tag, action, cause) in device.tag_changes().filter(|_| is_of_part()) {
                let text = &*plan.tags[tag.0 as usize];
                let what = match action {
                    TagAction::Add => ReportedChange::Add(text),
                    TagAction::Remove => ReportedChange::Remove(text),
                };
                let last = &mut last[tag.0 as usize][action as usize];
                let place = match *last {
                    Some((last, place)) if last == cause => place,
                    _ => groups.place(what, Some(cause), None, None),
                };
                *last = Some((cause, place));
                groups.list[place].members.push(member as u32);
                totals.count(what);
            }
            if let Some(value) = device.value.filter(|_| is_of_part()) {
                let what = ReportedChange::Value { from: device.observed_value.as_deref(), to: value.to };
                let place = groups.place(what, Some(value.cause), None, None);
                groups.list[place].members.push(member as u32);
                totals.count(what);
            }
            totals.devices += u64::from(totals.changes() > before);
        }
        groups.part(plan, &self.marks, origin, totals)
    }

    /// The outcome of every change of a run.
    fn ended_part(&self, run: &'a RunEnd) -> ReportPart<'a> {
        let mut groups = Groups::default();
        let mut totals = Totals::default();
        let mut devices = HashSet::new();
        for (member, row) in outcome_rows(self.input, &run.outcomes) {
            let outcome = row.outcome.map(|outcome| outcome.outcome);
            let error = row.outcome.and_then(|outcome| outcome.error.as_deref());
            let place = groups.place(row.what, row.cause, outcome, error.map(|error| (error, row.id)));
            groups.list[place].members.push(member);
            totals.count(row.what);
            devices.insert(row.id);
        }
        totals.devices = devices.len() as u64;
        groups.part(self.plan(), &self.marks, None, totals)
    }

    /// The half of the planned change with this index.
    fn origin(&self, number: usize) -> ChangeOrigin {
        if self.before.contains(number) { ChangeOrigin::Before } else { ChangeOrigin::ThisChange }
    }

    fn count(&mut self) {
        if let Some(run) = self.input.run {
            for outcome in &run.outcomes {
                self.outcomes[outcome.outcome as usize] += 1;
            }
        }
        self.classes[Class::Missing as usize] = self.totals.additions;
        self.classes[Class::Extra as usize] = self.totals.removals;
        self.classes[Class::Value as usize] = self.totals.values;
        for (class, aside) in self.asides() {
            self.classes[class as usize] += aside.additions + aside.removals + aside.values;
        }
    }
}

/// Groups under construction.
#[derive(Default)]
struct Groups<'a> {
    list: Vec<ChangeGroup<'a>>,
    places: HashMap<GroupKey<'a>, usize>,
}

/// The common properties of a group's changes.
type GroupKey<'a> = (ReportedChange<'a>, Option<CauseIndex>, Option<Outcome>, Option<Cow<'a, str>>);

impl<'a> Groups<'a> {
    /// The index of the group of such changes. An error comes with the device that it is about.
    fn place(
        &mut self,
        what: ReportedChange<'a>,
        cause: Option<CauseIndex>,
        outcome: Option<Outcome>,
        error: Option<(&'a str, &str)>,
    ) -> usize {
        let alike = error.map(|(error, device)| alike(error, device));
        let error = error.map(|(error, _)| error);
        *self.places.entry((what, cause, outcome, alike)).or_insert_with(|| {
            self.list.push(ChangeGroup {
                what,
                cause,
                outcome,
                error,
                members: Vec::new(),
                gained: 0,
                new_name: None,
                last: Vec::new(),
            });
            self.list.len() - 1
        })
    }

    fn part(
        self,
        plan: &Plan,
        marks: &LastDeviceMarks<'a>,
        origin: Option<ChangeOrigin>,
        totals: Totals,
    ) -> ReportPart<'a> {
        let mut groups = self.list;
        let carriers = risk::Carriers::new(plan);
        for group in &mut groups {
            group.last = marks.on(group.what).to_vec();
        }
        groups.sort_by_cached_key(|group| {
            let risk = carriers.rank(plan, group.what, group.cause, group.members.len() as u64);
            (risk, group.what, group.cause, group.outcome, group.error)
        });
        ReportPart { origin, groups, totals }
    }
}

/// The device's changes in a plan: they are ordered by id.
fn find_device<'a>(plan: &'a Plan, id: &str) -> Option<&'a DeviceChange> {
    let at = plan.changes.binary_search_by(|device| (*device.id).cmp(id)).ok()?;
    Some(&plan.changes[at])
}

/// The cause of a tag's change: changes of a device are ordered bytewise by tag.
fn find_tag(plan: &Plan, changes: &[TagChange], tag: &str) -> Option<CauseIndex> {
    let at = changes.binary_search_by(|change| (*plan.tags[change.tag.0 as usize]).cmp(tag)).ok()?;
    Some(changes[at].cause)
}

/// Outcomes as rows, with the cause that the plan has for them.
pub(super) fn outcome_rows<'a>(
    input: Input<'a>,
    outcomes: &'a [ChangeOutcome],
) -> impl Iterator<Item = (u32, ReportRow<'a>)> + use<'a> {
    outcomes.iter().enumerate().map(move |(number, outcome)| {
        let plan = input.plan;
        let device = input.find_device(&outcome.key.device);
        let wanted = match &outcome.key.what {
            ChangeWhat::Add(tag) => ReportedChange::Add(tag),
            ChangeWhat::Remove(tag) => ReportedChange::Remove(tag),
            ChangeWhat::Value(to) => ReportedChange::Value {
                from: device.and_then(|device| device.observed_value.as_deref()),
                to: *to,
            },
        };
        let cause = find_device(plan, &outcome.key.device).and_then(|device| match &outcome.key.what {
            ChangeWhat::Add(tag) => find_tag(plan, &device.add, tag),
            ChangeWhat::Remove(tag) => find_tag(plan, &device.remove, tag),
            ChangeWhat::Value(to) => {
                device.value.filter(|change| change.to == *to).map(|change| change.cause)
            }
        });
        let row = ReportRow {
            id: &outcome.key.device,
            name: device.and_then(|device| device.name.as_deref()),
            what: wanted,
            cause,
            class: wanted.class(),
            origin: None,
            aside: None,
            unresolved: None,
            outcome: Some(outcome),
            is_put_back: false,
        };
        (number as u32, row)
    })
}
