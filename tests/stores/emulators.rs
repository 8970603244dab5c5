//! Azurite and moto on loopback for the duration of a test, and the state of a tenant in each.
//!
//! `MDETAG_EMULATORS` names the folder that `.ci/run` installs them into. Without it the stores are not tested, and the test says
//! so.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use mdetag::store::backend::{self, Bucket, Cells, ObjectBucket, StatePlace, StoreAddress};
use mdetag::store::state::StateDir;
use mdetag_core::time::Clock;

use super::clock::Shifted;
use super::wall_clock::WallClock;

/// Azurite's well-known account; its key is no secret.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Starts moto's server without threads.
const ONE_AT_A_TIME: &str = "import moto.server as m; run = m.run_simple; \
    m.run_simple = lambda *a, **k: run(*a, **{**k, 'threaded': False}); m.main()";

/// Both emulators. Dropping this ends them.
pub(crate) struct Emulators {
    children: Vec<Child>,
    blob: String,
    s3: String,
}

impl Emulators {
    /// The running emulators, or new ones; `None` if they are not installed.
    #[expect(clippy::print_stderr, reason = "a test that was not run says so")]
    pub(crate) fn shared() -> Option<Arc<Emulators>> {
        static SHARED: Mutex<Weak<Emulators>> = Mutex::new(Weak::new());
        let Some(tools) = std::env::var_os("MDETAG_EMULATORS").map(PathBuf::from) else {
            eprintln!(
                "not run on azblob:// and s3://: MDETAG_EMULATORS names no folder with azurite and moto"
            );
            return None;
        };
        let mut shared = SHARED.lock().unwrap();
        if let Some(emulators) = shared.upgrade() {
            return Some(emulators);
        }
        let emulators = Arc::new(Emulators::start(&tools));
        *shared = Arc::downgrade(&emulators);
        Some(emulators)
    }

