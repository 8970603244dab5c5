//! One self-contained page: sums, guard, charts, groups, and a searchable table that stays fast with 100,000 rows.
//!
//! Loads nothing: style and script are inline, and the page's content security policy names their digests and forbids the rest.
//! Without scripts, everything except the table of single changes is there.

mod charts;
mod guard;
mod island;
mod listing;
mod markup;
mod moves;

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::policy::ShownIn;

use super::ending::{outcomes, shown_by, ways_on};
use super::escape::clip;
use super::fold::{self, Line};
use super::last;
use super::lost;
use super::model::{ChangeGroup, Model, ReportedChange};
use super::not_done;
use super::renamed;
use super::sentences::{self, Phrase};
use super::waves;
use super::words::{self, capitalised, number, outcome_phrase};

use markup::{Markup, emit, markup};

pub use listing::listing_page;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Lines of groups that can be summed up, before the smallest are.
const GROUPS: usize = 300;

/// The most removal groups (and items of other lists) before the rest becomes a number, because browsers have limits too.
const LIST: usize = 5_000;

/// Writes the page.
///
/// # Errors
/// Those of the writer.
pub fn html(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    let tenant = sentences::tenant(model.plan()).render(str::to_owned);
    let title = format!("{sandbox}{} {}", sentences::title(model.input.subject), clip(&tenant, 200));
    let policy = markup!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source_digest(STYLE),
        source_digest(SCRIPT)
    );
    emit!(
        out,
        "<!doctype html><!-- {}mdetag -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">",
        sandbox
    )?;
    emit!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">", policy)?;
    emit!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    emit!(out, "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>", title)?;
    emit!(out, "<style>{}</style>\n</head>\n<body>", Markup::constant(STYLE))?;
    emit!(out, "<a class=\"skip\" href=\"#changes\">Skip to the list of changes</a>")?;
    let heading = format!("{} {}", sentences::title(model.input.subject), clip(&tenant, 200));
    head(model, &heading, out)?;
    emit!(out, "<main>")?;
    sums(model, out)?;
    guard::write(model, out)?;
    moves::write(model, out)?;
    charts::write(model, out)?;
    groups(model, out)?;
    asides(model, out)?;
    table(model, out)?;
    emit!(out, "</main>\n<footer><p>{}</p></footer>", model.plan().header.tool)?;
    write!(out, "{}", markup!("<script type=\"application/json\" id=\"data\">"))?;
    island::write(model, out)?;
    emit!(out, "</script>\n<script>{}</script>\n</body>\n</html>", Markup::constant(SCRIPT))
}

/// A source expression of a content security policy: the digest of an inline style or script.
fn source_digest(source: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, source.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest))
}

fn head(model: &Model<'_>, title: &str, out: &mut dyn Write) -> io::Result<()> {
    emit!(out, "<header>")?;
    if model.is_sandbox() {
        emit!(
            out,
            "<p class=\"notice\"><strong>SANDBOX</strong> A simulated tenant: nothing here is real.</p>"
        )?;
    }
    guard::refused(model, out)?;
    for notice in
        sentences::must_read(model, ShownIn::Short).iter().chain(&sentences::further(model, ShownIn::Short))
    {
        emit!(out, "<p class=\"notice\">{}</p>", notice)?;
    }
    emit!(out, "<h1>{}</h1>", title)?;
    let facts = sentences::facts(model).join(" · ");
    emit!(out, "<p class=\"facts\">{} · <time>{}</time></p>", facts, model.plan().header.created_at)?;
    emit!(out, "</header>")
}

