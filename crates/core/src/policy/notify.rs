//! `notify` of `mdetag.yaml`: the webhook, the occasions and the message format.
//!
//! Never contains the address itself, which is a secret: only the name of the environment variable that does.

use super::node::shown;
use super::reader::{Fields, Reader};
use super::shape::{MappingKey, Shape, key, required};
use crate::diagnostic::Diagnostic;

/// The prefix of variables that may hold the address. `mdetag.yaml` may come from a pull request, which must not be able to send
/// the content of any other variable somewhere.
pub const HOOK_VARIABLES: &str = "MDETAG_HOOK_";

/// The webhook, the occasions and the message format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySettings {
    /// The environment variable with the address.
    pub variable: String,
    /// The occasions on which a message is sent.
    pub on: Vec<Occasion>,
    /// The shape of the message's body.
    pub format: MessageFormat,
}

/// A result worth a message. If several apply, the first in this order is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The guard said no, or removals were withheld for an untrusted inventory: exit 3.
    Refused,
    /// An error, or changes that failed, bounced or are unknown: exit 1 or 4.
    Failed,
    /// `drift` found differences: exit 2.
    Drift,
    /// `apply` changed at least one device.
    Changed,
}

impl Occasion {
    /// All occasions, in the order in which one is chosen.
    pub const ALL: [Occasion; 4] = [Occasion::Refused, Occasion::Failed, Occasion::Drift, Occasion::Changed];

    /// The word in `mdetag.yaml` and in the event's type.
    pub fn word(self) -> &'static str {
        match self {
            Occasion::Refused => "refused",
            Occasion::Failed => "failed",
            Occasion::Drift => "drift",
            Occasion::Changed => "changed",
        }
    }
}

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// A CloudEvent.
    Json,
    /// An adaptive card in the envelope that workflows of Teams take.
    Teams,
    /// Blocks for an incoming webhook of Slack.
    Slack,
}

pub(super) static KEYS: &[MappingKey] = &[
    required("webhook", Shape::Text, "The environment variable with the address: `env:MDETAG_HOOK_NAME`."),
    key(
        "on",
        Shape::List(&Shape::Words(&OCCASIONS)),
        "What is told; `[refused, failed, drift]` unless written.",
    ),
    key("format", Shape::Words(&MESSAGE_FORMATS), "How it is written: `json` (a CloudEvent) unless written."),
];

const OCCASIONS: [&str; 4] = ["refused", "failed", "drift", "changed"];
const MESSAGE_FORMATS: [&str; 3] = ["json", "teams", "slack"];

impl Reader<'_> {
    /// The settings; `None` if the file names no usable variable; the findings say why.
    pub(super) fn notify(&mut self, fields: &Fields<'_>) -> Option<NotifySettings> {
        let node = fields.get("webhook")?;
        let text = self.filled_text(node, "`webhook`")?;
        if text.contains("://") {
            let message = "a secret does not belong in mdetag.yaml: `notify.webhook` names an address itself";
            self.report(Diagnostic::error("E0801", node.span, message).help(
                "put the address into an environment variable and write `webhook: env:MDETAG_HOOK_NAME`; make a new address if this one was real",
            ));
            return None;
        }
        let name = text.strip_prefix("env:").filter(|name| is_variable(name));
        let Some(name) = name else {
            // The message does not quote the text, which may be a part of an address, and addresses are secret.
            let message = format!("`webhook` is `env:` and a variable named {HOOK_VARIABLES}…");
            self.report(Diagnostic::error("E0208", node.span, message).help(
                "write for example `webhook: env:MDETAG_HOOK_TEAMS`: other variables are not for mdetag.yaml to send anywhere",
            ));
            return None;
        };
        let variable = name.to_owned();
        let written = fields.get("on");
        // A single word in place of a list is refused, as in the schema.
        let words = written
            .filter(|node| self.list(node, "`on`").is_some())
            .and_then(|node| self.texts(node, "`on`"));
        let mut on = Vec::new();
        for (word, span) in words.iter().flatten() {
            match Occasion::ALL.into_iter().find(|occasion| occasion.word() == *word) {
                Some(occasion) => on.push(occasion),
                None => {
                    self.unknown("E0208", *span, &format!("occasion `{}`", shown(word)), word, &OCCASIONS);
                }
            }
        }
        if words.is_none() {
            on = vec![Occasion::Refused, Occasion::Failed, Occasion::Drift];
        }
        let format = match fields.get("format").and_then(|node| self.word(node, "`format`", &MESSAGE_FORMATS))
        {
            Some("teams") => MessageFormat::Teams,
            Some("slack") => MessageFormat::Slack,
            _ => MessageFormat::Json,
        };
        Some(NotifySettings { variable, on, format })
    }
}

fn is_variable(name: &str) -> bool {
    name.strip_prefix(HOOK_VARIABLES).is_some_and(|rest| {
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=80).contains(&rest.len()) && rest.bytes().all(is_plain)
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings;
    use super::*;
    use crate::diagnostic::Sources;

    fn read(notify: &str) -> (Option<NotifySettings>, Vec<Diagnostic>) {
        let text = format!("version: 1\nnotify: {notify}\n");
        let (settings, findings) = settings::read(&Sources::from_text("mdetag.yaml", &text));
        (settings.notify, findings)
    }

    #[test]
    fn a_webhook_is_read_with_its_occasions_and_its_form() {
        let (notify, findings) =
            read("{ webhook: env:MDETAG_HOOK_OPS, on: [changed, drift], format: slack }");
        assert_eq!(findings, []);
        let notify = notify.unwrap();
        assert_eq!((notify.variable.as_str(), notify.format), ("MDETAG_HOOK_OPS", MessageFormat::Slack));
        assert_eq!(notify.on, [Occasion::Changed, Occasion::Drift]);
        let notify = read("{ webhook: env:MDETAG_HOOK_OPS }").0.unwrap();
        assert_eq!(notify.format, MessageFormat::Json);
        assert_eq!(notify.on, [Occasion::Refused, Occasion::Failed, Occasion::Drift]);
    }

    #[test]
    fn only_variables_of_hooks_can_be_named_and_an_address_is_a_secret() {
        for other in [
            "env:AZURE_CLIENT_SECRET",
            "env:MDETAG_HOOK_",
            "env:mdetag_hook_a",
            "env:MDETAG_HOOK_A-B",
            "MDETAG_HOOK_A",
        ] {
            let (notify, findings) = read(&format!("{{ webhook: \"{other}\" }}"));
            assert!(notify.is_none(), "{other}");
            assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["E0208"], "{other}");
        }
        let (notify, findings) = read("{ webhook: \"https://example.com/hook/s3cret\" }");
        assert!(notify.is_none());
        assert_eq!((findings[0].code, findings[0].hides_lines), ("E0801", true));
        assert!(!findings[0].message.contains("s3cret"));
        assert_eq!(read("{ webhook: env:MDETAG_HOOK_A, on: [never] }").1[0].code, "E0208");
        assert_eq!(read("{ on: [drift] }").1[0].code, "E0105");
        assert_eq!(read("{ webhook: env:MDETAG_HOOK_A, on: drift }").1[0].code, "E0104");
        assert_eq!(read("{ webhook: env:MDETAG_HOOK_A, on: [] }").1[0].code, "E0204");
    }
}
