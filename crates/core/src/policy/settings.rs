//! `mdetag.yaml`: where and how mdetag runs, never which tags it gives. Read as carefully as the policy, with the same findings.
//!
//! Connects nowhere and checks no host: `tenant` knows the hosts that an endpoint may name.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::keys;
use super::node::{MappingEntry, Node, shown};
use super::notify::{self, NotifySettings};
use super::reader::{Fields, Reader};
use super::secrets;
use super::syntax;
use crate::cloud::{Cloud, Region};
use crate::diagnostic::{Diagnostic, Severity, SourceId, Sources};
use crate::tag::TagCase;
use crate::text;
use crate::time::{self, Timestamp};

/// The settings of `mdetag.yaml`, or the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The profile of a command that names none.
    pub default_tenant: Option<String>,
    /// Profiles in file order.
    pub profiles: Vec<Profile>,
    /// A file with further profiles, relative to `mdetag.yaml`.
    pub tenants_file: Option<String>,
    /// Limits.
    pub budget: BudgetSettings,
    /// How changes are written.
    pub writes: WriteSettings,
    /// The place of the state: a folder relative to the file, or the address of a store.
    pub state: Option<String>,
    /// How tags that differ only in case compare.
    pub tag_case: TagCase,
    /// Whether the file states it.
    pub says_tag_case: bool,
    /// The level of a warning, by code.
    pub lints: BTreeMap<String, LintLevel>,
    /// The repository's page, for links in reports.
    pub repository_url: Option<String>,
    /// The webhook that gets the results of commands.
    pub notify: Option<NotifySettings>,
}

/// The level of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintLevel {
    /// Not reported.
    Allow,
    /// Reported, but stops nothing.
    Warn,
    Deny,
}

/// Applies the levels of the settings: findings are left out, kept, or become errors.
pub fn apply_lints(lints: &BTreeMap<String, LintLevel>, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let judged = findings.into_iter().filter_map(|mut finding| {
        let level = lints.get(finding.code).filter(|_| finding.severity != Severity::Error);
        match level {
            Some(LintLevel::Allow) => return None,
            Some(LintLevel::Warn) => finding.severity = Severity::Warning,
            Some(LintLevel::Deny) => finding.severity = Severity::Error,
            None => {}
        }
        Some(finding)
    });
    judged.collect()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    /// Directory id.
    pub tenant_id: Option<String>,
    /// Application id.
    pub client_id: Option<String>,
    /// `public`, `gcc`, `gcc-high` or `dod`.
    pub cloud: Option<Cloud>,
    /// `us`, `eu`, `uk`, `au`, `swa`, `ina` or `aea`.
    pub geo: Option<Region>,
    /// Policy files and directories, relative to the file.
    pub policies: Vec<String>,
    /// Labels of the tenant: `--select` picks by them.
    pub labels: BTreeMap<String, String>,
    /// The profile that gives the keys that this one does not state.
    pub extends: Option<String>,
    /// Other hosts, by `api`, `login` and `graph`: for tests.
    pub endpoints: BTreeMap<String, String>,
}

/// The service's limits that this client keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Calls a minute and lane.
    pub per_minute: u32,
    /// Calls an hour and lane.
    pub per_hour: u32,
    /// Whether all machine lanes share one pair of windows.
    pub shared: bool,
    /// Calls in flight.
    pub concurrency: u32,
    /// Windows are divided by this; more than 1 only on loopback.
    pub time_scale: u32,
}

/// How changes are written to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSettings {
    /// Whether device values use both documented routes, `setDeviceValue` and `PATCH`.
    pub both_routes: bool,
    /// Whether one `PATCH` may carry a device's value and tags.
    pub combine: bool,
    /// The time between the last write and the next read of the list.
    pub settle: Duration,
    /// Whether the file states it.
    pub says_settle: bool,
    /// How long the list may lag behind a confirmed change.
    pub visibility: Duration,
    /// Whether each plan first asks hunting which tags come from other sources.
    pub origins: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            default_tenant: None,
            profiles: Vec::new(),
            tenants_file: None,
            budget: BudgetSettings {
                per_minute: 100,
                per_hour: 1500,
                shared: false,
                concurrency: 8,
                time_scale: 1,
            },
            writes: WriteSettings {
                both_routes: false,
                combine: false,
                settle: Duration::from_secs(15),
                says_settle: false,
                visibility: Duration::from_secs(3600),
                origins: false,
            },
            state: None,
            tag_case: TagCase::default(),
            says_tag_case: false,
            lints: BTreeMap::new(),
            repository_url: None,
            notify: None,
        }
    }
}

