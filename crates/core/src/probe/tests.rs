//! Whole probes against one device of a made-up service, which is written from the facts and not from the sandbox.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::scratch::{PREFIX, ScratchTags, is_scratch};
use super::*;
use crate::apply::{DeviceState, TagAction};
use crate::time::Timestamp;

const DEVICE: &str = "3f1c0a9be27d45c6881f02e4a7d95b6c0e1f2a3b";
const UNKNOWN: &str = "ffffffffffffffffffffffffffffffffffffffff";

/// The behaviour of the service.
#[derive(Clone, Debug)]
struct Service {
    folds_case: bool,
    trims: bool,
    longest: (usize, bool),
    unknown: &'static str,
    bulk_answers: bool,
    single_answers: bool,
    takes_single: bool,
    remove_absent: bool,
    empty_ids: bool,
    patch_value_keeps: bool,
    patch_replaces: bool,
    filters: bool,
    page: usize,
    fleet: usize,
    link: bool,
    skips: bool,
    lag: u64,
    tags: Vec<Arc<str>>,
    listed: Vec<Arc<str>>,
    written_at: Option<u64>,
    clock: u64,
    calls: u32,
    stop_at: u32,
}

impl Service {
    fn calm() -> Service {
        Service {
            folds_case: false,
            trims: false,
            longest: (300, false),
            unknown: "named",
            bulk_answers: true,
            single_answers: true,
            takes_single: true,
            remove_absent: true,
            empty_ids: false,
            patch_value_keeps: true,
            patch_replaces: true,
            filters: true,
            page: 100,
            fleet: 250,
            link: true,
            skips: true,
            lag: 0,
            tags: vec!["Finance".into(), "EU".into()],
            listed: Vec::new(),
            written_at: None,
            clock: 0,
            calls: 0,
            stop_at: u32::MAX,
        }
    }

    fn state(&self) -> DeviceState {
        let (tags, value) = (self.tags.clone(), Some("Normal".into()));
        DeviceState { id: DEVICE.into(), tags, has_tag_list: true, value }
    }

    fn refused(code: &str, message: &str) -> Answer {
        Answer { status: 400, code: code.to_owned(), message: message.to_owned(), ..Answer::default() }
    }

    fn shown(&self, shows: bool) -> Answer {
        let device = shows.then(|| self.state());
        Answer { status: 200, rows: usize::from(shows), device, ..Answer::default() }
    }

    fn bulk(&mut self, tag: &str, action: TagAction, ids: &[Arc<str>]) -> Answer {
        if ids.is_empty() {
            return if self.empty_ids { self.shown(false) } else { Service::refused("BadRequest", "no ids") };
        }
        let unknown: Vec<&Arc<str>> = ids.iter().filter(|id| ***id != *DEVICE).collect();
        assert!(unknown.iter().all(|id| ***id == *UNKNOWN), "no other device is ever named");
        if !unknown.is_empty() && self.unknown != "partial" {
            let names = if self.unknown == "named" { UNKNOWN } else { "" };
            return Service::refused("BadRequest", &format!("Failed to find machines: {names}"));
        }
        let mut tag = if self.trims { tag.trim().to_owned() } else { tag.to_owned() };
        if tag.chars().count() > self.longest.0 {
            if !self.longest.1 {
                return Service::refused("InvalidInput", "too long");
            }
            tag = tag.chars().take(self.longest.0).collect();
        }
        let folds = self.folds_case;
        let is_it = |live: &str| live == tag || (folds && live.to_lowercase() == tag.to_lowercase());
        let is_there = self.tags.iter().any(|live| is_it(live));
        match action {
            TagAction::Add if !is_there => self.tags.push(tag.as_str().into()),
            TagAction::Add => {}
            TagAction::Remove if !is_there && !self.remove_absent => {
                return Service::refused("BadRequest", "no such tag");
            }
            TagAction::Remove => self.tags.retain(|live| !is_it(live)),
        }
        self.written_at = Some(self.clock);
        self.shown(self.bulk_answers)
    }

    fn list(&self, top: Option<u32>, skip: u32, filter: Option<&str>) -> Answer {
        if let Some(filter) = filter {
            if !self.filters {
                return Service::refused("BadRequest", "filter");
            }
            let mut answer = self.shown(true);
            let late = self.written_at.is_some_and(|at| self.clock < at + self.lag);
            if filter.starts_with("id ") && late {
                answer.device.as_mut().unwrap().tags = self.listed.clone();
            }
            return answer;
        }
        let left = self.fleet.saturating_sub(skip as usize);
        let left = if skip > 0 && !self.skips { 0 } else { left };
        let rows = left.min(self.page).min(top.map_or(self.page, |top| top as usize));
        Answer { status: 200, rows, next_link: self.link && rows < left, ..Answer::default() }
    }
}

