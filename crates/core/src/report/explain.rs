//! Why a device has, gets or loses a tag, for people: the verdict first, then the winning and losing rules, then every condition
//! beside the device's actual value.
//!
//! Decides nothing: `explain` gives verdicts and traces.

use std::io::{self, Write};

use crate::desired::GapReason;
use crate::diagnostic::Place;
use crate::explain::{
    ClaimKind, Condition, Explanation, GroupExplained, KeptBy, KeptReason, NoTag, Stated, Statement,
    TagExplained, ValueExplained, Verdict,
};
use crate::plan::WithheldReason;

use super::escape::{clip, terminal};
use super::style::{Paint, Style, prose};
use super::words::{counted, noun_for, number};

/// Rules that do not apply and get a line each, before the rest is only counted.
const IDLE: usize = 20;

/// Writes the explanation as JSON.
///
/// # Errors
/// Those of the writer.
pub fn json(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, explanation)?;
    out.write_all(b"\n")
}

/// Writes the explanation for people. With details it shows the conditions of every rule, not only of those that matter.
///
/// # Errors
/// Those of the writer.
pub fn human(explanation: &Explanation, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let name = explanation.name.as_deref().unwrap_or("a device without a name");
    let scope = match &explanation.scope {
        _ if explanation.is_in_scope => "in scope",
        Some(Condition { holds: None, .. }) => {
            "counts as out of scope, which cannot be decided: the policy does not touch it"
        }
        _ => "out of scope: the policy does not touch it",
    };
    let head = format!("{} ({}) · {scope}", shown(name), shown(&explanation.id));
    writeln!(out, "{}", style.paint(Paint::Strong, &head))?;
    if let Some(scope) = &explanation.scope {
        writeln!(out, "\nScope")?;
        condition(scope, 1, style, out)?;
    }
    for tag in &explanation.tags {
        writeln!(out)?;
        tag_lines(tag, style, out)?;
    }
    if let Some(value) = &explanation.value {
        writeln!(out)?;
        value_lines(value, style, out)?;
    }
    if let Some(group) = &explanation.group {
        group_lines(group, style, out)?;
    }
    let protections: Vec<&Stated> =
        explanation.protections.iter().filter(|one| one.applies || style.details).collect();
    if !protections.is_empty() {
        writeln!(out, "\nProtections")?;
        protections.iter().try_for_each(|one| stated(one, true, style, out))?;
    }
    rules(explanation, style, out)
}

fn shown(text: &str) -> String {
    terminal(&clip(text, 300)).into_owned()
}

fn at(place: &Place) -> String {
    format!("{}:{}", terminal(&place.file), place.line)
}

/// The end of the sentence about a tag.
fn ending(verdict: Verdict) -> (&'static str, Paint) {
    match verdict {
        Verdict::Kept => ("is as it should be", Paint::Good),
        Verdict::Added => ("will be added", Paint::Good),
        Verdict::Removed => ("will be removed", Paint::Bad),
        Verdict::Withheld => ("differs and is withheld", Paint::Notice),
        Verdict::Untouched => ("stays as it is: the policy says nothing about it", Paint::Plain),
        Verdict::Stays => ("stays: its removal does not apply on this device", Paint::Plain),
        Verdict::Absent => ("is not there, and nothing wants it there", Paint::Plain),
        Verdict::OutOfScope => ("is not touched: the device is out of scope", Paint::Plain),
    }
}

