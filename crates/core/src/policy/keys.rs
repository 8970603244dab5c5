//! Every key of the language: its name, its allowed value, and a line about it. The readers refuse other keys, and `schema` is
//! generated from these tables, so the two cannot disagree.
//!
//! Does not read anything.

mod data;

use super::shape::{MappingKey, Shape, key, required};
use crate::cloud::{Cloud, Region};

pub(super) use data::{HUNTING, IN_FILE, LOOKUP, LOOKUP_HUNTING};

const VALUES: &[&str] = &["Low", "Normal", "High"];

/// The top level of a policy file.
pub(super) static POLICY: &[MappingKey] = &[
    required("version", Shape::Version, "The version of the language: 1. Required in every file."),
    key("description", Shape::Text, "What this file is for."),
    key(
        "scope",
        Shape::Selector,
        "The devices that this set may touch at all. Default: devices that were not merged into another. At most once in the set.",
    ),
    key(
        "claims",
        Shape::List(&Shape::TagOrGlob),
        "Tags that this set owns: a live one that no rule assigns to its device is removed.",
    ),
    key("selectors", Shape::Named(&Shape::Selector), "Selectors by name, for `use`."),
    key(
        "lookups",
        Shape::Named(&Shape::Mapping(LOOKUP)),
        "Tables joined to devices: their columns are fields `lookup.NAME.COLUMN`.",
    ),
    key(
        "maps",
        Shape::Named(&Shape::Named(&Shape::Text)),
        "What templates write in place of a value, by value: `{FIELD|map:NAME}`.",
    ),
    key(
        "families",
        Shape::Named(&Shape::List(&Shape::Tag)),
        "Tags of which a device keeps only the one listed first. Members are claimed.",
    ),
    key("rules", Shape::List(&Shape::Mapping(RULE)), "Which devices carry which tags and which value."),
    key(
        "renames",
        Shape::Named(&Shape::Tag),
        "Old tag to new tag. The old one is claimed, and goes once the new one is confirmed.",
    ),
    key("retire", Shape::List(&Shape::TagOrGlob), "Tags that no device should carry."),
    key(
        "deviceValue",
        Shape::Mapping(DEVICE_VALUE),
        "The value of devices that no rule gives one. At most once in the set.",
    ),
    key(
        "deviceGroups",
        Shape::Mapping(DEVICE_GROUPS),
        "The tenant's device groups: plans then say which devices change group, and what that means. At most once in the set.",
    ),
    key("protect", Shape::List(&Shape::Mapping(PROTECTION)), "Devices whose state is never changed."),
    key("guard", Shape::Mapping(GUARD), "Limits on what one plan may do. At most once in the set."),
];

/// `deviceGroups` of the set.
pub(super) static DEVICE_GROUPS: &[MappingKey] = &[
    required(
        "file",
        Shape::Path,
        "The portal's or the service's JSON, or YAML written by hand, relative to this file.",
    ),
    key(
        "tagCase",
        Shape::Words(&["exact", "insensitive"]),
        "How the groups' tag conditions compare. Default: without case.",
    ),
];

/// An entry of `rules`.
pub(super) static RULE: &[MappingKey] = &[
    required("name", Shape::Text, "Unique in the set: 1 to 80 of A-Z a-z 0-9 . _ -"),
    key("description", Shape::Text, "Carried into plans and reports."),
    key("owner", Shape::Text, "Carried into plans and reports."),
    key("ticket", Shape::Text, "Carried into plans and reports."),
    required("select", Shape::Selector, "Which devices."),
    key(
        "tags",
        Shape::List(&Shape::TagTemplate),
        "Tags that they must carry; `{FIELD|filter}` is filled in for each device.",
    ),
    key(
        "removeTags",
        Shape::List(&Shape::TagOrGlob),
        "Tags that they must not carry, also tags that nobody claims.",
    ),
    key("deviceValue", Shape::Words(VALUES), "The value that they must have."),
    key("priority", Shape::Integer, "The higher wins; default 0."),
    key("from", Shape::Date, "First day, UTC."),
    key("until", Shape::Date, "Last day, UTC, inclusive."),
    key(
        "lints",
        Shape::Named(&Shape::Text),
        "Warnings and notes that are meant on this rule, by code, each with its reason: `W0713: kept for the audit`.",
    ),
];

/// `deviceValue` of the set.
pub(super) static DEVICE_VALUE: &[MappingKey] =
    &[required("default", Shape::Words(VALUES), "The value of devices that no rule gives one.")];

