//! A report as a comment on a pull request, or as the summary of a CI job, within a given length.
//!
//! What does not fit is cut by group, and the comment says what was cut. Removals and failures are never cut: if even their rows
//! do not fit, they are listed in a shorter form that keeps every count. Names are in code spans.

use std::io::{self, Write};

use super::compact;
use super::consequences;
use super::cut;
use super::ending::{outcomes, shown_by, ways_on};
use super::escape::{self, clip, markdown as code, terminal};
use super::first_lines;
use super::fold::{self, Line};
use super::last;
use super::lost;
use super::model::{ChangeGroup, Class, Model, ReportPart, ReportedChange, Subject};
use super::not_done;
use super::refusal;
use super::renamed;
use super::sentences::{self, Phrase};
use super::waves;
use super::words::{self, capitalised, length, number, outcome_phrase};

/// The default length of a comment: GitHub accepts 65,536.
pub const MAX_CHARS: usize = 60_000;

/// Rows per half before the smallest are summed up.
const ROWS: usize = 200;

/// Reasons of a refusal, warnings and the like that are listed before the rest becomes a number.
const SENTENCES: usize = 12;

/// Writes the report in at most `max_chars` characters, including the marker at its end.
///
/// # Errors
/// Those of the writer.
pub fn markdown(model: &Model<'_>, max_chars: usize, out: &mut dyn Write) -> io::Result<()> {
    let marker = format!("\n{}", compact::marker(model));
    let (asides, closing) = (asides(model), closing(model));
    let groups: Vec<_> = model.parts.iter().map(|part| renamed::joined(model, &part.groups)).collect();
    let lines: Vec<Vec<Line<'_, '_>>> = groups.iter().map(|groups| fold::folded(groups, ROWS)).collect();
    // Everything besides the changes gives way first.
    let tails = [format!("{asides}{closing}{marker}"), format!("{closing}{marker}"), marker];
    let mut fitting = tails.iter().map(|tail| with_tail(model, &lines, tail, max_chars));
    let text = fitting.find(|text| length(text) <= max_chars);
    out.write_all(text.unwrap_or_else(|| compact::write(model, max_chars)).as_bytes())
}

/// The comment with everything that must be shown, which may be longer than the room.
fn with_tail(model: &Model<'_>, lines: &[Vec<Line<'_, '_>>], tail: &str, max_chars: usize) -> String {
    let mut text = format!("{}{}", head(model, max_chars), moves(model, max_chars / 4));
    let headings: Vec<String> = model.parts.iter().map(|part| heading(model, part)).collect();
    let fixed = length(&text) + length(tail) + headings.iter().map(|text| length(text)).sum::<usize>();
    let room = max_chars.saturating_sub(fixed);
    let tables = cut::tables(lines, room, &|line| row(model, line), &|group| short_row(model, group));
    for (heading, table) in headings.iter().zip(&tables) {
        text.push_str(heading);
        text.push_str(table);
    }
    let left = max_chars.saturating_sub(length(&text) + length(tail));
    text.push_str(&samples(model, lines, left));
    text + tail
}

fn head(model: &Model<'_>, max_chars: usize) -> String {
    let mut text = refused(model);
    let notices = first_lines::write(model, max_chars);
    text.push_str(&notices);
    let sandbox = if model.is_sandbox() && notices.is_empty() { "SANDBOX · " } else { "" };
    let tenant = sentences::tenant(model.plan());
    let tenant = Phrase { text: name(&tenant.text), ..tenant }.render(name);
    text.push_str(&format!("### {sandbox}{} {tenant}\n\n", sentences::title(model.input.subject)));
    let facts: Vec<String> =
        sentences::facts(model).iter().map(|fact| terminal(&clip(fact, 100)).into_owned()).collect();
    // Facts are our own words and numbers, except for the run's id and the commit.
    text.push_str(&format!("{}\n\n", code(&facts.join(" · "))));
    match model.input.run {
        Some(_) => text.push_str(&format!("**{}**\n\n", outcomes(model))),
        None => text.push_str(&format!("**{}**\n\n", sentences::totals(model.totals))),
    }
    if model.dropped.changes() > 0 {
        text.push_str(&format!(
            "No longer planned because of this change: {}\n\n",
            sentences::totals(model.dropped)
        ));
    }
    if model.input.subject == Subject::Drift {
        let classes = Class::ALL.into_iter().filter(|class| model.class(*class) > 0);
        let classes: Vec<String> =
            classes.map(|class| format!("{} {}", class.word(), number(model.class(class)))).collect();
        if !classes.is_empty() {
            text.push_str(&format!("By class: {}\n\n", classes.join(" · ")));
        }
    }
    text
}

