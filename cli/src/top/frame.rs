//! The figures as lines of a screen.
//!
//! Contract: with a size, no more lines and no longer ones than it has: tables first give way, then verbs. Without, all of them.

use super::figures::{Figures, Times};
use std::path::Path;

/// Lines above the verbs.
const HEAD: usize = 9;
/// Verbs that are shown however many tables there are.
const VERBS_MIN: usize = 5;

pub(super) fn lines(figures: &Figures, socket: &Path, size: Option<(usize, usize)>) -> Vec<String> {
    let mut lines = head(figures, socket);
    assert_eq!(lines.len(), HEAD, "the room below is computed from it");
    // Below the head: two titles and an empty line.
    let room = size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(HEAD + 3));
    let tables = figures.tables.len().min(room.saturating_sub(figures.verbs.len().min(VERBS_MIN)));
    let verbs = figures.verbs.len().min(room - tables);
    lines.push(format!("{:<20}{:>12}{:>11}{:>11}{:>11}{:>15}", "verb", "/s", "mean", "half <=", "99% <=", "total"));
    for verb in &figures.verbs[..verbs] {
        let Times { mean, half, most } = verb.times;
        let (rate, total) = (count(verb.rate), count(verb.total));
        let times = [mean, half, most].map(time);
        lines.push(format!(
            "{:<20}{rate:>12}{:>11}{:>11}{:>11}{total:>15}",
            cut(&verb.name, 20),
            times[0],
            times[1],
            times[2]
        ));
    }
    lines.push(String::new());
    lines.push(format!("{:<28}{:>14}{:>12}{:>13}{:>13}", "table", "pairs", "+/s", "records", "index"));
    for table in &figures.tables[..tables] {
        let (pairs, growth) = (count(table.pairs), count(table.growth));
        let (records, index) = (bytes(table.record_bytes), bytes(table.index_bytes));
        lines.push(format!("{:<28}{pairs:>14}{growth:>12}{records:>13}{index:>13}", cut(&table.name, 27)));
    }
    if let Some((columns, rows)) = size {
        lines.truncate(rows);
        lines.iter_mut().for_each(|line| *line = cut(line, columns));
    }
    lines
}

fn head(figures: &Figures, socket: &Path) -> Vec<String> {
    let (now, rate) = (|name| figures.now(name), |name| count(figures.rate(name)));
    let health = if now("read_only") > 0.0 { "READ-ONLY" } else { "healthy" };
    let lag = &figures.lag;
    let (memory, device) = (figures.rate("lookups_memory"), figures.rate("lookups_device"));
    let hit =
        if memory + device > 0.0 { format!("{:.1} %", 100.0 * memory / (memory + device)) } else { "-".to_owned() };
    vec![
        format!(
            "lostore {}  {}  {}, {health}, incarnation {}, up {}",
            figures.version,
            socket.display(),
            figures.domain,
            count(now("incarnation")),
            up(figures.up_s)
        ),
        format!(
            "clients     {} connected, {} of {} held, {} wait, {}/s refused",
            count(now("connections")),
            bytes(now("connections_bytes")),
            bytes(now("connections_bytes_max")),
            count(now("connections_waiting")),
            rate("connections_refused_total")
        ),
        format!(
            "commits     {}/s, {}/s refused by a compare; {}/s operations failed",
            rate("commits_total"),
            rate("compare_failures_total"),
            rate("operation_errors_total")
        ),
        format!("lookups     {}/s from memory, {}/s from the device, {hit} in memory", count(memory), count(device)),
        format!(
            "persistence {} after a commit's answer; half <= {}, 99% <= {}",
            time(lag.mean),
            time(lag.half),
            time(lag.most)
        ),
        format!(
            "device      {}/s reads, {}/s writes, {}/s flushes, {}/s of log",
            rate("device_reads_total"),
            rate("device_writes_total"),
            rate("device_flushes_total"),
            bytes(figures.rate("log_bytes_total"))
        ),
        format!(
            "memory      {} cache, {} indexes; {} in {} segments ({} free)",
            bytes(now("cache_bytes")),
            bytes(figures.index_bytes()),
            bytes(now("device_bytes")),
            count(now("segments")),
            count(now("segments_free"))
        ),
        format!(
            "contention  {} hot keys, {}/s waits in turn, {}/s turns ended by the clock",
            count(now("contended_keys")),
            rate("contention_waits_total"),
            rate("contention_lease_ends_total")
        ),
        format!(
            "other       {}/s Redis commands, {}/s of them failed; {} revertible writes",
            rate("redis_commands_total"),
            rate("redis_errors_total"),
            count(now("revertible_writes"))
        ),
    ]
}

/// A whole number in groups of three digits.
fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let sign = if value < 0.0 && digits != "0" { "-" } else { "" };
    let mut text = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn bytes(value: f64) -> String {
    let mut value = value;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{value:.0} B") } else { format!("{value:.1} {unit}") }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

fn up(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}d {clock}") } else { clock }
}

fn cut(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}
