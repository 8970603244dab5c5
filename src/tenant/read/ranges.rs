//! Reads the list in disjoint parts, for a service that caps the number of rows: ranges of `lastSeen`, oldest first, and if one
//! instant alone fills a page, values of another field.
//!
//! Oldest first, because a device that reports during the read moves to the newest range: it may come twice, but is never missed.
//! The parts cover everything, including devices that no row has shown yet.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use crate::tenant::error::{TenantError, TenantErrorKind};
use crate::tenant::wire::{self, SplitField};
use mdetag_core::time::Timestamp;

use super::fetch::Page;
use super::pass::{Pass, ReadContext};

/// The most parts, many times what a million devices need.
const MOST: usize = 20_000;

/// `from` inclusive, `to` exclusive; open ends are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Range {
    const ALL: Range = Range { from: None, to: None };

    fn conditions(self) -> impl Iterator<Item = String> {
        let from = self.from.map(|from| format!("lastSeen ge {from}"));
        let to = self.to.map(|to| format!("lastSeen lt {to}"));
        from.into_iter().chain(to)
    }

    fn holds(self, moment: Timestamp) -> bool {
        self.from.is_none_or(|from| moment >= from) && self.to.is_none_or(|to| moment < to)
    }

    /// Two halves, the older first, split at the median time of a full page; `None` if there is only one time.
    fn halves(self, page: &Page) -> Option<(Range, Range)> {
        let mut moments: Vec<Timestamp> = page.rows.iter().filter_map(|row| row.last_seen).collect();
        moments.sort_unstable();
        let middle = moments.get(moments.len() / 2).copied();
        // Each half must be smaller than the whole, or this would never end.
        let inside = |moment: &Timestamp| self.from.is_none_or(|from| *moment > from) && self.holds(*moment);
        let cut = middle
            .filter(inside)
            .or_else(|| moments.iter().copied().find(inside))
            .or_else(|| Some(Timestamp::from_ticks(middle?.ticks() + 1)).filter(inside))
            .or_else(|| Some(Timestamp::EPOCH).filter(|epoch| self.from.is_none() && inside(epoch)))?;
        Some((Range { to: Some(cut), ..self }, Range { from: Some(cut), ..self }))
    }
}

/// The times at which a part's devices were last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastSeenTimes {
    /// Any time, or never.
    Any,
    Never,
    Within(Range),
}

/// A test for a value of a field, or for any other value or none. Together they cover everything, however the service compares
/// with null.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ValueTest {
    field: SplitField,
    value: String,
    is_equal: bool,
}

impl ValueTest {
    fn condition(&self) -> String {
        let (name, literal) = (self.field.name(), self.field.literal(&self.value));
        match self.is_equal {
            true => format!("{name} eq {literal}"),
            false => format!("({name} ne {literal} or {name} eq null)"),
        }
    }
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ListRange {
    seen: LastSeenTimes,
    tests: Vec<ValueTest>,
}

impl ListRange {
    fn condition(&self) -> Option<String> {
        let mut conditions: Vec<String> = match self.seen {
            LastSeenTimes::Any => Vec::new(),
            LastSeenTimes::Never => vec!["lastSeen eq null".to_owned()],
            LastSeenTimes::Within(range) => range.conditions().collect(),
        };
        conditions.extend(self.tests.iter().map(ValueTest::condition));
        (!conditions.is_empty()).then(|| conditions.join(" and "))
    }

    /// The field that the service ignored when it filtered this page.
    fn ignored(&self, page: &Page) -> Result<Option<&'static str>, String> {
        let times = page.rows.iter().map(|row| row.last_seen);
        let is_inside = |seen: Option<Timestamp>| match self.seen {
            LastSeenTimes::Any => true,
            LastSeenTimes::Never => seen.is_none(),
            // A row without a readable time proves nothing against the filter.
            LastSeenTimes::Within(range) => seen.is_none_or(|seen| range.holds(seen)),
        };
        if !times.into_iter().all(is_inside) {
            return Ok(Some("lastSeen"));
        }
        for test in &self.tests {
            let values = wire::values(&page.body, test.field)?;
            if values.iter().any(|value| (value.as_deref() == Some(&*test.value)) != test.is_equal) {
                return Ok(Some(test.field.name()));
            }
        }
        Ok(None)
    }

