//! The merged report in every format that it has.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use crate::report::html::listing_page;
use crate::report::listing;
use crate::report::style::Style;
use crate::report::{Format, escape};

use super::merged::Merged;
use super::metrics;

/// The formats of a merged report.
pub const FORMATS: [Format; 6] =
    [Format::Human, Format::Json, Format::Markdown, Format::Html, Format::Csv, Format::Openmetrics];

/// Writes the merged report. Any format outside of [`FORMATS`] becomes JSON.
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

/// `{ "formatVersion", "exitCode", "exits", "planned", "policies": […], "tenants": […], "problems": […], "notes": […] }`.
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
        "notes": merged.notes,
    });
    out.write_all(escape::json_document(&document).as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use hashbrown::HashMap;

    use super::super::{RefusalReason, Summary, TenantError, TenantResult};
    use super::*;
    use crate::plan::Totals;
    use crate::report::lost::LostTagsSummary;
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
    fn tags_that_calls_took_along_are_told_of_each_tenant() {
        let mut lossy = result("lossy", 4, 0);
        let lost = LostTagsSummary { restored: 1, not_restored: 2 };
        lossy.summary.iter_mut().for_each(|summary| summary.lost_tags = Some(lost));
        let merged = merged(vec![lossy]);
        let told = "2 tags lost, 1 tag lost and put back";
        for format in [Format::Human, Format::Csv, Format::Html, Format::Markdown] {
            let text = written(&merged, format).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(told), "{text}");
        }
        let document: Value = serde_json::from_str(&written(&merged, Format::Json)).unwrap();
        assert_eq!(document["tenants"][0]["summary"]["lostTags"]["notRestored"], 2);
        let table = written(&merged, Format::Csv);
        let mut table = csv::Reader::from_reader(table.as_bytes());
        let names = table.headers().unwrap().clone();
        let row = table.records().next().unwrap().unwrap();
        let cell = |name: &str| {
            &row[names.iter().position(|own| own == name).unwrap_or_else(|| panic!("{names:?}"))]
        };
        assert_eq!((cell("tenant"), cell("lostTags"), cell("lostTagsPutBack")), ("lossy", "2", "1"));
        let metrics = written(&merged, Format::Openmetrics);
        let sample = "mdetag_tenant_lost_tags{tenant=\"lossy\",command=\"drift\",restored=\"false\"} 2\n";
        assert!(metrics.contains(sample), "{metrics}");
    }

    #[test]
    fn the_first_line_says_which_tenants_are_simulated() {
        let simulated = |tenant: &str| {
            let mut result = result(tenant, 0, 0);
            result.summary.iter_mut().for_each(|summary| summary.sandbox = true);
            result
        };
        let first = |results: Vec<TenantResult>, format| {
            written(&merged(results), format).lines().next().unwrap_or_default().to_owned()
        };
        for format in [Format::Human, Format::Markdown] {
            let all = first(vec![simulated("a"), simulated("b"), result("dead", 1, 0)], format);
            assert_eq!(all, "SANDBOX · 1 policy set");
            let some = first(vec![simulated("a"), result("b", 0, 0)], format);
            assert_eq!(some, "SANDBOX for 1 tenant · 1 policy set");
            assert_eq!(first(vec![result("b", 0, 0)], format), "1 policy set");
        }
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
            assert!(merged.notes[0].contains("`a` has two results of `drift`"), "{:?}", merged.notes);
        }
    }
}
