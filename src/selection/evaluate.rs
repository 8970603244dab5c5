//! The graph of selectors over a snapshot: tests first, then the scope, then what depends on it, then the rules on all cores.
//!
//! Decides nothing about what a selector means; that is `leaves`, `superseded` and `hunting`.

use std::borrow::Cow;

use rayon::prelude::*;

use super::compile::{Node, NodeId, Program};
use super::leaves::{self, World};
use super::superseded::superseded;
use super::{HuntingResults, Selections, join};
use crate::device::Field;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Evaluates a program; every hunting query has a result.
pub(super) fn evaluate(
    policy: &Policy,
    program: &Program<'_>,
    snapshot: &Snapshot,
    hunting: &HuntingResults,
    now: Timestamp,
) -> Selections {
    let joined: Vec<_> = policy.lookups.iter().map(|lookup| join::join(lookup, snapshot)).collect();
    let (joins, missing): (Vec<_>, Vec<_>) = joined.into_iter().unzip();
    let world = World { policy, snapshot, joins: &joins, now };
    let (leaves, unmatched_values) = leaves::evaluate(&world, &program.leaves);
    let mut graph = Graph { program, length: snapshot.len(), leaves, known: vec![None; program.nodes.len()] };
    for (id, node) in program.nodes.iter().enumerate() {
        if let Node::Hunting(query) = node {
            let ids = hunting.get(&program.hunting[*query].0).unwrap_or_default();
            let rows = ids.iter().filter_map(|id| snapshot.find(id));
            graph.known[id] = Some(DeviceSet::of(snapshot.len(), rows));
        }
    }
    let scope = match program.scope {
        Some(scope) => graph.set(scope).into_owned(),
        None => DeviceSet::collect(snapshot.len(), |row| {
            snapshot.plain(Field::MergedIntoMachineId, row).is_none()
        }),
    };
    graph.settle(snapshot, &scope);
    let within_scope = |node: NodeId| {
        let mut set = graph.set(node).into_owned();
        set.intersect_with(&scope);
        set
    };
    let rule = |node: &Option<NodeId>| node.map_or_else(|| DeviceSet::new(snapshot.len()), within_scope);
    let rules = program.rules.par_iter().map(rule).collect();
    let protections = program.protections.par_iter().map(|node| within_scope(*node)).collect();
    let unmatched = missing.into_iter().flatten().chain(unmatched_values).collect();
    Selections { scope, rules, protections, joins, unmatched }
}

struct Graph<'a, 'p> {
    program: &'a Program<'p>,
    length: usize,
    leaves: Vec<DeviceSet>,
    /// Sets of nodes that are known in advance.
    known: Vec<Option<DeviceSet>>,
}

impl Graph<'_, '_> {
    /// Evaluates in advance what depends on the scope, and what more than one selector uses.
    fn settle(&mut self, snapshot: &Snapshot, scope: &DeviceSet) {
        let mut uses = vec![0u32; self.program.nodes.len()];
        let roots = self.program.rules.iter().flatten().chain(&self.program.protections);
        roots.for_each(|root| uses[*root] += 1);
        for node in &self.program.nodes {
            match node {
                Node::All(parts) | Node::Any(parts) => parts.iter().for_each(|part| uses[*part] += 1),
                Node::Not(part) => uses[*part] += 1,
                _ => {}
            }
        }
        for (id, node) in self.program.nodes.iter().enumerate() {
            let set = match node {
                Node::Superseded { by, keep } => superseded(snapshot, scope, *by, *keep),
                Node::All(_) | Node::Any(_) if uses[id] > 1 && self.known[id].is_none() => {
                    self.set(id).into_owned()
                }
                _ => continue,
            };
            self.known[id] = Some(set);
        }
    }

    fn set(&self, id: NodeId) -> Cow<'_, DeviceSet> {
        if let Some(set) = &self.known[id] {
            return Cow::Borrowed(set);
        }
        match &self.program.nodes[id] {
            Node::Everything => Cow::Owned(DeviceSet::full(self.length)),
            Node::Leaf(leaf) => Cow::Borrowed(&self.leaves[*leaf]),
            Node::Not(part) => {
                let mut set = self.set(*part).into_owned();
                set.complement();
                Cow::Owned(set)
            }
            Node::All(parts) => Cow::Owned(self.all(parts)),
            Node::Any(parts) => {
                let mut parts = parts.iter().map(|part| self.set(*part));
                let mut set = parts.next().map_or_else(|| DeviceSet::new(self.length), Cow::into_owned);
                parts.for_each(|part| set.union_with(&part));
                Cow::Owned(set)
            }
            // Both are known before anything is asked; a scope cannot read them.
            Node::Superseded { .. } | Node::Hunting(_) => Cow::Owned(DeviceSet::new(self.length)),
        }
    }

    /// Positive parts are intersected, negated ones taken out of them.
    fn all(&self, parts: &[NodeId]) -> DeviceSet {
        let negated = |part: &NodeId| match self.program.nodes[*part] {
            Node::Not(inner) if self.known[*part].is_none() => Some(inner),
            _ => None,
        };
        let mut positive = parts.iter().filter(|part| negated(part).is_none()).map(|part| self.set(*part));
        let mut set = positive.next().map_or_else(|| DeviceSet::full(self.length), Cow::into_owned);
        positive.for_each(|part| set.intersect_with(&part));
        parts.iter().filter_map(negated).for_each(|inner| set.difference_with(&self.set(inner)));
        set
    }
}
