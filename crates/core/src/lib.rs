//! The pure pipeline of mdetag: policies and devices in; plans, calls and reports out. No files, no sockets, no clock.
//!
//! From a policy and devices to a plan that the guard let pass:
//!
//! ```
//! use mdetag_core::diagnostic::Sources;
//! use mdetag_core::inventory::SnapshotBuilder;
//! use mdetag_core::plan::{self, Header, History, SafePlan};
//! use mdetag_core::selection::{self, HuntingResults};
//! use mdetag_core::tag::TagCase;
//! use mdetag_core::time::Timestamp;
//! use mdetag_core::{desired, policy};
//!
//! let now = Timestamp::parse("2026-11-24").unwrap();
//! let sources = Sources::from_text(
//!     "servers.yaml",
//!     "version: 1\nclaims: [Tier0]\nrules:\n  - { name: dcs, select: { computerDnsName: { glob: \"dc*\" } }, tags: [Tier0] }\n",
//! );
//! let (policy, findings) = policy::resolve(&sources, TagCase::Exact, now);
//! assert!(findings.is_empty());
//!
//! let mut devices = SnapshotBuilder::new();
//! devices.read_device(br#"{ "id": "a1", "computerDnsName": "dc01.corp.example.com", "machineTags": [] }"#).unwrap();
//! devices.read_device(br#"{ "id": "a2", "computerDnsName": "pc01.corp.example.com", "machineTags": ["Tier0"] }"#).unwrap();
//! let (snapshot, _distrust) = devices.finish();
//!
//! let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
//! let desired = desired::desire(&policy, &snapshot, &selections, now).unwrap();
//! let plan = plan::diff(&desired, &History::default(), Header::default(), &sources);
//! assert_eq!(plan.counts(), (1, 1, 0)); // one tag added, one removed, no value set
//! assert_eq!(&*plan.changes[0].id, "a1");
//!
//! // Only a plan that the guard let pass can be applied.
//! assert!(SafePlan::new(plan, &policy.guard, &[], &sources).is_ok());
//! ```
//!
//! Why one device gets or loses a tag:
//!
//! ```
//! # use mdetag_core::diagnostic::Sources;
//! # use mdetag_core::inventory::SnapshotBuilder;
//! # use mdetag_core::plan::{self, Header, History};
//! # use mdetag_core::selection::{self, HuntingResults};
//! # use mdetag_core::tag::TagCase;
//! # use mdetag_core::time::Timestamp;
//! # use mdetag_core::{desired, policy};
//! use mdetag_core::explain::{self, Verdict};
//!
//! # let now = Timestamp::parse("2026-11-24").unwrap();
//! # let sources = Sources::from_text(
//! #     "servers.yaml",
//! #     "version: 1\nclaims: [Tier0]\nrules:\n  - { name: dcs, select: { computerDnsName: { glob: \"dc*\" } }, tags: [Tier0] }\n",
//! # );
//! # let (policy, _) = policy::resolve(&sources, TagCase::Exact, now);
//! # let mut devices = SnapshotBuilder::new();
//! # devices.read_device(br#"{ "id": "a2", "computerDnsName": "pc01.corp.example.com", "machineTags": ["Tier0"] }"#).unwrap();
//! # let (snapshot, _) = devices.finish();
//! # let hunting = HuntingResults::default();
//! # let selections = selection::select(&policy, &snapshot, &hunting, now).unwrap();
//! # let desired = desired::desire(&policy, &snapshot, &selections, now).unwrap();
//! # let plan = plan::diff(&desired, &History::default(), Header::default(), &sources);
//! let row = snapshot.find_device("pc01")[0];
//! let explanation = explain::explain(&desired, &plan, &hunting, &sources, row, Some("Tier0"));
//! assert_eq!(explanation.tags[0].verdict, Verdict::Removed);
//! ```
//!
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list
//! (`tests/architecture.rs` reads the list and fails when one does not). See `ARCHITECTURE.md` for the picture.

// clippy.toml lists the clock, the environment, files and sockets that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

// The vocabulary, shared with the sandbox.
pub use mdetag_vocabulary::{cloud, device, diagnostic, hex, pattern, random, tag, text, time, words};

// The pipeline.
pub mod pages;
pub mod strict_json;
pub mod policy;
pub mod inventory;
pub mod selection;
pub mod groups;
pub mod desired;
pub mod plan;
pub mod explain;
pub mod rehearsal;
pub mod import;
pub mod coverage;
pub mod service;
pub mod apply;
pub mod probe;
pub mod report;