/// The figures that readers look for first.
fn sums(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let totals = model.totals;
    let schedule = &model.plan().schedule;
    emit!(out, "<section aria-label=\"Sums\"><dl class=\"sums\">")?;
    let mut sum = |name: &str, value: String| emit!(out, "<div><dt>{}</dt><dd>{}</dd></div>", name, value);
    sum("Additions", format!("+ {}", number(totals.additions)))?;
    sum("Removals", format!("- {}", number(totals.removals)))?;
    sum("Values", format!("~ {}", number(totals.values)))?;
    sum("Devices", number(totals.devices))?;
    if model.input.run.is_none() {
        sum("Calls", number(schedule.total))?;
        let least = std::time::Duration::from_secs(schedule.seconds);
        sum("Least duration", crate::time::spoken(least))?;
    }
    emit!(out, "</dl>")?;
    if let Some(run) = model.input.run {
        emit!(out, "<p><strong>{}</strong></p>", outcomes(model))?;
        if let Some(stopped) = &run.stopped {
            emit!(out, "<p>Stopped because {}</p>", stopped)?;
        }
        if let Some(sentence) = shown_by(run) {
            emit!(out, "<p>{}</p>", capitalised(&sentence))?;
        }
        for (purpose, command) in ways_on(run) {
            emit!(out, "<p>{}: <code>{}</code></p>", capitalised(purpose), command)?;
        }
        for sum in lost::sums(&run.lost) {
            emit!(out, "<p><strong>{}</strong></p>", sum)?;
        }
        for sentence in lost::sentences(model).iter().take(LIST) {
            emit!(out, "<p>{}</p>", capitalised(sentence))?;
        }
        for note in run.notes.iter().take(LIST) {
            emit!(out, "<p>Note: {}</p>", note)?;
        }
    } else if let Some(calls) = sentences::calls(model) {
        emit!(out, "<p>{}</p>", calls)?;
        if let Some(waves) = waves::sentence(model) {
            emit!(out, "<p>{}</p>", waves)?;
        }
    }
    if model.dropped.changes() > 0 {
        let dropped = sentences::totals(model.dropped);
        emit!(out, "<p>No longer planned because of this change: {}</p>", dropped)?;
    }
    emit!(out, "</section>")
}

/// The list of groups, one table per half.
fn groups(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    emit!(out, "<section aria-labelledby=\"groups\"><h2 id=\"groups\">Groups</h2>")?;
    for part in &model.parts {
        let groups = renamed::joined(model, &part.groups);
        if let Some(origin) = part.origin {
            emit!(out, "<h3>{}: {}</h3>", origin.heading(), sentences::totals(part.totals))?;
        }
        if part.groups.is_empty() {
            let nothing = sentences::nothing(model);
            emit!(out, "<p>{}</p>", nothing)?;
            continue;
        }
        let lines = fold::folded(&groups, GROUPS);
        emit!(
            out,
            "<div class=\"wide\"><table class=\"groups cards\"><thead><tr><th scope=\"col\">Change</th><th scope=\"col\">Tag or value</th>"
        )?;
        emit!(
            out,
            "<th scope=\"col\" class=\"number\">Devices</th><th scope=\"col\">Why</th><th scope=\"col\">Where</th></tr></thead><tbody>"
        )?;
        for line in lines.iter().take(LIST) {
            group_row(model, line, out)?;
        }
        emit!(out, "</tbody></table></div>")?;
        if lines.len() > LIST {
            let changes = lines[LIST..].iter().map(Line::changes).sum();
            let lines = words::counted((lines.len() - LIST) as u64, "further group");
            emit!(out, "<p>{} with {} are in the list below.</p>", lines, words::counted(changes, "change"))?;
        }
    }
    emit!(out, "</section>")
}

