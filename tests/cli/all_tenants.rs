//! Several tenants in one run: in parallel, each with its own hosts, budget and state, and one summary.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::Project;
use crate::service::{Environment, Service};

const POLICY: &str =
    "version: 1\nclaims: [Zebra]\nrules:\n  - { name: all, select: { everything: true }, tags: [Zebra] }\n";

pub(crate) const IDS: [&str; 3] = [
    "aaaaaaaa-2222-3333-4444-555555555555",
    "bbbbbbbb-2222-3333-4444-555555555555",
    "cccccccc-2222-3333-4444-555555555555",
];

/// Three tenants, the second with these faults, in a project that knows all three.
pub(crate) fn three(faults: &[&str]) -> (Project, Vec<Service>, Environment) {
    let services: Vec<Service> =
        (0..3).map(|at| Service::of_tenant(Some(IDS[at]), if at == 1 { faults } else { &[] })).collect();
    let project = Project::with_policy(POLICY);
    let mut file =
        String::from("version: 1\nbudget: { timeScale: 1000 }\nwrites: { settle: 1s }\ntenants:\n");
    for (name, service) in ["alpha", "beta", "gamma"].iter().zip(&services) {
        let (known, url) = (service.sandbox.credentials(), &service.url);
        file.push_str(&format!(
            "  {name}:\n    tenantId: {}\n    clientId: {}\n    endpoints: {{ api: \"{url}\", login: \"{url}\", graph: \"{url}\" }}\n",
            known.tenant_id, known.client_id
        ));
    }
    project.write("mdetag.yaml", &file);
    let token = services[0].federated_token("repo:example-org/policies:ref:refs/heads/main");
    let path = project.write("token", &token).display().to_string();
    let hosts: Vec<&str> = services.iter().map(|service| service.url.trim_start_matches("http://")).collect();
    let environment = vec![("AZURE_FEDERATED_TOKEN_FILE", path), ("MDETAG_ALLOW_HOSTS", hosts.join(","))];
    (project, services, environment)
}

pub(crate) fn tagged(service: &Service) -> usize {
    let has = |device: &Value| device["machineTags"].as_array().unwrap().iter().any(|tag| tag == "Zebra");
    service.sandbox.devices().unwrap().iter().filter(|device| has(device)).count()
}

#[test]
fn of_three_tenants_one_fails_and_two_finish() {
    let (project, services, environment) = three(&["mde_inactive=on"]);
    let ran = project.run_in(&environment, &["plan", "--all-tenants"]).exits(1);
    assert_eq!(ran.out.matches("20 additions on 20 devices").count(), 2, "{}", ran.out);
    let summary = ran.err.split("All tenants:\n").nth(1).unwrap();
    let lines: Vec<&str> = summary.lines().map(str::trim).collect();
    let counts = "exit 0  20 additions, 0 removals, 0 values on 20 devices";
    assert_eq!(
        [lines[0], lines[2]],
        [&*format!("alpha  {counts}"), &*format!("gamma  {counts}")],
        "{summary}"
    );
    assert!(
        lines[1].starts_with("beta   exit 1  ") && lines[1].contains("Account mode is inactive"),
        "{summary}"
    );
    assert_eq!(lines[3], "3 tenants, 2 with exit 0");
    assert!(ran.err.contains("no active Defender for Endpoint"), "{}", ran.err);
    ran.is_for_people();

    let ran = project.run_in(&environment, &["apply", "--all-tenants", "--auto-approve"]).exits(1);
    assert_eq!(services.iter().map(tagged).collect::<Vec<_>>(), [20, 0, 20], "{}", ran.err);
    assert!(
        ran.err.contains("alpha  exit 0  20 done") && ran.err.contains("gamma  exit 0  20 done"),
        "{}",
        ran.err
    );
    ran.is_for_people();
    let journals: BTreeSet<String> = IDS
        .iter()
        .filter(|id| project.path().join(format!(".mdetag/public/{id}/runs")).exists())
        .map(|id| (*id).to_owned())
        .collect();
    assert_eq!(journals, [IDS[0], IDS[2]].map(str::to_owned).into(), "each has its own state");
    for id in [IDS[0], IDS[2]] {
        let ledger = project.path().join(format!(".mdetag/public/{id}/ledger"));
        assert!(ledger.read_dir().unwrap().next().is_some(), "each has its own ledger");
    }

    services[1].sandbox.set("mde_inactive", "off").unwrap();
    project.run_in(&environment, &["drift", "--all-tenants"]).exits(2);
    project.run_in(&environment, &["apply", "--all-tenants", "--auto-approve"]).exits(0);
    project.run_in(&environment, &["drift", "--all-tenants"]).exits(0);
    assert_eq!(tagged(&services[1]), 20);
}

