//! One report over the results of many tenants: a row per tenant, the worst first, and a row per policy set.
//!
//! Reads no files: the caller passes in results one by one, and sentences about those that could not be read.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use crate::apply::Outcome;
use crate::plan::Totals;
use crate::report::listing::{Cell, Listing};
use crate::report::words::{counted, number};

use super::TenantResult;

/// Exit codes, the worst first.
const WORST_FIRST: [u8; 7] = [1, 3, 4, 5, 6, 2, 0];

/// The results of many tenants.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// One per tenant, the worst first.
    pub results: Vec<TenantResult>,
    /// Results that could not be read or do not count, one sentence each.
    pub problems: Vec<String>,
    /// Further facts, one sentence each.
    pub notes: Vec<String>,
}

impl Merged {
    /// Adds a result. If a tenant and command have two, the later one counts.
    pub fn add(&mut self, by_tenant: &mut HashMap<(String, String), usize>, result: TenantResult) {
        let who = result.tenant_id.as_deref().unwrap_or(&result.tenant).to_ascii_lowercase();
        match by_tenant.entry((who, result.command.clone())) {
            hashbrown::hash_map::Entry::Vacant(place) => {
                place.insert(self.results.len());
                self.results.push(result);
            }
            hashbrown::hash_map::Entry::Occupied(place) => {
                let kept = &mut self.results[*place.get()];
                self.notes.push(format!(
                    "`{}` has two results of `{}`: the later one counts, of {}",
                    result.tenant,
                    result.command,
                    kept.ended_at.max(result.ended_at).rounded_down()
                ));
                // Of two that ended at the same time, the worse one counts.
                let key =
                    |result: &TenantResult| (result.ended_at, std::cmp::Reverse(rank(result.exit_code)));
                if key(&result) > key(kept) {
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

    /// The worst exit code; 1 if something could not be read.
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

    /// Number of tenants, however many results each has.
    fn tenant_count(&self) -> u64 {
        let names: BTreeSet<&str> =
            self.results.iter().map(|result| result.tenant_id.as_deref().unwrap_or(&result.tenant)).collect();
        names.len() as u64
    }

    /// Whether every tenant with a report is simulated, and the number of simulated ones.
    fn simulated(&self) -> (bool, u64) {
        let mut reports = self.results.iter().filter_map(|result| result.summary.as_ref()).peekable();
        let is_any = reports.peek().is_some();
        let (simulated, real): (Vec<_>, Vec<_>) = reports.partition(|summary| summary.sandbox);
        (is_any && real.is_empty(), simulated.len() as u64)
    }

    /// The text before the first heading, if only some of the tenants are simulated.
    fn lead(&self) -> String {
        match self.simulated() {
            (true, _) | (_, 0) => String::new(),
            (false, some) => format!("SANDBOX for {} · ", counted(some, "tenant")),
        }
    }

    fn heading(&self) -> String {
        let exits: Vec<String> =
            self.exits().iter().map(|(code, count)| format!("{} exit {code}", number(*count))).collect();
        let results = self.results.len() as u64;
        let count = match (results, self.tenant_count()) {
            (results, tenants) if results == tenants => counted(tenants, "tenant"),
            (results, tenants) => format!("{} of {}", counted(results, "result"), counted(tenants, "tenant")),
        };
        let lead = self.lead();
        if exits.is_empty() {
            format!("{lead}{count}")
        } else {
            format!("{lead}{count}: {}", exits.join(", "))
        }
    }

    /// A row per tenant.
    pub(super) fn tenants(&self) -> Listing {
        let mut table = Listing {
            kind: "tenants",
            is_sandbox: self.simulated().0,
            heading: self.heading(),
            remarks: self.problems.iter().chain(&self.notes).cloned().collect(),
            ..Listing::default()
        }
        .column("tenant")
        .detail("tenantId")
        .column("command")
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
        table = table.detail("lostTags").detail("lostTagsPutBack");
        table =
            table.detail("policies").detail("policy").detail("runId").detail("startedAt").detail("endedAt");
        table.rows = self.results.iter().map(row).collect();
        table
    }

    /// A row per policy set: tenants with the same policies.
    pub(super) fn policies(&self) -> Listing {
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
            is_sandbox: self.simulated().0,
            heading: format!("{}{}", self.lead(), counted(rows.len() as u64, "policy set")),
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

/// Smaller is worse; an unknown code is as bad as an error.
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
    let lost = summary.and_then(|summary| summary.lost_tags);
    row.push(count(lost.map(|lost| lost.not_restored)));
    row.push(count(lost.map(|lost| lost.restored)));
    row.push(Cell::List(result.policies.clone()));
    row.push(summary.map_or(Cell::Missing, |summary| Cell::Text(summary.policy.clone())));
    row.push(summary.map_or(Cell::Missing, |summary| text(&summary.run_id)));
    row.push(Cell::Time(result.started_at));
    row.push(Cell::Time(result.ended_at));
    row
}
