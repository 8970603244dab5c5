//! One change per row, for spreadsheets: every cell is quoted, and none is a formula.
//!
//! Not meant for programs: `json` and `ndjson` keep names unchanged.

use std::io::{self, Write};

use crate::plan::consequences::{Consequences, GroupMove};

use super::consequences;
use super::escape;
use super::last;
use super::model::{Model, ReportRow, ReportedChange};
use super::row::{self, cause_name};
use super::words;

const COLUMNS: [&str; WIDTH] = [
    "class",
    "action",
    "deviceId",
    "deviceName",
    "tag",
    "valueFrom",
    "valueTo",
    "cause",
    "causeName",
    "place",
    "origin",
    "reason",
    "outcome",
    "error",
    "lastDevices",
    "groupFrom",
    "groupTo",
    "devices",
    "sample",
    "remediation",
    "gainSight",
    "loseSight",
    "unreliable",
];

/// Columns about a change; the rest are about a move between device groups.
const OF_CHANGE: usize = 15;
const WIDTH: usize = OF_CHANGE + 8;

/// A last column on a simulated tenant: the first line of every report says so.
const SANDBOX: &str = "SANDBOX";

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn csv(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(out);
    let (title, mark) = if model.is_sandbox() { (Some(SANDBOX), Some("yes")) } else { (None, None) };
    writer.write_record(COLUMNS.into_iter().chain(title)).map_err(io_error)?;
    let mark = || mark.map(str::to_owned);
    for row in model.rows().chain(model.lost_rows()).chain(model.rows_beside()) {
        let cells = cells(model, &row);
        let cells = cells.iter().map(|cell| escape::csv(cell).into_owned());
        let cells = cells.chain([const { String::new() }; WIDTH - OF_CHANGE]).chain(mark());
        writer.write_record(cells).map_err(io_error)?;
    }
    for one in consequences::foreseen(model).iter().flat_map(|found| &found.moves) {
        let cells = move_cells(one);
        let cells = cells.iter().map(|cell| escape::csv(cell).into_owned());
        writer.write_record(cells.chain(mark())).map_err(io_error)?;
    }
    for cells in consequences::foreseen(model).into_iter().flat_map(sums_of_groups) {
        let cells = cells.iter().map(|cell| escape::csv(cell).into_owned());
        writer.write_record(cells.chain(mark())).map_err(io_error)?;
    }
    writer.flush()
}

/// Writes the report with a byte order mark; without it, Excel reads UTF-8 in the local code page.
///
/// # Errors
/// Those of the writer.
pub fn csv_bom(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    out.write_all("\u{feff}".as_bytes())?;
    csv(model, out)
}

/// The writer's own error. The conversion of the `csv` crate loses its kind, and so hides that a pipe is broken.
pub(super) fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn cells(model: &Model<'_>, row: &ReportRow<'_>) -> [String; OF_CHANGE] {
    let plan = model.plan();
    let cause = row.cause.and_then(|index| plan.causes.get(index.0 as usize));
    let (from, to) = match row.what {
        ReportedChange::Value { from, to } => (from.unwrap_or_default(), to.word()),
        ReportedChange::Add(_) | ReportedChange::Remove(_) => ("", ""),
    };
    let name = row.aside.and_then(|aside| aside.name.clone());
    let name =
        name.or(row.unresolved.map(|(entry, lacks)| format!("{} {}", entry.placeholder, lacks.word())));
    let reason = match (row::reason(row), name) {
        (Some(reason), Some(name)) => format!("{reason}: {name}"),
        (reason, _) => reason.unwrap_or_default().to_owned(),
    };
    let template_rule = row.unresolved.map(|(entry, _)| words::rule_name(plan, entry.rule).to_owned());
    [
        row.class.word().to_owned(),
        row.action().to_owned(),
        row.id.to_owned(),
        row.name.unwrap_or_default().to_owned(),
        row.what.tag().unwrap_or_default().to_owned(),
        from.to_owned(),
        to.to_owned(),
        cause.map_or("", |cause| cause.word()).to_owned(),
        cause.map(|cause| cause_name(plan, cause).into_owned()).or(template_rule).unwrap_or_default(),
        row::place(plan, row).map_or_else(String::new, words::place),
        row.origin.map_or("", |origin| origin.word()).to_owned(),
        reason,
        row.outcome.map_or("", |outcome| outcome.outcome.word()).to_owned(),
        row.outcome.and_then(|outcome| outcome.error.as_deref()).unwrap_or_default().to_owned(),
        last::cell(model.last(row)),
    ]
}

