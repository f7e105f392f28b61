//! The bytes of one copy of the superblock.
//!
//! Contract: what [`encode`] writes, [`read`] gives back; anything else it calls by its name ([`CopyFound`]).
//! Invariants: magic, version, checksum and the way the checksum is computed keep their place in every version of the format, so
//! that each version can tell another from damage; bytes without a meaning are zero.

use super::{
    CopyFound, CopyRead, Features, SUPERBLOCK_COPIES, SUPERBLOCK_COPY_BYTES, SUPERBLOCK_COPY_PAGES, SUPERBLOCK_PAGES,
    Superblock, is_zero,
};
use crate::checksum::checksum;
use crate::field::{Field, tiled};
use crate::frame::Frames;
use crate::ids::{DomainId, EpochId, INCARNATION_MAX, Incarnation};
use crate::limits::{SEGMENT_PAGES_MIN, SHARDS_MAX};

/// The first bytes of every store.
pub const SUPERBLOCK_MAGIC: [u8; 8] = *b"lostore\n";
/// The version of the data format that this code reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes before the cuts.
const FIXED_BYTES: usize = 128;
/// Bytes of a cut: an epoch id, which names its incarnation.
const CUT_BYTES: usize = 8;
/// How many cuts a superblock holds: 65 408 bytes of 8. The oldest make room: headers of segments name them.
pub const CUTS_MAX: usize = (SUPERBLOCK_COPY_BYTES - FIXED_BYTES) / CUT_BYTES;

const MAGIC: Field = Field::new(0, 8, "magic");
const FORMAT: Field = Field::new(8, 4, "format");
const CHECKSUM: Field = Field::new(12, 4, "checksum");
const COPY: Field = Field::new(16, 1, "copy");
const SHARDS: Field = Field::new(17, 1, "shards");
const ZERO_A: Field = Field::new(18, 2, "zero");
const SEGMENT_PAGES: Field = Field::new(20, 4, "segment_pages");
const SEQUENCE: Field = Field::new(24, 8, "sequence");
const DOMAIN: Field = Field::new(32, 16, "domain");
const HASH_KEY: Field = Field::new(48, 16, "hash_key");
const SALT: Field = Field::new(64, 4, "salt");
const INCARNATION: Field = Field::new(68, 4, "incarnation");
const INCOMPATIBLE: Field = Field::new(72, 8, "incompatible");
const READ_ONLY: Field = Field::new(80, 8, "read_only_compatible");
const COMPATIBLE: Field = Field::new(88, 8, "compatible");
const CUT_COUNT: Field = Field::new(96, 4, "cut_count");
const ZERO_B: Field = Field::new(100, 4, "zero");
const PAGES: Field = Field::new(104, 8, "pages");
const CLOSED: Field = Field::new(112, 8, "closed");
const ZERO_C: Field = Field::new(120, 8, "zero");
const CUTS: Field = Field::new(FIXED_BYTES, SUPERBLOCK_COPY_BYTES - FIXED_BYTES, "cuts");
pub(crate) const LAYOUT: [Field; 21] = [
    MAGIC,
    FORMAT,
    CHECKSUM,
    COPY,
    SHARDS,
    ZERO_A,
    SEGMENT_PAGES,
    SEQUENCE,
    DOMAIN,
    HASH_KEY,
    SALT,
    INCARNATION,
    INCOMPATIBLE,
    READ_ONLY,
    COMPATIBLE,
    CUT_COUNT,
    ZERO_B,
    PAGES,
    CLOSED,
    ZERO_C,
    CUTS,
];

const _: () = assert!(tiled(&LAYOUT) == SUPERBLOCK_COPY_BYTES, "the fields are the copy");
const _: () = assert!(CUTS_MAX == 8176, "as the format says");

/// The bytes of a copy.
pub(super) fn encode(superblock: &Superblock, copy: u8) -> Frames {
    assert!(copy < SUPERBLOCK_COPIES, "there are {SUPERBLOCK_COPIES} copies, not {copy}");
    assert!(is_sane(superblock), "a superblock that no reader accepts: {superblock:?}");
    let mut frames = Frames::zeroed(usize::try_from(SUPERBLOCK_COPY_PAGES).expect("sixteen"));
    let bytes = frames.bytes_mut();
    MAGIC.put(bytes, SUPERBLOCK_MAGIC);
    FORMAT.put(bytes, FORMAT_VERSION.to_le_bytes());
    COPY.put(bytes, [copy]);
    SHARDS.put(bytes, [superblock.shards]);
    SEGMENT_PAGES.put(bytes, superblock.segment_pages.to_le_bytes());
    SEQUENCE.put(bytes, superblock.sequence.to_le_bytes());
    DOMAIN.put(bytes, superblock.domain.0.to_le_bytes());
    HASH_KEY.put(bytes, superblock.hash_key);
    SALT.put(bytes, superblock.salt.to_le_bytes());
    INCARNATION.put(bytes, superblock.incarnation.0.to_le_bytes());
    INCOMPATIBLE.put(bytes, superblock.features.incompatible.to_le_bytes());
    READ_ONLY.put(bytes, superblock.features.read_only_compatible.to_le_bytes());
    COMPATIBLE.put(bytes, superblock.features.compatible.to_le_bytes());
    let count = u32::try_from(superblock.cuts.len()).expect("at most CUTS_MAX");
    CUT_COUNT.put(bytes, count.to_le_bytes());
    PAGES.put(bytes, superblock.pages.to_le_bytes());
    CLOSED.put(bytes, superblock.closed.map_or(0, |epoch| epoch.0).to_le_bytes());
    for (slot, (_, cut)) in bytes[CUTS.at..].chunks_exact_mut(CUT_BYTES).zip(&superblock.cuts) {
        slot.copy_from_slice(&cut.0.to_le_bytes());
    }
    let sum = sum(bytes);
    CHECKSUM.put(bytes, sum.to_le_bytes());
    frames
}

