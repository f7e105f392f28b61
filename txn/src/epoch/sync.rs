//! The atomics that shards meet in, named in one place so that a model can put its own in their stead.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
