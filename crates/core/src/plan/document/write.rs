//! Writes a plan as its document. Changes stream from the plan, one line per device, without a copy.

use std::io::{self, Write};
use std::sync::Arc;

use super::seal::seal;
use super::{
    AcceptedEntry, CauseEntry, CauseKind, DeviceEntry, Document, FORMAT_VERSION, UnresolvedDeviceEntry,
    UnresolvedEntry, WithheldEntry, changes,
};
use crate::diagnostic::Place;
use crate::plan::{Cause, DeviceChange, Plan, Unresolved, UnresolvedDevice, Withheld};

/// Devices that a withheld group names.
const SAMPLE: usize = 3;

/// Writes the plan as JSON with a final line feed, and returns its digest. Streams, so memory does not grow with the plan. The
/// same plan gives the same bytes.
///
/// # Errors
/// Those of the writer.
pub fn write_to(plan: &Plan, out: &mut dyn Write) -> io::Result<String> {
    let digest = write_open(plan, false, out)?;
    out.write_all(b"\n}\n")?;
    Ok(digest)
}

/// Like [`write_to`] without the closing brace, so that keys outside the digest can follow. `is_drift` adds the class of drift to
/// each change.
///
/// # Errors
/// Those of the writer.
pub fn write_open(plan: &Plan, is_drift: bool, out: &mut dyn Write) -> io::Result<String> {
    let frame = serde_json::to_string_pretty(&document(plan))?;
    let lost = "a document has its list of changes, and quotes within texts are escaped";
    let (head, tail) = frame.split_once("\n  \"changes\": []").expect(lost);
    write!(out, "{head}\n  \"changes\": [")?;
    let digest = seal(&frame, |sha256| changes::write(plan, is_drift, sha256, out))?;
    out.write_all(if plan.changes.is_empty() { b"]" } else { b"\n  ]" })?;
    // The digest is the last key, and not part of its own input.
    let body = tail.strip_suffix("\"\"\n}").expect("a document ends with its digest, empty so far");
    write!(out, "{body}\"{digest}\"")?;
    Ok(digest)
}

fn device(change: &DeviceChange) -> DeviceEntry {
    DeviceEntry { id: change.id.clone(), name: change.name.clone() }
}

impl From<&Cause> for CauseKind {
    fn from(cause: &Cause) -> CauseKind {
        match cause {
            Cause::Rule(_) => CauseKind::Rule,
            Cause::Unselected { .. } => CauseKind::Unselected,
            Cause::Family { .. } => CauseKind::Family,
            Cause::Retired { .. } => CauseKind::Retired,
            Cause::Renamed { .. } => CauseKind::Renamed,
            Cause::Default { .. } => CauseKind::Default,
            Cause::Restored { .. } => CauseKind::Restored,
        }
    }
}

fn cause(plan: &Plan, cause: &Cause) -> CauseEntry {
    let mut document = CauseEntry {
        cause: CauseKind::from(cause),
        rules: Vec::new(),
        claim: None,
        family: None,
        to: None,
        run: None,
        place: None,
    };
    let mut stand = |at: &Place| document.place = Some(at.clone());
    match cause {
        Cause::Rule(rules) => {
            document.rules = rules.iter().map(|rule| plan.rules[*rule as usize].name.clone()).collect();
        }
        Cause::Unselected { claim, place } => {
            stand(place);
            document.claim = Some(claim.clone());
        }
        Cause::Family { family, place } => {
            stand(place);
            document.family = Some(family.clone());
        }
        Cause::Retired { place } => stand(place),
        Cause::Renamed { to, place } => {
            stand(place);
            document.to = Some(Arc::clone(to));
        }
        Cause::Default { place } => stand(place),
        Cause::Restored { run } => document.run = Some(Arc::clone(run)),
    }
    document
}

fn document(plan: &Plan) -> Document {
    let header = plan.header.clone();
    Document {
        format_version: FORMAT_VERSION.to_owned(),
        tool: header.tool,
        created_at: header.created_at,
        now: header.now,
        tenant: header.tenant,
        policy: header.policy,
        inventory: header.inventory,
        options: header.options,
        reverts: header.reverts,
        opposed: header.opposed,
        rules: plan.rules.clone(),
        causes: plan.causes.iter().map(|named| cause(plan, named)).collect(),
        changes: Vec::new(),
        summary: plan.totals(),
        calls: plan.schedule.clone(),
        changes_digest: plan.changes_digest.clone(),
        guard: plan.guard.clone(),
        state: plan.state.clone(),
        withheld: plan.withheld.iter().chain(&plan.pending).map(withheld).collect(),
        pending: Vec::new(),
        unresolved: plan.unresolved.iter().map(|entry| unresolved(plan, entry)).collect(),
        unmatched: plan.unmatched.clone(),
        groups: plan.groups.clone(),
        base_groups: plan.base_groups.clone(),
        last_devices: plan.last_devices.clone(),
        families: plan.families.clone(),
        watched: plan.measures.watched.iter().map(|tag| plan.tag(*tag).clone()).collect(),
        rollout: plan.rollout.clone(),
        warnings: plan.warnings.clone(),
        ledger: plan.ledger.clone(),
        digest: String::new(),
    }
}

/// A group of changes that are not done.
pub(crate) fn withheld(group: &Withheld) -> WithheldEntry {
    WithheldEntry {
        reason: group.reason,
        name: group.name.clone(),
        until: group.until,
        accepted: group
            .accepted
            .map(|accepted| AcceptedEntry { changes: accepted.changes, until: accepted.until.to_string() }),
        additions: group.additions,
        removals: group.removals,
        values: group.values,
        devices: group.device_count,
        sample: group.devices.iter().take(SAMPLE).map(device).collect(),
    }
}

fn unresolved_device(device: &UnresolvedDevice) -> UnresolvedDeviceEntry {
    UnresolvedDeviceEntry {
        device: DeviceEntry { id: device.id.clone(), name: device.name.clone() },
        reason: device.reason.word().to_owned(),
    }
}

fn unresolved(plan: &Plan, entry: &Unresolved) -> UnresolvedEntry {
    UnresolvedEntry {
        rule: plan.rules[entry.rule as usize].name.clone(),
        template: entry.template.clone(),
        placeholder: entry.placeholder.clone(),
        reasons: entry.reasons.iter().map(|(reason, count)| (reason.word().to_owned(), *count)).collect(),
        sample: entry.sample.clone(),
        devices: entry.devices.iter().map(unresolved_device).collect(),
    }
}
