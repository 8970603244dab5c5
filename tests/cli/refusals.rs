//! Every way in which a sign-in or a token fails, with the message: what happened and what to do.

use mdetag_sandbox::Route;
use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::service::{self, AUDIENCE, Environment, Fake, Service};

const POLICY: &str = "version: 1\nscope: { everything: true }\nclaims: [Zebra, Legacy]\nrules:\n  - name: all\n    \
                      select: { everything: true }\n    tags: [Zebra]\n";
const PEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tenant/auth/testdata/app.pem");
/// Name and value.
type Variable<'v> = (&'static str, &'v str);

const OTHER: &str = "66666666-7777-8888-9999-000000000000";

/// A project with waits of a thousandth, because retries of the sign-in would take seconds.
fn project() -> Project {
    let project = Project::with_policy(POLICY);
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 1000 }\n");
    project
}

/// The message and its steps, without the warnings before them.
#[track_caller]
fn reads(ran: &Ran, expected: &[&str]) {
    let message =
        ran.err.split("error[E9003]: ").nth(1).unwrap_or_else(|| panic!("no message in {}", ran.err));
    for words in expected {
        assert!(message.contains(words), "`{words}` is not in:\n{message}");
    }
    assert!(message.contains("= help: "), "no next step in:\n{message}");
    assert!(!message.contains("\\n") && !message.contains("hunter2"), "{message}");
    ran.is_for_people();
}

#[test]
fn failures_of_the_service_say_what_happened_and_what_to_do() {
    let table: &[(&str, &[&str])] = &[
        ("secret=expired", &["the client secret has expired: AADSTS7000222", "Certificates & secrets"]),
        (
            "tenant=unknown",
            &["the tenant does not exist in this cloud: AADSTS90002", "check `tenantId`, and `cloud`"],
        ),
        (
            "consent=missing",
            &[
                "the tenant does not know the Defender API: AADSTS500011",
                "check that the tenant has Defender for Endpoint",
            ],
        ),
        (
            "roles=none",
            &[
                "has no roles at all in WindowsDefenderATP, but reading the inventory needs the application role Machine.Read.All",
                "help: in the Entra admin center: App registrations > the app > API permissions",
                "help: or as an administrator: me=",
                "help: a new role shows in tokens issued after it was granted",
            ],
        ),
        (
            "roles=ThreatHunting.Read.All",
            &["has no roles at all in WindowsDefenderATP", "> Machine.Read.All, then Grant"],
        ),
        (
            "mde_inactive=on",
            &["Account mode is inactive", "no active Defender for Endpoint: check the subscription"],
        ),
        (
            "throttle_silent=token:always",
            &["the sign-in service is busy: AADSTS90033", "try again in a few minutes"],
        ),
        ("forbidden=list:always", &["HTTP 403", "`mdetag doctor` shows them", "check that `cloud` is right"]),
        ("cloud=gov", &["HTTP 403", "is not accepted by this resource", "check that `cloud` is right"]),
        ("token_expired=list:always", &["HTTP 401", "check this computer's clock with `mdetag doctor`"]),
    ];
    let project = project();
    for (fault, expected) in table {
        let service = Service::start(&[fault]);
        reads(&project.run_in(&service.secret(), &["plan"]).exits(1), expected);
        assert_eq!(service.writes(), 0);
    }
}

