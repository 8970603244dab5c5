//! What the policy says about this snapshot: which devices should carry each tag, which should have each value, and by which
//! rules.
//!
//! Looks at live tags only as far as the policy itself does (renames, families); `plan` finds the changes. Settles every tag with
//! sets of devices, not device by device.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod conflict;
mod doubts;
mod groups;
mod open;
mod settle;
mod template;
#[cfg(test)]
mod tests;
mod value;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::device::DeviceValue;
use crate::diagnostic::Diagnostic;
use crate::inventory::{DeviceSet, Row, Snapshot, TagId};
use crate::pattern::Glob;
use crate::policy::{Policy, TagExpression, TagExpressionKind};
use crate::selection::Selections;
use crate::tag::TagCase;
use crate::time::Timestamp;

pub use doubts::Doubts;
pub use settle::{Reason, Settled, SettledPart};
pub(crate) use template::tag_on;
pub use window::Window;

/// The policy's statements about a snapshot, tag by tag. Free of conflicts except on protected devices.
#[derive(Debug)]
pub struct Desired<'a> {
    pub policy: &'a Policy,
    pub snapshot: &'a Snapshot,
    /// The devices that its selectors select.
    pub selections: &'a Selections,
    /// The clock that the policy was evaluated with.
    pub now: Timestamp,
    /// How tags that differ only in case compare.
    pub tag_case: TagCase,
    /// Devices in scope that any protection matches.
    pub protected: DeviceSet,
    /// Every tag that the policy says anything about, if it is assigned, named or live.
    pub groups: Vec<TagGroup>,
    /// Groups that must be settled together: families and renames join them. Indices into `groups`.
    pub parts: Vec<Vec<u32>>,
    /// Devices for which a template yields no tag: its data is missing, or the result cannot be a tag.
    pub gaps: Vec<Gap>,
    /// The value that each device should have.
    pub values: Values,
    /// Templates that yielded no tag, in rule order.
    pub unresolved: Vec<Unresolved>,
    /// Changes that depend on untrusted data.
    pub doubts: Doubts,
}

/// A tag (with `tagCase: insensitive`: all its spellings) and all statements of the policy about it.
#[derive(Clone, Debug)]
pub struct TagGroup {
    /// The spelling that is written.
    pub name: Arc<str>,
    /// Live spellings.
    pub live: Vec<TagId>,
    /// Rules that give it, the highest priority first, then in file order.
    pub giving: Vec<GivingRule>,
    /// Rules that forbid it, in the same order.
    pub forbidding: Vec<ForbiddingRule>,
    /// Templates that may yield it, because they read unknown data: indices into [`Desired::gaps`].
    pub may_yield: Vec<u32>,
    /// Its family and its rank there.
    pub family: Option<(u32, u32)>,
    /// The rename that removes this name.
    pub rename: Option<u32>,
    /// The first entry of `retire` that covers it.
    pub retired: Option<u32>,
    /// Why live ones are removed if no rule assigns them.
    pub claimed: Option<Claimed>,
}

/// A rule that gives a tag to devices.
#[derive(Clone, Debug)]
pub struct GivingRule {
    /// Index into [`Policy::rules`].
    pub rule: u32,
    pub priority: i64,
    pub rows: GivenRows,
}

/// Devices of a [`GivingRule`].
#[derive(Clone, Debug)]
pub enum GivenRows {
    /// All devices that the rule selects.
    Rule,
    /// Those on which a template yields the tag, ascending, including devices on which the rule is undecided.
    Listed(Vec<Row>),
}

/// A rule that forbids a tag on the devices that it selects.
#[derive(Clone, Copy, Debug)]
pub struct ForbiddingRule {
    /// Index into [`Policy::rules`].
    pub rule: u32,
    pub priority: i64,
    /// Whether only globs name the tag: then the rule's own `tags` win.
    pub is_glob: bool,
}

