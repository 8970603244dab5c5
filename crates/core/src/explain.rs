//! Why a device has, gets or loses a tag or a value, or why not: the verdict, the rules that won and lost, the conditions with
//! the device's values, and everything else that decides.
//!
//! Does not plan anew: the verdict is the plan's. `report` decides how it reads; this form is its JSON.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod claim;
mod group;
mod no_tag;
mod stay;

pub use claim::{ClaimKind, ClaimedBy};
pub use group::{GroupConditions, GroupExplained, TagEffect, tags_after};

use serde::Serialize;

use crate::desired::{Desired, TagGroup};
use crate::diagnostic::{Place, Sources, Span};
use crate::inventory::Row;
use crate::plan::{AxisReport, Cause, CauseIndex, DeviceChange, Plan, Withheld};
use crate::policy::{Selector, TagExpressionKind};
use crate::selection::{HuntingResults, Trace, trace};

pub use no_tag::NoTag;
pub use stay::{KeptBy, KeptReason};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub id: String,
    pub name: Option<String>,
    /// Whether the policy may touch it.
    pub is_in_scope: bool,
    /// The scope's conditions; absent if the policy states no scope (then: not merged into another device).
    pub scope: Option<Condition>,
    pub protections: Vec<Stated>,
    /// Every rule: in file order, those that select the device and those that do not.
    pub rules: Vec<Stated>,
    /// The tags of the question: one, or all that the device carries or should carry.
    pub tags: Vec<TagExplained>,
    /// The device value; absent if the question is about one tag.
    pub value: Option<ValueExplained>,
    /// Its device group, and why; absent without a file of device groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupExplained>,
}

/// A rule or a protection on this device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stated {
    pub name: String,
    pub place: Place,
    /// Its priority; absent for protections.
    pub priority: Option<i64>,
    /// Whether it is in force at this moment.
    pub is_live: bool,
    /// Whether it applies to the device: it is in force, the device is in scope, and the conditions hold.
    pub applies: bool,
    /// Whether that depends on unknown data. Then nothing that a rule would change is changed, and a protection applies.
    pub is_undecided: bool,
    /// Its conditions with the device's values.
    pub condition: Condition,
    /// Its effect as written: `+tag`, `-tag`, `=High`; for protections the reason.
    pub says: Vec<String>,
    /// Its templates that yield no tag on the device, if it applies or may apply.
    pub no_tags: Vec<NoTag>,
}

/// A condition with the device's value.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// In the policy's words.
    pub label: String,
    /// Whether it holds; `null` if that is unknown, because it reads unknown data or has no result.
    pub holds: Option<bool>,
    /// The device's value; absent if it has none, and for conditions that only combine others.
    pub actual: Option<String>,
    pub place: Place,
    pub children: Vec<Condition>,
}

/// The answer to a question about a tag or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is as it should be: the policy wants it.
    Kept,
    /// It will be added or set.
    Added,
    Removed,
    /// It should change, but the change is withheld; `because` says why.
    Withheld,
    /// The device has it, and the policy says nothing about it: it is never touched.
    Untouched,
    /// The device has it and should perhaps not have it, but keeps it: a rename does not apply on this device.
    Stays,
    /// The device does not have it, and should not.
    Absent,
    /// The device is out of scope.
    OutOfScope,
}

/// One tag on the device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TagExplained {
    pub tag: String,
    /// Whether the device carries it.
    pub is_live: bool,
    pub verdict: Verdict,
    /// Why: the cause of the change (`rule`, `unselected`, …), or the reason for which it is withheld with its name.
    pub because: Option<String>,
    /// Why it is kept, if it is withheld or has no owner.
    pub stay: Option<KeptBy>,
    /// Rules that apply and give or forbid it, the winners first.
    pub statements: Vec<Statement>,
    /// Its owner.
    pub claim: Option<ClaimedBy>,
    /// Its family and the family's members, the strongest first.
    pub family: Option<(String, Vec<String>)>,
    /// The name that a rename gives it.
    pub renamed_to: Option<String>,
    /// The entry of `retire` that covers it.
    pub retired: Option<(String, Place)>,
    /// The cap on its removal, if the plan removes it from some device: counted, allowed, live devices in scope that carry it.
    pub cap: Option<(u64, u64, u64)>,
    /// Removals of it in the whole plan, including the halves of renames, which the cap does not count.
    pub removals: u64,
}

