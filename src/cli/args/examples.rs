//! Two or three examples of each command, for its help and its manual page.
//!
//! A test parses each of them with the command line's own declaration.

/// A command line, and its purpose.
pub type Example = (&'static str, &'static str);

/// The examples by command; subcommands are separated by a space.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "init",
        &[
            (
                "mdetag init tags --ci github",
                "a new repository in the folder tags, with workflows for GitHub",
            ),
            ("mdetag init", "in the working directory; asks for the CI system"),
        ],
    ),
    (
        "validate",
        &[
            ("mdetag validate --deny-warnings", "what a pull request must pass"),
            ("mdetag validate --explain E0203", "what a code means, and what to do"),
            ("mdetag validate --format sarif", "findings for a code-scanning page"),
        ],
    ),
    (
        "test",
        &[
            ("mdetag test", "all *.test.yaml files below policies/"),
            ("mdetag test --junit tests.xml", "with a report for the CI system"),
        ],
    ),
    (
        "plan",
        &[
            ("mdetag plan --sandbox", "a first look, without an account"),
            (
                "mdetag plan -o plan.json --detailed-exitcode",
                "save it for the review; 2 says that there are changes",
            ),
            (
                "mdetag plan --base ../main --report html=plan.html",
                "this change apart from drift, also as a page",
            ),
        ],
    ),
    (
        "show",
        &[
            ("mdetag show plan.json", "what was planned"),
            ("mdetag show plan.json --details", "with every device"),
        ],
    ),
    (
        "apply",
        &[
            ("mdetag apply plan.json", "what was reviewed, as far as it still fits"),
            ("mdetag apply --auto-approve --max-duration 50m", "in a job that is ended after an hour"),
            ("mdetag apply --resume --or-plan", "the rest of an interrupted run, or else a new plan"),
        ],
    ),
    (
        "drift",
        &[
            ("mdetag drift --report html=drift.html", "2 says that there is drift"),
            ("mdetag drift --all-tenants --format json", "every profile of mdetag.yaml in one document"),
        ],
    ),
    (
        "explain",
        &[
            ("mdetag explain dc01.corp.example.com", "everything about a device"),
            ("mdetag explain dc01.corp.example.com Tier0 --sandbox", "why it has this tag, or why not"),
            ("mdetag explain dc01.corp.example.com --details", "with the conditions of every rule"),
        ],
    ),
    (
        "tags",
        &[
            ("mdetag tags --unclaimed", "live tags that no policy claims"),
            ("mdetag tags --dead --format csv", "named by the policies, on no device"),
        ],
    ),
    (
        "devices",
        &[
            ("mdetag devices --where '{ osPlatform: Windows11 }'", "try a selector before it is a rule"),
            ("mdetag devices --tag env/* --fields computerDnsName,lastSeen", "who carries a tag"),
        ],
    ),
    (
        "coverage",
        &[
            ("mdetag coverage", "devices without a rule, rules without devices"),
            ("mdetag coverage --inventory devices.ndjson.gz --format json", "on a recorded inventory"),
        ],
    ),
    (
        "groups",
        &[
            ("mdetag groups", "device groups, predicted and reported"),
            ("mdetag groups --format csv", "the same as a table"),
            ("mdetag groups --fetch -o policies/data/device-groups.json", "the file, from the service"),
        ],
    ),
    (
        "import",
        &[
            ("mdetag import", "rules for all live tags, claiming none"),
            (
                "mdetag import --claim env/* --fit 95 -o imported",
                "own env/*; selectors may miss one device in twenty",
            ),
        ],
    ),
    (
        "snapshot",
        &[
            ("mdetag snapshot -o devices.ndjson.gz", "the inventory, for --inventory"),
            ("mdetag snapshot --keep", "in the tenant's state, for `--inventory state:`"),
            ("mdetag snapshot -o devices.ndjson.zst --tenant contoso", "of another profile"),
        ],
    ),
    (
        "history",
        &[
            ("mdetag history", "all runs"),
            ("mdetag history dc01.corp.example.com", "what was ever written to a device"),
        ],
    ),
    (
        "state show",
        &[
            ("mdetag state show", "what earlier runs left, tenant by tenant"),
            ("mdetag state show --format json", "for a program"),
        ],
    ),
    (
        "state pull",
        &[
            ("mdetag state pull copy", "the state of all tenants, to look at or to keep"),
            ("mdetag state pull copy --tenant contoso", "of one"),
        ],
    ),
    (
        "state push",
        &[
            (
                "mdetag state push .mdetag --state s3://contoso-state/mdetag",
                "state moves from a folder into a store",
            ),
            ("mdetag state push copy", "a copy goes back, if nothing was written since"),
        ],
    ),
    (
        "state prune",
        &[
            ("mdetag state prune", "runs of more than 400 days go"),
            ("mdetag state prune --keep 90d", "and these after 90 days"),
        ],
    ),
    (
        "state accept",
        &[
            (
                "mdetag state accept devices --reason 'site sold'",
                "fewer devices than `maxShrink` allows are right",
            ),
            ("mdetag state accept cmdb --reason 'new export'", "so is a smaller lookup"),
        ],
    ),
    (
        "state end",
        &[
            (
                "mdetag state end 20261122T120000Z-1a2b --reason 'new scheme'",
                "the rollout stops after the waves that were written",
            ),
            (
                "mdetag state end 20261122T120000Z-1a2b --reason 'new scheme' --sandbox",
                "the same in the sandbox",
            ),
        ],
    ),
    (
        "state unlock",
        &[
            ("mdetag state unlock --reason 'its pod is gone'", "the next apply need not wait for a lease"),
            ("mdetag state unlock --reason 'its pod is gone' --tenant contoso", "of one tenant of several"),
        ],
    ),
    (
        "revert",
        &[
            ("mdetag revert 20261122T120000Z-1a2b -o undo.json", "a plan that undoes the run"),
            ("mdetag revert 20261122T120000Z-1a2b -o undo.json --sandbox", "a run on the sandbox"),
        ],
    ),
    (
        "doctor",
        &[
            ("mdetag doctor", "may this identity read and write, and what is left of the budget?"),
            ("mdetag doctor --check-version", "also: is there a newer version?"),
            ("mdetag doctor --probe pc-1.contoso.com", "what does the service do? measured with one device"),
        ],
    ),
    (
        "report merge",
        &[
            ("mdetag report merge results", "every tenant, the worst first"),
            ("mdetag report merge results --report html=tenants.html", "also as a page"),
        ],
    ),
    (
        "tenants",
        &[
            ("mdetag tenants --select region=eu", "the profiles with a label"),
            ("mdetag tenants --format json", "a matrix for CI"),
        ],
    ),
    (
        "sandbox create",
        &[
            ("mdetag sandbox create --devices 50000", "a larger tenant"),
            ("mdetag sandbox create --fleet devices.ndjson.gz", "one of your own devices, from a snapshot"),
        ],
    ),
    (
        "sandbox serve",
        &[
            ("mdetag sandbox serve", "on a free port"),
            ("mdetag sandbox serve --listen 127.0.0.1:8080 --sandbox-speed 60", "a minute lasts a second"),
        ],
    ),
    (
        "sandbox disturb",
        &[
            ("mdetag sandbox disturb", "twelve edits, as in the portal"),
            ("mdetag sandbox disturb --edits 100 --seed 7 policies/", "edits of what these policies own"),
        ],
    ),
    (
        "sandbox generate",
        &[
            ("mdetag sandbox generate -o fleet.ndjson", "2,000 devices"),
            ("mdetag sandbox generate --devices 1000000 -o fleet.ndjson", "a million"),
        ],
    ),
    (
        "sandbox faults",
        &[
            ("mdetag sandbox faults", "what --sandbox-fault takes"),
            ("mdetag sandbox faults --format json", "the same as a document"),
        ],
    ),
    (
        "state",
        &[
            ("mdetag state show", "what earlier runs left"),
            ("mdetag state prune --help", "what can be dropped, and how"),
        ],
    ),
    (
        "sandbox",
        &[
            (
                "mdetag sandbox create --devices 500",
                "a simulated tenant; `--sandbox` makes one of 2,000 devices by itself",
            ),
            ("mdetag sandbox disturb", "edits as a person in the portal would make them"),
            ("mdetag sandbox generate --devices 100000 -o fleet.ndjson", "a fleet file for --inventory"),
        ],
    ),
    (
        "report",
        &[
            ("mdetag report merge results", "one report over the results of many tenants"),
            ("mdetag report merge results --report html=tenants.html", "also as a page"),
        ],
    ),
    (
        "schema",
        &[
            ("mdetag schema policy", "for editors"),
            ("mdetag schema apply", "of what `apply --format json` prints"),
        ],
    ),
    (
        "completions",
        &[
            ("mdetag completions bash", "see `mdetag help installing` for where to put it"),
            ("mdetag completions powershell", "for PowerShell"),
        ],
    ),
    (
        "man",
        &[("mdetag man plan", "the page of a command"), ("mdetag man -o man1", "all pages into a folder")],
    ),
    (
        "help",
        &[
            ("mdetag help exit-codes", "a topic"),
            ("mdetag help cookbook", "a page of the guide"),
            ("mdetag help E0203", "a diagnostic"),
        ],
    ),
];