/// The part of the policy set that owns a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claimed {
    /// An entry of `claims`.
    Claim(u32),
    Family(u32),
    /// A rename of the tag.
    Rename(u32),
}

/// Devices on which a template yields no tag. Live claimed tags that it could have yielded stay there, because bad data must not
/// remove tags any more than missing data does.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Index into [`Policy::rules`].
    pub rule: u32,
    /// The tags that the template could yield.
    pub glob: Glob,
    /// The devices, ascending; in scope, protected ones included.
    pub rows: Vec<Row>,
    /// Those of them on which the template may yield a tag, but reads unknown data. `None` if there are none.
    pub unknown: Option<DeviceSet>,
}

impl Gap {
    /// Whether the template yields no tag on a device.
    pub fn has(&self, row: Row) -> bool {
        self.rows.binary_search(&row).is_ok()
    }
}

/// The value that each device should have.
#[derive(Clone, Debug)]
pub struct Values {
    /// Devices that rules give each value, in the order of [`DeviceValue::ALL`].
    pub given: [DeviceSet; 3],
    /// Devices that get the default, because no rule gives them a value.
    pub defaulted: DeviceSet,
    /// Devices whose value depends on unknown data, by the value that they may get. Their values are not written.
    pub open: [DeviceSet; 3],
    /// Live rules with a value: rule, priority, value; the highest priority first, then in file order.
    pub rules: Vec<(u32, i64, DeviceValue)>,
}

/// Devices on which a template yields no tag because of one placeholder, by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// Index into [`Policy::rules`].
    pub rule: u32,
    pub template: String,
    /// The first placeholder without a value, by name; if the result is unusable, all placeholders of the template, separated by
    /// commas.
    pub placeholder: String,
    /// Unprotected devices by reason; reasons without devices are absent.
    pub reasons: BTreeMap<GapReason, u64>,
    /// Up to three unusable values: not in the map, empty after `slug`, or not valid as a tag.
    pub sample: Vec<String>,
    /// These devices, in the inventory's order.
    pub devices: Vec<UnresolvedDevice>,
}

/// A device on which a template yields no tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedDevice {
    pub id: Arc<str>,
    /// Its name, if the service reports one.
    pub name: Option<Arc<str>>,
    pub reason: GapReason,
}

impl Unresolved {
    /// Unprotected devices without a value.
    pub fn missing(&self) -> u64 {
        let missing = self.reasons.iter().filter(|(reason, _)| **reason != GapReason::Unusable);
        missing.map(|(_, count)| count).sum()
    }

    /// Unprotected devices whose result is no tag.
    pub fn unusable(&self) -> u64 {
        self.reasons.get(&GapReason::Unusable).copied().unwrap_or_default()
    }
}

impl GapReason {
    /// Whether the value is unknown rather than missing.
    pub(crate) fn is_unknown(self) -> bool {
        matches!(self, GapReason::Conflict | GapReason::ShortRow | GapReason::Unmatched)
    }
}

crate::words! {
    /// Why a template yields no tag on a device.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum GapReason {
        /// The device does not report the field.
        Missing = "missing",
        /// The lookup has no row for the device.
        NoRow = "noRow",
        /// The row's cell in this column is empty.
        EmptyCell = "emptyCell",
        /// The map has no entry for the value.
        NotInMap = "notInMap",
        /// `slug` leaves nothing of the value.
        EmptySlug = "emptySlug",
        /// Rows with the device's key differ in this column.
        Conflict = "conflict",
        /// The row ends before this column.
        ShortRow = "shortRow",
        /// The lookup has no row for any device of the inventory.
        Unmatched = "unmatched",
        /// The result is not a valid tag.
        Unusable = "unusable",
    }
}

