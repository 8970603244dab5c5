//! Where credentials may be sent: links, redirects and settings that lead elsewhere, with a server there that records requests.

use serde_json::json;

use crate::project::Project;
use crate::service::{self, Environment, Fake, Say, hosts};

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";

fn project() -> Project {
    Project::with_policy(POLICY)
}

/// A host that is not the tenant's. It would answer everything, so a client that asks it would continue.
fn trap() -> Fake {
    Fake::start(|_| Say::json(200, &json!({ "value": [], "access_token": "x.y.z" })))
}

/// The host must have seen no request at all, and so no credential.
#[track_caller]
fn was_not_asked(trap: &Fake) {
    let seen = trap.seen();
    assert!(!seen.iter().any(|seen| seen.is_authorized()), "a token was sent to another host");
    assert!(seen.is_empty(), "{seen:?}");
}

const ROLES: &str = "Machine.ReadWrite.All";

#[test]
fn a_link_to_another_host_is_not_followed() {
    let trap = trap();
    let device = json!({ "id": "3f1c0a9be27d45c6881f02e4a7d95b6c0e1f2a3b", "computerDnsName": "a", "machineTags": ["Zebra"] });
    for link in [
        format!("{}/api/machines?$skip=1", trap.url),
        format!("{}/api/machines?$skip=1", trap.url.replace("127.0.0.1", "localhost")),
        format!("//{}/api/machines", trap.url.trim_start_matches("http://")),
    ] {
        let page = json!({ "@odata.nextLink": link, "value": [device] });
        let service = Fake::listing(&json!({ "roles": [ROLES] }), page);
        let ran = project().run_in(&service.secret(), &["plan"]);
        assert!(ran.out.contains("UNTRUSTED") || ran.code == 1, "{link}: {}{}", ran.out, ran.err);
        ran.is_for_people();
        was_not_asked(&trap);
    }
}

#[test]
fn a_redirect_of_the_list_is_not_followed() {
    let trap = trap();
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/api/machines", trap.url);
        let service = Fake::tenant(&json!({ "roles": [ROLES] }), move |_| {
            Say(status, vec![("location", to.clone())], String::new())
        });
        let ran = project().run_in(&service.secret(), &["plan"]).exits(1);
        assert!(ran.err.contains(&format!("HTTP {status}")) && ran.err.contains(&trap.url), "{}", ran.err);
        assert!(ran.err.contains("not followed"), "{}", ran.err);
        ran.is_for_people();
        was_not_asked(&trap);
    }
}

#[test]
fn a_redirect_of_the_sign_in_is_not_followed() {
    let trap = trap();
    for status in [301, 302, 307, 308] {
        let to = format!("{}/token", trap.url);
        let service = Fake::start(move |_| Say(status, vec![("location", to.clone())], String::new()));
        let ran = project().run_in(&service.secret(), &["plan"]).exits(1);
        assert!(ran.err.contains("which is not followed"), "{}", ran.err);
        was_not_asked(&trap);
    }
}

