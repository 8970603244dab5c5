//! The differences between two written values: one for each key and each member of a list, so that a long value hides none.
//!
//! Does not know the meaning of a value.

use std::collections::BTreeMap;

use super::{Area, Difference, DifferenceKind, ShownIn};
use crate::policy::node::{Node, NodeKind};

/// Characters that screens show of a value. Of a longer one they show the part around the difference, and its length.
const MOST_CHARACTERS: usize = 300;

/// Characters shown before the first difference of two long texts.
const LEAD: usize = 40;

pub(super) struct PathComparison<'f> {
    pub(super) area: Area,
    pub(super) found: &'f mut Vec<Difference>,
}

impl PathComparison<'_> {
    /// Two values of one key.
    pub(super) fn values(&mut self, path: &str, was: &Node, is: &Node) {
        match (&was.kind, &is.kind) {
            (NodeKind::Map(before), NodeKind::Map(after))
                if before.iter().any(|old| after.iter().any(|new| new.key == old.key)) =>
            {
                for old in before {
                    let below = format!("{path}.{}", old.key);
                    match after.iter().find(|new| new.key == old.key) {
                        Some(new) => self.values(&below, &old.value, &new.value),
                        None => self.one(&below, DifferenceKind::TakenOut, &written(&old.value)),
                    }
                }
                for new in after.iter().filter(|new| before.iter().all(|old| old.key != new.key)) {
                    self.one(&format!("{path}.{}", new.key), DifferenceKind::New, &written(&new.value));
                }
            }
            (NodeKind::List(before), NodeKind::List(after)) => self.lists(path, before, after),
            _ => {
                let (was, is) = (written(was), written(is));
                if was != is {
                    self.pair(path, &was, &is);
                }
            }
        }
    }

    /// Compares the members of two lists in any order.
    pub(super) fn lists(&mut self, path: &str, was: &[Node], is: &[Node]) {
        let texts = |nodes: &[Node]| nodes.iter().map(written).collect();
        let (gone, mut added) = apart(texts(was), texts(is));
        let node = |nodes: &[Node], text: &str| nodes.iter().find(|node| written(node) == text).cloned();
        for old in gone {
            let before = node(was, &old);
            let name = before.as_ref().and_then(|before| super::text_of(before, "name")).map(str::to_owned);
            // The same entry with other keys: found by its name, or by similarity if two long ones would have to be compared by
            // eye.
            let partner = added.iter().position(|new| match (&name, node(is, new)) {
                (Some(name), Some(after)) => super::text_of(&after, "name") == Some(name.as_str()),
                (None, Some(after)) => {
                    let is_long = old.len().max(new.len()) > MOST_CHARACTERS;
                    is_long && super::text_of(&after, "name").is_none()
                }
                _ => false,
            });
            match (before, partner.map(|at| added.remove(at)).and_then(|new| node(is, &new))) {
                (Some(before), Some(after)) => {
                    let path = format!("{path}[{}]", name.as_deref().unwrap_or("without a name"));
                    self.values(&path, &before, &after);
                }
                _ => self.one(path, DifferenceKind::TakenOut, &old),
            }
        }
        added.iter().for_each(|new| self.one(path, DifferenceKind::New, new));
    }

    fn one(&mut self, path: &str, kind: DifferenceKind, text: &str) {
        say((self.area, kind), &format!("{path} is {}:", kind.words()), text, ShownIn::All, self.found);
    }

    fn pair(&mut self, path: &str, was: &str, is: &str) {
        let whole = format!("{path} was {was} and is {is}");
        if was.len().max(is.len()) <= MOST_CHARACTERS {
            return self.found.push(Difference::new(self.area, &whole));
        }
        let same = was.chars().zip(is.chars()).take_while(|(old, new)| old == new).count();
        let from = same.saturating_sub(LEAD);
        let end = |text: &str| {
            let rest: String = text.chars().skip(from).collect();
            format!("{}{}", if from > 0 { "…" } else { "" }, cut(&rest))
        };
        let short = format!("{path} was {} and is {}", end(was), end(is));
        self.found.push(Difference::shown(self.area, DifferenceKind::Changed, &short, ShownIn::Short));
        self.found.push(Difference::shown(self.area, DifferenceKind::Changed, &whole, ShownIn::Whole));
    }
}

/// Adds a text: documents get all of it, screens a shortened form if it is long.
pub(super) fn say(
    (area, kind): (Area, DifferenceKind),
    head: &str,
    text: &str,
    shown: ShownIn,
    found: &mut Vec<Difference>,
) {
    if text.len() <= MOST_CHARACTERS || shown == ShownIn::Whole {
        return found.push(Difference::shown(area, kind, &format!("{head} {text}"), shown));
    }
    found.push(Difference::shown(area, kind, &format!("{head} {}", cut(text)), ShownIn::Short));
    found.push(Difference::shown(area, kind, &format!("{head} {text}"), ShownIn::Whole));
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let rest = text[end..].chars().count();
            format!("{}… ({rest} more characters: --details, JSON and HTML have them)", &text[..end])
        }
    }
}

/// The members that only one of two lists has, each as often as it occurs.
pub(super) fn apart(base: Vec<String>, new: Vec<String>) -> (Vec<String>, Vec<String>) {
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

/// A value on one line with sorted keys, so that only its content counts.
pub(super) fn written(node: &Node) -> String {
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
