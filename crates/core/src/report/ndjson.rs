//! For log pipelines: one line per change, per device on which a template yields no tag, per move between device groups, per group
//! whose number of devices changes, and for the exposure weight if it does. No line if there is none of these.
//!
//! Each line names its tenant and time, because a pipeline mixes lines of many tenants.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::consequences::{Exposure, GroupMove};
use crate::time::Timestamp;

use super::consequences;
use super::model::Model;
use super::row::{self, RowDocument};

/// One line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LineDocument<'a> {
    /// When the plan was made.
    #[schemars(with = "String")]
    time: Timestamp,
    /// `plan`, `drift` or `apply`.
    report: &'static str,
    /// The tenant's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    /// The tenant's cloud; `sandbox` for a simulated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<&'a str>,
    /// The run, for `apply`.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    /// What it says.
    #[serde(flatten)]
    of: LineSubject<'a>,
}

/// What a line is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum LineSubject<'a> {
    /// A change.
    Change(Box<RowDocument<'a>>),
    /// A move between device groups.
    #[serde(rename_all = "camelCase")]
    Move {
        /// `groupMove`.
        action: &'static str,
        /// The move, as plan files have it.
        group_move: &'a GroupMove,
    },
    /// A device group whose number of devices changes.
    #[serde(rename_all = "camelCase")]
    Devices {
        /// `groupDevices`.
        action: &'static str,
        /// The group with its numbers.
        group_devices: GroupDevices<'a>,
    },
    /// The weight in the exposure score, if it changes.
    Weight {
        /// `exposure`.
        action: &'static str,
        /// In hundredths, as plan files have it.
        exposure: Exposure,
    },
}

/// The devices in scope that are predicted in a group.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct GroupDevices<'a> {
    /// Its name.
    group: &'a str,
    /// Before the plan.
    before: u64,
    /// After it.
    after: u64,
}

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn ndjson(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = model.rows().chain(model.lost_rows()).chain(model.rows_beside());
    rows.try_for_each(|row| line(model, LineSubject::Change(Box::new(row::document(model, &row))), out))?;
    let Some(found) = consequences::foreseen(model) else { return Ok(()) };
    let moves = found.moves.iter().map(|one| LineSubject::Move { action: "groupMove", group_move: one });
    let counts = consequences::counts(found).into_iter().map(|(group, before, after)| LineSubject::Devices {
        action: "groupDevices",
        group_devices: GroupDevices { group, before, after },
    });
    let weight = consequences::changes_weight(found)
        .then_some(LineSubject::Weight { action: "exposure", exposure: found.exposure });
    moves.chain(counts).chain(weight).try_for_each(|of| line(model, of, out))
}

fn line<'a>(model: &Model<'a>, of: LineSubject<'a>, out: &mut dyn Write) -> io::Result<()> {
    let header = &model.plan().header;
    let document = LineDocument {
        time: header.created_at,
        report: model.input.subject.word(),
        tenant: header.tenant.id.as_deref(),
        cloud: header.tenant.cloud.as_deref(),
        run_id: model.input.run.map(|run| run.run_id.as_str()).filter(|id| !id.is_empty()),
        of,
    };
    serde_json::to_writer(&mut *out, &document)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};

    fn lines(input: Input<'_>) -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        ndjson(&Model::new(input), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_change_is_one_line_and_no_change_is_none() {
        let plan = fixtures::example();
        let lines = lines(Input::new(Subject::Plan, &plan));
        assert_eq!(lines.len(), 3_116 + 211 + 12 + 1, "one device has an unresolved template");
        let first = &lines[0];
        assert_eq!(first["device"]["name"], "dc01.corp.example.com");
        assert_eq!(first["action"], "add");
        assert_eq!(first["rules"][0], "domain-controllers");
        assert_eq!(first["class"], "missing");
        assert_eq!(first["place"]["line"], 12);
        assert_eq!(lines[1]["deviceValue"]["to"], "High");
        assert!(self::lines(Input::new(Subject::Plan, &fixtures::empty())).is_empty());
    }

    #[test]
    fn each_move_between_device_groups_is_a_line_and_says_whether_it_can_be_relied_on() {
        let mut plan = fixtures::regrouped();
        let moves = |plan: &crate::plan::Plan, subject| -> Vec<serde_json::Value> {
            let lines = lines(Input::new(subject, plan)).into_iter();
            lines.filter(|line| line["action"] == "groupMove").collect()
        };
        let [only] = &moves(&plan, Subject::Plan)[..] else { panic!("one move") };
        assert_eq!((&only["report"], only.get("device")), (&"plan".into(), None));
        let moved = &only["groupMove"];
        assert_eq!((&moved["from"], &moved["to"]), (&"Tier-0 servers".into(), &"Servers".into()));
        assert_eq!((&moved["devices"], &moved["tags"][0]), (&3.into(), &"-Tier0".into()));
        assert_eq!(moved["unreliable"], serde_json::json!(["liveGroups"]));
        let lines = lines(Input::new(Subject::Plan, &plan));
        let of = |action: &str| lines.iter().filter(|line| line["action"] == action).collect::<Vec<_>>();
        let servers = serde_json::json!({ "group": "Servers", "before": 40, "after": 43 });
        assert_eq!((of("groupDevices").len(), &of("groupDevices")[0]["groupDevices"]), (2, &servers));
        let weight = serde_json::json!({ "before": 120_450, "after": 121_000 });
        assert_eq!(of("exposure")[0]["exposure"], weight);
        plan.groups.as_mut().unwrap().moves[0].unreliable.clear();
        assert!(moves(&plan, Subject::Drift)[0]["groupMove"].get("unreliable").is_none());
    }

    #[test]
    fn hostile_names_stay_in_their_line() {
        assert_eq!(lines(Input::new(Subject::Drift, &fixtures::hostile())).len(), 12 * 3 + 1);
    }

    #[test]
    fn each_device_on_which_a_template_yields_no_tag_is_a_line() {
        for subject in [Subject::Plan, Subject::Drift] {
            let plan = fixtures::example();
            let lines = lines(Input::new(subject, &plan));
            unresolved(lines.iter().find(|line| line["reason"] == "unresolved").unwrap());
        }
    }

    fn unresolved(line: &serde_json::Value) {
        assert_eq!(line["device"]["name"], "srv-37");
        assert_eq!(line["class"], "withheld");
        assert_eq!(line["reasonName"], "lookup.cmdb.owner");
        assert_eq!(line["lacks"], "noRow");
        assert_eq!(line["template"], "owner:{lookup.cmdb.owner|slug}");
        assert!(line.get("tag").is_none(), "a template is no tag");
        assert!(line["place"]["line"].is_u64());
    }
}
