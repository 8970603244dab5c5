//! Plans, drift and the end of a run for people at a terminal or in a log.
//!
//! All foreign text goes through `escape::terminal`. [`Style`] gives the width of the terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::policy::ShownIn;

use super::consequences;
use super::ending;
use super::escape::{clip, terminal};
use super::fold;
use super::model::{Class, Model, ReportPart, Subject};
use super::not_done;
use super::refusal;
use super::renamed;
use super::sentences::{self, Phrase};
use super::style::{Paint, Style, wrap, write_prose};
use super::table;
use super::waves;
use super::words::{counted, lane, number};

/// Writes the report.
///
/// # Errors
/// Those of the writer.
pub fn human(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if model.input.subject == Subject::Plan {
        refused_first(model, style, out)?;
    }
    if style.follows_plan && model.input.run.is_some() {
        return ending::what_differs(model, style, out);
    }
    head(model, style, out)?;
    for part in &model.parts {
        if let Some(origin) = part.origin {
            let heading = format!("{}: {}", origin.heading(), sentences::totals(part.totals));
            writeln!(out, "\n{}", style.paint(Paint::Strong, &heading))?;
        }
        writeln!(out)?;
        groups(model, part, style, out)?;
    }
    moves(model, style, out)?;
    asides(model, style, out)?;
    writeln!(out)?;
    match model.input.run {
        Some(_) => ending::write(model, style, out),
        None => sums(model, style, out),
    }
}

/// The first lines: what must be read before anything else, and the subject of the report.
fn head(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut sandbox = if model.is_sandbox() { "SANDBOX · " } else { "" };
    // `--details` shows in full what screens shorten, as documents do.
    let hidden = if style.details { ShownIn::Short } else { ShownIn::Whole };
    for notice in sentences::must_read(model, hidden).iter().chain(&sentences::further(model, hidden)) {
        write_prose(&format!("{sandbox}{}", terminal(notice)), Paint::Notice, (0, 2), style, out)?;
        sandbox = "";
    }
    let tenant = sentences::tenant(model.plan());
    let tenant =
        Phrase { text: terminal(&tenant.text).into_owned(), ..tenant }.render(|id| terminal(id).into_owned());
    let head = format!("{sandbox}{} {tenant}", sentences::title(model.input.subject));
    let facts = sentences::facts(model).into_iter().map(|fact| Cow::Owned(terminal(&fact).into_owned()));
    for line in wrap(std::iter::once(Cow::Owned(head)).chain(facts), " · ", (0, 2), style.width) {
        writeln!(out, "{}", style.paint(Paint::Strong, &line))?;
    }
    Ok(())
}

/// The list of groups.
fn groups(model: &Model<'_>, part: &ReportPart<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if part.groups.is_empty() {
        let nothing = sentences::nothing(model);
        return writeln!(out, "  {}", style.paint(Paint::Good, nothing));
    }
    let groups = renamed::joined(model, &part.groups);
    let lines = if style.details {
        fold::unfolded(&groups)
    } else {
        fold::gathered(fold::folded(&groups, fold::SCREEN))
    };
    table::write(model, &lines, style, out)
}

/// The effects of the plan on the device groups.
fn moves(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    const MOVES: usize = 20;
    let Some(found) = consequences::foreseen(model) else { return Ok(()) };
    writeln!(out)?;
    write_prose(&consequences::heading(found), Paint::Strong, (0, 2), style, out)?;
    let shown = if style.details { usize::MAX } else { MOVES };
    let name = |name: &str| terminal(&clip(name, 80)).into_owned();
    for one in found.moves.iter().take(shown) {
        let paint = if one.widens() { Paint::Notice } else { Paint::Plain };
        write_prose(&consequences::sentence(one, &name), paint, (2, 6), style, out)?;
    }
    if found.moves.len() > shown {
        writeln!(out, "  … {}", counted((found.moves.len() - shown) as u64, "more move"))?;
    }
    let counts = consequences::counts(found);
    for (group, before, after) in counts.iter().take(shown) {
        let count = counted(*after, "device");
        write_prose(
            &format!("{}: {} → {count}", name(group), number(*before)),
            Paint::Plain,
            (2, 6),
            style,
            out,
        )?;
    }
    if counts.len() > shown {
        writeln!(out, "  … {}", counted((counts.len() - shown) as u64, "more group"))?;
    }
    match consequences::exposure(found) {
        Some(exposure) => writeln!(out, "  {exposure}"),
        None => Ok(()),
    }
}

