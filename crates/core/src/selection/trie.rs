//! Finds the prefixes of many patterns in one walk along a text, or the suffixes in one walk back from its end.
//!
//! Knows bytes and numbers, not what they stand for.

use std::ops::Range;

/// The end of a text that keys are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TextEnd {
    #[default]
    Start,
    Finish,
}

/// A tree of bytes with items at its nodes. Bytes that all keys below a node have in common are one label, so that hundreds of
/// suffixes that end in one domain compare it once.
#[derive(Debug, Default)]
pub(super) struct Trie {
    /// Keys with their items, until they are compiled.
    keys: Vec<(Vec<u8>, u32)>,
    end: TextEnd,
    nodes: Vec<TrieNode>,
    /// As they stand in texts, whatever the end.
    labels: Vec<u8>,
    items: Vec<u32>,
}

#[derive(Debug)]
struct TrieNode {
    label: Range<u32>,
    items: Range<u32>,
    children: ByteSet,
    /// The node of the least byte; the others follow in the order of theirs.
    first_child: u32,
}

/// Which bytes go on, and which place each has among them.
#[derive(Debug, Default)]
struct ByteSet {
    bits: [u64; 4],
    /// How many stand in the words before.
    before: [u8; 4],
}

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.bits[usize::from(byte / 64)] |= 1 << (byte % 64);
        for word in usize::from(byte / 64) + 1..4 {
            self.before[word] += 1;
        }
    }

    fn place(&self, byte: u8) -> Option<u32> {
        let (word, bit) = (usize::from(byte / 64), 1u64 << (byte % 64));
        let below = (self.bits[word] & (bit - 1)).count_ones();
        (self.bits[word] & bit != 0).then(|| u32::from(self.before[word]) + below)
    }
}

impl Trie {
    /// Adds an item under a key.
    pub(super) fn insert(&mut self, key: &str, item: u32) {
        self.keys.push((key.as_bytes().to_vec(), item));
    }

    /// Builds the tree of all keys, which are compared with this end of texts.
    pub(super) fn compile(&mut self, end: TextEnd) {
        let mut keys = std::mem::take(&mut self.keys);
        self.end = end;
        if end == TextEnd::Finish {
            keys.iter_mut().for_each(|(key, _)| key.reverse());
        }
        // Stable: items of one key stay in the order in which they came.
        keys.sort_by(|(one, _), (other, _)| one.cmp(other));
        // Each node takes a run of keys, which have this many bytes in common on the way to it.
        let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
        if !keys.is_empty() {
            runs.push((0..keys.len(), 0));
        }
        while let Some((run, depth)) = runs.get(self.nodes.len()).cloned() {
            let node = self.node(&keys[run.clone()], depth, runs.len());
            let depth = depth + node.label.len();
            let mut start = run.start + node.items.len();
            for keys in keys[start..run.end].chunk_by(|(one, _), (other, _)| one[depth] == other[depth]) {
                runs.push((start..start + keys.len(), depth));
                start += keys.len();
            }
            self.nodes.push(node);
        }
    }

    /// The node of a run of sorted keys, whose first child will have this number.
    fn node(&mut self, keys: &[(Vec<u8>, u32)], depth: usize, first_child: usize) -> TrieNode {
        let (first, last) = (&keys[0].0[depth..], &keys[keys.len() - 1].0[depth..]);
        let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
        let (label, items) = (self.labels.len() as u32, self.items.len() as u32);
        match self.end {
            TextEnd::Start => self.labels.extend_from_slice(&first[..common]),
            TextEnd::Finish => self.labels.extend(first[..common].iter().rev()),
        }
        let mut children = ByteSet::default();
        let mut known = None;
        for (key, item) in keys {
            match key.get(depth + common) {
                None => self.items.push(*item),
                Some(byte) if known != Some(*byte) => {
                    children.insert(*byte);
                    known = Some(*byte);
                }
                Some(_) => {}
            }
        }
        let (labels_end, items_end) = (self.labels.len() as u32, self.items.len() as u32);
        TrieNode {
            label: label..labels_end,
            items: items..items_end,
            children,
            first_child: first_child as u32,
        }
    }

    /// Visits the items of every key that the text starts or ends with.
    pub(super) fn walk(&self, text: &str, mut visit: impl FnMut(u32)) {
        let mut rest = text.as_bytes();
        let Some(mut node) = self.nodes.first() else { return };
        loop {
            let label = &self.labels[node.label.start as usize..node.label.end as usize];
            let (after, next) = match self.end {
                TextEnd::Start => {
                    let after = rest.strip_prefix(label);
                    (after, after.and_then(|after| after.first()))
                }
                TextEnd::Finish => {
                    let after = rest.strip_suffix(label);
                    (after, after.and_then(|after| after.last()))
                }
            };
            let Some(after) = after else { return };
            self.items[node.items.start as usize..node.items.end as usize]
                .iter()
                .for_each(|item| visit(*item));
            let Some(place) = next.and_then(|byte| node.children.place(*byte)) else { return };
            node = &self.nodes[(node.first_child + place) as usize];
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_walk_finds_what_comparing_key_by_key_finds(
            keys in prop::collection::vec("[ab\u{e9}\u{fc}]{0,5}", 0..20),
            texts in prop::collection::vec("[ab\u{e9}\u{fc}]{0,8}", 1..8),
        ) {
            let tree = |end| {
                let mut tree = Trie::default();
                keys.iter().zip(0..).for_each(|(key, item)| tree.insert(key, item));
                tree.compile(end);
                tree
            };
            let (starts, finishes) = (tree(TextEnd::Start), tree(TextEnd::Finish));
            for text in &texts {
                let found = |tree: &Trie| {
                    let mut found = Vec::new();
                    tree.walk(text, |item| found.push(item));
                    found.sort_unstable();
                    found
                };
                let numbers = |holds: &dyn Fn(&str) -> bool| -> Vec<u32> {
                    keys.iter().zip(0..).filter(|(key, _)| holds(key)).map(|(_, item)| item).collect()
                };
                prop_assert_eq!(found(&starts), numbers(&|key| text.starts_with(key)));
                prop_assert_eq!(found(&finishes), numbers(&|key| text.ends_with(key)));
            }
        }
    }
}
