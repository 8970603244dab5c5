//! Each credential in its documented wire form, and each failure with its meaning and fix.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::tenant::fake::{
    AUDIENCE, Fake, FakeReply, HandClock, OpenMeter, ReceivedRequest, TENANT, claims_with, connect, from,
    granted,
};
use crate::tenant::{
    ConnectOptions, Credential, CredentialSource, RequiredAccess, Tenant, TenantError, TenantErrorKind,
    claims,
};

const IDS: [(&str, &str); 2] = [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", "app-1")];

fn reading() -> FakeReply {
    granted(&json!({ "roles": ["Machine.Read.All"] }))
}

/// Signs in with a credential to a service that grants everything.
async fn sign_in(fake: &Fake, credential: Credential) -> Result<Tenant, TenantError> {
    connect(ConnectOptions { credential, ..fake.options() }, RequiredAccess::Read).await
}

fn form(seen: &ReceivedRequest) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{}", seen.body)).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn value(form: &[(String, String)], name: &str) -> String {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_client_secret_is_sent_as_a_form_to_the_tenants_token_url() {
    let fake = Fake::start(|_| reading()).await;
    let tenant =
        sign_in(&fake, from(&[&IDS[..], &[("AZURE_CLIENT_SECRET", "s&cret +")]].concat())).await.unwrap();
    assert_eq!((tenant.id(), tenant.source()), (TENANT, CredentialSource::ClientSecret));
    let seen = &fake.seen()[0];
    assert_eq!((&*seen.method, seen.path.clone()), ("POST", format!("/{TENANT}/oauth2/v2.0/token")));
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    let mut expected = [
        ("client_id", "app-1"),
        ("client_secret", "s&cret +"),
        ("grant_type", "client_credentials"),
        ("scope", "https://api.securitycenter.microsoft.com/.default"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut sent = form(seen);
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_for_the_token_url() {
    let fake = Fake::start(|_| reading()).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tenant/auth/testdata/app.pem");
    sign_in(&fake, from(&[&IDS[..], &[("AZURE_CLIENT_CERTIFICATE_PATH", path)]].concat())).await.unwrap();
    let form = form(&fake.seen()[0]);
    assert_eq!(
        value(&form, "client_assertion_type"),
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    assert_eq!(value(&form, "client_secret"), "");
    let assertion = value(&form, "client_assertion");
    let claims = claims::Claims::of(&assertion.into()).unwrap();
    assert_eq!(claims.audience, format!("{}/{TENANT}/oauth2/v2.0/token", fake.url));
}

#[tokio::test]
async fn a_federated_token_file_is_read_again_for_each_sign_in() {
    let fake = Fake::start(|_| reading()).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let credential = from(&[&IDS[..], &[("AZURE_FEDERATED_TOKEN_FILE", path)]].concat());
    for token in ["first", "second"] {
        std::fs::write(path, format!("{token}\n")).unwrap();
        sign_in(&fake, credential.clone()).await.unwrap();
        assert_eq!(value(&form(fake.seen().last().unwrap()), "client_assertion"), token);
    }
    std::fs::remove_file(path).unwrap();
    let error = sign_in(&fake, credential).await.err().unwrap();
    assert!(error.what.contains("AZURE_FEDERATED_TOKEN_FILE") && !error.help.is_empty(), "{error}");
}

fn github(fake: &Fake) -> Credential {
    let url = format!("{}/oidc?api-version=2", fake.url);
    let github = [("ACTIONS_ID_TOKEN_REQUEST_URL", &*url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "job-token")];
    from(&[&IDS[..], &github].concat())
}

#[tokio::test]
async fn githubs_token_is_asked_for_entra_and_exchanged() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/oidc" => FakeReply::json(200, &json!({ "count": 1, "value": "github-jwt" })),
        _ => reading(),
    })
    .await;
    let tenant = sign_in(&fake, github(&fake)).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::GitHub);
    let seen = fake.seen();
    assert_eq!(seen[0].header("authorization"), Some("bearer job-token"));
    assert_eq!(seen[0].option("audience"), Some("api://AzureADTokenExchange"));
    assert_eq!(seen[0].option("api-version"), Some("2"));
    assert_eq!(value(&form(&seen[1]), "client_assertion"), "github-jwt");
}

