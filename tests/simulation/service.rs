//! A small model of the service for one seed: devices, its own rate windows, and faults. Knows nothing of the engine's budget, so
//! that a bug there meets a violation and not agreement.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mdetag_core::apply::retry::Jitter;
use mdetag_core::apply::{Call, DeviceState, Origins, Rejection, Reply, TagAction};
use mdetag_core::plan::Lane;
use mdetag_core::tag;
use mdetag_core::time::Timestamp;

/// How `PATCH` treats a tag list; the documents contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Patch {
    #[default]
    Replace,
    Append,
    /// 400 where a tag that the device carries is missing from the list.
    Legacy,
}

/// Which `PATCH` removes a tag of its device by accident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PatchLoss {
    /// One of a value alone: the last tag.
    Value,
    /// One with a list, which lacks its first tag then.
    List,
}

/// How unknown ids are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum BadIds {
    #[default]
    Named,
    /// Named one by one.
    Slowly,
    /// With a good id among them.
    WithGood,
    /// Every id of the call is in the text.
    Echo,
    Unnamed,
    /// 200 with the known devices only.
    Partial,
}

/// The fate of a tag over 200 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum LongTag {
    #[default]
    Accept,
    Refuse,
    /// The call uses its first 200 characters.
    Cut,
}

/// The faults; probabilities in permille of calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) throttled: u64,
    pub(crate) retry_after: bool,
    /// `Retry-After` is 40 minutes.
    pub(crate) waits_long: bool,
    pub(crate) failing: u64,
    pub(crate) applied_but_failing: u64,
    pub(crate) reset_before: u64,
    pub(crate) reset_after: u64,
    pub(crate) broken: u64,
    pub(crate) timed_out: u64,
    pub passing_404: u64,
    pub(crate) bad_ids: BadIds,
    /// The status of every bulk call, if that route is closed.
    pub(crate) bulk_closed: Option<u16>,
    pub(crate) empty_bodies: bool,
    /// Bulk calls answer without devices.
    pub(crate) silent_bulk: bool,
    /// The status of every single-device call, if that route is closed.
    pub(crate) single_closed: Option<u16>,
    /// The status of every `PATCH`, if that route is closed or missing.
    pub(crate) patch_closed: Option<u16>,
    pub(crate) patch: Patch,
    /// A `PATCH` of a value alone empties the tag list.
    pub(crate) patch_wipes: bool,
    pub(crate) patch_loses: Option<PatchLoss>,
    /// A bulk call with a device that is forbidden for single calls is refused whole, without names.
    pub(crate) bulk_forbids: bool,
    /// The status of a bulk call that names unknown devices.
    pub(crate) bad_status: Option<u16>,
    /// No tag is added beside its twin.
    pub(crate) folds_additions: bool,
    /// Removing a tag removes its twins too.
    pub(crate) folds_removals: bool,
    /// A call uses its tag without white space at the ends.
    pub(crate) trims: bool,
    pub(crate) long_tag: LongTag,
    /// A removed registry tag returns after this many seconds; 0: at once.
    pub(crate) returns_after: u64,
    pub(crate) visible_after: u64,
    /// How many of a thousand devices a list that is read again shows without their tags and value.
    pub(crate) silent_list: u64,
    /// 400 for this tag, whatever the devices.
    pub(crate) refused_tag: Option<&'static str>,
    /// 403 on every write.
    pub(crate) forbidden: bool,
    /// Milliseconds that a bulk call takes on top.
    pub(crate) slow_bulk: u64,
    /// Somebody adds this tag to each device right before its first write.
    pub(crate) meddler: Option<&'static str>,
    /// Longest time from a call to its answer, in milliseconds.
    pub(crate) slowest: u64,
}

/// One device of the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) value: String,
    /// The registry's tag: comes back.
    pub(crate) registry: Option<Arc<str>>,
    /// When the registry's tag, removed now, comes back.
    pub(crate) returns: Option<Timestamp>,
    /// The registry's tag came back after a removal that had worked.
    pub(crate) has_returned: bool,
    /// Unknown to the write routes.
    pub(crate) is_bad: bool,
    /// Unknown to the list too.
    pub(crate) is_gone: bool,
    /// 403 for single calls on it: a rule of somebody else owns it.
    pub(crate) is_forbidden: bool,
    /// 403 for bulk calls with it, while single calls work.
    pub(crate) is_bulk_forbidden: bool,
    /// 403 for its value only.
    pub(crate) is_value_forbidden: bool,
    /// A dynamic rule holds its value: writes are accepted and do nothing.
    pub(crate) is_value_held: bool,
    /// Earlier states and until when the list shows them.
    pub(crate) shown: VecDeque<(Timestamp, Vec<Arc<str>>, String)>,
}