/// An entry of `protect`.
pub(super) static PROTECTION: &[MappingKey] = &[
    required("name", Shape::Text, "Unique in the set; names what is withheld."),
    required("select", Shape::Selector, "Which devices."),
    key("reason", Shape::Text, "Why; carried into plans."),
];

pub(super) static GUARD: &[MappingKey] = &[
    key("tenantId", Shape::Text, "The only tenant that this set may be applied to."),
    key(
        "caps",
        Shape::Mapping(CAPS),
        "How much one plan may change; each cap is the greater of its percentage and its floor.",
    ),
    key("inventory", Shape::Mapping(INVENTORY), "When a read of the inventory is not to be trusted."),
    key("allowReserved", Shape::List(&Shape::Tag), "Reserved tags that this set may write after all."),
    key("invariants", Shape::List(&Shape::Mapping(INVARIANT)), "What must hold after every plan."),
    key("approvals", Shape::List(&Shape::Mapping(APPROVAL)), "Caps raised for a while."),
    key(
        "accept",
        Shape::List(&Shape::Mapping(ACCEPT)),
        "Contested changes for which `drift` does not exit with 2, for a while.",
    ),
    key("rollout", Shape::Mapping(ROLLOUT), "How large plans are let out in waves, and what stops them."),
];

/// `guard.rollout`.
pub(super) static ROLLOUT: &[MappingKey] = &[
    key("from", Shape::Count, "Plans that change fewer devices are one wave. Default 100."),
    required(
        "waves",
        Shape::List(&Shape::Quantity),
        "Cumulative: devices, or per cent of the devices with changes, in rising order; a last wave of 100% is added.",
    ),
    key("first", Shape::Selector, "All of these devices go into the first wave, however many they are."),
    key("wait", Shape::Text, "Between the end of a wave and the start of the next, such as `2h`. Default 0."),
    key("stopAt", Shape::Mapping(STOP_AT), "Which share of a wave's devices may end badly."),
    key("health", Shape::Mapping(HEALTH), "Which devices of a wave may not fall ill before the next."),
    key("tenants", Shape::List(&Shape::Quantity), "Cumulative tenants, for `--tenant-wave`."),
];

/// `guard.rollout.stopAt`.
pub(super) static STOP_AT: &[MappingKey] = &[
    key("failed", Shape::Percent, "Above this share failed or unknown, the rollout stops. Default 5 %."),
    key("bounced", Shape::Percent, "Above this share undone by another origin, it stops. Default 20 %."),
];

/// `guard.rollout.health`.
pub(super) static HEALTH: &[MappingKey] = &[
    required("select", Shape::Selector, "Which devices are ill."),
    required(
        "atMost",
        Shape::Percent,
        "Above this share that match now and did not before the wave, it stops.",
    ),
];

/// `guard.caps`.
pub(super) static CAPS: &[MappingKey] = &[
    key("devices", Shape::Mapping(CAP), "Devices changed, of devices in scope. Default 50 %, floor 100."),
    key("additions", Shape::Mapping(CAP), "Tags added, of devices in scope. Default 100 %, floor 100."),
    key(
        "removals",
        Shape::Mapping(CAP_WITH_DAY),
        "Tags removed, of live tags that this set may remove. Default 10 %, floor 10.",
    ),
    key(
        "removalsPerTag",
        Shape::Mapping(CAP_WITH_DAY),
        "One tag removed, of the devices that carry it. Default 50 %, floor 5.",
    ),
    key(
        "values",
        Shape::Mapping(CAP_WITH_DAY),
        "Device values changed, of devices in scope. Default 25 %, floor 25.",
    ),
    key(
        "groupMoves",
        Shape::Mapping(CAP_WITH_DAY),
        "Devices that change device group, of the devices in scope (10%, floor 10); needs `deviceGroups`.",
    ),
];

pub(super) static CAP: &[MappingKey] = &[
    key("percent", Shape::Percent, "Percent of the base."),
    key("floor", Shape::Count, "So many are always allowed."),
];

/// One cap, with a second one over 24 hours.
pub(super) static CAP_WITH_DAY: &[MappingKey] = &[
    key("percent", Shape::Percent, "Percent of the base."),
    key("floor", Shape::Count, "So many are always allowed."),
    key(
        "day",
        Shape::Mapping(CAP),
        "The same over 24 hours and all runs, by default twice as much; not with `devices` and `additions`.",
    ),
];

