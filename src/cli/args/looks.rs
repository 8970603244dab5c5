//! The words of the commands that look before anything is written: `tags`, `devices`, `coverage`, `groups`.

use std::path::PathBuf;

use clap::Args;

/// `tags`.
#[derive(Debug, Args)]
pub struct TagsArgs {
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
    /// Only live tags that nothing in the policies claims
    #[arg(long)]
    pub unclaimed: bool,
    /// Only tags that the policies name and no device carries
    #[arg(long, conflicts_with = "unclaimed")]
    pub dead: bool,
    /// Show every column
    #[arg(long)]
    pub details: bool,
}

/// `devices`.
#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
    /// Only devices that meet this selector: '{ osPlatform: Windows11, lastSeen: { olderThan: 30d } }'
    #[arg(long = "where", value_name = "SELECTOR")]
    pub matching: Option<String>,
    /// Only devices that this rule selects
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Only devices that carry a tag which matches
    #[arg(long, value_name = "GLOB")]
    pub tag: Option<String>,
    /// Only devices that the policies' file of device groups puts into this group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// The columns beside the id: fields of devices, as the policy language names them
    #[arg(
        long,
        value_name = "FIELD,…",
        value_delimiter = ',',
        default_value = "computerDnsName,osPlatform,deviceValue,machineTags,lastSeen"
    )]
    pub fields: Vec<String>,
}

/// `coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
    /// List every device that no rule selects and every tag that nothing claims, as files always do
    #[arg(long)]
    pub details: bool,
}

/// `groups`.
#[derive(Debug, Args)]
pub struct GroupsArgs {
    /// Policy files or directories [default: the profile's policies, else policies/]
    #[arg(value_name = "POLICY")]
    pub policy: Vec<PathBuf>,
    /// Read the groups from the service, where it offers them, and write the file that `deviceGroups` names
    #[arg(long, requires = "output", conflicts_with = "policy")]
    pub fetch: bool,
    /// Where `--fetch` writes
    #[arg(short, long, value_name = "FILE", requires = "fetch", value_parser = super::output)]
    pub output: Option<PathBuf>,
}
