//! Makes text from devices, tags, files and the service harmless: one function per target.
//!
//! Names are hostile: whoever can name a device can name it `=cmd|…`, `@everyone` or `::error::`. Every renderer passes every
//! foreign text through the function of its target. Does not decide where text goes.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use super::json_log::{JsonLog, json_document, json_text};

use crate::text::{is_formula, push_visible, visible};

/// For terminals and logs: invisible characters are escaped, and nothing is left that the log reader of a CI system takes for a
/// command (`::error::` where a line could start with it, `##[…]` and `##vso[…]` anywhere). Any output may end in a log, so every
/// other target starts with this; JSON keeps the text and has [`JsonLog`].
pub fn terminal(text: &str) -> Cow<'_, str> {
    let shown = visible(text);
    if !shown.contains("::") && !shown.contains("##") {
        return shown;
    }
    let mut safe = String::with_capacity(shown.len() + 16);
    let mut before = ' ';
    for (at, scalar) in shown.char_indices() {
        let rest = &shown[at..];
        let starts_word = before.is_whitespace() || before == ':';
        let is_command =
            rest.starts_with("##") || (rest.starts_with("::") && starts_word && !starts_with_address(rest));
        if is_command {
            push_visible(&mut safe, scalar)
        } else {
            safe.push(scalar)
        }
        before = scalar;
    }
    Cow::Owned(safe)
}

/// Whether text starts with an IPv6 address such as `::1`. No command's name is one: it would end in `-` or contain a letter
/// beyond f.
fn starts_with_address(text: &str) -> bool {
    let end = text.find(|scalar: char| !(scalar.is_ascii_hexdigit() || matches!(scalar, ':' | '.')));
    let (address, rest) = text.split_at(end.unwrap_or(text.len()));
    let ends_word = !rest.starts_with(|scalar: char| scalar.is_alphanumeric() || matches!(scalar, '-' | '_'));
    ends_word && address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A tag, in quotes if white space is at its ends.
pub fn tag(text: &str) -> Cow<'_, str> {
    if text.trim() == text { Cow::Borrowed(text) } else { Cow::Owned(format!("\"{text}\"")) }
}

/// At most `limit` characters; a longer text ends in `…`. Cut before escaping, so that no escape is cut in half.
pub fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some(_) => {
            let end = text.char_indices().nth(limit.saturating_sub(1)).map_or(0, |(at, _)| at);
            Cow::Owned(format!("{}…", &text[..end]))
        }
    }
}

/// For Markdown: a code span. Only there do GitHub, GitLab and Azure DevOps all ignore markup, HTML, mentions, references and
/// bare links; in plain text even an entity for `@` becomes a mention.
pub fn markdown(text: &str) -> String {
    let shown = terminal(text);
    if shown.is_empty() {
        return "*(empty)*".to_owned();
    }
    // In a table a pipe ends the cell even inside a code span, unless a backslash precedes it; renderers differ on two
    // backslashes. Runs of backticks end spans, and longer runs are not delimiters at all.
    let spell_pipes = shown.contains('\\');
    let spell_ticks = shown.contains("```");
    let mut span = String::with_capacity(shown.len() + 8);
    for scalar in shown.chars() {
        match scalar {
            '|' if !spell_pipes => span.push_str("\\|"),
            '|' => push_visible(&mut span, '|'),
            '`' if spell_ticks => push_visible(&mut span, '`'),
            other => span.push(other),
        }
    }
    let fence = ["`", "``", "```"].into_iter().find(|fence| {
        let mut runs = span.split(|scalar| scalar != '`').filter(|run| !run.is_empty());
        !runs.any(|run| run.len() == fence.len())
    });
    let fence = fence.unwrap_or("```");
    let pad = if span.starts_with(['`', ' ']) || span.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{span}{pad}{fence}")
}

