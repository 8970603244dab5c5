//! Requests and answers as the simulated service sees them: query text, headers, error bodies.
//!
//! Knows no socket (that is `server`) and no route's meaning.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::time::{Duration, SystemTime};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::record::write_text;
use mdetag_vocabulary::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent, without `?`; empty if there is none.
    pub query: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        parameters(&self.query).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

/// The pairs of a query or form, decoded: `+` and `%20` are blanks, `%24` is `$`.
pub(super) fn parameters(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

/// Percent-decoding; broken sequences stay as they are.
pub(super) fn decode(text: &str, plus_is_blank: bool) -> String {
    let text = if plus_is_blank { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// How the network treats an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    Whole,
    /// The connection closes before the first byte.
    Reset,
    /// The connection closes in the middle of the body.
    CutOff,
    /// The answer comes byte by byte, with this pause between bytes.
    Drip(Duration),
    /// Interim answers come, and the final one never does.
    Interim,
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, not yet compressed.
    pub body: Vec<u8>,
    /// How the network treats it.
    pub delivery: Delivery,
}

impl Answer {
    /// The recorded headers of a successful answer.
    pub(super) fn ok(body: Vec<u8>) -> Answer {
        Answer { status: 200, body, ..Answer::default() }
            .header(
                "content-type",
                "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8",
            )
            .header("odata-version", "4.0")
            .header("strict-transport-security", "max-age=31536000; includeSubDomains")
    }

    /// A JSON body with plain headers.
    pub(super) fn json(status: u16, body: &Value) -> Answer {
        Answer { status, body: body.to_string().into_bytes(), ..Answer::default() }
            .header("content-type", "application/json; charset=utf-8")
    }

    pub(super) fn error(status: u16, code: &str, message: &str, target: &str) -> Answer {
        Answer::json(status, &json!({ "error": { "code": code, "message": message, "target": target } }))
    }

    pub(super) fn empty(status: u16) -> Answer {
        Answer { status, ..Answer::default() }
    }

    /// The HTML page of a gateway in front of the service.
    pub(super) fn html(status: u16, title: &str) -> Answer {
        let body = format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Answer { status, body: body.into_bytes(), ..Answer::default() }.header("content-type", "text/html")
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The start of a list's body, up to the first device.
pub(super) fn list_start(host: &str) -> Vec<u8> {
    let mut out = b"{\"@odata.context\":".to_vec();
    write_text(&mut out, &format!("https://{host}/api/$metadata#Machines"));
    out.extend_from_slice(b",\"value\":[");
    out
}

/// The start of one device's body, up to its first member.
pub(super) fn entity_start(host: &str) -> Vec<u8> {
    let mut out = b"{\"@odata.context\":".to_vec();
    write_text(&mut out, &format!("https://{host}/api/$metadata#Machines/$entity"));
    out.push(b',');
    out
}

/// `Sun, 22 Nov 2026 03:00:00 GMT`.
pub(super) fn http_date(moment: Timestamp) -> String {
    let seconds = u64::try_from(moment.seconds()).unwrap_or(0);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollar_and_blank_have_two_spellings_each() {
        let request = Request { query: "%24filter=a+eq%20'b%2Bc'&$top=5".into(), ..Request::default() };
        assert_eq!(request.parameter("$filter").as_deref(), Some("a eq 'b+c'"));
        assert_eq!(request.parameter("$top").as_deref(), Some("5"));
        assert_eq!(decode("%zz%4", false), "%zz%4");
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(
            http_date(Timestamp::parse("2026-11-22T03:04:05Z").unwrap()),
            "Sun, 22 Nov 2026 03:04:05 GMT"
        );
        assert_eq!(http_date(Timestamp::EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
