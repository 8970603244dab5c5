//! The pictures in the documents match mdetag's output: the walk through device groups, in the sandbox.
//!
//! `MDETAG_UPDATE_DOCS=1 cargo test pictures` regenerates them; the one of the report needs Chromium. Its age is checked without:
//! the digest of the page that it shows is stored beside it.

#[path = "../docs/picture.rs"]
mod picture;
#[path = "../cli/project.rs"]
#[expect(dead_code, reason = "the tests of the command line use the rest")]
mod project;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;

use self::project::Project;
use super::browser;

/// The policies of the walk, and the plan of its mishap.
const MISHAP: [&str; 4] = ["plan", "--sandbox", "policies/guard.yaml", "mishap/servers.yaml"];

/// A reader's folder with the walk in it.
fn walk() -> Project {
    let project = Project::new();
    for file in [
        "policies/guard.yaml",
        "policies/servers.yaml",
        "policies/data/device-groups.yaml",
        "mishap/servers.yaml",
    ] {
        let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/consequences").join(file);
        project.write(file, &std::fs::read_to_string(from).expect("the example"));
    }
    project
}

#[test]
fn the_pictures_of_a_plan_and_of_a_refused_one_are_what_a_terminal_shows() {
    let project = walk();
    let planned = project.run(&["plan", "--sandbox", "--color", "always"]).exits(0);
    picture::terminal("plan.svg", "mdetag plan --sandbox", &planned.out);
    let refused = project.run(&[MISHAP.as_slice(), &["--color", "always"]].concat()).exits(3);
    picture::terminal("refused.svg", &format!("mdetag {}", MISHAP.join(" ")), &refused.out);
}

/// The report's page without the parts that differ between runs and versions.
fn page() -> String {
    let project = walk();
    project.run(&[MISHAP.as_slice(), &["--report", "html=plan.html"]].concat()).exits(3);
    let moment = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").expect("the pattern is sound");
    let page = moment.replace_all(&project.read("plan.html"), "2026-11-24T05:00:00Z").into_owned();
    page.replace(concat!("mdetag ", env!("CARGO_PKG_VERSION")), "mdetag")
}

#[test]
fn the_picture_of_the_report_was_taken_of_the_page_of_now() {
    let page = page();
    let digest = ring::digest::digest(&ring::digest::SHA256, page.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let beside = picture::file("report.sha256");
    if picture::is_update() {
        let Some(mut driver) = browser() else { panic!("Chromium takes the picture of the report") };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("plan.html");
        std::fs::write(&file, &page).expect("a file");
        driver.colours(false);
        driver.screen(1280);
        driver.open(&format!("file://{}", file.display()));
        let taken = STANDARD.decode(driver.picture()).expect("a picture");
        std::fs::write(picture::file("report.png"), taken).expect("a file");
        std::fs::write(&beside, format!("{digest}\n")).expect("a file");
    }
    let kept = std::fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(kept.trim(), digest, "docs/pictures/report.png: MDETAG_UPDATE_DOCS=1 makes it anew");
}

#[test]
fn the_report_of_a_refused_plan_says_so_first_and_nobody_is_shut_out() {
    let Some(mut driver) = browser() else {
        eprintln!("Chromium or chromedriver is not installed: the page was not looked at");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plan.html");
    std::fs::write(&file, page()).expect("a file");
    for (width, dark) in [(1280, false), (1280, true), (380, false), (380, true)] {
        driver.colours(dark);
        driver.screen(width);
        driver.open(&format!("file://{}", file.display()));
        let first = "const at = (it) => document.querySelector(it).getBoundingClientRect().top; \
            return String(at('.refusal') < at('h1'))";
        assert_eq!(driver.read(first), "true", "the refusal stands before the title");
        let fits = "return String(document.documentElement.scrollWidth <= innerWidth)";
        assert_eq!(driver.read(fits), "true", "nothing is wider than {width}");
        let broken = "const lines = (node) => { const range = document.createRange(); range.selectNodeContents(node); \
            return range.getClientRects().length; }; \
            return [...document.querySelectorAll('.flows th, .flows td:nth-child(-n+2) bdi')] \
            .filter((one) => !one.textContent.includes(' ') && lines(one) > 1).map((one) => one.textContent).join()";
        assert_eq!(driver.read(broken), "", "no name and no head is broken within a word");
        let cut = "return [...document.querySelectorAll('.item .cell')].filter((one) => one.scrollWidth > one.clientWidth \
            || one.scrollHeight > one.clientHeight + 1).map((one) => one.textContent).join('; ')";
        if width == 380 {
            assert_eq!(driver.read(cut), "", "every cell of a card is read whole");
        }
        if let Some(found) = driver.violations() {
            assert_eq!(found, "", "width {width}, dark: {dark}");
        }
    }
}
