//! What pages that no chain reaches still say: that something was announced, and so had to be there.
//!
//! Contract: a page counts if it is whole and of the incarnation asked for, wherever it lies and whatever precedes it; of what it
//! says only the persistent horizon is taken. Every page of the range is looked at, blank ones too: after damage blank pages may
//! lie between the chain's end and the page that proves it. Only what the device knows to be zeros ([`Device::next_data`]) is not
//! read. Reads are of 1 MiB, and eight are in flight together.
//!
//! [`Device::next_data`]: crate::Device::next_data

use super::{CHUNK_PAGES, DeviceIdentity};
use crate::blocking::{Blocking, ExtentRead, Failed};
use crate::frame::PAGE_BYTES;
use crate::ids::{EpochId, Incarnation, PageNo};
use crate::page::{self, domain_mark};
use crate::probes::{Probe, hit};
use crate::segment::{Purpose, SegmentHeader};
use core::ops::{ControlFlow, Range};

/// What was met outside every chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stray {
    /// A whole page of the incarnation.
    Page {
        /// The last persistent epoch that its writer knew.
        horizon: EpochId,
        /// Whether it is of a log rather than of a summary, a checkpoint or a table.
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
    let mut extents = Vec::new();
    let mut at = pages.start;
    loop {
        at = device.next_data(PageNo(at)).0;
        if at < pages.end {
            let count = CHUNK_PAGES.min(pages.end - at);
            extents.push((PageNo(at), usize::try_from(count).expect("at most 256")));
            at += count;
        }
        if at < pages.end && extents.len() < EXTENTS_AT_ONCE {
            continue;
        }
        for extent in device.read_extents(&extents)? {
            if look_at(identity, incarnation, &extent, see).is_break() {
                return Ok(());
            }
        }
        extents.clear();
        if at >= pages.end {
            return Ok(());
        }
    }
}

/// Reads in flight together: 8 MiB, about what a device needs to be busy.
const EXTENTS_AT_ONCE: usize = 8;

/// Whether a page is the header of a segment that is no log's.
fn is_header_of_another(page: &[u8; PAGE_BYTES], identity: &DeviceIdentity) -> bool {
    SegmentHeader::parse(page, identity.salt).is_ok_and(|(header, _)| header.purpose != Purpose::Log)
}

/// Shows what a extent of pages says.
fn look_at(
    identity: &DeviceIdentity,
    incarnation: Incarnation,
    (frames, bad): &ExtentRead,
    see: &mut dyn FnMut(Stray) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for index in 0..frames.pages() {
        let stray = match bad.iter().find(|(bad, _)| *bad == index) {
            Some((_, failed)) => Stray::Unreadable(*failed),
            None => match page::parse(frames.page(index), identity.salt) {
                Ok(header) if header.domain != domain_mark(identity.domain) => continue,
                Ok(header) if header.incarnation != incarnation => continue,
                Ok(header) => {
                    let of_log = header.is_of_log() && !is_header_of_another(frames.page(index), identity);
                    if of_log {
                        hit(Probe::PageBehindTheEnd);
                    }
                    Stray::Page { horizon: header.horizon, of_log }
                }
                Err(_) => continue,
            },
        };
        see(stray)?;
    }
    ControlFlow::Continue(())
}
