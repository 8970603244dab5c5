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

/// How the state names a policy set: by its repository and its roots, whatever it says today.
pub fn set_of(context: &Context, policy: &PolicyReference) -> String {
    let origin = context.repository.as_deref().and_then(repository::origin).unwrap_or_default();
    let base = fs::canonicalize(&context.base).unwrap_or_else(|_| context.base.clone());
    let arguments = policy.arguments.iter().flat_map(|argument| spellings(&base, argument));
    let arguments: Vec<String> = arguments.collect();
    set_name::name(&origin, arguments.iter().map(String::as_str))
}

/// An argument as the set's name has it, and the file that it leads to where it is a link.
fn spellings(base: &Path, argument: &str) -> Vec<String> {
    let path = base.join(argument);
    let Some(real) = fs::canonicalize(&path).ok().filter(|real| real.is_file()) else {
        return vec![argument.to_owned()];
    };
    // A name shows that it is of a file only by its ending.
    let is_plain = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    let named = match path.parent() {
        Some(folder) if !is_plain => folder,
        _ => &path,
    };
    let mut all = vec![shown(named.strip_prefix(base).unwrap_or(named))];
    if real != path {
        all.push(shown(real.strip_prefix(base).unwrap_or(&real)));
    }
    all
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
