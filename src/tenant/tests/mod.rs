//! The room against a service on loopback: what it sends, and what it makes of each answer.

mod paging;
mod partial;
mod secrets;
mod signing_in;
mod writing;
