//! The hash index: slots that hold some bits of a key's keyed hash and the location of its record, in one of two [widths](slot).
//!
//! The slots lie in pages of a few hundred by the leading bits of their hashes, so pages in order are hashes in order. There
//! are pages of two sizes: *coarse* ones, of `depth` leading bits, and *fine* ones, of one bit more. Once there are more
//! than 256 slots a page, the first coarse page is parted into two fine ones, an insert at a time, until all are fine and
//! are called coarse. Removals go the same way back. What the hashes are does not matter to the schedule, only how many.
//!
//! An index of wide slots begins with one page. One of compact slots begins with 2^`skip` of them and never has fewer: what their
//! numbers tell of a hash its slots need not hold, so `skip` decides how many bits it knows of each. They are without memory until
//! something comes into them, 8 KiB for 256 of them.
//!
//! Contract:
//! * a key's location is among its [`candidates`](SlotIndex::candidates); a candidate is the key's unless two keys share the bits
//!   that are kept: 73 of wide slots (one of 2^73 / n lookups), 32 to 38 of compact ones (of 2^32 / n). So whoever reads a
//!   record compares its key, and only a wide slot stands for its key by itself;
//! * memory is at most 20 bytes a wide slot from about ten thousand slots on, at most 10 bytes a compact one from 2^`skip` * 250
//!   on, at every count;
//! * no call works longer than it takes to build two pages (a few microseconds), and no record is ever read again;
//! * [`SlotIndex::scan`] goes in hash order, as far as hashes are kept, and sees what is there throughout exactly once, whatever
//!   happens in between.
//!
//! It does not keep keys, and does not notice a location inserted twice.

mod any;
mod page;
pub mod slot;

pub use any::{AnyHashIndex, CompactIndex, HashIndex};
pub use page::Candidates;

use crate::index::chunks::Chunks;
use crate::index::{LOC_BITS, Loc, position};
use core::fmt;
use page::Page;
use siphasher::sip128::SipHasher13;
use slot::Slot;

/// Slots a page, on average: 128 to 512 with the schedule of splits. Its 32 bytes in the directory are then 1/8 byte a slot.
const PAGE_SLOTS: usize = 256;
/// Pages of a chunk of the directory: 8 KiB.
const CHUNK: usize = 256;
/// Bits of an order behind its first 64: what 16 bytes have left beside a location and those.
const LOW_BITS: u32 = 64 - LOC_BITS;

/// How keys are hashed. The same for a domain's whole life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashConfig {
    /// The domain's key, drawn when its device was formatted.
    pub key: [u8; 16],
    /// Bits of a fingerprint that take part in matching: 64, or 1 to 63 for a test.
    pub fingerprint_bits: u8,
}

impl HashConfig {
    /// The hash of a key: `SipHash-1-3` with 128 bits, the first word it returns in the high half.
    ///
    /// ```
    /// use domains::index::HashConfig;
    /// let config = HashConfig { key: *b"sixteen bytes  !", fingerprint_bits: 64 };
    /// assert_eq!(config.hash(b"a"), config.hash(b"a"));
    /// assert_ne!(config.hash(b"a"), config.hash(b"b"));
    /// ```
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = SipHasher13::new_with_key(&self.key).hash(key);
        KeyHash(u128::from(hash.h1) << 64 | u128::from(hash.h2))
    }
}

/// Without the key: it is a secret of the domain.
impl fmt::Debug for HashConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashConfig").field("fingerprint_bits", &self.fingerprint_bits).finish_non_exhaustive()
    }
}

/// The keyed hash of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u128);

impl KeyHash {
    /// Its place in the order of a scan.
    #[must_use]
    pub fn order(self) -> HashOrder {
        let high = u64::try_from(self.0 >> 64).expect("64 bits remain after the shift");
        let low = u16::try_from(self.0 << 64 >> (128 - LOW_BITS)).expect("9 bits remain after the shift");
        HashOrder { high, low }
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{:032x}", self.0)
    }
}

/// The first 73 bits of a hash, of which a slot keeps all or the first: the order of a scan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HashOrder {
    pub(super) high: u64,
    /// 9 bits.
    pub(super) low: u16,
}

impl HashOrder {
    /// The first of all.
    pub const FIRST: Self = Self { high: 0, low: 0 };
    /// The last of all.
    pub const LAST: Self = Self { high: u64::MAX, low: (1 << LOW_BITS) - 1 };

    /// The one after it, where a scan goes on behind a batch that ended with it; nothing after the last.
    #[must_use]
    pub fn after(self) -> Option<Self> {
        if self.low < Self::LAST.low {
            return Some(Self { high: self.high, low: self.low + 1 });
        }
        Some(Self { high: self.high.checked_add(1)?, low: 0 })
    }

