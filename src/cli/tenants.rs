//! `mdetag tenants`: the profiles of `mdetag.yaml`, as a table or as a CI matrix.

use serde_json::json;

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
    let profiles: Vec<_> =
        context.settings.tenants().filter(|profile| names.contains(&profile.name)).collect();
    if context.global.format == Format::Json {
        let rows: Vec<_> = profiles
            .iter()
            .map(|profile| {
                let mut policies = profile.policies.clone();
                if policies.is_empty() {
                    policies.push("policies".to_owned());
                }
                json!({
                    "tenant": profile.name,
                    "tenantId": profile.tenant_id,
                    "clientId": profile.client_id,
                    "cloud": profile.cloud.unwrap_or_default().word(),
                    "policies": policies,
                })
            })
            .collect();
        context.console.result(&json!({ "include": rows }).to_string())?;
        return Ok(Exit::Success);
    }
    if profiles.is_empty() {
        context.console.result("mdetag.yaml names no tenants; `mdetag init` writes one with an example\n")?;
        return Ok(Exit::Success);
    }
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or(0).max(6);
    let mut text = format!("{:<width$}  {:<36}  {:<8}  POLICIES\n", "TENANT", "ID", "CLOUD");
    for profile in profiles {
        let id = profile.tenant_id.as_deref().unwrap_or("-");
        let cloud = profile.cloud.unwrap_or_default().word();
        let policies =
            if profile.policies.is_empty() { "policies".to_owned() } else { profile.policies.join(" ") };
        text.push_str(&format!("{:<width$}  {id:<36}  {cloud:<8}  {policies}\n", profile.name));
    }
    context.console.result(&text)?;
    Ok(Exit::Success)
}