    fn start(tools: &Path) -> Emulators {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut azurite = Command::new(tools.join("npm/node_modules/.bin/azurite-blob"));
        azurite.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]);
        azurite
            .args(["--disableTelemetry", "--skipApiVersionCheck"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Moto checks a condition and writes in two steps, which S3 does in one, so moto serves one request at a time.
        let mut moto = Command::new(tools.join("python/bin/python"));
        moto.args(["-c", ONE_AT_A_TIME, "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut azurite = azurite.spawn().expect("azurite starts");
        let mut moto = moto.spawn().expect("moto starts");
        let blob = address(azurite.stdout.take().unwrap());
        let s3 = address(moto.stderr.take().unwrap());
        Emulators { children: vec![azurite, moto], blob, s3 }
    }

    /// The environment for finding the stores.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AZURE_STORAGE_ENDPOINT", format!("{}/{ACCOUNT}", self.blob)),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
            ("AWS_ENDPOINT_URL", self.s3.clone()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// A container and a bucket that do not exist, with their addresses and the clock that reads them.
    pub(crate) fn missing(&self) -> [(&'static str, Arc<ObjectBucket>, Arc<dyn Clock>); 2] {
        ["azblob://devstoreaccount1/nothing-here", "s3://nothing-here"].map(|text| {
            let Ok(StatePlace::Store(address)) = StatePlace::parse(text) else { panic!("{text}") };
            let clock: Arc<dyn Clock> = Shifted::new();
            (text, backend::connect(&address, &self.variables(), &clock).unwrap(), clock)
        })
    }

    /// The addresses of a new container and a new bucket.
    pub(crate) fn fresh(&self) -> [String; 2] {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("state-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let (blob, s3) =
            (format!("{}/{ACCOUNT}/{name}?restype=container", self.blob), format!("{}/{name}", self.s3));
        // On another thread, because the caller may be inside a runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                put(&blob, true).await;
                put(&s3, false).await;
            });
        })
        .join()
        .unwrap();
        [format!("azblob://{ACCOUNT}/{name}/team"), format!("s3://{name}/team")]
    }
}

/// The first address that an emulator prints. Later output is read and dropped, because a full pipe would block it.
fn address(output: impl std::io::Read + Send + 'static) -> String {
    let mut lines = BufReader::new(output).lines();
    let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let at = line.find("http://127.0.0.1:")?;
        let url: String = line[at..].chars().take_while(|scalar| !scalar.is_whitespace()).collect();
        Some(url.trim_end_matches('/').to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    found.expect("the emulator says where it listens")
}

async fn put(url: &str, is_signed: bool) {
    use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
    use object_store::client::{HttpRequest, HttpRequestBody};
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.method_mut() = reqwest::Method::PUT;
    *request.uri_mut() = url.parse().unwrap();
    request.headers_mut().insert("content-length", 0.into());
    if is_signed {
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
        AzureAuthorizer::new(&credential, ACCOUNT).try_authorize(&mut request).unwrap();
    }
    let sent = reqwest::Client::new().put(url).headers(request.headers().clone()).send().await.unwrap();
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
}

impl Drop for Emulators {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A place for a tenant's state; each call of `open` is like another computer.
pub(crate) struct Place {
    /// For messages.
    pub(crate) name: &'static str,
    kind: Kind,
    emulators: Option<Arc<Emulators>>,
}

enum Kind {
    Folder(tempfile::TempDir),
    Store(StoreAddress),
}

/// An empty place of each kind.
pub(crate) fn places() -> Vec<Place> {
    let folder = Kind::Folder(tempfile::tempdir().unwrap());
    let mut places = vec![Place { name: "folder", kind: folder, emulators: None }];
    places.extend(stores());
    places
}

/// An empty place in each store.
pub(crate) fn stores() -> Vec<Place> {
    let Some(emulators) = Emulators::shared() else { return Vec::new() };
    let addresses = emulators.fresh();
    let place = |(name, address): (&'static str, String)| {
        let Ok(StatePlace::Store(address)) = StatePlace::parse(&address) else { panic!("{address}") };
        Place { name, kind: Kind::Store(address), emulators: Some(emulators.clone()) }
    };
    ["azblob", "s3"].into_iter().zip(addresses).map(place).collect()
}

impl Place {
    /// The tenant's state, opened as by another computer.
    pub(crate) fn open(&self) -> StateDir {
        self.open_at(&Shifted::new())
    }

    /// The variables for the binary; `host` replaces the store's.
    pub(crate) fn environment(&self, host: Option<&str>) -> Vec<(String, String)> {
        match (&self.kind, &self.emulators) {
            (Kind::Folder(folder), _) => {
                vec![("MDETAG_STATE".to_owned(), folder.path().display().to_string())]
            }
            (Kind::Store(address), emulators) => {
                let emulators = emulators.as_ref().unwrap();
                let mut variables = emulators.variables();
                for (_, value) in variables.iter_mut().filter(|(name, _)| name.contains("ENDPOINT")) {
                    let own = if value.contains(ACCOUNT) { &emulators.blob } else { &emulators.s3 };
                    *value = value.replace(own.as_str(), host.unwrap_or(own));
                }
                variables.push(("MDETAG_STATE".to_owned(), address.to_string()));
                variables
            }
        }
    }

    /// Its address in the store.
    pub(crate) fn address(&self) -> StoreAddress {
        let Kind::Store(address) = &self.kind else { panic!("{} is no store", self.name) };
        address.clone()
    }

    /// The address of its emulator; `None` for a folder.
    pub(crate) fn host(&self) -> Option<String> {
        let emulators = self.emulators.as_ref()?;
        Some(if self.name == "azblob" { emulators.blob.clone() } else { emulators.s3.clone() })
    }

    /// The state of another tenant, in a folder.
    pub(crate) fn open_of(&self, tenant: &str) -> StateDir {
        let Kind::Folder(folder) = &self.kind else { panic!("{} is no folder", self.name) };
        StateDir::new(folder.path(), "public", tenant).unwrap()
    }

    /// The same with clocks that a test moves.
    pub(crate) fn open_at(&self, clock: &Arc<Shifted>) -> StateDir {
        match &self.kind {
            Kind::Folder(folder) => StateDir::new(folder.path(), "public", "t").unwrap(),
            Kind::Store(_) => self.open_in(&self.objects().unwrap(), clock),
        }
    }

    /// The same over a store whose traffic the test counts.
    pub(crate) fn open_in(&self, objects: &Arc<ObjectBucket>, clock: &Arc<Shifted>) -> StateDir {
        let cells: Arc<dyn Cells> = Arc::new(clock.store(objects.clone()));
        let bucket = Arc::new(Bucket::new(objects.clone(), cells, clock.clone()));
        StateDir::in_store(bucket, &objects.address().to_string(), "public", None, "t").unwrap()
    }

    /// The store itself; none for a folder.
    pub(crate) fn objects(&self) -> Option<Arc<ObjectBucket>> {
        let (Kind::Store(address), Some(emulators)) = (&self.kind, &self.emulators) else { return None };
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        Some(backend::connect(address, &emulators.variables(), &clock).expect("the store opens"))
    }
}
