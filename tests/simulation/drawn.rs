//! Which of the sandbox's switches the seeds use: a new one must be used too, or listed with the reason why not.

use std::collections::{BTreeMap, BTreeSet};

use mdetag_sandbox::table;

use super::fleet::Fleet;
use super::service::{BadIds, LongTag, Patch, PatchLoss, Service};

/// Switches that no seed uses, and why.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "shapes the list: the engine is handed the re-read, and `tenant` is tested against the sandbox for it",
        &[
            "paging",
            "nextlink_with_top",
            "page",
            "clamp",
            "unstable_order",
            "dup_ids",
            "after_page",
            "empty",
            "list_body",
            "same_last_seen",
            "undocumented_odata",
            "filter_functions",
            "odata_strict",
            "os_version",
            "av_status",
            "unknown_property",
            "unknown_enum",
            "rbac_id_text",
            "no_tags",
            "null_tags",
            "year_one",
            "no_id",
            "machineTags_shows",
            "device_groups",
            "findbytag_needs_write",
        ],
    ),
    (
        "is about signing in and rights, which `tenant` settles before a call counts as sent",
        &[
            "roles",
            "delegated",
            "visible_groups",
            "mde_inactive",
            "cloud",
            "token_life_s",
            "secret",
            "tenant",
            "consent",
            "federated_spreading",
            "token_expired",
        ],
    ),
    (
        "is about hunting, which no call of a run asks",
        &[
            "hunting_minute",
            "hunting_after_s",
            "hunting",
            "hunting_keys",
            "hunting_extra",
            "hunting_missing",
            "mde_hunting",
        ],
    ),
    (
        "changes bytes and texts that `tenant` reads before the engine sees a reply",
        &[
            "throttle_body",
            "throttle_date",
            "throttle_fraction",
            "throttle_garbled",
            "content_type",
            "miscased",
            "role_message",
            "echo_authorization",
            "gzip",
            "error_target",
            "drip_ms",
            "drip",
            "endless_1xx",
            "slow_ms",
        ],
    ),
    (
        "moves devices between groups after the run; the gates of waves have claims of their own",
        &["group_delay_s"],
    ),
    (
        "loses a tag only where two calls for one device overlap, and `World::check_call` refuses those",
        &["rmw_delay_ms"],
    ),
    (
        "makes a refused call fill the window; the model counts every call, refused or not",
        &["throttle_punish"],
    ),
    ("a fixed window allows what a sliding one allows, and more", &["throttle_window"]),
];

