//! Reads a policy set for a command: files, meaning, findings, and its form in plans.
//!
//! Shows nothing; commands decide what to do with findings.

use std::fs;
use std::path::{Path, PathBuf};

use mdetag::store::path_text::shown;
use mdetag::store::{policy_files, regular_file, repository};
use mdetag_core::diagnostic::{Diagnostic, Severity, Source, Sources, Span};
use mdetag_core::plan::Plan;
use mdetag_core::plan::{PolicyReference, guard_changes};
use mdetag_core::policy::{self, Area, Difference, DifferenceKind, Policy, ShownIn, settings};
use mdetag_core::time::Timestamp;

use super::context::Context;
use super::failure::Failure;
use super::findings;
use super::planning::{PolicySet, has_errors};
use super::state_place::from_folder;

const SETTINGS: &str = "mdetag.yaml";

/// A policy set with all its findings, including errors.
pub struct Read {
    /// The set, usable only without errors.
    pub set: PolicySet,
    /// The tests beside it.
    pub tests: Sources,
}

/// Reads policy files. Never fails: errors are findings.
pub fn read(context: &Context, paths: &[PathBuf], now: Timestamp) -> Read {
    let files = policy_files::read(paths, &context.base);
    let mut reference = files.reference(&context.base);
    reference.commit = context.repository.as_deref().and_then(|root| repository::commit_of(root, &files));
    reference.dirty = context.repository.is_some() && reference.commit.is_none();
    Read { set: resolved(context, files.policy, reference, now), tests: files.tests }
}

/// Reads a policy set that must be free of errors.
///
/// # Errors
/// All findings, if one of them is an error.
pub fn load(context: &Context, paths: &[PathBuf], now: Timestamp) -> Result<PolicySet, Failure> {
    let Read { set, .. } = read(context, paths, now);
    if has_errors(&set.findings) {
        return Err(Failure::policy(set.sources, set.findings));
    }
    Ok(set)
}

/// The set with tags compared by the settings for a measured service.
///
/// # Errors
/// All findings, if one of them is an error then.
pub fn suited(context: &Context, set: PolicySet) -> Result<PolicySet, Failure> {
    if set.policy.tag_case == context.settings.tag_case || set.sources.files.is_empty() {
        return Ok(set);
    }
    let told = set.findings;
    let set = resolved(context, set.sources, set.reference, context.policy_now());
    if has_errors(&set.findings) {
        return Err(Failure::policy(set.sources, set.findings));
    }
    let is_new = |finding: &&Diagnostic| !told.iter().any(|known| known.message == finding.message);
    let new: Vec<Diagnostic> = warnings(&set.findings).iter().filter(is_new).cloned().collect();
    findings::warn(&context.console, &set.sources, &new);
    Ok(set)
}

fn resolved(context: &Context, sources: Sources, reference: PolicyReference, now: Timestamp) -> PolicySet {
    let (policy, mut findings) = policy::resolve(&sources, context.settings.tag_case, now);
    findings.extend(policy::blind_bounces(&policy, context.settings.writes.visibility));
    let findings = settings::apply_lints(&context.settings.lints, findings);
    PolicySet { sources, policy, findings, reference }
}

/// The `--base` set, for the given paths of the current set. A checkout (which has `.git`, `mdetag.yaml` or the first of the
/// paths) has its policies at the same paths; anything else is a folder of policies. A missing one counts as empty: on the first
/// pull request everything is new.
pub fn base(context: &Context, folder: &Path, paths: &[PathBuf], now: Timestamp) -> Option<Base> {
    let below = |path: &PathBuf| {
        let base = fs::canonicalize(&context.base).unwrap_or_else(|_| context.base.clone());
        let real = fs::canonicalize(path).ok()?;
        real.strip_prefix(base).ok().filter(|path| !path.as_os_str().is_empty()).map(|path| folder.join(path))
    };
    let there: Vec<PathBuf> = paths.iter().filter_map(below).collect();
    let is_checkout = folder.join(".git").exists()
        || folder.join("mdetag.yaml").exists()
        || there.first().is_some_and(|path| path.exists());
    let chosen = if is_checkout && !there.is_empty() { there } else { vec![folder.to_path_buf()] };
    let present: Vec<PathBuf> = chosen.into_iter().filter(|path| path.exists()).collect();
    if present.iter().any(|path| regular_file::within(path, folder).is_err()) {
        warn_unsplit(context, folder, "has policies that link out of it");
        return None;
    }
    let is_empty = |set: &PolicySet| set.findings.iter().any(|finding| finding.code == "E0111");
    let holds = |path: &PathBuf| !is_empty(&read(context, std::slice::from_ref(path), now).set);
    let present: Vec<PathBuf> = present.into_iter().filter(holds).collect();
    let mut set = read(context, &present, now).set;
    if present.is_empty() {
        // The only finding is that there is no policy.
        set.findings.clear();
    }
    let mut base = Base { folder: folder.to_owned(), set, is_checkout, fault: None };
    base.fault = base.settings_fault(context);
    Some(base)
}

/// The `--base` set.
pub struct Base {
    folder: PathBuf,
    set: PolicySet,
    is_checkout: bool,
    /// Why its `mdetag.yaml` is unusable.
    fault: Option<String>,
}

impl Base {
    /// Its policy, if it has no errors.
    pub fn policy(&self) -> Option<&Policy> {
        (!has_errors(&self.set.findings)).then_some(&self.set.policy)
    }