/// Evaluates a policy on a snapshot.
///
/// # Errors
/// One diagnostic for each conflict: rules of the same highest priority that give and forbid a tag, or give different values, on
/// devices that no protection matches.
pub fn desire<'a>(
    policy: &'a Policy,
    snapshot: &'a Snapshot,
    selections: &'a Selections,
    now: Timestamp,
) -> Result<Desired<'a>, Vec<Diagnostic>> {
    let mut protected = DeviceSet::new(snapshot.len());
    for protection in &selections.protections {
        protected.union_with(protection);
    }
    protected.intersect_with(&selections.scope);
    let tag_case = policy.tag_case;
    let rendered = template::render(policy, snapshot, selections, now, &protected);
    let (values, value_conflicts) = value::values(policy, snapshot, selections, now);
    let (groups, parts) = groups::collect(policy, snapshot, selections, now, rendered.yields, &rendered.gaps);
    let desired = Desired {
        policy,
        snapshot,
        selections,
        now,
        tag_case,
        protected,
        groups,
        parts,
        gaps: rendered.gaps,
        values,
        unresolved: rendered.unresolved,
        doubts: Doubts::default(),
    };
    let found = conflict::diagnostics(&desired, value_conflicts);
    if found.is_empty() { Ok(desired) } else { Err(found) }
}