impl Settings {
    /// The profile with this name.
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

/// Reads the first file of the sources. Never fails: a key with an error keeps its default and gets a finding.
pub fn read(sources: &Sources) -> (Settings, Vec<Diagnostic>) {
    let mut settings = Settings::default();
    let (node, mut findings) = syntax::parse(&sources.files[0].text, SourceId(0));
    let mut reader = Reader::new(sources, TagCase::Exact, Timestamp::EPOCH);
    if let Some(node) = &node {
        reader.refuse_secrets(node);
        if let Some(fields) = reader.fields(node, keys::SETTINGS, "mdetag.yaml") {
            reader.settings(&fields, &mut settings);
        }
    }
    findings.extend(reader.into_findings());
    secrets::hide(sources, node.as_ref(), &mut findings);
    (settings, findings)
}

impl Reader<'_> {
    fn settings(&mut self, fields: &Fields<'_>, settings: &mut Settings) {
        if let Some(node) = fields.get("version") {
            self.integer_in(node, "`version`", 1, 1);
        }
        if let Some(entries) = fields.get("tenants").and_then(|node| self.map(node, "`tenants`")) {
            settings.profiles = entries.iter().filter_map(|entry| self.profile(entry)).collect();
        }
        settings.tenants_file = self.owned(fields, "tenantsFile");
        settings.state = self.owned(fields, "state");
        if let Some(node) = fields.get("defaultTenant") {
            settings.default_tenant = self.filled_text(node, "`defaultTenant`").map(str::to_owned);
            let names: Vec<&str> = settings.profiles.iter().map(|profile| profile.name.as_str()).collect();
            if let Some(name) = &settings.default_tenant
                && settings.tenants_file.is_none()
                && !names.contains(&name.as_str())
            {
                self.unknown("E0802", node.span, &format!("profile `{}`", shown(name)), name, &names);
            }
        }
        if let Some(fields) =
            fields.get("budget").and_then(|node| self.fields(node, keys::BUDGET, "`budget`"))
        {
            self.budget(&fields, &mut settings.budget);
        }
        if let Some(fields) =
            fields.get("writes").and_then(|node| self.fields(node, keys::WRITES, "`writes`"))
        {
            self.writes(&fields, &mut settings.writes);
            let combine =
                fields.get("combine").filter(|_| settings.writes.combine && !settings.writes.origins);
            if let Some(node) = combine {
                let message = "`combine: true` needs `origins: true`";
                self.report(Diagnostic::error("E0208", node.span, message).help(
                    "add `origins: true`: a PATCH replaces the whole list, so it may carry only tags that hunting knows as manual",
                ));
            }
        }
        if let Some(node) = fields.get("repositoryUrl") {
            settings.repository_url = self.repository_url(node);
        }
        settings.notify = fields
            .get("notify")
            .and_then(|node| self.fields(node, notify::KEYS, "`notify`"))
            .and_then(|fields| self.notify(&fields));
        if let Some(node) = fields.get("tagCase")
            && let Some(word) = self.word(node, "`tagCase`", &keys::TAG_CASES)
        {
            settings.tag_case = if word == "exact" { TagCase::Exact } else { TagCase::Insensitive };
            settings.says_tag_case = true;
        }
        for entry in fields.get("lints").and_then(|node| self.map(node, "`lints`")).unwrap_or_default() {
            if let Some(level) = self.lint_level(entry) {
                settings.lints.insert(entry.key.clone(), level);
            }
        }
    }

