//! `mdetag init`: a ready GitOps repository. Never overwrites a file; adds its lines to a few files that often exist already.

use std::path::Path;

use mdetag::store::path_text::shown;
use mdetag::store::{regular_file, whole_file};
use mdetag_core::report::init as report;
use mdetag_core::report::init::InitReport;
use mdetag_core::report::words::noun_for;

use super::args::{Format, InitArgs, InitCi, SchemaOf};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::schema;

mod added;

/// Files of every repository. The recipes are those of `examples/ci`, so that users get what is tested there.
const FILES: [(&str, &str); 5] = [
    ("policies/servers.yaml", include_str!("init/servers.yaml")),
    ("policies/servers.test.yaml", include_str!("init/servers.test.yaml")),
    ("policies/guard.yaml", include_str!("init/guard.yaml")),
    (
        "mdetag.yaml",
        concat!(
            "# yaml-language-server: $schema=schema/mdetag.schema.json\n",
            include_str!("../../examples/ci/mdetag.yaml")
        ),
    ),
    (".gitattributes", include_str!("init/gitattributes")),
];

/// Files that may exist already; missing lines are added.
const SHARED: [&str; 4] = [".gitignore", ".gitattributes", README, PRE_COMMIT];
const README: &str = "README.md";
const PRE_COMMIT: &str = ".pre-commit-config.yaml";

const GITHUB: [(&str, &str); 4] = [
    (".github/CODEOWNERS.sample", include_str!("init/codeowners")),
    (".github/workflows/mdetag-plan.yml", include_str!("../../examples/ci/github/mdetag-plan.yml")),
    (".github/workflows/mdetag-apply.yml", include_str!("../../examples/ci/github/mdetag-apply.yml")),
    (".github/workflows/mdetag-drift.yml", include_str!("../../examples/ci/github/mdetag-drift.yml")),
];
const GITLAB: [(&str, &str); 1] =
    [(".gitlab-ci.yml", include_str!("../../examples/ci/gitlab/.gitlab-ci.yml"))];
const AZURE: [(&str, &str); 1] =
    [("azure-pipelines.yml", include_str!("../../examples/ci/azure-devops/azure-pipelines.yml"))];

/// The largest file that lines are added to, in bytes.
const LONGEST: u64 = 1 << 20;

/// The edit of one file.
struct Step {
    path: &'static str,
    content: String,
    /// Whether the file exists already.
    adds: bool,
}

/// Writes the files, and lists them.
///
/// # Errors
/// One of the files exists already (then none is written), or the folder cannot be written.
pub async fn run(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let ci = match args.ci {
        Some(ci) => ci,
        None if context.console.asks => ask(context, &args.dir).await?,
        None => guess(&args.dir).unwrap_or(InitCi::None),
    };
    let (steps, by_hand) = steps(&args.dir, ci)?;
    for step in &steps {
        whole_file::write(&args.dir.join(step.path), step.content.as_bytes())?;
    }
    print_report(context, args, ci, &steps, by_hand.as_deref())?;
    Ok(Exit::Success)
}

/// The CI system if no flag names one: by the remote's host or the folder.
fn guess(folder: &Path) -> Option<InitCi> {
    let config = regular_file::text(&folder.join(".git/config"), LONGEST).unwrap_or_default();
    let hosts = [
        (InitCi::Github, "github.", ".github"),
        (InitCi::Gitlab, "gitlab.", ".gitlab"),
        (InitCi::Azure, "dev.azure.com", ".azuredevops"),
    ];
    let urls: Vec<&str> = config.lines().filter(|line| line.trim_start().starts_with("url")).collect();
    let by_host = hosts.iter().find(|(_, host, _)| urls.iter().any(|url| url.contains(host)));
    let by_folder = || hosts.iter().find(|(_, _, name)| folder.join(name).is_dir());
    by_host.or_else(by_folder).map(|(ci, ..)| *ci)
}

/// Asks until the answer is valid.
async fn ask(context: &Context, folder: &Path) -> Result<InitCi, Failure> {
    let usual = guess(folder).unwrap_or(InitCi::None);
    let question = format!("Which CI system, github, gitlab, azure or none? [{}] ", usual.word());
    loop {
        let (console, question) = (context.console.clone(), question.clone());
        // The terminal blocks, but a signal must still end the command.
        let answer = tokio::task::spawn_blocking(move || console.ask(&question));
        let answer = answer.await.map_err(std::io::Error::other)??;
        if answer.is_empty() {
            return Ok(usual);
        }
        if let Some(ci) = InitCi::ALL.into_iter().find(|ci| ci.word() == answer) {
            return Ok(ci);
        }
    }
}