/// A rule's statement.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    pub rule: String,
    pub place: Place,
    pub priority: i64,
    /// `gives`, `forbids`, or the value.
    pub says: String,
    /// Whether it is among the strongest.
    pub wins: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueExplained {
    /// As read.
    pub live: Option<String>,
    /// As the policy says; absent if it says nothing.
    pub wanted: Option<String>,
    pub verdict: Verdict,
    pub because: Option<String>,
    /// Why it is kept, if it is withheld.
    pub stay: Option<KeptBy>,
    /// Rules that apply and give a value, the winners first.
    pub statements: Vec<Statement>,
}

/// Explains a device, or one tag on it. `plan` was made from `desired`, and the guard has seen it.
pub fn explain(
    desired: &Desired<'_>,
    plan: &Plan,
    hunting: &HuntingResults,
    sources: &Sources,
    row: Row,
    tag: Option<&str>,
) -> Explanation {
    let explainer = Explainer { desired, plan, hunting, sources, row };
    let tags = match tag {
        Some(tag) => vec![explainer.tag(tag)],
        None => explainer.tag_names().iter().map(|tag| explainer.tag(tag)).collect(),
    };
    let policy = desired.policy;
    let snapshot = desired.snapshot;
    Explanation {
        id: snapshot.id(row).to_owned(),
        name: snapshot.name(row).map(str::to_owned),
        is_in_scope: explainer.is_in_scope(),
        scope: policy.scope.as_ref().map(|scope| explainer.condition(scope)),
        protections: (0..policy.protections.len()).map(|index| explainer.protection(index)).collect(),
        rules: (0..policy.rules.len() as u32).map(|index| explainer.rule(index)).collect(),
        tags,
        value: tag.is_none().then(|| explainer.value()),
        group: group::explained(desired, plan, row, tag),
    }
}

struct Explainer<'a> {
    desired: &'a Desired<'a>,
    plan: &'a Plan,
    hunting: &'a HuntingResults,
    sources: &'a Sources,
    row: Row,
}

