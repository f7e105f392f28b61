//! What pages that no chain reaches still say: that something was announced, and so had to be there.
//!
//! Contract: a page counts if it is whole and of the incarnation asked for, wherever it lies and whatever precedes it; of what it
//! says only the persistent horizon is taken. Every page of the range is read, blank ones too: after damage blank pages may lie
//! between the chain's end and the page that proves it.

use super::{CHUNK_PAGES, DeviceIdentity};
use crate::blocking::{Blocking, Failed};
use crate::ids::{EpochId, Incarnation, PageNo};
use crate::page::{self, PageKind, domain_mark};
use core::ops::{ControlFlow, Range};

/// What was met outside every chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stray {
    /// A whole page of the incarnation.
    Page {
        /// The last persistent epoch that its writer knew.
        horizon: EpochId,
        /// Whether it is of a log rather than of a summary.
        of_log: bool,
    },
    /// A page that the medium did not give.
    Unreadable(Failed),
}

/// Shows every whole page of an incarnation in a range of pages, until who looks on has seen enough.
///
/// # Errors
/// When the device fails as a whole.
pub fn search(
    device: &mut Blocking<'_>,
    identity: &DeviceIdentity,
    incarnation: Incarnation,
    pages: Range<u64>,
    see: &mut dyn FnMut(Stray) -> ControlFlow<()>,
) -> Result<(), Failed> {
    let mut at = pages.start;
    while at < pages.end {
        let count = usize::try_from(CHUNK_PAGES.min(pages.end - at)).expect("at most 256");
        let (frames, bad) = device.read_what_can_be(PageNo(at), count)?;
        for index in 0..count {
            let stray = match bad.iter().find(|(bad, _)| *bad == index) {
                Some((_, failed)) => Stray::Unreadable(*failed),
                None => match page::parse(frames.page(index), identity.salt) {
                    Ok(header) if header.domain != domain_mark(identity.domain) => continue,
                    Ok(header) if header.incarnation != incarnation => continue,
                    Ok(header) => {
                        let of_log = !matches!(header.kind, PageKind::Summary | PageKind::SummaryFooter);
                        Stray::Page { horizon: header.horizon, of_log }
                    }
                    Err(_) => continue,
                },
            };
            if see(stray).is_break() {
                return Ok(());
            }
        }
        at += count as u64;
    }
    Ok(())
}
