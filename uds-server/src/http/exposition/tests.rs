use super::*;
use crate::metrics::verb;
use domains::{Answer, Op, TableStatus, Tick};
use std::collections::BTreeSet;

/// What the operator is told about metrics.
const DESIGN: &str = include_str!("../../../../design/metrics.md");

fn page() -> String {
    let mut metrics = Metrics::default();
    let at = |nanos| Tick { nanos, unix_ms: 0 };
    for nanos in [800, 3_000, 3_500, 9_000_000_000_000] {
        metrics.answered(verb(&Op::Force), 0, &Ok(Answer::Done), at(nanos));
    }
    let spec = lostore::plain_spec(lostore::schema::TableKind::Hash, lostore::schema::TableHome::Volatile);
    let info = domains::TableInfo { id: segments::TableId(1), name: "a \"b\\\n".into(), spec };
    let table = TableStatus { info, pairs: 3, index_bytes: 60, record_bytes: 400 };
    let status = Status { tables: vec![table], commits: 7, ..Status::default() };
    text(&Seen {
        status: &status,
        metrics: &metrics,
        memory: Connections::default(),
        shared: &Shared::default(),
        domain: "fake",
    })
}

#[test]
fn every_line_is_of_the_format_and_of_a_family_that_was_announced() {
    let page = page();
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}: a counter's name says so");
            assert!(families.insert(name), "{name} is announced once");
        } else if line.strip_prefix("# HELP ").is_none() {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(samples.insert(sample), "{sample} is told once");
            let name = sample.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(families.contains(name) || families.contains(family), "{line}");
        }
    }
    assert!(page.contains("lostore_table_pairs{table=\"a \\\"b\\\\\\n\"} 3\n"), "{page}");
}

#[test]
fn the_buckets_of_a_histogram_hold_those_before_them() {
    let page = page();
    let count = |bound: &str| {
        let sample = format!("lostore_operation_seconds_bucket{{verb=\"force\",le=\"{bound}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&sample)).unwrap_or_else(|| panic!("{sample} in {page}"))
    };
    let counts = ["0.000001", "0.000002", "0.000004", "16.777216", "+Inf"].map(count);
    assert_eq!(counts, ["1", "1", "3", "3", "4"]);
    assert!(page.contains("lostore_operation_seconds_sum{verb=\"force\"} 9000.0000073\n"), "{page}");
}

#[test]
fn the_design_lists_every_metric_and_no_other() {
    let page = page();
    let told: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let listed = DESIGN.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let listed: BTreeSet<&str> = listed.filter(|name| name.starts_with("lostore_")).collect();
    assert_eq!(told, listed);
}
