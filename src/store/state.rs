//! The state directory: what lies where, a directory for each tenant.
//!
//! Knows what the last trusted run counted; what the other files say is for the modules that write them.

use std::path::{Path, PathBuf};

use mdetag_core::inventory::Counts;

use super::whole_file;

/// The directory of one tenant: `STATE/<cloud>/<tenant id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The directory of a tenant. `cloud` is `sandbox` for a simulated one.
    ///
    /// # Errors
    /// A sentence, where the cloud or the id could name another directory.
    pub fn new(state: &Path, cloud: &str, tenant: &str) -> Result<StateDir, String> {
        for (what, word) in [("cloud", cloud), ("tenant id", tenant)] {
            if !is_name(word) {
                return Err(format!(
                    "the {what} `{word}` cannot name a directory: write letters, digits, `.`, `_` and `-`"
                ));
            }
        }
        // Ids are GUIDs, which people and tokens write in either case.
        Ok(StateDir { path: state.join(cloud).join(tenant.to_ascii_lowercase()) })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where journals lie, with their plans.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The journal of a run.
    pub fn journal(&self, run: &str) -> PathBuf {
        self.runs().join(format!("{run}.jsonl"))
    }

    /// The plan that a run applies.
    pub fn plan(&self, run: &str) -> PathBuf {
        self.runs().join(format!("{run}.plan.json"))
    }

    /// The ledger of an application: a file for each lane.
    ///
    /// # Errors
    /// As [`StateDir::new`].
    pub fn ledger(&self, app: &str) -> Result<PathBuf, String> {
        if !is_name(app) {
            return Err(format!("the client id `{app}` cannot name a directory"));
        }
        Ok(self.path.join("ledger").join(app.to_ascii_lowercase()))
    }

    /// The lock that an `apply` holds.
    pub fn lock(&self) -> PathBuf {
        self.path.join("apply.lock")
    }

    pub(super) fn pending(&self) -> PathBuf {
        self.path.join("pending.json")
    }

    fn counts(&self) -> PathBuf {
        self.path.join("counts.json")
    }

    /// What the last trusted run counted; none where that is unknown or cannot be read.
    pub fn last_counts(&self) -> Option<Counts> {
        serde_json::from_slice(&std::fs::read(self.counts()).ok()?).ok()
    }

    /// Keeps what a trusted run counted.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep_counts(&self, counts: &Counts) -> std::io::Result<()> {
        whole_file::write(&self.counts(), &serde_json::to_vec(counts).map_err(std::io::Error::other)?)
    }
}

/// Whether a word can name a file here and nothing else: it comes from flags, plans and tokens.
pub(super) fn is_name(word: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&word.len()) && word.bytes().all(is_safe) && word.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_of_each_cloud_has_its_own_directory() {
        let state = StateDir::new(Path::new(".mdetag"), "public", "1111-22").unwrap();
        assert_eq!(state.journal("r1"), Path::new(".mdetag/public/1111-22/runs/r1.jsonl"));
        assert_eq!(state.ledger("app").unwrap(), Path::new(".mdetag/public/1111-22/ledger/app"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "a/b", "a\\b", "a\0"] {
            assert!(StateDir::new(Path::new("."), "public", name).is_err(), "{name:?}");
        }
    }
}