/// The effects of the plan on the device groups, in about as many characters as fit.
fn moves(model: &Model<'_>, room: usize) -> String {
    let Some(found) = consequences::foreseen(model) else { return String::new() };
    let mut text = format!("**{}**\n\n", consequences::heading(found));
    let name = |text: &str| code(&clip(text, 60));
    let moves = found.moves.iter().map(|one| consequences::sentence(one, &name));
    let counts = consequences::counts(found).into_iter().map(|(group, before, after)| {
        format!("{}: {} → {}", name(group), number(before), words::counted(after, "device"))
    });
    for (noun, lines) in [("more move", moves.collect::<Vec<_>>()), ("more group", counts.collect())] {
        let mut left = room / 2;
        for (at, line) in lines.iter().enumerate() {
            if length(line) > left {
                text.push_str(&format!("- … {}\n", words::counted((lines.len() - at) as u64, noun)));
                break;
            }
            left -= length(line);
            text.push_str(&format!("- {line}\n"));
        }
    }
    if let Some(exposure) = consequences::exposure(found) {
        text.push_str(&format!("- {exposure}\n"));
    }
    text.push('\n');
    text
}

fn heading(model: &Model<'_>, part: &ReportPart<'_>) -> String {
    let heading = part.origin.map_or_else(String::new, |origin| {
        format!("#### {}: {}\n\n", origin.heading(), sentences::totals(part.totals))
    });
    if part.groups.is_empty() {
        let nothing = sentences::nothing(model);
        return format!("{heading}{nothing}\n\n");
    }
    heading
}

/// A row of the table of groups.
fn row(model: &Model<'_>, line: &Line<'_, '_>) -> String {
    match line {
        Line::Group(group) => {
            let (mut why, at) = reason(model, group.cause);
            if let Some(of) = renamed::why(group) {
                why = code(&clip(&of, 160));
            }
            let why = match (group.outcome, group.error) {
                (Some(outcome), Some(error)) => {
                    format!("{}: {}", outcome_phrase(outcome), code(&clip(error, 300)))
                }
                (Some(outcome), None) => outcome_phrase(outcome).to_owned(),
                (None, _) => match last::phrase(&group.last) {
                    Some(mark) => format!("{why}, **{}**", marked(&mark)),
                    None => why,
                },
            };
            let label = label(group);
            let count = number(group.devices());
            {
                // A removal must be recognisable without colour.
                let strong = if matches!(group.what, ReportedChange::Remove(_)) { "**" } else { "" };
                format!("| {} | {strong}{label}{strong} | {count} | {why} | {at} |\n", group.what.symbol())
            }
        }
        Line::Tags { cause, groups, .. } => {
            let (why, at) = reason(model, Some(*cause));
            let first: Vec<String> = groups.iter().take(3).map(|group| name(&group.what.label())).collect();
            let tags = number(groups.len() as u64);
            format!(
                "| + | {tags} tags: {}, … | {} | {why} | {at} |\n",
                first.join(", "),
                number(line.changes())
            )
        }
        Line::Rest { lines, changes } => {
            let count = number(changes.changes());
            let counts = sentences::counts(*changes);
            format!("| … | {} more groups | {count} | {counts} | |\n", number(*lines as u64))
        }
    }
}

/// A group that must be shown although its row does not fit.
fn short_row(model: &Model<'_>, group: &ChangeGroup<'_>) -> (String, String) {
    let (why, at) = reason(model, group.cause);
    let of = match (group.outcome, at.is_empty()) {
        (Some(outcome), _) => format!("{} {}", group.what.action(), outcome_phrase(outcome)),
        (None, true) => format!("{} {why}", group.what.action()),
        (None, false) => format!("{} {why} {at}", group.what.action()),
    };
    let last = last::phrase(&group.last).map_or_else(String::new, |mark| format!(" {}", marked(&mark)));
    (of, format!("{} {}{last}", label(group), number(group.devices())))
}

