//! Explanations of the cases that people ask about: why not, why still there, and which rule wins.

use serde_json::{Value, json};

use super::*;
use crate::desired::desire;
use crate::inventory::fleet;
use crate::plan::guard::SafePlan;
use crate::plan::{Header, History, diff};
use crate::policy::{data_files, resolve};
use crate::selection::select;
use crate::tag::TagCase;
use crate::time::Timestamp;

const POLICY: &str = "\
version: 1
scope: { domain: corp.example.com }
claims: [Tier0, 'owner:*', 'os:*']
lookups: { cmdb: { file: cmdb.csv, key: host, match: deviceName } }
families: { lifecycle: [Duplicate, Inactive] }
renames: { Old: New, Stale: Tier0 }
retire: ['Legacy*']
protect: [{ name: break-glass, select: { computerDnsName: bg.corp.example.com }, reason: never locked out }]
deviceValue: { default: Normal }
rules:
  - { name: dcs, select: { computerDnsName: { glob: 'dc*' }, not: { osPlatform: Linux } }, tags: [Tier0], deviceValue: High, priority: 10 }
  - { name: no-tier0, select: { osPlatform: Windows11 }, removeTags: [Tier0, Portal] }
  - { name: owners, select: { lookup.cmdb.owner: { exists: true } }, tags: ['owner:{lookup.cmdb.owner|slug}'] }
  - { name: systems, select: { everything: true }, tags: ['os:{osPlatform|lower}'] }
  - { name: twice, select: { computerDnsName: twin.corp.example.com }, tags: [Duplicate, Inactive] }
  - { name: over, select: { everything: true }, tags: [Tier0], until: 2026-01-31, priority: 99 }
";

