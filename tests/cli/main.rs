//! The real binary, end to end, against the sandbox over real sockets.

mod main_job;
mod offline;
mod project;
