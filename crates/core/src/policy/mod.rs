//! The policy, parsed and checked: text in, a [`Policy`] and every finding out.
//!
//! Knows nothing about devices: `selection` finds those that a selector holds for, `desired` says what follows.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

mod accept;
mod answer;
mod expression_size;
mod condition;
mod data;
mod data_sources;
mod differences;
mod dead_rules;
mod delimited;
mod device_groups;
mod exceptions;
mod guard;
mod in_file;
mod json_table;
mod keyed_rows;
mod keys;
mod likely_tenant;
mod lint_exception;
mod lints;
mod logic;
mod lookup;
mod maps;
mod names;
mod node;
pub mod notify;
mod operators;
mod overlap;
mod owned_fields;
mod profiles;
mod quantity;
mod reader;
mod renames;
mod resolve;
mod reviewed_content;
mod rollout;
mod row_findings;
mod rules;
mod scalars;
mod schema;
mod secrets;
mod selector;
pub mod settings;
mod settle;
mod shape;
mod shared_claims;
mod syntax;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod tests_file;
mod watched;

pub use data::{DataRequest, data_files};
pub use data_sources::{DEVICES, data_source, file_of, named};
pub use device_groups::{
    DeviceGroup, DeviceGroups, FetchedGroups, GroupCondition, GroupIndex, Operator, Property, Remediation,
    TagConditions, Ungrouped, fetched as fetched_device_groups, read as read_device_groups,
};
pub use differences::{Area, Difference, DifferenceKind, ShownIn, differences, settings_differences};
pub(crate) use json_table::recorded_rows;
pub use keyed_rows::{LookupCell, LookupRows};
pub use likely_tenant::likely_tenant;
pub use lint_exception::LintException;
pub use lookup::{Lookup, LookupQuery, LookupSource};
pub use maps::ValueMap;
pub use profiles::read_profiles;
pub use quantity::{Percent, Quantity};
pub use resolve::resolve;
pub use reviewed_content::reviewed_content;
pub use schema::{policy_schema, settings_schema, test_schema};
pub use shared_claims::{claimed_patterns, shared_claims};
pub use syntax::MAX_BYTES;
pub(crate) use table::Table;
pub use tests_file::{Expectations, Expected, PolicyTest, PolicyTests, TestValue, parse_tests};

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ipnet::IpNet;
use regex::Regex;

use crate::device::{DeviceValue, Field};
use crate::diagnostic::Span;
use crate::pattern::Glob;
use crate::tag::{TagCase, TagPattern};
use crate::time::{Date, Timestamp};

mod limits;

pub use rollout::{Health, Rollout, StopAt, blind_bounces};

pub use limits::{
    Acceptance, Approval, Axis, Cap, Counted, DayCap, Guard, Invariant, MOST_DAYS_AHEAD, ShrinkApproval,
};

/// A resolved policy set: names are indices, patterns are compiled, and every part knows its place.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The devices that this set may touch; `None` is the default: every device whose `mergedIntoMachineId` is missing.
    pub scope: Option<Selector>,
    /// Tags that this set owns.
    pub claims: Vec<Claim>,
    /// Named selectors, in file order.
    pub selectors: Vec<NamedSelector>,
    /// Lookup files, in file order.
    pub lookups: Vec<Lookup>,
    /// Maps that templates use, in file order.
    pub maps: Vec<ValueMap>,
    /// Families: of the members that a device should carry, the one listed first stays.
    pub families: Vec<Family>,
    /// Rules in file order, dead and future ones included (see [`Rule::is_live`]).
    pub rules: Vec<Rule>,
    /// Warnings and notes that rules intend.
    pub exceptions: Vec<LintException>,
    /// Renames with chains resolved.
    pub renames: Vec<Rename>,
    /// Tags that no device should carry.
    pub retire: Vec<Retire>,
    /// The value of devices that no rule gives a value.
    pub default_value: Option<DefaultValue>,
    /// Devices whose state is never changed; the first that matches names the withheld change.
    pub protections: Vec<Protection>,
    /// The tenant's device groups, if a file states them, and the place of `deviceGroups`.
    pub device_groups: Option<(DeviceGroups, Span)>,
    /// Their tag conditions, compiled at the first use.
    pub group_tags: OnceLock<TagConditions>,
    /// Caps, invariants, approvals, the tenant pin.
    pub guard: Guard,
    /// How tags that differ only in case compare, everywhere in this policy.
    pub tag_case: TagCase,
    /// Whether a policy test says that its device is superseded; `None` for devices that are compared with others.
    pub stated_superseded: Option<bool>,
}

impl Policy {
    /// Whether a claim, a family or a rename makes this set the owner of a tag: live tags of that kind are removed if no rule
    /// assigns them.
    pub fn claims_tag(&self, tag: &str) -> bool {
        let is_same = |other: &str| self.tag_case.is_same(other, tag);
        self.claims.iter().any(|claim| self.covers(&claim.pattern, tag))
            || self.families.iter().any(|family| family.members.iter().any(|member| is_same(&member.tag)))
            || self.renames.iter().any(|rename| is_same(&rename.from))
    }

