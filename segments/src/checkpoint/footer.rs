//! The footer of a checkpoint: its last page, without which the rest says nothing.
//!
//! Contract: [`Footer::parse`] takes what a page's payload says and refuses what contradicts the page's own header.
//! Invariants: what the checkpoint points to was persistent when the footer was written (`applied` is not after `persistent`), and
//! nothing of it is later than the incarnation that wrote it.

use super::{CheckpointError, Start, is_known_to, number_and_pages};
use crate::field::{Field, is_zero, tiled};
use crate::ids::{EpochId, Incarnation, ShardId};
use crate::limits::SHARDS_MAX;
use crate::log::scan::Chain;
use crate::page::PageHeader;

/// Bytes of a footer, in the payload of its page.
pub const CHECKPOINT_FOOTER_BYTES: usize = 64;

const NUMBER: Field = Field::new(0, 4, "number");
const PAGES: Field = Field::new(4, 4, "pages");
const ITEMS: Field = Field::new(8, 8, "items");
const APPLIED: Field = Field::new(16, 8, "applied");
const PERSISTENT: Field = Field::new(24, 8, "persistent");
const START_SEQ: Field = Field::new(32, 8, "start_seq");
const START_PREVIOUS: Field = Field::new(40, 4, "start_previous");
const START_INCARNATION: Field = Field::new(44, 4, "start_incarnation");
const START_LOG: Field = Field::new(48, 1, "start_log");
const ZERO: Field = Field::new(49, 7, "zero");
const START_CLOSED: Field = Field::new(56, 8, "start_closed");
pub(crate) const LAYOUT: [Field; 11] = [
    NUMBER,
    PAGES,
    ITEMS,
    APPLIED,
    PERSISTENT,
    START_SEQ,
    START_PREVIOUS,
    START_INCARNATION,
    START_LOG,
    ZERO,
    START_CLOSED,
];

const _: () = assert!(tiled(&LAYOUT) == CHECKPOINT_FOOTER_BYTES, "the fields are the footer");

/// What the footer of a checkpoint says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Footer {
    /// Which of the shard's checkpoints in its incarnation.
    pub number: u32,
    /// From where the log is replayed.
    pub start: Start,
    /// The latest epoch that the shard had applied when the last item was written.
    pub applied: EpochId,
    /// The last persistent epoch when the footer was written; not before `applied`.
    pub persistent: EpochId,
    /// Pages of the checkpoint before the footer, headers of segments included.
    pub pages: u32,
    /// Items in them.
    pub items: u64,
}

impl Footer {
    /// Writes the footer to the front of a payload that is zero.
    ///
    /// # Panics
    /// If it breaks a rule that [`parse`](Self::parse) checks: it is ours.
    pub(super) fn encode(&self, payload: &mut [u8], incarnation: Incarnation) {
        let refused = self.refused(incarnation);
        assert!(refused.is_none(), "a footer whose {refused:?} is wrong: {self:?}");
        NUMBER.put(payload, self.number.to_le_bytes());
        PAGES.put(payload, self.pages.to_le_bytes());
        ITEMS.put(payload, self.items.to_le_bytes());
        APPLIED.put(payload, self.applied.0.to_le_bytes());
        PERSISTENT.put(payload, self.persistent.0.to_le_bytes());
        START_SEQ.put(payload, self.start.chain.next_seq.to_le_bytes());
        START_PREVIOUS.put(payload, self.start.chain.previous.to_le_bytes());
        START_INCARNATION.put(payload, self.start.incarnation.0.to_le_bytes());
        START_LOG.put(payload, [self.start.log.0]);
        START_CLOSED.put(payload, self.start.closed.0.to_le_bytes());
    }

    /// The footer in the payload of a page with this header.
    ///
    /// # Errors
    /// If a field says what no writer says, or contradicts the page's header.
    pub(super) fn parse(header: &PageHeader, payload: &[u8]) -> Result<Self, CheckpointError> {
        if payload.len() != CHECKPOINT_FOOTER_BYTES {
            return Err(CheckpointError::Footer { field: "used" });
        }
        let footer = Self {
            number: NUMBER.u32(payload),
            start: Start {
                incarnation: Incarnation(START_INCARNATION.u32(payload)),
                log: ShardId(START_LOG.u8(payload)),
                chain: Chain { next_seq: START_SEQ.u64(payload), previous: START_PREVIOUS.u32(payload) },
                closed: EpochId(START_CLOSED.u64(payload)),
            },
            applied: EpochId(APPLIED.u64(payload)),
            persistent: EpochId(PERSISTENT.u64(payload)),
            pages: PAGES.u32(payload),
            items: ITEMS.u64(payload),
        };
        let (number, pages) = number_and_pages(header.seq);
        let refused = [
            ("owner", header.owner.0 != 0),
            (NUMBER.name, footer.number != number),
            (PAGES.name, footer.pages != pages),
            (ZERO.name, !is_zero(ZERO.of(payload))),
        ];
        let refused = refused.into_iter().find_map(|(field, wrong)| wrong.then_some(field));
        match refused.or(footer.refused(header.incarnation)) {
            Some(field) => Err(CheckpointError::Footer { field }),
            None => Ok(footer),
        }
    }

    /// The first field that no checkpoint of this incarnation has.
    fn refused(&self, incarnation: Incarnation) -> Option<&'static str> {
        let refused = [
            (PAGES, self.pages == 0),
            (APPLIED, self.applied > self.persistent),
            (PERSISTENT, !is_known_to(incarnation, self.persistent)),
            (START_SEQ, self.start.chain.next_seq == 0),
            (START_INCARNATION, self.start.incarnation > incarnation),
            (START_LOG, self.start.log.0 >= SHARDS_MAX),
            (START_CLOSED, self.start.closed > self.applied),
        ];
        refused.into_iter().find_map(|(field, wrong)| wrong.then_some(field.name))
    }
}
