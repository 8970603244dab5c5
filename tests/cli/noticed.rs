//! Observations of the service by ordinary runs: the forms of its answers, and never its own words.

use mdetag_sandbox::{LoggedCall, Route};
use serde_json::{Value, json};

use crate::probe::{calls, project, tenant};
use crate::project::{Project, Ran};
use crate::service::{Fake, Say, Service};

const POLICY: &str = "version: 1\nclaims: [zebra-1, Finance]\nrules:\n  - { name: all, select: { everything: true }, tags: [zebra-1], deviceValue: High }\n";
const ROLES: [&str; 2] = ["Machine.Read.All", "Machine.ReadWrite.All"];

/// The stored observations of the only tenant.
fn kept(project: &Project) -> String {
    let tenants = std::fs::read_dir(project.path().join(".mdetag/public")).unwrap();
    std::fs::read_to_string(tenants.flatten().next().unwrap().path().join("service.json")).unwrap()
}

/// The verdict of a question that runs saw, with its number.
fn seen(project: &Project, question: &str) -> Option<(String, Option<u64>)> {
    let document: Value = serde_json::from_str(&kept(project)).unwrap();
    let one = document["seen"].as_array().unwrap().iter().find(|one| one["question"] == question)?.clone();
    Some((one["verdict"].as_str().unwrap().to_owned(), one["number"].as_u64()))
}

fn word(word: &str) -> Option<(String, Option<u64>)> {
    Some((word.to_owned(), None))
}

fn number(word: &str, number: u64) -> Option<(String, Option<u64>)> {
    Some((word.to_owned(), Some(number)))
}

#[test]
fn every_form_of_a_refusal_for_too_many_calls_is_noted() {
    for (body, code, limit, key) in [
        ("2021", "429", number("perMinute", 100), "other"),
        ("2022", "429", number("perMinute", 100), "destinationTenantApp"),
        ("documented", "tooManyRequests", number("perMinute", 100), "other"),
    ] {
        let service = tenant(&["throttle=list:1", &format!("throttle_body={body}")]);
        let project = project(POLICY);
        project.run_in(&service.secret(), &["plan"]).exits(0);
        let text = kept(&project);
        assert_eq!(seen(&project, "throttleCode"), word(code), "{text}");
        assert_eq!(seen(&project, "throttleKey"), word(key), "{text}");
        assert_eq!(seen(&project, "throttle"), number("withRetryAfter", 5), "{text}");
        assert_eq!(seen(&project, "retryAfterForm"), word("seconds"), "{text}");
        if body != "documented" {
            assert_eq!(seen(&project, "throttleLimit"), limit, "{text}");
        }
    }
    for (fault, form) in [("throttle_silent", "absent"), ("throttle_garbled", "unreadable")] {
        let service = tenant(&[&format!("{fault}=setValue:1")]);
        let project = project(POLICY);
        project.run_in(&service.secret(), &["apply", "--auto-approve"]).exits(0);
        assert_eq!(seen(&project, "retryAfterForm"), word(form), "{fault}");
        assert_eq!(seen(&project, "throttle"), word("withoutRetryAfter"), "{fault}");
    }
}

#[test]
fn links_small_pages_properties_and_words_that_nobody_knows_are_noted() {
    let service = tenant(&["page=7", "unknown_property=on", "unknown_enum=on"]);
    let project = project(POLICY);
    project.run_in(&service.secret(), &["plan"]).exits(0);
    let text = kept(&project);
    assert_eq!(seen(&project, "pageSize"), number("measured", 7), "{text}");
    assert_eq!(seen(&project, "linkWithTop"), word("absent"), "{text}");
    assert_eq!(seen(&project, "skipBeyondPage"), word("goesOn"), "{text}");
    assert_eq!(seen(&project, "unknownProperties"), number("seen", 1), "{text}");
    assert_eq!(seen(&project, "unknownWords"), number("seen", 1), "{text}");
    service.sandbox.set("paging", "nextlink").unwrap();
    service.sandbox.set("nextlink_with_top", "on").unwrap();
    project.run_in(&service.secret(), &["devices", "--where", "{ everything: true }"]).exits(0);
    assert_eq!(seen(&project, "linkWithTop"), word("present"), "{}", kept(&project));
}

#[test]
fn the_lag_that_a_second_read_shows_is_noted() {
    let service = tenant(&["bulk_body=empty"]);
    let project = project(POLICY);
    project.run_in(&service.secret(), &["apply", "--auto-approve"]).exits(0);
    assert_eq!(seen(&project, "listLag").unwrap().0, "measured", "{}", kept(&project));
    assert_eq!(seen(&project, "bulkAnswer"), word("empty"));
}

#[test]
fn a_read_that_is_refused_tells_how_the_service_refuses() {
    for (status, text, question, verdict) in [
        (
            403,
            "Missing application roles. API required roles: X, application roles: Y.",
            "forbiddenText",
            "missingApplicationRoles",
        ),
        (
            403,
            "The application does not have any of the required application permissions (X) to access the resource.",
            "forbiddenText",
            "requiredPermissions",
        ),
        (403, "no", "forbiddenText", "other"),
        (
            401,
            "Unauthorized request - reason of failure: Account mode is inactive",
            "unauthorizedText",
            "accountInactive",
        ),
        (401, "No Tvm license", "unauthorizedText", "noLicence"),
        (401, "no", "unauthorizedText", "other"),
    ] {
        let fake = Fake::tenant(&json!({ "roles": ROLES }), move |_| {
            Say::json(status, &json!({ "error": { "code": "Forbidden", "message": text } }))
        });
        let project = project(POLICY);
        project.run_in(&fake.secret(), &["plan"]).exits(1);
        assert_eq!(seen(&project, question), word(verdict), "{text}");
    }
}

