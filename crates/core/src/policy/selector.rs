//! Selectors: mappings whose entries must all hold.
//!
//! `condition` reads conditions on fields; `settle` checks whether a set settles.

use std::sync::Arc;

use super::keys;
use super::names::Names;
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::{Fields, Reader};
use super::{Hunting, Keep, NamedSelector, Selector, SelectorKind};
use crate::device::Field;
use crate::diagnostic::{Diagnostic, Span};

/// The deepest chain of `use`, because evaluators follow it recursively.
const MAX_USES: usize = 64;

impl Reader<'_> {
    /// A selector; if it has a mistake, one that selects nothing. `what` starts a sentence: "rule `x`".
    pub(super) fn selector(&mut self, node: &Node, what: &str, names: &Names) -> Selector {
        let nothing = || {
            let everything = Selector { kind: SelectorKind::Everything, span: node.span };
            Selector { kind: SelectorKind::Not(Box::new(everything)), span: node.span }
        };
        self.try_selector(node, what, names).unwrap_or_else(nothing)
    }

    fn try_selector(&mut self, node: &Node, what: &str, names: &Names) -> Option<Selector> {
        let is_empty = match &node.kind {
            NodeKind::Map(entries) => entries.is_empty(),
            NodeKind::Null => true,
            _ => false,
        };
        if is_empty {
            let finding = Diagnostic::error("E0203", node.span, format!("{what} would select every device"));
            self.report(finding.label("no condition").help("write `everything: true` if that is meant"));
            return None;
        }
        let entries = self.map(node, "a selector")?;
        let parts: Vec<Selector> =
            entries.iter().filter_map(|entry| self.selector_entry(entry, what, names)).collect();
        if parts.len() != entries.len() {
            return None;
        }
        Some(all_of(parts, node.span))
    }

    fn selector_entry(&mut self, entry: &MappingEntry, what: &str, names: &Names) -> Option<Selector> {
        let node = &entry.value;
        let span = Span { end: node.span.end.max(entry.key_span.end), ..entry.key_span };
        // An aliased value is written elsewhere, so the key is shown instead.
        let span = if node.span.start < entry.key_span.start { entry.key_span } else { span };
        let kind = match &*entry.key {
            "all" => SelectorKind::All(self.selectors(node, "`all`", what, names)?),
            "any" => SelectorKind::Any(self.selectors(node, "`any`", what, names)?),
            "not" => {
                SelectorKind::Not(Box::new(self.try_selector(node, &format!("`not` of {what}"), names)?))
            }
            "use" => self.uses(node, names)?,
            "superseded" => self.superseded(node)?,
            "hunting" => SelectorKind::Hunting(self.hunting(node)?),
            "everything" => {
                if !self.boolean(node, "`everything`")? {
                    let finding = Diagnostic::error("E0208", node.span, "`everything` is always `true`");
                    self.report(finding.help("write `not: { everything: true }` for no device"));
                    return None;
                }
                SelectorKind::Everything
            }
            name => {
                let field = self.field(name, entry.key_span, names)?;
                return self
                    .condition(field, name, node, names)
                    .map(|selector| Selector { span, ..selector });
            }
        };
        Some(Selector { kind, span })
    }

    fn selectors(&mut self, node: &Node, list: &str, what: &str, names: &Names) -> Option<Vec<Selector>> {
        let items = self.filled_list(node, list)?;
        let what = format!("an entry of {list} of {what}");
        let parts: Vec<_> = items.iter().filter_map(|item| self.try_selector(item, &what, names)).collect();
        (parts.len() == items.len()).then_some(parts)
    }

    fn uses(&mut self, node: &Node, names: &Names) -> Option<SelectorKind> {
        let texts = self.texts(node, "`use`")?;
        let mut parts = Vec::new();
        for (name, span) in &texts {
            match names.selectors.get(*name) {
                Some(index) => parts.push(Selector { kind: SelectorKind::Use(*index), span: *span }),
                None => {
                    let known: Vec<&str> = names.selector_names.iter().map(String::as_str).collect();
                    self.unknown("E0205", *span, &format!("selector `{}`", shown(name)), name, &known);
                }
            }
        }
        (parts.len() == texts.len()).then(|| all_of(parts, node.span).kind)
    }

    fn superseded(&mut self, node: &Node) -> Option<SelectorKind> {
        let fields = self.fields(node, keys::SUPERSEDED, "`superseded`")?;
        let by = fields.get("by")?;
        let words =
            [Field::ComputerDnsName, Field::DeviceName, Field::AadDeviceId, Field::VmId].map(Field::name);
        let by = Field::parse(self.word(by, "`by`", &words)?)?;
        let keep = match fields.get("keep") {
            None => Keep::Newest,
            Some(keep) => Keep::parse(self.word(keep, "`keep`", &Keep::WORDS)?)?,
        };
        Some(SelectorKind::Superseded { by, keep })
    }

    fn hunting(&mut self, node: &Node) -> Option<Hunting> {
        let fields = self.fields(node, keys::HUNTING, "`hunting`")?;
        let column = match fields.get("column") {
            Some(column) => self.filled_text(column, "`column`")?,
            None => "DeviceId",
        };
        let query = self.query(&fields, node.span)?;
        let is_unlisted_ok = self.unlisted_ok(&fields);
        Some(Hunting {
            query,
            column: column.into(),
            allow_empty: self.allow_empty(&fields)?,
            is_unlisted_ok,
        })
    }

    /// The text of `query`, or that of the file that `queryFile` names.
    pub(super) fn query(&mut self, fields: &Fields<'_>, span: Span) -> Option<Arc<str>> {
        match (fields.get("query"), fields.get("queryFile")) {
            (Some(query), None) => Some(self.filled_text(query, "`query`")?.into()),
            (None, Some(file)) => {
                let path = self.filled_text(file, "`queryFile`")?;
                let query: Arc<str> = self.data_text(path, file.span)?.into();
                if query.trim().is_empty() {
                    self.report(Diagnostic::error(
                        "E0304",
                        file.span,
                        format!("`{}` holds no query", shown(path)),
                    ));
                    return None;
                }
                Some(query)
            }
            _ => {
                let finding = Diagnostic::error(
                    "E0214",
                    span,
                    "`hunting` needs exactly one of `query` and `queryFile`",
                );
                self.report(finding);
                None
            }
        }
    }
}

