//! Parses Rust source as far as the rules need: the paths that it names, with their lines, and the words that it uses.
//!
//! No parser. Comments, literals and tests are blanked (same length, same lines), then `use` trees are unfolded, so that
//! no spelling of an import hides what it names.

use std::ops::Range;

/// One source file, prepared.
pub(crate) struct Source {
    /// Path from the package's root, with `/`.
    pub(crate) path: String,
    /// Unchanged.
    pub(crate) text: String,
    /// Without comments, literals and tests.
    code: String,
    /// Without comments and tests.
    words: String,
    /// The byte offset at which each line starts.
    lines: Vec<usize>,
}

/// A path that code names: `["std", "fs", "read"]`; `*` for a glob import.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From 1.
    pub(crate) line: usize,
    /// Byte offset of its first segment.
    pub(crate) at: usize,
    /// Its segments.
    pub(crate) path: Vec<String>,
    /// Whether it is in a `use`.
    pub(crate) is_use: bool,
    /// Whether it is the name of a macro call.
    pub(crate) is_macro: bool,
}

impl Source {
    /// Prepares a file.
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (mut code, mut words) = blank(text);
        for range in tests_of(path, &code) {
            wipe(&mut code, range.clone());
            wipe(&mut words, range);
        }
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).expect("blanking keeps whole characters");
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code: text_of(code),
            words: text_of(words),
            lines,
        }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Identifiers and literals as written; everything else is there too, comments and tests are blank.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// The module path: `["policy", "syntax"]` for `src/policy/syntax.rs`, nothing for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).unwrap_or("");
        inner.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main" | "")).collect()
    }

    /// Whether the whole file is a test.
    pub(crate) fn is_test(&self) -> bool {
        is_test_file(&self.path)
    }

    /// Every name that is given to a type, a function or a module, with its keyword.
    pub(crate) fn definitions(&self) -> Vec<(usize, &str, &str)> {
        let tokens = tokens(&self.code);
        let words = ["struct", "enum", "trait", "type", "union", "fn", "mod"];
        let pairs = tokens.windows(2).filter(|pair| words.contains(&pair[0].1) && is_word(pair[1].1));
        pairs.map(|pair| (self.line(pair[0].0), pair[0].1, pair[1].1)).collect()
    }

    /// Whether an offset lies inside `mod name { … }`.
    pub(crate) fn is_in_inline_module(&self, at: usize) -> bool {
        let tokens = tokens(&self.code);
        tokens.windows(3).any(|three| {
            three[0].1 == "mod"
                && three[2].1 == "{"
                && three[2].0 < at
                && at < block_end(&self.code, three[2].0)
        })
    }

    /// Every path that the code names.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        let mut index = 0;
        while index < tokens.len() {
            if tokens[index].1 == "use" && tokens.get(index + 1).is_some_and(|next| next.1 != "<") {
                index += 1;
                let start = found.len();
                self.unfold(&tokens, &mut index, &[], &mut found);
                found[start..].iter_mut().for_each(|named| named.is_use = true);
            } else if is_word(tokens[index].1) {
                let mut path = vec![tokens[index].1.to_owned()];
                let at = tokens[index].0;
                index += 1;
                while tokens.get(index).is_some_and(|token| token.1 == "::")
                    && tokens.get(index + 1).is_some_and(|token| is_word(token.1) || token.1 == "{")
                {
                    path.push(tokens[index + 1].1.to_owned());
                    index += 2;
                }
                let is_macro = tokens.get(index).is_some_and(|token| token.1 == "!")
                    && tokens.get(index + 1).is_some_and(|token| token.1 != "=");
                found.push(Named { line: self.line(at), at, path, is_use: false, is_macro });
            } else {
                index += 1;
            }
        }
        found
    }

    /// One branch of a `use` tree. `crate::{` keeps its brace as a segment, so that a rule can see it.
    fn unfold(&self, tokens: &[(usize, &str)], index: &mut usize, prefix: &[String], found: &mut Vec<Named>) {
        let mut path = prefix.to_vec();
        let at = tokens.get(*index).map_or(self.code.len(), |token| token.0);
        let mut push = |path: Vec<String>| {
            found.push(Named {
                line: self.line(at.min(self.text.len())),
                at,
                path,
                is_use: true,
                is_macro: false,
            })
        };
        while let Some((_, token)) = tokens.get(*index) {
            match *token {
                "{" => {
                    if path == ["crate"] {
                        push(vec!["crate".to_owned(), "{".to_owned()]);
                    }
                    *index += 1;
                    while tokens.get(*index).is_some_and(|token| token.1 != "}") {
                        self.unfold(tokens, index, &path, found);
                        if tokens.get(*index).is_some_and(|token| token.1 == ",") {
                            *index += 1;
                        }
                    }
                    *index += 1;
                    return;
                }
                "as" => *index += 2,
                ";" | "," | "}" => break,
                "self" if !path.is_empty() => *index += 1,
                "::" => *index += 1,
                word => {
                    path.push(word.to_owned());
                    *index += 1;
                }
            }
        }
        if !path.is_empty() {
            push(path);
        }
    }
}

