//! HTTP with mdetag's restrictions: no redirects, no hidden retries, bounded bodies, and every token bound to one origin.
//!
//! Knows nothing about devices; `wire` knows what a body means, and the callers when a call may be sent.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use mdetag_core::time::{Clock, Timestamp, spoken};

use super::clouds::Origin;
use super::scrub::SecretsInUse;
use super::service_clock::ServiceClock;

/// Advice for the certificates of a proxy: Windows and macOS have their own stores and ignore variables.
pub(super) const CERTIFICATES: &str =
    if cfg!(any(windows, target_os = "macos")) { "the system's certificate store" } else { "SSL_CERT_FILE" };

/// Bytes of a list page: at most 10,000 devices of about 1.2 kB, some with forty tags.
pub(super) const LIST_LIMIT: usize = 64 << 20;
/// Bytes of a bulk answer, which repeats at most 500 devices.
pub(super) const CALL_LIMIT: usize = 8 << 20;
/// Bytes of tokens and errors.
pub(super) const SMALL_LIMIT: usize = 1 << 20;

/// Two clients: one that uses the environment's proxy, and one for addresses of this computer, where a proxy would see a token
/// that must stay here. Each is built when it is first needed, because that reads the system's certificates. Every answer is
/// scrubbed of the secrets that were sent through here.
#[derive(Clone, Default)]
pub(super) struct Http {
    secrets: SecretsInUse,
    clock: Option<Arc<ServiceClock>>,
    far: Arc<OnceLock<Result<Client, HttpFailure>>>,
    near: Arc<OnceLock<Result<Client, HttpFailure>>>,
}

impl Http {
    /// A request to a checked origin, with a token for it or none. The only place that writes an `Authorization` header for a
    /// tenant, so the token can reach no other host.
    pub(super) fn request(
        &self,
        method: Method,
        origin: &Origin,
        path: &str,
        token: Option<&SecretString>,
    ) -> Request {
        let mut request = self.service(method, origin.at(path), origin.is_loopback());
        request.clock.clone_from(&self.clock);
        match token {
            Some(token) => request.header(AUTHORIZATION, bearer(token)).secret(token),
            None => request,
        }
    }

    /// A client whose answers set a clock.
    pub(super) fn setting(clock: Arc<ServiceClock>) -> Http {
        Http { clock: Some(clock), ..Http::default() }
    }

    /// Adds a secret to scrub from every answer from now on.
    pub(super) fn remember(&self, secret: &SecretString) {
        self.secrets.add(secret);
    }

    /// A request to a credential service of this computer or of the CI system, which never uses a proxy if `near`.
    pub(super) fn service(&self, method: Method, url: Url, near: bool) -> Request {
        let client = if near { &self.near } else { &self.far };
        let client = client.get_or_init(|| build(near));
        let builder = client.as_ref().map(|client| client.request(method, url)).map_err(Clone::clone);
        Request { builder, secrets: self.secrets.clone(), clock: None, grants: false }
    }
}

/// Installs the TLS provider (once per process) and builds a client.
fn build(near: bool) -> Result<Client, HttpFailure> {
    // Another part of the process may have installed one already; both are fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("mdetag/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(15))
        .pool_idle_timeout(Duration::from_secs(50));
    let builder = if near { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| {
        let detail = format!("the HTTP client cannot start: {} (check {CERTIFICATES})", causes(&error));
        HttpFailure::Lost { detail, maybe_sent: false }
    })
}

/// A header value that is never shown, not even by `Debug`.
fn bearer(token: &SecretString) -> HeaderValue {
    secret_header(&format!("Bearer {}", token.expose_secret()))
}

