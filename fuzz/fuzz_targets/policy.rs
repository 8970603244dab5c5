//! Any text as a policy file: findings that every renderer can show, and no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mdetag_core::diagnostic::Sources;
use mdetag_core::report::diagnostics;
use mdetag_core::report::style::Style;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;
use mdetag::{policy, policy::settings};

fuzz_target!(|text: &str| {
    let sources = Sources::from_text("p.yaml", text);
    policy::data_files(&sources);
    let (_, findings) = policy::resolve(&sources, TagCase::Exact, Timestamp::EPOCH);
    diagnostics::human(&sources, &findings, &Style::default());
    diagnostics::json(&sources, &findings);
    diagnostics::sarif(&sources, &findings);
    diagnostics::github(&sources, &findings);
    policy::parse_tests(&sources, Timestamp::EPOCH);
    settings::read(&sources);
});
