//! How the keys of a hash table become the hashes that its index is found by.
//!
//! Contract: a table has one [`KeyHasher`] for as long as the domain lives, and equal keys have equal hashes. Of keys that the
//! store hashes, 73 bits of a keyed hash stand for the key. Of keys that the client hashed, the number itself does: the mix is a
//! bijection of 64 bits, so two such keys never share a hash, and a slot that matches *is* the key's.
//!
//! What it does not do: the mix is no hash against an adversary. It spreads what a client gives (the index takes the leading
//! bits, and sequential keys differ in the trailing ones), and it begins with a secret word of the domain, so that nobody can
//! work out from the source alone which keys meet. Whoever lets strangers choose the numbers themselves has hashed nothing, and
//! may be given keys that crowd one page of the index: results stay right, and inserts into that page become slow.

use super::{HashConfig, KeyHash};
use crate::schema::TableSpec;

/// What is hashed under the domain's key to give the secret word of the mix. The word never reaches a device.
const WORD_OF: &[u8] = b"lostore: keys that the client hashed";

/// From a key to its hash, as the table's kind says.
///
/// ```
/// use domains::index::{HashConfig, KeyHasher};
/// let config = HashConfig { key: [7; 16], fingerprint_bits: 64 };
/// let hasher = KeyHasher::of_client(&config, 8);
/// assert_ne!(hasher.hash(&[0, 0, 0, 0, 0, 0, 0, 1]), hasher.hash(&[0, 0, 0, 0, 0, 0, 0, 2]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyHasher {
    /// The store hashes the key's bytes.
    Store(HashConfig),
    /// The key is a number that the client hashed, of so many bytes (4 or 8), the most significant first.
    Client {
        /// Its length.
        key_bytes: usize,
        /// The domain's secret word.
        word: u64,
    },
}

impl KeyHasher {
    /// That of a table.
    #[must_use]
    pub fn of(config: &HashConfig, spec: &TableSpec) -> Self {
        match spec.client_key_bytes() {
            Some(key_bytes) => Self::of_client(config, key_bytes),
            None => Self::Store(*config),
        }
    }

    /// That of numbers of so many bytes which the client hashed.
    #[must_use]
    pub fn of_client(config: &HashConfig, key_bytes: usize) -> Self {
        let word = config.hash(WORD_OF).order().high;
        Self::Client { key_bytes, word }
    }

    /// The hash of a key. Bytes that are no key of such a table have one that no key has.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        match self {
            Self::Store(config) => config.hash(key),
            Self::Client { key_bytes, word } => match number(key, *key_bytes) {
                Some(number) => KeyHash(u128::from(mix(number ^ word)) << 64),
                None => KeyHash(u128::from(u64::MAX)),
            },
        }
    }

    /// Whether summaries keep the key's hash for it: shorter than most keys, and the index needs no more. A number that the
    /// client hashed is shorter still.
    #[must_use]
    pub fn stands_for_keys(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// The number that a key of so many bytes is.
fn number(key: &[u8], key_bytes: usize) -> Option<u64> {
    if key.len() != key_bytes {
        return None;
    }
    match key_bytes {
        4 => key.try_into().ok().map(|key| u64::from(from_key_u32(key))),
        _ => key.try_into().ok().map(super::from_order_preserving),
    }
}

fn from_key_u32(mut key: [u8; 4]) -> u32 {
    key.reverse();
    u32::from_le_bytes(key)
}

/// The finaliser of `MurmurHash3` (Austin Appleby, public domain): a bijection in which each bit of the number changes each bit of
/// the result in about half of all cases.
fn mix(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}

#[cfg(test)]
mod tests;
