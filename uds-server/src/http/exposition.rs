//! The server's and the domain's counts in the text format that Prometheus reads (version 0.0.4).
//!
//! Contract: every name is listed, with its meaning, in `design/metrics.md`; a test compares. Names and meanings are kept from
//! one version to the next. Neither keys nor values are shown, and of tables the names only.

use crate::metrics::{BUCKETS, Histogram, Metrics};
use crate::resp::shared::Shared;
use domains::{Connections, SpaceStatus, Status};
use std::fmt::{Display, Write as _};

/// What a family of samples is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, from the server's start or the store's open.
    Counter,
    Histogram,
}

use Kind::{Counter, Gauge};

/// A count: name, kind, meaning, and the value's place.
type Count<Of> = (&'static str, Kind, &'static str, fn(&Of) -> u64);

/// The domain's counts.
const COUNTS: &[Count<Status>] = &[
    ("lostore_incarnation", Gauge, "Number of this opening of the store.", |s| s.horizon.incarnation.0.into()),
    ("lostore_read_only", Gauge, "1 when a failed device made the store read-only.", |s| s.poisoned.is_some().into()),
    ("lostore_commits_total", Counter, "Commits applied.", |s| s.commits),
    ("lostore_compare_failures_total", Counter, "Commits refused by a compare.", |s| s.compare_failures),
    ("lostore_cache_bytes", Gauge, "Bytes of cached records.", |s| s.cache_bytes),
    ("lostore_device_reads_total", Counter, "Read requests to the device.", |s| s.device_reads),
    ("lostore_device_writes_total", Counter, "Write requests to the device.", |s| s.device_writes),
    ("lostore_device_flushes_total", Counter, "Flush requests to the device.", |s| s.device_flushes),
    ("lostore_device_bytes", Gauge, "Size of the device.", |s| s.device_pages * 4096),
    ("lostore_log_bytes_total", Counter, "Bytes written to the log.", |s| s.log_pages * 4096),
    ("lostore_segments", Gauge, "Segments of the device.", |s| s.segments.into()),
    ("lostore_segments_free", Gauge, "Segments that hold nothing and can be taken.", |s| s.segments_free.into()),
    ("lostore_revertible_writes", Gauge, "Writes that can still be reverted.", |s| s.revertible_writes),
    ("lostore_revertible_bytes", Gauge, "Bytes of the earlier records that these keep.", |s| s.kept_bytes),
    ("lostore_stages", Gauge, "Open transactions that have written values out.", |s| s.stages),
    ("lostore_staged_bytes", Gauge, "Bytes that these have written to the log.", |s| s.staged_bytes),
    ("lostore_unstaged_bytes_total", Counter, "Bytes written out that no commit has named.", |s| s.unstaged_bytes),
    ("lostore_contended_keys", Gauge, "Keys whose commits are looked at and answered in turn.", |s| s.hot_keys),
    ("lostore_contention_waits_total", Counter, "Times that a commit waited for such a turn.", |s| s.contention_waits),
    ("lostore_contention_lease_ends_total", Counter, "Turns that ended by the clock.", |s| s.lease_ends),
    ("lostore_checkpoint_running", Gauge, "1 while a checkpoint is written.", |s| s.checkpoints.running.into()),
    ("lostore_checkpoints_total", Counter, "Checkpoints that were begun.", |s| s.checkpoints.begun),
    ("lostore_checkpoints_failed_total", Counter, "Of them, those not finished.", |s| s.checkpoints.failed),
    ("lostore_checkpoints_kept", Gauge, "Checkpoints to recover from.", |s| s.checkpoints.kept.len() as u64),
    ("lostore_checkpoint_bytes_total", Counter, "Bytes of checkpoints.", |s| s.checkpoints.bytes),
    ("lostore_recovered_from_checkpoint", Gauge, "1 when the open began with one.", |s| {
        s.checkpoints.recovered.is_some().into()
    }),
    ("lostore_reclaim_on", Gauge, "1 where space is won back.", |s| s.reclaim.on.into()),
    ("lostore_reclaim_running", Gauge, "1 while records are moved.", |s| s.reclaim.running.into()),
    ("lostore_reclaim_segments_freed_total", Counter, "Segments given back.", |s| s.reclaim.segments_freed),
    ("lostore_reclaim_records_moved_total", Counter, "Records moved.", |s| s.reclaim.records_moved),
    ("lostore_reclaim_bytes_moved_total", Counter, "Bytes of records moved.", |s| s.reclaim.bytes_moved),
    ("lostore_reclaim_records_expired_total", Counter, "Expired records dropped.", |s| s.reclaim.records_expired),
    ("lostore_reclaim_batches_failed_total", Counter, "Batches that the device ended.", |s| s.reclaim.batches_failed),
    ("lostore_reclaim_pass_segments_left", Gauge, "Segments that a pass is yet to come to.", |s| {
        s.reclaim.pass_left.into()
    }),
];

