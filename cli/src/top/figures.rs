//! What two readings say: rates between them, and what is so now.
//!
//! Contract: a rate is the difference over the time between; a counter that went back (the server was started anew) counts from
//! zero. Latencies are those of the operations between the readings; a quantile is the bound that the histogram has above it.

use super::reading::Reading;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A kind of operation between the readings.
#[derive(Clone, Debug)]
pub(super) struct Verb {
    pub(super) name: String,
    pub(super) total: f64,
    pub(super) rate: f64,
    pub(super) times: Times,
}

/// How long things took, in seconds; none when there were none.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) mean: Option<f64>,
    pub(super) half: Option<f64>,
    pub(super) most: Option<f64>,
}

/// A table now.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) pairs: f64,
    /// Pairs that came, less those that went, a second.
    pub(super) growth: f64,
    pub(super) record_bytes: f64,
    pub(super) index_bytes: f64,
}

/// Everything that is shown.
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) domain: String,
    pub(super) up_s: u64,
    /// Counts and sizes as they are, by the metric's name without `lostore_`.
    now: Vec<(&'static str, f64)>,
    /// Counters, a second.
    rates: Vec<(&'static str, f64)>,
    /// The time from a commit's answer to its persistence.
    pub(super) lag: Times,
    pub(super) verbs: Vec<Verb>,
    pub(super) tables: Vec<Table>,
}

const NOW: [&str; 12] = [
    "incarnation",
    "read_only",
    "connections",
    "connections_bytes",
    "connections_bytes_max",
    "connections_waiting",
    "cache_bytes",
    "device_bytes",
    "segments",
    "segments_free",
    "contended_keys",
    "revertible_writes",
];

const RATES: [&str; 13] = [
    "commits_total",
    "compare_failures_total",
    "lookups_at_once_total",
    "operation_errors_total",
    "device_reads_total",
    "device_writes_total",
    "device_flushes_total",
    "log_bytes_total",
    "contention_waits_total",
    "contention_lease_ends_total",
    "connections_refused_total",
    "redis_commands_total",
    "redis_errors_total",
];

impl Figures {
    pub(super) fn of(now: &Reading, before: &Reading) -> Self {
        let span = now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001);
        let rate = |name: &str, labels: &[(&str, &str)]| grown(now, before, name, labels) / span;
        let mut rates: Vec<(&str, f64)> =
            RATES.iter().map(|name| (*name, rate(&format!("lostore_{name}"), &[]))).collect();
        rates.push(("lookups_memory", rate("lostore_lookups_total", &[("from", "memory")])));
        rates.push(("lookups_device", rate("lostore_lookups_total", &[("from", "device")])));
        let began = now.value("lostore_start_time_seconds", &[]);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self {
            version: now.label("lostore_build_info", "version").to_owned(),
            domain: now.label("lostore_build_info", "domain").to_owned(),
            up_s: std::time::Duration::try_from_secs_f64(since - began).map_or(0, |up| up.as_secs()),
            now: NOW.iter().map(|name| (*name, now.value(&format!("lostore_{name}"), &[]))).collect(),
            rates,
            lag: times(now, before, "lostore_persistence_lag_seconds", &[]),
            verbs: verbs(now, before, span),
            tables: tables(now, before, span),
        }
    }

    /// A count or size as it is.
    pub(super) fn now(&self, name: &str) -> f64 {
        self.now.iter().find(|(known, _)| *known == name).expect("the name is one of the list").1
    }

    /// A counter, a second.
    pub(super) fn rate(&self, name: &str) -> f64 {
        self.rates.iter().find(|(known, _)| *known == name).expect("the name is one of the list").1
    }

    /// Memory of all indexes.
    pub(super) fn index_bytes(&self) -> f64 {
        self.tables.iter().map(|table| table.index_bytes).sum()
    }

    pub(super) fn document(&self, socket: &Path) -> Value {
        let pairs = |of: &[(&str, f64)]| -> Value {
            of.iter().map(|(name, value)| (name.trim_end_matches("_total").to_owned(), Value::from(*value))).collect()
        };
        let times = |of: &Times| json!({ "mean_s": of.mean, "half_s": of.half, "p99_s": of.most });
        let verbs = self.verbs.iter().map(|verb| {
            json!({ "verb": verb.name, "total": verb.total, "per_second": verb.rate, "times": times(&verb.times) })
        });
        let tables = self.tables.iter().map(|table| {
            json!({
                "table": table.name, "pairs": table.pairs, "pairs_per_second": table.growth,
                "record_bytes": table.record_bytes, "index_bytes": table.index_bytes,
            })
        });
        json!({
            "socket": socket.to_string_lossy(), "version": self.version, "domain": self.domain, "up_s": self.up_s,
            "now": pairs(&self.now), "per_second": pairs(&self.rates), "index_bytes": self.index_bytes(),
            "persistence_lag": times(&self.lag),
            "verbs": verbs.collect::<Vec<Value>>(), "tables": tables.collect::<Vec<Value>>(),
        })
    }
}

