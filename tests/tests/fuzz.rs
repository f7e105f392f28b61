//! Every target on valid inputs, on mutations of them and on noise: 200,000 of each, from one seed.
//!
//! Contract: no input ends a target or makes it take memory out of proportion; mutations keep a meaning often enough to reach what
//! stands behind the first checks; and the same search finds a bug that was put in for it. `LOSTORE_FUZZ` multiplies the inputs.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]
#![expect(clippy::print_stdout, reason = "the counts are worth seeing")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tests::Rng;
use tests::fuzz::{TARGETS, Target, canary};

/// Inputs of each target.
const INPUTS: u64 = 200_000;
/// Most bytes that a target takes for an input, beside a fixed part: a tree of small things takes more than its bytes.
const BYTES_FACTOR: u64 = 64;
/// The fixed part: copies of the superblock are 64 KiB whatever the input, and each is held a few times.
const BYTES_FIXED: u64 = 1 << 20;

/// Bytes that mean something to somebody.
const TOKENS: [&[u8]; 16] = [
    b"\r\n",
    b"\r\n\r\n",
    b"$",
    b"*",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x01",
    b"[^",
    b"\\",
    b"\xed\xa0\x80",
];

/// An input: a valid one changed in a few places, two of them crossed, or noise.
fn input(rng: &mut Rng, seeds: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
    if rng.below(16) == 0 {
        return (0..rng.index(bytes_max.min(200) + 1)).map(|_| byte(rng)).collect();
    }
    let mut bytes = seeds[rng.index(seeds.len())].clone();
    if rng.below(8) == 0 {
        let other = &seeds[rng.index(seeds.len())];
        let (head, tail) = (rng.index(bytes.len() + 1), rng.index(other.len() + 1));
        bytes.truncate(head);
        bytes.extend_from_slice(&other[tail..]);
    }
    for _ in 0..=rng.below(4) {
        mutate(rng, &mut bytes);
    }
    bytes.truncate(bytes_max);
    bytes
}

fn byte(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(256)).unwrap()
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.index(bytes.len() + 1);
    // Mostly near the front, where the fields are.
    let at = if rng.below(2) == 0 { at } else { at.min(rng.index(64)) };
    match rng.below(7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, byte(rng)),
        2 => drop(bytes.splice(at..at, TOKENS[rng.index(TOKENS.len())].iter().copied())),
        3 if at < bytes.len() => drop(bytes.remove(at)),
        4 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        5 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(if rng.below(2) == 0 { 1 } else { 255 }),
        _ if at < bytes.len() => bytes[at] = byte(rng),
        _ => bytes.push(byte(rng)),
    }
}

/// How many of the inputs had a meaning.
#[track_caller]
fn search(target: &Target, inputs: u64) -> u64 {
    let (mut rng, seeds, mut meant) = (Rng::new(0x5eed), (target.seeds)(), 0);
    for seed in &seeds {
        assert!((target.run)(seed) > 0 || target.name == "pattern", "{}: a valid input has a meaning", target.name);
    }
    for number in 0..inputs {
        let input = input(&mut rng, &seeds, target.bytes_max);
        let mut found = 0;
        let run = || {
            let mut run = || found = (target.run)(&input);
            // Counting costs as much as a short target.
            if number % 16 == 0 {
                let counted = allocation_counter::measure(&mut run);
                let most = BYTES_FACTOR * input.len() as u64 + BYTES_FIXED;
                assert!(counted.bytes_max <= most, "{} bytes were taken", counted.bytes_max);
            } else {
                run();
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            println!("{}, input {number}: {}", target.name, input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
        meant += u64::from(found > 0);
    }
    meant
}

#[track_caller]
fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let times = std::env::var("LOSTORE_FUZZ").map_or(1, |times| times.parse().unwrap());
    let inputs = INPUTS * times;
    let meant = search(target, inputs);
    println!("{name}: {meant} of {inputs} inputs had a meaning");
    assert!(meant > inputs / 50, "{name}: {meant} of {inputs} inputs had a meaning: noise reaches nothing");
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn no_target_is_left_out() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

each!(resp http pattern frames records pages copies summaries checkpoints keys envelopes specs);

/// The programs for a coverage-guided fuzzer are not built with the others, so that they name the same targets is held here.
#[test]
fn the_folder_for_other_fuzzers_has_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\""));
    assert_eq!(named.collect::<Vec<_>>(), TARGETS.map(|target| target.name));
    for target in TARGETS {
        let program = std::fs::read_to_string(folder.join(format!("targets/{}.rs", target.name))).unwrap();
        let call =
            format!("libfuzzer_sys::fuzz_target!(|input: &[u8]| lostore_fuzz::run(\"{}\", input));", target.name);
        assert!(program.contains(&call), "{program}");
    }
    assert_eq!(std::fs::read_dir(folder.join("targets")).unwrap().count(), TARGETS.len());
}

#[test]
fn the_search_finds_a_bug_that_is_there() {
    let records = TARGETS.iter().find(|target| target.name == "records").unwrap();
    let (mut rng, seeds) = (Rng::new(0x5eed), (records.seeds)());
    let found = (0..INPUTS).find(|_| {
        let input = input(&mut rng, &seeds, records.bytes_max);
        catch_unwind(|| canary(&input)).is_err()
    });
    println!("the canary was found by input {found:?}");
    assert!(found.is_some(), "{INPUTS} inputs did not find the canary");
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target)
}

/// The valid inputs are kept, so that one that has changed shows, and so that other fuzzers can begin with them.
/// `LOSTORE_BLESS=1` writes missing ones; it never overwrites one.
#[test]
fn valid_inputs_are_those_that_are_kept() {
    // The frames are the golden vectors of the crate `wire`, and kept there.
    for target in TARGETS.iter().filter(|target| target.name != "frames") {
        let seeds = (target.seeds)();
        let file = |number: usize| folder(target.name).join(format!("{number:02}"));
        for (number, seed) in seeds.iter().enumerate() {
            let file = file(number);
            if !file.exists() && std::env::var("LOSTORE_BLESS").is_ok() {
                std::fs::create_dir_all(folder(target.name)).unwrap();
                std::fs::write(&file, seed).unwrap();
            }
            let kept = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(kept == *seed, "{} has changed: stores that exist are not read any more", file.display());
        }
        let kept = std::fs::read_dir(folder(target.name)).unwrap().count();
        assert_eq!(kept, seeds.len(), "{}: inputs that nobody makes", target.name);
    }
}
