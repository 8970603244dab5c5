//! A tenant during one command: signed in, metered by the ledger, real or simulated.
//!
//! Plans nothing and writes nothing itself. A [`Session`] reads; only `apply` opens a [`WritingSession`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mdetag::store::ledger::Ledger;
use mdetag::store::regular_file;
pub use mdetag::store::state::SANDBOX;
use mdetag::store::state::{self, StateDir, forget_sandbox};
use mdetag::tenant::{
    self, ConnectOptions, Credential, CredentialSource, Endpoints, IdentityOptions, Override, Overrides,
    Prober, RequiredAccess, Tenant, TenantError, TenantErrorKind, Writer,
};
use mdetag_core::apply::budget::Limits;
use mdetag_core::cloud::Cloud;
use mdetag_core::plan::TenantReference;
use mdetag_core::policy::Policy;
use mdetag_core::probe::KnownService;
use mdetag_core::text::is_taken_by_windows;
use mdetag_core::time::Clock;
use mdetag_sandbox::{self as sandbox, Running, Sandbox};

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::known_service;
use super::state_store::{self, StateNeed};

/// A tenant for reading. Nothing in it leads to a writer.
pub struct Session {
    pub tenant: Tenant,
    /// Its form in plans.
    pub reference: TenantReference,
    /// Its folder in the state directory.
    pub state: StateDir,
    /// The findings about its service.
    pub known: KnownService,
    /// The ledger of this identity.
    pub ledger: Arc<Ledger>,
    /// How much faster time runs: waits are divided by it. 1 except on loopback.
    pub scale: u32,
    /// The simulated tenant, if it is one.
    pub sandbox: Option<(Sandbox, Running)>,
}

impl Session {
    /// A wait on this session's clock.
    pub fn scaled(&self, span: Duration) -> Duration {
        span / self.scale
    }

    pub fn is_sandbox(&self) -> bool {
        self.reference.cloud.as_deref() == Some(SANDBOX)
    }

    /// Ends a simulated tenant's server, so that its state on disk is complete.
    pub async fn close(self) {
        if let Some((_, running)) = self.sandbox {
            running.stop().await;
        }
    }

    /// Refuses another tenant than the pinned one, for policies that were read after the sign-in.
    ///
    /// # Errors
    /// Another tenant: exit 3.
    pub fn check_pin(&self, policy: &Policy) -> Result<(), Failure> {
        let id = self.reference.id.as_deref().unwrap_or_default();
        match &policy.guard.tenant_id {
            Some((pin, _)) if !pin.eq_ignore_ascii_case(id) => {
                let mut failure =
                    Failure::tenant(format!("the tenant is {id}, and `guard.tenantId` pins {pin}"))
                        .help("nothing was read or written; choose the right profile with --tenant");
                failure.exit = Exit::Refused;
                Err(failure)
            }
            _ => Ok(()),
        }
    }
}

/// A tenant for writing.
pub struct WritingSession {
    /// The same tenant, for reading.
    pub reading: Session,
    pub writer: Writer,
}

/// A tenant and a credential for it, before anything is sent.
pub struct PreparedSession {
    target: ResolvedTenant,
    credential: Credential,
    pin: Option<String>,
}

