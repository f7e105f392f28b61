//! What the harness needs of an engine besides the domain seam: a beginning.

use crate::rng::Rng;
use domains::{Driven, Error, Tick};
use segments::{Device, EpochId, Incarnation};

/// What a recovery says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The incarnation that begins.
    pub incarnation: Incarnation,
    /// The cuts of earlier incarnations, as far as it knows them: of the one before at least.
    pub cuts: Vec<EpochId>,
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

/// The shipped engine. (It joins when it can be opened.)
#[derive(Clone, Debug, Default)]
pub struct Persistent;
