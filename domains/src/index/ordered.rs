//! The ordered index: keys in order and the locations of their records, in a B-tree of packed nodes.
//!
//! A node is one allocation of up to 2 KiB (`node.rs`): what its keys begin with once, the rests of the keys one behind the
//! other, 9 bytes for each beside. Memory is reserved an eighth at a time, so a half-filled node takes half the memory.
//!
//! Contract: keys have 0 to 2048 bytes and compare as byte strings; a call works on a few nodes on one way from the root;
//! memory follows the pairs down as well as up, but for 36 bytes of each node that once was.
//!
//! Invariants: all leaves are equally deep; what lies below the separator of a child in its parent is not in that child
//! (but in the first, which has none); no node but the root is empty.

mod node;

use crate::index::Loc;
use crate::index::chunks::Chunks;
use crate::seam::Direction;
use core::ops::{Bound, ControlFlow};
use node::{NODE_BYTES_MAX, Node};
use segments::limits::KEY_BYTES_MAX;
use smallvec::SmallVec;

/// Nodes of a chunk: 8 KiB of their headers.
const CHUNK: usize = 256;
/// Below this a node is joined with a neighbour when both together leave a quarter free.
const NODE_BYTES_MIN: usize = NODE_BYTES_MAX / 4;
/// Levels that a way holds without an allocation: 100 to the sixth are enough keys.
const LEVELS: usize = 6;

/// From the root to a leaf: the inner nodes, and which child was taken.
type Way = SmallVec<[(u32, usize); LEVELS]>;

/// The index.
///
/// ```
/// use domains::index::{Loc, OrderedIndex};
/// let mut index = OrderedIndex::new();
/// assert_eq!(index.insert(b"a", Loc::new(1)), None);
/// assert_eq!(index.insert(b"a", Loc::new(2)), Some(Loc::new(1)));
/// assert_eq!(index.get(b"a"), Some(Loc::new(2)));
/// assert_eq!(index.remove(b"a"), Some(Loc::new(2)));
/// ```
#[derive(Debug)]
pub struct OrderedIndex {
    nodes: Chunks<Node, CHUNK>,
    /// Nodes to use again.
    vacant: Vec<u32>,
    root: u32,
    len: usize,
    /// Memory of all nodes' bytes.
    node_bytes: usize,
}

