//! Evaluates the graph of selectors over a snapshot: tests first, then the scope, then what depends on it, then the rules on all
//! cores.
//!
//! Decides nothing about the meaning of a selector; that is `leaves`, `superseded` and `hunting`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::compile::{NodeId, Program, SelectorNode};
use super::leaves::{self, LeafInputs};
use super::mentions;
use super::superseded::superseded;
use super::{Joined, Selections, strangers};
use crate::device::Field;
use crate::inventory::{DeviceSet, Snapshot};
use crate::policy::Policy;
use crate::time::Timestamp;

/// Whether lists of which no value is a device are looked for. Devices that a test states are few, and say nothing about lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListJudgement {
    Judged,
    Stated,
}

pub(super) fn evaluate(
    policy: &Policy,
    program: &Program<'_>,
    snapshot: &Snapshot,
    sources: Joined,
    now: Timestamp,
    lists: ListJudgement,
) -> Selections {
    let Joined { joins, hunted, mut unmatched, unknown_queries, mut findings } = sources;
    let world = LeafInputs { policy, snapshot, joins: &joins, now };
    let found = leaves::evaluate(&world, &program.leaves);
    let unmatched_values = mentions::unmatched(&world, &program.leaves, &found.sets, &found.lists);
    let (unknown_lists, warnings) = match lists {
        ListJudgement::Judged => strangers::lists(&world, &program.leaves, &found.sets),
        ListJudgement::Stated => Default::default(),
    };
    findings.extend(warnings);
    let unknown = leaves::unknown(&world, &program.leaves, &found, &unknown_lists);
    let graph = Graph {
        program,
        snapshot,
        hunted: &hunted,
        scope: OnceLock::new(),
        uses: uses(program),
        open: open_nodes(program, &unknown, &unknown_queries),
        unknown,
        leaves: found.sets.into_iter().map(|set| Mutex::new(Some(Arc::new(set)))).collect(),
        shared: program.nodes.iter().map(|_| OnceLock::new()).collect(),
    };
    let in_scope = match program.scope {
        Some(scope) => owned(graph.bounds(scope).surely),
        None => DeviceSet::collect(snapshot.len(), |row| {
            snapshot.plain(Field::MergedIntoMachineId, row).is_none()
        }),
    };
    let scope = graph.scope.get_or_init(|| in_scope);
    let within_scope = |set: Arc<DeviceSet>| {
        let mut set = owned(set);
        set.intersect_with(scope);
        set.shrink();
        set
    };
    let rule = |node: &Option<NodeId>| {
        let Some(node) = *node else { return (DeviceSet::new(snapshot.len()), None) };
        if !graph.open[node] {
            return (within_scope(graph.set(node)), None);
        }
        let Bounds { surely, possibly } = graph.bounds(node);
        let mut undecided = owned(possibly);
        undecided.difference_with(&surely);
        let undecided = Some(within_scope(Arc::new(undecided))).filter(|some| !some.is_empty());
        (within_scope(surely), undecided)
    };
    let (rules, undecided): (Vec<_>, Vec<_>) = program.rules.par_iter().map(rule).unzip();
    let undecided = undecided.into_iter().enumerate();
    let undecided = undecided.filter_map(|(index, set)| Some((index as u32, set?))).collect();
    let possibly = |node: NodeId| graph.bounds(node).possibly;
    let protections = program.protections.par_iter().map(|node| within_scope(possibly(*node))).collect();
    // A change goes into the first wave only if its device is certainly one of the first.
    let first = program.first.map(|node| within_scope(graph.bounds(node).surely));
    // A change is accepted only if the entry certainly names its device.
    let accepted = |node: &Option<NodeId>| node.map(|node| within_scope(graph.bounds(node).surely));
    let accepted = program.accepted.iter().map(accepted).collect();
    // A device that leaves the scope during a rollout can still be sick, and missing evidence counts as sick.
    let health = program.ill.map(|node| graph.bounds(node));
    let (ill, surely_ill) =
        health.map(|Bounds { surely, possibly }| (owned(possibly), owned(surely))).unzip();
    let idle = |node: &Option<NodeId>| node.is_some_and(|node| possibly(node).is_disjoint(scope));
    let idle_selectors = (0..program.named.len()).filter(|index| idle(&program.named[*index])).collect();
    unmatched.extend(unmatched_values);
    let scope = graph.scope.into_inner().expect("the scope was set before the rules");
    let queries = program.hunting.iter().zip(&unknown_queries).filter(|(_, is_unknown)| **is_unknown);
    let unknown_queries = queries.map(|((query, _), _)| query.clone()).collect();
    Selections {
        scope,
        rules,
        undecided,
        protections,
        first,
        ill,
        surely_ill,
        accepted,
        joins,
        unmatched,
        idle_selectors,
        unknown_queries,
        unknown_lists: unknown_lists.into_iter().map(|unknown| (unknown.field, unknown.list)).collect(),
        findings,
    }
}

