//! Numbers, nouns, shares, causes and places in words: one spelling for every renderer.
//!
//! Does not escape: the text of a cause contains names unchanged, and each renderer escapes for its target.

use crate::apply::Outcome;
use crate::diagnostic::Place;
use crate::plan::Cause;
use crate::plan::Lane;
use crate::plan::Plan;
use crate::time::{Timestamp, spoken};

/// An outcome in a sentence.
pub fn outcome_phrase(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Noop => "so already",
        Outcome::NotAttempted => "not attempted",
        other => other.word(),
    }
}

/// Length as the strictest system counts it (UTF-16 units).
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// `48,210`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 device`, `2 devices`: the count with its noun. Nouns with an irregular plural give it after a `|`: `entry|entries`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", number(count), noun_for(count, noun))
}

/// The noun alone, singular or plural as the count requires.
pub fn noun_for(count: u64, noun: &str) -> String {
    match (noun.split_once('|'), count) {
        (Some((singular, _)), 1) => singular.to_owned(),
        (Some((_, plural)), _) => plural.to_owned(),
        (None, 1) => noun.to_owned(),
        (None, _) => format!("{noun}s"),
    }
}

/// `7.6 %`, `0.03 %`, `<0.01 %`: the share of `part` in `whole`. Rounded half up, but never up to 100 % or down to zero.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return if part == 0 { "0 %".to_owned() } else { "all".to_owned() };
    }
    let scaled =
        |steps: u128| (u128::from(part) * 100 * steps * 2 + u128::from(whole)) / (u128::from(whole) * 2);
    match part {
        0 => "0 %".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        _ if scaled(100) == 0 => "<0.01 %".to_owned(),
        _ if scaled(100) < 10 => format!("0.{:02} %", scaled(100)),
        _ if part < whole && scaled(10) >= 1000 => ">99.9 %".to_owned(),
        _ => format!("{}.{} %", scaled(10) / 10, scaled(10) % 10),
    }
}

/// The end of the sentence "planned because …".
pub fn cause(plan: &Plan, cause: &Cause) -> String {
    match cause {
        Cause::Rule(rules) => rules.iter().map(|rule| rule_name(plan, *rule)).collect::<Vec<_>>().join(", "),
        Cause::Unselected { claim, .. } => format!("unselected: claimed by \"{claim}\""),
        Cause::Family { family, .. } => format!("family: another member of \"{family}\" stays"),
        Cause::Retired { .. } => "retired".to_owned(),
        Cause::Renamed { to, .. } => format!("renamed to \"{to}\""),
        Cause::Default { .. } => "default: no rule gives a value".to_owned(),
        Cause::Restored { run } => format!("restored: a call of run {run} took it along"),
    }
}

/// The name of a rule of the plan.
pub fn rule_name(plan: &Plan, rule: u32) -> &str {
    plan.rules.get(rule as usize).map_or("(unknown rule)", |rule| rule.name.as_str())
}

/// The place of a cause: the first of its rules, or its own place. `None` in a plan without line numbers.
pub fn cause_place<'a>(plan: &'a Plan, cause: &'a Cause) -> Option<&'a Place> {
    let place = match cause {
        Cause::Rule(rules) => &plan.rules.get(*rules.first()? as usize)?.place,
        Cause::Unselected { place, .. }
        | Cause::Family { place, .. }
        | Cause::Retired { place }
        | Cause::Renamed { place, .. }
        | Cause::Default { place } => place,
        Cause::Restored { .. } => return None,
    };
    (!place.file.is_empty()).then_some(place)
}

/// `policies/servers.yaml:12`.
pub fn place(place: &Place) -> String {
    if place.line == 0 { place.file.to_string() } else { format!("{}:{}", place.file, place.line) }
}

/// A lane in a sentence.
pub fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::List => "list",
        Lane::Get => "get",
        Lane::BulkTag => "bulk tag",
        Lane::SingleTag => "single tag",
        Lane::SetValue => "set value",
        Lane::UpdateDevice => "update device",
        Lane::Hunting => "hunting",
    }
}

/// A phrase as the beginning of a sentence.
pub fn capitalised(phrase: &str) -> String {
    let mut letters = phrase.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `2026-11-22T03:00:00Z (3 d before this plan)`: ages of devices count from the plan's time, so a difference of a day is said.
pub(super) fn recorded(read_at: Timestamp, now: Timestamp) -> String {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    let off = match (now.since(read_at), read_at.since(now)) {
        (_, ahead) if ahead > DAY => format!(" ({} after this plan)", spoken(ahead)),
        (age, _) if age > DAY => format!(" ({} before this plan)", spoken(age)),
        _ => String::new(),
    };
    format!("{}{off}", read_at.rounded_down())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_nouns_agree() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "device"), "1 device");
        assert_eq!(counted(2_000, "entry|entries"), "2,000 entries");
    }

    #[test]
    fn shares_never_round_to_nothing_or_to_all() {
        assert_eq!(share(3_201, 41_877), "7.6 %");
        assert_eq!(share(12, 41_877), "0.03 %");
        assert_eq!(share(1, 1_000_000), "<0.01 %");
        assert_eq!(share(999_999, 1_000_000), ">99.9 %");
        assert_eq!(share(312, 1_040), "30.0 %");
        assert_eq!(share(0, 0), "0 %");
    }
}
