//! How the written rails of one policy set differ from another's, entry by entry: what a reviewer must see before the plan.
//!
//! Compares what is written, wherever it stands, and not what it comes to: a second approval of the same cap, a protection
//! that was deleted, and a row of a file are differences even where today's plan would be the same.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::{BTreeMap, BTreeSet};

use super::data::data_files;
use super::node::{Node, NodeKind};
use super::syntax;
use crate::diagnostic::{SourceId, Sources};

/// What a difference is about, in the order in which a reviewer reads them. Rules show in the plan itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The guard, with its approvals.
    Guard,
    /// Devices that nothing is written to.
    Protect,
    /// Devices that the policies are about.
    Scope,
    /// Selectors that these or device groups use.
    Selectors,
    /// Lints of `mdetag.yaml`.
    Lints,
    /// Other keys of `mdetag.yaml`.
    Settings,
    Claims,
    Retire,
    Renames,
    DeviceGroups,
    Data,
}

impl Area {
    const ALL: [Area; 11] = [
        Area::Guard,
        Area::Protect,
        Area::Scope,
        Area::Selectors,
        Area::Lints,
        Area::Settings,
        Area::Claims,
        Area::Retire,
        Area::Renames,
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
            Area::Lints => "lints",
            Area::Settings => "mdetag.yaml",
            Area::Claims => "claims",
            Area::Retire => "retire",
            Area::Renames => "renames",
            Area::DeviceGroups => "deviceGroups",
            Area::Data => "data",
        }
    }

    /// Whether a difference decides what any plan may do, so that no report may leave it out.
    pub fn is_rail(self) -> bool {
        self <= Area::Lints
    }

    /// The section of a policy file whose entries are compared.
    fn of_section(key: &str) -> Option<Area> {
        let has_entries =
            |area: &Area| !matches!(area, Area::Selectors | Area::Lints | Area::Settings | Area::Data);
        Area::ALL.into_iter().filter(has_entries).find(|area| area.word() == key)
    }

    fn of_policy_path(path: &str) -> Area {
        let section = path.split('.').next().unwrap_or(path);
        Area::of_section(section).unwrap_or(Area::Selectors)
    }

    fn of_settings_path(path: &str) -> Area {
        if path == "lints" || path.starts_with("lints.") { Area::Lints } else { Area::Settings }
    }

    /// The beginning of its sentences.
    fn changed(self) -> &'static str {
        match self {
            Area::Guard => "guard changed",
            Area::Lints | Area::Settings => "mdetag.yaml changed",
            Area::Data => "data changed",
            _ => "policy changed",
        }
    }
}

/// What became of an entry, in the order in which a reviewer reads them: what is gone protects nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    TakenOut,
    Changed,
    New,
}

/// One difference between a policy set and its base.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub area: Area,
    pub kind: DifferenceKind,
    /// The whole sentence. Holds names as they are written.
    pub sentence: String,
}

impl Difference {
    /// A difference of an area: what changed, and how.
    pub fn new(area: Area, how: &str) -> Difference {
        Difference::of_kind(area, DifferenceKind::Changed, how)
    }

    fn of_kind(area: Area, kind: DifferenceKind, how: &str) -> Difference {
        Difference { area, kind, sentence: format!("{}: {how}", area.changed()) }
    }
}

/// Keys of the guard that are compared by what they come to, defaults included.
const RESOLVED: [&str; 5] =
    ["guard.tenantId", "guard.caps", "guard.inventory", "guard.allowReserved", "guard.rollout"];

/// So many rows of a file are shown in full; more are counted.
const MOST_ROWS: usize = 5;

/// A longer entry is cut.
const MOST_CHARACTERS: usize = 300;

/// Of the policy files and their data files, in the order of their areas.
pub fn differences(base: &Sources, new: &Sources) -> Vec<Difference> {
    let mut found = compare(Area::of_policy_path, &rails(base), &rails(new));
    found.extend(data_differences(base, new));
    found.sort_by_key(|difference| difference.area);
    found
}

