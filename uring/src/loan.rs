//! A buffer lent to the kernel.
//!
//! While a request is in flight the kernel may write to the buffer's memory at any moment, so nothing on our side may own it
//! as a `Box`: a `Box` promises that nobody else touches its content, even while it is merely moved. A [`Loan`] keeps the
//! address only. Dropping a loan leaks the memory, on purpose: a leak is harmless, a freed buffer that the kernel still fills
//! is not. The one way back is [`Loan::home`].

use crate::io::Memory;
use core::ops::Range;
use core::ptr::NonNull;

/// The address of a buffer that the kernel may be using.
#[derive(Debug)]
pub(crate) struct Loan<P> {
    buffer: NonNull<[P]>,
}

impl<P: Memory> Loan<P> {
    /// Lends the buffer out.
    pub(crate) fn new(buffer: Box<[P]>) -> Self {
        Self { buffer: NonNull::from(Box::leak(buffer)) }
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.len() * size_of::<P>()
    }

    /// The address of the first byte of `range`, and how many bytes follow.
    pub(crate) fn target(&self, range: Range<usize>) -> Target {
        assert!(range.start < range.end && range.end <= self.bytes(), "{range:?} of {} bytes", self.bytes());
        let first: *mut u8 = self.buffer.cast::<u8>().as_ptr();
        let bytes = u32::try_from(range.end - range.start).expect("a transfer is below 1 GiB");
        Target { first: first.wrapping_add(range.start), bytes }
    }

    /// Takes the buffer home.
    ///
    /// # Safety
    /// No request with this loan's address may be in flight, or be issued later.
    pub(crate) unsafe fn home(self) -> Box<[P]> {
        // SAFETY: `from_raw` wants the pointer of a box that nobody else owns: `new` leaked exactly one box into this loan, the
        // loan is consumed here, and the caller vouches that the kernel is done with it.
        unsafe { Box::from_raw(self.buffer.as_ptr()) }
    }
}

/// Where the kernel is to read or write, and how much. Only a [`Loan`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    first: *mut u8,
    bytes: u32,
}

impl Target {
    /// The first byte.
    pub(crate) fn first(self) -> *mut u8 {
        self.first
    }

    /// How many bytes.
    pub(crate) fn bytes(self) -> u32 {
        self.bytes
    }
}
