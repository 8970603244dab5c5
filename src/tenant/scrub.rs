//! Removes the secrets that this process has sent from every answer, before anything else sees it.
//!
//! Covers each secret and any part of it from 23 bytes up, as sent and in base64, and both under the escapes of JSON, URLs and
//! HTML in any number of layers, because readers of the answer decode them afterwards.
//! Does not know what an answer means.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, Input};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use super::decoded::Decoded;

/// Replaces a secret. Valid inside a JSON text.
pub(super) const REDACTED: &[u8] = b"[redacted]";

/// Bytes of a block. A part of a secret counts from twice this length on, because it then contains a whole block, wherever it was
/// cut.
const BLOCK: usize = 12;
/// Layers of escapes that are decoded.
const LAYERS: usize = 6;
/// Shorter texts occur by chance and are not secrets.
const SHORTEST: usize = 4;
/// Number of secrets that are remembered. A run renews its token once an hour, and a sign-in makes a new assertion per try.
const REMEMBERED: usize = 32;

/// The secrets in use: tokens, client secret, assertions, headers of credential services.
#[derive(Clone, Default)]
pub(super) struct SecretsInUse(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The latest last.
    secrets: VecDeque<SecretString>,
    scrubber: Option<Arc<Scrubber>>,
}

impl fmt::Debug for SecretsInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretsInUse")
    }
}

impl SecretsInUse {
    /// Adds a secret. Called before it is sent.
    pub(super) fn add(&self, secret: &SecretString) {
        let text = secret.expose_secret();
        if text.len() < SHORTEST {
            return;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &SecretString| known.expose_secret() == text;
        // Every sign-in sends the client secret, so it stays among the latest.
        let known = match state.secrets.iter().position(same) {
            Some(at) => state.secrets.remove(at),
            None => None,
        };
        if known.is_none() {
            state.scrubber = None;
        }
        state.secrets.push_back(secret.clone());
        if state.secrets.len() > REMEMBERED {
            state.secrets.pop_front();
        }
    }

    /// The answer's text without any secret; `None` if it contains none.
    pub(super) fn scrubbed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let scrubber = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.secrets.is_empty() {
                return None;
            }
            match &state.scrubber {
                Some(scrubber) => scrubber.clone(),
                None => {
                    let scrubber =
                        Arc::new(Scrubber::new(state.secrets.iter().map(ExposeSecret::expose_secret)));
                    state.scrubber = Some(scrubber.clone());
                    scrubber
                }
            }
        };
        scrubber.scrubbed(bytes)
    }
}

/// Finds every block of every form of every secret in one pass.
struct Scrubber {
    /// `None` only if the automaton could not be built; then every answer counts as a secret.
    automaton: Option<AhoCorasick>,
    /// For each pattern, every form that contains it, and where: tokens of one service start alike.
    places: Vec<Vec<(usize, usize)>>,
    forms: Vec<Vec<u8>>,
}

impl Scrubber {
    fn new<'s>(secrets: impl Iterator<Item = &'s str>) -> Scrubber {
        let forms: BTreeSet<Vec<u8>> = secrets.flat_map(forms).collect();
        let forms: Vec<Vec<u8>> = forms.into_iter().collect();
        let mut blocks: BTreeMap<&[u8], Vec<(usize, usize)>> = BTreeMap::new();
        for (index, form) in forms.iter().enumerate() {
            let length = form.len().min(BLOCK);
            // The last block ends where the form ends, so that its tail is covered too.
            let last = form.len() - length;
            for start in (0..last).step_by(BLOCK).chain([last]) {
                blocks.entry(&form[start..start + length]).or_default().push((index, start));
            }
        }
        let automaton = AhoCorasick::new(blocks.keys()).ok();
        let places = blocks.into_values().collect();
        Scrubber { automaton, places, forms }
    }

    fn scrubbed(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Some(automaton) = &self.automaton else { return Some(REDACTED.to_vec()) };
        let mut parts = self.parts(automaton, bytes);
        let mut layers: Vec<Decoded> = Vec::new();
        while layers.len() < LAYERS
            && let Some(layer) = Decoded::of(layers.last().map_or(bytes, |layer| &layer.bytes))
        {
            let found = self.parts(automaton, &layer.bytes);
            layers.push(layer);
            let back = |part| layers.iter().rev().fold(part, |part, layer: &Decoded| layer.source(part));
            parts.extend(found.into_iter().map(back));
        }
        if parts.is_empty() {
            return None;
        }
        parts.sort_unstable_by_key(|part| (part.start, part.end));
        let mut clean = Vec::with_capacity(bytes.len());
        let mut kept = 0;
        for part in parts {
            if part.end <= kept {
                continue;
            }
            // A part that overlaps the previous one is the same text at another layer.
            if part.start >= kept {
                clean.extend_from_slice(&bytes[kept..part.start]);
                clean.extend_from_slice(REDACTED);
            }
            kept = part.end;
        }
        clean.extend_from_slice(&bytes[kept..]);
        Some(clean)
    }

    /// The parts of a text that are a secret or a long part of one.
    fn parts(&self, automaton: &AhoCorasick, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while let Some(found) = automaton.find(Input::new(bytes).span(at..bytes.len())) {
            let part = self.extended(bytes, found.range(), found.pattern().as_usize());
            at = part.end;
            parts.push(part.start.max(parts.last().map_or(0, |last| last.end))..part.end);
        }
        parts
    }

    /// As much of any secret as surrounds one of its blocks.
    fn extended(&self, bytes: &[u8], found: Range<usize>, pattern: usize) -> Range<usize> {
        let around = |(form, place): &(usize, usize)| {
            let form = &self.forms[*form];
            let before = form[..*place].iter().rev().zip(bytes[..found.start].iter().rev());
            let after = form[place + found.len()..].iter().zip(&bytes[found.end..]);
            let start = found.start - before.take_while(|(one, other)| one == other).count();
            start..found.end + after.take_while(|(one, other)| one == other).count()
        };
        let parts = self.places[pattern].iter().map(around);
        parts.fold(found.clone(), |widest, part| widest.start.min(part.start)..widest.end.max(part.end))
    }
}

