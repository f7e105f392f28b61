//! Every program of up to three operations over two transactions and two keys, with the power off at every moment.
//!
//! `LOSTORE_SIM_OPS=n` asks for longer programs.

use super::number_from;
use tests::harness::Persistent;
use tests::harness::programs::{explore, programs};

#[test]
fn every_short_program_survives_every_power_failure() {
    let longest = usize::try_from(number_from("LOSTORE_SIM_OPS").unwrap_or(3)).unwrap();
    let all: Vec<_> = (2..=longest).flat_map(programs).collect();
    let (mut images, mut moments) = (0, 0);
    for value_bytes in [8, 6_000] {
        let explored =
            explore(&Persistent::of_seed(3), &all, value_bytes).unwrap_or_else(|found| panic!("{}", found.0));
        assert_eq!(explored.programs, all.len() as u64);
        (images, moments) = (images + explored.images, moments + explored.moments);
    }
    println!("{} programs, {moments} moments, {images} images recovered", all.len());
    assert!(all.len() == 188 || longest > 3, "{} programs", all.len());
    assert!(images >= 30_000, "{} programs, {images} images", all.len());
}
