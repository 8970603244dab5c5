//! One report over the results of many tenants: a row a tenant, the worst first, and a row a policy set.
//!
//! Reads no files: results come in one by one, and what could not be read comes in as a sentence.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hashbrown::HashMap;
use serde_json::json;

use crate::apply::Outcome;
use crate::plan::Totals;
use crate::report::html::listing_page;
use crate::report::listing::{self, Cell, Listing};
use crate::report::style::Style;
use crate::report::words::{counted, number};
use crate::report::{Format, escape};

use super::{TenantResult, metrics};

/// Exit codes, the worst first.
const WORST_FIRST: [u8; 7] = [1, 3, 4, 5, 6, 2, 0];

/// The results of many tenants.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// One a tenant, the worst first.
    pub results: Vec<TenantResult>,
    /// What could not be read or does not count, one sentence each.
    pub problems: Vec<String>,
}

impl Merged {
    /// Takes one more result. Where a tenant and command have two, the later one counts.
    pub fn add(&mut self, by_tenant: &mut HashMap<(String, String), usize>, result: TenantResult) {
        let who = result.tenant_id.as_deref().unwrap_or(&result.tenant).to_ascii_lowercase();
        match by_tenant.entry((who, result.command.clone())) {
            hashbrown::hash_map::Entry::Vacant(place) => {
                place.insert(self.results.len());
                self.results.push(result);
            }
            hashbrown::hash_map::Entry::Occupied(place) => {
                let kept = &mut self.results[*place.get()];
                self.problems.push(format!(
                    "`{}` has two results of `{}`: the later one counts, of {}",
                    result.tenant,
                    result.command,
                    kept.ended_at.max(result.ended_at)
                ));
                if result.ended_at > kept.ended_at {
                    *kept = result;
                }
            }
        }
    }

    /// Puts the worst first: by exit code, then by removals, then by name.
    pub fn sort(&mut self) {
        let removals =
            |result: &TenantResult| result.summary.as_ref().map_or(0, |summary| summary.planned.removals);
        self.results.sort_by(|one, other| {
            (rank(one.exit_code), std::cmp::Reverse(removals(one)), &one.tenant).cmp(&(
                rank(other.exit_code),
                std::cmp::Reverse(removals(other)),
                &other.tenant,
            ))
        });
    }

    /// The worst exit code; 1 where something could not be read.
    pub fn exit_code(&self) -> u8 {
        if !self.problems.is_empty() && self.results.is_empty() {
            return 1;
        }
        let codes = self.results.iter().map(|result| result.exit_code);
        codes.min_by_key(|code| rank(*code)).unwrap_or(0)
    }

    /// Tenants by exit code, the worst first.
    pub fn exits(&self) -> Vec<(u8, u64)> {
        let mut counts: BTreeMap<(usize, u8), u64> = BTreeMap::new();
        for result in &self.results {
            *counts.entry((rank(result.exit_code), result.exit_code)).or_default() += 1;
        }
        counts.into_iter().map(|((_, code), count)| (code, count)).collect()
    }

    /// The sums over all tenants.
    pub fn planned(&self) -> Totals {
        sum(self.results.iter())
    }

    fn heading(&self) -> String {
        let exits: Vec<String> =
            self.exits().iter().map(|(code, count)| format!("{} exit {code}", number(*count))).collect();
        let count = counted(self.results.len() as u64, "tenant");
        if exits.is_empty() { count } else { format!("{count}: {}", exits.join(", ")) }
    }

    /// A row a tenant.
    fn tenants(&self) -> Listing {
        let mut table = Listing {
            kind: "tenants",
            heading: self.heading(),
            remarks: self.problems.clone(),
            ..Listing::default()
        }
        .column("tenant")
        .detail("tenantId")
        .detail("command")
        .column("exit")
        .column("devices")
        .column("additions")
        .column("removals")
        .column("values")
        .column("result")
        .detail("help")
        .detail("refusals")
        .detail("untrusted");
        for outcome in Outcome::ALL {
            table = table.detail(outcome.word());
        }
        table =
            table.detail("policies").detail("policy").detail("runId").detail("startedAt").detail("endedAt");
        table.rows = self.results.iter().map(row).collect();
        table
    }

