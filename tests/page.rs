//! The HTML report in a real browser: a hundred thousand rows load, can be searched and sorted by keyboard, and nothing
//! complains.
//!
//! Needs Chromium and its driver; without them the test says so and passes. Opens only the driver's socket on loopback.

#[path = "page/driver.rs"]
mod driver;
#[path = "page/pictures.rs"]
mod pictures;
#[path = "page/site.rs"]
mod site;

use std::time::{Duration, Instant};

use driver::Driver;
use mdetag_core::diagnostic::Place;
use mdetag_core::plan::guard::AxisReport;
use mdetag_core::plan::{Cause, CauseIndex, DeviceChange, Plan, RuleReference, TagChange, TagIndex};
use mdetag_core::policy::Axis;
use mdetag_core::report::{self, Format, Input, Model, Style, Subject};

const ROWS: usize = 100_000;

fn plan() -> Plan {
    let place = Place { file: "policies/a.yaml".into(), line: 3, column: 5, end_line: 3, end_column: 9 };
    let rule = |name: &str| RuleReference {
        name: name.to_owned(),
        place: place.clone(),
        priority: 0,
        description: None,
        owner: None,
        ticket: None,
    };
    let hostile = "</script><img src=x onerror=document.title='pwned'>";
    Plan {
        tags: vec!["env/prod".into(), hostile.into()],
        rules: vec![rule("production"), rule("other")],
        causes: vec![Cause::Rule(vec![0]), Cause::Unselected { claim: hostile.to_owned(), place }],
        changes: (0..ROWS)
            .map(|number| {
                let change = |tag| vec![TagChange { tag: TagIndex(tag), cause: CauseIndex(tag) }];
                let is_removal = number % 10 == 0;
                DeviceChange {
                    id: format!("{number:06}").into(),
                    name: Some(format!("host-{number}.corp.example.com").into()),
                    observed_tags: Box::default(),
                    observed_value: None,
                    add: if is_removal { vec![] } else { change(0) },
                    remove: if is_removal { change(1) } else { vec![] },
                    value: None,
                }
            })
            .collect(),
        ..Plan::default()
    }
}

/// Chromium with its driver. The gate installs them and says so; a contributor's computer may lack them.
fn browser() -> Option<Driver> {
    let driver = Driver::start();
    if driver.is_none() {
        assert!(
            std::env::var_os("MDETAG_NEEDS_BROWSER").is_none(),
            "Chromium and chromedriver must be installed here"
        );
    }
    driver
}

fn write(path: &std::path::Path, subject: Subject, plan: &Plan) {
    let mut page = Vec::new();
    let model = Model::new(Input::new(subject, plan));
    report::write(Format::Html, &model, &Style::default(), 0, &mut page).expect("a page");
    std::fs::write(path, page).expect("a file");
}

