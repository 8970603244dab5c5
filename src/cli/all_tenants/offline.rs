//! `validate` and `test` for all tenants: each policy set once, however many tenants share it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use mdetag_core::report::tenants::ends::{self, PolicySetEnd};
use mdetag_core::report::words::counted;

use crate::cli::args::{FleetArgs, Format, TestArgs, ValidateArgs};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::{findings, fleet, output, rehearse, validate as validation};

use super::{own, results};

/// Tenants that a heading names before the rest becomes a number.
const NAMED: usize = 5;

/// `validate` for the policies of every profile.
///
/// # Errors
/// There is no profile, or the format cannot contain several sets.
pub fn validate(context: &Context, args: &ValidateArgs) -> Result<Exit, Failure> {
    output::only(
        context.global.format,
        "validate --all-tenants",
        &[Format::Human, Format::Json, Format::Github],
    )?;
    each(context, &args.fleet, &|context| validation::run(context, args))
}

/// `test` for the policies of every profile.
///
/// # Errors
/// Those of [`validate`], and one JUnit file for several sets.
pub fn test(context: &Context, args: &TestArgs) -> Result<Exit, Failure> {
    output::only(context.global.format, "test --all-tenants", &[Format::Human, Format::Json])?;
    if args.junit.is_some() {
        return Err(Failure::usage("`--junit` holds the tests of one policy set")
            .help("run `mdetag test --tenant NAME --junit FILE` for each"));
    }
    each(context, &args.fleet, &|context| rehearse::run(context, args))
}

fn each(
    context: &Context,
    fleet: &FleetArgs,
    work: &dyn Fn(&Context) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    if context.settings.tenants().next().is_none() {
        return Err(Failure::usage("`--all-tenants` needs tenant profiles")
            .help("name them in mdetag.yaml under `tenants`; `mdetag init` writes one with an example"));
    }
    let mut sets: BTreeMap<Vec<PathBuf>, Vec<String>> = BTreeMap::new();
    for name in fleet::names(context, &fleet.select, fleet.shard.as_deref())? {
        sets.entry(own(context, &name).policy_paths(&[])?).or_default().push(name);
    }
    let (mut worst, mut documents) = (Exit::Success, Vec::new());
    for (paths, names) in &sets {
        let Some(first) = names.first() else { continue };
        let own = own(context, first);
        let ended = work(&own);
        let exit = ended.as_ref().map_or_else(|failure| failure.exit, |exit| *exit);
        worst = worst.worst(exit);
        let block = own.console.kept.as_ref().map(super::BufferedOutput::take).unwrap_or_default();
        let paths: Vec<String> = paths.iter().map(|path| mdetag::store::path_text::shown(path)).collect();
        if context.global.format == Format::Json {
            documents.push(ends::policy_set(&PolicySetEnd {
                policies: &paths,
                tenants: names,
                exit_code: exit.code(),
                report: &block,
                error: ended.as_ref().err().map(results::error).as_ref(),
            }));
            continue;
        }
        context.console.say(&format!("{} ({}):", paths.join(" "), tenants(names)));
        context.console.out().write_all(&block)?;
        if let Err(failure) = &ended {
            findings::fail(&context.console, Format::Human, failure);
        }
    }
    if context.global.format == Format::Json {
        context.console.result(&ends::policy_sets(&documents, worst.code()))?;
    }
    Ok(worst)
}

fn tenants(names: &[String]) -> String {
    let count = counted(names.len() as u64, "tenant");
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!("{count}: {}{more}", names[..names.len().min(NAMED)].join(", "))
}