impl ProbeClient for Service {
    async fn send(&mut self, call: &ProbeCall) -> Result<Answer, Interrupted> {
        if self.calls == self.stop_at {
            return Err(Interrupted("a signal".to_owned()));
        }
        self.calls += 1;
        Ok(match call {
            ProbeCall::Device => self.shown(true),
            ProbeCall::List { top, skip, filter } => self.list(*top, *skip, filter.as_deref()),
            ProbeCall::Bulk { tag, action, ids } => self.bulk(tag, *action, ids),
            ProbeCall::Single { tag } if self.takes_single => {
                let answer = self.bulk(tag, TagAction::Add, &[DEVICE.into()]);
                if answer.is_success() { self.shown(self.single_answers) } else { answer }
            }
            ProbeCall::Single { .. } => Service::refused("BadRequest", "no such route"),
            ProbeCall::Value { value } => {
                assert_eq!(value.word(), "Normal", "only the value that the device has");
                self.shown(true)
            }
            ProbeCall::Patch { value, tags } => {
                assert!(value.is_some() || tags.as_ref().is_some_and(|tags| !tags.is_empty()));
                match tags {
                    Some(tags) if self.patch_replaces => self.tags = tags.clone(),
                    Some(_) => {}
                    None if self.patch_value_keeps => {}
                    None => self.tags.clear(),
                }
                self.shown(true)
            }
        })
    }

    async fn pause(&mut self, wait: Duration) -> Result<(), Interrupted> {
        self.clock += wait.as_secs();
        Ok(())
    }

    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-27T03:00:00Z").unwrap().plus(Duration::from_secs(self.clock))
    }
}

/// Runs a future that is never pending, like those of the service above.
fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

fn device(manual: bool) -> ProbedDevice {
    let manual = manual.then(|| vec!["Finance".into(), "EU".into()]);
    ProbedDevice { id: DEVICE.into(), unknown_id: UNKNOWN.into(), manual }
}

fn probed(service: &mut Service, manual: bool) -> Measured {
    run(measure(service, &device(manual), &ScratchTags::new("k3"), "mdetag 0"))
}

fn verdict(measured: &Measured, question: Question) -> &str {
    let found = measured.profile.findings.iter().find(|finding| finding.question == question.word());
    found.map_or("", |finding| finding.verdict.as_str())
}

fn services() -> impl Strategy<Value = Service> {
    let bits = proptest::collection::vec(any::<bool>(), 12);
    let long = prop_oneof![Just((300, false)), Just((200, false)), Just((200, true)), Just((120, true))];
    let unknown = prop_oneof![Just("named"), Just("unnamed"), Just("partial")];
    (
        bits,
        long,
        unknown,
        prop_oneof![Just(0_u64), Just(30), Just(4_000)],
        prop_oneof![Just(80_usize), Just(250)],
    )
        .prop_map(|(bits, longest, unknown, lag, fleet)| Service {
            folds_case: bits[0],
            trims: bits[1],
            bulk_answers: bits[2],
            single_answers: bits[10],
            takes_single: bits[11],
            remove_absent: bits[3],
            empty_ids: bits[4],
            patch_value_keeps: bits[5],
            patch_replaces: bits[6],
            filters: bits[7],
            link: bits[8],
            skips: bits[9],
            longest,
            unknown,
            lag,
            fleet,
            ..Service::calm()
        })
}

/// The device's tags as a set, since the service may return them in another order.
fn set(tags: &[Arc<str>]) -> BTreeSet<&str> {
    tags.iter().map(|tag| &**tag).collect()
}