    /// Smaller parts that together equal this one, to be read in this order; `None` if all rows of the page are alike.
    fn split(&self, page: &Page) -> Result<Option<Vec<ListRange>>, String> {
        let part = |seen| ListRange { seen, tests: self.tests.clone() };
        let range = match self.seen {
            LastSeenTimes::Any => Some(Range::ALL),
            LastSeenTimes::Never => None,
            LastSeenTimes::Within(range) => Some(range),
        };
        if let Some((older, newer)) = range.and_then(|range| range.halves(page)) {
            let never = (self.seen == LastSeenTimes::Any).then(|| part(LastSeenTimes::Never));
            let halves = [part(LastSeenTimes::Within(older)), part(LastSeenTimes::Within(newer))];
            return Ok(Some(halves.into_iter().chain(never).collect()));
        }
        // The value that comes closest to halving the page.
        let mut best: Option<(usize, SplitField, String)> = None;
        for field in SplitField::ALL {
            let values = wire::values(&page.body, field)?;
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for value in values.into_iter().flatten() {
                *counts.entry(value).or_default() += 1;
            }
            for (value, count) in counts {
                let rest = page.rows.len() - count;
                let distance = count.abs_diff(rest);
                if rest > 0 && best.as_ref().is_none_or(|(nearest, ..)| distance < *nearest) {
                    best = Some((distance, field, value));
                }
            }
        }
        let Some((_, field, value)) = best else { return Ok(None) };
        let with = |is_equal| {
            let mut tests = self.tests.clone();
            tests.push(ValueTest { field, value: value.clone(), is_equal });
            ListRange { seen: self.seen, tests }
        };
        Ok(Some(vec![with(true), with(false)]))
    }
}

impl ReadContext<'_> {
    /// Reads part by part; `first` is a page of everything, used for splitting.
    pub(super) async fn ranges(&mut self, pass: &mut Pass, first: &Page) -> Result<(), TenantError> {
        let unreadable = |why| TenantError::new(TenantErrorKind::Answer, why);
        let all = ListRange { seen: LastSeenTimes::Any, tests: Vec::new() };
        let Some(mut open) = all.split(first).map_err(unreadable)? else {
            self.take(pass, first, None)?;
            pass.short.extend(self.cut(pass, first.rows.len(), first.next_link.is_some()));
            return Ok(());
        };
        open.reverse();
        let mut asked = 0;
        let mut undivided = Vec::new();
        while let Some(part) = open.pop() {
            asked += 1;
            let Some(page) = self.narrowed(pass, &part, first).await? else { return Ok(()) };
            if let Some(field) = part.ignored(&page).map_err(unreadable)? {
                return self.give_up(
                    pass,
                    first,
                    &format!("the service does not filter the list by {field}"),
                );
            }
            if repeats_itself(&page) {
                // A service that fills its pages with copies does so in smaller parts too.
                return self.give_up(pass, first, "a page holds the same few devices again and again");
            }
            let full = page.rows.len() >= self.size || page.next_link.is_some();
            let parts = if full && asked < MOST { part.split(&page).map_err(unreadable)? } else { None };
            if let Some(parts) = parts {
                open.extend(parts.into_iter().rev());
                continue;
            }
            self.take(pass, &page, None)?;
            if full {
                undivided.push((page.rows.len(), page.next_link.is_some()));
            }
        }
        for (rows, has_more) in undivided {
            pass.short.extend(self.cut(pass, rows, has_more));
        }
        Ok(())
    }

    /// Why a full page that cannot be split may lack devices. `None` for a small tenant whose devices were all created alike at
    /// one moment: there are no other devices, the page has fewer rows than requested, and no service has its limit there.
    fn cut(&self, pass: &Pass, rows: usize, has_more: bool) -> Option<String> {
        let is_small = rows < self.fetch.connection.page_size && !has_more && pass.seen.len() <= rows;
        (!is_small || is_common_limit(rows)).then(|| alike(rows))
    }

    /// A page of a part; `None` if the service rejects the condition, which the pass then records.
    async fn narrowed(
        &mut self,
        pass: &mut Pass,
        part: &ListRange,
        first: &Page,
    ) -> Result<Option<Page>, TenantError> {
        match self.list(part.condition().as_deref(), 0).await {
            Ok(page) => Ok(Some(page)),
            Err(error) if error.status == Some(400) => {
                let fields = part.tests.last().map_or("lastSeen", |test| test.field.name());
                let why = format!("the service refuses to split the list by {fields} ({error})");
                self.give_up(pass, first, &why)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn give_up(&mut self, pass: &mut Pass, first: &Page, why: &str) -> Result<(), TenantError> {
        if pass.seen.is_empty() {
            self.take(pass, first, None)?;
        }
        pass.short.push(format!("the list ends at {} devices, and {why}", first.rows.len()));
        Ok(())
    }
}

/// Whether most rows of a page are copies of the others.
fn repeats_itself(page: &Page) -> bool {
    let distinct: HashSet<u128> = page.rows.iter().filter_map(|row| row.id).collect();
    !distinct.is_empty() && distinct.len() * 2 < page.rows.len()
}

/// The reason for a page at the limit whose rows nothing distinguishes.
fn alike(rows: usize) -> String {
    format!(
        "{rows} devices have the same lastSeen, osPlatform, healthStatus and rbacGroupId, and the service gives no more of \
         them: others like them cannot be ruled out"
    )
}

/// Whether services use this number as a limit: 50, 100, 200, 250 and their multiples of ten.
pub(super) fn is_common_limit(rows: usize) -> bool {
    let mut leading = rows;
    while leading >= 100 && leading.is_multiple_of(10) {
        leading /= 10;
    }
    rows >= 50 && matches!(leading, 10 | 20 | 25 | 50)
}
