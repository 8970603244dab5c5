//! Turns the files of a set into one policy: collects the sections, reads them in dependency order, checks the whole.
//!
//! Each section's reader checks its own rules; `settle` and `lints` check rules between sections.

use super::keys;
use super::names::{Names, check_name};
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::Reader;
use super::syntax;
use super::{Claim, DefaultValue, NamedSelector, Policy, Retire, lints, renames, rules, selector, settle};
use crate::diagnostic::{Diagnostic, SourceId, Sources, Span};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// Reads a policy set as far as possible. Returns every finding in the order of files and lines.
///
/// Never fails. A policy with an error among its findings must not be used: parts that could not be read are missing from
/// it, and a selector that could not be read selects nothing.
pub fn resolve(sources: &Sources, tag_case: TagCase, now: Timestamp) -> (Policy, Vec<Diagnostic>) {
    let mut reader = Reader::new(sources, tag_case, now);
    sources.unread.iter().for_each(|finding| reader.report(finding.clone()));
    reader.is_partial = !sources.unread.is_empty();
    if sources.files.is_empty() && sources.unread.is_empty() {
        let finding = Diagnostic::error("E0111", None, "there is no policy file");
        reader.report(
            finding.help("a directory is searched for *.yaml and *.yml; `mdetag init` writes a first policy"),
        );
    }
    let mut roots = Vec::new();
    for (index, source) in sources.files.iter().enumerate() {
        let (root, findings) = syntax::parse(&source.text, SourceId(index as u32));
        findings.into_iter().for_each(|finding| reader.report(finding));
        reader.is_partial |= root.is_none();
        roots.extend(root);
    }
    let mut sections = Sections::default();
    roots.iter().for_each(|root| sections.add(&mut reader, root));
    let mut policy = sections.read(&mut reader);
    settle::check(&mut reader, &policy);
    lints::check(&mut reader, &policy);
    policy.exceptions = reader.settle_exceptions(&policy.rules);
    (policy, reader.into_findings())
}

/// The sections of all files, in file order.
#[derive(Default)]
struct Sections<'n> {
    scope: Option<&'n MappingEntry>,
    device_value: Option<&'n MappingEntry>,
    guard: Option<&'n MappingEntry>,
    device_groups: Option<&'n MappingEntry>,
    claims: Vec<&'n Node>,
    selectors: Vec<&'n MappingEntry>,
    lookups: Vec<&'n MappingEntry>,
    maps: Vec<&'n MappingEntry>,
    families: Vec<&'n MappingEntry>,
    rules: Vec<&'n Node>,
    renames: Vec<&'n MappingEntry>,
    retire: Vec<&'n Node>,
    protections: Vec<&'n Node>,
}

impl<'n> Sections<'n> {
    /// Collects the sections of one file.
    fn add(&mut self, reader: &mut Reader<'_>, root: &'n Node) {
        let NodeKind::Map(entries) = &root.kind else {
            reader.map(root, "a policy file");
            return;
        };
        // Keys that start with `x-` are the user's own: anchors live there.
        let own = entries.iter().filter(|entry| !entry.key.starts_with("x-"));
        reader.is_partial |= own.clone().any(|entry| keys::POLICY.iter().all(|key| key.name != entry.key));
        reader.check_keys(own, root.span, keys::POLICY, "a policy file");
        for entry in entries {
            let node = &entry.value;
            match &*entry.key {
                "version" => check_version(reader, node),
                "description" => drop(reader.text(node, "`description`")),
                "scope" => once(reader, &mut self.scope, entry),
                "deviceValue" => once(reader, &mut self.device_value, entry),
                "guard" => once(reader, &mut self.guard, entry),
                "deviceGroups" => once(reader, &mut self.device_groups, entry),
                "claims" => self.claims.extend(reader.list(node, "`claims`").unwrap_or_default()),
                "rules" if !matches!(node.kind, NodeKind::List(_)) => {
                    reader.is_partial = true;
                    reader.list(node, "`rules`");
                }
                "rules" => self.rules.extend(reader.list(node, "`rules`").unwrap_or_default()),
                "retire" => self.retire.extend(reader.list(node, "`retire`").unwrap_or_default()),
                "protect" => self.protections.extend(reader.list(node, "`protect`").unwrap_or_default()),
                "selectors" => self.selectors.extend(reader.map(node, "`selectors`").unwrap_or_default()),
                "lookups" => self.lookups.extend(reader.map(node, "`lookups`").unwrap_or_default()),
                "maps" => self.maps.extend(reader.map(node, "`maps`").unwrap_or_default()),
                "families" => self.families.extend(reader.map(node, "`families`").unwrap_or_default()),
                "renames" => self.renames.extend(reader.map(node, "`renames`").unwrap_or_default()),
                _ => {}
            }
        }
    }

