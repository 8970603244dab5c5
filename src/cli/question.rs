//! The question that `apply` asks before it writes.

use mdetag_core::plan::TenantReference;
use mdetag_core::report::escape::terminal;
use mdetag_core::report::words::counted;

use super::session::SANDBOX;

/// Names the tenant and what will be done to it, so that a yes to the wrong one is hard to give.
pub fn question(tenant: &TenantReference, (additions, removals, values): (u64, u64, u64)) -> String {
    let sandbox = if tenant.cloud.as_deref() == Some(SANDBOX) { "SANDBOX · " } else { "" };
    let name = match (tenant.name.as_deref(), tenant.id.as_deref()) {
        (Some(name), Some(id)) => format!("{} ({})", terminal(name), terminal(id)),
        (Some(one), None) | (None, Some(one)) => terminal(one).into_owned(),
        (None, None) => "the tenant".to_owned(),
    };
    format!(
        "\n{sandbox}Apply {}, {} and {} to {name}? Only `yes` is taken as a yes: ",
        counted(additions, "addition"),
        counted(removals, "removal"),
        counted(values, "value"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_tenant_and_every_count() {
        let tenant = TenantReference {
            id: Some("1111".into()),
            name: Some("con\u{202e}toso".into()),
            cloud: Some("sandbox".into()),
        };
        assert_eq!(
            question(&tenant, (3_116, 1, 0)),
            "\nSANDBOX · Apply 3,116 additions, 1 removal and 0 values to con\\u{202e}toso (1111)? Only `yes` is taken as a yes: "
        );
        let nameless = TenantReference { name: None, cloud: Some("public".into()), ..tenant };
        assert!(
            question(&nameless, (0, 0, 1))
                .starts_with("\nApply 0 additions, 0 removals and 1 value to 1111?")
        );
    }
}
