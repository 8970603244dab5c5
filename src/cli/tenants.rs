//! `mdetag tenants`: the profiles of `mdetag.yaml`, as a table or as a CI matrix.

use mdetag_core::report::tenants::{self, ProfileRow};

use super::args::Format;
use super::args::TenantsArgs;
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::fleet;
use super::output;

/// Lists the profiles. As JSON: `{ "include": [ { "tenant", "tenantId", "clientId", "cloud", "policies" } ] }`, which GitHub
/// Actions and GitLab take as a matrix as it is.
///
/// # Errors
/// Standard output that cannot be written.
pub fn run(context: &Context, args: &TenantsArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "tenants", &[Format::Human, Format::Json])?;
    let names = fleet::names(context, &args.select, None)?;
    let profiles: Vec<ProfileRow<'_>> = context
        .settings
        .tenants()
        .filter(|profile| names.contains(&profile.name))
        .map(|profile| ProfileRow {
            name: &profile.name,
            tenant_id: profile.tenant_id.as_deref(),
            client_id: profile.client_id.as_deref(),
            cloud: profile.cloud.unwrap_or_default().word(),
            policies: match profile.policies.as_slice() {
                [] => vec!["policies"],
                roots => roots.iter().map(String::as_str).collect(),
            },
        })
        .collect();
    let text = match context.global.format {
        Format::Json => tenants::matrix(&profiles),
        _ => tenants::human(&profiles),
    };
    context.console.result(&text)?;
    Ok(Exit::Success)
}
