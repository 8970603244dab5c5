//! Any bytes as a data file of a policy: a table or a list. The first byte chooses the form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mdetag_core::diagnostic::Sources;
use mdetag_core::policy;
use mdetag_core::tag::TagCase;
use mdetag_core::time::Timestamp;

const FILES: [&str; 4] = ["t.csv", "t.json", "t.ndjson", "list.txt"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, content)) = bytes.split_first() else { return };
    let file = FILES[usize::from(*choice) % FILES.len()];
    let text = match file {
        "list.txt" => format!("version: 1\nscope: {{ id: {{ inFile: {file} }} }}\n"),
        _ => format!(
            "version: 1\nlookups: {{ c: {{ file: {file}, key: k, match: id }} }}\nscope: {{ lookup.c.o: {{ exists: true }} }}\n"
        ),
    };
    let mut sources = Sources::from_text("p.yaml", &text);
    sources.files[0].path = "p.yaml".to_owned();
    sources.data.insert((0, file.to_owned()), Ok(content.into()));
    policy::resolve(&sources, TagCase::Exact, Timestamp::EPOCH);
});
