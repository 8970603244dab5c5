//! Rules and protections.
//!
//! `desired` says what a rule means for devices; [`Rule::is_live`] whether it is in force.

use super::keys;
use super::names::Names;
use super::names::check_name;
use super::node::{Node, NodeKind, shown};
use super::reader::Reader;
use super::scalars;
use super::{Protection, RemoveTag, Rule, Selector, SelectorKind, TagExpression, TagExpressionKind};
use crate::diagnostic::{Diagnostic, Span};
use crate::tag::TagPattern;

/// Reads an entry of `rules`. `None` if it has no name; any other mistake only leaves the faulty part out.
pub(super) fn rule(
    reader: &mut Reader<'_>,
    node: &Node,
    names: &Names,
    allow_reserved: bool,
) -> Option<Rule> {
    let was_partial = std::mem::replace(&mut reader.is_partial, true);
    let fields = reader.fields(node, keys::RULE, "a rule")?;
    if let Some(lints) = fields.get("lints") {
        let name = fields.get("name").map_or("", |name| match &name.kind {
            NodeKind::Text(name) => name,
            _ => "",
        });
        reader.exceptions(lints, node.span, name);
    }
    let has_strangers =
        fields.entries().iter().any(|entry| keys::RULE.iter().all(|key| key.name != entry.key));
    let name = fields.get("name").and_then(|name| Some((reader.text(name, "`name`")?.to_owned(), name.span)));
    if let Some((name, span)) = &name {
        check_rule_name(reader, name, *span);
    }
    let what = name.as_ref().map_or("the rule".to_owned(), |(name, _)| format!("rule `{}`", shown(name)));
    let select = fields.get("select").map(|select| reader.selector(select, &what, names));
    let mut has_lost_tags = false;
    let tags = fields.get("tags").map(|tags| {
        let items = reader.filled_list(tags, "`tags`").unwrap_or_default();
        let read = items.iter().filter_map(|item| reader.tag_expression(item, names, allow_reserved));
        let read: Vec<TagExpression> = read.collect();
        has_lost_tags = items.is_empty() || read.len() < items.len();
        read
    });
    let remove_tags = fields.get("removeTags").map(|tags| {
        let items = reader.filled_list(tags, "`removeTags`").unwrap_or_default();
        let pattern = |item: &Node| {
            let pattern = reader.tag_pattern(item, "an entry of `removeTags`", allow_reserved)?;
            Some(RemoveTag { pattern, span: item.span })
        };
        items.iter().filter_map(pattern).collect::<Vec<_>>()
    });
    let device_value = fields.get("deviceValue").map(|value| reader.device_value(value, "`deviceValue`"));
    let priority =
        fields.get("priority").and_then(|priority| bounded_priority(reader, priority)).unwrap_or(0);
    let from = fields.get("from").and_then(|from| reader.date(from, "`from`"));
    let until = fields.get("until").and_then(|until| reader.date(until, "`until`"));
    let description = reader.optional_text(&fields, "description");
    let owner = reader.optional_text(&fields, "owner");
    let ticket = reader.optional_text(&fields, "ticket");
    // A misspelt `tags` is already reported; that the rule is empty without it is not a second mistake.
    if tags.is_none() && remove_tags.is_none() && device_value.is_none() && !has_strangers {
        let at = name.as_ref().map_or(fields.span, |(_, span)| *span);
        let finding = Diagnostic::error("E0401", at, format!("{what} states nothing"));
        reader.report(
            finding.label("selects devices for nothing").help("add `tags`, `removeTags` or `deviceValue`"),
        );
    }
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        let at = fields.get("until").map_or(fields.span, |node| node.span);
        let message = format!("{what} ends on {until}, before it starts on {from}");
        reader.report(Diagnostic::error("E0406", at, message).label("never in force"));
    }
    let (tags, remove_tags) = (tags.unwrap_or_default(), remove_tags.unwrap_or_default());
    check_own_tags(reader, &what, &tags, &remove_tags);
    let (name, span) = name?;
    reader.is_partial = was_partial || has_strangers || has_lost_tags;
    let select = select.unwrap_or_else(|| nothing(node.span));
    let device_value = device_value.flatten();
    Some(Rule {
        name,
        description,
        owner,
        ticket,
        select,
        tags,
        remove_tags,
        device_value,
        priority,
        from,
        until,
        span,
    })
}

/// The greatest priority in either direction, so that every reader of a plan stores it exactly.
const MAX_PRIORITY: i64 = 1_000_000;

fn bounded_priority(reader: &mut Reader<'_>, node: &Node) -> Option<i64> {
    let NodeKind::Number(raw) = &node.kind else { return reader.integer(node, "`priority`") };
    let priority = scalars::whole(raw);
    if let Some(priority) = priority.filter(|priority| (-MAX_PRIORITY..=MAX_PRIORITY).contains(priority)) {
        return Some(priority);
    }
    let message = format!("`priority` is a whole number from -1000000 to 1000000, found `{}`", shown(raw));
    reader.report(Diagnostic::error("E0208", node.span, message));
    None
}

/// The selector in place of a missing one: selects no device.
fn nothing(span: Span) -> Selector {
    let everything = Selector { kind: SelectorKind::Everything, span };
    Selector { kind: SelectorKind::Not(Box::new(everything)), span }
}

fn check_rule_name(reader: &mut Reader<'_>, name: &str, span: Span) {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=80).contains(&name.len()) || !name.bytes().all(safe) {
        let message = format!("`{}` cannot name a rule", shown(name));
        reader.report(
            Diagnostic::error("E0113", span, message).help("a rule's name has 1 to 80 of A-Z a-z 0-9 . _ -"),
        );
    }
}

/// The same literal in a rule's `tags` and `removeTags` is a contradiction; twice in `tags` it is a slip.
fn check_own_tags(reader: &mut Reader<'_>, what: &str, tags: &[TagExpression], remove_tags: &[RemoveTag]) {
    for removed in remove_tags {
        let TagPattern::Literal(literal) = &removed.pattern else { continue };
        let case = reader.tag_case;
        let is_same = |kind: &TagExpressionKind| match kind {
            TagExpressionKind::Literal(own) => case.is_same(own, literal),
            TagExpressionKind::Template(_) => false,
        };
        let assigned = tags.iter().find(|tag| is_same(&tag.kind));
        if let Some(assigned) = assigned {
            let message = format!("{what} both assigns and removes the tag `{}`", shown(literal));
            let finding = Diagnostic::error("E0405", removed.span, message).label("removed here");
            reader.report(finding.related(assigned.span, "assigned here").help("keep one of them"));
        }
    }
}

/// Reads an entry of `protect`.
pub(super) fn protection(reader: &mut Reader<'_>, node: &Node, names: &Names) -> Option<Protection> {
    let fields = reader.fields(node, keys::PROTECTION, "a protection")?;
    let name = fields.get("name").and_then(|name| Some((reader.text(name, "`name`")?.to_owned(), name.span)));
    if let Some((name, span)) = &name {
        check_name(reader, "protection", name, *span);
    }
    let what = name
        .as_ref()
        .map_or("the protection".to_owned(), |(name, _)| format!("protection `{}`", shown(name)));
    // The selector reports `select:` without content; `fields` reports a missing key.
    debug_assert!(matches!(node.kind, NodeKind::Map(_)));
    let select = fields.get("select").map(|select| reader.selector(select, &what, names));
    let reason = reader.optional_text(&fields, "reason");
    let (name, span) = name?;
    Some(Protection { name, select: select.unwrap_or_else(|| nothing(node.span)), reason, span })
}
