//! What a log tells its owner of the runs that it uses, and what it is told of segments that are free again.
//!
//! Contract: every run is told of when it is taken, and once more when nothing is written to it any more, its summary included. From
//! then on its owner may find it empty and give it back.

use super::{Current, LogWriter, Run};
use crate::device::DeviceError;
use crate::ids::SegmentId;
use crate::log::scan::Chain;

/// What a log tells of the segments that it uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEvent {
    /// A run is in use from now on.
    Begun(Run),
    /// Nothing more is written to a run, whose first `pages` are the log's.
    Sealed {
        /// Its first segment.
        segment: SegmentId,
        /// Log pages, the header's included.
        pages: u32,
    },
}

impl LogWriter {
    pub(super) fn summary_came(&mut self, segment: SegmentId) {
        let (writes, pages) = self.summaries.get_mut(&segment).expect("a summary's writes belong to a run");
        *writes -= 1;
        if *writes == 0 {
            let pages = *pages;
            self.summaries.remove(&segment);
            self.events.push_back(RunEvent::Sealed { segment, pages });
        }
    }

    /// What has become of this log's runs, one event a call.
    pub fn take_event(&mut self) -> Option<RunEvent> {
        self.events.pop_front()
    }

    /// Where the run in use begins, as a chain stands before its header page: whoever replays from there misses nothing that is
    /// appended from now on.
    #[must_use]
    pub fn run_start(&self) -> Chain {
        let here = Chain { next_seq: self.next_seq, previous: self.previous };
        let began = |current: &Current| Chain { next_seq: current.run.first_seq, previous: current.previous };
        self.current.as_ref().map_or(here, began)
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

    /// How many segments this log leaves to others, where the device has a cap.
    pub fn set_reserve(&mut self, segments: u32) {
        self.space.set_reserve(segments);
    }
}
