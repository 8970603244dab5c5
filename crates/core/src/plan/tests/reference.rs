//! The language reference, sections 5 to 8, as a program that looks at one device at a time.
//!
//! Shares no code with the planner: no sets of devices, no groups, no windows. Slow and obvious on purpose.

use std::collections::{BTreeMap, BTreeSet};

use super::past::past;
use super::waiting::replaces;
use super::world::{World, WorldDevice};
use crate::device::DeviceValue;
use crate::pattern::Glob;
use crate::plan::ChangeWhat;
use crate::policy::{Counted, Filter, Rule, TagExpressionKind, TemplatePart};
use crate::tag::{self, TagCase, TagPattern};
use crate::text;

/// The changes of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferenceChanges {
    /// Key of the tag and cause.
    pub(super) add: BTreeMap<String, String>,
    /// Tag as it is live and cause.
    pub(super) remove: BTreeMap<String, String>,
    pub(super) value: Option<(DeviceValue, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReferencePlan {
    pub(super) changes: BTreeMap<usize, ReferenceChanges>,
    /// By reason, name and device.
    pub(super) withheld: BTreeMap<(String, String, usize), ReferenceChanges>,
    pub(super) removable: u64,
    pub(super) invariants: Vec<(u64, u64)>,
}

/// The index of a device by its id.
pub(super) fn device(world: &World, id: &str) -> usize {
    world.devices.iter().position(|device| device.id == id).unwrap()
}

/// Whether a literal or glob covers a tag.
pub(super) fn covers(pattern: &TagPattern, tag: &str, case: TagCase, allow_reserved: bool) -> bool {
    match pattern {
        TagPattern::Literal(literal) => same(case, literal, tag),
        TagPattern::Glob(glob) => {
            let reserved = tag.to_lowercase() == "mde-management";
            let matches = match case {
                TagCase::Exact => glob.matches(tag),
                TagCase::Insensitive => Glob::without_case(glob.source()).unwrap().matches(tag),
            };
            matches && (allow_reserved || !reserved)
        }
    }
}

fn same(case: TagCase, one: &str, other: &str) -> bool {
    match case {
        TagCase::Exact => one == other,
        TagCase::Insensitive => text::fold_case(one) == text::fold_case(other),
    }
}

/// One device in one world.
pub(super) struct View<'a> {
    pub(super) world: &'a World,
    index: usize,
    pub(super) device: &'a WorldDevice,
    /// Live rules that select the device.
    rules: Vec<(u32, &'a Rule)>,
}

/// A rule's statement about a tag on a device.
pub(super) enum TagStatement {
    Nothing,
    Carry(Vec<u32>),
    Ban(Vec<u32>),
    Conflict,
}

impl View<'_> {
    pub(super) fn covers(&self, pattern: &TagPattern, tag: &str) -> bool {
        covers(pattern, tag, self.world.case, self.world.policy.guard.allows_reserved())
    }

    pub(super) fn same(&self, one: &str, other: &str) -> bool {
        same(self.world.case, one, other)
    }

    fn template(&self, parts: &[TemplatePart]) -> Option<String> {
        let mut out = String::new();
        for part in parts {
            match part {
                TemplatePart::Literal(literal) => out.push_str(literal),
                TemplatePart::Placeholder { filters, .. } => {
                    let mut value = self.device.platform.clone()?;
                    for filter in filters {
                        value = match filter {
                            Filter::Lower => value.to_lowercase(),
                            Filter::Upper => value.to_uppercase(),
                            Filter::Slug => text::slug(&value),
                            Filter::Map(_) | Filter::Default(_) => unreachable!("the world uses neither"),
                        };
                    }
                    if value.is_empty() {
                        return None;
                    }
                    out.push_str(&value);
                }
            }
        }
        Some(out)
    }

    /// The tags that a rule gives to this device.
    fn tags_of(&self, rule: &Rule) -> Vec<String> {
        let mut tags = Vec::new();
        for expression in &rule.tags {
            match &expression.kind {
                TagExpressionKind::Literal(tag) => tags.push(tag.clone()),
                TagExpressionKind::Template(template) => {
                    let Some(tag) = self.template(&template.parts) else { continue };
                    if self.is_usable(&tag) {
                        tags.push(tag);
                    }
                }
            }
        }
        tags
    }

    fn is_usable(&self, tag: &str) -> bool {
        let reserved = tag.to_lowercase() == "mde-management";
        let refused = reserved && self.world.policy.guard.allow_reserved.is_empty();
        tag::check(tag).is_ok() && !refused
    }

    pub(super) fn say(&self, tag: &str) -> TagStatement {
        let mut carries: Vec<(i64, u32)> = Vec::new();
        let mut bans: Vec<(i64, u32)> = Vec::new();
        for (index, rule) in &self.rules {
            let gives = self.tags_of(rule).iter().any(|own| self.same(own, tag));
            if gives {
                carries.push((rule.priority, *index));
            }
            let bans_it = rule.remove_tags.iter().any(|remove| match &remove.pattern {
                TagPattern::Literal(_) => self.covers(&remove.pattern, tag),
                TagPattern::Glob(_) => !gives && self.covers(&remove.pattern, tag),
            });
            if bans_it {
                bans.push((rule.priority, *index));
            }
        }
        let top = |list: &[(i64, u32)]| list.iter().map(|(priority, _)| *priority).max();
        let at_top = |list: &[(i64, u32)]| {
            let highest = top(list);
            list.iter().filter(|(priority, _)| Some(*priority) == highest).map(|(_, rule)| *rule).collect()
        };
        match (top(&carries), top(&bans)) {
            (None, None) => TagStatement::Nothing,
            (one, other) if one == other => TagStatement::Conflict,
            (one, other) if one > other => TagStatement::Carry(at_top(&carries)),
            _ => TagStatement::Ban(at_top(&bans)),
        }
    }

    pub(super) fn claim(&self, tag: &str) -> Option<String> {
        let policy = &self.world.policy;
        let claim = policy.claims.iter().find(|claim| self.covers(&claim.pattern, tag));
        let family = || {
            let is_in = |family: &&crate::policy::Family| {
                family.members.iter().any(|member| self.same(&member.tag, tag))
            };
            policy.families.iter().find(is_in).map(|family| family.name.clone())
        };
        let rename = || {
            let rename = policy.renames.iter().find(|rename| self.same(&rename.from, tag));
            rename.map(|rename| rename.from.clone())
        };
        claim.map(|claim| claim.pattern.to_string()).or_else(family).or_else(rename)
    }

    /// The first rule with a template that could give the tag if its data were present and usable. `above`: the priority of the
    /// ban on the tag, which only a higher one outweighs.
    pub(super) fn gap(&self, tag: &str, above: Option<i64>) -> Option<String> {
        for (_, rule) in self.rules.iter().filter(|(_, rule)| above.is_none_or(|above| rule.priority > above))
        {
            for expression in &rule.tags {
                if let TagExpressionKind::Template(template) = &expression.kind
                    && !self.template(&template.parts).is_some_and(|tag| self.is_usable(&tag))
                    && covers(&TagPattern::Glob(template.glob.clone()), tag, self.world.case, true)
                {
                    return Some(rule.name.clone());
                }
            }
        }
        None
    }

    pub(super) fn carries(&self, tag: &str) -> bool {
        self.device.tags.iter().any(|live| self.same(live, tag))
    }

    /// The tags in conflict and the changes.
    fn tags(&self) -> (BTreeSet<String>, ReferenceChanges) {
        let policy = &self.world.policy;
        let mut names: BTreeSet<String> = self.device.tags.iter().cloned().collect();
        names.extend(self.rules.iter().flat_map(|(_, rule)| self.tags_of(rule)));
        let key = |tag: &str| match self.world.case {
            TagCase::Exact => tag.to_owned(),
            TagCase::Insensitive => text::fold_case(tag).into_owned(),
        };
        let mut conflicts = BTreeSet::new();
        let mut should: BTreeMap<String, String> = BTreeMap::new();
        for name in &names {
            match self.say(name) {
                TagStatement::Carry(rules) => drop(should.insert(key(name), format!("rule {rules:?}"))),
                TagStatement::Conflict => drop(conflicts.insert(key(name))),
                _ => {}
            }
        }
        let given: BTreeSet<String> = should.keys().cloned().collect();
        let mut weaker: BTreeMap<String, String> = BTreeMap::new();
        for family in &policy.families {
            let mut has_one = false;
            for member in &family.members {
                let member = key(&member.tag);
                if !given.contains(&member) {
                    continue;
                }
                if has_one {
                    should.remove(&member);
                    weaker.insert(member.clone(), format!("family {}", family.name));
                }
                has_one = true;
            }
        }
        let mut old: BTreeMap<String, String> = BTreeMap::new();
        let mut stays: BTreeSet<String> = BTreeSet::new();
        for rename in &policy.renames {
            if !self.carries(&rename.from) || given.contains(&key(&rename.from)) {
                continue;
            }
            if matches!(self.say(&rename.to), TagStatement::Ban(_)) || self.is_waiting(&rename.to) {
                stays.insert(key(&rename.from));
                continue;
            }
            old.insert(key(&rename.from), format!("renamed {}", rename.to));
            if self.claim(&rename.to).is_none() {
                should.entry(key(&rename.to)).or_insert(format!("renamed {}", rename.to));
            }
        }
        let mut found = ReferenceChanges::default();
        for (tag, cause) in &should {
            if !self.device.tags.iter().any(|live| key(live) == *tag) {
                found.add.insert(tag.clone(), cause.clone());
            }
        }
        for live in &self.device.tags {
            let its = key(live);
            if should.contains_key(&its) || conflicts.contains(&its) {
                continue;
            }
            let cause = if let TagStatement::Ban(rules) = self.say(live) {
                format!("rule {rules:?}")
            } else if let Some(cause) = weaker.get(&its).or_else(|| old.get(&its)) {
                cause.clone()
            } else if stays.contains(&its) {
                continue;
            } else if policy.retire.iter().any(|retire| self.covers(&retire.pattern, live)) {
                "retired".to_owned()
            } else if let Some(claim) = self.claim(live) {
                format!("unselected {claim}")
            } else {
                continue;
            };
            found.remove.insert(live.clone(), cause);
        }
        (conflicts, found)
    }

    /// Whether the value is in conflict, and its change.
    fn value(&self) -> (bool, Option<(DeviceValue, String)>) {
        let stated: Vec<(i64, u32, DeviceValue)> = self
            .rules
            .iter()
            .filter_map(|(index, rule)| rule.device_value.map(|value| (rule.priority, *index, value)))
            .collect();
        let Some(top) = stated.iter().map(|(priority, _, _)| *priority).max() else {
            let default = self.world.policy.default_value;
            let change = default.filter(|default| self.device.value.as_deref() != Some(default.value.word()));
            return (false, change.map(|default| (default.value, "default".to_owned())));
        };
        let winners: Vec<_> = stated.iter().filter(|(priority, _, _)| *priority == top).collect();
        let value = winners[0].2;
        if winners.iter().any(|(_, _, other)| *other != value) {
            return (true, None);
        }
        let rules: Vec<u32> = winners.iter().map(|(_, rule, _)| *rule).collect();
        let differs = self.device.value.as_deref() != Some(value.word());
        (false, differs.then(|| (value, format!("rule {rules:?}"))))
    }
}