/// A header value that is never shown, not even by `Debug`. Text that is not valid in a header becomes an empty value.
pub(super) fn secret_header(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// A request that is being built.
pub(super) struct Request {
    /// `Err`: why there is no client for it.
    builder: Result<RequestBuilder, HttpFailure>,
    secrets: SecretsInUse,
    clock: Option<Arc<ServiceClock>>,
    grants: bool,
}

impl Request {
    fn map(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Request {
        Request { builder: self.builder.map(change), ..self }
    }

    pub(super) fn json(self, body: Vec<u8>) -> Request {
        // Without the character set, Graph misreads a query beyond ASCII.
        self.map(|request| request.header(CONTENT_TYPE, "application/json; charset=utf-8").body(body))
    }

    /// Adds a body of this type.
    pub(super) fn body(self, content_type: &'static str, body: Vec<u8>) -> Request {
        self.map(|request| request.header(CONTENT_TYPE, content_type).body(body))
    }

    /// Adds a form body, which is already encoded.
    pub(super) fn form(self, body: String) -> Request {
        self.map(|request| request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body))
    }

    pub(super) fn header(self, name: HeaderName, value: HeaderValue) -> Request {
        self.map(|request| request.header(name, value))
    }

    /// Marks a secret of the request: its answer, and every later one, is scrubbed of it.
    pub(super) fn secret(self, secret: &SecretString) -> Request {
        self.secrets.add(secret);
        self
    }

    /// Marks that a 200 contains a token, which may already be in use and must arrive intact. Such a body is parsed into a secret
    /// and never shown.
    pub(super) fn grants_token(self) -> Request {
        Request { grants: true, ..self }
    }

    /// Sends it and reads at most `limit` bytes of the (decompressed) body. `timeout` is for everything until the last byte of
    /// the body, however slowly the bytes arrive.
    pub(super) async fn send(self, timeout: Duration, limit: usize) -> Result<Answer, HttpFailure> {
        let sent = self.clock.as_ref().map(|clock| clock.local());
        let response =
            self.builder?.timeout(timeout).send().await.map_err(|error| HttpFailure::of(&error, timeout))?;
        if let (Some(clock), Some(sent), Some(date)) = (&self.clock, sent, date_of(response.headers())) {
            clock.learn(date, sent);
        }
        let answer = Answer::read(response, limit, timeout).await?;
        if self.grants && answer.is_whole() { Ok(answer) } else { Ok(answer.scrubbed(&self.secrets)) }
    }
}

const TIMED_OUT: &str = "timed out";
const NOT_ENDED: &str = "the body did not end";

/// There is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HttpFailure {
    /// The connection failed or the time ran out.
    Lost {
        /// The error, without the URL.
        detail: String,
        /// Whether the request may have reached the service.
        maybe_sent: bool,
    },
    /// The answer started with this status, and its body broke off.
    Broken { status: u16, detail: String },
    /// The body is longer than such an answer can be.
    TooLarge { status: u16, limit: usize },
}

impl HttpFailure {
    fn of(error: &reqwest::Error, timeout: Duration) -> HttpFailure {
        // A time-out while connecting is both: nothing was sent then.
        let maybe_sent = !error.is_connect() && !error.is_builder();
        let detail = if error.is_timeout() && maybe_sent {
            format!("{TIMED_OUT} after {}", spoken(timeout))
        } else {
            causes(error)
        };
        HttpFailure::Lost { detail, maybe_sent }
    }

    /// Whether the server's certificate was not trusted, which no further try changes.
    pub(super) fn is_distrust(&self) -> bool {
        matches!(self, HttpFailure::Lost { detail, .. } if detail.contains("invalid peer certificate"))
    }

    /// Whether the call used up its time.
    pub(super) fn is_timeout(&self) -> bool {
        let detail = self.detail();
        detail.starts_with(TIMED_OUT) || detail.starts_with(NOT_ENDED)
    }

    /// The failure for people.
    pub(super) fn detail(&self) -> String {
        match self {
            HttpFailure::Lost { detail, .. } | HttpFailure::Broken { detail, .. } => detail.clone(),
            HttpFailure::TooLarge { limit, .. } => format!("the answer is longer than {} MB", limit >> 20),
        }
    }
}

