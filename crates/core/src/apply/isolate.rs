//! Finding the bad ids of a rejected call with few further calls.
//!
//! One unknown id fails a whole bulk call (field-reported), so it is cut down to the bad id: by the ids that the message
//! names, else by halves, depth first, so that a tag that the service takes from nobody is known after few calls.

use super::changes::ChangeIndex;

/// How often in a row the names in a message are believed.
const MAX_NAMED: u32 = 3;

/// What is known about a call that was rejected and is being cut down.
#[derive(Clone, Debug, Default)]
pub(super) struct Isolation {
    /// Some device of the call was taken.
    pub(super) has_succeeded: bool,
    /// How often names in a message were believed.
    named: u32,
    /// Codes of single-device calls that failed, and how often.
    codes: Vec<(String, u32)>,
}

impl Isolation {
    /// Whether the names in a message are believed once more. A service that blames one device after the other may mean
    /// the tag: after a few, halves tell more with fewer calls.
    pub(super) fn may_trust_names(&mut self) -> bool {
        self.named += 1;
        self.named <= MAX_NAMED
    }

    /// Notes that a call on one device failed; says whether the tag is at fault: twice the same code, and no device of the
    /// call has been taken.
    pub(super) fn fails_alone(&mut self, code: &str) -> bool {
        let count = match self.codes.iter_mut().find(|(known, _)| known == code) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.codes.push((code.to_owned(), 1));
                1
            }
        };
        count >= 2 && !self.has_succeeded
    }
}

/// Splits the members of a rejected call into those that the message names and the others. A message that names all of
/// them, or none, tells nothing: `None`.
pub(super) fn named<'a>(
    members: &[ChangeIndex],
    id: impl Fn(ChangeIndex) -> &'a str,
    message: &str,
) -> Option<(Vec<ChangeIndex>, Vec<ChangeIndex>)> {
    // Ids are words of `A-Z a-z 0-9 . _ -`; a full stop may also end the sentence.
    let is_id = |scalar: char| scalar.is_ascii_alphanumeric() || matches!(scalar, '.' | '_' | '-');
    let words: std::collections::HashSet<&str> = message
        .split(|scalar| !is_id(scalar))
        .flat_map(|word| [word, word.trim_end_matches('.')])
        .filter(|word| !word.is_empty())
        .collect();
    let (named, others): (Vec<u32>, Vec<u32>) =
        members.iter().partition(|member| words.contains(id(**member)));
    (!named.is_empty() && !others.is_empty()).then_some((named, others))
}

/// Two halves, the first not the smaller.
pub(super) fn halves(members: &[ChangeIndex]) -> (Vec<ChangeIndex>, Vec<ChangeIndex>) {
    let (first, second) = members.split_at(members.len().div_ceil(2));
    (first.to_vec(), second.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ids_are_found_in_prose_and_an_echo_of_all_ids_tells_nothing() {
        let ids = ["aa-1", "bb.2", "cc_3"];
        let split = |message: &str| named(&[0, 1, 2], |member| ids[member as usize], message);
        assert_eq!(split("Failed to find machines: bb.2."), Some((vec![1], vec![0, 2])));
        assert_eq!(split("Failed to find machines: [\"aa-1\",\"cc_3\"]"), Some((vec![0, 2], vec![1])));
        assert_eq!(split("aa-11 is unknown"), None, "only whole ids count");
        assert_eq!(split("bad request aa-1 bb.2 cc_3"), None);
        assert_eq!(split(""), None);
    }

    #[test]
    fn the_tag_is_at_fault_only_while_nobody_took_it() {
        let mut isolation = Isolation::default();
        assert!(!isolation.fails_alone("InvalidInput"));
        assert!(!isolation.fails_alone("Other"));
        assert!(isolation.fails_alone("InvalidInput"));
        let mut taken = Isolation { has_succeeded: true, ..Isolation::default() };
        assert!(!taken.fails_alone("x") && !taken.fails_alone("x"));
    }
}
