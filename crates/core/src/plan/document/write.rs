//! Writes a plan as its document. Changes stream from the plan, a line a device: no copy of them is built.

use std::io::{self, Write};
use std::sync::Arc;

use super::seal::seal;
use super::{
    AxisDocument, CallsDocument, CauseDocument, CauseWord, DeviceDocument, Document, FORMAT_VERSION,
    FileDocument, GuardDocument, InvariantDocument, InventoryDocument, LaneDocument, LaneLeftDocument,
    LedgerDocument, OptionsDocument, PlaceDocument, PolicyDocument, RuleDocument, SummaryDocument,
    TagCaseWord, TenantDocument, UnmatchedDocument, UnresolvedDocument, ValueRouteWord, WarningDocument,
    WithheldDocument, changes,
};
use crate::diagnostic::Place;
use crate::plan::{Cause, DeviceChange, GuardReport, Header, Plan, Schedule, TagCase, ValueRoute, Withheld};

/// Devices that a withheld group names.
const SAMPLE: usize = 3;

/// The plan as JSON, with its digest, ending in a line feed. The same plan gives the same text.
pub fn write(plan: &Plan) -> String {
    let mut text = Vec::new();
    write_to(plan, &mut text).expect("memory takes any text");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// As [`write()`], piece by piece: memory does not grow with the plan. The plan's digest.
///
/// # Errors
/// Those of the writer.
pub fn write_to(plan: &Plan, out: &mut dyn Write) -> io::Result<String> {
    let digest = write_open(plan, false, out)?;
    out.write_all(b"\n}\n")?;
    Ok(digest)
}

/// As [`write_to`] without the closing brace, so that keys can follow that stand outside the digest. `is_drift` adds the
/// class of drift to each change.
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
    // The digest is the last key, and it is not in itself.
    let body = tail.strip_suffix("\"\"\n}").expect("a document ends with its digest, empty so far");
    write!(out, "{body}\"{digest}\"")?;
    Ok(digest)
}

fn device(change: &DeviceChange) -> DeviceDocument {
    DeviceDocument { id: change.id.clone(), name: change.name.clone() }
}

impl From<&Cause> for CauseWord {
    fn from(cause: &Cause) -> CauseWord {
        match cause {
            Cause::Rule(_) => CauseWord::Rule,
            Cause::Unselected { .. } => CauseWord::Unselected,
            Cause::Family { .. } => CauseWord::Family,
            Cause::Retired { .. } => CauseWord::Retired,
            Cause::Renamed { .. } => CauseWord::Renamed,
            Cause::Default { .. } => CauseWord::Default,
        }
    }
}

fn cause(plan: &Plan, cause: &Cause) -> CauseDocument {
    let mut document = CauseDocument {
        cause: CauseWord::from(cause),
        rules: Vec::new(),
        claim: None,
        family: None,
        to: None,
        place: None,
    };
    let mut stand = |at: &Place| document.place = Some(place(at));
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
    }
    document
}

fn place(place: &Place) -> PlaceDocument {
    PlaceDocument::from(place)
}

impl From<&Place> for PlaceDocument {
    fn from(place: &Place) -> PlaceDocument {
        PlaceDocument {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            end_line: place.end_line,
            end_column: place.end_column,
        }
    }
}

/// Everything but the changes.
fn document(plan: &Plan) -> Document {
    let Header { tool, created_at, now, tenant, policy, inventory, options, reverts } = &plan.header;
    let (additions, removals, values) = plan.counts();
    let files = policy.files.iter();
    Document {
        format_version: FORMAT_VERSION.to_owned(),
        tool: tool.clone(),
        created_at: *created_at,
        now: *now,
        tenant: TenantDocument {
            id: tenant.id.clone(),
            name: tenant.name.clone(),
            cloud: tenant.cloud.clone(),
        },
        policy: PolicyDocument {
            digest: policy.digest.clone(),
            files: files
                .map(|file| FileDocument { path: file.path.clone(), digest: file.digest.clone() })
                .collect(),
            commit: policy.commit.clone(),
            arguments: policy.arguments.clone(),
        },
        inventory: InventoryDocument {
            digest: inventory.digest.clone(),
            devices: inventory.devices,
            in_scope: inventory.in_scope,
            trusted: inventory.reasons.is_empty(),
            reasons: inventory.reasons.clone(),
        },
        options: OptionsDocument {
            tag_case: match options.tag_case {
                TagCase::Exact => TagCaseWord::Exact,
                TagCase::Insensitive => TagCaseWord::Insensitive,
            },
            values: match options.values {
                ValueRoute::SetDeviceValue => ValueRouteWord::SetDeviceValue,
                ValueRoute::Both => ValueRouteWord::Both,
            },
            combine: options.combine,
        },
        reverts: reverts.clone(),
        rules: rules(plan),
        causes: plan.causes.iter().map(|named| cause(plan, named)).collect(),
        changes: Vec::new(),
        summary: SummaryDocument { devices: plan.changes.len() as u64, additions, removals, values },
        calls: calls(&plan.schedule),
        guard: guard(&plan.guard),
        withheld: plan.withheld.iter().map(withheld).collect(),
        pending: plan.pending.iter().map(withheld).collect(),
        unresolved: unresolved(plan),
        unmatched: unmatched(plan),
        warnings: plan
            .warnings
            .iter()
            .map(|warning| WarningDocument {
                code: warning.code.to_string(),
                message: warning.message.clone(),
            })
            .collect(),
        ledger: ledger(plan),
        digest: String::new(),
    }
}

