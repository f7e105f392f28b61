//! The hash index: slots of 16 bytes that hold 73 bits of a key's keyed hash and the location of its record.
//!
//! The slots lie in pages of a few hundred by the leading bits of their hashes, so pages in order are hashes in order. There
//! are pages of two sizes: *coarse* ones, of `depth` leading bits, and *fine* ones, of one bit more. Once there are more
//! than 256 slots a page, the first coarse page is parted into two fine ones, an insert at a time, until all are fine and
//! are called coarse. Removals go the same way back. What the hashes are does not matter to the schedule, only how many.
//!
//! Contract:
//! * a key's location is among its [`candidates`](HashIndex::candidates); a candidate is the key's unless two keys share
//!   73 bits (in one of 2^73 / n lookups), so whoever reads a record compares its key;
//! * memory is at most 20 bytes a slot from about ten thousand slots on, at every count;
//! * no call works longer than it takes to build two pages (a few microseconds), and no record is ever read again;
//! * [`HashIndex::scan`] goes in hash order and sees what is there throughout exactly once, whatever happens in between.
//!
//! It does not keep keys, and does not notice a location inserted twice.

mod page;

pub use page::Candidates;

use crate::index::chunks::Chunks;
use crate::index::{LOC_BITS, Loc, position};
use core::fmt;
use page::{Matching, Page, Slot};
use siphasher::sip128::SipHasher13;

/// Slots a page, on average: 128 to 512 with the schedule of splits. Its 32 bytes in the directory are then 1/8 byte a slot.
const PAGE_SLOTS: usize = 256;
/// Pages of a chunk of the directory: 8 KiB.
const CHUNK: usize = 256;
/// Bits of a hash that a slot keeps: what 16 bytes have left beside a location.
const KEPT_BITS: u32 = 128 - LOC_BITS;
const LOW_BITS: u32 = KEPT_BITS - 64;

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

/// The first 73 bits of a hash: all that a slot keeps of it, and the order of a scan.
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
pub struct HashIndex {
    /// Leading bits that a coarse page's hashes share.
    depth: u32,
    /// The first so many coarse pages have been parted.
    parted: usize,
    coarse: Chunks<Page, CHUNK>,
    /// Two for each parted coarse page.
    fine: Chunks<Page, CHUNK>,
    len: usize,
    /// Memory of all pages' buckets.
    bucket_bytes: usize,
    fingerprint_bits: u8,
    matching: Matching,
}

/// Which page, and how many leading bits its hashes share.
#[derive(Clone, Copy)]
struct PageAt {
    fine: bool,
    at: usize,
    depth: u32,
}

impl HashIndex {
    /// Empty.
    ///
    /// # Panics
    /// Unless `fingerprint_bits` is 1 to 64: the configuration was checked when it was taken.
    #[must_use]
    pub fn new(fingerprint_bits: u8) -> Self {
        assert!((1..=64).contains(&fingerprint_bits), "a fingerprint of {fingerprint_bits} bits");
        let mut coarse = Chunks::new();
        coarse.push(Page::default());
        let matching = Matching::new(fingerprint_bits);
        Self { depth: 0, parted: 0, coarse, fine: Chunks::new(), len: 0, bucket_bytes: 0, fingerprint_bits, matching }
    }

    /// Whether one candidate may be taken for the key without reading its record's key (for an overwrite).
    #[must_use]
    pub fn trusts(&self) -> bool {
        self.fingerprint_bits == 64
    }

    /// Whether a slot of one hash is a candidate for the other: only such keys may be met in place of each other.
    #[must_use]
    pub fn confuses(&self, one: KeyHash, other: KeyHash) -> bool {
        self.matching.confuses(one.order(), other.order())
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
        *self = Self::new(self.fingerprint_bits);
    }

    /// Takes the index apart, a page a call: appends that page's locations to `out`, until it says that none is left. For an index
    /// that nobody asks any more.
    pub fn dismantle(&mut self, out: &mut Vec<Loc>) -> bool {
        let page = match self.fine.pop() {
            Some(page) => page,
            // The first so many coarse pages have been parted, and are not there.
            None if self.coarse.len() > self.parted => self.coarse.pop().expect("just seen"),
            None => return false,
        };
        out.extend(page.slots().map(Slot::loc));
        true
    }

