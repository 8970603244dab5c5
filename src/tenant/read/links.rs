//! Reads the list by the service's own links, which are followed only to the list itself, on the configured host.
//!
//! A link is a hint: only its paging options are used, the filter is added again, and a link that leads elsewhere or in a circle
//! ends this method.

use std::collections::HashSet;

use crate::tenant::clouds::is_service_host;
use crate::tenant::error::TenantError;
use crate::tenant::http::clean;
use crate::tenant::percent::encode;
use crate::tenant::wire;

use super::fetch::Page;
use super::pass::{Pass, ReadContext};

#[derive(Clone, Debug, PartialEq, Eq)]
enum LinkKind {
    /// To the list, with these options.
    List { options: Vec<(String, String)> },
    /// To a place that never gets a token.
    Elsewhere(String),
}

impl ReadContext<'_> {
    /// Follows the links from the first page, which is already read. `false`: they lead elsewhere, in a circle, or nowhere.
    pub(super) async fn follow(&mut self, pass: &mut Pass, first: &Page) -> Result<bool, TenantError> {
        self.take(pass, first, None)?;
        let mut followed: HashSet<String> = HashSet::new();
        // For each page that a plain `$skip` led to, the rows before it and the last device before it.
        let mut seams: Vec<(usize, Option<u128>)> = Vec::new();
        let mut rows = first.rows.len();
        let mut last = first.rows.last().and_then(|row| row.id);
        let mut next = first.next_link.clone();
        while let Some(link) = next {
            let options = match self.classify(&link) {
                LinkKind::List { options } => options,
                LinkKind::Elsewhere(why) => {
                    tracing::warn!(reason = why, "a link to the next page is not followed");
                    self.strange.push(why);
                    return Ok(false);
                }
            };
            if options.iter().any(|(name, value)| name == "$skip" && *value == rows.to_string()) {
                seams.push((rows, last));
            }
            let path = self.linked(&options);
            if !followed.insert(path.clone()) {
                return Ok(false);
            }
            let page = self.fetch.page(&path, &self.ids).await?;
            if self.take(pass, &page, None)? == 0 && !page.rows.is_empty()
                || page.rows.is_empty() && page.next_link.is_some()
            {
                return Ok(false);
            }
            rows += page.rows.len();
            last = page.rows.last().and_then(|row| row.id).or(last);
            next = page.next_link;
        }
        for (rows, before) in seams {
            let seam = self.list_top(None, rows - 1, 1).await?;
            pass.moved |= seam.rows.first().and_then(|row| row.id) != before;
        }
        // Links may stop before the list ends.
        if rows > 0 && !pass.counts_all() && self.ends_by_skip(rows).await? == Some(false) {
            return Ok(false);
        }
        Ok(!self.ends_at_limit(pass).await?)
    }

    fn classify(&self, link: &str) -> LinkKind {
        let origin = &self.fetch.connection.endpoints.api;
        let base = origin.at(wire::LIST);
        let Ok(url) = base.join(link) else {
            return LinkKind::Elsewhere("a link to the next page is no URL and was not followed".to_owned());
        };
        let host = url.host_str().unwrap_or("");
        // The public service's regions name its global host in their links (field-reported). The request still goes to the
        // configured one.
        let sibling = url.scheme() == "https" && url.port().is_none() && is_service_host(host);
        if !origin.holds(&url) && !sibling {
            let host = clean(host, 80);
            return LinkKind::Elsewhere(format!(
                "a link to the next page names the host {host}; it was not followed"
            ));
        }
        if !wire::is_list_path(url.path()) {
            let path = clean(url.path(), 80);
            return LinkKind::Elsewhere(format!(
                "a link to the next page names the path {path}; it was not followed"
            ));
        }
        let options = url.query_pairs().filter(|(name, _)| !name.eq_ignore_ascii_case("$filter"));
        LinkKind::List {
            options: options.map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        }
    }

    fn linked(&self, options: &[(String, String)]) -> String {
        let mut pairs: Vec<String> = options
            .iter()
            .map(|(name, value)| {
                let name =
                    name.strip_prefix('$').map_or_else(|| encode(name), |bare| format!("${}", encode(bare)));
                format!("{name}={}", encode(value))
            })
            .collect();
        pairs.extend(self.filter.as_ref().map(|filter| format!("$filter={}", encode(filter))));
        format!("{}?{}", wire::LIST, pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_own_hosts_are_known_in_links() {
        for host in [
            "api.security.microsoft.com",
            "eu.api.security.microsoft.com",
            "api-uk.securitycenter.microsoft.com",
        ] {
            assert!(is_service_host(host), "{host}");
        }
        for host in
            ["api.security.microsoft.com.example.com", "evil.example.com", "login.microsoftonline.com", ""]
        {
            assert!(!is_service_host(host), "{host}");
        }
    }
}
