//! Tenant profiles beyond the first: bases that others extend, and a file with many profiles.
//!
//! Reads no file and signs in nowhere; the command line chooses the profiles of a command.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{MappingEntry, Node, NodeKind, shown};
use super::reader::Reader;
use super::secrets;
use super::settings::{Profile, Settings};
use super::syntax;
use crate::diagnostic::{Diagnostic, SourceId, Sources, Span};
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The prefix of a CSV column that holds one label.
const LABEL: &str = "label.";

impl Settings {
    /// The profiles of tenants: all except the bases that others extend.
    pub fn tenants(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter().filter(|profile| !self.is_base(&profile.name))
    }

    /// Whether a profile is a base that others extend, and so not a tenant.
    pub fn is_base(&self, name: &str) -> bool {
        self.profiles.iter().any(|profile| profile.extends.as_deref() == Some(name))
    }

    /// Checks, after [`Settings::inherit`], that profiles can be told apart and that none is silently left out.
    ///
    /// # Errors
    /// A sentence: two names are equal on a system that folds case, or no tenant shares the tenant id of a base.
    pub fn check_tenants(&self) -> Result<(), String> {
        let mut names: BTreeMap<String, &str> = BTreeMap::new();
        for profile in &self.profiles {
            if let Some(other) = names.insert(profile.name.to_ascii_lowercase(), &profile.name) {
                return Err(format!(
                    "the profiles `{other}` and `{}` differ only in case: on Windows and macOS their files would be the same",
                    profile.name
                ));
            }
        }
        let bases: BTreeSet<&str> =
            self.profiles.iter().filter_map(|profile| profile.extends.as_deref()).collect();
        let (bases, tenants): (Vec<&Profile>, Vec<&Profile>) =
            self.profiles.iter().partition(|profile| bases.contains(profile.name.as_str()));
        let ids: BTreeSet<String> = tenants.iter().filter_map(|profile| id(profile)).collect();
        match bases.iter().find(|base| id(base).is_some_and(|id| !ids.contains(&id))) {
            None => Ok(()),
            Some(base) => Err(format!(
                "the profile `{}` has a tenant of its own, but others extend it, and a base is no tenant: no command would run for \
                 it; let all of them extend a profile without a `tenantId`",
                base.name
            )),
        }
    }

    /// Adds the profiles of another file. An existing profile stays, and its name is returned.
    pub fn add_profiles(&mut self, profiles: Vec<Profile>) -> Vec<String> {
        let mut taken = Vec::new();
        for profile in profiles {
            if self.profile(&profile.name).is_some() {
                taken.push(profile.name);
            } else {
                self.profiles.push(profile);
            }
        }
        taken
    }

    /// Fills each profile's missing keys from the profile that it extends and from that one's base. A key is taken whole.
    ///
    /// # Errors
    /// A sentence: a base does not exist, or bases form a circle.
    pub fn inherit(&mut self) -> Result<(), String> {
        let own: BTreeMap<String, Profile> =
            self.profiles.iter().map(|profile| (profile.name.clone(), profile.clone())).collect();
        for profile in &mut self.profiles {
            let mut seen = vec![profile.name.clone()];
            let mut next = profile.extends.clone();
            while let Some(name) = next {
                if seen.contains(&name) {
                    return Err(format!(
                        "the profile `{}` extends itself: {} → {name}",
                        seen[0],
                        seen.join(" → ")
                    ));
                }
                let base = own.get(&name).ok_or_else(|| {
                    format!("the profile `{}` extends `{name}`, which is no profile", seen[seen.len() - 1])
                })?;
                profile.take_absent(base);
                next = base.extends.clone();
                seen.push(name);
            }
        }
        Ok(())
    }
}

/// The tenant id of a profile in one case: ids are GUIDs, which people write in either.
fn id(profile: &Profile) -> Option<String> {
    profile.tenant_id.as_deref().map(str::to_ascii_lowercase)
}

impl Profile {
    fn take_absent(&mut self, base: &Profile) {
        fn absent<T: Clone>(own: &mut Option<T>, base: Option<&T>) {
            if own.is_none() {
                *own = base.cloned();
            }
        }
        absent(&mut self.tenant_id, base.tenant_id.as_ref());
        absent(&mut self.client_id, base.client_id.as_ref());
        absent(&mut self.cloud, base.cloud.as_ref());
        absent(&mut self.geo, base.geo.as_ref());
        if self.policies.is_empty() {
            self.policies.clone_from(&base.policies);
        }
        if self.labels.is_empty() {
            self.labels.clone_from(&base.labels);
        }
        if self.endpoints.is_empty() {
            self.endpoints.clone_from(&base.endpoints);
        }
    }
}

