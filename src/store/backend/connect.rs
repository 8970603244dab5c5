//! Opens a store with the environment's credentials, and tests once whether it honours conditional writes.
//!
//! Reads no environment: the command line passes it in. Unencrypted requests go only to loopback.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use mdetag_core::time::Clock;

use super::StoreAddress;
use super::objects::{Cells, Condition, CountingConnector, ObjectBucket};

/// Records that the store was tested, and how.
const MARK: &str = "mdetag-store.json";

/// Opens the store that holds state. `variables`: the environment.
///
/// # Errors
/// Invalid settings.
pub fn connect(
    address: &StoreAddress,
    variables: &[(String, String)],
    clock: &Arc<dyn Clock>,
) -> Result<Arc<ObjectBucket>> {
    if matches!(address, StoreAddress::Blob { .. }) {
        check_identity(variables)?;
    }
    let objects = ObjectBucket::new(address.clone(), clock.clone(), |watched| match address {
        StoreAddress::Blob { account, container, .. } => blob(account, container, variables, watched),
        StoreAddress::S3 { bucket, .. } => s3(bucket, variables, watched),
    })?;
    Ok(Arc::new(objects))
}

/// Refuses credentials that sign in to the tenant and not to a store, if there are no others. Otherwise the managed identity
/// would be asked, which is another identity, and outside of Azure nothing answers.
fn check_identity(variables: &[(String, String)]) -> Result<()> {
    let is_set = |wanted: &str| variables.iter().any(|(name, value)| name == wanted && !value.is_empty());
    let is_for_the_store = |(name, _): (&String, &String)| {
        matches!(
            name.to_ascii_lowercase().parse::<AzureConfigKey>(),
            Ok(AzureConfigKey::AccessKey
                | AzureConfigKey::SasKey
                | AzureConfigKey::Token
                | AzureConfigKey::ClientSecret
                | AzureConfigKey::FederatedTokenFile
                | AzureConfigKey::UseAzureCli
                | AzureConfigKey::CredentialType
                | AzureConfigKey::UseEmulator)
        )
    };
    if cloud_variables("azure", variables).any(is_for_the_store) {
        return Ok(());
    }
    let what = if is_set("AZURE_CLIENT_CERTIFICATE_PATH") {
        "a certificate (AZURE_CLIENT_CERTIFICATE_PATH)"
    } else if is_set("ACTIONS_ID_TOKEN_REQUEST_URL") && is_set("AZURE_CLIENT_ID") {
        "GitHub's own token"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::PermissionDenied,
        format!(
            "{what} signs in to the tenant only: set AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_SECRET, AZURE_STORAGE_SAS_KEY, or AZURE_USE_AZURE_CLI=true after `az login` for the state"
        ),
    ))
}

fn blob(
    account: &str,
    container: &str,
    variables: &[(String, String)],
    watched: CountingConnector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = MicrosoftAzureBuilder::new();
    let mut is_local = false;
    for (name, value) in cloud_variables("azure", variables) {
        let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() else { continue };
        is_local |= matches!(key, AzureConfigKey::Endpoint) && is_loopback(value);
        builder = builder.with_config(key, value);
    }
    // App Service, Functions and Container Apps name their own endpoint for the tokens of managed identities.
    if let Some((_, endpoint)) = variables.iter().find(|(name, _)| name == "IDENTITY_ENDPOINT") {
        builder = builder.with_config(AzureConfigKey::MsiEndpoint, endpoint);
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
    for (name, value) in cloud_variables("aws", variables) {
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

/// The variables of a cloud's credentials, by the names of its own tools.
fn cloud_variables<'a>(
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

/// Short enough that a lease can be renewed after a failed try.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(10), backoff }
}

/// At the first use, tests whether the store refuses a conditional write whose condition does not hold. A lease needs nothing
/// else.
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

/// Does what runs do, with a scratch object: lists, writes on conditions, reads and removes. Returns how many milliseconds this
/// computer's clock is ahead of the store's.
///
/// # Errors
/// The operation that the store does not allow, and why.
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
    // Nobody removed the first write, the second was refused, the third met its condition.
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use super::super::StatePlace;
    use super::super::objects::tests::Standing;
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn opened(pairs: &[(&str, &str)]) -> Result<Arc<ObjectBucket>> {
        // The second test of a process finds it already installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let StatePlace::Store(address) = StatePlace::parse("azblob://account/container/p").unwrap() else {
            panic!()
        };
        let clock: Arc<dyn Clock> = Arc::new(Standing);
        connect(&address, &variables(pairs), &clock)
    }

    /// Reads a whole request.
    fn request(stream: &mut TcpStream) -> String {
        let mut reader = BufReader::new(stream);
        let (mut text, mut length) = (String::new(), 0);
        while !text.ends_with("\r\n\r\n") {
            let start = text.len();
            if reader.read_line(&mut text).unwrap() == 0 {
                return text;
            }
            if let Some((name, value)) = text[start..].split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    /// A server that gives tokens to anyone who asks, and has no object.
    fn server() -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let asked = request(&mut stream);
                let is_token = asked.lines().next().unwrap_or_default().contains("token");
                let (status, body) = match is_token {
                    true => (
                        "200 OK",
                        r#"{"access_token":"of-the-store","token_type":"Bearer","expires_in":3600,"expires_on":"4102444800"}"#,
                    ),
                    false => ("404 Not Found", ""),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).unwrap();
                if sender.send(asked).is_err() {
                    return;
                }
            }
        });
        (url, receiver)
    }

    #[test]
    fn a_secret_a_workload_identity_and_a_managed_identity_open_a_blob_store() {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "federated").unwrap();
        let app = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        for (own, proof) in [
            (vec![("AZURE_CLIENT_SECRET", "s")], "client_secret=s"),
            (
                vec![("AZURE_FEDERATED_TOKEN_FILE", token.path().to_str().unwrap())],
                "client_assertion=federated",
            ),
            (vec![], "resource=https%3A%2F%2Fstorage.azure.com"),
        ] {
            let (url, asked) = server();
            let place = format!("{url}/token");
            let mut pairs = app.to_vec();
            pairs.extend(own.iter().copied());
            pairs.extend([
                ("AZURE_STORAGE_ENDPOINT", &*url),
                ("AZURE_AUTHORITY_HOST", &*url),
                ("IDENTITY_ENDPOINT", &*place),
            ]);
            assert!(opened(&pairs).unwrap().get("p/x").unwrap().is_none());
            let (sign_in, read) = (asked.recv().unwrap(), asked.recv().unwrap());
            assert!(sign_in.contains(proof), "{sign_in}");
            assert!(read.to_ascii_lowercase().contains("authorization: bearer of-the-store"), "{read}");
        }
    }

    #[test]
    fn a_credential_that_opens_no_store_is_named_and_never_replaced_by_another_identity() {
        let certificate = [("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_CERTIFICATE_PATH", "app.pem")];
        let error = opened(&certificate).unwrap_err();
        assert!(error.to_string().contains("AZURE_CLIENT_CERTIFICATE_PATH"), "{error}");
        let github = [("AZURE_CLIENT_ID", "c"), ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")];
        assert!(opened(&github).unwrap_err().to_string().contains("GitHub's own token"));
        for own in [("AZURE_STORAGE_SAS_KEY", "sv=1&sig=eA"), ("AZURE_USE_AZURE_CLI", "true")] {
            opened(&[certificate[0], certificate[1], own]).unwrap();
        }
        opened(&[("AZURE_CLIENT_ID", "c")]).unwrap();
    }
}
