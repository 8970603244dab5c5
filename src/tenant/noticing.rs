//! Observations of the service that any answer of the device API allows: its headers, and the forms of its refusals.
//!
//! Stores numbers and words of our own, never a text of the service, which may name a tenant, a device or a tag.

use reqwest::header::RETRY_AFTER;

use mdetag_core::plan::Lane;
use mdetag_core::service::Question;

use super::Connection;
use super::http::Answer;
use super::wire;

impl Connection {
    /// Notes the observations from an answer.
    pub(super) fn notice(&self, lane: Lane, answer: &Answer) {
        if lane == Lane::Hunting {
            // Microsoft Graph is another service.
            return;
        }
        let has_limits = answer.headers.keys().any(|name| is_about_limits(name.as_str()));
        self.note(Question::RateLimitHeaders, if has_limits { "present" } else { "absent" }, None);
        if !matches!(answer.status, 401 | 403 | 429) {
            return;
        }
        let rejection = wire::rejection(answer, None);
        let text = rejection.message.to_ascii_lowercase();
        match answer.status {
            401 => self.note(Question::UnauthorizedText, unauthorized(&text), None),
            403 => self.note(Question::ForbiddenText, forbidden(&text), None),
            _ => {
                let asked = answer.retry_after(&*self.service_clock);
                let verdict = if asked.is_some() { "withRetryAfter" } else { "withoutRetryAfter" };
                self.note(Question::Throttle, verdict, asked.map(|wait| wait.as_secs()));
                self.note(Question::RetryAfterForm, self.retry_after_form(answer), None);
                let key = if text.contains("appid") { "destinationTenantApp" } else { "other" };
                self.note(Question::ThrottleKey, key, None);
                self.note(Question::ThrottleCode, throttle_code(&rejection.code), None);
                let (span, calls) = limit(&text);
                self.note(Question::ThrottleLimit, span, calls);
            }
        }
    }

    fn retry_after_form(&self, answer: &Answer) -> &'static str {
        let Some(header) = answer.headers.get(RETRY_AFTER) else { return "absent" };
        let is_readable = answer.retry_after(&*self.service_clock).is_some();
        let is_number = header.as_bytes().trim_ascii_start().first().is_some_and(u8::is_ascii_digit);
        match (is_readable, is_number) {
            (true, true) => "seconds",
            (true, false) => "date",
            (false, _) => "unreadable",
        }
    }
}

/// `X-Rate-Limit-Remaining`, `RateLimit-Policy` and the like, in lower case.
fn is_about_limits(header: &str) -> bool {
    header.contains("ratelimit") || header.contains("rate-limit")
}

fn unauthorized(text: &str) -> &'static str {
    if text.contains("account mode is inactive") {
        "accountInactive"
    } else if text.contains("license") {
        "noLicence"
    } else {
        "other"
    }
}

/// The form of a 403: the texts of 2026 and of 2021.
fn forbidden(text: &str) -> &'static str {
    if text.contains("missing application roles") {
        "missingApplicationRoles"
    } else if text.contains("required application permissions") {
        "requiredPermissions"
    } else {
        "other"
    }
}

fn throttle_code(code: &str) -> &'static str {
    match code {
        "429" => "429",
        "TooManyRequests" => "tooManyRequests",
        _ => "other",
    }
}

/// The limit in a lower-case text: `maximum allowed 100 per 00:01:00`.
fn limit(text: &str) -> (&'static str, Option<u64>) {
    let named = text.split_once("maximum allowed ").and_then(|(_, rest)| rest.split_once(" per "));
    let Some((calls, span)) = named.and_then(|(calls, span)| Some((calls.parse().ok()?, span))) else {
        return ("unnamed", None);
    };
    let span = match span.get(..8) {
        Some("00:01:00") => "perMinute",
        Some("01:00:00") => "perHour",
        _ => "otherSpan",
    };
    (span, Some(calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_every_text_that_was_reported() {
        let told = |text: &str| limit(&text.to_ascii_lowercase());
        assert_eq!(
            told("API calls quota exceeded! maximum allowed 45 per 00:01:00"),
            ("perMinute", Some(45))
        );
        assert_eq!(told("quota exceeded! maximum allowed 1500 per 01:00:00"), ("perHour", Some(1500)));
        let key = "Maximum allowed 30 per 00:01:00 for the key Destination+TenantID+AppID. You can send requests again in 8 seconds.";
        assert_eq!(told(key), ("perMinute", Some(30)));
        assert_eq!(told("maximum allowed 9 per day"), ("otherSpan", Some(9)));
        for other in ["", "slow down", "maximum allowed many per 00:01:00", "maximum allowed 5"] {
            assert_eq!(told(other), ("unnamed", None), "{other}");
        }
    }
}