/// `guard.inventory`.
pub(super) static INVENTORY: &[MappingKey] = &[
    key("min", Shape::Count, "Distrust a read with fewer devices."),
    key(
        "maxShrink",
        Shape::Percent,
        "Distrust a read that shrank by more than this against the trusted runs of 7 days. Default 20 %.",
    ),
];

/// An entry of `guard.invariants`.
pub(super) static INVARIANT: &[MappingKey] = &[
    required("name", Shape::Text, "Unique in the set."),
    key("tag", Shape::Tag, "Count the devices that carry this tag."),
    key("deviceValue", Shape::Words(VALUES), "Count the devices of this value."),
    key("group", Shape::Text, "Count the devices that are in this device group; needs `deviceGroups`."),
    key("atLeast", Shape::Quantity, "At least so many, or at least this share of the devices in scope."),
    key("atMost", Shape::Quantity, "At most so many, or at most this share of the devices in scope."),
];

/// An entry of `guard.approvals`.
pub(super) static APPROVAL: &[MappingKey] = &[
    required(
        "cap",
        Shape::Words(&[
            "devices",
            "additions",
            "removals",
            "removalsPerTag",
            "values",
            "groupMoves",
            "shrink",
        ]),
        "Which cap, or `shrink`: a source that really became smaller.",
    ),
    key(
        "tag",
        Shape::TagOrGlob,
        "Which tags; only with removalsPerTag. A glob starts with at least three literal characters.",
    ),
    key(
        "max",
        Shape::Count,
        "Raised to this number: a total over all runs until it expires. All but `shrink` need it.",
    ),
    key(
        "source",
        Shape::Text,
        "With `shrink`: `devices`, the name of a lookup, or a list file as the policy writes it.",
    ),
    key("to", Shape::Count, "With `shrink`: counts down to this number are trusted."),
    key("changes", Shape::Text, "Only for the changes with this `changesDigest` of a plan: sha256:…."),
    key("reason", Shape::Text, "Why."),
    key("ticket", Shape::Text, "Where it was decided."),
    required("expires", Shape::Date, "Last day, UTC, inclusive; at most 90 days ahead."),
];

/// An entry of `guard.accept`.
pub(super) static ACCEPT: &[MappingKey] = &[
    required(
        "tag",
        Shape::TagOrGlob,
        "Contested changes of which tags. A glob starts with at least three literal characters.",
    ),
    key("select", Shape::Selector, "On which devices. Default: on all."),
    required("reason", Shape::Text, "Why."),
    required("expires", Shape::Date, "Last day, UTC, inclusive; at most 90 days ahead."),
];

/// `superseded` of a selector.
pub(super) static SUPERSEDED: &[MappingKey] = &[
    required(
        "by",
        Shape::Words(&["computerDnsName", "deviceName", "aadDeviceId", "vmMetadata.vmId"]),
        "Devices with the same value here are one device.",
    ),
    key(
        "keep",
        Shape::Words(&["newest", "oldest"]),
        "Which of them is not superseded: the greatest lastSeen (default) or the least firstSeen.",
    ),
];

/// The top level of a policy test file.
pub(super) static TEST_FILE: &[MappingKey] = &[
    required("version", Shape::Version, "The version of the language: 1."),
    key("description", Shape::Text, "What this file is for."),
    key("now", Shape::Time, "The clock of all tests in this file."),
    required("tests", Shape::List(&Shape::Mapping(TEST)), "The tests."),
];

/// An entry of `tests`.
pub(super) static TEST: &[MappingKey] = &[
    required("name", Shape::Text, "What it shows; unique in the file."),
    key("now", Shape::Time, "The clock of this test."),
    required("device", Shape::Device, "Fields of the device, as in the API's JSON."),
    key(
        "lookup",
        Shape::Named(&Shape::Named(&Shape::Cell)),
        "Rows of lookups for this device, by lookup name.",
    ),
    key(
        "hunting",
        Shape::Named(&Shape::Boolean),
        "Whether this device is in the result of a hunting query, by its text or the name of its file.",
    ),
    key("superseded", Shape::Boolean, "Whether another device supersedes this one."),
    key("group", Shape::Text, "The device group after the plan; the same as `expect.group`."),
    required("expect", Shape::Mapping(EXPECT), "What the policy gives; keys left out are not checked."),
];

