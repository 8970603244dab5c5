//! Reads `guard.accept`: contested changes that `drift` lets pass for a while.
//!
//! Says which tags are accepted. `plan` finds the contested changes that an entry covers. Nothing here lets a change be written.

use super::Acceptance;
use super::keys;
use super::names::Names;
use super::node::Node;
use super::reader::Reader;

impl Reader<'_> {
    pub(super) fn accept(&mut self, node: &Node, names: &Names) -> Vec<Acceptance> {
        let items = self.list(node, "`accept`").unwrap_or_default();
        items.iter().filter_map(|item| self.acceptance(item, names)).collect()
    }

    fn acceptance(&mut self, node: &Node, names: &Names) -> Option<Acceptance> {
        let fields = self.fields(node, keys::ACCEPT, "an entry of `accept`")?;
        let tag = fields.get("tag").and_then(|tag| self.approved_tags(tag));
        let select = fields.get("select").map(|select| self.selector(select, "`accept.select`", names));
        let reason = fields.get("reason").and_then(|reason| self.filled_text(reason, "`reason`"));
        let expires = fields.get("expires")?;
        let (span, expires) = (expires.span, self.date(expires, "`expires`")?);
        self.check_expiry("acceptance", expires, span);
        reason?;
        Some(Acceptance { tag: tag?, select, expires })
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Sources;
    use crate::policy::resolve;
    use crate::tag::TagCase;
    use crate::time::Timestamp;

    /// The codes of the findings, in order, and how many entries were understood.
    fn read(entry: &str) -> (Vec<&'static str>, usize) {
        let text = format!("version: 1\nguard: {{ accept: [{{ {entry} }}] }}\n");
        found(&text)
    }

    fn found(text: &str) -> (Vec<&'static str>, usize) {
        let now = Timestamp::parse("2026-11-22T03:00:00Z").unwrap();
        let (policy, findings) = resolve(&Sources::from_text("p.yaml", text), TagCase::Exact, now);
        (findings.iter().map(|finding| finding.code).collect(), policy.guard.accept.len())
    }

    #[test]
    fn an_entry_uses_named_selectors() {
        let set = |accept: &str| {
            format!(
                "version: 1\nselectors: {{ linux: {{ osPlatform: Linux }} }}\nguard: {{ accept: [{accept}] }}\n"
            )
        };
        let used = "{ tag: \"old-*\", select: { use: linux }, reason: registry, expires: 2026-12-01 }";
        assert_eq!(found(&set(used)), (vec![], 1));
        assert_eq!(found(&set("")), (vec!["N0403"], 0), "nothing else uses it");
    }

    #[test]
    fn an_entry_is_a_tag_a_reason_and_a_near_day() {
        assert_eq!(read("tag: Old, reason: registry, expires: 2026-12-01"), (vec![], 1));
        for (entry, code) in [
            ("tag: Old, expires: 2026-12-01", "E0105"),
            ("tag: Old, reason: \" \", expires: 2026-12-01", "E0208"),
            ("tag: Old, reason: registry", "E0105"),
            ("reason: registry, expires: 2026-12-01", "E0105"),
            ("tag: \"ol*\", reason: registry, expires: 2026-12-01", "E0503"),
            ("tag: \"*\", reason: registry, expires: 2026-12-01", "E0503"),
        ] {
            assert_eq!(read(entry), (vec![code], 0), "{entry}");
        }
    }

    #[test]
    fn a_day_that_does_not_count_is_said() {
        for day in ["2026-11-21", "2027-02-21"] {
            assert_eq!(read(&format!("tag: Old, reason: r, expires: {day}")).0, ["W0501"], "{day}");
        }
        for day in ["2026-11-22", "2027-02-20"] {
            assert_eq!(read(&format!("tag: Old, reason: r, expires: {day}")).0, [""; 0], "{day}");
        }
    }
}
