//! The part of OData's `$filter` that the service is known to accept: parsed into a tree, then evaluated for each device.
//!
//! Anything else is an error: a filter that is silently ignored would return devices that nobody asked for.

use std::cmp::Ordering;

use crate::filter_words::{Word, split};
use crate::record::{DeviceView, Record};
use mdetag_vocabulary::text::is_guid;
use mdetag_vocabulary::time::Timestamp;

/// The part of the grammar that is accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dialect {
    /// Only the fields of the shorter documented list.
    pub(super) short_list: bool,
    /// `contains`, `endswith`, and `startswith` inside `any`.
    pub(super) functions: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Compare(Operand, Operator, Literal),
    In(Operand, Vec<Literal>),
    Call(Function, Operand, String),
    AnyTag(Box<Filter>),
}

/// The value that a condition reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Property(&'static str),
    /// The variable of `any`.
    Tag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Text(String),
    Integer(i64),
    Boolean(bool),
    Time(Timestamp),
}

/// The longer documented list; `isExcluded` is used by clients in the field.
const PROPERTIES: &[&str] = &[
    "computerDnsName",
    "id",
    "version",
    "deviceValue",
    "aadDeviceId",
    "machineTags",
    "lastSeen",
    "exposureLevel",
    "onboardingStatus",
    "lastIpAddress",
    "healthStatus",
    "osPlatform",
    "riskScore",
    "rbacGroupId",
    "isExcluded",
];
const SHORT_LIST: &[&str] = &[
    "computerDnsName",
    "lastSeen",
    "exposureLevel",
    "healthStatus",
    "osPlatform",
    "onboardingStatus",
    "riskScore",
    "rbacGroupId",
    "isExcluded",
];
/// The deepest nesting. A hostile filter must not exhaust the stack.
const MAX_DEPTH: usize = 100;

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A sentence in the manner of the service.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Filter, String> {
        let mut parser = Parser { words: split(text)?, at: 0, dialect, variable: None, depth: 0 };
        let filter = parser.or()?;
        match parser.peek() {
            None => Ok(filter),
            Some(word) => Err(format!("Syntax error: unexpected '{}' in '{text}'.", word.show())),
        }
    }

    /// Whether a device as shown passes.
    pub(super) fn holds(&self, device: &Record, shown: &DeviceView<'_>) -> bool {
        self.test(&|name| property(device, shown, name), shown, None)
    }

    fn test(&self, get: &dyn Fn(&str) -> Literal, shown: &DeviceView<'_>, tag: Option<&str>) -> bool {
        let read = |operand: &Operand| match operand {
            Operand::Property(name) => get(name),
            Operand::Tag => tag.map_or(Literal::Null, |tag| Literal::Text(tag.to_owned())),
        };
        match self {
            Filter::And(one, other) => one.test(get, shown, tag) && other.test(get, shown, tag),
            Filter::Or(one, other) => one.test(get, shown, tag) || other.test(get, shown, tag),
            Filter::Not(inner) => !inner.test(get, shown, tag),
            Filter::Compare(operand, operator, literal) => operator.holds(&read(operand), literal),
            Filter::In(operand, literals) => {
                let value = read(operand);
                literals.iter().any(|literal| Operator::Eq.holds(&value, literal))
            }
            Filter::Call(function, operand, text) => match read(operand) {
                Literal::Text(value) => match function {
                    Function::StartsWith => value.starts_with(&**text),
                    Function::EndsWith => value.ends_with(&**text),
                    Function::Contains => value.contains(&**text),
                },
                _ => false,
            },
            Filter::AnyTag(inner) => shown.tags.iter().any(|tag| inner.test(get, shown, Some(tag))),
        }
    }
}

fn property(device: &Record, shown: &DeviceView<'_>, name: &str) -> Literal {
    let text = |text: Option<String>| text.map_or(Literal::Null, Literal::Text);
    match name {
        "id" => Literal::Text((*device.id).to_owned()),
        "lastSeen" => shown.last_seen.map_or(Literal::Null, Literal::Time),
        "deviceValue" => text(shown.value.map(|value| value.word().to_owned())),
        "rbacGroupId" => Literal::Integer(i64::from(shown.group.id)),
        "isExcluded" => Literal::Boolean(device.raw(name) == Some("true")),
        "aadDeviceId" => text(device.text(name).map(|id| id.to_ascii_lowercase())),
        other => text(device.text(other)),
    }
}

impl Operator {
    fn parse(word: &str) -> Option<Operator> {
        Some(match word {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            _ => return None,
        })
    }

