//! The real binary, end to end, against the sandbox over real sockets.

#![allow(clippy::unwrap_used)] // a test that cannot read its own project has failed

mod all_tenants;
mod approvals;
mod asking;
mod base;
mod caps;
mod ci;
mod commits;
mod composed;
mod doctor;
mod engine;
mod folders;
mod foreign_hosts;
mod identity;
mod import;
mod invariants;
mod help;
mod hostile;
mod known_service;
mod looks;
mod main_job;
mod offline;
mod origins;
mod outcomes;
mod outputs;
mod probe;
mod project;
mod proposals;
mod reach;
mod reading;
mod refusals;
mod reviewed;
mod sandboxes;
mod secrets;
mod service;
mod shared_selectors;
mod special_files;
mod shrink;
mod start;
mod state_commands;
mod state_folder;
mod streams;
mod tenant;
mod rollout;
mod undo;
