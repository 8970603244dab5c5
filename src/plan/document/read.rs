//! Reads a plan file back into a [`Plan`]. A plan file is input: every reference, id and tag in it is checked.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use super::{
    AxisDocument, CauseDocument, CauseWord, ChangeDocument, DeviceDocument, Document, GuardDocument,
    OUTSIDE_DIGEST, PlaceDocument, TagCaseWord, TagChangeDocument, ValueRouteWord, WithheldDocument,
};
use crate::device;
use crate::diagnostic::Place;
use crate::plan::{
    AxisReport, Cause, CauseIndex, DeviceChange, FileReference, GuardReport, Header, InvariantReport,
    InventoryReference, Lane, LaneCost, LaneLeft, Ledger, Measures, Options, Plan, PolicyReference,
    RuleReference, Schedule, TagCase, TagChange, TagIndex, TenantReference, Unmatched, Unresolved,
    ValueChange, ValueRoute, Warning, Withheld, WithheldReason, digest,
};
use crate::policy::Axis;
use crate::tag;

/// Why a text is no plan that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not of the form of a plan.
    #[error("this is no plan file: {0}")]
    Form(String),
    /// Another major version.
    #[error("the plan has the format version {0}; this version of mdetag reads 1.x")]
    Version(String),
    /// The digest is not that of the content.
    #[error("the plan was changed after it was written: its digest is {found}, its content has {actual}")]
    Digest {
        /// As written.
        found: String,
        /// As computed.
        actual: String,
    },
    /// Something in it cannot be.
    #[error("the plan contradicts itself: {0}")]
    Content(String),
}

/// Only the version, read first: a later major may have any form.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    format_version: String,
}

