//! Interrupted applies: killed, stopped, limited, and two at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use mdetag_core::time::{TICKS_PER_SECOND, Timestamp};
use serde_json::Value;

use crate::project::{Project, ran};
#[cfg(unix)]
use crate::tenant::signal;
use crate::tenant::{id, policy, wait_until};

const APPLY: [&str; 5] = ["apply", "--sandbox", "--auto-approve", "--sandbox-speed", "600"];
const RESUME: [&str; 5] = ["apply", "--resume", "--sandbox", "--sandbox-speed", "600"];

/// A tenant whose devices should all get the value High, with one call each.
fn values(devices: usize) -> Project {
    let project = Project::with_policy(&policy("", "deviceValue: High"));
    project.devices(devices);
    project
}

/// How many calls wrote the value of each device.
fn writes(project: &Project) -> BTreeMap<String, usize> {
    let mut writes = BTreeMap::new();
    for call in project.calls("default", "setValue") {
        let path = call["path"].as_str().unwrap();
        let device = path.split('/').rev().find(|part| part.len() == 40).unwrap().to_owned();
        *writes.entry(device).or_default() += 1;
    }
    writes
}

/// Devices whose change an answer confirmed, by the journal.
fn confirmed(journal: &[Value]) -> BTreeSet<String> {
    let ended = journal.iter().flat_map(|line| line["ended"].as_array().into_iter().flatten());
    let done = ended.filter(|ended| ended["outcome"] == "done");
    let devices = done.flat_map(|ended| ended["devices"].as_array().unwrap());
    devices.map(|device| device.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_killed_at_any_line_and_resumed_makes_every_change_once() {
    const CALLS: usize = 300;
    // A header, an intent and an answer for each call, the last word.
    let last = 2 + 2 * CALLS;
    // Set the variable to test more points, up to every line.
    let points = std::env::var("MDETAG_KILL_POINTS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let point = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let point = point.fetch_add(1, Ordering::SeqCst);
                    if point >= points {
                        return;
                    }
                    println!("{}", kill_and_resume(CALLS, 1 + point * (last - 1) / (points - 1).max(1)));
                }
            });
        }
    });
}

