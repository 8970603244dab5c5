//! Every way in which the service is known to page gives the same devices, or a verdict that says why not.

mod caps;
mod measured;
mod short_pages;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::tenant::fake::{Fake, FakeReply, OpenMeter, ReceivedRequest, connect};
use crate::tenant::{ReadDevices, ReadScope, ReadWatch, RequiredAccess, TenantError, TenantErrorKind};
use mdetag_core::inventory::{Snapshot, Trust, UntrustedReason};
use mdetag_core::service::ServiceObservations;
use mdetag_core::time::Timestamp;

/// The faults of the simulated list.
#[derive(Clone, Debug, Default)]
struct Quirks {
    /// The most rows of a page.
    page: usize,
    /// The most rows that the service returns.
    cap: Option<usize>,
    /// Links on full pages.
    links: Option<NextLinks>,
    /// Rotates the order by this many places from request to request.
    rotate: usize,
    /// Returns the first device of each page twice.
    twice: bool,
    /// All devices have the same `lastSeen`.
    same: bool,
    /// All devices are alike in every field that can be filtered.
    alike: bool,
    /// Ignores `$filter`.
    deaf: bool,
    /// Rejects `$filter` with 400.
    refuses: bool,
    /// Removes the device at this index after the first request.
    shrinks: Option<usize>,
}

#[derive(Clone, Debug)]
enum NextLinks {
    Good,
    /// None beyond the cap.
    ToCap,
    /// Later links lose the filter.
    NoFilter,
    /// The second link leads back to the first page.
    Loop,
    /// To this origin.
    Host(String),
}

#[derive(Clone, Debug)]
struct Device {
    id: String,
    seen: Option<Timestamp>,
    platform: Option<&'static str>,
    group: Option<i64>,
}

/// Devices one minute apart; every eleventh has no time.
fn fleet(count: usize) -> Vec<Device> {
    let base = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
    let seen = |index: usize| {
        (index % 11 != 10)
            .then(|| Timestamp::from_seconds(base.seconds() + (index * 7919 % 100_003) as i64 * 60))
    };
    let platforms = [Some("Windows11"), Some("O'Brien OS"), None, Some("Windows11")];
    (0..count)
        .map(|index| Device {
            id: format!("{index:040x}"),
            seen: seen(index),
            platform: platforms[index % 4],
            group: (index % 5 > 0).then_some(index as i64 % 5 * 100),
        })
        .collect()
}

/// Evaluates the few forms of filters that the reader sends.
fn holds(filter: &str, device: &Device) -> bool {
    filter.split(" and ").all(|part| {
        let part = part.trim_start_matches('(').trim_end_matches(')');
        if part.contains(" or ") {
            return part.split(" or ").any(|part| holds(part, device));
        }
        let (name, rest) = part.split_once(' ').unwrap();
        let (operator, value) = rest.split_once(' ').unwrap();
        let text = match name {
            "osPlatform" => device.platform.map(|platform| format!("'{}'", platform.replace('\'', "''"))),
            "rbacGroupId" => device.group.map(|group| group.to_string()),
            "healthStatus" => Some("'Active'".to_owned()),
            _ => None,
        };
        if name != "lastSeen" {
            let value = (value != "null").then(|| value.to_owned());
            return (text == value) == (operator == "eq");
        }
        if value == "null" {
            return device.seen.is_none();
        }
        let value = Timestamp::parse(value).unwrap();
        device.seen.is_some_and(|seen| match operator {
            "ge" => seen >= value,
            "gt" => seen > value,
            "le" => seen <= value,
            "lt" => seen < value,
            other => panic!("{other}"),
        })
    })
}

