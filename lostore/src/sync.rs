//! The primitives of the modules where threads meet: [`inbox`](crate::inbox), [`answer`](crate::answer) and [`turns`](crate::turns).
//!
//! They name their primitives through `super::sync`, so that the model checker can stand in for the standard library when
//! `tests/loom.rs` takes the same files in by path. Nothing here decides anything.

pub(crate) use std::hint::spin_loop as relax;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current, park};
