//! Families and renames: the form of each entry, and clashes between entries.
//!
//! `lints` checks renames against claims, rules and `retire`, when all are known.

use std::collections::HashMap;

use super::names::check_name;
use super::node::{MappingEntry, shown};
use super::reader::Reader;
use super::{Family, FamilyMember, Rename};
use crate::diagnostic::{Diagnostic, Span};

/// Reads `families`: a tag is in at most one of them, once.
pub(super) fn families(
    reader: &mut Reader<'_>,
    entries: &[&MappingEntry],
    allow_reserved: bool,
) -> Vec<Family> {
    let mut first: HashMap<String, (Span, String)> = HashMap::new();
    let mut families = Vec::new();
    for entry in entries {
        check_name(reader, "family", &entry.key, entry.key_span);
        let what = format!("the family `{}`", shown(&entry.key));
        let mut members = Vec::new();
        for item in reader.filled_list(&entry.value, &what).unwrap_or_default() {
            let Some(tag) = reader.tag(item, "a member of a family", allow_reserved) else { continue };
            reader.check_portal(&tag, item.span);
            let key = reader.tag_case.key(&tag).into_owned();
            if let Some((earlier, family)) = first.get(&key) {
                let message = match *family == entry.key {
                    true => format!("the tag `{}` is in {what} twice", shown(&tag)),
                    false => {
                        format!(
                            "the tag `{}` is in {what} and in the family `{}`",
                            shown(&tag),
                            shown(family)
                        )
                    }
                };
                let finding = Diagnostic::error("E0407", item.span, message).label("again here");
                reader.report(finding.related(*earlier, "first here").help("a tag is in one family, once"));
                continue;
            }
            first.insert(key, (item.span, entry.key.clone()));
            members.push(FamilyMember { tag, span: item.span });
        }
        families.push(Family { name: entry.key.clone(), members, span: entry.key_span });
    }
    families
}

/// Reads `renames`: chains end at their last name; circles and one old name twice are errors.
pub(super) fn renames(
    reader: &mut Reader<'_>,
    entries: &[&MappingEntry],
    allow_reserved: bool,
) -> Vec<Rename> {
    let mut written: Vec<Rename> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let from =
            reader.check_removable(&entry.key, entry.key_span, allow_reserved).then(|| entry.key.clone());
        let to = reader.tag(&entry.value, "the new name of a tag", allow_reserved);
        let (Some(from), Some(to)) = (from, to) else { continue };
        reader.check_portal(&to, entry.value.span);
        if from == to {
            let finding = Diagnostic::error(
                "E0408",
                entry.key_span,
                format!("the tag `{}` is renamed to itself", shown(&from)),
            );
            reader.report(finding.label("no new name").help("delete the entry"));
            continue;
        }
        let case = reader.tag_case;
        if case.is_same(&from, &to) {
            let message =
                format!("`{}` and `{}` are one tag where case does not count", shown(&from), shown(&to));
            let finding = Diagnostic::warning("W0407", entry.key_span, message).label("renames nothing");
            reader.report(
                finding
                    .help("delete the entry: with `tagCase: insensitive` every spelling counts as the tag"),
            );
            continue;
        }
        if let Some(earlier) = index.get(&*case.key(&from)) {
            let finding = Diagnostic::error(
                "E0409",
                entry.key_span,
                format!("the tag `{}` is renamed twice", shown(&from)),
            )
            .label("again here")
            .related(written[*earlier].span, "first here");
            reader.report(finding.help("a tag has one new name"));
            continue;
        }
        index.insert(case.key(&from).into_owned(), written.len());
        written.push(Rename { from, to, span: entry.key_span });
    }
    let ends = ends(reader, &written, &index);
    let resolved = written.iter().zip(ends).filter_map(|(rename, end)| {
        Some(Rename { from: rename.from.clone(), to: written[end?].to.clone(), span: rename.span })
    });
    resolved.collect()
}

/// The last rename of each chain; `None` for a circle, which is reported once.
fn ends(reader: &mut Reader<'_>, written: &[Rename], index: &HashMap<String, usize>) -> Vec<Option<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Walking,
        Done(Option<usize>),
    }
    let mut states = vec![State::New; written.len()];
    for start in 0..written.len() {
        let mut path = Vec::new();
        let mut at = start;
        let end = loop {
            match states[at] {
                State::Done(end) => break end,
                State::Walking => {
                    let from = path.iter().position(|seen| *seen == at).unwrap_or(0);
                    report_circle(reader, written, &path[from..]);
                    break None;
                }
                State::New => {
                    states[at] = State::Walking;
                    path.push(at);
                    match index.get(&*reader.tag_case.key(&written[at].to)) {
                        Some(next) => at = *next,
                        None => break Some(at),
                    }
                }
            }
        };
        path.iter().for_each(|seen| states[*seen] = State::Done(end));
    }
    let end = |state: &State| if let State::Done(end) = state { *end } else { None };
    states.iter().map(end).collect()
}

fn report_circle(reader: &mut Reader<'_>, written: &[Rename], circle: &[usize]) {
    let Some(first) = circle.first().map(|first| &written[*first]) else { return };
    let mut names: Vec<_> =
        circle.iter().take(8).map(|one| format!("`{}`", shown(&written[*one].from))).collect();
    names.push(format!("`{}`", shown(&first.from)));
    let message = format!("these renames go in a circle: {}", names.join(" to "));
    let finding = Diagnostic::error("E0408", first.span, message).label("the circle starts here");
    let finding = circle.iter().skip(1).take(7).fold(finding, |finding, one| {
        finding.related(written[*one].span, format!("`{}` goes on here", shown(&written[*one].from)))
    });
    reader.report(finding.help("delete one of them"));
}
