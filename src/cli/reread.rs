//! Reads the whole list again while a run goes on, within the budget.
//!
//! Judges nothing: the engine and the gates compare.

use std::sync::Arc;

use mdetag::tenant::{ReadDevices, ReadScope, ReadWatch};
use mdetag_core::apply::DeviceState;
use mdetag_core::inventory::{Snapshot, Trust};

use super::context::Context;
use super::drive::{ReadAgain, Reread};
use super::progress::Reading;
use super::run_inputs::RunInputs;
use super::session::Session;

/// Reads the whole list again, within the budget.
pub fn read_again(context: &Context, session: &Session) -> Arc<ReadAgain> {
    // The bar of the run is still there: lines of the read stand above it, and no second bar is drawn.
    let mut context = context.clone();
    context.console.lines |= context.console.bars;
    context.console.bars = false;
    let (tenant, ledger, known) = (session.tenant.clone(), session.ledger.clone(), session.known.clone());
    Arc::new(move || {
        let (reader, console) = (tenant.reader(), context.console.clone());
        let reading = Reading::start(&context, &ledger);
        let scope = ReadScope { service: known.clone(), ..ReadScope::default() };
        Box::pin(async move {
            tracing::info!("reading the list again");
            let quiet = |_: &mdetag::tenant::ReadProgress| {};
            let watch = ReadWatch { meter: &reading, progress: &quiet, pages: None };
            let read = reader.read(&scope, watch).await;
            let (snapshot, trust) = read.map_err(|error| error.to_string())?;
            if !trust.is_trusted() {
                console.say(&format!("the second read is untrusted: {}", trust.sentences().join("; ")));
            }
            let is_trusted = trust.is_trusted();
            Ok(Reread { observed: Box::new(move |id| DeviceState::in_snapshot(&snapshot, id)), is_trusted })
        })
    })
}

/// Reads the whole list again, within the budget.
pub async fn reread(inputs: &RunInputs<'_>) -> Result<(Snapshot, Trust), String> {
    let mut context = inputs.context.clone();
    context.console.lines |= context.console.bars;
    context.console.bars = false;
    let reading = Reading::start(&context, &inputs.session.ledger);
    let quiet = |_: &mdetag::tenant::ReadProgress| {};
    let watch = ReadWatch { meter: &reading, progress: &quiet, pages: None };
    let reader = inputs.session.tenant.reader();
    reader
        .read(&ReadScope { service: inputs.session.known.clone(), ..ReadScope::default() }, watch)
        .await
        .map_err(|error| error.to_string())
}
