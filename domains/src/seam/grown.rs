//! A pair that grows: what an append makes of it, the same for whoever has it in memory.

use super::Pair;
use segments::Version;
use txn::PutOptions;

impl Pair {
    /// What a transaction that appends to a key sees there: it has no version yet.
    #[must_use]
    pub fn with_own_append(found: Option<Self>, key: &[u8], added: &[u8], options: PutOptions) -> Self {
        let none = || Self {
            key: key.to_vec(),
            value: Vec::new(),
            version: Version::default(),
            expires_ms: None,
            compressed: false,
        };
        let mut pair = found.unwrap_or_else(none);
        pair.append(added, options);
        pair.version = Version::default();
        pair
    }

    /// What an append makes of it, but for its version.
    pub fn append(&mut self, added: &[u8], options: PutOptions) {
        let options = txn::appended(self.options(), options);
        self.value.extend_from_slice(added);
        (self.expires_ms, self.compressed) = (options.expires_ms, options.compressed);
    }
}