/// A move between device groups: its tags are in the column of the tag.
fn move_cells(one: &GroupMove) -> [String; WIDTH] {
    let mut cells = [const { String::new() }; WIDTH];
    let (of_change, of_move) = cells.split_at_mut(OF_CHANGE);
    (of_change[0], of_change[1]) = ("groups".to_owned(), "groupMove".to_owned());
    of_change[4] = one.tags.join(", ");
    let own = [
        one.from.clone(),
        one.to.clone(),
        one.devices.to_string(),
        one.sample.join(", "),
        consequences::change_word(one.remediation).to_owned(),
        one.gain.join(", "),
        one.lose.join(", "),
        consequences::doubts(one, &str::to_owned).unwrap_or_default(),
    ];
    of_move.clone_from_slice(&own);
    cells
}

/// Device groups whose number of devices changes, and the exposure weight if it does, from and to.
fn sums_of_groups(found: &Consequences) -> Vec<[String; WIDTH]> {
    let row = |action: &str, group: &str, from: String, to: String| {
        let mut cells = [const { String::new() }; WIDTH];
        (cells[0], cells[1]) = ("groups".to_owned(), action.to_owned());
        (cells[5], cells[6]) = (from, to);
        cells[OF_CHANGE + 1] = group.to_owned();
        cells
    };
    let counts = consequences::counts(found).into_iter();
    let mut rows: Vec<_> = counts
        .map(|(group, before, after)| row("groupDevices", group, before.to_string(), after.to_string()))
        .collect();
    if consequences::changes_weight(found) {
        let weight = |hundredths: u64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        rows.push(row("exposure", "", weight(found.exposure.before), weight(found.exposure.after)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};

    #[test]
    fn device_groups_whose_number_changes_and_the_exposure_weight_are_rows() {
        let mut out = Vec::new();
        csv(&Model::new(Input::new(Subject::Plan, &fixtures::regrouped())), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let of = |action: &str| text.lines().filter(|line| line.contains(action)).collect::<Vec<_>>();
        assert_eq!(of("\"groupDevices\"").len(), 2, "{text}");
        assert!(of("\"groupDevices\"")[0].contains("\"40\",\"43\""), "{text}");
        assert!(of("\"groupDevices\"")[0].contains("\"\",\"Servers\""), "{text}");
        assert!(of("\"exposure\"")[0].contains("\"1204.50\",\"1210.00\""), "{text}");
    }

    #[test]
    fn every_column_is_documented() {
        let guide = include_str!("../../../../docs/reports.md");
        assert!(COLUMNS.iter().all(|column| guide.contains(&format!("`{column}`"))));
    }

    #[test]
    fn each_move_between_device_groups_is_a_row_and_says_whether_it_can_be_relied_on() {
        let rows = |plan: &crate::plan::Plan, subject| -> Vec<Vec<String>> {
            let mut out = Vec::new();
            csv(&Model::new(Input::new(subject, plan)), &mut out).unwrap();
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&*out);
            let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect());
            rows.filter(|row: &Vec<String>| row[1] == "groupMove").collect()
        };
        let mut plan = fixtures::regrouped();
        let moved = rows(&plan, Subject::Plan);
        assert_eq!(moved.len(), 1);
        let doubt = "the service reports other groups than the file predicts";
        let own = ["Tier-0 servers", "Servers", "3", "dc01, dc02", "rises", "SOC tier 1", "", doubt];
        assert_eq!((&*moved[0][0], &*moved[0][4]), ("groups", "'-Tier0"), "a formula is none");
        assert_eq!(moved[0][OF_CHANGE..], own);
        plan.groups.as_mut().unwrap().moves[0].unreliable.clear();
        assert_eq!(rows(&plan, Subject::Drift)[0][WIDTH - 1], "");
    }

    #[test]
    fn the_first_line_of_a_simulated_tenant_says_so_and_every_row_has_as_many_cells() {
        let mut plan = fixtures::regrouped();
        let text = |plan: &crate::plan::Plan| {
            let mut out = Vec::new();
            csv(&Model::new(Input::new(Subject::Plan, plan)), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(!text(&plan).contains(SANDBOX));
        plan.header.tenant.cloud = Some("sandbox".to_owned());
        let text = text(&plan);
        assert!(text.lines().next().unwrap().ends_with(",\"SANDBOX\""), "{text}");
        let rows = ::csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap);
        assert!(rows.map(|row| row[WIDTH].to_owned()).all(|mark| mark == "yes"));
    }

    /// A pipe without a reader.
    struct BrokenPipe;

    impl Write for BrokenPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_format_says_that_a_pipe_is_broken() {
        let plan = fixtures::example();
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let style = crate::report::Style { width: 80, ..crate::report::Style::default() };
        for format in crate::report::Format::ALL.iter().filter(|format| format.is_of_a_plan()) {
            let failed = crate::report::write(*format, &model, &style, 60_000, &mut BrokenPipe).unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe, "{}", format.name());
        }
    }

    #[test]
    fn the_byte_order_mark_stands_before_the_same_table() {
        let plan = fixtures::example();
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let (mut plain, mut marked) = (Vec::new(), Vec::new());
        csv(&model, &mut plain).unwrap();
        csv_bom(&model, &mut marked).unwrap();
        assert_eq!(marked, [b"\xef\xbb\xbf", &plain[..]].concat());
    }

    #[test]
    fn each_device_on_which_a_template_yields_no_tag_is_a_row() {
        let plan = fixtures::example();
        for subject in [Subject::Plan, Subject::Drift] {
            let mut out = Vec::new();
            csv(&Model::new(Input::new(subject, &plan)), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let row = text.lines().find(|row| row.contains("srv-37")).unwrap();
            assert!(row.starts_with(r#""withheld","add","#), "{row}");
            assert!(row.contains(r#""unresolved: lookup.cmdb.owner noRow""#), "{row}");
        }
    }

    #[test]
    fn what_is_not_done_is_a_row_with_its_class_in_a_plan_too() {
        let mut plan = fixtures::example();
        let held = crate::plan::DeviceChange { id: "held".into(), ..plan.changes[0].clone() };
        let changes = held.add.len() + held.remove.len() + usize::from(held.value.is_some());
        plan.withheld =
            vec![crate::plan::Withheld::new(crate::plan::WithheldReason::Protected, None, vec![held])];
        for subject in [Subject::Plan, Subject::Drift] {
            let mut out = Vec::new();
            csv(&Model::new(Input::new(subject, &plan)), &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            let rows =
                text.lines().filter(|row| row.contains("\"held\"") && row.starts_with("\"protected\""));
            assert_eq!(rows.count(), changes);
        }
    }

    #[test]
    fn every_change_is_one_row_and_no_cell_computes() {
        for (plan, rows) in
            [(fixtures::example(), 3_339 + 1), (fixtures::hostile(), 36 + 1), (fixtures::empty(), 0)]
        {
            let mut out = Vec::new();
            csv(&Model::new(Input::new(Subject::Plan, &plan)), &mut out).unwrap();
            let mut reader = csv::Reader::from_reader(&out[..]);
            let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
            assert_eq!(records.len(), rows);
            for cell in records.iter().flatten() {
                assert!(
                    !cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !cell.contains('\n'),
                    "{cell}"
                );
            }
        }
    }
}
