//! Faults of single calls and when they strike: on the n-th call of a route, on every n-th, or by chance.
//!
//! Says only that a fault is due. `dispatch` applies it to the answer.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use crate::random::Random;
use crate::routes::Route;
use mdetag_vocabulary::diagnostic::did_you_mean;

macro_rules! faults {
    ($($variant:ident $name:literal $mark:literal $meaning:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $meaning] $variant,)*
        }

        impl Fault {
            /// All faults. If several are due, the first in this list strikes.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant),*];

            /// The name in `NAME=VALUE`.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name),* }
            }

            /// How the fault is known: see [`super::SwitchRow::mark`].
            pub fn mark(self) -> &'static str {
                match self { $(Fault::$variant => $mark),* }
            }

            pub fn meaning(self) -> &'static str {
                match self { $(Fault::$variant => $meaning),* }
            }
        }
    };
}

faults! {
    ResetBefore "reset_before" "F" "The connection closes without an answer; nothing was done.";
    ResetAfter "reset_after" "F" "The connection closes without an answer; the write was done.";
    AppliedBut500 "applied_but_500" "F" "The write was done, the answer is an empty 500.";
    Throttle "throttle" "D" "429 with `Retry-After: 5`.";
    ThrottleSilent "throttle_silent" "A" "429 without `Retry-After`.";
    ThrottleDate "throttle_date" "A" "429 with `Retry-After` as an HTTP date five seconds ahead.";
    ThrottleZero "throttle_zero" "A" "429 with `Retry-After: 0`.";
    ThrottleLong "throttle_long" "F" "429 with a `Retry-After` of 40 minutes.";
    ThrottleFraction "throttle_fraction" "A" "429 with `Retry-After: 2.5`.";
    ThrottleGarbled "throttle_garbled" "A" "429 with `Retry-After: soon`.";
    Empty500 "empty_500" "D" "An empty 500; nothing was done.";
    InternalError "internal_error" "D" "A 500 with `InternalServerError` and no message; nothing was done.";
    Html502 "html_502" "F" "A gateway's 502 in HTML; nothing was done.";
    Html503 "html_503" "F" "A gateway's 503 in HTML; nothing was done.";
    Html503Wait "html_503_wait" "F" "A gateway's 503 in HTML with `Retry-After: 5`; nothing was done.";
    TokenExpired "token_expired" "D" "401, as if the token had just expired; nothing was done.";
    Forbidden "forbidden" "D" "403; nothing was done.";
    NotFound "not_found" "F" "404 for a device that exists; nothing was done.";
    Truncated "truncated" "F" "200 whose JSON ends in the middle; the write was done.";
    CutOff "cut_off" "F" "200 whose connection closes in the middle of the body; the write was done.";
    Drip "drip" "A" "200 whose body comes a byte at a time, `drip_ms` apart; the write was done.";
    Endless1xx "endless_1xx" "A" "102 again and again and never an answer; the write was done.";
    Slow "slow" "F" "The answer takes `slow_ms` longer; the write is done before it.";
}

impl Fault {
    /// The fault of this name.
    pub(super) fn parse(name: &str) -> Option<Fault> {
        Fault::ALL.iter().copied().find(|fault| fault.name() == name)
    }
}

/// Separators within one value. A comma also separates settings on the command line, so `+` is the usual one.
pub(super) const LIST_MARKS: [char; 2] = ['+', ','];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Always,
    /// The calls with these numbers, counted from 1, both included.
    Calls(u64, u64),
    /// Each call whose number is a multiple of this.
    Every(u64),
    /// By chance; the number is in ten-thousandths.
    Chance(u64),
}

/// A fault and the calls that it strikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FaultRule {
    pub(super) fault: Fault,
    /// `None`: the calls of all machine routes count together.
    pub(super) route: Option<Route>,
    pub(super) when: When,
}

