//! The merged report as OpenMetrics text. The names are an interface, like those of a single report.

use std::io::{self, Write};

use crate::report::escape;

use super::TenantResult;
use super::merged::Merged;

type TenantSample = (String, u64);

/// Writes the metrics.
///
/// # Errors
/// Those of the writer.
pub(super) fn openmetrics(merged: &Merged, out: &mut dyn Write) -> io::Result<()> {
    let exits = merged.exits().into_iter().map(|(code, count)| (format!("exit=\"{code}\""), count)).collect();
    family(out, "mdetag_tenants", "Tenants by exit code.", exits)?;
    let of = |value: &dyn Fn(&TenantResult) -> Vec<TenantSample>| -> Vec<TenantSample> {
        merged.results.iter().flat_map(value).collect()
    };
    let exits = of(&|result| vec![(labels(result), result.exit_code.into())]);
    family(out, "mdetag_tenant_exit_code", "Exit code by tenant.", exits)?;
    let ends = of(&|result| vec![(labels(result), result.ended_at.seconds().max(0) as u64)]);
    family(
        out,
        "mdetag_tenant_ended_timestamp_seconds",
        "When the command ended, in seconds since 1970.",
        ends,
    )?;
    let devices = of(&|result| {
        let summary = result.summary.iter();
        summary.map(|summary| (labels(result), summary.devices)).collect()
    });
    family(out, "mdetag_tenant_devices", "Devices read by tenant.", devices)?;
    let changes = of(&|result| {
        let Some(planned) = result.summary.as_ref().map(|summary| summary.planned) else { return Vec::new() };
        [("add", planned.additions), ("remove", planned.removals), ("value", planned.values)]
            .map(|(action, count)| (format!("{},action=\"{action}\"", labels(result)), count))
            .into()
    });
    family(
        out,
        "mdetag_tenant_changes",
        "Changes that the policy set wants, by tenant and action.",
        changes,
    )?;
    let lost = of(&|result| {
        let Some(lost) = result.summary.as_ref().and_then(|summary| summary.lost_tags) else {
            return Vec::new();
        };
        [("true", lost.restored), ("false", lost.not_restored)]
            .map(|(is_back, count)| (format!("{},restored=\"{is_back}\"", labels(result)), count))
            .into()
    });
    family(
        out,
        "mdetag_tenant_lost_tags",
        "Tags that calls of the run took along, by tenant and by whether they are back.",
        lost,
    )?;
    let refused = of(&|result| {
        let summary = result.summary.iter();
        summary.map(|summary| (labels(result), u64::from(!summary.refusals.is_empty()))).collect()
    });
    family(out, "mdetag_tenant_guard_refused", "1 where the guard refuses the plan.", refused)?;
    writeln!(out, "# EOF")
}

fn labels(result: &TenantResult) -> String {
    format!(
        "tenant=\"{}\",command=\"{}\"",
        escape::openmetrics(&result.tenant),
        escape::openmetrics(&result.command)
    )
}

fn family(out: &mut dyn Write, name: &str, help: &str, samples: Vec<TenantSample>) -> io::Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge")?;
    if name.ends_with("_seconds") {
        writeln!(out, "# UNIT {name} seconds")?;
    }
    samples.into_iter().try_for_each(|(labels, value)| writeln!(out, "{name}{{{labels}}} {value}"))
}
