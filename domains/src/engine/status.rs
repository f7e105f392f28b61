//! The figures of an engine, gathered when they are asked for.

use super::clients::REQUESTS;
use super::core::Core;
use super::space;
use super::table::Table;
use crate::seam::{CheckpointStatus, Connections, Status, TableStatus};

/// Whether it is anybody's affair: the engine's own table of requests has no name to be shown under, and a bound.
fn is_shown(table: &Table) -> bool {
    table.info.id != REQUESTS
}

/// How the engine is.
pub(crate) fn of(core: &Core) -> Status {
    let tables =
        core.catalog.tables().filter(|table| core.is_told(table) && is_shown(table)).map(|table| TableStatus {
            info: table.info.clone(),
            pairs: table.pairs(),
            index_bytes: table.index_bytes(),
            record_bytes: table.record_bytes + table.kept_bytes,
        });
    let (checkpoints, reclaim) = core.beside.clone();
    let space = core.records.log.as_ref().map(|log| log.space());
    let counters = core.counters;
    Status {
        horizon: core.horizon(),
        epoch_open: core.epoch_open(),
        poisoned: core.poisoned.clone(),
        tables: tables.collect(),
        segments: space.map_or(0, |space| space.segments),
        segments_free: space.map_or(0, |space| space.segments_free),
        space: space::of(core),
        checkpoints: CheckpointStatus { recovered: core.recovered, ..checkpoints },
        reclaim,
        device_pages: space.map_or(0, |space| space.pages),
        device_reads: counters.device_reads,
        device_writes: counters.device_writes,
        device_flushes: counters.device_flushes,
        log_pages: core.records.log.as_ref().map_or(0, |log| log.pages_written()),
        cache_bytes: (core.records.cache.bytes() + core.records.heap.bytes()) as u64
            + core.records.log.as_ref().map_or(0, |log| log.memory_bytes()) as u64,
        lookups_memory: counters.lookups_memory,
        lookups_device: counters.lookups_device,
        commits: counters.commits,
        compare_failures: counters.compare_failures,
        revertible_writes: core.kept.writes(),
        kept_bytes: core.kept.bytes(),
        stages: core.stages.len() as u64,
        staged_bytes: core.stages.staged_bytes(),
        unstaged_bytes: core.stages.unstaged_bytes(),
        hot_keys: core.contention.hot_keys() as u64,
        contention_waits: core.contention.waits,
        lease_ends: core.contention.lease_ends,
        connections: Connections::default(),
    }
}
