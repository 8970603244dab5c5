//! Bytes as hexadecimal digits, two a byte, and back.
//!
//! Hand-written because the tree has no crate for it, and its entry in the lock file would be longer than this file.

/// Lower-case digits.
pub fn digits(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| char::from(b"0123456789abcdef"[usize::from(nibble)])).collect()
}

/// The bytes of hexadecimal digits in either case; `None` for any other character or an odd number of digits.
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|nibble| nibble as u8);
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        assert_eq!(digits(&[0x00, 0x3f, 0xa2]), "003fa2");
        assert_eq!(bytes("003fA2"), Some(vec![0x00, 0x3f, 0xa2]));
        assert_eq!(bytes(""), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        for text in ["+f", "f", "0g", " 1", "é", "0x"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