    /// Null equals only null. Every other comparison with null is false, except `ne`.
    fn holds(self, value: &Literal, literal: &Literal) -> bool {
        let order = match (value, literal) {
            (Literal::Null, Literal::Null) => Some(Ordering::Equal),
            (Literal::Text(one), Literal::Text(other)) => Some(one.cmp(other)),
            (Literal::Integer(one), Literal::Integer(other)) => Some(one.cmp(other)),
            (Literal::Boolean(one), Literal::Boolean(other)) => Some(one.cmp(other)),
            (Literal::Time(one), Literal::Time(other)) => Some(one.cmp(other)),
            _ => None,
        };
        let is_null = *value == Literal::Null || *literal == Literal::Null;
        match (self, order) {
            (Operator::Eq, order) => order == Some(Ordering::Equal),
            (Operator::Ne, order) => order != Some(Ordering::Equal),
            (_, _) if is_null => false,
            (_, None) => false,
            (Operator::Gt, Some(order)) => order.is_gt(),
            (Operator::Ge, Some(order)) => order.is_ge(),
            (Operator::Lt, Some(order)) => order.is_lt(),
            (Operator::Le, Some(order)) => order.is_le(),
        }
    }
}

struct Parser {
    words: Vec<Word>,
    at: usize,
    dialect: Dialect,
    /// The variable of the enclosing `any`.
    variable: Option<String>,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at)
    }

    fn next(&mut self) -> Result<Word, String> {
        let word = self.peek().cloned().ok_or("Syntax error: the filter ends too early.")?;
        self.at += 1;
        Ok(word)
    }

    fn takes(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Name(word)) if word == name);
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, mark: char) -> Result<(), String> {
        match self.next()? {
            Word::Mark(found) if found == mark => Ok(()),
            other => Err(format!("Syntax error: expected '{mark}', found '{}'.", other.show())),
        }
    }

    fn or(&mut self) -> Result<Filter, String> {
        let mut left = self.and()?;
        while self.takes("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, String> {
        let mut left = self.unary()?;
        while self.takes("and") {
            left = Filter::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH || self.words.len() > 20_000 {
            return Err("The node count limit of the filter has been exceeded.".to_owned());
        }
        let filter = if self.takes("not") {
            Filter::Not(Box::new(self.unary()?))
        } else if self.peek() == Some(&Word::Mark('(')) {
            self.mark('(')?;
            let inner = self.or()?;
            self.mark(')')?;
            inner
        } else {
            self.condition()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn condition(&mut self) -> Result<Filter, String> {
        let name = match self.next()? {
            Word::Name(name) => name,
            other => return Err(format!("Syntax error: expected a property, found '{}'.", other.show())),
        };
        let is_call = self.peek() == Some(&Word::Mark('('));
        if is_call && name.eq_ignore_ascii_case("machineTags/any") && self.variable.is_none() {
            return self.any();
        }
        if is_call {
            return self.call(&name);
        }
        let operand = self.operand(&name)?;
        if self.takes("in") {
            self.mark('(')?;
            let mut literals = vec![self.literal(operand)?];
            while self.peek() == Some(&Word::Mark(',')) {
                self.mark(',')?;
                literals.push(self.literal(operand)?);
            }
            self.mark(')')?;
            return Ok(Filter::In(operand, literals));
        }
        let word = self.next()?;
        let operator = match &word {
            Word::Name(name) => Operator::parse(name),
            _ => None,
        };
        let operator = operator.ok_or_else(|| format!("Syntax error: '{}' is no operator.", word.show()))?;
        if operand == Operand::Property("machineTags") {
            return Err("The property 'machineTags' is a collection and cannot be compared.".to_owned());
        }
        Ok(Filter::Compare(operand, operator, self.literal(operand)?))
    }

    fn any(&mut self) -> Result<Filter, String> {
        if self.dialect.short_list {
            return Err("The property 'machineTags' cannot be used in the $filter query option.".to_owned());
        }
        self.mark('(')?;
        let Word::Name(variable) = self.next()? else {
            return Err("Syntax error: expected a variable.".to_owned());
        };
        let Some(variable) = variable.strip_suffix(':') else {
            return Err(format!("Syntax error: expected ':' after '{variable}'."));
        };
        self.variable = Some(variable.to_owned());
        let inner = self.or()?;
        self.variable = None;
        self.mark(')')?;
        Ok(Filter::AnyTag(Box::new(inner)))
    }

    fn call(&mut self, name: &str) -> Result<Filter, String> {
        let function = match name {
            "startswith" => Function::StartsWith,
            "endswith" if self.dialect.functions => Function::EndsWith,
            "contains" if self.dialect.functions => Function::Contains,
            _ => return Err(format!("An unknown function with name '{name}' was found.")),
        };
        self.mark('(')?;
        let Word::Name(operand) = self.next()? else {
            return Err(format!("Syntax error: '{name}' expects a property first."));
        };
        let operand = self.operand(&operand)?;
        if operand == Operand::Tag && !self.dialect.functions {
            return Err(format!("The function '{name}' is not allowed inside 'any'."));
        }
        self.mark(',')?;
        let Word::Text(text) = self.next()? else {
            return Err(format!("Syntax error: '{name}' expects a string."));
        };
        self.mark(')')?;
        Ok(Filter::Call(function, operand, text))
    }

    /// Case is ignored: the documentation writes both `ComputerDnsName` and `computerDnsName`.
    fn operand(&self, name: &str) -> Result<Operand, String> {
        if self.variable.as_deref() == Some(name) {
            return Ok(Operand::Tag);
        }
        let list = if self.dialect.short_list { SHORT_LIST } else { PROPERTIES };
        let known = list.iter().find(|known| known.eq_ignore_ascii_case(name));
        let unknown = || format!("The property '{name}' cannot be used in the $filter query option.");
        known.map(|known| Operand::Property(known)).ok_or_else(unknown)
    }

    fn literal(&mut self, operand: Operand) -> Result<Literal, String> {
        let literal = match self.next()? {
            Word::Text(text) if operand == Operand::Property("aadDeviceId") => {
                Literal::Text(text.to_ascii_lowercase())
            }
            Word::Text(text) => Literal::Text(text),
            Word::Name(name) => match &*name {
                "null" => Literal::Null,
                "true" => Literal::Boolean(true),
                "false" => Literal::Boolean(false),
                // A GUID needs no quotes in a filter; clients that filter by this field also quote it.
                id if operand == Operand::Property("aadDeviceId") && is_guid(id) => {
                    Literal::Text(id.to_ascii_lowercase())
                }
                number if number.parse::<i64>().is_ok() => Literal::Integer(number.parse().unwrap_or(0)),
                time => Literal::Time(
                    time_of(time).ok_or_else(|| format!("Syntax error: '{time}' is no literal."))?,
                ),
            },
            other => return Err(format!("Syntax error: expected a literal, found '{}'.", other.show())),
        };
        let fits = match operand {
            Operand::Property("lastSeen") => matches!(literal, Literal::Time(_) | Literal::Null),
            Operand::Property("rbacGroupId") => matches!(literal, Literal::Integer(_) | Literal::Null),
            Operand::Property("isExcluded") => matches!(literal, Literal::Boolean(_) | Literal::Null),
            _ => matches!(literal, Literal::Text(_) | Literal::Null),
        };
        let name = if let Operand::Property(name) = operand { name } else { "tag" };
        fits.then_some(literal).ok_or_else(|| {
            format!("A binary operator with incompatible types was detected for the property '{name}'.")
        })
    }
}

/// `2018-08-01Z`, a bare date, or a full time.
fn time_of(text: &str) -> Option<Timestamp> {
    let bare = text.strip_suffix('Z').filter(|rest| rest.len() == 10);
    Timestamp::parse(bare.unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Fleet;
    use crate::record::{ShownOrigins, Viewer};

    fn passes(filter: &str) -> bool {
        let mut fleet = Fleet::default();
        let device = serde_json::json!({
            "id": "a1", "computerDnsName": "O'Hara.corp", "lastSeen": "2026-08-30T21:07:19.4471938Z", "osPlatform": "Windows11",
            "machineTags": ["A", "it's"], "rbacGroupId": 140, "isExcluded": false, "riskScore": null
        });
        fleet.insert(&device).unwrap();
        let filter = Filter::parse(filter, Dialect::default()).unwrap();
        let device = &fleet.devices[0];
        filter.holds(device, &device.shown(Timestamp::EPOCH, Viewer::List, ShownOrigins::All))
    }

    #[test]
    fn the_documented_forms_hold() {
        for filter in [
            "ComputerDnsName eq 'O''Hara.corp'",
            "lastSeen gt 2018-08-01Z",
            "lastSeen ge 2026-08-30T21:07:19.4471938Z and lastSeen lt 2026-08-31T00:00:00Z",
            "startswith(computerDnsName,'O''H')",
            "machineTags/any(tag: tag eq 'it''s')",
            "not (machineTags/any(v: v eq 'B'))",
            "rbacGroupId eq 140 and isExcluded eq false",
            "osPlatform in ('x', 'Windows11')",
            "riskScore eq null and computerDnsName ne null",
            "id eq 'x' or (id eq 'a1' and deviceValue eq 'Normal')",
            "riskScore ne 'High'",
        ] {
            assert!(passes(filter), "{filter}");
        }
        for filter in ["riskScore lt 'x'", "lastSeen eq null", "not (id eq 'a1')", "id eq 'A1'"] {
            assert!(!passes(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_not_documented_is_refused() {
        for filter in [
            "firstSeen gt 2018-08-01Z",
            "contains(computerDnsName,'x')",
            "endswith(computerDnsName,'x')",
            "machineTags/any(v: startswith(v,'x'))",
            "machineTags eq 'x'",
            "lastSeen gt 'x'",
            "id eq 'x",
            "id eq",
            "id is 'x'",
            "id eq 'x' id",
            "",
        ] {
            assert!(Filter::parse(filter, Dialect::default()).is_err(), "{filter}");
        }
        let deep = format!("{}id eq 'x'{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Filter::parse(&deep, Dialect::default()).is_err());
    }
}