    /// Its first 64 bits, and the 9 behind them.
    #[must_use]
    pub fn to_parts(self) -> (u64, u16) {
        (self.high, self.low)
    }

    /// The order of these bits; of the second number 9 count.
    #[must_use]
    pub fn from_parts(high: u64, low: u16) -> Self {
        Self { high, low: low & Self::LAST.low }
    }

    /// Its first `bits` bits.
    fn prefix(self, bits: u32) -> u64 {
        debug_assert!(bits < 64, "a directory of 2^64 pages has no room");
        self.high >> 1 >> (63 - bits)
    }
}

impl From<KeyHash> for HashOrder {
    fn from(hash: KeyHash) -> Self {
        hash.order()
    }
}

impl fmt::Debug for HashOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{:016x}.{:03x}", self.high, self.low)
    }
}

/// The index.
///
/// ```
/// use domains::index::{HashConfig, HashIndex, Loc};
/// let config = HashConfig { key: [7; 16], fingerprint_bits: 64 };
/// let mut index = HashIndex::new(config.fingerprint_bits);
/// let hash = config.hash(b"name");
/// index.insert(hash, Loc::new(1));
/// assert!(index.replace(hash, Loc::new(1), Loc::new(2)));
/// assert_eq!(index.candidates(hash).collect::<Vec<_>>(), [Loc::new(2)]);
/// assert!(index.remove(hash, Loc::new(2)));
/// ```
#[derive(Debug)]
pub struct SlotIndex<S: Slot> {
    /// Leading bits that every page's number tells, and that no slot holds.
    skip: u32,
    /// Leading bits that a coarse page's hashes share.
    depth: u32,
    /// The first so many coarse pages have been parted.
    parted: usize,
    coarse: Chunks<Page<S>, CHUNK>,
    /// Two for each parted coarse page.
    fine: Chunks<Page<S>, CHUNK>,
    len: usize,
    /// Memory of all pages' buckets.
    bucket_bytes: usize,
    fingerprint_bits: u8,
    mask: S,
}

/// Which page, and how many leading bits its hashes share.
#[derive(Clone, Copy)]
struct PageAt {
    fine: bool,
    at: usize,
    depth: u32,
}

impl<S: Slot> SlotIndex<S> {
    /// Empty, of 2^`skip` pages.
    fn with_pages(fingerprint_bits: u8, skip: u32) -> Self {
        assert!((1..=64).contains(&fingerprint_bits), "a fingerprint of {fingerprint_bits} bits");
        assert!(skip + S::ORDER_BITS <= 64 + LOW_BITS, "an order has no bit behind its last");
        Self {
            skip,
            depth: skip,
            parted: 0,
            coarse: Chunks::hollow(1 << skip),
            fine: Chunks::new(),
            len: 0,
            bucket_bytes: 0,
            fingerprint_bits,
            mask: S::mask(fingerprint_bits),
        }
    }

    /// Whether one candidate may be taken for the key without reading its record's key (for an overwrite).
    #[must_use]
    pub fn trusts(&self) -> bool {
        S::TRUSTED && self.fingerprint_bits == 64
    }

    /// Whether a slot of one hash is a candidate for the other: only such keys may be met in place of each other.
    #[must_use]
    pub fn confuses(&self, one: KeyHash, other: KeyHash) -> bool {
        let (one, other) = (one.order(), other.order());
        let probe = |order| S::probe(self.held(order));
        one.prefix(self.skip) == other.prefix(self.skip) && probe(one).agrees(probe(other), self.mask)
    }

    /// The place of a hash in the order of a scan: as much of its order as is kept.
    #[must_use]
    pub fn order(&self, hash: KeyHash) -> HashOrder {
        self.kept(hash.order())
    }

    /// Where a scan goes on behind a batch that ended with this order; nothing after the last.
    #[must_use]
    pub fn after(&self, order: HashOrder) -> Option<HashOrder> {
        let bits = self.skip + S::ORDER_BITS;
        if bits >= 64 {
            return order.after();
        }
        Some(HashOrder { high: self.kept(order).high.checked_add(1 << (64 - bits))?, low: 0 })
    }

    /// As much of an order as is kept, zeros behind that.
    fn kept(&self, order: HashOrder) -> HashOrder {
        let bits = self.skip + S::ORDER_BITS;
        if bits >= 64 {
            return order;
        }
        HashOrder { high: order.high >> (64 - bits) << (64 - bits), low: 0 }
    }

    /// What a slot holds of an order: what is behind the bits that every page's number tells.
    fn held(&self, order: HashOrder) -> HashOrder {
        HashOrder { high: order.high << self.skip, low: order.low }
    }

