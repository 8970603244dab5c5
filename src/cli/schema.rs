//! `mdetag schema`: JSON Schemas, from the same tables and types that read and write the documents.

use mdetag_core::plan::document;
use mdetag_core::policy;
use mdetag_core::report::diagnostics;
use mdetag_core::report::{json, listing, notification};

use super::args::{SchemaArgs, SchemaOf};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;

/// Prints a schema.
///
/// # Errors
/// Standard output that cannot be written.
pub fn run(context: &Context, args: &SchemaArgs) -> Result<Exit, Failure> {
    context.console.result(&text(args.of))?;
    Ok(Exit::Success)
}

/// A schema, as it is printed and as `init` writes it.
pub fn text(of: SchemaOf) -> String {
    match of {
        SchemaOf::Policy => pretty(&policy::policy_schema()),
        SchemaOf::Test => pretty(&policy::test_schema()),
        SchemaOf::Mdetag => pretty(&policy::settings_schema()),
        SchemaOf::Plan | SchemaOf::Drift => pretty(&document::schema()),
        SchemaOf::Tags => pretty(&listing::schema("tags")),
        SchemaOf::Devices => pretty(&listing::schema("devices")),
        SchemaOf::Coverage => pretty(&listing::schema("coverage")),
        SchemaOf::Groups => pretty(&listing::schema("groups")),
        SchemaOf::Apply => pretty(&json::apply_schema()),
        SchemaOf::Diagnostics => pretty(&diagnostics::schema()),
        SchemaOf::Notification => pretty(&notification::schema()),
    }
}

fn pretty(schema: &serde_json::Value) -> String {
    format!("{schema:#}\n")
}
