//! Reads a plan file back into a [`Plan`]. A plan file is input: every reference, id and tag in it is checked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::seal::seal;
use super::tables::{Tables, checked_id};
use super::{
    AcceptedEntry, ChangeLine, DeviceEntry, Document, DocumentError, OUTSIDE_DIGEST, UnresolvedDeviceEntry,
    WithheldEntry, changes,
};
use crate::plan::GapReason;
use crate::plan::{
    Accepted, DeviceChange, GuardReport, Header, Measures, Plan, PlannedWaves, Unresolved, UnresolvedDevice,
    Withheld, WithheldReason, digest,
};
use crate::policy::Axis;
use crate::time::Date;

/// Only the version, which is read first because a later major may have any form.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    format_version: String,
}

/// The JSON reader's message without the names of our types.
fn in_words(message: &str) -> String {
    let mut text = message.replace("expected u64", "expected a whole number");
    if let Some(at) = text.find("struct ") {
        let name = text[at + 7..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        text.replace_range(at..at + 7 + name, "an object");
    }
    text
}

/// Reads a plan and proves its digest. A file lists only a sample of each withheld group, and no changes of the sample's devices.
///
/// # Errors
/// The text is not a plan of version 1.x, its digest is wrong, or its content contradicts itself.
pub fn read(json: &str) -> Result<Plan, DocumentError> {
    read_with_digest(json).map(|(plan, _)| plan)
}

/// Like [`read`], and returns the proven digest.
///
/// # Errors
/// As [`read`].
pub fn read_with_digest(json: &str) -> Result<(Plan, String), DocumentError> {
    let refused = |error: serde_json::Error| refusal(json).err().unwrap_or_else(|| form(&error));
    let document: Document<Vec<&RawValue>> = serde_json::from_str(json).map_err(refused)?;
    check_version(&document.format_version)?;
    let mut tables = Tables::default();
    let mut changes = Vec::with_capacity(document.changes.len());
    let mut waves = Vec::new();
    // Contradictions are reported only if the form and the digest are right.
    let mut content = tables.start(&document.rules, &document.causes);
    let actual = seal(&without_changes(json, &document.changes), |sha256| {
        changes::read(&document.changes, sha256, |documents| {
            waves.extend(documents.iter().map(|change| change.wave));
            if content.is_ok() {
                content = tables.changes(documents, &mut changes);
            }
        })
    })
    .map_err(refused)?;
    if document.digest != actual {
        return Err(DocumentError::Digest { found: document.digest, actual });
    }
    content?;
    let mut document = document;
    document.rollout = rollout(document.rollout.take(), &waves)?;
    Ok((plan(tables, document, changes)?, actual))
}

fn form(error: &serde_json::Error) -> DocumentError {
    DocumentError::Form(in_words(&error.to_string()))
}

fn check_version(version: &str) -> Result<(), DocumentError> {
    let is_first_major = version.split_once('.').is_some_and(|(major, minor)| {
        major == "1" && !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_first_major { Ok(()) } else { Err(DocumentError::Version(version.to_owned())) }
}

/// The first fault in the form of a text, with its line in the whole. Reading in pieces only shows that there is one.
fn refusal(json: &str) -> Result<(), DocumentError> {
    let versioned: Versioned = serde_json::from_str(json).map_err(|error| form(&error))?;
    check_version(&versioned.format_version)?;
    serde_json::from_str::<Document<Vec<ChangeLine<'_>>>>(json).map_err(|error| form(&error))?;
    digest::canonical(json, &OUTSIDE_DIGEST).map_err(|error| form(&error))?;
    Ok(())
}

/// The document with an empty list of changes.
fn without_changes<'a>(json: &'a str, changes: &[&RawValue]) -> Cow<'a, str> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return json.into() };
    // Raw values are slices of the text that they were read from.
    let place = |part: &str| part.as_ptr().addr() - json.as_ptr().addr();
    let (start, end) = (place(first.get()), place(last.get()) + last.get().len());
    [&json[..start], &json[end..]].concat().into()
}

/// The plan of a document. Its tables and changes are already read.
fn plan<Changes>(
    mut tables: Tables,
    document: Document<Changes>,
    changes: Vec<DeviceChange>,
) -> Result<Plan, DocumentError> {
    let unresolved = document.unresolved.iter().map(|entry| {
        Ok(Unresolved {
            rule: tables.rule(&entry.rule),
            template: entry.template.clone(),
            placeholder: entry.placeholder.clone(),
            reasons: entry.reasons.iter().map(counted_reason).collect::<Result<_, _>>()?,
            sample: entry.sample.clone(),
            devices: entry.devices.iter().map(unresolved_device).collect::<Result<_, _>>()?,
        })
    });
    let unresolved = unresolved.collect::<Result<Vec<_>, DocumentError>>()?;
    let groups = document.withheld.iter().chain(&document.pending);
    let groups = groups.map(withheld).collect::<Result<Vec<_>, _>>()?;
    let is_pending = |group: &Withheld| group.reason == WithheldReason::Pending;
    let (pending, withheld) = groups.into_iter().partition(is_pending);
    let measures = measures(&mut tables, &document);
    Ok(Plan {
        changes,
        withheld,
        pending,
        unresolved,
        unmatched: document.unmatched.clone(),
        groups: document.groups.clone(),
        base_groups: document.base_groups.clone(),
        last_devices: document.last_devices.clone(),
        families: document.families.clone(),
        rollout: document.rollout.clone(),
        warnings: document.warnings.clone(),
        measures,
        changes_digest: document.changes_digest.clone(),
        guard: document.guard.clone(),
        state: document.state.clone(),
        schedule: document.calls.clone(),
        ledger: document.ledger.clone(),
        header: header(document),
        tags: tables.tags,
        causes: tables.causes,
        rules: tables.rules,
    })
}

/// The waves and each device's wave. Every device must be in a listed wave, and the counts must be right.
fn rollout(
    listed: Option<PlannedWaves>,
    of_devices: &[Option<u32>],
) -> Result<Option<PlannedWaves>, DocumentError> {
    let Some(mut waves) = listed else { return Ok(None) };
    let contradiction = || DocumentError::Content("its waves are not those of its devices".to_owned());
    let of: Option<Vec<u32>> = of_devices.iter().copied().collect();
    waves.of = of.ok_or_else(contradiction)?;
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    waves.of.iter().for_each(|wave| *counts.entry(*wave).or_default() += 1);
    let is_same = counts.into_iter().eq(waves.waves.iter().map(|wave| (wave.wave, wave.devices)));
    let starts_at_one = waves.waves.first().is_some_and(|wave| wave.wave > 0);
    if is_same && starts_at_one { Ok(Some(waves)) } else { Err(contradiction()) }
}

/// The measures of the plan, taken from the guard's arithmetic.
fn measures<Changes>(tables: &mut Tables, document: &Document<Changes>) -> Measures {
    let guard: &GuardReport = &document.guard;
    let removals = guard.axes.iter().find(|axis| axis.axis == Axis::Removals);
    let per_tag = guard.axes.iter().filter_map(|axis| Some((axis.tag.clone()?, axis.base)));
    Measures {
        in_scope: document.inventory.in_scope,
        removable_pairs: removals.map_or(0, |axis| axis.base),
        watched: document.watched.iter().map(|tag| tables.tag(tag)).collect(),
        carriers: per_tag.map(|(tag, base)| (tables.tag(&tag), base)).collect(),
        invariants: guard.invariants.iter().map(|invariant| (invariant.before, invariant.after)).collect(),
        part_of: guard.part_of.clone(),
        past: None,
        baselines: Vec::new(),
        rivals: Vec::new(),
        changed_back: Vec::new(),
    }
}

fn header<Changes>(document: Document<Changes>) -> Header {
    Header {
        tool: document.tool,
        created_at: document.created_at,
        now: document.now,
        tenant: document.tenant,
        policy: document.policy,
        inventory: document.inventory,
        options: document.options,
        reverts: document.reverts,
        opposed: document.opposed,
    }
}

fn gap_reason(word: &str) -> Result<GapReason, DocumentError> {
    GapReason::parse(word)
        .ok_or_else(|| DocumentError::Content(format!("`{word}` is no reason for an unresolved tag")))
}

fn counted_reason((word, count): (&String, &u64)) -> Result<(GapReason, u64), DocumentError> {
    Ok((gap_reason(word)?, *count))
}

fn unresolved_device(entry: &UnresolvedDeviceEntry) -> Result<UnresolvedDevice, DocumentError> {
    let DeviceEntry { id, name } = entry.device.clone();
    Ok(UnresolvedDevice { id, name, reason: gap_reason(&entry.reason)? })
}

fn accepted(entry: &AcceptedEntry) -> Result<Accepted, DocumentError> {
    let until = Date::parse(&entry.until).map_err(DocumentError::Content)?;
    Ok(Accepted { changes: entry.changes, until })
}

fn withheld(document: &WithheldEntry) -> Result<Withheld, DocumentError> {
    let devices = document.sample.iter().map(|device| {
        Ok(DeviceChange {
            id: checked_id(device)?,
            name: device.name.clone(),
            observed_tags: Box::default(),
            observed_value: None,
            add: Vec::new(),
            remove: Vec::new(),
            value: None,
        })
    });
    Ok(Withheld {
        reason: document.reason,
        name: document.name.clone(),
        until: document.until,
        accepted: document.accepted.as_ref().map(accepted).transpose()?,
        additions: document.additions,
        removals: document.removals,
        values: document.values,
        device_count: document.devices,
        devices: devices.collect::<Result<_, DocumentError>>()?,
    })
}

#[cfg(test)]
mod tests;
