//! Compiles selectors to a graph; identical selectors are compiled once.
//!
//! Knows nothing about devices.

use hashbrown::HashMap;

use crate::device::Field;
use crate::diagnostic::Span;
use crate::policy::{Hunting, Keep, Policy, Selector, SelectorKind, Test};
use crate::time::Timestamp;

/// Index into [`Program::nodes`]; children come before their parents.
pub(super) type NodeId = usize;

/// A distinct selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SelectorNode {
    Everything,
    /// Sorted, distinct.
    All(Vec<NodeId>),
    /// Sorted, distinct.
    Any(Vec<NodeId>),
    Not(NodeId),
    /// Index into [`Program::leaves`].
    Leaf(usize),
    Superseded {
        by: Field,
        keep: Keep,
    },
    /// Index into [`Program::hunting`].
    Hunting(usize),
}

/// A distinct test of a distinct field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'p> {
    pub(super) field: Field,
    pub(super) test: &'p Test,
}

/// All selectors in force.
#[derive(Debug, Default)]
pub(super) struct Program<'p> {
    pub(super) nodes: Vec<SelectorNode>,
    pub(super) leaves: Vec<Leaf<'p>>,
    /// Distinct queries, each with the first place that names it.
    pub(super) hunting: Vec<(Hunting, Span)>,
    /// `None`: the default scope.
    pub(super) scope: Option<NodeId>,
    /// By rule; `None` if the rule is not in force.
    pub(super) rules: Vec<Option<NodeId>>,
    pub(super) protections: Vec<NodeId>,
    /// The rollout's `first`.
    pub(super) first: Option<NodeId>,
    /// The rollout's `health`.
    pub(super) ill: Option<NodeId>,
    /// By entry of `guard.accept`; `None` if the entry covers all devices.
    pub(super) accepted: Vec<Option<NodeId>>,
    /// By named selector; `None` if nothing in force uses it.
    pub(super) named: Vec<Option<NodeId>>,
}

/// Compiles the scope, the rules in force, the protections, the rollout and `guard.accept`.
pub(super) fn compile(policy: &Policy, now: Timestamp) -> Program<'_> {
    let mut compiler = Compiler {
        policy,
        program: Program::default(),
        known_nodes: HashMap::new(),
        known_leaves: HashMap::new(),
        named: vec![None; policy.selectors.len()],
    };
    let scope = policy.scope.as_ref().map(|scope| compiler.selector(scope));
    let rules =
        policy.rules.iter().map(|rule| rule.is_live(now).then(|| compiler.selector(&rule.select))).collect();
    let protections =
        policy.protections.iter().map(|protection| compiler.selector(&protection.select)).collect();
    let rollout = policy.guard.rollout.as_ref();
    let first = rollout.and_then(|rollout| rollout.first.as_ref());
    let first = first.map(|select| compiler.selector(select));
    let ill = rollout.and_then(|rollout| rollout.health.as_ref());
    let ill = ill.map(|health| compiler.selector(&health.select));
    let accepted = policy.guard.accept.iter();
    let accepted = accepted.map(|one| one.select.as_ref().map(|select| compiler.selector(select))).collect();
    Program { scope, rules, protections, first, ill, accepted, named: compiler.named, ..compiler.program }
}

struct Compiler<'p> {
    policy: &'p Policy,
    program: Program<'p>,
    known_nodes: HashMap<SelectorNode, NodeId>,
    known_leaves: HashMap<(Field, String), usize>,
    named: Vec<Option<NodeId>>,
}

impl<'p> Compiler<'p> {
    fn selector(&mut self, selector: &'p Selector) -> NodeId {
        let node = match &selector.kind {
            SelectorKind::Everything => SelectorNode::Everything,
            SelectorKind::All(parts) => match self.parts(parts) {
                one if one.len() == 1 => return one[0],
                several => SelectorNode::All(several),
            },
            SelectorKind::Any(parts) => match self.parts(parts) {
                one if one.len() == 1 => return one[0],
                several => SelectorNode::Any(several),
            },
            SelectorKind::Not(inner) => match self.selector(inner) {
                id if matches!(self.program.nodes[id], SelectorNode::Not(_)) => {
                    let SelectorNode::Not(twice) = self.program.nodes[id] else { return id };
                    return twice;
                }
                id => SelectorNode::Not(id),
            },
            SelectorKind::Use(index) => return self.named(*index),
            SelectorKind::Field { field, test } => self.leaf(*field, test),
            SelectorKind::Superseded { by, keep } => match self.policy.stated_superseded {
                None => SelectorNode::Superseded { by: *by, keep: *keep },
                Some(true) => SelectorNode::Everything,
                Some(false) => SelectorNode::Any(Vec::new()),
            },
            SelectorKind::Hunting(query) => self.hunting(query, selector.span),
        };
        self.node(node)
    }

    fn parts(&mut self, parts: &'p [Selector]) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = parts.iter().map(|part| self.selector(part)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn named(&mut self, index: usize) -> NodeId {
        if let Some(id) = self.named[index] {
            return id;
        }
        let policy = self.policy;
        let id = self.selector(&policy.selectors[index].selector);
        self.named[index] = Some(id);
        id
    }

    fn hunting(&mut self, query: &Hunting, span: Span) -> SelectorNode {
        let known = self.program.hunting.iter().position(|(known, _)| known == query);
        SelectorNode::Hunting(known.unwrap_or_else(|| {
            self.program.hunting.push((query.clone(), span));
            self.program.hunting.len() - 1
        }))
    }

    fn leaf(&mut self, field: Field, test: &'p Test) -> SelectorNode {
        let leaves = &mut self.program.leaves;
        let new = || {
            leaves.push(Leaf { field, test });
            leaves.len() - 1
        };
        SelectorNode::Leaf(*self.known_leaves.entry((field, key(test))).or_insert_with(new))
    }

    fn node(&mut self, node: SelectorNode) -> NodeId {
        if let Some(id) = self.known_nodes.get(&node) {
            return *id;
        }
        self.program.nodes.push(node.clone());
        self.known_nodes.insert(node, self.program.nodes.len() - 1);
        self.program.nodes.len() - 1
    }
}

/// A key that two tests share if they hold for the same devices. A list from a file is identified by its address in memory,
/// because it may be long and all its users share one list.
fn key(test: &Test) -> String {
    match test {
        Test::Text(list) if list.file.is_some() => {
            format!("file {:p} {}", list.values.as_ptr(), list.values.len())
        }
        Test::Glob(globs) => format!("glob {:?}", sources(globs.iter().map(|glob| glob.source()))),
        Test::TagMatches(globs) => format!("tag {:?}", sources(globs.iter().map(|glob| glob.source()))),
        Test::Regex(patterns) => {
            format!("regex {:?}", sources(patterns.iter().map(|pattern| pattern.as_str())))
        }
        other => format!("{other:?}"),
    }
}

fn sources<'a>(patterns: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sources: Vec<&str> = patterns.collect();
    sources.sort_unstable();
    sources
}
