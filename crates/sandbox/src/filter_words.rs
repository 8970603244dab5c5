//! A `$filter` cut into names, texts and marks. Knows no grammar; that is `filter`.

/// One word of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    Mark(char),
}

impl Word {
    pub(super) fn show(&self) -> String {
        match self {
            Word::Name(name) => name.clone(),
            Word::Text(text) => format!("'{text}'"),
            Word::Mark(mark) => mark.to_string(),
        }
    }
}

/// The words of a filter.
///
/// # Errors
/// A text that does not end.
pub(super) fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&first) = rest.peek() {
        match first {
            blank if blank.is_whitespace() => drop(rest.next()),
            '(' | ')' | ',' => {
                words.push(Word::Mark(first));
                rest.next();
            }
            '\'' => {
                rest.next();
                let mut quoted = String::new();
                loop {
                    match rest.next() {
                        // A doubled quote is one quote.
                        Some('\'') if rest.next_if_eq(&'\'').is_some() => quoted.push('\''),
                        Some('\'') => break,
                        Some(other) => quoted.push(other),
                        None => return Err(format!("There is an unterminated string literal in '{text}'.")),
                    }
                }
                words.push(Word::Text(quoted));
            }
            _ => {
                let mut name = String::new();
                while let Some(next) =
                    rest.next_if(|next| !next.is_whitespace() && !matches!(next, '(' | ')' | ',' | '\''))
                {
                    name.push(next);
                    // `v:` ends the variable of `any`, but a colon also stands inside times.
                    if next == ':' && name.chars().next().is_some_and(char::is_alphabetic) {
                        break;
                    }
                }
                words.push(Word::Name(name));
            }
        }
    }
    Ok(words)
}
