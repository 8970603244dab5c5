//! The lease on a tenant: an object in the store that says who may write, until when, and with which number.
//!
//! A holder trusts its lease for a shorter time than others do, so that two never trust theirs at once. Nobody reads another
//! computer's clock: the store's clock gives a lease's age, the holder's own clock its trust.

use std::io::{ErrorKind, Result};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use mdetag_core::hex;
use mdetag_core::time::{Clock, Timestamp};

use super::objects::{Cell, Cells, Condition, Version};
use super::{LeaseHandle, LeaseLost, OwnClock};
use crate::store::lock::LockError;
use crate::store::path_text::shown;

/// A lease that was not renewed for this long, by the store's clock, can be taken by others.
const LIFE: Duration = Duration::from_secs(60);

/// The time between renewals.
const RENEWAL: Duration = Duration::from_secs(15);

/// How long the holder trusts its lease after it sent the last renewal: less than the lease's life, in case a request arrives
/// late.
const BELIEF: Duration = Duration::from_secs(50);

/// The store's times have whole seconds.
const GRAIN: Duration = Duration::from_secs(1);

/// The content of the lock object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LockContent {
    holder: String,
    /// Grows with each holder.
    fence: u64,
    /// Different in each write. A store's versions may be content hashes, and without it an old version would come back.
    nonce: String,
    /// Whether it was given back.
    #[serde(default)]
    released: bool,
    /// Whether it was given back by hand, because its holder could not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    by_hand: bool,
}

/// A taken lease.
#[derive(Debug)]
pub struct Lease {
    cells: Arc<dyn Cells>,
    key: String,
    clock: OwnClock,
    holder: String,
    fence: u64,
    /// How long the previous holder's lease had not been renewed, if it was not given back.
    inherited: Option<Duration>,
    inner: Mutex<LeaseState>,
    /// Dropped with the lease, which ends the renewing thread.
    alive: Mutex<Option<SyncSender<()>>>,
}

#[derive(Debug)]
struct LeaseState {
    version: Version,
    renewed: Moment,
    lost: Option<String>,
}

/// Two clocks: one stops while the computer sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
struct Moment(Instant, Timestamp);

impl Moment {
    #[expect(
        clippy::disallowed_methods,
        reason = "a clock that somebody sets back must not lengthen a lease"
    )]
    fn now(clock: &dyn Clock) -> Moment {
        Moment(Instant::now(), clock.now())
    }

    fn elapsed(self, clock: &dyn Clock) -> Duration {
        self.0.elapsed().max(clock.now().since(self.1))
    }
}

impl Lease {
    /// Takes the lease, or says who has it. `key`: the key of the lock object.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(
        cells: &Arc<dyn Cells>,
        key: &str,
        holder: &str,
        clock: &Arc<dyn Clock>,
    ) -> std::result::Result<Arc<Lease>, LockError> {
        let unusable = |source| LockError::Unusable { path: shown(Path::new(key)), source };
        let mut found = cells.get(key).map_err(unusable)?;
        for _ in 0..3 {
            let (fence, condition, inherited) = match &found {
                None => (1, Condition::Absent, None),
                Some(cell) => {
                    let written = parse(cell).map_err(unusable)?;
                    let age = cells.now().since(cell.modified);
                    if !written.released && age <= LIFE + GRAIN {
                        return Err(LockError::Held {
                            holder: format!("{}, renewed {} s ago", written.holder, age.as_secs()),
                        });
                    }
                    let inherited = (!written.released || written.by_hand).then_some(age);
                    (written.fence + 1, Condition::Is(cell.version.clone()), inherited)
                }
            };
            let renewed = Moment::now(&**clock);
            let own = written(holder, fence, false);
            let put = cells.put(key, bytes(&own), condition);
            let version = match put {
                Ok(version) => version,
                Err(error) => {
                    // The answer to a successful write may have been lost: the object says who won.
                    found = cells.get(key).map_err(unusable)?;
                    let won = found.as_ref().filter(|cell| is_own(cell, &own));
                    match won {
                        Some(cell) => cell.version.clone(),
                        None if error.kind() == ErrorKind::AlreadyExists => continue,
                        None => return Err(unusable(error)),
                    }
                }
            };
            let lease = Arc::new(Lease {
                cells: cells.clone(),
                key: key.to_owned(),
                clock: OwnClock(clock.clone()),
                holder: holder.to_owned(),
                fence,
                inherited,
                inner: Mutex::new(LeaseState { version, renewed, lost: None }),
                alive: Mutex::new(None),
            });
            return Ok(lease);
        }
        Err(LockError::Held { holder: "several processes start at once".to_owned() })
    }

    /// Renews the lease from now on while it is held, on its own thread.
    pub fn keep(lease: &Arc<Lease>) {
        let (alive, ended) = sync_channel(1);
        *lease.alive.lock().unwrap_or_else(PoisonError::into_inner) = Some(alive);
        let weak = Arc::downgrade(lease);
        std::thread::spawn(move || {
            let mut wait = RENEWAL;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let Some(lease) = weak.upgrade() else { return };
                wait = match lease.renew() {
                    Ok(()) => RENEWAL,
                    // Tried again soon, because trust ends before the lease does.
                    Err(_) => RENEWAL / 5,
                };
            }
        });
    }

    /// Renews the lease once.
    ///
    /// # Errors
    /// The store does not answer. A lost lease stays lost.
    pub fn renew(&self) -> Result<()> {
        self.rewrite(false)
    }

    /// The number of this holder.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    fn rewrite(&self, released: bool) -> Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.lost.is_some() {
            return Ok(());
        }
        let sent = Moment::now(&*self.clock.0);
        let own = written(&self.holder, self.fence, released);
        let put = self.cells.put(&self.key, bytes(&own), Condition::Is(inner.version.clone()));
        let version = match put {
            Ok(version) => version,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match self.cells.get(&self.key)? {
                Some(cell) if is_own(&cell, &own) => cell.version,
                Some(cell) => {
                    let holder = parse(&cell).map_or_else(|_| "somebody".to_owned(), |by| by.holder);
                    inner.lost = Some(format!("{holder} has it"));
                    return Ok(());
                }
                None => {
                    inner.lost = Some("its object was removed".to_owned());
                    return Ok(());
                }
            },
            Err(error) => return Err(error),
        };
        inner.version = version;
        inner.renewed = sent;
        Ok(())
    }
}

