//! A node of the ordered index: a sorted list of byte strings, each with a number of 56 bits, packed into one allocation.
//!
//! The bytes: what all strings begin with, once; the end of each pair as 16 bits; the pairs, each the rest of its string
//! and the number in 7 bytes, little-endian. In memory only, never on a device.
//!
//! Leaves hold keys and locations. Inner nodes hold, for each child, the separator below which nothing in it lies, and the
//! child's number; what is below the second separator belongs to the first child, so the first string has no meaning there
//! and is kept as short as the prefix allows.
//!
//! Invariants: strings ascend strictly (the first of an inner node aside); the prefix is common to all.

use core::ops::Range;

/// What a node is split above. A node of names has some 100 pairs then, and an insert moves half
/// of it. Measured with 1 M names (examples/index_figures): 4096 saves half a byte a key and is 8 % slower.
pub(super) const NODE_BYTES_MAX: usize = 2048;
/// Pairs that a node may have whatever their size, so that the tree branches also with the longest keys.
const PAIRS_MIN: usize = 4;
const NUMBER_BYTES: usize = 7;
const END_BYTES: usize = 2;
/// What a pair takes at most.
const PAIR_BYTES_MAX: usize = segments::limits::KEY_BYTES_MAX + NUMBER_BYTES + END_BYTES;

const _: () = {
    assert!(NODE_BYTES_MAX <= 2 * PAIR_BYTES_MAX, "what a split leaves is at most so much");
    assert!(NODE_BYTES_MAX + (PAIRS_MIN + 1) * PAIR_BYTES_MAX < 1 << 16, "the ends of pairs are kept in 16 bits");
};

/// The node.
#[derive(Default, Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    prefix_bytes: u16,
    pairs: u16,
    inner: bool,
}

/// A pair in the making: its string and its number.
pub(super) type Pair = (Vec<u8>, u64);

impl Node {
    /// A node of these pairs, which ascend.
    pub(super) fn build(inner: bool, pairs: &[Pair]) -> Self {
        let significant = if inner { pairs.get(1..).unwrap_or_default() } else { pairs };
        let prefix = match significant {
            [] => 0,
            [first, .., last] => common(&first.0, &last.0),
            // One string alone is kept whole in the prefix: the next to come seldom shares it all, and is then split off.
            [only] => only.0.len(),
        };
        let prefix = &significant.first().map_or(&[][..], |pair| &pair.0)[..prefix];
        let rests = pairs.iter().enumerate().map(|(at, pair)| {
            let rest = if inner && at == 0 { &[] } else { &pair.0[prefix.len()..] };
            (rest, pair.1)
        });
        let rest_bytes: usize = rests.clone().map(|(rest, _)| rest.len()).sum();
        let mut bytes = Vec::with_capacity(prefix.len() + rest_bytes + pairs.len() * (END_BYTES + NUMBER_BYTES));
        bytes.extend_from_slice(prefix);
        let mut end = 0;
        for (rest, _) in rests.clone() {
            end += rest.len() + NUMBER_BYTES;
            bytes.extend_from_slice(&short(end).to_le_bytes());
        }
        for (rest, number) in rests {
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(&number_bytes(number));
        }
        Self { bytes, prefix_bytes: short(prefix.len()), pairs: short(pairs.len()), inner }
    }

    pub(super) fn is_inner(&self) -> bool {
        self.inner
    }

