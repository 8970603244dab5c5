//! Objects of a store, for blocking callers: whole objects by key, conditional writes, and the store's clock.
//!
//! Knows no layout. Does not offer appending, because it differs between the stores.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    UpdateVersion,
};

use mdetag_core::time::{Clock, Timestamp};

use super::fault::fault;
use super::listing::{self, EndlessList, StopSign};
use super::{OwnClock, StoreAddress};

/// The most objects that are read or removed at the same time.
const SIDE_BY_SIDE: usize = 32;

/// The largest object that is changed under a condition: the pending changes of a million devices take a quarter of it.
const MOST_CELL: u64 = 1 << 30;

/// A version of an object.
#[derive(Clone, Debug)]
pub struct Version(UpdateVersion);

/// An object with its version and the time at which the store accepted it, by the store's clock.
#[derive(Clone, Debug)]
pub struct Cell {
    pub bytes: Vec<u8>,
    pub version: Version,
    /// When the store accepted it.
    pub modified: Timestamp,
}

/// The condition of a write.
#[derive(Clone, Debug)]
pub enum Condition {
    Any,
    /// The object does not exist.
    Absent,
    /// The object still has this version.
    Is(Version),
}

/// The few operations that a lease needs.
pub trait Cells: std::fmt::Debug + Send + Sync {
    /// An object; `None` if it does not exist.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    fn get(&self, key: &str) -> Result<Option<Cell>>;

    /// Writes an object.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the condition does not hold. A write whose answer was lost may also end like this.
    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> Result<Version>;

    fn now(&self) -> Timestamp;
}

/// One object that several computers change.
#[derive(Clone, Debug)]
pub struct SharedCell {
    cells: Arc<dyn Cells>,
    key: String,
}

impl SharedCell {
    /// The object with this key.
    pub(super) fn new(cells: Arc<dyn Cells>, key: String) -> SharedCell {
        SharedCell { cells, key }
    }

    /// Like [`Cells::get`].
    ///
    /// # Errors
    /// Like [`Cells::get`].
    pub fn get(&self) -> Result<Option<Cell>> {
        self.cells.get(&self.key)
    }

    /// Like [`Cells::put`].
    ///
    /// # Errors
    /// Like [`Cells::put`].
    pub fn put(&self, bytes: Vec<u8>, condition: Condition) -> Result<Version> {
        self.cells.put(&self.key, bytes, condition)
    }
}

/// The number of requests and bytes, and the difference between the store's clock and ours.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    requests: AtomicU64,
    bytes: AtomicU64,
    ahead_millis: AtomicI64,
}

#[derive(Debug)]
pub struct ObjectBucket {
    store: Arc<dyn ObjectStore>,
    runtime: Option<tokio::runtime::Runtime>,
    traffic: Arc<Traffic>,
    address: StoreAddress,
    clock: OwnClock,
    /// Why no further list is requested.
    endless: OnceLock<EndlessList>,
    /// Says that the command is asked to stop, and by what.
    stopping: OnceLock<StopSign>,
}

impl ObjectBucket {
    /// Objects of `address` in a store that `open` makes with the connector.
    ///
    /// # Errors
    /// No thread can be started, or the store's settings are invalid.
    pub(super) fn new(
        address: StoreAddress,
        clock: Arc<dyn Clock>,
        open: impl FnOnce(CountingConnector) -> object_store::Result<Arc<dyn ObjectStore>>,
    ) -> Result<ObjectBucket> {
        // A runtime of its own, because callers block, some of them inside another runtime.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("state store")
            .enable_all()
            .build()?;
        let traffic = Arc::new(Traffic::default());
        let watched = CountingConnector { traffic: traffic.clone(), clock: OwnClock(clock.clone()) };
        let store = open(watched).map_err(|error| fault(&error, &address, 0))?;
        let (clock, endless, stopping) = (OwnClock(clock), OnceLock::new(), OnceLock::new());
        Ok(ObjectBucket { store, runtime: Some(runtime), traffic, address, clock, endless, stopping })
    }

