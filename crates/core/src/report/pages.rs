//! The pages of all codes, as in `docs/diagnostics`: what `validate --explain` prints and code-scanning pages link to.
//!
//! Says nothing of its own; a test keeps the list and the folder the same.

/// Code and page, in the order of the index.
const PAGES: &[(&str, &str)] = &[
    ("E0101", include_str!("../../../../docs/diagnostics/E0101.md")),
    ("E0102", include_str!("../../../../docs/diagnostics/E0102.md")),
    ("E0103", include_str!("../../../../docs/diagnostics/E0103.md")),
    ("E0104", include_str!("../../../../docs/diagnostics/E0104.md")),
    ("E0105", include_str!("../../../../docs/diagnostics/E0105.md")),
    ("E0106", include_str!("../../../../docs/diagnostics/E0106.md")),
    ("E0107", include_str!("../../../../docs/diagnostics/E0107.md")),
    ("E0108", include_str!("../../../../docs/diagnostics/E0108.md")),
    ("E0109", include_str!("../../../../docs/diagnostics/E0109.md")),
    ("E0110", include_str!("../../../../docs/diagnostics/E0110.md")),
    ("E0111", include_str!("../../../../docs/diagnostics/E0111.md")),
    ("E0112", include_str!("../../../../docs/diagnostics/E0112.md")),
    ("E0113", include_str!("../../../../docs/diagnostics/E0113.md")),
    ("E0199", include_str!("../../../../docs/diagnostics/E0199.md")),
    ("E0201", include_str!("../../../../docs/diagnostics/E0201.md")),
    ("E0202", include_str!("../../../../docs/diagnostics/E0202.md")),
    ("E0203", include_str!("../../../../docs/diagnostics/E0203.md")),
    ("E0204", include_str!("../../../../docs/diagnostics/E0204.md")),
    ("E0205", include_str!("../../../../docs/diagnostics/E0205.md")),
    ("E0206", include_str!("../../../../docs/diagnostics/E0206.md")),
    ("E0207", include_str!("../../../../docs/diagnostics/E0207.md")),
    ("E0208", include_str!("../../../../docs/diagnostics/E0208.md")),
    ("E0209", include_str!("../../../../docs/diagnostics/E0209.md")),
    ("E0210", include_str!("../../../../docs/diagnostics/E0210.md")),
    ("E0211", include_str!("../../../../docs/diagnostics/E0211.md")),
    ("E0212", include_str!("../../../../docs/diagnostics/E0212.md")),
    ("E0213", include_str!("../../../../docs/diagnostics/E0213.md")),
    ("E0214", include_str!("../../../../docs/diagnostics/E0214.md")),
    ("E0301", include_str!("../../../../docs/diagnostics/E0301.md")),
    ("E0302", include_str!("../../../../docs/diagnostics/E0302.md")),
    ("E0303", include_str!("../../../../docs/diagnostics/E0303.md")),
    ("E0304", include_str!("../../../../docs/diagnostics/E0304.md")),
    ("E0305", include_str!("../../../../docs/diagnostics/E0305.md")),
    ("E0306", include_str!("../../../../docs/diagnostics/E0306.md")),
    ("E0307", include_str!("../../../../docs/diagnostics/E0307.md")),
    ("E0321", include_str!("../../../../docs/diagnostics/E0321.md")),
    ("E0322", include_str!("../../../../docs/diagnostics/E0322.md")),
    ("E0401", include_str!("../../../../docs/diagnostics/E0401.md")),
    ("E0402", include_str!("../../../../docs/diagnostics/E0402.md")),
    ("E0403", include_str!("../../../../docs/diagnostics/E0403.md")),
    ("E0404", include_str!("../../../../docs/diagnostics/E0404.md")),
    ("E0405", include_str!("../../../../docs/diagnostics/E0405.md")),
    ("E0406", include_str!("../../../../docs/diagnostics/E0406.md")),
    ("E0407", include_str!("../../../../docs/diagnostics/E0407.md")),
    ("E0408", include_str!("../../../../docs/diagnostics/E0408.md")),
    ("E0409", include_str!("../../../../docs/diagnostics/E0409.md")),
    ("E0410", include_str!("../../../../docs/diagnostics/E0410.md")),
    ("E0411", include_str!("../../../../docs/diagnostics/E0411.md")),
    ("E0412", include_str!("../../../../docs/diagnostics/E0412.md")),
    ("E0501", include_str!("../../../../docs/diagnostics/E0501.md")),
    ("E0502", include_str!("../../../../docs/diagnostics/E0502.md")),
    ("E0503", include_str!("../../../../docs/diagnostics/E0503.md")),
    ("E0504", include_str!("../../../../docs/diagnostics/E0504.md")),
    ("E0505", include_str!("../../../../docs/diagnostics/E0505.md")),
    ("E0601", include_str!("../../../../docs/diagnostics/E0601.md")),
    ("E0602", include_str!("../../../../docs/diagnostics/E0602.md")),
    ("E0701", include_str!("../../../../docs/diagnostics/E0701.md")),
    ("E0702", include_str!("../../../../docs/diagnostics/E0702.md")),
    ("E0703", include_str!("../../../../docs/diagnostics/E0703.md")),
    ("E0801", include_str!("../../../../docs/diagnostics/E0801.md")),
    ("E0802", include_str!("../../../../docs/diagnostics/E0802.md")),
    ("E9000", include_str!("../../../../docs/diagnostics/E9000.md")),
    ("E9001", include_str!("../../../../docs/diagnostics/E9001.md")),
    ("E9002", include_str!("../../../../docs/diagnostics/E9002.md")),
    ("E9003", include_str!("../../../../docs/diagnostics/E9003.md")),
    ("E9004", include_str!("../../../../docs/diagnostics/E9004.md")),
    ("E9005", include_str!("../../../../docs/diagnostics/E9005.md")),
    ("W0199", include_str!("../../../../docs/diagnostics/W0199.md")),
    ("W0201", include_str!("../../../../docs/diagnostics/W0201.md")),
    ("W0202", include_str!("../../../../docs/diagnostics/W0202.md")),
    ("W0203", include_str!("../../../../docs/diagnostics/W0203.md")),
    ("W0301", include_str!("../../../../docs/diagnostics/W0301.md")),
    ("W0321", include_str!("../../../../docs/diagnostics/W0321.md")),
    ("W0401", include_str!("../../../../docs/diagnostics/W0401.md")),
    ("W0402", include_str!("../../../../docs/diagnostics/W0402.md")),
    ("W0403", include_str!("../../../../docs/diagnostics/W0403.md")),
    ("W0404", include_str!("../../../../docs/diagnostics/W0404.md")),
    ("W0405", include_str!("../../../../docs/diagnostics/W0405.md")),
    ("W0406", include_str!("../../../../docs/diagnostics/W0406.md")),
    ("W0501", include_str!("../../../../docs/diagnostics/W0501.md")),
    ("W0603", include_str!("../../../../docs/diagnostics/W0603.md")),
    ("W0604", include_str!("../../../../docs/diagnostics/W0604.md")),
    ("W0710", include_str!("../../../../docs/diagnostics/W0710.md")),
    ("W0711", include_str!("../../../../docs/diagnostics/W0711.md")),
    ("W0712", include_str!("../../../../docs/diagnostics/W0712.md")),
    ("W0713", include_str!("../../../../docs/diagnostics/W0713.md")),
    ("W0714", include_str!("../../../../docs/diagnostics/W0714.md")),
    ("W0715", include_str!("../../../../docs/diagnostics/W0715.md")),
    ("W0718", include_str!("../../../../docs/diagnostics/W0718.md")),
    ("N0201", include_str!("../../../../docs/diagnostics/N0201.md")),
    ("N0401", include_str!("../../../../docs/diagnostics/N0401.md")),
    ("N0402", include_str!("../../../../docs/diagnostics/N0402.md")),
    ("N0403", include_str!("../../../../docs/diagnostics/N0403.md")),
    ("N0404", include_str!("../../../../docs/diagnostics/N0404.md")),
];

/// The codes that have a page.
pub fn codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(code, _)| *code)
}

/// The page of a code (in any case), as Markdown.
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

/// The title of a code's page, without the code.
pub fn title(code: &str) -> Option<&'static str> {
    let heading = page(code)?.lines().next()?;
    heading.split_once(": ").map(|(_, title)| title)
}
