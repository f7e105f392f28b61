//! A record in memory that grows by more value at its end.
//!
//! Contract: what comes out is what encoding the longer pair anew would give; the value that was there is neither read nor copied,
//! unless the record begins to expire. Damage of it stays as visible as it was, since its checksum goes on where it ended.

use super::{
    EPOCH, EXPIRY_BYTES, FLAG_COMPACT, FLAG_COMPRESSED, FLAGS, HEADER_CRC, ORDINAL, RECORD_HEADER_BYTES, Record,
    VALUE_BYTES, VALUE_CRC, encode_carried, head,
};
use crate::checksum::checksum;
use crate::ids::Version;
use crate::limits::VALUE_BYTES_MAX;
use crate::place::RECORD_ALIGN;

/// Lets the record in `bytes` grow by `added`, under a new version and with what is kept with it now: expiry and flags. An expiry does not go away.
///
/// # Panics
/// If `bytes` are no pair, or the value gets longer than the format allows: both were settled when the append was accepted.
pub fn grow(
    bytes: &mut Vec<u8>,
    version: Version,
    added: &[u8],
    expires_ms: Option<u64>,
    (compressed, compact): (bool, bool),
) {
    let head = head(bytes).expect("a record in memory is whole");
    let (value_at, before, crc) = (head.value_at, head.value_bytes, checksum(head.value_crc, added));
    let value_bytes = before + added.len();
    assert!(value_bytes <= VALUE_BYTES_MAX, "a value of {value_bytes} bytes");
    if head.expires_ms.is_none() && expires_ms.is_some() {
        let value = [&bytes[value_at..value_at + before], added].concat();
        let (kind, table, key, extents, revertible) = (head.kind, head.table, head.key, head.extents, head.revertible);
        let value = &value;
        let record = Record { kind, table, version, key, value, extents, expires_ms, compressed, compact, revertible };
        let mut longer = vec![0; record.encoded_bytes()];
        encode_carried(&record, crc, &mut longer);
        *bytes = longer;
        return;
    }
    bytes.truncate(value_at + before);
    bytes.extend_from_slice(added);
    bytes.resize(bytes.len().next_multiple_of(RECORD_ALIGN), 0);
    VALUE_CRC.put(bytes, crc.to_le_bytes());
    VALUE_BYTES.put(bytes, u32::try_from(value_bytes).expect("at most 64 MiB").to_le_bytes());
    let kept = FLAGS.u8(bytes) & !(FLAG_COMPRESSED | FLAG_COMPACT);
    let flags = u8::from(compressed) * FLAG_COMPRESSED + u8::from(compact) * FLAG_COMPACT;
    FLAGS.put(bytes, [kept | flags]);
    EPOCH.put(bytes, version.epoch.0.to_le_bytes());
    ORDINAL.put(bytes, version.ordinal.0.to_le_bytes());
    if let Some(expires_ms) = expires_ms {
        bytes[RECORD_HEADER_BYTES..][..EXPIRY_BYTES].copy_from_slice(&expires_ms.to_le_bytes());
    }
    let header_crc = checksum(0, &bytes[HEADER_CRC.size..value_at]);
    HEADER_CRC.put(bytes, header_crc.to_le_bytes());
}