    /// Whether a pattern of this policy covers a tag. No glob covers the reserved tag unless the guard names it.
    pub fn covers(&self, pattern: &TagPattern, tag: &str) -> bool {
        pattern.matches(tag, self.tag_case, self.guard.allows_reserved())
    }
}

/// An entry of `claims`.
#[derive(Clone, Debug)]
pub struct Claim {
    /// A tag or a glob.
    pub pattern: TagPattern,
    pub span: Span,
}

/// An entry of `selectors`.
#[derive(Clone, Debug)]
pub struct NamedSelector {
    /// The name that `use` takes.
    pub name: String,
    pub selector: Selector,
    pub span: Span,
}

/// A condition tree with the place of each node.
#[derive(Clone, Debug)]
pub struct Selector {
    pub kind: SelectorKind,
    pub span: Span,
}

/// The condition. Two-valued: a test on a missing field is false, and `Not` of it is true.
#[derive(Clone, Debug)]
pub enum SelectorKind {
    Everything,
    /// All of these; never empty.
    All(Vec<Selector>),
    /// At least one of these; never empty.
    Any(Vec<Selector>),
    Not(Box<Selector>),
    /// The named selector at this index of [`Policy::selectors`].
    Use(usize),
    /// One test on one field.
    Field {
        field: Field,
        test: Test,
    },
    /// Another device in scope has the same value of `by`, and that one is kept.
    Superseded {
        /// One of `computerDnsName`, `deviceName`, `aadDeviceId`, `vmMetadata.vmId`.
        by: Field,
        /// Which of the devices is kept.
        keep: Keep,
    },
    /// The device's id is in the result of a hunting query.
    Hunting(Hunting),
}

crate::words! {
    /// Which of several devices with the same value `superseded` keeps. Of equal ones it keeps the smallest id.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub enum Keep {
        /// The greatest `lastSeen`.
        #[default]
        Newest = "newest",
        /// The least `firstSeen`.
        Oldest = "oldest",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hunting {
    /// The query text, as it is sent.
    pub query: Arc<str>,
    /// The column that holds device ids; `DeviceId` unless written.
    pub column: Arc<str>,
    /// Whether a result without rows is correct.
    pub allow_empty: bool,
    /// Whether its rows may name devices of other tenants.
    pub is_unlisted_ok: bool,
}

/// One operator with its operand. Lists mean *any* unless the operator says otherwise, and are never empty.
#[derive(Clone, Debug)]
pub enum Test {
    /// Present (`true`) or missing (`false`).
    Exists(bool),
    /// Text equal to one of these without case: `eq`, `in`, and `inFile`, which keeps its file to report values that match no
    /// device.
    Text(TextList),
    /// Text that matches one of these as a whole.
    Glob(Vec<Glob>),
    /// Text that contains a match of one of these; compiled to ignore case.
    Regex(Vec<Regex>),
    /// Text that starts with one of these; for hardware addresses: without separators, in upper case.
    StartsWith(Vec<String>),
    /// Text that ends with one of these.
    EndsWith(Vec<String>),
    /// Text that contains one of these.
    Contains(Vec<String>),
    /// A version at or above this.
    VersionAtLeast(String),
    VersionBelow(String),
    /// An integer equal to one of these.
    Integer(Vec<i64>),
    /// An integer in this range, both ends inclusive (`above: 5` is `6..`).
    IntegerRange {
        /// The least that holds.
        least: i64,
        /// The greatest that holds.
        greatest: i64,
    },
    /// A boolean equal to this.
    Boolean(bool),
    /// Age at most this: `now - time <= span`. A time in the future is within.
    Within(Duration),
    /// Age over this: `now - time > span`.
    OlderThan(Duration),
    /// Strictly before.
    Before(Timestamp),
    /// Strictly after.
    After(Timestamp),
    /// An address equal by value to one of these.
    Address(Vec<std::net::IpAddr>),
    /// An address in one of these networks; host bits are masked.
    Cidr(Vec<IpNet>),
    /// A hardware address equal to one of these: without separators, in upper case.
    Hardware(Vec<String>),
    /// Carries one of these tags: `has` (one) and `hasAny`.
    HasAny(Vec<String>),
    /// Carries all of these tags.
    HasAll(Vec<String>),
    /// Carries none of these tags.
    HasNone(Vec<String>),
    /// Carries a tag that matches one of these.
    TagMatches(Vec<Glob>),
}

/// The operand of `eq`, `in` and `inFile`.
#[derive(Clone, Debug)]
pub struct TextList {
    /// As written, in order, without duplicates.
    pub values: Arc<[String]>,
    /// The file that they come from: values that match no device are reported.
    pub file: Option<ListFile>,
}

/// The file of a list. Two are the same wherever the policy names them.
#[derive(Clone, Debug)]
pub struct ListFile {
    /// The path as written, for messages.
    pub written: Arc<str>,
    /// The path from the repository's root, and the column of a table. Unique for each list.
    pub source: Arc<str>,
    /// Whether its values need not be devices: a list of which none is one then selects no device, and is not unknown.
    pub is_unlisted_ok: bool,
    /// Where the policy names it.
    pub span: Span,
}

impl PartialEq for ListFile {
    fn eq(&self, other: &ListFile) -> bool {
        (&self.written, &self.source, self.is_unlisted_ok)
            == (&other.written, &other.source, other.is_unlisted_ok)
    }
}

impl Eq for ListFile {}

/// An entry of `families`.
#[derive(Clone, Debug)]
pub struct Family {
    pub name: String,
    /// Members, the strongest first.
    pub members: Vec<FamilyMember>,
    pub span: Span,
}

/// A member of a family.
#[derive(Clone, Debug)]
pub struct FamilyMember {
    pub tag: String,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    /// Carried into plans and reports.
    pub description: Option<String>,
    /// Carried into plans and reports.
    pub owner: Option<String>,
    /// Carried into plans and reports.
    pub ticket: Option<String>,
    pub select: Selector,
    /// Tags that the devices must carry.
    pub tags: Vec<TagExpression>,
    /// Tags that the devices must not carry.
    pub remove_tags: Vec<RemoveTag>,
    /// The value that the devices must have.
    pub device_value: Option<DeviceValue>,
    /// The higher priority wins.
    pub priority: i64,
    /// First day, UTC.
    pub from: Option<Date>,
    /// Last day, UTC.
    pub until: Option<Date>,
    pub span: Span,
}

impl Rule {
    /// Whether the rule is in force at this moment: `from` and `until` are inclusive days in UTC.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| now >= from.midnight())
            && self.until.is_none_or(|until| now < until.end())
    }
}