/// The tag or value in a code span; both names of a rename.
fn label(group: &ChangeGroup<'_>) -> String {
    let label = name(&group.what.label());
    group.new_name.map_or(label.clone(), |to| format!("{label} → {}", name(&escape::tag(to))))
}

/// The mark of a removal, with names in a code span.
fn marked(mark: &str) -> String {
    match mark.split_once(" of ") {
        Some((last, names)) => format!("{last} of {}", code(names)),
        None => mark.to_owned(),
    }
}

fn reason(model: &Model<'_>, cause: Option<crate::plan::CauseIndex>) -> (String, String) {
    let plan = model.plan();
    let Some(cause) = cause.and_then(|cause| plan.causes.get(cause.0 as usize)) else {
        return (String::new(), String::new());
    };
    let at = words::cause_place(plan, cause).map_or_else(String::new, |at| {
        let shown = name(&words::place(at));
        match model.links().and_then(|links| links.link(at)) {
            Some(link) => format!("[{shown}]({link})"),
            None => shown,
        }
    });
    (code(&clip(&words::cause(plan, cause), 160)), at)
}

/// Three devices of each group, as far as there is room, removals first.
fn samples(model: &Model<'_>, lines: &[Vec<Line<'_, '_>>], room: usize) -> String {
    const OPEN: &str = "<details><summary>Devices</summary>\n\n";
    const CLOSE: &str = "\n</details>\n\n";
    const CUT: &str = "- … and those of further groups\n";
    let mut left = room.saturating_sub(OPEN.len() + CLOSE.len() + length(CUT));
    let mut text = String::new();
    let groups = lines.iter().flatten().filter_map(|line| match line {
        Line::Group(group) => Some(*group),
        Line::Tags { .. } | Line::Rest { .. } => None,
    });
    let (must, may): (Vec<&ChangeGroup<'_>>, Vec<&ChangeGroup<'_>>) =
        groups.partition(|group| matches!(group.what, ReportedChange::Remove(_)));
    for group in must.into_iter().chain(may) {
        let mut names: Vec<String> =
            group.members.iter().take(3).map(|member| name(model.device_name(*member))).collect();
        if group.members.len() > names.len() {
            names.push(format!("… {} more", number((group.members.len() - names.len()) as u64)));
        }
        let item = format!("- {} {}: {}\n", group.what.action(), label(group), names.join(", "));
        if length(&item) > left {
            text.push_str(CUT);
            break;
        }
        left -= length(&item);
        text.push_str(&item);
    }
    if text.is_empty() || room < OPEN.len() + CLOSE.len() + length(CUT) {
        return String::new();
    }
    format!("{OPEN}{text}{CLOSE}")
}

/// Withheld changes, entries of data files that match no device, and warnings.
fn asides(model: &Model<'_>) -> String {
    let mut text = String::new();
    let phrases = not_done::not_written(model);
    if !phrases.is_empty() {
        let shown: Vec<String> = phrases.iter().take(SENTENCES).map(|phrase| phrase.render(name)).collect();
        text.push_str(&format!("Not written: {}\n\n", shown.join(" · ")));
        text.push_str(&more(phrases.len(), "reason"));
    }
    let unmatched = not_done::unmatched(model.plan());
    for (source, said, names) in unmatched.iter().take(SENTENCES) {
        let phrase = Phrase::new(said.clone(), names.clone());
        text.push_str(&format!("{}: {}\n\n", name(source), phrase.render(name)));
    }
    text.push_str(&more(unmatched.len(), "source"));
    let warnings = &model.plan().warnings;
    for warning in warnings.iter().take(SENTENCES) {
        let sign = if warning.is_note() { "Note" } else { "⚠" };
        text.push_str(&format!("{sign} {} {}\n\n", warning.code, code(&clip(&warning.message, 300))));
    }
    text.push_str(&more(warnings.len(), "warning"));
    text
}