proptest! {
    #[test]
    fn each_verdict_is_what_the_service_does(service in services()) {
        let mut asked = service.clone();
        asked.listed = asked.tags.clone();
        let measured = probed(&mut asked, true);
        prop_assert_eq!(&measured.interrupted, &None);
        let is = |question| verdict(&measured, question);
        let either = |yes: bool, then: &'static str, other: &'static str| if yes { then } else { other };
        prop_assert_eq!(is(Question::TagCase), either(service.folds_case, "insensitive", "sensitive"));
        prop_assert_eq!(is(Question::TagBlanks), either(service.trims, "trimmed", "kept"));
        prop_assert_eq!(is(Question::BulkAnswer), either(service.bulk_answers, "device", "empty"));
        let single = if service.takes_single { either(service.single_answers, "device", "empty") } else { "refused" };
        prop_assert_eq!(is(Question::SingleAnswer), single);
        prop_assert_eq!(is(Question::RemoveAbsent), either(service.remove_absent, "accepted", "refused"));
        prop_assert_eq!(is(Question::EmptyIds), either(service.empty_ids, "accepted", "refused"));
        prop_assert_eq!(is(Question::FilterHealthStatus), either(service.filters, "accepted", "refused"));
        let unknown = match service.unknown {
            "named" => "refusedNamed",
            "unnamed" => "refusedUnnamed",
            _ => "partial",
        };
        prop_assert_eq!(is(Question::UnknownId), unknown);
        let longer = match service.longest {
            (300, _) => "accepted",
            (_, true) => "cut",
            (_, false) => "refused",
        };
        prop_assert_eq!(is(Question::LongerTag), longer);
        prop_assert_eq!(is(Question::PatchValue), either(service.patch_value_keeps, "keepsTags", "losesTags"));
        if service.patch_value_keeps {
            prop_assert_eq!(is(Question::PatchTags), either(service.patch_replaces, "replaces", "appends"));
        }
        let whole = service.fleet <= service.page || !(service.link || service.skips);
        prop_assert_eq!(is(Question::PageSize), either(whole, "atLeast", "measured"));
        if !whole {
            prop_assert_eq!(is(Question::LinkWithTop), either(service.link, "present", "absent"));
            prop_assert_eq!(is(Question::SkipBeyondPage), either(service.skips, "goesOn", "capped"));
        }
        if service.filters && is(Question::ListLag) == "measured" {
            let lag = measured.profile.findings.iter().find(|one| one.question == "listLag").unwrap().number;
            prop_assert!(lag.unwrap() >= service.lag, "{lag:?}");
        }
    }

    #[test]
    fn the_device_is_as_before_wherever_a_probe_ends(service in services(), stop_at in 0_u32..45, manual: bool) {
        let mut asked = service.clone();
        asked.listed = asked.tags.clone();
        asked.stop_at = stop_at;
        let measured = probed(&mut asked, manual);
        asked.stop_at = u32::MAX;
        let cleaned = run(clean_up(&mut asked, &DEVICE.into(), &Leftover::of(&measured)));
        prop_assert!(cleaned.is_ok(), "{cleaned:?}");
        prop_assert_eq!(set(&asked.tags), set(&service.tags));
        prop_assert!(asked.calls < MAX_CALLS, "{} calls", asked.calls);
    }
}

#[test]
fn patch_is_not_probed_on_tags_of_unknown_origin() {
    let measured = probed(&mut Service::calm(), false);
    assert_eq!(verdict(&measured, Question::PatchValue), "notMeasured");
    assert_eq!(verdict(&measured, Question::PatchTags), "notMeasured");
    let mut bare = Service { tags: Vec::new(), ..Service::calm() };
    assert_eq!(verdict(&probed(&mut bare, false), Question::PatchTags), "replaces");
}

