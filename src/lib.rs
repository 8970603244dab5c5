//! mdetag: declarative tags and device values for Microsoft Defender for Endpoint.
//!
//! The modules stand in the order in which data flows, and a module may use only the modules above it in this list
//! (`tests/architecture.rs` reads the list and fails when one does not). See `ARCHITECTURE.md` for the picture.

// Vocabulary: words that every room shares.
pub mod time;
pub mod diagnostic;
pub mod text;
pub mod pattern;
pub mod device;
pub mod tag;

// The pipeline: pure. No files, no sockets, no clock.
pub mod policy;
pub mod inventory;
pub mod selection;
pub mod desired;
pub mod plan;
pub mod drift;
pub mod explain;
pub mod rehearsal;
pub mod import;
pub mod apply;
pub mod report;

// The edges: files, the service, the simulated service, the command line.
pub mod store;
pub mod tenant;
pub mod sandbox;
pub mod cli;
