//! A tenant of the service: identity, hosts, reading and writing over HTTP.
//!
//! Does not plan and does not store files. Only `wire` spells the service's own words.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod auth;
mod claims;
mod clouds;
mod credential_source;
mod error;
#[cfg(test)]
mod fake;
mod http;
mod percent;
mod hunting;
mod noticing;
mod probing;
mod read;
mod releases;
mod decoded;
mod scrub;
mod service_clock;
mod webhook;
mod wire;
mod write;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;

use mdetag_core::plan::Lane;
use mdetag_core::service::{Question, ServiceObservations};
use mdetag_core::text;
use mdetag_core::time::Clock;

pub use self::auth::{Credential, CredentialSource, IdentityOptions, choose};
pub use self::claims::{Claims, RequiredAccess};
pub use self::clouds::{Endpoints, Origin, Override, Overrides};
pub use self::error::{TenantError, TenantErrorKind};
pub use self::hunting::{Hunter, ORIGINS_QUERY, OriginsOf, TagOrigins};
pub use self::probing::{ActiveProbe, ProbeWatch, Prober};
pub use self::read::{ListCheck, PageSink, ReadDevices, ReadProgress, ReadScope, ReadWatch, Reader, pushed};
pub use self::releases::{RELEASES, is_newer, newest};
pub use self::webhook::{Delivery, deliver};
pub use self::write::{CALL_TIMEOUT, WriteDevices, Writer};

use self::auth::{Token, TokenSource};
use self::claims::Expected;
use self::http::{Answer, Http, HttpFailure};
use self::service_clock::ServiceClock;

/// The boxed future of a trait method.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The options for reaching a tenant.
#[derive(Clone)]
pub struct ConnectOptions {
    pub endpoints: Endpoints,
    pub credential: Credential,
    /// `guard.tenantId` of the policy: any other tenant is refused.
    pub pin: Option<String>,
    pub clock: Arc<dyn Clock>,
    /// First wait after a failed try; doubles from try to try. One second, unless time is scaled.
    pub backoff: Duration,
    /// Rows of a full list page: 10,000, unless a simulated service has smaller ones.
    pub page_size: usize,
    /// Total time limit of one call, however slowly bytes arrive. Sign-ins and writes may have less.
    pub request_timeout: Duration,
}

impl ConnectOptions {
    pub fn new(endpoints: Endpoints, credential: Credential, clock: Arc<dyn Clock>) -> ConnectOptions {
        ConnectOptions {
            endpoints,
            credential,
            pin: None,
            clock,
            backoff: Duration::from_secs(1),
            page_size: 10_000,
            request_timeout: Duration::from_secs(300),
        }
    }
}

/// A tenant for reading: signed in, its token checked, and without any path to a [`Writer`].
///
/// ```
/// use mdetag::tenant::{Reader, Tenant, WriteDevices, Writer, WritingTenant};
///
/// fn reader(tenant: &Tenant) -> Reader { tenant.reader() }
/// fn halves(tenant: WritingTenant) -> (Tenant, Writer) { tenant.split() }
/// fn writes<W: WriteDevices>(_: &W) {}
/// fn a_writer_writes(writer: &Writer) { writes(writer) }
/// ```
///
/// The types that `plan`, `drift` and `explain` hold do not compile as a way to write:
///
/// ```compile_fail,E0277
/// use mdetag::tenant::{Reader, WriteDevices};
/// fn writes<W: WriteDevices>(_: &W) {}
/// fn a_reader_writes(reader: &Reader) { writes(reader) }
/// ```
///
/// ```compile_fail,E0277
/// use mdetag::tenant::{Tenant, WriteDevices};
/// fn writes<W: WriteDevices>(_: &W) {}
/// fn a_tenant_writes(tenant: &Tenant) { writes(tenant) }
/// ```
///
/// ```compile_fail,E0599
/// use mdetag::tenant::{Tenant, Writer};
/// fn halves(tenant: Tenant) -> (Tenant, Writer) { tenant.split() }
/// ```
///
/// ```compile_fail,E0599
/// use mdetag::tenant::{Tenant, Writer};
/// fn writer(tenant: &Tenant) -> Writer { tenant.writer() }
/// ```
#[derive(Clone)]
pub struct Tenant {
    connection: Arc<Connection>,
    claims: Claims,
    source: CredentialSource,
}

