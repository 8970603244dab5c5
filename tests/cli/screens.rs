//! The commands in documents: each is run, ends as its document says, and prints the screen beside it.
//!
//! A fence with a file name (```yaml policies/p.yaml) writes that file first. The output of a ```console fence is compared; a
//! line `…` replaces omitted output. `MDETAG_UPDATE_DOCS=1` writes the current output. The simulated fleet keeps its ages, so
//! that no screen depends on the day. `src/cli/documents.rs` compares recipes in YAML with the flags.

#[path = "../docs/documents.rs"]
mod documents;
#[path = "../docs/markdown.rs"]
#[expect(dead_code, reason = "this test reads fences only")]
mod markdown;

use std::path::Path;
use std::sync::Mutex;

use regex::Regex;

use crate::project::{Project, Ran};

/// The folders that the reader of a document has before its first command: folders of this project, and their names there.
/// Readers of other documents have the policies of this repository.
const GIVEN: [(&str, &[(&str, &str)]); 6] = [
    ("docs/applying.md", &[("examples/quickstart/policies", "policies")]),
    ("docs/cmdb.md", &[]),
    ("docs/consequences.md", &[]),
    ("docs/tenants.md", &[("examples/quickstart/policies", "policies")]),
    (
        "examples/consequences/README.md",
        &[("examples/consequences/policies", "policies"), ("examples/consequences/mishap", "mishap")],
    ),
    ("examples/quickstart/README.md", &[("examples/quickstart/policies", "policies")]),
];

/// Commands that are not run: the document, how they start, and why.
const NOT_RUN: [(&str, &str, &str); 6] = [
    ("docs/applying.md", "mdetag apply --auto-approve --max-duration", "it stops after 50 minutes of work"),
    ("docs/powershell.md", "mdetag drift policies", "the script behind it decides by the exit code"),
    ("docs/service.md", "mdetag doctor --probe", "it writes to a device of a live tenant"),
    ("docs/state.md", "mdetag state unlock", "it needs a lock that an ended job left"),
    ("docs/state.md", "mdetag state push", "it needs a bucket"),
    (
        "docs/tenants.md",
        "mdetag apply --all-tenants --tenant-wave 2",
        "the two tenants of the page make one wave",
    ),
];

/// A command line of a document.
struct Command<'a> {
    /// The line as written.
    line: &'a str,
    words: Vec<String>,
    code: i32,
}

