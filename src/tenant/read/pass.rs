//! Passes over the list until one can be trusted, or three could not.
//!
//! `links`, `walk` and `ranges` request the pages of a pass.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;

use crate::tenant::Connection;
use crate::tenant::error::{TenantError, TenantErrorKind};
use crate::tenant::wire::ListQuery;
use mdetag_core::inventory::{Snapshot, SnapshotBuilder, Tally, UntrustedReason};
use mdetag_core::plan::Lane;
use mdetag_core::probe::{FILTERS, KnownService};
use mdetag_core::service::Question;
use mdetag_core::time::Timestamp;

use super::fetch::{Fetch, Fingerprints, Page};
use super::{PageSink, ReadProgress, ReadScope, ReadWatch};

/// Ten times the largest tenant that mdetag is made for. A longer list counts as endless.
const MOST_DEVICES: usize = 10_000_000;
/// The number of pages from which pages must average this many devices. A list of one row per page counts as endless.
const FEW_PAGES: usize = 1_000;
const FEWEST_ROWS: usize = 10;
/// The first pass, and at most two more.
const PASSES: u32 = 3;

/// How to request the pages of a pass; the later methods are for services that fail with the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    /// By the service's own links, or by `$skip` if it gives none.
    Links,
    /// By `$skip`.
    Walk,
    /// By disjoint ranges of `lastSeen`.
    Ranges,
}

/// One pass over the list.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) seen: HashSet<u128>,
    /// Rows whose device already came in this pass.
    pub(super) repeated: u64,
    without_id: u64,
    /// Devices that the columns lack although they have an id.
    skipped: Tally,
    count: Option<u64>,
    pub(super) extent: LastSeenSpread,
    /// Whether the order changed between pages, so that a device may have been missed.
    pub(super) moved: bool,
    /// Why this pass cannot be complete.
    pub(super) short: Vec<String>,
    not_found: bool,
    pages: usize,
}

impl Pass {
    /// Whether nothing in it contradicts itself.
    fn is_clean(&self) -> bool {
        self.repeated == 0 && !self.moved && (self.count.is_none() || self.counts_all())
    }

    /// Whether the service gave a number of devices that equals the number read.
    pub(super) fn counts_all(&self) -> bool {
        self.count == Some(self.seen.len() as u64 + self.without_id)
    }
}

/// The distribution of a pass's rows over time, enough to count them in two halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastSeenSpread {
    pub(super) oldest: Option<Timestamp>,
    at_oldest: usize,
    timed: usize,
    untimed: usize,
}

impl LastSeenSpread {
    fn add(&mut self, last_seen: Option<Timestamp>) {
        let Some(seen) = last_seen else {
            self.untimed += 1;
            return;
        };
        self.timed += 1;
        match self.oldest {
            Some(oldest) if seen > oldest => {}
            Some(oldest) if seen == oldest => self.at_oldest += 1,
            _ => (self.oldest, self.at_oldest) = (Some(seen), 1),
        }
    }

    /// Number of rows later than the oldest time.
    pub(super) fn newer(self) -> usize {
        self.timed - self.at_oldest
    }

    pub(super) fn rows(self) -> usize {
        self.timed + self.untimed
    }
}

/// Shared by all passes of a read.
pub(super) struct ReadContext<'a> {
    pub(super) fetch: Fetch<'a>,
    pub(super) ids: Fingerprints,
    pub(super) filter: Option<String>,
    /// `$top`, and the number of rows on a full page.
    pub(super) size: usize,
    builder: SnapshotBuilder,
    sink: Option<&'a mut PageSink<'a>>,
    progress: &'a (dyn Fn(&ReadProgress) + Send + Sync),
    counters: &'a Counters,
    /// The findings about the service.
    pub(super) service: &'a KnownService,
    /// Contradictions that no further pass can resolve, such as a link to a foreign host.
    pub(super) strange: Vec<String>,
}

#[derive(Default)]
struct Counters {
    devices: AtomicU64,
    pages: AtomicU64,
    pass: AtomicU64,
}

impl Counters {
    fn progress(&self) -> ReadProgress {
        ReadProgress {
            devices: self.devices.load(Ordering::Relaxed),
            pages: self.pages.load(Ordering::Relaxed),
            pass: self.pass.load(Ordering::Relaxed) as u32,
        }
    }
}