    /// The locations whose hash matches, in no order. All of the key's are among them.
    #[must_use]
    pub fn candidates(&self, hash: KeyHash) -> Candidates<'_> {
        let order = hash.order();
        let page_at = self.locate(order);
        self.page(page_at).candidates(order, page_at.depth, self.matching)
    }

    /// Brings the cache lines of a lookup to come nearer. With a batch of keys: first this for all, then the lookups; the
    /// waits for memory then overlap.
    pub fn touch(&self, hash: KeyHash) {
        let order = hash.order();
        let page_at = self.locate(order);
        core::hint::black_box(self.page(page_at).touch(order, page_at.depth));
    }

    /// Puts a location in. Whether the key is there already is the caller's to know.
    pub fn insert(&mut self, hash: KeyHash, loc: Loc) {
        let order = hash.order();
        self.change(order, |page, depth| page.insert(Slot::new(order, loc), depth));
        self.len += 1;
        if self.len > self.pages() * PAGE_SLOTS {
            self.part_next();
        }
    }

    /// Puts `new` in the place of `old`, if `old` is there with this hash; says whether it was.
    pub fn replace(&mut self, hash: KeyHash, old: Loc, new: Loc) -> bool {
        let order = hash.order();
        let page_at = self.locate(order);
        self.page_mut(page_at).replace(Slot::new(order, old), Slot::new(order, new), page_at.depth)
    }

    /// Takes a location out, if it is there with this hash; says whether it was.
    pub fn remove(&mut self, hash: KeyHash, loc: Loc) -> bool {
        let order = hash.order();
        let was_there = self.change(order, |page, depth| page.remove(Slot::new(order, loc), depth));
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
    /// starts from [`HashOrder::after`] the last.
    pub fn scan(&self, from: impl Into<HashOrder>, slots_min: usize, out: &mut Vec<(HashOrder, Loc)>) -> bool {
        let from = from.into();
        let wanted = out.len() + slots_min.max(1);
        let mut page_at = self.locate(from);
        loop {
            let start = out.len();
            let slots = self.page(page_at).slots().filter(|slot| slot.order() >= from);
            out.extend(slots.map(|slot| (slot.order(), slot.loc())));
            out[start..].sort_unstable();
            if out.len() >= wanted {
                let last = out[wanted - 1].0;
                let equal = out[wanted..].iter().take_while(|(order, _)| *order == last).count();
                let cut = wanted + equal < out.len();
                out.truncate(wanted + equal);
                return cut || self.after(page_at).is_some();
            }
            match self.after(page_at) {
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
    fn after(&self, page_at: PageAt) -> Option<PageAt> {
        let at = page_at.at + 1;
        if page_at.fine && at < self.fine.len() {
            return Some(PageAt { at, ..page_at });
        }
        let at = if page_at.fine { self.parted } else { at };
        (at < self.coarse.len()).then_some(PageAt { fine: false, at, depth: self.depth })
    }

    fn page(&self, page_at: PageAt) -> &Page {
        if page_at.fine { self.fine.get(page_at.at) } else { self.coarse.get(page_at.at) }
    }

    fn page_mut(&mut self, page_at: PageAt) -> &mut Page {
        if page_at.fine { self.fine.get_mut(page_at.at) } else { self.coarse.get_mut(page_at.at) }
    }

    /// Changes the page of a hash and keeps the account of memory.
    fn change<R>(&mut self, order: HashOrder, change: impl FnOnce(&mut Page, u32) -> R) -> R {
        let page_at = self.locate(order);
        let page = self.page_mut(page_at);
        let before = page.memory_bytes();
        let result = change(page, page_at.depth);
        let after = page.memory_bytes();
        self.bucket_bytes = self.bucket_bytes - before + after;
        result
    }

    /// Parts the first coarse page that is not.
    fn part_next(&mut self) {
        let page = core::mem::take(self.coarse.get_mut(self.parted));
        self.bucket_bytes -= page.memory_bytes();
        for half in page.split(self.depth) {
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
            if self.depth == 0 {
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
        let page = Page::merge(&lower, &upper, self.depth);
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
            page.check(page_at.at as u64, page_at.depth);
            len += page.len();
            bytes += page.memory_bytes();
            pages += 1;
            match self.after(page_at) {
                Some(next) => page_at = next,
                None => break,
            }
        }
        assert_eq!((len, bytes, pages), (self.len, self.bucket_bytes, self.pages()));
    }
}

#[cfg(test)]
mod tests;
