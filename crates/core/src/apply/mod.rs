//! Applying a plan: a state machine that gives the next call and learns from each reply.
//!
//! Reads no clock, opens no socket, writes no file: `now` and replies come in, steps and journal entries go out.

pub use crate::plan::{ChangeKey, ChangeWhat, TagAction};

mod call;
mod outcome;
mod gate;
pub mod gates;
mod entry;
mod meter;
pub mod retry;
mod slots;
pub mod budget;
mod evidence;
mod twins;
mod changes;
mod isolation;
mod queue;
mod lanes;
mod origins;
mod routes;
mod held;
mod run;
mod isolate;
mod hold;
mod emit;
pub mod repairs;
mod dispatch;
mod combined;
mod canary;
mod answer;
mod verify;
pub mod resume;
pub mod waves;

pub use call::{Call, CallId, DeviceState, Rejection, Reply};
pub use entry::Entry;
pub use gate::{Gate, Halt, WaveEvent};
pub use meter::{Admission, LaneWait, Meter, Ticket, WaitReason, WindowSpan};
pub use origins::{Origins, TagOrigin};
pub use outcome::{ChangeOutcome, Outcome};
pub use run::{Progress, Run, RunOptions, Step, StopReason};
