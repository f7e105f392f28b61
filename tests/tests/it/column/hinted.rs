//! A column whose tables are all made with hints: whatever these say, each answer is that of the column without.
//!
//! Contract: a check that gives a hint of its own keeps it. Every other table gets the next of [`HINTS`], every hash table of a
//! compact column compact slots, and no answer shows it.

use super::{Column, Lack, Persistent};
use domains::schema::{Rule, TableKind};
use domains::{Answer, Capabilities, Horizon, Op, TableInfo, TableSpec};
use lostore::Error;
use segments::{TableId, Version};

/// Numbers of pairs expected: far too few, too many, far too many, more than there can ever be. No check gives one of these.
const HINTS: [u64; 4] = [1, 1_000_003, (1 << 40) + 1, u64::MAX];

/// The persistent domain, with hints.
pub(super) struct Hinted {
    inner: Persistent,
    tables: usize,
    compact: bool,
}

impl Hinted {
    pub(super) fn new() -> Self {
        Self { inner: Persistent::new(64), tables: 0, compact: false }
    }

    /// With compact slots for every hash table, and fingerprints of so many bits.
    pub(super) fn compact(fingerprint_bits: u8) -> Self {
        Self { inner: Persistent::new(fingerprint_bits), tables: 0, compact: true }
    }

    /// Puts the hints into a spec.
    fn hint(&mut self, spec: &mut TableSpec) {
        if spec.pairs_hint == 0 {
            spec.pairs_hint = HINTS[self.tables % HINTS.len()];
            self.tables += 1;
        }
        if self.compact && matches!(spec.kind, TableKind::Hash | TableKind::ClientHash) && !spec.has_compact_slots() {
            spec.rules.push(Rule::CompactSlots);
        }
    }
}

/// Takes out of an answer's table what was put there.
fn plain(info: &mut TableInfo) {
    info.spec.rules.retain(|rule| *rule != Rule::CompactSlots);
    if HINTS.contains(&info.spec.pairs_hint) {
        info.spec.pairs_hint = 0;
    }
}

impl Column for Hinted {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn call(&mut self, mut op: Op) -> Result<Answer, Error> {
        if let Op::CreateTable { spec, .. } | Op::OpenTable { spec: Some(spec), .. } = &mut op {
            self.hint(spec);
        }
        let mut answer = self.inner.call(op)?;
        if let Answer::Table(info) = &mut answer {
            plain(info);
        }
        if let Answer::Tables(tables) = &mut answer {
            tables.iter_mut().for_each(plain);
        }
        if let Answer::Status(status) = &mut answer {
            status.tables.iter_mut().for_each(|table| plain(&mut table.info));
        }
        Ok(answer)
    }

    fn peek(&mut self, table: TableId, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, Error> {
        self.inner.peek(table, key)
    }

    fn horizon(&self) -> Horizon {
        self.inner.horizon()
    }

    fn unix_ms(&self) -> u64 {
        self.inner.unix_ms()
    }

    fn pass(&mut self, ms: u64) {
        self.inner.pass(ms);
    }

    fn lacks(&self, what: Lack) -> bool {
        self.inner.lacks(what)
    }

    fn reopen(&mut self) {
        self.inner.reopen();
    }
}
