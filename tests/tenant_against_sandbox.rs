//! The client against the simulated service, over real sockets: paging, sign-in, writing.
//!
//! Answers that no service should give are tested beside the client itself.

#![allow(clippy::unwrap_used)]

#[path = "support/unmetered.rs"]
mod unmetered;
#[path = "support/wall_clock.rs"]
mod wall_clock;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mdetag::tenant::{
    ConnectOptions, Credential, CredentialSource, Endpoints, IdentityOptions, Overrides, ReadDevices,
    ReadScope, ReadWatch, RequiredAccess, Tenant, TenantError, TenantErrorKind, WriteDevices, choose,
    sign_in, sign_in_to_write,
};
use mdetag_core::apply::{Call, Reply, TagAction};
use mdetag_core::cloud::Cloud;
use mdetag_core::device::DeviceValue;
use mdetag_core::inventory::{Row, Snapshot, Trust};
use mdetag_core::selection::HuntedRows;
use mdetag_sandbox::{Federated, Options, Running, Sandbox, serve};
use unmetered::Unmetered;
use wall_clock::WallClock;

/// Signs in and checks the role.
async fn connect(options: ConnectOptions, need: RequiredAccess) -> Result<Tenant, TenantError> {
    let tenant = sign_in(options).await?;
    tenant.check(need)?;
    Ok(tenant)
}

struct Service {
    sandbox: Sandbox,
    running: Running,
}