fn group_row(model: &Model<'_>, line: &Line<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    let mut filter: Option<[String; 3]> = None;
    let (class, action, label, cause) = match line {
        Line::Group(group) => {
            let word = match group.what {
                ReportedChange::Add(_) => "add",
                ReportedChange::Remove(_) => "remove",
                ReportedChange::Value { .. } => "value",
            };
            let action = if group.gained > 0 { "rename" } else { word };
            let label = renamed::label(group);
            (word, format!("{} {action}", group.what.symbol()), label, group.cause)
        }
        Line::Tags { cause, groups, .. } => {
            let names: Vec<String> = groups.iter().take(3).map(|group| group.what.label()).collect();
            let label = format!("{} tags: {}, …", number(groups.len() as u64), names.join(", "));
            ("add", "+ add".to_owned(), label, Some(*cause))
        }
        Line::Rest { lines, changes } => {
            let label = format!("{} more groups: {}", number(*lines as u64), sentences::counts(*changes));
            ("rest", "…".to_owned(), label, None)
        }
    };
    let cause = cause.and_then(|cause| plan.causes.get(cause.0 as usize));
    let mut why = cause.map_or_else(String::new, |cause| words::cause(plan, cause));
    if let Line::Group(group) = line
        && let Some(renamed) = renamed::why(group)
    {
        why = renamed;
    }
    if let Line::Group(group) = line
        && let Some(outcome) = group.outcome
    {
        let error = group.error.map_or_else(String::new, |error| format!(": {error}"));
        why = format!("{}{error}", outcome_phrase(outcome));
    }
    if let Line::Group(group) = line
        && let Some(mark) = last::phrase(&group.last)
    {
        why.push_str(&format!("; {mark}"));
    }
    if let Line::Group(group) = line {
        filter = Some(filters(group));
    }
    let devices = match line {
        Line::Group(group) => group.devices(),
        Line::Tags { .. } | Line::Rest { .. } => line.changes(),
    };
    let place = cause.and_then(|cause| words::cause_place(plan, cause));
    let at = place.map_or_else(Markup::default, |place| markup!("{}", words::place(place)));
    let at = match place.zip(model.links()).and_then(|(place, links)| links.link(place)) {
        Some(link) => markup!("<a href=\"{}\" rel=\"noreferrer\">{}</a>", link, at),
        None => at,
    };
    let shown = clip(&label, 400);
    let label = match filter {
        Some([action, class, tag]) => markup!(
            "<a href=\"#changes\" data-action=\"{}\" data-class=\"{}\" data-tag=\"{}\" data-why=\"{}\"><bdi>{}</bdi></a>",
            action,
            class,
            clip(&tag, 400),
            clip(cause.map(|cause| words::cause(plan, cause)).as_deref().unwrap_or_default(), 400),
            shown
        ),
        None => markup!("<bdi>{}</bdi>", shown),
    };
    emit!(
        out,
        "<tr class=\"{}\"><td>{}</td><td>{}</td><td class=\"number\" data-name=\"Devices\">{}</td><td data-name=\"Why\">{}</td><td data-name=\"Where\">{}</td></tr>",
        class,
        action,
        label,
        number(devices),
        clip(&why, 400),
        at
    )
}

/// Action, class and tag in the words of the list below: a click filters the list to the changes of this group.
fn filters(group: &ChangeGroup<'_>) -> [String; 3] {
    if group.gained > 0 && group.last.is_empty() {
        // Both halves of a rename have the same cause.
        return <[String; 3]>::default();
    }
    let class = group.outcome.map_or(group.what.class().word(), |outcome| outcome.word());
    [group.what.action().to_owned(), class.to_owned(), group.what.label()]
}

/// Withheld changes, entries of data files that match no device, and warnings.
fn asides(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let phrases = not_done::not_written(model);
    let unmatched = not_done::unmatched(model.plan());
    let warnings = &model.plan().warnings;
    if phrases.is_empty() && unmatched.is_empty() && warnings.is_empty() {
        return Ok(());
    }
    emit!(out, "<section aria-labelledby=\"asides\"><h2 id=\"asides\">Not written, and noticed</h2><ul>")?;
    for phrase in phrases.iter().take(LIST) {
        emit!(out, "<li>{}</li>", shown(phrase))?;
    }
    for (source, said, names) in unmatched.into_iter().take(LIST) {
        emit!(out, "<li>{}</li>", shown(&Phrase::new(format!("{source}: {said}"), names)))?;
    }
    for warning in warnings.iter().take(LIST) {
        emit!(out, "<li>{} {}</li>", warning.code, clip(&warning.message, 1_000))?;
    }
    emit!(out, "</ul></section>")
}

/// The frame of the table that the script fills.
fn table(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    let total = island::rows(model);
    emit!(
        out,
        "<section id=\"changes\" aria-labelledby=\"all\" tabindex=\"-1\"><h2 id=\"all\">All changes</h2>"
    )?;
    if total > island::MOST as u64 {
        emit!(
            out,
            "<p>The list holds {} of {}, removals first; <code>csv</code> and <code>ndjson</code> have all.</p>",
            number(island::MOST as u64),
            words::counted(total, "change")
        )?;
    }
    emit!(
        out,
        "<noscript><p>The list of single changes needs JavaScript; the groups above do not.</p></noscript>"
    )?;
    emit!(
        out,
        "<div class=\"tools\"><label>Search <input type=\"search\" id=\"search\" placeholder=\"device, tag, rule, place\" autocomplete=\"off\" spellcheck=\"false\"></label>"
    )?;
    for (name, id) in
        [("Change", "action"), ("Rule or cause", "why"), ("Tag or value", "tag"), ("Class", "class")]
    {
        emit!(out, "<label>{} <select id=\"{}\"><option value=\"\">all</option></select></label>", name, id)?;
    }
    emit!(out, "<button type=\"button\" id=\"clear\">Show all</button>")?;
    emit!(out, "<output id=\"count\" aria-live=\"polite\"></output></div>")?;
    emit!(out, "<div id=\"grid\" class=\"grid\" role=\"table\" aria-labelledby=\"all\"></div>")?;
    emit!(out, "<div id=\"print\" class=\"print\"></div></section>")
}

