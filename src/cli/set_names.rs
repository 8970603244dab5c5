//! The state's names of a command's policy sets.
//!
//! `store::set_name` defines the parts of a name.

use std::fs;
use std::path::{Path, PathBuf};

use mdetag::store::path_text::shown;
use mdetag::store::policy_files;
use mdetag::store::{repository, set_name};
use mdetag_core::plan::PolicyReference;

use super::context::Context;

/// The state's name of a policy set: its repository and its roots, whatever its content is today. The repository is that of the
/// policies, whichever folder they are named from.
pub fn set_of(context: &Context, policy: &PolicyReference) -> String {
    let base = fs::canonicalize(&context.base).unwrap_or_else(|_| context.base.clone());
    let arguments: Vec<Vec<PathBuf>> =
        policy.arguments.iter().flat_map(|argument| named(&base, argument)).collect();
    let folder = |path: &PathBuf| path.ancestors().find(|one| one.is_dir()).and_then(repository::root);
    let mut repositories: Vec<Option<PathBuf>> =
        arguments.iter().map(|spellings| folder(&spellings[0])).collect();
    repositories.dedup();
    let repository = match repositories.as_slice() {
        [repository] => repository,
        _ => &context.repository,
    };
    let origin = repository.as_deref().and_then(repository::origin).unwrap_or_default();
    let spelled = |path: &PathBuf| match repository {
        Some(root) => vec![relative(root, path)],
        None => vec![relative(&base, path), shown(path)],
    };
    set_name::name(&origin, arguments.iter().map(|spellings| spellings.iter().flat_map(spelled).collect()))
}

/// The absolute paths of an argument. A folder that is a link is named with its target as one argument, a file as two.
fn named(base: &Path, argument: &str) -> Vec<Vec<PathBuf>> {
    let path = base.join(argument);
    let Ok(real) = fs::canonicalize(&path) else { return vec![vec![path]] };
    if !real.is_file() {
        return vec![if real == path { vec![real] } else { vec![real, path] }];
    }
    // Only a name's ending shows that it is a file's.
    let is_plain = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let named = match path.parent() {
        Some(folder) if !is_plain => folder.to_path_buf(),
        _ => path.clone(),
    };
    if real == path { vec![vec![named]] } else { vec![vec![named], vec![real]] }
}

/// A path relative to a folder: `.` for the folder itself, and the whole path if it is not below it.
fn relative(folder: &Path, path: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
        Ok(rest) => shown(rest),
        Err(_) => shown(path),
    }
}

/// The state's name of the policy set at these paths.
pub fn set_at(context: &Context, paths: &[PathBuf]) -> String {
    set_of(context, &policy_files::read(paths, &context.base).reference(&context.base))
}

/// Whether a policy set is that of commands that name none.
pub fn is_default(context: &Context, policy: &PolicyReference) -> bool {
    let default = context.policy_paths(&[]).map(|paths| set_at(context, &paths));
    default.is_ok_and(|default| default == set_of(context, policy))
}
