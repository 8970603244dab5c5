//! A small fleet, a policy and the results of its selectors, from one number.
//!
//! Builds only what a valid policy can say.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::{DeviceValue, Field};
use crate::diagnostic::{SourceId, Sources, Span};
use crate::inventory::{self, DeviceSet, Row, Snapshot};
use crate::plan::{
    ChangeKey, ChangeWhat, Header, History, InventoryReference, Plan, Unwritable, WriteAction,
};
use crate::policy::{
    Claim, Counted, DefaultValue, Family, FamilyMember, Filter, Guard, Invariant, Policy, Protection,
    Quantity, RemoveTag, Rename, Retire, Rule, Selector, SelectorKind, TagExpression, TagExpressionKind,
    Template, TemplatePart,
};
use crate::random::SeededNumbers;
use crate::selection::Selections;
use crate::tag::{TagCase, TagPattern};
use crate::time::{Date, Timestamp};

/// The tags of all worlds.
pub(super) const TAGS: [&str; 12] =
    ["A", "a", "B", "b", "C", "D", "env/x", "env/y", "ENV/x", "env/", "MDE-Management", "os:x"];

const GLOBS: [&str; 7] = ["env/*", "?", "*", "[AB]", "{C,D}", "E*", "os:*"];

#[derive(Clone, Debug)]
pub(super) struct WorldDevice {
    pub(super) id: String,
    pub(super) tags: Vec<String>,
    pub(super) value: Option<String>,
    pub(super) platform: Option<String>,
}

/// The input of a plan.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) devices: Vec<WorldDevice>,
    pub(super) policy: Policy,
    pub(super) scope: BTreeSet<usize>,
    /// The devices that each rule selects, in scope or not.
    pub(super) selected: Vec<BTreeSet<usize>>,
    pub(super) protected: Vec<BTreeSet<usize>>,
    pub(super) case: TagCase,
    pub(super) is_trusted: bool,
    pub(super) history: History,
}

/// Small numbers from a seed.
struct Dice(SeededNumbers);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.number() % bound as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn subset(&mut self, count: usize, one_in: usize) -> BTreeSet<usize> {
        (0..count).filter(|_| self.chance(one_in)).collect()
    }
}

const SPAN: Span = Span { source: SourceId(0), start: 0, end: 1 };

impl World {
    pub(super) fn random(seed: u64) -> World {
        let mut dice = Dice(SeededNumbers::new(seed));
        let case = if dice.chance(4) { TagCase::Insensitive } else { TagCase::Exact };
        let most = if dice.chance(10) { 90 } else { 9 };
        let count = 1 + dice.below(most);
        let devices: Vec<WorldDevice> = (0..count).map(|index| device(&mut dice, index)).collect();
        let scope = if dice.chance(2) { (0..count).collect() } else { dice.subset(count, 2) };
        let mut policy = Policy { tag_case: case, ..Policy::default() };
        if dice.chance(4) {
            policy.guard.allow_reserved.push(("mde-management".to_owned(), SPAN));
        }
        let rules = dice.below(6);
        let density = 1 + dice.below(4);
        for index in 0..rules {
            let rule = rule(&mut dice, index, &policy);
            policy.rules.push(rule);
        }
        for _ in 0..dice.below(4) {
            policy.claims.push(Claim { pattern: pattern(&mut dice, &policy), span: SPAN });
        }
        if dice.chance(3) {
            policy.default_value = Some(DefaultValue { value: *dice.pick(&DeviceValue::ALL), span: SPAN });
        }
        families(&mut dice, case, &mut policy);
        renames(&mut dice, case, &mut policy);
        if dice.chance(3) {
            retire(&mut dice, case, &mut policy);
        }
        for index in 0..dice.below(3) {
            let counts = if dice.chance(2) {
                Counted::Tag((*dice.pick(&TAGS)).to_owned())
            } else {
                Counted::Value(*dice.pick(&DeviceValue::ALL))
            };
            policy.guard.invariants.push(Invariant {
                name: format!("i{index}"),
                counts,
                at_least: Some(Quantity::Count(dice.below(3) as u64)),
                at_most: None,
                span: SPAN,
            });
        }
        let protections = if dice.chance(2) { 0 } else { dice.below(3) };
        for index in 0..protections {
            let select = everything();
            policy.protections.push(Protection {
                name: format!("p{index}"),
                select,
                reason: None,
                span: SPAN,
            });
        }
        let selected = (0..rules).map(|_| dice.subset(count, density)).collect();
        let protected = (0..protections).map(|_| dice.subset(count, 3)).collect();
        let is_trusted = !dice.chance(5);
        let history = if dice.chance(5) { history(&mut dice, &devices) } else { History::default() };
        World { devices, policy, scope, selected, protected, case, is_trusted, history }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-22T03:00:00Z").unwrap()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let objects: Vec<serde_json::Value> = self
            .devices
            .iter()
            .map(|device| {
                serde_json::json!({
                    "id": device.id,
                    "machineTags": device.tags,
                    "deviceValue": device.value,
                    "osPlatform": device.platform,
                })
            })
            .collect();
        inventory::fleet(&objects)
    }

