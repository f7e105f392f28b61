//! `checkpoints` of `tests::fuzz`, under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lostore_fuzz::run("checkpoints", input));