/// For HTML text and quoted attributes.
pub fn html(text: &str) -> String {
    let shown = terminal(text);
    let mut safe = String::with_capacity(shown.len() + 16);
    for scalar in shown.chars() {
        match scalar {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// JSON inside a `<script>` element: nothing in it can end the element or start a comment.
pub fn json_island(json: &str) -> String {
    let json = json_text(json);
    let mut safe = String::with_capacity(json.len() + json.len() / 32);
    for scalar in json.chars() {
        match scalar {
            '<' | '>' | '&' => {
                let _ = write!(safe, "\\u{:04x}", u32::from(scalar));
            }
            other => safe.push(other),
        }
    }
    safe
}

/// For a cell of CSV (the writer quotes it): one line, with an apostrophe before anything that a spreadsheet would evaluate.
pub fn csv(text: &str) -> Cow<'_, str> {
    let shown = terminal(text);
    if is_formula(text) || is_formula(&shown) { Cow::Owned(format!("'{shown}")) } else { shown }
}

/// For the message of a GitHub workflow command.
pub fn github_message(text: &str) -> String {
    replace(text, &[('%', "%25"), ('\r', "%0D"), ('\n', "%0A")])
}

/// For a property of a GitHub workflow command.
pub fn github_property(text: &str) -> String {
    replace(text, &[('%', "%25"), ('\r', "%0D"), ('\n', "%0A"), (':', "%3A"), (',', "%2C")])
}

/// For the message of an Azure DevOps logging command.
pub fn azure_message(text: &str) -> String {
    replace(text, &[('%', "%AZP25"), ('\r', "%0D"), ('\n', "%0A")])
}

/// For a property of an Azure DevOps logging command.
pub fn azure_property(text: &str) -> String {
    replace(text, &[('%', "%AZP25"), ('\r', "%0D"), ('\n', "%0A"), (';', "%3B"), (']', "%5D")])
}

fn replace(text: &str, pairs: &[(char, &str)]) -> String {
    let mut safe = String::with_capacity(text.len() + 8);
    // Line breaks are kept (encoded) for commands with messages of several lines.
    for piece in text.split_inclusive(['\r', '\n']) {
        let end = piece.trim_end_matches(['\r', '\n']);
        for scalar in terminal(end).chars().chain(piece[end.len()..].chars()) {
            match pairs.iter().find(|(from, _)| *from == scalar) {
                Some((_, to)) => safe.push_str(to),
                None => safe.push(scalar),
            }
        }
    }
    safe
}

/// Everything except the unreserved characters of RFC 3986 and the slash.
const UNUSUAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A relative path as a URI reference for SARIF: `/` between segments, everything unusual percent-encoded.
pub fn uri(path: &str) -> String {
    let slashed = path.replace('\\', "/");
    let path = slashed.strip_prefix("./").unwrap_or(&slashed);
    let scheme = if path.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(path, UNUSUAL))
}

/// For the message of a SARIF result, where brackets make links.
pub fn sarif(text: &str) -> String {
    terminal(text).replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

/// For a label value of OpenMetrics.
pub fn openmetrics(text: &str) -> String {
    let shown = terminal(text);
    shown.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A word of a command line, to be copied into a POSIX shell.
pub fn shell(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) && terminal(word) == word {
        return word.to_owned();
    }
    format!("'{}'", terminal(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::is_deceptive;

    /// Text full of characters that confuse renderers.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("::error::"),
            Just("##vso["),
            Just("##[group]"),
            Just("\u{202e}"),
            Just("\u{1b}[2J"),
            Just("\n"),
            Just("\r"),
            Just("`"),
            Just("```"),
            Just("|"),
            Just("\\"),
            Just("<script>"),
            Just("</script>"),
            Just("<!--"),
            Just("-->"),
            Just("&"),
            Just("\""),
            Just("'"),
            Just("@"),
            Just("#1"),
            Just("="),
            Just("+"),
            Just("\t"),
            Just(" "),
            Just("%0A"),
            Just("https://x.y"),
            Just("a"),
            Just("ü"),
            Just("]]>"),
            Just(";"),
        ];
        prop_oneof![proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), ".{0,40}"]
    }

    #[test]
    fn an_override_is_written_out() {
        assert_eq!(visible("a\u{202e}b\u{1b}[31m\n"), "a\\u{202e}b\\u{1b}[31m\\n");
        assert!(matches!(visible("dc01.corp.example.com ü 設備"), Cow::Borrowed(_)));
    }

    #[test]
    fn log_commands_in_names_are_inert() {
        assert_eq!(terminal("::error::x"), "\\u{3a}:error::x");
        assert_eq!(terminal("a ::set-output"), "a \\u{3a}:set-output");
        assert_eq!(terminal("##vso[task]"), "\\u{23}#vso[task]");
        assert_eq!(terminal("env::prod"), "env::prod");
        assert_eq!(terminal("::add-mask::x"), "\\u{3a}:add-mask::x");
        assert_eq!(terminal("from ::1 to ::ffff:10.0.0.1/96"), "from ::1 to ::ffff:10.0.0.1/96");
    }

    #[test]
    fn whatever_is_invisible_or_blank_is_written_out() {
        let kind =
            regex::Regex::new(r"^[\p{Default_Ignorable_Code_Point}\p{Z}\p{Cc}\u{2800}\u{1d159}]$").unwrap();
        let seen: Vec<char> = ('\0'..=char::MAX)
            .filter(|scalar| *scalar != ' ' && kind.is_match(scalar.encode_utf8(&mut [0; 4])))
            .filter(|scalar| !is_deceptive(*scalar))
            .collect();
        assert_eq!(seen, Vec::<char>::new());
    }

    #[test]
    fn white_space_at_the_ends_of_a_tag_is_seen() {
        assert_eq!((tag("a b"), tag("a "), tag(" a")), ("a b".into(), "\"a \"".into(), "\" a\"".into()));
    }

    #[test]
    fn formulas_are_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "＝1"] {
            assert!(csv(formula).starts_with('\''), "{formula:?}");
        }
        assert_eq!(csv("env/prod"), "env/prod");
    }

    #[test]
    fn code_spans_hold_backticks_and_pipes() {
        assert_eq!(markdown("a`b"), "``a`b``");
        assert_eq!(markdown("`"), "`` ` ``");
        assert_eq!(markdown("a|b"), "`a\\|b`");
        assert_eq!(markdown(r"a\|b"), r"`a\\u{7c}b`");
        assert_eq!(markdown("@all #1 <b>"), "`@all #1 <b>`");
    }

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("./policies/a b%.yaml"), "policies/a%20b%25.yaml");
        assert_eq!(uri("javascript:alert(1)"), "javascript%3Aalert%281%29");
        assert_eq!(uri("policies\\ü.yaml"), "policies/%C3%BC.yaml");
    }

    #[test]
    fn copied_words_stay_one_word() {
        assert_eq!(shell("removalsPerTag:Tier0=312"), "removalsPerTag:Tier0=312");
        assert_eq!(shell("removalsPerTag:a b'$(x)=3"), "'removalsPerTag:a b'\\''$(x)=3'");
    }

    #[test]
    fn clipped_text_says_so() {
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip("abcd", 4), "abcd");
    }

    proptest! {
        #[test]
        fn terminal_text_has_no_control_and_no_command(text in hostile()) {
            let safe = terminal(&text);
            prop_assert!(!safe.contains(is_deceptive));
            let begins_word = |at: usize| safe[..at].chars().next_back().is_none_or(char::is_whitespace);
            let mut colons = safe.match_indices("::").map(|(at, _)| at);
            let has_command = colons.any(|at| begins_word(at) && !starts_with_address(&safe[at..]));
            prop_assert!(!safe.contains("##") && !has_command, "{safe:?}");
        }

        #[test]
        fn markdown_text_never_leaves_its_code_span(text in hostile()) {
            let span = markdown(&text);
            prop_assume!(span != "*(empty)*");
            let fence = span.len() - span.trim_start_matches('`').len();
            let inner = &span[fence..span.len() - fence];
            prop_assert!(span.ends_with(&"`".repeat(fence)));
            let runs = inner.split(|scalar| scalar != '`').filter(|run| !run.is_empty());
            prop_assert!(runs.into_iter().all(|run| run.len() != fence), "{span}");
            prop_assert!(!inner.starts_with('`') && !inner.ends_with('`') && !inner.contains(is_deceptive));
            prop_assert!(!inner.replace("\\|", "").contains('|'), "a pipe would end the cell: {span}");
        }

        #[test]
        fn html_text_opens_no_tag(text in hostile()) {
            let safe = html(&text);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']) && !safe.contains(is_deceptive));
        }

        #[test]
        fn islands_cannot_end_their_element_and_keep_their_text(text in hostile()) {
            let json = serde_json::to_string(&text).expect("text is JSON");
            let island = json_island(&json);
            prop_assert!(!island.contains(['<', '>', '&']));
            prop_assert_eq!(serde_json::from_str::<String>(&island).expect("still JSON"), text);
        }

        #[test]
        fn cells_never_compute(text in hostile()) {
            let cell = csv(&text);
            prop_assert!(!cell.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']) && !cell.contains(['\n', '\r']));
        }

        #[test]
        fn workflow_commands_stay_one_line(text in hostile()) {
            for safe in [github_message(&text), github_property(&text), azure_message(&text), azure_property(&text)] {
                prop_assert!(!safe.contains(['\n', '\r']));
            }
            prop_assert!(!github_property(&text).contains([',', ':']));
            prop_assert!(!azure_property(&text).contains([';', ']']));
        }

        #[test]
        fn uris_are_plain(text in hostile()) {
            let uri = uri(&text);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%:".contains(&byte);
            prop_assert!(uri.bytes().all(plain));
        }

        #[test]
        fn label_values_stay_in_their_quotes(text in hostile()) {
            let label = openmetrics(&text);
            let bare = label.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!bare.contains(['"', '\\', '\n']));
        }

        #[test]
        fn no_target_holds_a_log_command(text in hostile()) {
            let json = json_island(&serde_json::Value::from(&*text).to_string());
            let targets = [
                terminal(&text).into_owned(), markdown(&text), html(&text), json, csv(&text).into_owned(),
                github_message(&text), github_property(&text), azure_message(&text), azure_property(&text),
                uri(&text), sarif(&text), openmetrics(&text), shell(&text),
            ];
            for safe in targets {
                prop_assert!(!safe.contains("##"), "{safe:?}");
                prop_assert!(!safe.contains('\n') && !safe.starts_with("::") || starts_with_address(&safe), "{safe:?}");
            }
        }
    }
}