fn list(fleet: &[Device], quirks: &Quirks, request: usize, base: &str, seen: &ReceivedRequest) -> FakeReply {
    let number = |name: &str| seen.option(name).map(|text| text.parse::<usize>().unwrap());
    let filter = seen.option("$filter");
    if filter.is_some() && quirks.refuses {
        return FakeReply::json(400, &json!({ "error": { "code": "ODataError", "message": "no" } }));
    }
    let mut rows: Vec<&Device> = fleet
        .iter()
        .filter(|device| quirks.deaf || filter.is_none_or(|filter| holds(filter, device)))
        .collect();
    if let Some(gone) = quirks.shrinks.filter(|_| request > 0 && filter.is_none()) {
        rows.remove(gone);
    }
    if !rows.is_empty() {
        let by = quirks.rotate * request % rows.len();
        rows.rotate_left(by);
    }
    let (skip, top) = (number("$skip").unwrap_or(0), number("$top").unwrap_or(10_000).min(quirks.page));
    let visible = rows.len().min(quirks.cap.unwrap_or(usize::MAX));
    let total = if matches!(quirks.links, Some(NextLinks::ToCap)) { visible } else { rows.len() };
    let page = &rows[skip.min(visible)..(skip + top).min(visible)];
    let row = |device: &&Device| {
        json!({ "id": device.id, "lastSeen": device.seen.map(|seen| seen.to_string()),
            "osPlatform": device.platform, "rbacGroupId": device.group, "healthStatus": "Active" })
    };
    let mut value: Vec<Value> = page.iter().map(row).collect();
    if quirks.twice && !value.is_empty() {
        value.push(value[0].clone());
    }
    let mut body = json!({ "@odata.context": "x", "value": value });
    if let Some(links) = quirks.links.as_ref().filter(|_| skip + top < total && top > 1) {
        let host = if let NextLinks::Host(host) = links { host.as_str() } else { base };
        let again = matches!(links, NextLinks::Loop) && skip > 0;
        let mut link = format!("{host}/api/machines?$skip={}", if again { 0 } else { skip + top });
        if let Some(filter) = filter.filter(|_| !matches!(links, NextLinks::NoFilter) || skip == 0) {
            link.push_str(&format!("&$filter={filter}"));
        }
        body["@odata.nextLink"] = link.into();
    }
    FakeReply::json(200, &body)
}

struct Outcome {
    result: Result<(Snapshot, Trust), TenantError>,
    calls: Vec<ReceivedRequest>,
    sightings: ServiceObservations,
}

impl Outcome {
    fn whole(self, count: usize) {
        let (snapshot, trust) = self.result.unwrap();
        assert_eq!(snapshot.len(), count, "{:?}", trust.sentences());
        assert!(trust.is_trusted(), "{:?}", trust.sentences());
    }

    fn untrusted(self) -> String {
        let (_, trust) = self.result.unwrap();
        assert!(!trust.is_trusted());
        trust.sentences().join("; ")
    }
}

async fn read(count: usize, quirks: Quirks) -> Outcome {
    read_scoped(count, quirks, None).await
}

async fn read_scoped(count: usize, quirks: Quirks, filter: Option<&str>) -> Outcome {
    let scope = ReadScope { filter: filter.map(str::to_owned), ..ReadScope::default() };
    read_with(count, quirks, scope).await
}

async fn read_with(count: usize, quirks: Quirks, scope: ReadScope) -> Outcome {
    let (mut fleet, requests) = (fleet(count), AtomicUsize::new(0));
    let one = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
    for device in &mut fleet {
        if quirks.same {
            device.seen = Some(one);
        }
        if quirks.alike {
            (device.platform, device.group) = (Some("Windows11"), Some(0));
        }
    }
    let base: std::sync::Arc<Mutex<String>> = std::sync::Arc::default();
    let known = base.clone();
    let fake = Fake::tenant(&["Machine.Read.All"], move |seen| {
        let base = known.lock().unwrap().clone();
        list(&fleet, &quirks, requests.fetch_add(1, Ordering::Relaxed), &base, seen)
    })
    .await;
    *base.lock().unwrap() = fake.url.clone();
    let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
    let meter = OpenMeter::default();
    let watch = ReadWatch { meter: &meter, progress: &|_| {}, pages: None };
    let result = tenant.reader().read(&scope, watch).await;
    let calls = fake.calls();
    assert_eq!(meter.admitted.lock().unwrap().len(), calls.len(), "every call is admitted");
    assert!(calls.iter().all(|call| call.header("user-agent").unwrap().starts_with("mdetag/")));
    Outcome { result, calls, sightings: tenant.sightings() }
}

fn pages(page: usize) -> Quirks {
    Quirks { page, ..Quirks::default() }
}

#[tokio::test]
async fn a_short_page_is_asked_for_with_an_explicit_top_and_then_whether_it_is_the_last() {
    let outcome = read(33, pages(10_000)).await;
    let asked: Vec<_> =
        outcome.calls.iter().map(|call| (call.option("$top"), call.option("$skip"))).collect();
    assert_eq!(asked, [(Some("10000"), None), (Some("1"), Some("33"))]);
    outcome.whole(33);
}