/// The ways in which a service may write what it was sent, apart from escapes.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = vec![secret.into()];
    for shift in 0..3 {
        // The secret may be anywhere in the encoded text: three alignments, without the characters at both ends that also depend
        // on the neighbours.
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret.as_bytes());
        let (first, last) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            forms.push(text.as_bytes()[first..last].to_vec());
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Xq8~kL/3+vR.92_mZ&tPw7=uYb4cDfGh";

    fn scrub(secret: &str, text: &str) -> String {
        let secrets = SecretsInUse::default();
        secrets.add(&SecretString::from(secret.to_owned()));
        secrets.scrubbed(text.as_bytes()).map_or(text.to_owned(), |clean| String::from_utf8(clean).unwrap())
    }

    #[test]
    fn each_form_of_a_secret_is_taken_out_and_the_rest_stays() {
        let text = STANDARD_NO_PAD.encode(format!("client:{SECRET}"));
        let each = |form: fn(u8) -> String| SECRET.bytes().map(form).collect::<String>();
        let written = [
            SECRET.to_owned(),
            super::super::percent::encode(SECRET),
            super::super::percent::encode(SECRET).replace("%2F", "%2f"),
            each(|byte| format!("%{byte:02X}")),
            each(|byte| format!("%{byte:02x}")),
            each(|byte| format!("%25{byte:02x}")),
            each(|byte| format!("\\u{byte:04x}")),
            each(|byte| format!("\\u{byte:04X}")),
            each(|byte| format!("\\\\u{byte:04x}")),
            each(|byte| format!("\\\\\\\\u{byte:04x}")),
            each(|byte| format!("%5Cu{byte:04x}")),
            each(|byte| format!("&#x{byte:x};")),
            each(|byte| format!("&#{byte};")),
            SECRET.replace('/', "\\/"),
            SECRET.replace('+', "\\u002B").replace('&', "\\u0026"),
            SECRET.replace('&', "&amp;"),
        ];
        for form in written {
            assert_eq!(scrub(SECRET, &format!("a {form} b {form}")), "a [redacted] b [redacted]", "{form}");
        }
        for padding in ["", "x", "xy", "xyz"] {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let form = engine.encode(format!("{padding}{SECRET}{padding}"));
                let clean = scrub(SECRET, &form);
                // At most the two characters at each end that the neighbours influence remain.
                assert!(
                    clean.contains("[redacted]") && clean.len() <= 10 + 2 * (padding.len() * 2 + 2),
                    "{clean}"
                );
            }
        }
        assert!(!scrub(SECRET, &text).contains(&text[12..24]));
        assert_eq!(scrub(SECRET, "nothing of it"), "nothing of it");
    }

    #[test]
    fn every_long_part_of_a_token_is_taken_out() {
        let mut state = 1u32;
        let mut letter = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (state >> 24) as u8 % 26)
        };
        let token: String = (0..2000).map(&mut letter).collect();
        for start in [0, 1, 7, 500, 1977] {
            for length in [23, 24, 40] {
                let part = &token[start..(start + length).min(token.len())];
                let clean = scrub(&token, &format!("<{part}>"));
                assert_eq!(clean, "<[redacted]>", "{start} {length}");
            }
        }
    }

    #[test]
    fn short_secrets_are_found_whole_and_trifles_are_none() {
        assert_eq!(scrub("hunter2", "is hunter2!"), "is [redacted]!");
        assert_eq!(scrub("abc", "abc"), "abc");
    }

    #[test]
    fn the_client_secret_is_remembered_however_many_tokens_follow() {
        let secrets = SecretsInUse::default();
        for round in 0..100 {
            secrets.add(&SecretString::from("hunter2".to_owned()));
            secrets.add(&SecretString::from(format!("token-number-{round}")));
        }
        assert_eq!(secrets.scrubbed(b"hunter2 token-number-99").unwrap(), b"[redacted] [redacted]");
    }
}
