//! Credentials of the environment: managed identities, and an existing login of the Azure CLI.
//!
//! Starts no login: nothing here prompts.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::tenant::error::{TenantError, TenantErrorKind, nonempty};
use crate::tenant::http::{Answer, SMALL_LIMIT, clean, secret_header};
use mdetag_core::time::Timestamp;

use super::choose::is_near;
use super::issued::{IssuedToken, granted, number, unreachable_service};
use super::{CredentialSource, TokenSource};

/// A virtual machine's identity service is one hop away. On other computers nothing answers, and nobody should wait for that.
const PROBE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// The managed identity of a virtual machine.
pub(super) async fn imds(
    source: &TokenSource,
    base: &Url,
    timeout: Duration,
) -> Result<IssuedToken, TenantError> {
    let mut url = base.clone();
    url.set_path("/metadata/identity/oauth2/token");
    let header = (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
    ask(source, url, "2018-02-01", header, CredentialSource::ManagedIdentity, timeout).await
}

/// The managed identity of App Service and similar services.
pub(super) async fn app_service(
    source: &TokenSource,
    url: &Url,
    secret: &SecretString,
) -> Result<IssuedToken, TenantError> {
    let header = (HeaderName::from_static("x-identity-header"), secret_header(secret.expose_secret()));
    source.http.remember(secret);
    ask(source, url.clone(), "2019-08-01", header, CredentialSource::AppService, TIMEOUT).await
}

async fn ask(
    source: &TokenSource,
    mut url: Url,
    version: &str,
    header: (HeaderName, HeaderValue),
    kind: CredentialSource,
    timeout: Duration,
) -> Result<IssuedToken, TenantError> {
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", source.audience);
    if let Some(client) = source.credential.client() {
        url.query_pairs_mut().append_pair("client_id", client);
    }
    let near = url.host_str().is_some_and(is_near);
    let host = url.host_str().unwrap_or("").to_owned();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let request =
            source.http.service(Method::GET, url.clone(), near).header(header.0.clone(), header.1.clone());
        let request = request.grants_token();
        match request.send(source.timeout(timeout), SMALL_LIMIT).await {
            Ok(answer) if answer.is_whole() => {
                let mut granted = granted(&answer, kind)?;
                granted.life = granted.life.or_else(|| life(&answer, source.clock.now()));
                return Ok(granted);
            }
            Ok(answer) if answer.status != 429 && answer.status < 500 || attempt == TRIES => {
                return Err(refused(&answer, kind, source));
            }
            // If nothing is there at all, a second try is useless.
            Err(trouble) => return Err(unreachable_service(&host, &trouble)),
            Ok(_) => tokio::time::sleep(source.backoff.saturating_mul(1 << (attempt - 1))).await,
        }
    }
}

/// App Service gives the end as seconds since the epoch, instead of a life.
fn life(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let ends = i64::try_from(number(document.get("expires_on")?)?).ok()?;
    Some(Timestamp::from_seconds(ends).since(now))
}

fn refused(answer: &Answer, kind: CredentialSource, source: &TokenSource) -> TenantError {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or("");
    let mut error = TenantError::new(
        TenantErrorKind::SignIn,
        format!("{} gave no token: HTTP {}", kind.name(), answer.status),
    );
    error.status = Some(answer.status);
    error.code = nonempty(clean(text("error"), 80));
    let message = [text("error_description"), text("message")].into_iter().find(|text| !text.is_empty());
    error.message = message.map(|text| clean(text, 300).into());
    match source.credential.client() {
        Some(client) => {
            error.help(format!("assign the user-assigned identity {client} here, or unset AZURE_CLIENT_ID"))
        }
        None => {
            error.help("turn the system-assigned identity on, or name a user-assigned one in AZURE_CLIENT_ID")
        }
    }
}

/// `az account get-access-token`.
pub(super) async fn azure_cli(source: &TokenSource, program: &Path) -> Result<IssuedToken, TenantError> {
    let mut command = tokio::process::Command::new(program);
    command.args(["account", "get-access-token", "--output", "json", "--resource", source.audience]);
    if let Some(tenant) = source.credential.tenant() {
        command.args(["--tenant", tenant]);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let failed = |what: String| {
        TenantError::new(TenantErrorKind::SignIn, what)
            .help("log in with: az login --service-principal …, or az login --identity")
            .help("a person's login usually has no consent for this API; use an application or a managed identity")
    };
    let output = match tokio::time::timeout(TIMEOUT * 2, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(format!("the Azure CLI (az) cannot be started: {error}"))),
        Err(_) => {
            return Err(failed(format!("the Azure CLI (az) did not answer in {} s", TIMEOUT.as_secs() * 2)));
        }
    };
    if !output.status.success() {
        let said = clean(&String::from_utf8_lossy(&output.stderr), 300);
        return Err(failed(format!("the Azure CLI (az) gave no token: {said}")));
    }
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let token = document.get("accessToken").and_then(Value::as_str).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| failed("the Azure CLI (az) answered without a token".to_owned()))?;
    let ends = document.get("expires_on").and_then(number).and_then(|ends| i64::try_from(ends).ok());
    Ok(IssuedToken {
        token: SecretString::from(token.to_owned()),
        life: ends.map(|ends| Timestamp::from_seconds(ends).since(source.clock.now())),
        source: CredentialSource::AzureCli,
    })
}

/// The managed identity if one answers, else the Azure CLI.
pub(super) async fn whichever(
    source: &TokenSource,
    base: &Url,
    program: &Path,
) -> Result<IssuedToken, TenantError> {
    let identity = match imds(source, base, PROBE).await {
        Ok(granted) => return Ok(granted),
        Err(error) => error,
    };
    let cli = match azure_cli(source, program).await {
        Ok(granted) => return Ok(granted),
        Err(error) => error,
    };
    let what = "no credential was found: no AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, \
                AZURE_FEDERATED_TOKEN_FILE or GitHub OIDC token";
    let mut error = TenantError::new(
        TenantErrorKind::SignIn,
        format!("{what}; managed identity: {}; Azure CLI: {}", identity.what, cli.what),
    );
    error = error.help("set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of the above, or `tenantId` and `clientId` in mdetag.yaml");
    error = error.help("in GitHub Actions give the job `permissions: { id-token: write }`");
    Err(error.help("to try mdetag without an account: --sandbox"))
}