#[tokio::test]
async fn pages_by_skip_give_every_device_at_any_page_size() {
    for (count, page) in [(250, 100), (300, 100), (301, 100), (1000, 10), (20, 10), (100, 100), (11, 10)] {
        read(count, pages(page)).await.whole(count);
    }
}

#[tokio::test]
async fn a_full_page_of_ten_thousand_is_walked_and_the_end_confirmed() {
    let outcome = read(10_007, pages(10_000)).await;
    let skips: Vec<_> =
        outcome.calls.iter().map(|call| call.option("$skip").unwrap_or("0").to_owned()).collect();
    assert_eq!(skips, ["0", "9999", "10006"]);
    outcome.whole(10_007);
    read(10_000, pages(10_000)).await.whole(10_000);
}

#[tokio::test]
async fn a_cap_on_rows_is_seen_and_split_by_last_seen() {
    for (count, cap) in [(1000, 100), (101, 100), (100, 100), (90, 10)] {
        let quirks = Quirks { page: cap, cap: Some(cap), ..Quirks::default() };
        read(count, quirks).await.whole(count);
    }
}

#[tokio::test]
async fn links_are_followed_with_the_filter_put_on_again() {
    let scope = "lastSeen ge 2026-01-01T00:00:00Z";
    let expected = fleet(300).iter().filter(|device| device.seen.is_some()).count();
    for links in [NextLinks::Good, NextLinks::NoFilter] {
        let quirks = Quirks { page: 100, links: Some(links), ..Quirks::default() };
        let outcome = read_scoped(300, quirks, Some(scope)).await;
        assert!(outcome.calls.iter().all(|call| call.option("$filter") == Some(scope)));
        outcome.whole(expected);
    }
}

#[tokio::test]
async fn links_in_a_circle_are_left_for_skip() {
    let quirks = Quirks { page: 100, links: Some(NextLinks::Loop), ..Quirks::default() };
    read(350, quirks).await.whole(350);
}

#[tokio::test]
async fn links_to_the_services_other_hosts_stay_on_the_configured_one() {
    let links = Some(NextLinks::Host("https://api.securitycenter.microsoft.com".into()));
    read(250, Quirks { page: 100, links, ..Quirks::default() }).await.whole(250);
}

#[tokio::test]
async fn a_link_to_a_foreign_host_is_refused_and_said() {
    let trap = Fake::start(|_| FakeReply::text(200, "{}")).await;
    let links = Some(NextLinks::Host(trap.url.clone()));
    let outcome = read(250, Quirks { page: 100, links, ..Quirks::default() }).await;
    let (snapshot, trust) = outcome.result.as_ref().unwrap();
    assert_eq!(snapshot.len(), 250);
    assert!(
        trust.sentences()[0].contains("names the host 127.0.0.1; it was not followed"),
        "{:?}",
        trust.sentences()
    );
    assert!(trap.seen().is_empty(), "nothing was sent there, least of all a token");
}

#[tokio::test]
async fn an_order_that_moves_ends_whole_or_untrusted() {
    for rotate in [1, 7, 50, 150] {
        let outcome = read(250, Quirks { page: 100, rotate, ..Quirks::default() }).await;
        let (snapshot, trust) = outcome.result.unwrap();
        assert!(
            snapshot.len() == 250 || !trust.is_trusted(),
            "rotated by {rotate}: {} devices",
            snapshot.len()
        );
    }
}

#[tokio::test]
async fn a_device_given_twice_is_one_device_once_two_passes_agree() {
    read(33, Quirks { page: 100, twice: true, ..Quirks::default() }).await.whole(33);
    read(250, Quirks { page: 100, twice: true, ..Quirks::default() }).await.whole(250);
}

#[tokio::test]
async fn a_list_that_shrinks_between_two_pages_is_read_again() {
    for links in [None, Some(NextLinks::Good)] {
        let quirks = Quirks { page: 100, shrinks: Some(3), links, ..Quirks::default() };
        let outcome = read(250, quirks).await;
        let (snapshot, trust) = outcome.result.unwrap();
        // The removed device stays in the snapshot, because it was there. The one that slid over the page border must not be
        // missing.
        assert_eq!(snapshot.len(), 250, "{:?}", trust.sentences());
    }
}