#[test]
fn a_location_beside_a_good_answer_and_a_redirect_of_a_write_lead_nowhere() {
    let trap = trap();
    let to = trap.url.clone();
    let device = json!({ "id": "3f1c0a9be27d45c6881f02e4a7d95b6c0e1f2a3b", "computerDnsName": "a", "machineTags": [] });
    let page = json!({ "value": [device] }).to_string();
    let service = Fake::tenant(&json!({ "roles": [ROLES] }), move |seen| {
        let elsewhere = ("location", format!("{to}{}", seen.path));
        if seen.method == "GET" && seen.path.starts_with("/api/machines?") {
            let body = if seen.is_behind() { r#"{"value":[]}"#.to_owned() } else { page.clone() };
            return Say(200, vec![elsewhere, ("content-location", to.clone())], body);
        }
        Say(307, vec![elsewhere], String::new())
    });
    let ran = project().run_in(&service.secret(), &["apply", "--auto-approve"]);
    assert!(matches!(ran.code, 1 | 4), "{}\n{}{}", ran.code, ran.out, ran.err);
    assert!(service.seen().iter().any(|seen| seen.method == "POST" && seen.path.contains("/api/machines/")));
    ran.is_for_people();
    was_not_asked(&trap);
}

/// Plans with these variables, and returns the message.
fn refused(project: &Project, variables: &[(&'static str, String)]) -> String {
    let secret: Environment =
        [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1"), ("AZURE_CLIENT_SECRET", "s")]
            .map(|(name, value)| (name, value.to_owned()))
            .into();
    let ran = project.run_in(&[secret, variables.to_vec()].concat(), &["plan"]).exits(1);
    ran.is_for_people();
    ran.err
}

#[test]
fn hosts_of_settings_are_named_by_the_environment() {
    let project = project();
    let table = [
        ("https://evil.example.com", "MDETAG_ALLOW_HOSTS=evil.example.com"),
        ("http://evil.example.com", "plain http is for loopback addresses only"),
        ("http://127.0.0.1.example.com", "plain http is for loopback addresses only"),
        ("http://127.0.0.1@example.com", "leave out the path, the query and any user name"),
        ("https://api.security.microsoft.com:8443", "MDETAG_ALLOW_HOSTS="),
        ("ftp://127.0.0.1", "neither https nor http"),
    ];
    for (url, expected) in table {
        for variable in ["MDETAG_API_URL", "MDETAG_LOGIN_URL", "MDETAG_GRAPH_URL"] {
            let message = refused(&project, &[(variable, url.to_owned())]);
            assert!(message.contains(expected) && message.contains(variable), "{url}: {message}");
        }
        for key in ["api", "login", "graph"] {
            let file = format!("version: 1\ntenants: {{ one: {{ endpoints: {{ {key}: \"{url}\" }} }} }}\n");
            project.write("mdetag.yaml", &file);
            let message = refused(&project, &[]);
            assert!(
                message.contains(expected) && message.contains(&format!("endpoints.{key}")),
                "{url}: {message}"
            );
        }
        std::fs::remove_file(project.path().join("mdetag.yaml")).unwrap();
    }
    // The environment allows a host, but not sending it a credential unencrypted.
    let vouched = ("MDETAG_ALLOW_HOSTS", "other.example, evil.example.com".to_owned());
    let message = refused(&project, &[vouched, ("MDETAG_API_URL", "http://evil.example.com".to_owned())]);
    assert!(message.contains("plain http is for loopback addresses only"), "{message}");
}

#[test]
fn a_loopback_host_that_only_a_file_names_gets_nothing() {
    let project = project();
    let listener = trap();
    for key in ["api", "login", "graph"] {
        project.write(
            "mdetag.yaml",
            &format!("version: 1\ntenants: {{ one: {{ endpoints: {{ {key}: \"{}\" }} }} }}\n", listener.url),
        );
        let place = listener.url.trim_start_matches("http://");
        let message = refused(&project, &[]);
        assert!(message.contains(&format!("MDETAG_ALLOW_HOSTS={place}")), "{message}");
        let other = ("MDETAG_ALLOW_HOSTS", "127.0.0.1:1, 127.0.0.1".to_owned());
        assert!(refused(&project, &[other]).contains(&format!("endpoints.{key}")));
    }
    was_not_asked(&listener);
}

#[test]
fn a_host_that_the_environment_names_is_used() {
    let project = project();
    let service = Fake::listing(&json!({ "roles": [ROLES] }), json!({ "value": [] }));
    // Reserved for documentation: nothing answers there, which shows that the setting was used.
    let far = "https://192.0.2.1:9".to_owned();
    project.write(
        "mdetag.yaml",
        &format!("version: 1\ntenants: {{ one: {{ endpoints: {{ login: \"{far}\" }} }} }}\n"),
    );
    let proxy = crate::service::nobody();
    let variables = [
        vec![("MDETAG_API_URL", service.url.clone()), ("MDETAG_ALLOW_HOSTS", "192.0.2.1:9".to_owned())],
        vec![("HTTPS_PROXY", proxy)],
    ]
    .concat();
    project.write("policies/p.yaml", POLICY);
    project.write("mdetag.yaml", &format!("version: 1\nbudget: {{ timeScale: 100000 }}\ntenants: {{ one: {{ endpoints: {{ login: \"{far}\" }} }} }}\n"));
    let message = refused(&project, &variables);
    assert!(message.contains("cannot sign in: https://192.0.2.1:9"), "{message}");
    assert!(message.contains("HTTPS_PROXY"), "{message}");
}

#[test]
fn the_proxy_of_the_environment_gets_a_tunnel_and_no_credential() {
    let project = project();
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 100000 }\n");
    let proxy = Fake::start(|_| Say(502, Vec::new(), String::new()));
    let service = Fake::listing(&json!({ "roles": [ROLES] }), json!({ "value": [] }));
    let variables = vec![("MDETAG_API_URL", service.url.clone()), ("HTTPS_PROXY", proxy.url.clone())];
    let message = refused(&project, &variables);
    assert!(message.contains("cannot sign in: https://login.microsoftonline.com"), "{message}");
    let seen = proxy.seen();
    assert!(!seen.is_empty());
    for seen in seen {
        assert_eq!((&*seen.method, &*seen.path), ("CONNECT", "login.microsoftonline.com:443"));
        assert!(seen.body.is_empty() && !seen.is_authorized());
    }
}

#[test]
fn a_proxy_with_its_own_certificates_is_trusted_through_ssl_cert_file() {
    let project = project();
    project.write("mdetag.yaml", "version: 1\n");
    let grant = json!({ "access_token": service::token(&json!({ "roles": [ROLES] })), "expires_in": 3599 });
    let list = json!({ "value": [] });
    let proxy =
        Fake::proxy(move |seen| Say::json(200, if seen.path.ends_with("/token") { &grant } else { &list }));
    let ids =
        [("AZURE_TENANT_ID", service::TENANT), ("AZURE_CLIENT_ID", "app-1"), ("AZURE_CLIENT_SECRET", "s")];
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/testdata/proxy-ca.pem");
    let environment = [
        ids.map(|(name, value)| (name, value.to_owned())).into(),
        hosts("https://tenant.example"),
        vec![("MDETAG_ALLOW_HOSTS", "tenant.example".to_owned()), ("HTTPS_PROXY", proxy.url.clone())],
    ]
    .concat();
    let trusting = [environment.clone(), vec![("SSL_CERT_FILE", authority.to_owned())]].concat();
    project.run_in(&trusting, &["plan"]).exits(0);
    let (tunnels, inside): (Vec<_>, Vec<_>) =
        proxy.seen().into_iter().partition(|seen| seen.method == "CONNECT");
    assert!(
        tunnels.iter().all(|seen| seen.path == "tenant.example:443" && !seen.is_authorized()),
        "{tunnels:?}"
    );
    assert!(inside.iter().any(|seen| seen.method == "GET" && seen.is_authorized()), "the list was read");

    let ran = project.run_in(&environment, &["plan"]).exits(1);
    assert!(ran.err.contains("invalid peer certificate") && ran.err.contains("SSL_CERT_FILE"), "{}", ran.err);
    assert!(!ran.err.contains("trying again"), "no further try changes it: {}", ran.err);
    let ran = project.run_in(&environment, &["doctor"]).exits(1);
    assert!(ran.out.contains("ertificate") && ran.out.contains("SSL_CERT_FILE"), "{}", ran.out);
    assert!(
        proxy.seen().iter().filter(|seen| seen.method != "CONNECT").count() == inside.len(),
        "nothing was sent"
    );
}

#[test]
fn loopback_never_goes_through_a_proxy() {
    let proxy = trap();
    let service = Fake::listing(&json!({ "roles": [ROLES] }), json!({ "value": [] }));
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    let proxies: Environment = names.map(|name| (name, proxy.url.clone())).into();
    project().run_in(&[service.secret(), proxies].concat(), &["plan"]).exits(0);
    was_not_asked(&proxy);
}

#[test]
fn time_runs_faster_on_loopback_only() {
    let project = project();
    project.write("mdetag.yaml", "version: 1\nbudget: { timeScale: 2 }\n");
    let message = refused(&project, &[]);
    assert!(
        message.contains("`budget.timeScale` is more than 1") && message.contains("delete `timeScale`"),
        "{message}"
    );
    let allowed = [("MDETAG_API_URL", "https://far.example.com"), ("MDETAG_ALLOW_HOSTS", "far.example.com")];
    let message = refused(&project, &allowed.map(|(name, value)| (name, value.to_owned())));
    assert!(message.contains("`budget.timeScale` is more than 1"), "{message}");
    let service = Fake::listing(&json!({ "roles": [ROLES] }), json!({ "value": [] }));
    project.run_in(&service.secret(), &["plan"]).exits(0);
    assert_eq!(hosts(&service.url).len(), 3);
}