fn tag_lines(tag: &TagExplained, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let (ending, paint) = ending(tag.verdict);
    let because =
        tag.because.as_ref().map_or_else(String::new, |because| format!(", because {}", shown(because)));
    sentence(&format!("Tag \"{}\" {ending}{because}", shown(&tag.tag)), paint, 0, style, out)?;
    let live = if tag.is_live { "the device carries it now" } else { "the device does not carry it now" };
    writeln!(out, "  {live}")?;
    stays(tag.stay.as_ref(), style, out)?;
    statements(&tag.statements, out)?;
    if let Some(claim) = &tag.claim {
        let (name, place) = (shown(&claim.name), at(&claim.place));
        let by = match claim.kind {
            ClaimKind::Claim => format!("\"{name}\""),
            ClaimKind::Family => format!("the family \"{name}\""),
            ClaimKind::Rename => format!("its rename to \"{name}\""),
        };
        writeln!(out, "  claimed by {by} at {place}")?;
    }
    if let Some((family, members)) = &tag.family {
        let members: Vec<String> = members.iter().map(|member| shown(member)).collect();
        let text = format!("in family \"{}\", the first of: {}", shown(family), members.join(", "));
        sentence(&text, Paint::Plain, 2, style, out)?;
    }
    let is_claimed_by_rename = tag.claim.as_ref().is_some_and(|claim| claim.kind == ClaimKind::Rename);
    if let Some(to) = tag.renamed_to.as_ref().filter(|_| !is_claimed_by_rename) {
        writeln!(out, "  renamed to \"{}\"", shown(to))?;
    }
    if let Some((pattern, place)) = &tag.retired {
        writeln!(out, "  retired by \"{}\" at {}", shown(pattern), at(place))?;
    }
    if let Some((planned, allowed, base)) = tag.cap {
        let of = counted(base, "device");
        let removals = counted(tag.removals, "removal");
        // A rename removes the old name and adds the new one; caps do not count that.
        let renamed = match tag.removals.saturating_sub(planned) {
            0 => String::new(),
            renamed if renamed == tag.removals => ", which a rename makes and no limit counts".to_owned(),
            renamed => format!(", of which a rename makes {} that no limit counts", number(renamed)),
        };
        let allowed = number(allowed);
        let text = format!(
            "in the whole plan: {removals} of this tag{renamed}; {allowed} allowed, {of} in scope with it"
        );
        sentence(&text, Paint::Plain, 2, style, out)?;
    }
    Ok(())
}

fn group_lines(group: &GroupExplained, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let reported = group.reported.as_deref().map_or("no group", |name| name);
    let (now, after) = (shown(&group.predicted), shown(&group.after));
    let (text, paint) = if now == after {
        (format!("Device group \"{now}\""), Paint::Plain)
    } else {
        (format!("Device group \"{now}\" now, \"{after}\" after the plan"), Paint::Notice)
    };
    writeln!(out)?;
    sentence(&text, paint, 0, style, out)?;
    if reported != group.predicted {
        sentence(&format!("the service reports {}", shown(reported)), Paint::Notice, 2, style, out)?;
    }
    for conditions in &group.conditions {
        writeln!(out, "  {}", shown(&conditions.group))?;
        if let Some(why) = &conditions.unpredictable {
            let text = format!("UNRELIABLE: who is in it cannot be predicted: {}", shown(why));
            sentence(&text, Paint::Notice, 4, style, out)?;
        }
        for (label, holds) in &conditions.conditions {
            writeln!(out, "    {} {}", if *holds { "✓" } else { "✗" }, shown(label))?;
        }
    }
    for effect in &group.tags {
        let (tag, to) = (shown(&effect.tag), shown(&effect.to));
        let with = if effect.is_live { "without" } else { "with" };
        sentence(&format!("{with} the tag \"{tag}\": \"{to}\""), Paint::Plain, 2, style, out)?;
    }
    Ok(())
}

fn value_lines(value: &ValueExplained, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let live = value.live.as_deref().unwrap_or("not reported");
    let wanted = value.wanted.as_deref().unwrap_or_default();
    let because =
        value.because.as_ref().map_or_else(String::new, |because| format!(", because {}", shown(because)));
    let (ending, paint) = match value.verdict {
        Verdict::Added => (format!("will be set to {}", shown(wanted)), Paint::Notice),
        Verdict::Absent | Verdict::Untouched if value.wanted.is_none() => {
            ("stays as it is: the policy says nothing about it".to_owned(), Paint::Plain)
        }
        verdict => (ending(verdict).0.to_owned(), ending(verdict).1),
    };
    sentence(&format!("Device value {} {ending}{because}", shown(live)), paint, 0, style, out)?;
    stays(value.stay.as_ref(), style, out)?;
    statements(&value.statements, out)
}

