//! Blocks of positions that several sequences begin with, found by the tokens in them.
//!
//! Keys and values of a block depend on every token up to its end and on the adapter, so a block is found by both:
//! a path of full blocks from the root of its adapter. (They depend on the model and on the cache's type as well;
//! a trie belongs to one cache of one model.)

use std::collections::HashMap;

use crate::adapter::AdapterId;

/// The adapter under which a block was computed.
type Root = Option<AdapterId>;
type NodeId = usize;

/// Full blocks, each below the one before it.
#[derive(Debug, Default)]
pub(crate) struct PrefixTrie {
    /// A node that was removed leaves its place to the next one.
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeId>,
    roots: HashMap<Root, Children>,
    /// Counts uses, to tell which node was used last.
    clock: u64,
}

type Children = HashMap<Box<[u32]>, NodeId>;

#[derive(Debug)]
struct Node {
    root: Root,
    parent: Option<NodeId>,
    tokens: Box<[u32]>,
    block: usize,
    children: Children,
    last_use: u64,
}

impl PrefixTrie {
    /// The blocks of the longest known path along `tokens`, which come in blocks of `block_len`.
    pub fn find(&mut self, root: Root, tokens: &[u32], block_len: usize) -> Vec<usize> {
        let (mut blocks, mut parent) = (Vec::new(), None);
        for tokens in tokens.chunks_exact(block_len) {
            let Some(node) = self.child(root, parent, tokens) else { break };
            blocks.push(self.touch(node));
            parent = Some(node);
        }
        blocks
    }

    /// Adds `blocks` as the path along `tokens`, block by block, where it is not known yet. Returns the blocks of
    /// the path: a block that another sequence added before stays the one.
    pub fn insert(&mut self, root: Root, tokens: &[u32], block_len: usize, blocks: &[usize]) -> Vec<usize> {
        let mut parent = None;
        let path = tokens.chunks_exact(block_len).zip(blocks).map(|(tokens, block)| {
            let node =
                self.child(root, parent, tokens).unwrap_or_else(|| self.add(root, parent, tokens, *block));
            parent = Some(node);
            self.touch(node)
        });
        path.collect()
    }

    /// Removes the block that was unused for longest, of those that no other follows and that are `idle`.
    pub fn evict(&mut self, idle: impl Fn(usize) -> bool) -> Option<usize> {
        let nodes = self.nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.as_ref()?)));
        let leaves = nodes.filter(|(_, node)| node.children.is_empty() && idle(node.block));
        let (id, _) = leaves.min_by_key(|(_, node)| node.last_use)?;
        Some(self.remove(id))
    }

    /// Removes everything that was computed under `root`; returns its blocks.
    pub fn remove_root(&mut self, root: Root) -> Vec<usize> {
        let below = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.root == root);
        let ids: Vec<NodeId> = (0..self.nodes.len()).filter(|id| below(&self.nodes[*id])).collect();
        self.roots.remove(&root);
        self.vacant.extend(&ids);
        ids.into_iter().filter_map(|id| self.nodes[id].take()).map(|node| node.block).collect()
    }

    /// All blocks.
    #[cfg(test)]
    pub fn blocks(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().flatten().map(|node| node.block)
    }

    fn children(&mut self, root: Root, parent: Option<NodeId>) -> &mut Children {
        match parent.and_then(|parent| self.nodes[parent].as_mut()) {
            Some(node) => &mut node.children,
            None => self.roots.entry(root).or_default(),
        }
    }

    fn child(&mut self, root: Root, parent: Option<NodeId>, tokens: &[u32]) -> Option<NodeId> {
        self.children(root, parent).get(tokens).copied()
    }

    fn add(&mut self, root: Root, parent: Option<NodeId>, tokens: &[u32], block: usize) -> NodeId {
        let tokens: Box<[u32]> = tokens.into();
        let children = Children::new();
        let node = Node { root, parent, tokens: tokens.clone(), block, children, last_use: 0 };
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[id] = Some(node);
        self.children(root, parent).insert(tokens, id);
        id
    }

    fn touch(&mut self, id: NodeId) -> usize {
        self.clock += 1;
        let node = self.nodes[id].as_mut().expect("a node of the trie");
        node.last_use = self.clock;
        node.block
    }

    fn remove(&mut self, id: NodeId) -> usize {
        let node = self.nodes[id].take().expect("a node of the trie");
        self.children(node.root, node.parent).remove(&node.tokens);
        self.vacant.push(id);
        node.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 2;

    #[test]
    fn the_longest_path_of_full_blocks_is_found() {
        let mut trie = PrefixTrie::default();
        assert_eq!(trie.insert(None, &[1, 2, 3, 4, 5], BLOCK, &[7, 8]), [7, 8]);
        assert_eq!(trie.find(None, &[1, 2, 3, 4, 9, 9], BLOCK), [7, 8]);
        assert_eq!(trie.find(None, &[1, 2, 3], BLOCK), [7]);
        assert_eq!(trie.find(None, &[1, 2, 9, 4], BLOCK), [7]);
        assert_eq!(trie.find(None, &[2, 2, 3, 4], BLOCK), [0; 0]);
        assert_eq!(trie.find(None, &[3, 4], BLOCK), [0; 0], "a block counts only after those before it");
    }

    #[test]
    fn adapters_share_nothing() {
        let mut trie = PrefixTrie::default();
        let (a, b) = (Some(AdapterId(1)), Some(AdapterId(2)));
        trie.insert(a, &[1, 2], BLOCK, &[5]);
        assert_eq!(trie.find(None, &[1, 2], BLOCK), [0; 0]);
        assert_eq!(trie.find(b, &[1, 2], BLOCK), [0; 0]);
        trie.insert(b, &[1, 2, 3, 4], BLOCK, &[6, 7]);
        let mut removed = trie.remove_root(b);
        removed.sort_unstable();
        assert_eq!((removed, trie.find(b, &[1, 2], BLOCK)), (vec![6, 7], vec![]));
        assert_eq!(trie.find(a, &[1, 2], BLOCK), [5]);
    }

    #[test]
    fn a_block_that_is_known_stays_the_one() {
        let mut trie = PrefixTrie::default();
        trie.insert(None, &[1, 2], BLOCK, &[5]);
        assert_eq!(trie.insert(None, &[1, 2, 3, 4], BLOCK, &[6, 7]), [5, 7]);
        let mut blocks: Vec<_> = trie.blocks().collect();
        blocks.sort_unstable();
        assert_eq!(blocks, [5, 7]);
    }

    #[test]
    fn the_leaf_that_was_unused_for_longest_goes_first() {
        let mut trie = PrefixTrie::default();
        trie.insert(None, &[1, 2, 3, 4], BLOCK, &[1, 2]);
        trie.insert(None, &[1, 2, 5, 6], BLOCK, &[9, 3]);
        trie.insert(None, &[8, 8], BLOCK, &[4]);
        trie.find(None, &[1, 2, 3, 4], BLOCK);
        assert_eq!(trie.evict(|block| block != 3), Some(4), "3 is in use");
        assert_eq!(trie.evict(|_| true), Some(3));
        assert_eq!(trie.evict(|_| true), Some(2));
        assert_eq!(trie.evict(|_| true), Some(1), "its leaves are gone");
        assert_eq!(trie.evict(|_| true), None);
        assert_eq!(trie.insert(None, &[1, 2], BLOCK, &[6]), [6], "places are used again");
    }
}