/// Whether a claim, family, rename, `retire` or `removeTags` names a tag.
pub(super) fn is_removable(world: &World, tag: &str) -> bool {
    let view = View { world, index: 0, device: &world.devices[0], rules: Vec::new() };
    let live = world.policy.rules.iter().filter(|rule| rule.is_live(world.now()));
    view.claim(tag).is_some()
        || world.policy.retire.iter().any(|retire| view.covers(&retire.pattern, tag))
        || live.flat_map(|rule| &rule.remove_tags).any(|remove| view.covers(&remove.pattern, tag))
}

/// The plan of a world, or its conflicts with their numbers of devices.
pub(super) fn expected(world: &World) -> Result<ReferencePlan, BTreeSet<String>> {
    let mut expected = ReferencePlan::default();
    let mut conflicts: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for (index, device) in world.devices.iter().enumerate().filter(|(index, _)| world.scope.contains(index)) {
        let rules = world.policy.rules.iter().enumerate();
        let rules = rules
            .filter(|(rule, stated)| stated.is_live(world.now()) && world.selected[*rule].contains(&index))
            .map(|(rule, stated)| (rule as u32, stated))
            .collect();
        let view = View { world, index, device, rules };
        let protection = world.protected.iter().position(|rows| rows.contains(&index));
        let (in_conflict, tags) = view.tags();
        let (value_conflict, value) = view.value();
        if protection.is_none() {
            for tag in in_conflict {
                let level = top_carry(&view, &tag);
                *conflicts.entry((tag, level)).or_default() += 1;
            }
            if value_conflict {
                let level = view.rules.iter().filter(|(_, rule)| rule.device_value.is_some());
                let level = level.map(|(_, rule)| rule.priority).max().unwrap();
                *conflicts.entry(("value".to_owned(), level)).or_default() += 1;
            }
        }
        place(&view, protection, tags, value, &mut expected);
    }
    if !conflicts.is_empty() {
        return Err(conflicts
            .into_iter()
            .map(|((subject, _), count)| format!("{subject} {count}"))
            .collect());
    }
    expected.removable = removable(world);
    for invariant in &world.policy.guard.invariants {
        expected.invariants.push(invariant_counts(world, &invariant.counts, &expected));
    }
    Ok(expected)
}

