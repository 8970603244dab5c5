//! `guard.rollout`: how a plan is rolled out in waves, and what stops it.
//!
//! Says what is wanted. `plan` assigns devices to waves; `apply` checks the gates.

use std::time::Duration;

use super::keys;
use super::names::Names;
use super::node::Node;
use super::reader::Reader;
use super::{Percent, Policy, Quantity, Selector};
use crate::diagnostic::{Diagnostic, Span};
use crate::time::spoken;

/// The most waves: each needs its own review.
const MOST_WAVES: usize = 100;

/// Plans that change fewer devices have only one wave, unless the policy says otherwise.
const SMALLEST: u64 = 100;

/// Devices report to the service about hourly, so a gate on their health sees nothing earlier.
const REPORTS_AFTER: Duration = Duration::from_secs(3_600);

/// `guard.rollout`.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Plans that change fewer devices have only one wave.
    pub from: u64,
    /// Cumulative: after each wave, this many devices, or this share of the devices with changes, are written. Never empty.
    pub waves: Vec<Quantity>,
    /// The devices that all go into the first wave.
    pub first: Option<Selector>,
    /// That selector as written.
    pub first_text: String,
    /// The time between the end of a wave and the start of the next.
    pub wait: Duration,
    /// The shares of a wave's devices that may end badly.
    pub stop_at: StopAt,
    /// The share of a wave's devices that may become sick.
    pub health: Option<Health>,
    /// Cumulative: tenants, or a share of them, after each wave of `--tenant-wave`. Empty if tenants have no waves.
    pub tenants: Vec<Quantity>,
    /// The place of `wait`, or else of the whole rollout.
    pub span: Span,
}

/// `guard.rollout.stopAt`: a wave stops the rollout above these shares of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopAt {
    /// Failed or unknown.
    pub failed: Percent,
    /// Accepted by the service, and later shown in the old state.
    pub bounced: Percent,
    /// The place of `bounced`; `None` for the default.
    pub bounced_span: Option<Span>,
}

impl Default for StopAt {
    fn default() -> StopAt {
        StopAt { failed: Percent::whole(5), bounced: Percent::whole(20), bounced_span: None }
    }
}

/// `guard.rollout.health`.
#[derive(Clone, Debug)]
pub struct Health {
    /// The devices that count as sick.
    pub select: Selector,
    /// That selector as written.
    pub text: String,
    /// The share of a wave's devices that may match now and did not before.
    pub at_most: Percent,
    /// The place of the `health` key.
    pub span: Span,
}

