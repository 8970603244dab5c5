//! A proxy on loopback between the binary and a store: counts the traffic, delays requests for tests, and can move the store's
//! clock.
//!
//! Changes only the `Date` of answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// The traffic so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) requests: u64,
    /// Heads and bodies of requests.
    pub(crate) sent: u64,
    /// Heads and bodies of answers.
    pub(crate) received: u64,
}

/// Sees each request before the store does: method and path.
type Watch = dyn Fn(&str, &str) + Send + Sync;

/// A fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store never gets it, and this is the answer.
    Answer(u16, String),
    /// The store gets it without its conditions.
    NoConditions,
    /// The store never gets it, and there is no answer.
    CutBefore,
    /// The store gets it, and there is no answer.
    CutAfter,
}

/// Decides the fault of a request by its method and path.
type Failing = dyn Fn(&str, &str) -> Option<Fault> + Send + Sync;

/// The number of requests by method and last folder of the path.
pub(crate) type Routes = std::collections::BTreeMap<String, u64>;

/// A proxy; it ends with the test.
pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    store: String,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    ahead: AtomicI64,
    routes: Mutex<Routes>,
    watch: Mutex<Arc<Watch>>,
    fail: Mutex<Arc<Failing>>,
}

impl Proxy {
    /// A proxy between the binary and the store at `http://HOST:PORT`.
    pub(crate) fn start(store: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            store: store.trim_start_matches("http://").to_owned(),
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
            routes: Mutex::default(),
            watch: Mutex::new(Arc::new(|_, _| {})),
            fail: Mutex::new(Arc::new(|_, _| None)),
        });
        let kept = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = kept.clone();
                // Clients that are killed hang up at any moment.
                std::thread::spawn(move || pass(stream, &shared));
            }
        });
        Proxy { url, shared }
    }

    /// From now on the store's clock is this many seconds ahead.
    pub(crate) fn move_clock(&self, seconds: i64) {
        self.shared.ahead.store(seconds, Ordering::SeqCst);
    }

    /// From now on each request is shown to `watch` before the store gets it.
    pub(crate) fn watch(&self, watch: impl Fn(&str, &str) + Send + Sync + 'static) {
        *self.shared.watch.lock().unwrap() = Arc::new(watch);
    }

    /// From now on `fail` decides the faults.
    pub(crate) fn fail(&self, fail: impl Fn(&str, &str) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.fail.lock().unwrap() = Arc::new(fail);
    }

    /// The traffic since the last call of this function.
    pub(crate) fn passed(&self) -> (Passed, Routes) {
        let taken = |figure: &AtomicU64| figure.swap(0, Ordering::SeqCst);
        let passed = Passed {
            requests: taken(&self.shared.requests),
            sent: taken(&self.shared.sent),
            received: taken(&self.shared.received),
        };
        (passed, std::mem::take(&mut *self.shared.routes.lock().unwrap()))
    }
}

fn pass(mut client: TcpStream, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "connection" => continue,
            "content-length" => length = line.split(':').nth(1)?.trim().parse().ok()?,
            _ => {}
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (method, path) = (head.split(' ').next()?.to_owned(), head.split(' ').nth(1)?.to_owned());
    let watch = shared.watch.lock().unwrap().clone();
    watch(&method, &path);

    let fail = shared.fail.lock().unwrap().clone();
    let fault = fail(&method, &path);
    match &fault {
        Some(Fault::Answer(status, body)) => {
            let length = body.len();
            let date = httpdate::fmt_http_date(SystemTime::now());
            let answer =
                format!("HTTP/1.1 {status} x\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n{body}");
            let answer = dated(answer.as_bytes(), shared.ahead.load(Ordering::SeqCst));
            return client.write_all(&answer).ok();
        }
        Some(Fault::NoConditions) => {
            let lines = head.split_inclusive("\r\n");
            head = lines.filter(|line| !line.to_ascii_lowercase().starts_with("if-")).collect();
        }
        Some(Fault::CutBefore) => return None,
        Some(Fault::CutAfter) | None => {}
    }
    let mut store = TcpStream::connect(&shared.store).ok()?;
    store.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    store.write_all(&body).ok()?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer).ok()?;
    if fault == Some(Fault::CutAfter) {
        return None;
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    shared.sent.fetch_add((head.len() + length) as u64, Ordering::SeqCst);
    shared.received.fetch_add(answer.len() as u64, Ordering::SeqCst);
    *shared.routes.lock().unwrap().entry(format!("{method} {}", kind(&path))).or_default() += 1;
    client.write_all(&dated(&answer, shared.ahead.load(Ordering::SeqCst))).ok()
}

/// The kind of object in a request's path.
fn kind(path: &str) -> &str {
    let kinds =
        ["apply.lock", "ledger", "history", "plan.json", "runs", "mdetag-store", "baselines", "pending"];
    kinds.into_iter().find(|kind| path.contains(kind)).unwrap_or("other")
}

/// The answer as if the store's clock were ahead. The client opens a new connection for each request.
fn dated(answer: &[u8], ahead: i64) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let lines = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let lines = lines.map(|line| match line.split_once(": ") {
        Some((name, _)) if name.eq_ignore_ascii_case("date") => {
            let now = SystemTime::now() + Duration::from_secs(ahead.unsigned_abs());
            format!("{name}: {}", httpdate::fmt_http_date(now))
        }
        _ => line.to_owned(),
    });
    let head: Vec<String> = lines.collect();
    [format!("{}\r\nConnection: close", head.join("\r\n")).as_bytes(), &answer[end..]].concat()
}
