//! The question that `apply` asks before it writes, and how any question is asked.

use tokio::sync::mpsc::UnboundedReceiver;

use mdetag_core::plan::TenantReference;
use mdetag_core::report::escape::terminal;
use mdetag_core::report::words::counted;

use super::console::Console;
use super::failure::Failure;
use super::session::SANDBOX;

/// Asks, and accepts only a full yes.
///
/// # Errors
/// A signal, or the terminal is gone.
pub async fn approved(
    console: &Console,
    question: String,
    signals: &mut UnboundedReceiver<()>,
) -> Result<bool, Failure> {
    let asking = console.clone();
    let answer = tokio::task::spawn_blocking(move || asking.ask(&question));
    tokio::select! {
        answer = answer => Ok(answer.map_err(std::io::Error::other)?? == "yes"),
        Some(()) = signals.recv() => {
            // The question has no line end.
            console.say("");
            Err(Failure::stopped())
        }
    }
}

/// The name of a tenant in a question.
pub fn tenant_name(tenant: &TenantReference) -> String {
    match (tenant.name.as_deref(), tenant.id.as_deref()) {
        (Some(name), Some(id)) => format!("{} ({})", terminal(name), terminal(id)),
        (Some(one), None) | (None, Some(one)) => terminal(one).into_owned(),
        (None, None) => "the tenant".to_owned(),
    }
}

/// Names the tenant and the changes, so that a yes to the wrong one is unlikely.
pub fn question(tenant: &TenantReference, (additions, removals, values): (u64, u64, u64)) -> String {
    let sandbox = if tenant.cloud.as_deref() == Some(SANDBOX) { "SANDBOX · " } else { "" };
    let name = tenant_name(tenant);
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
