//! Pointers: fields of a record that hold the key of a pair, in the same table or another.
//!
//! Contract: a pointer is the target's encoded key, or null (empty). It does not keep its target alive: one that leads nowhere
//! is an answer of `follow`, not an error.

use crate::key::{AsKey, Key};
use crate::record::TableType;
use domains::schema::keys::{KeyBuf, KeyError, KeyReader};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// A pointer to a pair of the table of `T`.
pub struct Ptr<T> {
    key: KeyBuf,
    to: PhantomData<fn() -> T>,
}

impl<T> Ptr<T> {
    /// The pointer that leads nowhere.
    #[must_use]
    pub fn null() -> Self {
        Self::from_key(KeyBuf::new())
    }

    /// Whether it is the null pointer.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.key.is_empty()
    }

    /// The pointer to the pair whose key has these bytes.
    #[must_use]
    pub fn from_key(key: KeyBuf) -> Self {
        Self { key, to: PhantomData }
    }

    /// The bytes of the key it names; empty when it is null.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        &self.key
    }
}

impl<T: TableType> Ptr<T> {
    /// The pointer to the pair with this key, there or not.
    #[must_use]
    pub fn to(key: impl AsKey<T::Key>) -> Self {
        Self::from_key(key.to_key())
    }

    /// The key it names; `None` when it is null.
    ///
    /// # Errors
    /// When its bytes are no key of `T` (the pointer was made from others).
    pub fn key(&self) -> Result<Option<T::Key>, KeyError> {
        if self.is_null() {
            return Ok(None);
        }
        let mut reader = KeyReader::new(&self.key);
        let key = T::Key::decode(&mut reader)?;
        reader.finish()?;
        Ok(Some(key))
    }
}

impl<T> Default for Ptr<T> {
    fn default() -> Self {
        Self::null()
    }
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        Self::from_key(self.key.clone())
    }
}

impl<T> PartialEq for Ptr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Ptr<T> {}

impl<T> PartialOrd for Ptr<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ptr<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<T> Hash for Ptr<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl<T> fmt::Debug for Ptr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("-> null");
        }
        f.write_str("-> ")?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
