//! The sign-in: the client-credentials request, its retries, and its errors in words.
//!
//! `ambient` has managed identities and the Azure CLI, which need no such request.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::store::path_text::shown;
use crate::store::regular_file;
use crate::tenant::error::{TenantError, TenantErrorKind, nonempty};
use crate::tenant::http::{Answer, SMALL_LIMIT, clean, secret_header};
use crate::tenant::percent::{encode, encode_pairs};

use super::choose::is_near;
use super::issued::{IssuedToken, granted, number, unreachable_service};
use super::{CredentialKind, CredentialSource, TokenSource, ambient, meaning};

const TIMEOUT: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Gets a token with any credential, and tries again if that can help.
pub(super) async fn acquire(source: &TokenSource) -> Result<IssuedToken, TenantError> {
    match &source.credential.kind {
        CredentialKind::AppService { url, header } => ambient::app_service(source, url, header).await,
        CredentialKind::Imds(url) => ambient::imds(source, url, TIMEOUT).await,
        CredentialKind::AzureCli(program) => ambient::azure_cli(source, program).await,
        CredentialKind::Ambient(url, program) => ambient::whichever(source, url, program).await,
        CredentialKind::Secret(_)
        | CredentialKind::Certificate(_)
        | CredentialKind::FederatedFile(_)
        | CredentialKind::GitHub { .. } => client_credentials(source).await,
    }
}

