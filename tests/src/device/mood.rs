//! How a power failure treats what was not flushed: evenly by chance most of the time, and in the ways that found bugs elsewhere.
//!
//! Every mixture of kept, missing and torn pages is possible; the extremes are only made common.

use crate::image::Fate;
use crate::rng::Rng;

/// The manner of one power failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mood {
    /// All is missing.
    Minimal,
    /// All is there.
    Complete,
    /// Each page by chance: weights of kept, missing, torn.
    Mixed { keep: u64, drop: u64, tear: u64 },
    /// All is there but this change, which is missing or torn.
    AllBut { change: usize },
    /// Only this change is there: the last page without those before it.
    Only { change: usize },
    /// What completed before this change is there, it is torn, the rest is missing.
    Prefix { change: usize },
    /// What completed before this change is missing, all from it on is there: the newest without what it builds on.
    Suffix { change: usize },
    /// Each change is wholly there or wholly missing: by chance, but the same for all of its pages.
    Whole { salt: u64 },
}

impl Mood {
    pub(super) fn draw(changes: usize, rng: &mut Rng) -> Self {
        if changes == 0 {
            return Self::Minimal;
        }
        match rng.below(20) {
            0 => Self::Minimal,
            1 | 2 => Self::Complete,
            3 | 4 => Self::AllBut { change: rng.index(changes) },
            5 | 6 => Self::Only { change: rng.index(changes) },
            7 | 8 => Self::Prefix { change: rng.index(changes) },
            9 | 10 => Self::Suffix { change: rng.index(changes) },
            11 | 12 => Self::Whole { salt: rng.next_u64() },
            _ => Self::Mixed { keep: rng.between(1, 8), drop: rng.between(1, 8), tear: rng.below(4) },
        }
    }

    /// What becomes of one page of change `position`.
    pub(super) fn fate(self, position: usize, rng: &mut Rng) -> Fate {
        match self {
            Self::Minimal => Fate::Drop,
            Self::Complete => Fate::Keep,
            Self::Mixed { keep, drop, tear } => match rng.below(keep + drop + tear) {
                draw if draw < keep => Fate::Keep,
                draw if draw < keep + drop => Fate::Drop,
                _ => Fate::Tear,
            },
            Self::AllBut { change } if position == change => *rng.pick(&[Fate::Drop, Fate::Tear]),
            Self::Only { change } if position == change => Fate::Keep,
            Self::Prefix { change } if position == change => *rng.pick(&[Fate::Tear, Fate::Keep, Fate::Drop]),
            Self::Prefix { change } if position > change => Fate::Drop,
            Self::Suffix { change } if position < change => Fate::Drop,
            Self::Whole { salt } if Rng::new(salt ^ position as u64).chance(1, 2) => Fate::Drop,
            Self::AllBut { .. } | Self::Prefix { .. } | Self::Suffix { .. } | Self::Whole { .. } => Fate::Keep,
            Self::Only { .. } => Fate::Drop,
        }
    }
}