pub(crate) struct Service {
    pub(crate) devices: BTreeMap<Arc<str>, Device>,
    pub(crate) faults: Faults,
    pub(crate) random: Jitter,
    arrivals: BTreeMap<Lane, VecDeque<Timestamp>>,
    /// All lanes fill one window.
    pub(crate) is_shared: bool,
    pub(crate) violations: Vec<String>,
    pub(crate) calls: BTreeMap<Lane, u64>,
}

/// The fate of a call.
pub(crate) enum Fate {
    Answer(Reply),
    /// No answer before the caller's time-out.
    Silence,
}

impl Service {
    pub(crate) fn new(faults: Faults, seed: u64) -> Service {
        Service {
            devices: BTreeMap::new(),
            faults,
            random: Jitter::new(seed ^ 0x5eed),
            arrivals: BTreeMap::new(),
            is_shared: false,
            violations: Vec::new(),
            calls: BTreeMap::new(),
        }
    }

    fn hits(&mut self, permille: u64) -> bool {
        self.random.number() % 1_000 < permille
    }

    fn count(&mut self, lane: Lane, now: Timestamp) {
        *self.calls.entry(lane).or_default() += 1;
        let lane = if self.is_shared { Lane::List } else { lane };
        let arrivals = self.arrivals.entry(lane).or_default();
        arrivals.push_back(now);
        while arrivals.front().is_some_and(|at| at.plus(Duration::from_secs(3_600)) <= now) {
            arrivals.pop_front();
        }
        let minute = arrivals.iter().rev().take_while(|at| at.plus(Duration::from_secs(60)) > now).count();
        if minute > 100 || arrivals.len() > 1_500 {
            self.violations.push(format!(
                "{now}: {} in a minute, {} in an hour on {}",
                minute,
                arrivals.len(),
                lane.word()
            ));
        }
    }

    /// The call arrives.
    pub(crate) fn receive(&mut self, call: &Call, now: Timestamp) -> Fate {
        let lane = call.lane();
        self.count(lane, now);
        let faults = self.faults.clone();
        if self.hits(faults.throttled) {
            let seconds = if faults.waits_long { 2_400 } else { self.random.number() % 20 };
            let wait = Duration::from_secs(seconds);
            let retry_after = faults.retry_after.then_some(wait);
            return reject(429, "429", "API calls quota exceeded!", retry_after);
        }
        if self.hits(faults.failing) {
            return reject(503, "", "", None);
        }
        if self.hits(faults.reset_before) {
            return lost();
        }
        let answer = self.perform(call, now);
        if self.hits(faults.applied_but_failing) {
            return reject(500, "InternalServerError", "", None);
        }
        if self.hits(faults.reset_after) {
            return lost();
        }
        if self.hits(faults.timed_out) {
            return Fate::Silence;
        }
        if self.hits(faults.broken) {
            return Fate::Answer(Reply::Broken { status: 200, detail: "it ends early".into() });
        }
        Fate::Answer(answer)
    }

