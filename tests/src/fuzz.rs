//! Every place where bytes of a peer or of a device are taken for something: what a fuzzer calls, and what it begins with.
//!
//! Contract: a target returns for every input, in time and memory in proportion to it, and says how much of it had a meaning; what has
//! one is written again and must be the same. What stands behind a checksum is also tried with a right one, for chance would find
//! none in a lifetime. `cargo test -p tests --test fuzz` runs all of them on mutations of valid inputs; a coverage-guided fuzzer
//! calls the same functions (`design/data-format.md`, "Fuzzing").
//!
//! It does not know what is done with the meaning: the simulator and the daemon's tests do.

mod seeds;
mod stored;

pub use stored::{checkpoints, copies, envelopes, keys, pages, records, specs, summaries};

/// A place where bytes are taken for something.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// Takes the bytes; says how many things were found in them.
    pub run: fn(&[u8]) -> usize,
    /// Valid inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Bytes of the largest input that is made.
    pub bytes_max: usize,
}

/// All of them.
pub const TARGETS: [Target; 12] = [
    target("resp", uds_server::resp::fuzz::stream, seeds::resp, 160),
    target("http", uds_server::fuzz::http, seeds::http, 300),
    target("pattern", uds_server::fuzz::pattern, seeds::patterns, 60),
    target("frames", wire::fuzz::stream, seeds::frames, 400),
    target("records", records, seeds::records, 300),
    target("pages", pages, seeds::pages, 4096),
    target("copies", copies, seeds::copies, 400),
    target("summaries", summaries, seeds::summaries, 2 * 4096),
    target("checkpoints", checkpoints, seeds::checkpoints, 500),
    target("keys", keys, seeds::keys, 120),
    target("envelopes", envelopes, seeds::envelopes, 200),
    target("specs", specs, seeds::specs, 300),
];

const fn target(name: &'static str, run: fn(&[u8]) -> usize, seeds: fn() -> Vec<Vec<u8>>, bytes_max: usize) -> Target {
    Target { name, run, seeds, bytes_max }
}

/// A target with a bug that only inputs close to valid ones reach: whoever runs targets must find it.
///
/// # Panics
/// When a record of a table above 255 has a key that ends in two equal bytes: the bug.
pub fn canary(input: &[u8]) -> usize {
    let found = records(input);
    if let Ok((record, _)) = segments::record::decode(&stored::repaired_record(input)) {
        let ends = record.key.last_chunk::<2>().is_some_and(|[one, two]| one == two);
        assert!(!(ends && record.table.0 > 255), "the canary was found");
    }
    found
}
