//! The words that shards share, and the rules on them that safety hangs on: pure functions, a line each.
//!
//! A word is `counter:40 | bits:24`: an epoch's number inside its incarnation, and a set of shards. Keeping both in one word
//! is what makes joining and leaving an epoch single steps.

use segments::limits::SHARDS_MAX;

/// Bits of a word that hold the set of shards.
pub(crate) const MEMBER_BITS: u32 = 24;
/// All shards.
pub(crate) const MEMBERS_ALL: u32 = (1 << MEMBER_BITS) - 1;

const _: () = assert!(SHARDS_MAX as u32 == MEMBER_BITS, "every shard has a bit");
const _: () = assert!(MEMBER_BITS + segments::ids::EPOCH_COUNTER_BITS == u64::BITS, "a word is full");

/// The word of these two.
pub(crate) fn word(counter: u64, bits: u32) -> u64 {
    counter << MEMBER_BITS | u64::from(bits)
}

/// The epoch's number in a word.
pub(crate) fn counter(word: u64) -> u64 {
    word >> MEMBER_BITS
}

/// The set of shards in a word.
pub(crate) fn bits(word: u64) -> u32 {
    u32::try_from(word & u64::from(MEMBERS_ALL)).expect("24 bits remain after the mask")
}

/// The set of shards in a word, if the word speaks of this epoch. A slot of the ring serves many epochs in turn: what it
/// says of another one must not be taken for an answer.
pub(crate) fn bits_of(word: u64, epoch_counter: u64) -> Option<u32> {
    (counter(word) == epoch_counter).then(|| bits(word))
}

/// Whether the open epoch may be left. An empty one may not: recovery could not tell "nothing was there" from "it was lost".
pub(crate) fn may_leave(members: u32, in_flight: u64, in_flight_max: u64) -> bool {
    members != 0 && in_flight < in_flight_max
}

/// Whether everybody who must have acknowledged has.
pub(crate) fn complete(members: u32, acks: u32) -> bool {
    members == acks
}
