//! Selection: which devices each selector of a policy holds for, column by column.
//!
//! Knows selectors and columns; what follows from a match is for `desired`.
