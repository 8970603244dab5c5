//! Earlier runs and a change: the reference, and that it holds for every spelling of a tag if case does not count.

use serde_json::json;

use super::reference::View;
use super::*;
use crate::diagnostic::Sources;
use crate::policy;
use crate::selection::{self, HuntingResults};

/// The reason and the name with which history withholds a change.
pub(super) fn past(view: &View<'_>, what: ChangeWhat) -> Option<(String, String)> {
    let history = &view.world.history;
    let is_own = |key: &&ChangeKey| *key.device == *view.device.id;
    let is_about = |key: &&ChangeKey| match (&key.what, &what) {
        (ChangeWhat::Add(one), ChangeWhat::Add(other)) => view.same(one, other),
        (ChangeWhat::Remove(one), ChangeWhat::Remove(other)) => view.same(one, other),
        (ChangeWhat::Value(one), ChangeWhat::Value(other)) => one == other,
        _ => false,
    };
    // An old list still shows the removed spelling.
    let is_old = |key: &&ChangeKey| !matches!(what, ChangeWhat::Remove(_)) || key.what == what;
    if history.pending.iter().filter(is_own).filter(is_about).any(|key| is_old(&key)) {
        return Some(("pending".to_owned(), String::new()));
    }
    if let Some(key) = history.reverted.keys().filter(is_own).find(is_about) {
        return Some(("reverted".to_owned(), history.reverted[key].to_string()));
    }
    let (action, tag) = match &what {
        ChangeWhat::Add(tag) => (WriteAction::Add, &**tag),
        ChangeWhat::Remove(tag) => (WriteAction::Remove, &**tag),
        ChangeWhat::Value(_) => (WriteAction::Value, ""),
    };
    let mut refused =
        history.unwritable.iter().filter(|(id, _)| ***id == *view.device.id).flat_map(|(_, all)| all);
    let is_refused =
        |one: &&Unwritable| one.action == action && one.tag.as_ref().is_none_or(|own| view.same(own, tag));
    if let Some(refused) = refused.find(is_refused) {
        return Some(("unwritable".to_owned(), refused.reason.clone()));
    }
    let key = history.contested.keys().filter(is_own).find(is_about)?;
    let twin = match &what {
        ChangeWhat::Add(tag) => {
            view.device.tags.iter().find(|own| ***own != **tag && own.to_lowercase() == tag.to_lowercase())
        }
        _ => None,
    };
    let origin = twin.map_or(history.contested[key].clone(), |twin| {
        format!(
            "the device carries `{twin}`, which differs only in case: the service takes the two for one tag"
        )
    });
    Some(("contested".to_owned(), origin))
}

/// Why this policy's one change is withheld on a device with these tags; `None` if it is planned.
fn reason(policy: &str, live: &[&str], history: &History, case: TagCase) -> Option<WithheldReason> {
    let sources = Sources::from_text("p.yaml", &format!("version: 1\n{policy}"));
    let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
    let (policy, _) = policy::resolve(&sources, case, now);
    let snapshot = crate::inventory::fleet(&[json!({ "machineTags": live })]);
    let selections = selection::select(&policy, &snapshot, &HuntingResults::default(), now).unwrap();
    let desired = desire(&policy, &snapshot, &selections, now).unwrap();
    let plan = diff(&desired, history, Header::default(), &sources);
    let groups: Vec<&Withheld> = plan.withheld.iter().chain(&plan.pending).collect();
    assert_eq!(plan.changes.len() + groups.len(), 1);
    groups.first().map(|group| group.reason)
}

/// A history of each kind for this change on the device.
fn histories(what: &ChangeWhat) -> [(WithheldReason, History); 4] {
    let key = ChangeKey { device: "d0".into(), what: what.clone() };
    let mut all = [(); 4].map(|()| History::default());
    all[0].pending.insert(key.clone());
    all[1].reverted.insert(key.clone(), "run".into());
    let (action, tag) = match what {
        ChangeWhat::Add(tag) => (WriteAction::Add, tag.clone()),
        ChangeWhat::Remove(tag) => (WriteAction::Remove, tag.clone()),
        ChangeWhat::Value(_) => unreachable!("only tags have spellings"),
    };
    let refused = Unwritable { action, tag: Some(tag), reason: String::new(), until: Timestamp::EPOCH };
    all[2].unwritable.insert("d0".into(), vec![refused]);
    all[3].contested.insert(key, "registry".to_owned());
    let [pending, reverted, unwritable, contested] = all;
    [
        (WithheldReason::Pending, pending),
        (WithheldReason::Reverted, reverted),
        (WithheldReason::Unwritable, unwritable),
        (WithheldReason::Contested, contested),
    ]
}

#[test]
fn the_past_of_an_addition_holds_for_each_spelling_of_its_tag() {
    let rule = "rules: [{ name: r, select: { everything: true }, tags: [Tier0] }]\n";
    for (withheld, history) in histories(&ChangeWhat::Add("TIER0".into())) {
        assert_eq!(reason(rule, &[], &history, TagCase::Insensitive), Some(withheld));
        assert_eq!(reason(rule, &[], &history, TagCase::Exact), None, "{withheld:?}: two tags");
    }
}

#[test]
fn the_past_of_a_removal_holds_for_each_spelling_but_the_list_shows_the_old_one() {
    for (withheld, history) in histories(&ChangeWhat::Remove("TIER0".into())) {
        let held = reason("claims: [Tier0]\n", &["Tier0"], &history, TagCase::Insensitive);
        assert_eq!(held, Some(withheld).filter(|reason| *reason != WithheldReason::Pending));
        assert_eq!(reason("claims: [Tier0]\n", &["Tier0"], &history, TagCase::Exact), None, "{withheld:?}");
    }
}
