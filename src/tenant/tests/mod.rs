//! This module against a service on loopback: what it sends, and how it treats each answer.

mod paging;
mod partial;
mod secrets;
mod signing_in;
mod writing;