/// By how much a counter has grown.
fn grown(now: &Reading, before: &Reading, name: &str, labels: &[(&str, &str)]) -> f64 {
    let (now, before) = (now.value(name, labels), before.value(name, labels));
    if now >= before { now - before } else { now }
}

/// The times of a histogram's observations between the readings.
fn times(now: &Reading, before: &Reading, name: &str, labels: &[(&str, &str)]) -> Times {
    let count = grown(now, before, &format!("{name}_count"), labels);
    if count <= 0.0 {
        return Times::default();
    }
    let bucket = format!("{name}_bucket");
    let of_these = |have: &[(String, String)]| {
        have.len() == labels.len() + 1 && have.iter().zip(labels).all(|((n, v), (name, value))| n == name && v == value)
    };
    let bounds: Vec<&str> = now
        .family(&bucket)
        .iter()
        .filter(|(have, _)| of_these(have))
        .filter_map(|(have, _)| have.last().map(|(_, bound)| &**bound))
        .collect();
    // Buckets count all up to their bound.
    let below = |bound: &str| {
        let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound)]).collect();
        grown(now, before, &bucket, &with_bound)
    };
    let quantile = |part: f64| {
        let bound = bounds.iter().find(|bound| below(bound) >= part * count)?;
        bound.parse::<f64>().ok().filter(|bound| bound.is_finite())
    };
    let mean = grown(now, before, &format!("{name}_sum"), labels) / count;
    Times { mean: Some(mean), half: quantile(0.5), most: quantile(0.99) }
}

/// The verbs that were ever asked, the busiest first.
fn verbs(now: &Reading, before: &Reading, span: f64) -> Vec<Verb> {
    let name = "lostore_operation_seconds";
    let asked = now.family(&format!("{name}_count")).iter().filter(|(_, total)| *total > 0.0);
    let verb = |(labels, total): &(super::reading::Labels, f64)| {
        let (_, verb) = labels.first()?;
        let labels = [("verb", &**verb)];
        let rate = grown(now, before, &format!("{name}_count"), &labels) / span;
        Some(Verb { name: verb.clone(), total: *total, rate, times: times(now, before, name, &labels) })
    };
    let mut verbs: Vec<Verb> = asked.filter_map(verb).collect();
    verbs.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.total.total_cmp(&a.total)));
    verbs
}

/// The tables, the largest first.
fn tables(now: &Reading, before: &Reading, span: f64) -> Vec<Table> {
    let table = |(labels, pairs): &(super::reading::Labels, f64)| {
        let (_, name) = labels.first()?;
        let of = [("table", &**name)];
        Some(Table {
            name: if name.is_empty() { "(catalog)".to_owned() } else { name.clone() },
            pairs: *pairs,
            growth: (pairs - before.value("lostore_table_pairs", &of)) / span,
            record_bytes: now.value("lostore_table_record_bytes", &of),
            index_bytes: now.value("lostore_table_index_bytes", &of),
        })
    };
    let mut tables: Vec<Table> = now.family("lostore_table_pairs").iter().filter_map(table).collect();
    tables.sort_by(|a, b| b.pairs.total_cmp(&a.pairs).then(a.name.cmp(&b.name)));
    tables
}
