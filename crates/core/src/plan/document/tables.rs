//! The tables that changes refer to while a document is read: tags, causes and rules, each once.
//!
//! A plan file is input: checks every reference, id and tag of a change. Reads no JSON.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::{CauseEntry, CauseKind, ChangeLine, DeviceEntry, DocumentError, TagChangeLine, Text};
use crate::device;
use crate::diagnostic::Place;
use crate::plan::{Cause, CauseIndex, DeviceChange, RuleReference, TagChange, TagIndex, ValueChange};
use crate::tag;

/// Tables that grow while a document is read.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) tags: Vec<Arc<str>>,
    tag_numbers: HashMap<Arc<str>, TagIndex>,
    /// By [`TagIndex`]: whether the tag was checked and can be added.
    can_be_added: Vec<bool>,
    pub(super) causes: Vec<Cause>,
    cause_numbers: HashMap<Cause, CauseIndex>,
    listed: usize,
    pub(super) rules: Vec<RuleReference>,
    rule_numbers: HashMap<String, u32>,
}

impl Tables {
    /// Adds the rules and causes that changes refer to.
    ///
    /// # Errors
    /// A rule that is listed twice, and an impossible cause.
    pub(super) fn start(
        &mut self,
        rules: &[RuleReference],
        causes: &[CauseEntry],
    ) -> Result<(), DocumentError> {
        for rule in rules {
            let number = self.rules.len() as u32;
            if self.rule_numbers.insert(rule.name.clone(), number).is_some() {
                return Err(DocumentError::Content(format!("the rule `{}` is listed twice", rule.name)));
            }
            self.rules.push(rule.clone());
        }
        for cause in causes {
            let cause = self.cause(cause)?;
            self.causes.push(cause);
        }
        self.listed = self.causes.len();
        Ok(())
    }

