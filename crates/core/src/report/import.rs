//! The result of `import`: a table of its rules for people, and a document.
//!
//! Finds no selector and writes no file.

use serde_json::{Value, json};

use super::escape::{self, json_document};
use super::listing::{Cell, Listing};
use super::words::counted;
use crate::import::{Imported, RuleOutput};

/// The effect of an imported set together with the policies that were already in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExistingPolicies {
    /// There were none, or all together plan no changes.
    Nothing,
    /// All together plan these additions, removals and values.
    Changes((u64, u64, u64)),
    /// All together are not a valid set.
    Error(String),
}

impl ExistingPolicies {
    fn sentence(&self, folder: &str) -> Option<String> {
        match self {
            ExistingPolicies::Nothing => None,
            ExistingPolicies::Changes((additions, removals, values)) => Some(format!(
                "Together with the policies that lie there it plans {}, {} and {}: `mdetag plan {}` shows them.",
                counted(*additions, "addition"),
                counted(*removals, "removal"),
                counted(*values, "value"),
                escape::shell(folder),
            )),
            ExistingPolicies::Error(error) => Some(format!(
                "Together with the policies that lie there it cannot be planned ({error}): `mdetag plan {}` says where.",
                escape::shell(folder),
            )),
        }
    }
}

/// The rules as a table. `folder`: where the files were written, for people.
pub fn listing(folder: &str, imported: &Imported, beside: &ExistingPolicies) -> Listing {
    let claims = match imported.claims.as_slice() {
        [] => "claims nothing".to_owned(),
        claims => {
            let claims: Vec<_> = claims.iter().map(|claim| escape::tag(claim)).collect();
            format!("claims {}", claims.join(", "))
        }
    };
    let plans = if *beside == ExistingPolicies::Nothing { "it plans" } else { "by itself it plans" };
    let heading = format!(
        "Wrote {} with {} to {folder}: {plans} to zero changes and {claims}.",
        counted(imported.files.len() as u64, "file"),
        counted(imported.rules.len() as u64, "rule"),
    );
    let mut listing = Listing { kind: "import", heading, ..Listing::default() }
        .column("tag")
        .column("devices")
        .column("selector or list")
        .column("precision")
        .column("recall")
        .column("exceptions");
    for rule in &imported.rules {
        let given = match &rule.gives {
            RuleOutput::Tag(tag) => tag.clone(),
            RuleOutput::Value(value) => format!("value {value}"),
        };
        let cells = match rule.selector.as_ref().filter(|_| rule.is_selected) {
            Some(selector) => [
                Cell::Text(selector.clone()),
                Cell::Percent(percent(rule.precision)),
                Cell::Percent(percent(rule.recall)),
                Cell::Number((rule.without.len() + rule.besides.len()) as u64),
            ],
            // A list names its devices: it is never wrong, but explains nothing.
            None => [Cell::Text("list".to_owned()), Cell::Missing, Cell::Missing, Cell::Missing],
        };
        listing
            .rows
            .push([Cell::Text(given), Cell::Number(rule.devices as u64)].into_iter().chain(cells).collect());
    }
    listing.remarks.extend(beside.sentence(folder));
    for (tag, reason) in &imported.left_out {
        listing.remarks.push(format!("left out: {} ({reason})", escape::tag(tag)));
    }
    listing
}

/// Writes the rules as one document.
pub fn json(folder: &str, imported: &Imported, beside: &ExistingPolicies) -> String {
    let rules = imported.rules.iter().map(|rule| {
        let (tag, value) = match &rule.gives {
            RuleOutput::Tag(tag) => (Some(tag.as_str()), None),
            RuleOutput::Value(value) => (None, Some(value.word())),
        };
        json!({
            "rule": rule.name, "tag": tag, "deviceValue": value, "devices": rule.devices, "selector": rule.selector,
            "precision": rule.precision, "recall": rule.recall, "selected": rule.is_selected,
            "exceptions": rule.without.len() + rule.besides.len(),
        })
    });
    let files: Vec<&str> = imported.files.iter().map(|file| file.path.as_str()).collect();
    let left_out = imported.left_out.iter().map(|(tag, why)| json!({ "tag": tag, "reason": why }));
    json_document(&json!({
        "formatVersion": "1.0", "folder": folder, "files": files, "claims": imported.claims,
        "beside": beside.sentence(folder),
        "rules": rules.collect::<Vec<Value>>(), "leftOut": left_out.collect::<Vec<Value>>(),
    }))
}

/// Per cent; 100 only if nothing is missing.
fn percent(share: f64) -> f64 {
    (share * 1000.0).floor() / 10.0
}

#[cfg(test)]
mod tests {
    use crate::import::ImportedRule;

    use super::*;

    #[test]
    fn a_list_shows_no_shares_and_the_document_has_both() {
        let rule = ImportedRule {
            name: "r".to_owned(),
            gives: RuleOutput::Tag("T".to_owned()),
            devices: 3,
            selector: Some("{ osPlatform: X }".to_owned()),
            precision: 0.9999,
            recall: 1.0,
            is_selected: false,
            without: Vec::new(),
            besides: Vec::new(),
        };
        let mut imported = Imported {
            files: Vec::new(),
            rules: vec![rule.clone(), ImportedRule { is_selected: true, ..rule }],
            claims: Vec::new(),
            left_out: vec![("U ".to_owned(), "too long".to_owned())],
        };
        let table = listing("p", &imported, &ExistingPolicies::Nothing);
        assert_eq!(
            table.heading,
            "Wrote 0 files with 2 rules to p: it plans to zero changes and claims nothing."
        );
        assert_eq!(table.rows[0][2..4], [Cell::Text("list".to_owned()), Cell::Missing]);
        assert_eq!(table.rows[1][3..5], [Cell::Percent(99.9), Cell::Percent(100.0)]);
        assert_eq!(table.remarks, ["left out: \"U \" (too long)"]);
        imported.rules.truncate(1);
        let document: Value =
            serde_json::from_str(&json("p", &imported, &ExistingPolicies::Nothing)).unwrap();
        assert_eq!(document["rules"][0]["precision"], 0.9999);
        assert_eq!(document["leftOut"][0]["reason"], "too long");
    }
}