    fn perform(&mut self, call: &Call, now: Timestamp) -> Reply {
        call.devices().iter().for_each(|id| self.bring_back(id, now));
        let stored = self.as_stored(call);
        let call = &stored;
        if let Call::BulkTag { tag, .. } | Call::SingleTag { tag, .. } = call
            && self.faults.long_tag == LongTag::Refuse
            && tag.chars().count() > tag::MAX_LENGTH
        {
            return rejected(400, "InvalidInput", "the tag is too long");
        }
        if let Call::BulkTag { tag, .. } | Call::SingleTag { tag, .. } = call
            && self.faults.refused_tag == Some(tag)
        {
            return rejected(400, "InvalidInput", "the tag is not allowed");
        }
        if let (Call::Update { .. }, Some(status)) = (call, self.faults.patch_closed) {
            return rejected(status, "NotHere", "not this way");
        }
        if let (Call::SingleTag { .. }, Some(status)) = (call, self.faults.single_closed) {
            return rejected(status, "Forbidden", "not for you");
        }
        if let Call::BulkTag { .. } = call {
            if let Some(status) = self.faults.bulk_closed.or(self.faults.forbidden.then_some(403)) {
                return rejected(status, "Forbidden", "not for you");
            }
            let is_refused = |id: &Arc<str>| {
                let device = &self.devices[id];
                device.is_bulk_forbidden || self.faults.bulk_forbids && device.is_forbidden
            };
            if call.devices().iter().any(is_refused) {
                return rejected(403, "Forbidden", "a rule owns a device");
            }
        } else if self.faults.forbidden {
            return rejected(403, "Forbidden", "not for you");
        } else if call.devices().iter().any(|id| self.devices[id].is_forbidden) {
            return rejected(403, "Forbidden", "a rule owns this device");
        } else if matches!(call, Call::SetValue { .. } | Call::Update { value: Some(_), .. })
            && call.devices().iter().any(|id| self.devices[id].is_value_forbidden)
        {
            return rejected(403, "Forbidden", "a rule owns the value");
        } else if self.hits(self.faults.passing_404) {
            return rejected(404, "ResourceNotFound", "Machine was not found");
        }
        let known: Vec<Arc<str>> =
            call.devices().iter().filter(|id| !self.devices[*id].is_bad).cloned().collect();
        let unknown: Vec<&str> =
            call.devices().iter().filter(|id| self.devices[*id].is_bad).map(AsRef::as_ref).collect();
        if !unknown.is_empty() {
            let rejected = |status: u16, code: &str, message: &str| {
                let status = self.faults.bad_status.filter(|_| status == 400).unwrap_or(status);
                rejected(status, code, message)
            };
            match (call, self.faults.bad_ids) {
                (Call::BulkTag { .. }, BadIds::Partial) => {}
                (Call::BulkTag { .. }, BadIds::Named) => {
                    let message = format!("Failed to find machines: {}", unknown.join(", "));
                    return rejected(400, "InvalidInput", &message);
                }
                (Call::BulkTag { .. }, BadIds::Slowly) => {
                    return rejected(400, "InvalidInput", &format!("Failed to find {}", unknown[0]));
                }
                (Call::BulkTag { .. }, BadIds::WithGood) => {
                    let message = format!("Failed: {} {}", unknown.join(", "), call.devices()[0]);
                    return rejected(400, "InvalidInput", &message);
                }
                (Call::BulkTag { devices, .. }, BadIds::Echo) => {
                    return rejected(400, "InvalidInput", &format!("Bad: {}", devices.join(", ")));
                }
                (Call::BulkTag { .. }, BadIds::Unnamed) => {
                    return rejected(400, "InvalidInput", "Bad request");
                }
                _ => return rejected(404, "ResourceNotFound", "Machine was not found"),
            }
        }
        let mut states = Vec::new();
        for id in known {
            if let Some(refusal) = self.change(&id, call, now) {
                return refusal;
            }
            states.push(self.state(&id));
        }
        let is_silent = self.faults.empty_bodies && !matches!(call, Call::Get { .. })
            || self.faults.silent_bulk && matches!(call, Call::BulkTag { .. });
        Reply::Answered { devices: if is_silent { Vec::new() } else { states } }
    }

    /// The call with its tag as the service stores it.
    fn as_stored(&self, call: &Call) -> Call {
        let mut call = call.clone();
        if let Call::BulkTag { tag, .. } | Call::SingleTag { tag, .. } = &mut call {
            if self.faults.trims {
                *tag = tag.trim().into();
            }
            if self.faults.long_tag == LongTag::Cut {
                *tag = tag.chars().take(tag::MAX_LENGTH).collect::<String>().into();
            }
        }
        call
    }

    /// Restores a registry tag whose time has come.
    fn bring_back(&mut self, id: &str, now: Timestamp) {
        let Some(device) = self.devices.get_mut(id) else { return };
        if device.returns.is_some_and(|at| at <= now)
            && let Some(own) = device.registry.clone()
        {
            (device.returns, device.has_returned) = (None, true);
            if !device.tags.contains(&own) {
                device.tags.push(own);
            }
        }
    }

    fn state(&self, id: &Arc<str>) -> DeviceState {
        let device = &self.devices[id];
        let (tags, value) = (device.tags.clone(), Some(device.value.as_str().into()));
        DeviceState { id: id.clone(), tags, has_tag_list: true, value }
    }

