//! The page about the sandbox lists the switches that the sandbox accepts. Checks no prose.

use mdetag_sandbox::{Route, table};

fn rows() -> String {
    let line = |cells: [&str; 5]| format!("| {} |\n", cells.join(" | "));
    let mut out = line(["name", "values", "default", "mark", "meaning"]);
    out.push_str(&line(["---"; 5]));
    for row in table() {
        let values: Vec<String> = row.values.split('|').map(|value| format!("`{value}`")).collect();
        let (name, default) = (format!("`{}`", row.name), format!("`{}`", row.default));
        out.push_str(&line([&name, &values.join(" "), &default, row.mark, row.meaning]));
    }
    out
}

#[test]
fn the_page_lists_every_switch_and_fault() {
    let page = include_str!("../../docs/sandbox.md");
    assert!(page.ends_with(&rows()), "the table at the end of docs/sandbox.md should be:\n{}", rows());
}

#[test]
fn the_page_names_every_route_that_a_fault_can_strike() {
    let page = include_str!("../../docs/sandbox.md");
    for route in Route::ALL {
        assert!(page.contains(&format!("`{}`", route.name())), "{}", route.name());
    }
}
