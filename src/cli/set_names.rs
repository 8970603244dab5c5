//! How the state names the policy sets of a command.
//!
//! What a name consists of, `store::set_name` says.

use std::fs;
use std::path::{Path, PathBuf};

use mdetag::store::path_text::shown;
use mdetag::store::policy_files;
use mdetag::store::{repository, set_name};
use mdetag_core::plan::PolicyReference;

use super::context::Context;

/// How the state names a policy set: by its repository and its roots, whatever it says today. The repository is that of the policies,
/// from wherever they are named.
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

/// What an argument names, absolute: a folder with the one that it leads to where it is a link; a file, and beside it the one that it
/// leads to.
fn named(base: &Path, argument: &str) -> Vec<Vec<PathBuf>> {
    let path = base.join(argument);
    let Ok(real) = fs::canonicalize(&path) else { return vec![vec![path]] };
    if !real.is_file() {
        return vec![if real == path { vec![real] } else { vec![real, path] }];
    }
    // A name shows that it is of a file only by its ending.
    let is_plain = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let named = match path.parent() {
        Some(folder) if !is_plain => folder.to_path_buf(),
        _ => path.clone(),
    };
    if real == path { vec![vec![named]] } else { vec![vec![named], vec![real]] }
}

/// A path from a folder; `.` for the folder itself, and the path itself where it leads elsewhere.
fn relative(folder: &Path, path: &Path) -> String {
    match path.strip_prefix(folder) {
        Ok(rest) if rest.as_os_str().is_empty() => ".".to_owned(),
        Ok(rest) => shown(rest),
        Err(_) => shown(path),
    }
}

/// How the state names the policy set at these paths.
pub fn set_at(context: &Context, paths: &[PathBuf]) -> String {
    set_of(context, &policy_files::read(paths, &context.base).reference(&context.base))
}

/// Whether a policy set is the one that commands take which name none.
pub fn is_default(context: &Context, policy: &PolicyReference) -> bool {
    let default = context.policy_paths(&[]).map(|paths| set_at(context, &paths));
    default.is_ok_and(|default| default == set_of(context, policy))
}