impl Default for OrderedIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl OrderedIndex {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        let mut nodes = Chunks::new();
        nodes.push(Node::default());
        Self { nodes, vacant: Vec::new(), root: 0, len: 0, node_bytes: 0 }
    }

    /// Keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All its memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.node_bytes + self.nodes.memory_bytes() + self.vacant.capacity() * size_of::<u32>()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Takes the index apart, a node a call: appends that node's locations to `out`, until it says that none is left. For an index
    /// that nobody asks any more.
    pub fn dismantle(&mut self, out: &mut Vec<Loc>) -> bool {
        let Some(node) = self.nodes.pop() else { return false };
        if !node.is_inner() {
            out.extend((0..node.len()).map(|at| Loc::new(node.number(at))));
        }
        true
    }

    /// The location of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Loc> {
        let mut node = self.node(self.root);
        while node.is_inner() {
            node = self.node(child(node, node.child_of(key)));
        }
        node.search(key).ok().map(|at| Loc::new(node.number(at)))
    }

    /// Gives a key a location; returns the one it had.
    ///
    /// # Panics
    /// If the key is longer than keys may be: it was checked when its commit set was made.
    pub fn insert(&mut self, key: &[u8], loc: Loc) -> Option<Loc> {
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes", key.len());
        let (mut way, leaf) = self.descend(key);
        match self.node(leaf).search(key) {
            Ok(at) => {
                let node = self.nodes.get_mut(leaf as usize);
                let old = Loc::new(node.number(at));
                node.set_number(at, loc.to_bits());
                Some(old)
            }
            Err(at) => {
                self.put(&mut way, leaf, at, key, loc);
                self.len += 1;
                None
            }
        }
    }

    /// Puts `new` in the place of `old`, if that is the key's location; says whether it was.
    pub fn replace(&mut self, key: &[u8], old: Loc, new: Loc) -> bool {
        let mut number = self.root;
        while self.node(number).is_inner() {
            let node = self.node(number);
            number = child(node, node.child_of(key));
        }
        let node = self.nodes.get_mut(number as usize);
        let Ok(at) = node.search(key) else { return false };
        let is_old = node.number(at) == old.to_bits();
        if is_old {
            node.set_number(at, new.to_bits());
        }
        is_old
    }

    /// Takes a key out; returns its location.
    pub fn remove(&mut self, key: &[u8]) -> Option<Loc> {
        let (way, leaf) = self.descend(key);
        let at = self.node(leaf).search(key).ok()?;
        let loc = Loc::new(self.node(leaf).number(at));
        self.change(leaf, |node| node.remove(at));
        self.len -= 1;
        self.tend(way, leaf);
        Some(loc)
    }

    /// Appends the pairs from `from` on in key order, at most `pairs_max`; returns whether there are more.
    pub fn next_batch(&self, from: Bound<&[u8]>, pairs_max: usize, out: &mut Vec<(Vec<u8>, Loc)>) -> bool {
        self.batch(from, Direction::Next, pairs_max, out)
    }

    /// Appends the pairs from `from` on down to lesser keys, at most `pairs_max`; returns whether there are more.
    pub fn previous_batch(&self, from: Bound<&[u8]>, pairs_max: usize, out: &mut Vec<(Vec<u8>, Loc)>) -> bool {
        self.batch(from, Direction::Previous, pairs_max, out)
    }

    /// Shows `visit` the pairs from `from` on, in the order of `direction`, until it breaks. Says whether it did. One
    /// allocation, for the key.
    pub fn for_each_from(
        &self,
        from: Bound<&[u8]>,
        direction: Direction,
        mut visit: impl FnMut(&[u8], Loc) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut way, mut leaf) = self.end_of(from, direction);
        let node = self.node(leaf);
        let bound = match from {
            Bound::Unbounded if direction == Direction::Next => 0,
            Bound::Unbounded => node.len(),
            Bound::Included(key) => {
                node.search(key).map_or_else(|at| at, |at| at + usize::from(direction == Direction::Previous))
            }
            Bound::Excluded(key) => {
                node.search(key).map_or_else(|at| at, |at| at + usize::from(direction == Direction::Next))
            }
        };
        let (mut start, mut end) = if direction == Direction::Next { (bound, node.len()) } else { (0, bound) };
        let mut key = Vec::new();
        loop {
            let node = self.node(leaf);
            key.clear();
            key.extend_from_slice(node.prefix());
            for step in 0..end - start {
                let at = if direction == Direction::Next { start + step } else { end - 1 - step };
                key.truncate(node.prefix().len());
                key.extend_from_slice(node.rest(at));
                visit(&key, Loc::new(node.number(at)))?;
            }
            let Some(next) = self.neighbour(&mut way, direction) else { return ControlFlow::Continue(()) };
            leaf = next;
            (start, end) = (0, self.node(leaf).len());
        }
    }

    fn batch(&self, from: Bound<&[u8]>, direction: Direction, pairs_max: usize, out: &mut Vec<(Vec<u8>, Loc)>) -> bool {
        let wanted = out.len() + pairs_max.max(1);
        let broke = self.for_each_from(from, direction, |key, loc| {
            if out.len() == wanted {
                return ControlFlow::Break(());
            }
            out.push((key.to_vec(), loc));
            ControlFlow::Continue(())
        });
        broke.is_break()
    }

    fn node(&self, number: u32) -> &Node {
        self.nodes.get(number as usize)
    }

    /// The way to the leaf of a key.
    fn descend(&self, key: &[u8]) -> (Way, u32) {
        let mut way = Way::new();
        let leaf = self.descend_by(self.root, &mut way, |node| node.child_of(key));
        (way, leaf)
    }

    /// The way to the leaf in which an iteration starts.
    fn end_of(&self, from: Bound<&[u8]>, direction: Direction) -> (Way, u32) {
        let mut way = Way::new();
        let leaf = match from {
            Bound::Included(key) | Bound::Excluded(key) => {
                self.descend_by(self.root, &mut way, |node| node.child_of(key))
            }
            Bound::Unbounded => self.descend_by(self.root, &mut way, |node| first_child(node, direction)),
        };
        (way, leaf)
    }

    fn descend_by(&self, from: u32, way: &mut Way, choose: impl Fn(&Node) -> usize) -> u32 {
        let mut number = from;
        while self.node(number).is_inner() {
            let node = self.node(number);
            let at = choose(node);
            way.push((number, at));
            number = child(node, at);
        }
        number
    }

    /// The leaf beside the one that the way leads to.
    fn neighbour(&self, way: &mut Way, direction: Direction) -> Option<u32> {
        while let Some((number, at)) = way.pop() {
            let node = self.node(number);
            let beside = match direction {
                Direction::Next => Some(at + 1).filter(|&at| at < node.len()),
                Direction::Previous => at.checked_sub(1),
            };
            if let Some(beside) = beside {
                way.push((number, beside));
                return Some(self.descend_by(child(node, beside), way, |node| first_child(node, direction)));
            }
        }
        None
    }

    /// Changes a node and keeps the account of memory.
    fn change<R>(&mut self, number: u32, change: impl FnOnce(&mut Node) -> R) -> R {
        let node = self.nodes.get_mut(number as usize);
        let before = node.memory_bytes();
        let result = change(node);
        let after = node.memory_bytes();
        self.node_bytes = self.node_bytes - before + after;
        result
    }

    /// Puts a pair into a leaf; where there is no room, splits nodes up the way.
    fn put(&mut self, way: &mut Way, leaf: u32, at: usize, key: &[u8], loc: Loc) {
        if self.change(leaf, |node| node.insert(at, key, loc.to_bits())) {
            return;
        }
        let (mut separator, upper) = self.change(leaf, |node| node.split(at, key, loc.to_bits()));
        let mut upper = self.keep(upper);
        while let Some((parent, at)) = way.pop() {
            if self.change(parent, |node| node.insert(at + 1, &separator, u64::from(upper))) {
                return;
            }
            let (next, node) = self.change(parent, |node| node.split(at + 1, &separator, u64::from(upper)));
            separator = next;
            upper = self.keep(node);
        }
        let children = [(Vec::new(), u64::from(self.root)), (separator, u64::from(upper))];
        self.root = self.keep(Node::build(true, &children));
    }

    fn keep(&mut self, node: Node) -> u32 {
        self.node_bytes += node.memory_bytes();
        if let Some(number) = self.vacant.pop() {
            *self.nodes.get_mut(number as usize) = node;
            return number;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("2^32 nodes are 2^38 pairs")
    }

    fn drop_node(&mut self, number: u32) {
        self.change(number, |node| *node = Node::default());
        self.vacant.push(number);
    }

    /// Joins the nodes of a way with their neighbours from below, as far as they have become small.
    fn tend(&mut self, mut way: Way, leaf: u32) {
        let mut number = leaf;
        while let Some((parent, at)) = way.pop() {
            if self.node(number).bytes() >= NODE_BYTES_MIN && self.node(number).len() > 0 {
                return;
            }
            let joined = if self.node(number).len() == 0 {
                self.drop_node(number);
                self.drop_child(parent, at);
                true
            } else {
                self.join_children(parent, at)
                    || at.checked_sub(1).is_some_and(|lower| self.join_children(parent, lower))
            };
            if !joined {
                return;
            }
            number = parent;
        }
        assert!(number == self.root, "the way began at the root");
        if self.node(number).len() == 0 {
            self.change(number, |node| *node = Node::default());
        }
        while self.node(self.root).is_inner() && self.node(self.root).len() == 1 {
            let old = self.root;
            self.root = child(self.node(old), 0);
            self.drop_node(old);
        }
    }

    /// Takes an empty child out of its parent. The first child has no separator, so the second takes its place.
    fn drop_child(&mut self, parent: u32, at: usize) {
        self.change(parent, |node| {
            if at == 0 && node.len() > 1 {
                node.set_number(0, node.number(1));
                node.remove(1);
            } else {
                node.remove(at);
            }
        });
    }

    /// Joins the children at `lower` and behind it, if there is one behind it and both fit in one.
    fn join_children(&mut self, parent: u32, lower: usize) -> bool {
        let node = self.node(parent);
        if lower + 1 >= node.len() {
            return false;
        }
        let (keep, gone, separator) = (child(node, lower), child(node, lower + 1), node.key(lower + 1));
        let upper = core::mem::take(self.nodes.get_mut(gone as usize));
        let joined = self.change(keep, |node| node.join(&separator, &upper));
        *self.nodes.get_mut(gone as usize) = upper;
        if joined {
            self.drop_node(gone);
            self.change(parent, |node| node.remove(lower + 1));
        }
        joined
    }

    /// Panics unless every invariant holds.
    #[cfg(test)]
    fn check(&self) {
        let mut seen = Seen::default();
        self.check_node(self.root, 0, &mut seen, None, None);
        assert_eq!(seen.pairs, self.len, "the count is that of the pairs");
        assert_eq!(seen.nodes + self.vacant.len(), self.nodes.len(), "every node is in the tree or vacant");
        assert_eq!(seen.bytes, self.node_bytes, "the account of memory holds");
    }

    #[cfg(test)]
    fn check_node(&self, number: u32, level: usize, seen: &mut Seen, low: Option<&[u8]>, high: Option<&[u8]>) {
        let node = self.node(number);
        node.check();
        seen.nodes += 1;
        seen.bytes += node.memory_bytes();
        assert!(number == self.root || node.len() > 0, "no node but the root is empty");
        let first = usize::from(node.is_inner());
        for at in first..node.len() {
            assert!(low.is_none_or(|low| node.key(at).as_slice() >= low), "nothing lies below its separator");
            assert!(high.is_none_or(|high| node.key(at).as_slice() < high), "nothing lies above the next separator");
        }
        if !node.is_inner() {
            seen.pairs += node.len();
            assert_eq!(*seen.depth.get_or_insert(level), level, "all leaves are equally deep");
            return;
        }
        assert!(node.len() > 0, "an inner node has children");
        for at in 0..node.len() {
            let from = (at > 0).then(|| node.key(at));
            let until = (at + 1 < node.len()).then(|| node.key(at + 1));
            let (from, until) = (from.as_deref().or(low), until.as_deref().or(high));
            self.check_node(child(node, at), level + 1, seen, from, until);
        }
    }
}

/// What a check has counted.
#[cfg(test)]
#[derive(Default)]
struct Seen {
    pairs: usize,
    nodes: usize,
    bytes: usize,
    depth: Option<usize>,
}

fn child(node: &Node, at: usize) -> u32 {
    u32::try_from(node.number(at)).expect("nodes are numbered in 32 bits")
}

fn first_child(node: &Node, direction: Direction) -> usize {
    match direction {
        Direction::Next => 0,
        Direction::Previous => node.len() - 1,
    }
}

#[cfg(test)]
mod tests;
