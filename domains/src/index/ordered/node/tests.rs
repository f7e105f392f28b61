//! A node alone: prefixes made longer and shorter, splits at either end, joins.

use super::{NODE_BYTES_MAX, Node, PAIR_BYTES_MAX, common, separator};
use crate::index::order_preserving;

fn leaf(keys: &[&[u8]]) -> Node {
    let pairs: Vec<_> = keys.iter().zip(1..).map(|(key, number)| (key.to_vec(), number)).collect();
    Node::build(false, &pairs)
}

#[test]
fn the_prefix_is_kept_once() {
    let node = leaf(&[b"common/a", b"common/b", b"common/cc"]);
    node.check();
    assert_eq!(node.prefix(), b"common/");
    assert_eq!(node.bytes(), 7 + 3 * 9 + 4);
    assert_eq!(node.search(b"common/b"), Ok(1));
    assert_eq!(node.search(b"common/bb"), Err(2));
    assert_eq!(node.search(b"common"), Err(0));
    assert_eq!(node.search(b"commom/z"), Err(0));
    assert_eq!(node.search(b"comz"), Err(3));
    assert_eq!(node.search(b""), Err(0));
}

#[test]
fn a_key_without_the_prefix_makes_it_shorter() {
    let mut node = leaf(&[b"common/a", b"common/b"]);
    assert!(node.insert(0, b"comet", 9));
    assert!(node.insert(0, b"", 8));
    node.check();
    assert_eq!(node.prefix(), b"");
    let keys: Vec<_> = node.unpack().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b""[..], b"comet", b"common/a", b"common/b"]);
}

#[test]
fn an_emptied_node_takes_any_key() {
    let mut node = leaf(&[b"prefix-a", b"prefix-b"]);
    node.remove(1);
    node.remove(0);
    assert_eq!(node.len(), 0);
    assert_eq!(node.search(b"a"), Err(0));
    assert!(node.insert(0, b"other", 3));
    node.check();
    assert_eq!((node.key(0), node.number(0)), (b"other".to_vec(), 3));
}

/// 90 keys that share 1000 bytes: spelled out they would be 90 KB, more than a node's 16-bit ends can tell.
#[test]
fn a_long_prefix_is_never_spelled_out() {
    let prefix = vec![b'm'; 1_000];
    let mut node = Node::default();
    let mut count = 0_u16;
    loop {
        let key = [&prefix[..], &order_preserving(u64::from(count))[6..]].concat();
        if !node.insert(usize::from(count), &key, u64::from(count)) {
            break;
        }
        count += 1;
    }
    assert!(count > 66, "{count} keys in a node");
    for (key, lower, upper) in [(&b"a"[..], 1, count), (b"z", count, 1)] {
        let mut node = Node::build(false, &node.unpack());
        let at = node.search(key).expect_err("it is not there");
        assert!(!node.insert(at, key, 7));
        let (separator, above) = node.split(at, key, 7);
        assert_eq!((node.len(), above.len()), (usize::from(lower), usize::from(upper)));
        assert!(node.key(node.len() - 1) < separator && separator <= above.key(0));
        assert!(!node.join(&separator, &above), "nor are they joined");
        assert_eq!(node.len(), usize::from(lower));
    }
}

#[test]
fn joining_undoes_a_split() {
    for inner in [false, true] {
        let first = if inner { Vec::new() } else { b"k000".to_vec() };
        let mut pairs = vec![(first, 0)];
        pairs.extend((1..100_u64).map(|number| (format!("k{number:03}").into_bytes(), number)));
        let mut node = Node::build(inner, &pairs);
        let whole = Node::build(inner, &pairs).unpack();
        let (separator, upper) = node.split(50, b"k049x", 1_000);
        node.check();
        upper.check();
        assert_eq!(node.len() + upper.len(), 101);
        assert!(node.join(&separator, &upper));
        node.check();
        let at = (0..node.len()).find(|&at| node.number(at) == 1_000).expect("it was put in");
        node.remove(at);
        assert_eq!(node.unpack(), whole);
    }
}

#[test]
fn children_are_chosen_by_separators() {
    let node = Node::build(true, &[(Vec::new(), 1), (b"ab".to_vec(), 2), (b"ad".to_vec(), 3)]);
    node.check();
    assert_eq!(node.prefix(), b"a");
    let chosen = [&b""[..], b"aa", b"ab", b"abz", b"ad", b"b", b"a"].map(|key| node.number(node.child_of(key)));
    assert_eq!(chosen, [1, 1, 2, 2, 3, 3, 1]);
}

#[test]
fn separators_are_as_short_as_can_be() {
    assert_eq!(separator(b"abc", b"abd"), b"abd");
    assert_eq!(separator(b"abc", b"bcd"), b"b");
    assert_eq!(separator(b"ab", b"abc"), b"abc");
    assert_eq!(separator(b"", &[0]), [0]);
    assert_eq!(common(b"abc", b"abd"), 2);
}

#[test]
fn memory_is_an_eighth_above_what_is_used() {
    let mut node = Node::default();
    let mut number = 0_u64;
    while node.bytes() < NODE_BYTES_MAX - 100 {
        assert!(node.insert(node.len(), format!("key-{number:06}").as_bytes(), number));
        number += 1;
        assert!(node.memory_bytes() <= node.bytes() + node.bytes() / 8 + 32);
    }
    while node.len() > 1 {
        node.remove(node.len() / 2);
        assert!(node.memory_bytes() * 3 <= node.bytes() * 4 + 64);
    }
}

/// The model test found this: a pair of 2 KB in the middle went whole to the upper half, which was then above the limit.
#[test]
fn a_long_pair_in_the_middle_goes_to_the_smaller_half() {
    let short_keys = (0..100_u64).map(|number| (format!("a{number:03}").into_bytes(), number));
    let mut pairs: Vec<_> = short_keys.collect();
    pairs.push((vec![b'b'; 2_048], 100));
    pairs.extend((0..40_u64).map(|number| (format!("c{number:03}").into_bytes(), number)));
    let mut node = Node::build(false, &pairs);
    assert!(!node.insert(100, &[b'a'; 2_048], 7));
    let (_, upper) = node.split(100, &[b'a'; 2_048], 7);
    node.check();
    upper.check();
    assert!(node.bytes().abs_diff(upper.bytes()) <= PAIR_BYTES_MAX);
}