    /// A plain address. Reports link to it, so it may contain no character that ends a link, and no credential.
    fn repository_url(&mut self, node: &Node) -> Option<String> {
        let text = self.filled_text(node, "`repositoryUrl`")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/%+".contains(&byte);
        let rest = text.strip_prefix("https://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
        if rest.is_some_and(|rest| rest.bytes().all(is_plain)) {
            return Some(text.to_owned());
        }
        let message = "`repositoryUrl` is an https address without user, query and fragment";
        self.report(Diagnostic::error("E0208", node.span, message).help(
            "copy the address of the repository's page, as in `https://github.com/contoso/device-tags`",
        ));
        None
    }

    fn lint_level(&mut self, entry: &MappingEntry) -> Option<LintLevel> {
        let code = self.lint_code(entry)?;
        let level = match self.word(&entry.value, "a level", &keys::LINT_LEVELS)? {
            "allow" => LintLevel::Allow,
            "warn" => LintLevel::Warn,
            _ => LintLevel::Deny,
        };
        (level != LintLevel::Allow || self.may_be_allowed_everywhere(code, entry.value.span)).then_some(level)
    }

    pub(super) fn profile(&mut self, entry: &MappingEntry) -> Option<Profile> {
        let what = format!("the profile `{}`", shown(&entry.key));
        let fields = self.fields(&entry.value, keys::PROFILE, &what)?;
        let mut profile = Profile { name: entry.key.clone(), ..Profile::default() };
        if !text::is_profile_name(&profile.name) {
            let message = format!(
                "{what} has no usable name: 1 to 80 of A-Z a-z 0-9 . _ -, the first neither dot nor dash"
            );
            self.report(Diagnostic::error("E0208", entry.key_span, message));
        } else if text::is_taken_by_windows(&profile.name) {
            // The folder of its files has its name, and people use a repository on several systems.
            let message = format!("{what} cannot name a folder on Windows");
            self.report(Diagnostic::error("E0208", entry.key_span, message).help(
                "choose another name: none that ends in a dot, and no CON, PRN, AUX, NUL, COM1 or LPT1",
            ));
        }
        profile.tenant_id = fields.get("tenantId").and_then(|node| self.tenant_id(node));
        profile.client_id = self.owned(&fields, "clientId");
        profile.extends = self.owned(&fields, "extends");
        for entry in fields.get("labels").and_then(|node| self.map(node, "`labels`")).unwrap_or_default() {
            // The message does not say what is wrong with a secret's value, because the sentence would quote it.
            if secrets::is_named_by(&entry.key) {
                continue;
            }
            if let Some(text) = self.filled_text(&entry.value, "a label") {
                profile.labels.insert(entry.key.clone(), text.to_owned());
            }
        }
        profile.cloud = self.one_of(&fields, "cloud", &Cloud::WORDS).and_then(|word| Cloud::parse(&word));
        profile.geo = self.one_of(&fields, "geo", &Region::WORDS).and_then(|word| Region::parse(&word));
        if let Some(texts) = fields.get("policies").and_then(|node| self.texts(node, "`policies`")) {
            profile.policies = texts.into_iter().map(|(text, _)| text.to_owned()).collect();
        }
        if let Some(endpoints) =
            fields.get("endpoints").and_then(|node| self.fields(node, keys::ENDPOINTS, "`endpoints`"))
        {
            for entry in endpoints.entries() {
                if let Some(text) = self.filled_text(&entry.value, "an endpoint") {
                    profile.endpoints.insert(entry.key.clone(), text.to_owned());
                }
            }
        }
        Some(profile)
    }

    fn budget(&mut self, fields: &Fields<'_>, budget: &mut BudgetSettings) {
        let mut number = |name: &str, greatest: i64, place: &mut u32| {
            if let Some(node) = fields.get(name)
                && let Some(number) = self.integer_in(node, &format!("`{name}`"), 1, greatest)
            {
                *place = number as u32;
            }
        };
        number("perMinute", 100_000, &mut budget.per_minute);
        number("perHour", 1_000_000, &mut budget.per_hour);
        number("concurrency", 64, &mut budget.concurrency);
        number("timeScale", 100_000, &mut budget.time_scale);
        if let Some(shared) = fields.get("shared").and_then(|node| self.boolean(node, "`shared`")) {
            budget.shared = shared;
        }
    }

    fn writes(&mut self, fields: &Fields<'_>, writes: &mut WriteSettings) {
        if let Some(word) = self.one_of(fields, "values", &keys::VALUE_ROUTES) {
            writes.both_routes = word == "both";
        }
        if let Some(combine) = fields.get("combine").and_then(|node| self.boolean(node, "`combine`")) {
            writes.combine = combine;
        }
        if let Some(origins) = fields.get("origins").and_then(|node| self.boolean(node, "`origins`")) {
            writes.origins = origins;
        }
        writes.says_settle = fields.get("settle").is_some();
        for (name, place) in [("settle", &mut writes.settle), ("visibility", &mut writes.visibility)] {
            let Some(node) = fields.get(name) else { continue };
            let what = format!("`{name}`");
            let Some(text) = self.text(node, &what) else { continue };
            if let Some(span) = self.parsed(node.span, &what, time::parse_duration(text)) {
                *place = span;
            }
        }
    }

    fn owned(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        self.filled_text(fields.get(name)?, &format!("`{name}`")).map(str::to_owned)
    }

    fn one_of(&mut self, fields: &Fields<'_>, name: &str, words: &[&str]) -> Option<String> {
        self.word(fields.get(name)?, &format!("`{name}`"), words).map(str::to_owned)
    }

    fn integer_in(&mut self, node: &Node, what: &str, least: i64, greatest: i64) -> Option<i64> {
        let number = self.integer(node, what)?;
        if (least..=greatest).contains(&number) {
            return Some(number);
        }
        let message = if least == greatest {
            format!("{what} must be {least}, found {number}")
        } else {
            format!("{what} is a number from {least} to {greatest}, found {number}")
        };
        self.report(Diagnostic::error("E0208", node.span, message));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<&'static str> {
        read(&Sources::from_text("mdetag.yaml", text)).1.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_full_file_is_understood() {
        let text = "version: 1\ndefaultTenant: contoso\ntenants:\n  contoso:\n    tenantId: 11111111-2222-3333-4444-555555555555\n    \
                    clientId: 66666666-7777-8888-9999-000000000000\n    cloud: gcc-high\n    policies: [policies/]\n    \
                    endpoints: { api: \"http://127.0.0.1:1\" }\nbudget: { perMinute: 10, shared: true, timeScale: 60 }\n\
                    writes: { values: both, combine: true, settle: 5s, origins: true }\ntagCase: insensitive\n";
        let (settings, findings) = read(&Sources::from_text("mdetag.yaml", text));
        assert_eq!(findings, []);
        let profile = settings.profile("contoso").unwrap();
        assert_eq!((profile.cloud, profile.policies.len()), (Some(Cloud::GccHigh), 1));
        assert_eq!(
            (settings.budget.per_minute, settings.budget.per_hour, settings.budget.time_scale),
            (10, 1500, 60)
        );
        assert!(settings.writes.both_routes && settings.writes.combine && settings.budget.shared);
        assert!(settings.writes.origins && !Settings::default().writes.origins);
        assert_eq!((settings.writes.settle.as_secs(), settings.tag_case), (5, TagCase::Insensitive));
    }

    #[test]
    fn warnings_count_as_the_settings_say_and_the_guards_are_never_silenced() {
        let (settings, findings) = read(&Sources::from_text(
            "mdetag.yaml",
            "version: 1\nlints: { W0713: deny, W0712: allow, N0403: warn }\n",
        ));
        assert_eq!(findings, []);
        let told = |code, severity| Diagnostic { severity, ..Diagnostic::warning(code, None, "x") };
        let findings =
            ["W0713", "W0712", "N0403", "W0401"].map(|code| told(code, Severity::Warning)).to_vec();
        let judged = apply_lints(&settings.lints, findings);
        let judged: Vec<_> = judged.iter().map(|finding| (finding.code, finding.severity)).collect();
        assert_eq!(
            judged,
            [("W0713", Severity::Error), ("N0403", Severity::Warning), ("W0401", Severity::Warning)]
        );
        assert_eq!(codes("version: 1\nlints: { W0501: allow }\n"), ["E0208"]);
        assert_eq!(codes("version: 1\nlints: { E0203: allow }\n"), ["E0208"]);
        assert_eq!(codes("version: 1\nlints: { W0501: deny }\n"), Vec::<&str>::new());
        assert_eq!(codes("version: 1\nlints: { W0603: allow }\n"), Vec::<&str>::new(), "it speaks of a tag");
        assert_eq!(codes("version: 1\nlints: { W0605: allow }\n"), ["E0208"]);
        assert_eq!(codes("version: 1\nlints: { W0606: allow }\n"), ["E0208"], "a lost tag");
    }

    #[test]
    fn a_level_of_a_code_that_does_not_exist_gates_nothing_and_is_refused() {
        let (settings, findings) =
            read(&Sources::from_text("mdetag.yaml", "version: 1\nlints: { W0731: deny, W9999: deny }\n"));
        assert!(settings.lints.is_empty());
        let told: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(told, ["there is no warning or note `W0731`", "there is no warning or note `W9999`"]);
        assert!(findings[0].help.as_deref().unwrap().contains("did you mean `W0701`"), "{findings:?}");
    }

    #[test]
    fn secrets_unknown_keys_and_unknown_profiles_are_refused() {
        assert_eq!(codes("version: 1\ntenants:\n  a: { clientSecret: x }\n"), ["E0801", "E0103"]);
        assert_eq!(codes("version: 1\ndefaultTenant: b\ntenants: { a: {} }\n"), ["E0802"]);
        assert_eq!(codes("version: 2\n"), ["E0208"]);
        assert_eq!(codes("version: 1\nbudget: { perMinute: 0 }\n"), ["E0208"]);
        assert_eq!(codes("version: 1\nwrites: { combine: true }\n"), ["E0208"]);
        assert_eq!(codes("tagCase: exact\n"), ["E0105"]);
        for url in [
            "http://github.com/o/r",
            "https://user:x@github.com/o/r",
            "https://a/b?c",
            "https:///a",
            "https://a/b)\"<",
        ] {
            assert_eq!(codes(&format!("version: 1\nrepositoryUrl: {url:?}\n")), ["E0208"], "{url}");
        }
        assert_eq!(codes("version: 1\nrepositoryUrl: https://github.com/o/r\n"), Vec::<&str>::new());
    }
}