/// Reads everything in scope; the reasons say what speaks against trusting the read.
pub(super) async fn read(
    connection: &Connection,
    scope: &ReadScope,
    watch: ReadWatch<'_>,
) -> Result<(Snapshot, Vec<UntrustedReason>), TenantError> {
    let counters = Counters::default();
    let ReadWatch { meter, progress, pages } = watch;
    let mut survey = ReadContext {
        fetch: Fetch { connection, meter, lane: Lane::List, what: super::THE_LIST },
        ids: Fingerprints::default(),
        filter: scope.filter.clone(),
        size: connection.page_size,
        builder: SnapshotBuilder::new(),
        // Destructured so that the sink's own lifetime may be longer than this read.
        sink: match pages {
            Some(sink) => Some(sink),
            None => None,
        },
        progress,
        counters: &counters,
        service: &scope.service,
        strange: Vec::new(),
    };
    let mut method = Method::Links;
    let mut reasons = Vec::new();
    let mut before: Option<Pass> = None;
    for number in 1..=PASSES {
        counters.pass.store(u64::from(number), Ordering::Relaxed);
        let pass = survey.pass(&mut method).await?;
        let agreed = before.as_ref().is_some_and(|before| before.seen == pass.seen);
        if number == 1 && pass.is_clean() || agreed || !pass.short.is_empty() || number == PASSES {
            reasons = verdict(&pass, before.as_ref(), agreed);
            break;
        }
        tracing::warn!(
            devices = pass.seen.len(),
            repeated = pass.repeated,
            "the device list moved while it was read; reading it again"
        );
        before = Some(pass);
    }
    reasons.extend(survey.strange.drain(..).map(UntrustedReason::PagingContradiction));
    let (snapshot, _) = survey.builder.finish();
    let unknown = snapshot.unknown_words();
    let verdict = if unknown > 0 { "seen" } else { "none" };
    connection.note(Question::UnknownWords, verdict, Some(unknown));
    Ok((snapshot, reasons))
}

/// The reasons against the last pass.
fn verdict(pass: &Pass, before: Option<&Pass>, agreed: bool) -> Vec<UntrustedReason> {
    let mut reasons = Vec::new();
    if pass.not_found {
        reasons.push(UntrustedReason::NotFound);
    } else if pass.seen.is_empty() {
        reasons.push(UntrustedReason::EmptyAnswer);
    }
    if pass.without_id > 0 {
        reasons.push(UntrustedReason::WithoutId(pass.without_id));
    }
    reasons.extend(pass.skipped.skips());
    reasons.extend(pass.short.iter().cloned().map(UntrustedReason::PagingContradiction));
    let clean = agreed || before.is_none() && pass.is_clean();
    if let Some(count) = pass.count.filter(|count| *count > pass.seen.len() as u64 + pass.without_id) {
        let found = pass.seen.len();
        reasons.push(UntrustedReason::PagingContradiction(format!(
            "the service counts {count} devices and lists {found}"
        )));
    } else if !clean && pass.short.is_empty() {
        if pass.repeated > 0 {
            reasons.push(UntrustedReason::RepeatedPage { devices: pass.repeated });
        }
        let first = before.map_or(0, |before| before.seen.len() as u64);
        reasons.push(UntrustedReason::CountChanged { first, second: pass.seen.len() as u64 });
    }
    reasons
}

