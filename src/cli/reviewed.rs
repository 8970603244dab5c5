//! Whether a reviewed plan may be applied here: its policies are those at hand, and all of them were in somebody's review.
//!
//! Compares no change; that is `plan::stale`.

use std::path::Path;

use mdetag_core::plan::Plan;

use super::failure::Failure;
use super::planning::PolicySet;

/// Files outside the repository are in nobody's review.
pub fn inside(reviewed: &Plan) -> Result<(), Failure> {
    let is_outside =
        |path: &str| Path::new(path).is_absolute() || path.split(['/', '\\']).any(|part| part == "..");
    let files = &reviewed.header.policy.files;
    match files.iter().find(|file| is_outside(&file.path)) {
        None => Ok(()),
        Some(file) => Err(Failure::plan(format!(
            "the plan was made from `{}`, which is outside the repository",
            file.path
        ))
        .help("plan from the policies of the repository")),
    }
}

pub fn same_policy(reviewed: &Plan, set: &PolicySet) -> Result<(), Failure> {
    let (then, now) = (&reviewed.header.policy, &set.reference);
    if then.digest == now.digest {
        return Ok(());
    }
    let other = |files: &[mdetag_core::plan::FileReference], of: &[mdetag_core::plan::FileReference]| {
        files.iter().find(|file| !of.contains(file)).map(|file| file.path.clone())
    };
    let file = other(&then.files, &now.files).or_else(|| other(&now.files, &then.files)).unwrap_or_default();
    Err(Failure::plan(format!("the policy files are not those of the plan: `{file}` differs"))
        .help("make a new plan from these files and have it reviewed; policies other than the profile's (default `policies/`) are named after the plan, as they were for `mdetag plan`"))
}
