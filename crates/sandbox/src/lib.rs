//! A simulated tenant that speaks the service's own HTTP routes on loopback, with its limits, its errors and its oddities:
//! what a newcomer runs first, what policy authors use before they have credentials, and what the tests run against.
//!
//! It shares no judgement with the client: it has its own rate windows, its own parser and its own state, so that a mistake of
//! the client meets a refusal and not agreement. It claims nothing about the real service beyond what `docs/sandbox.md` marks.

// clippy.toml lists the clock, the environment and the terminal that this crate must not reach for.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod random;
mod record;
mod wire;
mod routes;
mod faults;
mod switches;
mod settings;
mod groups;
mod draft;
mod people;
mod generate;
mod fleet;
mod filter_words;
mod filter;
mod limits;
mod edits;
mod log;
mod sandbox_file;
mod disk;
mod jwt;
mod service;
mod access;
mod tokens;
mod refusals;
mod identity;
mod assertion;
mod sign_in;
mod read;
mod write;
mod hunting;
mod disturb;
mod control;
mod dispatch;
mod remote;
mod ownership;
mod delivery;
mod sandbox;
mod server;

pub use disturb::{Disturbance, Disturbed};
pub use faults::{Fault, When};
pub use generate::{FleetFile, generate};
pub use log::LoggedCall;
pub use routes::Route;
pub use sandbox::{Credentials, ReceivedCall, Sandbox};
pub use server::{Running, serve};
pub use settings::{CLIENT_ID, Federated, Options, SandboxError, TENANT_ID};
pub use switches::{Switch, SwitchRow, table};
pub use wire::{Answer, Delivery, Request};
