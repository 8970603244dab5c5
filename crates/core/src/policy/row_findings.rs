//! Findings about the rows of a lookup: repeated keys, rows that end early, rows without a key.
//!
//! `lookup` reads the rows.

use super::keyed_rows::{KeyedRows, TornRow};
use super::node::shown;
use crate::diagnostic::{Diagnostic, Severity, Span};

crate::words! {
    /// How different rows with the same key count.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) enum OnConflict {
        #[default]
        Error = "error",
        /// A warning; cells in which they differ are unknown.
        Missing = "missing",
    }
}

/// The most clashes that are reported one by one.
const TOLD: usize = 20;

/// The most keys that a warning names.
const SAMPLE: usize = 3;

/// How messages name the rows of a lookup.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSource<'a> {
    /// The file as written, or the query's title.
    pub(super) source: &'a str,
    /// The unit of row numbers: `line` or `row`.
    pub(super) unit: &'static str,
    /// Whether rows name their columns, so that any may be missing; other rows end early.
    pub(super) has_objects: bool,
    pub(super) span: Span,
}

impl RowSource<'_> {
    /// Reports rows with the same key that differ, rows that end early and rows without a key. A source without any key is an
    /// error, unless the policy allows no rows and there are none.
    /// right and there are none.
    pub(super) fn findings(
        self,
        keyed: &KeyedRows,
        on_conflict: OnConflict,
        allow_empty: bool,
    ) -> Vec<Diagnostic> {
        let torn = self.torn(keyed);
        torn.into_iter()
            .chain(self.clashes(keyed, on_conflict))
            .chain(self.without_key(keyed, allow_empty))
            .collect()
    }

    fn torn(self, keyed: &KeyedRows) -> Option<Diagnostic> {
        let (name, unit) = (shown(self.source), self.unit);
        let (verb, verbs) = match self.has_objects {
            true => ("leaves out", "leave a column out"),
            false => ("ends before", "end before their last column"),
        };
        let key = |row: &TornRow| match &*row.key {
            "" => "without a key".to_owned(),
            key => format!("key `{}`", shown(key)),
        };
        let column = |row: &TornRow| {
            let further = if row.more > 0 { format!(" and {} more", row.more) } else { String::new() };
            format!("column `{}`{further}", shown(&row.column))
        };
        let message = match (keyed.torn, keyed.torn_sample.first()) {
            (0, _) | (_, None) => return None,
            (1, Some(row)) => {
                format!("{unit} {} of `{name}` ({}) {verb} the {}", row.line, key(row), column(row))
            }
            (count, _) => {
                let rows = keyed.torn_sample.iter();
                let rows: Vec<String> =
                    rows.map(|row| format!("{unit} {} ({}, {})", row.line, key(row), column(row))).collect();
                let more = count.saturating_sub(rows.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{count} rows of `{name}` {verbs}: {}{more}", rows.join(", "))
            }
        };
        let help = match self.has_objects {
            false => "an empty cell keeps its delimiter",
            true => "an empty cell is written `null`",
        };
        Some(Diagnostic::warning("W0302", self.span, message).help(format!(
            "what a row leaves out is unknown, and nothing is written that depends on it; {help}"
        )))
    }

    fn clashes(self, keyed: &KeyedRows, on_conflict: OnConflict) -> Vec<Diagnostic> {
        let (name, unit, clashes) = (shown(self.source), self.unit, &keyed.clashes);
        if clashes.is_empty() {
            return Vec::new();
        }
        if on_conflict == OnConflict::Missing {
            let keys: Vec<String> = clashes
                .iter()
                .take(SAMPLE)
                .map(|clash| {
                    let (first, second) = clash.lines;
                    format!("`{}` ({unit}s {first} and {second})", shown(&clash.key))
                })
                .collect();
            let (rows, differ) = match clashes.len() {
                1 => ("1 row".to_owned(), "differs"),
                count => (format!("{count} rows"), "differ"),
            };
            let message = format!(
                "{rows} of `{name}` {differ} from an earlier one of the same key: {}{}",
                keys.join(", "),
                more(clashes.len())
            );
            return vec![Diagnostic::warning("W0302", self.span, message).help(
                "the columns in which they differ are unknown on these devices, and nothing is written that depends on them",
            )];
        }
        let one_by_one = clashes.iter().take(TOLD).map(|clash| {
            let (first, second) = clash.lines;
            let message = format!(
                "`{name}` holds the key `{}` twice with different rows: {unit}s {first} and {second}",
                shown(&clash.key)
            );
            Diagnostic::error("E0305", self.span, message).help(
                "one device cannot have two rows: keep one, choose another key column, or write `onConflict: missing`",
            )
        });
        let rest = clashes.len().checked_sub(TOLD + 1).map(|rest| {
            let message = format!("`{name}` holds {} more such keys", rest + 1);
            Diagnostic::error("E0305", self.span, message)
        });
        one_by_one.chain(rest).collect()
    }

    fn without_key(self, keyed: &KeyedRows, allow_empty: bool) -> Option<Diagnostic> {
        let (name, without_key) = (shown(self.source), keyed.without_key);
        if keyed.rows.keys.is_empty() && (without_key > 0 || !allow_empty) {
            let finding = Diagnostic::error("E0304", self.span, format!("no row of `{name}` has a key"));
            let help = match self.unit {
                "line" => "an empty export would take tags away; restore the file, or remove the lookup",
                _ => "an empty result would take tags away; correct `key` or the query",
            };
            return Some(finding.help(help));
        }
        if without_key == 0 {
            return None;
        }
        let rows = if without_key == 1 { "1 row has".to_owned() } else { format!("{without_key} rows have") };
        let finding = Diagnostic::warning("W0301", self.span, format!("{rows} no key in `{name}`"));
        Some(finding.help("rows without a key belong to no device and are left out"))
    }
}

/// "and N more", for the keys that a sample leaves out.
fn more(count: usize) -> String {
    match count.saturating_sub(SAMPLE) {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Whether one of these findings is an error.
pub(super) fn has_error(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}
