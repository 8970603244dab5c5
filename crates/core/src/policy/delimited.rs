//! Delimited text: CSV files as people and programs export them, and how to find their delimiter.
//!
//! Knows text and rows. `data` chooses the file, `names` gives its columns a meaning.

use std::borrow::Cow;

use super::table::Table;

/// Separators of cells that a CSV file may use.
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// The delimiter that a policy names.
pub(super) fn delimiter(text: &str) -> Option<u8> {
    let scalar = text.chars().next().filter(|first| DELIMITERS.contains(first))?;
    (text.len() == 1).then_some(scalar as u8)
}

/// The rows of a CSV file. Without a named delimiter its `sep=` line decides, then its header row.
pub(super) fn table(text: &str, named: Option<u8>) -> Result<Table, String> {
    let preamble = Preamble::read(text)?;
    let text = preamble.rest;
    let delimiter = match named.or(preamble.delimiter) {
        Some(delimiter) => delimiter,
        None => sniff(text)?,
    };
    if let Some(at) = lone_return(text, delimiter) {
        let line = preamble.lines + text[..at].matches('\n').count() as u64 + 1;
        return Err(lone_return_in(line));
    }
    let text = &*unpadded(text, delimiter, preamble.lines + 1)?;
    // White space around names and cells is padding of the export, and would keep keys from matching devices.
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut lines = LineCounter { text, at: 0, line: preamble.lines + 1 };
    let header_line = lines.of_record_at(0);
    let mut table = Table::default();
    for column in reader.headers().map_err(|error| error.to_string())? {
        table.add_column(column).map_err(|why| format!("line {header_line}: {why}"))?;
    }
    let width = table.columns.len();
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(|error| error.to_string())? {
        let line = lines.of_record_at(row.position().map_or(0, |position| position.byte() as usize));
        if let Some(extra) = row.iter().skip(width).find(|cell| !cell.is_empty()) {
            let cells = row
                .iter()
                .enumerate()
                .filter(|(_, cell)| !cell.is_empty())
                .last()
                .map_or(0, |(at, _)| at + 1);
            return Err(format!(
                "line {line} has {cells} cells, the header has {width}; `{extra}` belongs to no column"
            ));
        }
        let start = table.cells.len();
        table.cells.extend(row.iter().take(width).map(Box::from));
        for absent in table.cells.len()..start + width {
            table.unknown.insert(absent);
            table.cells.push(Box::default());
        }
        table.lines.push(line);
        table.check_size()?;
    }
    Ok(table)
}

/// Lines that programs write before the header and that belong to no table: `sep=;` of Excel, `#TYPE` of PowerShell.
struct Preamble<'t> {
    rest: &'t str,
    /// Number of skipped lines.
    lines: u64,
    delimiter: Option<u8>,
}

impl Preamble<'_> {
    fn read(text: &str) -> Result<Preamble<'_>, String> {
        let mut preamble = Preamble { rest: text, lines: 0, delimiter: None };
        loop {
            let (line, rest) = preamble.rest.split_once('\n').unwrap_or((preamble.rest, ""));
            let line = line.strip_suffix('\r').unwrap_or(line);
            if let Some(separator) = separator(line) {
                let known = delimiter(separator).ok_or_else(|| {
                    format!("its line `{line}` names a delimiter that is none of , ; and tab")
                })?;
                preamble.delimiter = Some(known);
            } else if !line.strip_prefix("#TYPE").is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            {
                return Ok(preamble);
            }
            preamble.rest = rest;
            preamble.lines += 1;
        }
    }
}

/// The one character of a `sep=X` line.
fn separator(line: &str) -> Option<&str> {
    let line = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    let (word, separator) = line.split_at_checked(4)?;
    (word.eq_ignore_ascii_case("sep=") && separator.chars().count() == 1).then_some(separator)
}

/// Finds the delimiter in the header row, outside quotes.
fn sniff(text: &str) -> Result<u8, String> {
    let header = header_row(text);
    let mut found: Vec<char> = Vec::new();
    for (at, scalar) in outside_quotes(header) {
        let is_padding = scalar == '\t' && is_beside_delimiter(header, at);
        if DELIMITERS.contains(&scalar) && !is_padding && !found.contains(&scalar) {
            found.push(scalar);
        }
    }
    match found[..] {
        [] => Ok(b','),
        [one] => Ok(one as u8),
        _ => {
            let named: Vec<String> =
                found.iter().map(|scalar| format!("`{}`", scalar.escape_default())).collect();
            Err(format!(
                "its header row holds {} outside quotes; say with `delimiter` which one parts its cells",
                named.join(" and ")
            ))
        }
    }
}