#[test]
fn wrong_credentials_say_which_part_is_wrong() {
    let service = Service::start(&[]);
    let project = project();
    let stranger = project.write("stranger", &service.federated_token("repo:example-org/other:pull_request"));
    let garbage = project.write("garbage", "no token at all");
    let table: &[(&[Variable], &[&str])] = &[
        (
            &[("AZURE_CLIENT_SECRET", "hunter2")],
            &["the client secret is wrong: AADSTS7000215", "copy the secret's value, not its id"],
        ),
        (
            &[("AZURE_CLIENT_ID", OTHER), ("AZURE_CLIENT_SECRET", "hunter2")],
            &["the application does not exist in this tenant: AADSTS700016", OTHER, "check `clientId`"],
        ),
        (
            &[("AZURE_CLIENT_CERTIFICATE_PATH", PEM)],
            &[
                "not by a certificate of this application: AADSTS700027",
                "upload the certificate (public part)",
            ],
        ),
        (&[("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere/app.pfx")], &["/nowhere/app.pfx cannot be read"]),
        (
            &[("AZURE_CLIENT_CERTIFICATE_PATH", "app.pfx")],
            &["app.pfx is binary (a PFX file?)", "openssl pkcs12 -in app.pfx -out app.pem -nodes"],
        ),
        (
            &[("AZURE_FEDERATED_TOKEN_FILE", stranger.to_str().unwrap())],
            &[
                "no federated credential of the application fits this token's issuer and subject: AADSTS70021",
                "repo:example-org/other:pull_request",
                "letter by letter",
            ],
        ),
        (
            &[("AZURE_FEDERATED_TOKEN_FILE", garbage.to_str().unwrap())],
            &["AADSTS50027", "check the client id and its secret, certificate or federated credential"],
        ),
        (
            &[("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token")],
            &["/nowhere/token cannot be read", "azure.workload.identity/use=true"],
        ),
        (
            &[
                ("ACTIONS_ID_TOKEN_REQUEST_URL", &format!("{}/oidc/token", service.url)),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
            ],
            &["127.0.0.1 gave no OIDC token: HTTP 401", "id-token: write"],
        ),
        (
            &[("IDENTITY_ENDPOINT", &format!("{}/msi/token", service.url)), ("IDENTITY_HEADER", "hunter2")],
            &["the managed identity of IDENTITY_ENDPOINT gave no token: HTTP 401"],
        ),
        (
            &[("AZURE_CLIENT_ID", ""), ("AZURE_CLIENT_SECRET", "hunter2")],
            &["AZURE_CLIENT_SECRET is there, but no client id", "set AZURE_TENANT_ID and AZURE_CLIENT_ID"],
        ),
    ];
    std::fs::write(project.path().join("app.pfx"), b"\x30\x82\x01\x02").unwrap();
    for (variables, expected) in table {
        let more: Environment = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        // A later variable of the same name wins.
        reads(&project.run_in(&[service.ids(), more].concat(), &["plan"]).exits(1), expected);
    }
    assert_eq!(service.count(Route::List), 0);
}

#[test]
fn a_federated_credential_that_still_spreads_and_a_busy_sign_in_are_waited_out() {
    let project = project();
    for fault in ["federated_spreading=3", "throttle_silent=token:1-3"] {
        let service = Service::start(&[fault]);
        project.run_in(&service.github(), &["plan"]).exits(0);
        assert_eq!(service.count(Route::Token), 4, "{fault}");
    }
    let service = Service::start(&["federated_spreading=9"]);
    let ran = project.run_in(&service.github(), &["plan"]).exits(1);
    reads(&ran, &["fits this token's issuer and subject: AADSTS70021", "spreading"]);
}

#[test]
fn a_token_for_another_audience_or_tenant_is_not_used() {
    let project = project();
    let nothing = |_: &service::Seen| service::Say::json(500, &json!({}));
    let fake = Fake::tenant(
        &json!({ "aud": "https://graph.microsoft.com", "roles": ["Machine.Read.All"] }),
        nothing,
    );
    let ran = project.run_in(&fake.secret(), &["plan"]).exits(1);
    reads(&ran, &["the token is for https://graph.microsoft.com", &format!("{AUDIENCE}/.default")]);
    let fake = Fake::tenant(&json!({ "tid": OTHER, "roles": ["Machine.Read.All"] }), nothing);
    let ran = project.run_in(&fake.secret(), &["plan"]).exits(1);
    reads(
        &ran,
        &[&format!("the token is for tenant {OTHER}"), service::TENANT, "nothing was read or written"],
    );
    assert_eq!(fake.seen().len(), 1, "only the sign-in was called");
}