impl<'a> Command<'a> {
    /// The command in a line of a fence, if there is one: `$ mdetag …`, `mdetag …`, `cargo run --release -- …`, or
    /// `$name = mdetag …` of PowerShell.
    fn of(line: &'a str) -> Option<Command<'a>> {
        let start = Regex::new(r"^(?:\$ |\$\w+ = )?(?:mdetag|cargo run --release --) ")
            .expect("the pattern is sound");
        let word = Regex::new(r#""[^"]*"|'[^']*'|\S+"#).expect("the pattern is sound");
        let typed = &line[start.find(line)?.end()..];
        let (typed, comment) = typed.split_once(" #").unwrap_or((typed, ""));
        let end = [" |", " > "].iter().filter_map(|stop| typed.find(stop)).min().unwrap_or(typed.len());
        let code = comment.split_once("exit code ").map_or(0, |(_, rest)| {
            rest.chars().next().and_then(|digit| digit.to_digit(10)).expect("a code") as i32
        });
        let words = word.find_iter(&typed[..end]);
        let words = words.map(|word| word.as_str().trim_matches(['"', '\'']).to_owned()).collect();
        Some(Command { line, words, code })
    }

    /// Runs it for a person who says yes. A command without a tenant uses the sandbox.
    fn run(&self, project: &Project, speed: &str) -> Ran {
        let mut words = self.words.clone();
        for word in words.iter_mut().filter(|word| *word == "RUN-ID") {
            let runs = project.run(&["history", "--sandbox"]).out;
            *word = run_id().find(&runs).expect("a run").as_str().to_owned();
        }
        if words[0] == "apply" && !words.iter().any(|word| word == "--auto-approve") {
            words.push("--auto-approve".to_owned());
        }
        let mut environment = vec![("MDETAG_SANDBOX_SPEED", speed.to_owned())];
        if words.iter().any(|word| word == "--fetch") {
            environment.push(("MDETAG_SANDBOX_FAULT", "device_groups=on".to_owned()));
        }
        if !words.iter().any(|word| word == "--sandbox" || word == "--inventory") {
            environment.push(("MDETAG_SANDBOX", "default".to_owned()));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        project.run_in(&environment, &words)
    }
}

fn run_id() -> Regex {
    Regex::new(r"\d{8}T\d{6}Z-[0-9a-f]{6}").expect("the pattern is sound")
}

/// The text without the parts that differ between runs: times, and run ids, which contain their time.
fn steady(text: &str) -> String {
    let moment = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z").expect("the pattern is sound");
    let text = run_id().replace_all(text, "20261124T030000Z-1a2b3c");
    moment.replace_all(&text, "2026-11-24T05:00:00Z").into_owned()
}

/// The text to compare, without budgets, which refill over time.
fn compared(text: &str) -> String {
    let left = Regex::new(r"\([\d,]+ of 1,500 left\)").expect("the pattern is sound");
    left.replace_all(text, "(… of 1,500 left)").into_owned()
}

fn printed(ran: &Ran) -> String {
    let text = steady(&format!("{}{}", ran.out, ran.err));
    let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{}\n", text.trim_end())
}

/// The output without the parts that the document leaves out: a line `…` in its screen.
fn cut(printed: &str, screen: &[&str]) -> String {
    let lines: Vec<&str> = printed.lines().collect();
    let cut = screen.iter().position(|line| line.trim() == "…");
    let kept = match cut {
        Some(at) if screen.len() <= lines.len() => {
            let below = screen.len() - at - 1;
            [&lines[..at], &screen[at..=at], &lines[lines.len() - below..]].concat()
        }
        _ => lines,
    };
    kept.iter().map(|line| format!("{line}\n")).collect()
}

fn copy(from: &Path, project: &Project, to: &str) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = format!("{to}/{}", path.file_name().expect("a name").to_string_lossy());
        match path.is_dir() {
            true => copy(&path, project, &name),
            false => drop(project.write(&name, &std::fs::read_to_string(&path).expect("a text"))),
        }
    }
}

/// A document with its commands run.
struct Document<'a> {
    name: &'a str,
    project: Project,
    text: String,
    commands: usize,
    /// The entries of `NOT_RUN` that it has.
    left_out: Vec<usize>,
    wrong: Vec<String>,
}

impl<'a> Document<'a> {
    fn new(name: &'a str) -> Document<'a> {
        let project = Project::new();
        let given = GIVEN.iter().find(|(document, _)| *document == name);
        for (from, to) in given.map_or([("policies", "policies")].as_slice(), |(_, given)| given) {
            copy(&documents::root().join(from), &project, to);
        }
        let text = documents::read(name);
        Document { name, project, text, commands: 0, left_out: Vec::new(), wrong: Vec::new() }
    }

    /// The real limits if screens are compared: no delay of the service may end between two of them.
    fn speed(&self) -> &'static str {
        if self.text.contains("```console") { "1" } else { "60" }
    }

    /// Runs a line's command, if it has one, and returns the output.
    fn run(&mut self, line: &str) -> Option<String> {
        let command = Command::of(line)?;
        let left_out = |(document, begins, _): &(&str, &str, &str)| {
            *document == self.name && line.trim_start_matches("$ ").starts_with(begins)
        };
        if let Some(at) = NOT_RUN.iter().position(left_out) {
            self.left_out.push(at);
            return None;
        }
        self.commands += 1;
        let ran = command.run(&self.project, self.speed());
        if ran.code != command.code {
            let (name, said, text) = (self.name, command.code, printed(&ran));
            self.wrong.push(format!("{name}: {}: ends with {}, not {said}\n{text}", command.line, ran.code));
        }
        Some(printed(&ran))
    }