    /// Pairs.
    pub(super) fn len(&self) -> usize {
        usize::from(self.pairs)
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Memory behind the node's own 32 bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Where a string is, or where it would be put. Not for inner nodes.
    pub(super) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        debug_assert!(!self.inner, "an inner node is asked for the child of a key");
        let Some(rest) = self.rest_of(key)? else { return Err(self.len()) };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.rest(middle).cmp(rest) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Equal => return Ok(middle),
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// The child in which a key lies. Only for inner nodes.
    pub(super) fn child_of(&self, key: &[u8]) -> usize {
        debug_assert!(self.inner, "a leaf has no children");
        let rest = match self.rest_of(key) {
            Ok(Some(rest)) => rest,
            Ok(None) => return self.len() - 1,
            Err(first) => return first,
        };
        let (mut low, mut high) = (1, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.rest(middle) <= rest { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// What a key has behind the prefix; `Err(0)` when it is less than every string with the prefix, `None` when greater.
    fn rest_of<'k>(&self, key: &'k [u8]) -> Result<Option<&'k [u8]>, usize> {
        let prefix = self.prefix();
        match key.strip_prefix(prefix) {
            Some(rest) => Ok(Some(rest)),
            None if key < prefix => Err(0),
            None => Ok(None),
        }
    }

    /// What all strings begin with.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[..usize::from(self.prefix_bytes)]
    }

    /// The string of a pair, without the prefix.
    pub(super) fn rest(&self, at: usize) -> &[u8] {
        let range = self.pair(at);
        &self.bytes[range.start..range.end - NUMBER_BYTES]
    }

    /// The string of a pair.
    pub(super) fn key(&self, at: usize) -> Vec<u8> {
        [self.prefix(), self.rest(at)].concat()
    }

    /// The number of a pair.
    pub(super) fn number(&self, at: usize) -> u64 {
        let end = self.pair(at).end;
        let mut bytes = [0; 8];
        bytes[..NUMBER_BYTES].copy_from_slice(&self.bytes[end - NUMBER_BYTES..end]);
        u64::from_le_bytes(bytes)
    }

    /// Gives a pair another number.
    pub(super) fn set_number(&mut self, at: usize, number: u64) {
        let end = self.pair(at).end;
        self.bytes[end - NUMBER_BYTES..end].copy_from_slice(&number_bytes(number));
    }

    /// All pairs, strings whole.
    pub(super) fn unpack(&self) -> Vec<Pair> {
        (0..self.len()).map(|at| (self.key(at), self.number(at))).collect()
    }

    /// Puts a pair before the one at `at`; false when there is no room.
    pub(super) fn insert(&mut self, at: usize, key: &[u8], number: u64) -> bool {
        let shared = common(self.prefix(), key);
        let first = self.pairs == 0;
        let longer = if first { 0 } else { usize::from(self.prefix_bytes) - shared };
        let rest_bytes = if first { 0 } else { key.len() - shared };
        let added = longer * self.len().saturating_sub(1) + rest_bytes + NUMBER_BYTES + END_BYTES;
        if self.bytes.len() + added > NODE_BYTES_MAX && self.len() >= PAIRS_MIN {
            return false;
        }
        if first || longer > 0 {
            let mut pairs = self.unpack();
            pairs.insert(at, (key.to_vec(), number));
            *self = Self::build(self.inner, &pairs);
            return true;
        }
        self.reserve(added);
        let pairs_start = self.pairs_start();
        let place = self.pair_start(at);
        let pair_bytes = rest_bytes + NUMBER_BYTES;
        let ends = usize::from(self.prefix_bytes) + at * END_BYTES;
        let old_bytes = self.bytes.len();
        self.bytes.resize(old_bytes + added, 0);
        self.bytes.copy_within(place..old_bytes, place + added);
        self.bytes.copy_within(ends..place, ends + END_BYTES);
        let place = place + END_BYTES;
        self.bytes[place..place + rest_bytes].copy_from_slice(&key[shared..]);
        self.bytes[place + rest_bytes..place + pair_bytes].copy_from_slice(&number_bytes(number));
        let end = place + pair_bytes - END_BYTES - pairs_start;
        self.bytes[ends..ends + END_BYTES].copy_from_slice(&short(end).to_le_bytes());
        self.pairs += 1;
        let later = ends + END_BYTES..self.pairs_start();
        self.shift_ends(later, |end| end + short(pair_bytes));
        true
    }

    /// Takes a pair out.
    pub(super) fn remove(&mut self, at: usize) {
        let pair = self.pair(at);
        let ends = usize::from(self.prefix_bytes) + at * END_BYTES;
        let old_bytes = self.bytes.len();
        self.bytes.copy_within(ends + END_BYTES..pair.start, ends);
        self.bytes.copy_within(pair.end..old_bytes, pair.start - END_BYTES);
        self.bytes.truncate(old_bytes - END_BYTES - pair.len());
        self.pairs -= 1;
        self.shift_ends(ends..self.pairs_start(), |end| end - short(pair.len()));
        if self.bytes.len() * 4 < self.bytes.capacity() * 3 {
            self.bytes.shrink_to(self.bytes.len() + self.bytes.len() / 8);
        }
    }

    /// Splits, for a pair that has no room at `at`: keeps the lower part, returns the upper one and the separator between.
    ///
    /// In the middle by bytes, but at the pair when that is at an end: whoever inserts in order leaves full nodes behind. A
    /// string without the prefix is always at an end, so the prefix of the others is never spelled out.
    pub(super) fn split(&mut self, at: usize, key: &[u8], number: u64) -> (Vec<u8>, Self) {
        let mut pairs = self.unpack();
        pairs.insert(at, (key.to_vec(), number));
        let last = pairs.len() - 1;
        let cut = if at <= usize::from(self.inner) {
            at + 1
        } else if at == last {
            last
        } else {
            self.middle(&pairs)
        };
        let (lower, upper) = pairs.split_at(cut);
        let separator = if self.inner { upper[0].0.clone() } else { separator(&lower[cut - 1].0, &upper[0].0) };
        let upper = Self::build(self.inner, upper);
        *self = Self::build(self.inner, lower);
        (separator, upper)
    }

    /// Joins the node above, whose separator is given, when both fit well; says whether they did.
    pub(super) fn join(&mut self, separator: &[u8], upper: &Self) -> bool {
        assert!(self.inner == upper.inner, "neighbours are on one level");
        // What the strings of either gain when they share less of their start, before anything is spelled out.
        let shared = common(self.prefix(), upper.prefix());
        let longer = |node: &Self| (usize::from(node.prefix_bytes) - shared) * node.len();
        let bytes = self.bytes() + upper.bytes() + longer(self) + longer(upper) + separator.len();
        if bytes > NODE_BYTES_MAX * 3 / 4 {
            return false;
        }
        let mut pairs = self.unpack();
        let start = pairs.len();
        pairs.extend(upper.unpack());
        if self.inner && start < pairs.len() {
            pairs[start].0 = separator.to_vec();
        }
        *self = Self::build(self.inner, &pairs);
        true
    }

    /// Where to cut so that both sides have about as many bytes.
    fn middle(&self, pairs: &[Pair]) -> usize {
        let bytes_of =
            |pair: &Pair| pair.0.len().saturating_sub(usize::from(self.prefix_bytes)) + NUMBER_BYTES + END_BYTES;
        let half = pairs.iter().map(bytes_of).sum::<usize>() / 2;
        let mut below = 0;
        let cut = pairs.iter().position(|pair| {
            let centre = below + bytes_of(pair) / 2;
            below += bytes_of(pair);
            centre >= half
        });
        cut.expect("the last pair's centre is past the middle").clamp(1, pairs.len() - 1)
    }

    fn pairs_start(&self) -> usize {
        usize::from(self.prefix_bytes) + self.len() * END_BYTES
    }

    fn pair_start(&self, at: usize) -> usize {
        if at == 0 { self.pairs_start() } else { self.pair_end(at - 1) }
    }

    fn pair_end(&self, at: usize) -> usize {
        let place = usize::from(self.prefix_bytes) + at * END_BYTES;
        self.pairs_start() + usize::from(u16::from_le_bytes([self.bytes[place], self.bytes[place + 1]]))
    }

    fn pair(&self, at: usize) -> Range<usize> {
        assert!(at < self.len(), "pair {at} of {}", self.pairs);
        self.pair_start(at)..self.pair_end(at)
    }

    fn shift_ends(&mut self, ends: Range<usize>, shifted: impl Fn(u16) -> u16) {
        for end in self.bytes[ends].chunks_exact_mut(END_BYTES) {
            let bytes = shifted(u16::from_le_bytes([end[0], end[1]])).to_le_bytes();
            end.copy_from_slice(&bytes);
        }
    }

    /// Room for `added` bytes; an eighth more at least, so that memory is never far from what is used.
    fn reserve(&mut self, added: usize) {
        if self.bytes.capacity() - self.bytes.len() < added {
            self.bytes.reserve_exact(added.max(self.bytes.len() / 8));
        }
    }

    /// Panics unless the invariants hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        // A split cuts beside its middle pair, so a part has at most half of a node, half of the pair put in, and half of the
        // middle one: two of the longest pairs, if the node had no more.
        let fits = self.bytes.len() <= 2 * PAIR_BYTES_MAX || self.len() <= PAIRS_MIN;
        assert!(fits, "{} bytes in {} pairs", self.bytes.len(), self.pairs);
        let first = usize::from(self.inner);
        assert!((first + 1..self.len()).all(|at| self.rest(at - 1) < self.rest(at)), "strings ascend");
        assert!(!self.inner || self.rest(0).is_empty(), "the first string of an inner node is as short as can be");
        let end = if self.pairs == 0 { self.pairs_start() } else { self.pair_end(self.len() - 1) };
        assert!(end == self.bytes.len(), "the pairs end with the node");
    }
}

/// How many bytes two strings share at their start.
fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// The shortest string above `below` and not above `above`.
fn separator(below: &[u8], above: &[u8]) -> Vec<u8> {
    assert!(below < above, "strings ascend");
    above[..common(below, above) + 1].to_vec()
}

fn number_bytes(number: u64) -> [u8; NUMBER_BYTES] {
    assert!(number >> (8 * NUMBER_BYTES) == 0, "{number:#x} needs more than 56 bits");
    let bytes = number.to_le_bytes();
    core::array::from_fn(|at| bytes[at])
}

fn short(number: usize) -> u16 {
    u16::try_from(number).expect("a node has fewer than 2^16 bytes")
}

#[cfg(test)]
mod tests;
