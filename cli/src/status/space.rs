//! What `status` says of space: segments by use, checkpoints, reclaim.
//!
//! Contract: as for all of `status`; a store without a device says nothing of them.

use crate::failure::Failure;
use crate::output::{Output, bytes_text, count_text};
use lostore::{CheckpointStatus, ReclaimStatus, Status};
use serde_json::{Value, json};

pub(super) fn checkpoints(status: &Status) -> Value {
    let CheckpointStatus { kept, running, begun, failed, bytes, recovered } = &status.checkpoints;
    let kept: Vec<Value> =
        kept.iter().map(|kept| json!({ "incarnation": kept.incarnation.0, "number": kept.number })).collect();
    json!({
        "kept": kept,
        "running": running,
        "begun": begun,
        "failed": failed,
        "bytes": bytes,
        "recovered_epoch": recovered.map(|epoch| epoch.to_string()),
    })
}

pub(super) fn reclaim(status: &Status) -> Value {
    let reclaim = status.reclaim;
    json!({
        "on": reclaim.on,
        "running": reclaim.running,
        "segments_freed": reclaim.segments_freed,
        "records_moved": reclaim.records_moved,
        "bytes_moved": reclaim.bytes_moved,
        "records_expired": reclaim.records_expired,
        "batches_failed": reclaim.batches_failed,
        "pass_segments": reclaim.pass_segments,
        "pass_left": reclaim.pass_left,
    })
}

pub(super) fn text(status: &Status, output: &mut Output) -> Result<(), Failure> {
    if status.segments == 0 {
        return Ok(());
    }
    let space = &status.space;
    let live = |name: &str, of: lostore::UseStatus| match of.records {
        0 => format!("{} {name}", of.segments),
        records => format!("{} {name} ({} of {} records live)", of.segments, count_text(of.live), count_text(records)),
    };
    output.line(&format!(
        "segments  {}, {}, {} checkpoint, {} waiting, {} free",
        live("log", space.log),
        live("table", space.table),
        space.checkpoint.segments,
        space.waiting.segments,
        status.segments_free + space.aside
    ))?;
    let CheckpointStatus { kept, running, begun, failed, bytes, recovered } = &status.checkpoints;
    let began = recovered.map_or_else(|| "without one".to_owned(), |epoch| format!("with one up to epoch {epoch}"));
    output.line(&format!(
        "checkpoints {} kept; {} begun{}, {} failed, {} written; this open began {began}",
        kept.len(),
        count_text(*begun),
        if *running { " (one under way)" } else { "" },
        count_text(*failed),
        bytes_text(*bytes)
    ))?;
    reclaim_text(&status.reclaim, output)
}

fn reclaim_text(reclaim: &ReclaimStatus, output: &mut Output) -> Result<(), Failure> {
    if !reclaim.on {
        return output.line("reclaim   off: dead records keep their room (serve --reclaim on)");
    }
    let pass = if reclaim.pass_segments > 0 {
        format!("; a pass has {} of {} segments to go", reclaim.pass_left, reclaim.pass_segments)
    } else {
        String::new()
    };
    output.line(&format!(
        "reclaim   {}: {} segments given back, {} records moved ({}), {} expired dropped, {} batches failed{pass}",
        if reclaim.running { "running" } else { "on" },
        count_text(reclaim.segments_freed),
        count_text(reclaim.records_moved),
        bytes_text(reclaim.bytes_moved),
        count_text(reclaim.records_expired),
        count_text(reclaim.batches_failed)
    ))
}