/// Why a tag or value is kept; empty if the reason is all that is known.
fn stays(stay: Option<&KeptBy>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(stay) = stay else { return Ok(()) };
    let place = stay.place.as_ref().map_or_else(String::new, |place| format!(" at {}", at(place)));
    let name = stay.name.as_ref().map(|name| format!("\"{}\"{place}", shown(name)));
    let notes = shown(&stay.notes.join("; "));
    let notes = if notes.is_empty() { notes } else { format!(": {notes}") };
    let text = match (stay.reason, name) {
        (KeptReason::Unclaimed, _) => "stays: no entry of `claims` covers it".to_owned(),
        (KeptReason::Undecided, Some(rule)) => {
            format!("stays as it is: it cannot be decided whether rule {rule} applies")
        }
        (KeptReason::Withheld(WithheldReason::Protected), Some(protection)) => {
            format!("stays as it is: protection {protection} covers the device{notes}")
        }
        (KeptReason::Withheld(WithheldReason::Unresolved), Some(rule)) => {
            format!("stays as it is: data is missing that rule {rule} reads")
        }
        (KeptReason::Withheld(WithheldReason::Untrusted), _) => {
            format!("stays as it is while what was read cannot be believed{notes}")
        }
        _ => return Ok(()),
    };
    sentence(&text, Paint::Notice, 2, style, out)
}

/// The statements, the winners first.
fn statements(statements: &[Statement], out: &mut dyn Write) -> io::Result<()> {
    let name = statements.iter().map(|said| said.rule.chars().count()).max().unwrap_or(0);
    let says = statements.iter().map(|said| said.says.chars().count()).max().unwrap_or(0);
    for said in statements {
        let end = if said.wins { "wins " } else { "loses" };
        let (rule, what) = (shown(&said.rule), shown(&said.says));
        let priority = said.priority;
        writeln!(out, "  {end}  rule {rule:name$}  {what:says$}  priority {priority}  {}", at(&said.place))?;
    }
    Ok(())
}

/// The rules that decide, with their conditions; the others in short.
fn rules(explanation: &Explanation, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let asked = match &explanation.tags[..] {
        [tag] if explanation.value.is_none() => Some(tag.tag.as_str()),
        _ => None,
    };
    let matters = |rule: &Stated| {
        style.details || asked.map_or(rule.applies || rule.is_undecided, |tag| names(rule, tag))
    };
    let (full, short): (Vec<&Stated>, Vec<&Stated>) =
        explanation.rules.iter().partition(|rule| matters(rule));
    if !full.is_empty() {
        writeln!(out, "\nRules")?;
        full.iter().try_for_each(|rule| stated(rule, true, style, out))?;
    }
    if short.is_empty() {
        return Ok(());
    }
    if asked.is_some() {
        let count = counted(short.len() as u64, "other rule");
        let does = noun_for(short.len() as u64, "does|do");
        return writeln!(out, "\n{count} {does} not name this tag; --details shows all");
    }
    writeln!(out, "\nRules that do not apply")?;
    short.iter().take(IDLE).try_for_each(|rule| stated(rule, false, style, out))?;
    if short.len() > IDLE {
        writeln!(out, "  … {} more; --details shows all", number((short.len() - IDLE) as u64))?;
    }
    Ok(())
}

/// Whether a rule could concern a tag: it names the tag, or a pattern that may match it.
fn names(rule: &Stated, tag: &str) -> bool {
    rule.says.iter().any(|said| {
        said.strip_prefix(['+', '-'])
            .is_some_and(|named| named == tag || named.contains(['{', '*', '?', '[']))
    })
}

/// A rule or protection: whether it applies, its effect, and its conditions or the first that fails.
fn stated(stated: &Stated, is_full: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let says: Vec<String> = stated.says.iter().map(|said| shown(said)).collect();
    let says = if says.is_empty() { String::new() } else { format!("  {}", says.join(" ")) };
    let state = match (stated.is_live, stated.applies) {
        (false, _) => "  not in force now".to_owned(),
        (true, _) if stated.is_undecided => format!("  {}", undecided(stated)),
        (true, true) => String::new(),
        (true, false) => "  does not apply".to_owned(),
    };
    let holds = Some(stated.applies).filter(|_| !stated.is_undecided);
    let head = format!("{} {}{says}{state}  {}", mark(holds), shown(&stated.name), at(&stated.place));
    let paint = match holds {
        Some(true) => Paint::Good,
        Some(false) => Paint::Faint,
        None => Paint::Notice,
    };
    sentence(&head, paint, 2, style, out)?;
    for no_tag in &stated.no_tags {
        let text = format!("✗ {} gives no tag here: {}", shown(&no_tag.template), why_no_tag(no_tag));
        sentence(&text, Paint::Notice, 6, style, out)?;
    }
    if is_full {
        return condition(&stated.condition, 3, style, out);
    }
    match first_failure(&stated.condition).filter(|_| stated.is_live) {
        Some(failure) => leaf(failure, 3, style, out),
        None => Ok(()),
    }
}