impl Reader<'_> {
    /// The rollout of a guard.
    pub(super) fn rollout(&mut self, node: &Node, names: &Names) -> Option<Rollout> {
        let fields = self.fields(node, keys::ROLLOUT, "`rollout`")?;
        let from = fields.get("from").and_then(|node| self.count(node, "`from`")).unwrap_or(SMALLEST);
        let waves = fields.get("waves").map(|node| self.waves(node, "`waves`")).unwrap_or_default();
        let tenants = fields.get("tenants").map(|node| self.waves(node, "`tenants`")).unwrap_or_default();
        let first = fields.get("first").map(|node| self.selector(node, "`rollout.first`", names));
        // An unreadable wait is a separate error, and must not count as a short one.
        let wait = fields.get("wait").map(|node| self.duration(node, "`wait`").unwrap_or(Duration::MAX));
        let span = fields.get("wait").map_or(node.span, |node| node.span);
        let stop_at = fields.get("stopAt").map(|node| self.stop_at(node)).unwrap_or_default();
        let health = fields.get("health").and_then(|node| {
            let fields = self.fields(node, keys::HEALTH, "`rollout.health`")?;
            let select = fields.get("select").map(|node| self.selector(node, "`rollout.health`", names));
            let at_most = fields.get("atMost").and_then(|node| self.percent(node, "`atMost`"));
            let text = self.on_one_line(fields.get("select")?);
            Some(Health { select: select?, text, at_most: at_most?, span: node.span })
        });
        let wait = wait.unwrap_or_default();
        let first_text = fields.get("first").map(|node| self.on_one_line(node)).unwrap_or_default();
        Some(Rollout { from, waves, first, first_text, wait, stop_at, health, tenants, span })
    }

    fn on_one_line(&self, node: &Node) -> String {
        self.sources.text(node.span).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The steps. Each must be above the one before if both are of the same kind.
    fn waves(&mut self, node: &Node, what: &str) -> Vec<Quantity> {
        let Some(items) = self.filled_list(node, what) else { return Vec::new() };
        if items.len() > MOST_WAVES {
            let message = format!("{} waves; at most {MOST_WAVES} are carried out", items.len());
            self.report(Diagnostic::error("E0506", node.span, message).label("too many"));
            return Vec::new();
        }
        let mut waves: Vec<Quantity> = Vec::new();
        for item in items {
            let Some(step) = self.quantity(item, "a wave") else { continue };
            let above = |before: &Quantity| match (before, step) {
                (Quantity::Count(before), Quantity::Count(step)) => step > *before,
                (Quantity::Share(before), Quantity::Share(step)) => step > *before,
                (Quantity::Share(before), Quantity::Count(_)) => *before < Percent::whole(100),
                (Quantity::Count(_), Quantity::Share(_)) => true,
            };
            let is_nothing = matches!(step, Quantity::Count(0))
                || matches!(step, Quantity::Share(share) if share == Percent::whole(0));
            if is_nothing || !waves.iter().all(above) {
                let message = if is_nothing {
                    "a wave of no device"
                } else {
                    "waves are cumulative: each writes more devices than the one before"
                };
                let help = if is_nothing {
                    "write how many devices are written by the end of it, such as `25` or `10%`"
                } else {
                    "write them in rising order, such as `[25, 10%, 100%]`"
                };
                let finding = Diagnostic::error("E0506", item.span, message);
                self.report(finding.label("adds no device").help(help));
                continue;
            }
            waves.push(step);
        }
        waves
    }

    fn stop_at(&mut self, node: &Node) -> StopAt {
        let mut stop_at = StopAt::default();
        let Some(fields) = self.fields(node, keys::STOP_AT, "`rollout.stopAt`") else { return stop_at };
        if let Some(share) = fields.get("failed").and_then(|node| self.percent(node, "`failed`")) {
            stop_at.failed = share;
        }
        if let Some(node) = fields.get("bounced")
            && let Some(share) = self.percent(node, "`bounced`")
        {
            (stop_at.bounced, stop_at.bounced_span) = (share, Some(node.span));
        }
        stop_at
    }
}

/// Warns if the gate on bounced changes cannot see them in time. `visibility`: how long the list may lag behind an answer.
pub fn blind_bounces(policy: &Policy, visibility: Duration) -> Option<Diagnostic> {
    let rollout = policy.guard.rollout.as_ref()?;
    let why = "the list may lag behind a write for `writes.visibility`";
    // A gate that allows every device to bounce is no gate.
    if rollout.stop_at.bounced >= Percent::whole(100) {
        return None;
    }
    let (span, gate) = match rollout.stop_at.bounced_span {
        Some(span) => (span, "`bounced`".to_owned()),
        None => (rollout.span, format!("`bounced` (by default {})", rollout.stop_at.bounced)),
    };
    blind(rollout, span, (&gate, "write `stopAt: { bounced: 100% }`"), why, visibility)
}

/// Warns if the gate on health cannot see it in time.
pub(super) fn blind_health(policy: &Policy) -> Option<Diagnostic> {
    let rollout = policy.guard.rollout.as_ref()?;
    let why = "within less than an hour the service hardly shows that a device fell ill";
    blind(rollout, rollout.health.as_ref()?.span, ("`health`", "delete the gate"), why, REPORTS_AFTER)
}

/// `gate`: its name, and what to write for a rollout without it.
fn blind(
    rollout: &Rollout,
    span: Span,
    (gate, without): (&str, &str),
    why: &str,
    needed: Duration,
) -> Option<Diagnostic> {
    if rollout.wait >= needed {
        return None;
    }
    let message = format!("{gate} cannot see in time what it is there for: {why}");
    let finding =
        Diagnostic::warning("W0502", span, message).label(format!("`wait` is {}", spoken(rollout.wait)));
    Some(finding.help(format!("write a `wait` of {} or more, or {without}", spoken(needed))))
}