/// Withheld changes, entries that match no device, and warnings.
fn asides(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let phrases = not_done::not_written(model);
    let unmatched = not_done::unmatched(model.plan());
    let warnings = &model.plan().warnings;
    if !phrases.is_empty() || !unmatched.is_empty() || !warnings.is_empty() {
        writeln!(out)?;
    }
    if !phrases.is_empty() {
        let mut items: Vec<Cow<'_, str>> = phrases.iter().map(|phrase| escaped(phrase).into()).collect();
        items[0] = format!("Not written: {}", items[0]).into();
        for line in wrap(items, " · ", (2, 4), style.width) {
            // An item alone can be wider than the terminal.
            let text = line.trim_start();
            write_prose(text, Paint::Plain, (line.len() - text.len(), 4), style, out)?;
        }
    }
    if style.details || model.input.subject == Subject::Drift {
        aside_devices(model, style, out)?;
        unresolved_devices(model, style, out)?;
    }
    for (source, text, names) in unmatched {
        let source = terminal(&source).into_owned();
        let phrase = Phrase::new(format!("{source}: {text}"), names);
        write_prose(&escaped(&phrase), Paint::Plain, (2, 4), style, out)?;
    }
    for warning in warnings {
        let kind = if warning.is_note() { "note" } else { "warning" };
        let text = format!("{kind}[{}]: {}", warning.code, terminal(&warning.message));
        write_prose(&text, Paint::Notice, (2, 4), style, out)?;
    }
    Ok(())
}

/// The devices of changes that are not written: three per group, or all with details.
fn aside_devices(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for (class, aside) in model.asides().filter(|(_, aside)| !aside.devices.is_empty()) {
        let shown = if style.details { usize::MAX } else { 3 };
        let names = aside.devices.iter().take(shown).map(|device| device.name.as_ref().unwrap_or(&device.id));
        let mut items: Vec<Cow<'_, str>> =
            names.map(|name| terminal(&super::escape::clip(name, 80)).into_owned().into()).collect();
        if aside.devices.len() > items.len() {
            items.push(format!("… {} more", number((aside.devices.len() - items.len()) as u64)).into());
        }
        let name = aside.name.as_ref().map_or_else(String::new, |name| format!(" ({})", terminal(name)));
        items[0] = format!("{}{name}: {}", class.word(), items[0]).into();
        for line in wrap(items, ", ", (6, 8), style.width) {
            writeln!(out, "{}", style.paint(Paint::Faint, &line))?;
        }
    }
    Ok(())
}

/// The devices on which a template yields no tag, and what it lacks: three per template, or all with details.
fn unresolved_devices(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for entry in model.plan().unresolved.iter().filter(|entry| !entry.devices.is_empty()) {
        let shown = if style.details { usize::MAX } else { 3 };
        let mut items: Vec<Cow<'_, str>> = Vec::new();
        for device in entry.devices.iter().take(shown) {
            let name = clip(device.name.as_ref().unwrap_or(&device.id), 80);
            items.push(format!("{} ({})", terminal(&name), not_done::gap(device.reason)).into());
        }
        if entry.devices.len() > items.len() {
            items.push(format!("… {} more", number((entry.devices.len() - items.len()) as u64)).into());
        }
        items[0] = format!("unresolved ({}): {}", terminal(&clip(&entry.template, 80)), items[0]).into();
        for line in wrap(items, ", ", (6, 8), style.width) {
            writeln!(out, "{}", style.paint(Paint::Faint, &line))?;
        }
    }
    Ok(())
}

