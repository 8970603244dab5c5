//! `mdetag tenants`: the profiles of `mdetag.yaml`, as a table or as a CI matrix.

use mdetag_core::report::tenants::matrix::{self, TenantRow};
use mdetag_core::report::{escape, listing};

use super::args::{Format, TenantsArgs};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::fleet;
use super::output;

/// Lists the profiles, or prints the matrix of a CI system on one line.
///
/// # Errors
/// An invalid label, standard output that cannot be written.
pub fn run(context: &Context, args: &TenantsArgs) -> Result<Exit, Failure> {
    output::only(
        context.global.format,
        "tenants",
        &[Format::Human, Format::Json, Format::Github, Format::Gitlab, Format::Kubernetes],
    )?;
    let names = fleet::names(context, &args.select, None)?;
    let profiles = context.settings.tenants().filter(|profile| names.contains(&profile.name));
    let rows: Vec<TenantRow> = profiles
        .map(|profile| TenantRow {
            tenant: profile.name.clone(),
            tenant_id: profile.tenant_id.clone(),
            client_id: profile.client_id.clone(),
            cloud: profile.cloud.unwrap_or_default().word().to_owned(),
            policies: match profile.policies.as_slice() {
                [] => vec!["policies".to_owned()],
                own => own.to_vec(),
            },
        })
        .collect();
    let matrix = match context.global.format {
        Format::Json => matrix::all(&rows),
        Format::Github => matrix::github(&rows),
        Format::Gitlab => matrix::gitlab(&rows),
        Format::Kubernetes => matrix::kubernetes(&rows),
        _ if rows.is_empty() => {
            let none = "mdetag.yaml names no tenants; `mdetag init` writes one with an example\n";
            context.console.result(none)?;
            return Ok(Exit::Success);
        }
        _ => {
            let style = context.console.style(false);
            listing::human(&matrix::table(&rows), &style, &mut context.console.out())?;
            return Ok(Exit::Success);
        }
    };
    context.console.result(&escape::json_text(&matrix.to_string()))?;
    Ok(Exit::Success)
}
