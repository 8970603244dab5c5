//! The sandbox from the view of another client: real HTTP on loopback, one behaviour of the service per test.
//! Does not test the client, and uses nothing of it.

// The lint knows only functions marked as tests, and their helpers are tests too.
#![allow(clippy::unwrap_used)]

#[path = "sandbox_wire/client.rs"]
mod client;
#[path = "sandbox_wire/documents.rs"]
mod documents;
#[path = "sandbox_wire/groups.rs"]
mod groups;
#[path = "sandbox_wire/identity.rs"]
mod identity;
#[path = "sandbox_wire/nasty.rs"]
mod nasty;
#[path = "sandbox_wire/reading.rs"]
mod reading;
#[path = "sandbox_wire/sign_in.rs"]
mod sign_in;
#[path = "sandbox_wire/state.rs"]
mod state;
#[path = "sandbox_wire/writing.rs"]
mod writing;