/// `POST /{tenant}/oauth2/v2.0/token`.
async fn client_credentials(source: &TokenSource) -> Result<IssuedToken, TenantError> {
    let credential = &source.credential;
    let (tenant, client) = match (&credential.tenant, &credential.client) {
        (Some(tenant), Some(client)) => (tenant, client),
        _ => unreachable!("a registered application is chosen only with its tenant and client id"),
    };
    let path = format!("/{}/oauth2/v2.0/token", encode(tenant));
    let kind = credential.source();
    let federated = matches!(kind, CredentialSource::FederatedTokenFile | CredentialSource::GitHub);
    let mut attempt = 0;
    loop {
        attempt += 1;
        // A new assertion each time: its id may be used only once, and files and services rotate theirs.
        let proof = proof(source, client, &path).await?;
        let form = form(client, source.audience, &proof);
        let request = source.http.request(Method::POST, &source.login, &path, None).form(form);
        let request = request.secret(proof.secret()).grants_token();
        let answer = request.send(source.timeout(TIMEOUT), SMALL_LIMIT).await;
        let wait = source.backoff.saturating_mul(2u32.saturating_pow(attempt - 1));
        match answer {
            Ok(answer) if answer.is_whole() => return granted(&answer, kind),
            Ok(answer) => {
                let failure = SignInRefusal::of(&answer);
                let passing = answer.status == 429
                    || answer.status >= 500
                    || failure.word == "temporarily_unavailable"
                    || (federated && failure.numbers.iter().any(|number| meaning::spreads(*number)));
                if !passing || attempt == TRIES {
                    return Err(failure.error(&answer, kind, source));
                }
                // A sign-in service that asks to wait for more than a minute counts as down for this run.
                let asked = answer.retry_after(&*source.clock).unwrap_or(wait);
                let wait = asked.max(wait).min(Duration::from_secs(60));
                tracing::warn!(
                    status = answer.status,
                    error = failure.word,
                    "sign-in refused for now; trying again"
                );
                tokio::time::sleep(wait).await;
            }
            Err(trouble) if attempt == TRIES || trouble.is_distrust() => {
                return Err(unreachable_service(source.login.as_str(), &trouble));
            }
            Err(trouble) => {
                tracing::warn!(error = trouble.detail(), "no answer from the sign-in host; trying again");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// The proof of the application's identity.
enum Proof {
    Secret(SecretString),
    Assertion(SecretString),
}

impl Proof {
    fn secret(&self) -> &SecretString {
        match self {
            Proof::Secret(secret) | Proof::Assertion(secret) => secret,
        }
    }
}

/// The largest token file, in bytes; real ones have two kilobytes.
const MOST_TOKEN: u64 = 1 << 20;

async fn proof(source: &TokenSource, client: &str, path: &str) -> Result<Proof, TenantError> {
    Ok(match &source.credential.kind {
        CredentialKind::Secret(secret) => Proof::Secret(secret.clone()),
        CredentialKind::Certificate(signer) => {
            let url = format!("{}{path}", source.login);
            Proof::Assertion(signer.assertion(client, &url, source.clock.now())?)
        }
        CredentialKind::FederatedFile(file) => {
            // Read each time, because the platform replaces the file before its token ends.
            let text = regular_file::text(file, MOST_TOKEN).map_err(|why| {
                let what = format!("AZURE_FEDERATED_TOKEN_FILE: {} cannot be read: {why}", shown(file));
                TenantError::new(TenantErrorKind::Configuration, what)
                    .help("in Kubernetes: label the pod azure.workload.identity/use=true and name the service account")
            })?;
            Proof::Assertion(SecretString::from(text.trim().to_owned()))
        }
        CredentialKind::GitHub { url, token } => Proof::Assertion(github(source, url, token).await?),
        _ => unreachable!("only registered applications prove themselves"),
    })
}

fn form(client: &str, audience: &str, proof: &Proof) -> String {
    let scope = format!("{audience}/.default");
    let common = [("grant_type", "client_credentials"), ("client_id", client), ("scope", &scope)];
    match proof {
        Proof::Secret(secret) => {
            encode_pairs(&[&common[..], &[("client_secret", secret.expose_secret())]].concat())
        }
        Proof::Assertion(assertion) => {
            let proof =
                [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion.expose_secret())];
            encode_pairs(&[&common[..], &proof].concat())
        }
    }
}

/// The job's own token, for Entra.
async fn github(
    source: &TokenSource,
    url: &reqwest::Url,
    token: &SecretString,
) -> Result<SecretString, TenantError> {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("audience", EXCHANGE_AUDIENCE);
    let near = url.host_str().is_some_and(is_near);
    let bearer = secret_header(&format!("bearer {}", token.expose_secret()));
    let host = url.host_str().unwrap_or("").to_owned();
    let mut attempt = 0;
    loop {
        attempt += 1;
        let request =
            source.http.service(Method::GET, url.clone(), near).header(AUTHORIZATION, bearer.clone());
        let request = request.secret(token).grants_token();
        match request.send(source.timeout(TIMEOUT), SMALL_LIMIT).await {
            Ok(answer) if answer.is_whole() => {
                let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
                let value = document.as_ref().and_then(|document| document.get("value")?.as_str());
                return value.map(|text| SecretString::from(text.to_owned())).ok_or_else(|| {
                    TenantError::new(
                        TenantErrorKind::SignIn,
                        format!("{host} answered without an OIDC token"),
                    )
                });
            }
            Ok(answer) if answer.status < 500 && answer.status != 429 || attempt == TRIES => {
                let what = format!("{host} gave no OIDC token: HTTP {}", answer.status);
                let error = TenantError {
                    status: Some(answer.status),
                    ..TenantError::new(TenantErrorKind::SignIn, what)
                };
                return Err(error.help("give the job `permissions: { id-token: write }`"));
            }
            Err(trouble) if attempt == TRIES => return Err(unreachable_service(&host, &trouble)),
            _ => tokio::time::sleep(source.backoff.saturating_mul(1 << (attempt - 1))).await,
        }
    }
}

/// The error for a token with unreadable claims.
pub(super) fn unreadable(source: CredentialSource) -> TenantError {
    TenantError::new(
        TenantErrorKind::SignIn,
        format!(
            "the token that {} got cannot be read, so its tenant and roles cannot be checked",
            source.name()
        ),
    )
    .help("check that the sign-in host is right")
}

/// The sign-in service's answer to a failed sign-in.
struct SignInRefusal {
    word: String,
    description: String,
    numbers: Vec<u64>,
    request_id: Option<String>,
}

impl SignInRefusal {
    fn of(answer: &Answer) -> SignInRefusal {
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let description = text("error_description");
        let mut numbers: Vec<u64> = document
            .get("error_codes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(number)
            .collect();
        if numbers.is_empty() {
            let after = description.split("AADSTS").nth(1).unwrap_or("");
            let digits: String = after.chars().take_while(char::is_ascii_digit).take(12).collect();
            numbers.extend(digits.parse::<u64>().ok());
        }
        let id = ["trace_id", "correlation_id"].map(text).into_iter().find(|id| !id.is_empty());
        SignInRefusal {
            word: clean(&text("error"), 80),
            description: clean(description.split("Trace ID:").next().unwrap_or(""), 400),
            numbers,
            request_id: id.map(|id| clean(&id, 80)).or_else(|| answer.request_id()),
        }
    }

    fn error(self, answer: &Answer, kind: CredentialSource, source: &TokenSource) -> TenantError {
        let tenant = source.credential.tenant().unwrap_or("?");
        let known = self.numbers.iter().find_map(|number| meaning::meaning(*number));
        let why = known.map_or_else(
            || match self.word.as_str() {
                "" => format!("HTTP {}", answer.status),
                word => word.to_owned(),
            },
            |(meaning, _)| meaning.to_owned(),
        );
        let mut what = format!("sign-in to tenant {tenant} with {} failed: {why}", kind.name());
        if let Some(location) = answer.redirect() {
            what = format!("{what} (a redirect to {location}, which is not followed)");
        }
        let mut error = TenantError::new(TenantErrorKind::SignIn, what);
        error.status = Some(answer.status);
        error.code = match self.numbers.first() {
            Some(number) => Some(format!("AADSTS{number}").into()),
            None => nonempty(self.word.clone()),
        };
        error.message = nonempty(self.description);
        error.request_id = self.request_id.map(Into::into);
        if let Some((_, cure)) = known {
            error = error.help(cure);
        }
        if let CredentialKind::Secret(secret) = &source.credential.kind
            && secret.expose_secret().trim() != secret.expose_secret()
        {
            error = error.help(
                "AZURE_CLIENT_SECRET begins or ends with white space, such as a line break: write it without",
            );
        }
        if known.is_none() && self.word == "invalid_client" {
            error = error.help("check the client id and its secret, certificate or federated credential");
        }
        error
    }
}
