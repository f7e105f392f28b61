//! Space, as its owner sees it: what segments are used for, and winning it back now.
//!
//! Contract: the same whatever carries the operations. Nothing here changes what a reader sees.

use crate::backend::Backend;
use crate::error::Error;
use crate::pending::{Pending, Reply};
use crate::store::Store;
use domains::{Answer, Op, Reclaimed, Segments};
use segments::SegmentId;

impl<B: Backend> Store<B> {
    /// Wins space back now, and answers when that is done: live records leave every segment that holds dead ones, and checkpoints are
    /// written until those segments are free. Reads and commits go on meanwhile.
    ///
    /// # Errors
    /// Where there is nothing to be won: in a store in memory, and where [`Config::reclaims`](domains::config::Config::reclaims) is off.
    /// When a device write has failed.
    ///
    /// ```
    /// let mut options = lostore::Options::default();
    /// options.config.reclaims = true;
    /// let store = lostore::Store::new(options.memory_inline()?);
    /// let done = store.reclaim()?;
    /// assert_eq!(done.segments_freed, 0, "an empty store has nothing to give back");
    /// assert!(done.checkpoints >= 1, "the next open begins with a checkpoint");
    /// # Ok::<(), lostore::Error>(())
    /// ```
    pub fn reclaim(&self) -> Result<Reclaimed, Error> {
        self.start_reclaim().wait()
    }

    /// The same without waiting; [`Status::reclaim`](crate::Status) says how far it has come.
    pub fn start_reclaim(&self) -> Pending<B, ReclaimReply> {
        Pending::start(self, Op::Reclaim, ReclaimReply)
    }

    /// What each segment of the device is used for; none in a store in memory. Of a device with more than 16,384 of them this asks in
    /// parts, between which it may change.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn segments(&self) -> Result<Segments, Error> {
        let mut all = Segments::default();
        loop {
            let from = all.runs.last().map_or(SegmentId(0), |run| SegmentId(run.segment.0 + run.segments));
            let Answer::Segments(part) = self.call(Op::Segments { from })? else {
                return Err(Error::WrongAnswer { asked: "a question for segments" });
            };
            let more = part.more && !part.runs.is_empty();
            all.runs.extend(part.runs);
            (all.device_pages, all.segment_pages, all.more) = (part.device_pages, part.segment_pages, more);
            if !more {
                return Ok(all);
            }
        }
    }
}

/// The answer of a pass of reclaim: what it has done.
#[derive(Clone, Copy, Debug)]
pub struct ReclaimReply;

impl<B: Backend> Reply<B> for ReclaimReply {
    type Output = Reclaimed;

    fn read(self, _: &Store<B>, answer: Answer) -> Result<Reclaimed, Error> {
        let Answer::Reclaimed(done) = answer else { return Err(Error::WrongAnswer { asked: "reclaim" }) };
        Ok(done)
    }
}