impl Explainer<'_> {
    fn is_in_scope(&self) -> bool {
        self.desired.selections.scope.contains(self.row)
    }

    fn place(&self, span: Span) -> Place {
        self.sources.place(span)
    }

    fn condition(&self, selector: &Selector) -> Condition {
        let Desired { policy, snapshot, selections, now, .. } = *self.desired;
        let traced = trace(policy, snapshot, selections, self.hunting, now, selector, self.row);
        self.traced(traced)
    }

    fn traced(&self, trace: Trace) -> Condition {
        Condition {
            label: trace.label,
            holds: trace.holds,
            actual: trace.actual,
            place: self.place(trace.span),
            children: trace.children.into_iter().map(|child| self.traced(child)).collect(),
        }
    }

    fn protection(&self, index: usize) -> Stated {
        let protection = &self.desired.policy.protections[index];
        let applies = self.desired.selections.protections[index].contains(self.row);
        let condition = self.condition(&protection.select);
        Stated {
            name: protection.name.clone(),
            place: self.place(protection.span),
            priority: None,
            is_live: true,
            applies,
            is_undecided: applies && condition.holds.is_none(),
            condition,
            says: protection.reason.iter().cloned().collect(),
            no_tags: Vec::new(),
        }
    }

    fn rule(&self, index: u32) -> Stated {
        let rule = &self.desired.policy.rules[index as usize];
        let tags = rule.tags.iter().map(|tag| match &tag.kind {
            TagExpressionKind::Literal(tag) => format!("+{tag}"),
            TagExpressionKind::Template(template) => format!("+{}", template.source),
        });
        let removes = rule.remove_tags.iter().map(|remove| format!("-{}", remove.pattern));
        let value = rule.device_value.iter().map(|value| format!("={value}"));
        Stated {
            name: rule.name.clone(),
            place: self.place(rule.span),
            priority: Some(rule.priority),
            is_live: self.desired.is_live(index),
            applies: self.desired.selections.rules[index as usize].contains(self.row),
            is_undecided: self.desired.is_undecided(index, self.row),
            condition: self.condition(&rule.select),
            says: tags.chain(removes).chain(value).collect(),
            no_tags: self.no_tags(index),
        }
    }

    /// Tags that the device carries, should carry, or that change on it; bytewise.
    fn tag_names(&self) -> Vec<String> {
        let snapshot = self.desired.snapshot;
        let live = snapshot.tags(self.row).iter().map(|tag| snapshot.tag(*tag).to_owned());
        let mut names: Vec<String> = live.collect();
        if self.is_in_scope() {
            let said = self.desired.groups.iter().filter(|group| !self.statements(group).is_empty());
            let unheard = said
                .filter(|group| names.iter().all(|name| !self.desired.tag_case.is_same(name, &group.name)));
            let unheard: Vec<String> = unheard.map(|group| group.name.to_string()).collect();
            names.extend(unheard);
        }
        let changes = self.places().into_iter().flat_map(|(_, change)| change.add.iter());
        names.extend(changes.map(|add| self.plan.tag(add.tag).to_string()));
        names.sort();
        names.dedup();
        names
    }

    /// The plan's entries for this device: its changes, and each group of withheld changes that contains it.
    fn places(&self) -> Vec<(Option<&Withheld>, &DeviceChange)> {
        let id = self.desired.snapshot.id(self.row);
        fn find<'a>(devices: &'a [DeviceChange], id: &str) -> Option<&'a DeviceChange> {
            devices.binary_search_by(|device| (*device.id).cmp(id)).ok().map(|index| &devices[index])
        }
        let mut places: Vec<(Option<&Withheld>, &DeviceChange)> =
            find(&self.plan.changes, id).into_iter().map(|change| (None, change)).collect();
        for group in self.plan.withheld.iter().chain(&self.plan.pending) {
            if let Some(change) = find(&group.devices, id) {
                places.push((Some(group), change));
            }
        }
        places
    }

    fn statements(&self, group: &TagGroup) -> Vec<Statement> {
        let gives = group.giving.iter().filter(|giver| self.desired.gives(giver, self.row));
        let mut said: Vec<(u32, i64, &str)> =
            gives.map(|giver| (giver.rule, giver.priority, "gives")).collect();
        let forbids = group.forbidding.iter().filter(|ban| self.desired.forbids(group, ban, self.row));
        said.extend(forbids.map(|ban| (ban.rule, ban.priority, "forbids")));
        said.dedup();
        self.ranked(
            said.into_iter().map(|(rule, priority, says)| (rule, priority, says.to_owned())).collect(),
        )
    }

    /// Statements, the strongest first.
    fn ranked(&self, mut said: Vec<(u32, i64, String)>) -> Vec<Statement> {
        said.sort_by_key(|(rule, priority, _)| (std::cmp::Reverse(*priority), *rule));
        let strongest = said.first().map(|(_, priority, _)| *priority);
        let rules = &self.desired.policy.rules;
        said.into_iter()
            .map(|(rule, priority, says)| Statement {
                rule: rules[rule as usize].name.clone(),
                place: self.place(rules[rule as usize].span),
                priority,
                says,
                wins: Some(priority) == strongest,
            })
            .collect()
    }

    fn tag(&self, tag: &str) -> TagExplained {
        let desired = self.desired;
        let policy = desired.policy;
        let snapshot = desired.snapshot;
        let case = desired.tag_case;
        let is_live = snapshot.tags(self.row).iter().any(|live| case.is_same(snapshot.tag(*live), tag));
        let group = desired.groups.iter().find(|group| case.is_same(&group.name, tag));
        let statements = group.map_or(Vec::new(), |group| self.statements(group));
        let (verdict, because, stay) = self.tag_verdict(tag, is_live, group);
        let claim = group.and_then(|group| group.claimed);
        let claim = claim.map(|claimed| claim::claimed_by(policy, self.sources, claimed));
        let family = group.and_then(|group| group.family).map(|(index, _)| {
            let family = &policy.families[index as usize];
            (family.name.clone(), family.members.iter().map(|member| member.tag.clone()).collect())
        });
        let rename =
            group.and_then(|group| group.rename).map(|index| policy.renames[index as usize].to.clone());
        let retired = group.and_then(|group| group.retired).map(|index| {
            let retire = &policy.retire[index as usize];
            (retire.pattern.to_string(), self.place(retire.span))
        });
        let is_its = |axis: &&AxisReport| axis.tag.as_deref().is_some_and(|named| case.is_same(named, tag));
        let cap = self.plan.guard.axes.iter().find(is_its);
        TagExplained {
            tag: tag.to_owned(),
            is_live,
            verdict,
            because,
            stay,
            statements,
            claim,
            family,
            renamed_to: rename,
            retired,
            cap: cap.map(|axis| (axis.planned, axis.allowed, axis.base)),
            removals: self.removals(tag),
        }
    }

    fn removals(&self, tag: &str) -> u64 {
        let removed = self.plan.changes.iter().flat_map(|change| &change.remove);
        removed.filter(|remove| self.desired.tag_case.is_same(self.plan.tag(remove.tag), tag)).count() as u64
    }

    fn tag_verdict(
        &self,
        tag: &str,
        is_live: bool,
        group: Option<&TagGroup>,
    ) -> (Verdict, Option<String>, Option<KeptBy>) {
        if !self.is_in_scope() {
            return (Verdict::OutOfScope, None, None);
        }
        let case = self.desired.tag_case;
        for (withheld, change) in self.places() {
            let adds = change.add.iter().map(|add| (Verdict::Added, *add));
            let removes = change.remove.iter().map(|remove| (Verdict::Removed, *remove));
            let mut changes = adds.chain(removes);
            let is_it = |named: &str| named == tag || (!is_live && case.is_same(named, tag));
            if let Some((verdict, change)) = changes.find(|(_, change)| is_it(self.plan.tag(change.tag))) {
                return match withheld {
                    Some(group) => {
                        (Verdict::Withheld, Some(stay::because(group)), Some(self.withheld(group)))
                    }
                    None => (verdict, Some(self.cause(change.cause)), None),
                };
            }
        }
        let unclaimed = is_live.then(KeptBy::unclaimed);
        let Some(group) = group else {
            return (if is_live { Verdict::Untouched } else { Verdict::Absent }, None, unclaimed);
        };
        let is_given = !self.desired.givers(group, self.row).is_empty();
        let is_owned = group.claimed.is_some() || group.retired.is_some();
        let verdict = match (is_live, is_given) {
            (true, true) => Verdict::Kept,
            (true, false) if is_owned => Verdict::Stays,
            (true, false) => Verdict::Untouched,
            (false, _) => Verdict::Absent,
        };
        (verdict, None, unclaimed.filter(|_| verdict == Verdict::Untouched))
    }

    fn cause(&self, index: CauseIndex) -> String {
        match self.plan.cause(index) {
            Cause::Rule(rules) => {
                let names: Vec<&str> =
                    rules.iter().map(|rule| self.plan.rules[*rule as usize].name.as_str()).collect();
                format!("rule {}", names.join(", "))
            }
            Cause::Unselected { claim, .. } => {
                format!("unselected: claimed by `{claim}`, and no rule assigns it")
            }
            Cause::Family { family, .. } => format!("family {family}: a stronger member stays"),
            Cause::Renamed { to, .. } => format!("renamed to {to}"),
            Cause::Restored { run } => format!("restored: a call of run {run} took it along"),
            other => other.word().to_owned(),
        }
    }

    fn value(&self) -> ValueExplained {
        let desired = self.desired;
        let live = desired.snapshot.value(self.row).map(str::to_owned);
        let selected = desired
            .values
            .rules
            .iter()
            .filter(|(rule, _, _)| desired.selections.rules[*rule as usize].contains(self.row));
        let said = selected.map(|(rule, priority, value)| (*rule, *priority, value.to_string())).collect();
        let wanted = self.wanted_value();
        let mut verdict = match (&wanted, &live) {
            _ if !self.is_in_scope() => Verdict::OutOfScope,
            (Some(wanted), Some(live)) if wanted == live => Verdict::Kept,
            (_, None) => Verdict::Absent,
            _ => Verdict::Untouched,
        };
        let (mut because, mut stay) = (None, None);
        for (withheld, change) in self.places() {
            let Some(value) = change.value else { continue };
            (verdict, because, stay) = match withheld {
                Some(group) => (Verdict::Withheld, Some(stay::because(group)), Some(self.withheld(group))),
                None => (Verdict::Added, Some(self.cause(value.cause)), None),
            };
        }
        ValueExplained { live, wanted, verdict, because, stay, statements: self.ranked(said) }
    }

    fn wanted_value(&self) -> Option<String> {
        self.desired.value_of(self.row).map(|value| value.to_string())
    }
}

#[cfg(test)]
mod tests;