impl LeaseHandle for Lease {
    fn check(&self) -> std::result::Result<(), LeaseLost> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = inner.renewed.elapsed(&*self.clock.0);
        if inner.lost.is_none() && elapsed > BELIEF {
            inner.lost = Some(format!("it was not renewed for {} s", elapsed.as_secs()));
        }
        inner.lost.clone().map_or(Ok(()), |why| Err(LeaseLost(why)))
    }

    fn quarantine(&self, call: Duration) -> Option<Duration> {
        // The previous holder may have sent a call until its trust ended.
        let left = (BELIEF + call).saturating_sub(self.inherited?);
        (!left.is_zero()).then_some(left)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.rewrite(true);
    }
}

fn written(holder: &str, fence: u64, released: bool) -> LockContent {
    let mut random = [0u8; 16];
    // Without randomness, the time still differs.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    let nonce = hex::digits(&random);
    let holder =
        holder.chars().map(|scalar| if scalar.is_control() { ' ' } else { scalar }).take(400).collect();
    LockContent { holder, fence, nonce, released, by_hand: false }
}

fn bytes(written: &LockContent) -> Vec<u8> {
    serde_json::to_vec(written).expect("plain data has a JSON form")
}

fn parse(cell: &Cell) -> Result<LockContent> {
    serde_json::from_slice(&cell.bytes).map_err(|_| {
        std::io::Error::new(
            ErrorKind::InvalidData,
            "the lock object cannot be read: look at it, then remove it",
        )
    })
}

fn is_own(cell: &Cell, own: &LockContent) -> bool {
    parse(cell).is_ok_and(|found| found.nonce == own.nonce)
}

/// The current or last holder of a lease; `None` if nobody ever had it.
///
/// # Errors
/// The store does not answer, or the object cannot be parsed.
pub(super) fn last_holder(cells: &dyn Cells, key: &str) -> Result<Option<String>> {
    let Some(cell) = cells.get(key)? else { return Ok(None) };
    let found = parse(&cell)?;
    let age = cells.now().since(cell.modified).as_secs();
    let how = if found.released { "given back" } else { "renewed" };
    Ok(Some(format!("{}, {how} {age} s ago", found.holder)))
}

/// Ends a lease that was not renewed for its whole life. Returns its holder, or `None` if it is free. `by`: who ends it, and why.
///
/// # Errors
/// [`LockError::Held`] if it is still renewed, or was taken meanwhile; or the store does not answer.
pub(super) fn unlock(
    cells: &dyn Cells,
    key: &str,
    by: &str,
) -> std::result::Result<Option<String>, LockError> {
    let unusable = |source| LockError::Unusable { path: shown(Path::new(key)), source };
    let Some(cell) = cells.get(key).map_err(unusable)? else { return Ok(None) };
    let found = parse(&cell).map_err(unusable)?;
    if found.released {
        return Ok(None);
    }
    let age = cells.now().since(cell.modified);
    if age <= LIFE + GRAIN {
        let holder = format!("{}, renewed {} s ago", found.holder, age.as_secs());
        return Err(LockError::Held { holder });
    }
    let own =
        LockContent { by_hand: true, ..written(&format!("ended by hand: {by}"), found.fence + 1, true) };
    let Err(error) = cells.put(key, bytes(&own), Condition::Is(cell.version)) else {
        return Ok(Some(found.holder));
    };
    // The answer to our own write may have been lost, or the holder woke up, or another process took the lease.
    match cells.get(key).map_err(unusable)? {
        Some(cell) if is_own(&cell, &own) => Ok(Some(found.holder)),
        Some(cell) if error.kind() == ErrorKind::AlreadyExists => {
            let now = parse(&cell).map_err(unusable)?;
            if now.released { Ok(None) } else { Err(LockError::Held { holder: now.holder }) }
        }
        None if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        _ => Err(unusable(error)),
    }
}