struct ResolvedTenant {
    endpoints: Endpoints,
    identity: IdentityOptions,
    secrets: Vec<(&'static str, String)>,
    cloud: String,
    name: Option<String>,
    page_size: usize,
    scale: u32,
    sandbox: Option<(Sandbox, Running)>,
}

/// Signs in, to read, to the tenant that flags, environment and profile name.
///
/// # Errors
/// A profile or host that cannot be used, and every failure of the sign-in, with what to do next.
pub async fn open(context: &Context, policy: Option<&Policy>) -> Result<Session, Failure> {
    prepare(context, policy).await?.connect(context, Some(RequiredAccess::Read)).await
}

/// Signs in to write to the tenant that flags, environment and profile name. `tests/architecture.rs` lists the permitted callers.
///
/// # Errors
/// Those of [`open`], and a token that lacks the role.
pub async fn open_to_write(context: &Context, policy: Option<&Policy>) -> Result<WritingSession, Failure> {
    let prepared = prepare(context, policy).await?;
    let options = prepared.options(context);
    let tenant = tenant::sign_in_to_write(options).await.map_err(|error| prepared.failure(error))?;
    let (tenant, writer) = tenant.split();
    Ok(WritingSession { reading: prepared.session(context, tenant, StateNeed::Must)?, writer })
}

/// Signs in to probe the tenant that flags, environment and profile name. `tests/architecture.rs` lists the permitted callers.
///
/// # Errors
/// Those of [`open_to_write`].
pub async fn open_to_probe(context: &Context, policy: Option<&Policy>) -> Result<(Session, Prober), Failure> {
    let prepared = prepare(context, policy).await?;
    let options = prepared.options(context);
    let tenant = tenant::sign_in_to_write(options).await.map_err(|error| prepared.failure(error))?;
    let (tenant, prober) = tenant.split_to_probe();
    Ok((prepared.session(context, tenant, StateNeed::Must)?, prober))
}

/// Finds the tenant and the credential that flags, environment and profile name.
///
/// # Errors
/// An unusable profile, host or credential.
pub async fn prepare(context: &Context, policy: Option<&Policy>) -> Result<PreparedSession, Failure> {
    let pin = policy.and_then(|policy| policy.guard.tenant_id.as_ref()).map(|(id, _)| id.clone());
    check_certificates()?;
    state::prepare(&context.state_dir());
    let target = match &context.global.sandbox {
        Some(name) => sandboxed(context, name, pin.as_deref()).await?,
        None => real(context)?,
    };
    if target.scale > 1 && !target.endpoints.api.is_loopback() {
        return Err(Failure::usage(
            "`budget.timeScale` is more than 1, and the API host is no loopback address",
        )
        .help("delete `timeScale` from mdetag.yaml; it is for tests against a simulated tenant"));
    }
    let secrets = &target.secrets;
    let variable = |name: &str| match secrets.iter().find(|(known, _)| *known == name) {
        Some((_, value)) => Some(value.clone()),
        None if secrets.is_empty() => std::env::var(name).ok(),
        None => None,
    };
    let credential = tenant::choose(&target.identity, &variable).map_err(unreachable_tenant)?;
    Ok(PreparedSession { target, credential, pin })
}

impl PreparedSession {
    pub fn source(&self) -> CredentialSource {
        self.credential.source()
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.target.endpoints
    }

    /// Signs in to read, and checks the role if one is needed.
    ///
    /// # Errors
    /// Every failure of the sign-in, with what to do next; an unusable state directory.
    pub async fn connect(self, context: &Context, need: Option<RequiredAccess>) -> Result<Session, Failure> {
        let signed_in = tenant::sign_in(self.options(context)).await.and_then(|tenant| {
            need.map_or(Ok(()), |need| tenant.check(need))?;
            Ok(tenant)
        });
        let tenant = signed_in.map_err(|error| self.failure(error))?;
        self.session(context, tenant, StateNeed::May)
    }

    fn options(&self, context: &Context) -> ConnectOptions {
        let PreparedSession { target, credential, pin } = self;
        tracing::info!(credential = credential.source().name(), "signing in");
        let mut options =
            ConnectOptions::new(target.endpoints.clone(), credential.clone(), context.clock.clone());
        options.pin.clone_from(pin);
        options.page_size = target.page_size;
        options.backoff /= target.scale;
        options.request_timeout = context.global.request_timeout;
        options
    }

    /// A failed sign-in. Another tenant than the guard's is refused.
    fn failure(&self, error: TenantError) -> Failure {
        let is_guarded = self.pin.is_some() && error.kind == TenantErrorKind::OtherTenant;
        let mut failure = unreachable_tenant(error);
        if is_guarded {
            failure.exit = Exit::Refused;
        }
        failure
    }

