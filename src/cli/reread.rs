//! Reads the whole list again during a run, within the budget.
//!
//! Judges nothing: the engine and the gates compare.

use std::sync::Arc;

use mdetag::store::ledger::Ledger;
use mdetag::tenant::{ReadDevices, ReadProgress, ReadScope, ReadWatch, Tenant};
use mdetag_core::apply::DeviceState;
use mdetag_core::inventory::{Snapshot, Trust};
use mdetag_core::probe::KnownService;

use super::context::Context;
use super::drive::{ReadAgain, Reread};
use super::progress::Reading;
use super::session::Session;

/// Reads the list of a tenant whenever a run needs it.
#[derive(Clone)]
pub struct ListReader {
    context: Context,
    tenant: Tenant,
    ledger: Arc<Ledger>,
    known: KnownService,
}

impl ListReader {
    /// A reader beside the bar of a run: its lines appear above the bar, and it draws no second bar.
    pub fn new(context: &Context, session: &Session) -> ListReader {
        let mut context = context.clone();
        context.console.lines |= context.console.bars;
        context.console.bars = false;
        let (tenant, ledger, known) = (session.tenant.clone(), session.ledger.clone(), session.known.clone());
        ListReader { context, tenant, ledger, known }
    }

    /// Reads the whole list.
    ///
    /// # Errors
    /// No usable answer, as a sentence.
    pub async fn read(&self) -> Result<(Snapshot, Trust), String> {
        let reading = Reading::start(&self.context, &self.ledger);
        let quiet = |_: &ReadProgress| {};
        let watch = ReadWatch { meter: &reading, progress: &quiet, pages: None };
        let scope = ReadScope { service: self.known.clone(), ..ReadScope::default() };
        self.tenant.reader().read(&scope, watch).await.map_err(|error| error.to_string())
    }

    /// The reader in the engine's form.
    pub fn read_again(self) -> Arc<ReadAgain> {
        Arc::new(move || {
            let list = self.clone();
            Box::pin(async move {
                tracing::info!("reading the list again");
                let (snapshot, trust) = list.read().await?;
                let is_trusted = trust.is_trusted();
                if !is_trusted {
                    let reasons = trust.sentences().join("; ");
                    list.context.console.say(&format!("the second read is untrusted: {reasons}"));
                }
                let observed = Box::new(move |id: &str| DeviceState::in_snapshot(&snapshot, id));
                Ok(Reread { observed, is_trusted })
            })
        })
    }
}
