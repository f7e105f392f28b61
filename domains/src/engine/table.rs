//! A table as the engine has it: what the catalog says, and its index.

use super::find::Sought;
use crate::error::Error;
use crate::index::{
    Address, AnyHashIndex, CompactIndex, HashConfig, HashIndex, HashOrder, KeyHash, KeyHasher, Loc, OrderedIndex,
    SackIndex,
};
use crate::schema::{TableHome, TableKind};
use crate::seam::TableInfo;
use segments::EpochId;

/// The index of a table, by its kind.
#[derive(Debug)]
pub(crate) enum Index {
    Hash(AnyHashIndex),
    Ordered(OrderedIndex),
    Sack(SackIndex),
}

/// How wide the slots of hash tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Width {
    /// As the table's type asks.
    Asked,
    /// Wide, whatever it asks: while the log is replayed, and where the device has more pages than compact slots tell apart.
    Wide,
}

/// A table and its index.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) info: TableInfo,
    pub(crate) index: Index,
    /// How its keys are hashed, where its index is of hashes.
    pub(crate) hasher: KeyHasher,
    /// Bytes of its live records. Where the record that goes is not in memory, the mean is taken for it; where recovery used a
    /// summary, what the record can have at most.
    pub(crate) record_bytes: u64,
    /// Bytes of the earlier records that revertible writes keep.
    pub(crate) kept_bytes: u64,
    /// Whether any record was ever put with an expiry: then presence is known only from the record itself.
    pub(crate) expires: bool,
    /// Whether any record was ever put that names another: then a record that no index names may still be wanted.
    pub(crate) named: bool,
    /// The epoch of the commit that made it. Its id is told when that is persistent: lost in a crash, it is given again.
    pub(crate) created: EpochId,
}

impl Table {
    pub(crate) fn new(info: TableInfo, hash: &HashConfig, created: EpochId, width: Width) -> Self {
        let (bits, pairs) = (hash.fingerprint_bits, info.spec.pairs_hint);
        let index = match info.spec.kind {
            TableKind::Hash | TableKind::ClientHash => Index::Hash(match width {
                Width::Asked if info.spec.has_compact_slots() => {
                    AnyHashIndex::Compact(CompactIndex::for_pairs(bits, pairs))
                }
                Width::Asked | Width::Wide => AnyHashIndex::Wide(HashIndex::new(bits)),
            }),
            TableKind::Ordered => Index::Ordered(OrderedIndex::new()),
            TableKind::Sack => Index::Sack(SackIndex::new()),
        };
        let hasher = KeyHasher::of(hash, &info.spec);
        Self { info, index, hasher, record_bytes: 0, kept_bytes: 0, expires: false, named: false, created }
    }

    pub(crate) fn home(&self) -> TableHome {
        self.info.spec.home
    }

    /// Refuses bytes that no key of this table is, where its kind says so without a look at its pairs.
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<(), Error> {
        let address = matches!(self.index, Index::Sack(_)) && Address::decode(key).is_none();
        let want = if address { Some("8-byte addresses that it gave") } else { self.info.spec.key_wanted(key) };
        match want {
            Some(want) => Err(Error::BadKey { table: self.info.id, bytes: key.len(), want }),
            None => Ok(()),
        }
    }

    pub(crate) fn pairs(&self) -> u64 {
        let pairs = match &self.index {
            Index::Hash(index) => index.len(),
            Index::Ordered(index) => index.len(),
            Index::Sack(index) => index.len(),
        };
        pairs as u64
    }

    pub(crate) fn index_bytes(&self) -> u64 {
        let bytes = match &self.index {
            Index::Hash(index) => index.memory_bytes(),
            Index::Ordered(index) => index.memory_bytes(),
            Index::Sack(index) => index.memory_bytes(),
        };
        bytes as u64
    }

    /// Takes a part of the index apart, of a few hundred pairs, and appends their locations; says whether there was any.
    pub(crate) fn dismantle(&mut self, locs: &mut Vec<Loc>) -> bool {
        match &mut self.index {
            Index::Hash(index) => index.dismantle(locs),
            Index::Ordered(index) => index.dismantle(locs),
            Index::Sack(index) => index.dismantle(locs),
        }
    }

    /// Makes the slots as wide as the table's type asks.
    pub(crate) fn narrow(&mut self) {
        let (asked, pairs) = (self.info.spec.has_compact_slots(), self.info.spec.pairs_hint);
        if let (true, Index::Hash(index)) = (asked, &mut self.index) {
            index.narrow(pairs);
        }
    }

    /// The place of a key in the order in which a hash table is walked.
    pub(crate) fn order_of(&self, key: &[u8]) -> Option<HashOrder> {
        match &self.index {
            Index::Hash(index) => Some(index.order(self.hasher.hash(key))),
            Index::Ordered(_) | Index::Sack(_) => None,
        }
    }

    /// Whether its records must lie in the pages that compact slots tell apart.
    pub(crate) fn is_compact(&self) -> bool {
        matches!(&self.index, Index::Hash(index) if index.is_compact())
    }

    /// What a live record has on average.
    pub(crate) fn record_bytes_mean(&self) -> u64 {
        self.record_bytes / self.pairs().max(1)
    }

    /// Makes the key's pair lie at `new` instead of `old`.
    pub(crate) fn point(&mut self, sought: Sought<'_>, old: Option<Loc>, new: Option<Loc>) {
        let Sought { key, hash } = sought;
        match &mut self.index {
            Index::Hash(index) => {
                point_hash(index, hash.expect("a key of a hash table comes with its hash"), old, new);
            }
            Index::Ordered(index) => {
                let before = match new {
                    Some(new) => index.insert(key, new),
                    None => index.remove(key),
                };
                assert_eq!(before, old, "the key was looked up in the same turn");
            }
            Index::Sack(index) => {
                let address = Address::decode(key).expect("the key was checked in the same turn");
                match new {
                    Some(new) => {
                        let before = index.put(address, new).expect("the address was checked in the same turn");
                        assert_eq!(before, old, "the key was looked up in the same turn");
                    }
                    None => {
                        let before = index.remove(address);
                        assert_eq!(before, old, "the key was looked up in the same turn");
                    }
                }
            }
        }
    }
}

/// Makes the pair of a hash lie at `new` instead of `old`.
pub(crate) fn point_hash(index: &mut AnyHashIndex, hashed: KeyHash, old: Option<Loc>, new: Option<Loc>) {
    let done = match (old, new) {
        (Some(old), Some(new)) => index.replace(hashed, old, new),
        (Some(old), None) => index.remove(hashed, old),
        (None, Some(new)) => {
            index.insert(hashed, new);
            true
        }
        (None, None) => true,
    };
    assert!(done, "the key was looked up in the same turn");
}
