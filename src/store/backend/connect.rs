//! Opens a store with the environment's credentials, and probes once whether it keeps to conditions.
//!
//! Reads no environment: the command line hands it in. Unencrypted requests go to loopback only.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use mdetag_core::time::Clock;

use super::StoreAddress;
use super::objects::{Cells, Condition, CountingConnector, ObjectBucket};

/// Says that the store was probed, and how.
const MARK: &str = "mdetag-store.json";

/// Opens the store that holds state. `variables`: the environment.
///
/// # Errors
/// Settings that are wrong.
pub fn connect(
    address: &StoreAddress,
    variables: &[(String, String)],
    clock: &Arc<dyn Clock>,
) -> Result<Arc<ObjectBucket>> {
    let objects = ObjectBucket::new(address.clone(), clock.clone(), |watched| match address {
        StoreAddress::Blob { account, container, .. } => blob(account, container, variables, watched),
        StoreAddress::S3 { bucket, .. } => s3(bucket, variables, watched),
    })?;
    Ok(Arc::new(objects))
}

fn blob(
    account: &str,
    container: &str,
    variables: &[(String, String)],
    watched: CountingConnector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    let mut is_local = false;
    for (name, value) in of("azure", variables) {
        let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() else { continue };
        is_local |= matches!(key, AzureConfigKey::Endpoint) && is_loopback(value);
        builder = builder.with_config(key, value);
    }
    let store = builder
        .with_account(account)
        .with_container_name(container)
        .with_client_options(options(is_local))
        .with_retry(retries())
        .with_http_connector(watched)
        .build()?;
    Ok(Arc::new(store))
}

fn s3(
    bucket: &str,
    variables: &[(String, String)],
    watched: CountingConnector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    let mut is_local = false;
    for (name, value) in of("aws", variables) {
        let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
        is_local |= matches!(key, AmazonS3ConfigKey::Endpoint) && is_loopback(value);
        builder = builder.with_config(key, value);
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(options(is_local))
        .with_retry(retries())
        .with_http_connector(watched)
        .build()?;
    Ok(Arc::new(store))
}

/// The variables of a cloud, as its own tools name them.
fn of<'a>(
    cloud: &'a str,
    variables: &'a [(String, String)],
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let of_cloud =
        move |name: &str| name.split_once('_').is_some_and(|(first, _)| first.eq_ignore_ascii_case(cloud));
    let known = variables.iter().filter(move |(name, value)| of_cloud(name) && !value.is_empty());
    known.map(|(name, value)| (name, value))
}

fn is_loopback(url: &str) -> bool {
    ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"].iter().any(|start| url.starts_with(start))
}

fn options(is_local: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(is_local)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(20))
}

/// Short enough that a lease can be renewed after a try that failed.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(10), backoff }
}

/// Probes, the first time, whether writes with a condition are refused where it does not hold: a lease needs nothing else.
///
/// # Errors
/// The store does not answer, refuses, or ignores conditions.
pub fn probe(objects: &ObjectBucket) -> Result<()> {
    let prefix = objects.address().prefix();
    let key = if prefix.is_empty() { MARK.to_owned() } else { format!("{prefix}/{MARK}") };
    if objects.get(&key)?.is_some() {
        return Ok(());
    }
    let scratch = format!("{key}.probe-{}", objects.now().ticks());
    let probed = conditions(objects, &scratch);
    objects.remove(std::slice::from_ref(&scratch))?;
    if !probed? {
        return Err(ignores_conditions(objects));
    }
    let mark = br#"{"formatVersion":"1.0","conditions":"kept"}"#;
    objects.put(&key, mark.to_vec(), Condition::Any).map(drop)
}

/// Does in the store what runs do, with a scratch object: lists, writes on conditions, reads and removes. Returns by how many
/// milliseconds this computer's clock is ahead of the store's.
///
/// # Errors
/// What it does not let be done, and why.
pub fn examine(objects: &ObjectBucket) -> Result<i64> {
    let failed = |what: &str, error: &Error| Error::new(error.kind(), format!("cannot {what}: {error}"));
    let prefix = objects.address().prefix();
    let scratch = [prefix, &format!("{MARK}.doctor-{}", objects.now().ticks())].join("/");
    let scratch = scratch.trim_start_matches('/').to_owned();
    objects.list(&scratch).map_err(|error| failed("list", &error))?;
    let kept = conditions(objects, &scratch).map_err(|error| failed("write", &error));
    let read = objects.get(&scratch).map_err(|error| failed("read", &error));
    let removed = objects.remove(std::slice::from_ref(&scratch)).map_err(|error| failed("remove", &error));
    if !kept? {
        return Err(ignores_conditions(objects));
    }
    // The first write was removed by nobody, the second refused, the third on its condition.
    if read?.is_none_or(|cell| cell.bytes != b"3") {
        return Err(Error::other("what was written is not what is read"));
    }
    removed?;
    Ok(-objects.ahead_millis())
}

fn ignores_conditions(objects: &ObjectBucket) -> Error {
    Error::other(format!(
        "{} ignores the conditions of writes (If-None-Match, If-Match): a lease there would not keep a second apply out",
        objects.address().root()
    ))
}

fn conditions(objects: &ObjectBucket, scratch: &str) -> Result<bool> {
    let first = objects.put(scratch, b"1".to_vec(), Condition::Absent)?;
    let again = objects.put(scratch, b"2".to_vec(), Condition::Absent);
    objects.put(scratch, b"3".to_vec(), Condition::Is(first.clone()))?;
    let stale = objects.put(scratch, b"4".to_vec(), Condition::Is(first));
    let is_refused = |ended: &Result<super::Version>| {
        ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists)
    };
    Ok(is_refused(&again) && is_refused(&stale))
}
