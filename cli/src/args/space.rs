//! Arguments about space: how it is won back, and how it is shown.
//!
//! Contract: as for all arguments; the texts are the help.

use clap::ValueEnum;
use std::path::PathBuf;

/// Whether something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How a server wins space back.
#[derive(clap::Args, Debug)]
pub(crate) struct Reclaim {
    /// Whether space is won back by itself: live records leave segments that are mostly dead, and checkpoints shorten the next start.
    #[arg(long, value_enum, value_name = "SWITCH", env = "LOSTORE_RECLAIM")]
    pub(crate) reclaim: Option<Switch>,
    /// Of how many of a hundred dead records on a segment is reclaimed.
    #[arg(long, value_name = "PERCENT", env = "LOSTORE_RECLAIM_DEAD", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) reclaim_dead: Option<u8>,
}

/// Arguments of `space`.
#[derive(clap::Args, Debug)]
pub(crate) struct Space {
    /// Draw all segments into this file: an SVG that stands alone, coloured by use and filled by what lives.
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,
}
