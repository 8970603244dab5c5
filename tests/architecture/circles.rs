//! Circles: files of a module that need each other, directly or through others.
//!
//! A path counts for the file that defines what it names: `super::Name` is the sibling that the parent imports `Name` from. A
//! module may use the modules below it, because it consists of them, so those uses do not count.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Named, Source};

/// The files of a crate by their modules, and the files that each uses.
pub(crate) struct Uses<'s> {
    files: BTreeMap<Vec<&'s str>, (&'s Source, Vec<Named>)>,
}

impl<'s> Uses<'s> {
    /// Reads the paths of a crate's sources, except tests.
    pub(crate) fn new(sources: &[&'s Source]) -> Uses<'s> {
        let files = sources.iter().filter(|source| !source.module().is_empty() && !source.is_test());
        Uses { files: files.map(|source| (source.module(), (*source, source.paths()))).collect() }
    }

    /// Groups of files that all need each other, each sorted and joined by spaces.
    pub(crate) fn circles(&self) -> BTreeSet<String> {
        let edges = self.edges();
        let reached = |from: &str| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
            while let Some(file) = open.pop() {
                for next in edges.get(&file).into_iter().flatten() {
                    if seen.insert(next.clone()) {
                        open.push(next.clone());
                    }
                }
            }
            seen
        };
        let reach: BTreeMap<&String, BTreeSet<String>> =
            edges.keys().map(|file| (file, reached(file))).collect();
        let in_circles = reach.iter().filter(|(file, seen)| seen.contains(**file));
        let group = |(file, seen): (&&String, &BTreeSet<String>)| {
            let mutual =
                seen.iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(file.as_str())));
            mutual.cloned().collect::<Vec<String>>().join(" ")
        };
        in_circles.map(group).collect()
    }

    /// Which files need which others, within a module.
    fn edges(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, (source, named)) in &self.files {
            let others = named.iter().filter_map(|named| self.target(module, source, named));
            let others = others.filter(|other| !other.starts_with(module) && other.first() == module.first());
            edges.entry(module.join("/")).or_default().extend(others.map(|other| other.join("/")));
        }
        edges
    }

    /// The module that defines what a path names, if it is of this crate.
    fn target(&self, module: &[&'s str], source: &Source, named: &Named) -> Option<Vec<&'s str>> {
        let (mut base, rest) = match named.path[0].as_str() {
            "crate" => (Vec::new(), &named.path[1..]),
            "super" if !source.is_in_inline_module(named.at) => {
                (module.split_last()?.1.to_vec(), &named.path[1..])
            }
            "self" => (module.to_vec(), &named.path[1..]),
            // A child of this module, or a name of another crate.
            _ => (module.to_vec(), &named.path[..]),
        };
        let mut is_child = false;
        let mut rest = rest.iter();
        for part in rest.by_ref() {
            let below = |base: &[&'s str]| {
                let mut longer = base.to_vec();
                longer.push(self.name(part)?);
                self.files.contains_key(&longer).then_some(longer)
            };
            match below(&base) {
                Some(longer) => base = longer,
                None => {
                    base = self.imported(&base, part).unwrap_or(base);
                    break;
                }
            }
            is_child = true;
        }
        let is_own_name = !is_child && !matches!(named.path[0].as_str(), "crate" | "super");
        (!is_own_name && !base.is_empty()).then_some(base)
    }

    /// The module's name as one of the files has it.
    fn name(&self, part: &str) -> Option<&'s str> {
        self.files.keys().flatten().find(|name| **name == part).copied()
    }

    /// The child of a parent that the parent imports a name from.
    fn imported(&self, parent: &[&'s str], name: &str) -> Option<Vec<&'s str>> {
        let (_, named) = self.files.get(parent)?;
        let imports =
            named.iter().filter(|named| named.is_use && named.path.last().is_some_and(|last| last == name));
        imports
            .filter_map(|named| {
                let mut longer = parent.to_vec();
                longer.push(self.name(named.path.iter().find(|part| *part != "self")?)?);
                self.files.contains_key(&longer).then_some(longer)
            })
            .next()
    }
}
