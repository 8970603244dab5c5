//! Type names: a crate defines each one once, so that a reader who sees a name knows which type it is.
//!
//! Tests may repeat a name, and so may the associated types of traits.

use std::collections::BTreeMap;

use super::source::Source;

/// Names that a crate defines twice, and why. The list only shrinks.
const TWICE: &[(&str, &str)] = &[("Signals", "one definition for Unix and one for Windows")];

/// The types that a crate defines more than once, each with the places.
pub(crate) fn repeated(sources: &[&Source]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (line, keyword, name) in source.definitions() {
            let is_associated = keyword == "type" && lines[line - 1].starts_with(' ');
            if matches!(keyword, "struct" | "enum" | "trait" | "type" | "union") && !is_associated {
                places.entry(name).or_default().push(format!("{}:{line}", source.path));
            }
        }
    }
    let is_known = |name: &str| TWICE.iter().any(|(listed, _)| *listed == name);
    let repeated = places.into_iter().filter(|(name, places)| places.len() > 1 && !is_known(name));
    repeated.map(|(name, places)| format!("`{name}` is defined in {}", places.join(" and "))).collect()
}
