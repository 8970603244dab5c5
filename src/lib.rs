//! mdetag at its edges: files, the service, the command line. The decisions are made in `mdetag-core`.
//!
//! The modules stand in the order in which data flows, and a module uses only the modules above it in this list.

pub mod store;
pub mod tenant;
pub mod cli;
