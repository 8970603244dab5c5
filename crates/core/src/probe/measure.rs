//! The questions in their order: first those that only read, then scratch tags, then value and `PATCH`, then the list's lag.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::asking::{Answer, Interrupted, MAX_CALLS, ProbeCall, ProbeClient};
use super::judge::{
    Kept, MeasuredVerdict, accepted, answered, is_refusal, kept_blanks, kept_case, kept_length, shows,
};
use super::profile::{Evidence, Finding, ServiceProfile};
use super::scratch::{ScratchTags, is_scratch};
use crate::apply::{DeviceState, TagAction};
use crate::device::DeviceValue;
use crate::service::Question;

/// Calls reserved for cleaning up: one removal per scratch tag, the tags that a `PATCH` lost, three reads.
const LEFT_FOR_CLEANING: u32 = 12;
/// The most own tags of a device, all of which a `PATCH` may lose, that [`LEFT_FOR_CLEANING`] can put back.
const MOST_OWN_TAGS: usize = 3;
/// The call that found the device.
pub(super) const FOUND: u32 = 1;
/// The documented page.
const FULL_PAGE: u32 = 10_000;
/// Why questions that need a scratch tag are not asked.
const NO_BULK: &str = "the service takes no bulk call";
/// Times of the list reads after the write, in seconds.
const LAG_READS: [u64; 5] = [0, 5, 15, 60, 300];

/// The device of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbedDevice {
    /// The service's id of the device under test.
    pub id: Arc<str>,
    /// An id of the same form that no device has.
    pub unknown_id: Arc<str>,
    /// Those of its tags that are known to be manual; `None` if advanced hunting was not asked.
    pub manual: Option<Vec<Arc<str>>>,
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// One finding per question.
    pub profile: ServiceProfile,
    /// The device as it was before, if it could be read.
    pub before: Option<DeviceState>,
    /// Scratch tags that the device may carry now.
    pub left: Vec<Arc<str>>,
    /// Whether the device may lack one of its own tags: a `PATCH` was sent, and no answer to a later write shows all of them.
    pub patched: bool,
    /// Calls made so far, over all questions.
    pub calls: u32,
    /// Why the probe ended early.
    pub interrupted: Option<Interrupted>,
}

/// Asks every question. The device may carry scratch tags afterwards, so the caller must call [`super::clean_up`] next, even
/// after an interruption.
pub async fn measure<A: ProbeClient>(
    client: &mut A,
    device: &ProbedDevice,
    tags: &ScratchTags,
    tool: &str,
) -> Measured {
    let profile = ServiceProfile::default();
    let (left, patched) = (BTreeSet::new(), false);
    let mut probe = Probe { client, device, tags, tool, calls: 0, before: None, left, patched, profile };
    let interrupted = probe.run().await.err();
    for question in Question::ALL {
        if !probe.profile.findings.iter().any(|finding| finding.question == question.word()) {
            let why = match &interrupted {
                // The text may name files and hosts, and a profile must not.
                Some(_) => "the probe ended early",
                None if question > Question::Throttle => "no probe asks; runs note it",
                None if question == Question::Throttle => "no call was refused for being one too many",
                None => "no call was left for it",
            };
            probe.skip(question, why);
        }
    }
    let place = |finding: &Finding| Question::parse(&finding.question).map(|question| question as usize);
    probe.profile.findings.sort_by_key(place);
    Measured {
        profile: probe.profile,
        before: probe.before,
        left: probe.left.into_iter().collect(),
        patched: probe.patched,
        calls: probe.calls,
        interrupted,
    }
}

struct Probe<'a, A> {
    client: &'a mut A,
    device: &'a ProbedDevice,
    tags: &'a ScratchTags,
    tool: &'a str,
    calls: u32,
    before: Option<DeviceState>,
    left: BTreeSet<Arc<str>>,
    patched: bool,
    profile: ServiceProfile,
}