/// A service that inserts a word wherever it can.
fn planting() -> Fake {
    let device = json!({
        "id": "planted01", "computerDnsName": "planted02.example", "machineTags": ["planted03"],
        "healthStatus": "planted04", "planted05": "planted06", "lastSeen": "2026-11-20T00:00:00Z", "deviceValue": "Normal",
    });
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Fake::tenant(&json!({ "roles": ROLES, "planted07": "planted08" }), move |seen| {
        let nth = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let headers = vec![
            ("x-rate-limit-planted09", "planted10".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("request-id", "planted11".to_owned()),
        ];
        let error = |status, code: &str| {
            let message = "planted12 AppID planted13; maximum allowed 5 per planted14 planted01 planted03";
            let body = json!({ "error": { "code": code, "message": message, "target": "planted15" } });
            let headers = [headers.clone(), vec![("retry-after", "planted16".to_owned())]].concat();
            Say(status, headers, body.to_string())
        };
        match (&*seen.method, nth) {
            ("GET", 0) => error(429, "planted17"),
            ("GET", _) if seen.is_behind() => {
                Say(200, headers, json!({ "value": [], "planted18": 1 }).to_string())
            }
            ("GET", _) => {
                Say(200, headers, json!({ "@odata.context": "planted19", "value": [device] }).to_string())
            }
            _ => error(400, "planted20"),
        }
    })
}

#[test]
fn what_is_noted_holds_no_word_of_the_service() {
    let fake = planting();
    let project = project(POLICY);
    let ran = project.run_in(&fake.secret(), &["apply", "--auto-approve"]);
    assert!(ran.code == 4, "{} {}", ran.out, ran.err);
    let text = kept(&project);
    assert!(!text.contains("planted"), "{text}");
    for secret in ["a-secret", "app-1", crate::service::TENANT, "127.0.0.1", "unsigned"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for (question, expected) in [
        ("rateLimitHeaders", word("present")),
        ("throttleCode", word("other")),
        ("throttleKey", word("destinationTenantApp")),
        ("throttleLimit", number("otherSpan", 5)),
        ("retryAfterForm", word("unreadable")),
        ("unknownProperties", number("seen", 1)),
        ("unknownWords", number("seen", 1)),
    ] {
        assert_eq!(seen(&project, question), expected, "{question} in {text}");
    }
    let again = project.run_in(&fake.secret(), &["doctor", "--format=json"]);
    assert!(
        again.json()["service"].as_array().unwrap().iter().all(|row| !row.to_string().contains("planted"))
    );
}

/// The calls of some commands, without their times, sorted, because several are in flight at once.
fn called(service: &Service, before: usize) -> Vec<String> {
    // The devices of each sandbox were last seen at different times.
    let timeless = |query: &str| {
        let words = query.split("%20").map(|word| if word.starts_with("20") { "TIME" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let line =
        |call: &LoggedCall| format!("{} {} {} {}", call.method, call.path, timeless(&call.query), call.body);
    let mut lines: Vec<String> = calls(service)[before..].iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn what_runs_saw_changes_no_call_and_no_decision() {
    let services: [&[&str]; 6] = [
        &[],
        &["tag_case=insensitive_keep_first", "bulk_body=empty"],
        &["page=7", "throttle=list:1", "throttle_body=2022"],
        &["page=10", "paging=hard_cap"],
        &["page=10", "paging=nextlink", "nextlink_with_top=on", "unknown_enum=on", "unknown_property=on"],
        &["bulk_unknown=reject_opaque", "trim=on", "long_tag=cut", "odata_strict=doc_short"],
    ];
    for faults in services {
        let mut all: Vec<Vec<(Vec<String>, i32, Value)>> = Vec::new();
        for keeps in [true, false] {
            let service = tenant(faults);
            let project = project(POLICY);
            let mut steps = Vec::new();
            for words in [
                &["plan", "--format=json"][..],
                &["apply", "--auto-approve", "--format=json"],
                &["drift", "--format=json"],
                &["apply", "--auto-approve", "--format=json"],
            ] {
                if !keeps {
                    for tenant in std::fs::read_dir(project.path().join(".mdetag/public"))
                        .into_iter()
                        .flatten()
                        .flatten()
                    {
                        let _ = std::fs::remove_file(tenant.path().join("service.json"));
                    }
                }
                let before = calls(&service).len();
                let ran: Ran = project.run_in(&service.secret(), words);
                let document = ran.json();
                let decided = json!([
                    document["summary"],
                    document["changes"],
                    document["withheld"],
                    document["options"],
                    document["outcomes"],
                    document["guard"]
                ]);
                steps.push((called(&service, before), ran.code, decided));
            }
            assert!(!keeps || kept(&project).contains("\"seen\""));
            assert!(service.count(Route::List) > 0);
            all.push(steps);
        }
        assert_eq!(all[0], all[1], "{faults:?}");
    }
}
