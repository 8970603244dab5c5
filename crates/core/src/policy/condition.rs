//! Conditions: one field, its operators, and their operands.
//!
//! `selection` finds the devices that meet them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};

use super::expression_size::{self, TooLarge};
use super::names::Names;
use super::node::{Node, NodeKind, shown};
use super::operators::{Operand, kind_name, operand, operators};
use super::reader::{Reader, suggestion};
use super::{Selector, SelectorKind, Test, TextList};
use crate::device::{Field, Kind};
use crate::diagnostic::{Diagnostic, Span};
use crate::pattern::Glob;
use crate::text;
use crate::time::{Timestamp, parse_duration};

const MAX_PATTERN: usize = 2_000;

/// The most patterns of a set, because a compiled one takes kilobytes.
const MAX_PATTERNS: usize = 20_000;

impl Reader<'_> {
    /// The field of this name; a lookup's column if it starts with `lookup.`.
    pub(super) fn field(&mut self, name: &str, span: Span, names: &Names) -> Option<Field> {
        if let Some(field) = Field::parse(name) {
            return Some(field);
        }
        let Some(column) = name.strip_prefix("lookup.") else {
            let known = names.fields();
            self.unknown_field(name, span, &known);
            return None;
        };
        names.lookup_field(self, column, span)
    }

    fn unknown_field(&mut self, name: &str, span: Span, known: &[&str]) {
        let finding = Diagnostic::error("E0201", span, format!("unknown field `{}`", shown(name)));
        if self.is_full() {
            return self.report(finding);
        }
        let operators = ["all", "any", "not", "use", "superseded", "hunting", "everything"];
        let near = suggestion(name, known).or_else(|| suggestion(name, &operators));
        self.report(match near {
            Some(near) => finding.label(format!("did you mean `{near}`?")).help(format!("write `{near}`")),
            None => finding
                .label("no field of a device, and no entry of a selector")
                .help("the fields are listed in docs/language.md; other entries are all, any, not, use, superseded, hunting, everything"),
        });
    }

    /// One entry `FIELD: CONDITION` of a selector.
    pub(super) fn condition(
        &mut self,
        field: Field,
        name: &str,
        node: &Node,
        names: &Names,
    ) -> Option<Selector> {
        let what = format!("`{}`", shown(name));
        let made = |test| Selector { kind: SelectorKind::Field { field, test }, span: node.span };
        match &node.kind {
            NodeKind::Map(entries) => {
                if entries.is_empty() {
                    let finding = Diagnostic::error("E0203", node.span, format!("{what} has no condition"));
                    self.report(
                        finding.label("no operator").help("write `exists: true` if any value will do"),
                    );
                    return None;
                }
                let known = operators(field.kind());
                let mut parts = Vec::new();
                for entry in entries {
                    if !known.iter().any(|(operator, _)| *operator == entry.key) {
                        self.unknown_operator(field, &what, &entry.key, entry.key_span);
                        continue;
                    }
                    let test = self.operator(
                        field,
                        &format!("`{}` of {what}", entry.key),
                        &entry.key,
                        &entry.value,
                        names,
                    );
                    let span = Span { end: entry.value.span.end.max(entry.key_span.end), ..entry.key_span };
                    parts.extend(
                        test.map(|test| Selector { kind: SelectorKind::Field { field, test }, span }),
                    );
                }
                (parts.len() == entries.len()).then(|| {
                    if parts.len() == 1 {
                        parts.remove(0)
                    } else {
                        Selector { kind: SelectorKind::All(parts), span: node.span }
                    }
                })
            }
            NodeKind::Null => {
                let finding = Diagnostic::error("E0104", node.span, format!("{what} has no condition"));
                self.report(
                    finding.label("nothing here").help("write `exists: false` for devices without a value"),
                );
                None
            }
            NodeKind::List(_) => {
                let operator = if field.kind() == Kind::Tags { "hasAny" } else { "in" };
                if !operators(field.kind()).iter().any(|(known, _)| *known == operator) {
                    self.no_shorthand(field, &what, node);
                    return None;
                }
                self.operator(field, &what, operator, node, names).map(made)
            }
            _ if field.kind() == Kind::Time => {
                self.no_shorthand(field, &what, node);
                None
            }
            _ => {
                let operator = if field.kind() == Kind::Tags { "has" } else { "eq" };
                self.operator(field, &what, operator, node, names).map(made)
            }
        }
    }

    fn no_shorthand(&mut self, field: Field, what: &str, node: &Node) {
        let message = format!(
            "{what} is a {} field and takes no {}",
            kind_name(field.kind()),
            match node.kind {
                NodeKind::List(_) => "list",
                _ => "single value",
            }
        );
        let known: Vec<_> = operators(field.kind()).iter().map(|(name, _)| format!("`{name}`")).collect();
        self.report(
            Diagnostic::error("E0104", node.span, message).help(format!("use one of {}", known.join(", "))),
        );
    }

    fn unknown_operator(&mut self, field: Field, what: &str, operator: &str, span: Span) {
        let known: Vec<&str> = operators(field.kind()).iter().map(|(name, _)| *name).collect();
        let what = format!("operator `{}` for the {} field {what}", shown(operator), kind_name(field.kind()));
        self.unknown("E0202", span, &what, operator, &known);
    }

    fn operator(
        &mut self,
        field: Field,
        what: &str,
        operator: &str,
        node: &Node,
        names: &Names,
    ) -> Option<Test> {
        if operator == "exists" {
            return self.boolean(node, what).map(Test::Exists);
        }
        if let (NodeKind::List(_), Some(Operand::One)) = (&node.kind, operand(field.kind(), operator)) {
            let many = if field.kind() == Kind::Tags { "hasAny` or `hasAll" } else { "in" };
            let finding =
                Diagnostic::error("E0104", node.span, format!("{what} takes one value, found a list"));
            self.report(if matches!(operator, "eq" | "has") {
                finding.help(format!("use `{many}` for a list"))
            } else {
                finding
            });
            return None;
        }
        if operand(field.kind(), operator) == Some(Operand::Many) {
            self.filled_list(node, what)?;
        }
        match field.kind() {
            Kind::Text | Kind::Version => self.text_test(field, what, operator, node, names),
            Kind::Integer => self.integer_test(what, operator, node),
            Kind::Boolean => self.boolean(node, what).map(Test::Boolean),
            Kind::Time => self.time_test(what, operator, node),
            Kind::Address => self.address_test(what, operator, node),
            Kind::Hardware => self.hardware_test(what, operator, node),
            Kind::Tags => self.tag_test(what, operator, node),
        }
    }

    fn text_test(
        &mut self,
        field: Field,
        what: &str,
        operator: &str,
        node: &Node,
        names: &Names,
    ) -> Option<Test> {
        if operator == "inFile" {
            return self.in_file(what, node);
        }
        if matches!(operator, "atLeast" | "below") {
            let version = self.filled_text(node, what)?.to_owned();
            return Some(if operator == "below" {
                Test::VersionBelow(version)
            } else {
                Test::VersionAtLeast(version)
            });
        }
        let texts = self.texts(node, what)?;
        match operator {
            "glob" => self.globs(what, &texts, Glob::text).map(Test::Glob),
            "regex" => self.regexes(what, &texts).map(Test::Regex),
            "eq" | "in" => {
                for (value, span) in &texts {
                    self.check_value(field, value, *span, names);
                }
                Some(Test::Text(TextList {
                    values: distinct(texts.iter().map(|(text, _)| *text)),
                    file: None,
                }))
            }
            _ => {
                for (_, span) in texts.iter().filter(|(text, _)| text.is_empty()) {
                    let finding = Diagnostic::error(
                        "E0208",
                        *span,
                        format!("{what} is empty text, which every value meets"),
                    );
                    self.report(finding.help("write `exists: true` if any value will do"));
                }
                let values = texts.iter().map(|(text, _)| (*text).to_owned()).collect();
                Some(match operator {
                    "startsWith" => Test::StartsWith(values),
                    "endsWith" => Test::EndsWith(values),
                    _ => Test::Contains(values),
                })
            }
        }
    }

    /// Warns about a value that can never hold: empty text is a missing field, and enumerated fields have known words.
    fn check_value(&mut self, field: Field, value: &str, span: Span, _names: &Names) {
        if value.is_empty() {
            let finding = Diagnostic::warning(
                "W0203",
                span,
                "empty text never equals a field: an empty field is missing",
            );
            self.report(finding.help("write `exists: false` for devices without a value"));
            return;
        }
        let known = field.known_values();
        if known.is_empty() || known.iter().any(|word| text::equal(word, value)) {
            return;
        }
        let finding = Diagnostic::warning(
            "W0201",
            span,
            format!("the service has never used `{}` for `{}`", shown(value), field.name()),
        );
        self.report(match suggestion(value, known) {
            Some(near) => finding.label(format!("did you mean `{near}`?")).help(format!("write `{near}`")),
            None => {
                finding.label("matches no device so far").help(format!("known values: {}", known.join(", ")))
            }
        });
    }

    /// Compiles patterns and reports each finding at its pattern's place.
    pub(super) fn globs(
        &mut self,
        what: &str,
        texts: &[(&str, Span)],
        compile: impl Fn(&str) -> Result<Glob, String>,
    ) -> Option<Vec<Glob>> {
        let globs: Vec<_> =
            texts.iter().filter_map(|(text, span)| self.glob(what, text, *span, &compile)).collect();
        (globs.len() == texts.len()).then_some(globs)
    }

    /// Compiles one glob, or a type that contains one, within the budgets.
    pub(super) fn glob<T>(
        &mut self,
        what: &str,
        source: &str,
        span: Span,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let grown = if source.len() <= MAX_PATTERN { self.growth.take_glob(source) } else { Ok(()) };
        self.affords(grown, what, span).then(|| self.pattern(what, source, span, compile)).flatten()
    }

    /// Whether the set's budget has room for a pattern; reports it if not.
    fn affords(&mut self, grown: Result<(), TooLarge>, what: &str, span: Span) -> bool {
        match grown {
            Ok(()) => return true,
            Err(TooLarge::Set { first: false }) => {}
            Err(why @ TooLarge::Set { .. }) => self.report(
                Diagnostic::error("E0110", span, why.sentence())
                    .help("use fewer wildcards and smaller repetitions; put plain names into a file and use `inFile`"),
            ),
            Err(why) => drop(self.parsed::<Regex>(span, what, Err(why.sentence().to_owned()))),
        }
        false
    }

    /// Compiles one pattern within the budgets.
    pub(super) fn pattern<T>(
        &mut self,
        what: &str,
        source: &str,
        span: Span,
        compile: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            if self.patterns == MAX_PATTERNS + 1 {
                let message = format!("the policy set holds more than {MAX_PATTERNS} patterns");
                self.report(
                    Diagnostic::error("E0110", span, message)
                        .help("put plain names into a file and use `inFile`"),
                );
            }
            return None;
        }
        if source.is_empty() || source.len() > MAX_PATTERN {
            let message =
                format!("{what}: a pattern has 1 to {MAX_PATTERN} bytes, this one has {}", source.len());
            self.report(Diagnostic::error("E0208", span, message));
            return None;
        }
        self.parsed(span, what, compile(source))
    }

    fn regexes(&mut self, what: &str, texts: &[(&str, Span)]) -> Option<Vec<Regex>> {
        let compile = |composed: &str| {
            let built = RegexBuilder::new(composed)
                .case_insensitive(true)
                .size_limit(1 << 20)
                .nest_limit(expression_size::NESTED)
                .build();
            built.map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => TooLarge::One.sentence().to_owned(),
                error => regex_message(&error.to_string()),
            })
        };
        let mut regexes = Vec::new();
        for (text, span) in texts {
            let composed = text::compose(text);
            // Checked before anything is compiled, because a refused expression must cost nothing either.
            let grown = if text.len() <= MAX_PATTERN { self.growth.take(&composed) } else { Ok(()) };
            if self.affords(grown, what, *span) {
                regexes.extend(self.pattern(what, text, *span, |_| compile(&composed)));
            }
        }
        (regexes.len() == texts.len()).then_some(regexes)
    }

    fn integer_test(&mut self, what: &str, operator: &str, node: &Node) -> Option<Test> {
        let items = match &node.kind {
            NodeKind::List(items) => items,
            _ => std::slice::from_ref(node),
        };
        let numbers: Vec<i64> = items.iter().filter_map(|item| self.integer(item, what)).collect();
        if numbers.len() != items.len() {
            return None;
        }
        let range = |least: Option<i64>, greatest: Option<i64>| match (least, greatest) {
            (Some(least), Some(greatest)) => Test::IntegerRange { least, greatest },
            // No number is above the greatest or below the least one.
            _ => Test::IntegerRange { least: i64::MAX, greatest: i64::MIN },
        };
        let number = *numbers.first()?;
        Some(match operator {
            "atLeast" => range(Some(number), Some(i64::MAX)),
            "atMost" => range(Some(i64::MIN), Some(number)),
            "above" => range(number.checked_add(1), Some(i64::MAX)),
            "below" => range(Some(i64::MIN), number.checked_sub(1)),
            _ => Test::Integer(numbers),
        })
    }

    fn time_test(&mut self, what: &str, operator: &str, node: &Node) -> Option<Test> {
        if matches!((operator, &node.kind), ("within" | "olderThan", NodeKind::Number(_))) {
            let finding = Diagnostic::error(
                "E0208",
                node.span,
                format!("{what} is a duration, found a number without a unit"),
            );
            self.report(finding.help(format!("write {}d for days", self.sources.text(node.span))));
            return None;
        }
        let text = self.text(node, what)?;
        match operator {
            "within" => self.parsed(node.span, what, parse_duration(text)).map(Test::Within),
            "olderThan" => self.parsed(node.span, what, parse_duration(text)).map(Test::OlderThan),
            "before" => self.parsed(node.span, what, Timestamp::parse(text)).map(Test::Before),
            _ => self.parsed(node.span, what, Timestamp::parse(text)).map(Test::After),
        }
    }

    fn address_test(&mut self, what: &str, operator: &str, node: &Node) -> Option<Test> {
        let texts = self.texts(node, what)?;
        if operator == "cidr" {
            let parse = |text: &str| match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
                (Ok(net), _) => Ok(net.trunc()),
                (_, Ok(address)) => {
                    let all = if address.is_ipv4() { 32 } else { 128 };
                    Err(format!("`{text}` has no prefix length: write `{text}/{all}` for this one address"))
                }
                _ => Err(format!("`{text}` is not a network (10.0.0.0/8, 2001:db8::/32)")),
            };
            let nets: Vec<_> =
                texts.iter().filter_map(|(text, span)| self.parsed(*span, what, parse(text))).collect();
            return (nets.len() == texts.len()).then_some(Test::Cidr(nets));
        }
        let parse = |text: &str| {
            let network = text.parse::<IpNet>().is_ok();
            let hint = if network { "; use `cidr` for a network" } else { " (192.0.2.7, 2001:db8::7)" };
            text.parse().map_err(|_| format!("`{text}` is not an address{hint}"))
        };
        let addresses: Vec<_> =
            texts.iter().filter_map(|(text, span)| self.parsed(*span, what, parse(text))).collect();
        (addresses.len() == texts.len()).then_some(Test::Address(addresses))
    }

    fn hardware_test(&mut self, what: &str, operator: &str, node: &Node) -> Option<Test> {
        let texts = self.texts(node, what)?;
        let parse = |text: &str| {
            let digits: String = text
                .chars()
                .filter(|scalar| !matches!(scalar, ':' | '-' | '.' | ' '))
                .collect::<String>()
                .to_ascii_uppercase();
            let is_whole = operator == "startsWith" || matches!(digits.len(), 12 | 16);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_whole {
                return Ok(digits);
            }
            let form = if operator == "startsWith" {
                "the start of a hardware address (00:50:56)"
            } else {
                "a hardware address (00:50:56:AB:CD:EF)"
            };
            Err(format!("`{text}` is not {form}"))
        };
        let values: Vec<_> =
            texts.iter().filter_map(|(text, span)| self.parsed(*span, what, parse(text))).collect();
        (values.len() == texts.len())
            .then(|| if operator == "startsWith" { Test::StartsWith(values) } else { Test::Hardware(values) })
    }

    fn tag_test(&mut self, what: &str, operator: &str, node: &Node) -> Option<Test> {
        let texts = self.texts(node, what)?;
        if operator == "matches" {
            let case = self.tag_case;
            return self.globs(what, &texts, |text| case.parse_glob(text)).map(Test::TagMatches);
        }
        for (text, span) in &texts {
            self.check_live_tag(text, *span);
        }
        let tags: Vec<String> = texts.iter().map(|(text, _)| (*text).to_owned()).collect();
        Some(match operator {
            "hasAll" => Test::HasAll(tags),
            "hasNone" => Test::HasNone(tags),
            _ => Test::HasAny(tags),
        })
    }
}

/// Values without duplicates, in order.
pub(super) fn distinct<'t>(values: impl Iterator<Item = &'t str>) -> Arc<[String]> {
    let mut seen = std::collections::HashSet::new();
    values.filter(|value| seen.insert(text::fold(value).into_owned())).map(str::to_owned).collect()
}

/// The last line of a regex error. The lines before it repeat the expression.
fn regex_message(error: &str) -> String {
    let last = error.lines().last().unwrap_or(error);
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