    /// The current screen of a fence.
    fn screen(&mut self, fence: &markdown::Fence) -> String {
        let lines: Vec<&str> = fence.text.lines().collect();
        let starts = (0..lines.len()).filter(|at| lines[*at].starts_with("$ "));
        let starts: Vec<usize> = starts.chain([lines.len()]).collect();
        let mut made = String::new();
        for pair in starts.windows(2) {
            let (line, old) = (lines[pair[0]], &lines[pair[0] + 1..pair[1]]);
            let printed = self.run(line).expect("a screen shows what mdetag prints");
            made.push_str(&format!("{line}\n{}", cut(&printed, old)));
        }
        made
    }

    /// Runs all commands in order. Returns the document with its current screens.
    fn run_all(&mut self) -> String {
        let mut made = self.text.clone();
        for fence in markdown::fences(&self.text) {
            match fence.info.split_once(' ') {
                Some((kind, file)) if file.contains('.') => {
                    // As Excel writes it.
                    let mark = if kind == "csv" { "\u{feff}" } else { "" };
                    self.project.write(file, &format!("{mark}{}", fence.text));
                }
                None if fence.info == "console" => {
                    let screen = self.screen(&fence);
                    let (old, new) =
                        (format!("```console\n{}```", fence.text), format!("```console\n{screen}```"));
                    assert!(made.contains(&old), "{}:{}: a screen begins its line", self.name, fence.line);
                    made = made.replacen(&old, &new, 1);
                }
                None if matches!(&*fence.info, "sh" | "powershell") => {
                    fence.text.lines().for_each(|line| drop(self.run(line)));
                }
                _ => {}
            }
        }
        made
    }
}

#[test]
fn every_command_in_the_documents_ends_as_they_say_and_prints_what_they_show() {
    let writes = std::env::var_os("MDETAG_UPDATE_DOCS").is_some();
    let ended = Mutex::new((0, Vec::new(), Vec::new()));
    let names = documents::files(&["md"]);
    let next = Mutex::new(names.iter());
    let work = || {
        while let Some(name) = { next.lock().expect("no panic").next() } {
            let mut document = Document::new(name);
            let made = document.run_all();
            let mut wrong = document.wrong;
            if compared(&document.text) != compared(&made) {
                match writes {
                    true => std::fs::write(documents::root().join(name), &made).expect("the document"),
                    false => wrong.push(format!("{name}: MDETAG_UPDATE_DOCS=1 writes this:\n{made}")),
                }
            }
            let mut ended = ended.lock().expect("no panic");
            ended.0 += document.commands;
            ended.1.extend(document.left_out);
            ended.2.extend(wrong);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let (commands, left_out, wrong) = ended.into_inner().expect("no panic");
    documents::nothing(wrong);
    assert!(commands > 60, "only {commands} commands: the reader has gone blind");
    for (at, (document, begins, _)) in NOT_RUN.iter().enumerate() {
        assert!(left_out.contains(&at), "{document} has no `{begins}` any more");
    }
}

#[test]
fn every_recipe_of_the_cookbook_stays_within_its_guard_on_the_sandbox() {
    let text = documents::read("docs/cookbook.md");
    let mut refused = Vec::new();
    let mut tried = 0;
    for recipe in text.split("\n## ").skip(1) {
        let fences = markdown::fences(recipe);
        for policy in fences.iter().filter(|fence| fence.info == "yaml policy") {
            tried += 1;
            let project = Project::new();
            for fence in &fences {
                if let Some((_, file)) = fence.info.split_once(" data/") {
                    project.write(&format!("policies/data/{file}"), &fence.text);
                }
            }
            project.write("policies/recipe.yaml", &policy.text);
            // An approval counts in its days only; the fleet's ages, on the other hand, count from today.
            let mut words = vec!["plan", "--sandbox", "policies/recipe.yaml"];
            if policy.text.contains("expires:") {
                words.extend(["--now", "2026-11-28"]);
            }
            let ran = project.run(&words);
            if ran.code != 0 {
                let title = recipe.lines().next().unwrap_or_default();
                refused.push(format!("{title}: ends with {}\n{}{}", ran.code, ran.out, ran.err));
            }
        }
    }
    documents::nothing(refused);
    assert!(tried > 10, "only {tried} recipes: the reader has gone blind");
}