/// Reads a `tenantsFile`, the only file of the sources: YAML or JSON (profiles by name, at the top or under `tenants`), or CSV by
/// its extension (`name`, the keys of a profile, `policies` separated by `;`, and a column `label.NAME` for each label).
pub fn read_profiles(sources: &Sources) -> (Vec<Profile>, Vec<Diagnostic>) {
    let source = &sources.files[0];
    let is_csv =
        source.name.rsplit('.').next().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let (root, mut findings) =
        if is_csv { csv_root(&source.text) } else { syntax::parse(&source.text, SourceId(0)) };
    let mut reader = Reader::new(sources, TagCase::Exact, Timestamp::EPOCH);
    let mut profiles = Vec::new();
    if let Some(root) = &root {
        reader.refuse_secrets(root);
        let entries = reader.map(root, "a file of tenants").unwrap_or_default();
        let inner = match entries {
            [MappingEntry { key, value, .. }] if key == "tenants" => {
                reader.map(value, "`tenants`").unwrap_or_default()
            }
            entries => entries,
        };
        profiles = inner.iter().filter_map(|entry| reader.profile(entry)).collect();
    }
    findings.extend(reader.into_findings());
    secrets::hide(sources, root.as_ref(), &mut findings);
    (profiles, findings)
}

/// The rows of a CSV file as the mapping of a YAML file, so that one reader checks both.
fn csv_root(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let whole = span(0, text.len());
    let fail = |place: Span, message: String| (None, vec![Diagnostic::error("E0303", place, message)]);
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = match rows.headers() {
        Ok(header) => header.clone(),
        Err(error) => return fail(whole, format!("this is no CSV: {error}")),
    };
    let Some(name_column) = header.iter().position(|column| column.trim_start_matches('\u{feff}') == "name")
    else {
        return fail(whole, "a CSV file of tenants needs a column `name`".to_owned());
    };
    let mut entries: Vec<MappingEntry> = Vec::new();
    for row in rows.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => return fail(whole, format!("this is no CSV: {error}")),
        };
        let at = row.position().map_or(0, |position| usize::try_from(position.byte()).unwrap_or(0));
        let place = line_span(text, at);
        let name = row.get(name_column).unwrap_or_default();
        if entries.iter().any(|entry| entry.key == name) {
            return fail(place, format!("the tenant `{}` appears twice", shown(name)));
        }
        entries.push(MappingEntry {
            key: name.to_owned(),
            key_span: place,
            value: profile_node(&header, &row, place),
        });
    }
    (Some(Node { kind: NodeKind::Map(entries), span: whole }), Vec::new())
}

fn profile_node(header: &csv::StringRecord, row: &csv::StringRecord, place: Span) -> Node {
    let text = |value: &str| Node { kind: NodeKind::Text(value.to_owned()), span: place };
    let entry = |key: &str, value: Node| MappingEntry { key: key.to_owned(), key_span: place, value };
    let (mut entries, mut labels) = (Vec::new(), Vec::new());
    let cells = header.iter().map(|column| column.trim_start_matches('\u{feff}')).zip(row);
    for (column, cell) in cells.filter(|(column, cell)| *column != "name" && !cell.is_empty()) {
        if let Some(label) = column.strip_prefix(LABEL) {
            labels.push(entry(label, text(cell)));
        } else if column == "policies" {
            let parts = cell.split(';').map(|part| text(part.trim())).collect();
            entries.push(entry(column, Node { kind: NodeKind::List(parts), span: place }));
        } else {
            entries.push(entry(column, text(cell)));
        }
    }
    if !labels.is_empty() {
        entries.push(entry("labels", Node { kind: NodeKind::Map(labels), span: place }));
    }
    Node { kind: NodeKind::Map(entries), span: place }
}

fn span(start: usize, end: usize) -> Span {
    let cut = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    Span { source: SourceId(0), start: cut(start), end: cut(end) }
}

