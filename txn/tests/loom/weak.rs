//! Atomics with one strength taken away: what the weakened twins run on.

use loom::sync::atomic::{AtomicU64, Ordering};

/// An atomic word of which one operation is no longer what it says: `OR` answers with an earlier load (read, then join);
/// `CAS` is a load and a store.
#[derive(Debug)]
pub struct WeakU64<const OR: bool, const CAS: bool>(AtomicU64);

impl<const OR: bool, const CAS: bool> WeakU64<OR, CAS> {
    pub fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    pub fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        if !OR {
            return self.0.fetch_or(value, order);
        }
        let seen = self.0.load(Ordering::Relaxed);
        self.0.fetch_or(value, order);
        seen
    }

    pub fn compare_exchange(&self, from: u64, to: u64, ok: Ordering, failed: Ordering) -> Result<u64, u64> {
        if !CAS {
            return self.0.compare_exchange(from, to, ok, failed);
        }
        let seen = self.0.load(Ordering::Acquire);
        if seen != from {
            return Err(seen);
        }
        self.0.store(to, Ordering::Release);
        Ok(seen)
    }
}

/// A fence that orders nothing.
pub fn no_fence(_: Ordering) {}