    /// A row a policy set: tenants that name the same policies.
    fn policies(&self) -> Listing {
        let mut sets: BTreeMap<String, Vec<&TenantResult>> = BTreeMap::new();
        for result in &self.results {
            sets.entry(result.policies.join(" ")).or_default().push(result);
        }
        let mut rows: Vec<(usize, Vec<Cell>)> = Vec::new();
        for (policies, results) in sets {
            let worst = results.iter().map(|result| result.exit_code).min_by_key(|code| rank(*code));
            let worst = worst.unwrap_or(0);
            let refused = results.iter().filter(|result| result.exit_code == 3).count();
            let failed = results.iter().filter(|result| result.exit_code == 1).count();
            let totals = sum(results.iter().copied());
            rows.push((
                rank(worst),
                vec![
                    Cell::Text(policies),
                    Cell::Number(results.len() as u64),
                    Cell::Number(worst.into()),
                    Cell::Number(failed as u64),
                    Cell::Number(refused as u64),
                    Cell::Number(totals.devices),
                    Cell::Number(totals.additions),
                    Cell::Number(totals.removals),
                    Cell::Number(totals.values),
                ],
            ));
        }
        rows.sort_by_key(|(rank, _)| *rank);
        let mut table = Listing {
            kind: "policies",
            heading: counted(rows.len() as u64, "policy set"),
            ..Listing::default()
        }
        .column("policies")
        .column("tenants")
        .column("worstExit")
        .column("errors")
        .column("refused")
        .column("devices")
        .column("additions")
        .column("removals")
        .column("values");
        table.rows = rows.into_iter().map(|(_, row)| row).collect();
        table
    }
}

/// Smaller is worse; a code that is none of ours is as bad as an error.
fn rank(code: u8) -> usize {
    WORST_FIRST.iter().position(|known| *known == code).unwrap_or(0)
}

fn sum<'a>(results: impl Iterator<Item = &'a TenantResult>) -> Totals {
    results.filter_map(|result| result.summary.as_ref()).fold(Totals::default(), |sum, summary| Totals {
        devices: sum.devices.saturating_add(summary.planned.devices),
        additions: sum.additions.saturating_add(summary.planned.additions),
        removals: sum.removals.saturating_add(summary.planned.removals),
        values: sum.values.saturating_add(summary.planned.values),
    })
}

fn row(result: &TenantResult) -> Vec<Cell> {
    let text = |text: &Option<String>| text.clone().map_or(Cell::Missing, Cell::Text);
    let summary = result.summary.as_ref();
    let count = |count: Option<u64>| count.map_or(Cell::Missing, Cell::Number);
    let planned = summary.map(|summary| summary.planned);
    let refusals = summary.map(|summary| &summary.refusals).into_iter().flatten();
    let mut row = vec![
        Cell::Text(result.tenant.clone()),
        text(&result.tenant_id),
        Cell::Text(result.command.clone()),
        Cell::Number(result.exit_code.into()),
        count(summary.map(|summary| summary.devices)),
        count(planned.map(|planned| planned.additions)),
        count(planned.map(|planned| planned.removals)),
        count(planned.map(|planned| planned.values)),
        Cell::Text(result.sentence()),
        result.error.as_ref().map_or(Cell::Missing, |error| text(&error.help)),
        Cell::List(refusals.map(|refusal| format!("{}: {}", refusal.name, refusal.reason)).collect()),
        Cell::List(summary.map(|summary| summary.untrusted.clone()).unwrap_or_default()),
    ];
    for outcome in Outcome::ALL {
        row.push(count(summary.and_then(|summary| summary.outcomes.get(outcome.word()).copied())));
    }
    row.push(Cell::List(result.policies.clone()));
    row.push(summary.map_or(Cell::Missing, |summary| Cell::Text(summary.policy.clone())));
    row.push(summary.map_or(Cell::Missing, |summary| text(&summary.run_id)));
    row.push(Cell::Text(result.started_at.to_string()));
    row.push(Cell::Text(result.ended_at.to_string()));
    row
}

/// Formats that a merged report has.
pub const FORMATS: [Format; 6] =
    [Format::Human, Format::Json, Format::Markdown, Format::Html, Format::Csv, Format::Openmetrics];

/// Writes the merged report. A format that is none of [`FORMATS`] is written as JSON.
///
/// # Errors
/// Those of the writer.
pub fn write(merged: &Merged, format: Format, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Human => {
            listing::human(&merged.policies(), style, out)?;
            writeln!(out)?;
            listing::human(&merged.tenants(), style, out)
        }
        Format::Markdown => {
            listing::markdown(&merged.policies(), out)?;
            writeln!(out)?;
            listing::markdown(&merged.tenants().brief(), out)
        }
        Format::Html => {
            listing_page("mdetag: all tenants", &[merged.policies(), merged.tenants().brief()], out)
        }
        Format::Csv => listing::csv(&merged.tenants(), out),
        Format::Openmetrics => metrics::openmetrics(merged, out),
        _ => json_document(merged, out),
    }
}

