//! Signing in to a separately served tenant, like a real one: each kind of credential, and each way to fail.

use mdetag_sandbox::Route;
use serde_json::json;

use crate::project::Project;
use crate::service::{self, AUDIENCE, Environment, Service, nobody};

const POLICY: &str = "version: 1\nscope: { everything: true }\nclaims: [Zebra]\nrules:\n  - name: all\n    \
                      select: { everything: true }\n    tags: [Zebra]\n";

const PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tenant/auth/testdata/app.pem");

fn project() -> Project {
    Project::with_policy(POLICY)
}

/// Plans with these variables, and returns the credential's name in the log.
#[track_caller]
fn plans_with(service: &Service, project: &Project, environment: &[(&str, String)], source: &str) {
    let ran = project.run_in(environment, &["plan", "-v"]).exits(0);
    assert!(ran.out.contains("20 add"), "{}", ran.out);
    let named = ran.err.lines().any(|line| line.contains("signed in") && line.contains(source));
    assert!(named, "no `{source}` in:\n{}", ran.err);
    assert!(service.count(Route::List) > 0);
    ran.is_for_people();
}

#[test]
fn a_client_secret_signs_in() {
    let service = Service::start(&[]);
    plans_with(&service, &project(), &service.secret(), "client-secret");
}

#[test]
fn a_certificate_signs_in() {
    let service = Service::start(&[]);
    let text = std::fs::read_to_string(PEM).unwrap();
    service.sandbox.trust_certificate(&text[text.find("-----BEGIN CERTIFICATE").unwrap()..]).unwrap();
    let certificate = ("AZURE_CLIENT_CERTIFICATE_PATH", PEM.to_owned());
    plans_with(&service, &project(), &[service.ids(), vec![certificate]].concat(), "certificate");
}

/// A federated token in a file.
fn token_file(service: &Service, project: &Project, subject: &str) -> Environment {
    let path = project.write("token", &service.federated_token(subject));
    let file = ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap().to_owned());
    [service.ids(), vec![file]].concat()
}

#[test]
fn a_federated_token_in_a_file_signs_in_also_with_githubs_immutable_subject() {
    let service = Service::start(&[]);
    let project = project();
    for subject in [
        "repo:example-org/policies:ref:refs/heads/main",
        "repo:example-org@1234567/policies@7654321:ref:refs/heads/main",
    ] {
        plans_with(&service, &project, &token_file(&service, &project, subject), "federated-token-file");
    }
}

#[test]
fn githubs_token_signs_in() {
    let service = Service::start(&[]);
    plans_with(&service, &project(), &service.github(), "github-oidc");
}

#[test]
fn managed_identities_sign_in() {
    let service = Service::start(&[]);
    let machine = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url.clone());
    let environment = [service.hosts(), vec![machine]].concat();
    plans_with(&service, &project(), &environment, "managed-identity");
    let app = [
        ("IDENTITY_ENDPOINT", format!("{}/msi/token", service.url)),
        ("IDENTITY_HEADER", service.sandbox.credentials().identity_secret),
    ];
    let environment = [service.hosts(), app.into()].concat();
    plans_with(&service, &project(), &environment, "app-service-identity");
}

#[cfg(unix)]
#[test]
fn the_azure_cli_signs_in() {
    let service = Service::start(&[]);
    let project = project();
    let answer = json!({ "accessToken": service.access_token(AUDIENCE), "expires_on": 4_000_000_000u64 });
    let az = project.path().join("bin/az");
    service::script(&az, &format!("#!/bin/sh\necho \"$@\" > arguments\ncat <<'END'\n{answer}\nEND\n"));
    let path = format!("{}:{}", az.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let environment =
        [service.hosts(), vec![("PATH", path), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody())]].concat();
    plans_with(&service, &project, &environment, "azure-cli");
    assert_eq!(
        project.read("arguments").trim(),
        format!("account get-access-token --output json --resource {AUDIENCE}")
    );
}

#[test]
fn without_any_credential_all_that_were_tried_are_named() {
    let service = Service::start(&[]);
    let project = project();
    let environment = [
        service.hosts(),
        vec![("PATH", project.path().display().to_string()), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody())],
    ];
    let ran = project.run_in(&environment.concat(), &["plan"]).exits(1);
    for word in ["AZURE_CLIENT_SECRET", "managed identity", "Azure CLI", "id-token: write", "--sandbox"] {
        assert!(ran.err.contains(word), "{word} in {}", ran.err);
    }
    ran.is_for_people();
}

#[test]
fn an_identity_that_may_only_read_plans_and_is_refused_before_the_first_write() {
    let service = Service::start(&["roles=Machine.Read.All"]);
    let project = project();
    project.run_in(&service.secret(), &["plan"]).exits(0);
    let calls = service.sandbox.calls().len();
    for words in [&["apply", "--auto-approve"][..], &["apply", "--auto-approve", "--format", "json"]] {
        let ran = project.run_in(&service.secret(), words).exits(1);
        let text = format!("{}{}", ran.out, ran.err);
        for cure in [
            "has only Machine.Read.All",
            "needs the application role Machine.ReadWrite.All",
            "APIs my organization uses > WindowsDefenderATP > Application permissions > Machine.ReadWrite.All",
            "az rest --method POST",
            "wait a few minutes",
        ] {
            assert!(text.contains(cure), "`{cure}` in {text}");
        }
    }
    assert_eq!(service.writes(), 0);
    let reached = service.sandbox.calls().split_off(calls);
    assert!(reached.iter().all(|call| call.route == Route::Token), "only the sign-in was called");
}
