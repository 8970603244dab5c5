//! Superseded devices: of several devices in scope with the same value, all except the one that is kept.
//!
//! Compares values without case, like text fields.

use hashbrown::HashMap;

use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::policy::Keep;
use crate::text;

/// The devices in scope that another one supersedes.
pub(super) fn superseded(snapshot: &Snapshot, scope: &DeviceSet, by: Field, keep: Keep) -> DeviceSet {
    let mut kept: HashMap<std::borrow::Cow<'_, str>, Row> = HashMap::new();
    let mut set = DeviceSet::new(snapshot.len());
    for row in scope.iter() {
        let Some(name) = snapshot.plain(by, row) else { continue };
        let winner = kept.entry(text::fold(name)).or_insert(row);
        if *winner != row {
            let loser =
                if is_kept_over(snapshot, keep, row, *winner) { std::mem::replace(winner, row) } else { row };
            set.insert(loser);
        }
    }
    set
}

/// Whether the first device is kept rather than the second. A device without the time is kept only if none has one; of equal ones
/// the smallest id is kept.
pub(super) fn is_kept_over(snapshot: &Snapshot, keep: Keep, one: Row, other: Row) -> bool {
    let time = |row| match keep {
        Keep::Newest => snapshot.time(Field::LastSeen, row).map(|time| time.ticks()),
        Keep::Oldest => snapshot.time(Field::FirstSeen, row).map(|time| -time.ticks()),
    };
    let by_id = || snapshot.id(other).cmp(snapshot.id(one));
    time(one).cmp(&time(other)).then_with(by_id).is_gt()
}