/// The first row that is not blank, without its end.
fn header_row(text: &str) -> &str {
    let text = text.trim_start_matches(['\r', '\n']);
    let end = outside_quotes(text).find(|(_, scalar)| matches!(scalar, '\n' | '\r'));
    end.map_or(text, |(at, _)| &text[..at])
}

/// The characters outside quoted cells, with their places. A quote opens only where a cell starts.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut is_quoted, mut starts_cell) = (false, true);
    // White space before a quote is padding, as in `unpadded`.
    text.char_indices().filter(move |(_, scalar)| {
        let was_quoted = is_quoted;
        is_quoted = if *scalar == '"' { !is_quoted && starts_cell } else { is_quoted };
        // A doubled quote closes and reopens.
        starts_cell = !is_quoted
            && (DELIMITERS.contains(scalar)
                || matches!(scalar, '\n' | '\r')
                || (was_quoted && *scalar == '"')
                || (starts_cell && scalar.is_whitespace()));
        !is_quoted && !was_quoted
    })
}

/// Whether only white space is between this tab and another delimiter: then the tab is padding.
fn is_beside_delimiter(header: &str, at: usize) -> bool {
    let before = header[..at].trim_end_matches([' ', '\t']);
    let after = header[at..].trim_start_matches([' ', '\t']);
    before.ends_with([',', ';']) || after.starts_with([',', ';'])
}

/// Counts lines as an editor does, up to places that only move forward.
struct LineCounter<'t> {
    text: &'t str,
    at: usize,
    line: u64,
}

impl LineCounter<'_> {
    /// The line on which a record starts. CSV readers place a record before the line ends that separate it from the previous one.
    fn of_record_at(&mut self, at: usize) -> u64 {
        let bytes = self.text.as_bytes();
        let ends = bytes[at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        while self.at < at + ends {
            let ends_line = match bytes[self.at] {
                b'\n' => true,
                b'\r' => bytes.get(self.at + 1) != Some(&b'\n'),
                _ => false,
            };
            self.line += u64::from(ends_line);
            self.at += 1;
        }
        self.line
    }
}

/// The message for a line that contains a carriage return.
pub(super) fn lone_return_in(line: u64) -> String {
    // Editors and `git diff` do not end a line there: a review would show one row while two are read.
    format!("line {line}: a lone carriage return would end a row; use LF or CRLF")
}

/// The first carriage return outside quotes that ends a row in the middle of a line. If every line ends in one, the text is in
/// the format of old programs and none is returned.
fn lone_return(text: &str, delimiter: u8) -> Option<usize> {
    if !text.contains('\n') {
        return None;
    }
    let ends_cell = |scalar: char| scalar == char::from(delimiter) || matches!(scalar, '\r' | '\n');
    let is_padding = |scalar: char| scalar.is_whitespace() && !ends_cell(scalar);
    let mut at = 0;
    while let Some(found) = text[at..].find(['"', '\r']).map(|found| at + found) {
        at = found + 1;
        if text.as_bytes()[found] == b'\r' {
            if text.as_bytes().get(at).is_some_and(|next| *next != b'\n') {
                return Some(found);
            }
            continue;
        }
        let before = text[..found].trim_end_matches(is_padding);
        if before.is_empty() || before.ends_with(ends_cell) {
            at = closing_quote(text, at)? + 1;
        }
    }
    None
}