#[test]
fn a_refused_plan_draws_its_guard_filters_by_group_and_reads_as_cards_on_a_phone() {
    let Some(mut driver) = browser() else {
        eprintln!("Chromium or chromedriver is not installed: the page was not looked at");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.html");
    let mut plan = plan();
    plan.changes.truncate(1_000);
    plan.guard.refused = true;
    plan.guard.axes.push(AxisReport {
        axis: Axis::Removals,
        tag: None,
        planned: 100,
        allowed: 40,
        cap: 40,
        raised_by: None,
        base: 400,
        percent: "10 %".into(),
        floor: 20,
        place: None,
    });
    plan.header.tenant.cloud = Some("sandbox".into());
    write(&file, Subject::Plan, &plan);
    let url = format!("file://{}", file.display());
    for dark in [false, true] {
        driver.colours(dark);
        driver.screen(1280);
        driver.open(&url);
        assert_eq!(driver.read("return String(document.querySelectorAll('.guard .limit').length)"), "1");
        assert_eq!(driver.read("return String(document.body.innerText.split('SANDBOX').length - 1)"), "1");
        let aligned = "const left = (at) => at.getBoundingClientRect().left; \
            const heads = [...document.querySelectorAll('.heads .cell')].map(left); \
            const cells = [...document.querySelector('.item').children].map(left); \
            return String(heads.every((at, place) => Math.abs(at - cells[place]) < 1.5))";
        assert_eq!(driver.read(aligned), "true", "heads stand over their cells");
        if let Some(found) = driver.violations() {
            assert_eq!(found, "", "dark: {dark}");
        }
        driver.focus("tr.remove a");
        driver.press("\u{e007}");
        assert_eq!(
            driver.read("return document.getElementById('count').textContent"),
            "100 of 1,000 changes"
        );
        driver.focus("#clear");
        driver.press("\u{e007}");
        assert_eq!(driver.read("return document.getElementById('count').textContent"), "1,000 changes");

        driver.screen(380);
        driver.open(&url);
        let fits = "return document.documentElement.scrollWidth <= 380 ? '' : [...document.querySelectorAll('body *')] \
            .filter((one) => one.getBoundingClientRect().right > 381).map((one) => one.outerHTML.slice(0, 80)).join('; ')";
        assert_eq!(driver.read(fits), "", "nothing is wider than the window");
        let seen = "return String([...document.querySelector('.item').children].every((cell) => cell.offsetHeight > 10))";
        assert_eq!(driver.read(seen), "true", "every column is in the card");
        if let Some(found) = driver.violations() {
            assert_eq!(found, "", "narrow, dark: {dark}");
        }
    }
    assert_eq!(driver.console(), Vec::<String>::new());
}

#[test]
fn a_name_that_is_cut_is_shown_whole_by_keyboard_on_every_screen() {
    let Some(mut driver) = browser() else {
        eprintln!("Chromium or chromedriver is not installed: the page was not looked at");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.html");
    let mut plan = plan();
    plan.changes.truncate(200);
    let long = "srv-with-a-long-name-".repeat(9) + ".corp.example.com";
    for change in &mut plan.changes {
        change.name = Some(format!("{}-{long}", change.id).into());
    }
    plan.tags[0] = "a-tag-of-two-hundred-characters-".repeat(6).into();
    write(&file, Subject::Plan, &plan);
    for width in [1280, 380] {
        driver.screen(width);
        driver.open(&format!("file://{}", file.display()));
        driver.focus(".scroll");
        driver.press(&"\u{e004}".repeat(40));
        let focused = "return document.activeElement.textContent";
        let text = driver.read(focused);
        assert!(text.contains("characters-") || text.contains(".corp.example.com"), "{width}: {text}");
        let is_whole = "const cell = document.activeElement; const box = cell.getBoundingClientRect(); \
            const above = document.elementFromPoint(box.left + 20, box.bottom - 4); \
            return [cell.scrollWidth <= cell.clientWidth + 1, cell.scrollHeight <= cell.clientHeight + 1, above === cell].join()";
        assert_eq!(driver.read(is_whole), "true,true,true", "{width}: {text}");
        if let Some(found) = driver.violations() {
            assert_eq!(found, "", "{width}");
        }
        let fits = "return String(document.documentElement.scrollWidth <= innerWidth)";
        assert_eq!(driver.read(fits), "true", "{width}: nothing is wider than the window");
    }
    assert_eq!(driver.console(), Vec::<String>::new());
}

#[test]
fn a_hundred_thousand_rows_are_searched_and_sorted_by_keyboard_without_a_word_on_the_console() {
    let Some(mut driver) = browser() else {
        eprintln!("Chromium or chromedriver is not installed: the page was not looked at");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    write(&file, Subject::Drift, &plan());

    let start = Instant::now();
    driver.open(&format!("file://{}", file.display()));
    assert_eq!(driver.read("return document.getElementById('count').textContent"), "100,000 changes");
    assert!(start.elapsed() < Duration::from_secs(20), "the page took {:?}", start.elapsed());
    let drawn = "return String(document.querySelectorAll('[role=row]').length < 100)";
    assert_eq!(driver.read(drawn), "true", "only rows in view are in the document");
    assert_eq!(driver.read("return document.title"), "Drift on an unnamed tenant");

    driver.focus("#search");
    driver.press("host-99999 prod");
    let settled = "const done = arguments[0]; setTimeout(() => done(document.getElementById('count').textContent), 500)";
    assert_eq!(driver.wait(settled), "1 of 100,000 changes");
    let shown = "return document.querySelector('.item').textContent";
    assert!(driver.read(shown).contains("host-99999.corp.example.com"));

    // Backspaces empty the search; eight tabs lead past four filters, their button and two headers to the device's header.
    driver.press(&"\u{e003}".repeat("host-99999 prod".len()));
    assert_eq!(driver.wait(settled), "100,000 changes");
    driver.press(&"\u{e004}".repeat(8));
    assert_eq!(driver.read("return document.activeElement.textContent"), "Device");
    driver.press("\u{e007}\u{e007}");
    let sorted = "return document.querySelector('[aria-sort=descending]').textContent";
    assert_eq!(driver.read(sorted), "Device ↓");
    assert!(driver.read(shown).contains("host-99999.corp.example.com"));

    assert_eq!(driver.console(), Vec::<String>::new());
}
