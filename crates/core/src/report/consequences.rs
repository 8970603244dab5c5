//! The effects of a plan on the tenant's device groups, in sentences that several renderers share.
//!
//! Names of groups, tags and devices come from outside: each renderer passes its own function to escape them.

use crate::plan::consequences::{
    Consequences, GroupCheck, GroupMove, HardlyChecked, MoveDoubt, RemediationChange,
};

use super::escape::clip;
use super::model::{Model, Subject};
use super::words::{counted, noun_for, number};

/// Access groups and tags that a sentence names before the rest becomes a number.
pub(super) const NAMES: usize = 5;

/// How a renderer shows a name.
pub type Escape<'a> = &'a dyn Fn(&str) -> String;

/// The predicted effects; `None` for a run, which is over.
pub fn foreseen<'a>(model: &Model<'a>) -> Option<&'a Consequences> {
    let plan = model.plan();
    plan.groups.as_ref().filter(|_| model.input.subject != Subject::Applied)
}

/// Moves that the base's device groups predict and the current file does not. Not escaped.
pub fn of_base(model: &Model<'_>) -> Option<String> {
    let plan = model.plan();
    let base = plan.base_groups.as_ref().filter(|_| model.input.subject != Subject::Applied)?;
    let count = |found: &Consequences| counted(found.judged_moves(), "device");
    let at_hand = match &plan.groups {
        Some(groups) => format!("with those at hand {}", groups.judged_moves()),
        None => "this change takes `deviceGroups` out".to_owned(),
    };
    let name = |name: &str| clip(name, 60).into_owned();
    let moves: Vec<String> = base
        .moves
        .iter()
        .take(NAMES)
        .map(|one| format!("{} → {}: {}", name(&one.from), name(&one.to), number(one.devices)))
        .collect();
    let verb = noun_for(base.judged_moves(), "changes|change");
    Some(format!(
        "with the device groups of the base {} {verb} group ({at_hand}), and the greater number is judged: {}",
        count(base),
        moves.join("; ")
    ))
}

/// Warnings to read before any move: for how many devices the file is wrong, and groups that the check hardly sees. Not escaped.
pub fn doubts_of_file(check: &GroupCheck) -> Vec<String> {
    differing(check).into_iter().chain(check.hardly_checked.iter().take(NAMES).map(unseen)).collect()
}

/// That the check hardly sees a group. Not escaped.
pub fn unseen(group: &HardlyChecked) -> String {
    format!(
        "device groups: {} of {} in {} are not compared with the file, because a run of the last 24 hours wrote them",
        number(group.left_out),
        counted(group.devices, "device"),
        clip(&group.name, 100),
    )
}

/// For how many devices the file is wrong. Not escaped.
pub fn differing(check: &GroupCheck) -> Option<String> {
    let differ = check.differ + check.changed.differ;
    if differ == 0 && check.reliable {
        return None;
    }
    let sample = match check.sample.as_slice() {
        [] => String::new(),
        sample => format!(" ({})", sample.join("; ")),
    };
    let verdict = if check.reliable { "" } else { "; the moves below are UNRELIABLE" };
    let verb = noun_for(differ, "is|are");
    let untouched =
        format!("{} of {} that the plan leaves alone", number(check.differ), counted(check.of, "device"));
    let changed = format!(
        "{} of {} whose tags it changes",
        number(check.changed.differ),
        counted(check.changed.of, "device")
    );
    let who = match (check.differ, check.changed.differ) {
        (_, 0) => untouched,
        (0, _) => changed.replace(" it ", " the plan "),
        _ => format!("{untouched}, and {changed},"),
    };
    Some(format!("device groups: {who} {verb} in another group than the file predicts{sample}{verdict}"))
}

/// `Device groups: 3 devices change group`.
pub fn heading(found: &Consequences) -> String {
    let doubted = found.moves.iter().filter(|one| !one.unreliable.is_empty());
    let unreliable = match (found.check.reliable, doubted.map(|one| one.devices).sum()) {
        (true, 0) => String::new(),
        (true, doubted) => format!(" as predicted (UNRELIABLE for {})", number(doubted)),
        (false, _) => format!(" as predicted (UNRELIABLE: up to {})", number(found.judged_moves())),
    };
    match found.predicted {
        0 => format!("Device groups: no device changes group{unreliable}"),
        count => {
            let verb = noun_for(count, "changes|change");
            format!("Device groups: {} {verb} group{unreliable}", counted(count, "device"))
        }
    }
}

