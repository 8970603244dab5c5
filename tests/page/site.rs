//! The guide's site is accessible: axe-core checks every page, light and dark, wide and narrow.
//!
//! The site is built by hand and for a release, not in every run: `MDETAG_SITE` names the folder that `mdbook build` wrote,
//! and `MDETAG_READERS` the one with axe-core.

use std::path::{Path, PathBuf};

use super::browser;

/// The pages in a folder and below. mdBook's own `toc.html` is for its own template.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the site") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "html") && !path.ends_with("toc.html") {
            found.push(path);
        }
    }
}

#[test]
fn nobody_is_shut_out_of_any_page_of_the_site() {
    let Some(site) = std::env::var_os("MDETAG_SITE") else {
        eprintln!("MDETAG_SITE names no site: it was not looked at");
        return;
    };
    let mut found = Vec::new();
    pages(&std::fs::canonicalize(site).expect("the site"), &mut found);
    found.sort();
    assert!(found.len() > 100, "only {} pages", found.len());
    let mut driver = browser().expect("Chromium looks at the site");
    let mut wrong = Vec::new();
    for (width, dark) in [(1280, false), (1280, true), (380, false), (380, true)] {
        driver.colours(dark);
        driver.screen(width);
        for page in &found {
            driver.open(&format!("file://{}", page.display()));
            let violations = driver.violations().expect("axe-core is installed");
            if !violations.is_empty() {
                wrong.push(format!("{}, width {width}, dark {dark}: {violations}", page.display()));
            }
            if driver.read("return String(document.documentElement.scrollWidth <= innerWidth)") != "true" {
                wrong.push(format!("{}: wider than {width}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eprintln!("{} pages, four looks each: nothing found", found.len());
}