impl<A: ProbeClient> Probe<'_, A> {
    async fn run(&mut self) -> Result<(), Interrupted> {
        let Some(seen) = self.send(&ProbeCall::Device).await? else { return Ok(()) };
        let Some(before) = seen.device.clone().filter(|_| seen.is_success()) else {
            return Err(Interrupted(format!("the device cannot be read ({})", seen.shape())));
        };
        self.before = Some(before.clone());
        self.paging().await?;
        self.filters().await?;
        self.scratch_tags().await?;
        self.bulk_bodies().await?;
        self.value(&before).await?;
        self.patch(&before).await?;
        self.lag().await
    }

    /// Sends a call; `None` if no more calls are left for measuring.
    async fn send(&mut self, call: &ProbeCall) -> Result<Option<Answer>, Interrupted> {
        if self.calls + LEFT_FOR_CLEANING >= MAX_CALLS - FOUND {
            return Ok(None);
        }
        self.calls += 1;
        let added = match call {
            ProbeCall::Bulk { tag, action: TagAction::Add, .. } | ProbeCall::Single { tag } => {
                Some(tag).filter(|tag| self.left.insert(Arc::clone(tag)))
            }
            _ => None,
        };
        self.patched |= matches!(call, ProbeCall::Patch { .. });
        let answer = self.client.send(call).await?;
        if let Some(tag) = added.filter(|_| (400..500).contains(&answer.status) && answer.status != 408) {
            // A rejected call had no effect.
            self.left.remove(tag);
        }
        // The answer to a write is more reliable than any read, which may lag.
        if let Some(device) = answer.device.as_ref().filter(|_| call.writes() && answer.is_success()) {
            self.left = device.tags.iter().filter(|tag| is_scratch(tag)).cloned().collect();
            let before = self.before.iter().flat_map(|before| &before.tags);
            self.patched &= !before.filter(|tag| !is_scratch(tag)).all(|tag| device.tags.contains(tag));
        }
        if let Some(with_wait) = answer.throttled.first() {
            let verdict = if *with_wait { "withRetryAfter" } else { "withoutRetryAfter" };
            let evidence = vec![Evidence { request: call.shape(), answer: "429".to_owned() }];
            self.find(Question::Throttle, Some((verdict, None)), evidence);
        }
        Ok(Some(answer))
    }

    /// Sends a call, and records the verdict that `judge` gives its answer.
    async fn settle(
        &mut self,
        question: Question,
        call: &ProbeCall,
        judge: impl FnOnce(&Answer) -> MeasuredVerdict,
    ) -> Result<Option<Answer>, Interrupted> {
        let Some(answer) = self.send(call).await? else { return Ok(None) };
        self.note(question, call, &answer, judge(&answer));
        Ok(Some(answer))
    }

    fn note(&mut self, question: Question, call: &ProbeCall, answer: &Answer, verdict: MeasuredVerdict) {
        let evidence = vec![Evidence { request: call.shape(), answer: answer.shape() }];
        self.find(question, verdict, evidence);
    }

    fn find(&mut self, question: Question, verdict: MeasuredVerdict, evidence: Vec<Evidence>) {
        if self.profile.findings.iter().any(|finding| finding.question == question.word()) {
            return;
        }
        let (word, number) = verdict.unwrap_or(("notMeasured", None));
        let reason = verdict.is_none().then(|| "the answer does not tell".to_owned());
        self.profile.findings.push(Finding {
            question: question.word().to_owned(),
            verdict: word.to_owned(),
            number,
            reason,
            evidence,
            measured_at: self.client.now().to_string(),
            tool: self.tool.to_owned(),
            stale_since: None,
        });
    }

    fn skip(&mut self, question: Question, why: &str) {
        self.find(question, None, Vec::new());
        if let Some(last) = self.profile.findings.last_mut().filter(|last| last.question == question.word()) {
            last.reason = Some(why.to_owned());
        }
    }

    async fn paging(&mut self) -> Result<(), Interrupted> {
        let list = |top, skip| ProbeCall::List { top, skip, filter: None };
        let linked = |answer: &Answer| -> MeasuredVerdict {
            answer.is_success().then_some((if answer.next_link { "present" } else { "absent" }, None))
        };
        let first = self.send(&list(Some(FULL_PAGE), 0)).await?;
        let Some(first) = first.filter(Answer::is_success) else { return Ok(()) };
        let rows = first.rows as u64;
        // A link is only required if there are more devices.
        let beyond = list(Some(1), u32::try_from(first.rows).unwrap_or(FULL_PAGE));
        let Some(more) = self.send(&beyond).await? else { return Ok(()) };
        let is_whole = more.is_success() && more.rows == 0 && !first.next_link && rows < u64::from(FULL_PAGE);
        let call = list(Some(FULL_PAGE), 0);
        if is_whole {
            self.note(Question::PageSize, &call, &first, Some(("atLeast", Some(rows))));
            for question in [Question::LinkWithTop, Question::LinkWithoutTop, Question::SkipBeyondPage] {
                self.skip(question, "the whole tenant fits one page");
            }
            return Ok(());
        }
        self.note(Question::PageSize, &call, &first, Some(("measured", Some(rows))));
        self.note(Question::LinkWithTop, &call, &first, linked(&first));
        let goes_on = match (more.is_success(), more.rows) {
            (true, 0) => Some(("capped", None)),
            (true, _) => Some(("goesOn", None)),
            (false, _) => (400..500).contains(&more.status).then_some(("refused", None)),
        };
        self.note(Question::SkipBeyondPage, &beyond, &more, goes_on);
        self.settle(Question::LinkWithoutTop, &list(None, 0), linked).await?;
        Ok(())
    }

    async fn filters(&mut self) -> Result<(), Interrupted> {
        let asked = [
            (Question::FilterLastSeen, "lastSeen ge 2000-01-01T00:00:00Z"),
            (Question::FilterHealthStatus, "healthStatus eq 'Active'"),
            (Question::FilterOnboardingStatus, "onboardingStatus eq 'Onboarded'"),
            (Question::FilterRbacGroupId, "rbacGroupId eq 0"),
        ];
        for (question, filter) in asked {
            let call = ProbeCall::List { top: Some(1), skip: 0, filter: Some(filter.to_owned()) };
            self.settle(question, &call, accepted).await?;
        }
        self.settle(Question::FilterId, &by_id(&self.device.id), accepted).await?;
        Ok(())
    }

    fn has(&self, question: Question) -> bool {
        self.profile.findings.iter().any(|finding| finding.question == question.word())
    }

    /// Whether the bulk call that names only the device was accepted.
    fn bulk_works(&self) -> bool {
        let is_taken = |finding: &Finding| matches!(finding.verdict.as_str(), "device" | "empty");
        let mut findings = self.profile.findings.iter();
        findings.any(|finding| finding.question == Question::BulkAnswer.word() && is_taken(finding))
    }

    fn bulk(&self, tag: &str, action: TagAction, ids: &[&Arc<str>]) -> ProbeCall {
        ProbeCall::Bulk { tag: tag.into(), action, ids: ids.iter().map(|id| Arc::clone(id)).collect() }
    }

    /// The device's tags after a write: from its answer, else from the answer to setting the value that it has, else from a read.
    async fn tags_after(&mut self, answer: Option<&Answer>) -> Result<Option<TagsSeen>, Interrupted> {
        let known = answer.and_then(|answer| answer.device.as_ref());
        if let Some(device) = known {
            return Ok(Some(TagsSeen { tags: device.tags.clone(), may_lag: false }));
        }
        if let Some(before) = self.before.clone().filter(|_| !self.has(Question::ValueAnswer)) {
            let device = self.value(&before).await?.and_then(|answer| answer.device);
            if let Some(device) = device {
                return Ok(Some(TagsSeen { tags: device.tags, may_lag: false }));
            }
        }
        let read = self.send(&ProbeCall::Device).await?;
        let device = read.filter(Answer::is_success).and_then(|read| read.device);
        Ok(device.map(|device| TagsSeen { tags: device.tags, may_lag: true }))
    }

    async fn scratch_tags(&mut self) -> Result<(), Interrupted> {
        let (tags, id) = (self.tags.clone(), self.device.id.clone());
        let shown = |answer: &Answer| answered(answer, answer.device.is_some());
        let add = self.bulk(&tags.plain, TagAction::Add, &[&id]);
        let Some(added) = self.settle(Question::BulkAnswer, &add, shown).await? else { return Ok(()) };
        if !added.is_success() {
            let about_tags = [
                Question::DuplicateIds,
                Question::TagCase,
                Question::TagBlanks,
                Question::TagLength,
                Question::LongerTag,
            ];
            about_tags.into_iter().for_each(|question| self.skip(question, NO_BULK));
            return Ok(());
        }
        let twice = self.bulk(&tags.second, TagAction::Add, &[&id, &id]);
        self.settle(Question::DuplicateIds, &twice, accepted).await?;
        let cases: [(Question, &str, Kept); 4] = [
            (Question::TagCase, &tags.upper, kept_case),
            (Question::TagBlanks, &tags.padded, kept_blanks),
            (Question::TagLength, &tags.long, kept_length),
            (Question::LongerTag, &tags.longer, kept_length),
        ];
        let mut tried = Vec::new();
        for (question, tag, judge) in cases {
            let call = self.bulk(tag, TagAction::Add, &[&id]);
            let Some(answer) = self.send(&call).await? else { break };
            tried.push((question, tag, judge, call, answer));
        }
        // One read shows all of them, because none of these calls undoes another.
        let last = tried.iter().rev().map(|(_, tag, _, _, answer)| (*tag, answer));
        let last = last.into_iter().find(|(_, answer)| answer.is_success());
        let seen = match last {
            Some((_, answer)) => self.tags_after(Some(answer)).await?,
            None => None,
        };
        // A lagging read shows none of them, or only some.
        let seen = seen.filter(|seen| !seen.may_lag || last.is_some_and(|(tag, _)| shows(&seen.tags, tag)));
        for (question, tag, judge, call, answer) in &tried {
            let verdict = if answer.is_success() {
                seen.as_ref().and_then(|seen| judge(&seen.tags, tag))
            } else if is_refusal(answer) && *question != Question::TagCase {
                Some(("refused", None))
            } else {
                None
            };
            self.note(*question, call, answer, verdict);
        }
        Ok(())
    }

    async fn bulk_bodies(&mut self) -> Result<(), Interrupted> {
        let (tags, id, unknown) = (self.tags.clone(), self.device.id.clone(), self.device.unknown_id.clone());
        if !self.bulk_works() {
            // Whatever such a call answers, it is not about the ids.
            let about_ids = [
                Question::SingleAnswer,
                Question::UnknownId,
                Question::RemoveAbsent,
                Question::EmptyIds,
                Question::ListLag,
            ];
            about_ids.into_iter().for_each(|question| self.skip(question, NO_BULK));
            return Ok(());
        }
        let mixed = self.bulk(&tags.plain, TagAction::Add, &[&id, &unknown]);
        self.settle(Question::UnknownId, &mixed, |answer| {
            let message = answer.message.to_ascii_lowercase();
            let names = |id: &str| message.contains(&id.to_ascii_lowercase());
            // A text that repeats the whole call does not single out an id.
            let names = names(&unknown) && !names(&id);
            match (answer.is_success(), is_refusal(answer)) {
                (true, _) => Some(("partial", None)),
                (false, true) => Some((if names { "refusedNamed" } else { "refusedUnnamed" }, None)),
                (false, false) => None,
            }
        })
        .await?;
        let absent = self.bulk(&tags.absent, TagAction::Remove, &[&id]);
        self.settle(Question::RemoveAbsent, &absent, accepted).await?;
        // A tag that no device has: whatever the service does with an empty list, there is nothing to remove.
        let nobody = self.bulk(&tags.absent, TagAction::Remove, &[]);
        self.settle(Question::EmptyIds, &nobody, accepted).await?;
        Ok(())
    }

    async fn value(&mut self, before: &DeviceState) -> Result<Option<Answer>, Interrupted> {
        if self.has(Question::ValueAnswer) {
            return Ok(None);
        }
        let Some(value) = before.value.as_deref().and_then(DeviceValue::parse) else {
            self.skip(Question::ValueAnswer, "the device has no value that this version knows");
            return Ok(None);
        };
        let shown = |answer: &Answer| answered(answer, answer.device.is_some());
        self.settle(Question::ValueAnswer, &ProbeCall::Value { value }, shown).await
    }

    async fn patch(&mut self, before: &DeviceState) -> Result<(), Interrupted> {
        if !self.bulk_works() {
            // Bulk calls put back the tags that a PATCH loses.
            [Question::PatchValue, Question::PatchTags]
                .into_iter()
                .for_each(|question| self.skip(question, NO_BULK));
            return Ok(());
        }
        let manual = self.device.manual.as_deref();
        let is_known = |tag: &Arc<str>| manual.is_some_and(|manual| manual.contains(tag));
        let own: Vec<Arc<str>> = before.tags.iter().filter(|tag| !is_scratch(tag)).cloned().collect();
        if !own.iter().all(is_known) {
            for question in [Question::PatchValue, Question::PatchTags] {
                self.skip(question, "the device has tags that are not known as manual ones");
            }
            return Ok(());
        }
        if own.len() > MOST_OWN_TAGS {
            for question in [Question::PatchValue, Question::PatchTags] {
                self.skip(question, "the device has more tags of its own than a probe can surely put back");
            }
            return Ok(());
        }
        let Some(value) = before.value.as_deref().and_then(DeviceValue::parse) else { return Ok(()) };
        let call = ProbeCall::Patch { value: Some(value), tags: None };
        let Some(answer) = self.send(&call).await? else { return Ok(()) };
        let (plain, second): (Arc<str>, Arc<str>) =
            (self.tags.plain.as_str().into(), self.tags.second.as_str().into());
        let now = if answer.is_success() { self.tags_after(Some(&answer)).await? } else { None };
        // A lagging read says nothing about tags that are still there.
        let now = now.filter(|seen| !seen.may_lag).map(|seen| seen.tags);
        let verdict = match &now {
            Some(now) if own.iter().chain([&plain]).all(|tag| now.contains(tag)) => Some(("keepsTags", None)),
            Some(_) => Some(("losesTags", None)),
            None => is_refusal(&answer).then_some(("refused", None)),
        };
        self.note(Question::PatchValue, &call, &answer, verdict);
        if !now.is_some_and(|now| now.contains(&plain) && now.contains(&second)) {
            self.skip(Question::PatchTags, "the device does not show the two tags that tell");
            return Ok(());
        }
        // Only tags that the device has, so that none becomes manual that was not; one scratch tag is left out.
        let list: Vec<Arc<str>> = own.iter().chain([&plain]).cloned().collect();
        let call = ProbeCall::Patch { value: None, tags: Some(list.clone()) };
        let Some(answer) = self.send(&call).await? else { return Ok(()) };
        let verdict = if answer.is_success() {
            let now = self.tags_after(Some(&answer)).await?;
            let now = now.filter(|seen| !seen.may_lag).map(|seen| seen.tags);
            now.map(|now| match (list.iter().all(|tag| now.contains(tag)), now.contains(&second)) {
                (false, _) => ("losesTags", None),
                (true, true) => ("appends", None),
                (true, false) => ("replaces", None),
            })
        } else {
            is_refusal(&answer).then_some(("refused", None))
        };
        self.note(Question::PatchTags, &call, &answer, verdict);
        Ok(())
    }

    /// Writes one more scratch tag, by the single-device route if it works, and reads the list until the tag appears.
    async fn lag(&mut self) -> Result<(), Interrupted> {
        if !self.bulk_works() {
            return Ok(());
        }
        let id = self.device.id.clone();
        let tag: Arc<str> = format!("{}-lag", self.tags.plain).into();
        let single = ProbeCall::Single { tag: Arc::clone(&tag) };
        let shown = |answer: &Answer| answered(answer, answer.device.is_some());
        let mut write = single;
        let mut written = self.settle(Question::SingleAnswer, &write, shown).await?;
        if !written.as_ref().is_some_and(Answer::is_success) {
            write = self.bulk(&tag, TagAction::Add, &[&id]);
            written = self.send(&write).await?;
        }
        let Some(written) = written.filter(Answer::is_success) else { return Ok(()) };
        let takes_id =
            self.profile.findings.iter().any(|finding| {
                finding.question == Question::FilterId.word() && finding.verdict == "accepted"
            });
        // If the device cannot be read, the answers of its own route show what reads would.
        let call = if takes_id { by_id(&id) } else { ProbeCall::Device };
        let mut waited = 0;
        for at in LAG_READS {
            if at > waited {
                self.client.pause(Duration::from_secs(at - waited)).await?;
                waited = at;
            }
            let Some(answer) = self.send(&call).await? else { break };
            let Some(device) = answer.device.as_ref().filter(|_| answer.is_success()) else {
                self.skip(Question::ListLag, "the device cannot be read");
                return Ok(());
            };
            if device.tags.contains(&tag) {
                self.note(Question::ListLag, &call, &answer, Some(("measured", Some(at))));
                return Ok(());
            }
        }
        self.note(Question::ListLag, &write, &written, Some(("atLeast", Some(waited))));
        Ok(())
    }
}

/// The device's tags at some moment.
struct TagsSeen {
    tags: Vec<Arc<str>>,
    /// Whether they come from a read and not from the answer to a write.
    may_lag: bool,
}

/// A list call for one device.
fn by_id(id: &str) -> ProbeCall {
    ProbeCall::List { top: Some(1), skip: 0, filter: Some(format!("id eq '{id}'")) }
}