impl Service {
    async fn start(devices: u64, faults: &[&str]) -> Service {
        let mut faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        faults.push("limit_minute=100000".to_owned());
        faults.push("limit_hour=100000".to_owned());
        let options = Options { devices, faults, ..Options::default() };
        let sandbox = Sandbox::in_memory(&options, Arc::new(WallClock)).unwrap();
        let running = serve(&sandbox, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        Service { sandbox, running }
    }

    fn options(&self, credential: Credential) -> ConnectOptions {
        let endpoints =
            Endpoints::new(Cloud::Public, None, &Overrides::local(&self.running.url()), &[]).unwrap();
        let mut options = ConnectOptions::new(endpoints, credential, Arc::new(WallClock));
        options.backoff = Duration::from_millis(2);
        options
    }

    fn credential(&self, extra: &[(&str, &str)]) -> Credential {
        let known = self.sandbox.credentials();
        let mut pairs = vec![("AZURE_TENANT_ID", &*known.tenant_id), ("AZURE_CLIENT_ID", &*known.client_id)];
        pairs.extend(extra);
        let look =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(&IdentityOptions::default(), &look).unwrap()
    }

    fn secret(&self) -> Credential {
        self.credential(&[("AZURE_CLIENT_SECRET", &self.sandbox.credentials().client_secret)])
    }

    async fn tenant(&self, need: RequiredAccess) -> Result<Tenant, TenantError> {
        connect(self.options(self.secret()), need).await
    }

    async fn read(&self) -> (Snapshot, Trust) {
        let reader = self.tenant(RequiredAccess::Read).await.unwrap().reader();
        let watch = ReadWatch { meter: &Unmetered, progress: &|_| {}, pages: None };
        reader.read(&ReadScope::default(), watch).await.unwrap()
    }

    fn ids(&self) -> BTreeSet<String> {
        let devices = self.sandbox.devices().unwrap();
        devices.iter().map(|device| device["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn ids_of(snapshot: &Snapshot) -> BTreeSet<String> {
    (0..snapshot.len() as u32).map(|row| snapshot.id(Row(row)).to_owned()).collect()
}

#[tokio::test]
async fn every_way_of_paging_gives_the_same_devices() {
    let ways: &[&[&str]] = &[
        &[],
        &["paging=hard_cap"],
        &["paging=nextlink", "nextlink_with_top=on"],
        &["paging=nextlink_bad", "nextlink_with_top=on"],
        &["paging=nextlink_loop", "nextlink_with_top=on"],
        &["paging=nextlink_global_host", "nextlink_with_top=on"],
        &["dup_ids=on"],
        &["dup_ids=on", "paging=hard_cap"],
        &["unknown_property=on", "unknown_enum=on", "rbac_id_text=on", "null_tags=on", "os_version=on"],
        &["gzip=off"],
        &["visible_groups=all"],
    ];
    for way in ways {
        for page in ["page=100", "page=90"] {
            let service = Service::start(450, &[*way, &[page]].concat()).await;
            let (snapshot, trust) = service.read().await;
            assert_eq!(ids_of(&snapshot), service.ids(), "{way:?} {page}: {:?}", trust.sentences());
            assert!(trust.is_trusted(), "{way:?} {page}: {:?}", trust.sentences());
        }
    }
}

#[tokio::test]
async fn a_list_that_moves_is_whole_or_untrusted() {
    for way in [
        "unstable_order=on",
        "after_page=1:delete",
        "after_page=2:delete",
        "after_page=1:insert",
        "after_page=1:move",
    ] {
        for mode in ["skip_only", "hard_cap", "nextlink"] {
            let paging = format!("paging={mode}");
            let service = Service::start(450, &[way, "page=100", &paging, "nextlink_with_top=on"]).await;
            let (snapshot, trust) = service.read().await;
            let missing: Vec<String> = service.ids().difference(&ids_of(&snapshot)).cloned().collect();
            // A device that was added during the read may wait for the next one; none that existed may be missing.
            let allowed = usize::from(way.ends_with("insert"));
            assert!(
                missing.len() <= allowed || !trust.is_trusted(),
                "{way} {mode}: {} missing, {:?}",
                missing.len(),
                trust.sentences()
            );
        }
    }
}

#[tokio::test]
async fn a_link_to_a_foreign_host_makes_the_read_untrusted() {
    let service =
        Service::start(450, &["paging=nextlink_foreign_host", "nextlink_with_top=on", "page=100"]).await;
    let (snapshot, trust) = service.read().await;
    assert_eq!(ids_of(&snapshot), service.ids());
    assert!(
        trust.sentences().iter().any(|reason| reason.contains("was not followed")),
        "{:?}",
        trust.sentences()
    );
}

#[tokio::test]
async fn rows_that_share_one_moment_behind_a_cap_are_all_found_or_the_read_is_untrusted() {
    for same in ["same_last_seen=450", "same_last_seen=120", "same_last_seen=99"] {
        let service = Service::start(450, &["paging=hard_cap", "page=100", same]).await;
        let (snapshot, trust) = service.read().await;
        let missing = service.ids().difference(&ids_of(&snapshot)).count();
        assert!(missing == 0 || !trust.is_trusted(), "{same}: {missing} missing, {:?}", trust.sentences());
        if !trust.is_trusted() {
            let why = trust.sentences().join("; ");
            assert!(why.contains("100 devices have the same lastSeen"), "{why}");
        }
    }
}

#[tokio::test]
async fn lists_and_answers_without_an_end_do_end() {
    for paging in ["paging=nextlink_endless", "paging=skip_endless"] {
        let service = Service::start(450, &[paging, "nextlink_with_top=on", "page=100"]).await;
        let reader = service.tenant(RequiredAccess::Read).await.unwrap().reader();
        let watch = ReadWatch { meter: &Unmetered, progress: &|_| {}, pages: None };
        if let Ok((snapshot, trust)) = reader.read(&ReadScope::default(), watch).await {
            assert!(!trust.is_trusted() || ids_of(&snapshot) == service.ids(), "{paging}");
        }
    }
    for fault in ["drip=list:1-9", "endless_1xx=list:1-9"] {
        let service = Service::start(50, &[fault, "drip_ms=20"]).await;
        let mut options = service.options(service.secret());
        options.request_timeout = Duration::from_millis(300);
        let reader = connect(options, RequiredAccess::Read).await.unwrap().reader();
        let watch = ReadWatch { meter: &Unmetered, progress: &|_| {}, pages: None };
        let error = reader.read(&ReadScope::default(), watch).await.unwrap_err();
        assert_eq!(error.kind, TenantErrorKind::Network, "{fault}: {error}");
        let lists = service.sandbox.calls().iter().filter(|call| call.path.ends_with("/machines")).count();
        assert_eq!(lists, 2, "{fault}: a call that had its whole time is tried once more");
    }
}

#[tokio::test]
async fn an_empty_tenant_is_untrusted_however_it_answers() {
    for empty in ["empty=200", "empty=404"] {
        let service = Service::start(0, &[empty]).await;
        let (snapshot, trust) = service.read().await;
        assert!(snapshot.is_empty() && !trust.is_trusted(), "{empty}");
    }
}

#[tokio::test]
async fn a_small_tenant_is_one_list_call_and_one_that_asks_what_stands_behind_it() {
    let service = Service::start(1999, &[]).await;
    assert!(service.read().await.1.is_trusted());
    let lists = service.sandbox.calls().iter().filter(|call| call.path.ends_with("/machines")).count();
    assert_eq!(lists, 2);
}

#[tokio::test]
async fn a_certificate_and_a_federated_token_sign_in() {
    let service = Service::start(1, &["federated_spreading=2"]).await;
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tenant/auth/testdata/app.pem");
    let text = std::fs::read_to_string(pem).unwrap();
    service.sandbox.trust_certificate(&text[text.find("-----BEGIN CERTIFICATE").unwrap()..]).unwrap();
    let certificate = service.credential(&[("AZURE_CLIENT_CERTIFICATE_PATH", pem)]);
    let tenant = connect(service.options(certificate), RequiredAccess::Write).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::Certificate);

    let federated = Federated {
        issuer: "https://token.actions.githubusercontent.com".into(),
        subject: "repo:contoso@1/tags@2:environment:production".into(),
        audience: "api://AzureADTokenExchange".into(),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), service.sandbox.federated_token(&federated).unwrap()).unwrap();
    let credential = service.credential(&[("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap())]);
    let error = connect(service.options(credential.clone()), RequiredAccess::Read).await.err().unwrap();
    assert!(error.what.contains("issuer and subject"), "{error}");
    service.sandbox.trust_federated(&federated).unwrap();
    let tenant = connect(service.options(credential), RequiredAccess::Read).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::FederatedTokenFile);
}

#[tokio::test]
async fn managed_identities_sign_in() {
    let service = Service::start(1, &[]).await;
    let url = service.running.url();
    let choose_from = |pairs: &[(&str, &str)]| {
        let look =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(&IdentityOptions::default(), &look).unwrap()
    };
    let machine = choose_from(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]);
    let tenant = connect(service.options(machine), RequiredAccess::Read).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::ManagedIdentity);
    let (endpoint, header) = (format!("{url}/msi/token"), service.sandbox.credentials().identity_secret);
    let app = choose_from(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", &header)]);
    let tenant = connect(service.options(app), RequiredAccess::Read).await.unwrap();
    assert_eq!(tenant.source(), CredentialSource::AppService);
}

#[tokio::test]
async fn failures_of_the_sign_in_are_explained() {
    for (fault, expected) in [
        ("secret=expired", "has expired"),
        ("tenant=unknown", "does not exist"),
        ("consent=missing", "Defender"),
        ("roles=none", "no roles at all"),
        ("roles=ThreatHunting.Read.All", "Machine.Read.All"),
    ] {
        let service = Service::start(1, &[fault]).await;
        let error = service.tenant(RequiredAccess::Read).await.err().unwrap();
        assert!(
            error.to_string().contains(expected) && !error.help.is_empty(),
            "{fault}: {error} {:?}",
            error.help
        );
    }
    let service = Service::start(1, &["roles=Machine.Read.All"]).await;
    assert_eq!(service.tenant(RequiredAccess::Write).await.err().unwrap().kind, TenantErrorKind::Role);
    assert!(service.read().await.1.is_trusted());
}

#[tokio::test]
async fn tags_and_values_are_written_and_read_back() {
    let service = Service::start(10, &["token_life_s=60"]).await;
    let writer = sign_in_to_write(service.options(service.secret())).await.unwrap().split().1;
    let ids: Vec<Arc<str>> = service.ids().iter().map(|id| id.as_str().into()).collect();
    let calls = [
        Call::BulkTag { tag: "T 1".into(), action: TagAction::Add, devices: ids.clone() },
        Call::SingleTag { tag: "T,2".into(), action: TagAction::Add, device: ids[0].clone() },
        Call::SetValue { device: ids[0].clone(), value: DeviceValue::High },
        Call::Update { device: ids[1].clone(), value: Some(DeviceValue::Low), tags: None },
        Call::Get { device: ids[0].clone() },
    ];
    for call in &calls {
        let Reply::Answered { devices } = writer.send(call).await else { panic!("{call:?}") };
        assert_eq!(devices.len(), call.devices().len());
    }
    let unknown = Call::SetValue { device: "0123".into(), value: DeviceValue::Low };
    let Reply::Rejected(rejection) = writer.send(&unknown).await else { panic!() };
    assert_eq!((rejection.status, &*rejection.code), (404, "ResourceNotFound"));
    let Reply::Answered { devices } = writer.send(&Call::Get { device: ids[0].clone() }).await else {
        panic!()
    };
    let state = &devices[0];
    assert_eq!(state.value.as_deref(), Some("High"));
    assert!(["T 1", "T,2"].iter().all(|tag| state.tags.iter().any(|own| &**own == *tag)), "{:?}", state.tags);
}

#[tokio::test]
async fn hunting_finds_the_devices_that_were_laid_down() {
    let service = Service::start(10, &[]).await;
    let first = service.ids().first().unwrap().clone();
    let query = "DeviceInfo | where IsInternetFacing | distinct DeviceId";
    service.sandbox.set_hunting(query, &[&first]).unwrap();
    let hunter = service.tenant(RequiredAccess::Read).await.unwrap().hunter().await.unwrap();
    let found = hunter.run(query, &["DeviceId", "Other"], &Unmetered).await.unwrap();
    assert_eq!(found, HuntedRows::new(vec!["DeviceId".to_owned()], [vec![Some(first)]].into_iter()));
    service.sandbox.set("hunting", "bad_request").unwrap();
    assert!(hunter.run(query, &["DeviceId"], &Unmetered).await.is_err());
}