/// The innermost causes of an error, without the URL, because a query could contain what must not be in a log.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.contains(&text) && !text.starts_with("error sending request") {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() {
        return if error.is_timeout() { "timed out".to_owned() } else { "the connection failed".to_owned() };
    }
    clean(&texts.join(": "), 300)
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Removes every sent secret from the body and the headers.
    fn scrubbed(mut self, secrets: &SecretsInUse) -> Answer {
        if let Some(body) = secrets.scrubbed(&self.body) {
            self.body = body;
        }
        for value in self.headers.values_mut() {
            if let Some(bytes) = secrets.scrubbed(value.as_bytes()) {
                *value = HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| HeaderValue::from_static(""));
            }
        }
        self
    }

    async fn read(mut response: Response, limit: usize, timeout: Duration) -> Result<Answer, HttpFailure> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                    return Err(HttpFailure::TooLarge { status, limit });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => {
                    let answer = Answer { status, headers, body };
                    let Some(encoding) = answer.foreign_encoding() else { return Ok(answer) };
                    let detail = format!("the answer is packed with `{encoding}`, and only gzip was offered");
                    return Err(HttpFailure::Broken { status, detail });
                }
                Err(error) if error.is_timeout() => {
                    let detail = format!("{NOT_ENDED} within {}", spoken(timeout));
                    return Err(HttpFailure::Broken { status, detail });
                }
                Err(error) => {
                    let detail = format!("the body broke off: {}", causes(&error));
                    return Err(HttpFailure::Broken { status, detail });
                }
            }
        }
    }

    /// Whether the status promises a whole answer, as every read and sign-in does. Any other 2xx may lack a part: 206 says so,
    /// 202 has not started, 203 comes from an intermediary.
    pub(super) fn is_whole(&self) -> bool {
        self.status == 200
    }

    /// Whether the status promises that a write is done, with or without the device in the answer.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// 2xx: enough for a receiver whose answer nobody reads.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The encoding of a body if it was not requested. The client decompresses gzip and removes its header.
    pub(super) fn foreign_encoding(&self) -> Option<String> {
        let encoding = self.headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("?").trim();
        (!encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")).then(|| clean(encoding, 40))
    }

    /// The target of a redirect, for messages only: it is never followed.
    pub(super) fn redirect(&self) -> Option<String> {
        let location = self.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        (300..400).contains(&self.status).then(|| clean(location.unwrap_or("nowhere"), 120))
    }

    /// The answer's own date.
    pub(super) fn date(&self) -> Option<Timestamp> {
        date_of(&self.headers)
    }

    /// `Retry-After` as a wait of at least one second: seconds (a fraction is rounded up), or an HTTP date relative to the
    /// answer's own `Date`, so that a wrong local clock does not matter.
    pub(super) fn retry_after(&self, clock: &dyn Clock) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let wait = if !whole.is_empty() && digits(whole) && digits(fraction) {
            let seconds = whole.parse().unwrap_or(u64::from(u32::MAX));
            Duration::from_secs(seconds + u64::from(fraction.bytes().any(|digit| digit != b'0')))
        } else {
            let until = parse_http_date(text)?;
            until.since(self.date().unwrap_or_else(|| clock.now()))
        };
        Some(wait.max(Duration::from_secs(1)))
    }

    /// The request id for the service's support, from any of its headers.
    pub(super) fn request_id(&self) -> Option<String> {
        let names = ["request-id", "x-ms-request-id", "client-request-id", "x-correlation-id"];
        let value = names.iter().find_map(|name| self.headers.get(*name)?.to_str().ok())?;
        Some(clean(value, 80)).filter(|id| !id.is_empty())
    }
}

fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    headers.get(DATE).and_then(|value| value.to_str().ok()).and_then(parse_http_date)
}

/// The three date forms of HTTP, to the second.
fn parse_http_date(text: &str) -> Option<Timestamp> {
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(i64::try_from(since_epoch.as_secs()).ok()?))
}

/// Foreign text for a message: one line, no control characters, at most `limit` scalars.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let spaced: String = text.chars().map(|scalar| if scalar.is_control() { ' ' } else { scalar }).collect();
    let mut line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > limit {
        line = line.chars().take(limit).chain("…".chars()).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn wait(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        let clock = At(Timestamp::parse("2026-11-24T21:00:00Z").unwrap());
        Answer { status: 429, headers, body: Vec::new() }.retry_after(&clock)
    }

    #[test]
    fn retry_after_takes_seconds_and_dates_against_the_answers_own_clock() {
        assert_eq!(wait("8", None), Some(Duration::from_secs(8)));
        assert_eq!(wait("1.5", None), Some(Duration::from_secs(2)), "a fraction rounds up");
        assert_eq!(wait("3.0", None), Some(Duration::from_secs(3)));
        assert_eq!(wait("0", None), Some(Duration::from_secs(1)), "never below one second");
        assert_eq!(wait("99999999999999999999999", None), Some(Duration::from_secs(u64::from(u32::MAX))));
        let (later, date) = ("Tue, 24 Nov 2026 05:00:30 GMT", "Tue, 24 Nov 2026 05:00:00 GMT");
        assert_eq!(wait(later, Some(date)), Some(Duration::from_secs(30)));
        assert_eq!(wait("Tue, 24 Nov 2026 21:01:00 GMT", None), Some(Duration::from_secs(60)));
        assert_eq!(wait(date, Some(later)), Some(Duration::from_secs(1)));
        for wrong in ["soon", "-5", ".5", "1.5s", "Tue, 24 Foo 2026 05:00:00 GMT"] {
            assert_eq!(wait(wrong, None), None, "{wrong}");
        }
    }

    #[test]
    fn texts_from_elsewhere_become_one_clean_line() {
        assert_eq!(clean("a\r\n\x1b[31mb  c", 100), "a [31mb c");
        assert_eq!(clean("abcdef", 3), "abc…");
    }
}
