//! Reads the list by `$skip`, with pages that overlap by one row, so that changes of the order between pages are noticed.
//!
//! Cannot get past a cap on rows; it notices one, and `ranges` takes over.

use crate::tenant::error::{TenantError, TenantErrorKind};

use mdetag_core::service::Question;

use super::fetch::{Page, all};
use super::pass::{LastSeenSpread, Pass, ReadContext};
use super::ranges::is_common_limit;

/// Number of pages requested at the same time.
const WIDTH: usize = 4;

/// The smallest reported cap on rows. If no filter can tell, a smaller round number may be a coincidence.
const LEAST_CAP: usize = 10_000;

/// What follows a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterPage {
    Nothing,
    More,
    /// More rows, and the service rejects `$skip`.
    MoreWithoutSkip,
    /// The service cannot be asked.
    Unknown,
}

impl ReadContext<'_> {
    /// Walks the list from the first page, which is already read. `false`: pages contradict each other, as with a cap on rows.
    pub(super) async fn walk(&mut self, pass: &mut Pass, first: &Page) -> Result<bool, TenantError> {
        self.take(pass, first, None)?;
        let rows = first.rows.len();
        if first.next_link.is_some() && rows > 1 {
            // The service itself says that this page is full.
            self.size = rows;
        } else if rows < self.size {
            let is_known_page = self.service.page_size() == Some(rows as u64);
            let after = if is_known_page { AfterPage::More } else { self.after(pass, rows).await? };
            match after {
                AfterPage::Nothing => return Ok(true),
                AfterPage::Unknown => {
                    pass.short.push(format!(
                        "the list ends at {rows} devices, and the service refuses both ways to ask for what follows them"
                    ));
                    return Ok(true);
                }
                AfterPage::More if is_known_page => {}
                _ => {
                    self.fetch.connection.note(Question::PageSize, "measured", Some(rows as u64));
                    self.fetch.connection.note(Question::LinkWithTop, "absent", None);
                }
            }
            // There are more devices than on this page, so the service's pages are smaller than requested.
            self.size = rows;
            if after == AfterPage::MoreWithoutSkip {
                return Ok(false);
            }
        }
        let mut last = first.rows.last().and_then(|row| row.id);
        // One row of each page is the last of the previous one.
        let mut at = rows - 1;
        let mut full = true;
        let mut width = 1;
        loop {
            let step = self.size - 1;
            let count = if full { width } else { 1 };
            let requests = (0..count).map(|index| self.list(None, at + index * step)).collect();
            let pages = all(requests).await;
            for page in pages {
                let page = page?;
                let rows = page.rows.len();
                let begins = page.rows.first().and_then(|row| row.id);
                let repeated = pass.repeated;
                let new = self.take(pass, &page, last)?;
                if pass.repeated > repeated {
                    return Ok(false);
                }
                pass.moved |= begins != last;
                if new == 0 {
                    // After a short page, nothing new means the end, and the overlap proves it. After a full page it may be a
                    // cap.
                    return match full {
                        true => Ok(rows > 0 && self.is_whole(pass.extent).await? == Some(true)),
                        false => Ok(!self.ends_at_limit(pass).await?),
                    };
                }
                last = page.rows.last().and_then(|row| row.id);
                full = rows >= self.size;
                at += rows - 1;
                if !full {
                    // The pages requested in advance are beyond a gap, or beyond the end: the next request tells.
                    break;
                }
            }
            width = (width * 2).min(WIDTH);
        }
    }

    /// Whether a list of several pages ends where a service might cap it, and is not known to end there. Pages may be smaller
    /// than the cap, and then the last one looks like any last page.
    pub(super) async fn ends_at_limit(&self, pass: &Pass) -> Result<bool, TenantError> {
        let rows = pass.extent.rows();
        if !looks_cut(pass, rows) {
            return Ok(false);
        }
        // If all rows have the same time, halves prove nothing.
        let whole = if pass.extent.newer() > 0 { self.is_whole(pass.extent).await? } else { None };
        Ok(whole.map_or_else(|| rows >= LEAST_CAP && is_common_limit(rows), |whole| !whole))
    }

    /// What follows a first page that is shorter than requested. Its length proves nothing, because a service may give pages of
    /// any size without a link to the next.
    async fn after(&self, pass: &Pass, rows: usize) -> Result<AfterPage, TenantError> {
        if rows == 0 || pass.counts_all() {
            return Ok(AfterPage::Nothing);
        }
        let of = |is_whole: bool| if is_whole { AfterPage::Nothing } else { AfterPage::More };
        let is_suspect = looks_cut(pass, rows);
        if is_suspect && let Some(is_whole) = self.is_whole(pass.extent).await? {
            return Ok(of(is_whole));
        }
        if let Some(is_last) = self.ends_by_skip(rows).await? {
            return Ok(of(is_last));
        }
        let is_whole = if is_suspect { None } else { self.is_whole(pass.extent).await? };
        Ok(match is_whole {
            Some(true) => AfterPage::Nothing,
            Some(false) => AfterPage::MoreWithoutSkip,
            None => AfterPage::Unknown,
        })
    }

    /// Whether `$skip` over this many rows leads past the last one; `None` if the service rejects it.
    pub(super) async fn ends_by_skip(&self, rows: usize) -> Result<Option<bool>, TenantError> {
        match self.list_top(None, rows, 1).await {
            Ok(page) => Ok(Some(page.rows.is_empty())),
            Err(error) if error.status == Some(400) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the service has no device besides those that were read: requests the row after the last of each of two halves that
    /// together are the whole. A cap on the whole would not cut the halves at the same place. `None` if the service cannot be
    /// asked.
    async fn is_whole(&self, read: LastSeenSpread) -> Result<Option<bool>, TenantError> {
        // If all rows have the same time, or none, a half is the whole and would be cut at the same place.
        let Some(oldest) = read.oldest.filter(|_| read.newer() > 0) else { return Ok(Some(false)) };
        let halves = [
            (format!("lastSeen gt {oldest}"), read.newer()),
            (format!("(lastSeen le {oldest} or lastSeen eq null)"), read.rows() - read.newer()),
        ];
        for (condition, expected) in halves {
            match self.list_top(Some(&condition), expected, 1).await {
                Ok(page) if page.rows.is_empty() => {}
                Ok(_) => return Ok(Some(false)),
                Err(error) if error.kind == TenantErrorKind::Rejected => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(true))
    }
}

/// Whether a short page looks like a limit: services cut at round numbers, and tenants rarely end there.
fn looks_cut(pass: &Pass, rows: usize) -> bool {
    let round = |count: usize| count >= 10 && count.is_multiple_of(10);
    round(rows) || round(pass.seen.len()) || pass.repeated > 0
}