#[test]
fn the_profile_holds_no_id_no_tag_and_no_text_of_the_service() {
    let text = serde_json::to_string(&probed(&mut Service::calm(), true).profile).unwrap();
    for secret in [DEVICE, UNKNOWN, "Finance", PREFIX, "Failed to find"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(ServiceProfile::read(&text).unwrap(), probed(&mut Service::calm(), true).profile);
}

#[test]
fn scratch_tags_are_told_from_every_other_tag() {
    for tag in ["mdetag-probe-k3", " MDETAG-Probe-K3-x ", "mdetag-probe-"] {
        assert!(is_scratch(tag), "{tag}");
    }
    for tag in ["mdetag-prob", "x mdetag-probe-k3", ""] {
        assert!(!is_scratch(tag), "{tag}");
    }
    let tags = ScratchTags::new("k3");
    assert_eq!((tags.long.chars().count(), tags.longer.chars().count()), (200, 201));
}

#[test]
fn a_finding_counts_for_ninety_days_and_not_once_reality_differed() {
    let mut profile = probed(&mut Service::calm(), true).profile;
    let measured = Timestamp::parse("2026-11-27T03:00:00Z").unwrap();
    let after = |days: u64| measured.plus(Duration::from_secs(days * 86_400));
    assert!(profile.verdict(Question::TagCase, after(89)).is_some());
    assert!(profile.verdict(Question::TagCase, after(91)).is_none());
    assert!(
        profile.verdict(Question::TagCase, measured.minus(Duration::from_secs(60))).is_some(),
        "clocks differ"
    );
    assert!(profile.verdict(Question::TagCase, measured.minus(Duration::from_secs(600))).is_none());
    profile.findings.iter_mut().for_each(|finding| finding.stale_since = Some(after(1).to_string()));
    assert!(profile.verdict(Question::TagCase, after(2)).is_none());
}

#[test]
fn a_second_probe_says_what_changed_and_forgets_nothing() {
    let mut profile = probed(&mut Service::calm(), true).profile;
    let later = probed(&mut Service { folds_case: true, ..Service::calm() }, false).profile;
    let changed = profile.take(later);
    assert_eq!(changed, [("tagCase".to_owned(), "sensitive".to_owned(), "insensitive".to_owned())]);
    let patch = profile.findings.iter().find(|finding| finding.question == "patchTags").unwrap();
    assert_eq!(patch.verdict, "replaces", "what the second could not measure stays");
}

#[test]
fn a_profile_with_verdicts_that_do_not_exist_is_not_believed() {
    let text = r#"{"formatVersion":"1.0","findings":[
        {"question":"tagCase","verdict":"whatever","measuredAt":"2026-11-27T03:00:00Z","tool":"x"},
        {"question":"nonsense","verdict":"accepted","measuredAt":"2026-11-27T03:00:00Z","tool":"x"}]}"#;
    assert_eq!(ServiceProfile::read(text).unwrap().findings, []);
    assert!(ServiceProfile::read("[]").is_err());
    assert!(ServiceProfile::read(r#"{"formatVersion":"2.0"}"#).is_err());
}

/// The verdicts that count in a profile with these findings.
fn known(findings: &[(&str, &str, Option<u64>)]) -> KnownService {
    let tenant = crate::plan::TenantReference::default();
    let findings: Vec<_> = findings
        .iter()
        .map(|(question, verdict, number)| {
            serde_json::json!({ "question": question, "verdict": verdict, "number": number,
                "measuredAt": "2026-11-27T00:00:00Z", "tool": "" })
        })
        .collect();
    let text = serde_json::json!({ "formatVersion": "1.0", "check": ServiceProfile::check_of(&tenant), "findings": findings });
    let now = Timestamp::parse("2026-11-27T01:00:00Z").unwrap();
    ServiceProfile::read(&text.to_string()).unwrap().known(&tenant, now).unwrap()
}

#[test]
fn the_measured_lag_says_when_the_list_is_read_again_unless_mdetag_yaml_does() {
    for (verdict, lag, settle) in
        [("measured", 0, 2), ("measured", 40, 60), ("measured", 3_000, 600), ("atLeast", 300, 15)]
    {
        let mut settings = crate::policy::settings::Settings::default();
        settings.writes.settle = Duration::from_secs(15);
        known(&[("listLag", verdict, Some(lag))]).suit(&mut settings);
        assert_eq!(settings.writes.settle.as_secs(), settle, "{verdict} {lag}");
    }
    let mut settings = crate::policy::settings::Settings::default();
    settings.writes.settle = Duration::from_secs(15);
    settings.writes.says_settle = true;
    known(&[("listLag", "measured", Some(40))]).suit(&mut settings);
    assert_eq!(settings.writes.settle.as_secs(), 15);
}

#[test]
fn a_patch_that_loses_tags_of_its_list_leaves_combine_out() {
    for (verdict, combines) in
        [("replaces", true), ("appends", false), ("losesTags", false), ("refused", false)]
    {
        let mut settings = crate::policy::settings::Settings::default();
        settings.writes.combine = true;
        known(&[("patchTags", verdict, None)]).suit(&mut settings);
        assert_eq!(settings.writes.combine, combines, "{verdict}");
    }
}

#[test]
fn reality_contradicts_each_finding_that_a_run_uses() {
    for (question, measured, seen) in [
        ("linkWithTop", ("absent", None), ("present", None)),
        ("skipBeyondPage", ("capped", None), ("goesOn", None)),
        ("pageSize", ("measured", Some(100)), ("measured", Some(50))),
        ("filterRbacGroupId", ("accepted", None), ("refused", None)),
        ("tagCase", ("sensitive", None), ("insensitive", None)),
        ("tagLength", ("accepted", None), ("cut", Some(100))),
        ("unknownId", ("refusedNamed", None), ("refusedUnnamed", None)),
        ("bulkAnswer", ("device", None), ("empty", None)),
        ("singleAnswer", ("device", None), ("empty", None)),
        ("valueAnswer", ("device", None), ("empty", None)),
        ("patchValue", ("keepsTags", None), ("losesTags", None)),
        ("listLag", ("measured", Some(5)), ("atLeast", Some(60))),
    ] {
        let service = known(&[(question, measured.0, measured.1)]);
        let question = Question::parse(question).unwrap();
        let mut same = crate::service::ServiceObservations::default();
        same.note(question, measured.0, measured.1);
        assert_eq!(service.contradicted(&same), [], "{question:?}");
        let mut other = crate::service::ServiceObservations::default();
        other.note(question, seen.0, seen.1);
        assert_eq!(service.contradicted(&other), [(question, seen.0, seen.1)], "{question:?}");
        let mut profile = ServiceProfile::read(r#"{"formatVersion":"1.0"}"#).unwrap();
        profile.findings = probed(&mut Service::calm(), true).profile.findings;
        assert!(profile.learn(&other, &[question], Timestamp::EPOCH));
        assert!(profile.is_stale(question), "{question:?}");
    }
}
