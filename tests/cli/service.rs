//! Services that the binary connects to like a real tenant: the sandbox on its own socket, and a server for answers that no
//! service should give.
//!
//! Both end with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::wall_clock::WallClock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mdetag_sandbox::{Federated, Options, Request, Route, Running, Sandbox, serve};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Environment variables of one run.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// The audience of tokens for the device API.
pub(crate) const AUDIENCE: &str = "https://api.securitycenter.microsoft.com";

/// A simulated tenant that is served separately from the binary.
pub(crate) struct Service {
    pub(crate) sandbox: Sandbox,
    pub(crate) url: String,
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    /// Twenty devices, with these faults.
    pub(crate) fn start(faults: &[&str]) -> Service {
        Service::of_tenant(None, faults)
    }

    /// The same under this tenant id.
    pub(crate) fn of_tenant(tenant_id: Option<&str>, faults: &[&str]) -> Service {
        let options = Options {
            devices: 20,
            tenant_id: tenant_id.map(str::to_owned),
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
            ..Options::default()
        };
        Service::with(&options)
    }

    /// As told.
    pub(crate) fn with(options: &Options) -> Service {
        let sandbox = Sandbox::in_memory(options, Arc::new(WallClock)).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running = runtime.block_on(serve(&sandbox, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
        Service { url: running.url(), sandbox, running: Some(running), runtime }
    }

    /// The variables with its address.
    pub(crate) fn hosts(&self) -> Environment {
        hosts(&self.url)
    }

    /// The variables with its address, the tenant and the application.
    pub(crate) fn ids(&self) -> Environment {
        let known = self.sandbox.credentials();
        let ids = [("AZURE_TENANT_ID", known.tenant_id), ("AZURE_CLIENT_ID", known.client_id)];
        [self.hosts(), ids.into()].concat()
    }

    /// Everything that a client secret needs.
    pub(crate) fn secret(&self) -> Environment {
        let secret = self.sandbox.credentials().client_secret;
        [self.ids(), vec![("AZURE_CLIENT_SECRET", secret)]].concat()
    }

    /// Everything that GitHub gives a job.
    pub(crate) fn github(&self) -> Environment {
        let request = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/oidc/token?api-version=2.0", self.url)),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", self.sandbox.credentials().identity_secret),
        ];
        [self.ids(), request.into()].concat()
    }

    /// A token of the issuer that the sandbox's application trusts.
    pub(crate) fn federated_token(&self, subject: &str) -> String {
        let issuer = "https://token.actions.githubusercontent.com".to_owned();
        let audience = "api://AzureADTokenExchange".to_owned();
        self.sandbox.federated_token(&Federated { issuer, subject: subject.to_owned(), audience }).unwrap()
    }

