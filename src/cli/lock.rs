//! The right to write to a tenant: one apply at a time; the others learn who holds it.
//!
//! The state implements it: a file's lock in a folder, a lease in a store.

use std::time::Duration;

use mdetag::store::backend::WriteLease;
use mdetag::store::lock::LockError;
use mdetag_core::report::progress::waiting_for;

use super::args::ApplyArgs;
use super::context::Context;
use super::failure::{Failure, chain};
use super::session::Session;
use super::{ci, progress};

/// Allows one apply per tenant: waits for another as long as requested, then refuses with the holder's name.
///
/// # Errors
/// Another apply is working, or the lock cannot be used.
pub async fn lock(context: &Context, args: &ApplyArgs, session: &Session) -> Result<WriteLease, Failure> {
    let holder = format!(
        "process {} of {}, since {}",
        std::process::id(),
        ci::origin(),
        context.clock.now().rounded_down()
    );
    let deadline = context.clock.now().plus(args.lock_timeout);
    let screen = progress::Meter::start(&context.console, 0);
    loop {
        match session.state.backend().hold(&session.state.lock(), &holder) {
            Ok(lock) => {
                if let Some(wait) = lock.quarantine(context.global.request_timeout) {
                    let why = "calls of the last holder of the lease may still be under way";
                    context.console.say(&waiting_for(wait, why, context.clock.now()));
                    tokio::time::sleep(wait).await;
                }
                return Ok(lock);
            }
            Err(error @ LockError::Held { .. }) if context.clock.now() < deadline => {
                let now = context.clock.now();
                let text = || waiting_for(deadline.since(now), &error.to_string(), now);
                screen.show(0, text);
                screen.wait(deadline.since(now), text);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error @ LockError::Held { .. }) => {
                return Err(Failure::file(error.to_string()).help("wait for it, or pass --lock-timeout 30m"));
            }
            Err(error) => return Err(Failure::file(chain(&error))),
        }
    }
}