#[test]
fn the_result_of_all_tenants_is_one_document_and_names_the_one_that_failed() {
    let (project, _services, environment) = three(&["roles=none"]);
    for words in [
        &["plan", "--all-tenants", "--format=json"][..],
        &["apply", "--all-tenants", "--auto-approve", "--format=json"],
        &["drift", "--all-tenants", "--format=json"],
    ] {
        let document = project.run_in(&environment, words).exits(1).json();
        assert_eq!(document["exitCode"], 1);
        let tenants = document["tenants"].as_array().unwrap();
        let of = |name: &str| tenants.iter().find(|tenant| tenant["tenant"] == name).unwrap();
        for good in ["alpha", "gamma"] {
            assert_eq!(of(good)["exitCode"], 0, "{words:?} {}", of(good));
            assert!(of(good)["error"].is_null() && of(good)["report"].is_object(), "{}", of(good));
        }
        assert_eq!(of("beta")["exitCode"], 1);
        let error = &of("beta")["error"];
        assert!(error["message"].as_str().unwrap().contains("Machine.Read"), "{error}");
        assert!(error["help"].as_str().unwrap().contains("Grant admin consent"), "{error}");
    }
}

#[test]
fn a_profile_is_worked_on_alone_with_its_own_hosts() {
    let (project, services, environment) = three(&[]);
    project.run_in(&environment, &["apply", "--auto-approve", "--tenant=beta"]).exits(0);
    assert_eq!(services.iter().map(tagged).collect::<Vec<_>>(), [0, 20, 0]);
    assert!(services[0].sandbox.calls().is_empty() && services[2].sandbox.calls().is_empty());
    let ran = project.run_in(&environment, &["plan", "--tenant=delta"]).exits(1);
    assert!(ran.err.contains("mdetag.yaml has alpha, beta, gamma"), "{}", ran.err);
}

#[test]
fn the_matrix_names_every_profile_and_no_host() {
    let (project, _services, _) = three(&[]);
    let matrix = project.run(&["tenants", "--format=json"]).exits(0).json();
    let rows = matrix["include"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["alpha", "beta", "gamma"]);
    assert_eq!(rows[1]["tenantId"], IDS[1]);
    assert_eq!((&rows[1]["cloud"], &rows[1]["policies"][0]), (&"public".into(), &"policies".into()));
    assert!(!matrix.to_string().contains("127.0.0.1"));
    let table = project.run(&["tenants"]).exits(0).out;
    assert!(table.contains("beta") && table.contains(IDS[1]), "{table}");
}

/// Many profiles in a separate file, with labels and a common base that is no tenant.
fn many() -> Project {
    let project = Project::with_policy(&POLICY.replace("everything: true", "id: none"));
    project.write(
        "mdetag.yaml",
        "version: 1\ntenantsFile: tenants.csv\ntenants:\n  base: { policies: [policies/], labels: { region: us } }\n",
    );
    let mut csv = String::from("name,tenantId,extends,label.region\n");
    for number in 0..6 {
        let region = if number % 2 == 0 { "eu" } else { "" };
        csv.push_str(&format!("t{number},{number:08}-2222-3333-4444-555555555555,base,{region}\n"));
    }
    project.write("tenants.csv", &csv);
    project
}

