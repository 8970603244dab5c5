//! Finds the prefixes of many patterns in one walk along a text.
//!
//! Suffixes are prefixes of the text read backwards.

/// A tree of bytes with items at its nodes.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<TrieNode>,
}

#[derive(Debug, Default)]
struct TrieNode {
    /// Sorted by byte.
    children: Vec<(u8, u32)>,
    items: Vec<u32>,
}

impl Default for Trie {
    fn default() -> Trie {
        Trie { nodes: vec![TrieNode::default()] }
    }
}

impl Trie {
    /// Adds an item under a key.
    pub(super) fn insert(&mut self, key: impl Iterator<Item = u8>, item: u32) {
        let mut at = 0;
        for byte in key {
            let next = self.nodes.len() as u32;
            at = match self.nodes[at].children.binary_search_by_key(&byte, |(byte, _)| *byte) {
                Ok(place) => self.nodes[at].children[place].1,
                Err(place) => {
                    self.nodes[at].children.insert(place, (byte, next));
                    self.nodes.push(TrieNode::default());
                    next
                }
            } as usize;
        }
        self.nodes[at].items.push(item);
    }

    /// Visits the items of every key that the bytes start with.
    pub(super) fn walk(&self, bytes: impl Iterator<Item = u8>, mut visit: impl FnMut(u32)) {
        let mut node = &self.nodes[0];
        node.items.iter().for_each(|item| visit(*item));
        for byte in bytes {
            let Ok(place) = node.children.binary_search_by_key(&byte, |(byte, _)| *byte) else { return };
            node = &self.nodes[node.children[place].1 as usize];
            node.items.iter().for_each(|item| visit(*item));
        }
    }
}
