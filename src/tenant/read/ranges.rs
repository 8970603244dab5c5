//! The list by disjoint ranges of `lastSeen`, oldest first, for a service that never gives more than so many rows.
//!
//! Oldest first, because a device that reports while the list is read moves to the newest range: it may come twice, and
//! is never missed.

use crate::tenant::error::TenantError;
use mdetag_core::time::Timestamp;

use super::fetch::Page;
use super::pass::{Pass, Survey};

/// More ranges than a million devices need, many times over.
const MOST: usize = 20_000;

/// `from` inclusive, `to` exclusive; open ends are `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Range {
    const ALL: Range = Range { from: None, to: None };

    /// As a condition; `None` for everything.
    fn condition(self) -> Option<String> {
        match (self.from, self.to) {
            (None, None) => None,
            (Some(from), None) => Some(format!("lastSeen ge {from}")),
            (None, Some(to)) => Some(format!("lastSeen lt {to}")),
            (Some(from), Some(to)) => Some(format!("lastSeen ge {from} and lastSeen lt {to}")),
        }
    }

    fn holds(self, moment: Timestamp) -> bool {
        self.from.is_none_or(|from| moment >= from) && self.to.is_none_or(|to| moment < to)
    }

    /// Two halves, the older first, at the median of the moments that a full page showed; `None` if one moment is all.
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

impl Survey<'_> {
    /// Reads range by range; `first` is a page of everything, to split by.
    pub(super) async fn ranges(&mut self, pass: &mut Pass, first: &Page) -> Result<(), TenantError> {
        let Some((older, newer)) = Range::ALL.halves(first) else {
            self.take(pass, first, None)?;
            pass.short
                .push("the list ends at a limit, and its devices have no lastSeen to split it by".to_owned());
            return Ok(());
        };
        let mut open = vec![newer, older];
        let mut asked = 0;
        while let Some(range) = open.pop() {
            asked += 1;
            let Some(page) = self.narrowed(pass, range.condition(), first).await? else { return Ok(()) };
            if page.rows.iter().filter_map(|row| row.last_seen).any(|seen| !range.holds(seen)) {
                return self.give_up(pass, first, "the service does not filter the list by lastSeen");
            }
            let full = page.rows.len() >= self.size || page.next_link.is_some();
            match range.halves(&page).filter(|_| full && asked < MOST) {
                Some((older, newer)) => open.extend([newer, older]),
                None => {
                    self.take(pass, &page, None)?;
                    if full {
                        pass.short.push(format!(
                            "{} devices or more have the same lastSeen, and the service gives no more of them",
                            page.rows.len()
                        ));
                    }
                }
            }
        }
        let Some(unseen) = self.narrowed(pass, Some("lastSeen eq null".to_owned()), first).await? else {
            return Ok(());
        };
        if unseen.rows.iter().any(|row| row.last_seen.is_some()) {
            return self.give_up(pass, first, "the service does not filter the list by lastSeen");
        }
        if unseen.rows.len() >= self.size {
            pass.short.push(format!("{} devices or more have no lastSeen", unseen.rows.len()));
        }
        self.take(pass, &unseen, None)?;
        Ok(())
    }

    /// A page of a range; `None` if the service refuses the condition, and the pass then says so.
    async fn narrowed(
        &mut self,
        pass: &mut Pass,
        condition: Option<String>,
        first: &Page,
    ) -> Result<Option<Page>, TenantError> {
        match self.list(condition.as_deref(), 0).await {
            Ok(page) => Ok(Some(page)),
            Err(error) if error.status == Some(400) => {
                self.give_up(
                    pass,
                    first,
                    &format!("the service refuses to split the list by lastSeen ({error})"),
                )?;
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
