//! `--tenant-wave`: tenants in the waves of `guard.rollout.tenants`. Each wave needs a good end of the one before.
//!
//! Only the tenants' ids decide who is in which wave, so every computer gets the same answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mdetag::store::path_text::shown;
use mdetag_core::plan::waves::ends;
use mdetag_core::policy::Quantity;
use mdetag_core::report::tenants::TenantResult;
use mdetag_core::report::words::counted;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::policy_set;

use super::{own, results};

/// Tenants that a message names before the rest becomes a number.
const NAMED: usize = 10;

/// The tenants of a wave, in the order of `names`, if the previous wave ended well.
///
/// # Errors
/// Policies without `guard.rollout.tenants` or with different ones, a wave that does not exist, a previous wave that did not end
/// well (exit 3).
pub fn tenants_of_wave(
    context: &Context,
    names: &[String],
    number: usize,
    after: Option<&Path>,
) -> Result<Vec<String>, Failure> {
    let sets = sets(context, names)?;
    let steps = steps(&sets)?;
    let ordered = ordered(context, names);
    let ends = ends(&steps, ordered.len(), 0);
    if number > ends.len() {
        let count = counted(ends.len() as u64, "wave");
        return Err(Failure::usage(format!(
            "`--tenant-wave {number}`: {} make {count}",
            counted(names.len() as u64, "tenant")
        ))
        .help("waves count from 1; `guard.rollout.tenants` says how large they are"));
    }
    let wave = |number: usize| {
        let start = if number < 2 { 0 } else { ends[number - 2] };
        &ordered[start..ends[number - 1]]
    };
    if number > 1 {
        let Some(dir) = after else {
            return Err(Failure::usage(format!("`--tenant-wave {number}` needs `--after DIR`")).help(
                "name the folder that the wave before wrote with --out-dir: it must hold a good end for every tenant",
            ));
        };
        ended_well(context, &sets, wave(number - 1), number - 1, dir)?;
    }
    let wave = wave(number);
    Ok(names.iter().filter(|name| wave.contains(name)).cloned().collect())
}

/// Refuses to write all tenants at once if their policies put them into waves, so that forgetting a flag does not bypass the
/// waves.
///
/// # Errors
/// Policies with `guard.rollout.tenants`, and unreadable ones.
pub fn none_has_waves(context: &Context, names: &[String]) -> Result<(), Failure> {
    let sets = sets(context, names)?;
    let Some(name) = sets.iter().find(|(_, set)| !set.steps.is_empty()).map(|(name, _)| name) else {
        return Ok(());
    };
    Err(Failure::usage(format!(
        "the policies of `{name}` put tenants into waves (`guard.rollout.tenants`), and nothing was written"
    ))
    .help("write one wave after the other with `--tenant-wave 1`, or all tenants at once with `--waves all --reason TEXT`"))
}

/// The data of a policy set that waves need.
struct Set {
    digest: String,
    steps: Vec<Quantity>,
}

/// The policy set of each tenant; tenants with the same policies share one.
fn sets(context: &Context, names: &[String]) -> Result<BTreeMap<String, std::rc::Rc<Set>>, Failure> {
    let mut read: BTreeMap<Vec<PathBuf>, std::rc::Rc<Set>> = BTreeMap::new();
    let mut sets = BTreeMap::new();
    for name in names {
        let own = own(context, name);
        let paths = own.policy_paths(&[])?;
        let set = match read.get(&paths) {
            Some(set) => set.clone(),
            None => {
                let set = policy_set::load(&own, &paths, own.policy_now())?;
                let rollout = set.policy.guard.rollout.as_ref();
                let steps = rollout.map(|rollout| rollout.tenants.clone()).unwrap_or_default();
                let set = std::rc::Rc::new(Set { digest: set.reference.digest.clone(), steps });
                read.insert(paths, set.clone());
                set
            }
        };
        sets.insert(name.clone(), set);
    }
    Ok(sets)
}

/// The list of waves, which must be the same for all tenants.
fn steps(sets: &BTreeMap<String, std::rc::Rc<Set>>) -> Result<Vec<Quantity>, Failure> {
    let mut kinds: Vec<(&str, &Vec<Quantity>)> = Vec::new();
    for (name, set) in sets {
        if kinds.iter().all(|(_, steps)| **steps != set.steps) {
            kinds.push((name, &set.steps));
        }
    }
    match kinds.as_slice() {
        [(_, steps)] if !steps.is_empty() => Ok((*steps).clone()),
        [(name, _)] => Err(Failure::usage(format!("the policies of `{name}` have no `guard.rollout.tenants`"))
            .help("write for example `rollout: { tenants: [5, 5%, 100%] }`, or leave --tenant-wave out")),
        [(one, _), (other, _), ..] => Err(Failure::usage(format!(
            "the policies of `{one}` and `{other}` have different `guard.rollout.tenants`"
        ))
        .help("waves of tenants need one list: keep it in a guard file that all profiles share, or choose by --select")),
        [] => Ok(Vec::new()),
    }
}

/// The tenants in the order of the waves.
fn ordered(context: &Context, names: &[String]) -> Vec<String> {
    let rank = |name: &String| {
        let profile = context.settings.profile(name);
        let key = profile.and_then(|profile| profile.tenant_id.as_deref()).unwrap_or(name);
        let key = format!("wave {}", key.to_ascii_lowercase());
        ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref().to_vec()
    };
    let mut ordered = names.to_vec();
    ordered.sort_by_cached_key(|name| (rank(name), name.clone()));
    ordered
}

/// Refuses unless every tenant of the wave ended well under the current policies.
fn ended_well(
    context: &Context,
    sets: &BTreeMap<String, std::rc::Rc<Set>>,
    wave: &[String],
    number: usize,
    dir: &Path,
) -> Result<(), Failure> {
    let merged = results::read_all(dir).map_err(|failure| Failure { exit: Exit::Refused, ..failure })?;
    let applied: Vec<&TenantResult> =
        merged.results.iter().filter(|result| result.command == "apply").collect();
    // An unreadable result may be of a bad end.
    let mut reasons = merged.problems.clone();
    for name in wave {
        let id = context.settings.profile(name).and_then(|profile| profile.tenant_id.as_deref());
        let found = applied.iter().find(|result| match (id, &result.tenant_id) {
            (Some(id), Some(of)) => id.eq_ignore_ascii_case(of),
            (None, None) => result.tenant == *name,
            _ => false,
        });
        let digest = sets.get(name).map(|set| &set.digest);
        reasons.extend(match found {
            None => Some(format!("{name} has no result of an apply")),
            Some(result) if result.exit_code != 0 => {
                Some(format!("{name} ended with exit {}: {}", result.exit_code, result.sentence()))
            }
            Some(result) if result.summary.as_ref().map(|summary| &summary.policy) != digest => {
                Some(format!("{name} was applied with other policies"))
            }
            Some(_) => None,
        });
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let more = reasons.len().saturating_sub(NAMED);
    let mut named = reasons[..reasons.len() - more].join("\n");
    if more > 0 {
        named.push_str(&format!("\nand {more} more"));
    }
    let failure =
        Failure::plan(format!("wave {number} of tenants has not come to a good end by `{}`", shown(dir)));
    let failure = Failure { exit: Exit::Refused, ..failure };
    Err(failure.help(format!(
        "{named}\nnothing was written; apply these tenants again with --select or --tenant into that folder's --out-dir"
    )))
}