/// `Tier-0 servers → Servers: 3 devices because of -Tier0; …`: one move in a sentence.
pub fn sentence(one: &GroupMove, escape: Escape<'_>) -> String {
    let mut text = format!("{} → {}: {}", escape(&one.from), escape(&one.to), counted(one.devices, "device"));
    if let Some(doubts) = doubts(one, escape) {
        text.push_str(&format!(" (UNRELIABLE: {doubts})"));
    }
    if !one.tags.is_empty() {
        text.push_str(&format!(" because of {}", names(&one.tags, escape)));
    }
    for (lead, list) in [("gain sight: ", &one.gain), ("lose sight: ", &one.lose)] {
        if !list.is_empty() {
            text.push_str(&format!("; {lead}{}", names(list, escape)));
        }
    }
    text.push_str(&format!("; {}", remediation(one.remediation)));
    if !one.sample.is_empty() {
        let mut sample = names(&one.sample, escape);
        let rest = one.devices.saturating_sub(one.sample.len() as u64);
        if rest > 0 {
            sample.push_str(&format!(", … {} more", number(rest)));
        }
        text.push_str(&format!("; {sample}"));
    }
    text
}

/// The effect of a move on automatic remediation.
pub fn remediation(change: RemediationChange) -> &'static str {
    match change {
        RemediationChange::Rises => "automatic remediation RISES",
        RemediationChange::Falls => "automatic remediation falls",
        RemediationChange::Same => "automatic remediation stays",
        RemediationChange::Unknown => "automatic remediation is unknown",
    }
}

/// That effect in one word, for a cell or a label.
pub fn change_word(change: RemediationChange) -> &'static str {
    match change {
        RemediationChange::Rises => "rises",
        RemediationChange::Falls => "falls",
        RemediationChange::Same => "same",
        RemediationChange::Unknown => "unknown",
    }
}

/// Why a move may be wrong.
pub fn doubts(one: &GroupMove, escape: Escape<'_>) -> Option<String> {
    let why = |doubt: &MoveDoubt| match doubt {
        MoveDoubt::LiveGroups => "the service reports other groups than the file predicts".to_owned(),
        MoveDoubt::From => format!("who is in {} cannot be predicted", escape(&one.from)),
        MoveDoubt::To => format!("who is in {} cannot be predicted", escape(&one.to)),
    };
    let why: Vec<String> = one.unreliable.iter().map(why).collect();
    (!why.is_empty()).then(|| why.join("; "))
}

/// Some names in a row, the rest as a number.
pub fn names(list: &[String], escape: Escape<'_>) -> String {
    let mut shown: Vec<String> = list.iter().take(NAMES).map(|name| escape(name)).collect();
    if list.len() > NAMES {
        shown.push(format!("… {} more", number((list.len() - NAMES) as u64)));
    }
    shown.join(", ")
}

/// Devices of each group whose number changes: name, before, after.
pub fn counts(found: &Consequences) -> Vec<(&str, u64, u64)> {
    let both =
        found.before.iter().zip(&found.after).filter(|(before, after)| before.devices != after.devices);
    both.map(|(before, after)| (&*before.name, before.devices, after.devices)).collect()
}

/// Whether the plan changes the weight in the exposure score.
pub fn changes_weight(found: &Consequences) -> bool {
    found.exposure.before != found.exposure.after
}