    /// The set, if it can be planned. A base with errors is reported and left out, because a pull request may repair it.
    pub fn usable(&self, context: &Context) -> Option<&PolicySet> {
        if has_errors(&self.set.findings) {
            warn_unsplit(context, &self.folder, "has errors");
            return None;
        }
        if let Some(fault) = &self.fault {
            warn_unsplit(context, &self.folder, &format!("has an {SETTINGS} with errors ({fault})"));
            return None;
        }
        Some(&self.set)
    }

    /// How the current set differs in what keeps it safe, rails first. Includes a base with errors as far as it can be read,
    /// because a broken base must not hide a change from the reviewer.
    pub fn differences(&self, context: &Context, set: &PolicySet) -> Vec<Difference> {
        let mut found = Vec::new();
        if !has_errors(&self.set.findings) {
            let guard = guard_changes::changes(&self.set.policy.guard, &set.policy.guard);
            found.extend(guard.iter().map(|change| Difference::new(Area::Guard, change)));
        }
        found.extend(policy::differences(&self.set.sources, &set.sources));
        if self.is_checkout {
            found.extend(self.settings_differences(context));
        }
        found.sort_by_key(|difference| (difference.area, difference.kind));
        found
    }

    fn settings_differences(&self, context: &Context) -> Vec<Difference> {
        let own = context.settings_folder.as_deref();
        let own = own.map_or(Ok(String::new()), |own| {
            settings_text(&own.join(SETTINGS), context.repository.as_deref().unwrap_or(own))
        });
        let base = match &self.fault {
            Some(why) => Err(format!("the base's {SETTINGS} cannot be compared: {why}")),
            None => self.settings(context),
        };
        match (base, own) {
            (Ok(base), Ok(own)) => policy::settings_differences(&base, &own),
            // A file that cannot be compared may have changed any lint.
            (Err(why), _) | (_, Err(why)) => {
                vec![Difference {
                    area: Area::Lints,
                    kind: DifferenceKind::Changed,
                    sentence: why,
                    shown: ShownIn::All,
                }]
            }
        }
    }

    /// The text of its `mdetag.yaml`, at the current file's path; empty if there is none.
    fn settings(&self, context: &Context) -> Result<String, String> {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let own = context.settings_folder.as_deref();
        let below = own.and_then(|own| own.strip_prefix(real(&context.base)).ok().map(Path::to_path_buf));
        settings_text(&self.folder.join(below.unwrap_or_default()).join(SETTINGS), &self.folder)
    }

    fn settings_fault(&self, context: &Context) -> Option<String> {
        if !self.is_checkout {
            return None;
        }
        let text = match self.settings(context) {
            Ok(text) if text.is_empty() => return None,
            Ok(text) => text,
            Err(why) => return Some(why),
        };
        let source = Source::new(SETTINGS, 0, SETTINGS, text);
        let (_, findings) = settings::read(&Sources { files: vec![source], ..Sources::default() });
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        errors.map(|error| format!("{}: {}", error.code, error.message)).next()
    }
}

/// The text of an `mdetag.yaml` below `root`; empty if there is none.
fn settings_text(path: &Path, root: &Path) -> Result<String, String> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(String::new()),
        Ok(_) => regular_file::text_within(path, root, policy::MAX_BYTES as u64)
            .map_err(|why| format!("{SETTINGS} cannot be compared: {}: {why}", shown(path))),
    }
}

/// Warns that a plan is not split, and why.
pub fn warn_unsplit(context: &Context, folder: &Path, why: &str) {
    context.console.say(&format!("warning: the base {} {why}, so the plan is not split", shown(folder)));
}

/// The findings that commands other than `validate` show: notes are only for `validate`.
pub fn warnings(findings: &[Diagnostic]) -> Vec<Diagnostic> {
    let is_note = |finding: &&Diagnostic| finding.severity == Severity::Note;
    findings.iter().filter(|finding| !is_note(finding)).cloned().collect()
}

/// Findings of a policy set and of its tests over one list of sources.
pub fn merged(
    mut sources: Sources,
    mut findings: Vec<Diagnostic>,
    tests: &Sources,
    mut found: Vec<Diagnostic>,
) -> (Sources, Vec<Diagnostic>) {
    let offset = sources.files.len() as u32;
    let shift = |span: &mut Span| span.source.0 += offset;
    for finding in &mut found {
        finding.span.iter_mut().for_each(shift);
        finding.related.iter_mut().for_each(|related| shift(&mut related.span));
    }
    sources.files.extend(tests.files.iter().cloned());
    findings.extend(found);
    (sources, findings)
}

/// The policy arguments of a plan, as paths from here.
pub fn arguments(context: &Context, plan: &Plan) -> Vec<PathBuf> {
    let here = |argument: &String| from_folder(&context.folder, &context.base.join(argument));
    plan.header.policy.arguments.iter().map(here).collect()
}

/// Checks that all policies of the profile are among the arguments, because a guard or rule that is not read cannot protect.
///
/// # Errors
/// The missing policies.
pub fn whole_profile(context: &Context, paths: &[PathBuf]) -> Result<(), Failure> {
    let Some(profile) = context.profile()? else { return Ok(()) };
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let given: Vec<PathBuf> = paths.iter().map(|path| real(path)).collect();
    let folder = context.settings_folder.as_deref().unwrap_or(&context.folder);
    let missing = profile.policies.iter().find(|own| {
        let own = real(&folder.join(own));
        !given.iter().any(|given| own.starts_with(given))
    });
    match missing {
        None => Ok(()),
        Some(missing) => Err(Failure::usage(format!("the arguments leave out `{missing}` of profile `{}`", profile.name))
            .help("a guard that is not read cannot protect; leave the arguments out, or name all policies of the profile")),
    }
}
