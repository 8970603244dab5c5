//! JSON that is safe in a log and on a screen: escapes characters in a way that readers of JSON do not notice.
//!
//! Decides nothing about content.

use std::io;

use crate::text::is_deceptive;

/// Writes JSON that contains no command of a log reader (`##vso[…]`, `##[…]`) and cannot deceive on a screen: the second of two
/// consecutive `#`, and each deceptive character, becomes an escape. Readers of JSON see the same text.
pub struct JsonLog<W> {
    out: W,
    /// Whether the last character written was a `#`.
    follows_hash: bool,
    /// The start of a character whose rest is in the next write.
    begun: Vec<u8>,
}

impl<W: io::Write> JsonLog<W> {
    /// Escapes everything before it reaches `out`.
    pub fn new(out: W) -> JsonLog<W> {
        JsonLog { out, follows_hash: false, begun: Vec::new() }
    }

    /// Gives the wrapped writer back.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn write_text(&mut self, text: &str) -> io::Result<()> {
        let bytes = text.as_bytes();
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() {
            let plain = plain_length(&bytes[at..]);
            at += plain;
            self.follows_hash &= plain == 0;
            let Some(scalar) = text[at..].chars().next() else { break };
            let is_command = scalar == '#' && self.follows_hash;
            self.follows_hash = scalar == '#';
            let next = at + scalar.len_utf8();
            if is_command || is_escaped(scalar) {
                self.out.write_all(&bytes[start..at])?;
                self.out.write_all(json_escape(scalar).as_bytes())?;
                start = next;
            }
            at = next;
        }
        self.out.write_all(&bytes[start..])
    }
}

/// How many bytes from the beginning need no look: ASCII without `#` and DEL. Documents are nearly all of this kind, and blocks are
/// compared faster than characters.
fn plain_length(bytes: &[u8]) -> usize {
    const BLOCK: usize = 64;
    let is_plain = |byte: &u8| *byte < 0x7f && *byte != b'#';
    // Without a branch inside, so that the compiler compares many bytes at once.
    let is_plain_block = |block: &[u8]| block.iter().fold(true, |all, byte| all & is_plain(byte));
    let blocks = bytes.chunks_exact(BLOCK).take_while(|block| is_plain_block(block)).count() * BLOCK;
    blocks + bytes[blocks..].iter().take(BLOCK).take_while(|byte| is_plain(byte)).count()
}

impl<W: io::Write> io::Write for JsonLog<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let joined;
        let mut rest = bytes;
        if !self.begun.is_empty() {
            joined = [&std::mem::take(&mut self.begun), bytes].concat();
            rest = &joined;
        }
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.write_text(text)?;
                    break;
                }
                Err(error) => {
                    let (whole, more) = rest.split_at(error.valid_up_to());
                    self.write_text(std::str::from_utf8(whole).unwrap_or_default())?;
                    let Some(length) = error.error_len() else {
                        self.begun = more.to_vec();
                        break;
                    };
                    self.out.write_all(&more[..length])?;
                    rest = &more[length..];
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&std::mem::take(&mut self.begun))?;
        self.out.flush()
    }
}

/// Whether a character of JSON is written as an escape. Outside of strings, JSON contains none of these; ASCII control characters
/// are white space there, and already escaped inside.
fn is_escaped(scalar: char) -> bool {
    scalar > '~' && is_deceptive(scalar)
}

/// `\u202e`; two escapes for a character that takes two in UTF-16.
fn json_escape(scalar: char) -> String {
    scalar.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// A small JSON document, indented, as [`JsonLog`] writes it.
pub fn json_document(document: &serde_json::Value) -> String {
    json_text(&format!("{document:#}"))
}

/// Like [`json_document`], for JSON that is already text.
pub fn json_text(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for scalar in json.replace("##", "#\\u0023").chars() {
        if is_escaped(scalar) { safe.push_str(&json_escape(scalar)) } else { safe.push(scalar) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_no_log_command_and_the_same_text() {
        use std::io::Write;
        let name = "a ##vso[task]### ##[group]#";
        let text = serde_json::to_string(name).unwrap();
        let mut out = Vec::new();
        let mut log = JsonLog::new(&mut out);
        text.as_bytes().chunks(3).for_each(|piece| log.write_all(piece).unwrap());
        let written = String::from_utf8(out).unwrap();
        assert!(!written.contains("##"), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), name);
        let document = json_document(&serde_json::json!({ "name": name }));
        assert!(!document.contains("##"), "{document}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap()["name"], name);
    }

    #[test]
    fn json_shows_no_deceptive_character_and_holds_the_same_text() {
        use std::io::Write;
        let name = "é\u{202e}a\u{2028}b\u{85}c\u{9b}31m\u{7f}\u{e0041}設備🙂\u{feff}\r\u{a0}";
        let text = serde_json::to_string(name).unwrap();
        for size in 1..text.len() {
            let mut out = Vec::new();
            let mut log = JsonLog::new(&mut out);
            text.as_bytes().chunks(size).for_each(|piece| log.write_all(piece).unwrap());
            let written = String::from_utf8(out).unwrap();
            assert!(!written.contains(is_deceptive), "{written}");
            assert!(written.contains("é") && written.contains("設備🙂"), "{written}");
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), name);
        }
        let long = serde_json::to_string(&format!("{}{name}{}##", "x".repeat(130), "y".repeat(63))).unwrap();
        let mut out = Vec::new();
        JsonLog::new(&mut out).write_all(long.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), json_text(&long), "blocks and characters agree");
        let mut out = Vec::new();
        JsonLog::new(&mut out).write_all(b"\"\x7f\"").unwrap();
        assert_eq!(out, b"\"\\u007f\"", "a control character in plain ASCII is seen too");
        assert_eq!(serde_json::from_str::<String>(&json_text(&text)).unwrap(), name);
        assert!(!json_text(&text).contains(is_deceptive));
        let mut out = Vec::new();
        let mut log = JsonLog::new(&mut out);
        log.write_all(b"\xff\xe2\x80").unwrap();
        log.flush().unwrap();
        assert_eq!(out, b"\xff\xe2\x80", "what is no text is left as it is");
    }
}