/// Everything to write, and the lines that a person must add by hand.
fn steps(folder: &Path, ci: InitCi) -> Result<(Vec<Step>, Option<String>), Failure> {
    let recipes: &[(&str, &str)] = match ci {
        InitCi::Github => &GITHUB,
        InitCi::Gitlab => &GITLAB,
        InitCi::Azure => &AZURE,
        InitCi::None => &[],
    };
    let schemas = [
        ("schema/policy.schema.json", schema::text(SchemaOf::Policy)),
        ("schema/test.schema.json", schema::text(SchemaOf::Test)),
        ("schema/mdetag.schema.json", schema::text(SchemaOf::Mdetag)),
    ];
    let fixed = FILES.iter().chain(recipes).map(|(path, text)| (*path, (*text).to_owned()));
    let made = [
        (".gitignore", include_str!("init/gitignore").to_owned()),
        (README, readme(ci)),
        (PRE_COMMIT, include_str!("init/pre-commit").to_owned()),
    ];
    let files: Vec<(&'static str, String)> = fixed.chain(made).chain(schemas).collect();
    // A broken link counts as existing.
    let is_there = |path: &str| folder.join(path).symlink_metadata().is_ok();
    let taken = files.iter().map(|(path, _)| *path).filter(|path| is_there(path) && !SHARED.contains(path));
    let taken: Vec<&str> = taken.collect();
    if !taken.is_empty() {
        let failure = Failure::file(format!(
            "{} {} already in {}",
            taken.join(", "),
            noun_for(taken.len() as u64, "exists|exist"),
            shown(folder)
        ));
        let recipe = recipes.iter().any(|(path, _)| taken.contains(path));
        let other = if recipe { ", or pass --ci none and merge the recipe by hand" } else { "" };
        return Err(
            failure.help(format!("nothing was written; choose an empty folder, move the file away{other}"))
        );
    }
    let (mut steps, mut by_hand) = (Vec::new(), None);
    for (path, content) in files {
        if !is_there(path) {
            steps.push(Step { path, content, adds: false });
            continue;
        }
        let old = regular_file::text(&folder.join(path), LONGEST).map_err(|why| {
            Failure::file(format!("{path} cannot be read: {why}")).help("nothing was written")
        })?;
        let new = match path {
            README => added::section(&old, &content),
            PRE_COMMIT => match added::hooks(&old, &content) {
                Some(new) => Some(new).filter(|new| *new != old),
                None => {
                    by_hand = Some(content);
                    None
                }
            },
            _ => added::lines(&old, &content),
        };
        steps.extend(new.map(|content| Step { path, content, adds: true }));
    }
    Ok((steps, by_hand))
}

/// The README, for this CI system.
fn readme(ci: InitCi) -> String {
    let review = match ci {
        InitCi::Github => {
            "A pull request gets the plan as a comment (`.github/workflows/mdetag-plan.yml`), the merge applies it\n\
             (`.github/workflows/mdetag-apply.yml`), and a schedule reports drift (`.github/workflows/mdetag-drift.yml`).\n\
             Rename `.github/CODEOWNERS.sample` to `CODEOWNERS` and name your teams, so that the guard has owners of its own."
        }
        InitCi::Gitlab => {
            "`.gitlab-ci.yml` comments the plan on a merge request, applies it after the merge, and reports drift on a schedule.\n\
             Give `policies/guard.yaml` code owners of its own."
        }
        InitCi::Azure => {
            "`azure-pipelines.yml` shows the plan of a pull request, applies it after the merge, and reports drift on a schedule.\n\
             Give `policies/guard.yaml` required reviewers of its own in the branch policies."
        }
        InitCi::None => "Review the output of `mdetag plan` before somebody runs `mdetag apply`.",
    };
    include_str!("init/readme").replace("@REVIEW@", review)
}

/// Lists the written files and the next steps.
fn print_report(
    context: &Context,
    args: &InitArgs,
    ci: InitCi,
    steps: &[Step],
    by_hand: Option<&str>,
) -> Result<(), Failure> {
    let paths = |adds: bool| steps.iter().filter(move |step| step.adds == adds).map(|step| step.path);
    let (files, added): (Vec<_>, Vec<_>) = (paths(false).collect(), paths(true).collect());
    let written = InitReport {
        folder: &shown(&args.dir),
        ci: ci.word(),
        files: &files,
        added: &added,
        by_hand: by_hand.map(|lines| (PRE_COMMIT, lines)),
    };
    let text = match context.global.format {
        Format::Json => report::json(&written),
        _ => report::human(&written),
    };
    context.console.result(&text)?;
    Ok(())
}
