//! Whether a reviewed plan may be applied here: its policies must be the current ones, and all of them reviewed.
//!
//! Compares no change; `plan::stale` does.

use std::collections::BTreeSet;

use mdetag::store::path_text::leads_out;
use mdetag_core::plan::TenantReference;
use mdetag_core::plan::{FileReference, Plan};
use mdetag_core::report::words::counted;
use mdetag_core::text;

use super::context::Context;
use super::failure::Failure;
use super::planning::PolicySet;
use super::session::Session;

/// Refuses files outside the repository, because they were not part of the review.
pub fn inside(reviewed: &Plan) -> Result<(), Failure> {
    let files = &reviewed.header.policy.files;
    match files.iter().find(|file| leads_out(&file.path)) {
        None => Ok(()),
        Some(file) => Err(Failure::plan(format!(
            "the plan was made from `{}`, which is outside the repository",
            file.path
        ))
        .help("plan from the policies of the repository")),
    }
}

/// The most renamed devices that a note lists.
const MOST_NAMES: usize = 3;

/// Notes the devices with another name in the reviewed plan than in the tenant: ids decide, but the review saw the names.
pub fn other_names(reviewed: Option<&Plan>, plan: &Plan) -> Option<String> {
    let reviewed = reviewed?;
    let named =
        |name: &Option<_>| name.as_ref().map_or("without a name".to_owned(), |name| format!("`{name}`"));
    let differing = plan.changes.iter().filter_map(|change| {
        let at = reviewed.changes.binary_search_by(|known| known.id.cmp(&change.id)).ok()?;
        let (then, now) = (&reviewed.changes[at].name, &change.name);
        let is_same = match (then, now) {
            (Some(then), Some(now)) => text::equal(then, now),
            (then, now) => then == now,
        };
        (!is_same).then(|| format!("{} is {} ({})", named(then), named(now), change.id))
    });
    let differing: Vec<String> = differing.collect();
    let count = differing.len() as u64;
    let names = differing.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    let more = if differing.len() > MOST_NAMES { ", …" } else { "" };
    let devices = counted(count, "device");
    (count > 0)
        .then(|| format!("the reviewed plan called {devices} otherwise: {names}{more}; the ids decided"))
}

/// The most differing files that a message names.
const MOST_FILES: usize = 10;

/// Checks that the policies are the same as when the plan was made; approvals may have been added.
///
/// # Errors
/// The files that differ.
pub fn same_policy(reviewed: &Plan, set: &PolicySet) -> Result<(), Failure> {
    let (then, now) = (&reviewed.header.policy, &set.reference);
    if then.digest == now.digest {
        return Ok(());
    }
    let other = |files: &[FileReference], of: &[FileReference]| {
        files.iter().filter(|file| !of.contains(file)).map(|file| file.path.clone()).collect::<BTreeSet<_>>()
    };
    // A new file with nothing but approvals may follow the review. A file of the plan that only gained approvals cannot be told
    // apart here, so all names are given and the relevant one is among them.
    let is_reviewed = |path: &String| now.reviewed.iter().any(|file| file.path == *path);
    let mut added = other(&now.files, &then.files);
    added.retain(|path| is_reviewed(path) || then.files.iter().any(|file| file.path == *path));
    let files = &other(&then.files, &now.files) | &added;
    let mut names: Vec<String> = files.iter().take(MOST_FILES).map(|file| format!("`{file}`")).collect();
    if files.len() > names.len() {
        names.push(format!("{} more", files.len() - names.len()));
    }
    let (names, verb) = (names.join(", "), if files.len() == 1 { "differs" } else { "differ" });
    Err(Failure::plan(format!("the policy files are not those of the plan: {names} {verb}"))
        .help("make a new plan from these files and have it reviewed; policies other than the profile's (default `policies/`) are named after the plan, as they were for `mdetag plan`"))
}

/// Refuses a plan of another tenant.
///
/// # Errors
/// Both tenants.
pub fn same_tenant(reviewed: &Plan, session: &Session) -> Result<(), Failure> {
    let (then, now) = (&reviewed.header.tenant, &session.reference);
    if then.id == now.id && then.cloud == now.cloud {
        return Ok(());
    }
    let of = |tenant: &TenantReference| {
        let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "unnamed".into());
        format!("tenant {} of cloud {}", part(&tenant.id), part(&tenant.cloud))
    };
    Err(Failure::plan(format!("the plan is for {}, and this is {}", of(then), of(now)))
        .help("nothing was written; choose the right profile with --tenant, or make a plan for this tenant"))
}

/// Refuses a plan that was made with other options than the current ones.
///
/// # Errors
/// The options differ.
pub fn same_options(context: &Context, reviewed: &Plan) -> Result<(), Failure> {
    let (then, now) = (reviewed.header.options, context.options());
    if then.agrees(now) {
        return Ok(());
    }
    let what = if then.profile == now.profile {
        "the plan was made with other options (`tagCase` or `writes` of mdetag.yaml)"
    } else {
        "the plan was made with other options, which mdetag.yaml or the service profile of the state choose"
    };
    Err(Failure::plan(what).help("make a new plan with the options that hold now"))
}

#[cfg(test)]
mod tests {
    use mdetag_core::plan::DeviceChange;

    use super::*;

    fn plan(names: [Option<&str>; 3]) -> Plan {
        let change = |(number, name): (usize, Option<&str>)| DeviceChange {
            id: format!("a{number}").into(),
            name: name.map(Into::into),
            observed_tags: Box::default(),
            observed_value: None,
            add: Vec::new(),
            remove: Vec::new(),
            value: None,
        };
        Plan { changes: names.into_iter().enumerate().map(change).collect(), ..Plan::default() }
    }

    #[test]
    fn a_device_that_the_review_saw_under_another_name_is_told() {
        let now = plan([Some("dc01"), Some("web1"), None]);
        assert_eq!(other_names(None, &now), None);
        assert_eq!(other_names(Some(&plan([Some("DC01"), Some("web1"), None])), &now), None);
        assert_eq!(
            other_names(Some(&plan([Some("kiosk"), Some("web1"), Some("x")])), &now).as_deref(),
            Some(
                "the reviewed plan called 2 devices otherwise: `kiosk` is `dc01` (a0), `x` is without a name (a2); the ids decided"
            )
        );
    }
}
