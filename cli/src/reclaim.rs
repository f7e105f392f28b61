//! `reclaim`: space is won back now, and what was done is told.
//!
//! Contract: it answers when everything that the pass set free is free, or says what is not and why. On a terminal a line says how far
//! it has come. When it is interrupted the store gives up after the segments that it is at, and nothing is lost.

use crate::args::Target;
use crate::failure::Failure;
use crate::output::{Format, Output, bytes_text, count_text};
use crate::progress::bar;
use crate::reach::{options, reach_with};
use lostore::Reclaimed;
use serde_json::json;
use std::io::IsTerminal;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// How often a terminal is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// A thread that waits for an answer.
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn reclaim(target: &Target, output: &mut Output) -> Result<(), Failure> {
    // A server says itself whether it reclaims; a store that is opened here for this is.
    let mut options = options(target.io);
    options.config.reclaims = true;
    let store = reach_with(target, options)?;
    let mut pass = store.start_reclaim();
    let done = if std::io::stderr().is_terminal() {
        let bar = bar(0, "segments");
        // Whoever answers wakes this thread, which else looks now and then how far it is.
        let waker = Waker::from(Arc::new(Waiting(std::thread::current())));
        let done = loop {
            if let Poll::Ready(done) = Future::poll(Pin::new(&mut pass), &mut Context::from_waker(&waker)) {
                break done;
            }
            let status = store.status()?.reclaim;
            bar.set_length(u64::from(status.pass_segments).max(1));
            bar.set_position(u64::from(status.pass_segments - status.pass_left.min(status.pass_segments)));
            std::thread::park_timeout(TOLD_EVERY);
        };
        bar.finish_and_clear();
        done
    } else {
        pass.wait()
    };
    tell(&done?, output)
}

fn tell(done: &Reclaimed, output: &mut Output) -> Result<(), Failure> {
    if let Format::Json | Format::Jsonl = output.format {
        return output.document(&json!({
            "segments": done.segments,
            "segments_freed": done.segments_freed,
            "segments_waiting": done.segments_waiting,
            "records_moved": done.records_moved,
            "bytes_moved": done.bytes_moved,
            "records_expired": done.records_expired,
            "batches_failed": done.batches_failed,
            "checkpoints": done.checkpoints,
            "checkpoints_failed": done.checkpoints_failed,
        }));
    }
    output.line(&format!(
        "segments  {} gone through, {} given back, {} wait for a checkpoint",
        done.segments,
        count_text(done.segments_freed),
        done.segments_waiting
    ))?;
    output.line(&format!(
        "records   {} moved ({}), {} dropped because their time was over",
        count_text(done.records_moved),
        bytes_text(done.bytes_moved),
        count_text(done.records_expired)
    ))?;
    output.line(&format!("checkpoints {} written", count_text(done.checkpoints)))?;
    if done.batches_failed + done.checkpoints_failed > 0 {
        output.line(&format!(
            "failed    {} batches and {} checkpoints: the device had no room or failed; their segments stay as they were",
            done.batches_failed, done.checkpoints_failed
        ))?;
    }
    Ok(())
}
