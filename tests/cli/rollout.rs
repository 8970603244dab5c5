//! Plans in waves: waits, what other plans may write meanwhile, and how a rollout ends.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::project::Project;

fn policy(tag: &str, rollout: &str) -> String {
    format!(
        "version: 1\nscope: {{ everything: true }}\nrules:\n  - name: all\n    select: {{ everything: true }}\n    tags: [{tag}]\n\
         guard:\n  caps: {{ devices: {{ percent: 100 }}, additions: {{ floor: 1000 }} }}\n  rollout: {{ {rollout} }}\n"
    )
}

fn project(rollout: &str) -> Project {
    let project = Project::with_policy(&policy("Zebra", rollout));
    project.run(&["sandbox", "create", "--devices", "300"]).exits(0);
    project
}

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--format", "json"];

fn done(document: &Value) -> u64 {
    document["outcomes"]["done"].as_u64().unwrap()
}

fn devices(plan: &Value) -> BTreeSet<&str> {
    let changes = plan["changes"].as_array().unwrap();
    changes.iter().map(|change| change["device"]["id"].as_str().unwrap()).collect()
}

fn wave(plan: &Value, wave: u64) -> BTreeSet<&str> {
    let changes = plan["changes"].as_array().unwrap().iter();
    let of_wave = changes.filter(|change| change["wave"] == wave);
    of_wave.map(|change| change["device"]["id"].as_str().unwrap()).collect()
}

#[test]
fn a_wave_waits_and_nothing_is_written_before_its_time() {
    let project = project("waves: [25, 50%, 100%], wait: 2h");
    let plan = project.run(&["plan", "--sandbox", "-o", "plan.json", "--format", "json"]).exits(0).json();
    let listed: Vec<u64> = plan["rollout"]["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| wave["devices"].as_u64().unwrap())
        .collect();
    assert_eq!(listed, [25, 125, 150]);
    let shown = project.run(&["show", "plan.json"]).exits(0);
    assert!(shown.out.contains("in 3 waves: wave 1: 25 devices (1 call)"), "{}", shown.out);
    let first = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!((done(&first), &first["exitCode"]), (25, &6.into()), "{first}");
    assert_eq!(first["outcomes"]["notAttempted"], 275, "the outcomes add up: {}", first["outcomes"]);
    let not_before = first["notBefore"].as_str().unwrap().to_owned();
    let shown = project.run(&["state", "show", "--format", "json"]).exits(0).json();
    let rollout = &shown["tenants"][0]["nextWaves"][0];
    assert_eq!((&rollout["run"], &rollout["notBefore"]), (&first["runId"], &first["notBefore"]), "{shown}");
    assert_eq!((&rollout["isDue"], &rollout["gate"]), (&false.into(), &serde_json::Value::Null), "{shown}");
    let shown = project.run(&["state", "show"]).exits(0);
    assert!(shown.out.contains(&format!("the next may start at {not_before}")), "{}", shown.out);
    let calls = project.calls("default", "bulkTag").len();
    let again = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!((again["notBefore"].as_str(), done(&again)), (Some(&*not_before), 25), "{again}");
    assert_eq!(project.calls("default", "bulkTag").len(), calls, "nothing was written");
    let told = project.run(&["apply", "--resume", "--sandbox"]).exits(6);
    assert!(told.out.contains(&not_before), "{}", told.out);

    // The same plan, the same policies and other policies of the set write none of the unwritten waves.
    let repeated = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(done(&repeated), 0, "{repeated}");
    project.run(&APPLY).exits(0);
    project.write("policies/p.yaml", &policy("Zebra, Lion", "waves: [25, 50%, 100%], wait: 2h"));
    let other = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(devices(&other), wave(&plan, 1), "only devices of the wave that was written");
    let held = &other["withheld"][0];
    assert_eq!((&held["reason"], &held["name"]), (&"wave".into(), &first["runId"]), "{held}");
    assert_eq!(held["devices"], 275);
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 25);
}

