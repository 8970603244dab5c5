//! How the written rails of one policy set differ from another's, entry by entry: a reviewer must see this before the plan.
//!
//! Compares the text, wherever it is written, and not its effect: a second approval of the same cap, a deleted protection and a
//! row of a file are differences even if today's plan would be the same.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod between;
mod groups;

use std::collections::{BTreeMap, BTreeSet};

use self::between::{PathComparison, apart};
use super::data::data_files;
use super::node::{Node, NodeKind};
use super::syntax;
use crate::diagnostic::{SourceId, Sources};

/// The part of a set that a difference is about, in the order in which reviewers read them. The plan itself shows rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The guard, with its approvals.
    Guard,
    /// Devices that mdetag does not write to.
    Protect,
    /// Devices that the policies cover.
    Scope,
    /// Selectors that the areas above or device groups use.
    Selectors,
    /// Lookups that the areas above read.
    Lookups,
    /// Lints of `mdetag.yaml`.
    Lints,
    /// Warnings that rules except.
    Exceptions,
    /// Data files that the guard, protections, scope or device groups read.
    RailData,
    /// Other keys of `mdetag.yaml`.
    Settings,
    Claims,
    /// Their members are claimed, so a new one may remove tags.
    Families,
    Retire,
    Renames,
    /// Rules that start or end on a date: a plan of today does not show what they do then.
    Dated,
    DeviceGroups,
    Data,
}

impl Area {
    const ALL: [Area; 16] = [
        Area::Guard,
        Area::Protect,
        Area::Scope,
        Area::Selectors,
        Area::Lookups,
        Area::Lints,
        Area::Exceptions,
        Area::RailData,
        Area::Settings,
        Area::Claims,
        Area::Families,
        Area::Retire,
        Area::Renames,
        Area::Dated,
        Area::DeviceGroups,
        Area::Data,
    ];

    /// The key in the files, or the file.
    pub fn word(self) -> &'static str {
        match self {
            Area::Guard => "guard",
            Area::Protect => "protect",
            Area::Scope => "scope",
            Area::Selectors => "selectors",
            Area::Lookups => "lookups",
            Area::Lints => "lints",
            Area::Exceptions => "exceptions",
            Area::RailData => "data of these",
            Area::Settings => "mdetag.yaml",
            Area::Claims => "claims",
            Area::Families => "families",
            Area::Retire => "retire",
            Area::Renames => "renames",
            Area::Dated => "dated rules",
            Area::DeviceGroups => "deviceGroups",
            Area::Data => "data",
        }
    }

    /// Whether the difference affects what a plan may do. No report may leave such a difference out.
    pub fn is_rail(self) -> bool {
        self <= Area::RailData
    }

    /// The section of a policy file whose entries are compared.
    fn of_section(key: &str) -> Option<Area> {
        let has_entries = |area: &Area| {
            use Area::*;
            !matches!(area, Selectors | Lookups | Lints | Exceptions | RailData | Settings | Dated | Data)
        };
        Area::ALL.into_iter().filter(has_entries).find(|area| area.word() == key)
    }

    fn of_policy_path(path: &str) -> Area {
        let section = path.split(['.', '[']).next().unwrap_or(path);
        match section {
            "rules" if path.starts_with("rules[") => Area::Exceptions,
            "lookups" => Area::Lookups,
            "rules" => Area::Dated,
            _ => Area::of_section(section).unwrap_or(Area::Selectors),
        }
    }

    fn of_settings_path(path: &str) -> Area {
        if path == "lints" || path.starts_with("lints.") { Area::Lints } else { Area::Settings }
    }

    /// The start of its sentences.
    fn changed(self) -> &'static str {
        match self {
            Area::Guard => "guard changed",
            Area::Lints | Area::Settings => "mdetag.yaml changed",
            Area::RailData | Area::Data => "data changed",
            _ => "policy changed",
        }
    }
}

/// What happened to an entry, in reading order: removals first, because a removed entry no longer protects anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    TakenOut,
    Changed,
    New,
}

impl DifferenceKind {
    /// The words of a sentence.
    fn words(self) -> &'static str {
        match self {
            DifferenceKind::TakenOut => "taken out",
            DifferenceKind::Changed => "changed",
            DifferenceKind::New => "new",
        }
    }
}

