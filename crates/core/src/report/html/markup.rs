//! Markup that is safe by construction: every piece in a template is escaped, unless it is markup already.
//!
//! Knows no element: our templates are written where they are used. The list of changes is JSON, and `island` escapes it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};

use crate::report::escape;
use crate::time::Timestamp;

/// Text that a page takes unescaped. Only `markup!` makes it, from a template and escaped pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// For `markup!` only, whose templates contain only our own text.
    pub(super) fn from_template(template: fmt::Arguments<'_>) -> Markup {
        Markup(template.to_string())
    }

    /// A style or script of ours.
    pub(super) fn constant(text: &'static str) -> Markup {
        Markup(text.to_owned())
    }

    pub(super) fn joined(parts: impl IntoIterator<Item = Markup>, between: &'static str) -> Markup {
        let parts: Vec<String> = parts.into_iter().map(|part| part.0).collect();
        Markup(parts.join(between))
    }
}

impl Display for Markup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that can be inserted into a template.
pub(super) trait MarkupPiece {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result;
}

impl MarkupPiece for Markup {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MarkupPiece for str {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::html(self))
    }
}

impl MarkupPiece for String {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.as_str().put(f)
    }
}

impl MarkupPiece for Cow<'_, str> {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).put(f)
    }
}

impl<P: MarkupPiece + ?Sized> MarkupPiece for &P {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).put(f)
    }
}

impl MarkupPiece for u64 {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

impl MarkupPiece for u128 {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

impl MarkupPiece for usize {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.fmt(f)
    }
}

impl MarkupPiece for Timestamp {
    fn put(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.rounded_down().to_string().put(f)
    }
}

/// A piece as `format_args!` takes it.
pub(super) struct Escaped<'p, P: ?Sized>(pub(super) &'p P);

impl<P: MarkupPiece + ?Sized> Display for Escaped<'_, P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.put(f)
    }
}

/// Whether a template has no inline variable, which would bypass the escaping.
pub(super) const fn names_nothing(template: &str) -> bool {
    let bytes = template.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'{' {
            if at + 1 == bytes.len() || bytes[at + 1] != b'}' {
                return false;
            }
            at += 1;
        }
        at += 1;
    }
    true
}

/// Markup from a template in which each `{}` takes one piece: `markup!("<p>{}</p>", name)`.
macro_rules! markup {
    ($template:literal $(, $piece:expr)* $(,)?) => {{
        const { assert!($crate::report::html::markup::names_nothing($template), "pieces stand behind the template") };
        $crate::report::html::markup::Markup::from_template(
            format_args!($template $(, $crate::report::html::markup::Escaped(&$piece))*)
        )
    }};
}

/// Writes one line of markup.
macro_rules! emit {
    ($out:expr, $($markup:tt)*) => {
        writeln!($out, "{}", $crate::report::html::markup::markup!($($markup)*))
    };
}

pub(super) use {emit, markup};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_markup_is_escaped() {
        let name = "<b>\"x\" & 'y'</b>";
        let inner = markup!("<i>{}</i>", name);
        let page = markup!("<p title=\"{}\">{} {}</p>", name, inner, 3u64).to_string();
        let safe = "&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;";
        assert_eq!(page, format!("<p title=\"{safe}\"><i>{safe}</i> 3</p>"));
    }

    #[test]
    fn a_template_that_names_a_variable_does_not_compile() {
        for template in ["{name}", "{{}}", "{0}", "{:>3}", "{"] {
            assert!(!names_nothing(template), "{template}");
        }
        assert!(names_nothing("<p class=\"a\">{}</p>{}"));
    }
}
