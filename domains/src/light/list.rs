//! A singly linked list of pairs in key order.
//!
//! Invariant: keys rise strictly from the first node to the last.

use crate::seam::Pair;
use segments::Version;
use std::cmp::Ordering;
use txn::PutOptions;

#[derive(Debug)]
struct Node {
    pair: Pair,
    next: Option<Box<Node>>,
}

/// Pairs in key order.
#[derive(Debug, Default)]
pub(super) struct List {
    first: Option<Box<Node>>,
    len: usize,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Pair> {
        self.iter().take_while(|pair| *pair.key <= *key).find(|pair| *pair.key == *key)
    }

    /// Puts a pair in its place, instead of the one with its key if there is one.
    pub(super) fn put(&mut self, pair: Pair) {
        let mut link = &mut self.first;
        while link.as_ref().is_some_and(|node| node.pair.key < pair.key) {
            link = &mut link.as_mut().expect("just seen").next;
        }
        match link {
            Some(node) if node.pair.key.cmp(&pair.key) == Ordering::Equal => node.pair = pair,
            _ => {
                let next = link.take();
                *link = Some(Box::new(Node { pair, next }));
                self.len += 1;
            }
        }
    }

    /// Lets the record of a pair that is there grow at its end.
    pub(super) fn append(&mut self, key: &[u8], added: &[u8], version: Version, options: PutOptions) {
        let mut link = &mut self.first;
        while link.as_ref().is_some_and(|node| *node.pair.key < *key) {
            link = &mut link.as_mut().expect("just seen").next;
        }
        let pair = &mut link.as_mut().expect("it was found in the same turn").pair;
        pair.append(added, options);
        pair.version = version;
    }

    /// Takes the pair of a key out; says whether there was one.
    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let mut link = &mut self.first;
        while link.as_ref().is_some_and(|node| *node.pair.key < *key) {
            link = &mut link.as_mut().expect("just seen").next;
        }
        if link.as_ref().is_none_or(|node| *node.pair.key != *key) {
            return false;
        }
        let mut node = link.take().expect("just seen");
        *link = node.next.take();
        self.len -= 1;
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pair> {
        let mut at = self.first.as_deref();
        std::iter::from_fn(move || {
            let node = at?;
            at = node.next.as_deref();
            Some(&node.pair)
        })
    }
}

/// A long list is taken apart node by node: the compiler's own way would recurse once a node.
impl Drop for List {
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut node) = next {
            next = node.next.take();
        }
    }
}