/// Why a template yields no tag, and where to look for the cause.
fn why_no_tag(no_tag: &NoTag) -> String {
    let placeholder = shown(&no_tag.placeholder);
    let source = no_tag.source.as_deref().map_or_else(String::new, shown);
    let row = no_tag.line.map(|line| format!("{source}:{line}"));
    let value = no_tag.value.as_deref().map(|value| format!("\"{}\"", shown(value)));
    let known = value.as_deref().unwrap_or("the value");
    let declared = no_tag.declared.as_ref().map_or_else(String::new, |place| format!(" at {}", at(place)));
    let in_row = row.as_ref().map_or_else(String::new, |row| format!(", in {row}"));
    match no_tag.reason {
        GapReason::Missing => format!("the device does not report {placeholder}"),
        GapReason::NoRow => match &value {
            Some(key) => format!("{source} has no row with the key {key} (lookup{declared})"),
            None => {
                format!(
                    "the device does not report the field that is looked up in {source} (lookup{declared})"
                )
            }
        },
        GapReason::EmptyCell => format!("{placeholder} is empty{in_row}"),
        GapReason::NotInMap => format!("the map {source}{declared} does not hold {known}"),
        GapReason::EmptySlug => format!("slug leaves nothing of {known}{in_row}"),
        GapReason::Conflict => format!("nobody knows {placeholder}: rows of this key differ in it{in_row}"),
        GapReason::ShortRow => format!("nobody knows {placeholder}: its row leaves it out{in_row}"),
        GapReason::Unmatched => {
            format!("nobody knows {placeholder}: no row of {source} is about a device that was read")
        }
        GapReason::Unusable => format!("{known} cannot be a tag"),
    }
}

/// The unknown data that a rule or protection depends on, and the consequence.
fn undecided(stated: &Stated) -> String {
    let follows = match stated.priority {
        Some(_) => "what it would change stays as it is",
        None => "the device counts as protected",
    };
    let unknown = first_unknown(&stated.condition).map_or_else(String::new, |unknown| {
        let actual = unknown.actual.as_deref().unwrap_or("a value that nobody knows");
        format!(": {} reads {}", shown(&unknown.label), shown(actual))
    });
    format!("cannot be decided{unknown}; {follows}")
}

/// The innermost unknown condition.
fn first_unknown(condition: &Condition) -> Option<&Condition> {
    let inner = || condition.children.iter().find_map(first_unknown);
    condition.holds.is_none().then(|| inner().unwrap_or(condition))
}

fn mark(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "?",
    }
}

/// The innermost condition that makes the whole fail, or that is unknown.
fn first_failure(condition: &Condition) -> Option<&Condition> {
    if condition.holds == Some(true) {
        return None;
    }
    Some(condition.children.iter().find_map(first_failure).unwrap_or(condition))
}

/// The most levels of nesting that are indented, because a policy may nest deeper than a terminal is wide.
const DEEPEST: usize = 20;

fn condition(tree: &Condition, depth: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    leaf(tree, depth, style, out)?;
    tree.children.iter().try_for_each(|child| condition(child, depth + 1, style, out))
}

