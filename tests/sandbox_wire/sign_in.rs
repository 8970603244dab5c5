//! Tokens, rights, and the errors of the sign-in. Not what a right allows.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::client::{ids, small};

#[tokio::test]
async fn rights_are_checked_in_order() {
    let (sandbox, _running, mut client, clock) = small(&[]).await;
    let good = client.token.clone();
    client.token = "garbage".to_owned();
    let reply = client.get("/api/machines").await;
    assert_eq!((reply.status, reply.headers.contains_key("www-authenticate")), (401, true));
    client.token = client.sign_in("https://api.security.microsoft.com/.default").await;
    assert_eq!(client.get("/api/machines").await.status, 403);
    client.token = good;
    sandbox.set("mde_inactive", "on").unwrap();
    let reply = client.get("/api/machines").await;
    assert!(reply.status == 401 && reply.text.contains("Account mode is inactive"));
    sandbox.set("mde_inactive", "off").unwrap();
    sandbox.set("roles", "Machine.Read.All").unwrap();
    client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
    assert_eq!(client.get("/api/machines").await.status, 200);
    let reply = client.bulk("T", "Add", &["a"]).await;
    assert_eq!(reply.status, 403);
    assert!(
        reply
            .text
            .contains("API required roles: Machine.ReadWrite.All, application roles: Machine.Read.All.")
    );
    clock.0.fetch_add(3599 * 10_000_000, Ordering::SeqCst);
    assert_eq!(client.get("/api/machines").await.status, 401, "expired");
}

#[tokio::test]
async fn a_delegated_user_sees_only_their_groups() {
    let (sandbox, _running, mut client, _) = small(&["delegated=on", "visible_groups=150"]).await;
    sandbox.insert(&json!({ "id": "d", "rbacGroupId": 150, "rbacGroupName": "Servers" })).unwrap();
    client.token = client.sign_in("https://api.securitycenter.microsoft.com/.default").await;
    assert_eq!(ids(&client.get("/api/machines").await), ["d"]);
    assert_eq!(
        client.post("/api/machines/a/tags", json!({ "Value": "T", "Action": "Add" })).await.status,
        404
    );
}

#[tokio::test]
async fn sign_in_errors_are_those_of_the_sign_in_service() {
    let (sandbox, _running, client, _) = small(&[]).await;
    let scope = ("scope", "https://api.securitycenter.microsoft.com/.default");
    let v1 =
        client.token_call("/oauth2/token", &[("resource", "https://api.securitycenter.microsoft.com")]).await;
    assert_eq!(v1.body["expires_in"], "3599", "version 1 writes numbers as text");
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, u64);
    let cases: [Case<'_>; 4] = [
        (&[("client_secret", "wrong"), scope], 401, 7000215),
        (&[("client_id", "wrong"), scope], 400, 700016),
        (&[("scope", "https://api.securitycenter.microsoft.com")], 400, 1002012),
        (&[("scope", "https://nowhere.example/.default")], 400, 500011),
    ];
    for (fields, status, number) in cases {
        let reply = client.token_call("/oauth2/v2.0/token", fields).await;
        assert_eq!((reply.status, &reply.body["error_codes"]), (status, &json!([number])), "{fields:?}");
    }
    sandbox.set("secret", "expired").unwrap();
    assert_eq!(client.token_call("/oauth2/v2.0/token", &[scope]).await.body["error_codes"], json!([7000222]));
    sandbox.set("tenant", "unknown").unwrap();
    assert_eq!(client.token_call("/oauth2/v2.0/token", &[scope]).await.body["error_codes"], json!([90002]));
}