impl FaultRule {
    /// Reads `off`, or rules joined by `+`.
    ///
    /// # Errors
    /// A sentence that shows the forms.
    pub(super) fn parse(fault: Fault, value: &str) -> Result<Vec<FaultRule>, String> {
        if value == "off" {
            return Ok(Vec::new());
        }
        let rule = |text: &str| {
            let (route, when) = match text.split_once(':') {
                Some((name, when)) => (Some(route(name)?), when),
                None => (None, text),
            };
            let when = When::parse(when).ok_or_else(|| {
                format!(
                    "`{}` takes off or [ROUTE:]WHEN, where WHEN is a call (3), calls (3-5), every fifth (/5), a chance (10%) or always, not `{value}`",
                    fault.name()
                )
            })?;
            Ok(FaultRule { fault, route, when })
        };
        value.split(LIST_MARKS).map(|text| rule(text.trim())).collect()
    }

    /// The text that [`FaultRule::parse`] reads.
    pub(super) fn value(&self) -> String {
        let when = match self.when {
            When::Always => "always".to_owned(),
            When::Calls(first, last) if first == last => first.to_string(),
            When::Calls(first, last) => format!("{first}-{last}"),
            When::Every(step) => format!("/{step}"),
            When::Chance(units) if units.is_multiple_of(100) => format!("{}%", units / 100),
            When::Chance(units) => format!("{}.{:02}%", units / 100, units % 100),
        };
        self.route.map_or(when.clone(), |route| format!("{}:{when}", route.name()))
    }

    /// Whether the fault strikes this call, which is number `of_route` of its route and `of_all` of all.
    pub(super) fn is_due(&self, route: Route, of_route: u64, of_all: u64, random: &mut Random) -> bool {
        let number = match self.route {
            Some(other) if other != route => return false,
            Some(_) => of_route,
            // A fault without a route counts the machine routes only, and spares sign-in and unknown paths.
            None if !route.is_counted() => return false,
            None => of_all,
        };
        match self.when {
            When::Always => true,
            When::Calls(first, last) => (first..=last).contains(&number),
            When::Every(step) => number.is_multiple_of(step),
            When::Chance(units) => random.below(10_000) < units,
        }
    }
}

impl When {
    fn parse(text: &str) -> Option<When> {
        let whole = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
        if text == "always" {
            return Some(When::Always);
        }
        if let Some(step) = text.strip_prefix('/') {
            return whole(step).map(When::Every);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let share = percent.parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share))?;
            return Some(When::Chance((share * 100.0).round() as u64));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (whole(first)?, whole(last)?);
        (first <= last).then_some(When::Calls(first, last))
    }
}

fn route(name: &str) -> Result<Route, String> {
    Route::ALL.iter().copied().find(|route| route.name() == name).ok_or_else(|| {
        let names = Route::ALL.iter().map(|route| route.name());
        let near = did_you_mean(name, names.clone());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("`{name}` is no route ({}){hint}", names.collect::<Vec<_>>().join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_counts_the_calls_of_its_route() {
        let rules = FaultRule::parse(Fault::Html502, "bulkTag:2-3+setValue:/2").unwrap();
        let mut random = Random::new(1);
        let mut due = |route, number| rules.iter().any(|rule| rule.is_due(route, number, 99, &mut random));
        assert!(!due(Route::BulkTag, 1) && due(Route::BulkTag, 2) && due(Route::BulkTag, 3));
        assert!(due(Route::SetValue, 4) && !due(Route::SetValue, 5) && !due(Route::List, 2));
    }

    #[test]
    fn wrong_rules_are_explained() {
        assert!(FaultRule::parse(Fault::Slow, "bulkTags:3").unwrap_err().contains("did you mean `bulkTag`"));
        for wrong in ["0", "5-3", "/0", "101%", "", "x"] {
            assert!(FaultRule::parse(Fault::Slow, wrong).unwrap_err().contains("WHEN"), "{wrong}");
        }
    }
}
