//! Delivers a message to a webhook. Its address is a secret: no error contains it, and the answer is not shown.
//!
//! Does not know the content of a message.

use std::time::Duration;

use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use mdetag_core::time::Clock;

use super::http::{Answer, Http, HttpFailure, SMALL_LIMIT};

/// Tries of one message.
const TRIES: u32 = 3;
/// The longest wait that a receiver may request between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What to do about an invalid address.
const WHOLE_ADDRESS: &str = "store the receiver's whole address, which begins with https://";

/// The time limits of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Total time limit of one try.
    pub timeout: Duration,
    /// The wait after the first failed try; doubles.
    pub backoff: Duration,
    /// Total time limit of all tries.
    pub total: Duration,
}

impl Default for Delivery {
    fn default() -> Delivery {
        let seconds = Duration::from_secs;
        Delivery { timeout: seconds(10), backoff: seconds(1), total: seconds(30) }
    }
}

/// Posts a message. Tries again if the receiver was not reached, is busy or failed.
///
/// # Errors
/// Why it was not accepted, as the end of "cannot be sent: …", without the address.
pub async fn deliver(
    address: &SecretString,
    content_type: &'static str,
    body: &[u8],
    delivery: Delivery,
    clock: &dyn Clock,
) -> Result<(), String> {
    let url = Url::parse(address.expose_secret().trim())
        .map_err(|_| format!("the address is no URL; {WHOLE_ADDRESS}"))?;
    let is_near = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if url.scheme() != "https" && !(is_near && url.scheme() == "http") {
        return Err(format!("the address is not https; {WHOLE_ADDRESS}"));
    }
    let http = Http::default();
    http.remember(address);
    let tries = async {
        let mut wait = delivery.backoff;
        for attempt in 1.. {
            let request = http.service(Method::POST, url.clone(), is_near).body(content_type, body.to_vec());
            let answer = request.send(delivery.timeout, SMALL_LIMIT).await;
            let (why, asked) = match &answer {
                Ok(answer) if answer.is_success() => return Ok(()),
                Ok(answer) => (rejected(answer), answer.retry_after(clock)),
                Err(failure) => (unreached(failure), None),
            };
            if attempt == TRIES || !is_worth_another(&answer) {
                return Err(why);
            }
            tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait *= 2;
        }
        Err("it was not tried".to_owned())
    };
    let ended = tokio::time::timeout(delivery.total, tries).await;
    ended.unwrap_or_else(|_| Err("the receiver took too long; run the command again later".to_owned()))
}

fn rejected(answer: &Answer) -> String {
    match answer.status {
        300..400 => {
            format!("the receiver redirects (HTTP {}), which is not followed; {WHOLE_ADDRESS}", answer.status)
        }
        status => format!("the receiver answered with HTTP {status}; {}", after(status)),
    }
}

/// The advice for a status.
fn after(status: u16) -> &'static str {
    match status {
        401 | 403 => "the webhook may have expired: make a new one and store its address",
        404 | 410 => {
            "there is no such webhook: check the address, or make a new webhook and store its address"
        }
        408 | 429 | 500.. => "the receiver is busy or has failed: look at it, or run the command again later",
        _ => "it does not take this message: check that `notify.format` is the receiver's",
    }
}

/// Why there is no complete answer, in plain words instead of the library's technical ones.
fn unreached(failure: &HttpFailure) -> String {
    let detail = failure.detail();
    let words = detail.to_ascii_lowercase();
    // Unix and Windows have different words for a refused connection.
    if words.contains("refused") {
        return "nothing listens at the address (connection refused); check its host and port".to_owned();
    }
    if words.contains("dns error") || words.contains("failed to lookup") {
        return "the name of the receiver's host is not known; check the address and the name server"
            .to_owned();
    }
    if failure.is_distrust() {
        return format!(
            "{detail}; the receiver's certificate is not trusted: add its authority to this computer"
        );
    }
    format!("{detail}; check the address, the network and the proxy")
}

fn is_worth_another(answer: &Result<Answer, HttpFailure>) -> bool {
    match answer {
        Ok(answer) => matches!(answer.status, 408 | 429 | 500..),
        Err(failure) => !failure.is_distrust(),
    }
}