/// The examples of a command.
pub fn examples(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::args::Cli;

    /// All commands by their words, including those that only contain others, without mdetag itself.
    fn named(command: &clap::Command, words: &str) -> Vec<String> {
        let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        subs.flat_map(|sub| {
            let words = format!("{words} {}", sub.get_name()).trim().to_owned();
            let below = named(sub, &words);
            [words].into_iter().chain(below).collect::<Vec<_>>()
        })
        .collect()
    }

    #[test]
    fn every_command_has_two_or_three_examples_that_parse_as_that_command() {
        let commands = named(&Cli::command(), "");
        for command in &commands {
            let examples = examples(command);
            assert!((2..=3).contains(&examples.len()), "`{command}` has {} examples", examples.len());
            for (line, _) in examples {
                assert!(
                    line.starts_with(&format!("mdetag {command}")),
                    "`{line}` is no example of `{command}`"
                );
                let quoted = line.split_once('\'').and_then(|(before, rest)| {
                    let (inside, after) = rest.split_once('\'')?;
                    Some(before.split_whitespace().chain([inside]).chain(after.split_whitespace()).collect())
                });
                let words: Vec<&str> = quoted.unwrap_or_else(|| line.split_whitespace().collect());
                if let Err(error) = Cli::try_parse_from(words)
                    && error.kind() != clap::error::ErrorKind::DisplayHelp
                {
                    panic!("{line}: {error}");
                }
            }
        }
        let unknown: Vec<_> =
            EXAMPLES.iter().filter(|(name, _)| !commands.iter().any(|it| it == name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
