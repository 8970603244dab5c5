//! The width, colour and level of detail of text for people.
//!
//! The command line finds out what the terminal can do.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::io::{self, Write};

use anstyle::{AnsiColor, Style as Ansi};

/// The look of text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Columns; `usize::MAX` if nothing wraps (a file).
    pub width: usize,
    /// Whether every device is listed.
    pub details: bool,
    /// Whether the reader has just seen the plan: then only the differences from it follow.
    pub follows_plan: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { colour: false, width: 120, details: false, follows_plan: false }
    }
}

/// The role of a piece of text, for its colour. Colour never carries the meaning alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Good,
    Bad,
    /// Values, warnings.
    Notice,
    Strong,
    /// Places, samples.
    Faint,
    /// The terminal's own colour.
    Plain,
}

impl Style {
    /// The text in its colour, or unchanged.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() || paint == Paint::Plain {
            return text.to_owned();
        }
        let style = match paint {
            Paint::Good => AnsiColor::Green.on_default(),
            Paint::Bad => AnsiColor::Red.on_default(),
            Paint::Notice => AnsiColor::Yellow.on_default(),
            Paint::Strong => Ansi::new().bold(),
            Paint::Faint => Ansi::new().dimmed(),
            Paint::Plain => Ansi::new(),
        };
        format!("{}{text}{}", style.render(), style.render_reset())
    }
}

/// Number of columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// The text padded with spaces to a width.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text cut to a width, with `…` if something was cut.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 1;
    for scalar in text.chars() {
        used += unicode_width::UnicodeWidthChar::width(scalar).unwrap_or(0);
        if used > columns {
            break;
        }
        fitted.push(scalar);
    }
    fitted.push('…');
    fitted
}

/// Items joined by a separator, in lines of at most `columns`. The first line is indented by `indent`, the others by `hang`. An
/// item is never broken.
pub fn wrap<'a>(
    items: impl IntoIterator<Item = std::borrow::Cow<'a, str>>,
    separator: &str,
    (indent, hang): (usize, usize),
    columns: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for item in items {
        let needed = width(&item);
        let glue = width(separator);
        if line.is_empty() {
            line = " ".repeat(indent);
            used = indent;
        } else if used + glue + needed + width(separator.trim_end()) > columns {
            // The separator ends the line that it belongs to; if it does not fit, the line break is enough.
            if used + width(separator.trim_end()) <= columns {
                line.push_str(separator.trim_end());
            }
            lines.push(std::mem::replace(&mut line, " ".repeat(hang)));
            used = hang;
        } else {
            line.push_str(separator);
            used += glue;
        }
        line.push_str(&item);
        used += needed;
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A sentence in lines of at most `columns`, broken at spaces. A command between backticks is never broken, so that it can be
/// copied.
pub fn prose(text: &str, indents: (usize, usize), columns: usize) -> Vec<String> {
    let is_paired = text.matches('`').count().is_multiple_of(2);
    let mut is_quoted = false;
    let words = text.split(|scalar: char| {
        is_quoted ^= scalar == '`' && is_paired;
        scalar == ' ' && !is_quoted
    });
    wrap(words.map(std::borrow::Cow::Borrowed), " ", indents, columns)
}

/// Writes a sentence over as many lines as needed.
pub(super) fn write_prose(
    text: &str,
    paint: Paint,
    indents: (usize, usize),
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    prose(text, indents, style.width)
        .iter()
        .try_for_each(|line| writeln!(out, "{}", style.paint(paint, line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_between_backticks_stays_in_one_line() {
        assert_eq!(prose("see `a b c` now", (0, 2), 9), ["see", "  `a b c`", "  now"]);
        assert_eq!(prose("see `a b", (0, 2), 6), ["see `a", "  b"], "no pair");
    }

    #[test]
    fn text_is_cut_and_padded_by_columns_not_bytes() {
        assert_eq!(fit("設備設備", 5), "設備…");
        assert_eq!(pad("ü", 3), "ü  ");
        assert_eq!(fit("abc", 3), "abc");
    }

    #[test]
    fn lines_break_between_items() {
        let items = ["aaaa", "bbbb", "cccc"].map(std::borrow::Cow::Borrowed);
        assert_eq!(wrap(items, ", ", (2, 2), 14), ["  aaaa, bbbb,", "  cccc"]);
    }

    #[test]
    fn colour_appears_only_when_asked() {
        assert_eq!(Style::default().paint(Paint::Bad, "x"), "x");
        assert!(Style { colour: true, ..Style::default() }.paint(Paint::Bad, "x").contains("\u{1b}["));
    }
}
