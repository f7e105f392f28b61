//! A page of the hash index: all slots whose hashes begin with the same bits, in buckets of one cache line.
//!
//! A slot lies in one of two buckets that its hash names, so a lookup touches at most two cache lines. When both are full,
//! an insert moves one or two other slots to their other bucket. When that does not help, the page grows by a sixth: it
//! is built anew, a few microseconds for its few hundred slots. So a page is never far from full, and memory per slot is
//! about the same at every size.
//!
//! Slots with equal hashes have the same two buckets. From the ninth on they lie in the tail, buckets behind the hashed
//! ones that every lookup in the page reads: right for any number of them, fast for the few that a good hash makes.
//!
//! Invariants: a slot outside the tail lies in one of its two buckets; the tail is packed; empty slots are all zero.

use super::HashOrder;
use super::slot::{Compact, Slot, Wide};
use crate::index::{Loc, position};

/// Bytes of a bucket: a cache line.
const BUCKET_BYTES: usize = 64;
/// Spreads the low bits of a hash over the high ones (the golden ratio times 2^32), for the choice of the second bucket.
const SPREAD: u32 = 0x9e37_79b1;

/// One cache line of slots.
#[derive(Clone, Copy, Default, Debug)]
#[repr(align(64))]
struct Bucket<S: Slot>(S::Line);

const _: () = assert!(size_of::<Bucket<Wide>>() == BUCKET_BYTES, "a bucket is a cache line");
const _: () = assert!(size_of::<Bucket<Compact>>() == BUCKET_BYTES, "a bucket is a cache line");

impl<S: Slot> Bucket<S> {
    fn slots(&self) -> &[S] {
        self.0.as_ref()
    }

    fn get(&self, at: usize) -> S {
        self.slots()[at]
    }

    fn set(&mut self, at: usize, slot: S) {
        self.0.as_mut()[at] = slot;
    }

    fn free(&self) -> Option<usize> {
        self.slots().iter().position(|slot| slot.is_empty())
    }
}

/// The page. `depth`, wherever it is asked for, is how many leading bits its slots share; they choose no bucket.
#[derive(Default, Debug)]
pub(super) struct Page<S: Slot> {
    buckets: Vec<Bucket<S>>,
    /// The first so many buckets are chosen by hash, the others are the tail.
    hashed: u32,
    len: u32,
}

const _: () =
    assert!(size_of::<Page<Wide>>() == 32, "a page of about 256 slots costs 1/8 byte for each in the directory");