/// Calls, guard and refusals of a plan; the end of a run.
fn closing(model: &Model<'_>) -> String {
    let mut text = String::new();
    if let Some(run) = model.input.run {
        if let Some(reason) = &run.stopped {
            text.push_str(&format!("Stopped because {}\n\n", code(&clip(reason, 300))));
        }
        text.push_str(
            &shown_by(run).map_or_else(String::new, |sentence| format!("{}\n\n", capitalised(&sentence))),
        );
        for (purpose, command) in ways_on(run) {
            text.push_str(&format!("{}: {}\n\n", capitalised(purpose), code(&clip(&command, 300))));
        }
        for sum in lost::sums(&run.lost) {
            text.push_str(&format!("**{sum}**\n\n"));
        }
        let lost = lost::sentences(model);
        for sentence in lost.iter().take(SENTENCES) {
            text.push_str(&format!("{}\n\n", code(&clip(sentence, 500))));
        }
        text.push_str(&more(lost.len(), "tag"));
        for note in run.notes.iter().take(SENTENCES) {
            text.push_str(&format!("Note: {}\n\n", code(&clip(note, 300))));
        }
        text.push_str(&more(run.notes.len(), "note"));
        return text;
    }
    if let Some(calls) = sentences::calls(model) {
        text.push_str(&format!("{calls}\n\n"));
    }
    if let Some(waves) = waves::sentence(model) {
        text.push_str(&format!("{waves}\n\n"));
    }
    if model.input.subject == Subject::Drift {
        return text;
    }
    let plan = model.plan();
    let phrases: Vec<String> = sentences::guard(model).iter().map(|phrase| phrase.render(name)).collect();
    let verdict = if plan.guard.refused { "**REFUSED**" } else { "within limits" };
    if !phrases.is_empty() || plan.guard.refused {
        text.push_str(&format!("Guard: {}: {verdict}\n\n", phrases.join(", ")));
    }
    for (index, approval) in plan.guard.approvals.iter().take(SENTENCES).enumerate() {
        let word = if plan.guard.raises(index) { "Raised" } else { "Not enough" };
        text.push_str(&format!("{word}: {}\n\n", name(&approval.sentence())));
    }
    text.push_str(&more(plan.guard.approvals.len(), "approval"));
    if let Some(unknown) = sentences::state(plan) {
        text.push_str(&format!("State: {}\n\n", name(&unknown)));
    }
    text
}

/// The first lines of a refused plan: why it is refused, and what to paste to proceed.
fn refused(model: &Model<'_>) -> String {
    let plan = model.plan();
    let refusals = refusal::refusals(plan);
    if refusals.is_empty() || model.input.subject != Subject::Plan {
        return String::new();
    }
    let sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    let mut text = format!("**{sandbox}⛔ Refused by the guard: nothing will be written**\n\n~~~text\n");
    for refusal in refusals.iter().take(SENTENCES) {
        let lines = [&refusal.headline, &refusal.arithmetic].map(|line| clip(line, 400));
        let [headline, arithmetic] = &lines.each_ref().map(|line| terminal(line));
        text.push_str(&format!("refused: {headline}\n  {arithmetic}\n"));
    }
    if let Some(snippet) = refusal::snippet(plan) {
        let first =
            snippet.first.map_or_else(String::new, |first| format!("{}\n", terminal(&clip(&first, 400))));
        let arguments = clip(&snippet.arguments, 2_000);
        text.push_str(&format!("\n{first}{}: {}\n", snippet.lead, terminal(&arguments)));
        if !snippet.approvals.is_empty() {
            text.push_str("or in the guard file, below `approvals:`\n");
        }
        for entry in snippet.approvals.iter().take(SENTENCES) {
            text.push_str(&format!("  {}\n", terminal(&clip(entry, 400))));
        }
        if snippet.approvals.len() > SENTENCES {
            let rest = (snippet.approvals.len() - SENTENCES) as u64;
            text.push_str(&format!("  # … and {}\n", words::counted(rest, "more entry|more entries")));
        }
    }
    text.push_str("~~~\n\n");
    text.push_str(&more(refusals.len(), "refusal"));
    text
}

/// The number of sentences that a list leaves out.
fn more(count: usize, noun: &str) -> String {
    match count.saturating_sub(SENTENCES) {
        0 => String::new(),
        rest => format!("… and {}\n\n", words::counted(rest as u64, &format!("more {noun}"))),
    }
}

