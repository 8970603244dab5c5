//! `changesDigest`: a digest of the changes of a plan on a tenant, independent of their causes and of the time of the plan.
//!
//! SHA-256 over the RFC 8785 form of `{ "tenant": { "id", "cloud" }, "changes": [{ "id", "add", "remove", "deviceValue" }] }`. A
//! key without changes is absent.

use serde::Serialize;

use crate::device::DeviceValue;
use crate::plan::digest::Sha256;
use crate::plan::{DeviceChange, Plan, TagChange};

/// Keys in canonical order.
#[derive(Serialize)]
struct Changed<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    add: Vec<&'a str>,
    #[serde(rename = "deviceValue", skip_serializing_if = "Option::is_none")]
    value: Option<DeviceValue>,
    id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remove: Vec<&'a str>,
}

/// Keys in canonical order.
#[derive(Serialize)]
struct OnTenant<'a> {
    cloud: Option<&'a str>,
    id: Option<&'a str>,
}

/// The digest of a plan's changes.
pub fn changes_digest(plan: &Plan) -> String {
    let mut sha256 = Sha256::new();
    let mut line = Vec::new();
    let mut before: &[u8] = b"{\"changes\":[";
    for change in &plan.changes {
        line.clear();
        // serde_json escapes as RFC 8785 requires.
        serde_json::to_writer(&mut line, &changed(plan, change)).expect("memory takes any JSON");
        sha256.update(std::mem::replace(&mut before, b","));
        sha256.update(&line);
    }
    if plan.changes.is_empty() {
        sha256.update(before);
    }
    let tenant = &plan.header.tenant;
    let tenant = OnTenant { cloud: tenant.cloud.as_deref(), id: tenant.id.as_deref() };
    sha256.update(b"],\"tenant\":");
    sha256.update(&serde_json::to_vec(&tenant).expect("memory takes any JSON"));
    sha256.update(b"}");
    sha256.finish()
}

fn changed<'a>(plan: &'a Plan, change: &'a DeviceChange) -> Changed<'a> {
    let tags = |changes: &[TagChange]| changes.iter().map(|change| &**plan.tag(change.tag)).collect();
    Changed {
        add: tags(&change.add),
        value: change.value.map(|value| value.to),
        id: &change.id,
        remove: tags(&change.remove),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::digest::{canonical, sha256};
    use crate::plan::{CauseIndex, TagIndex, ValueChange};

    #[test]
    fn it_is_of_the_canonical_form_of_tenant_and_changes() {
        let mut plan = Plan { tags: vec!["a\"b".into(), "ö".into()], ..Plan::default() };
        plan.header.tenant.id = Some("t".into());
        plan.header.tenant.cloud = Some("public".into());
        let of = |plan: &Plan, changes: &str| {
            let json = format!(r#"{{"tenant":{{"id":"t","cloud":"public"}},"changes":{changes}}}"#);
            assert_eq!(changes_digest(plan), sha256(canonical(&json, &[]).unwrap().as_bytes()));
        };
        of(&plan, "[]");
        let tag = |tag| TagChange { tag: TagIndex(tag), cause: CauseIndex(0) };
        let change = |id: &str| DeviceChange {
            id: id.into(),
            name: Some("x".into()),
            observed_tags: Box::default(),
            observed_value: None,
            add: Vec::new(),
            remove: Vec::new(),
            value: None,
        };
        plan.changes = vec![
            DeviceChange { add: vec![tag(0), tag(1)], ..change("1") },
            DeviceChange {
                remove: vec![tag(1)],
                value: Some(ValueChange { to: DeviceValue::High, cause: CauseIndex(0) }),
                ..change("2")
            },
        ];
        of(&plan, r#"[{"id":"1","add":["a\"b","ö"]},{"id":"2","remove":["ö"],"deviceValue":"High"}]"#);
    }
}
