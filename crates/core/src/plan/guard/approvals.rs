//! Everything that raises a cap: `--allow` for one run, and approvals in the policy until they expire. All of it is on the
//! record.
//!
//! Does not know a plan's arithmetic; the guard does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Place, Sources};
use crate::pattern;
use crate::plan::{Plan, TagCase, Warning};
use crate::policy::{Approval, Axis, Guard, MOST_DAYS_AHEAD};
use crate::tag::TagPattern;
use crate::time::Date;

/// A cap raised on the command line: `--allow AXIS[:TAG]=N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The cap that the allowance raises.
    pub axis: Axis,
    /// The tag, only with `removalsPerTag`; `None` there means every tag.
    pub tag: Option<String>,
    /// The new limit; a lower number changes nothing.
    pub max: u64,
}

impl Allowance {
    /// Reads `removals=153` or `removalsPerTag:Tier0=312`: the tag starts after the first `:` and ends before the last `=`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Allowance, String> {
        let form = "write AXIS=N or removalsPerTag:TAG=N, as in `removals=153`";
        let (left, number) = text.rsplit_once('=').ok_or_else(|| format!("`{text}` has no `=`: {form}"))?;
        let (name, tag) = left.split_once(':').map_or((left, None), |(name, tag)| (name, Some(tag)));
        let axis = Axis::parse(name).ok_or_else(|| {
            let known = Axis::ALL.map(Axis::word).join(", ");
            format!("`{name}` is no cap; the caps are {known}")
        })?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let max = number
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(|| format!("`{number}` is no whole number: {form}"))?;
        match tag {
            Some(_) if axis != Axis::RemovalsPerTag => {
                Err(format!("`{name}` takes no tag: only `removalsPerTag` does"))
            }
            Some("") => Err(format!("`{text}` names no tag after the `:`")),
            _ => Ok(Allowance { axis, tag: tag.map(str::to_owned), max }),
        }
    }
}

/// An allowance or approval that raised a cap of this plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalReport {
    /// Which cap.
    pub cap: Axis,
    /// The tag or glob as written; only with `removalsPerTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Raised to this, over all runs until it expires.
    pub max: u64,
    /// What earlier runs used of it, as far as the kept state knows; of several tags the most.
    #[serde(default)]
    pub used: u64,
    /// Where it comes from.
    pub from: ApprovalOrigin,
    /// Its ticket, else its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Its last day, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The `changesDigest` that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
}

/// Where an allowance comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalOrigin {
    /// `--allow`: for this run with its resumes.
    Flag,
    /// `guard.approvals`: until it expires.
    Policy,
}

impl ApprovalReport {
    /// One that names nothing but its cap, raises it to 0 and never expires.
    pub(super) fn of(cap: Axis, from: ApprovalOrigin) -> ApprovalReport {
        let (tag, because, place, expires, changes) = (None, None, None, None, None);
        ApprovalReport { cap, tag, max: 0, used: 0, from, because, place, expires, changes }
    }

    /// `removalsPerTag:Tier0=312`.
    pub fn text(&self) -> String {
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        format!("{}{tag}={}", self.cap.word(), self.max)
    }

    /// `removals=800 until 2026-12-15, not bound to a plan (approval "SEC-2001"; earlier runs used 300, 500 are left)`. People's
    /// words are in quotes and the binding is outside of them, so that no ticket can make an approval look bound.
    pub fn sentence(&self) -> String {
        let text = self.text();
        let Some(expires) = &self.expires else { return format!("{text} for this run (--allow)") };
        let because =
            self.because.as_ref().map_or_else(String::new, |because| format!(" {}", quoted(because)));
        let bound =
            if self.changes.is_some() { "bound to these changes only" } else { "not bound to a plan" };
        let used = match self.used {
            0 => String::new(),
            used => format!("; earlier runs used {used}, {} are left", self.max.saturating_sub(used)),
        };
        format!("{text} until {expires}, {bound} (approval{because}{used})")
    }

    /// Whether it raises the cap of an axis, and of a tag on it.
    pub fn covers(&self, axis: Axis, tag: Option<&str>, case: TagCase) -> bool {
        let is_of_tag = || match (&self.tag, tag) {
            (None, _) => true,
            (Some(pattern), Some(tag)) => covers(pattern, self.from, tag, case),
            (Some(_), None) => false,
        };
        self.cap == axis && is_of_tag()
    }
}

/// A flag names one tag; an approval may name many. No glob covers the reserved tag.
fn covers(pattern: &str, from: ApprovalOrigin, tag: &str, case: TagCase) -> bool {
    match (from, TagPattern::parse(pattern, case)) {
        (ApprovalOrigin::Flag, _) => case.is_same(pattern, tag),
        (ApprovalOrigin::Policy, Ok(pattern)) => pattern.matches(tag, case, false),
        (ApprovalOrigin::Policy, Err(_)) => false,
    }
}