/// A foreign name: a code span, shortened if it is very long.
fn name(text: &str) -> String {
    code(&clip(text, 120))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::report::fixtures;
    use crate::report::model::Input;

    fn render(input: Input<'_>, max_chars: usize) -> String {
        let mut out = Vec::new();
        markdown(&Model::new(input), max_chars, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn plan_text(plan: &Plan, max_chars: usize) -> String {
        render(Input::new(Subject::Plan, plan), max_chars)
    }

    /// Devices in the rows of the table that start with a symbol.
    fn counted(text: &str, symbol: &str) -> u64 {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| {symbol} |")));
        rows.map(|row| row.split('|').nth(3).unwrap().trim().replace(',', "").parse::<u64>().unwrap()).sum()
    }

    #[test]
    fn a_comment_shows_groups_sums_and_the_guard() {
        let text = plan_text(&fixtures::example(), MAX_CHARS);
        assert!(
            text.contains("| + | `Tier0` | 12 | `domain-controllers` | `policies/servers.yaml:12` |"),
            "{text}"
        );
        assert!(text.contains("**3,116 additions, 211 removals, 12 values on 3,116 devices**"));
        assert!(text.contains("Not written: 4 changes on protected devices (`break-glass`)"));
        assert!(text.ends_with("<!-- mdetag:plan:contoso -->\n"));
        assert_eq!((counted(&text, "+"), counted(&text, "-"), counted(&text, "~")), (3_116, 211, 12));
    }

    #[test]
    fn ten_thousand_removals_of_as_many_tags_keep_their_counts() {
        let text = plan_text(&fixtures::many_tags(300, 17), MAX_CHARS);
        assert!(length(&text) <= MAX_CHARS);
        assert_eq!(counted(&text, "-"), 5_100, "every removal group has its row");
        let text = plan_text(&fixtures::many_tags(5_000, 1), MAX_CHARS);
        assert!(length(&text) <= MAX_CHARS);
        assert!(text.contains("policies/servers.yaml:4`: 5,000 tags, 5,000 changes: "), "{}", &text[..2_000]);
        assert!(text.contains(" more with "), "what has no room for a name keeps its count");
    }

    #[test]
    fn no_limit_is_ever_exceeded() {
        for plan in [fixtures::example(), fixtures::hostile(), fixtures::many_tags(200, 3)] {
            for limit in [0, 1, 50, 500, 900, 1_000, 1_200, 1_500, 2_000, 4_000, 10_000, MAX_CHARS] {
                let text = plan_text(&plan, limit);
                assert!(length(&text) <= limit, "{limit}");
                // The comment consists of whole lines, with the sums and the marker.
                let is_marked =
                    text.ends_with(&compact::marker(&Model::new(Input::new(Subject::Plan, &plan))));
                assert!(is_marked || limit < 200, "{limit}: {text}");
                let totals = sentences::totals(Model::new(Input::new(Subject::Plan, &plan)).totals);
                assert!(text.contains(&totals) || limit < compact::MIN_CHARS, "{limit}: {text}");
            }
        }
    }

    #[test]
    fn what_is_cut_is_said_with_its_counts() {
        let mut plan = fixtures::empty();
        plan.causes = (0..400).map(|number| crate::plan::Cause::Rule(vec![number % 2])).collect();
        for number in 0..400 {
            let name = format!("tag-{number}-{}", "z".repeat(100));
            let tag = fixtures::tag(&mut plan, &name);
            let mut device = fixtures::device(&format!("{number:04}"), "");
            device.add.push(crate::plan::TagChange { tag, cause: crate::plan::CauseIndex(number) });
            plan.changes.push(device);
        }
        let text = plan_text(&plan, 6_000);
        let shown = counted(&text, "+") + counted(&text, "…");
        let rest = text.split("*Cut to fit: ").nth(1).unwrap();
        assert!(rest.contains("additions; the other formats have all.*"), "{rest}");
        let summed: u64 = rest.split(" with ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(shown + summed, 400);
    }

    #[test]
    fn hostile_names_stay_in_code_spans_and_rows_keep_their_cells() {
        let text = plan_text(&fixtures::hostile(), MAX_CHARS);
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        }
        let mut bare = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find('`') {
            bare.push_str(&rest[..start]);
            let fence = rest[start..].len() - rest[start..].trim_start_matches('`').len();
            let mut end = start + fence;
            loop {
                let open = end + rest[end..].find('`').unwrap_or_else(|| panic!("unclosed span: {rest}"));
                let run = rest[open..].len() - rest[open..].trim_start_matches('`').len();
                end = open + run;
                if run == fence {
                    break;
                }
            }
            rest = &rest[end..];
        }
        bare.push_str(rest);
        for dangerous in ["<script", "@everyone", "https://", "#1", "::error", "\u{202e}"] {
            assert!(!bare.contains(dangerous), "{dangerous} stands bare: {bare}");
        }
    }
}
