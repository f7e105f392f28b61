//! Borrowed bytes, values that may lie in the tail, and lists with a bound.
//!
//! Contract: decoding borrows from the frame and copies no byte string; a list refuses a count above its bound before it
//! reserves room, and reserves little until elements have really come.

use crate::error::DecodeError;
use crate::limits::{LIST_RESERVE_MAX, TAIL_VALUE_BYTES_MIN};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string inside a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes<'a>(pub &'a [u8]);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = &'de [u8];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrow).map(Bytes)
    }
}

/// A record's bytes: in the body when they are few, in the frame's tail when they are many. Whoever decodes a message never
/// sees the difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Value<'a>(#[serde(borrow)] Place<'a>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Place<'a> {
    /// Here.
    Inline(#[serde(borrow)] Bytes<'a>),
    /// The next so many bytes of the tail.
    Tail(u32),
}

impl<'a> Value<'a> {
    /// A value to be sent.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Place::Inline(Bytes(bytes)))
    }

    /// The bytes.
    ///
    /// # Panics
    /// Never on a value that was made or decoded here: decoding fetches all values from the tail.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        match self.0 {
            Place::Inline(bytes) => bytes.0,
            Place::Tail(count) => unreachable!("a value of {count} bytes was not fetched from the tail"),
        }
    }
}

/// A message that holds values.
pub(crate) trait Valued<'a> {
    /// Shows each value, in the order in which they travel.
    fn each_value(&mut self, see: &mut dyn FnMut(&mut Value<'a>));
}

/// Takes the large values out of a message, for the tail.
pub(crate) fn lift<'a>(message: &mut impl Valued<'a>) -> Vec<&'a [u8]> {
    let mut tail = Vec::new();
    message.each_value(&mut |value| {
        let bytes = value.bytes();
        if bytes.len() >= TAIL_VALUE_BYTES_MIN {
            let count = u32::try_from(bytes.len()).expect("a value is at most 64 MiB");
            tail.push(bytes);
            value.0 = Place::Tail(count);
        }
    });
    tail
}

/// Puts the tail's values back into the message. The tail must be used up, exactly.
pub(crate) fn lower<'a>(message: &mut impl Valued<'a>, tail: &'a [u8]) -> Result<(), DecodeError> {
    let mut rest = Some(tail);
    message.each_value(&mut |value| {
        if let Place::Tail(count) = value.0 {
            let split = rest.and_then(|rest| rest.split_at_checked(count as usize));
            value.0 = Place::Inline(Bytes(split.map_or(&[], |(head, _)| head)));
            rest = split.map(|(_, behind)| behind);
        }
    });
    match rest {
        Some([]) => Ok(()),
        Some(_) | None => Err(DecodeError::Tail),
    }
}

/// A list of at most `MAX` elements.
#[derive(Clone, PartialEq, Eq)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// The list of these elements, if they are not too many.
    #[must_use]
    pub fn new(elements: Vec<T>) -> Option<Self> {
        (elements.len() <= MAX).then_some(Self(elements))
    }

    /// The elements.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// The elements, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for List<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
                let claimed = elements.size_hint().unwrap_or(0);
                if claimed > MAX {
                    return Err(A::Error::custom("too many elements"));
                }
                let mut list = Vec::with_capacity(claimed.min(LIST_RESERVE_MAX));
                while let Some(element) = elements.next_element()? {
                    if list.len() == MAX {
                        return Err(A::Error::custom("too many elements"));
                    }
                    list.push(element);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Elements::<T, MAX>(PhantomData)).map(Self)
    }
}