    /// The session of a signed-in tenant.
    fn session(self, context: &Context, tenant: Tenant, need: StateNeed) -> Result<Session, Failure> {
        let PreparedSession { target, credential, .. } = self;
        let reference = TenantReference {
            id: Some(tenant.id().to_owned()),
            name: target.name,
            cloud: Some(target.cloud),
        };
        let state = state_store::of_tenant(context, &reference, need)?;
        // A managed identity or a login of the Azure CLI names its application only in the token.
        let client = credential.client().map(str::to_owned);
        let app = tenant.claims().app.clone().or(client).unwrap_or_else(|| "unknown".to_owned());
        let ledger = Arc::new(ledger(context, (&state, &reference), &app, target.scale, tenant.clock())?);
        let known = known_service::read(context, &state, &reference);
        Ok(Session { tenant, reference, state, known, ledger, scale: target.scale, sandbox: target.sandbox })
    }
}

/// The ledger of an application, at the place of the state: whoever shares the state shares the calls per minute.
fn ledger(
    context: &Context,
    (state, reference): (&StateDir, &TenantReference),
    app: &str,
    scale: u32,
    clock: Arc<dyn Clock>,
) -> Result<Ledger, Failure> {
    let budget = context.settings.budget;
    let limits = Limits {
        per_minute: budget.per_minute,
        per_hour: budget.per_hour,
        shared: budget.shared,
        time_scale: f64::from(scale),
        ..Limits::default()
    };
    let seed = context.clock.now().ticks() as u64;
    let place = state.shared_ledger(app).map_err(Failure::file)?;
    let shared = state.backend().shared(&place).map_err(|error| Failure::file(error.to_string()))?;
    if let Some(cell) = shared {
        return Ok(Ledger::in_store(cell, &place, limits, seed, clock));
    }
    // A store that does not answer cannot count, but this computer's own calls are still known.
    let local = state_store::local(context, reference)?;
    Ok(Ledger::open(&local.ledger(app).map_err(Failure::file)?, limits, seed, clock))
}

/// A sandbox in the state directory, served in this process over a real socket.
async fn sandboxed(context: &Context, name: &str, pin: Option<&str>) -> Result<ResolvedTenant, Failure> {
    let profile = context.profile()?.and_then(|profile| profile.tenant_id.clone());
    let tenant_id = pin.map(str::to_owned).or(profile);
    let sandbox = open_sandbox(context, name, tenant_id)?;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let running =
        sandbox::serve(&sandbox, address).await.map_err(|error| Failure::tenant(error.to_string()))?;
    let endpoints = Endpoints::new(Cloud::Public, None, &Overrides::local(&running.url()), &[])
        .map_err(unreachable_tenant)?;
    let credentials = sandbox.credentials();
    let page_size =
        context.global.sandbox_fault.iter().filter_map(|fault| fault.strip_prefix("page=")).next_back();
    Ok(ResolvedTenant {
        endpoints,
        identity: IdentityOptions {
            tenant_id: Some(credentials.tenant_id),
            client_id: Some(credentials.client_id),
            source: None,
        },
        secrets: vec![("AZURE_CLIENT_SECRET", credentials.client_secret)],
        cloud: SANDBOX.to_owned(),
        name: Some(name.to_owned()),
        page_size: page_size.and_then(|text| text.parse().ok()).unwrap_or(10_000),
        scale: context.global.sandbox_speed.unwrap_or(context.settings.budget.time_scale),
        sandbox: Some((sandbox, running)),
    })
}

/// The sandbox of this name, created the first time.
///
/// # Errors
/// A name that cannot name a folder, a wrong switch, an unusable state directory.
pub fn open_sandbox(context: &Context, name: &str, tenant_id: Option<String>) -> Result<Sandbox, Failure> {
    let directory = sandbox_dir(context, name)?;
    start_empty(context, name)?;
    let options = sandbox_options(context, tenant_id);
    Sandbox::open(&directory, &options, context.clock.clone())
        .map_err(|error| Failure::tenant(error.to_string()))
}

/// Drops the state of an earlier sandbox of this name, if the sandbox is about to be created.
///
/// # Errors
/// State that cannot be removed.
pub fn start_empty(context: &Context, name: &str) -> Result<(), Failure> {
    if sandbox_dir(context, name)?.exists() {
        return Ok(());
    }
    // The runs in a copy are its purpose.
    state_store::original(context)?;
    forget_sandbox(&context.state_dir(), name)
        .map_err(|error| Failure::file(format!("the state of the last sandbox {name} stays: {error}")))
}

/// The options of a sandbox from the flags.
pub fn sandbox_options(context: &Context, tenant_id: Option<String>) -> sandbox::Options {
    sandbox::Options {
        tenant_id,
        speed: context.global.sandbox_speed.unwrap_or(context.settings.budget.time_scale),
        faults: context.global.sandbox_fault.clone(),
        ..sandbox::Options::default()
    }
}

/// The folder of the sandbox with this name.
///
/// # Errors
/// A name that cannot name a folder.
pub fn sandbox_dir(context: &Context, name: &str) -> Result<PathBuf, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // With `--all-tenants` it is named after the profile, with the typed sandbox name in front.
    let is_name = (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain);
    if !is_name || is_taken_by_windows(name) {
        return Err(Failure::usage(format!("`{name}` cannot name a sandbox"))
            .help("use 1 to 128 letters, digits, `.`, `_` and `-`, as in --sandbox=second"));
    }
    state::unlinked(&context.state_dir(), &["sandboxes", name]).map_err(Failure::file)
}