/// Sums, calls and guard of a plan; classes of a drift report.
fn sums(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", sentences::totals(model.totals))?;
    if model.dropped.changes() > 0 {
        writeln!(out, "no longer planned because of this change: {}", sentences::totals(model.dropped))?;
    }
    if model.input.subject == Subject::Drift {
        let classes = Class::ALL.into_iter().filter(|class| model.class(*class) > 0);
        let classes: Vec<String> =
            classes.map(|class| format!("{} {}", class.word(), number(model.class(class)))).collect();
        if !classes.is_empty() {
            writeln!(out, "by class: {}", classes.join(" · "))?;
        }
    }
    if let Some(calls) = sentences::calls(model) {
        write_prose(&calls, Paint::Plain, (0, 2), style, out)?;
        if let Some(waves) = waves::sentence(model) {
            write_prose(&waves, Paint::Plain, (0, 2), style, out)?;
        }
        if style.details {
            lanes(model, out)?;
        }
    }
    if model.input.subject == Subject::Plan {
        guard(model, style, out)?;
    }
    Ok(())
}

/// Every lane with its calls and minimum.
fn lanes(model: &Model<'_>, out: &mut dyn Write) -> io::Result<()> {
    for cost in &model.plan().schedule.lanes {
        let calls = counted(cost.calls, "call");
        writeln!(out, "  {}: {calls}, the minimum is {}", lane(cost.lane), number(cost.minimum))?;
    }
    Ok(())
}

/// The guard's arithmetic, and why it refuses.
fn guard(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    let phrases = sentences::guard(model);
    let verdict = if plan.guard.refused { "REFUSED" } else { "within limits" };
    if !phrases.is_empty() || plan.guard.refused {
        let mut items: Vec<Cow<'_, str>> = phrases.iter().map(|phrase| escaped(phrase).into()).collect();
        match items.last_mut() {
            Some(last) => last.to_mut().push_str(&format!(": {verdict}")),
            None => items.push(verdict.into()),
        }
        items[0] = format!("Guard: {}", items[0]).into();
        let paint = if plan.guard.refused { Paint::Bad } else { Paint::Good };
        for line in wrap(items, ", ", (0, 2), style.width) {
            writeln!(out, "{}", style.paint(paint, &line))?;
        }
    }
    for (index, approval) in plan.guard.approvals.iter().enumerate() {
        let word = if plan.guard.raises(index) { "raised" } else { "not enough" };
        write_prose(
            &format!("{word}: {}", terminal(&approval.sentence())),
            Paint::Plain,
            (2, 4),
            style,
            out,
        )?;
    }
    if let Some(unknown) = sentences::state(plan) {
        write_prose(&format!("state: {}", terminal(&unknown)), Paint::Notice, (2, 4), style, out)?;
    }
    refused(model, style, out)
}

/// The first lines of a refused plan: what refuses it, and what to paste to proceed.
fn refused_first(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let refusals = refusal::refusals(model.plan());
    for (at, refusal) in refusals.iter().enumerate() {
        let sandbox = if at == 0 && model.is_sandbox() { "SANDBOX · " } else { "" };
        write_prose(
            &format!("{sandbox}refused: {}", terminal(&refusal.headline)),
            Paint::Bad,
            (0, 2),
            style,
            out,
        )?;
    }
    if let Some(snippet) = refusal::snippet(model.plan()) {
        if let Some(first) = &snippet.first {
            write_prose(&terminal(first), Paint::Plain, (2, 4), style, out)?;
        }
        // Never wrapped, so that it can be copied.
        writeln!(out, "  {}: {}", snippet.lead, terminal(&snippet.arguments))?;
        if !snippet.approvals.is_empty() {
            writeln!(out, "  or in the guard file, below `approvals:`")?;
        }
        for entry in &snippet.approvals {
            writeln!(out, "    {}", terminal(entry))?;
        }
    }
    if refusals.is_empty() { Ok(()) } else { writeln!(out) }
}

/// The arithmetic of each reason of a refusal.
fn refused(model: &Model<'_>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let plan = model.plan();
    for refusal in refusal::refusals(plan) {
        let name = terminal(&refusal.name);
        write_prose(&format!("{name}: {}", terminal(&refusal.arithmetic)), Paint::Plain, (2, 4), style, out)?;
        // The snippet says how to raise caps; an invariant has its own advice.
        if !refusal.is_raised_by_snippet {
            write_prose(&terminal(&refusal.proceed), Paint::Plain, (4, 4), style, out)?;
        }
    }
    Ok(())
}