fn top_carry(view: &View<'_>, tag: &str) -> i64 {
    let gives =
        view.rules.iter().filter(|(_, rule)| view.tags_of(rule).iter().any(|own| view.same(own, tag)));
    gives.map(|(_, rule)| rule.priority).max().unwrap()
}

/// Puts the changes of a device in their place.
fn place(
    view: &View<'_>,
    protection: Option<usize>,
    tags: ReferenceChanges,
    value: Option<(DeviceValue, String)>,
    expected: &mut ReferencePlan,
) {
    let mut put = |target: Option<(String, String)>, change: &dyn Fn(&mut ReferenceChanges)| match target {
        None => change(expected.changes.entry(view.index).or_default()),
        Some((reason, name)) => change(expected.withheld.entry((reason, name, view.index)).or_default()),
    };
    let protected =
        protection.map(|index| ("protected".to_owned(), view.world.policy.protections[index].name.clone()));
    let untrusted = || (!view.world.is_trusted).then(|| ("untrusted".to_owned(), String::new()));
    let mut held: Vec<(String, String, bool, (String, String))> = Vec::new();
    for (tag, cause) in &tags.add {
        let spelled = spelled(view, tag);
        let target = protected
            .clone()
            .or_else(|| view.kept_old_name(tag, cause).map(|rule| ("unresolved".to_owned(), rule)))
            .or_else(|| past(view, ChangeWhat::Add(spelled.as_str().into())));
        if let Some((reason, rule)) = target.as_ref().filter(|(reason, _)| reason != "protected") {
            let is_contested = ["contested", "unwritable", "unresolved"].contains(&&**reason);
            let waits = match &**reason {
                "unresolved" => (reason.clone(), rule.clone()),
                _ => ("unconfirmed".to_owned(), spelled.clone()),
            };
            held.push((spelled.clone(), cause.clone(), is_contested, waits));
        }
        put(target, &|found| drop(found.add.insert(tag.clone(), cause.clone())));
    }
    for (tag, cause) in &tags.remove {
        let gap = || {
            let own = view.claim(tag).filter(|_| cause != "retired").and_then(|_| view.keeper(tag));
            let new = cause.strip_prefix("renamed ").filter(|new| view.claim(new).is_some());
            let new = new.filter(|new| !matches!(view.say(new), TagStatement::Carry(_)));
            own.or_else(|| view.gap(new?, None)).map(|rule| ("unresolved".to_owned(), rule))
        };
        let waits = || {
            let additions: BTreeSet<_> = held.iter().collect();
            let addition = additions.into_iter().find(|(new, why, is_contested, _)| {
                let is_ordered = cause == "retired" || cause.starts_with("rule ");
                !(*is_contested && is_ordered) && replaces(view, (new, why), (tag, cause))
            });
            addition.map(|(_, _, _, waits)| waits.clone())
        };
        let target = protected
            .clone()
            .or_else(gap)
            .or_else(|| past(view, ChangeWhat::Remove(tag.as_str().into())))
            .or_else(waits)
            .or_else(untrusted);
        put(target, &|found| drop(found.remove.insert(tag.clone(), cause.clone())));
    }
    if let Some((to, cause)) = value {
        let is_default = cause == "default";
        let unresolved = is_default && view.device.value.is_none();
        // An unknown value may be the highest.
        let before = view.device.value.as_deref().and_then(DeviceValue::parse).unwrap_or(DeviceValue::High);
        let lowers = (to as u8) < before as u8;
        let target = protected
            .or_else(|| unresolved.then(|| ("unresolved".to_owned(), String::new())))
            .or_else(|| past(view, ChangeWhat::Value(to)))
            .or_else(|| untrusted().filter(|_| is_default || lowers));
        put(target, &|found| found.value = Some((to, cause.clone())));
    }
}