/// One difference between a policy set and its base.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub area: Area,
    pub kind: DifferenceKind,
    /// The whole sentence, with names as they are written.
    pub sentence: String,
    pub shown: ShownIn,
}

/// The reports that show a difference. Screens shorten what is too long for them; documents show it whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShownIn {
    All,
    /// Screens and comments.
    Short,
    /// JSON and HTML.
    Whole,
}

impl Difference {
    /// A difference in an area. `how`: the rest of its sentence.
    pub fn new(area: Area, how: &str) -> Difference {
        Difference::shown(area, DifferenceKind::Changed, how, ShownIn::All)
    }

    fn shown(area: Area, kind: DifferenceKind, how: &str, shown: ShownIn) -> Difference {
        Difference { area, kind, sentence: format!("{}: {how}", area.changed()), shown }
    }
}

/// Keys of the guard that are compared by their effect, defaults included.
const RESOLVED: [&str; 5] =
    ["guard.tenantId", "guard.caps", "guard.inventory", "guard.allowReserved", "guard.rollout"];

/// The most rows of a file that screens list; they count the rest. A file that feeds a rail lists more.
const MOST_ROWS: usize = 5;
const MOST_RAIL_ROWS: usize = 25;

/// The most rows of a file that documents list; they count the rest.
const MOST_ROWS_WHOLE: usize = 100_000;

/// The differences between the policy files, and their data files, in the order of the areas.
pub fn differences(base: &Sources, new: &Sources) -> Vec<Difference> {
    let (before, after) = (rails(base), rails(new));
    let mut found = compare(Area::of_policy_path, &before, &after);
    let of_rails = before.files.union(&after.files).cloned().collect();
    let of_groups = before.group_files.union(&after.group_files).cloned().collect();
    found.extend(data_differences(base, new, &of_rails, &of_groups));
    found.sort_by_key(|difference| difference.area);
    found
}

/// One difference for each key of `mdetag.yaml` that differs; a missing file has no keys.
pub fn settings_differences(base: &str, new: &str) -> Vec<Difference> {
    let read = |text: &str| {
        let mut found = ValuesByPath::default();
        if let (Some(root), _) = syntax::parse(text, SourceId(0)) {
            flatten(&root, String::new(), true, &mut found);
        }
        found
    };
    compare(Area::of_settings_path, &read(base), &read(new))
}

/// Values by path. The paths of list items repeat.
#[derive(Default)]
struct ValuesByPath {
    by_path: BTreeMap<String, Vec<Node>>,
    /// Paths of list items: a removed entry and a new one are two facts, not one change.
    items: BTreeSet<String>,
    /// Names of data files that the rails read.
    files: BTreeSet<String>,
    /// Names of the files of device groups among them.
    group_files: BTreeSet<String>,
}

impl ValuesByPath {
    fn add(&mut self, path: String, node: &Node, is_item: bool) {
        if is_item {
            self.items.insert(path.clone());
        }
        self.by_path.entry(path).or_default().push(node.clone());
    }
}

