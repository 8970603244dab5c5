//! Guesses the profile that a broken `mdetag.yaml` would have named: the report about its errors replaces the plan of that
//! tenant.
//!
//! A guess from a faulty file. It decides where a report goes and what it replaces, never which tenant is read.

use super::settings::{self, Settings};
use crate::diagnostic::Sources;
use crate::text::is_profile_name;

/// The most lines before a YAML error that may be part of the error.
const MOST_CUT: usize = 500;

/// The profile of a command without `--tenant`, as far as the text shows it.
pub fn likely_tenant(text: &str) -> Option<String> {
    let read = |text: &str| {
        let (settings, _) = settings::read(&Sources::from_text("mdetag.yaml", text));
        named(&settings).map(str::to_owned)
    };
    let written = || {
        let value = text.lines().find_map(|line| line.strip_prefix("defaultTenant:"))?;
        let value = value.split(" #").next().unwrap_or(value);
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let before_the_mistake = || {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        ends.into_iter().rev().take(MOST_CUT).find_map(|end| read(&text[..end]))
    };
    let found = read(text).or_else(written).or_else(before_the_mistake)?;
    is_profile_name(&found).then_some(found)
}

/// The default profile, or the only one.
fn named(settings: &Settings) -> Option<&str> {
    if let Some(name) = &settings.default_tenant {
        return Some(name);
    }
    let mut tenants = settings.tenants();
    tenants.next().filter(|_| tenants.next().is_none()).map(|profile| profile.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        likely_tenant(text)
    }

    #[test]
    fn a_broken_file_still_names_its_profile() {
        let name = Some("contoso".to_owned());
        assert_eq!(found("version: 1\ntenants: { contoso: {} }\ntypo: 1\n"), name, "an unknown key");
        assert_eq!(
            found("version: 1\ntenants:\n  contoso:\n    cloud: public\nnotify: [\n"),
            name,
            "broken YAML"
        );
        let both = "version: 1\ntenants: { fabrikam: {}, contoso: {} }\n";
        assert_eq!(found(&format!("{both}state: [\ndefaultTenant: \"contoso\" # ours\n")), name);
        assert_eq!(found(&format!("{both}defaultTenant: contoso\nlints: {{ W9999: deny }}\n")), name);
        assert_eq!(found(&format!("{both}lints: {{ W9999: deny }}\n")), None, "two profiles");
    }

    #[test]
    fn what_names_no_profile_is_not_taken() {
        for text in ["defaultTenant: ../../x\n{", "defaultTenant: \"-->\"\n{", "defaultTenant:\n{", "{", ""] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
