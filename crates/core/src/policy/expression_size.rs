//! Estimates how large a regular expression gets when it is compiled: a repetition of twelve bytes can take megabytes.
//!
//! Estimates before anything is compiled. All expressions of a policy set share one budget.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The budget of a set, in automaton steps beyond one per written byte. A step takes about a hundred bytes over all automata that
/// contain it.
const MOST_STEPS: u64 = 400_000;

/// The budget of one expression, in the same steps.
const MOST_STEPS_OF_ONE: u64 = 100_000;

/// Steps of a glob's wildcard, because any Unicode scalar is a small automaton of its own.
const STEPS_OF_WILDCARD: u64 = 20;

/// Wildcards of a glob that are free, because names commonly use that many.
const FREE_WILDCARDS: u64 = 4;

/// The deepest nesting of brackets, as in the regex compiler.
pub(super) const NESTED: u32 = 100;

/// The remaining budget of a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    left: u64,
    /// Whether the set's exhaustion was reported.
    told: bool,
}

impl Default for Growth {
    fn default() -> Growth {
        Growth { left: MOST_STEPS, told: false }
    }
}

/// Why an expression is not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TooLarge {
    /// The expression alone.
    One,
    /// All expressions of the set together; reported once.
    Set { first: bool },
}

impl TooLarge {
    pub(super) fn sentence(&self) -> &'static str {
        match self {
            TooLarge::One => "the expression is too large: use fewer or smaller repetitions",
            TooLarge::Set { .. } => "the patterns of this policy set are too large together",
        }
    }
}

impl Growth {
    /// Charges an expression to the budget. If it cannot be parsed, the compiler reports why.
    pub(super) fn take(&mut self, source: &str) -> Result<(), TooLarge> {
        let mut parser = ParserBuilder::new().case_insensitive(true).nest_limit(NESTED).build();
        let Ok(expression) = parser.parse(source) else { return Ok(()) };
        let grown = steps(&expression).saturating_sub(2 * source.len() as u64);
        self.take_steps(grown)
    }

    /// Charges a glob to the budget.
    pub(super) fn take_glob(&mut self, source: &str) -> Result<(), TooLarge> {
        let wildcards = source.bytes().filter(|byte| matches!(byte, b'*' | b'?' | b'[')).count() as u64;
        self.take_steps(wildcards.saturating_sub(FREE_WILDCARDS) * STEPS_OF_WILDCARD)
    }

    fn take_steps(&mut self, grown: u64) -> Result<(), TooLarge> {
        if grown > MOST_STEPS_OF_ONE {
            return Err(TooLarge::One);
        }
        match self.left.checked_sub(grown) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(TooLarge::Set { first: !std::mem::replace(&mut self.told, true) }),
        }
    }
}

/// The estimated number of steps in an expression's automaton.
fn steps(expression: &Hir) -> u64 {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Capture(capture) => steps(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum, part| steps(part).saturating_add(sum))
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            steps(&repetition.sub).saturating_add(1).saturating_mul(u64::from(times))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_repetitions_over_and_over_are_one_too_large_set() {
        let mut growth = Growth::default();
        let taken = (0..300).filter(|number| growth.take(&format!("a{{10000}}{number}")).is_ok()).count();
        assert!((5..40).contains(&taken), "{taken}");
        assert_eq!(growth.take("b{10000}"), Err(TooLarge::Set { first: false }));
        assert_eq!(growth.take("plain"), Ok(()), "what does not grow is always compiled");
    }

    #[test]
    fn globs_of_many_wildcards_are_one_too_large_set_and_those_of_names_cost_nothing() {
        let mut growth = Growth::default();
        let wild = "?".repeat(1000);
        let taken = (0..500).filter(|number| growth.take_glob(&format!("{wild}{number}")).is_ok()).count();
        assert!((5..40).contains(&taken), "{taken}");
        for number in 0..20_000 {
            assert_eq!(growth.take_glob(&format!("*-dc{number}-??.*")), Ok(()));
        }
    }

    #[test]
    fn one_that_is_too_large_alone_costs_nothing_of_the_budget() {
        let mut growth = Growth::default();
        for _ in 0..1000 {
            assert_eq!(growth.take(r"\w{30}{30}N"), Err(TooLarge::One));
        }
        assert_eq!(growth.take(r"a{1000}{1000}{1000}{1000}"), Err(TooLarge::One));
        assert_eq!(growth.take(r"srv\d{3}"), Ok(()));
    }

    #[test]
    fn sets_as_people_write_them_are_far_from_the_budget() {
        let mut growth = Growth::default();
        for number in 0..1000 {
            let source = format!(r"^(dc|ex|sql)-?\d{{2,3}}[a-z]+\.site{number}\.corp\.example\.com$");
            assert_eq!(growth.take(&source), Ok(()), "{number}");
        }
    }
}