    /// The order of a slot of this page.
    fn whole(&self, slot: S, page_at: PageAt) -> HashOrder {
        let held = slot.order();
        if self.skip == 0 {
            return held;
        }
        let told = (page_at.at as u64) >> (page_at.depth - self.skip) << (64 - self.skip);
        HashOrder { high: told | held.high >> self.skip, low: 0 }
    }

    /// Slots in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All its memory: buckets, directory, and itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bucket_bytes + self.coarse.memory_bytes() + self.fine.memory_bytes()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        *self = Self::with_pages(self.fingerprint_bits, self.skip);
    }

    /// Takes the index apart, a page a call: appends that page's locations to `out`, until it says that none is left. For an index
    /// that nobody asks any more.
    pub fn dismantle(&mut self, out: &mut Vec<Loc>) -> bool {
        let Some((_, page)) = self.pop_page() else { return false };
        out.extend(page.slots().map(Slot::loc));
        true
    }

    /// The same with the orders.
    fn dismantle_ordered(&mut self, out: &mut Vec<(HashOrder, Loc)>) -> bool {
        let Some((page_at, page)) = self.pop_page() else { return false };
        out.extend(page.slots().map(|slot| (self.whole(slot, page_at), slot.loc())));
        true
    }

    fn pop_page(&mut self) -> Option<(PageAt, Page<S>)> {
        if let Some(page) = self.fine.pop() {
            return Some((PageAt { fine: true, at: self.fine.len(), depth: self.depth + 1 }, page));
        }
        // The first so many coarse pages have been parted, and are not there.
        let at = self.coarse.len().checked_sub(1).filter(|at| *at >= self.parted)?;
        self.coarse.fill(at);
        let page = self.coarse.pop().expect("there is a last one");
        Some((PageAt { fine: false, at, depth: self.depth }, page))
    }

    /// The locations whose hash matches, in no order. All of the key's are among them.
    #[must_use]
    pub fn candidates(&self, hash: KeyHash) -> Candidates<'_, S> {
        let order = hash.order();
        let page_at = self.locate(order);
        self.page(page_at).candidates(self.held(order), page_at.depth - self.skip, self.mask)
    }

    /// Brings the cache lines of a lookup to come nearer. With a batch of keys: first this for all, then the lookups; the
    /// waits for memory then overlap.
    pub fn touch(&self, hash: KeyHash) {
        let order = hash.order();
        let page_at = self.locate(order);
        core::hint::black_box(self.page(page_at).touch(self.held(order), page_at.depth - self.skip));
    }

    /// Puts a location in. Whether the key is there already is the caller's to know.
    pub fn insert(&mut self, hash: impl Into<HashOrder>, loc: Loc) {
        let order = hash.into();
        let slot = S::new(self.held(order), loc);
        self.change(order, |page, depth| page.insert(slot, depth));
        self.len += 1;
        if self.len > self.pages() * PAGE_SLOTS {
            self.part_next();
        }
    }

    /// Puts `new` in the place of `old`, if `old` is there with this hash; says whether it was.
    pub fn replace(&mut self, hash: KeyHash, old: Loc, new: Loc) -> bool {
        let order = hash.order();
        let (page_at, held) = (self.locate(order), self.held(order));
        let depth = page_at.depth - self.skip;
        self.page_mut(page_at).replace(S::new(held, old), S::new(held, new), depth)
    }

    /// Takes a location out, if it is there with this hash; says whether it was.
    pub fn remove(&mut self, hash: KeyHash, loc: Loc) -> bool {
        let order = hash.order();
        let slot = S::new(self.held(order), loc);
        let was_there = self.change(order, |page, depth| page.remove(slot, depth));
        if was_there {
            self.len -= 1;
            // A quarter fewer than when the last one was parted, so that going to and fro at a bound costs nothing.
            if self.len * 4 < self.pages() * PAGE_SLOTS * 3 {
                self.unpart_last();
            }
        }
        was_there
    }

    /// Appends the slots from `from` on (inclusive) in hash order, those of one hash by location: at least `slots_min`
    /// when there are as many, and slots of equal hash together. Returns whether there may be more; the next batch then
    /// starts from [`after`](Self::after) the last.
    pub fn scan(&self, from: impl Into<HashOrder>, slots_min: usize, out: &mut Vec<(HashOrder, Loc)>) -> bool {
        let from = self.kept(from.into());
        let wanted = out.len() + slots_min.max(1);
        let mut page_at = self.locate(from);
        loop {
            let start = out.len();
            let slots = self.page(page_at).slots().map(|slot| (self.whole(slot, page_at), slot.loc()));
            out.extend(slots.filter(|(order, _)| *order >= from));
            out[start..].sort_unstable();
            if out.len() >= wanted {
                let last = out[wanted - 1].0;
                let equal = out[wanted..].iter().take_while(|(order, _)| *order == last).count();
                let cut = wanted + equal < out.len();
                out.truncate(wanted + equal);
                return cut || self.next_page(page_at).is_some();
            }
            match self.next_page(page_at) {
                Some(next) => page_at = next,
                None => return false,
            }
        }
    }

    fn pages(&self) -> usize {
        self.coarse.len() + self.parted
    }

    fn locate(&self, order: HashOrder) -> PageAt {
        let at = position(order.prefix(self.depth));
        if at >= self.parted {
            return PageAt { fine: false, at, depth: self.depth };
        }
        PageAt { fine: true, at: position(order.prefix(self.depth + 1)), depth: self.depth + 1 }
    }

    /// The page whose hashes follow those of `page_at`.
    fn next_page(&self, page_at: PageAt) -> Option<PageAt> {
        let at = page_at.at + 1;
        if page_at.fine && at < self.fine.len() {
            return Some(PageAt { at, ..page_at });
        }
        let at = if page_at.fine { self.parted } else { at };
        (at < self.coarse.len()).then_some(PageAt { fine: false, at, depth: self.depth })
    }

    fn page(&self, page_at: PageAt) -> &Page<S> {
        let pages = if page_at.fine { &self.fine } else { &self.coarse };
        pages.get_filled(page_at.at).unwrap_or(Page::EMPTY)
    }

    fn page_mut(&mut self, page_at: PageAt) -> &mut Page<S> {
        if page_at.fine {
            return self.fine.get_mut(page_at.at);
        }
        self.coarse.fill(page_at.at);
        self.coarse.get_mut(page_at.at)
    }

    /// Changes the page of a hash and keeps the account of memory.
    fn change<R>(&mut self, order: HashOrder, change: impl FnOnce(&mut Page<S>, u32) -> R) -> R {
        let page_at = self.locate(order);
        let depth = page_at.depth - self.skip;
        let page = self.page_mut(page_at);
        let before = page.memory_bytes();
        let result = change(page, depth);
        let after = page.memory_bytes();
        self.bucket_bytes = self.bucket_bytes - before + after;
        result
    }

    /// Parts the first coarse page that is not.
    fn part_next(&mut self) {
        self.coarse.fill(self.parted);
        let page = core::mem::take(self.coarse.get_mut(self.parted));
        self.bucket_bytes -= page.memory_bytes();
        for half in page.split(self.depth - self.skip) {
            self.bucket_bytes += half.memory_bytes();
            self.fine.push(half);
        }
        if self.parted % CHUNK == CHUNK - 1 {
            self.coarse.release(self.parted);
        }
        self.parted += 1;
        if self.parted == self.coarse.len() {
            self.coarse = core::mem::take(&mut self.fine);
            self.parted = 0;
            self.depth += 1;
        }
    }

    /// Joins the two pages of the last coarse page that was parted.
    fn unpart_last(&mut self) {
        if self.parted == 0 {
            if self.depth == self.skip {
                return;
            }
            self.fine = core::mem::take(&mut self.coarse);
            self.depth -= 1;
            self.parted = self.fine.len() / 2;
            self.coarse = Chunks::hollow(self.parted);
        }
        self.parted -= 1;
        let upper = self.fine.pop().expect("two fine pages for each that was parted");
        let lower = self.fine.pop().expect("two fine pages for each that was parted");
        let page = Page::merge(&lower, &upper, self.depth - self.skip);
        self.bucket_bytes = self.bucket_bytes - lower.memory_bytes() - upper.memory_bytes() + page.memory_bytes();
        self.coarse.fill(self.parted);
        *self.coarse.get_mut(self.parted) = page;
    }

    /// Panics unless every invariant holds.
    #[cfg(test)]
    fn check(&self) {
        assert_eq!(self.coarse.len(), 1 << self.depth);
        assert_eq!(self.fine.len(), self.parted * 2);
        assert!(self.parted < self.coarse.len());
        let mut page_at = self.locate(HashOrder::FIRST);
        let (mut len, mut bytes, mut pages) = (0, 0, 0);
        loop {
            let page = self.page(page_at);
            let depth = page_at.depth - self.skip;
            page.check(page_at.at as u64 & ((1 << depth) - 1), depth);
            len += page.len();
            bytes += page.memory_bytes();
            pages += 1;
            match self.next_page(page_at) {
                Some(next) => page_at = next,
                None => break,
            }
        }
        assert_eq!((len, bytes, pages), (self.len, self.bucket_bytes, self.pages()));
    }
}

#[cfg(test)]
mod tests;
