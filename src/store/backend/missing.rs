//! State that cannot be reached: readers continue without it.
//!
//! Stores nothing, and refuses the lease that every write to a tenant needs.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

use super::{Backend, Log, WriteLease};
use crate::store::lock::LockError;
use crate::store::path_text::shown;

/// Replaces a store that does not answer.
#[derive(Clone, Copy, Debug)]
pub struct UnreachableStore;

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "the state cannot be reached")
}

impl Backend for UnreachableStore {
    fn read(&self, _: &Path, _: u64) -> Result<Vec<u8>> {
        Err(gone())
    }

    fn write(&self, _: &Path, _: &[u8]) -> Result<()> {
        Err(gone())
    }

    fn update(&self, _: &Path, _: u64, _: &mut dyn FnMut(Option<Vec<u8>>) -> Result<Vec<u8>>) -> Result<()> {
        Err(gone())
    }

    fn logs(&self, _: &Path) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn plans(&self, _: &Path) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_log(&self, _: &Path) -> Result<Box<dyn Log>> {
        Err(gone())
    }

    fn continue_log(&self, _: &Path) -> Result<Box<dyn Log>> {
        Err(gone())
    }

    fn read_log(&self, _: &Path) -> Result<Box<dyn Read>> {
        Err(gone())
    }

    fn hold(&self, path: &Path, _: &str) -> std::result::Result<WriteLease, LockError> {
        Err(LockError::Unusable { path: shown(path), source: gone() })
    }

    fn unlock(&self, path: &Path, _: &str) -> std::result::Result<Option<String>, LockError> {
        Err(LockError::Unusable { path: shown(path), source: gone() })
    }

    fn remove(&self, _: &Path) -> Result<()> {
        Err(gone())
    }

    fn remove_log(&self, _: &Path) -> Result<()> {
        Err(gone())
    }

    fn last_holder(&self, _: &Path) -> Result<Option<String>> {
        Err(gone())
    }
}