fn shown(phrase: &Phrase) -> Markup {
    let Phrase { text, names, more } = phrase;
    if names.is_empty() {
        return markup!("{}", text);
    }
    let names = names.iter().map(|name| markup!("<bdi>{}</bdi>", clip(name, 200)));
    markup!("{} ({}{})", text, Markup::joined(names, ", "), more)
}

#[cfg(test)]
mod tests {
    use crate::plan::AxisReport;
    use crate::policy::Axis;
    use crate::report::fixtures;
    use crate::report::model::{Input, Subject};

    use super::*;

    fn page(input: Input<'_>) -> String {
        let mut out = Vec::new();
        html(&Model::new(input), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(source_digest(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn hostile_names_open_no_element_and_end_no_script() {
        let page = page(Input::new(Subject::Drift, &fixtures::hostile()));
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("alert(1)</script>") && !page.contains("<script>alert"));
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
    }

    #[test]
    fn the_page_loads_nothing_and_forbids_it() {
        let page = page(Input::new(Subject::Plan, &fixtures::example()));
        assert!(page.contains("default-src 'none'"));
        for loading in [" src=", "<link", "@import", "url(", "style=\"", " onclick", "javascript:"] {
            assert!(!page.contains(loading), "{loading}");
        }
    }

    #[test]
    fn a_refusal_stands_first_with_one_snippet_and_its_arithmetic_below() {
        let mut plan = fixtures::example();
        let axis = |number: u64| AxisReport {
            tag: Some(format!("<tag> {number}").into()),
            ..fixtures::axis(Axis::RemovalsPerTag, 12, 100, 5, 5)
        };
        plan.guard.axes = (0..14).map(axis).collect();
        plan.guard.refused = true;
        fixtures::offer_snippet(&mut plan);
        let page = page(Input::new(Subject::Plan, &plan));
        let (above, below) = page.split_once("<h1>").unwrap();
        assert_eq!(above.matches("<strong>Refused: ").count(), 12);
        assert!(above.contains("<a href=\"#guard\">2 more reasons</a>"));
        assert_eq!(above.matches("removalsPerTag:&lt;tag&gt; 13=12").count(), 1);
        assert_eq!(below.matches("limit `guard.caps.removalsPerTag: 5 %, floor 5`").count(), 14);
        assert!(!page.contains("<tag>"));
    }

    #[test]
    fn every_change_is_in_the_list() {
        let plan = fixtures::example();
        let page = page(Input::new(Subject::Plan, &plan));
        let island = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(island).unwrap();
        // The changes, and a device on which a template yields no tag.
        assert_eq!(data["rows"].as_array().unwrap().len(), 2 * (3_339 + 1));
        assert_eq!(data["devices"].as_array().unwrap().len(), 2 * (3_116 + 1));
        assert!(island.contains("unresolved: lookup.cmdb.owner (noRow); rule "));
    }

    #[test]
    fn white_space_at_the_ends_of_a_tag_is_seen_in_charts_and_bars() {
        let mut plan = fixtures::example();
        let removed = plan.tags.iter_mut().find(|tag| &***tag == "env/test").unwrap();
        *removed = "Keep ".into();
        let axis = crate::plan::AxisReport {
            axis: crate::policy::Axis::RemovalsPerTag,
            tag: Some("Keep ".into()),
            planned: 1,
            ..plan.guard.axes[0].clone()
        };
        plan.guard.axes.push(axis);
        let page = page(Input::new(Subject::Plan, &plan));
        let bars: Vec<&str> = page.split("At a glance").flat_map(|part| part.split("<text")).collect();
        assert!(bars.iter().any(|bar| bar.contains("</title>&quot;Keep &quot;</text>")), "{bars:?}");
        assert!(page.contains("<bdi>removalsPerTag &quot;Keep &quot;</bdi>"));
    }

    #[test]
    fn a_sandbox_is_named_in_the_first_line() {
        let mut plan = fixtures::example();
        plan.header.tenant.cloud = Some("sandbox".to_owned());
        assert!(page(Input::new(Subject::Plan, &plan)).lines().next().unwrap().contains("SANDBOX"));
    }
}
