//! The simulator: a world of one seed in which the shipped engine runs, and the judge of what it does there.
//!
//! * [`SimDevice`] loses, reorders and tears what was not flushed; [`Image`] is what a power failure leaves of it;
//! * [`SimClock`] is the only time, [`Rng`] the only chance, [`Trace`] the proof that a seed explains a run;
//! * [`Model`] is the oracle: plain sorted maps, the history of commits, and what recovery must make of them;
//! * [`fuzz`] is every place where bytes from outside are taken for something;
//! * [`Workload`] invents what a client does, as far as its [`Features`] say; [`harness`] brings all of it together around a domain.
//!
//! Fault model, in words. A write that was not covered by a completed flush may after a power failure be there, be missing, or be
//! torn: each 512 bytes of each of its pages old, new or garbage, independently, whatever the order in which writes were
//! made. A growth that was not flushed may be missing. A failed write has done any of this already; a failed flush makes nothing
//! durable, and what it was to make durable stays in doubt whatever later flushes say. A process kill loses only memory. Not in
//! the model: flushed bytes that change, reads of one page that answer with another.
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