/// The use of an approval by an earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalUse {
    /// The approval as the earlier plan listed it.
    pub approval: ApprovalReport,
    /// The tag, for `removalsPerTag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The number of changes that may pass.
    pub count: u64,
}

/// The part of an approval that is used up on an axis. A new last day makes a new approval; a new number does not.
pub(super) fn used(uses: &[ApprovalUse], approval: &ApprovalReport, tag: Option<&str>, case: TagCase) -> u64 {
    let is_it = |other: &ApprovalReport| {
        let key = |one: &ApprovalReport| {
            (one.cap, one.from, one.tag.clone(), one.expires.clone(), one.changes.clone())
        };
        key(other) == key(approval)
    };
    let is_tag = |of: &Option<String>| match (of, tag) {
        (Some(of), Some(tag)) => case.is_same(of, tag),
        (None, None) => true,
        _ => false,
    };
    let of_it = uses.iter().filter(|entry| is_it(&entry.approval) && is_tag(&entry.tag));
    of_it.map(|entry| entry.count).sum()
}

/// Everything that raises a cap of these changes today. What no longer counts, or not yet, becomes a warning.
pub(super) fn raises(
    plan: &mut Plan,
    guard: &Guard,
    allowances: &[Allowance],
    sources: &Sources,
) -> Vec<ApprovalReport> {
    let mut raises: Vec<ApprovalReport> = allowances.iter().map(from_flag).collect();
    let today = plan.header.now.date();
    for shrink in &guard.shrinks {
        let (text, place) = (format!("shrink:{}={}", shrink.source, shrink.to), sources.place(shrink.span));
        warn(plan, unusable(&text, Some(&place), shrink.expires, today));
    }
    for approval in &guard.approvals {
        let report = from_policy(approval, sources);
        if warn(plan, unusable(&report.text(), report.place.as_ref(), approval.expires, today)) {
            continue;
        }
        let is_of_plan = |changes: &String| {
            *changes == plan.changes_digest || Some(changes) == plan.measures.part_of.as_ref()
        };
        if approval.changes.as_ref().is_none_or(is_of_plan) {
            raises.push(report);
        }
    }
    raises
}

fn from_flag(allowance: &Allowance) -> ApprovalReport {
    let (tag, max) = (allowance.tag.clone(), allowance.max);
    ApprovalReport { tag, max, ..ApprovalReport::of(allowance.axis, ApprovalOrigin::Flag) }
}

/// People's words in quotes, escaped so that they cannot end them.
fn quoted(words: &str) -> String {
    format!("\"{}\"", words.replace(['"', '“', '”', '„', '\u{2033}', '\u{ff02}'], "'"))
}

fn from_policy(approval: &Approval, sources: &Sources) -> ApprovalReport {
    ApprovalReport {
        tag: approval.tag.as_ref().map(written),
        max: approval.max,
        because: approval.ticket.as_ref().or(approval.reason.as_ref()).cloned(),
        place: Some(sources.place(approval.span)),
        expires: Some(approval.expires.to_string()),
        changes: approval.changes.clone(),
        ..ApprovalReport::of(approval.axis, ApprovalOrigin::Policy)
    }
}

/// The pattern in a form that parses to itself.
fn written(pattern: &TagPattern) -> String {
    match pattern {
        TagPattern::Literal(literal) => pattern::escape(literal),
        TagPattern::Glob(glob) => glob.source().to_owned(),
    }
}

/// Adds a warning once; returns whether there was one.
fn warn(plan: &mut Plan, warning: Option<Warning>) -> bool {
    let Some(warning) = warning else { return false };
    if !plan.warnings.contains(&warning) {
        plan.warnings.push(warning);
    }
    true
}

/// Why an approval does not count today.
fn unusable(text: &str, place: Option<&Place>, expires: Date, today: Date) -> Option<Warning> {
    let at = place.map_or_else(String::new, |at| format!(" at {}:{}", at.file, at.line));
    let ahead = expires.days_since(today);
    if ahead < 0 {
        let message = format!("the approval {text}{at} expired on {expires} and no longer counts");
        return Some(Warning::new("W0604", message));
    }
    let message = || {
        format!(
            "the approval {text}{at} does not count: it expires on {expires}, more than {MOST_DAYS_AHEAD} days from now; \
             the last day that counts is {}",
            today.plus_days(MOST_DAYS_AHEAD)
        )
    };
    (ahead > MOST_DAYS_AHEAD).then(|| Warning::new("W0604", message()))
}