#[test]
fn without_a_wait_wave_follows_wave_and_each_device_is_written_in_its_own() {
    let project = project("waves: [25, 50%, 100%]");
    let plan = project.run(&["plan", "--sandbox", "-o", "plan.json", "--format", "json"]).exits(0).json();
    let applied = project.run(&["apply", "plan.json", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(done(&applied), 300, "{applied}");
    let calls = project.calls("default", "bulkTag");
    let sent: Vec<BTreeSet<String>> = calls.iter().map(ids).collect();
    assert_eq!(sent.len(), 3, "{calls:?}");
    for (number, sent) in (1..).zip(&sent) {
        let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
        assert_eq!(sent, wave(&plan, number), "wave {number}");
    }
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 0);
}

/// The devices of a bulk call.
fn ids(call: &Value) -> BTreeSet<String> {
    let body = &call["body"];
    let body: Value = body.as_str().map_or_else(|| body.clone(), |text| serde_json::from_str(text).unwrap());
    body["MachineIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_wait_is_slept_through_by_the_sandbox_s_clock() {
    let project = project("waves: [25, 100%], wait: 2h");
    let words = [&APPLY[..], &["--wait", "--sandbox-speed", "7200", "--max-duration", "5m"]].concat();
    let slept = project.run(&words).exits(0).json();
    assert_eq!((done(&slept), slept.get("notBefore")), (300, None), "{slept}");
}

#[test]
fn a_wait_beyond_the_time_limit_ends_at_once() {
    let project = project("waves: [25, 100%], wait: 2h");
    let ended = project.run(&[&APPLY[..], &["--wait", "--max-duration", "5m"]].concat()).exits(6).json();
    assert_eq!(done(&ended), 25, "{ended}");
    assert!(ended["notBefore"].is_string(), "{ended}");
    let told = project.run(&["apply", "--resume", "--sandbox"]).exits(6);
    assert!(told.out.contains("to continue: mdetag apply --resume --sandbox\n"), "{}", told.out);
}

/// A fleet in which `damage` changes every third device.
fn damaged(project: &Project, damage: impl Fn(&mut Value)) {
    let mut fleet = String::new();
    for number in 0..120 {
        let mut device = serde_json::json!({
            "id": format!("{number:040x}"), "computerDnsName": format!("d{number:03}.example.com"),
            "onboardingStatus": "Onboarded", "machineTags": ["Old"]
        });
        if number % 3 == 0 {
            damage(&mut device);
        }
        fleet.push_str(&format!("{device}\n"));
    }
    project.write("fleet.ndjson", &fleet);
    project.run(&["sandbox", "create", "--fleet", "fleet.ndjson"]).exits(0);
}

/// Removes `Old` from every device and adds `Zebra`, in waves.
fn swap() -> Project {
    let text = policy("Zebra", "waves: [25, 50%, 100%]")
        .replace("    tags:", "    removeTags: [Old]\n    tags:")
        .replace("caps: {", "caps: { removals: { percent: 100 }, removalsPerTag: { percent: 100 },")
        // The tenant's id decides which device is in which wave.
        .replace("guard:", "guard:\n  tenantId: 11111111-2222-4333-8444-555555555555");
    Project::with_policy(&text)
}

const FAST: [&str; 2] = ["--sandbox-speed", "60"];

#[test]
fn a_bad_wave_stops_the_rollout_and_only_a_person_or_a_revert_goes_on() {
    let project = swap();
    // Another origin gives every third device the tag to remove.
    damaged(&project, |device| device["registryTag"] = "Old".into());
    project.run(&["plan", "--sandbox", "-o", "plan.json"]).exits(0);
    let plan: Value = serde_json::from_str(&project.read("plan.json")).unwrap();
    let first: BTreeSet<&str> = wave(&plan, 1);
    let apply =
        ["apply", "plan.json", "--sandbox", "--report", "markdown=end.md", "--report", "html=end.html"];
    let stopped = project.run(&[&apply[..], &["--report", "json=end.json"], &FAST].concat()).exits(4);
    let end: Value = serde_json::from_str(&project.read("end.json")).unwrap();
    let gate = &end["gate"];
    assert_eq!((&gate["gate"], &gate["wave"], &gate["of"]), (&"bounced".into(), &1.into(), &25.into()));
    assert_eq!((&gate["atMost"], &end["exitCode"]), (&"20 %".into(), &4.into()));
    let named = gate["devices"].as_array().unwrap();
    assert_eq!(named.len() as u64, gate["bad"].as_u64().unwrap());
    assert!(named.iter().all(|id| first.contains(id.as_str().unwrap())), "{gate}");
    let sent: BTreeSet<String> = project.calls("default", "bulkTag").iter().flat_map(ids).collect();
    assert_eq!(
        sent.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        first,
        "no other device was written"
    );
    let run = end["runId"].as_str().unwrap();
    let pass = format!("mdetag apply --resume {run} --next-wave --reason TEXT --sandbox");
    let undo = format!("mdetag revert {run} -o undo.json --sandbox");
    for text in [&stopped.out, &project.read("end.md"), &project.read("end.html")] {
        assert!(text.contains(&pass) && text.contains(&undo), "{text}");
        assert!(text.contains("fails the gate"), "{text}");
        assert!(!text.to_lowercase().contains("to continue:"), "a plain resume does not go on: {text}");
    }
    let calls = project.calls("default", "bulkTag").len();
    project.run(&[&["apply", "--resume", "--sandbox"], &FAST[..]].concat()).exits(4);
    assert_eq!(project.calls("default", "bulkTag").len(), calls, "coming back writes nothing");

    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(0);
    let undone = ["apply", "undo.json", "--sandbox", "--format", "json"];
    project.run(&[&undone[..], &FAST].concat()).exits(0);
    project.run(&["snapshot", "-o", "after.ndjson", "--sandbox"]).exits(0);
    let after = project.read("after.ndjson");
    let devices: Vec<Value> = after.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(devices.len(), 120);
    assert!(devices.iter().all(|device| device["machineTags"] == serde_json::json!(["Old"])), "{after}");
}

#[test]
fn devices_that_the_service_refuses_do_not_stop_a_rollout_but_are_told() {
    let project = swap();
    damaged(&project, |device| device["onboardingStatus"] = "CanBeOnboarded".into());
    let words = [&APPLY[..], &["--sandbox-fault", "refuse=unonboarded"], &FAST].concat();
    let end = project.run(&words).exits(4).json();
    assert_eq!((done(&end), &end["outcomes"]["refused"]), (160, &80.into()), "{end}");
    assert_eq!(end.get("gate"), None, "refused devices are on neither side of a gate");
}

#[test]
fn a_wait_after_a_wave_with_refused_devices_does_not_say_that_nothing_failed() {
    let project = swap();
    let text = project.read("policies/p.yaml");
    project.write("policies/p.yaml", &text.replace("100%] }", "100%], wait: 2h }"));
    damaged(&project, |device| device["onboardingStatus"] = "CanBeOnboarded".into());
    let words = [&APPLY[..], &["--sandbox-fault", "refuse=unonboarded"], &FAST].concat();
    let end = project.run(&words).exits(4).json();
    let refused = end["outcomes"]["refused"].as_u64().unwrap();
    assert!((1..50).contains(&refused), "{end}");
    let told = format!("and {refused} changes so far did not end as planned");
    assert!(end["stopped"].as_str().unwrap().ends_with(&told), "{}", end["stopped"]);
    let again = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!((&again["stopped"], &again["notBefore"]), (&end["stopped"], &end["notBefore"]));
}

#[test]
fn every_wave_at_once_needs_a_reason_and_says_so_first() {
    let project = project("waves: [25, 100%], wait: 2h");
    project.run(&["apply", "--sandbox", "--auto-approve", "--waves", "all"]).exits(1);
    let words = ["apply", "--sandbox", "--auto-approve", "--waves", "all", "--reason", "outage"];
    let whole =
        project.run(&[&words[..], &["--report", "json=end.json", "--report", "markdown=end.md"]].concat());
    let whole = whole.exits(0);
    let said = "every wave of this plan is written at once (--waves all): outage";
    let first = whole.out.lines().find(|line| !line.trim().is_empty()).unwrap();
    assert!(first.contains(said), "{}", whole.out);
    assert!(project.read("end.md").lines().next().unwrap().contains(said));
    let end: Value = serde_json::from_str(&project.read("end.json")).unwrap();
    assert_eq!(end["notes"][0], said);
    let journal = std::fs::read_to_string(&project.journals()[0]).unwrap();
    assert!(journal.contains(said), "{journal}");
    assert_eq!(done(&project.run(&APPLY).exits(0).json()), 0, "nothing is open");
}

#[test]
fn a_person_lets_the_next_wave_start_and_a_revert_ends_the_rollout() {
    let project = project("waves: [25, 50, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    project.run(&["apply", "--resume", run, "--sandbox", "--next-wave"]).exits(1);
    let passed =
        ["apply", "--resume", run, "--sandbox", "--next-wave", "--reason", "seen", "--format", "json"];
    let second = project.run(&passed).exits(6).json();
    assert_eq!(done(&second), 50, "{second}");
    let journal = std::fs::read_to_string(&project.journals()[0]).unwrap();
    let passed = |line: &&str| line.contains("\"seen\"") && line.contains("\"wave\":1");
    assert_eq!(journal.lines().filter(passed).count(), 1, "{journal}");
    let history = project.run(&["apply", "--resume", "--sandbox", "--format", "json"]).exits(6).json();
    assert_eq!(history["runId"], first["runId"], "the open rollout is what goes on");
    let allow = ["--allow", "removals=50", "--allow", "removalsPerTag:Zebra=50"];
    project.run(&["revert", run, "-o", "undo.json", "--sandbox"]).exits(3);
    let undone = project
        .run(&[&["apply", "undo.json", "--sandbox", "--format", "json"], &allow[..]].concat())
        .exits(0)
        .json();
    assert_eq!(done(&undone), 50, "{undone}");
    let ended = project.run(&["apply", "--resume", run, "--sandbox"]).exits(1);
    assert!(ended.err.contains("was undone"), "{}", ended.err);
    let anew = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(anew["changes"].as_array().unwrap().len(), 250, "only what was undone is withheld");
    assert_eq!(
        (&anew["withheld"][0]["reason"], &anew["withheld"][0]["devices"]),
        (&"reverted".into(), &50.into())
    );
    let redone = project.run(&[&APPLY[..], &["--after-revert"]].concat()).exits(6).json();
    assert_eq!(done(&redone), 25, "{redone}");
}

#[test]
fn a_rollout_that_is_ended_frees_its_devices_and_is_never_resumed() {
    let project = project("waves: [25, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    project.run(&["state", "end", run, "--sandbox"]).exits(1);
    project.run(&["state", "end", "nope", "--reason", "x", "--sandbox"]).exits(1);
    let ended = project.run(&["state", "end", run, "--reason", "new scheme", "--sandbox"]).exits(0);
    assert!(ended.out.contains("after wave 1 of 2"), "{}", ended.out);
    project.run(&["state", "end", run, "--reason", "again", "--sandbox"]).exits(1);
    let resumed = project.run(&["apply", "--resume", run, "--sandbox"]).exits(1);
    assert!(resumed.err.contains("was ended: new scheme"), "{}", resumed.err);
    let plan = project.run(&["plan", "--sandbox", "--format", "json"]).exits(0).json();
    assert_eq!(devices(&plan).len(), 275, "{}", plan["withheld"]);
}

#[test]
fn an_open_rollout_whose_plan_cannot_be_read_refuses_every_other_plan_until_it_is_ended() {
    let project = project("waves: [25, 100%], wait: 2h");
    let first = project.run(&APPLY).exits(6).json();
    let run = first["runId"].as_str().unwrap();
    let tenants = std::fs::read_dir(project.path().join(".mdetag/sandbox/default")).unwrap();
    let plans = tenants.map(|tenant| tenant.unwrap().path().join(format!("runs/{run}.plan.json")));
    let plan = plans.into_iter().find(|plan| plan.exists()).expect("the run keeps its plan");
    let calls = project.calls("default", "bulkTag").len();
    for damage in [Some("{"), None] {
        match damage {
            Some(text) => std::fs::write(&plan, text).unwrap(),
            None => std::fs::remove_file(&plan).unwrap(),
        }
        for words in [&APPLY[..3], &["plan", "--sandbox"], &["drift", "--sandbox"]] {
            let refused = project.run(words).exits(1);
            assert!(refused.err.contains("its unwritten devices are unknown"), "{}", refused.err);
            assert!(refused.err.contains(&format!("mdetag state end {run} --reason")), "{}", refused.err);
        }
    }
    assert_eq!(project.calls("default", "bulkTag").len(), calls, "nothing was written");
    project.run(&["state", "end", run, "--reason", "its plan is lost", "--sandbox"]).exits(0);
    project.run(&["plan", "--sandbox"]).exits(0);
}