    /// Adds changes, in their order.
    ///
    /// # Errors
    /// The first that contradicts itself, the tables or the order.
    pub(super) fn changes(
        &mut self,
        documents: &[ChangeLine<'_>],
        changes: &mut Vec<DeviceChange>,
    ) -> Result<(), DocumentError> {
        for document in documents {
            let change = self.change(document)?;
            if changes.last().is_some_and(|last| last.id >= change.id) {
                let message = format!("device `{}` is out of order or listed twice", change.id);
                return Err(DocumentError::Content(message));
            }
            changes.push(change);
        }
        Ok(())
    }

    fn change(&mut self, document: &ChangeLine<'_>) -> Result<DeviceChange, DocumentError> {
        let id = checked_id(&document.device)?;
        let observed_tags = document.observed.tags.iter().map(|tag| self.tag(&tag.0)).collect();
        let add = self.tag_changes(&id, &document.add)?;
        let remove = self.tag_changes(&id, &document.remove)?;
        for add in &add {
            self.check_added(&id, add.tag)?;
        }
        let added: HashSet<TagIndex> = match remove[..] {
            [] => HashSet::new(),
            _ => add.iter().map(|change| change.tag).collect(),
        };
        if let Some(both) = remove.iter().find(|change| added.contains(&change.tag)) {
            let tag = &self.tags[both.tag.0 as usize];
            return Err(DocumentError::Content(format!(
                "tag `{tag}` is both added to and removed from device `{id}`"
            )));
        }
        let value = match &document.device_value {
            None => None,
            Some(value) => {
                let named = || named(value.cause, &value.rules);
                let cause = self.why(value.why, value.cause, named)?;
                Some(ValueChange { to: value.to, cause })
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
        documents: &[TagChangeLine<'_>],
    ) -> Result<Vec<TagChange>, DocumentError> {
        let mut changes: Vec<TagChange> = Vec::with_capacity(documents.len());
        let mut last: Option<&str> = None;
        for document in documents {
            let text = &*document.tag.0;
            if last.replace(text).is_some_and(|last| last >= text) {
                let message = format!("tag `{text}` of device `{id}` is out of order or listed twice");
                return Err(DocumentError::Content(message));
            }
            let named = || CauseEntry {
                family: document.family.as_ref().map(|family| family.0.clone().into()),
                // An added tag is its own new name.
                to: Some(document.to.as_ref().map_or(text, |to| &to.0).into()),
                run: document.run.as_ref().map(|run| (*run.0).into()),
                ..named(document.cause, &document.rules)
            };
            let cause = self.why(document.why, document.cause, named)?;
            changes.push(TagChange { tag: self.tag(text), cause });
        }
        Ok(changes)
    }

    fn check_added(&mut self, id: &str, tag: TagIndex) -> Result<(), DocumentError> {
        self.can_be_added.resize(self.tags.len(), false);
        let (is_known, text) = (&mut self.can_be_added[tag.0 as usize], &self.tags[tag.0 as usize]);
        if !*is_known && let Err(fault) = tag::check(text) {
            let message = format!("`{text}` cannot be added to device `{id}`: {fault}");
            return Err(DocumentError::Content(message));
        }
        *is_known = true;
        Ok(())
    }

    /// The cause of a change: the listed one that its `why` refers to, or one made from the words beside it.
    fn why(
        &mut self,
        why: Option<u32>,
        word: CauseKind,
        named: impl FnOnce() -> CauseEntry,
    ) -> Result<CauseIndex, DocumentError> {
        if let Some(index) = why {
            let listed = self.causes[..self.listed].get(index as usize);
            let listed = listed.filter(|cause| CauseKind::from(*cause) == word);
            return listed.map(|_| CauseIndex(index)).ok_or_else(|| {
                DocumentError::Content(format!("a change points to cause {index}, which is not what it says"))
            });
        }
        let cause = self.cause(&named())?;
        let next = CauseIndex(self.causes.len() as u32);
        let index = *self.cause_numbers.entry(cause.clone()).or_insert(next);
        if index == next {
            self.causes.push(cause);
        }
        Ok(index)
    }

    fn cause(&mut self, document: &CauseEntry) -> Result<Cause, DocumentError> {
        let place = document.place.clone().unwrap_or_else(nowhere);
        Ok(match document.cause {
            CauseKind::Rule => {
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
            CauseKind::Unselected => {
                Cause::Unselected { claim: document.claim.clone().unwrap_or_default(), place }
            }
            CauseKind::Family => Cause::Family { family: document.family.clone().unwrap_or_default(), place },
            CauseKind::Retired => Cause::Retired { place },
            CauseKind::Renamed => {
                let to = document.to.clone();
                let to =
                    to.ok_or_else(|| DocumentError::Content("a renamed tag has no new name".to_owned()))?;
                Cause::Renamed { to, place }
            }
            CauseKind::Default => Cause::Default { place },
            CauseKind::Restored => {
                let run = document.run.clone();
                let run = run.ok_or_else(|| {
                    DocumentError::Content("a restored tag names no run that lost it".to_owned())
                })?;
                Cause::Restored { run }
            }
        })
    }

    /// The number of a rule. A rule that the file does not list is added without a place.
    pub(super) fn rule(&mut self, name: &str) -> u32 {
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

    /// The number of a tag.
    pub(super) fn tag(&mut self, tag: &str) -> TagIndex {
        if let Some(index) = self.tag_numbers.get(tag) {
            return *index;
        }
        let (tag, index): (Arc<str>, _) = (tag.into(), TagIndex(self.tags.len() as u32));
        self.tags.push(tag.clone());
        self.tag_numbers.insert(tag, index);
        index
    }
}

/// The cause that the words beside a change name.
fn named(cause: CauseKind, rules: &[Text<'_>]) -> CauseEntry {
    let rules = rules.iter().map(|rule| rule.0.clone().into()).collect();
    CauseEntry { cause, rules, claim: None, family: None, to: None, run: None, place: None }
}

/// The place of something that has none in the file.
fn nowhere() -> Place {
    Place { file: "".into(), line: 0, column: 0, end_line: 0, end_column: 0 }
}

pub(super) fn checked_id(document: &DeviceEntry) -> Result<Arc<str>, DocumentError> {
    if device::is_id(&document.id) {
        return Ok(document.id.clone());
    }
    Err(DocumentError::Content(format!("`{}` is no device id", document.id)))
}
