//! The simulator: a world of one seed in which the shipped engine runs, and the judge of what it does there.
//!
//! * [`SimDevice`] loses, reorders and tears what was not flushed; [`Image`] is what a power failure leaves of it;
//! * [`SimClock`] is the only time, [`Rng`] the only chance, [`Trace`] the proof that a seed explains a run;
//! * [`Model`] is the oracle: plain sorted maps, the history of commits, and what recovery must make of them;
//! * [`fuzz`] is every place where bytes from outside are taken for something;
//! * [`Workload`] invents what a client does, as far as its [`Features`] say; [`harness`] brings all of it together around a domain.
//!
//! # Fault model
//!
//! What a device does in the simulation:
//!
//! * Requests complete in any order, late, several at a time. A request has taken effect when it completes, or, cut off by a failure, may
//!   have.
//! * *Power failure.* A write that no completed flush covers may be there, be missing, or be torn: each 512 bytes of each of its
//!   pages old, new or garbage, independently, whatever the order in which writes were made. A growth that was not flushed
//!   may be missing, with all that was written behind the old end. A flush covers what had completed when it was *submitted*, and nothing else. One
//!   failure in three treats each page by chance; the others have a manner, such as found bugs elsewhere: nothing is left,
//!   everything, everything but one write, one write alone, all before it, all from it on, whole requests only.
//! * *Punches.* Each sector of a page that was given back is zeros or what was there, anew at each read until a flush has covered it.
//! * *Process kill.* What had completed can be read and is as volatile as before; what was in flight has landed or not. The next
//!   opener comes when nothing is in flight any more, which the lock of the file sees to.
//! * *Errors*, once or from some request on, as bad or for want of room. A failed write has done any of what a power failure does to it. A failed
//!   flush makes nothing durable, and what it was to make durable stays in doubt whatever later flushes say; the next process
//!   sees what the medium has, since a device is read directly (through a cache no engine survives: `set_buffered`).
//! * *In the middle of that*: a recovery is crashed or refused like any other life, up to three times on end; an orderly end is cut
//!   short; after one, pages are damaged: flipped, zeroed, garbage, or another page's.
//!
//! What a client does is invented from the seed ([`Workload`]): up to 32 operations in flight, of up to five askers. Time is the simulation's; it never goes back,
//! and stands still while nothing lets it pass.
//!
//! What is assumed, and not simulated: 512 bytes are written whole or count as torn; bytes that a flush has covered stay what they are
//! (but for the damage after an orderly end) and reads answer for the page that was asked for, since checksums and the places in them are
//! tested byte by byte elsewhere (`design/data-format.md`); a device that says that it has flushed has; memory and the processor do
//! not err; a killed process writes nothing once its lock is gone; the wall clock does not go back within a life; nobody else writes to the device.
//!
//! Chance is one of three ways to go through this. [`harness::exhaustive`] takes short programs and leaves nothing out,
//! [`harness::script`] refuses each request of scripted work in turn. A seed that fails is made short ([`harness::shrink`]).
//!
//! It does not know the engine's bytes: everything it checks goes through the seams.

pub mod clock;
pub mod device;
pub mod features;
pub mod fuzz;
pub mod harness;
pub mod history;
pub mod image;
pub mod model;
pub mod rng;
pub mod trace;
pub mod workload;

pub use clock::SimClock;
pub use device::{Bounds, Fault, FaultKind, Faults, Left, SimDevice};
pub use features::{Feature, Features};
pub use harness::{Engine, Failure, Options, Stats};
pub use image::Image;
pub use model::{Model, Violation};
pub use rng::Rng;
pub use trace::Trace;
pub use workload::Workload;
