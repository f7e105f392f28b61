//! The one checksum of the data format: CRC-32C, started from a seed.
//!
//! Contract: it finds every single flipped bit and every burst of up to 32 bits; it is no defence against somebody who can write
//! to the device. Pages start it from the domain's random salt, so that bytes which a client stores cannot be mistaken for a page
//! of this domain.

/// The CRC-32C of `bytes`, started from `seed`. Long input may be given in parts: the checksum of the first part is the seed of
/// the next.
///
/// ```
/// use segments::checksum::checksum;
/// assert_eq!(checksum(0, b"123456789"), 0xe306_9283);
/// assert_eq!(checksum(checksum(0, b"1234"), b"56789"), checksum(0, b"123456789"));
/// ```
#[must_use]
pub fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, bytes)
}

/// The checksum of some bytes and others behind them, of which there are so many, from the checksums of both.
///
/// ```
/// use segments::checksum::{checksum, joined};
/// assert_eq!(joined(checksum(0, b"1234"), checksum(0, b"56789"), 5), checksum(0, b"123456789"));
/// ```
#[must_use]
pub fn joined(first: u32, second: u32, second_bytes: usize) -> u32 {
    crc32c::crc32c_combine(first, second, second_bytes)
}