    /// An access token for a resource, as the Azure CLI would have it.
    pub(crate) fn access_token(&self, resource: &str) -> String {
        let request = Request {
            method: "GET".to_owned(),
            path: "/metadata/identity/oauth2/token".to_owned(),
            query: format!("api-version=2018-02-01&resource={resource}"),
            headers: vec![("metadata".to_owned(), "true".to_owned())],
            ..Request::default()
        };
        let answer = self.sandbox.finish(self.sandbox.begin(&request).unwrap()).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// How many calls reached a route.
    pub(crate) fn count(&self, route: Route) -> usize {
        self.sandbox.calls().iter().filter(|call| call.route == route).count()
    }

    /// How many calls could have changed a device.
    pub(crate) fn writes(&self) -> usize {
        self.sandbox.calls().iter().filter(|call| call.route.writes()).count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// The variables that name the same host for all three services.
pub(crate) fn hosts(url: &str) -> Environment {
    ["MDETAG_API_URL", "MDETAG_LOGIN_URL", "MDETAG_GRAPH_URL"].map(|name| (name, url.to_owned())).into()
}

/// A URL where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A request as received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// Whether it requests what follows the first page.
    pub(crate) fn is_behind(&self) -> bool {
        self.path.contains("$skip=")
    }

    /// Whether it has a credential.
    pub(crate) fn is_authorized(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "authorization")
    }
}

/// Makes the answers.
type Sayer = dyn Fn(&Seen) -> Say + Send + Sync;

/// An answer: status, further headers, body.
#[derive(Clone)]
pub(crate) struct Say(pub u16, pub Vec<(&'static str, String)>, pub String);

impl Say {
    /// A JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Say {
        Say(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }
}

/// A server whose answers come from a closure.
pub(crate) struct Fake {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Starts it.
    pub(crate) fn start(say: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Fake {
        let say: Arc<Sayer> = Arc::new(say);
        Fake::listen(move |stream, kept| answer(stream, kept, &*say))
    }

    /// Starts it as a proxy that reads its tunnels, with a certificate for `tenant.example`.
    pub(crate) fn proxy(say: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Fake {
        let (say, config): (Arc<Sayer>, _) = (Arc::new(say), certificate());
        Fake::listen(move |stream, kept| tunnel(stream, &config, kept, &*say))
    }

    fn listen(serve: impl Fn(TcpStream, &Mutex<Vec<Seen>>) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, serve) = (seen.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, serve) = (kept.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Fake { url, seen }
    }

    /// A tenant whose token has these claims besides the usual ones, and whose other answers come from the closure.
    pub(crate) fn tenant(claims: &Value, say: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Fake {
        let grant = json!({ "access_token": token(claims), "expires_in": 3599 });
        Fake::start(
            move |seen| if seen.path.ends_with("/token") { Say::json(200, &grant) } else { say(seen) },
        )
    }

    /// A tenant that lists devices of this JSON on one page, and knows nothing else.
    pub(crate) fn listing(claims: &Value, body: Value) -> Fake {
        let no_devices = json!({ "value": [] });
        Fake::tenant(claims, move |seen| Say::json(200, if seen.is_behind() { &no_devices } else { &body }))
    }

    /// Everything that came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Everything that a client secret needs here.
    pub(crate) fn secret(&self) -> Environment {
        let pairs = [
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_CLIENT_ID", "app-1".to_owned()),
            ("AZURE_CLIENT_SECRET", "a-secret".to_owned()),
        ];
        [hosts(&self.url), pairs.into()].concat()
    }
}

/// The tenant of unsigned tokens.
pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// An unsigned token: the client reads claims and leaves signatures to the service.
pub(crate) fn token(claims: &Value) -> String {
    let mut all = json!({ "tid": TENANT, "aud": AUDIENCE, "appid": "app-1", "exp": 4_000_000_000u64 });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.unsigned", part(r#"{"alg":"none"}"#), part(&all.to_string()))
}

/// Answers one request on a stream.
fn answer(mut stream: impl Read + Write, kept: &Mutex<Vec<Seen>>, say: &Sayer) {
    let Some(seen) = read(&mut stream) else { return };
    kept.lock().unwrap().push(seen.clone());
    let Say(status, headers, body) = say(&seen);
    let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // The client may be gone; some tests are about that.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).and_then(|()| stream.flush());
}

/// Opens a tunnel like a proxy, and answers in it with its own certificate.
fn tunnel(mut stream: TcpStream, config: &Arc<ServerConfig>, kept: &Mutex<Vec<Seen>>, say: &Sayer) {
    let Some(seen) = read(&mut stream) else { return };
    kept.lock().unwrap().push(seen);
    stream.write_all(b"HTTP/1.1 200 x\r\n\r\n").unwrap();
    let connection = ServerConnection::new(config.clone()).unwrap();
    answer(StreamOwned::new(connection, stream), kept, say);
}

/// A certificate for `tenant.example`, by the authority in `proxy-ca.pem`. Both were made for this test with openssl.
fn certificate() -> Arc<ServerConfig> {
    let pem = include_bytes!("testdata/proxy.pem");
    let chain = CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
}

/// One request, whole.
fn read(stream: &mut impl Read) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut seen = Seen { method: words.next()?, path: words.next()?, ..Seen::default() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = seen.headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Some(seen)
}

/// An executable script.
#[cfg(unix)]
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
