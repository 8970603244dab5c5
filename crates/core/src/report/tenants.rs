//! The tenant profiles as a table or as a CI matrix, and how a command ended for several tenants.
//!
//! Chooses no tenant.

use serde_json::{Value, json};

/// A tenant profile, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow<'a> {
    /// The profile's name.
    pub name: &'a str,
    /// Directory id.
    pub tenant_id: Option<&'a str>,
    /// The application that signs in.
    pub client_id: Option<&'a str>,
    /// The cloud's word.
    pub cloud: &'a str,
    /// Its policy roots; the usual one where it names none.
    pub policies: Vec<&'a str>,
}

/// Writes the profiles as a table.
pub fn human(profiles: &[ProfileRow<'_>]) -> String {
    if profiles.is_empty() {
        return "mdetag.yaml names no tenants; `mdetag init` writes one with an example\n".to_owned();
    }
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or(0).max(6);
    let mut text = format!("{:<width$}  {:<36}  {:<8}  POLICIES\n", "TENANT", "ID", "CLOUD");
    for profile in profiles {
        let (id, policies) = (profile.tenant_id.unwrap_or("-"), profile.policies.join(" "));
        text.push_str(&format!("{:<width$}  {id:<36}  {:<8}  {policies}\n", profile.name, profile.cloud));
    }
    text
}

/// Writes the profiles as a matrix that GitHub Actions and GitLab take as it is:
/// `{ "include": [ { "tenant", "tenantId", "clientId", "cloud", "policies" } ] }`, on one line.
pub fn matrix(profiles: &[ProfileRow<'_>]) -> String {
    let row = |profile: &ProfileRow<'_>| {
        json!({
            "tenant": profile.name, "tenantId": profile.tenant_id, "clientId": profile.client_id,
            "cloud": profile.cloud, "policies": profile.policies,
        })
    };
    json!({ "include": profiles.iter().map(row).collect::<Vec<Value>>() }).to_string()
}

/// How a command ended for one tenant of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantEnd<'a> {
    /// The profile's name.
    pub tenant: &'a str,
    /// Its exit code, if it were alone.
    pub exit_code: u8,
    /// The same in words, or what failed.
    pub says: String,
    /// What it would have written alone.
    pub report: &'a [u8],
    /// Code, message and help of what failed.
    pub failure: Option<(&'a str, &'a str, Option<&'a str>)>,
}

/// One tenant's part of [`all_document`].
pub fn document(end: &TenantEnd<'_>) -> Value {
    let report = serde_json::from_slice::<Value>(end.report).unwrap_or(Value::Null);
    let error =
        end.failure.map(|(code, message, help)| json!({ "code": code, "message": message, "help": help }));
    json!({ "tenant": end.tenant, "exitCode": end.exit_code, "report": report, "error": error })
}

/// Writes the parts of all tenants as one document.
pub fn all_document(tenants: Vec<Value>, exit_code: u8) -> String {
    format!("{:#}", json!({ "formatVersion": "1.0", "tenants": tenants, "exitCode": exit_code }))
}

/// One tenant's line below `All tenants:`.
pub fn summary_line(end: &TenantEnd<'_>) -> String {
    format!("  {}: {}\n", end.tenant, end.says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_the_longest_name_and_the_matrix_is_one_line() {
        let row = |name| ProfileRow {
            name,
            tenant_id: None,
            client_id: Some("c"),
            cloud: "public",
            policies: vec!["a", "b"],
        };
        let rows = [row("alpha"), row("a-long-name")];
        let text = human(&rows);
        assert!(text.lines().all(|line| line.get(11..13) == Some("  ")) && text.contains("a b\n"), "{text}");
        assert_eq!(matrix(&rows).lines().count(), 1);
        assert!(human(&[]).contains("mdetag init"));
    }

    #[test]
    fn a_tenant_that_failed_has_no_report_and_its_error() {
        let end = TenantEnd {
            tenant: "t",
            exit_code: 1,
            says: "no network".to_owned(),
            report: b"",
            failure: Some(("E9003", "no network", None)),
        };
        let part = document(&end);
        assert!(part["report"].is_null() && part["error"]["code"] == "E9003", "{part}");
        assert_eq!(summary_line(&end), "  t: no network\n");
    }
}
