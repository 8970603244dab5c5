//! The keys of the language: a name and an allowed value.
//!
//! Names no key; the tables are in `keys`.

/// A key of a mapping.
pub(super) struct MappingKey {
    pub(super) name: &'static str,
    pub(super) is_required: bool,
    pub(super) shape: Shape,
    pub(super) about: &'static str,
}

/// The allowed value of a key.
pub(super) enum Shape {
    /// The number 1.
    Version,
    /// Text; numbers and booleans have to be quoted.
    Text,
    /// A path below the policy root.
    Path,
    Tag,
    /// A tag or a glob.
    TagOrGlob,
    /// A tag or a template.
    TagTemplate,
    Integer,
    /// A whole number that is not negative.
    Count,
    /// A whole number from 1.
    Positive,
    /// 0 to 100, with or without `%`.
    Percent,
    /// A count, or a share with `%`.
    Quantity,
    /// `true` or `false`.
    Boolean,
    Date,
    /// A day, or a time with its offset.
    Time,
    Words(&'static [&'static str]),
    Selector,
    List(&'static Shape),
    /// A mapping whose keys are the user's names.
    Named(&'static Shape),
    /// A mapping with these keys.
    Mapping(&'static [MappingKey]),
    /// Fields of a device in a test.
    Device,
    /// A cell of a lookup's row in a test.
    Cell,
}

pub(super) const fn key(name: &'static str, shape: Shape, about: &'static str) -> MappingKey {
    MappingKey { name, is_required: false, shape, about }
}

pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> MappingKey {
    MappingKey { name, is_required: true, shape, about }
}