/// What the JSON reader says, without the names of our types.
fn in_words(message: &str) -> String {
    let mut text = message.replace("expected u64", "expected a whole number");
    if let Some(at) = text.find("struct ") {
        let name = text[at + 7..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        text.replace_range(at..at + 7 + name, "an object");
    }
    text
}

/// Reads a plan and proves its digest. Of withheld groups only the sample is in a file; a device of the sample has no
/// changes listed.
///
/// # Errors
/// Where the text is no plan of version 1.x, its digest is wrong, or its content contradicts itself.
pub fn read(json: &str) -> Result<Plan, DocumentError> {
    let form = |error: serde_json::Error| DocumentError::Form(in_words(&error.to_string()));
    let version = serde_json::from_str::<Versioned>(json).map_err(form)?.format_version;
    let is_first_major = version.split_once('.').is_some_and(|(major, minor)| {
        major == "1" && !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !is_first_major {
        return Err(DocumentError::Version(version));
    }
    let document: Document = serde_json::from_str(json).map_err(form)?;
    let canonical = digest::canonical(json, &OUTSIDE_DIGEST).map_err(form)?;
    let actual = digest::sha256(canonical.as_bytes());
    if document.digest != actual {
        return Err(DocumentError::Digest { found: document.digest, actual });
    }
    Reader::default().read(document)
}

/// Tables that grow while a document is read.
#[derive(Default)]
struct Reader {
    tags: Vec<Arc<str>>,
    tag_numbers: HashMap<Arc<str>, TagIndex>,
    causes: Vec<Cause>,
    cause_numbers: HashMap<Cause, CauseIndex>,
    listed: usize,
    rules: Vec<RuleReference>,
    rule_numbers: HashMap<String, u32>,
}

impl Reader {
    fn read(mut self, document: Document) -> Result<Plan, DocumentError> {
        for rule in &document.rules {
            let reference = RuleReference {
                name: rule.name.clone(),
                place: place(&rule.place),
                priority: rule.priority,
                description: rule.description.clone(),
                owner: rule.owner.clone(),
                ticket: rule.ticket.clone(),
            };
            let number = self.rules.len() as u32;
            if self.rule_numbers.insert(rule.name.clone(), number).is_some() {
                return Err(DocumentError::Content(format!("the rule `{}` is listed twice", rule.name)));
            }
            self.rules.push(reference);
        }
        for cause in &document.causes {
            let cause = self.cause(cause)?;
            self.causes.push(cause);
        }
        self.listed = self.causes.len();
        let changes = self.changes(&document.changes)?;
        let unresolved = document.unresolved.iter().map(|entry| {
            Ok(Unresolved {
                rule: self.rule(&entry.rule),
                template: entry.template.clone(),
                missing: entry.missing,
                placeholders: entry.placeholders.clone(),
                unusable: entry.unusable,
                sample: entry.sample.clone(),
            })
        });
        let unresolved = unresolved.collect::<Result<Vec<_>, DocumentError>>()?;
        let pending = document.pending.iter().map(withheld).collect::<Result<Vec<_>, _>>()?;
        let withheld = document.withheld.iter().map(withheld).collect::<Result<Vec<_>, _>>()?;
        let guard = guard(&document.guard)?;
        let measures = self.measures(document.inventory.in_scope, &guard);
        let schedule = schedule(&document)?;
        let ledger = ledger(&document)?;
        let unmatched = document.unmatched.iter().map(|entry| Unmatched {
            source: entry.source.clone(),
            is_lookup: entry.is_lookup,
            count: entry.count,
            sample: entry.sample.clone(),
        });
        let warnings = document
            .warnings
            .iter()
            .map(|warning| Warning { code: warning.code.clone().into(), message: warning.message.clone() });
        Ok(Plan {
            changes,
            withheld,
            pending,
            unresolved,
            unmatched: unmatched.collect(),
            warnings: warnings.collect(),
            measures,
            guard,
            schedule,
            ledger,
            header: header(document)?,
            tags: self.tags,
            causes: self.causes,
            rules: self.rules,
        })
    }

    fn changes(&mut self, documents: &[ChangeDocument]) -> Result<Vec<DeviceChange>, DocumentError> {
        let mut changes: Vec<DeviceChange> = Vec::with_capacity(documents.len());
        for document in documents {
            let change = self.change(document)?;
            if changes.last().is_some_and(|last| last.id >= change.id) {
                let message = format!("device `{}` is out of order or listed twice", change.id);
                return Err(DocumentError::Content(message));
            }
            changes.push(change);
        }
        Ok(changes)
    }

    fn change(&mut self, document: &ChangeDocument) -> Result<DeviceChange, DocumentError> {
        let id = checked_id(&document.device)?;
        let observed_tags = document.observed.tags.iter().map(|tag| self.tag(tag)).collect();
        let add = self.tag_changes(&id, &document.add)?;
        let remove = self.tag_changes(&id, &document.remove)?;
        if let Some((tag, fault)) =
            document.add.iter().find_map(|add| Some((&add.tag, tag::check(&add.tag).err()?)))
        {
            return Err(DocumentError::Content(format!("`{tag}` cannot be added to device `{id}`: {fault}")));
        }
        let added: HashSet<TagIndex> = add.iter().map(|change| change.tag).collect();
        if let Some(both) = remove.iter().find(|change| added.contains(&change.tag)) {
            let tag = &self.tags[both.tag.0 as usize];
            return Err(DocumentError::Content(format!(
                "tag `{tag}` is both added to and removed from device `{id}`"
            )));
        }
        let value = match &document.device_value {
            None => None,
            Some(value) => {
                let named = CauseDocument {
                    cause: value.cause,
                    rules: value.rules.clone(),
                    claim: None,
                    family: None,
                    to: None,
                    place: None,
                };
                Some(ValueChange { to: value.to, cause: self.why(value.why, &named)? })
            }
        };
        Ok(DeviceChange {
            id,
            name: document.device.name.clone(),
            observed_tags,
            observed_value: document.observed.device_value.clone(),
            add,
            remove,
            value,
        })
    }

    fn tag_changes(
        &mut self,
        id: &str,
        documents: &[TagChangeDocument],
    ) -> Result<Vec<TagChange>, DocumentError> {
        let mut changes: Vec<TagChange> = Vec::with_capacity(documents.len());
        let mut last: Option<&Arc<str>> = None;
        for document in documents {
            if last.is_some_and(|last| *last >= document.tag) {
                let message =
                    format!("tag `{}` of device `{id}` is out of order or listed twice", document.tag);
                return Err(DocumentError::Content(message));
            }
            last = Some(&document.tag);
            let named = CauseDocument {
                cause: document.cause,
                rules: document.rules.clone(),
                claim: None,
                family: document.family.clone(),
                // An added tag is its own new name.
                to: document.to.clone().or_else(|| Some(document.tag.clone())),
                place: None,
            };
            changes.push(TagChange { tag: self.tag(&document.tag), cause: self.why(document.why, &named)? });
        }
        Ok(changes)
    }

    /// The cause of a change: the listed one that it points to, or one made from the words beside it.
    fn why(&mut self, why: Option<u32>, named: &CauseDocument) -> Result<CauseIndex, DocumentError> {
        if let Some(index) = why {
            let listed = self.causes.get(index as usize).filter(|_| (index as usize) < self.listed);
            let word = serde_json::to_value(named.cause).ok();
            let agrees = |cause: &&Cause| word.as_ref().and_then(|word| word.as_str()) == Some(cause.word());
            let listed = listed.filter(agrees);
            return listed.map(|_| CauseIndex(index)).ok_or_else(|| {
                DocumentError::Content(format!("a change points to cause {index}, which is not what it says"))
            });
        }
        let cause = self.cause(named)?;
        let next = CauseIndex(self.causes.len() as u32);
        let index = *self.cause_numbers.entry(cause.clone()).or_insert(next);
        if index == next {
            self.causes.push(cause);
        }
        Ok(index)
    }

    fn cause(&mut self, document: &CauseDocument) -> Result<Cause, DocumentError> {
        let place = document.place.as_ref().map_or_else(nowhere, place);
        Ok(match document.cause {
            CauseWord::Rule => {
                if document.rules.is_empty() {
                    return Err(DocumentError::Content(
                        "a change with the cause `rule` names no rule".to_owned(),
                    ));
                }
                let mut rules: Vec<u32> = document.rules.iter().map(|rule| self.rule(rule)).collect();
                rules.sort_unstable();
                rules.dedup();
                Cause::Rule(rules)
            }
            CauseWord::Unselected => {
                Cause::Unselected { claim: document.claim.clone().unwrap_or_default(), place }
            }
            CauseWord::Family => Cause::Family { family: document.family.clone().unwrap_or_default(), place },
            CauseWord::Retired => Cause::Retired { place },
            CauseWord::Renamed => {
                let to = document.to.clone();
                let to =
                    to.ok_or_else(|| DocumentError::Content("a renamed tag has no new name".to_owned()))?;
                Cause::Renamed { to, place }
            }
            CauseWord::Default => Cause::Default { place },
        })
    }

    /// The number of a rule; one that the file does not list is taken in without a place.
    fn rule(&mut self, name: &str) -> u32 {
        if let Some(number) = self.rule_numbers.get(name) {
            return *number;
        }
        let number = self.rules.len() as u32;
        self.rules.push(RuleReference {
            name: name.to_owned(),
            place: nowhere(),
            priority: 0,
            description: None,
            owner: None,
            ticket: None,
        });
        self.rule_numbers.insert(name.to_owned(), number);
        number
    }

    fn tag(&mut self, tag: &Arc<str>) -> TagIndex {
        let next = TagIndex(self.tags.len() as u32);
        let index = *self.tag_numbers.entry(tag.clone()).or_insert(next);
        if index == next {
            self.tags.push(tag.clone());
        }
        index
    }

    /// The guard's arithmetic holds what the plan was measured against.
    fn measures(&mut self, in_scope: u64, guard: &GuardReport) -> Measures {
        let removals = guard.axes.iter().find(|axis| axis.axis == Axis::Removals);
        let per_tag = guard.axes.iter().filter_map(|axis| Some((axis.tag.clone()?, axis.base)));
        Measures {
            in_scope,
            removable_pairs: removals.map_or(0, |axis| axis.base),
            carriers: per_tag.map(|(tag, base)| (self.tag(&tag), base)).collect(),
            invariants: guard
                .invariants
                .iter()
                .map(|invariant| (invariant.before, invariant.after))
                .collect(),
        }
    }
}

/// The place of something that a file gives no place for.
fn nowhere() -> Place {
    Place { file: "".into(), line: 0, column: 0, end_line: 0, end_column: 0 }
}

fn place(document: &PlaceDocument) -> Place {
    Place {
        file: document.file.clone(),
        line: document.line,
        column: document.column,
        end_line: document.end_line,
        end_column: document.end_column,
    }
}

fn checked_id(document: &DeviceDocument) -> Result<Arc<str>, DocumentError> {
    if device::is_id(&document.id) {
        return Ok(document.id.clone());
    }
    Err(DocumentError::Content(format!("`{}` is no device id", document.id)))
}

fn header(document: Document) -> Result<Header, DocumentError> {
    let inventory = document.inventory;
    if inventory.trusted != inventory.reasons.is_empty() {
        return Err(DocumentError::Content(
            "`inventory.trusted` and `inventory.reasons` disagree".to_owned(),
        ));
    }
    let files = document.policy.files.into_iter();
    Ok(Header {
        tool: document.tool,
        created_at: document.created_at,
        now: document.now,
        tenant: TenantReference {
            id: document.tenant.id,
            name: document.tenant.name,
            cloud: document.tenant.cloud,
        },
        policy: PolicyReference {
            digest: document.policy.digest,
            files: files.map(|file| FileReference { path: file.path, digest: file.digest }).collect(),
            commit: document.policy.commit,
            arguments: document.policy.arguments,
        },
        inventory: InventoryReference {
            digest: inventory.digest,
            devices: inventory.devices,
            in_scope: inventory.in_scope,
            reasons: inventory.reasons,
        },
        options: Options {
            tag_case: match document.options.tag_case {
                TagCaseWord::Exact => TagCase::Exact,
                TagCaseWord::Insensitive => TagCase::Insensitive,
            },
            values: match document.options.values {
                ValueRouteWord::SetDeviceValue => ValueRoute::SetDeviceValue,
                ValueRouteWord::Both => ValueRoute::Both,
            },
            combine: document.options.combine,
        },
        reverts: document.reverts.clone(),
    })
}

fn lane(name: &str) -> Result<Lane, DocumentError> {
    Lane::parse(name).ok_or_else(|| DocumentError::Content(format!("`{name}` is no lane")))
}

fn schedule(document: &Document) -> Result<Schedule, DocumentError> {
    let calls = &document.calls;
    let lanes = calls
        .lanes
        .iter()
        .map(|cost| Ok(LaneCost { lane: lane(&cost.lane)?, calls: cost.calls, minimum: cost.minimum }));
    Ok(Schedule {
        lanes: lanes.collect::<Result<_, DocumentError>>()?,
        total: calls.total,
        minimum: calls.minimum,
        uncombined: calls.uncombined,
        seconds: calls.seconds,
    })
}

fn ledger(document: &Document) -> Result<Option<Ledger>, DocumentError> {
    let Some(ledger) = &document.ledger else { return Ok(None) };
    let lanes = ledger
        .lanes
        .iter()
        .map(|left| Ok(LaneLeft { lane: lane(&left.lane)?, left: left.left, of: left.of }));
    Ok(Some(Ledger { seconds: ledger.seconds, lanes: lanes.collect::<Result<_, DocumentError>>()? }))
}

fn guard(document: &GuardDocument) -> Result<GuardReport, DocumentError> {
    let axes = document.axes.iter().map(axis).collect::<Result<_, _>>()?;
    let invariants = document.invariants.iter().map(|invariant| InvariantReport {
        name: invariant.name.clone(),
        demand: invariant.demand.clone(),
        before: invariant.before,
        after: invariant.after,
        refuses: invariant.refuses,
        place: place(&invariant.place),
    });
    Ok(GuardReport {
        refused: document.refused,
        approvals: document.approvals.clone(),
        axes,
        invariants: invariants.collect(),
    })
}

fn axis(document: &AxisDocument) -> Result<AxisReport, DocumentError> {
    let axis = Axis::parse(&document.axis);
    let axis = axis.ok_or_else(|| DocumentError::Content(format!("`{}` is no cap", document.axis)))?;
    Ok(AxisReport {
        axis,
        tag: document.tag.clone(),
        planned: document.planned,
        allowed: document.allowed,
        base: document.base,
        percent: document.percent.clone(),
        floor: document.floor,
        place: document.place.as_ref().map(place),
    })
}

fn withheld(document: &WithheldDocument) -> Result<Withheld, DocumentError> {
    let reason = WithheldReason::parse(&document.reason);
    let reason = reason
        .ok_or_else(|| DocumentError::Content(format!("`{}` is no reason to withhold", document.reason)))?;
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
        reason,
        name: document.name.clone(),
        additions: document.additions,
        removals: document.removals,
        values: document.values,
        device_count: document.devices,
        devices: devices.collect::<Result<_, DocumentError>>()?,
    })
}

#[cfg(test)]
mod tests;