fn tenants(project: &Project, words: &[&str]) -> Vec<String> {
    let words: Vec<&str> = ["tenants", "--format", "json"].iter().chain(words).copied().collect();
    let document = project.run(&words).exits(0).json();
    let rows = document["include"].as_array().unwrap();
    rows.iter().map(|row| row["tenant"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_of_tenants_is_added_and_labels_pick_among_them() {
    let project = many();
    assert_eq!(tenants(&project, &[]), ["t0", "t1", "t2", "t3", "t4", "t5"]);
    assert_eq!(tenants(&project, &["--select", "region=eu"]), ["t0", "t2", "t4"]);
    assert_eq!(tenants(&project, &["--select", "region=us"]), ["t1", "t3", "t5"]);
    let base = project.run(&["plan", "--sandbox", "--tenant", "base"]).exits(1);
    assert!(base.err.contains("`base` is a base of other profiles"), "{}", base.err);
    let wrong = project.run(&["tenants", "--select", "eu"]).exits(1);
    assert!(wrong.err.contains("LABEL=VALUE"), "{}", wrong.err);
    let slip = project.run(&["tenants", "--select", "regoin=eu"]).exits(1);
    assert!(slip.err.contains("have region=eu, region=us, name=PROFILE"), "{}", slip.err);
}

#[test]
fn the_shards_of_all_tenants_run_each_of_them_once() {
    let project = many();
    let mut seen = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let words =
            ["plan", "--all-tenants", "--sandbox", "--parallel", "2", "--shard", shard, "--format", "json"];
        let ran = project.run(&words).exits(0);
        if ran.out.trim().is_empty() {
            continue;
        }
        let document = ran.json();
        let names = document["tenants"].as_array().unwrap().iter().map(|row| row["tenant"].to_string());
        seen.extend(names);
    }
    seen.sort();
    assert_eq!(seen.len(), 6, "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn a_file_of_tenants_stays_in_the_repository_and_says_what_is_wrong() {
    let project = many();
    project.write("mdetag.yaml", "version: 1\ntenantsFile: ../tenants.csv\n");
    let outside = project.run(&["tenants"]).exits(1);
    assert!(outside.err.contains("cannot be used"), "{}", outside.err);
    project.write("mdetag.yaml", "version: 1\ntenantsFile: tenants.csv\ntenants: { t0: {} }\n");
    assert!(project.run(&["tenants"]).exits(1).err.contains("the tenant `t0` is in"));
    project.write("mdetag.yaml", "version: 1\ntenants: { a: { extends: b }, b: { extends: a } }\n");
    assert!(project.run(&["tenants"]).exits(1).err.contains("extends itself"));
}

#[test]
fn a_tenant_whose_policies_have_errors_is_told_by_the_first_error_and_not_by_a_note() {
    let project = Project::new();
    project.write("pa/p.yaml", "version: 1\nrules: [{ name: r, select: { everything: true }, tags: [Y] }]\n");
    project.write("xa/g.yaml", "bogus\n");
    let profile = "a: { tenantId: 11111111-2222-3333-4444-555555555555, policies: [pa/, xa/] }";
    project.write("mdetag.yaml", &format!("version: 1\ntenants: {{ {profile} }}\n"));
    let ran = project.run(&["plan", "--all-tenants", "--sandbox", "-q", "--format", "json"]).exits(1).json();
    let message = ran["tenants"][0]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("the policy set has errors: xa/g.yaml:1: "), "{message}");
}

#[test]
fn a_profile_named_like_a_domain_has_a_sandbox_and_two_that_differ_in_case_are_refused() {
    let project = Project::with_policy("version: 1\nrules: []\n");
    let all = ["plan", "--all-tenants", "--sandbox", "-q", "--out-dir", "plans"];
    project.write("mdetag.yaml", "version: 1\ntenants: { contoso.com: {} }\n");
    project.run(&all).exits(0);
    assert!(project.path().join("plans/contoso.com/plan.json").is_file());
    project.write("tenants.csv", "name\nContoso.com\n");
    project.write("mdetag.yaml", "version: 1\ntenantsFile: tenants.csv\ntenants: { contoso.com: {} }\n");
    let refused = project.run(&all).exits(1);
    assert!(refused.err.contains("`contoso.com` and `Contoso.com` differ only in case"), "{}", refused.err);
    project.write("mdetag.yaml", "version: 1\ntenants: { aux.eu: {} }\n");
    assert!(project.run(&all).exits(1).err.contains("cannot name a folder on Windows"));
}

/// Windows gives a main thread 1 MiB.
#[cfg(unix)]
#[test]
fn a_main_thread_with_a_small_stack_is_enough() {
    let project = Project::with_policy("version: 1\nrules: []\n");
    project.write("mdetag.yaml", "version: 1\ntenants: { a: {}, b: {} }\n");
    let words = ["-c", "ulimit -s 512 && exec \"$0\" plan --all-tenants --sandbox -q"];
    let mut shell = std::process::Command::new("sh");
    let ran = shell.args(words).arg(crate::project::program()).current_dir(project.path()).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
}
