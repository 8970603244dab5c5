//! Many tenants: the files of `--out-dir`, reviewed plans of all tenants, waves of tenants, and one report over all results.

use std::fs;

use serde_json::Value;

use crate::all_tenants::{IDS, tagged, three};
use crate::project::{Project, ran};
use crate::tenant::policy;
#[cfg(unix)]
use crate::tenant::{signal, wait_until};

fn result(project: &Project, folder: &str, tenant: &str) -> Value {
    let path = project.path().join(folder).join(tenant).join("result.json");
    serde_json::from_str(
        &fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

#[test]
fn a_reviewed_plan_of_each_tenant_is_applied_and_the_merged_report_adds_up() {
    let (project, services, environment) = three(&["roles=none"]);
    let words = ["plan", "--all-tenants", "--out-dir", "plans", "--report", "markdown=plan.md"];
    project.run_in(&environment, &words).exits(1);
    let planned = result(&project, "plans", "alpha");
    assert_eq!((&planned["command"], &planned["exitCode"]), (&"plan".into(), &0.into()));
    assert_eq!(
        (&planned["tenantId"], &planned["summary"]["planned"]["additions"]),
        (&IDS[0].into(), &20.into())
    );
    assert!(project.path().join("plans/gamma/plan.md").is_file());
    let dead = result(&project, "plans", "beta");
    assert!(dead["error"]["message"].as_str().unwrap().contains("Machine.Read"), "{dead}");
    assert!(!project.path().join("plans/beta/plan.json").exists());

    let apply = ["apply", "--all-tenants", "--auto-approve", "--plans", "plans", "--out-dir", "results"];
    let ran = project.run_in(&environment, &apply).exits(1);
    assert!(ran.err.contains("there is no plan of `beta` in `plans`"), "{}", ran.err);
    assert_eq!(services.iter().map(tagged).collect::<Vec<_>>(), [20, 0, 20]);
    assert_eq!(result(&project, "results", "gamma")["summary"]["outcomes"]["done"], 20);
    assert!(project.path().join("results/gamma/report.json").is_file());

    let merged = project.run(&["report", "merge", "results", "--format", "json"]).exits(0).json();
    let names: Vec<&str> =
        merged["tenants"].as_array().unwrap().iter().map(|row| row["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["beta", "alpha", "gamma"], "the worst is first");
    assert_eq!((&merged["exits"]["0"], &merged["exits"]["1"]), (&2.into(), &1.into()));
    assert_eq!(merged["planned"]["additions"], 40, "the sum of the parts");
    let text = project.run(&["report", "merge", "results", "--report", "html=all.html"]).exits(0);
    let both = project.run(&["report", "merge", "."]).exits(0);
    assert!(both.out.contains("6 results of 3 tenants: 2 exit 1, 4 exit 0"), "{}", both.out);
    assert!(
        text.out.contains("3 tenants: 1 exit 1, 2 exit 0") && text.out.contains("20 done"),
        "{}",
        text.out
    );
    assert!(fs::read_to_string(project.path().join("all.html")).unwrap().contains("beta"));
}

#[test]
fn what_an_earlier_run_left_is_never_taken_for_the_present_one() {
    let (project, services, environment) = three(&[]);
    project.run_in(&environment, &["plan", "--all-tenants", "--out-dir", "plans"]).exits(0);
    services[1].sandbox.set("roles", "none").unwrap();
    project.run_in(&environment, &["plan", "--all-tenants", "--out-dir", "plans"]).exits(1);
    assert!(!project.path().join("plans/beta/plan.json").exists(), "a plan that failed leaves none to apply");
    assert_eq!(result(&project, "plans", "beta")["exitCode"], 1);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_tenants_folder_is_refused_and_what_lies_behind_it_stays() {
    let (project, _services, environment) = three(&[]);
    project.write("precious/report.json", "precious");
    fs::create_dir(project.path().join("out")).unwrap();
    std::os::unix::fs::symlink(project.path().join("precious"), project.path().join("out/alpha")).unwrap();
    let ran = project.run_in(&environment, &["plan", "--all-tenants", "--out-dir", "out"]).exits(1);
    assert!(ran.err.contains("out/alpha is no folder"), "{}", ran.err);
    assert_eq!(fs::read_dir(project.path().join("precious")).unwrap().count(), 1);
}

#[test]
fn a_result_that_cannot_be_read_is_named_and_ends_with_1() {
    let project = Project::with_policy("version: 1\nrules: []\n");
    let nothing = project.run(&["report", "merge", "."]).exits(1);
    assert!(nothing.err.contains("there is no result of a tenant below `.`"), "{}", nothing.err);
    project.write("results/a/result.json", "{ \"formatVersion\": \"1.0\" ");
    project.write("results/b/result.json", "{\"formatVersion\":\"2.0\",\"command\":\"plan\",\"tenant\":\"b\",\"startedAt\":\"2026-11-27T08:00:00Z\",\"endedAt\":\"2026-11-27T08:00:00Z\",\"exitCode\":0}");
    project.write("results/c/result.json", "{\"formatVersion\":\"1.0\",\"command\":\"plan\",\"tenant\":\"c\",\"startedAt\":\"2026-11-27T08:00:00Z\",\"endedAt\":\"2026-11-27T08:00:00Z\",\"exitCode\":0,\"error\":{\"code\":\"E9003\",\"message\":\"x\"}}");
    let ran = project.run(&["report", "merge", "results"]).exits(1);
    assert!(ran.out.contains("it names an error and the exit code 0"), "{}", ran.out);
    assert!(ran.out.contains("results/a/result.json does not count"), "{}", ran.out);
    assert!(ran.out.contains("it has the format 2.0"), "{}", ran.out);
}

#[test]
fn a_wave_of_tenants_waits_for_the_good_end_of_the_one_before() {
    let (project, services, environment) = three(&[]);
    project.write(
        "policies/guard.yaml",
        "version: 1\nguard: { rollout: { waves: [100%], tenants: [1, 2, 100%] } }\n",
    );
    let wave = |number: &str, more: &[&str]| {
        let words =
            ["apply", "--all-tenants", "--auto-approve", "--tenant-wave", number, "--out-dir", "results"];
        project.run_in(&environment, &[&words[..], more].concat())
    };
    // Forgetting the flag does not bypass the waves.
    let all = ["apply", "--all-tenants", "--auto-approve", "--out-dir", "all"];
    let forgotten = project.run_in(&environment, &all).exits(1);
    assert!(forgotten.err.contains("put tenants into waves (`guard.rollout.tenants`)"), "{}", forgotten.err);
    let anew = project.run_in(&environment, &[&all[..], &["--resume", "--or-plan"]].concat()).exits(1);
    assert!(anew.err.contains("put tenants into waves (`guard.rollout.tenants`)"), "{}", anew.err);
    assert_eq!(services.iter().map(tagged).sum::<usize>(), 0, "nothing was written");
    let alone = wave("2", &[]).exits(1);
    assert!(alone.err.contains("`--tenant-wave 2` needs `--after DIR`"), "{}", alone.err);
    let early = wave("2", &["--after", "results"]).exits(3);
    assert!(early.err.contains("results"), "{}", early.err);
    assert_eq!(services.iter().map(tagged).sum::<usize>(), 0, "nothing was written");

    wave("1", &[]).exits(0);
    let first: Vec<usize> = (0..3).filter(|at| tagged(&services[*at]) == 20).collect();
    assert_eq!(first.len(), 1, "one tenant is the first wave");
    let name = ["alpha", "beta", "gamma"][first[0]];
    assert_eq!(result(&project, "results", name)["wave"], 1);

    // A bad end in the first wave, or one under other policies, holds back the second.
    let path = project.path().join("results").join(name).join("result.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("\"exitCode\": 0", "\"exitCode\": 4")).unwrap();
    let held = wave("2", &["--after", "results"]).exits(3);
    assert!(held.err.contains(&format!("{name} ended with exit 4")), "{}", held.err);
    fs::write(&path, good.replace("\"policy\": \"sha256:", "\"policy\": \"sha256:0")).unwrap();
    let held = wave("2", &["--after", "results"]).exits(3);
    assert!(held.err.contains(&format!("{name} was applied with other policies")), "{}", held.err);
    fs::write(&path, good).unwrap();
    project.write("results/other/result.json", "{ \"format");
    let held = wave("2", &["--after", "results"]).exits(3);
    assert!(held.err.contains("results/other/result.json does not count"), "{}", held.err);
    fs::remove_file(project.path().join("results/other/result.json")).unwrap();

    wave("2", &["--after", "results"]).exits(0);
    assert_eq!(services.iter().map(tagged).sum::<usize>(), 40);
    wave("3", &["--after", "results"]).exits(0);
    assert_eq!(services.iter().map(tagged).sum::<usize>(), 60);
    let none = wave("4", &["--after", "results"]).exits(1);
    assert!(none.err.contains("3 tenants make 3 waves"), "{}", none.err);
}

#[test]
fn policies_that_tenants_share_are_validated_and_tested_once() {
    let (project, _services, _) = three(&[]);
    let document = project.run(&["validate", "--all-tenants", "--format", "json"]).exits(0).json();
    let sets = document["policySets"].as_array().unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0]["tenants"].as_array().unwrap().len(), 3);
    project.write("policies/broken.yaml", "version: 1\nrules: 7\n");
    let ran = project.run(&["validate", "--all-tenants"]).exits(1);
    assert!(ran.err.contains("policies (3 tenants: alpha, beta, gamma):"), "{}", ran.err);
    let ran = project.run(&["test", "--all-tenants"]).exits(1);
    assert!(ran.err.contains("broken.yaml"), "{}", ran.err);
}

#[test]
fn a_matrix_is_printed_for_each_system() {
    let (project, _services, _) = three(&[]);
    let of = |format: &str| project.run(&["tenants", "--format", format]).exits(0).json();
    assert_eq!(of("github")["include"][1]["tenant"], "beta");
    let names = &of("gitlab")[".mdetag-tenants"]["parallel"]["matrix"][0]["MDETAG_TENANT"];
    assert_eq!(*names, serde_json::json!(["alpha", "beta", "gamma"]));
    assert_eq!(of("k8s")["spec"]["completions"], 1);
    let wrong = project.run(&["plan", "--sandbox", "--format", "gitlab"]).exits(1);
    assert!(wrong.err.contains("is for `tenants`"), "{}", wrong.err);
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_tenant_at_work_and_starts_no_other() {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.write("mdetag.yaml", "version: 1\ntenants: { a: {}, b: {}, c: {} }\n");
    let words = ["apply", "--all-tenants", "--parallel", "1", "--auto-approve", "--out-dir", "results"];
    let mut child = project.start(&[&words[..], &["--sandbox", "--sandbox-speed", "600"]].concat());
    let writes = |tenant: &str| {
        let below = |path: std::path::PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let tenants = below(project.path().join(".mdetag/sandbox").join(tenant));
        let runs = tenants.flat_map(|tenant| below(tenant.path().join("runs")));
        runs.map(|run| fs::read(run.path()).unwrap_or_default().len()).sum::<usize>()
    };
    wait_until(&mut child, || writes("a") > 4_000);
    signal(&child, "INT");
    let stopped = ran(child.wait_with_output().unwrap()).exits(5);
    assert_eq!((writes("b"), writes("c")), (0, 0), "{}", stopped.err);
    for tenant in ["b", "c"] {
        let result = result(&project, "results", tenant);
        assert_eq!(result["exitCode"], 5);
        assert!(result["error"]["message"].as_str().unwrap().contains("nothing was written"), "{result}");
    }
}
