//! What a log tells its owner of the runs that it uses and of itself, and what it is told of segments that are free again.
//!
//! Contract: every run is told of when it is taken, and once more when nothing is written to it any more, its summary included. From
//! then on its owner may find it empty and give it back.

use super::{LogWriter, Run, SpaceStatus};
use crate::device::DeviceError;
use crate::ids::{EpochId, SegmentId};
use crate::log::scan::Chain;

/// What a log tells of the segments that it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEvent {
    /// A run is in use from now on.
    Begun(Run),
    /// The log goes on in another run; the first `pages` of this one are the log's.
    Ended {
        /// Its first segment.
        segment: SegmentId,
        /// Log pages, the header's included.
        pages: u32,
    },
    /// Nothing more is written to a run, its summary included.
    Sealed {
        /// Its first segment.
        segment: SegmentId,
    },
}

impl LogWriter {
    pub(super) fn summary_came(&mut self, segment: SegmentId) {
        let writes = self.summaries.get_mut(&segment).expect("a summary's writes belong to a run");
        *writes -= 1;
        if *writes == 0 {
            self.summaries.remove(&segment);
            self.events.push_back(RunEvent::Sealed { segment });
        }
    }

    /// Pages that the run in use has so far, if it begins with this segment.
    #[must_use]
    pub fn pages_of_open(&self, segment: SegmentId) -> Option<u32> {
        let current = self.current.as_ref().filter(|current| current.run.segment == segment)?;
        Some(u32::try_from(current.used).expect("a run's pages are counted in u32"))
    }

    /// What has become of this log's runs, one event a call.
    pub fn take_event(&mut self) -> Option<RunEvent> {
        self.events.pop_front()
    }

    /// Where the log goes on, as a chain stands there: whoever replays from there meets all that is appended from now on, and nothing
    /// that was before. So pages that are open are sealed as they are. The last epoch that is closed before.
    pub fn mark(&mut self) -> (Chain, EpochId) {
        for page in &mut self.open {
            page.full = true;
        }
        self.seal_full();
        (Chain { next_seq: self.next_seq, previous: self.previous }, self.closed)
    }

    /// A run was given back: its pages are not this log's any more.
    ///
    /// # Panics
    /// If it is the run in use.
    pub fn forget_run(&mut self, segment: SegmentId) {
        let used = self.current.as_ref().is_some_and(|current| current.run.segment == segment);
        assert!(!used, "the run in use is not given back");
        self.runs.retain(|run| run.segment != segment);
    }

    /// A segment for something else than this log; `None` while it is on its way: ask again after a completion.
    ///
    /// # Errors
    /// The device's refusal, or that of its cap. Another call tries again.
    pub fn take_segment(&mut self) -> Result<Option<SegmentId>, DeviceError> {
        self.space.take_other()
    }

    /// A segment is free for whoever needs one; its first `pages` pages own their room on the medium.
    pub fn give(&mut self, segment: SegmentId, pages: u64) {
        self.space.give(segment, pages);
    }

    /// A free segment whose room can go back to the device, when there are more than `keep` free ones. It is to be given again.
    pub fn take_spare(&mut self, keep: u32) -> Option<SegmentId> {
        self.space.take_spare(keep)
    }

    /// How many segments this log leaves to others, where the device has a cap.
    pub fn set_reserve(&mut self, segments: u32) {
        self.space.set_reserve(segments);
    }

    /// Memory of the tail.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Pages handed to the device so far.
    #[must_use]
    pub fn pages_written(&self) -> u64 {
        self.pages_written
    }

    /// Requests that are with the device.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// The space this log knows of.
    #[must_use]
    pub fn space(&self) -> SpaceStatus {
        self.space.status()
    }
}
