//! Any text as a plan file. The digest keeps nearly everything out, so seed the corpus with real plans.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mdetag_core::plan::document;

fuzz_target!(|text: &str| {
    let _ = document::read(text);
});
