//! Closed vocabularies: enums whose variants each have one word in files, reports and arguments.
//!
//! The list is written once, so `ALL`, `word` and `parse` cannot miss a variant.

/// Declares an enum of closed words: `ALL` in the order written, `word()`, `parse()` (exact) and `Display`.
///
/// ```
/// mdetag_vocabulary::words! {
///     /// Which of several devices is kept.
///     #[derive(Clone, Copy, Debug, PartialEq, Eq)]
///     pub enum Keep {
///         /// The greatest `lastSeen`.
///         Newest = "newest",
///         /// The least `firstSeen`.
///         Oldest = "oldest",
///     }
/// }
/// assert_eq!(Keep::parse("oldest"), Some(Keep::Oldest));
/// assert_eq!(Keep::WORDS, ["newest", "oldest"]);
/// ```
#[macro_export]
macro_rules! words {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_about:meta])* $variant:ident = $word:literal),+ $(,)?
        }
    ) => {
        $(#[$about])*
        $visibility enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of the documentation.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            /// The words, in the same order.
            pub const WORDS: [&'static str; [$($word),+].len()] = [$($word),+];

            /// The variant's word.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// The variant with exactly this word.
            pub fn parse(word: &str) -> Option<$name> {
                match word {
                    $($word => Some($name::$variant),)+
                    _ => None,
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