/// The spelling of an added tag: that of the rules with the highest priority, the bytewise first of several.
fn spelled(view: &View<'_>, tag: &str) -> String {
    let policy = &view.world.policy;
    let mut given: Vec<(i64, String)> = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate().filter(|(_, rule)| rule.is_live(view.world.now())) {
        let literals = rule.tags.iter().filter_map(|expression| match &expression.kind {
            TagExpressionKind::Literal(literal) => Some(literal.clone()),
            TagExpressionKind::Template(_) => None,
        });
        let rows = view.world.scope.iter().filter(|row| view.world.selected[index].contains(row));
        let of_row = |row: &usize| {
            let device = &view.world.devices[*row];
            View { device, index: *row, rules: Vec::new(), world: view.world }.tags_of(rule)
        };
        let all = literals.chain(rows.flat_map(of_row)).filter(|own| view.same(own, tag));
        given.extend(all.map(|own| (rule.priority, own)));
    }
    let top = given.iter().map(|(priority, _)| *priority).max();
    let given = given.into_iter().filter(|(priority, _)| Some(*priority) == top).map(|(_, own)| own).min();
    let members = policy.families.iter().flat_map(|family| &family.members).map(|member| &member.tag);
    let renames = policy.renames.iter().flat_map(|rename| [&rename.from, &rename.to]);
    let mut named = members.chain(renames);
    given.or_else(|| named.find(|name| view.same(name, tag)).cloned()).unwrap_or_else(|| tag.to_owned())
}

fn removable(world: &World) -> u64 {
    let scope = world.scope.iter().map(|index| &world.devices[*index]);
    scope.flat_map(|device| &device.tags).filter(|tag| is_removable(world, tag)).count() as u64
}

fn invariant_counts(world: &World, counted: &Counted, expected: &ReferencePlan) -> (u64, u64) {
    let mut counts = (0, 0);
    for index in &world.scope {
        let device = &world.devices[*index];
        let change = expected.changes.get(index).cloned().unwrap_or_default();
        let (before, after) = match counted {
            Counted::Group { .. } => (false, false),
            Counted::Value(value) => {
                let is_it = device.value.as_deref() == Some(value.word());
                (is_it, change.value.map_or(is_it, |(to, _)| to == *value))
            }
            Counted::Tag(tag) => {
                let is_it = |other: &String| same(world.case, tag, other);
                let left = device.tags.iter().filter(|live| !change.remove.contains_key(*live));
                (device.tags.iter().any(is_it), left.into_iter().any(is_it) || change.add.keys().any(is_it))
            }
        };
        counts.0 += u64::from(before);
        counts.1 += u64::from(after);
    }
    counts
}
