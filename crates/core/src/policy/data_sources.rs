//! The sources that a set reads besides the devices. Trusted runs keep their counts, and approvals accept them, by these names.
//!
//! Counts nothing; that is `selection`.

use std::collections::BTreeSet;

use super::data::below_root;
use super::lookup::query_title;
use super::node::shown;
use super::reader::Reader;
use super::selector::walk;
use super::{Hunting, ListFile, Policy, Selector, SelectorKind, Test};
use crate::diagnostic::{Diagnostic, Span};
use crate::hex;

/// The inventory's name in `guard.approvals` and `mdetag state accept`.
pub const DEVICES: &str = "devices";

/// Starts the part of a source's name that says which rows of a file count.
const COLUMN: &str = " (column ";

impl Policy {
    /// Every selector as written, nested ones included, in force or not.
    pub fn for_each_selector<'p>(&'p self, visit: &mut impl FnMut(&'p Selector)) {
        let named = self.selectors.iter().map(|named| &named.selector);
        let rules = self.rules.iter().map(|rule| &rule.select);
        let protections = self.protections.iter().map(|protection| &protection.select);
        let roots =
            self.scope.iter().chain(named).chain(rules).chain(protections).chain(self.guard.selectors());
        roots.for_each(|root| walk(root, visit));
    }
}

/// The data source that a selector reads itself, not through the selectors that it uses.
pub fn data_source(selector: &Selector) -> Option<String> {
    match &selector.kind {
        SelectorKind::Field { test: Test::Text(list), .. } => {
            list.file.as_ref().map(|file| file.source.to_string())
        }
        SelectorKind::Hunting(query) => Some(hunting_source(query)),
        _ => None,
    }
}

/// The start of a query's first line, and a digest if the query is longer, because two queries often start alike.
fn hunting_source(query: &Hunting) -> String {
    let title = query.title();
    if !title.ends_with('…') {
        return title;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, query.query.trim().as_bytes());
    format!("{title} ({})", hex::digits(&digest.as_ref()[..4]))
}

impl Hunting {
    /// The query's first line, cut: how people recognise it.
    pub fn title(&self) -> String {
        query_title(&self.query)
    }
}

/// The file's path in the name of a source.
pub fn file_of(source: &str) -> &str {
    source.split_once(COLUMN).map_or(source, |(file, _)| file)
}

/// The sources that a written name means: the one with exactly this name, else those of the list file whose path ends with it. A
/// name that fits several files means none of them.
pub fn named<'s>(sources: impl Iterator<Item = &'s str> + Clone, written: &str) -> Vec<&'s str> {
    if let Some(exact) = sources.clone().find(|source| *source == written) {
        return vec![exact];
    }
    let written = written.trim_start_matches("./");
    let is_of = |source: &&'s str| {
        let above = file_of(source).strip_suffix(written).filter(|_| !written.is_empty());
        above.is_some_and(|above| above.is_empty() || above.ends_with('/'))
    };
    let found: Vec<&str> = sources.filter(is_of).collect();
    let files: BTreeSet<&str> = found.iter().map(|source| file_of(source)).collect();
    if files.len() > 1 { Vec::new() } else { found }
}

impl Reader<'_> {
    /// Names a list file by its path as written and its path from the repository's root. `rows`: the column, and the condition on
    /// its rows.
    pub(super) fn list_source(&self, written: &str, span: Span, rows: Option<&str>) -> ListFile {
        let naming = self.sources.file(span.source);
        let below = below_root(&naming.path, written).unwrap_or_else(|_| written.to_owned());
        let root = naming.name.strip_suffix(naming.path.as_str()).unwrap_or_default();
        let rows = rows.map_or_else(String::new, |rows| format!("{COLUMN}{rows})"));
        let source = format!("{root}{below}{rows}").into();
        ListFile { written: written.into(), source, is_unlisted_ok: false, span }
    }
}

/// Warns about approvals of a source that the set does not read: they approve nothing.
pub(super) fn check_approvals(reader: &mut Reader<'_>, policy: &Policy) {
    if policy.guard.shrinks.is_empty() {
        return;
    }
    let mut sources: BTreeSet<String> = policy.lookups.iter().map(|lookup| lookup.name.clone()).collect();
    policy.for_each_selector(&mut |selector| sources.extend(data_source(selector)));
    sources.insert(DEVICES.to_owned());
    for shrink in &policy.guard.shrinks {
        if !named(sources.iter().map(String::as_str), &shrink.source).is_empty() {
            continue;
        }
        let known: Vec<String> = sources.iter().map(|source| format!("`{}`", shown(source))).collect();
        let message = format!("no source of this set is `{}`", shown(&shrink.source));
        reader.report(Diagnostic::warning("W0503", shrink.span, message).label("approves nothing").help(
            format!("its sources are {}; of two files of one name, write the whole path", known.join(", ")),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_the_end_of_its_path_and_two_files_by_none() {
        let sources = [
            "a/data/l.csv (column host)",
            "a/data/l.csv (column id)",
            "b/data/list.txt",
            "cmdb",
            "data/list.txt",
        ];
        let of = |written| named(sources.into_iter(), written);
        assert_eq!(of("cmdb"), ["cmdb"]);
        assert_eq!(of("data/l.csv"), ["a/data/l.csv (column host)", "a/data/l.csv (column id)"]);
        assert_eq!(of("a/data/l.csv (column id)"), ["a/data/l.csv (column id)"]);
        assert_eq!(of("data/list.txt"), ["data/list.txt"], "the whole path");
        assert!(of("list.txt").is_empty() && of("st.txt").is_empty() && of("").is_empty());
        assert_eq!(of("./b/data/list.txt"), ["b/data/list.txt"]);
    }

    #[test]
    fn queries_that_begin_alike_are_two_sources() {
        let query = |query: &str| {
            let (query, column) = (query.into(), "DeviceId".into());
            hunting_source(&Hunting { query, column, allow_empty: false, is_unlisted_ok: false })
        };
        assert_eq!(query(" DeviceInfo "), "hunting: DeviceInfo");
        assert_ne!(query("DeviceInfo\n| where A"), query("DeviceInfo\n| where B"));
    }
}