/// The entries of a set that say which devices may be touched, and how much.
fn rails(sources: &Sources) -> ValuesByPath {
    let mut found = ValuesByPath::default();
    let mut used = Uses::default();
    let mut selectors: BTreeMap<String, Node> = BTreeMap::new();
    let mut lookups: BTreeMap<String, Node> = BTreeMap::new();
    for (index, source) in sources.files.iter().enumerate() {
        let Some(Node { kind: NodeKind::Map(sections), .. }) =
            syntax::parse(&source.text, SourceId(index as u32)).0
        else {
            continue;
        };
        for section in sections {
            let key = section.key.as_str();
            match (key, &section.value.kind) {
                ("selectors", NodeKind::Map(named)) => {
                    selectors.extend(named.iter().map(|named| (named.key.clone(), named.value.clone())));
                }
                ("lookups", NodeKind::Map(named)) => {
                    lookups.extend(named.iter().map(|named| (named.key.clone(), named.value.clone())));
                }
                ("rules", NodeKind::List(rules)) => {
                    let dated = rules
                        .iter()
                        .filter(|rule| text_of(rule, "from").or(text_of(rule, "until")).is_some());
                    dated.for_each(|rule| found.add("rules".to_owned(), rule, true));
                    rules.iter().for_each(|rule| exceptions(rule, &mut found));
                }
                ("scope", _) => {
                    used.collect(&section.value);
                    found.add(key.to_owned(), &section.value, false);
                }
                _ if Area::of_section(key).is_some() => {
                    used.collect(&section.value);
                    if key == "deviceGroups" {
                        let mut own = Uses::default();
                        own.collect(&section.value);
                        found.group_files.extend(own.files);
                    }
                    flatten(&section.value, key.to_owned(), key != "deviceGroups", &mut found);
                }
                _ => {}
            }
        }
    }
    // A protection that names a selector depends on that selector's text, and so on; so does a lookup.
    let mut known = BTreeSet::new();
    while let Some(name) = used.selectors.pop_first() {
        if let Some(selector) = selectors.get(&name)
            && known.insert(name.clone())
        {
            let mut further = Uses::default();
            further.collect(selector);
            used.selectors.extend(further.selectors.into_iter().filter(|name| !known.contains(name)));
            used.lookups.extend(further.lookups);
            used.files.extend(further.files);
            found.add(format!("selectors.{name}"), selector, false);
        }
    }
    for name in std::mem::take(&mut used.lookups) {
        if let Some(lookup) = lookups.get(&name) {
            used.collect(lookup);
            flatten(lookup, format!("lookups.{name}"), true, &mut found);
        }
    }
    found.files = used.files;
    found
}

/// The warnings that a rule excepts, by its name.
fn exceptions(rule: &Node, found: &mut ValuesByPath) {
    let NodeKind::Map(entries) = &rule.kind else { return };
    let name = text_of(rule, "name").unwrap_or("without a name");
    for entry in entries.iter().filter(|entry| entry.key == "lints") {
        flatten(&entry.value, format!("rules[{name}].lints"), true, found);
    }
}

/// A text or number under a key of an entry.
fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let NodeKind::Map(entries) = &node.kind else { return None };
    match &entries.iter().find(|entry| entry.key == key)?.value.kind {
        NodeKind::Text(text) | NodeKind::Number(text) => Some(text),
        _ => None,
    }
}

/// The selectors, lookups and files that entries depend on.
#[derive(Default)]
struct Uses {
    /// Names after `use`.
    selectors: BTreeSet<String>,
    /// Names in `lookup.NAME.COLUMN`.
    lookups: BTreeSet<String>,
    /// Names of data files, without their folders.
    files: BTreeSet<String>,
}

impl Uses {
    fn collect(&mut self, node: &Node) {
        match &node.kind {
            NodeKind::List(items) => items.iter().for_each(|item| self.collect(item)),
            NodeKind::Text(text) => self.lookup(text),
            NodeKind::Map(entries) => {
                for entry in entries {
                    self.lookup(&entry.key);
                    match (entry.key.as_str(), &entry.value.kind) {
                        ("use", NodeKind::Text(name)) => drop(self.selectors.insert(name.clone())),
                        ("file" | "inFile" | "queryFile", NodeKind::Text(path)) => {
                            self.files.insert(file_name(path).to_owned());
                        }
                        _ => self.collect(&entry.value),
                    }
                }
            }
            _ => {}
        }
    }

