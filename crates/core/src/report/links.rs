//! Links to places of the policy in the repository's pages, at the commit of the plan, so that the line is right.
//!
//! Builds addresses in the forms of GitHub, GitLab, Azure DevOps and Bitbucket; reads nothing from there.

use crate::diagnostic::Place;
use crate::plan::Plan;

use super::escape;

/// A repository's pages at one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RepositoryLinks<'a> {
    /// `repositoryUrl` of `mdetag.yaml`, without a slash at the end.
    pub(super) url: &'a str,
    /// The commit of the policy set.
    pub(super) commit: &'a str,
}

impl<'a> RepositoryLinks<'a> {
    /// `None` if the address or the commit is unknown, because a link to another version would show a wrong line.
    pub(super) fn of(url: Option<&'a str>, plan: &'a Plan) -> Option<RepositoryLinks<'a>> {
        let policy = &plan.header.policy;
        let commit = policy.commit.as_deref().filter(|commit| !policy.dirty && is_commit(commit))?;
        Some(RepositoryLinks { url: url?.trim_end_matches('/'), commit })
    }

    /// The address of a place; `None` if the file is outside the repository.
    pub(super) fn link(&self, place: &Place) -> Option<String> {
        let outside = place.file.starts_with('/') || place.file.split(['/', '\\']).any(|part| part == "..");
        if outside || place.file.is_empty() || place.file.contains(':') {
            return None;
        }
        let (url, commit, file) = (self.url, self.commit, escape::uri(&place.file));
        let line = place.line.max(1);
        let host = url.strip_prefix("https://").unwrap_or(url).split('/').next().unwrap_or_default();
        Some(if host == "dev.azure.com" || host.ends_with(".visualstudio.com") {
            format!(
                "{url}?path=/{file}&version=GC{commit}&line={line}&lineEnd={}&lineStartColumn=1&lineEndColumn=1",
                line + 1
            )
        } else if host.starts_with("gitlab.") || host.contains(".gitlab.") {
            format!("{url}/-/blob/{commit}/{file}#L{line}")
        } else if host == "bitbucket.org" {
            format!("{url}/src/{commit}/{file}#lines-{line}")
        } else {
            format!("{url}/blob/{commit}/{file}#L{line}")
        })
    }
}

/// Whether a text is a git commit id, and so contains nothing that could end an address.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::place;

    const COMMIT: &str = "3f2a91c0de";

    fn link(url: &str, file: &str) -> Option<String> {
        RepositoryLinks { url, commit: COMMIT }.link(&place(file, 12))
    }

    #[test]
    fn each_host_has_its_own_form() {
        let of = |url| link(url, "policies/a b.yaml").unwrap();
        assert_eq!(
            of("https://github.com/o/r"),
            "https://github.com/o/r/blob/3f2a91c0de/policies/a%20b.yaml#L12"
        );
        assert_eq!(
            of("https://gitlab.example.com/o/r"),
            "https://gitlab.example.com/o/r/-/blob/3f2a91c0de/policies/a%20b.yaml#L12"
        );
        assert_eq!(
            of("https://bitbucket.org/o/r"),
            "https://bitbucket.org/o/r/src/3f2a91c0de/policies/a%20b.yaml#lines-12"
        );
        assert!(of("https://dev.azure.com/o/p/_git/r").starts_with(
            "https://dev.azure.com/o/p/_git/r?path=/policies/a%20b.yaml&version=GC3f2a91c0de&line=12&"
        ));
    }

    #[test]
    fn nothing_outside_the_repository_and_no_unknown_version_is_linked() {
        for file in ["../a.yaml", "/etc/a.yaml", "C:\\a.yaml", "a\\..\\..\\b.yaml", ""] {
            assert_eq!(link("https://github.com/o/r", file), None, "{file}");
        }
        let mut plan = crate::report::fixtures::example();
        let url = Some("https://github.com/o/r/");
        plan.header.policy.commit = Some(COMMIT.to_owned());
        assert_eq!(RepositoryLinks::of(url, &plan).map(|links| links.url), Some("https://github.com/o/r"));
        plan.header.policy.dirty = true;
        assert_eq!(RepositoryLinks::of(url, &plan), None);
        plan.header.policy.dirty = false;
        plan.header.policy.commit = Some("main\"><b>".to_owned());
        assert_eq!(RepositoryLinks::of(url, &plan), None);
    }
}
