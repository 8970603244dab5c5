//! Error texts without the parts that differ from call to call, so that each cause is one group, however many calls met it.
//!
//! The service puts a request id, a time or the device's id into its texts.

use std::borrow::Cow;

/// The number of hexadecimal digits from which a word is an id: half a trace id. Words of a language have fewer.
const ID_DIGITS: usize = 16;

/// The text with each id and time replaced by `…`. `device` is the id of the device that the text is about.
pub(super) fn alike<'a>(error: &'a str, device: &str) -> Cow<'a, str> {
    let is_word = |scalar: char| scalar.is_alphanumeric() || matches!(scalar, '-' | ':' | '.' | '+' | '_');
    let mut kept = String::new();
    let mut rest = error;
    let mut is_changed = false;
    while !rest.is_empty() {
        let word_start = rest.find(is_word).unwrap_or(rest.len());
        kept.push_str(&rest[..word_start]);
        rest = &rest[word_start..];
        let (word, after) = rest.split_at(rest.find(|scalar| !is_word(scalar)).unwrap_or(rest.len()));
        let core = word.trim_matches(['.', ':', '-', '_']);
        if !core.is_empty() && (core == device || is_id(core) || is_time(core)) {
            kept.push_str(&word.replacen(core, "…", 1));
            is_changed = true;
        } else {
            kept.push_str(word);
        }
        rest = after;
    }
    if is_changed { Cow::Owned(kept) } else { Cow::Borrowed(error) }
}

/// Whether a word is a UUID, a device id or a trace id.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    digits >= ID_DIGITS
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'.' | b'_' | b':'))
}

/// `2026-11-26T12:00:00.1234567Z`, `2026-11-26`, `12:00:00`.
fn is_time(word: &str) -> bool {
    let parts: Vec<&str> =
        word.split(['-', ':', 'T', 't', '.', '+', 'Z', 'z']).filter(|part| !part.is_empty()).collect();
    let is_spelled = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    let is_date = word.as_bytes().get(4) == Some(&b'-') && word.as_bytes().get(7) == Some(&b'-');
    let is_clock = word.matches(':').count() == 2;
    is_spelled && parts.len() >= 3 && (is_date || is_clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_are_left_out_and_words_are_kept() {
        let device = "1e5bc9d7e413ddd7902c2932e418702b84d0cc07";
        for text in [
            "BadRequest: device 1e5bc9d7e413ddd7902c2932e418702b84d0cc07 (request 4b2b6e9e-8a3b-4b6e-9b4c-0a1b2c3d4e5f) at 2026-11-26T12:00:00.1234567Z.",
            "BadRequest: device 2f5bc9d7e413ddd7902c2932e418702b84d0cc08 (request 00000000-8a3b-4b6e-9b4c-0a1b2c3d4e5f) at 2026-11-27T01:59:59Z.",
        ] {
            assert_eq!(alike(text, device), "BadRequest: device … (request …) at ….");
        }
        assert_eq!(alike("|c1037411-419b1e1d4c8c2b4e.: no", device), "|….: no");
        assert_eq!(alike("device pc-7 is gone", "pc-7"), "device … is gone");
    }

    #[test]
    fn what_tells_causes_apart_stays() {
        for text in [
            "HTTP 429 after 3 attempts",
            "limit 100 of 1500",
            "decade",
            "tag env-2026-11 is bad",
            "10.0.0.1:443",
            "v1.2.3",
            "",
        ] {
            assert_eq!(alike(text, "x"), text);
        }
    }
}
