//! `mdetag init`: a ready GitOps repository. Never overwrites a file.

use std::path::Path;

use serde_json::json;

use mdetag::store::path_text::shown;
use mdetag::store::whole_file;

use super::args::{Format, InitArgs, SchemaOf};
use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::schema;

/// What is written where. The CI recipes are those of `examples/ci`, so that what is tested there is what people get.
const FILES: [(&str, &str); 12] = [
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
    (".gitignore", include_str!("init/gitignore")),
    (".gitattributes", include_str!("init/gitattributes")),
    (".github/CODEOWNERS.sample", include_str!("init/codeowners")),
    (".github/workflows/mdetag-plan.yml", include_str!("../../examples/ci/github/mdetag-plan.yml")),
    (".github/workflows/mdetag-apply.yml", include_str!("../../examples/ci/github/mdetag-apply.yml")),
    (".github/workflows/mdetag-drift.yml", include_str!("../../examples/ci/github/mdetag-drift.yml")),
    (".gitlab-ci.yml", include_str!("../../examples/ci/gitlab/.gitlab-ci.yml")),
    ("azure-pipelines.yml", include_str!("../../examples/ci/azure-devops/azure-pipelines.yml")),
];

/// Writes the files and says which.
///
/// # Errors
/// One of the files is there already (then none is written), or the folder cannot be written.
pub fn run(context: &Context, args: &InitArgs) -> Result<Exit, Failure> {
    let schemas = [
        ("schema/policy.schema.json", schema::text(SchemaOf::Policy)),
        ("schema/test.schema.json", schema::text(SchemaOf::Test)),
        ("schema/mdetag.schema.json", schema::text(SchemaOf::Mdetag)),
    ];
    let files = FILES.into_iter().chain(schemas.iter().map(|(path, text)| (*path, text.as_str())));
    let files: Vec<(&str, &str)> = files.collect();
    let taken: Vec<&str> =
        files.iter().map(|(path, _)| *path).filter(|path| args.dir.join(path).exists()).collect();
    if !taken.is_empty() {
        let failure = Failure::file(format!("{} exists already in {}", taken.join(", "), shown(&args.dir)));
        return Err(failure.help("nothing was written; choose an empty folder, or move the file away"));
    }
    let mut text = String::new();
    for (path, content) in &files {
        whole_file::write(&args.dir.join(path), content.as_bytes())?;
        text.push_str(&format!("  {path}\n"));
    }
    if context.global.format == Format::Json {
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        let folder = shown(&args.dir);
        let document = json!({ "formatVersion": "1.0", "folder": folder, "files": paths });
        context.console.result(&format!("{document:#}\n"))?;
        return Ok(Exit::Success);
    }
    context.console.result(&format!(
        "Wrote {} files to {}:\n{text}{}",
        files.len(),
        shown(&args.dir),
        next(&args.dir)
    ))?;
    Ok(Exit::Success)
}

/// What to do next.
fn next(folder: &Path) -> String {
    let enter = if folder == Path::new(".") { String::new() } else { format!("  cd {}\n", shown(folder)) };
    format!(
        "Next, without an account:\n{enter}  mdetag validate\n  mdetag test\n  mdetag plan --sandbox\n\
         Then name your tenant in mdetag.yaml and delete the CI files that you do not use.\n"
    )
}