fn escaped(phrase: &Phrase) -> String {
    phrase.render(|name| terminal(&super::escape::clip(name, 80)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Lane, LaneLeft, Ledger, Plan};
    use crate::policy::{Area, Difference};
    use crate::report::fixtures;
    use crate::report::model::Input;
    use crate::report::style::width;

    fn render(input: Input<'_>, style: Style) -> String {
        let mut out = Vec::new();
        human(&Model::new(input), &style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn plan_text(plan: &Plan, width: usize) -> String {
        render(Input::new(Subject::Plan, plan), Style { width, ..Style::default() })
    }

    const EXAMPLE: &str = r#"
Plan for contoso (11111111-2222-3333-4444-555555555555) · 48,210 devices read, 41,877 in scope · policy 3f2a91c ·
  inventory trusted

  - env/test              211 devices   unselected: claimed by "env/*"  policies/servers.yaml:4
      srv0000.corp.example.com, srv0001.corp.example.com, srv0002.corp.example.com, … 208 more
  + Tier0                  12 devices   domain-controllers              policies/servers.yaml:12
      dc01.corp.example.com, dc02.corp.example.com, dc03.corp.example.com, … 9 more
  + env/prod            3,104 devices   production                      policies/servers.yaml:23
      srv0000.corp.example.com, srv0001.corp.example.com, srv0002.corp.example.com, … 3,101 more
  ~ Normal → High          12 devices   domain-controllers              policies/servers.yaml:12
      dc01.corp.example.com, dc02.corp.example.com, dc03.corp.example.com, … 9 more

  Not written: 4 changes on protected devices (break-glass) · 37 tags unresolved (lookup.cmdb.owner: no row)

3,116 additions, 211 removals, 12 values on 3,116 devices
21 calls: bulk tag 9, set value 12 · at least 0 s, within this hour's budget (1,487 of 1,500 left)
Guard: devices 7.4 % of 50 %, additions 7.4 % of 100 %, removals 2.1 % of 10 %, values 0.03 % of 25 %,
  removalsPerTag 20.3 % of 50 % (env/test): within limits
"#;

    #[test]
    fn a_plan_reads_as_the_documentation_shows_it() {
        let mut plan = fixtures::example();
        let lane = |lane| LaneLeft { lane, left: 1_487, of: 1_500 };
        plan.ledger = Some(Ledger { lanes: vec![lane(Lane::BulkTag), lane(Lane::SetValue)], seconds: 0 });
        let text = plan_text(&plan, 120);
        assert_eq!(format!("\n{text}"), EXAMPLE, "{text}");
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_but_what_is_copied() {
        for (columns, plan) in
            [(80, fixtures::example()), (160, fixtures::example()), (100, fixtures::hostile())]
        {
            for line in plan_text(&plan, columns).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn hostile_names_are_written_out() {
        let text = plan_text(&fixtures::hostile(), 200);
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\r', '\0']), "{text}");
        assert!(!text.contains("##vso[") && !text.lines().any(|line| line.trim_start().starts_with("::")));
    }

    #[test]
    fn a_sandbox_and_a_lost_guard_are_said_first() {
        let mut plan = fixtures::example();
        plan.header.tenant.cloud = Some("sandbox".to_owned());
        assert!(plan_text(&plan, 120).starts_with("SANDBOX · Plan for contoso"));
        plan.header.inventory.reasons = vec!["page 2 repeats page 1".to_owned()];
        let lost = [Difference::new(Area::Guard, "`guard.caps.removals` is gone")];
        let input = Input { policy_changes: &lost, ..Input::new(Subject::Plan, &plan) };
        let text = render(input, Style { width: 200, ..Style::default() });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "SANDBOX · guard changed: `guard.caps.removals` is gone");
        assert!(lines[1].starts_with("inventory untrusted: page 2 repeats page 1; no tag will be removed"));
    }

    #[test]
    fn what_a_screen_says_in_short_details_say_whole() {
        use crate::diagnostic::Sources;
        let with = |rows: usize| {
            let text =
                "version: 1\nprotect: [{ name: vip, select: { computerDnsName: { inFile: vip.txt } } }]\n";
            let mut sources = Sources::from_text("p.yaml", text);
            let rows: String = (0..rows).map(|row| format!("host-{row:03}.corp\n")).collect();
            sources.data.insert((0, "vip.txt".to_owned()), Ok(std::sync::Arc::from(rows.as_bytes())));
            sources
        };
        let found = crate::policy::differences(&with(40), &with(1));
        let plan = fixtures::empty();
        let input = Input { policy_changes: &found, ..Input::new(Subject::Plan, &plan) };
        let short = render(input, Style { width: 200, ..Style::default() });
        assert!(short.contains("14 more rows are taken out (--details, JSON and HTML list them)"), "{short}");
        assert!(short.contains("host-025.corp") && !short.contains("host-026.corp"), "{short}");
        let whole = render(input, Style { width: 200, details: true, ..Style::default() });
        assert!(whole.contains("host-039.corp") && !whole.contains("more rows"), "{whole}");
    }

    #[test]
    fn a_refusal_shows_arithmetic_setting_place_and_the_way_on() {
        let plan = fixtures::refused();
        let text = plan_text(&plan, 200);
        let first = "\
refused: 312 removals of tag \"Tier0\" are over the limit of 260
  to proceed: --allow removalsPerTag:Tier0=312
  or in the guard file, below `approvals:`
    - { cap: removalsPerTag, tag: \"Tier0\", max: 312, reason: \"WHY\", expires: 2026-12-06 }

";
        let last = "\
  removalsPerTag:Tier0: 312 of 1,040 devices that carry it (30.0 %); limit `guard.caps.removalsPerTag: 25 %, floor 5` in policies/guard.yaml:9
";
        assert!(text.starts_with(first) && text.ends_with(last), "{text}");
    }

    #[test]
    fn details_list_every_device() {
        let text = render(
            Input::new(Subject::Plan, &fixtures::example()),
            Style { details: true, ..Style::default() },
        );
        assert!(text.contains("srv3103.corp.example.com") && !text.contains(" more"));
        assert!(text.contains("unresolved (owner:{lookup.cmdb.owner|slug}): srv-37 (no row)\n"), "{text}");
    }

    #[test]
    fn ten_thousand_changes_fit_a_screen_and_every_removed_tag_is_named() {
        let text = plan_text(&fixtures::many_tags(20, 250), 120);
        assert!(text.lines().count() < 50, "{text}");
        assert!(text.contains("+ 20 tags") && text.contains("- 20 tags"));
        for number in 0..20 {
            assert!(text.contains(&format!("owner:{number:05}-{} (250)", "x".repeat(60))), "{text}");
        }
    }

    #[test]
    fn a_stopped_run_adds_up_and_says_how_to_continue() {
        let plan = fixtures::example();
        let run = fixtures::run(&plan);
        let text = render(Input { run: Some(&run), ..Input::new(Subject::Applied, &plan) }, Style::default());
        let ending = "\
stopped: 3,224 of 3,339 changes done, 5 so already, 5 bounced, 5 failed, 100 not attempted
  because the limit of 50 min is reached
  to continue: mdetag apply --resume
";
        assert!(text.contains(ending), "{text}");
        assert!(text.contains("failed: InvalidInput: the device id is malformed"));
    }

    #[test]
    fn a_base_splits_this_change_from_what_was_there() {
        let plan = fixtures::example();
        let mut base = plan.clone();
        base.changes.truncate(12);
        base.changes[0].id = "a0000".into();
        let text = render(Input { base: Some(&base), ..Input::new(Subject::Plan, &plan) }, Style::default());
        assert!(
            text.contains("This change: 3,105 additions, 211 removals, 1 value on 3,105 devices"),
            "{text}"
        );
        assert!(text.contains("Drift that was there already: 11 additions, 11 values on 11 devices"));
        assert!(text.contains("no longer planned because of this change: 1 addition, 1 value on 1 device"));
    }

    #[test]
    fn an_empty_plan_says_so() {
        assert!(plan_text(&fixtures::empty(), 120).contains("Nothing to change."));
    }
}