#[tokio::test]
async fn a_federated_credential_that_still_spreads_is_tried_again() {
    let (tries, fake) = failing(3, 401, "invalid_client", 70_021).await;
    sign_in(&fake, github(&fake)).await.unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_subject_or_issuer_that_does_not_fit_is_no_matter_of_waiting() {
    for number in [700_211, 700_213] {
        let (tries, fake) = failing(9, 401, "invalid_client", number).await;
        let error = sign_in(&fake, github(&fake)).await.err().unwrap();
        assert!(error.help[0].contains("letter by letter"), "{error:?}");
        assert_eq!(tries.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn a_secret_that_ends_in_a_line_break_gets_a_hint() {
    let fake = Fake::start(|_| refusal(401, "invalid_client", 7_000_215)).await;
    for (secret, hinted) in
        [("hunter2\n", true), ("hunter2\r\n", true), (" hunter2", true), ("hunter2", false)]
    {
        let variables =
            [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1"), ("AZURE_CLIENT_SECRET", secret)];
        let error = sign_in(&fake, from(&variables)).await.err().unwrap();
        assert_eq!(error.help.iter().any(|step| step.contains("line break")), hinted, "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

/// A service whose first sign-ins fail.
async fn failing(times: usize, status: u16, error: &str, number: u64) -> (Arc<AtomicUsize>, Fake) {
    let tries = Arc::new(AtomicUsize::new(0));
    let (count, failure) = (tries.clone(), refusal(status, error, number));
    let fake = Fake::start(move |seen| match seen.path.as_str() {
        "/oidc" => FakeReply::json(200, &json!({ "value": "github-jwt" })),
        _ if count.fetch_add(1, Ordering::Relaxed) < times => failure.clone(),
        _ => reading(),
    })
    .await;
    (tries, fake)
}

fn refusal(status: u16, error: &str, number: u64) -> FakeReply {
    let description =
        format!("AADSTS{number}: Something is wrong. Trace ID: t-1 Correlation ID: c-1 Timestamp: now");
    FakeReply::json(
        status,
        &json!({
            "error": error, "error_description": description, "error_codes": [number], "trace_id": "t-1",
            "correlation_id": "c-1"
        }),
    )
}

fn secret() -> Credential {
    from(&[&IDS[..], &[("AZURE_CLIENT_SECRET", "hunter2")]].concat())
}

#[tokio::test]
async fn a_busy_sign_in_service_is_tried_again_and_a_refusal_is_not() {
    for (status, error, number) in [(503, "temporarily_unavailable", 90_033), (429, "", 0), (500, "", 0)] {
        let (tries, fake) = failing(2, status, error, number).await;
        sign_in(&fake, secret()).await.unwrap();
        assert_eq!(tries.load(Ordering::Relaxed), 3, "{status}");
    }
    let (tries, fake) = failing(9, 401, "invalid_client", 7_000_215).await;
    assert!(sign_in(&fake, secret()).await.is_err());
    assert_eq!(tries.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn each_known_failure_says_what_it_means_and_what_to_do() {
    let cases = [
        (400, "invalid_request", 90_002, "the tenant does not exist", "`cloud`"),
        (400, "unauthorized_client", 700_016, "application does not exist", "`clientId`"),
        (401, "invalid_client", 7_000_215, "client secret is wrong", "not its id"),
        (401, "invalid_client", 7_000_222, "has expired", "Certificates & secrets"),
        (401, "invalid_client", 700_027, "signature of the assertion", "upload the certificate"),
        (401, "invalid_client", 700_024, "time is wrong", "clock"),
        (401, "invalid_client", 700_212, "another audience", "api://AzureADTokenExchange"),
        (400, "invalid_scope", 1_002_012, "scope", "`cloud`"),
        (400, "invalid_resource", 500_011, "does not know the Defender API", "Defender for Endpoint"),
    ];
    for (status, word, number, meaning, cure) in cases {
        let fake = Fake::start(move |_| refusal(status, word, number)).await;
        let error = sign_in(&fake, secret()).await.err().unwrap();
        assert_eq!(error.kind, TenantErrorKind::SignIn);
        assert!(error.what.contains(meaning) && error.what.contains(TENANT), "{error}");
        assert!(error.help.iter().any(|step| step.contains(cure)), "{number}: {:?}", error.help);
        let text = error.to_string();
        assert!(text.contains(&format!("AADSTS{number}: Something is wrong. (request t-1)")), "{text}");
    }
}

#[tokio::test]
async fn answers_of_no_sign_in_service_are_still_sentences() {
    for say in [
        FakeReply::text(400, ""),
        FakeReply::text(403, "<html>proxy</html>"),
        FakeReply::text(200, "{}"),
        FakeReply::text(200, "x"),
    ] {
        let fake = Fake::start(move |_| say.clone()).await;
        let error = sign_in(&fake, secret()).await.err().unwrap();
        assert!(error.what.contains("AZURE_CLIENT_SECRET"), "{error}");
    }
    let opaque = FakeReply::json(200, &json!({ "access_token": "opaque" }));
    let fake = Fake::start(move |_| opaque.clone()).await;
    assert!(sign_in(&fake, secret()).await.err().unwrap().what.contains("cannot be read"));
}

#[tokio::test]
async fn a_redirect_of_the_sign_in_is_not_followed() {
    let trap = Fake::start(|_| reading()).await;
    let target = trap.url.clone();
    let fake = Fake::start(move |_| FakeReply::text(307, "").with("location", &target)).await;
    assert!(sign_in(&fake, secret()).await.err().unwrap().what.contains("not followed"));
    assert!(trap.seen().is_empty());
}

/// A token answer in the form of managed identities: numbers as text.
fn identity_answer(extra: &Value) -> FakeReply {
    let mut body: Value = serde_json::from_slice(&reading().body).unwrap();
    body.as_object_mut().unwrap().remove("expires_in");
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    FakeReply::json(200, &body)
}

#[tokio::test]
async fn a_virtual_machines_identity_is_asked_with_its_header() {
    let fake = Fake::start(|_| identity_answer(&json!({ "expires_in": "86399" }))).await;
    let credential = from(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &*fake.url), ("AZURE_CLIENT_ID", "mi-1")]);
    let tenant = sign_in(&fake, credential).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::ManagedIdentity);
    let seen = &fake.seen()[0];
    assert_eq!((&*seen.method, &*seen.path), ("GET", "/metadata/identity/oauth2/token"));
    assert_eq!(seen.header("metadata"), Some("true"));
    assert_eq!(seen.option("api-version"), Some("2018-02-01"));
    assert_eq!((seen.option("resource"), seen.option("client_id")), (Some(AUDIENCE), Some("mi-1")));
}

#[tokio::test]
async fn app_services_identity_is_asked_with_its_secret_header() {
    let fake = Fake::start(|_| identity_answer(&json!({ "expires_on": "1795003600" }))).await;
    let url = format!("{}/msi/token", fake.url);
    let tenant =
        sign_in(&fake, from(&[("IDENTITY_ENDPOINT", &*url), ("IDENTITY_HEADER", "h-1")])).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::AppService);
    let seen = &fake.seen()[0];
    assert_eq!((&*seen.path, seen.header("x-identity-header")), ("/msi/token", Some("h-1")));
    assert_eq!((seen.option("api-version"), seen.option("resource")), (Some("2019-08-01"), Some(AUDIENCE)));
}

/// A program that replaces `az`.
#[cfg(unix)]
fn program(script: &str) -> tempfile::TempPath {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    file.into_temp_path()
}

#[cfg(unix)]
#[tokio::test]
async fn the_azure_cli_is_asked_for_this_resource_and_tenant() {
    use secrecy::ExposeSecret;
    let fake = Fake::start(|_| FakeReply::text(500, "")).await;
    let token = claims::token_of(&claims_with(&json!({ "roles": ["Machine.Read.All"] })));
    let expected = format!("account get-access-token --output json --resource {AUDIENCE} --tenant {TENANT}");
    let answer =
        json!({ "accessToken": token.expose_secret(), "expires_on": 1_795_003_600, "tenant": TENANT });
    let az = program(&format!("[ \"$*\" = '{expected}' ] || exit 9\ncat <<'END'\n{answer}\nEND"));
    let tenant = sign_in(&fake, Credential::azure_cli_at(az.to_path_buf(), TENANT)).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::AzureCli);
    assert!(fake.seen().is_empty());
    let az = program("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
    let error = sign_in(&fake, Credential::azure_cli_at(az.to_path_buf(), TENANT)).await.err().unwrap();
    assert!(error.what.contains("Please run 'az login'"), "{error}");
}

#[tokio::test]
async fn without_any_credential_the_error_names_all_that_were_tried() {
    let fake = Fake::start(|_| {
        FakeReply::json(
            400,
            &json!({ "error": "invalid_request", "error_description": "Identity not found" }),
        )
    })
    .await;
    let credential = Credential::ambient_at(&fake.url, "/nowhere/az".into());
    let error = sign_in(&fake, credential).await.err().unwrap();
    for expected in ["AZURE_CLIENT_SECRET", "managed identity", "the Azure CLI (az) cannot be started"] {
        assert!(error.what.contains(expected), "{error}");
    }
    assert!(error.help.iter().any(|step| step.contains("--sandbox")));
}

#[tokio::test]
async fn a_token_serves_until_shortly_before_its_end() {
    let fake = Fake::start(|seen| match seen.path.ends_with("/token") {
        true => reading(),
        false => FakeReply::json(200, &json!({ "value": [{ "id": "a" }] })),
    })
    .await;
    let clock = Arc::new(HandClock::new());
    let options = ConnectOptions { clock: clock.clone(), ..fake.options() };
    let reader = connect(options, RequiredAccess::Read).await.unwrap().reader();
    let (meter, sign_ins) = (OpenMeter::default(), || fake.seen().len() - fake.calls().len());
    clock.forward(3599 - 301);
    let _ = tokio::join!(reader.check_list(&meter), reader.check_list(&meter));
    assert_eq!(sign_ins(), 1);
    clock.forward(2);
    let _ = tokio::join!(reader.check_list(&meter), reader.check_list(&meter));
    assert_eq!(sign_ins(), 2, "two callers, one sign-in");
}

#[tokio::test]
async fn another_tenant_than_the_pinned_one_is_refused() {
    let other = "99999999-2222-3333-4444-555555555555";
    let fake = Fake::start(|_| reading()).await;
    let options = ConnectOptions { pin: Some(other.into()), ..fake.options() };
    let error = connect(options, RequiredAccess::Read).await.err().unwrap();
    assert_eq!(error.kind, TenantErrorKind::OtherTenant);
    assert!(fake.seen().is_empty(), "known before any call");
    // A managed identity shows its tenant only in its token.
    let credential = from(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &*fake.url)]);
    let options = ConnectOptions { pin: Some(other.into()), credential, ..fake.options() };
    assert_eq!(
        connect(options, RequiredAccess::Read).await.err().unwrap().kind,
        TenantErrorKind::OtherTenant
    );
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn a_delegated_token_reads_and_is_not_believed() {
    let grant = granted(&json!({ "scp": "Machine.Read" }));
    let fake = Fake::start(move |seen| match seen.path.ends_with("/token") {
        true => grant.clone(),
        false => FakeReply::json(200, &json!({ "value": [{ "id": "a" }] })),
    })
    .await;
    let reader = connect(fake.options(), RequiredAccess::Read).await.unwrap().reader();
    let meter = OpenMeter::default();
    let watch = crate::tenant::ReadWatch { meter: &meter, progress: &|_| {}, pages: None };
    let (_, trust) =
        crate::tenant::ReadDevices::read(&reader, &crate::tenant::ReadScope::default(), watch).await.unwrap();
    assert_eq!(trust.reasons, [mdetag_core::inventory::UntrustedReason::DelegatedToken]);
}
