//! The identity: the credential that signs in, and its tokens, kept in memory and renewed before they end.
//!
//! Writes nothing to disk, prompts nobody, and keeps secrets in types that cannot be printed.

mod ambient;
mod certificate;
mod choose;
mod exchange;
mod issued;
mod meaning;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use tokio::sync::Mutex;

use mdetag_core::time::{Clock, Timestamp};

use super::claims::Claims;
use super::clouds::Origin;
pub use super::credential_source::CredentialSource;
use super::error::TenantError;
use super::http::Http;

pub use choose::choose;
pub(super) use issued::unreachable_service;

/// The identity in flags and `mdetag.yaml`. Contains no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityOptions {
    /// `tenantId` of the profile, or of a flag.
    pub tenant_id: Option<String>,
    /// `clientId` of the profile, or of a flag.
    pub client_id: Option<String>,
    /// The kind to use, instead of the first available one.
    pub source: Option<CredentialSource>,
}

/// The chosen credential. `Debug` shows only its kind and the public ids.
#[derive(Clone)]
pub struct Credential {
    kind: CredentialKind,
    tenant: Option<String>,
    client: Option<String>,
}

#[derive(Clone)]
enum CredentialKind {
    Secret(SecretString),
    Certificate(Arc<certificate::Signer>),
    FederatedFile(PathBuf),
    GitHub {
        url: Url,
        token: SecretString,
    },
    AppService {
        url: Url,
        header: SecretString,
    },
    Imds(Url),
    AzureCli(PathBuf),
    /// A managed identity if one answers, else the Azure CLI. Which one it is cannot be known without asking.
    Ambient(Url, PathBuf),
}

impl Credential {
    /// Its kind; of the last resort (a managed identity if one answers, else the Azure CLI) the first.
    pub fn source(&self) -> CredentialSource {
        match &self.kind {
            CredentialKind::Secret(_) => CredentialSource::ClientSecret,
            CredentialKind::Certificate(_) => CredentialSource::Certificate,
            CredentialKind::FederatedFile(_) => CredentialSource::FederatedTokenFile,
            CredentialKind::GitHub { .. } => CredentialSource::GitHub,
            CredentialKind::AppService { .. } => CredentialSource::AppService,
            CredentialKind::Imds(_) | CredentialKind::Ambient(..) => CredentialSource::ManagedIdentity,
            CredentialKind::AzureCli(_) => CredentialSource::AzureCli,
        }
    }

    /// The configured tenant to sign in to, if any: an id or a domain.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The configured client id, if any.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }
}

#[cfg(test)]
impl Credential {
    /// The Azure CLI, or a program that replaces it.
    pub(super) fn azure_cli_at(program: PathBuf, tenant: &str) -> Credential {
        Credential { kind: CredentialKind::AzureCli(program), tenant: Some(tenant.to_owned()), client: None }
    }

    /// A managed identity at `imds` if one answers, else the program.
    pub(super) fn ambient_at(imds: &str, program: PathBuf) -> Credential {
        let url = Url::parse(imds).expect("tests name a URL");
        Credential { kind: CredentialKind::Ambient(url, program), tenant: None, client: None }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("source", &self.source())
            .field("tenant", &self.tenant)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// An access token. `Debug` never shows it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) secret: SecretString,
    pub(super) claims: Claims,
    pub(super) source: CredentialSource,
    /// The time from which it is renewed, some time before it ends.
    renew_at: Timestamp,
    /// The number of its sign-in.
    generation: u64,
}

/// Tokens of one audience.
pub(super) struct TokenSource {
    pub(super) http: Http,
    pub(super) login: Origin,
    pub(super) credential: Credential,
    pub(super) audience: &'static str,
    pub(super) clock: Arc<dyn Clock>,
    /// The first wait after a failed try; doubles.
    pub(super) backoff: Duration,
    /// The longest total time of one call.
    request_timeout: Duration,
    cache: Mutex<Option<Token>>,
}

impl TokenSource {
    pub(super) fn new(
        http: Http,
        login: Origin,
        credential: Credential,
        audience: &'static str,
        clock: Arc<dyn Clock>,
        backoff: Duration,
        request_timeout: Duration,
    ) -> TokenSource {
        let cache = Mutex::new(None);
        TokenSource { http, login, credential, audience, clock, backoff, request_timeout, cache }
    }

    /// The time limit of a sign-in call: its usual time, or a shorter requested one.
    pub(super) fn timeout(&self, usual: Duration) -> Duration {
        usual.min(self.request_timeout)
    }

    /// A token with some life left. Concurrent callers share one sign-in.
    pub(super) async fn token(&self) -> Result<Token, TenantError> {
        let mut cache = self.cache.lock().await;
        let generation = match &*cache {
            Some(token) if self.clock.now() < token.renew_at => return Ok(token.clone()),
            Some(token) => token.generation + 1,
            None => 1,
        };
        let token = self.acquire(generation).await?;
        *cache = Some(token.clone());
        Ok(token)
    }

    /// A token other than `rejected`, which the service refused although it had not expired.
    pub(super) async fn renewed(&self, rejected: &Token) -> Result<Token, TenantError> {
        let mut cache = self.cache.lock().await;
        if let Some(token) = cache.as_ref().filter(|token| token.generation > rejected.generation) {
            return Ok(token.clone());
        }
        let token = self.acquire(rejected.generation + 1).await?;
        *cache = Some(token.clone());
        Ok(token)
    }

    async fn acquire(&self, generation: u64) -> Result<Token, TenantError> {
        let asked = self.clock.now();
        let granted = exchange::acquire(self).await?;
        let claims = Claims::of(&granted.token).ok_or_else(|| exchange::unreadable(granted.source))?;
        let ends = claims.expires.map(Timestamp::from_seconds);
        let life =
            granted.life.or_else(|| ends.map(|ends| ends.since(asked))).unwrap_or(Duration::from_secs(600));
        // Five minutes before the end, like other clients; short lives (tests, strict policies) keep four fifths.
        let margin = Duration::from_secs(300).min(life / 5);
        tracing::info!(
            credential = granted.source.word(),
            audience = self.audience,
            seconds = life.as_secs(),
            "signed in"
        );
        Ok(Token {
            secret: granted.token,
            claims,
            source: granted.source,
            renew_at: asked.plus(life - margin),
            generation,
        })
    }
}
