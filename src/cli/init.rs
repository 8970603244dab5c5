//! `mdetag init`: a ready GitOps repository. Never overwrites a file.

use mdetag::store::path_text::shown;
use mdetag::store::whole_file;
use mdetag_core::report::init as report;

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
    for (path, content) in &files {
        whole_file::write(&args.dir.join(path), content.as_bytes())?;
    }
    let (folder, paths) = (shown(&args.dir), files.iter().map(|(path, _)| *path).collect::<Vec<_>>());
    let text = match context.global.format {
        Format::Json => report::json(&folder, &paths),
        _ => report::human(&folder, &paths),
    };
    context.console.result(&text)?;
    Ok(Exit::Success)
}
