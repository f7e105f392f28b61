//! Revert and seal: what they find, and what they write again.
//!
//! Contract: both want the pair to be at the token's version, written as revertible and within its lease. A revert writes the
//! record before it anew, with its extents, its expiry and its flag, or a tombstone where there was none; a seal writes the record
//! itself anew, without what made it revertible. What extents hold is named again and not copied. Either is an ordinary record under a new version, so a crash leaves the one or the other, and
//! recovery knows nothing of reverts.

use super::core::{Core, Old, Restores};
use super::extend::{Grown, OrPlaces};
use super::find::{Found, Known, OTHER_KEY, Sight, Want, corrupt};
use super::table::Table;
use crate::error::Error;
use crate::index::Loc;
use crate::schema::TableHome;
use crate::seam::Tick;
use segments::Version;
use segments::cuts::Fate;
use segments::log::room::RoomNeed;
use segments::record::{Extents, RecordKind, Revertible};
use std::collections::BTreeMap;
use txn::limits::SET_BYTES_MAX;
use txn::{Change, CommitSet, Part, PutOptions};

/// What is written for a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite<'a> {
    pub(crate) kind: RecordKind,
    /// Earlier records that the value begins in.
    pub(crate) extents: Extents<'a>,
    pub(crate) value: &'a [u8],
    pub(crate) options: PutOptions,
}

impl Rewrite<'static> {
    /// A tombstone.
    pub(crate) const GONE: Self = Self {
        kind: RecordKind::Tombstone,
        extents: Extents::NONE,
        value: &[],
        options: PutOptions { expires_ms: None, compressed: false, compact: false, revertible_ms: None },
    };
}

impl<'a> Rewrite<'a> {
    /// A record that holds its whole value.
    pub(crate) fn pair(value: &'a [u8], options: PutOptions) -> Self {
        Self { kind: RecordKind::Pair, extents: Extents::NONE, value, options }
    }

    /// What an append makes of a record.
    pub(crate) fn grown(grown: &'a Grown) -> Self {
        let (extents, value) = (Extents::new(&grown.extents), &grown.value[..]);
        Self { kind: RecordKind::Pair, extents, value, options: grown.options }
    }
}

/// What a commit set's reverts and seals write, by the number of the part: copies, since what they are copied from may leave
/// memory as the set is applied.
#[derive(Debug, Default)]
pub(crate) struct Rewrites(BTreeMap<usize, Copied>);

/// A record that is written again, or its absence.
#[derive(Debug)]
struct Copied {
    key_bytes: usize,
    record: Option<Grown>,
}

impl Rewrites {
    /// Gathers them from memory, where the checks have just found them.
    pub(crate) fn of(core: &Core, set: &CommitSet, olds: &[Old], known: &Known) -> Result<Self, Error> {
        let (mut rewrites, mut bytes) = (BTreeMap::new(), 0);
        for (number, (part, old)) in set.parts().zip(olds).enumerate() {
            let record = match old.restores {
                Restores::Nothing => continue,
                Restores::Absence => None,
                Restores::Record(loc) => {
                    let Sight::Found(found) = core.found_at(core.table(part.table)?, loc, known, Want::Own)? else {
                        unreachable!("the checks of the same turn have found it")
                    };
                    Some(found.again())
                }
            };
            bytes += record.as_ref().map_or(0, |record| record.value.len());
            if bytes > SET_BYTES_MAX {
                let what = "the bytes that one transaction reverts and seals";
                return Err(Error::Limit { what, value: bytes as u64, limit: SET_BYTES_MAX as u64 });
            }
            rewrites.insert(number, Copied { key_bytes: part.key.len(), record });
        }
        Ok(Self(rewrites))
    }

    /// What a part writes.
    pub(crate) fn part(&self, number: usize) -> Rewrite<'_> {
        let copied = self.0.get(&number).expect("every revert and seal was gathered");
        copied.record.as_ref().map_or(Rewrite::GONE, Rewrite::grown)
    }

    /// The room that they take.
    pub(crate) fn add_to(&self, need: &mut RoomNeed) {
        for Copied { key_bytes, record } in self.0.values() {
            match record {
                None => need.add(*key_bytes, 0, false),
                Some(record) => record.add_to(need, *key_bytes),
            }
        }
    }
}

/// How many revertible writes a set makes, and how many bytes they keep.
pub(crate) fn kept_by(set: &CommitSet, olds: &[Old]) -> (usize, u64) {
    let keeps = |part: &Part<'_>| match part.change {
        Change::Put { options, .. } | Change::Append { options, .. } => options.revertible_ms.is_some(),
        Change::None | Change::Delete | Change::Revert { .. } | Change::Seal { .. } => false,
    };
    let kept = |old: &Old| if old.live { old.kept_bytes() } else { 0 };
    let olds = set.parts().zip(olds).filter(|(part, _)| keeps(part));
    olds.fold((0, 0), |(writes, bytes), (_, old)| (writes + 1, bytes + kept(old)))
}

/// Whether a token can be of this life of its table at all: a write that a crash undid has none any more.
pub(crate) fn check_token(core: &Core, table: &Table, token: Version) -> Result<(), Error> {
    let lost = match core.cuts.fate(token.epoch) {
        Fate::Lost | Fate::Unborn => true,
        Fate::Survived => table.home() == TableHome::Volatile,
        Fate::Present => false,
    };
    if lost { Err(Error::NoSuchToken { table: table.info.id, token }) } else { Ok(()) }
}

impl Old {
    /// What the record of a write says of the state before, when the write is to be revertible.
    pub(crate) fn revertible(&self, options: PutOptions, now: Tick) -> Option<Revertible> {
        let previous = self.loc.filter(|_| self.live).map_or(0, Loc::to_bits);
        options.revertible_ms.map(|lease_ms| Revertible { previous, until_ms: now.unix_ms.saturating_add(lease_ms) })
    }

    /// Bytes of the record before that are kept for a revert alone: not those that the new record names.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.grown.as_ref().map_or(0, |grown| grown.shared_bytes))
    }
}

impl Core {
    /// What a revert or a seal of a pair that is at the token's version makes of it; or the place that must be read first.
    pub(crate) fn restores(
        &self,
        table: &Table,
        part: &Part<'_>,
        (loc, found): (Loc, &Found<'_>),
        known: &Known,
        now: Tick,
    ) -> Result<OrPlaces<Restores>, Error> {
        let Some(revertible) = found.revertible else {
            return Err(Error::NoSuchToken { table: table.info.id, token: found.version });
        };
        if revertible.until_ms <= now.unix_ms || !self.keeps(table.home(), loc) {
            return Err(Error::LeaseEnded { token: found.version, until_ms: revertible.until_ms });
        }
        let from = match part.change {
            Change::Seal { .. } => loc,
            Change::Revert { .. } if revertible.previous == 0 => return Ok(Ok(Restores::Absence)),
            Change::Revert { .. } => Loc::new(revertible.previous),
            Change::None | Change::Put { .. } | Change::Delete | Change::Append { .. } => {
                unreachable!("{part:?} restores nothing")
            }
        };
        Ok(match self.found_at(table, from, known, Want::Own)? {
            Sight::Unread(places) => Err(places),
            Sight::Found(found) if found.key() == part.key => Ok(Restores::Record(from)),
            Sight::Found(_) => return Err(corrupt(table.info.id, from, OTHER_KEY)),
        })
    }
}
