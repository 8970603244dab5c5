//! The operators of each kind of field and their operands, for the readers and the schema.
//!
//! Reads nothing.

use crate::device::Kind;

/// The operand of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// One value of the field's kind.
    One,
    Many,
    /// One or a list.
    OneOrMany,
    /// `true` or `false`.
    Boolean,
    /// A path, or a file and its column.
    File,
}

/// The operators of a kind, in the order of the language reference.
pub(super) fn operators(kind: Kind) -> &'static [(&'static str, Operand)] {
    use Operand::{Boolean, File, Many, One, OneOrMany};
    const EXISTS: (&str, Operand) = ("exists", Boolean);
    match kind {
        Kind::Text => &[
            ("eq", One),
            ("in", Many),
            ("inFile", File),
            ("glob", OneOrMany),
            ("regex", OneOrMany),
            ("startsWith", OneOrMany),
            ("endsWith", OneOrMany),
            ("contains", OneOrMany),
            EXISTS,
        ],
        Kind::Version => &[
            ("eq", One),
            ("in", Many),
            ("inFile", File),
            ("glob", OneOrMany),
            ("regex", OneOrMany),
            ("startsWith", OneOrMany),
            ("endsWith", OneOrMany),
            ("contains", OneOrMany),
            ("atLeast", One),
            ("below", One),
            EXISTS,
        ],
        Kind::Integer => &[
            ("eq", One),
            ("in", Many),
            ("atLeast", One),
            ("atMost", One),
            ("above", One),
            ("below", One),
            EXISTS,
        ],
        Kind::Boolean => &[("eq", One), EXISTS],
        Kind::Time => &[("within", One), ("olderThan", One), ("before", One), ("after", One), EXISTS],
        Kind::Address => &[("eq", One), ("in", Many), ("cidr", OneOrMany), EXISTS],
        Kind::Hardware => &[("eq", One), ("in", Many), ("startsWith", OneOrMany), EXISTS],
        Kind::Tags => &[
            ("has", One),
            ("hasAny", Many),
            ("hasAll", Many),
            ("hasNone", Many),
            ("matches", OneOrMany),
            EXISTS,
        ],
    }
}

/// The name of a kind in messages.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Version => "version",
        Kind::Integer => "integer",
        Kind::Boolean => "boolean",
        Kind::Time => "time",
        Kind::Address => "address",
        Kind::Hardware => "hardware address",
        Kind::Tags => "tag",
    }
}

/// The operand of an operator for a kind of field.
pub(super) fn operand(kind: Kind, operator: &str) -> Option<Operand> {
    operators(kind).iter().find(|(name, _)| *name == operator).map(|(_, operand)| *operand)
}
