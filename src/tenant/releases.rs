//! The newest released version, for users who ask. Sends no credential, and downloads nothing.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::http::{Http, SMALL_LIMIT};

/// The address of the releases, unless the environment names a mirror.
pub const RELEASES: &str = "https://api.github.com/repos/mdetag/mdetag/releases/latest";

/// The newest version, without its `v`.
///
/// # Errors
/// Why it is unknown, as the end of "cannot be asked: …".
pub async fn newest(url: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Release {
        tag_name: String,
    }
    let url = Url::parse(url).map_err(|_| format!("{url} is not a URL"))?;
    let is_near = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if url.scheme() != "https" && !is_near {
        return Err("releases are asked for by https".to_owned());
    }
    let request = Http::default()
        .service(Method::GET, url, is_near)
        .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    let answer =
        request.send(Duration::from_secs(30), SMALL_LIMIT).await.map_err(|trouble| trouble.detail())?;
    if !answer.is_whole() {
        return Err(format!("it answered with {}", answer.status));
    }
    let release: Release =
        serde_json::from_slice(&answer.body).map_err(|_| "the answer is no release".to_owned())?;
    let version = release.tag_name.strip_prefix('v').unwrap_or(&release.tag_name);
    numbers(version).map(|_| version.to_owned()).ok_or_else(|| "the answer is no release".to_owned())
}

/// Whether a version is newer than another. A pre-release is never called newer.
pub fn is_newer(version: &str, than: &str) -> bool {
    matches!((numbers(version), numbers(than)), (Some(one), Some(other)) if one > other)
}

/// Major, minor and patch, if the version has nothing else.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split('.').map(|part| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { part.parse().ok() } else { None }
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_newer("0.10.0", "0.9.9") && is_newer("1.0.0", "0.99.99"));
        for (version, than) in
            [("0.1.0", "0.1.0"), ("0.1.0", "0.2.0"), ("0.2.0-rc.1", "0.1.0"), ("1", "0.1.0")]
        {
            assert!(!is_newer(version, than), "{version} {than}");
        }
    }
}
