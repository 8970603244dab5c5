//! Addresses as bytes: four for IPv4, sixteen for IPv6, six for a hardware address, and text for anything else.
//!
//! An IPv4-mapped IPv6 address becomes its IPv4 address, because both compare by value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TEXT: u8 = 0;
const V4: u8 = 4;
const HARDWARE: u8 = 6;
const V6: u8 = 16;

/// An address in the form the columns store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// An IP address; never an IPv4-mapped IPv6 one.
    Ip(IpAddr),
    /// A hardware address of six bytes.
    Hardware([u8; 6]),
    /// Neither of these, as reported (a hardware address: without separators, in upper case).
    Other(&'a str),
}

/// Parses an IP address by value. A zone (`fe80::1%12`) is cut off, because it names an interface.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let general = || {
        let address = text.split_once('%').map_or(text, |(address, _)| address);
        address.trim().parse::<IpAddr>().ok()
    };
    plain.or_else(general).map(|address| address.to_canonical())
}

/// A hardware address without separators, in upper case.
pub fn normal_hardware(text: &str) -> String {
    let kept = text.chars().filter(|scalar| !matches!(scalar, ':' | '-' | '.' | ' '));
    kept.map(|scalar| scalar.to_ascii_uppercase()).collect()
}

/// Appends an IP address, or the text if it is not one. Appends nothing for empty text.
pub(crate) fn encode_ip(text: &str, out: &mut Vec<u8>) {
    match dotted(text.as_bytes()).map(IpAddr::V4).or_else(|| parse_ip(text)) {
        Some(IpAddr::V4(address)) => {
            out.push(V4);
            out.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            out.push(V6);
            out.extend_from_slice(&address.octets());
        }
        None => encode_text(text, out),
    }
}

/// Parses the common form of an IPv4 address and nothing else: a million devices have five million of them, and the general
/// parser, which also tries IPv6, takes several times as long.
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut place = 0;
    let mut digits = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || octets[place] != 0 => {
                octets[place] = octets[place].checked_mul(10)?.checked_add(byte - b'0')?;
                digits += 1;
            }
            b'.' if digits > 0 && place < 3 => {
                place += 1;
                digits = 0;
            }
            _ => return None,
        }
    }
    (place == 3 && digits > 0).then(|| Ipv4Addr::from(octets))
}

/// Appends a hardware address, or its normal text if it does not have six bytes. Appends nothing for empty text.
pub(crate) fn encode_hardware(text: &str, out: &mut Vec<u8>) {
    let Some(octets) = octets(text.as_bytes()).or_else(|| octets(normal_hardware(text).as_bytes())) else {
        return encode_text(&normal_hardware(text), out);
    };
    let start = out.len();
    out.push(HARDWARE);
    out.extend_from_slice(&octets);
    // An adapter has a row for each of its IP addresses; consecutive copies of its address add nothing.
    if start >= 7 && out[start - 7..start] == out[start..] {
        out.truncate(start);
    }
}

/// Parses twelve hexadecimal digits.
fn octets(digits: &[u8]) -> Option<[u8; 6]> {
    let digits: &[u8; 12] = digits.try_into().ok()?;
    let mut octets = [0; 6];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| (digit as char).to_digit(16));
        *octet = (high? << 4 | low?) as u8;
    }
    Some(octets)
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        out.push(TEXT);
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// The addresses in encoded bytes.
pub(crate) fn decode(mut bytes: &[u8]) -> impl Iterator<Item = Stored<'_>> {
    std::iter::from_fn(move || {
        let (kind, rest) = bytes.split_first()?;
        let (stored, rest) = match *kind {
            V4 => {
                let (octets, rest) = rest.split_first_chunk::<4>()?;
                (Stored::Ip(IpAddr::V4(Ipv4Addr::from(*octets))), rest)
            }
            V6 => {
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                (Stored::Ip(IpAddr::V6(Ipv6Addr::from(*octets))), rest)
            }
            HARDWARE => {
                let (octets, rest) = rest.split_first_chunk::<6>()?;
                (Stored::Hardware(*octets), rest)
            }
            _ => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                (Stored::Other(std::str::from_utf8(text).unwrap_or_default()), rest)
            }
        };
        bytes = rest;
        Some(stored)
    })
}

impl std::fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stored::Ip(address) => write!(f, "{address}"),
            Stored::Hardware(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02X}")),
            Stored::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<String> {
        let mut bytes = Vec::new();
        texts.iter().for_each(|text| encode_ip(text, &mut bytes));
        decode(&bytes).map(|stored| stored.to_string()).collect()
    }

    #[test]
    fn addresses_keep_their_value_and_anything_else_its_text() {
        let stored = ips(&["10.0.0.1", "", "::ffff:10.0.0.2", "fe80::1%12", "not one"]);
        assert_eq!(stored, ["10.0.0.1", "10.0.0.2", "fe80::1", "not one"]);
    }

    #[test]
    fn the_quick_form_of_ipv4_addresses_is_the_general_one() {
        let right = ["0.0.0.0", "10.40.7.1", "255.255.255.255", "192.0.2.100"];
        let wrong = [
            "",
            ".",
            "1.2.3",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "1.2.3.4.",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.2.3.4",
            "00.0.0.0",
        ];
        for text in right.iter().chain(&wrong) {
            assert_eq!(dotted(text.as_bytes()), text.parse().ok(), "{text}");
            assert_eq!(dotted(text.as_bytes()).is_some(), right.contains(text), "{text}");
        }
    }

    #[test]
    fn hardware_addresses_lose_separators_and_case() {
        let mut bytes = Vec::new();
        for text in ["00:00:5e-00.53 ff", "00005E0053FF", "ab", ""] {
            encode_hardware(text, &mut bytes);
        }
        let stored: Vec<String> = decode(&bytes).map(|stored| stored.to_string()).collect();
        assert_eq!(stored, ["00005E0053FF", "AB"]);
    }
}
