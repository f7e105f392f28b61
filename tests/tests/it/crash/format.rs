//! A store whose creation is cut short: at every request, with every subset of what was under way, and again while that is mended.
//!
//! The next open finds a device on which it may begin anew, or an empty store. It never refuses for good, and it never takes the
//! bytes of somebody else for a format that was cut short.

use domains::persistent::{self, Report};
use domains::{Domain, Error};
use segments::superblock::{SUPERBLOCK_COPY_PAGES, SUPERBLOCK_PAGES};
use tests::{Engine, Image, Rng, SimDevice};

/// The one page that a format writes alone: alone it may be garbage.
const MARK_PAGE: u64 = 3 * SUPERBLOCK_COPY_PAGES;

fn engine() -> tests::harness::Persistent {
    tests::harness::Persistent::of_seed(1)
}

/// What opening a store does: format if there is nothing, then recover.
fn create(device: &mut SimDevice, seed: u64) -> Result<Report, Error> {
    if persistent::is_blank(device)? {
        engine().format(device, &mut Rng::new(seed))?;
    }
    let (domain, report) = persistent::open(device, &engine().config)?;
    assert_eq!(domain.horizon().incarnation, report.incarnation);
    Ok(report)
}

/// Creates, and lets the power fail at every request; shows what every failure could leave. Answers how many.
fn each_failure(begin: &Image, seed: u64, see: &mut dyn FnMut(Image) -> Result<(), String>) -> u64 {
    let mut shown = 0;
    for requests in 0.. {
        let mut device = SimDevice::on(begin.clone(), seed);
        device.crash_after(requests);
        let created = create(&mut device, seed);
        if !device.is_gone() {
            created.unwrap_or_else(|error| panic!("creation without a crash, seed {seed}: {error}"));
            return shown;
        }
        shown += device
            .power_failures(true, see)
            .unwrap_or_else(|what| panic!("seed {seed}, power off after {requests} requests: {what}"));
    }
    unreachable!("creation ends")
}

fn check(image: &Image) -> Result<(), String> {
    let mut device = SimDevice::on(image.clone(), 7);
    match create(&mut device, 8) {
        Ok(report) if report.pairs == 0 && report.segments == 0 => Ok(()),
        Ok(report) => Err(format!("a new store holds something: {report:?}")),
        Err(error) => Err(format!("refused for good: {error}")),
    }
}

#[test]
fn a_creation_that_is_cut_short_is_begun_anew() {
    let (mut once, mut twice) = (0, 0);
    for seed in 0..6 {
        once += each_failure(&Image::zeroed(0), seed, &mut |image| {
            check(&image)?;
            // Every so often the mending is cut short as well, everywhere.
            if image.digest() % 23 == 0 {
                twice += each_failure(&image, seed + 100, &mut |image| check(&image));
            }
            Ok(())
        });
    }
    println!("{once} states of a creation cut short, {twice} of one that mends another");
    assert!(once > 500 && twice > 2_000, "{once} and {twice}");
}

#[test]
fn the_bytes_of_somebody_else_are_not_formatted() {
    for at in (0..SUPERBLOCK_PAGES).filter(|at| *at != MARK_PAGE) {
        let mut image = Image::zeroed(SUPERBLOCK_PAGES);
        image.page_mut(at)[17] = 1;
        let before = image.digest();
        let mut device = SimDevice::on(image, at);
        assert!(!persistent::is_blank(&mut device).unwrap(), "page {at}");
        assert!(create(&mut device, at).is_err(), "page {at}");
        assert_eq!(device.view().digest(), before, "page {at} was written over");
    }
}
