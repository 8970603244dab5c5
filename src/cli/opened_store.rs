//! The store of a command, opened once with one result.
//!
//! Opens nothing; `state_store` does.

use std::sync::{Arc, OnceLock};

use mdetag::store::backend::ObjectBucket;
use mdetag_core::time::Timestamp;

/// The store of a command, after it is opened. An error is a sentence.
pub type OpenedStore = Arc<OnceLock<Result<Arc<ObjectBucket>, String>>>;

/// The source and time of the copy, if the state directory is one, after that was checked. An error is a sentence.
pub type CopiedFrom = Arc<OnceLock<Result<Option<(String, Timestamp)>, String>>>;