/// Removes white space between a delimiter and an opening quote. A CSV reader would take such a cell for an unquoted one and keep
/// its quotes, and the value would match nothing.
///
/// # Errors
/// Text after a closing quote, and a quote that is never closed. A CSV reader accepts both silently, and the rows that it loses
/// would remove tags.
fn unpadded(text: &str, delimiter: u8, first_line: u64) -> Result<Cow<'_, str>, String> {
    let line_of = |at: usize| LineCounter { text, at: 0, line: first_line }.of_record_at(at);
    let ends_cell = |scalar: char| scalar == char::from(delimiter) || matches!(scalar, '\r' | '\n');
    let is_padding = |scalar: char| scalar.is_whitespace() && !ends_cell(scalar);
    let mut kept = String::new();
    // `rest`: the start of the text not yet copied to `kept`; `at`: the place from which the next quote is searched.
    let (mut rest, mut at) = (0, 0);
    while let Some(open) = text[at..].find('"').map(|found| at + found) {
        let before = text[rest..open].trim_end_matches(is_padding);
        at = open + 1;
        if !(before.is_empty() && kept.is_empty() && rest == 0 || before.ends_with(ends_cell)) {
            continue;
        }
        let close = closing_quote(text, at).ok_or_else(|| {
            format!("the quote that opens in line {} is never closed: the file was cut", line_of(open))
        })?;
        at = close + 1;
        let behind = text[at..].trim_start_matches(is_padding);
        if !behind.is_empty() && !behind.starts_with(ends_cell) {
            return Err(format!(
                "line {}: text follows the closing quote of a cell; a quote inside a quoted cell is written twice",
                line_of(open)
            ));
        }
        if rest + before.len() < open {
            kept.push_str(before);
            rest = open;
        }
    }
    if kept.is_empty() && rest == 0 {
        return Ok(Cow::Borrowed(text));
    }
    kept.push_str(&text[rest..]);
    Ok(Cow::Owned(kept))
}