    pub fn address(&self) -> &StoreAddress {
        &self.address
    }

    /// Ends lists soon after this says that the command is asked to stop.
    pub fn heed(&self, stopping: StopSign) {
        // The first one counts: a command has one.
        let _ = self.stopping.set(stopping);
    }

    /// The list that was given up, if one was.
    pub fn endless(&self) -> Option<&EndlessList> {
        self.endless.get()
    }

    /// Requests sent and bytes written so far.
    pub fn traffic(&self) -> (u64, u64) {
        (self.traffic.requests.load(Ordering::Relaxed), self.traffic.bytes.load(Ordering::Relaxed))
    }

    /// How far the store's clock was ahead of ours at its last answer.
    pub(super) fn ahead_millis(&self) -> i64 {
        self.traffic.ahead_millis.load(Ordering::Relaxed)
    }

    /// The keys in a folder with their sizes, sorted.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let (store, folder) = (self.store.clone(), Key::from(folder));
        // A command lists several folders: after one list without an end, no further one is awaited.
        if let Some(endless) = self.endless.get() {
            return Err(Error::other(endless.why.clone()));
        }
        let stopping = self.stopping.get().cloned();
        let listed =
            self.wait(
                async move { listing::whole(store.list(Some(&folder)), listing::LONGEST, stopping).await },
            )?;
        listed.map_err(|endless| Error::other(self.endless.get_or_init(|| endless).why.clone()))
    }

    /// Several objects, in this order; each may have at most `most` bytes.
    ///
    /// # Errors
    /// One is missing or larger, or the store does not answer, or refuses.
    pub fn get_all(&self, keys: &[String], most: u64) -> Result<Vec<Vec<u8>>> {
        let (store, wanted) = (self.store.clone(), keys.to_vec());
        let read: Vec<Option<_>> = self.wait(async move {
            let reads = wanted.into_iter().map(|key| whole(store.clone(), Key::from(key), most));
            stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await
        })?;
        let whole =
            read.into_iter().zip(keys).map(|(read, key)| Ok(read.ok_or_else(|| too_large(key, most))?.1));
        whole.collect()
    }

    /// An object of at most `most` bytes; `None` if it does not exist.
    ///
    /// # Errors
    /// It is larger, or the store does not answer, or refuses.
    pub fn get_at_most(&self, key: &str, most: u64) -> Result<Option<Cell>> {
        let (meta, bytes) = match self.wait(whole(self.store.clone(), Key::from(key), most)) {
            Ok(read) => read.ok_or_else(|| too_large(key, most))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Cell {
            bytes,
            modified: Timestamp::from_millis(meta.last_modified.timestamp_millis()),
            version: Version(UpdateVersion { e_tag: meta.e_tag, version: meta.version }),
        }))
    }

    /// Removes objects. A missing one counts as removed.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub fn remove(&self, keys: &[String]) -> Result<()> {
        let (store, keys) = (self.store.clone(), keys.to_vec());
        self.wait(async move {
            // One request removes hundreds.
            let keys = stream::iter(keys).map(|key| Ok(Key::from(key))).boxed();
            let removed = store.delete_stream(keys).filter_map(|ended| async move {
                match ended {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => None,
                    Err(error) => Some(Err(error)),
                }
            });
            removed.try_collect::<()>().await
        })
    }

    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::other("the thread of the state store ended");
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _ = sender.send(work.await);
        });
        let is_on_worker = tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        // Other tasks of this worker must be able to continue.
        let ended =
            if is_on_worker { tokio::task::block_in_place(|| receiver.recv()) } else { receiver.recv() };
        let ahead = self.traffic.ahead_millis.load(Ordering::Relaxed);
        ended.map_err(|_| gone())?.map_err(|error| fault(&error, &self.address, ahead))
    }
}