impl Desired<'_> {
    /// Marks everything that rules take from these data sources as untrusted, because the sources shrank.
    pub fn doubt(&mut self, sources: &BTreeSet<String>) {
        self.doubts = Doubts::new(self.policy, &self.groups, sources);
    }

    /// Whether a rule is in force at this moment.
    pub fn is_live(&self, rule: u32) -> bool {
        self.policy.rules[rule as usize].is_live(self.now)
    }

    /// Whether a rule gives this tag to a device.
    pub fn gives(&self, giver: &GivingRule, row: Row) -> bool {
        match &giver.rows {
            GivenRows::Rule => self.selections.rules[giver.rule as usize].contains(row),
            GivenRows::Listed(rows) => {
                rows.binary_search(&row).is_ok() && !self.is_undecided(giver.rule, row)
            }
        }
    }

    /// Whether unknown data leaves open whether a rule selects a device.
    pub fn is_undecided(&self, rule: u32, row: Row) -> bool {
        self.selections.undecided.get(&rule).is_some_and(|rows| rows.contains(row))
    }

    /// The first rule on connected tags that is undecided on a device, or whose template reads unknown data there.
    pub fn open_rule(&self, part: &[u32], row: Row) -> Option<u32> {
        let groups = || part.iter().map(|group| &self.groups[*group as usize]);
        let rules = groups().flat_map(|group| {
            let givers = group.giving.iter().map(|giver| giver.rule);
            givers.chain(group.forbidding.iter().map(|ban| ban.rule))
        });
        let templates = groups().flat_map(|group| &group.may_yield).map(|gap| &self.gaps[*gap as usize]);
        let unknown = templates.filter(|gap| gap.unknown.as_ref().is_some_and(|rows| rows.contains(row)));
        let rules = rules.filter(|rule| self.is_undecided(*rule, row)).chain(unknown.map(|gap| gap.rule));
        rules.min()
    }

    /// Whether a rename waits: its new name is claimed, and no rule in force could give it. The old name then stays.
    pub fn is_waiting(&self, new: &TagGroup) -> bool {
        let rules = || self.policy.rules.iter().filter(|rule| rule.is_live(self.now));
        let yields = |tag: &TagExpression| match &tag.kind {
            TagExpressionKind::Template(template) => template.glob.matches(&new.name),
            TagExpressionKind::Literal(_) => false,
        };
        new.claimed.is_some() && new.giving.is_empty() && !rules().flat_map(|rule| &rule.tags).any(yields)
    }

    /// Whether a rename turns a tag into this group's.
    pub fn is_old_name_of(&self, old: &TagGroup, group: &TagGroup) -> bool {
        let rename = old.rename.map(|rename| &self.policy.renames[rename as usize]);
        rename.is_some_and(|rename| self.tag_case.is_same(&rename.to, &group.name))
    }

    /// The first rule with a template without data that keeps a group's tag on a device, because it could yield the tag. It does
    /// not keep what a rule of the same or a higher priority forbids.
    pub fn keeper(&self, group: &TagGroup, row: Row) -> Option<u32> {
        let gaps = self.gaps.iter().filter(|gap| gap.has(row) && gap.glob.matches(&group.name));
        let mut keepers = gaps.map(|gap| gap.rule).peekable();
        keepers.peek()?;
        let banned = self.ban_priority(group, row);
        keepers.filter(|rule| self.policy.rules[*rule as usize].priority > banned).min()
    }

    /// The first rule with a value that is undecided on a device.
    pub fn undecided_valuer(&self, row: Row) -> Option<u32> {
        self.values.rules.iter().map(|(rule, ..)| *rule).filter(|rule| self.is_undecided(*rule, row)).min()
    }

    /// Whether a rule forbids a group's tag on a device.
    pub fn forbids(&self, group: &TagGroup, ban: &ForbiddingRule, row: Row) -> bool {
        let own = |giver: &&GivingRule| giver.rule == ban.rule;
        self.selections.rules[ban.rule as usize].contains(row)
            && !(ban.is_glob && group.giving.iter().filter(own).any(|giver| self.gives(giver, row)))
    }

    /// The rules of the highest priority that give a tag. Ascending.
    pub fn givers(&self, group: &TagGroup, row: Row) -> Vec<u32> {
        let givers = group.giving.iter().filter(|giver| self.gives(giver, row));
        strongest(givers.map(|giver| (giver.priority, giver.rule)))
    }

    /// The rules of the highest priority that forbid a tag. Ascending.
    pub fn forbidders(&self, group: &TagGroup, row: Row) -> Vec<u32> {
        let bans = group.forbidding.iter().filter(|ban| self.forbids(group, ban, row));
        strongest(bans.map(|ban| (ban.priority, ban.rule)))
    }

    /// The highest priority of the rules that forbid a group's tag on a device; the smallest number if none does.
    pub fn ban_priority(&self, group: &TagGroup, row: Row) -> i64 {
        let bans = group.forbidding.iter().filter(|ban| self.forbids(group, ban, row));
        bans.map(|ban| ban.priority).max().unwrap_or(i64::MIN)
    }

    /// The value that the policy gives a device, including the default.
    pub fn value_of(&self, row: Row) -> Option<DeviceValue> {
        let given =
            DeviceValue::ALL.into_iter().find(|value| self.values.given[*value as usize].contains(row));
        let default = self.policy.default_value.filter(|_| self.values.defaulted.contains(row));
        given.or(default.map(|default| default.value))
    }

    /// The tags that the policy gives a device: by rules, minus those that families drop, and by renames. Bytewise.
    pub fn tags_of(&self, row: Row) -> Vec<Arc<str>> {
        let mut tags = Vec::new();
        for part in &self.parts {
            let settled = self.settle(part);
            let Some(local) = settled.window.find(row) else { continue };
            let wanted = settled.tags.iter().filter(|tag| tag.wanted().contains(local));
            tags.extend(wanted.map(|tag| self.groups[tag.group as usize].name.clone()));
        }
        tags.sort();
        tags
    }

    /// The rules of the highest priority that give a device's value. Ascending.
    pub fn valuers(&self, row: Row) -> Vec<u32> {
        let selected =
            |(rule, _, _): &&(u32, i64, DeviceValue)| self.selections.rules[*rule as usize].contains(row);
        strongest(self.values.rules.iter().filter(selected).map(|(rule, priority, _)| (*priority, *rule)))
    }
}

/// The rules of the highest priority. `statements` come in falling order of priority.
fn strongest(statements: impl Iterator<Item = (i64, u32)>) -> Vec<u32> {
    let mut rules = Vec::new();
    let mut highest = None;
    for (priority, rule) in statements {
        if *highest.get_or_insert(priority) != priority {
            break;
        }
        rules.push(rule);
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}