fn leaf(condition: &Condition, depth: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let actual = match &condition.actual {
        Some(actual) => format!(" · has {}", shown(actual)),
        // `everything`, and a named selector that was explained above, read no field of their own.
        None if condition.label == "everything" || condition.label.starts_with("use ") => String::new(),
        None if condition.children.is_empty() => " · has nothing".to_owned(),
        None => String::new(),
    };
    let text = format!("{} {}{actual}", mark(condition.holds), shown(&condition.label));
    let paint = match condition.holds {
        Some(true) => Paint::Good,
        Some(false) => Paint::Bad,
        None => Paint::Notice,
    };
    sentence(&text, paint, 2 * depth.min(DEEPEST), style, out)
}

fn sentence(text: &str, paint: Paint, indent: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let lines = prose(text, (indent, indent + 4), style.width);
    lines.iter().try_for_each(|line| writeln!(out, "{}", style.paint(paint, line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::ClaimedBy;

    fn place(line: u32) -> Place {
        Place { file: "p.yaml".into(), line, column: 1, end_line: line, end_column: 2 }
    }

    fn leaf(label: &str, holds: bool, actual: Option<&str>) -> Condition {
        let actual = actual.map(str::to_owned);
        Condition { label: label.to_owned(), holds: Some(holds), actual, place: place(3), children: vec![] }
    }

    #[test]
    fn a_renamed_tag_is_claimed_by_its_rename_and_its_removals_are_told_though_no_cap_counts_them() {
        let mut renamed = example();
        let rename = ClaimedBy { kind: ClaimKind::Rename, name: "New".to_owned(), place: place(1) };
        let tag = &mut renamed.tags[0];
        (tag.claim, tag.renamed_to, tag.cap, tag.removals) =
            (Some(rename), Some("New".to_owned()), Some((0, 5, 8)), 2);
        let mut out = Vec::new();
        human(&renamed, &Style { width: 200, ..Style::default() }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "  the device carries it now
  claimed by its rename to \"New\" at p.yaml:1
  in the whole plan: 2 removals of this tag, which a rename makes and no limit counts; 5 allowed, 8 devices in scope with it

";
        assert!(text.contains(expected), "{text}");
    }

    fn example() -> Explanation {
        let condition = Condition {
            label: "all".to_owned(),
            holds: Some(false),
            actual: None,
            place: place(2),
            children: vec![
                leaf("osPlatform startsWith WindowsServer", true, Some("WindowsServer2022")),
                leaf("machineTags has Decommissioned", false, None),
            ],
        };
        let rule = |name: &str, says: &str, applies: bool| Stated {
            name: name.to_owned(),
            place: place(2),
            priority: Some(10),
            is_live: true,
            applies,
            is_undecided: false,
            condition: condition.clone(),
            says: vec![says.to_owned()],
            no_tags: vec![],
        };
        Explanation {
            id: "a1".to_owned(),
            name: Some("dc01\u{202e}".to_owned()),
            is_in_scope: true,
            scope: None,
            protections: vec![],
            rules: vec![rule("domain-controllers", "+Tier0", false), rule("other", "+x", false)],
            tags: vec![TagExplained {
                tag: "Tier0".to_owned(),
                is_live: true,
                verdict: Verdict::Removed,
                because: Some("unselected: claimed by `Tier0`, and no rule assigns it".to_owned()),
                stay: None,
                statements: vec![],
                claim: Some(ClaimedBy { kind: ClaimKind::Claim, name: "Tier0".to_owned(), place: place(1) }),
                family: None,
                renamed_to: None,
                retired: None,
                cap: Some((1, 5, 8)),
                removals: 1,
            }],
            value: None,
            group: None,
        }
    }

    #[test]
    fn the_verdict_comes_first_and_the_failing_condition_shows_what_the_device_has() {
        let mut out = Vec::new();
        human(&example(), &Style::default(), &mut out).unwrap();
        let expected = "\
dc01\\u{202e} (a1) · in scope

Tag \"Tier0\" will be removed, because unselected: claimed by `Tier0`, and no rule assigns it
  the device carries it now
  claimed by \"Tier0\" at p.yaml:1
  in the whole plan: 1 removal of this tag; 5 allowed, 8 devices in scope with it

Rules
  ✗ domain-controllers  +Tier0  does not apply  p.yaml:2
      ✗ all
        ✓ osPlatform startsWith WindowsServer · has WindowsServer2022
        ✗ machineTags has Decommissioned · has nothing

1 other rule does not name this tag; --details shows all
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