/// The whole object; `None` if it has more bytes, whatever size the store stated.
async fn whole(
    store: Arc<dyn ObjectStore>,
    key: Key,
    most: u64,
) -> object_store::Result<Option<(ObjectMeta, Vec<u8>)>> {
    let found = store.get(&key).await?;
    let meta = found.meta.clone();
    if meta.size > most {
        return Ok(None);
    }
    let (mut bytes, mut parts) = (Vec::new(), found.into_stream());
    while let Some(part) = parts.try_next().await? {
        if (bytes.len() + part.len()) as u64 > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(Some((meta, bytes)))
}

fn too_large(key: &str, most: u64) -> Error {
    Error::new(
        ErrorKind::FileTooLarge,
        format!("{key} has more than {most} bytes, which mdetag never writes"),
    )
}

impl Cells for ObjectBucket {
    fn get(&self, key: &str) -> Result<Option<Cell>> {
        self.get_at_most(key, MOST_CELL)
    }

    fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> Result<Version> {
        let mode = match condition {
            Condition::Any => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Is(version) => PutMode::Update(version.0),
        };
        let (store, key) = (self.store.clone(), Key::from(key));
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.wait(async move { store.put_opts(&key, PutPayload::from(bytes), options).await })?;
        Ok(Version(UpdateVersion { e_tag: put.e_tag, version: put.version }))
    }

    fn now(&self) -> Timestamp {
        let ahead = self.traffic.ahead_millis.load(Ordering::Relaxed);
        let now = self.clock.0.now();
        let span = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { now.minus(span) } else { now.plus(span) }
    }
}

impl Drop for ObjectBucket {
    fn drop(&mut self) {
        // Dropping a runtime inside another one must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts requests, and reads the store's clock from their answers.
#[derive(Clone, Debug)]
pub(super) struct CountingConnector {
    traffic: Arc<Traffic>,
    clock: OwnClock,
}

impl HttpConnector for CountingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(WatchedClient { inner, watched: self.clone() }))
    }
}

#[derive(Debug)]
struct WatchedClient {
    inner: HttpClient,
    watched: CountingConnector,
}

type Answering<'a> = Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for WatchedClient {
    fn call<'life, 'answer>(&'life self, request: HttpRequest) -> Answering<'answer>
    where
        'life: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let traffic = &self.watched.traffic;
            traffic.requests.fetch_add(1, Ordering::Relaxed);
            traffic.bytes.fetch_add(request.body().content_length() as u64, Ordering::Relaxed);
            let response = self.inner.execute(request).await?;
            let date = response.headers().get("date").and_then(|date| date.to_str().ok());
            if let Some(date) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
                let since = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let (theirs, ours) = (since.as_millis() as i64, self.watched.clock.0.now().millis());
                traffic.ahead_millis.store(theirs - ours, Ordering::Relaxed);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use object_store::memory::InMemory;

    use super::super::StatePlace;
    use super::*;

    /// A clock that stands still.
    #[derive(Debug)]
    pub(in crate::store::backend) struct Standing;

    impl Clock for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }
    }

    #[test]
    fn an_object_that_is_larger_than_any_of_ours_is_refused_and_not_read() {
        let StatePlace::Store(address) = StatePlace::parse("s3://bucket/prefix").unwrap() else { panic!() };
        let memory = |_: CountingConnector| -> object_store::Result<Arc<dyn ObjectStore>> {
            Ok(Arc::new(InMemory::new()))
        };
        let objects = ObjectBucket::new(address, Arc::new(Standing), memory).unwrap();
        objects.put("prefix/a", vec![b'x'; 10], Condition::Any).unwrap();
        let keys = ["prefix/a".to_owned()];
        assert_eq!(objects.get_at_most("prefix/a", 10).unwrap().unwrap().bytes.len(), 10);
        assert_eq!(objects.get_all(&keys, 10).unwrap()[0].len(), 10);
        assert_eq!(objects.get_at_most("prefix/a", 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(objects.get_all(&keys, 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(objects.get_at_most("prefix/b", 9).unwrap().is_none());
    }
}