    pub(super) fn selections(&self, snapshot: &Snapshot) -> Selections {
        let set = |rows: &BTreeSet<usize>| {
            let rows = rows.iter().filter(|row| self.scope.contains(row));
            DeviceSet::of(snapshot.len(), rows.map(|row| Row(*row as u32)))
        };
        let live = |index: usize| self.policy.rules[index].is_live(self.now());
        let none = BTreeSet::new();
        let rules = self.selected.iter().enumerate();
        Selections {
            scope: set(&self.scope),
            rules: rules.map(|(index, rows)| set(if live(index) { rows } else { &none })).collect(),
            protections: self.protected.iter().map(set).collect(),
            first: None,
            ill: None,
            surely_ill: None,
            accepted: Vec::new(),
            joins: Vec::new(),
            unmatched: Vec::new(),
            idle_selectors: Vec::new(),
            undecided: BTreeMap::new(),
            unknown_queries: Vec::new(),
            unknown_lists: Vec::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn header(&self) -> Header {
        let reasons = if self.is_trusted { Vec::new() } else { vec!["short".to_owned()] };
        Header {
            inventory: InventoryReference { reasons, ..InventoryReference::default() },
            ..Header::default()
        }
    }

    pub(super) fn sources(&self) -> Sources {
        Sources::from_text("policy.yaml", "version: 1\n")
    }

    /// Applies the plan to the fleet.
    pub(super) fn apply(&mut self, plan: &Plan) {
        for change in &plan.changes {
            let device = self.devices.iter_mut().find(|device| *device.id == *change.id).unwrap();
            for remove in &change.remove {
                device.tags.retain(|tag| *tag != **plan.tag(remove.tag));
            }
            device.tags.extend(change.add.iter().map(|add| plan.tag(add.tag).to_string()));
            if let Some(value) = change.value {
                device.value = Some(value.to.word().to_owned());
            }
        }
    }
}

fn device(dice: &mut Dice, index: usize) -> WorldDevice {
    let mut tags: Vec<String> = Vec::new();
    for _ in 0..dice.below(5) {
        let tag = (*dice.pick(&TAGS)).to_owned();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let values = [None, Some("Low"), Some("Normal"), Some("High"), Some("Odd")];
    let platforms =
        [None, Some("x"), Some("y"), Some("X"), Some("--"), Some("MDE-Management"), Some("x\u{7}")];
    // Ids in another order than rows.
    let id = format!("{}{index}", ["z", "m", "a"][dice.below(3)]);
    let text = |text: &Option<&str>| text.map(str::to_owned);
    WorldDevice { id, tags, value: text(dice.pick(&values)), platform: text(dice.pick(&platforms)) }
}

fn everything() -> Selector {
    Selector { kind: SelectorKind::Everything, span: SPAN }
}

fn pattern(dice: &mut Dice, policy: &Policy) -> TagPattern {
    if dice.chance(2) {
        return TagPattern::parse(GLOBS[dice.below(GLOBS.len())], policy.tag_case).unwrap();
    }
    TagPattern::Literal(literal(dice, &policy.guard))
}

/// A tag that the policy may name.
fn literal(dice: &mut Dice, guard: &Guard) -> String {
    loop {
        let tag = *dice.pick(&TAGS);
        if guard.allows_reserved() || !crate::tag::is_reserved(tag) {
            return tag.to_owned();
        }
    }
}

fn rule(dice: &mut Dice, index: usize, policy: &Policy) -> Rule {
    let guard = &policy.guard;
    let mut tags = Vec::new();
    for _ in 0..dice.below(3) {
        tags.push(TagExpressionKind::Literal(literal(dice, guard)));
    }
    if dice.chance(3) {
        tags.push(TagExpressionKind::Template(template(dice, policy.tag_case)));
    }
    let mut remove_tags = Vec::new();
    for _ in 0..dice.below(3) {
        let pattern = pattern(dice, policy);
        let same = |kind: &TagExpressionKind| match (kind, &pattern) {
            (TagExpressionKind::Literal(tag), TagPattern::Literal(removed)) => {
                crate::text::equal(tag, removed)
            }
            _ => false,
        };
        if !tags.iter().any(same) {
            remove_tags.push(RemoveTag { pattern, span: SPAN });
        }
    }
    let days = [None, None, None, Some("2026-11-21"), Some("2026-11-22"), Some("2026-11-23")];
    let day = |dice: &mut Dice| dice.pick(&days).map(|day| Date::parse(day).unwrap());
    Rule {
        name: format!("r{index}"),
        description: None,
        owner: None,
        ticket: None,
        select: everything(),
        tags: tags.into_iter().map(|kind| TagExpression { kind, span: SPAN }).collect(),
        remove_tags,
        device_value: dice.chance(3).then(|| *dice.pick(&DeviceValue::ALL)),
        priority: dice.below(5) as i64 - 2,
        from: day(dice),
        until: day(dice),
        span: SPAN,
    }
}

fn template(dice: &mut Dice, case: TagCase) -> Template {
    let filters = [vec![], vec![Filter::Slug], vec![Filter::Upper], vec![Filter::Lower]];
    let placeholder = TemplatePart::Placeholder {
        field: Field::OsPlatform,
        filters: dice.pick(&filters).clone(),
        name: "osPlatform".to_owned(),
    };
    let prefix = *dice.pick(&["env/", "os:", ""]);
    let parts = match prefix {
        "" => vec![placeholder],
        literal => vec![TemplatePart::Literal(literal.to_owned()), placeholder],
    };
    let glob = case.parse_glob(&format!("{prefix}*")).unwrap();
    Template { source: format!("{prefix}{{osPlatform}}"), parts, glob }
}

fn families(dice: &mut Dice, case: TagCase, policy: &mut Policy) {
    let mut used: BTreeSet<String> = BTreeSet::new();
    for index in 0..dice.below(3) {
        let mut members: Vec<FamilyMember> = Vec::new();
        for _ in 0..1 + dice.below(3) {
            let tag = literal(dice, &policy.guard);
            if used.insert(case.key(&tag).into_owned()) {
                members.push(FamilyMember { tag, span: SPAN });
            }
        }
        if !members.is_empty() {
            policy.families.push(Family { name: format!("f{index}"), members, span: SPAN });
        }
    }
}

/// Renames whose new names are not old names, because chains are already resolved.
fn renames(dice: &mut Dice, case: TagCase, policy: &mut Policy) {
    for _ in 0..dice.below(4) {
        let (from, to) = (literal(dice, &policy.guard), literal(dice, &policy.guard));
        let same = |one: &str, other: &str| case.is_same(one, other);
        let is_free = |rename: &Rename| {
            !same(&rename.from, &from) && !same(&rename.from, &to) && !same(&rename.to, &from)
        };
        if from != to && (case == TagCase::Exact || !same(&from, &to)) && policy.renames.iter().all(is_free) {
            policy.renames.push(Rename { from, to, span: SPAN });
        }
    }
}

/// Retired tags: none that a rule assigns literally, none that is a new name.
fn retire(dice: &mut Dice, case: TagCase, policy: &mut Policy) {
    let pattern = pattern(dice, policy);
    let covers = |tag: &str| super::reference::covers(&pattern, tag, case, policy.guard.allows_reserved());
    let rules = policy.rules.iter().flat_map(|rule| &rule.tags);
    let is_assigned = rules.into_iter().any(|tag| match &tag.kind {
        TagExpressionKind::Literal(tag) => covers(tag),
        TagExpressionKind::Template(_) => false,
    });
    if !is_assigned && !policy.renames.iter().any(|rename| covers(&rename.to)) {
        policy.retire.push(Retire { pattern, span: SPAN });
    }
}

fn history(dice: &mut Dice, devices: &[WorldDevice]) -> History {
    let mut history = History::default();
    for _ in 0..4 + dice.below(20) {
        let tag: std::sync::Arc<str> = (*dice.pick(&TAGS)).into();
        let what = match dice.below(3) {
            0 => ChangeWhat::Add(tag),
            1 => ChangeWhat::Remove(tag),
            _ => ChangeWhat::Value(*dice.pick(&DeviceValue::ALL)),
        };
        let key = ChangeKey { device: dice.pick(devices).id.as_str().into(), what };
        match dice.below(6) {
            0 | 1 => drop(history.pending.insert(key)),
            2 => drop(history.reverted.insert(key, "run".into())),
            3 => {
                let (action, tag) = match key.what {
                    ChangeWhat::Add(tag) => (WriteAction::Add, Some(tag)),
                    ChangeWhat::Remove(tag) => (WriteAction::Remove, Some(tag)),
                    ChangeWhat::Value(_) => (WriteAction::Value, None),
                };
                let tag = tag.filter(|_| !dice.chance(3));
                let refused = Unwritable { action, tag, reason: "400".to_owned(), until: Timestamp::EPOCH };
                history.unwritable.entry(key.device).or_default().push(refused);
            }
            _ => drop(history.contested.insert(key, "registry".to_owned())),
        }
    }
    history
}
