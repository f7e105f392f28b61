//! What the harness needs of an engine besides the domain seam: a beginning.

use crate::features::Feature;
use crate::rng::Rng;
use domains::config::Config;
use domains::persistent::{self, Entropy};
use domains::{Driven, Error, Tick};
use segments::{Device, DomainId, EpochId, Incarnation};

/// What a recovery says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The incarnation that begins.
    pub incarnation: Incarnation,
    /// The cuts of earlier incarnations, as far as it knows them: of the one before at least.
    pub cuts: Vec<EpochId>,
    /// Pages read in search of what was announced beyond them.
    pub searched: u64,
}

impl Opened {
    /// The cut of an incarnation.
    #[must_use]
    pub fn cut_of(&self, incarnation: Incarnation) -> Option<EpochId> {
        self.cuts.iter().copied().find(|cut| cut.incarnation() == incarnation)
    }
}

/// Something that makes domains on devices.
pub trait Engine {
    /// The domain it makes.
    type Domain: Driven;
    /// What it can do of what a client may want.
    const FEATURES: &[Feature] = &Feature::ALL;

    /// Prepares a device that was never written.
    ///
    /// # Errors
    /// The engine's.
    fn format(&self, device: &mut dyn Device, rng: &mut Rng) -> Result<(), Error>;

    /// Recovers what a device holds.
    ///
    /// # Errors
    /// The engine's.
    fn open(&self, device: &mut dyn Device, now: Tick) -> Result<(Self::Domain, Opened), Error>;

    /// Pages that a new device has.
    fn device_pages(&self) -> u64;

    /// Whether the device may grow no further, so that running out of room is an answer.
    fn is_capped(&self) -> bool;
}

/// The shipped engine, with limits so small that corners are common.
#[derive(Clone, Debug, Default)]
pub struct Persistent {
    /// What it is told at every open.
    pub config: Config,
}

impl Persistent {
    /// The engine with the limits that a seed draws: some segments are nearly the smallest, some caches hold nothing, some
    /// fingerprints are a single bit.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(!seed);
        let mut space = Rng::new(seed ^ 0x5ace);
        let config = Config {
            reclaims: space.chance(7, 8),
            reclaim_dead_percent: *space.pick(&[1, 20, 50]),
            reclaim_batch_pages: *space.pick(&[1, 4, 16]),
            reclaim_interval_nanos: *space.pick(&[0, 0, 100_000]),
            checkpoint_pages: *space.pick(&[2, 8, 40]),
            spare_segments: *space.pick(&[0, 1, 4]),
            kept_bytes_max: u64::MAX,
            segment_pages: *rng.pick(&[8, 8, 9, 12, 16, 40]),
            space_pages_max: if rng.chance(1, 8) { Some(rng.between(160, 500)) } else { None },
            epoch_interval_nanos: *rng.pick(&[0, 100_000, 1_000_000]),
            cache_bytes: *rng.pick(&[0, 1_000, 100_000]),
            tail_pages: *rng.pick(&[1, 2, 8, 64]),
            fingerprint_bits: *rng.pick(&[1, 4, 64, 64]),
            zero_pages: *rng.pick(&[1, 4, 32]),
            takes_turns: true,
            ..Config::default()
        };
        Self { config }
    }
}

impl Persistent {
    /// The same, but for limits at which records move all the time, and checkpoints seldom say where to.
    #[must_use]
    pub fn restless(seed: u64) -> Self {
        let Self { config } = Self::of_seed(seed);
        let config = Config {
            reclaims: true,
            reclaim_dead_percent: 1,
            reclaim_batch_pages: 1,
            reclaim_interval_nanos: 0,
            checkpoint_pages: 4,
            segment_pages: 8,
            space_pages_max: None,
            epoch_interval_nanos: 0,
            ..config
        };
        Self { config }
    }
}

impl Engine for Persistent {
    type Domain = Box<dyn Driven>;

    fn format(&self, device: &mut dyn Device, rng: &mut Rng) -> Result<(), Error> {
        let mut hash_key = [0; 16];
        rng.fill(&mut hash_key);
        let (high, low) = (rng.next_u64(), rng.next_u64());
        let domain = DomainId(u128::from(high) << 64 | u128::from(low));
        let salt = u32::try_from(rng.below(1 << 32)).expect("it was drawn below 2^32");
        persistent::format(device, &self.config, Entropy { domain, salt, hash_key })
    }

    fn open(&self, device: &mut dyn Device, _now: Tick) -> Result<(Self::Domain, Opened), Error> {
        let (domain, report) = persistent::open(device, &self.config)?;
        let earlier = (0..report.cut.incarnation().0).map(Incarnation);
        let cuts = earlier.filter_map(|ended| report.cuts.cut_of(ended)).chain([report.cut]).collect();
        Ok((Box::new(domain), Opened { incarnation: report.incarnation, cuts, searched: report.pages_searched }))
    }

    fn device_pages(&self) -> u64 {
        0
    }

    fn is_capped(&self) -> bool {
        self.config.space_pages_max.is_some()
    }
}
