//! Tags and templates: `{FIELD|filter}` in the tags that a rule assigns.
//!
//! `desired` fills in templates.

use super::names::Names;
use super::node::{Node, shown};
use super::reader::Reader;
use super::{Filter, TagExpression, TagExpressionKind, Template, TemplatePart};
use crate::device::{Field, Kind};
use crate::diagnostic::{Diagnostic, Span};
use crate::pattern;
use crate::tag::{self, TagPattern};
use crate::text;

/// The filters by name; text follows those that end in a colon.
const FILTERS: [&str; 5] = ["lower", "upper", "slug", "map:", "default:"];

impl Reader<'_> {
    /// Reads a literal tag. `allow_reserved`: whether the guard names the reserved tag, or this place only reads tags.
    pub(super) fn tag(&mut self, node: &Node, what: &str, allow_reserved: bool) -> Option<String> {
        let text = self.text(node, what)?.to_owned();
        self.check_tag(&text, node.span, allow_reserved).then_some(text)
    }

    /// Reads a tag that is only compared with live ones.
    pub(super) fn live_tag(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?.to_owned();
        self.check_live_tag(&text, node.span).then_some(text)
    }

    /// Reads live tags, by name or glob.
    pub(super) fn tag_pattern(
        &mut self,
        node: &Node,
        what: &str,
        allow_reserved: bool,
    ) -> Option<TagPattern> {
        let text = self.text(node, what)?;
        let case = self.tag_case;
        if text.is_empty() {
            self.check_tag(text, node.span, allow_reserved);
            return None;
        }
        let pattern = if pattern::is_glob(text) {
            self.glob(what, text, node.span, |text| TagPattern::parse(text, case))?
        } else {
            TagPattern::Literal(pattern::unescape(text))
        };
        match &pattern {
            TagPattern::Literal(literal) => {
                self.check_removable(literal, node.span, allow_reserved).then_some(pattern)
            }
            TagPattern::Glob(_) => Some(pattern),
        }
    }

    /// Reports why a text cannot be a tag of this set.
    pub(super) fn check_tag(&mut self, text: &str, span: Span, allow_reserved: bool) -> bool {
        if let Err(fault) = tag::check(text) {
            self.report(Diagnostic::error("E0402", span, fault.to_string()).label("cannot be a tag"));
            return false;
        }
        self.check_reserved(text, span, allow_reserved)
    }

    /// Reports why a text cannot be a live tag. Other programs write tags that mdetag would not, such as ones with white space at
    /// their ends, and a policy must be able to name these to remove them.
    pub(super) fn check_live_tag(&mut self, text: &str, span: Span) -> bool {
        if text.is_empty() {
            let message = tag::TagFault::Empty.to_string();
            self.report(Diagnostic::error("E0402", span, message).label("no device can carry this"));
        }
        !text.is_empty()
    }

    /// Reports why this set cannot remove a live tag.
    pub(super) fn check_removable(&mut self, text: &str, span: Span, allow_reserved: bool) -> bool {
        self.check_live_tag(text, span) && self.check_reserved(text, span, allow_reserved)
    }

    fn check_reserved(&mut self, text: &str, span: Span, allow_reserved: bool) -> bool {
        if tag::is_reserved(text) && !allow_reserved {
            let message = format!(
                "the tag `{}` is reserved: it changes who manages the device's configuration",
                shown(text)
            );
            let finding = Diagnostic::error("E0403", span, message).label("reserved");
            self.report(finding.help(format!(
                "if that is meant, name it: `guard: {{ allowReserved: [{}] }}`",
                tag::RESERVED
            )));
            return false;
        }
        true
    }

    /// Warns about a tag that the portal's filter cannot match.
    pub(super) fn check_portal(&mut self, text: &str, span: Span) {
        if tag::breaks_portal_filter(text) {
            let finding = Diagnostic::warning("W0403", span, format!("`{}` holds one of , ( )", shown(text)));
            self.report(finding.label("the portal cannot filter by it").help("use - _ : / or . instead"));
        }
    }

    /// An entry of a rule's `tags`.
    pub(super) fn tag_expression(
        &mut self,
        node: &Node,
        names: &Names,
        allow_reserved: bool,
    ) -> Option<TagExpression> {
        let text = self.text(node, "a tag")?;
        let parts = self.template_parts(text, node.span, names)?;
        let span = node.span;
        if parts.iter().all(|part| matches!(part, TemplatePart::Literal(_))) {
            let literal: String = parts.iter().map(literal_of).collect();
            self.check_portal(&literal, span);
            let is_tag = self.check_tag(&literal, span, allow_reserved);
            return is_tag.then_some(TagExpression { kind: TagExpressionKind::Literal(literal), span });
        }
        self.check_literals(&parts, span)?;
        let case = self.tag_case;
        let glob: String = parts
            .iter()
            .map(|part| match part {
                // A template's result is composed (NFC), so its pattern is too.
                TemplatePart::Literal(literal) => pattern::escape(&text::compose(literal)),
                TemplatePart::Placeholder { .. } => "*".to_owned(),
            })
            .collect();
        let glob = self.glob("a template", &glob, span, |text| case.parse_glob(text))?;
        let template = Template { source: text.to_owned(), parts, glob };
        Some(TagExpression { kind: TagExpressionKind::Template(template), span })
    }

    /// Reports a template that yields no valid tag for any device.
    fn check_literals(&mut self, parts: &[TemplatePart], span: Span) -> Option<()> {
        let fixed: String = parts.iter().map(literal_of).collect();
        if fixed.trim().is_empty() {
            let message = "a template needs a literal character beside its placeholders";
            // Where the value is missing, every live tag would look like one of this template.
            let help = "name what the value is: `owner:{managedBy}`";
            self.report(
                Diagnostic::error("E0404", span, message).label("any tag could be one of these").help(help),
            );
            return None;
        }
        let edge = |part: Option<&TemplatePart>| part.map_or("", literal_of).to_owned();
        let (first, last) = (edge(parts.first()), edge(parts.last()));
        let fault = if fixed.chars().any(char::is_control) {
            tag::TagFault::Control
        } else if fixed.chars().count() >= tag::MAX_LENGTH {
            tag::TagFault::TooLong
        } else if first.starts_with(char::is_whitespace) || last.ends_with(char::is_whitespace) {
            tag::TagFault::Untrimmed
        } else {
            self.check_portal(&fixed, span);
            return Some(());
        };
        self.report(
            Diagnostic::error("E0402", span, fault.to_string()).label("yields no tag for any device"),
        );
        None
    }

    fn template_parts(&mut self, text: &str, span: Span, names: &Names) -> Option<Vec<TemplatePart>> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut is_sound = true;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{");
            let Some(end) = end else {
                let message = format!("`{brace}` has no partner in the template `{}`", shown(text));
                let finding = Diagnostic::error("E0404", span, message);
                self.report(finding.help(format!("write `{brace}{brace}` for the character itself")));
                return None;
            };
            if !literal.is_empty() {
                parts.push(TemplatePart::Literal(std::mem::take(&mut literal)));
            }
            match self.placeholder(&rest[..end], span, names) {
                Some(placeholder) => parts.push(placeholder),
                None => is_sound = false,
            }
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal));
        }
        is_sound.then_some(parts)
    }

    fn placeholder(&mut self, inside: &str, span: Span, names: &Names) -> Option<TemplatePart> {
        let mut words = inside.split('|').map(str::trim);
        let name = words.next().unwrap_or("");
        let mut filters = Vec::new();
        for word in words {
            filters.push(self.filter(word, span, names)?);
        }
        if name.is_empty() {
            let finding = Diagnostic::error("E0404", span, "the placeholder `{}` names no field");
            self.report(
                finding.help("write a field, as in `{osPlatform|lower}`, or `{{}}` for the characters"),
            );
            return None;
        }
        let field = self.field(name, span, names)?;
        if !matches!(field.kind(), Kind::Text | Kind::Version | Kind::Integer) {
            let kind = super::operators::kind_name(field.kind());
            let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            let message = format!(
                "`{}` is {article} {kind} field; templates take text, version and integer fields",
                shown(name)
            );
            self.report(Diagnostic::error("E0404", span, message));
            return None;
        }
        Some(TemplatePart::Placeholder { field, filters, name: name.to_owned() })
    }
}

