//! The tenants of `mdetag.yaml`, for people and as matrices of jobs, within each system's limits.
//!
//! Beyond a system's limit, a job is a shard: a part of the tenants that stays the same from run to run.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde::Serialize;
use serde_json::{Value, json};

use crate::report::listing::{Cell, Listing};
use crate::report::words::counted;

/// The most jobs of a matrix on GitHub Actions (documented: 256 per workflow run).
const GITHUB_JOBS: usize = 256;

/// The most jobs of a `parallel:matrix` on GitLab (documented: 200).
const GITLAB_JOBS: usize = 200;

/// Tenants per pod: the plan of a medium-sized tenant takes seconds, and starting a pod costs about as much.
const TENANTS_A_POD: usize = 32;

/// Pods that run at the same time.
const PODS_AT_A_TIME: usize = 64;

/// A profile for CI systems.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRow {
    pub tenant: String,
    pub tenant_id: Option<String>,
    pub client_id: Option<String>,
    /// The cloud's word.
    pub cloud: String,
    /// Its policy paths.
    pub policies: Vec<String>,
}

/// The profiles for people.
pub fn table(rows: &[TenantRow]) -> Listing {
    let heading = counted(rows.len() as u64, "tenant");
    let mut table = Listing { kind: "tenants", heading, ..Listing::default() }
        .column("tenant")
        .column("id")
        .column("cloud")
        .column("policies");
    let id = |row: &TenantRow| row.tenant_id.clone().map_or(Cell::Missing, Cell::Text);
    let cells = |row: &TenantRow| {
        let policies = Cell::Text(row.policies.join(" "));
        vec![Cell::Text(row.tenant.clone()), id(row), Cell::Text(row.cloud.clone()), policies]
    };
    table.rows = rows.iter().map(cells).collect();
    table
}

/// Every profile: `{ "include": [ { "tenant", "tenantId", "clientId", "cloud", "policies" } ] }`.
pub fn all(rows: &[TenantRow]) -> Value {
    json!({ "include": rows })
}

/// The matrix for GitHub Actions; above 256 tenants `{ "include": [ { "shard": "1/256" } ] }`.
pub fn github(rows: &[TenantRow]) -> Value {
    if rows.len() <= GITHUB_JOBS {
        return all(rows);
    }
    let shards: Vec<Value> = shards(GITHUB_JOBS).map(|shard| json!({ "shard": shard })).collect();
    json!({ "include": shards })
}

/// A hidden GitLab job for others to extend. Its matrix sets `MDETAG_TENANT`, which mdetag reads itself; above 200 tenants
/// `MDETAG_SHARD`, which the job passes to `--shard`.
pub fn gitlab(rows: &[TenantRow]) -> Value {
    let matrix = if rows.len() <= GITLAB_JOBS {
        let names: Vec<&str> = rows.iter().map(|row| &*row.tenant).collect();
        json!({ "MDETAG_TENANT": names })
    } else {
        json!({ "MDETAG_SHARD": shards(GITLAB_JOBS).collect::<Vec<_>>() })
    };
    json!({ ".mdetag-tenants": { "parallel": { "matrix": [matrix] } } })
}

/// The pods and their shards for an Indexed Job of Kubernetes, as a strategic merge patch of the Job.
pub fn kubernetes(rows: &[TenantRow]) -> Value {
    let pods = rows.len().div_ceil(TENANTS_A_POD).max(1);
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods.min(PODS_AT_A_TIME),
            "template": { "spec": { "containers": [{
                "name": "mdetag",
                "env": [{ "name": "MDETAG_SHARD", "value": format!("auto/{pods}") }],
            }] } },
        },
    })
}

fn shards(count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(move |number| format!("{number}/{count}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<TenantRow> {
        (0..count).map(|at| TenantRow { tenant: format!("customer-{at}"), ..TenantRow::default() }).collect()
    }

    #[test]
    fn a_matrix_has_no_more_jobs_than_its_system_takes() {
        assert_eq!(github(&rows(256))["include"][255]["tenant"], "customer-255");
        let large = github(&rows(257));
        assert_eq!(large["include"].as_array().unwrap().len(), 256);
        assert_eq!(large["include"][0], json!({ "shard": "1/256" }));
        let matrix = |count| gitlab(&rows(count))[".mdetag-tenants"]["parallel"]["matrix"][0].clone();
        assert_eq!(matrix(200)["MDETAG_TENANT"].as_array().unwrap().len(), 200);
        assert_eq!(matrix(201)["MDETAG_SHARD"].as_array().unwrap().len(), 200);
        let job = kubernetes(&rows(2_000));
        assert_eq!((&job["spec"]["completions"], &job["spec"]["parallelism"]), (&json!(63), &json!(63)));
        assert_eq!(kubernetes(&rows(5_000))["spec"]["parallelism"], 64);
        let env = &job["spec"]["template"]["spec"]["containers"][0]["env"][0];
        assert_eq!(env["value"], "auto/63");
    }
}
