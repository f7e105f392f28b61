//! All segments of a device as an SVG that stands alone.
//!
//! Contract: one cell a segment, in the order of the device, rows of a fixed number; the colour says what it is used for, how high it is
//! filled how much of it lives. Each says in words what it is when it is pointed at. Cells are smaller where there are many, so that ten
//! segments and some thousands fit a screen. It is drawn in the reader's light or dark colours, and has no script.

use super::{PAGE, by_use, bytes_of, share};
use crate::output::{bytes_text, count_text};
use lostore::{SegmentRun, SegmentUse, Segments};
use std::fmt::Write;

const STYLE: &str = "\
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2933}\
.paper{fill:#fff}.about{fill:#66727f}.cell{fill:#eef1f4;stroke:#c9d1da;stroke-width:.5}\
.log{fill:#2f6fb3}.table{fill:#2b8a63}.checkpoint{fill:#8a5fb3}.waiting{fill:#c9842b}.free{fill:#c9d1da}\
.dead{fill-opacity:.28}\
@media(prefers-color-scheme:dark){text{fill:#e4e9ee}.paper{fill:#15191e}.about{fill:#95a1ae}.cell{fill:#1d232a;stroke:#3a444f}\
.free{fill:#3a444f}}";

const MARGIN: u32 = 24;
/// About as wide as the cells of a drawing are together.
const WIDTH: u32 = 960;
/// Above the cells: a title, and a line for what the colours mean.
const HEAD: u32 = 76;
/// So wide is a word of the legend with its bytes.
const LEGEND: u32 = 192;

/// The side of a cell, its gap included: as many fit a screen.
fn side(segments: usize) -> u32 {
    match segments {
        0..=96 => 48,
        97..=600 => 24,
        601..=4_000 => 12,
        _ => 6,
    }
}

pub(super) fn draw(segments: &Segments) -> String {
    let cells: usize = segments.runs.iter().map(|run| run.segments as usize).sum();
    let side = side(cells);
    let columns = WIDTH / side;
    let rows = u32::try_from(cells).unwrap_or(u32::MAX).div_ceil(columns).max(1);
    let (width, height) = (WIDTH + 2 * MARGIN, HEAD + rows * side + 2 * MARGIN);
    let mut svg = String::new();
    put(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>Segments of the device</title>\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n"
        ),
    );
    head(&mut svg, segments, cells);
    let (mut at, top) = (0, MARGIN + HEAD);
    for run in &segments.runs {
        for number in 0..run.segments {
            let (left, above) = (MARGIN + at % columns * side, top + at / columns * side);
            cell(&mut svg, run, number, segments.segment_pages, (left, above, side));
            at += 1;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// What is seen: how much there is, and what the colours mean.
fn head(svg: &mut String, segments: &Segments, cells: usize) {
    let (device, one) = (segments.device_pages * PAGE, u64::from(segments.segment_pages) * PAGE);
    let line = MARGIN + 14;
    put(
        svg,
        format_args!(
            "<text x=\"{MARGIN}\" y=\"{line}\">{} in {} segments of {}; the darker part of a cell lives</text>\n",
            bytes_text(device),
            count_text(cells as u64),
            bytes_text(one)
        ),
    );
    for (number, (used, bytes)) in (0..).zip(by_use(segments)) {
        let (left, top, word) = (MARGIN + number * LEGEND, MARGIN + 34, used.name());
        put(
            svg,
            format_args!(
                "<rect x=\"{left}\" y=\"{top}\" width=\"12\" height=\"12\" class=\"{word}\"/>\
                 <text x=\"{}\" y=\"{}\" class=\"about\">{word} {}</text>\n",
                left + 18,
                top + 11,
                bytes_text(bytes.all())
            ),
        );
    }
}

fn cell(svg: &mut String, run: &SegmentRun, number: u32, segment_pages: u32, (left, top, side): (u32, u32, u32)) {
    let inner = side - side / 6;
    let bytes = bytes_of(run, segment_pages);
    let word = run.used.name();
    put(svg, format_args!("<g><title>{}</title>", about(run, number, segment_pages)));
    let frame = format!("x=\"{left}\" y=\"{top}\" width=\"{inner}\" height=\"{inner}\"");
    put(svg, format_args!("<rect {frame} class=\"cell\"/>"));
    let height = |bytes_there: u64| {
        // What is there is seen, be it ever so little.
        let units = share(u64::from(inner), bytes_there, bytes.all());
        u32::try_from(units).expect("no higher than the cell").max(u32::from(bytes_there > 0))
    };
    let live = height(bytes.live_bytes);
    let used = height(bytes.live_bytes + bytes.dead_bytes).max(live);
    let mut fill = |height: u32, class: &str| {
        if height > 0 {
            let above = top + inner - height;
            put(
                svg,
                format_args!(
                    "<rect x=\"{left}\" y=\"{above}\" width=\"{inner}\" height=\"{height}\" class=\"{word}{class}\"/>"
                ),
            );
        }
    };
    if run.used != SegmentUse::Free {
        fill(used, " dead");
        fill(live, "");
    }
    svg.push_str("</g>\n");
}

/// A segment in words.
fn about(run: &SegmentRun, number: u32, segment_pages: u32) -> String {
    let mut about = format!("segment {}: {}", run.segment.0 + number, run.used.name());
    if run.segments > 1 {
        about.push_str(&format!(", number {} of {} in a row", number + 1, run.segments));
    }
    if run.records > 0 {
        about.push_str(&format!(
            ", {} of {} records live",
            count_text(run.live.into()),
            count_text(run.records.into())
        ));
    }
    if run.used != SegmentUse::Free {
        let all = u64::from(run.segments) * u64::from(segment_pages);
        about.push_str(&format!(", {} of {} pages used", count_text(run.pages.into()), count_text(all)));
    }
    about
}

fn put(svg: &mut String, words: std::fmt::Arguments<'_>) {
    svg.write_fmt(words).expect("text takes all that is written");
}
