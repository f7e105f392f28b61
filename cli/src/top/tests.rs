use super::figures::Figures;
use super::*;

/// A server's page with these counts of commits, their buckets up to 1, 2 and 4 ms, and tables.
fn page(commits: u64, below: [u64; 3], tables: usize) -> String {
    let mut text = format!(
        "# HELP lostore_commits_total Commits applied.\n# TYPE lostore_commits_total counter\nlostore_commits_total {commits}\n\
         lostore_build_info{{version=\"9.9\",domain=\"persistent\"}} 1\nlostore_connections 3\nlostore_read_only 0\n\
         lostore_lookups_total{{from=\"memory\"}} {}\nlostore_lookups_total{{from=\"device\"}} {commits}\nnonsense\nlostore_bad x\n",
        3 * commits
    );
    for (bound, below) in ["0.001", "0.002", "0.004"].iter().zip(below) {
        text.push_str(&format!("lostore_operation_seconds_bucket{{verb=\"commit\",le=\"{bound}\"}} {below}\n"));
    }
    text.push_str(&format!("lostore_operation_seconds_bucket{{verb=\"commit\",le=\"+Inf\"}} {}\n", below[2]));
    text.push_str(&format!("lostore_operation_seconds_sum{{verb=\"commit\"}} {}.5\n", below[2]));
    text.push_str(&format!("lostore_operation_seconds_count{{verb=\"commit\"}} {}\n", below[2]));
    text.push_str("lostore_operation_seconds_count{verb=\"drop_cache\"} 0\n");
    for table in 0..tables {
        text.push_str(&format!("lostore_table_pairs{{table=\"t \\\"{table}\\\"\"}} {}\n", 10 + table));
        text.push_str(&format!("lostore_table_index_bytes{{table=\"t \\\"{table}\\\"\"}} 2048\n"));
    }
    text
}

fn figures(tables: usize) -> Figures {
    let began = Instant::now();
    let before = Reading::read(&page(100, [1, 2, 3], 1), began);
    let now = Reading::read(&page(300, [51, 100, 103], tables), began + Duration::from_secs(2));
    Figures::of(&now, &before)
}

#[test]
fn rates_and_times_are_differences_of_two_readings() {
    let figures = figures(2);
    assert_eq!((figures.rate("commits_total"), figures.rate("lookups_memory")), (100.0, 300.0));
    assert_eq!((figures.now("connections"), &*figures.version), (3.0, "9.9"));
    let [verb] = &figures.verbs[..] else { panic!("{:?}", figures.verbs) };
    assert_eq!((&*verb.name, verb.rate, verb.total), ("commit", 50.0, 103.0));
    // Of 100 between the readings 50 took up to 1 ms, 98 up to 2 ms.
    assert_eq!((verb.times.mean, verb.times.half, verb.times.most), (Some(1.0), Some(0.001), Some(0.004)));
    assert_eq!(figures.lag.mean, None);
    assert_eq!((&*figures.tables[1].name, figures.tables[1].pairs, figures.tables[1].growth), ("t \"0\"", 10.0, 0.0));
    assert_eq!(figures.index_bytes(), 4096.0);
    let document = figures.document(Path::new("s"));
    assert_eq!(document["per_second"]["commits"], 100.0);
    assert_eq!(document["verbs"][0]["times"]["p99_s"], 0.004);
}

#[test]
fn a_counter_that_went_back_counts_from_zero() {
    let began = Instant::now();
    let before = Reading::read(&page(1000, [9, 9, 9], 0), began);
    let now = Reading::read(&page(10, [1, 1, 1], 0), began + Duration::from_secs(1));
    let figures = Figures::of(&now, &before);
    assert_eq!((figures.rate("commits_total"), figures.verbs[0].rate), (10.0, 1.0));
}

#[test]
fn a_frame_fits_its_terminal_and_shows_the_largest_tables() {
    for size in [(80, 24), (40, 10), (200, 60), (80, 5)] {
        let lines = frame::lines(&figures(100), Path::new("/run/a/rather/long/path/of/a/socket.sock"), Some(size));
        assert!(lines.len() <= size.1, "{} lines", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= size.0), "{lines:#?}");
    }
    let lines = frame::lines(&figures(100), Path::new("data/lostore.sock"), Some((80, 24)));
    assert_eq!(lines.len(), 24);
    assert!(lines[0].starts_with("lostore 9.9  data/lostore.sock  persistent, healthy"), "{}", lines[0]);
    assert!(lines[2].starts_with("commits     100/s,"), "{}", lines[2]);
    assert!(lines.iter().any(|line| line.starts_with("t \"99\"")) && !lines.iter().any(|line| line.contains("\"0\"")));
    let all = frame::lines(&figures(100), Path::new("s"), None);
    assert!(all.iter().any(|line| line.contains("t \"0\"")));
}