/// Explains one device; fills in its name and domain.
fn explained(device: Value, tag: Option<&str>) -> Explanation {
    let now = Timestamp::parse("2026-11-22").unwrap();
    let mut sources = Sources::from_text("p.yaml", POLICY);
    sources.files[0].path = "p.yaml".to_owned();
    let table: &[u8] = b"host,owner\ndc1,Ops Team\nweb1,\n";
    sources.data.insert((0, "cmdb.csv".to_owned()), Ok(table.into()));
    data_files(&sources);
    let (policy, findings) = resolve(&sources, TagCase::Exact, now);
    let error = findings.iter().find(|finding| finding.severity == crate::diagnostic::Severity::Error);
    assert!(error.is_none(), "{error:?}");
    let snapshot = fleet(&[device]);
    let hunting = HuntingResults::default();
    let selections = select(&policy, &snapshot, &hunting, now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let plan = diff(&desired, &History::default(), Header::default(), &sources);
    let verdict = SafePlan::new(plan, &policy.guard, &[], &sources);
    let plan = match &verdict {
        Ok(safe) => safe.plan(),
        Err(refused) => &refused.plan,
    };
    let rows = snapshot.find_device(snapshot.id(Row(0)));
    explain(&desired, plan, &hunting, &sources, rows[0], tag)
}

fn device(name: &str, platform: &str, tags: &[&str]) -> Value {
    json!({ "computerDnsName": format!("{name}.corp.example.com"), "osPlatform": platform, "machineTags": tags, "deviceValue": "Normal" })
}

fn tag(device: Value, tag: &str) -> TagExplained {
    explained(device, Some(tag)).tags.remove(0)
}

fn verdict(device: Value, named: &str) -> (Verdict, Option<String>) {
    let explained = tag(device, named);
    (explained.verdict, explained.because)
}

#[test]
fn the_stronger_rule_wins_and_the_weaker_one_is_named_as_losing() {
    let explained = tag(device("dc1", "Windows11", &[]), "Tier0");
    assert_eq!((explained.verdict, explained.because.as_deref()), (Verdict::Added, Some("rule dcs")));
    let said: Vec<_> =
        explained.statements.iter().map(|said| (&*said.rule, &*said.says, said.wins)).collect();
    assert_eq!(said, [("dcs", "gives", true), ("no-tier0", "forbids", false)]);
}

#[test]
fn an_ended_rule_has_no_say_and_says_that_it_is_not_live() {
    let explained = explained(device("web1", "macOS", &["Tier0"]), None);
    let over = explained.rules.iter().find(|rule| rule.name == "over").unwrap();
    assert!(!over.is_live && !over.applies && over.condition.holds == Some(true), "{over:?}");
    let tier0 = explained.tags.iter().find(|tag| tag.tag == "Tier0").unwrap();
    assert_eq!(tier0.verdict, Verdict::Removed);
    assert!(tier0.because.as_deref().unwrap().starts_with("unselected"), "{tier0:?}");
    assert_eq!(tier0.claim.as_ref().unwrap().name, "Tier0");
}

#[test]
fn of_a_family_the_first_stays_and_the_other_says_so() {
    let live = ["Duplicate", "Inactive"];
    assert_eq!(verdict(device("twin", "macOS", &live), "Duplicate").0, Verdict::Kept);
    let inactive = tag(device("twin", "macOS", &live), "Inactive");
    assert_eq!(inactive.verdict, Verdict::Removed);
    assert_eq!(inactive.because.as_deref(), Some("family lifecycle: a stronger member stays"));
    assert_eq!(inactive.family.unwrap().1, live);
    assert_eq!(verdict(device("twin", "macOS", &[]), "Inactive").0, Verdict::Absent);
}

#[test]
fn a_rename_adds_the_new_name_and_takes_the_old_one() {
    assert_eq!(
        verdict(device("web1", "macOS", &["Old"]), "New"),
        (Verdict::Added, Some("renamed to New".to_owned()))
    );
    let old = tag(device("web1", "macOS", &["Old"]), "Old");
    assert_eq!((old.verdict, old.because.as_deref()), (Verdict::Removed, Some("renamed to New")));
    assert_eq!(old.renamed_to.as_deref(), Some("New"));
    assert_eq!(old.claim.as_ref().unwrap().kind, ClaimKind::Rename);
    assert_eq!(old.removals, 1, "also where the cap counts none");
    // If the new name is claimed and no rule gives it, it is not added.
    assert_eq!(verdict(device("web1", "macOS", &["Stale"]), "Tier0").0, Verdict::Absent);
    assert_eq!(verdict(device("web1", "macOS", &["Stale"]), "Stale").0, Verdict::Removed);
}

#[test]
fn retired_tags_go_and_tags_that_nobody_names_are_never_touched() {
    let retired = tag(device("web1", "macOS", &["Legacy2"]), "Legacy2");
    assert_eq!((retired.verdict, retired.because.as_deref()), (Verdict::Removed, Some("retired")));
    assert_eq!(retired.retired.unwrap().0, "Legacy*");
    assert_eq!(verdict(device("web1", "macOS", &["Mine"]), "Mine"), (Verdict::Untouched, None));
    assert_eq!(verdict(device("web1", "macOS", &["Portal"]), "Portal").0, Verdict::Untouched);
    assert_eq!(
        verdict(device("web1", "Windows11", &["Portal"]), "Portal"),
        (Verdict::Removed, Some("rule no-tier0".to_owned()))
    );
}

#[test]
fn missing_data_withholds_what_the_template_would_match() {
    let nothing = json!({ "computerDnsName": "web1.corp.example.com", "machineTags": ["os:linux"] });
    let (found, because) = verdict(nothing, "os:linux");
    assert_eq!(found, Verdict::Withheld);
    assert!(because.as_deref().unwrap().starts_with("unresolved"), "{because:?}");
    assert_eq!(verdict(device("web1", "macOS", &["os:linux"]), "os:linux").0, Verdict::Removed);
}

#[test]
fn a_lookup_shows_the_value_of_this_device() {
    let owner = tag(device("dc1", "macOS", &[]), "owner:ops-team");
    assert_eq!((owner.verdict, owner.because.as_deref()), (Verdict::Added, Some("rule owners")));
    let explained = explained(device("web1", "macOS", &[]), None);
    let owners = explained.rules.iter().find(|rule| rule.name == "owners").unwrap();
    assert!(!owners.applies && owners.condition.actual.is_none(), "an empty cell is missing: {owners:?}");
}

#[test]
fn a_protection_withholds_and_is_named() {
    let explained = explained(device("bg", "macOS", &["Tier0"]), Some("Tier0"));
    assert_eq!(explained.tags[0].verdict, Verdict::Withheld);
    assert_eq!(explained.tags[0].because.as_deref(), Some("protected (break-glass)"));
    assert!(explained.protections[0].applies);
    assert_eq!(explained.protections[0].says, ["never locked out"]);
}

#[test]
fn outside_of_the_scope_nothing_applies() {
    let other =
        json!({ "computerDnsName": "dc1.lab.example.com", "osPlatform": "macOS", "machineTags": ["Tier0"] });
    let explained = explained(other, None);
    assert!(!explained.is_in_scope && explained.scope.as_ref().unwrap().holds == Some(false));
    assert_eq!(explained.scope.unwrap().actual.as_deref(), Some("lab.example.com"));
    assert_eq!(explained.tags[0].verdict, Verdict::OutOfScope);
    assert_eq!(explained.value.unwrap().verdict, Verdict::OutOfScope);
    assert!(explained.rules.iter().all(|rule| !rule.applies));
}

#[test]
fn values_name_the_rule_or_the_default() {
    let value = explained(device("dc1", "macOS", &[]), None).value.unwrap();
    assert_eq!(
        (value.verdict, value.wanted.as_deref(), value.because.as_deref()),
        (Verdict::Added, Some("High"), Some("rule dcs"))
    );
    let high = json!({ "computerDnsName": "web1.corp.example.com", "deviceValue": "High" });
    let value = explained(high, None).value.unwrap();
    assert_eq!((value.wanted.as_deref(), value.because.as_deref()), (Some("Normal"), Some("default")));
    // The default is withheld from a device whose value is not reported.
    let unknown = json!({ "computerDnsName": "web1.corp.example.com" });
    let value = explained(unknown, None).value.unwrap();
    assert_eq!(value.verdict, Verdict::Withheld, "{value:?}");
}

#[test]
fn conditions_show_what_the_device_has_even_below_a_not() {
    let explained = explained(device("dc1", "Linux", &[]), None);
    let dcs = explained.rules.iter().find(|rule| rule.name == "dcs").unwrap();
    assert!(!dcs.applies && dcs.condition.holds == Some(false));
    fn leaves<'c>(condition: &'c Condition, into: &mut Vec<(bool, &'c str)>) {
        if let Some(actual) = &condition.actual {
            into.push((condition.holds == Some(true), actual));
        }
        condition.children.iter().for_each(|child| leaves(child, into));
    }
    let mut found = Vec::new();
    leaves(&dcs.condition, &mut found);
    assert_eq!(found, [(true, "dc1.corp.example.com"), (true, "Linux")]);
}