/// `{ "formatVersion", "exitCode", "exits", "planned", "policies": […], "tenants": […], "problems": […] }`.
fn json_document(merged: &Merged, out: &mut dyn Write) -> io::Result<()> {
    let exits: BTreeMap<String, u64> =
        merged.exits().into_iter().map(|(code, count)| (code.to_string(), count)).collect();
    let document = json!({
        "formatVersion": crate::plan::document::FORMAT_VERSION,
        "exitCode": merged.exit_code(),
        "exits": exits,
        "planned": merged.planned(),
        "policies": merged.policies().objects().collect::<Vec<_>>(),
        "tenants": merged.results,
        "problems": merged.problems,
    });
    out.write_all(escape::json_document(&document).as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{RefusalReason, Summary, TenantError};
    use super::*;
    use crate::time::Timestamp;

    fn result(tenant: &str, exit_code: u8, removals: u64) -> TenantResult {
        let planned = Totals { devices: removals, removals, ..Totals::default() };
        let started_at = Timestamp::parse("2026-11-27T08:00:00Z").unwrap();
        let mut result = TenantResult {
            format_version: "1.0".to_owned(),
            command: "drift".to_owned(),
            tenant: tenant.to_owned(),
            policies: vec!["policies/".to_owned()],
            wave: None,
            tenant_id: None,
            started_at,
            ended_at: started_at,
            exit_code,
            error: None,
            summary: Some(Summary { planned, devices: 500, ..Summary::default() }),
        };
        match (exit_code, &mut result.summary) {
            (1, summary) => {
                *summary = None;
                result.error =
                    Some(TenantError { message: "</script>@all".into(), ..TenantError::default() });
            }
            (3, Some(summary)) => summary
                .refusals
                .push(RefusalReason { name: "removals".into(), reason: "12 removals are over 10".into() }),
            _ => {}
        }
        result
    }

    fn merged(results: Vec<TenantResult>) -> Merged {
        let (mut merged, mut places) = (Merged::default(), HashMap::new());
        results.into_iter().for_each(|result| merged.add(&mut places, result));
        merged.sort();
        merged
    }

    fn written(merged: &Merged, format: Format) -> String {
        let mut out = Vec::new();
        write(merged, format, &Style { width: 120, ..Style::default() }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_worst_tenant_is_first_and_the_sums_are_those_of_the_parts() {
        let merged = merged(vec![
            result("fine", 0, 1),
            result("drifts", 2, 5),
            result("dead", 1, 0),
            result("refused", 3, 12),
            result("drifts-more", 2, 7),
        ]);
        let names: Vec<&str> = merged.results.iter().map(|result| &*result.tenant).collect();
        assert_eq!(names, ["dead", "refused", "drifts-more", "drifts", "fine"]);
        assert_eq!((merged.planned().removals, merged.exit_code()), (25, 1));
        let document: Value = serde_json::from_str(&written(&merged, Format::Json)).unwrap();
        assert_eq!(document["exits"], json!({ "0": 1, "1": 1, "2": 2, "3": 1 }));
        assert_eq!(document["policies"][0]["tenants"], 5);
        assert_eq!(document["tenants"][1]["summary"]["refusals"][0]["name"], "removals");
        let text = written(&merged, Format::Human);
        assert!(text.contains("5 tenants: 1 exit 1, 1 exit 3, 2 exit 2, 1 exit 0"), "{text}");
        assert!(text.contains("refused: removals: 12 removals are over 10"), "{text}");
        assert_eq!(written(&merged, Format::Csv).lines().count(), 6);
        let page = written(&merged, Format::Html);
        assert!(page.contains("dead") && !page.contains("</script>@all"), "{page}");
        let text = written(&merged, Format::Openmetrics);
        assert!(text.contains("mdetag_tenant_exit_code{tenant=\"refused\",command=\"drift\"} 3\n"), "{text}");
        assert!(text.contains("mdetag_tenants{exit=\"2\"} 2\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn of_two_results_of_a_tenant_the_later_one_counts_and_it_is_said() {
        let early = result("a", 0, 1);
        let late = TenantResult {
            ended_at: early.ended_at.plus(std::time::Duration::from_secs(1)),
            ..result("a", 3, 2)
        };
        for order in [[early.clone(), late.clone()], [late, early]] {
            let merged = merged(order.into());
            assert_eq!((merged.results.len(), merged.results[0].exit_code), (1, 3));
            assert!(merged.problems[0].contains("`a` has two results of `drift`"), "{:?}", merged.problems);
        }
    }
}