/// Joins several selectors that must all hold.
fn all_of(mut parts: Vec<Selector>, span: Span) -> Selector {
    match parts.len() {
        1 => parts.remove(0),
        _ => Selector { kind: SelectorKind::All(parts), span },
    }
}

/// Calls `visit` for a selector and everything below it, without following `use`.
pub(super) fn walk<'s>(selector: &'s Selector, visit: &mut impl FnMut(&'s Selector)) {
    visit(selector);
    match &selector.kind {
        SelectorKind::All(parts) | SelectorKind::Any(parts) => {
            parts.iter().for_each(|part| walk(part, visit))
        }
        SelectorKind::Not(part) => walk(part, visit),
        _ => {}
    }
}

/// The named selectors that a selector uses directly, with their places.
pub(super) fn uses(selector: &Selector) -> Vec<(usize, Span)> {
    let mut used = Vec::new();
    walk(selector, &mut |part| {
        if let SelectorKind::Use(index) = part.kind {
            used.push((index, part.span));
        }
    });
    used
}

/// Reports cycles of `use` and chains that are too deep, and empties every selector of them, so that walking the policy always
/// ends.
pub(super) fn check_uses(reader: &mut Reader<'_>, selectors: &mut [NamedSelector]) {
    let edges: Vec<Vec<(usize, Span)>> = selectors.iter().map(|named| uses(&named.selector)).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); selectors.len()];
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    for (user, used) in edges.iter().enumerate() {
        used.iter().for_each(|(used, _)| users[*used].push(user));
    }
    let mut depth = vec![1usize; selectors.len()];
    let mut ready: Vec<usize> = (0..selectors.len()).filter(|index| waiting[*index] == 0).collect();
    while let Some(done) = ready.pop() {
        for user in &users[done] {
            depth[*user] = depth[*user].max(depth[done] + 1);
            waiting[*user] -= 1;
            if waiting[*user] == 0 {
                ready.push(*user);
            }
        }
    }
    let mut reported = vec![false; selectors.len()];
    for start in 0..selectors.len() {
        if waiting[start] > 0 && !reported[start] {
            report_cycle(reader, selectors, &edges, &waiting, start, &mut reported);
        } else if waiting[start] == 0 && depth[start] == MAX_USES + 1 {
            let message = format!(
                "the selector `{}` uses others through more than {MAX_USES} levels",
                shown(&selectors[start].name)
            );
            reader.report(Diagnostic::error("E0206", selectors[start].span, message));
        }
    }
    for (index, named) in selectors.iter_mut().enumerate() {
        if waiting[index] > 0 || depth[index] > MAX_USES {
            named.selector.kind = SelectorKind::Any(Vec::new());
        }
    }
}

/// Follows unfinished uses until one repeats; from there on they form a cycle.
fn report_cycle(
    reader: &mut Reader<'_>,
    selectors: &[NamedSelector],
    edges: &[Vec<(usize, Span)>],
    waiting: &[usize],
    start: usize,
    reported: &mut [bool],
) {
    let mut path: Vec<(usize, Span)> = Vec::new();
    let mut at = start;
    while !path.iter().any(|(seen, _)| *seen == at) {
        if reported[at] {
            return;
        }
        let Some((next, span)) = edges[at].iter().find(|(used, _)| waiting[*used] > 0) else { return };
        path.push((at, *span));
        reported[at] = true;
        at = *next;
    }
    let from = path.iter().position(|(seen, _)| *seen == at).unwrap_or(0);
    let cycle = &path[from..];
    let mut names: Vec<String> =
        cycle.iter().take(8).map(|(index, _)| format!("`{}`", shown(&selectors[*index].name))).collect();
    if cycle.len() > 8 {
        names.push("…".to_owned());
    }
    names.push(format!("`{}`", shown(&selectors[at].name)));
    let finding = Diagnostic::error(
        "E0206",
        cycle[0].1,
        format!("selectors use each other in a circle: {}", names.join(" uses ")),
    );
    let finding = cycle.iter().skip(1).take(7).fold(finding, |finding, (index, span)| {
        finding.related(*span, format!("`{}` goes on here", shown(&selectors[*index].name)))
    });
    reader.report(finding.label("the circle starts here").help("take one `use` out of the circle"));
}
