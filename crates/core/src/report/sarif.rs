//! SARIF 2.1.0: findings at the line of their rule, so that a code-scanning page shows drift beside the policy.
//!
//! One result per group, not per change: code-scanning services accept thousands of results, not millions.

use std::io::{self, Write};

use hashbrown::HashMap;
use serde_json::{Value, json};

use crate::diagnostic::{Place, Severity};
use crate::plan::Plan;

use super::escape;
use super::finding::{ReportFinding, findings};
use super::model::{ChangeOrigin, Model, Subject};

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn sarif(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let findings = findings(model);
    let mut rules: Vec<Value> = Vec::new();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for finding in &findings {
        numbers.entry(&finding.rule).or_insert_with(|| {
            rules.push(rule(model.plan(), &finding.rule));
            rules.len() - 1
        });
    }
    let results: Vec<Value> =
        findings.iter().map(|finding| result(model, finding, numbers[finding.rule.as_str()])).collect();
    let tenant = &model.plan().header.tenant;
    let sandbox = if model.is_sandbox() { "SANDBOX " } else { "" };
    let name = tenant.name.as_deref().or(tenant.id.as_deref()).unwrap_or("unnamed");
    let (_, version) = model.plan().header.tool.split_once(' ').unwrap_or(("mdetag", "0"));
    let mut document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": format!("{sandbox}mdetag"),
                "version": version,
                "semanticVersion": version,
                "informationUri": "https://github.com/mdetag/mdetag",
                "rules": rules,
            }},
            "automationDetails": {
                "id": format!("mdetag/{}/{}/", model.input.subject.word(), crate::text::slug(name)),
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": {
                "devices": model.plan().header.inventory.devices,
                "inScope": model.plan().header.inventory.in_scope,
                "additions": model.totals.additions,
                "removals": model.totals.removals,
                "values": model.totals.values,
            },
        }],
    });
    if let Some(links) = model.links() {
        document["runs"][0]["versionControlProvenance"] =
            json!([{ "repositoryUri": links.url, "revisionId": links.commit }]);
    }
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")
}

fn rule(plan: &Plan, id: &str) -> Value {
    let named = id.strip_prefix("rule/").and_then(|name| plan.rules.iter().find(|rule| rule.name == name));
    let about = named.and_then(|rule| rule.description.as_deref());
    let short = format!("mdetag {id}");
    let mut value = json!({
        "id": escape::terminal(id),
        "shortDescription": { "text": escape::sarif(&short) },
        "fullDescription": { "text": escape::sarif(about.unwrap_or(&short)) },
        "help": { "text": "Run `mdetag explain DEVICE TAG` to see why." },
        "defaultConfiguration": { "level": "warning" },
    });
    if let Some(rule) = named {
        value["properties"] =
            json!({ "owner": rule.owner, "ticket": rule.ticket, "priority": rule.priority });
    }
    value
}

fn result(model: &Model<'_>, finding: &ReportFinding<'_>, number: usize) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut value = json!({
        "ruleId": escape::terminal(&finding.rule),
        "ruleIndex": number,
        "level": level,
        "kind": "fail",
        "message": { "text": escape::sarif(&finding.message) },
        "locations": [location(model.plan(), finding.place)],
        "partialFingerprints": { "mdetag/v1": finding.fingerprint() },
        "properties": { "class": finding.class, "changes": finding.changes },
    });
    if let Some(link) = model.links().zip(finding.place).and_then(|(links, place)| links.link(place)) {
        value["properties"]["link"] = link.into();
    }
    if let Some(origin) = finding.origin {
        value["properties"]["origin"] = origin.word().into();
        value["baselineState"] = match origin {
            ChangeOrigin::ThisChange => "new".into(),
            ChangeOrigin::Before => "unchanged".into(),
        };
    }
    if finding.class == "unwritable" || model.input.subject == Subject::Drift && finding.class == "protected"
    {
        value["kind"] = "informational".into();
        value["level"] = "none".into();
    }
    value
}

/// Code-scanning pages show only results with a place, so a result without one gets the top of the first policy file.
fn location(plan: &Plan, place: Option<&Place>) -> Value {
    let (file, region) = match place {
        Some(place) => (&*place.file, region(place)),
        None => {
            let first = plan.header.policy.files.first().map(|file| file.path.as_str());
            let rule = plan.rules.first().map(|rule| &*rule.place.file);
            (first.or(rule).unwrap_or("policies"), json!({ "startLine": 1 }))
        }
    };
    json!({ "physicalLocation": { "artifactLocation": { "uri": escape::uri(file) }, "region": region } })
}

fn region(place: &Place) -> Value {
    let mut region = json!({ "startLine": place.line.max(1) });
    if place.column > 0 && (place.end_line, place.end_column) > (place.line, place.column) {
        region["startColumn"] = place.column.into();
        region["endLine"] = place.end_line.into();
        region["endColumn"] = place.end_column.into();
    }
    region
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::Input;

    fn document(input: Input<'_>) -> Value {
        let mut out = Vec::new();
        sarif(&Model::new(input), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn drift_stands_at_the_line_of_its_rule() {
        let plan = fixtures::example();
        let document = document(Input::new(Subject::Drift, &plan));
        // The removal is riskier, so it comes first.
        let result = &document["runs"][0]["results"][1];
        assert_eq!(result["ruleId"], "rule/domain-controllers");
        let location = &result["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "policies/servers.yaml");
        assert_eq!(location["region"]["startLine"], 12);
        assert_eq!(
            result["message"]["text"],
            "12 devices lack tag \"Tier0\" (domain-controllers): dc01.corp.example.com, dc02.corp.example.com, \
             dc03.corp.example.com, … 9 more"
        );
        let results = document["runs"][0]["results"].as_array().unwrap();
        let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        for result in results {
            assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"], result["ruleId"]);
        }
        let counted: u64 =
            results.iter().map(|result| result["properties"]["changes"].as_u64().unwrap()).sum();
        assert_eq!(counted, 3_116 + 211 + 12 + 4);
    }

    #[test]
    fn fingerprints_stay_when_counts_change() {
        let plan = fixtures::example();
        let mut fewer = plan.clone();
        fewer.changes.remove(0);
        let print = |plan: &Plan| {
            document(Input::new(Subject::Drift, plan))["runs"][0]["results"][0]["partialFingerprints"].clone()
        };
        assert_eq!(print(&plan), print(&fewer));
    }

    #[test]
    fn hostile_places_are_encoded_and_messages_have_no_links() {
        let mut plan = fixtures::hostile();
        for rule in &mut plan.rules {
            rule.place.file = "java script:alert(1)/../ü.yaml".into();
        }
        plan.changes[0].name = Some("[click](https://evil.example)".into());
        let text = document(Input::new(Subject::Drift, &plan)).to_string();
        assert!(text.contains("java%20script%3Aalert%281%29/../%C3%BC.yaml"));
        assert!(text.contains(r"\\[click\\](https"), "{text}");
    }
}
