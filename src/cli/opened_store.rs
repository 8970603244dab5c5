//! The store that a command opened: once, and with one outcome.
//!
//! Opens nothing; that is `state_store`.

use std::sync::{Arc, OnceLock};

use mdetag::store::backend::ObjectBucket;
use mdetag_core::time::Timestamp;

/// The store of a command, once it is opened; an error is one sentence.
pub type OpenedStore = Arc<OnceLock<Result<Arc<ObjectBucket>, String>>>;

/// Where the state directory was copied from and when, if it is a copy, once it is looked at; an error is one sentence.
pub type CopiedFrom = Arc<OnceLock<Result<Option<(String, Timestamp)>, String>>>;
