//! The value of a YAML scalar: text, number, boolean or null, by the core schema of YAML 1.2.
//!
//! Converts no number: readers get the written text.

use std::borrow::Cow;

use serde_yaml::granit_parser::{ScalarStyle, Tag};

use super::node::{NodeKind, shown};

/// A scalar by the core schema; a plain one may be a number, a boolean or null.
pub(super) fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Result<NodeKind, String> {
    let is_plain = style == ScalarStyle::Plain;
    match tag.map(|tag| tag.core_suffix().ok_or(tag)) {
        None if is_plain => Ok(plain(text)),
        None | Some(Ok("str")) => Ok(NodeKind::Text(text.into_owned())),
        Some(Ok("null" | "bool" | "int" | "float")) => Ok(plain(text)),
        Some(Ok(other)) => Err(format!("the tag `!!{}` has no meaning here", shown(other))),
        Some(Err(tag)) if tag.original() == "!" => Ok(NodeKind::Text(text.into_owned())),
        Some(Err(tag)) => Err(format!("the tag `{}` has no meaning here", shown(&tag.original()))),
    }
}

/// A plain scalar by YAML 1.2's core schema: `yes` and `on` are text, `012` and `0x1F` are numbers.
fn plain(text: Cow<'_, str>) -> NodeKind {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Boolean(true),
        "false" | "False" | "FALSE" => NodeKind::Boolean(false),
        other if is_number(other) => NodeKind::Number(text.into_owned()),
        _ => NodeKind::Text(text.into_owned()),
    }
}

/// The whole number in a number's text: decimal, or octal and hexadecimal after `0o` and `0x`.
pub(super) fn whole(text: &str) -> Option<i64> {
    let prefixed = [("0o", 8), ("0x", 16)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)));
    let (digits, radix) = prefixed.unwrap_or((text, 10));
    i64::from_str_radix(digits, radix).ok()
}

/// A number's text as a decimal, whatever its form: `0x5` is `5`, `.5` is `0.5`, `1e1` is `10`.
pub(super) fn decimal(text: &str) -> String {
    match (whole(text), text.parse::<f64>()) {
        (Some(number), _) => number.to_string(),
        (None, Ok(number)) if number.is_finite() => number.to_string(),
        _ => text.to_owned(),
    }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, is: fn(&u8) -> bool| !digits.is_empty() && digits.as_bytes().iter().all(is);
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| matches!(byte, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, u8::is_ascii_hexdigit);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_mantissa = digits(whole) && digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    let is_exponent = exponent.is_none_or(|exponent| {
        all(exponent.strip_prefix(['-', '+']).unwrap_or(exponent), u8::is_ascii_digit)
    });
    is_mantissa && is_exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let number = |text: &str| matches!(plain(text.into()), NodeKind::Number(_));
        for text in [
            "0", "-12", "012", "+1", "0x1F", "0o17", "1.10", ".5", "5.", "1e3", "-1.5E-3", ".inf", "-.INF",
            ".nan",
        ] {
            assert!(number(text), "{text}");
        }
        for text in ["yes", "on", "1_000", "1.2.3", "0xZ", "e3", ".", "-", "1e", "2027-06-30", "10:30", "5%"]
        {
            assert!(matches!(plain(text.into()), NodeKind::Text(_)), "{text}");
        }
        assert!(matches!(plain("True".into()), NodeKind::Boolean(true)));
        assert!(matches!(plain("~".into()), NodeKind::Null));
    }

    #[test]
    fn octal_and_hexadecimal_numbers_are_whole_numbers() {
        let cases =
            [("0x10", Some(16)), ("0o17", Some(15)), ("012", Some(12)), ("-3", Some(-3)), ("1.0", None)];
        for (text, number) in cases {
            assert_eq!(whole(text), number, "{text}");
        }
        assert_eq!(whole("0xffffffffffffffff"), None, "too large");
    }
}