#[test]
fn another_tenant_than_the_pinned_one_is_refused_before_any_call() {
    let service = Service::start(&[]);
    let project = project();
    project.write("policies/p.yaml", &format!("{POLICY}guard: {{ tenantId: {OTHER} }}\n"));
    // Exit 3 of `drift` would mean nothing to a job that waits for 2.
    for (words, code) in [(&["plan"][..], 3), (&["apply", "--auto-approve"], 3), (&["drift"], 1)] {
        let ran = project.run_in(&service.secret(), words).exits(code);
        reads(&ran, &[&format!("guard.tenantId is {OTHER}"), "choose the right profile with --tenant"]);
    }
    assert_eq!(service.sandbox.calls().len(), 0);
    // A managed identity names its tenant only in its token.
    let identity =
        [service.hosts(), vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", service.url.clone())]].concat();
    let ran = project.run_in(&identity, &["plan"]).exits(3);
    reads(&ran, &["the token is for tenant", &format!("guard.tenantId names {OTHER}")]);
    assert_eq!(service.count(Route::List), 0);
}

#[test]
fn a_persons_token_reads_and_takes_nothing_away() {
    let service = Service::start(&["delegated=on"]);
    let device: Value = json!({
        "id": "3f1c0a9be27d45c6881f02e4a7d95b6c0e1f2a3b", "computerDnsName": "old.example.com", "machineTags": ["Legacy"],
    });
    service.sandbox.insert(&device).unwrap();
    let project = project();
    let ran = project.run_in(&service.secret(), &["plan"]).exits(0);
    for words in ["UNTRUSTED", "the token acts for a user", "1 removal withheld: the inventory is untrusted"]
    {
        assert!(ran.out.contains(words), "`{words}` is not in:\n{}", ran.out);
    }
    let ran = project.run_in(&service.secret(), &["apply", "--auto-approve"]).exits(3);
    assert!(ran.out.contains("21 of 21 changes done"), "{}", ran.out);
    let devices = service.sandbox.devices().unwrap();
    let old = devices.iter().find(|found| found["id"] == device["id"]).unwrap();
    assert_eq!(old["machineTags"], json!(["Legacy", "Zebra"]));
}

#[test]
fn the_json_of_a_refused_apply_is_that_of_apply_and_says_that_nothing_was_attempted() {
    let policy = "version: 1\nrules: [{ name: r, select: { everything: true }, tags: [Y] }]\n\
                  guard: { caps: { additions: { percent: 0, floor: 0 } } }\n";
    let project = Project::with_policy(policy);
    let words = ["apply", "--sandbox", "--auto-approve", "-q", "--format"];
    let reports = ["--report", "json=r.json", "--report", "markdown=r.md"];
    let refused = project.run(&[&words[..], &["json"], &reports].concat()).exits(3).json();
    assert_eq!((&refused["exitCode"], &refused["runId"]), (&3.into(), &"".into()), "{}", refused["notes"]);
    let attempted = refused["outcomes"].as_object().unwrap().iter().filter(|(_, count)| **count != 0);
    let attempted: Vec<&String> = attempted.map(|(outcome, _)| outcome).collect();
    assert_eq!(attempted, ["notAttempted"]);
    let changes = refused["changes"].as_array().unwrap().len();
    assert!(changes > 1_000 && refused["outcomes"]["notAttempted"] == changes, "{}", refused["outcomes"]);
    assert_eq!(refused["changes"][0]["outcome"], "notAttempted");
    assert!(refused["notes"][0].as_str().unwrap().starts_with("refused: "), "{}", refused["notes"]);
    let required = project.run(&["schema", "apply"]).exits(0).json()["required"].clone();
    for key in required.as_array().unwrap() {
        assert!(!refused[key.as_str().unwrap()].is_null(), "{key}");
    }
    let saved: serde_json::Value = serde_json::from_str(&project.read("r.json")).unwrap();
    assert_eq!(saved["exitCode"], 3);
    assert!(project.read("r.md").contains("Refused by the guard"), "{}", project.read("r.md"));
    let lines = project.run(&[&words[..], &["ndjson"]].concat()).exits(3).out;
    assert!(lines.lines().all(|line| line.contains(r#""outcome":"notAttempted""#)), "{lines}");
}
