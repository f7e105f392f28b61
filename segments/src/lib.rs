//! Arrays of pages on a device: ids, frames, the device seam, and (in their own modules) the bytes of superblock, pages,
//! records and summaries.
//!
//! Contract: this crate decides *where* bytes lie and *whether* they can be trusted; it does no I/O of its own. A caller hands
//! requests to a [`Device`](device::Device) and brings completions back.
//! It does not know transactions, tables' contents or indexes.

pub mod blocking;
pub mod checkpoint;
pub mod checksum;
pub mod cuts;
pub mod device;
mod field;
pub mod frame;
#[cfg(test)]
mod golden;
pub mod ids;
pub mod large;
pub mod limits;
pub mod log;
pub mod map;
pub mod memory;
pub mod mutants;
pub mod page;
pub mod place;
pub mod probes;
pub mod record;
pub mod segment;
pub mod summary;
pub mod superblock;

pub use device::{Completion, Device, DeviceError, Request, Tag};
pub use frame::{Frames, PAGE_BYTES, Page};
pub use ids::{DomainId, EpochId, Incarnation, Ordinal, PageNo, SegmentId, ShardId, TableId, Version};
pub use place::Place;