/// One difference for each key of `mdetag.yaml` that differs; a file that is not there has no keys.
pub fn settings_differences(base: &str, new: &str) -> Vec<Difference> {
    let read = |text: &str| {
        let mut found = TextsByPath::default();
        if let (Some(root), _) = syntax::parse(text, SourceId(0)) {
            flatten(&root, String::new(), true, &mut found);
        }
        found
    };
    compare(Area::of_settings_path, &read(base), &read(new))
}

/// Texts by path. The paths of list items repeat.
#[derive(Default)]
struct TextsByPath {
    by_path: BTreeMap<String, Vec<String>>,
    /// Paths of list items: an entry that is gone and one that is new are two facts, not a change.
    items: BTreeSet<String>,
}

impl TextsByPath {
    fn add(&mut self, path: String, node: &Node, is_item: bool) {
        if is_item {
            self.items.insert(path.clone());
        }
        self.by_path.entry(path).or_default().push(written(node));
    }
}

/// The entries of a set that say what may be touched, and how much.
fn rails(sources: &Sources) -> TextsByPath {
    let mut found = TextsByPath::default();
    let mut used = BTreeSet::new();
    let mut selectors: BTreeMap<String, Node> = BTreeMap::new();
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
                ("scope", _) => {
                    collect_uses(&section.value, &mut used);
                    found.add(key.to_owned(), &section.value, false);
                }
                _ if Area::of_section(key).is_some() => {
                    collect_uses(&section.value, &mut used);
                    flatten(&section.value, key.to_owned(), key != "deviceGroups", &mut found);
                }
                _ => {}
            }
        }
    }
    // A protection that names a selector protects what that selector says, and so on.
    let mut known = BTreeSet::new();
    while let Some(name) = used.pop_first() {
        if let Some(selector) = selectors.get(&name)
            && known.insert(name.clone())
        {
            let mut further = BTreeSet::new();
            collect_uses(selector, &mut further);
            used.extend(further.into_iter().filter(|name| !known.contains(name)));
            found.add(format!("selectors.{name}"), selector, false);
        }
    }
    found
}

/// Names of selectors that stand after `use`.
fn collect_uses(node: &Node, used: &mut BTreeSet<String>) {
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| collect_uses(item, used)),
        NodeKind::Map(entries) => {
            for entry in entries {
                match (entry.key.as_str(), &entry.value.kind) {
                    ("use", NodeKind::Text(name)) => drop(used.insert(name.clone())),
                    _ => collect_uses(&entry.value, used),
                }
            }
        }
        _ => {}
    }
}

