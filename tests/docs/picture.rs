//! Pictures of a terminal in the documents, as SVG: compared with the program's output, or regenerated with
//! `MDETAG_UPDATE_DOCS=1`.

use std::path::PathBuf;

use anstyle::{Color, RgbColor};
use anstyle_svg::{Palette, Term};

/// A picture's file.
pub(crate) fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/pictures").join(name)
}

/// Whether pictures are regenerated.
pub(crate) fn is_update() -> bool {
    std::env::var_os("MDETAG_UPDATE_DOCS").is_some()
}

/// Checks that the picture of a terminal in which `command` printed `text`, with its colours, is the one in the file.
#[track_caller]
pub(crate) fn terminal(name: &str, command: &str, text: &str) {
    let made = svg(&format!("\u{1b}[1m$ {command}\u{1b}[0m\n{}\n", text.trim_end()));
    if is_update() {
        std::fs::write(file(name), &made).expect("the picture can be written");
    }
    let kept = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert!(
        kept == made,
        "docs/pictures/{name} shows something else: MDETAG_UPDATE_DOCS=1 makes it anew of\n{text}"
    );
}

/// Colours with a contrast of 7 to 1 to the background.
fn svg(text: &str) -> String {
    const GROUND: RgbColor = RgbColor(0x14, 0x17, 0x1b);
    const INK: RgbColor = RgbColor(0xe8, 0xea, 0xed);
    const RED: RgbColor = RgbColor(0xff, 0x8a, 0x80);
    const GREEN: RgbColor = RgbColor(0x5c, 0xc9, 0x7a);
    const YELLOW: RgbColor = RgbColor(0xf0, 0xbb, 0x55);
    const BLUE: RgbColor = RgbColor(0x8a, 0xb4, 0xf8);
    let eight = [GROUND, RED, GREEN, YELLOW, BLUE, INK, BLUE, INK];
    let palette: [RgbColor; 16] = std::array::from_fn(|at| eight[at % 8]);
    let term = Term::new().palette(Palette(palette)).fg_color(Color::Rgb(INK)).bg_color(Color::Rgb(GROUND));
    // Dim text stays readable.
    term.render_svg(text).replace(".dimmed { opacity: 0.4; }", ".dimmed { opacity: 0.75; }")
}
