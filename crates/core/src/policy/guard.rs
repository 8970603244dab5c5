//! The `guard` section: caps, the inventory's floor, reserved tags, invariants, approvals, the tenant pin.
//!
//! `plan` measures plans against it.

use std::collections::HashMap;

use super::keys;
use super::limits::MOST_DAYS_AHEAD;
use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::{Fields, Reader};
use super::scalars;
use super::{Approval, Axis, Cap, Counted, DayCap, Guard, Invariant, Percent, Quantity, ShrinkApproval};
use crate::device::DeviceValue;
use crate::diagnostic::{Diagnostic, Span};
use crate::tag::{self, TagPattern};
use crate::time::Date;

/// The fewest literal characters at the start of an approval's glob.
const LEAST_LITERAL: usize = 3;

/// The word of `cap` for a source that shrank.
const SHRINK: &str = "shrink";

const VALUE_WORDS: [&str; 3] = ["Low", "Normal", "High"];

impl Reader<'_> {
    /// One of `Low`, `Normal`, `High`.
    pub(super) fn device_value(&mut self, node: &Node, what: &str) -> Option<DeviceValue> {
        DeviceValue::parse(self.word(node, what, &VALUE_WORDS)?)
    }

    /// The guard of the set.
    pub(super) fn guard(&mut self, entry: &MappingEntry) -> Guard {
        let mut guard = Guard { span: Some(entry.key_span), ..Guard::default() };
        let Some(fields) = self.fields(&entry.value, keys::GUARD, "`guard`") else { return guard };
        if let Some(node) = fields.get("tenantId") {
            guard.tenant_id = self.tenant_id(node).map(|id| (id, node.span));
        }
        if let Some(node) = fields.get("caps") {
            self.caps(node, &mut guard);
        }
        if let Some(inventory) =
            fields.get("inventory").and_then(|node| self.fields(node, keys::INVENTORY, "`inventory`"))
        {
            guard.min_devices =
                inventory.get("min").and_then(|node| Some((self.count(node, "`min`")?, node.span)));
            guard.max_shrink = inventory
                .get("maxShrink")
                .and_then(|node| Some((self.percent(node, "`maxShrink`")?, node.span)));
        }
        if let Some(items) = fields.get("allowReserved").and_then(|node| self.list(node, "`allowReserved`")) {
            guard.allow_reserved = items.iter().filter_map(|item| self.reserved(item)).collect();
        }
        if let Some(items) = fields.get("invariants").and_then(|node| self.list(node, "`invariants`")) {
            guard.invariants = items.iter().filter_map(|item| self.invariant(item)).collect();
            let names = guard.invariants.iter().map(|invariant| (invariant.name.as_str(), invariant.span));
            self.unique("invariant", names);
        }
        if let Some(items) = fields.get("approvals").and_then(|node| self.list(node, "`approvals`")) {
            for item in items {
                self.approval(item, &mut guard);
            }
        }
        guard
    }

    /// Reports names that occur twice.
    pub(super) fn unique<'n>(&mut self, what: &str, names: impl Iterator<Item = (&'n str, Span)>) {
        let mut first: HashMap<&str, Span> = HashMap::new();
        for (name, span) in names {
            if let Some(earlier) = first.get(name) {
                self.clash(what, name, span, *earlier);
            } else {
                first.insert(name, span);
            }
        }
    }

    /// Reports two things with the same name.
    pub(super) fn clash(&mut self, what: &str, name: &str, span: Span, earlier: Span) {
        let finding =
            Diagnostic::error("E0112", span, format!("the {what} `{}` is defined twice", shown(name)));
        self.report(
            finding.label("again here").related(earlier, "first here").help("rename or delete one of them"),
        );
    }

    pub(super) fn tenant_id(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "`tenantId`")?.trim();
        let groups = [8, 4, 4, 4, 12];
        let is_id = text.split('-').count() == groups.len()
            && text.split('-').zip(groups).all(|(group, length)| {
                group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
        if !is_id {
            let message =
                format!("`{}` is not a tenant id (11111111-2222-3333-4444-555555555555)", shown(text));
            self.report(Diagnostic::error("E0504", node.span, message));
        }
        is_id.then(|| text.to_ascii_lowercase())
    }

    fn caps(&mut self, node: &Node, guard: &mut Guard) {
        let Some(fields) = self.fields(node, keys::CAPS, "`caps`") else { return };
        for entry in fields.entries() {
            let Some(axis) = Axis::parse(&entry.key) else { continue };
            let what = format!("the cap `{}`", entry.key);
            let (known, has_day) = match axis {
                Axis::Devices | Axis::Additions => (keys::CAP, false),
                _ => (keys::CAP_WITH_DAY, true),
            };
            let Some(parts) = self.fields(&entry.value, known, &what) else { continue };
            let (default, span) = (axis.default_cap(), Some(entry.key_span));
            let day = has_day.then(|| parts.get("day")).flatten();
            let (percent, floor) = self.cap_parts(&parts, &what, day.is_some());
            let (percent, floor) = (percent.unwrap_or(default.percent), floor.unwrap_or(default.floor));
            guard.caps.push((axis, Cap { percent, floor, span }));
            let what = format!("the cap `{}.day`", entry.key);
            if let Some(day) = day.and_then(|day| Some((day.span, self.fields(day, keys::CAP, &what)?))) {
                let (percent, floor) = self.cap_parts(&day.1, &what, false);
                guard.day_caps.push((axis, DayCap { percent, floor, span: day.0 }));
            }
        }
    }

    /// The percentage and the floor of a cap. At least one is required, unless the entry states another limit.
    fn cap_parts(
        &mut self,
        parts: &Fields<'_>,
        what: &str,
        has_more: bool,
    ) -> (Option<Percent>, Option<u64>) {
        let percent = parts.get("percent").map(|node| self.percent(node, "`percent`"));
        let floor = parts.get("floor").map(|node| self.count(node, "`floor`"));
        if percent.is_none() && floor.is_none() && !has_more {
            let message = format!("{what} states neither `percent` nor `floor`");
            self.report(Diagnostic::error("E0105", parts.span, message));
        }
        (percent.flatten(), floor.flatten())
    }

    pub(super) fn percent(&mut self, node: &Node, what: &str) -> Option<Percent> {
        let text = match &node.kind {
            NodeKind::Text(text) => text.to_string(),
            NodeKind::Number(raw) => scalars::decimal(raw),
            _ => return self.quantity_fault(node, what, "a percentage (`10%`)"),
        };
        Percent::parse(&text)
            .or_else(|| self.quantity_fault(node, what, "0 to 100 with at most four decimals (`10%`, 2.5)"))
    }

    pub(super) fn quantity(&mut self, node: &Node, what: &str) -> Option<Quantity> {
        match &node.kind {
            NodeKind::Text(text) if text.ends_with('%') => self.percent(node, what).map(Quantity::Share),
            NodeKind::Number(_) => self.count(node, what).map(Quantity::Count),
            _ => self.quantity_fault(node, what, "a number of devices (`4`) or a share of them (`5%`)"),
        }
    }

    fn quantity_fault<T>(&mut self, node: &Node, what: &str, expected: &str) -> Option<T> {
        self.report(Diagnostic::error("E0501", node.span, format!("{what} is {expected}")).label("not one"));
        None
    }

    fn reserved(&mut self, node: &Node) -> Option<(String, Span)> {
        let text = self.text(node, "an entry of `allowReserved`")?;
        if tag::is_reserved(text) {
            return Some((text.to_owned(), node.span));
        }
        self.unknown("E0505", node.span, &format!("reserved tag `{}`", shown(text)), text, &[tag::RESERVED]);
        None
    }

    fn invariant(&mut self, node: &Node) -> Option<Invariant> {
        let fields = self.fields(node, keys::INVARIANT, "an invariant")?;
        let name = fields.get("name");
        let name = name.and_then(|name| Some((self.filled_text(name, "`name`")?.to_owned(), name.span)));
        let at_least = fields.get("atLeast").map(|node| self.quantity(node, "`atLeast`"));
        let at_most = fields.get("atMost").map(|node| self.quantity(node, "`atMost`"));
        let counts = match (fields.get("tag"), fields.get("deviceValue"), fields.get("group")) {
            (Some(tag), None, None) => self.live_tag(tag, "`tag`").map(Counted::Tag),
            (None, Some(value), None) => self.device_value(value, "`deviceValue`").map(Counted::Value),
            (None, None, Some(group)) => {
                let name = self.filled_text(group, "`group`");
                name.map(|name| Counted::Group { name: name.to_owned(), span: group.span })
            }
            _ => {
                let finding = Diagnostic::error(
                    "E0502",
                    fields.span,
                    "an invariant counts exactly one of `tag`, `deviceValue` and `group`",
                );
                self.report(finding);
                None
            }
        };
        if at_least.is_none() && at_most.is_none() {
            let finding = Diagnostic::error("E0502", fields.span, "an invariant needs `atLeast` or `atMost`");
            self.report(finding);
        }
        if let (Some(Some(Quantity::Count(least))), Some(Some(Quantity::Count(most)))) = (at_least, at_most)
            && least > most
        {
            let message = format!("no count is at least {least} and at most {most}");
            self.report(Diagnostic::error("E0502", fields.span, message));
        }
        let (name, span) = name?;
        Some(Invariant {
            name,
            counts: counts?,
            at_least: at_least.flatten(),
            at_most: at_most.flatten(),
            span,
        })
    }

    fn approval(&mut self, node: &Node, guard: &mut Guard) -> Option<()> {
        let fields = self.fields(node, keys::APPROVAL, "an approval")?;
        let words: Vec<&str> = Axis::ALL.map(Axis::word).into_iter().chain([SHRINK]).collect();
        let cap = fields.get("cap").and_then(|cap| self.word(cap, "`cap`", &words))?;
        let is_shrink = cap == SHRINK;
        let (needed, foreign): (&[&str], &[&str]) = if is_shrink {
            (&["source", "to"], &["max", "tag", "changes"])
        } else {
            (&["max"], &["source", "to"])
        };
        for key in needed.iter().filter(|key| fields.get(key).is_none()) {
            let message = format!("an approval of the cap `{cap}` needs `{key}`");
            self.report(Diagnostic::error("E0503", fields.span, message));
        }
        for key in foreign {
            if let Some(node) = fields.get(key) {
                let message = format!("`{key}` does not go with the cap `{cap}`");
                self.report(Diagnostic::error("E0503", node.span, message));
            }
        }
        if is_shrink {
            guard.shrinks.extend(self.shrink_approval(node, &fields));
        } else {
            guard.approvals.extend(self.cap_approval(node, &fields, Axis::parse(cap)));
        }
        Some(())
    }

    /// `{ cap: shrink, source, to, reason, expires }`.
    fn shrink_approval(&mut self, node: &Node, fields: &Fields<'_>) -> Option<ShrinkApproval> {
        let source = fields.get("source").and_then(|source| self.filled_text(source, "`source`"));
        let source = source.map(str::to_owned);
        let to = fields.get("to").and_then(|to| self.count(to, "`to`"));
        let expires = fields.get("expires").and_then(|expires| self.date(expires, "`expires`"));
        self.optional_text(fields, "reason");
        self.optional_text(fields, "ticket");
        let expires = expires?;
        self.check_expiry("approval", expires, fields.get("expires").map_or(fields.span, |node| node.span));
        Some(ShrinkApproval { source: source?, to: to?, expires, span: node.span })
    }

    fn cap_approval(&mut self, node: &Node, fields: &Fields<'_>, axis: Option<Axis>) -> Option<Approval> {
        let max = fields.get("max").and_then(|max| self.count(max, "`max`"));
        let expires = fields.get("expires").and_then(|expires| self.date(expires, "`expires`"));
        let tag = fields.get("tag").map(|tag| self.approved_tags(tag));
        let changes = fields.get("changes").map(|changes| self.changes_digest(changes));
        if let (Some(node), Some(axis)) = (fields.get("tag"), axis)
            && axis != Axis::RemovalsPerTag
        {
            let message = format!("`tag` goes with the cap `removalsPerTag`, not with `{}`", axis.word());
            self.report(Diagnostic::error("E0503", node.span, message));
        }
        let reason = self.optional_text(fields, "reason");
        let ticket = self.optional_text(fields, "ticket");
        let (axis, max, expires) = (axis?, max?, expires?);
        let at = fields.get("expires").map_or(fields.span, |node| node.span);
        self.check_expiry("approval", expires, at);
        Some(Approval {
            axis,
            tag: tag.map_or(Some(None), |tag| tag.map(Some))?,
            max,
            changes: changes.map_or(Some(None), |changes| changes.map(Some))?,
            reason,
            ticket,
            expires,
            span: node.span,
        })
    }

    /// The tags of an approval or an acceptance. A pattern for all tags is refused: it would remove the cap or the check.
    pub(super) fn approved_tags(&mut self, node: &Node) -> Option<TagPattern> {
        let pattern = self.tag_pattern(node, "`tag`", true)?;
        let TagPattern::Glob(glob) = &pattern else { return Some(pattern) };
        let source = glob.source();
        if glob.literal_start().chars().count() >= LEAST_LITERAL {
            return Some(pattern);
        }
        let message =
            format!("the glob `{}` starts with fewer than {LEAST_LITERAL} literal characters", shown(source));
        self.report(
            Diagnostic::error("E0503", node.span, message)
                .label("would approve too much")
                .help("write the tag, or more of its start"),
        );
        None
    }

    fn changes_digest(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node, "`changes`")?;
        let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64);
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if digits.is_some_and(|digits| digits.bytes().all(is_digit)) {
            return Some(text.to_owned());
        }
        let message = "`changes` is the `changesDigest` of a plan: `sha256:` and 64 digits of 0-9 and a-f";
        self.report(Diagnostic::error("E0503", node.span, message).label("not one"));
        None
    }

    /// Reports an approval or an acceptance that does not count today.
    pub(super) fn check_expiry(&mut self, what: &str, expires: Date, at: Span) {
        let today = self.now.date();
        let last = today.plus_days(MOST_DAYS_AHEAD);
        if expires < today {
            let finding = Diagnostic::warning("W0501", at, format!("this {what} expired on {expires}"));
            self.report(finding.label("no longer counts").help("delete it"));
        } else if expires > last {
            let message = format!(
                "this {what} expires on {expires}, more than {MOST_DAYS_AHEAD} days from now: it does not count"
            );
            self.report(Diagnostic::warning("W0501", at, message).label("too far ahead").help(format!(
                "write {last} or an earlier day, and have it renewed when it is needed longer"
            )));
        }
    }

    /// The text at an optional key.
    pub(super) fn optional_text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        self.text(node, &format!("`{key}`")).map(str::to_owned)
    }
}
