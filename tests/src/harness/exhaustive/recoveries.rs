//! Recoveries of what power failures leave: each image once, however many programs and moments lead to it.
//!
//! The engine is a function of the bytes that it is given: what was recovered from an image is kept under the image's hash (128 bits,
//! so that two images are not taken for one), and judged anew against each program's oracle.

use super::super::engine::{Engine, Opened};
use super::super::gather::Asking;
use crate::clock::SimClock;
use crate::device::{Left, SimDevice};
use crate::image::Image;
use crate::model::{Model, Recovered, Violation};
use segments::{EpochId, Incarnation};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// What became of an image.
type Outcome = Result<(Recovered, Opened), String>;

/// All recoveries of one engine.
pub(super) struct Recoveries<'e, E> {
    pub(super) engine: &'e E,
    known: BTreeMap<u128, Outcome>,
    /// Images that were recovered.
    pub(super) images: u64,
    /// Images that were judged: each against what its program had been told by then.
    pub(super) judged: u64,
}

impl<'e, E: Engine> Recoveries<'e, E> {
    pub(super) fn new(engine: &'e E) -> Self {
        Self { engine, known: BTreeMap::new(), images: 0, judged: 0 }
    }

    /// Recovers what is left, unless that was done before, and has the oracle judge it. `durable` is the hash of what is durable.
    pub(super) fn judge(
        &mut self,
        durable: u128,
        left: &Left<'_>,
        (model, incarnation): (&Model, Incarnation),
    ) -> Result<EpochId, Violation> {
        let Self { engine, known, images, judged } = self;
        let outcome = known.entry(hash_of(durable, left)).or_insert_with(|| {
            *images += 1;
            recover(*engine, left.image())
        });
        *judged += 1;
        match outcome {
            Ok((recovered, opened)) => model.judge(recovered, opened.cut_of(incarnation)),
            Err(what) => Err(Violation(what.clone())),
        }
    }
}

fn recover<E: Engine>(engine: &E, image: Image) -> Outcome {
    let (mut device, mut clock) = (SimDevice::on(image, 3), SimClock::new(0));
    let opened = engine.open(&mut device, clock.now());
    let (mut domain, opened) = opened.map_err(|error| format!("recovery failed: {error}"))?;
    let recovered = Asking { domain: &mut domain, device: &mut device, clock: &mut clock }.gather(100);
    recovered.map(|recovered| (recovered, opened)).map_err(|Violation(what)| what)
}

/// The hash of an image.
pub(super) fn hash_of_image(image: &Image) -> u128 {
    let mut hash = Xxh3::new();
    for at in 0..image.pages() {
        if image.slot(at).is_some() {
            hash.update(&at.to_le_bytes());
            hash.update(image.page(at));
        }
    }
    hash.update(&image.pages().to_le_bytes());
    hash.digest128()
}

fn hash_of(durable: u128, left: &Left<'_>) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&durable.to_le_bytes());
    hash.update(&left.pages.to_le_bytes());
    for (at, page) in &left.changed {
        hash.update(&at.to_le_bytes());
        hash.update(page);
    }
    hash.digest128()
}