/// Every key below a node with its value; each item of a list is an entry.
fn flatten(node: &Node, path: String, is_deep: bool, found: &mut TextsByPath) {
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

/// A value in one line, keys in order, so that only what it says counts.
fn written(node: &Node) -> String {
    match &node.kind {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Boolean(value) => value.to_string(),
        NodeKind::Number(number) => number.clone(),
        NodeKind::Text(text) => {
            let is_plain = |text: &str| {
                text.chars().all(|scalar| scalar.is_alphanumeric() || "./*_-:%".contains(scalar))
                    && !text.is_empty()
            };
            if is_plain(text) { text.clone() } else { format!("\"{text}\"") }
        }
        NodeKind::List(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        NodeKind::Map(entries) => {
            let mut entries: Vec<String> =
                entries.iter().map(|entry| format!("{}: {}", entry.key, written(&entry.value))).collect();
            entries.sort();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn compare(area: fn(&str) -> Area, base: &TextsByPath, new: &TextsByPath) -> Vec<Difference> {
    let mut found = Vec::new();
    let paths: BTreeSet<&String> = base.by_path.keys().chain(new.by_path.keys()).collect();
    for path in paths {
        let of = |entries: &TextsByPath| entries.by_path.get(path).cloned().unwrap_or_default();
        let (gone, added) = apart(of(base), of(new));
        let is_item = base.items.contains(path) || new.items.contains(path);
        if let ([was], [is], false) = (gone.as_slice(), added.as_slice(), is_item) {
            found.push(Difference::new(area(path), &format!("{path} was {} and is {}", cut(was), cut(is))));
            continue;
        }
        let mut add = |kind: DifferenceKind, how: &str, text: &String| {
            let how = format!("{path} is {how}: {}", cut(text));
            found.push(Difference::of_kind(area(path), kind, &how));
        };
        gone.iter().for_each(|was| add(DifferenceKind::TakenOut, "taken out", was));
        added.iter().for_each(|is| add(DifferenceKind::New, "new", is));
    }
    found
}

/// What only one of two lists holds, each as often as it does.
fn apart(base: Vec<String>, new: Vec<String>) -> (Vec<String>, Vec<String>) {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    base.iter().for_each(|text| *counts.entry(text).or_default() -= 1);
    new.iter().for_each(|text| *counts.entry(text).or_default() += 1);
    let (mut gone, mut added) = (Vec::new(), Vec::new());
    for (text, count) in counts {
        let list = if count < 0 { &mut gone } else { &mut added };
        list.extend((0..count.unsigned_abs()).map(|_| text.to_owned()));
    }
    (gone, added)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn data_differences(base: &Sources, new: &Sources) -> Vec<Difference> {
    let (before, after) = (data(base), data(new));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut sentences = Vec::new();
    for path in paths {
        let none = BTreeSet::new();
        let (was, is) = (before.get(path), after.get(path));
        match (was.is_some(), is.is_some()) {
            (true, false) => sentences.push(format!("{path} is no longer read")),
            (false, true) => sentences.push(format!("{path} is new")),
            _ => {}
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
        sentences.extend(listed(path, "taken out", &gone));
        sentences.extend(listed(path, "new", &added));
    }
    sentences.iter().map(|how| Difference::new(Area::Data, how)).collect()
}

/// The bytes of each data file by its path below its root. Files of several roots may share a path.
fn data(sources: &Sources) -> BTreeMap<String, BTreeSet<Vec<u8>>> {
    let mut found: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for request in data_files(sources) {
        if let Some(Ok(bytes)) = sources.data.get(&(request.root, request.path.clone())) {
            found.entry(request.path).or_default().insert(bytes.to_vec());
        }
    }
    found
}

fn listed(path: &str, how: &str, rows: &[String]) -> Vec<String> {
    let sentence = |row: &String| format!("{path}: a row is {how}: {}", cut(row));
    let mut sentences: Vec<String> = rows.iter().take(MOST_ROWS).map(sentence).collect();
    if rows.len() > MOST_ROWS {
        let rest = rows.len() - MOST_ROWS;
        sentences.push(format!("{path}: {rest} more rows are {how}"));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn set(text: &str) -> Sources {
        Sources::from_text("p.yaml", &format!("version: 1\n{text}"))
    }

    fn sentences(found: Vec<Difference>) -> Vec<String> {
        found.into_iter().map(|difference| difference.sentence).collect()
    }

    fn between(base: &str, new: &str) -> Vec<String> {
        sentences(differences(&set(base), &set(new)))
    }

    #[test]
    fn rails_stand_before_what_plans_show() {
        let told = between(
            "protect: [{ name: dc, select: { everything: true } }]\n",
            "claims: [A]\nscope: { osPlatform: Linux }\nguard: { approvals: [{ cap: removals, max: 9 }] }\n",
        );
        let heads: Vec<&str> = told.iter().map(|told| told.split(" is ").next().unwrap()).collect();
        assert_eq!(
            heads,
            [
                "guard changed: guard.approvals",
                "policy changed: protect",
                "policy changed: scope",
                "policy changed: claims"
            ]
        );
    }

    #[test]
    fn a_second_approval_a_deleted_protection_and_a_wider_scope_are_told_entry_by_entry() {
        let approval = |max: u32| format!("{{ cap: removals, max: {max}, expires: 2026-12-01 }}");
        let with = |approvals: &[u32]| {
            let approvals: Vec<String> = approvals.iter().map(|max| approval(*max)).collect();
            format!("guard: {{ approvals: [{}] }}\n", approvals.join(", "))
        };
        assert_eq!(
            between(&with(&[800]), &with(&[800, 900])),
            ["guard changed: guard.approvals is new: { cap: removals, expires: 2026-12-01, max: 900 }"]
        );
        assert_eq!(between(&with(&[800]), &with(&[800, 800])).len(), 1, "the same one twice");
        let accept = "guard: { accept: [{ tag: Old, reason: registry, expires: 2026-12-01 }] }\n";
        let told = between("", accept);
        assert_eq!(
            told,
            ["guard changed: guard.accept is new: { expires: 2026-12-01, reason: registry, tag: Old }"]
        );
        let protect = "protect:\n  - { name: dc, select: { use: dcs } }\n";
        let selector =
            |glob: &str| format!("selectors: {{ dcs: {{ computerDnsName: {{ glob: \"{glob}\" }} }} }}\n");
        let base = format!("{protect}{}scope: {{ osPlatform: Linux }}\n", selector("dc*"));
        let told = between(&base, &format!("scope: {{ everything: true }}\n{}", selector("dc*")));
        assert_eq!(
            told,
            [
                "policy changed: protect is taken out: { name: dc, select: { use: dcs } }",
                "policy changed: scope was { osPlatform: Linux } and is { everything: true }",
                "policy changed: selectors.dcs is taken out: { computerDnsName: { glob: dc* } }",
            ]
        );
        let narrower = format!("{protect}{}scope: {{ osPlatform: Linux }}\n", selector("dc1*"));
        assert_eq!(between(&base, &narrower).len(), 1, "a selector that a protection uses");
    }

    #[test]
    fn every_section_of_rails_is_compared_and_places_do_not_matter() {
        for (was, is) in [
            ("claims: [A]\n", "claims: [A, \"*\"]\n"),
            ("renames: { A: B }\n", "renames: { A: C }\n"),
            ("retire: [A]\n", "retire: []\n"),
            ("deviceGroups: { file: groups.json }\n", "deviceGroups: { file: other.json }\n"),
            (
                "guard: { invariants: [{ name: a, tag: T, atLeast: 5 }] }\n",
                "guard: { invariants: [{ name: a, tag: T, atLeast: 1 }] }\n",
            ),
        ] {
            assert!(!between(was, is).is_empty(), "{was} {is}");
            assert_eq!(between(was, was), [""; 0]);
        }
        assert_eq!(
            between("claims: [A, B]\nretire: [C]\n", "retire:\n  - C\nclaims:\n  - B\n  - A\n"),
            [""; 0]
        );
    }

    #[test]
    fn data_files_are_compared_by_their_rows() {
        let of = |rows: &str| {
            let mut sources = set(
                "rules:\n  - { name: r, select: { computerDnsName: { inFile: list.csv } }, tags: [T] }\n",
            );
            sources.data.insert((0, "list.csv".to_owned()), Ok(Arc::from(rows.as_bytes())));
            sources
        };
        assert_eq!(
            sentences(differences(&of("a\nb\n"), &of("b\r\nc\n"))),
            ["data changed: list.csv: a row is taken out: a", "data changed: list.csv: a row is new: c"]
        );
        let many: String = (0..100).map(|row| format!("{row}\n")).collect();
        let told = sentences(differences(&of(""), &of(&many)));
        assert_eq!(told.len(), MOST_ROWS + 1);
        assert!(told[MOST_ROWS].ends_with("95 more rows are new"), "{told:?}");
    }

    #[test]
    fn every_key_of_the_settings_is_compared() {
        let base = "version: 1\nlints: { W0710: deny }\ntenants: { a: { policies: [p/] } }\n";
        let new = "version: 1\nlints: { W0710: allow }\ntenants: { a: { policies: [p/, q/], cloud: gcc } }\n";
        assert_eq!(
            sentences(settings_differences(base, new)),
            [
                "mdetag.yaml changed: lints.W0710 was deny and is allow",
                "mdetag.yaml changed: tenants.a.cloud is new: gcc",
                "mdetag.yaml changed: tenants.a.policies is new: q/",
            ]
        );
        assert_eq!(settings_differences("", new).len(), 5);
        assert_eq!(settings_differences(new, new), []);
    }
}
