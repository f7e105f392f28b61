//! The one integration binary. Each module is one subject; what they share is the simulator library of this crate.
//!
//! It does not test what a crate can test alone: those tests stand beside the code.

mod simulator;
mod tidy;
