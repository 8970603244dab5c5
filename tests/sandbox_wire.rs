//! The sandbox as another client meets it: real HTTP on loopback, one behaviour of the service a test.
//! Does not test the client; nothing of it is used here.

// The lint knows only functions marked as tests; their helpers are tests too.
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
