//! The first and last line of a journal: who ran what and where, and how it ended.
//!
//! `journal_line` writes and parses them.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde::{Deserialize, Serialize};

use mdetag_core::apply::gates::KeptGates;
use mdetag_core::plan::FileReference;
use mdetag_core::plan::guard::ApprovalUse;
use mdetag_core::time::Timestamp;

/// Who ran what and where: the first line, and one more for each resumption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Header {
    pub run: String,
    /// `mdetag 0.1.0`.
    pub tool: String,
    /// Directory id of the tenant.
    pub tenant: String,
    pub cloud: String,
    /// The account or application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The CI job, as a URL or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The git commit of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Digest of the policy set.
    pub policy: String,
    pub plan: String,
    /// Identifies the policy set, whatever its content: its repository and its roots.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub set: String,
    /// The files of `policy`, so that a part of the set can be compared with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReference>,
    /// The claims and retirements of that set, for the other sets of the tenant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    #[serde(skip_serializing_if = "RunKind::is_apply")]
    pub kind: RunKind,
    /// The approvals and allowances that it needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raised: Vec<ApprovalUse>,
    /// The values of `--allow` as written: they hold for the run's resumptions too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// The last wave of its plan; 0 if it is written at once.
    #[serde(skip_serializing_if = "is_none")]
    pub waves: u32,
    /// The conditions of its waves; journals of earlier versions lack them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<KeptGates>,
    /// The run that it undoes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<String>,
    /// Whether its plan was a reviewed file; journals of earlier versions lack this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<bool>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(waves: &u32) -> bool {
    *waves == 0
}

/// The kind of run that a journal records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RunKind {
    #[default]
    Apply,
    /// A probe of the service, with one device.
    Probe,
}

impl RunKind {
    fn is_apply(&self) -> bool {
        *self == RunKind::Apply
    }
}

/// The last line: how a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub at: Timestamp,
    /// Whether every change ended; otherwise it can be resumed.
    pub is_complete: bool,
    /// `finished`, or `stopped by …`.
    pub reason: String,
}