/// The nodes that depend on unknown data.
fn open_nodes(program: &Program<'_>, unknown: &[Option<Arc<DeviceSet>>], queries: &[bool]) -> Vec<bool> {
    let mut open: Vec<bool> = Vec::with_capacity(program.nodes.len());
    for node in &program.nodes {
        let is_open = match node {
            SelectorNode::Leaf(leaf) => unknown[*leaf].is_some(),
            SelectorNode::Hunting(query) => queries.get(*query).is_some_and(|is_unknown| *is_unknown),
            SelectorNode::All(parts) | SelectorNode::Any(parts) => parts.iter().any(|part| open[*part]),
            SelectorNode::Not(part) => open[*part],
            SelectorNode::Everything | SelectorNode::Superseded { .. } => false,
        };
        open.push(is_open);
    }
    open
}

/// The devices that a selector selects whatever the unknown data is, and those that it may select. One set if nothing is unknown.
#[derive(Clone)]
struct Bounds {
    surely: Arc<DeviceSet>,
    possibly: Arc<DeviceSet>,
}

impl Bounds {
    fn same(set: Arc<DeviceSet>) -> Bounds {
        Bounds { surely: set.clone(), possibly: set }
    }
}

/// Number of parents and roots that use each node.
fn uses(program: &Program<'_>) -> Vec<u32> {
    let mut uses = vec![0u32; program.nodes.len()];
    let named = program.named.iter().flatten();
    let roots = program.rules.iter().flatten().chain(&program.protections).chain(&program.scope);
    let roots =
        roots.chain(&program.first).chain(&program.ill).chain(program.accepted.iter().flatten()).chain(named);
    roots.for_each(|root| uses[*root] += 1);
    for node in &program.nodes {
        match node {
            SelectorNode::All(parts) | SelectorNode::Any(parts) => {
                parts.iter().for_each(|part| uses[*part] += 1)
            }
            SelectorNode::Not(part) => uses[*part] += 1,
            _ => {}
        }
    }
    uses
}

/// The set itself if it has no other holder, otherwise a copy.
fn owned(set: Arc<DeviceSet>) -> DeviceSet {
    Arc::unwrap_or_clone(set)
}

struct Graph<'a, 'p> {
    program: &'a Program<'p>,
    snapshot: &'a Snapshot,
    /// The devices in each query's result.
    hunted: &'a [DeviceSet],
    /// Set before any node that reads it is evaluated.
    scope: OnceLock<DeviceSet>,
    uses: Vec<u32>,
    /// By node: whether it depends on unknown data.
    open: Vec<bool>,
    /// By leaf: the devices on which unknown data leaves the test undecided.
    unknown: Vec<Option<Arc<DeviceSet>>>,
    /// Taken by the only node that uses them, so that memory of tests is freed while that of rules grows.
    leaves: Vec<Mutex<Option<Arc<DeviceSet>>>>,
    /// Sets of nodes with several users, made by the first of them, so that every node is evaluated once.
    shared: Vec<OnceLock<Bounds>>,
}

impl Graph<'_, '_> {
    /// The devices of a node that depends on nothing unknown.
    fn set(&self, id: NodeId) -> Arc<DeviceSet> {
        if self.uses[id] > 1 {
            return self.shared[id].get_or_init(|| Bounds::same(self.compute(id))).surely.clone();
        }
        self.compute(id)
    }

