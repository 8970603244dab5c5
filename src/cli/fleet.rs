//! The tenants of `mdetag.yaml` that a command runs for: by label, and by a part that stays the same from run to run.
//!
//! Signs in nowhere.

use std::collections::BTreeSet;

use mdetag_core::policy::settings::Profile;
use mdetag_core::report::escape::terminal;

use super::context::Context;
use super::failure::Failure;

/// The most parts of all tenants.
const MOST_SHARDS: u64 = 10_000;

/// The names of the tenants that carry all of these labels and are in this part, in file order.
///
/// # Errors
/// A label or a part that cannot be read.
pub fn names(context: &Context, select: &[String], shard: Option<&str>) -> Result<Vec<String>, Failure> {
    let labels = select.iter().map(|text| label(text)).collect::<Result<Vec<_>, _>>()?;
    let tenants = context.settings.tenants().filter(|profile| fits(profile, &labels));
    let names: Vec<String> = tenants.map(|profile| profile.name.clone()).collect();
    // A typing slip in a label must not make a nightly job succeed.
    if names.is_empty() && !labels.is_empty() && context.settings.tenants().next().is_some() {
        let known: BTreeSet<String> = context
            .settings
            .tenants()
            .flat_map(|profile| profile.labels.iter().map(|(label, value)| format!("{label}={value}")))
            .collect();
        let known: Vec<String> = known.into_iter().chain(["name=PROFILE".to_owned()]).take(20).collect();
        return Err(Failure::usage(format!(
            "no tenant fits `--select {}`",
            terminal(&select.join(" --select "))
        ))
        .help(format!("the profiles of mdetag.yaml have {}", known.join(", "))));
    }
    part_of(context, names, shard)
}

/// The tenants that are in this part.
///
/// # Errors
/// A part that cannot be read.
pub fn part_of(context: &Context, names: Vec<String>, shard: Option<&str>) -> Result<Vec<String>, Failure> {
    let index = std::env::var("JOB_COMPLETION_INDEX").ok();
    let Some(part) = shard.map(|text| part(text, index.as_deref())).transpose()? else { return Ok(names) };
    let is_mine =
        |name: &String| context.settings.profile(name).is_some_and(|profile| part.holds(key(profile)));
    Ok(names.into_iter().filter(is_mine).collect())
}

fn label(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Failure::usage(format!("`--select {}` names no label and value", terminal(text)))
            .help("write LABEL=VALUE, as in `--select region=eu`")
    })
}

/// Whether the profile has all labels, or `name`, which every profile has.
fn fits(profile: &Profile, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(name, value)| match profile.labels.get(*name) {
        Some(has) => has == value,
        None => *name == "name" && profile.name == *value,
    })
}

/// What identifies a tenant, whatever its profile is called.
fn key(profile: &Profile) -> &str {
    profile.tenant_id.as_deref().unwrap_or(&profile.name)
}

/// A part of all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    /// From 1.
    index: u64,
    of: u64,
}

impl Shard {
    /// Whether a tenant is in this part, by a hash of its id, so that a tenant that comes or goes moves no other.
    fn holds(self, key: &str) -> bool {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.to_ascii_lowercase().as_bytes());
        let first = digest.as_ref().iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        first % self.of == self.index - 1
    }
}

/// Parses `2/8`, or `auto/8` with the index that a Kubernetes Indexed Job gives each pod, from 0.
fn part(text: &str, job_index: Option<&str>) -> Result<Shard, Failure> {
    let wrong = || {
        Failure::usage(format!("`--shard {}` is no part", terminal(text))).help(
            "write I/N with I from 1 to N, as in `--shard 2/8`; in a Kubernetes Indexed Job `--shard auto/8`",
        )
    };
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let of: u64 = of.parse().ok().filter(|of| (1..=MOST_SHARDS).contains(of)).ok_or_else(wrong)?;
    let index = match index {
        "auto" => {
            let index = job_index.and_then(|index| index.parse::<u64>().ok()).ok_or_else(|| {
                Failure::usage("`--shard auto/N` needs JOB_COMPLETION_INDEX")
                    .help("a Kubernetes Indexed Job sets it; elsewhere write the number: `--shard 2/8`")
            })?;
            index + 1
        }
        index => index.parse().map_err(|_| wrong())?,
    };
    (1..=of).contains(&index).then_some(Shard { index, of }).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_hold_every_tenant_once() {
        let parts: Vec<Shard> = (1..=7).map(|index| part(&format!("{index}/7"), None).unwrap()).collect();
        let mut sizes = [0; 7];
        for number in 0..2_000 {
            let key = format!("{number:08}-2222-3333-4444-555555555555");
            let holding: Vec<usize> = (0..7).filter(|at| parts[*at].holds(&key)).collect();
            let [only] = holding.as_slice() else { panic!("{key}: {holding:?}") };
            sizes[*only] += 1;
        }
        assert!(sizes.iter().all(|size| *size > 200), "{sizes:?}");
    }

    #[test]
    fn a_part_is_read_or_refused() {
        assert_eq!(part("auto/8", Some("0")).unwrap(), Shard { index: 1, of: 8 });
        for (text, index) in [
            ("0/8", None),
            ("9/8", None),
            ("x/8", None),
            ("1/0", None),
            ("3", None),
            ("auto/8", None),
            ("auto/8", Some("8")),
        ] {
            assert!(part(text, index).is_err(), "{text} {index:?}");
        }
    }
}
