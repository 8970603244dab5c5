//! The inventory at one moment: devices as columns, and how far the read can be trusted.
//!
//! Reads bytes that it is given; opens no file and no socket.

mod address;
mod baseline;
mod blocks;
mod builder;
mod columns;
mod copies;
mod digest;
mod draft;
mod foreign;
mod layout;
mod lenient;
mod read;
mod scan;
mod set;
mod snapshot;
mod tally;
mod trust;

pub use address::{Stored, normal_hardware, parse_ip};
pub use baseline::{BaselineReport, Baselines, Compared, compare, shrunk_sources};
pub use blocks::BlockReader;
pub use builder::{Page, ReadFault, SnapshotBuilder};
pub use foreign::{foreign_encoding, seems_to_be};
pub use set::DeviceSet;
pub use snapshot::Snapshot;
pub(crate) use snapshot::domain_of;
pub use tally::Tally;
pub use trust::{InventoryCounts, Trust, UntrustedReason, judge};

/// Index of a device in a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub u32);

impl Row {
    /// The row as an index into a column.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Index of a tag in a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(pub u32);

/// A snapshot of these API objects, for tests. A device without `id` gets `d0`, `d1`, … by its position.
#[cfg(test)]
pub(crate) fn fleet(devices: &[serde_json::Value]) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    for (index, device) in devices.iter().enumerate() {
        let mut device = device.clone();
        device.as_object_mut().unwrap().entry("id").or_insert_with(|| format!("d{index}").into());
        builder.read_device(device.to_string().as_bytes()).unwrap();
    }
    builder.finish().0
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