/// Signs in, and checks the token's tenant and audience. [`Tenant::check`] tells whether it has a role.
///
/// # Errors
/// A sign-in that fails, another tenant than the pinned or configured one, a wrong audience.
pub async fn sign_in(options: ConnectOptions) -> Result<Tenant, TenantError> {
    let tenant = options.credential.tenant().filter(|id| text::is_guid(id)).map(str::to_owned);
    if let (Some(pin), Some(tenant)) = (&options.pin, &tenant)
        && !pin.eq_ignore_ascii_case(tenant)
    {
        let what = format!("the policy's guard.tenantId is {pin}, but the configured tenant is {tenant}");
        return Err(TenantError::new(TenantErrorKind::OtherTenant, what)
            .help("nothing was read or written")
            .help("choose the right profile with --tenant, or correct guard.tenantId"));
    }
    let service_clock = Arc::new(ServiceClock::new(options.clock.clone()));
    let http = Http::setting(service_clock.clone());
    let tokens = |audience| {
        TokenSource::new(
            http.clone(),
            options.endpoints.login.clone(),
            options.credential.clone(),
            audience,
            options.clock.clone(),
            options.backoff,
            options.request_timeout,
        )
    };
    let connection = Connection {
        tokens: tokens(options.endpoints.api_audience),
        graph_tokens: tokens(options.endpoints.graph_audience),
        http,
        endpoints: options.endpoints,
        pin: options.pin,
        tenant,
        clock: options.clock,
        service_clock,
        backoff: options.backoff,
        page_size: options.page_size.max(2),
        request_timeout: options.request_timeout.max(Duration::from_millis(1)),
        sightings: Mutex::default(),
    };
    let token = connection.token(Lane::List, None).await?;
    Ok(Tenant { connection: Arc::new(connection), claims: token.claims, source: token.source })
}

/// A tenant for writing: signed in with a token that has the role.
pub struct WritingTenant {
    tenant: Tenant,
}

/// Signs in to write: the only way to get a [`Writer`] or a [`Prober`].
///
/// # Errors
/// Those of [`sign_in`], and a token without the role; the error names it and says how to grant it.
pub async fn sign_in_to_write(options: ConnectOptions) -> Result<WritingTenant, TenantError> {
    let tenant = sign_in(options).await?;
    tenant.check(RequiredAccess::Write)?;
    Ok(WritingTenant { tenant })
}

impl WritingTenant {
    /// The tenant for reading, and the writer.
    pub fn split(self) -> (Tenant, Writer) {
        let writer = Writer::new(self.tenant.connection.clone());
        (self.tenant, writer)
    }

    /// The tenant for reading, and the prober.
    pub fn split_to_probe(self) -> (Tenant, Prober) {
        let prober = Prober::new(self.tenant.connection.clone());
        (self.tenant, prober)
    }
}

/// Sends the sign-in host a request without a credential. Shows that the host can be reached, and by how many milliseconds this
/// computer's clock is ahead, if the answer has a date.
///
/// # Errors
/// No answer.
pub async fn reach(endpoints: &Endpoints, clock: &dyn Clock) -> Result<Option<i64>, TenantError> {
    let request = Http::default().request(Method::GET, &endpoints.login, "/", None);
    // Any answer counts, whatever its length.
    match request.send(Duration::from_secs(30), http::SMALL_LIMIT).await {
        Ok(answer) => Ok(answer.date().map(|there| clock.now().millis() - there.millis())),
        Err(HttpFailure::Broken { .. } | HttpFailure::TooLarge { .. }) => Ok(None),
        Err(trouble) => Err(auth::unreachable_service(endpoints.login.as_str(), &trouble)),
    }
}