    /// Reads the collected sections: names first, then their users.
    fn read(&self, reader: &mut Reader<'_>) -> Policy {
        let device_groups = self.device_groups.and_then(|entry| reader.device_groups(entry));
        let mut policy = Policy { device_groups, tag_case: reader.tag_case, ..Policy::default() };
        if let Some(entry) = self.guard {
            policy.guard = reader.guard(entry);
            let has_groups = self.device_groups.is_some();
            reader.check_groups(
                &policy.guard,
                policy.device_groups.as_ref().map(|(groups, _)| groups),
                has_groups,
            );
        }
        let allow_reserved = policy.guard.allows_reserved();
        let mut names = Names::default();
        for entry in unique(reader, "lookup", &self.lookups) {
            check_name(reader, "lookup", &entry.key, entry.key_span);
            names.add_lookup(reader, entry);
        }
        for entry in unique(reader, "map", &self.maps) {
            check_name(reader, "map", &entry.key, entry.key_span);
            names.maps.add(reader, entry);
        }
        let selectors = unique(reader, "selector", &self.selectors);
        for (index, entry) in selectors.iter().enumerate() {
            check_name(reader, "selector", &entry.key, entry.key_span);
            names.selectors.insert(entry.key.clone(), index);
            names.selector_names.push(entry.key.clone());
        }
        for entry in selectors {
            let what = format!("the selector `{}`", shown(&entry.key));
            let selector = reader.selector(&entry.value, &what, &names);
            policy.selectors.push(NamedSelector { name: entry.key.clone(), selector, span: entry.key_span });
        }
        selector::check_uses(reader, &mut policy.selectors);
        policy.scope = self.scope.map(|entry| reader.selector(&entry.value, "`scope`", &names));
        if let Some(entry) = self.guard.and_then(|guard| in_guard(guard, "rollout")) {
            policy.guard.rollout = reader.rollout(&entry.value, &names);
        }
        if let Some(entry) = self.guard.and_then(|guard| in_guard(guard, "accept")) {
            policy.guard.accept = reader.accept(&entry.value, &names);
        }
        policy.rules =
            self.rules.iter().filter_map(|node| rules::rule(reader, node, &names, allow_reserved)).collect();
        reader.unique("rule", policy.rules.iter().map(|rule| (rule.name.as_str(), rule.span)));
        policy.protections =
            self.protections.iter().filter_map(|node| rules::protection(reader, node, &names)).collect();
        reader.unique("protection", policy.protections.iter().map(|one| (one.name.as_str(), one.span)));
        for node in &self.claims {
            let pattern = reader.tag_pattern(node, "a claim", allow_reserved);
            reader.is_partial |= pattern.is_none();
            policy.claims.extend(pattern.map(|pattern| Claim { pattern, span: node.span }));
        }
        for node in &self.retire {
            let pattern = reader.tag_pattern(node, "an entry of `retire`", allow_reserved);
            policy.retire.extend(pattern.map(|pattern| Retire { pattern, span: node.span }));
        }
        let families = unique(reader, "family", &self.families);
        policy.families = renames::families(reader, &families, allow_reserved);
        policy.renames = renames::renames(reader, &self.renames, allow_reserved);
        policy.default_value = self.device_value.and_then(|entry| {
            let fields = reader.fields(&entry.value, keys::DEVICE_VALUE, "`deviceValue`")?;
            let value = reader.device_value(fields.get("default")?, "`default`")?;
            Some(DefaultValue { value, span: entry.key_span })
        });
        let (lookups, maps) = names.into_lookups();
        policy.lookups = lookups;
        policy.maps = maps.known;
        policy
    }
}

/// A key of a guard that must be read after the selectors, because it may use them.
fn in_guard<'n>(guard: &'n MappingEntry, key: &str) -> Option<&'n MappingEntry> {
    let NodeKind::Map(entries) = &guard.value.kind else { return None };
    entries.iter().find(|entry| entry.key == key)
}

pub(super) fn check_version(reader: &mut Reader<'_>, node: &Node) {
    if matches!(&node.kind, NodeKind::Number(number) if number == "1") {
        return;
    }
    let message = format!("`version` is 1, found `{}`", shown(reader.sources.text(node.span)));
    let finding = Diagnostic::error("E0108", node.span, message).label("this tool reads version 1");
    reader.report(finding.help("write `version: 1`"));
}

/// Takes a section that a set may have only once.
fn once<'n>(reader: &mut Reader<'_>, slot: &mut Option<&'n MappingEntry>, entry: &'n MappingEntry) {
    match slot {
        Some(earlier) => {
            let finding = Diagnostic::error(
                "E0112",
                entry.key_span,
                format!("`{}` appears twice in the policy set", entry.key),
            )
            .label("again here")
            .related(earlier.key_span, "first here");
            reader.report(finding.help("put both into one place"));
        }
        None => *slot = Some(entry),
    }
}

/// The entries with new names; reports clashes between files.
fn unique<'n>(reader: &mut Reader<'_>, what: &str, entries: &[&'n MappingEntry]) -> Vec<&'n MappingEntry> {
    let mut first: std::collections::HashMap<&str, Span> = std::collections::HashMap::new();
    let mut kept = Vec::new();
    for entry in entries {
        if let Some(earlier) = first.get(entry.key.as_str()) {
            reader.clash(what, &entry.key, entry.key_span, *earlier);
        } else {
            first.insert(&entry.key, entry.key_span);
            kept.push(*entry);
        }
    }
    kept
}
