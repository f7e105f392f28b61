//! The cut: what survived of an incarnation, from the close records that its logs still hold.
//!
//! Contract: a pure function. The caller has followed each log's chain from a checkpoint or the log's start, and brings a
//! [`Close`] only for close records that the unbroken chain reaches; so a close stands for all pages before it.
//!
//! Invariants: an epoch survives only if every member's close was found *and* all epochs after what is known to be
//! persistent and before it survive. Only epochs with members are ever left, so a number without a close was lost, never empty.
//!
//! It reads no device and writes nothing: the cut becomes true by being recorded together with the next incarnation.

use core::ops::Bound;
use segments::limits::SHARDS_MAX;
use segments::{EpochId, ShardId};
use std::collections::BTreeMap;
use thiserror::Error;

/// A close record found in a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Close {
    /// The epoch it closes.
    pub epoch: EpochId,
    /// The shard whose log it is in.
    pub shard: ShardId,
    /// All members of the epoch, a bit each.
    pub members: u32,
}

/// What survived, and why no more did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The last epoch that survived, with all before it.
    pub last: EpochId,
    /// The members of the epoch after it that are known to have it whole; none if that epoch left no close at all.
    pub next_found: u32,
    /// The members of the epoch after it whose close is not there; none if nobody says who the members are.
    pub next_missing: u32,
    /// The last epoch of which a close was found, dropped or not; the known persistent one if there was none after it.
    pub last_seen: EpochId,
}

/// Close records that cannot both be ours. Their pages have good checksums, so this is a defect or a mixed-up device and no
/// matter of a crash: recovery stops and changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CutError {
    /// A close of another incarnation than the one that is recovered.
    #[error("the log of shard {shard} closes epoch {epoch}, which is of another incarnation than {known}")]
    OtherIncarnation {
        /// The epoch closed.
        epoch: EpochId,
        /// The shard whose log says so.
        shard: ShardId,
        /// What is known to be persistent.
        known: EpochId,
    },
    /// A close by a shard that is not among the members it names, or with members past the limit.
    #[error("the log of shard {shard} closes epoch {epoch} with members {members:#b}, which cannot be")]
    NotAMember {
        /// The epoch closed.
        epoch: EpochId,
        /// The shard whose log says so.
        shard: ShardId,
        /// The members named.
        members: u32,
    },
    /// Two logs, or one log twice, that name different members of an epoch.
    #[error("epoch {epoch} has members {members:#b} in one close record and {others:#b} in another")]
    Contradiction {
        /// The epoch closed.
        epoch: EpochId,
        /// The members in the close met first.
        members: u32,
        /// The members in another.
        others: u32,
    },
}

/// Computes the cut. `known` is persistent for certain: the newest persistent epoch that a usable checkpoint of this
/// incarnation names, else the incarnation's base. Closes at or before `known` say nothing new; order and repetition do not
/// matter.
///
/// ```
/// use segments::{EpochId, Incarnation, ShardId};
/// use txn::cut::{Close, cut};
/// let e = |counter| EpochId::new(Incarnation(1), counter);
/// let close = |counter, shard, members| Close { epoch: e(counter), shard: ShardId(shard), members };
/// // Epoch 1 has both members, epoch 2 lacks shard 1, epoch 3 is whole but comes after a loss.
/// let closes = [close(1, 0, 0b11), close(1, 1, 0b11), close(2, 0, 0b11), close(3, 0, 0b01)];
/// let found = cut(e(0), closes)?;
/// assert_eq!((found.last, found.next_missing, found.last_seen), (e(1), 0b10, e(3)));
/// # Ok::<(), txn::cut::CutError>(())
/// ```
///
/// # Errors
/// When the closes contradict each other.
pub fn cut(known: EpochId, closes: impl IntoIterator<Item = Close>) -> Result<Cut, CutError> {
    let found = gather(known, closes)?;
    let mut last = known;
    // The map ascends, so the first number that is not the next one is a loss.
    for (epoch, gathered) in &found {
        if epoch.counter() != last.counter() + 1 || gathered.found != gathered.members {
            break;
        }
        last = *epoch;
    }
    let after = found.range((Bound::Excluded(last), Bound::Unbounded)).next();
    let next =
        after.filter(|(epoch, _)| epoch.counter() == last.counter() + 1).map(|(_, next)| *next).unwrap_or_default();
    let last_seen = found.keys().next_back().copied().unwrap_or(known);
    assert!(last >= known, "the cut is never before what is known to be persistent");
    assert!(next.members == 0 || next.found != next.members, "the epoch after the cut is not whole");
    Ok(Cut { last, next_found: next.found, next_missing: next.members & !next.found, last_seen })
}

/// What the logs say of one epoch.
#[derive(Clone, Copy, Default, Debug)]
struct Gathered {
    members: u32,
    found: u32,
}

fn gather(known: EpochId, closes: impl IntoIterator<Item = Close>) -> Result<BTreeMap<EpochId, Gathered>, CutError> {
    let mut found: BTreeMap<EpochId, Gathered> = BTreeMap::new();
    for Close { epoch, shard, members } in closes {
        if epoch.incarnation() != known.incarnation() {
            return Err(CutError::OtherIncarnation { epoch, shard, known });
        }
        if shard.0 >= SHARDS_MAX || members >> SHARDS_MAX != 0 || members & 1 << shard.0 == 0 {
            return Err(CutError::NotAMember { epoch, shard, members });
        }
        if epoch <= known {
            continue;
        }
        let gathered = found.entry(epoch).or_insert(Gathered { members, found: 0 });
        if gathered.members != members {
            return Err(CutError::Contradiction { epoch, members: gathered.members, others: members });
        }
        gathered.found |= 1 << shard.0;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
