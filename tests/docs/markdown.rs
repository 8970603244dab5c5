//! Parses Markdown as far as the checks need: code fences, links and headings.
//!
//! Renders nothing.

use regex::Regex;

/// A code fence.
pub(crate) struct Fence {
    /// Line of its first content line, from 1.
    pub(crate) line: usize,
    /// The text after the opening backticks.
    pub(crate) info: String,
    /// Its content, without the indentation of the fence.
    pub(crate) text: String,
}

/// All fences, in order, also indented ones.
pub(crate) fn fences(markdown: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            text.push_str(line.get(indent..).unwrap_or(""));
            text.push('\n');
        }
        found.push(Fence { line: number + 2, info: info.trim().to_owned(), text });
    }
    found
}

/// The lines outside fences, with their numbers from 1.
pub(crate) fn prose(markdown: &str) -> Vec<(usize, &str)> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (number, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            found.push((number + 1, line));
        }
    }
    found
}

/// Targets of links, with the line.
pub(crate) fn links(markdown: &str) -> Vec<(usize, String)> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("the pattern is sound");
    let lines = prose(markdown).into_iter();
    lines
        .flat_map(|(number, line)| {
            let targets: Vec<_> =
                link.captures_iter(line).map(|found| (number, found[1].to_owned())).collect();
            targets
        })
        .collect()
}

/// The fragment that a heading gets.
pub(crate) fn anchors(markdown: &str) -> Vec<String> {
    let headings = prose(markdown).into_iter().filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept =
                words.chars().filter(|scalar| scalar.is_alphanumeric() || matches!(scalar, ' ' | '-' | '_'));
            kept.map(|scalar| if scalar == ' ' { '-' } else { scalar }).collect()
        })
        .collect()
}