/// The quote that closes a cell whose text starts at `at`. Skips doubled quotes, which are text.
fn closing_quote(text: &str, mut at: usize) -> Option<usize> {
    loop {
        let quote = at + text[at..].find('"')?;
        if text.as_bytes().get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        at = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carriage_return_inside_a_line_hides_no_row() {
        for text in ["k,o\na,test\rb,prod\nc,x\n", "k,o\r\na,\"t\"\rb,prod\r\n", "k,o\rb,prod\nc,x\n"] {
            let why = table(text, None).unwrap_err();
            assert!(why.contains("a lone carriage return"), "{text:?}: {why}");
        }
        assert!(table("k;o\na;x\rb;y\n", Some(b';')).unwrap_err().starts_with("line 2: "));
        for text in ["k,o\na,\"x\ry\"\n", "k,o\na,x\r", "k,o\ra,x\rb,y\r", "k,o\r\na,x\r\n"] {
            assert!(table(text, None).is_ok(), "{text:?}");
        }
    }

    fn cells(text: &str, named: Option<u8>) -> Vec<String> {
        let table = table(text, named).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        table.columns.iter().cloned().chain(table.cells.iter().map(|cell| cell.to_string())).collect()
    }

    #[test]
    fn the_header_row_decides_what_parts_the_cells() {
        for text in ["k,o\na,b\n", "k;o\na;b\n", "k\to\na\tb\n", "k ;\to\na;b\n", "\r\n\r\nk;o\r\na;b\r\n"] {
            assert_eq!(cells(text, None), ["k", "o", "a", "b"], "{text:?}");
        }
    }

    #[test]
    fn delimiters_in_quoted_names_do_not_count() {
        assert_eq!(cells("\"k,x\";o\na;b\n", None), ["k,x", "o", "a", "b"]);
        assert_eq!(cells("k;\"a \"\"q\"\", b\"\na;b\n", None), ["k", "a \"q\", b", "a", "b"]);
        assert_eq!(cells("\"k\n,\"\na\n", None), ["k\n,", "a"]);
    }

    #[test]
    fn two_delimiters_in_the_header_ask_for_the_right_one() {
        let why = table("k;o,p\na;b\n", None).unwrap_err();
        assert!(why.contains("`;` and `,`") && why.contains("`delimiter`"), "{why}");
        assert_eq!(cells("k;o,p\na;b\n", Some(b';')), ["k", "o,p", "a", "b"]);
        assert!(table("k\to;p\n", None).unwrap_err().contains("`\\t` and `;`"));
    }

    #[test]
    fn lines_that_programs_put_before_the_header_are_read_past() {
        assert_eq!(cells("sep=;\r\nk;o,p\r\na;b\r\n", None), ["k", "o,p", "a", "b"]);
        assert_eq!(cells("SEP=,\nk,o;p\na,b\n", None), ["k", "o;p", "a", "b"]);
        assert_eq!(cells("sep=,\nk;o\na;b\n", Some(b';')), ["k", "o", "a", "b"], "a named delimiter wins");
        assert_eq!(
            cells("#TYPE System.Object\r\n\"k\",\"o\"\r\n\"a\",\"b\"\r\n", None),
            ["k", "o", "a", "b"]
        );
        assert_eq!(cells("#TYPES,o\na,b\n", None)[0], "#TYPES");
        assert!(table("sep=|\nk|o\n", None).unwrap_err().contains("none of"));
        assert_eq!(table("sep=;\r\n#TYPE x\r\nk\r\na\r\n", None).unwrap().lines, [4]);
    }

    #[test]
    fn lines_are_those_of_the_file_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["k,o", "a,b", "", "\"c", "\",d", "e,f,g"].join(end);
            assert!(table(&text, None).unwrap_err().starts_with("line 6 has 3 cells"), "{end:?}");
            let text = ["k,o", "a,b", "", "\"c", "\",d", "e,f"].join(end);
            assert_eq!(table(&text, None).unwrap().lines, [2, 4, 6], "{end:?}");
        }
    }

    #[test]
    fn a_row_may_be_shorter_or_padded_and_never_longer() {
        let short = table("k,o,p\na\nb,,\nc,d,e,,\n", None).unwrap();
        let unknown: std::collections::BTreeSet<usize> = short.unknown.iter().copied().collect();
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), [1, 2], "an absent cell is not an empty one");
        let why = table("k,o\r\na,b\r\nc,d,,x\r\n", None).unwrap_err();
        assert_eq!(why, "line 3 has 4 cells, the header has 2; `x` belongs to no column");
    }

    #[test]
    fn two_columns_of_one_name_are_refused_at_their_line() {
        assert_eq!(table("sep=;\nk; k\n1;2\n", None).unwrap_err(), "line 2: the column `k` appears twice");
        assert_eq!(
            cells("k;;\na;;\n", None),
            ["k", "", "", "a", "", ""],
            "unnamed columns cannot be confused"
        );
    }

    #[test]
    fn a_csv_file_that_ends_inside_a_quote_was_cut() {
        for whole in
            ["k,o\na,\"x\"\n", "k,o\na,\"x\"\"y\"", "k,o\na,5\" disk\n", "k,o\n\"a\",\"x\ny\"\n\n", "k,o\n"]
        {
            assert!(table(whole, None).is_ok(), "{whole}");
        }
        for cut in
            ["k,o\na,\"x\nb,y\n", "k,o\na,\"x\"\"", "k,o\na,\"", "k,o\nb,\"x\"\n\"c", "k;o\na;\"x", "k,\"o"]
        {
            let why = table(cut, None).err().unwrap_or_else(|| panic!("{cut}"));
            assert!(why.contains("never closed"), "{cut}: {why}");
        }
    }

    #[test]
    fn white_space_around_cells_and_names_is_removed() {
        assert_eq!(cells(" k ,o\n srv01 ,\" BER \"\n", None), ["k", "o", "srv01", "BER"]);
    }

    #[test]
    fn a_quote_after_white_space_opens_a_cell() {
        for text in [
            "k;o\nd1; \"prod\"\n",
            "k; \"o\"\r\n\td1;\t \" prod \" \r\n",
            "\u{a0}\"k\";o\n \"d1\" ;\u{a0}\"prod\"",
            " \"k\"\t \"o\"\nd1\t \"prod\"\n",
        ] {
            assert_eq!(cells(text, None), ["k", "o", "d1", "prod"], "{text:?}");
        }
        assert_eq!(cells("k, \"o;p\"\nd1, \"a,\n\"\"b\"\"\"\n", None), ["k", "o;p", "d1", "a,\n\"b\""]);
        assert_eq!(cells("k,o\nd1, 5\" disk \"x\" \n", None), ["k", "o", "d1", "5\" disk \"x\""]);
        assert_eq!(table("k,o\n\n\"a\", \"b\n\"\nc,d\n", None).unwrap().lines, [3, 5]);
    }

    #[test]
    fn text_behind_a_closing_quote_is_refused_at_its_line() {
        for text in ["k,o\nd1,\"prod\"x\n", "k,o\n\"d\n1\", \"5\" disk\"\n", "k,o\nd1,\"\"prod\"\"\n"] {
            let why = table(text, None).err().unwrap_or_else(|| panic!("{text:?}"));
            let line = if text.contains("disk") { 3 } else { 2 };
            assert!(
                why.starts_with(&format!("line {line}: text follows the closing quote")),
                "{text:?}: {why}"
            );
        }
        let cut = table("sep=,\nk,o\nd1, \"prod\nd2,test\n", None).unwrap_err();
        assert_eq!(cut, "the quote that opens in line 3 is never closed: the file was cut");
    }
}