fn line_span(text: &str, at: usize) -> Span {
    let at = text.floor_char_boundary(at);
    let end = text[at..].find(['\r', '\n']).map_or(text.len(), |length| at + length);
    span(at, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Cloud;
    use crate::policy::settings;

    const TENANT: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn a_profile_takes_what_it_does_not_say_from_its_base_and_a_base_is_no_tenant() {
        let text = "version: 1\ntenants:\n  base: { clientId: c, cloud: gcc, policies: [shared/], labels: { tier: gold } }\n  \
                    one: { extends: base, policies: [one/] }\n  two: { extends: base, labels: { tier: silver } }\n";
        let (mut settings, findings) = settings::read(&Sources::from_text("mdetag.yaml", text));
        assert_eq!(findings, []);
        settings.inherit().unwrap();
        let names: Vec<&str> = settings.tenants().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
        let one = settings.profile("one").unwrap();
        assert_eq!((one.client_id.as_deref(), one.cloud), (Some("c"), Some(Cloud::Gcc)));
        assert_eq!((one.policies.as_slice(), &*one.labels["tier"]), (["one/".to_owned()].as_slice(), "gold"));
        assert_eq!(settings.profile("two").unwrap().labels["tier"], "silver");
    }

    #[test]
    fn circles_and_missing_bases_are_errors() {
        for (text, message) in [
            ("version: 1\ntenants: { a: { extends: b }, b: { extends: a } }\n", "extends itself: a → b → a"),
            ("version: 1\ntenants: { a: { extends: z } }\n", "extends `z`, which is no profile"),
        ] {
            let (mut settings, _) = settings::read(&Sources::from_text("mdetag.yaml", text));
            let error = settings.inherit().unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_base_with_a_tenant_that_nobody_takes_is_an_error() {
        let checked = |profiles: &str| {
            let text = format!("version: 1\ntenants:\n{profiles}");
            let (mut settings, findings) = settings::read(&Sources::from_text("mdetag.yaml", &text));
            assert_eq!(findings, []);
            settings.inherit().unwrap();
            settings.check_tenants()
        };
        let other = "22222222-2222-3333-4444-555555555555";
        let lost =
            checked(&format!("  a: {{ tenantId: {TENANT} }}\n  b: {{ extends: a, tenantId: {other} }}\n"));
        assert!(lost.unwrap_err().contains("`a` has a tenant of its own"));
        // Two policy sets of the same tenant share its id through a base.
        let shared =
            checked(&format!("  a: {{ tenantId: {TENANT} }}\n  b: {{ extends: a, policies: [b/] }}\n"));
        assert_eq!(shared, Ok(()));
        assert_eq!(
            checked(&format!("  a: {{ clientId: c }}\n  b: {{ extends: a, tenantId: {other} }}\n")),
            Ok(())
        );
    }

    #[test]
    fn names_that_one_system_takes_for_the_same_or_for_a_device_are_errors() {
        let read = |profiles: &str| {
            settings::read(&Sources::from_text("mdetag.yaml", &format!("version: 1\ntenants: {profiles}\n")))
        };
        let (settings, findings) = read("{ Contoso: {}, contoso: {} }");
        assert_eq!(findings, []);
        let error = settings.check_tenants().unwrap_err();
        assert!(error.contains("`Contoso` and `contoso` differ only in case"), "{error}");
        for name in ["\"-o\"", "\"--sandbox\"", "NUL", "con", "aux.eu", "Com1", "lpt9.x", "eu."] {
            let (_, findings) = read(&format!("{{ {name}: {{}} }}"));
            assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["E0208"], "{name}");
        }
        for name in ["console", "com", "com10", "nul-eu", "contoso.com"] {
            assert_eq!(read(&format!("{{ {name}: {{}} }}")).1, [], "{name}");
        }
    }

    #[test]
    fn yaml_json_and_csv_say_the_same() {
        let yaml = format!("one: {{ tenantId: {TENANT}, policies: [a/, b/], labels: {{ region: eu }} }}\n");
        let json = format!(
            r#"{{ "tenants": {{ "one": {{ "tenantId": "{TENANT}", "policies": ["a/", "b/"], "labels": {{ "region": "eu" }} }} }} }}"#
        );
        let csv = format!("\u{feff}name,tenantId,policies,label.region\r\none,{TENANT},a/; b/,eu\r\n");
        let read = |name: &str, text: &str| {
            let (profiles, findings) = read_profiles(&Sources::from_text(name, text));
            assert_eq!(findings, [], "{name}");
            profiles
        };
        let from_yaml = read("t.yaml", &yaml);
        assert_eq!(from_yaml[0].labels["region"], "eu");
        assert_eq!(read("t.json", &json), from_yaml);
        assert_eq!(read("t.csv", &csv), from_yaml);
    }

    #[test]
    fn a_wrong_row_is_named_with_its_line() {
        let text = "name,tenantId\none,x\n";
        let sources = Sources::from_text("t.csv", text);
        let (_, findings) = read_profiles(&sources);
        assert_eq!((findings[0].code, sources.place(findings[0].span.unwrap()).line), ("E0504", 2));
        let (_, findings) = read_profiles(&Sources::from_text("t.csv", "name\none\none\n"));
        assert!(findings[0].message.contains("appears twice"), "{findings:?}");
        let (_, findings) = read_profiles(&Sources::from_text("t.csv", "name,clientSecret\none,x\n"));
        assert_eq!(findings[0].code, "E0801");
    }
}
