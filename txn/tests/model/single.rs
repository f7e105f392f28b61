//! What stands in for the atomics here: one thread, one step at a time. The shared part is printed once and not by each shard.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// A word.
#[derive(Debug)]
pub struct AtomicU64(Cell<u64>);

impl AtomicU64 {
    pub fn new(value: u64) -> Self {
        Self(Cell::new(value))
    }

    pub fn load(&self, _: Ordering) -> u64 {
        self.0.get()
    }

    pub fn store(&self, value: u64, _: Ordering) {
        self.0.set(value);
    }

    pub fn fetch_or(&self, value: u64, _: Ordering) -> u64 {
        self.0.replace(self.0.get() | value)
    }

    pub fn compare_exchange(&self, from: u64, to: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        if self.0.get() != from {
            return Err(self.0.get());
        }
        Ok(self.0.replace(to))
    }
}

/// A flag.
#[derive(Debug)]
pub struct AtomicBool(Cell<bool>);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self(Cell::new(value))
    }

    pub fn load(&self, _: Ordering) -> bool {
        self.0.get()
    }

    pub fn store(&self, value: bool, _: Ordering) {
        self.0.set(value);
    }
}

/// Orders nothing, with one thread.
pub fn fence(_: Ordering) {}

/// A shared owner that does not print what it owns.
pub struct Arc<T>(Rc<T>);

impl<T> Arc<T> {
    pub fn new(value: T) -> Self {
        Self(Rc::new(value))
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shared")
    }
}