#[tokio::test]
async fn a_cap_without_a_way_around_it_is_untrusted() {
    for quirks in [
        Quirks { page: 100, cap: Some(100), deaf: true, ..Quirks::default() },
        Quirks { page: 100, cap: Some(100), refuses: true, ..Quirks::default() },
    ] {
        let fake_full = Quirks { links: Some(NextLinks::Loop), ..quirks };
        let sentence = read(250, fake_full).await.untrusted();
        assert!(sentence.contains("the list ends at 100 devices"), "{sentence}");
    }
}

#[tokio::test]
async fn an_empty_answer_and_a_404_are_untrusted_and_no_error() {
    assert!(read(0, pages(100)).await.untrusted().contains("no device at all"));
    let fake = Fake::tenant(&["Machine.Read.All"], |_| {
        FakeReply::json(404, &json!({ "error": { "code": "ResourceNotFound", "message": "No machine" } }))
    })
    .await;
    let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
    let (_, trust) = tenant.reader().read(&ReadScope::default(), watch(&OpenMeter::default())).await.unwrap();
    assert_eq!(trust.reasons, [UntrustedReason::NotFound]);
}

fn watch(meter: &OpenMeter) -> ReadWatch<'_> {
    ReadWatch { meter, progress: &|_| {}, pages: None }
}