    fn lookup(&mut self, text: &str) {
        let name = text.strip_prefix("lookup.").and_then(|rest| rest.split('.').next());
        self.lookups.extend(name.map(str::to_owned));
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Collects every key below a node with its value. Each item of a list is an entry.
fn flatten(node: &Node, path: String, is_deep: bool, found: &mut ValuesByPath) {
    if RESOLVED.contains(&path.as_str()) {
        return;
    }
    match &node.kind {
        NodeKind::Map(entries) if is_deep && !entries.is_empty() => {
            for entry in entries {
                let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                flatten(&entry.value, below, is_deep, found);
            }
        }
        NodeKind::List(items) => items.iter().for_each(|item| found.add(path.clone(), item, true)),
        _ => found.add(path, node, false),
    }
}

fn compare(area: fn(&str) -> Area, base: &ValuesByPath, new: &ValuesByPath) -> Vec<Difference> {
    let mut found = Vec::new();
    let paths: BTreeSet<&String> = base.by_path.keys().chain(new.by_path.keys()).collect();
    for path in paths {
        let of = |entries: &ValuesByPath| entries.by_path.get(path).cloned().unwrap_or_default();
        let mut comparison = PathComparison { area: area(path), found: &mut found };
        let is_item = base.items.contains(path) || new.items.contains(path);
        match (of(base).as_slice(), of(new).as_slice()) {
            ([was], [is]) if !is_item => comparison.values(path, was, is),
            (was, is) => comparison.lists(path, was, is),
        }
    }
    found
}

fn data_differences(
    base: &Sources,
    new: &Sources,
    of_rails: &BTreeSet<String>,
    of_groups: &BTreeSet<String>,
) -> Vec<Difference> {
    let (before, after) = (data(base), data(new));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut found = Vec::new();
    for path in paths {
        let none = BTreeSet::new();
        let (was, is) = (before.get(path), after.get(path));
        let area = if of_rails.contains(file_name(path)) { Area::RailData } else { Area::Data };
        match (was.is_some(), is.is_some()) {
            (true, false) => {
                let how = format!("{path} is no longer read");
                found.push(Difference::shown(area, DifferenceKind::TakenOut, &how, ShownIn::All));
            }
            (false, true) => {
                let how = format!("{path} is new");
                found.push(Difference::shown(area, DifferenceKind::New, &how, ShownIn::All));
            }
            _ => {}
        }
        let bytes = |files: Option<&BTreeSet<Vec<u8>>>| match files {
            None => Some(None),
            Some(files) => files.first().filter(|_| files.len() == 1).map(|bytes| Some(bytes.clone())),
        };
        if of_groups.contains(file_name(path))
            && let (Some(was), Some(is)) = (bytes(was), bytes(is))
            && let Some(groups) = groups::differences(area, path, (was.as_deref(), is.as_deref()))
        {
            found.extend(groups);
            continue;
        }
        let rows = |rows: Option<&BTreeSet<Vec<u8>>>| -> Vec<String> {
            let rows = rows.unwrap_or(&none).iter();
            rows.flat_map(|bytes| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let lines = text.lines().map(|line| line.trim_end().to_owned());
                lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
            })
            .collect()
        };
        let (gone, added) = apart(rows(was), rows(is));
        listed((area, DifferenceKind::TakenOut), path, "row", &gone, &mut found);
        listed((area, DifferenceKind::New), path, "row", &added, &mut found);
    }
    found
}

/// The bytes of each data file by its path below its root. Files of several roots can have the same path.
fn data(sources: &Sources) -> BTreeMap<String, BTreeSet<Vec<u8>>> {
    let mut found: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for request in data_files(sources) {
        if let Some(Ok(bytes)) = sources.data.get(&(request.root, request.path.clone())) {
            found.entry(request.path).or_default().insert(bytes.to_vec());
        }
    }
    found
}

fn listed(
    (area, kind): (Area, DifferenceKind),
    path: &str,
    noun: &str,
    rows: &[String],
    found: &mut Vec<Difference>,
) {
    let how = kind.words();
    let most = if area.is_rail() { MOST_RAIL_ROWS } else { MOST_ROWS };
    for (at, row) in rows.iter().take(MOST_ROWS_WHOLE).enumerate() {
        let shown = if at < most { ShownIn::All } else { ShownIn::Whole };
        between::say((area, kind), &format!("{path}: a {noun} is {how}:"), row, shown, found);
    }
    for (most, shown, where_else) in [
        (most, ShownIn::Short, " (--details, JSON and HTML list them)"),
        (MOST_ROWS_WHOLE, ShownIn::Whole, ""),
    ] {
        if rows.len() > most {
            let rest = rows.len() - most;
            found.push(Difference::shown(
                area,
                kind,
                &format!("{path}: {rest} more {noun}s are {how}{where_else}"),
                shown,
            ));
        }
    }
}

#[cfg(test)]
mod tests;