impl Tenant {
    /// Tenant id from the token.
    pub fn id(&self) -> &str {
        &self.claims.tenant
    }

    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The service's clock, for the ledger and the journal, so that computers with different clocks agree.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.connection.service_clock.clone()
    }

    /// The credential that signed in.
    pub fn source(&self) -> CredentialSource {
        self.source
    }

    /// Checks that the token has the role.
    ///
    /// # Errors
    /// It lacks the role; the error names it and says how to grant it.
    pub fn check(&self, need: RequiredAccess) -> Result<(), TenantError> {
        self.claims.check_role(need, self.source)
    }

    /// Observations of the service from the answers to reads.
    pub fn sightings(&self) -> ServiceObservations {
        self.connection.sightings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the observations from the answers to writes.
    pub fn add_sightings(&self, seen: &ServiceObservations) {
        self.connection.sightings.lock().unwrap_or_else(PoisonError::into_inner).take(seen);
    }

    /// The reading half.
    pub fn reader(&self) -> Reader {
        Reader::new(self.connection.clone(), self.claims.is_delegated())
    }

    /// The hunting half: signs in to Microsoft Graph.
    ///
    /// # Errors
    /// A sign-in that fails, or a token without the role.
    pub async fn hunter(&self) -> Result<Hunter, TenantError> {
        let token = self.connection.token(Lane::Hunting, None).await?;
        token.claims.check_role(RequiredAccess::Hunting, token.source)?;
        Ok(Hunter::new(self.connection.clone()))
    }
}

/// Shared by readers and writers.
struct Connection {
    http: Http,
    endpoints: Endpoints,
    tokens: TokenSource,
    graph_tokens: TokenSource,
    pin: Option<String>,
    tenant: Option<String>,
    clock: Arc<dyn Clock>,
    service_clock: Arc<ServiceClock>,
    backoff: Duration,
    page_size: usize,
    request_timeout: Duration,
    /// Observations of the service from the answers to reads.
    sightings: Mutex<ServiceObservations>,
}

impl Connection {
    /// Notes an observation of the service.
    fn note(&self, question: Question, verdict: &'static str, number: Option<u64>) {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).note(question, verdict, number);
    }

    /// The host for the calls of a lane.
    fn origin(&self, lane: Lane) -> &Origin {
        if lane == Lane::Hunting { &self.endpoints.graph } else { &self.endpoints.api }
    }

    /// A token for the calls of a lane: the cached one, or one other than `rejected`. Its tenant and audience are checked.
    async fn token(&self, lane: Lane, rejected: Option<&Token>) -> Result<Token, TenantError> {
        let (tokens, audience, app_id) = match lane {
            Lane::Hunting => (&self.graph_tokens, self.endpoints.graph_audience, claims::GRAPH_APP_ID),
            _ => (&self.tokens, self.endpoints.api_audience, claims::API_APP_ID),
        };
        let token = match rejected {
            None => tokens.token().await?,
            Some(rejected) => tokens.renewed(rejected).await?,
        };
        for (tenant, setting) in [(&self.pin, "guard.tenantId"), (&self.tenant, "the configuration")] {
            let expected = Expected { tenant: tenant.as_deref(), tenant_setting: setting, audience, app_id };
            token.claims.check_target(&expected)?;
        }
        Ok(token)
    }

    /// Sends a request; after a 401, once more with a new token.
    ///
    /// # Errors
    /// Outer error: no token. Inner error: no usable answer.
    async fn send_on(
        &self,
        lane: Lane,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        timeout: Duration,
        limit: usize,
    ) -> Result<Result<Answer, HttpFailure>, TenantError> {
        let send = async |token: &Token| {
            let request = self.http.request(method.clone(), self.origin(lane), path, Some(&token.secret));
            let request = match &body {
                Some(body) => request.json(body.clone()),
                None => request,
            };
            let answer = request.send(timeout.min(self.request_timeout), limit).await;
            if let Ok(answer) = &answer {
                self.notice(lane, answer);
            }
            answer
        };
        let token = self.token(lane, None).await?;
        let answer = send(&token).await;
        if !matches!(&answer, Ok(answer) if answer.status == 401) {
            return Ok(answer);
        }
        let token = self.token(lane, Some(&token)).await?;
        Ok(send(&token).await)
    }
}