/// Whether a whole file is a test: `tests.rs`, `some_tests.rs`, or below a folder `tests` of `src`.
fn is_test_file(path: &str) -> bool {
    let is_named_so = path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/");
    path.starts_with("src/") && is_named_so
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut rest = code.char_indices().peekable();
    while let Some((at, first)) = rest.next() {
        let mut end = at + first.len_utf8();
        if first.is_alphanumeric() || first == '_' {
            while let Some((next, _)) = rest.next_if(|(_, next)| next.is_alphanumeric() || *next == '_') {
                end = next + code[next..].chars().next().map_or(0, char::len_utf8);
            }
        } else if first == ':' && rest.next_if(|(_, next)| *next == ':').is_some() {
            end += 1;
        } else if first.is_whitespace() {
            continue;
        }
        found.push((at, &code[at..end]));
    }
    found
}

fn wipe(bytes: &mut [u8], range: Range<usize>) {
    for byte in &mut bytes[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// One past the brace that closes the one at `open`.
fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The items behind `#[cfg(test)]`, and the whole of a file of tests.
fn tests_of(path: &str, code: &[u8]) -> Vec<Range<usize>> {
    if is_test_file(path) {
        return Vec::from([Range { start: 0, end: code.len() }]);
    }
    let code = std::str::from_utf8(code).expect("blanking keeps whole characters");
    let items = code.match_indices("#[cfg(test)]").map(|(start, _)| {
        let open = code[start..].find(['{', ';']).map_or(code.len(), |at| start + at);
        start..if code[open..].starts_with('{') { block_end(code, open) } else { open }
    });
    items.collect()
}

/// The text without comments and literals, and the text without comments.
fn blank(text: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = text.as_bytes();
    let (mut code, mut words) = (bytes.to_vec(), bytes.to_vec());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        if rest.starts_with("//") || rest.starts_with("/*") {
            let end = at + comment_length(rest);
            wipe(&mut code, at..end);
            wipe(&mut words, at..end);
            at = end;
        } else if let Some(length) = literal_length(rest, word_before) {
            wipe(&mut code, at..at + length);
            at += length;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    (code, words)
}

/// Bytes of the comment that the text starts with. Block comments nest.
fn comment_length(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Bytes of the string or character literal that the text starts with.
fn literal_length(text: &str, word_before: bool) -> Option<usize> {
    let hashes = |from: &str| from.bytes().take_while(|byte| *byte == b'#').count();
    if text.starts_with('"') {
        return Some(quoted_length(text, '"'));
    }
    if let Some(inner) = text.strip_prefix('\'') {
        let second = inner.chars().next()?;
        let is_lifetime = second != '\\' && !inner[second.len_utf8()..].starts_with('\'');
        return (!is_lifetime).then(|| quoted_length(text, '\''));
    }
    let raw =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let count = hashes(raw);
    if word_before || !raw[count..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(count));
    let start = text.len() - raw.len() + count + 1;
    Some(text[start..].find(&close).map_or(text.len(), |end| start + end + close.len()))
}

/// Bytes up to and with the closing quote; a backslash escapes the next character.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut rest = text.char_indices().skip(1);
    while let Some((at, scalar)) = rest.next() {
        if scalar == quote {
            return at + 1;
        }
        if scalar == '\\' {
            rest.next();
        }
    }
    text.len()
}