impl ReadContext<'_> {
    /// One pass, by `method` or by the next that works.
    async fn pass(&mut self, method: &mut Method) -> Result<Pass, TenantError> {
        let first = self.first(*method).await?;
        let first = if first.not_found { self.list(None, 0).await? } else { first };
        let mut pass = Pass { count: first.count, not_found: first.not_found, ..Pass::default() };
        if *method == Method::Links && first.next_link.is_some() {
            if self.follow(&mut pass, &first).await? {
                return Ok(pass);
            }
            *method = Method::Walk;
            pass = Pass { count: first.count, ..Pass::default() };
        }
        let is_capped = self.service.verdict(Question::SkipBeyondPage) == Some("capped");
        let rows = first.rows.len();
        let is_full = rows >= self.size || self.service.page_size() == Some(rows as u64);
        if is_capped && *method < Method::Ranges && is_full {
            self.size = rows;
            // A walk would only run into the cap. If ranges do not work either, it is tried anyway.
            self.ranges(&mut pass, &first).await?;
            if pass.short.is_empty() {
                *method = Method::Ranges;
                return Ok(pass);
            }
            pass = Pass { count: first.count, ..Pass::default() };
        }
        if *method < Method::Ranges {
            if self.walk(&mut pass, &first).await? {
                if pass.pages > 2 && first.next_link.is_none() {
                    self.fetch.connection.note(Question::SkipBeyondPage, "goesOn", None);
                    self.fetch.connection.note(Question::LinkWithTop, "absent", None);
                }
                return Ok(pass);
            }
            if pass.repeated == 0 && first.next_link.is_none() {
                self.fetch.connection.note(Question::SkipBeyondPage, "capped", None);
            }
            *method = Method::Ranges;
            // The repeats may mean that the order changed, so the ranges must agree with themselves.
            pass = Pass { count: first.count, moved: pass.repeated > 0, ..Pass::default() };
        }
        self.ranges(&mut pass, &first).await?;
        Ok(pass)
    }

    /// The first page. A filter that the service rejects is not used again, because every device is checked locally anyway.
    async fn first(&mut self, method: Method) -> Result<Page, TenantError> {
        let refused = match self.list(None, 0).await {
            Err(error) if error.status == Some(400) && self.filter.is_some() => error,
            Ok(first) if method == Method::Links && first.next_link.is_some() => {
                self.fetch.connection.note(Question::LinkWithTop, "present", None);
                return Ok(first);
            }
            answered => return answered,
        };
        let filter = self.filter.take().unwrap_or_default();
        tracing::warn!(error = %refused, "the service refuses the filter of the scope; everything is read and filtered here");
        let named = FILTERS.iter().filter(|(field, _)| filter.contains(field.name()));
        // If there are several fields, it is unknown which one was rejected.
        if let [(_, question)] = named.collect::<Vec<_>>().as_slice() {
            self.fetch.connection.note(*question, "refused", None);
        }
        self.list(None, 0).await
    }

    /// A page of the list, narrowed by one more condition.
    pub(super) async fn list(&self, condition: Option<&str>, skip: usize) -> Result<Page, TenantError> {
        self.list_top(condition, skip, self.fetch.connection.page_size).await
    }

    /// The same with its own `$top`.
    pub(super) async fn list_top(
        &self,
        condition: Option<&str>,
        skip: usize,
        top: usize,
    ) -> Result<Page, TenantError> {
        let filter = match (&self.filter, condition) {
            (Some(filter), Some(condition)) => Some(format!("({filter}) and {condition}")),
            (filter, condition) => filter.clone().or(condition.map(str::to_owned)),
        };
        let query = ListQuery { filter, top, skip };
        self.fetch.page(&query.path(), &self.ids).await
    }

    /// Adds a page's devices to the snapshot and the pass. `overlap`: the row that the page repeats on purpose. Returns the
    /// number of devices that are new in this pass.
    pub(super) fn take(
        &mut self,
        pass: &mut Pass,
        page: &Page,
        overlap: Option<u128>,
    ) -> Result<usize, TenantError> {
        let mut new = 0;
        for (index, row) in page.rows.iter().enumerate() {
            if index == 0 && overlap.is_some() && overlap == row.id {
                continue;
            }
            pass.extent.add(row.last_seen);
            let Some(id) = row.id else {
                pass.without_id += 1;
                continue;
            };
            if pass.seen.insert(id) {
                new += 1;
            } else {
                pass.repeated += 1;
            }
        }
        if !page.not_found {
            let found = self.builder.read_page(&page.body).map_err(|fault| {
                TenantError::new(
                    TenantErrorKind::Answer,
                    format!("a page of the device list cannot be read: {fault}"),
                )
            })?;
            // Rows without an id are counted above, one by one.
            pass.skipped.add(&found.tally);
            pass.skipped.without_id = 0;
            if let Some(sink) = &mut self.sink {
                sink(&page.body).map_err(|why| TenantError::new(TenantErrorKind::Configuration, why))?;
            }
        }
        self.counters.devices.store(pass.seen.len() as u64, Ordering::Relaxed);
        let pages = self.counters.pages.fetch_add(1, Ordering::Relaxed) + 1;
        pass.pages += 1;
        if pass.seen.len() > MOST_DEVICES
            || pass.pages > FEW_PAGES && pass.seen.len() < pass.pages * FEWEST_ROWS
        {
            let what = format!(
                "the device list does not end: {pages} pages held {} different devices so far",
                pass.seen.len()
            );
            return Err(TenantError::new(TenantErrorKind::Answer, what));
        }
        (self.progress)(&self.counters.progress());
        Ok(new)
    }
}