const MEMORY: &[Count<Connections>] = &[
    ("lostore_connections_bytes", Gauge, "Memory that the connections hold together.", |m| m.bytes),
    ("lostore_connections_bytes_max", Gauge, "The most that they may hold.", |m| m.bytes_max),
    ("lostore_connections_waiting", Gauge, "Connections that wait for memory.", |m| m.waiting),
    ("lostore_connections_refused_total", Counter, "Waits for memory that ended with a refusal.", |m| m.refused),
];

/// What the page of metrics is made of.
pub(super) struct Seen<'a> {
    pub(super) status: &'a Status,
    pub(super) metrics: &'a Metrics,
    pub(super) memory: Connections,
    pub(super) shared: &'a Shared,
    /// What the domain is called.
    pub(super) domain: &'a str,
}

/// All metrics.
pub(super) fn text(seen: &Seen<'_>) -> String {
    let Seen { status, metrics, memory, shared, domain } = *seen;
    let mut page = Page(String::with_capacity(16 << 10));
    let info: &[_] = &[("version", env!("CARGO_PKG_VERSION")), ("domain", domain)];
    page.family("lostore_build_info", Gauge, "Always 1; the labels tell the version and the kind of domain.");
    page.sample("lostore_build_info", info, 1);
    page.one("lostore_start_time_seconds", Gauge, "When the server's first client came, since 1970.", shared.began_s);
    page.one("lostore_connections", Gauge, "Connections, of all protocols.", shared.clients);
    for (name, kind, help, value) in MEMORY {
        page.one(name, *kind, help, value(&memory));
    }
    page.family("lostore_operation_seconds", Kind::Histogram, "Time from an operation's start to its answer, by verb.");
    for (verb, histogram) in metrics.verbs() {
        page.histogram("lostore_operation_seconds", &[("verb", verb)], histogram);
    }
    page.one("lostore_operation_errors_total", Counter, "Operations answered with an error.", metrics.errors);
    page.one("lostore_operations_denied_total", Counter, "Operations refused for want of a right.", metrics.denied);
    page.one("lostore_lookups_at_once_total", Counter, "Lookups that memory served at once.", metrics.at_once);
    let lag = "Time from a commit's answer to its persistence, of the first commit in each epoch.";
    page.family("lostore_persistence_lag_seconds", Kind::Histogram, lag);
    page.histogram("lostore_persistence_lag_seconds", &[], &metrics.lag);
    page.family("lostore_lookups_total", Counter, "Lookups served, by where the record was.");
    page.sample("lostore_lookups_total", &[("from", "memory")], status.lookups_memory);
    page.sample("lostore_lookups_total", &[("from", "device")], status.lookups_device);
    for (name, kind, help, value) in COUNTS {
        page.one(name, *kind, help, value(status));
    }
    page.one("lostore_redis_commands_total", Counter, "Commands of Redis clients.", shared.counters.commands);
    page.uses(status);
    let errors = "Commands of Redis clients answered with an error.";
    page.one("lostore_redis_errors_total", Counter, errors, shared.counters.errors);
    page.tables(status);
    page.0
}

/// A text that grows by families of samples.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Gauge => "gauge",
            Counter => "counter",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        let bucket = format!("{name}_bucket");
        for (at, count) in histogram.counts.iter().enumerate() {
            below += count;
            let bound = if at == BUCKETS { "+Inf".to_owned() } else { seconds(1_000 << at) };
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&bucket, &labels, below);
        }
        self.sample(&format!("{name}_sum"), labels, seconds(histogram.nanos));
        self.sample(&format!("{name}_count"), labels, below);
    }

    fn uses(&mut self, status: &Status) {
        let SpaceStatus { log, table, checkpoint, waiting, aside } = status.space;
        self.family("lostore_segments_used", Gauge, "Segments by what they are used for.");
        let uses = [("log", log.segments), ("table", table.segments), ("checkpoint", checkpoint.segments)];
        let rest = [("waiting", waiting.segments), ("aside", aside), ("free", status.segments_free)];
        for (name, segments) in uses.into_iter().chain(rest) {
            self.sample("lostore_segments_used", &[("use", name)], segments);
        }
        self.family(
            "lostore_segment_records",
            Gauge,
            "Records in segments, by their segments' use and whether they live.",
        );
        for (name, of) in [("log", log), ("table", table), ("waiting", waiting)] {
            for (state, records) in [("live", of.live), ("dead", of.records.saturating_sub(of.live))] {
                self.sample("lostore_segment_records", &[("use", name), ("state", state)], records);
            }
        }
    }

    fn tables(&mut self, status: &Status) {
        type Of = fn(&domains::TableStatus) -> u64;
        let families: [(&str, &str, Of); 3] = [
            ("lostore_table_pairs", "Pairs of a table.", |table| table.pairs),
            ("lostore_table_record_bytes", "Bytes of a table's live records.", |table| table.record_bytes),
            ("lostore_table_index_bytes", "Bytes of memory of a table's index.", |table| table.index_bytes),
        ];
        for (name, help, value) in families {
            self.family(name, Gauge, help);
            for table in &status.tables {
                self.sample(name, &[("table", &table.info.name)], value(table));
            }
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("a string takes all text");
    }
}

/// Nanoseconds as seconds, exactly.
fn seconds(nanos: u128) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