impl<S: Slot> Page<S> {
    /// One without slots or memory.
    pub(super) const EMPTY: &'static Self = &Self { buckets: Vec::new(), hashed: 0, len: 0 };

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Memory behind the page's own 32 bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket<S>>()
    }

    /// Every slot, in no order.
    pub(super) fn slots(&self) -> impl Iterator<Item = S> + '_ {
        self.buckets.iter().flat_map(|bucket| bucket.slots().iter().copied()).filter(|slot| !slot.is_empty())
    }

    /// Every location whose hash matches.
    pub(super) fn candidates(&self, order: HashOrder, depth: u32, mask: S) -> Candidates<'_, S> {
        let probe = S::probe(order);
        let (first, second) = if self.hashed == 0 { (0, 0) } else { self.homes(probe, depth) };
        let tail = self.hashed as usize;
        let next = if self.hashed == 0 {
            [tail, tail]
        } else if first == second {
            [first, tail]
        } else {
            [first, second]
        };
        Candidates { buckets: &self.buckets, next, tail, slot: 0, probe, mask }
    }

    /// Reads the first slot of both buckets: a batch of lookups does so for each key, so that the misses overlap.
    pub(super) fn touch(&self, order: HashOrder, depth: u32) -> [S; 2] {
        if self.hashed == 0 {
            return [S::default(); 2];
        }
        let (first, second) = self.homes(S::probe(order), depth);
        [self.buckets[first].get(0), self.buckets[second].get(0)]
    }

    pub(super) fn insert(&mut self, slot: S, depth: u32) {
        assert!(!slot.is_empty(), "an empty slot is not inserted");
        note_written();
        self.len = self.len.checked_add(1).expect("2^32 slots of one page are 64 GiB of equal hashes");
        if self.place(slot, depth) {
            return;
        }
        // Two full buckets in a page with room elsewhere: their slots have equal hashes, and growing would not part them.
        let room = self.hashed as usize * S::LINE_SLOTS;
        if self.hashed > 2 && (self.len() - 1 - self.tail_len()) * 10 < room * 8 {
            self.push_tail(slot);
            return;
        }
        self.rebuild(self.hashed + (self.hashed / 6).max(1), depth);
        if !self.place(slot, depth) {
            self.push_tail(slot);
        }
    }

    /// Swaps a slot for another of the same hash; false when it is not there.
    pub(super) fn replace(&mut self, old: S, new: S, depth: u32) -> bool {
        assert!(old.order() == new.order(), "a slot's hash does not change");
        let Some((bucket, at)) = self.find(old, depth) else { return false };
        self.buckets[bucket].set(at, new);
        true
    }

    /// Takes a slot out; false when it is not there.
    pub(super) fn remove(&mut self, slot: S, depth: u32) -> bool {
        let Some((bucket, at)) = self.find(slot, depth) else { return false };
        self.len -= 1;
        self.buckets[bucket].set(at, S::default());
        if bucket >= self.hashed as usize {
            self.repack_tail(bucket, at);
        }
        // Below 82 % full it is built anew at 90 %: a slot takes at most 19.5 bytes, and each eleven removals of a
        // hundred pay for one move of the hundred.
        // Where equal hashes have made the tail long, that would part nothing.
        let fitted = Self::fitted(self.len());
        let loose = self.len() * 100 < self.buckets.len() * S::LINE_SLOTS * 82;
        if loose && fitted < self.hashed && self.tail_len() * 4 <= self.len() {
            self.rebuild(fitted, depth);
        }
        true
    }

    /// Parts the page by the next bit of the hashes: the slots with 0, then those with 1.
    pub(super) fn split(self, depth: u32) -> [Self; 2] {
        let is_upper = |slot: &S| slot.order().high << depth >> 63 == 1;
        let upper = self.slots().filter(is_upper).count();
        let lower = self.len() - upper;
        [
            Self::build(self.slots().filter(|slot| !is_upper(slot)), lower, depth + 1),
            Self::build(self.slots().filter(is_upper), upper, depth + 1),
        ]
    }

    /// Undoes [`Page::split`]. `depth` is that of the page to be.
    pub(super) fn merge(lower: &Self, upper: &Self, depth: u32) -> Self {
        Self::build(lower.slots().chain(upper.slots()), lower.len() + upper.len(), depth)
    }

    fn build(slots: impl Iterator<Item = S>, len: usize, depth: u32) -> Self {
        let mut page =
            Self { buckets: Vec::new(), hashed: Self::fitted(len), len: u32::try_from(len).expect("counted in 32") };
        page.buckets = vec![Bucket::default(); page.hashed as usize];
        slots.for_each(|slot| page.place_or_tail(slot, depth));
        page
    }

    fn rebuild(&mut self, hashed: u32, depth: u32) {
        let fresh = vec![Bucket::default(); hashed as usize];
        let old = core::mem::replace(&mut self.buckets, fresh);
        self.hashed = hashed;
        let slots = old.iter().flat_map(|bucket| bucket.slots().iter().copied()).filter(|slot| !slot.is_empty());
        slots.for_each(|slot| self.place_or_tail(slot, depth));
    }

    fn place_or_tail(&mut self, slot: S, depth: u32) {
        note_written();
        if !self.place(slot, depth) {
            self.push_tail(slot);
        }
    }

    /// The two buckets of a hash, different ones as soon as there are two. The bits behind the page's own choose the first
    /// by multiplying, so that it is in proportion to any number of buckets; the low bits, spread, choose how far on the
    /// second lies.
    fn homes(&self, slot: S, depth: u32) -> (usize, usize) {
        let (high, low) = slot.choices(depth);
        let hashed = u64::from(self.hashed);
        let first = (u64::from(high) * hashed) >> 32;
        if hashed == 1 {
            return (0, 0);
        }
        let second = first + 1 + ((u64::from(low.wrapping_mul(SPREAD)) * (hashed - 1)) >> 32);
        let second = if second >= hashed { second - hashed } else { second };
        (position(first), position(second))
    }

    /// The bucket in which a slot of bucket `bucket` may lie instead.
    fn other_home(&self, slot: S, bucket: usize, depth: u32) -> usize {
        let (first, second) = self.homes(slot, depth);
        debug_assert!(bucket == first || bucket == second, "a hashed slot lies in one of its two buckets");
        if bucket == first { second } else { first }
    }

    /// Puts a slot into one of its buckets, moving at most two others for it; false when there is no way.
    fn place(&mut self, slot: S, depth: u32) -> bool {
        if self.hashed == 0 {
            return false;
        }
        let (first, second) = self.homes(slot, depth);
        for bucket in [first, second] {
            if let Some(at) = self.buckets[bucket].free() {
                self.buckets[bucket].set(at, slot);
                return true;
            }
        }
        for bucket in [first, second] {
            for at in 0..S::LINE_SLOTS {
                if self.move_on(bucket, at, depth) {
                    self.buckets[bucket].set(at, slot);
                    return true;
                }
            }
        }
        for bucket in [first, second] {
            for at in 0..S::LINE_SLOTS {
                let other = self.other_home(self.buckets[bucket].get(at), bucket, depth);
                if let Some(freed) = (0..S::LINE_SLOTS).find(|&next| self.move_on(other, next, depth)) {
                    let moved = self.buckets[bucket].get(at);
                    self.buckets[other].set(freed, moved);
                    self.buckets[bucket].set(at, slot);
                    return true;
                }
            }
        }
        false
    }

    /// Copies a slot to its other bucket when that has room; its old place is then the caller's.
    fn move_on(&mut self, bucket: usize, at: usize, depth: u32) -> bool {
        let slot = self.buckets[bucket].get(at);
        let other = self.other_home(slot, bucket, depth);
        let Some(free) = self.buckets[other].free() else { return false };
        self.buckets[other].set(free, slot);
        note_written();
        true
    }

    fn find(&self, slot: S, depth: u32) -> Option<(usize, usize)> {
        if self.buckets.is_empty() {
            return None;
        }
        let hashed = self.hashed as usize;
        let (first, second) = self.homes(slot, depth);
        let buckets = [first, second].into_iter().chain(hashed..self.buckets.len());
        let in_bucket = |bucket: usize| self.buckets[bucket].slots().iter().position(|&there| there == slot);
        buckets.map(|bucket| (bucket, in_bucket(bucket))).find_map(|(bucket, at)| Some((bucket, at?)))
    }

    /// Buckets for `len` slots, nine tenths full.
    fn fitted(len: usize) -> u32 {
        u32::try_from((len * 10).div_ceil(9 * S::LINE_SLOTS))
            .expect("2^32 slots are too many for a page, here as in insert")
    }

    fn tail_len(&self) -> usize {
        let tail = &self.buckets[self.hashed as usize..];
        tail.last()
            .map_or(0, |last| tail.len() * S::LINE_SLOTS - last.slots().iter().filter(|slot| slot.is_empty()).count())
    }

    fn push_tail(&mut self, slot: S) {
        let tail_len = self.tail_len();
        if tail_len.is_multiple_of(S::LINE_SLOTS) {
            if self.buckets.len() == self.buckets.capacity() {
                self.buckets.reserve_exact((self.buckets.len() / 8).max(1));
            }
            self.buckets.push(Bucket::default());
        }
        self.buckets[self.hashed as usize + tail_len / S::LINE_SLOTS].set(tail_len % S::LINE_SLOTS, slot);
    }

    /// Fills the hole that a removal left in the tail with the tail's last slot.
    fn repack_tail(&mut self, bucket: usize, at: usize) {
        let last = self.buckets.len() - 1;
        let end = self.buckets[last].slots().iter().rposition(|slot| !slot.is_empty());
        if let Some(end) = end.filter(|&end| (bucket, at) < (last, end)) {
            let moved = self.buckets[last].get(end);
            self.buckets[last].set(end, S::default());
            self.buckets[bucket].set(at, moved);
        }
        if self.buckets[last].slots().iter().all(|slot| slot.is_empty()) {
            self.buckets.pop();
        }
        if self.buckets.len() * 4 < self.buckets.capacity() * 3 {
            self.buckets.shrink_to_fit();
        }
    }

    /// Panics unless the invariants hold and every hash begins with the `depth` bits of `prefix`.
    #[cfg(test)]
    pub(super) fn check(&self, prefix: u64, depth: u32) {
        assert_eq!(self.slots().count(), self.len(), "the count is that of the slots");
        let hashed = self.hashed as usize;
        for (number, bucket) in self.buckets.iter().enumerate() {
            for &slot in bucket.slots() {
                if slot.is_empty() {
                    assert_eq!(slot, S::default(), "an empty slot is all zero");
                    continue;
                }
                assert_eq!(slot.order().prefix(depth), prefix, "a slot lies in the page of its hash");
                let (first, second) = if hashed == 0 { (0, 0) } else { self.homes(slot, depth) };
                assert!(number >= hashed || number == first || number == second, "a slot lies in one of its buckets");
            }
        }
        let tail = self.buckets[hashed..].iter().flat_map(|bucket| bucket.slots().iter());
        let filled = tail.take_while(|slot| !slot.is_empty()).count();
        assert_eq!(filled, self.tail_len(), "the tail is packed");
        assert_eq!(filled.div_ceil(S::LINE_SLOTS), self.buckets.len() - hashed, "the tail has no empty bucket");
    }
}

