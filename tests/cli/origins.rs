//! Tags that the registry or a dynamic rule sets: with `writes.origins`, hunting names them before anything is written.

use mdetag_sandbox::Route;
use serde_json::json;

use crate::project::Project;
use crate::service::Service;

const POLICY: &str = "version: 1\nclaims: [Old]\n";

/// Three devices with the tag to remove, from three origins.
fn service(faults: &[&str]) -> Service {
    let service = Service::start(faults);
    let device = |number: u64, origin: serde_json::Value| {
        let mut device = json!({ "id": format!("{number:040x}"), "computerDnsName": format!("d{number}"), "osPlatform": "Linux" });
        device.as_object_mut().unwrap().extend(origin.as_object().unwrap().clone());
        device
    };
    let manual = device(1, json!({ "machineTags": ["Old"] }));
    let registry = device(2, json!({ "machineTags": [], "registryTag": "Old" }));
    let dynamic = device(3, json!({ "machineTags": [], "dynamicTags": ["Old"] }));
    service.sandbox.insert(&json!([manual, registry, dynamic])).unwrap();
    service
}

fn project(origins: bool) -> Project {
    let project = Project::with_policy(POLICY);
    project.write(
        "mdetag.yaml",
        &format!("version: 1\nbudget: {{ timeScale: 1000 }}\nwrites: {{ origins: {origins} }}\n"),
    );
    project
}

#[test]
fn removals_of_tags_of_other_origins_are_contested_from_the_start_and_say_why() {
    let service = service(&[]);
    let project = project(true);
    let ran = project.run_in(&service.secret(), &["plan"]).exits(0);
    // Without the ends of lines: a long sentence is folded.
    let told = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("1 removal contested: another origin holds it"), "{}", ran.out);
    for origin in ["registry or its management profile sets the tag", "a dynamic rule sets the tag"] {
        assert!(told.contains(origin), "`{origin}` is not in {}", ran.out);
    }
    assert_eq!(service.count(Route::Hunting), 1, "asked once");
    project.run_in(&service.secret(), &["apply", "--auto-approve"]).exits(0);
    assert_eq!(service.writes(), 1, "one device's tag was made by hand");
    // Contested changes are drift until somebody accepts them.
    let ran = project.run_in(&service.secret(), &["drift"]).exits(2);
    assert!(ran.out.contains("Only contested changes"), "{}", ran.out);
    let ran = project.run_in(&service.secret(), &["plan", "--retry-contested"]).exits(1);
    assert!(ran.err.contains("--retry-contested"), "{}", ran.err);
    project.run_in(&service.secret(), &["apply", "--auto-approve", "--retry-contested"]).exits(4);
}

#[test]
fn without_the_setting_nobody_hunts() {
    let service = service(&["roles=Machine.Read.All"]);
    let ran = project(false).run_in(&service.secret(), &["plan"]).exits(0);
    assert!(ran.out.contains("3 removals"), "{}", ran.out);
    assert_eq!(service.count(Route::Hunting), 0);
}

#[test]
fn with_the_setting_a_missing_role_and_a_failed_query_are_errors() {
    let service = service(&["roles=Machine.Read.All"]);
    let project = project(true);
    let ran = project.run_in(&service.secret(), &["plan"]).exits(1);
    assert!(ran.err.contains("needs the application role ThreatHunting.Read.All"), "{}", ran.err);
    let ran = project.run_in(&service.secret(), &["doctor"]).exits(1);
    assert!(ran.out.contains("(for `writes.origins`)"), "{}", ran.out);
    service.sandbox.set("roles", "Machine.Read.All+ThreatHunting.Read.All").unwrap();
    service.sandbox.set("hunting", "bad_request").unwrap();
    let ran = project.run_in(&service.secret(), &["plan"]).exits(1);
    assert!(ran.err.contains("Advanced hunting"), "{}", ran.err);
}
