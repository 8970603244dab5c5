//! The graph of selectors over a snapshot: tests first, then the scope, then what depends on it, then the rules on all cores.
//!
//! Decides nothing about what a selector means; that is `leaves`, `superseded` and `hunting`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::compile::{Node, NodeId, Program};
use super::leaves::{self, World};
use super::superseded::superseded;
use super::{HuntingResults, Selections, hunting, join};
use crate::device::Field;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Evaluates a program; every hunting query has a result.
pub(super) fn evaluate(
    policy: &Policy,
    program: &Program<'_>,
    snapshot: &Snapshot,
    results: &HuntingResults,
    now: Timestamp,
) -> Selections {
    let joined: Vec<_> = policy.lookups.iter().map(|lookup| join::join(lookup, snapshot)).collect();
    let (joins, missing): (Vec<_>, Vec<_>) = joined.into_iter().unzip();
    let world = World { policy, snapshot, joins: &joins, now };
    let (leaves, unmatched_values) = leaves::evaluate(&world, &program.leaves);
    let hunted = program
        .hunting
        .iter()
        .map(|(query, _)| hunting::matches(query, results.get(query).unwrap_or_default(), snapshot));
    let (hunted, strangers): (Vec<_>, Vec<_>) = hunted.unzip();
    let graph = Graph {
        program,
        snapshot,
        hunted: &hunted,
        scope: OnceLock::new(),
        uses: uses(program),
        leaves: leaves.into_iter().map(|set| Mutex::new(Some(Arc::new(set)))).collect(),
        shared: program.nodes.iter().map(|_| OnceLock::new()).collect(),
    };
    let in_scope = match program.scope {
        Some(scope) => owned(graph.set(scope)),
        None => DeviceSet::collect(snapshot.len(), |row| {
            snapshot.plain(Field::MergedIntoMachineId, row).is_none()
        }),
    };
    let scope = graph.scope.get_or_init(|| in_scope);
    let within_scope = |node: NodeId| {
        let mut set = owned(graph.set(node));
        set.intersect_with(scope);
        set.shrink();
        set
    };
    let rule = |node: &Option<NodeId>| node.map_or_else(|| DeviceSet::new(snapshot.len()), within_scope);
    let rules = program.rules.par_iter().map(rule).collect();
    let protections = program.protections.par_iter().map(|node| within_scope(*node)).collect();
    let first = program.first.map(within_scope);
    // A device that leaves the scope while a rollout is open can be ill all the same.
    let ill = program.ill.map(|node| owned(graph.set(node)));
    let idle = |node: &Option<NodeId>| node.is_some_and(|node| graph.set(node).is_disjoint(scope));
    let idle_selectors = (0..program.named.len()).filter(|index| idle(&program.named[*index])).collect();
    let unmatched = missing.into_iter().chain(strangers).flatten().chain(unmatched_values).collect();
    let scope = graph.scope.into_inner().expect("the scope was set before the rules");
    Selections { scope, rules, protections, first, ill, joins, unmatched, idle_selectors }
}

/// How many parents and roots ask for each node.
fn uses(program: &Program<'_>) -> Vec<u32> {
    let mut uses = vec![0u32; program.nodes.len()];
    let named = program.named.iter().flatten();
    let roots = program.rules.iter().flatten().chain(&program.protections).chain(&program.scope);
    let roots = roots.chain(&program.first).chain(&program.ill).chain(named);
    roots.for_each(|root| uses[*root] += 1);
    for node in &program.nodes {
        match node {
            Node::All(parts) | Node::Any(parts) => parts.iter().for_each(|part| uses[*part] += 1),
            Node::Not(part) => uses[*part] += 1,
            _ => {}
        }
    }
    uses
}

/// The set itself where nobody else holds it, a copy otherwise.
fn owned(set: Arc<DeviceSet>) -> DeviceSet {
    Arc::unwrap_or_clone(set)
}

struct Graph<'a, 'p> {
    program: &'a Program<'p>,
    snapshot: &'a Snapshot,
    /// The devices of each query's result.
    hunted: &'a [DeviceSet],
    /// Set before any node that reads it is asked.
    scope: OnceLock<DeviceSet>,
    uses: Vec<u32>,
    /// Taken out by the only node that uses them, so that the sets of tests go as those of rules come.
    leaves: Vec<Mutex<Option<Arc<DeviceSet>>>>,
    /// Sets of nodes that several use, made by the first that asks: so every node is computed once.
    shared: Vec<OnceLock<Arc<DeviceSet>>>,
}

impl Graph<'_, '_> {
    fn set(&self, id: NodeId) -> Arc<DeviceSet> {
        if self.uses[id] > 1 {
            return self.shared[id].get_or_init(|| self.compute(id)).clone();
        }
        self.compute(id)
    }

    fn compute(&self, id: NodeId) -> Arc<DeviceSet> {
        let length = self.snapshot.len();
        let set = match &self.program.nodes[id] {
            Node::Everything => DeviceSet::full(length),
            Node::Leaf(leaf) => {
                let mut set = self.leaves[*leaf].lock().unwrap_or_else(PoisonError::into_inner);
                return set.take().expect("a leaf has one node, and a node is computed once");
            }
            Node::Not(part) => {
                let mut set = owned(self.set(*part));
                set.complement();
                set
            }
            Node::All(parts) => self.all(parts),
            Node::Any(parts) => {
                let mut parts = parts.iter().map(|part| self.set(*part));
                let mut set = parts.next().map_or_else(|| DeviceSet::new(length), owned);
                parts.for_each(|part| set.union_with(&part));
                set
            }
            Node::Superseded { by, keep } => {
                // A scope that asks for superseded devices is a policy error: it is not known yet, and none are.
                let none = || DeviceSet::new(length);
                self.scope.get().map_or_else(none, |scope| superseded(self.snapshot, scope, *by, *keep))
            }
            Node::Hunting(query) => self.hunted[*query].clone(),
        };
        Arc::new(set)
    }

    /// Positive parts are intersected, negated ones taken out of them.
    fn all(&self, parts: &[NodeId]) -> DeviceSet {
        let negated = |part: &NodeId| match self.program.nodes[*part] {
            Node::Not(inner) if self.uses[*part] == 1 => Some(inner),
            _ => None,
        };
        let mut positive = parts.iter().filter(|part| negated(part).is_none()).map(|part| self.set(*part));
        let mut set = positive.next().map_or_else(|| DeviceSet::full(self.snapshot.len()), owned);
        positive.for_each(|part| set.intersect_with(&part));
        parts.iter().filter_map(negated).for_each(|inner| set.difference_with(&self.set(inner)));
        set
    }
}