impl Reader<'_> {
    /// A filter, as written after `|`.
    fn filter(&mut self, word: &str, span: Span, names: &Names) -> Option<Filter> {
        let (name, operand) = match word.split_once(':') {
            Some((name, operand)) => (name.trim_end(), Some(operand.trim())),
            None => (word, None),
        };
        match (name, operand) {
            ("lower", None) => Some(Filter::Lower),
            ("upper", None) => Some(Filter::Upper),
            ("slug", None) => Some(Filter::Slug),
            ("map", Some(map)) => names.maps.find(self, map, span).map(Filter::Map),
            ("default", Some(text)) => match tag::check(text) {
                Ok(()) => Some(Filter::Default(text.into())),
                Err(fault) => {
                    let message = format!("`default:{}` gives no part of a tag: {fault}", shown(text));
                    self.report(Diagnostic::error("E0404", span, message));
                    None
                }
            },
            ("map" | "default", None) => {
                let (what, form) = match name {
                    "map" => ("a map", "map:NAME"),
                    _ => ("a text", "default:TEXT"),
                };
                let finding =
                    Diagnostic::error("E0404", span, format!("the filter `{name}` names no {}", &what[2..]));
                self.report(finding.help(format!("write {what} behind it: `{{FIELD|{form}}}`")));
                None
            }
            ("lower" | "upper" | "slug", Some(_)) => {
                let finding = Diagnostic::error("E0404", span, format!("the filter `{name}` takes nothing"));
                self.report(finding.help(format!("write `{name}` alone")));
                None
            }
            _ => {
                self.unknown("E0404", span, &format!("filter `{}`", shown(word)), word, &FILTERS);
                None
            }
        }
    }
}

fn literal_of(part: &TemplatePart) -> &str {
    match part {
        TemplatePart::Literal(text) => text,
        TemplatePart::Placeholder { .. } => "",
    }
}

/// The fields that a template reads.
pub(super) fn fields(template: &Template) -> impl Iterator<Item = Field> {
    template.parts.iter().filter_map(|part| match part {
        TemplatePart::Placeholder { field, .. } => Some(*field),
        TemplatePart::Literal(_) => None,
    })
}
