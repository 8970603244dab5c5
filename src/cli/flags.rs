//! The flags of a command in a message: those that lead to the same tenant and the same run.

use super::args::ApplyArgs;
use super::context::Context;

/// The flags that name the tenant.
pub fn tenant_flags(context: &Context) -> String {
    let global = &context.global;
    let mut flags = String::new();
    if let Some(tenant) = &global.tenant {
        flags.push_str(&format!(" --tenant {}", quoted(tenant)));
    }
    match global.sandbox.as_deref() {
        Some("default") => flags.push_str(" --sandbox"),
        Some(name) => flags.push_str(&format!(" --sandbox={}", quoted(name))),
        None => {}
    }
    if let Some(state) = &global.state {
        flags.push_str(&format!(" --state {}", quoted(state)));
    }
    flags
}

/// The flags that a resumed run needs again. The journal remembers `--allow`.
pub fn resume_flags(context: &Context, args: &ApplyArgs) -> String {
    let mut flags = tenant_flags(context);
    if args.retry_contested {
        flags.push_str(" --retry-contested");
    }
    if args.after_revert {
        flags.push_str(" --after-revert");
    }
    if args.or_plan {
        flags.push_str(" --or-plan");
        if args.auto_approve {
            flags.push_str(" --auto-approve");
        }
        if let Some(path) = &args.output {
            flags.push_str(&format!(" -o {}", quoted(&path.to_string_lossy())));
        }
    }
    flags
}

/// A word in the form that shells accept.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