    fn change(&mut self, id: &Arc<str>, call: &Call, now: Timestamp) -> Option<Reply> {
        let (faults, until) = (self.faults.clone(), now.plus(Duration::from_secs(self.faults.visible_after)));
        let device = self.devices.get_mut(id).expect("the plan names known devices");
        let before = (device.tags.clone(), device.value.clone());
        let fold = |tag: &str| tag.to_lowercase();
        if let Some(tag) = faults.meddler.filter(|tag| !device.tags.iter().any(|own| **own == **tag)) {
            device.tags.push(tag.into());
        }
        match call {
            Call::BulkTag { tag, action: TagAction::Add, .. }
            | Call::SingleTag { tag, action: TagAction::Add, .. } => {
                let is_twin = |own: &Arc<str>| faults.folds_additions && fold(own) == fold(tag);
                if !device.tags.iter().any(|own| own == tag || is_twin(own)) {
                    device.tags.push(tag.clone());
                }
            }
            Call::BulkTag { tag, .. } | Call::SingleTag { tag, .. } => {
                let gone = |own: &Arc<str>| own == tag || faults.folds_removals && fold(own) == fold(tag);
                device.tags.retain(|own| !gone(own));
            }
            Call::SetValue { .. } if device.is_value_held => {}
            Call::SetValue { value, .. } => device.value = value.word().into(),
            Call::Update { value, tags, .. } => {
                if let Some(tags) = tags {
                    assert!(!tags.is_empty(), "an empty list is never sent");
                    let mut tags = tags.clone();
                    if faults.patch_loses == Some(PatchLoss::List) {
                        tags.remove(0);
                    }
                    match faults.patch {
                        Patch::Replace => device.tags = tags,
                        Patch::Legacy if device.tags.iter().any(|tag| !tags.contains(tag)) => {
                            return Some(rejected(
                                400,
                                "InvalidRequestBody",
                                "existing tags must be included",
                            ));
                        }
                        Patch::Append | Patch::Legacy => {
                            let new: Vec<_> =
                                tags.into_iter().filter(|tag| !device.tags.contains(tag)).collect();
                            device.tags.extend(new);
                        }
                    }
                } else if faults.patch_wipes {
                    device.tags.clear();
                } else if faults.patch_loses == Some(PatchLoss::Value) {
                    device.tags.pop();
                }
                if let Some(value) = value.filter(|_| !device.is_value_held) {
                    device.value = value.word().into();
                }
            }
            Call::Get { .. } => {}
        }
        let missing = device.registry.clone().filter(|own| !device.tags.contains(own));
        match missing {
            Some(own) if faults.returns_after == 0 => device.tags.push(own),
            Some(_) => {
                let until = now.plus(Duration::from_secs(faults.returns_after));
                device.returns.get_or_insert(until);
            }
            None => device.returns = None,
        }
        if (&before.0, &before.1) != (&device.tags, &device.value) {
            device.shown.push_back((until, before.0, before.1));
        }
        None
    }

    /// The device as the list shows it.
    pub(crate) fn listed(&mut self, id: &str, now: Timestamp) -> Option<DeviceState> {
        self.bring_back(id, now);
        let (id, device) = self.devices.get_key_value(id).filter(|(_, device)| !device.is_gone)?;
        let old = device.shown.iter().find(|(until, ..)| *until > now);
        let (tags, value) = old.map_or((&device.tags, &device.value), |(_, tags, value)| (tags, value));
        let (tags, value) = (tags.clone(), Some(value.as_str().into()));
        Some(DeviceState { id: id.clone(), tags, has_tag_list: true, value })
    }

    /// The device as a list shows it that is read again while calls are under way.
    pub(crate) fn listed_again(&mut self, id: &str, now: Timestamp) -> Option<DeviceState> {
        let listed = self.listed(id, now)?;
        if self.faults.silent_list > 0 && self.hits(self.faults.silent_list) {
            return Some(DeviceState { tags: Vec::new(), has_tag_list: false, value: None, ..listed });
        }
        Some(listed)
    }

    /// The origins of the tags, as hunting would report them.
    pub(crate) fn origins(&self) -> Origins {
        let mut origins = Origins::default();
        for (id, device) in &self.devices {
            let (foreign, manual): (Vec<_>, Vec<_>) =
                device.tags.iter().cloned().partition(|tag| device.registry.as_ref() == Some(tag));
            origins.insert(id.clone(), manual, foreign);
        }
        origins
    }

    /// Every device's tags that the plan does not name.
    pub(crate) fn unclaimed(&self, claimed: &BTreeSet<&str>) -> Vec<(Arc<str>, BTreeSet<Arc<str>>)> {
        let tags = |device: &Device| {
            device.tags.iter().filter(|tag| !claimed.contains(tag.as_ref())).cloned().collect::<BTreeSet<_>>()
        };
        self.devices.iter().map(|(id, device)| (id.clone(), tags(device))).collect()
    }
}

fn rejected(status: u16, code: &str, message: &str) -> Reply {
    Reply::Rejected(Rejection { status, code: code.into(), message: message.into(), ..Rejection::default() })
}

fn reject(status: u16, code: &str, message: &str, retry_after: Option<Duration>) -> Fate {
    let rejection =
        Rejection { status, code: code.into(), message: message.into(), retry_after, request_id: None };
    Fate::Answer(Reply::Rejected(rejection))
}

fn lost() -> Fate {
    Fate::Answer(Reply::Lost { detail: "connection reset".into(), maybe_sent: true })
}
