//! Tables whose keys the client hashed: what their keys are.
//!
//! Contract: the key of such a table is one field, a `u32` or a `u64`; [`TableSpec::check_client_hash`] refuses all others when the
//! table is made, [`TableSpec::key_wanted`] refuses bytes that are no such number.

use super::{FieldType, TableKind, TableSpec};
use crate::error::Error;

impl TableSpec {
    /// How long the keys of this table are, if its client hashes them: 4 bytes or 8. `None` for all other tables.
    #[must_use]
    pub fn client_key_bytes(&self) -> Option<usize> {
        let (TableKind::ClientHash, [field]) = (self.kind, &self.key[..]) else { return None };
        match field.field_type {
            FieldType::Unsigned(32) => Some(size_of::<u32>()),
            FieldType::Unsigned(64) => Some(size_of::<u64>()),
            FieldType::Unsigned(_)
            | FieldType::Signed(_)
            | FieldType::Bool
            | FieldType::Bytes
            | FieldType::Text
            | FieldType::Pointer { .. }
            | FieldType::Other(_) => None,
        }
    }

    /// What keys of this table are, where its client hashes them and these bytes are no such key.
    pub(crate) fn key_wanted(&self, key: &[u8]) -> Option<&'static str> {
        let wanted = self.client_key_bytes()?;
        let want = if wanted == size_of::<u32>() { "4 bytes, a u32" } else { "8 bytes, a u64" };
        (key.len() != wanted).then_some(want)
    }

    /// Whether there can be such a table.
    pub(crate) fn check_client_hash(&self) -> Result<(), Error> {
        if self.kind == TableKind::ClientHash && self.client_key_bytes().is_none() {
            return Err(Error::ClientHashKey { key: self.key.clone() });
        }
        Ok(())
    }
}