fn rules(plan: &Plan) -> Vec<RuleDocument> {
    let rules = plan.rules.iter();
    rules
        .map(|rule| RuleDocument {
            name: rule.name.clone(),
            place: place(&rule.place),
            priority: rule.priority,
            description: rule.description.clone(),
            owner: rule.owner.clone(),
            ticket: rule.ticket.clone(),
        })
        .collect()
}

fn calls(schedule: &Schedule) -> CallsDocument {
    let lanes = schedule.lanes.iter().map(|cost| LaneDocument {
        lane: cost.lane.name().to_owned(),
        calls: cost.calls,
        minimum: cost.minimum,
    });
    CallsDocument {
        lanes: lanes.collect(),
        total: schedule.total,
        minimum: schedule.minimum,
        uncombined: schedule.uncombined,
        seconds: schedule.seconds,
    }
}

fn guard(report: &GuardReport) -> GuardDocument {
    let axes = report.axes.iter().map(|axis| AxisDocument {
        axis: axis.axis.name().to_owned(),
        tag: axis.tag.clone(),
        planned: axis.planned,
        allowed: axis.allowed,
        base: axis.base,
        percent: axis.percent.clone(),
        floor: axis.floor,
        place: axis.place.as_ref().map(place),
    });
    let invariants = report.invariants.iter().map(|invariant| InvariantDocument {
        name: invariant.name.clone(),
        demand: invariant.demand.clone(),
        before: invariant.before,
        after: invariant.after,
        refuses: invariant.refuses,
        place: place(&invariant.place),
    });
    GuardDocument {
        refused: report.refused,
        approvals: report.approvals.clone(),
        axes: axes.collect(),
        invariants: invariants.collect(),
    }
}

fn withheld(group: &Withheld) -> WithheldDocument {
    WithheldDocument {
        reason: group.reason.word().to_owned(),
        name: group.name.clone(),
        additions: group.additions,
        removals: group.removals,
        values: group.values,
        devices: group.device_count,
        sample: group.devices.iter().take(SAMPLE).map(device).collect(),
    }
}

fn unresolved(plan: &Plan) -> Vec<UnresolvedDocument> {
    let entries = plan.unresolved.iter();
    entries
        .map(|entry| UnresolvedDocument {
            rule: plan.rules[entry.rule as usize].name.clone(),
            template: entry.template.clone(),
            missing: entry.missing,
            placeholders: entry.placeholders.clone(),
            unusable: entry.unusable,
            sample: entry.sample.clone(),
        })
        .collect()
}

fn unmatched(plan: &Plan) -> Vec<UnmatchedDocument> {
    let entries = plan.unmatched.iter();
    entries
        .map(|entry| UnmatchedDocument {
            source: entry.source.clone(),
            is_lookup: entry.is_lookup,
            count: entry.count,
            sample: entry.sample.clone(),
        })
        .collect()
}

fn ledger(plan: &Plan) -> Option<LedgerDocument> {
    let ledger = plan.ledger.as_ref()?;
    let lanes = ledger.lanes.iter().map(|lane| LaneLeftDocument {
        lane: lane.lane.name().to_owned(),
        left: lane.left,
        of: lane.of,
    });
    Some(LedgerDocument { seconds: ledger.seconds, lanes: lanes.collect() })
}