/// A slot was put somewhere: tests bound the work of a call by how many it writes.
#[inline]
fn note_written() {
    #[cfg(test)]
    WRITTEN.set(WRITTEN.get() + 1);
}

#[cfg(test)]
std::thread_local! {
    /// Slots written on this thread.
    pub(super) static WRITTEN: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

/// The locations of a page whose hash matches.
#[derive(Debug)]
pub struct Candidates<'a, S: Slot> {
    buckets: &'a [Bucket<S>],
    /// The bucket to look at, and the one after it (the tail's buckets follow one another).
    next: [usize; 2],
    tail: usize,
    /// The slot to look at.
    slot: usize,
    probe: S,
    mask: S,
}

impl<S: Slot> Iterator for Candidates<'_, S> {
    type Item = Loc;

    fn next(&mut self) -> Option<Loc> {
        while let Some(bucket) = self.buckets.get(self.next[0]) {
            while self.slot < S::LINE_SLOTS {
                let slot = bucket.get(self.slot);
                self.slot += 1;
                if slot.matches(self.probe, self.mask) {
                    return Some(slot.loc());
                }
            }
            self.slot = 0;
            let [_, after] = self.next;
            self.next = [after, if after < self.tail { self.tail } else { after + 1 }];
        }
        None
    }
}