fn kill_and_resume(calls: usize, line: usize) -> String {
    let project = values(calls);
    let mut child = project.start(&APPLY);
    project.wait_for_lines(&mut child, line);
    // Fails only if the run has just ended, which is fine too.
    let _ = child.kill();
    child.wait().unwrap();
    let (before, sent) = (confirmed(&project.journal()), writes(&project));
    project.run(&RESUME).exits(0).is_for_people();
    let after = writes(&project);
    for device in &before {
        assert_eq!(sent[device], after[device], "confirmed and sent again, killed at line {line}");
    }
    // A call whose answer was not journalled may be sent again; none is sent a third time.
    assert!(after.values().all(|calls| *calls <= 2), "killed at line {line}");
    let total: usize = after.values().sum();
    assert!(total <= calls + 8, "{total} calls, killed at line {line}");
    let fleet = project.fleet();
    assert_eq!(fleet.len(), calls);
    assert!(fleet.values().all(|(tags, value)| tags == &["Own"] && value == "High"), "killed at line {line}");
    project.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
    format!("killed at line {line}: {} confirmed, {total} calls in all", before.len())
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_a_resumed_one_ends_well() {
    let project = values(200);
    let mut child = project.start(&APPLY);
    project.wait_for_lines(&mut child, 60);
    signal(&child, "INT");
    let stopped = ran(child.wait_with_output().unwrap()).exits(5);
    stopped.is_for_people();
    assert!(stopped.out.contains("mdetag apply --resume"), "{}", stopped.out);
    let done = confirmed(&project.journal()).len();
    assert!(done > 0 && done < 200);
    project.run(&RESUME).exits(0);
    assert_eq!(writes(&project).values().copied().collect::<BTreeSet<_>>(), [1].into());
    assert_eq!(writes(&project).len(), 200);
    let nothing = project.run(&RESUME).exits(0);
    assert!(nothing.err.contains("nothing to resume"), "{}", nothing.err);
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once() {
    let project = values(30);
    let faults = ["--sandbox-fault", "slow=setValue:always,slow_ms=60000"];
    let words = [&["apply", "--sandbox", "--auto-approve"][..], &faults].concat();
    let start = std::time::Instant::now();
    let mut child = project.start(&words);
    project.wait_for_lines(&mut child, 9);
    signal(&child, "TERM");
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(&child, "TERM");
    let ended = ran(child.wait_with_output().unwrap());
    assert!(ended.code == 4 || ended.code == 5, "{ended:?}");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    project.run(&RESUME).exits(0);
    assert!(project.fleet().values().all(|(_, value)| value == "High"));
}

#[cfg(unix)]
#[test]
fn a_signal_before_the_first_write_ends_with_5_and_without_a_run() {
    for (name, format) in [("INT", "human"), ("TERM", "human"), ("INT", "json")] {
        let project = values(20);
        let slow = ["apply", "--sandbox", "--auto-approve", "--sandbox-fault", "throttle_long=list:always"];
        let mut reading = project.start(&[&slow[..], &["--format", format]].concat());
        // The budget is used before a call is sent, and after signals are listened for.
        wait_until(&mut reading, || project.has_budget_of("list"));
        signal(&reading, name);
        let stopped = ran(reading.wait_with_output().unwrap()).exits(5);
        if format == "json" {
            assert_eq!(stopped.json()["diagnostics"][0]["code"], "E9005", "{}", stopped.out);
        } else {
            stopped.is_for_people();
            assert!(stopped.err.contains("nothing was written"), "{}", stopped.err);
        }
        assert_eq!(project.journals(), Vec::<std::path::PathBuf>::new());
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_waits_says_for_what_also_because_of_an_earlier_process_and_ends_with_5_on_a_signal() {
    let project = values(20);
    let slow = ["plan", "--sandbox", "--sandbox-fault", "throttle_long=list:always"];
    for words in [&slow[..], &["drift", "--sandbox"]] {
        let mut reading = project.start(words);
        let mut errors = std::io::BufReader::new(reading.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
        assert!(line.starts_with("waiting ") && line.contains(" min"), "{line}");
        assert!(line.ends_with(": the service asked to leave the lane list alone\n"), "{line}");
        signal(&reading, "TERM");
        let stopped = ran(reading.wait_with_output().unwrap());
        assert_eq!(stopped.code, 5, "{stopped:?}");
    }
    let limited = ["apply", "--sandbox", "--auto-approve", "--max-duration", "1s"];
    let limited = project.run(&limited).exits(5);
    limited.is_for_people();
    assert!(limited.err.contains("(--max-duration) before the first call"), "{}", limited.err);
}

#[test]
fn limits_of_calls_and_of_time_stop_with_5_and_each_run_makes_progress() {
    let project = values(60);
    let limited = [&APPLY[..], &["--max-calls", "25", "--format", "json"]].concat();
    let first = project.run(&limited).exits(5).json();
    assert_eq!((&first["outcomes"]["done"], &first["outcomes"]["notAttempted"]), (&25.into(), &35.into()));
    let resumed = project.run(&[&RESUME[..], &["--max-calls", "25"]].concat()).exits(5);
    resumed.is_for_people();
    let last = [&RESUME[..], &["--max-duration", "1h", "--format", "json"]].concat();
    let last = project.run(&last).exits(0).json();
    assert_eq!(last["outcomes"]["done"], 60, "the summary counts what earlier processes did");
    assert_eq!(writes(&project).values().sum::<usize>(), 60);

    let project = values(150);
    // Long enough for a slow computer to make a first call, too short for 150 under the limits.
    let timed = ["apply", "--sandbox", "--auto-approve", "--max-duration", "3s"];
    let timed = project.run(&timed).exits(5);
    assert!(timed.out.contains("--max-duration"), "{}", timed.out);
    project.run(&RESUME).exits(0);
    assert_eq!(writes(&project).len(), 150);
    assert_eq!(project.fleet()[&id(7)].1, "High");
}

#[test]
fn a_second_apply_is_refused_with_the_holders_name_or_waits_and_plans_anew() {
    let project = values(120);
    let mut first = project.start(&["apply", "--sandbox", "--auto-approve", "--sandbox-speed", "20"]);
    project.wait_for_lines(&mut first, 10);
    let refused = project.run(&["apply", "--sandbox", "--auto-approve"]).exits(1);
    let holder = format!("process {}", first.id());
    assert!(refused.err.contains(&holder) && refused.err.contains("--lock-timeout"), "{}", refused.err);
    let waiting = ["apply", "--sandbox", "--auto-approve", "--lock-timeout", "2m", "--format", "json"];
    let waited = project.run(&waiting).exits(0);
    assert!(waited.err.contains(&holder), "{}", waited.err);
    assert_eq!(waited.json()["changes"].as_array().unwrap().len(), 0, "it plans anew");
    let digest = waited.json()["plan"]["digest"].as_str().unwrap().to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");
    ran(first.wait_with_output().unwrap()).exits(0);
    assert_eq!(writes(&project).values().sum::<usize>(), 120);
}

/// The most calls of a route that arrived in any half-open window of this length, in seconds of the sandbox.
fn fullest(calls: &[Value], window: f64, speed: f64) -> usize {
    let at = |call: &Value| {
        let at = Timestamp::parse(call["at"].as_str().unwrap()).unwrap();
        at.ticks() as f64 / TICKS_PER_SECOND as f64 * speed
    };
    let mut times: Vec<f64> = calls.iter().map(at).collect();
    times.sort_by(f64::total_cmp);
    let until =
        |start: usize| times[start..].iter().take_while(|time| **time < times[start] + window).count();
    (0..times.len()).map(until).max().unwrap_or(0)
}

#[test]
fn an_apply_beside_drifts_never_fills_a_window_over_its_limit() {
    // Small pages make the list as busy a lane as the writes.
    let project = values(160);
    let paged = ["--sandbox-speed", "60", "--sandbox-fault", "page=4"];
    let mut apply = project.start(&[&["apply", "--sandbox", "--auto-approve"][..], &paged].concat());
    wait_until(&mut apply, || project.path().join(".mdetag/sandboxes/default/address").exists());
    let drifts: Vec<_> =
        (0..2).map(|_| project.start(&[&["drift", "--sandbox"][..], &paged].concat())).collect();
    for drift in drifts {
        let code = ran(drift.wait_with_output().unwrap()).code;
        assert!(code == 0 || code == 2, "{code}");
    }
    ran(apply.wait_with_output().unwrap()).exits(0);
    for route in ["list", "setValue"] {
        let calls = project.calls("default", route);
        assert!(calls.iter().all(|call| call["status"] == 200), "a 429 on {route}");
        let (minute, hour) = (fullest(&calls, 60.0, 60.0), fullest(&calls, 3600.0, 60.0));
        println!("{route}: {} calls, at most {minute} a minute and {hour} an hour", calls.len());
        assert!(minute <= 100 && hour <= 1500, "{route}: {minute} a minute, {hour} an hour");
    }
    assert!(project.calls("default", "list").len() >= 120);
}

#[test]
fn a_thousand_values_take_hardly_longer_than_the_limits_allow() {
    // The time that this computer needs for a call is multiplied by the speed of time, so the strict bound is for slower runs:
    // MDETAG_PACE=20 takes half a minute.
    let pace: u32 = std::env::var("MDETAG_PACE").map_or(60, |text| text.parse().unwrap());
    let bound = if pace <= 30 { 1.05 } else { 1.25 };
    let project = values(1000);
    project.run(&["apply", "--sandbox", "--auto-approve", "--sandbox-speed", &pace.to_string()]).exits(0);
    let calls = project.calls("default", "setValue");
    let refused: Vec<&Value> = calls.iter().filter(|call| call["status"] != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let start = |call: &Value| Timestamp::parse(call["at"].as_str().unwrap()).unwrap();
    let (first, last) = (calls.iter().map(start).min().unwrap(), calls.iter().map(start).max().unwrap());
    let (took, least) = (last.since(first).as_secs_f64(), 540.0 / f64::from(pace));
    println!("1,000 values: {took:.2} s, where the limits allow {least:.2} s: {:.3}", took / least);
    assert!(took / least <= bound, "{took} s, where the limits allow {least} s");
}
