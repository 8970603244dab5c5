//! The reading half of a tenant: the whole inventory with a verdict, and one row.
//!
//! Has no way to write. Never returns an incomplete list silently: its [`Trust`] says what may be missing.

mod fetch;
mod filter;
mod groups;
mod links;
mod pass;
mod ranges;
mod walk;

use std::sync::Arc;

use reqwest::Method;

use mdetag_core::apply::Meter;
use mdetag_core::device;
use mdetag_core::inventory::{Snapshot, SnapshotBuilder, Trust, UntrustedReason};
use mdetag_core::plan::Lane;
use mdetag_core::probe::KnownService;

use super::error::{TenantError, TenantErrorKind};
use super::http::CALL_LIMIT;
use super::{Connection, Pending, wire};

pub(super) use self::fetch::Fetch;
pub use self::filter::pushed;

/// The name of list calls in messages.
const THE_LIST: &str = "reading the device list";

/// The devices to read, as far as the service can filter them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadScope {
    /// An OData filter that matches every device in scope and perhaps more; see [`pushed`]. `None` reads everything.
    pub filter: Option<String>,
    /// Findings about the service's paging: they decide which way is tried first, never what is trusted.
    pub service: KnownService,
}

/// The progress of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadProgress {
    /// Number of different devices read in this pass.
    pub devices: u64,
    /// Number of pages read in all passes.
    pub pages: u64,
    /// The pass over the list, from 1.
    pub pass: u32,
}

/// The callbacks of a read.
pub struct ReadWatch<'a> {
    /// Admits each call before it is sent.
    pub meter: &'a dyn Meter,
    /// Called after each page.
    pub progress: &'a (dyn Fn(&ReadProgress) + Send + Sync),
    /// Gets the raw body of each list page, also of repeated passes: a snapshot file may repeat ids. An error ends the read with
    /// its text.
    pub pages: Option<&'a mut PageSink<'a>>,
}

/// Takes raw list pages.
pub type PageSink<'a> = dyn FnMut(&[u8]) -> Result<(), String> + Send + Sync + 'a;

/// Reads the inventory. `plan`, `drift` and `explain` get only this, so they cannot write.
pub trait ReadDevices: Send + Sync {
    /// Reads every device in scope, with a verdict on the read.
    fn read<'a>(
        &'a self,
        scope: &'a ReadScope,
        watch: ReadWatch<'a>,
    ) -> Pending<'a, Result<(Snapshot, Trust), TenantError>>;
}

/// The reading half of a tenant.
#[derive(Clone)]
pub struct Reader {
    connection: Arc<Connection>,
    delegated: bool,
}

/// The list's answer to a request for one row, for `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCheck {
    /// Whether there was a device.
    pub has_devices: bool,
    /// How many milliseconds this computer's clock is ahead of the service's (negative: behind), if the answer had a date. The
    /// answer's date has whole seconds.
    pub clock_ahead_millis: Option<i64>,
}

impl Reader {
    pub(super) fn new(connection: Arc<Connection>, delegated: bool) -> Reader {
        Reader { connection, delegated }
    }

    /// Requests one row of the list. Shows that host, token and role work, and how far apart the clocks are.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn check_list(&self, meter: &dyn Meter) -> Result<ListCheck, TenantError> {
        let query = wire::ListQuery { filter: None, top: 1, skip: 0 };
        let fetch = Fetch { connection: &self.connection, meter, lane: Lane::List, what: THE_LIST };
        let answer = fetch.send(Method::GET, &query.path(), None, CALL_LIMIT).await?;
        let here = self.connection.clock.now();
        let clock_ahead_millis = answer.date().map(|there| here.millis() - there.millis());
        if answer.status == 404 && wire::is_service_error(&answer.body) {
            return Ok(ListCheck { has_devices: false, clock_ahead_millis });
        }
        fetch.success(&answer)?;
        let page =
            wire::sketch(&answer.body).map_err(|why| TenantError::new(TenantErrorKind::Answer, why))?;
        Ok(ListCheck { has_devices: !page.rows.is_empty(), clock_ahead_millis })
    }
}

impl Reader {
    /// A device by its id or full name, as a snapshot with one row; `None` if the service does not know it.
    ///
    /// # Errors
    /// No usable answer.
    pub async fn device(&self, named: &str, meter: &dyn Meter) -> Result<Option<Snapshot>, TenantError> {
        if !device::is_id(named) {
            return Ok(None);
        }
        let what = "reading a device";
        let fetch = Fetch { connection: &self.connection, meter, lane: Lane::Get, what };
        let read = |body: &[u8]| wire::error_in(body).map_or(Ok(()), Err);
        let path = wire::device_path(named);
        let (answer, ()) = fetch.send_until(Method::GET, &path, None, CALL_LIMIT, read).await?;
        if answer.status == 404 && wire::is_service_error(&answer.body) {
            return Ok(None);
        }
        fetch.success(&answer)?;
        let mut builder = SnapshotBuilder::new();
        let unusable = |why: String| TenantError::new(TenantErrorKind::Answer, why);
        builder.read_device(&answer.body).map_err(|fault| unusable(fault.to_string()))?;
        let snapshot = builder.finish().0;
        Ok((snapshot.len() == 1).then_some(snapshot))
    }
}

impl ReadDevices for Reader {
    fn read<'a>(
        &'a self,
        scope: &'a ReadScope,
        watch: ReadWatch<'a>,
    ) -> Pending<'a, Result<(Snapshot, Trust), TenantError>> {
        Box::pin(async move {
            let (snapshot, mut reasons) = pass::read(&self.connection, scope, watch).await?;
            if self.delegated {
                reasons.insert(0, UntrustedReason::DelegatedToken);
            }
            Ok((snapshot, Trust { reasons }))
        })
    }
}