/// An entry of a rule's `tags`.
#[derive(Clone, Debug)]
pub struct TagExpression {
    /// A tag, or a template that yields one.
    pub kind: TagExpressionKind,
    pub span: Span,
}

/// A tag, or a template that yields one.
#[derive(Clone, Debug)]
pub enum TagExpressionKind {
    /// Exactly this tag (braces already unescaped).
    Literal(String),
    /// One tag a device.
    Template(Template),
}

/// A tag with placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    /// As written.
    pub source: String,
    /// Literal and placeholder parts in order.
    pub parts: Vec<TemplatePart>,
    /// The tags that it could yield: placeholders become `*`.
    pub glob: Glob,
}

/// A part of a template.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    Literal(String),
    /// A field's text, through filters in order.
    Placeholder {
        /// A text, version or integer field.
        field: Field,
        /// Applied in order.
        filters: Vec<Filter>,
        /// As written between the braces, without filters: the name in reports of `unresolved`.
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Lower,
    Upper,
    Slug,
    /// The text of the map at this index of [`Policy::maps`] for the value; missing if the map has none.
    Map(usize),
    /// This text in place of a missing or empty value.
    Default(Arc<str>),
}

/// An entry of a rule's `removeTags`.
#[derive(Clone, Debug)]
pub struct RemoveTag {
    /// A tag or a glob.
    pub pattern: TagPattern,
    pub span: Span,
}

/// An entry of `renames`.
#[derive(Clone, Debug)]
pub struct Rename {
    pub from: String,
    /// The last name of the chain.
    pub to: String,
    pub span: Span,
}

/// An entry of `retire`.
#[derive(Clone, Debug)]
pub struct Retire {
    /// A tag or a glob.
    pub pattern: TagPattern,
    pub span: Span,
}

/// `deviceValue: { default: … }`.
#[derive(Clone, Copy, Debug)]
pub struct DefaultValue {
    pub value: DeviceValue,
    pub span: Span,
}

/// An entry of `protect`.
#[derive(Clone, Debug)]
pub struct Protection {
    pub name: String,
    pub select: Selector,
    /// Why; carried into plans.
    pub reason: Option<String>,
    pub span: Span,
}

/// A policy without errors that reads the table `cmdb.csv`, with its sources. `text` lacks the version.
#[cfg(test)]
pub(crate) fn with_table(
    text: &str,
    cmdb: &str,
    now: crate::time::Timestamp,
) -> (crate::diagnostic::Sources, Policy) {
    use crate::diagnostic::{Source, Sources};
    let file = Source::new("p.yaml", 0, "p.yaml", format!("version: 1\n{text}"));
    let mut sources = Sources { files: vec![file], ..Sources::default() };
    sources.data.insert((0, "cmdb.csv".to_owned()), Ok(cmdb.as_bytes().into()));
    let (policy, findings) = resolve(&sources, crate::tag::TagCase::Exact, now);
    assert!(findings.iter().all(|finding| !finding.code.starts_with('E')), "{findings:#?}");
    (sources, policy)
}
