//! A checkpoint: a shard's indexes on the device, from which recovery starts, so that the log before it need not be replayed.
//!
//! Contract: [`CheckpointWriter`] turns items into sealed pages that somebody writes; [`find`] and [`read`] give them back. A
//! checkpoint counts only as a whole: [`read`] shows items while it goes, and whoever took them drops them again unless it ends in
//! [`Read::Whole`].
//! Invariants: the pages of a checkpoint are one chain, whatever segments they lie in: each says which page of which checkpoint it
//! is (`seq`) and names the checksum of the page before it. Its footer is the last of them. A number is not used twice in an
//! incarnation, so a page of an earlier checkpoint is never a page of this one.
//! It does not know what the items mean, when a checkpoint may have its footer (`design/transactions.md`), or which are kept.

use crate::ids::{EpochId, Incarnation, ShardId};
use crate::log::scan::{Chain, FoundRun};
use crate::page::PageError;
use thiserror::Error;

mod footer;
mod item;
mod reader;
mod writer;

#[cfg(test)]
pub(crate) use footer::LAYOUT as FOOTER_LAYOUT;
pub use footer::{CHECKPOINT_FOOTER_BYTES, Footer};
#[cfg(test)]
pub(crate) use item::layouts;
pub use item::{ITEMS_HEADER_BYTES, IndexKind, Item, Items, SegmentUse};
pub use reader::{Content, SeeItem, content, find, read};
pub use writer::CheckpointWriter;

/// From where the log is replayed when a checkpoint is recovered from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The incarnation whose log it is.
    pub incarnation: Incarnation,
    /// Which of its logs.
    pub log: ShardId,
    /// Replay begins with the page that continues this chain, be it a run's first or one in its midst.
    pub chain: Chain,
    /// The last epoch whose close record lies before that: what is whole without the pages from there on.
    pub closed: EpochId,
}

/// A checkpoint whose segments were found; nothing is known yet of what is in them.
#[derive(Clone, Debug)]
pub struct FoundCheckpoint {
    /// The incarnation that wrote it.
    pub incarnation: Incarnation,
    /// The shard that wrote it, by its number in that incarnation.
    pub log: ShardId,
    /// Which of the shard's checkpoints in that incarnation.
    pub number: u32,
    /// Its segments, in the order of their pages.
    pub segments: Vec<FoundRun>,
}

/// What became of reading a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Every item was shown, and every byte was right.
    Whole(Footer),
    /// It does not count: it was not finished, or is damaged. What it showed must be dropped.
    Not {
        /// What is wrong, and in which page.
        why: String,
    },
}

/// Why a page is none of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CheckpointError {
    /// The page itself is blank or damaged.
    #[error(transparent)]
    Page(#[from] PageError),
    /// It is a page of another kind.
    #[error("the page is of kind {found:?}, which no checkpoint has here")]
    Kind {
        /// Its kind.
        found: crate::page::PageKind,
    },
    /// An item, or what stands before the items, says something that no writer says.
    #[error("an item's field {field} has a content that this version does not write")]
    Item {
        /// Its name in the description of the format.
        field: &'static str,
    },
    /// The footer says something that no writer says.
    #[error("the footer's field {field} has a content that this version does not write")]
    Footer {
        /// Its name in the description of the format.
        field: &'static str,
    },
}

/// The sequence number of a checkpoint's page: which checkpoint, and how many of its pages came before.
fn seq_of(number: u32, pages: u32) -> u64 {
    u64::from(number) << 32 | u64::from(pages)
}

/// The two halves of a page's sequence number.
fn number_and_pages(seq: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
    (half(seq >> 32), half(seq))
}

/// The last epoch that may be named in a page of an incarnation.
fn is_known_to(incarnation: Incarnation, epoch: EpochId) -> bool {
    epoch.incarnation() <= incarnation
}

#[cfg(test)]
mod tests;
