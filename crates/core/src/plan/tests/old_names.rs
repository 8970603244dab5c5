//! Why the reference keeps old names: new names that no rule in force could give, and templates without data.
//!
//! Tests only.

use super::reference::{TagStatement, View, covers};
use crate::policy::TagExpressionKind;
use crate::tag::TagPattern;

impl View<'_> {
    /// Whether a new name is claimed, and no rule in force could give it to any device.
    pub(super) fn is_waiting(&self, new: &str) -> bool {
        let rules = self.world.policy.rules.iter().filter(|rule| rule.is_live(self.world.now()));
        let gives = |tag: &TagExpressionKind| match tag {
            TagExpressionKind::Literal(tag) => self.same(tag, new),
            TagExpressionKind::Template(template) => {
                covers(&TagPattern::Glob(template.glob.clone()), new, self.world.case, true)
            }
        };
        self.claim(new).is_some() && !rules.flat_map(|rule| &rule.tags).any(|tag| gives(&tag.kind))
    }

    /// The rule without data that keeps the old names of a tag, if a rename gives it and each old name may be given.
    pub(super) fn kept_old_name(&self, tag: &str, cause: &str) -> Option<String> {
        if !cause.starts_with("renamed ") {
            return None;
        }
        let is_given = |tag: &str| matches!(self.say(tag), TagStatement::Carry(_));
        let renames = self.world.policy.renames.iter().filter(|rename| self.same(&rename.to, tag));
        let old = renames.filter(|rename| self.carries(&rename.from) && !is_given(&rename.from));
        let keepers: Option<Vec<String>> = old.map(|rename| self.keeper(&rename.from)).collect();
        keepers?.into_iter().min()
    }

    /// The rule without data that keeps a tag, whatever else would remove it.
    pub(super) fn keeper(&self, tag: &str) -> Option<String> {
        let above = match self.say(tag) {
            TagStatement::Ban(rules) => {
                rules.first().map(|rule| self.world.policy.rules[*rule as usize].priority)
            }
            _ => None,
        };
        self.gap(tag, above)
    }
}