/// A tenant that gives these answers in turn, then the last one forever; it has no devices behind them.
async fn in_turn(answers: Vec<FakeReply>) -> (Fake, Result<(Snapshot, Trust), TenantError>, OpenMeter) {
    let next = AtomicUsize::new(0);
    let fake = Fake::tenant(&["Machine.Read.All"], move |seen| match seen.option("$skip") {
        Some(_) => FakeReply::json(200, &json!({ "value": [] })),
        None => answers[next.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)].clone(),
    })
    .await;
    let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
    let meter = OpenMeter::default();
    let result = tenant.reader().read(&ReadScope::default(), watch(&meter)).await;
    (fake, result, meter)
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_each_try_is_admitted() {
    let page = FakeReply::json(200, &json!({ "value": [{ "id": "a" }] }));
    let cut = FakeReply::text(200, r#"{"value":[{"id":"a"},{"id"#);
    let answers = vec![FakeReply::text(503, "<html>busy"), FakeReply::text(500, ""), cut, page];
    let (fake, result, meter) = in_turn(answers).await;
    assert_eq!(result.unwrap().0.len(), 1);
    assert_eq!((fake.calls().len(), meter.admitted.lock().unwrap().len()), (5, 5));
}

#[tokio::test]
async fn throttled_reads_leave_the_wait_to_the_meter() {
    let page = FakeReply::json(200, &json!({ "value": [{ "id": "a" }] }));
    let answers = vec![FakeReply::text(429, "").with("retry-after", "8"), FakeReply::text(429, ""), page];
    let (_, result, meter) = in_turn(answers).await;
    assert_eq!(result.unwrap().0.len(), 1);
    let waits = meter.throttled.lock().unwrap().clone();
    assert_eq!(waits, [Some(std::time::Duration::from_secs(8)), None]);
}

#[tokio::test]
async fn endless_throttling_and_long_waits_end_the_read() {
    let (fake, result, _) = in_turn(vec![FakeReply::text(429, "")]).await;
    assert_eq!(result.unwrap_err().kind, TenantErrorKind::Throttled);
    assert_eq!(fake.calls().len(), 10);
    let (fake, result, _) = in_turn(vec![FakeReply::text(503, "").with("retry-after", "120")]).await;
    assert_eq!(
        result.unwrap_err().kind,
        TenantErrorKind::Throttled,
        "a 503 that names a time waits as a 429"
    );
    assert_eq!(fake.calls().len(), 10);
    let (fake, result, _) = in_turn(vec![FakeReply::text(429, "").with("retry-after", "3601")]).await;
    let error = result.unwrap_err();
    assert!(error.what.contains("asks for a wait of 1 h") && error.status == Some(429), "{error}");
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn answers_that_never_become_right_are_errors_for_people() {
    let role = json!({ "error": { "code": "Forbidden", "message": "Missing application roles.", "target": "req-1" } });
    let (_, result, _) = in_turn(vec![FakeReply::json(403, &role)]).await;
    let error = result.unwrap_err();
    assert_eq!((error.status, error.request_id.as_deref()), (Some(403), Some("req-1")));
    assert!(error.to_string().contains("Forbidden: Missing application roles."), "{error}");
    let (fake, result, _) = in_turn(vec![FakeReply::text(200, "{}")]).await;
    assert!(result.unwrap_err().what.contains("no list `value`"));
    assert_eq!(fake.calls().len(), 5);
}

#[tokio::test]
async fn rows_of_one_moment_behind_a_cap_are_split_by_another_field() {
    for (count, cap) in [(120, 100), (250, 100), (100, 100), (90, 30)] {
        let quirks = Quirks { page: 100, cap: Some(cap), same: true, ..Quirks::default() };
        read(count, quirks).await.whole(count);
    }
    let mut never = Quirks { page: 100, cap: Some(100), same: true, alike: true, ..Quirks::default() };
    for count in [100, 120] {
        let why = read(count, never.clone()).await.untrusted();
        assert!(
            why.contains("100 devices have the same lastSeen") && why.contains("cannot be ruled out"),
            "{why}"
        );
    }
    // No service has a limit of 60 or 90, so it is a small tenant whose devices were all created alike at one moment.
    let small = Quirks { page: 10_000, cap: None, ..never.clone() };
    for count in [10, 60, 90] {
        read(count, small.clone()).await.whole(count);
    }
    never.same = false;
    read(250, never).await.whole(250);
}

#[tokio::test]
async fn a_list_without_an_end_is_an_error() {
    let next = AtomicUsize::new(0);
    let fake = Fake::tenant(&["Machine.Read.All"], move |_| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let link = format!("/api/machines?$skip={number}");
        FakeReply::json(200, &json!({ "value": [{ "id": format!("d{number}") }], "@odata.nextLink": link }))
    })
    .await;
    let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
    let meter = OpenMeter::default();
    let error = reader.read(&ReadScope::default(), watch(&meter)).await.unwrap_err();
    assert!(error.what.contains("does not end"), "{error}");
    assert_eq!(fake.calls().len(), 1001);
}

#[tokio::test]
async fn devices_whose_tags_are_no_list_are_skipped_counted_and_named() {
    let body =
        json!({ "value": [{ "id": "a" }, { "id": "b", "computerDnsName": "dc01", "machineTags": "x, y" }] });
    let (fake, result, _) = in_turn(vec![FakeReply::json(200, &body)]).await;
    let (snapshot, trust) = result.unwrap();
    let expected = UntrustedReason::UnreadableDevices { devices: 1, names: vec!["dc01".into()] };
    assert_eq!((snapshot.len(), trust.reasons, fake.calls().len()), (1, vec![expected], 2));
}

#[tokio::test]
async fn a_gateways_answer_is_no_empty_tenant() {
    let html = "<html><h1>Not here</h1></html>";
    let odd = json!({ "message": "no route" }).to_string();
    for (status, body) in
        [(404, html), (404, ""), (404, &*odd), (200, html), (200, &*odd), (204, ""), (200, "[]")]
    {
        let (_, result, _) = in_turn(vec![FakeReply::text(status, body)]).await;
        let error = result.expect_err(body);
        assert!([TenantErrorKind::Rejected, TenantErrorKind::Answer].contains(&error.kind), "{error}");
        let fake = Fake::tenant(&["Machine.Read.All"], {
            let say = FakeReply::text(status, body);
            move |_| say.clone()
        })
        .await;
        let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
        assert!(reader.check_list(&OpenMeter::default()).await.is_err(), "{status} {body}");
    }
}

#[tokio::test]
async fn an_encoding_that_was_not_offered_is_named() {
    let say = FakeReply::text(200, "x").with("content-encoding", "deflate");
    let (_, result, _) = in_turn(vec![say.clone()]).await;
    assert!(result.unwrap_err().what.contains("packed with `deflate`"));
    let fake = Fake::start(move |_| say.clone()).await;
    let error = connect(fake.options(), RequiredAccess::Read).await.err().unwrap();
    assert!(error.what.contains("packed with `deflate`"), "{error}");
}

#[tokio::test]
async fn devices_without_an_id_are_skipped_and_counted() {
    let body = json!({ "value": [{ "id": "a" }, { "id": "../x" }, { "id": null }, {}] });
    let (_, result, _) = in_turn(vec![FakeReply::json(200, &body)]).await;
    let (snapshot, trust) = result.unwrap();
    assert_eq!((snapshot.len(), trust.reasons), (1, vec![UntrustedReason::WithoutId(3)]));
}