/// The switches, and for some the values, that a seed's service acts out.
fn drawn(service: &Service) -> BTreeSet<&'static str> {
    let faults = &service.faults;
    let devices = || service.devices.values();
    // The model counts the calls of each lane in windows of its own, in every seed.
    let mut drawn = BTreeSet::from(["limit_minute", "limit_hour"]);
    let waits = |long: bool| faults.throttled > 0 && faults.retry_after && faults.waits_long == long;
    let refuses = devices().any(|device| device.is_bad);
    let held = devices().any(|device| device.registry.is_some());
    for (name, is_drawn) in [
        ("throttle_key", service.is_shared),
        ("throttle", waits(false)),
        ("throttle_zero", waits(false)),
        ("throttle_long", waits(true)),
        ("throttle_silent", faults.throttled > 0 && !faults.retry_after),
        ("bulk_unknown=reject_all", refuses && faults.bad_ids == BadIds::Named),
        ("bulk_unknown=reject_opaque", refuses && faults.bad_ids == BadIds::Unnamed),
        ("bulk_unknown=partial", refuses && faults.bad_ids == BadIds::Partial),
        ("bulk_forbidden", faults.bulk_closed == Some(403)),
        ("bulk_body", faults.empty_bodies),
        ("bulk_route=missing", faults.bulk_closed == Some(404)),
        ("bulk_route=missing_405", faults.bulk_closed == Some(405)),
        ("refuse", refuses),
        ("invisible_write", devices().any(|device| device.is_bad && device.is_gone)),
        ("refuse_answer=partly_named", refuses && faults.bad_ids == BadIds::Slowly),
        ("refuse_answer=named_with_good", refuses && faults.bad_ids == BadIds::WithGood),
        ("refuse_answer=single_403", refuses && faults.bad_status == Some(403)),
        ("refuse_answer=single_404", refuses),
        ("value_forbidden", devices().any(|device| device.is_value_forbidden)),
        ("rule_locked=ignore_reverts_in_1h", devices().any(|device| device.is_value_held)),
        ("rule_locked=accept", devices().any(|device| !device.is_value_held && !device.is_value_forbidden)),
        ("rule_locked=403", devices().any(|device| device.is_value_forbidden)),
        ("long_tag=400", faults.long_tag == LongTag::Refuse),
        ("long_tag=cut", faults.long_tag == LongTag::Cut),
        ("trim", faults.trims),
        ("tag_case", faults.folds_additions && faults.folds_removals),
        ("external_removal=ignored", held && faults.returns_after == 0),
        ("external_removal=returns", held && faults.returns_after > 0),
        ("patch=append", faults.patch == Patch::Append),
        ("patch=legacy_400", faults.patch == Patch::Legacy),
        ("patch_loses=value", faults.patch_loses == Some(PatchLoss::Value)),
        ("patch_loses=list", faults.patch_loses == Some(PatchLoss::List)),
        ("visible_after_s", faults.visible_after > 0),
        ("latency_ms", faults.slowest > 0),
        ("slow", faults.slowest >= 3_000),
        ("reset_before", faults.reset_before > 0),
        ("reset_after", faults.reset_after > 0),
        ("applied_but_500", faults.applied_but_failing > 0),
        ("empty_500", faults.failing > 0),
        ("internal_error", faults.failing > 0),
        ("html_502", faults.failing > 0),
        ("html_503", faults.failing > 0),
        ("html_503_wait", faults.failing > 0),
        ("forbidden", devices().any(|device| device.is_forbidden)),
        ("not_found", faults.passing_404 > 0),
        ("truncated", faults.broken > 0),
        ("cut_off", faults.broken > 0),
    ] {
        if is_drawn {
            drawn.insert(name);
        }
    }
    drawn
}

/// `trim` of `trim=on`.
fn name(drawn: &'static str) -> &'static str {
    drawn.split_once('=').map_or(drawn, |(name, _)| name)
}

#[test]
fn every_switch_of_the_sandbox_is_drawn_or_left_out_for_a_reason() {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..1_000 {
        for drawn in drawn(&Fleet::of_seed(seed).service) {
            *counts.entry(drawn).or_default() += 1;
        }
    }
    let left_out = LEFT_OUT.iter().flat_map(|(_, names)| names.iter().copied());
    let left_out: BTreeSet<&str> = left_out.collect();
    let drawn: BTreeSet<&str> = counts.keys().map(|drawn| name(drawn)).collect();
    let switches: BTreeSet<&str> = table().iter().map(|row| row.name).collect();
    let known: BTreeSet<&str> = drawn.union(&left_out).copied().collect();
    let new: Vec<_> = switches.difference(&known).collect();
    assert!(new.is_empty(), "draw them in `Fleet::of_seed`, or say in `LEFT_OUT` why not: {new:?}");
    let old: Vec<_> = known.difference(&switches).collect();
    assert!(old.is_empty(), "the sandbox has no such switch: {old:?}");
    let twice: Vec<_> = drawn.intersection(&left_out).collect();
    assert!(twice.is_empty(), "drawn, and listed as left out: {twice:?}");
    for row in table() {
        let values = row.values.split('|').filter(|value| *value != row.default && *value != "off");
        let drawn: Vec<_> = counts.keys().filter(|drawn| name(drawn) == row.name).collect();
        let by_value: BTreeSet<&str> =
            drawn.iter().filter_map(|drawn| drawn.split_once('=')).map(|(_, value)| value).collect();
        let missing: Vec<_> = values.filter(|value| !by_value.contains(value)).collect();
        let is_text = row.values.contains("TEXT") || row.values.contains("NUMBER");
        assert!(
            by_value.is_empty() || is_text || missing.is_empty(),
            "`{}`: no seed draws {missing:?}",
            row.name
        );
    }
}