/// `expect` of a test.
pub(super) static EXPECT: &[MappingKey] = &[
    key("tags", Shape::List(&Shape::Tag), "Exactly the tags that the policy gives."),
    key("includes", Shape::List(&Shape::Tag), "Some of the tags that the policy gives."),
    key("excludes", Shape::List(&Shape::Tag), "Tags that the policy does not give."),
    key("removes", Shape::List(&Shape::Tag), "Exactly the live tags that are removed."),
    key("deviceValue", Shape::Words(VALUES), "The value that the policy gives."),
    key("rules", Shape::List(&Shape::Text), "Exactly the rules that select the device."),
    key("group", Shape::Text, "The device group that the device is in after the plan."),
];

/// The words of `tagCase`.
pub(super) static TAG_CASES: [&str; 2] = ["exact", "insensitive"];

/// The words of `writes.values`.
pub(super) static VALUE_ROUTES: [&str; 2] = ["setDeviceValue", "both"];

/// The top level of `mdetag.yaml`.
pub(super) static SETTINGS: &[MappingKey] = &[
    required("version", Shape::Version, "The version of this file's form: 1."),
    key("defaultTenant", Shape::Text, "The profile that is used where none is named."),
    key("tenants", Shape::Named(&Shape::Mapping(PROFILE)), "Tenant profiles, by name."),
    key("tenantsFile", Shape::Path, "A YAML, JSON or CSV file with further profiles."),
    key("budget", Shape::Mapping(BUDGET), "The service's limits as this client keeps them."),
    key("writes", Shape::Mapping(WRITES), "How changes are written."),
    key(
        "state",
        Shape::Text,
        "Where ledgers, journals and locks are kept: a folder, `azblob://…` or `s3://…`.",
    ),
    key("tagCase", Shape::Words(&TAG_CASES), "Whether tags that differ only in case are two tags or one."),
    key("lints", Shape::Named(&Shape::Words(&LINT_LEVELS)), "How warnings count, by code: `W0713: deny`."),
    key("repositoryUrl", Shape::Text, "The repository's page, `https://…`: places in reports link to it."),
    key("notify", Shape::Mapping(super::notify::KEYS), "Who is told how `apply` and `drift` ended."),
];

/// Levels of a warning.
pub(super) const LINT_LEVELS: [&str; 3] = ["allow", "warn", "deny"];

/// A profile of `tenants`.
pub(super) static PROFILE: &[MappingKey] = &[
    key("tenantId", Shape::Text, "Directory id of the tenant."),
    key("clientId", Shape::Text, "Application id of the identity."),
    key("cloud", Shape::Words(&Cloud::WORDS), "The cloud; `public` unless written."),
    key("geo", Shape::Words(&Region::WORDS), "The region whose host is called."),
    key("policies", Shape::List(&Shape::Text), "Policy files and directories, relative to this file."),
    key(
        "labels",
        Shape::Named(&Shape::Text),
        "What tells tenants apart, as `region: eu`; `--select` picks by it.",
    ),
    key(
        "extends",
        Shape::Text,
        "The profile that gives each key that this one does not state. That one is then no tenant.",
    ),
    key("endpoints", Shape::Mapping(ENDPOINTS), "Other hosts, for tests."),
];

/// `endpoints` of a profile.
pub(super) static ENDPOINTS: &[MappingKey] = &[
    key("api", Shape::Text, "Base address of the API."),
    key("login", Shape::Text, "Base address of the sign-in."),
    key("graph", Shape::Text, "Base address of Microsoft Graph."),
];

pub(super) static BUDGET: &[MappingKey] = &[
    key("perMinute", Shape::Positive, "Calls a minute and lane: 100."),
    key("perHour", Shape::Positive, "Calls an hour and lane: 1500."),
    key("shared", Shape::Boolean, "Whether all lanes share one pair of windows."),
    key("concurrency", Shape::Positive, "Calls in flight: 8."),
    key("timeScale", Shape::Positive, "Windows are divided by this; more than 1 only on loopback."),
];

pub(super) static WRITES: &[MappingKey] = &[
    key("values", Shape::Words(&VALUE_ROUTES), "Which route device values take."),
    key("combine", Shape::Boolean, "Whether one PATCH may carry a device's value and tags."),
    key("settle", Shape::Text, "How long after the last write the list is read again: 15s."),
    key("visibility", Shape::Text, "How long a confirmed change may be missing from the list: 1h."),
    key(
        "origins",
        Shape::Boolean,
        "Whether hunting says before each plan which tags of other origins cannot be removed.",
    ),
];
