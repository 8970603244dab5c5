//! A text with its escapes decoded, and the way back to the source bytes.
//!
//! Decodes the escapes of JSON, of URLs and of HTML anywhere, one layer at a time. Judges nothing.

use std::ops::Range;

/// A decoded text.
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// After each escape, the decoded offset and the source offset, which differ from there on.
    steps: Vec<(u32, u32)>,
    /// The decoded offset of each escape's start, in the order of `steps`.
    starts: Vec<u32>,
}

impl Decoded {
    /// `None` if the text has no escape, or is longer than any answer.
    pub(super) fn of(source: &[u8]) -> Option<Decoded> {
        let first = source.iter().position(|byte| is_mark(*byte))?;
        u32::try_from(source.len()).ok()?;
        let mut decoded = Decoded { bytes: Vec::new(), steps: Vec::new(), starts: Vec::new() };
        let (mut kept, mut at) = (0, first);
        while at < source.len() {
            let escape = if is_mark(source[at]) { escape(&source[at..]) } else { None };
            let Some((length, scalar)) = escape else {
                at += 1;
                continue;
            };
            decoded.bytes.extend_from_slice(&source[kept..at]);
            decoded.starts.push(decoded.bytes.len() as u32);
            match scalar {
                Decoding::Byte(byte) => decoded.bytes.push(byte),
                Decoding::Scalar(scalar) => {
                    decoded.bytes.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            at += length;
            kept = at;
            decoded.steps.push((decoded.bytes.len() as u32, at as u32));
        }
        decoded.bytes.extend_from_slice(&source[kept..]);
        (!decoded.steps.is_empty()).then_some(decoded)
    }

    /// The source bytes of this part, with whole escapes.
    pub(super) fn source(&self, part: Range<usize>) -> Range<usize> {
        let before = self.steps.partition_point(|(here, _)| *here as usize <= part.start);
        // The part starts inside an escape of several bytes, or after the last one.
        let start = match self.starts.get(before) {
            Some(start) if (*start as usize) < part.start => self.source_of(before, *start as usize),
            _ => self.source_of(before, part.start),
        };
        let passed = self.starts.partition_point(|start| (*start as usize) < part.end);
        let end = match passed.checked_sub(1).map(|last| self.steps[last]) {
            Some((here, there)) if here as usize >= part.end => there as usize,
            _ => self.source_of(passed, part.end),
        };
        start..end
    }

    /// The source offset of a decoded offset that follows this many escapes.
    fn source_of(&self, escapes: usize, place: usize) -> usize {
        let (here, there) = escapes.checked_sub(1).map_or((0, 0), |last| self.steps[last]);
        there as usize + (place - here as usize)
    }
}

/// The most digits of a number in HTML that are read.
const MOST_DIGITS: usize = 8;

/// The meaning of an escape.
enum Decoding {
    Byte(u8),
    Scalar(char),
}

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'\\' | b'%' | b'&')
}

/// The escape at the start of a text: its length and its meaning.
fn escape(text: &[u8]) -> Option<(usize, Decoding)> {
    match text {
        [b'%', high, low, ..] => {
            let byte = nibble(*high)? << 4 | nibble(*low)?;
            Some((3, Decoding::Byte(byte)))
        }
        [b'\\', b'u' | b'U', digits @ ..] => {
            let unit = hex(digits.get(..4)?)?;
            if let Some(scalar) = char::from_u32(unit) {
                return Some((6, Decoding::Scalar(scalar)));
            }
            let low = digits.get(4..)?.strip_prefix(b"\\u").and_then(|digits| hex(digits.get(..4)?))?;
            let pair = [u16::try_from(unit).ok()?, u16::try_from(low).ok()?];
            let scalar = char::decode_utf16(pair).next()?.ok()?;
            Some((12, Decoding::Scalar(scalar)))
        }
        [b'\\', b'x', high, low, ..] => Some((4, Decoding::Byte(nibble(*high)? << 4 | nibble(*low)?))),
        [b'\\', quoted @ (b'\\' | b'"' | b'/' | b'\''), ..] => Some((2, Decoding::Byte(*quoted))),
        [b'&', rest @ ..] => entity(rest),
        _ => None,
    }
}

/// The entity after `&` in HTML. The `;` may be missing, as HTML readers allow; then all following digits count.
fn entity(text: &[u8]) -> Option<(usize, Decoding)> {
    const NAMES: [(&[u8], char); 5] =
        [(b"amp", '&'), (b"lt", '<'), (b"gt", '>'), (b"quot", '"'), (b"apos;", '\'')];
    let (length, scalar) = match text {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16, 2)?,
        [b'#', digits @ ..] => number(digits, 10, 1)?,
        _ => {
            let (name, scalar) = NAMES.iter().find(|(name, _)| text.starts_with(name))?;
            (name.len(), *scalar)
        }
    };
    let end = usize::from(text.get(length) == Some(&b';'));
    Some((1 + length + end, Decoding::Scalar(scalar)))
}

/// A scalar by its number, and the number of bytes with the preceding mark.
fn number(text: &[u8], radix: u32, mark: usize) -> Option<(usize, char)> {
    let digits = text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    // No number of a scalar is longer, except for leading zeros.
    let digits = digits.min(MOST_DIGITS);
    let number = u32::from_str_radix(std::str::from_utf8(&text[..digits]).ok()?, radix).ok()?;
    Some((mark + digits, char::from_u32(number)?))
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | u32::from(nibble(*digit)?)))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_leads_back_to_the_whole_escapes_that_said_it() {
        let source = r"a\u0062c%64&#101;&amp;\/\ud83d\ude00z";
        let decoded = Decoded::of(source.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&decoded.bytes).unwrap(), "abcde&/😀z");
        let back = |part: Range<usize>| &source[decoded.source(part)];
        let parts = [
            (0..1, "a"),
            (1..2, r"\u0062"),
            (0..3, r"a\u0062c"),
            (3..4, "%64"),
            (2..5, "c%64&#101;"),
            (6..7, r"\/"),
            (8..9, r"\ud83d\ude00"),
            (11..12, "z"),
            (0..12, source),
        ];
        for (part, expected) in parts {
            assert_eq!(back(part.clone()), expected, "{part:?}");
        }
    }

    #[test]
    fn references_without_their_semicolon_are_read_as_far_as_they_go() {
        for (source, says) in [
            ("&#115&#51c", "s3c"),
            ("&#x73&#x33;x", "s3x"),
            ("&#0000115;t", "st"),
            ("a&amp=b&lt;", "a&=b<"),
            ("&#115", "s"),
        ] {
            let decoded = Decoded::of(source.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(&decoded.bytes).unwrap(), says, "{source}");
            assert_eq!(decoded.source(0..says.len()), 0..source.len(), "{source}");
        }
    }

    #[test]
    fn text_without_escapes_is_left_alone() {
        for text in
            ["", "plain", "50 % of it", r"C:\dir", "a & b", r"\u12", "%4", "&bogus;", "&#;", "&#x", "&apos"]
        {
            assert!(Decoded::of(text.as_bytes()).is_none(), "{text}");
        }
    }
}
