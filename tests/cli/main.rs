//! The real binary, end to end, against the sandbox over real sockets.

#![allow(clippy::unwrap_used)] // a test that cannot read its own project has failed

mod engine;
mod main_job;
mod offline;
mod outcomes;
mod project;
mod undo;
mod reviewed;
mod tenant;
