//! Where a tenant's state lies: a folder of this computer, or a store that several computers share.
//!
//! Knows no format: journals, ledgers and counts are bytes here.

mod place;

pub use place::{StatePlace, StoreAddress};

use super::state::is_name;
