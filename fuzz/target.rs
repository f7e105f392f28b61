//! What every program of this folder does: it hands libFuzzer's inputs to one target of `tests::fuzz`.
//!
//! Contract: the targets are those that `cargo test -p tests --test fuzz` runs, by the same names; a test compares.

/// Runs a target on an input.
///
/// # Panics
/// When the input has found a bug, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = tests::fuzz::TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("each program of this folder has the name of a target");
    (target.run)(input);
}