/// `Exposure weight: 1,204.50 → 1,210.00 (+5.50)`, if it changes.
pub fn exposure(found: &Consequences) -> Option<String> {
    let (before, after) = (found.exposure.before, found.exposure.after);
    let sign = match after.cmp(&before) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => '-',
        std::cmp::Ordering::Greater => '+',
    };
    let by = after.abs_diff(before);
    Some(format!(
        "Exposure weight: {} → {} ({sign}{})",
        hundredths(before),
        hundredths(after),
        hundredths(by)
    ))
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", number(value / 100), value % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::consequences::ComparedDevices;
    use crate::report::markdown::MAX_CHARS;
    use crate::report::model::Input;
    use crate::report::{Format, Style, fixtures, write};

    fn render(format: Format, plan: &crate::plan::Plan) -> String {
        let mut out = Vec::new();
        let model = Model::new(Input::new(Subject::Plan, plan));
        write(format, &model, &Style { width: 300, ..Style::default() }, MAX_CHARS, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_read_the_doubt_first_then_every_move() {
        let text = render(Format::Human, &fixtures::regrouped());
        let doubt = "device groups: 7 of 100 devices that the plan leaves alone are in another group than the file \
                     predicts (web1: reported in Lab, predicted in Servers); the moves below are UNRELIABLE";
        assert!(text.starts_with(doubt), "{text}");
        let moves = "
Device groups: 3 devices change group as predicted (UNRELIABLE: up to 12)
  Tier-0 servers → Servers: 3 devices (UNRELIABLE: the service reports other groups than the file predicts) because of -Tier0; gain sight: SOC tier 1; automatic remediation RISES; dc01, dc02, … 1 more
  Servers: 40 → 43 devices
  Tier-0 servers: 3 → 0 devices
  Exposure weight: 1,204.50 → 1,210.00 (+5.50)
";
        assert!(text.contains(moves), "{text}");
    }

    #[test]
    fn a_move_of_a_group_that_nobody_can_predict_is_marked_alone_in_every_format() {
        let mut plan = fixtures::regrouped();
        let groups = plan.groups.as_mut().unwrap();
        groups.check = GroupCheck { reliable: true, of: 9, ..GroupCheck::default() };
        let sure =
            GroupMove { to: "Lab".to_owned(), devices: 1, unreliable: Vec::new(), ..groups.moves[0].clone() };
        groups.moves[0].unreliable = vec![MoveDoubt::To];
        groups.moves.push(sure);
        let text = render(Format::Human, &plan);
        for line in [
            "Device groups: 3 devices change group as predicted (UNRELIABLE for 3)\n",
            "Servers: 3 devices (UNRELIABLE: who is in Servers cannot be predicted) because of",
            "Lab: 1 device because of",
        ] {
            assert!(text.contains(line), "`{line}` in {text}");
        }
        let text = render(Format::Markdown, &plan);
        assert!(text.contains("(UNRELIABLE: who is in `Servers` cannot be predicted)"), "{text}");
        assert!(text.contains("`Lab`: 1 device because of"), "{text}");
        for format in [Format::Junit, Format::Sarif, Format::CodeQuality, Format::Html, Format::Csv] {
            let text = render(format, &plan);
            assert_eq!(text.matches("cannot be predicted").count(), 1, "{format:?}: {text}");
        }
        for format in [Format::Json, Format::Ndjson] {
            assert_eq!(render(format, &plan).matches("\"unreliable\"").count(), 1, "{format:?}");
        }
        let text = render(Format::Openmetrics, &plan);
        assert!(text.contains("to=\"Servers\",remediation=\"rises\",reliable=\"false\"} 3"), "{text}");
        assert!(text.contains("to=\"Lab\",remediation=\"rises\",reliable=\"true\"} 1"), "{text}");
        assert!(text.contains("mdetag_groups_reliable{tenant=\"contoso\"} 0"), "one move is not: {text}");
    }

    #[test]
    fn a_file_that_agrees_raises_no_doubt_and_no_move_is_said_too() {
        let mut plan = fixtures::empty();
        plan.groups = Some(Consequences {
            check: GroupCheck { reliable: true, of: 9, ..GroupCheck::default() },
            ..Consequences::default()
        });
        let text = render(Format::Human, &plan);
        assert!(text.contains("Device groups: no device changes group\n"), "{text}");
        assert!(!text.contains("UNRELIABLE") && !text.contains("Exposure"), "{text}");
        assert!(!render(Format::Html, &plan).contains("class=\"flow"));
    }

    #[test]
    fn a_comment_shows_moves_in_code_spans_and_keeps_its_length() {
        let text = render(Format::Markdown, &fixtures::regrouped());
        assert!(text.starts_with("**⚠ `device groups: 7 of 100"), "{text}");
        assert!(
            text.contains(
                "- `Tier-0 servers` → `Servers`: 3 devices (UNRELIABLE: the service reports other groups than the file predicts) because of `-Tier0`; gain sight"
            ),
            "{text}"
        );
        assert!(text.contains("- `Servers`: 40 → 43 devices"), "{text}");
        let mut many = fixtures::regrouped();
        let groups = many.groups.as_mut().unwrap();
        groups.moves = vec![groups.moves[0].clone(); 4_000];
        groups.moves.iter_mut().for_each(|one| one.from = "g".repeat(4_000));
        let text = render(Format::Markdown, &many);
        assert!(crate::report::words::length(&text) <= MAX_CHARS);
        assert!(text.contains("more moves") && text.ends_with("-->\n"), "{text}");
    }

    #[test]
    fn every_move_is_a_finding_and_one_that_widens_access_or_raises_remediation_is_a_warning() {
        const LEVELS: [(Format, [&str; 2]); 3] = [
            (Format::Junit, ["warning", "note"]),
            (Format::Sarif, ["\"level\": \"warning\"", "\"level\": \"note\""]),
            (Format::CodeQuality, ["\"severity\": \"major\"", "\"severity\": \"info\""]),
        ];
        for format in [Format::Junit, Format::Sarif, Format::CodeQuality] {
            let text = render(format, &fixtures::regrouped());
            assert!(text.contains("Servers: 40 → 43; Tier-0 servers: 3 → 0"), "{format:?}: {text}");
            assert!(text.contains("1,204.50 → 1,210.00"), "{format:?}: {text}");
        }
        let mut harmless = fixtures::regrouped();
        let one = &mut harmless.groups.as_mut().unwrap().moves[0];
        (one.remediation, one.lose) = (RemediationChange::Falls, std::mem::take(&mut one.gain));
        for (format, [warning, note]) in LEVELS {
            let count = |text: &str, level: &str| text.matches(level).count();
            let (widens, falls) = (render(format, &fixtures::regrouped()), render(format, &harmless));
            assert!(widens.contains("gain sight: SOC tier 1"), "{format:?}: {widens}");
            assert!(falls.contains("lose sight: SOC tier 1"), "{format:?}: {falls}");
            if format != Format::Junit {
                assert_eq!(count(&falls, note), count(&widens, note) + 1, "{format:?}: {falls}");
                assert_eq!(count(&falls, warning) + 1, count(&widens, warning), "{format:?}: {falls}");
            }
        }
    }

    #[test]
    fn moves_beyond_the_limit_of_a_report_are_counted() {
        let mut plan = fixtures::regrouped();
        let groups = plan.groups.as_mut().unwrap();
        let harmless = GroupMove {
            remediation: RemediationChange::Same,
            gain: Vec::new(),
            devices: 5,
            ..groups.moves[0].clone()
        };
        groups.moves.extend(vec![harmless; 1_200]);
        let text = render(Format::Sarif, &plan);
        assert!(text.contains("201 further moves with 1,005 devices not listed one by one"), "{text}");
    }

    #[test]
    fn what_the_check_does_not_see_is_said() {
        let mut plan = fixtures::regrouped();
        let check = &mut plan.groups.as_mut().unwrap().check;
        (check.differ, check.changed) = (0, ComparedDevices { differ: 40, of: 43 });
        check.hardly_checked = vec![HardlyChecked { name: "Servers".to_owned(), left_out: 30, devices: 40 }];
        let text = render(Format::Human, &plan);
        for told in [
            "device groups: 40 of 43 devices whose tags the plan changes are in another group than the file predicts (web1",
            "device groups: 30 of 40 devices in Servers are not compared with the file, because a run of the last 24 hours wrote them",
        ] {
            assert!(text.contains(told), "{text}");
        }
        plan.groups.as_mut().unwrap().check.differ = 7;
        let text = render(Format::Markdown, &plan);
        assert!(
            text.contains("7 of 100 devices that the plan leaves alone, and 40 of 43 devices whose tags it changes, are in"),
            "{text}"
        );
        for format in [Format::Junit, Format::Sarif, Format::CodeQuality, Format::Html] {
            assert!(render(format, &plan).contains("30 of 40 devices in Servers"), "{format:?}");
        }
    }

    #[test]
    fn gauges_count_moves_and_devices_that_differ() {
        let text = render(Format::Openmetrics, &fixtures::regrouped());
        for line in [
            "mdetag_group_moves{tenant=\"contoso\",from=\"Tier-0 servers\",to=\"Servers\",remediation=\"rises\",reliable=\"false\"} 3",
            "mdetag_groups_differ{tenant=\"contoso\"} 7",
            "mdetag_group_devices{tenant=\"contoso\",group=\"Servers\",stage=\"after\"} 43",
            "mdetag_group_devices{tenant=\"contoso\",group=\"Tier-0 servers\",stage=\"after\"} 0",
            "mdetag_groups_reliable{tenant=\"contoso\"} 0",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!render(Format::Openmetrics, &fixtures::example()).contains("mdetag_group"));
    }

    #[test]
    fn the_page_has_a_table_and_a_picture_of_the_moves() {
        let mut plan = fixtures::regrouped();
        let text = render(Format::Html, &plan);
        for cell in ["data-name=\"From\"><bdi>Tier-0 servers</bdi>", "data-name=\"To\"><bdi>Servers</bdi>"] {
            assert!(text.contains(cell), "{text}");
        }
        assert!(text.contains("class=\"flow rises doubted\""), "{text}");
        plan.groups.as_mut().unwrap().moves[0].to = "</svg><script>x".to_owned();
        let text = render(Format::Html, &plan);
        assert!(!text.contains("<script>x") && text.contains("&lt;/svg&gt;"), "{text}");
    }
}
