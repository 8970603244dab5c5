//! Notifies a webhook of the end of `apply` and `drift`, as `notify` of `mdetag.yaml` says.
//!
//! Does not change the command's end: a message that cannot be sent is a warning.

use mdetag::tenant::{Delivery, deliver};
use mdetag_core::policy::notify::{NotifySettings, Occasion};
use mdetag_core::report::model::Subject;
use mdetag_core::report::notification::{ErrorSummary, SummaryDocument, message};
use secrecy::SecretString;

use super::ci;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Sends the message for the end of a command, if there is one.
pub async fn send_message(
    context: &Context,
    subject: Subject,
    summary: Option<SummaryDocument>,
    ended: Result<Exit, &Failure>,
) {
    let Some(notify) = &context.settings.notify else { return };
    // Nothing was tried, or nobody listens: the shell has the message already.
    if ended.is_err_and(|failure| failure.is_usage() || failure.is_broken_pipe()) {
        return;
    }
    let mut summary = summary.unwrap_or_else(|| {
        SummaryDocument::new(subject, concat!("mdetag ", env!("CARGO_PKG_VERSION")), context.named_tenant())
    });
    summary.exit_code = ended.unwrap_or_else(|failure| failure.exit).code();
    summary.link = ci::link();
    summary.error = ended
        .err()
        .map(|failure| ErrorSummary { code: failure.code.to_owned(), message: failure.message.clone() });
    let Some(occasion) = summary.occasion(&notify.on) else { return };
    if let Err(why) = send(context, occasion, &summary, notify).await {
        context.console.complain(&format!("warning: the notification cannot be sent: {why}"));
    }
}

async fn send(
    context: &Context,
    occasion: Occasion,
    summary: &SummaryDocument,
    notify: &NotifySettings,
) -> Result<(), String> {
    let address = std::env::var(&notify.variable).ok().filter(|address| !address.trim().is_empty());
    let Some(address) = address.map(SecretString::from) else {
        return Err(format!(
            "the environment variable {} is not set; set it to the webhook's address, or take `notify` out of \
             mdetag.yaml",
            notify.variable
        ));
    };
    let now = context.clock.now();
    // Each try of a message has the same id, so that a receiver can recognise repeats.
    let run = summary.run_id.as_deref().unwrap_or("none");
    let id = format!("{run}-{}-{}", std::process::id(), now.ticks());
    let message = message(notify.format, occasion, summary, &id, now);
    deliver(&address, message.content_type, &message.body, Delivery::default(), &*context.clock).await
}