/// A real tenant, from the profile and the environment.
fn real(context: &Context) -> Result<ResolvedTenant, Failure> {
    let profile = context.profile()?.cloned().unwrap_or_default();
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let cloud = profile.cloud.unwrap_or_default();
    let endpoint = |variable: &str, key: &str| {
        let file = || profile.endpoints.get(key).map(Override::file);
        env(variable).map(Override::environment).or_else(file)
    };
    let overrides = Overrides {
        api: endpoint("MDETAG_API_URL", "api"),
        login: endpoint("MDETAG_LOGIN_URL", "login"),
        graph: endpoint("MDETAG_GRAPH_URL", "graph"),
    };
    let allowed = env("MDETAG_ALLOW_HOSTS").unwrap_or_default();
    let allowed: Vec<String> =
        allowed.split([',', ' ']).filter(|host| !host.is_empty()).map(str::to_ascii_lowercase).collect();
    let endpoints = Endpoints::new(cloud, profile.geo, &overrides, &allowed).map_err(unreachable_tenant)?;
    Ok(ResolvedTenant {
        endpoints,
        identity: IdentityOptions {
            tenant_id: profile.tenant_id,
            client_id: profile.client_id,
            source: None,
        },
        secrets: Vec::new(),
        cloud: cloud.word().to_owned(),
        name: Some(profile.name).filter(|name| !name.is_empty()),
        page_size: 10_000,
        scale: context.settings.budget.time_scale,
        sandbox: None,
    })
}

/// The largest bundle, in bytes: all public authorities take a quarter of a megabyte.
const MOST_CERTIFICATES: u64 = 64 << 20;

/// The TLS library ignores an unusable file and then only says that it trusts nobody, so the cause is checked here.
fn check_certificates() -> Result<(), Failure> {
    let Some(file) = std::env::var("SSL_CERT_FILE").ok().filter(|file| !file.is_empty()) else {
        return Ok(());
    };
    let help = "name a PEM file with the certificates to trust, or unset SSL_CERT_FILE to trust the system's";
    let text = regular_file::bytes(Path::new(&file), MOST_CERTIFICATES)
        .map_err(|why| Failure::file(format!("SSL_CERT_FILE: cannot read {file}: {why}")).help(help))?;
    let mark = b"-----BEGIN CERTIFICATE-----";
    if text.windows(mark.len()).any(|window| window == mark) {
        return Ok(());
    }
    Err(Failure::file(format!("SSL_CERT_FILE: {file} holds no certificate in PEM form")).help(help))
}

/// A tenant's error as a failure, with its steps.
pub fn unreachable_tenant(error: TenantError) -> Failure {
    let failure = Failure::tenant(error.to_string());
    if error.help.is_empty() { failure } else { failure.help(error.help.join("\n")) }
}