    fn bounds(&self, id: NodeId) -> Bounds {
        if !self.open[id] {
            return Bounds::same(self.set(id));
        }
        if self.uses[id] > 1 {
            return self.shared[id].get_or_init(|| self.compute_bounds(id)).clone();
        }
        self.compute_bounds(id)
    }

    fn compute_bounds(&self, id: NodeId) -> Bounds {
        let length = self.snapshot.len();
        let joined =
            |parts: &[NodeId], start: &dyn Fn() -> DeviceSet, join: fn(&mut DeviceSet, &DeviceSet)| {
                let (mut surely, mut possibly) = (start(), start());
                for part in parts {
                    let bounds = self.bounds(*part);
                    join(&mut surely, &bounds.surely);
                    join(&mut possibly, &bounds.possibly);
                }
                (surely, possibly)
            };
        let (surely, possibly) = match &self.program.nodes[id] {
            SelectorNode::Leaf(leaf) => {
                let mut surely = owned(self.compute(id));
                let mut possibly = surely.clone();
                if let Some(unknown) = &self.unknown[*leaf] {
                    surely.difference_with(unknown);
                    possibly.union_with(unknown);
                }
                (surely, possibly)
            }
            SelectorNode::Not(part) => {
                let Bounds { surely, possibly } = self.bounds(*part);
                let (mut surely, mut possibly) = (owned(possibly), owned(surely));
                surely.complement();
                possibly.complement();
                (surely, possibly)
            }
            SelectorNode::All(parts) => joined(parts, &|| DeviceSet::full(length), DeviceSet::intersect_with),
            SelectorNode::Any(parts) => joined(parts, &|| DeviceSet::new(length), DeviceSet::union_with),
            // Only a result that matches no device is unknown: it may select none, or any.
            SelectorNode::Hunting(_) => (DeviceSet::new(length), DeviceSet::full(length)),
            SelectorNode::Everything | SelectorNode::Superseded { .. } => {
                return Bounds::same(self.compute(id));
            }
        };
        Bounds { surely: Arc::new(surely), possibly: Arc::new(possibly) }
    }

    fn compute(&self, id: NodeId) -> Arc<DeviceSet> {
        let length = self.snapshot.len();
        let set = match &self.program.nodes[id] {
            SelectorNode::Everything => DeviceSet::full(length),
            SelectorNode::Leaf(leaf) => {
                let mut set = self.leaves[*leaf].lock().unwrap_or_else(PoisonError::into_inner);
                return set.take().expect("a leaf has one node, and a node is computed once");
            }
            SelectorNode::Not(part) => {
                let mut set = owned(self.set(*part));
                set.complement();
                set
            }
            SelectorNode::All(parts) => self.all(parts),
            SelectorNode::Any(parts) => {
                let mut parts = parts.iter().map(|part| self.set(*part));
                let mut set = parts.next().map_or_else(|| DeviceSet::new(length), owned);
                parts.for_each(|part| set.union_with(&part));
                set
            }
            SelectorNode::Superseded { by, keep } => {
                // A scope with `superseded` is a policy error: the scope is not known yet, so no device is superseded.
                let none = || DeviceSet::new(length);
                self.scope.get().map_or_else(none, |scope| superseded(self.snapshot, scope, *by, *keep))
            }
            SelectorNode::Hunting(query) => self.hunted[*query].clone(),
        };
        Arc::new(set)
    }

    /// Intersects the positive parts, and subtracts the negated ones.
    fn all(&self, parts: &[NodeId]) -> DeviceSet {
        let negated = |part: &NodeId| match self.program.nodes[*part] {
            SelectorNode::Not(inner) if self.uses[*part] == 1 => Some(inner),
            _ => None,
        };
        let mut positive = parts.iter().filter(|part| negated(part).is_none()).map(|part| self.set(*part));
        let mut set = positive.next().map_or_else(|| DeviceSet::full(self.snapshot.len()), owned);
        positive.for_each(|part| set.intersect_with(&part));
        parts.iter().filter_map(negated).for_each(|inner| set.difference_with(&self.set(inner)));
        set
    }
}
