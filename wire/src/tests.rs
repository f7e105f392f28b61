//! The protocol as a whole: golden vectors, the order of variants, truncation, bit flips, random bytes.

mod golden;
mod hostile;
mod samples;
mod stream;