/// What stands in the place of copy `position`.
pub(super) fn read(bytes: &[u8], position: u8) -> CopyRead {
    if is_zero(bytes) {
        return CopyRead::Other(CopyFound::Blank);
    }
    if bytes.len() < MAGIC.size || MAGIC.of(bytes) != SUPERBLOCK_MAGIC {
        return CopyRead::Other(CopyFound::Foreign);
    }
    if bytes.len() != SUPERBLOCK_COPY_BYTES || CHECKSUM.u32(bytes) != sum(bytes) {
        return CopyRead::Other(CopyFound::Damaged);
    }
    let version = FORMAT.u32(bytes);
    if version != FORMAT_VERSION {
        return CopyRead::Other(CopyFound::OtherFormat { version });
    }
    let unknown = INCOMPATIBLE.u64(bytes) & !Features::KNOWN.incompatible;
    if unknown != 0 {
        return CopyRead::Other(CopyFound::UnknownFeatures { incompatible: unknown });
    }
    match content(bytes, position) {
        Some(superblock) => CopyRead::Valid(superblock),
        None => CopyRead::Other(CopyFound::Damaged),
    }
}

/// The content of a copy whose checksum and version are right, unless it breaks a rule.
fn content(bytes: &[u8], position: u8) -> Option<Superblock> {
    let count = usize::try_from(CUT_COUNT.u32(bytes)).ok().filter(|count| *count <= CUTS_MAX)?;
    let (cuts, unused) = CUTS.of(bytes).split_at(count * CUT_BYTES);
    let zeros = [ZERO_A.of(bytes), ZERO_B.of(bytes), ZERO_C.of(bytes), unused];
    if COPY.u8(bytes) != position || !zeros.into_iter().all(is_zero) {
        return None;
    }
    let cut = |bytes: &[u8]| {
        let epoch = EpochId(u64::from_le_bytes(bytes.try_into().expect("chunks of a cut's size")));
        (epoch.incarnation(), epoch)
    };
    let superblock = Superblock {
        domain: DomainId(DOMAIN.u128(bytes)),
        sequence: SEQUENCE.u64(bytes),
        salt: SALT.u32(bytes),
        hash_key: HASH_KEY.of(bytes).try_into().expect("the field has sixteen bytes"),
        segment_pages: SEGMENT_PAGES.u32(bytes),
        features: Features {
            incompatible: INCOMPATIBLE.u64(bytes),
            read_only_compatible: READ_ONLY.u64(bytes),
            compatible: COMPATIBLE.u64(bytes),
        },
        incarnation: Incarnation(INCARNATION.u32(bytes)),
        shards: SHARDS.u8(bytes),
        pages: PAGES.u64(bytes),
        closed: Some(EpochId(CLOSED.u64(bytes))).filter(|epoch| epoch.0 != 0),
        cuts: cuts.chunks_exact(CUT_BYTES).map(cut).collect(),
    };
    is_sane(&superblock).then_some(superblock)
}

/// The rules that writer and reader share.
fn is_sane(superblock: &Superblock) -> bool {
    let cuts = &superblock.cuts;
    superblock.incarnation.0 <= INCARNATION_MAX
        && (1..=SHARDS_MAX).contains(&superblock.shards)
        && superblock.segment_pages >= SEGMENT_PAGES_MIN
        && is_sane_end(superblock)
        && cuts.len() <= CUTS_MAX
        && cuts.iter().all(|(incarnation, cut)| cut.incarnation() == *incarnation)
        && cuts.is_sorted_by(|(before, _), (after, _)| before < after)
        && cuts.last().is_none_or(|(incarnation, _)| *incarnation < superblock.incarnation)
}

/// Length and end are there where the features say so, and only there.
fn is_sane_end(superblock: &Superblock) -> bool {
    let Superblock { pages, closed, incarnation, .. } = superblock;
    if superblock.features.incompatible & Features::ENDS == 0 {
        return *pages == 0 && closed.is_none();
    }
    *pages >= SUPERBLOCK_PAGES && closed.is_none_or(|epoch| epoch.0 != 0 && epoch.incarnation() == *incarnation)
}

/// The checksum of all bytes but the checksum's own.
fn sum(bytes: &[u8]) -> u32 {
    let (before, after) = (&bytes[..CHECKSUM.at], &bytes[CHECKSUM.at + CHECKSUM.size..]);
    checksum(checksum(0, before), after)
}
