//! Adds lines to existing files without changing anything else in them.

use serde_json::Value;

/// A text with the lines of another that it lacks, ignoring comments; `None` if it lacks none.
pub(super) fn lines(old: &str, wanted: &str) -> Option<String> {
    let has = |line: &str| old.lines().any(|own| own.trim() == line.trim());
    let missing = wanted.lines().any(|line| !line.starts_with('#') && !has(line));
    let new: Vec<&str> = wanted.lines().filter(|line| !has(line)).collect();
    missing.then(|| joined(old, &new, ""))
}

/// A README with one more section; `None` if it mentions mdetag already.
pub(super) fn section(old: &str, readme: &str) -> Option<String> {
    if old.contains("mdetag") {
        return None;
    }
    // The title becomes a section, and its sections go one level down.
    let section: Vec<String> = readme
        .lines()
        .map(|line| if line.starts_with('#') { format!("#{line}") } else { line.to_owned() })
        .collect();
    let section: Vec<&str> = section.iter().map(String::as_str).collect();
    Some(joined(old, &section, if old.trim().is_empty() { "" } else { "\n" }))
}

/// A pre-commit file with our hooks as the last of its `repos`; unchanged if it has them, and `None` if lines cannot be added to
/// a file of its form.
pub(super) fn hooks(old: &str, wanted: &str) -> Option<String> {
    let repos = |text: &str| -> Option<Vec<Value>> {
        let value: Value = serde_yaml::from_str(text).ok()?;
        value.get("repos")?.as_array().cloned()
    };
    let (before, ours) = (repos(old)?, repos(wanted)?);
    if before.iter().any(|repo| ours.iter().any(|our| repo["repo"] == our["repo"])) {
        return Some(old.to_owned());
    }
    // The list's items are indented like its first one; ours are indented by two.
    let first = old
        .lines()
        .skip_while(|line| !line.starts_with("repos:"))
        .find(|line| line.trim_start().starts_with("- "))?;
    let indent = first.len() - first.trim_start().len();
    let items = wanted.lines().skip_while(|line| !line.starts_with("repos:")).skip(1);
    let items: Vec<String> = items
        .map(|line| format!("{}{}", " ".repeat(indent), line.strip_prefix("  ").unwrap_or(line)))
        .collect();
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    let new = joined(old, &items, "");
    // Checked instead of clever: the file now has its old content and our hooks.
    let expected: Vec<Value> = before.into_iter().chain(ours).collect();
    (repos(&new)? == expected).then_some(new)
}

/// Keeps every byte, and the text's line ends.
fn joined(old: &str, new: &[&str], between: &str) -> String {
    let end = if old.contains("\r\n") { "\r\n" } else { "\n" };
    let mut text = old.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(end);
    }
    text.push_str(&between.replace('\n', end));
    new.iter().for_each(|line| {
        text.push_str(line);
        text.push_str(end);
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOKS: &str = include_str!("pre-commit");

    #[test]
    fn lines_are_added_once_and_nothing_else_changes() {
        let wanted = "# Ours.\n/.mdetag/\n/plan.json\n";
        let once = lines("target\n/plan.json", wanted).unwrap();
        assert_eq!(once, "target\n/plan.json\n# Ours.\n/.mdetag/\n");
        assert_eq!(lines(&once, wanted), None);
        assert_eq!(lines("a\r\n", "b\n").as_deref(), Some("a\r\nb\r\n"));
    }

    #[test]
    fn a_readme_gets_a_section_unless_it_speaks_of_us() {
        let added = section("# Contoso\n\nText.", "# Tags\n\n## Try\n").unwrap();
        assert_eq!(added, "# Contoso\n\nText.\n\n## Tags\n\n### Try\n");
        assert_eq!(section("uses mdetag", "# Tags\n"), None);
    }

    #[test]
    fn hooks_join_the_list_of_repos_or_are_left_to_a_person() {
        for old in [
            "repos:\n- repo: local\n  hooks: []\n",
            "# own\nrepos:\n    - repo: local\n      hooks:\n      - id: a\n",
            "default_stages: [commit]\nrepos:\n  - repo: https://example.com/x # why\n    rev: v1\n    hooks: [{ id: x }]",
        ] {
            let new = hooks(old, HOOKS).unwrap_or_else(|| panic!("{old}"));
            assert!(new.starts_with(old) && new.contains("mdetag-validate"), "{new}");
            assert_eq!(hooks(&new, HOOKS).as_deref(), Some(new.as_str()), "they are added once");
        }
        for odd in [
            "repos: []\n",
            "repos:\n  - repo: local\n    hooks: []\nfail_fast: true\n",
            "- a\n",
            "repos: [{ repo: local }]\n",
        ] {
            assert_eq!(hooks(odd, HOOKS), None, "{odd}");
        }
    }
}
