//! The schema as an SVG that stands alone.
//!
//! Contract: one box a table, one line a pointer field, from the field to the table it leads to; whatever the names are, the text
//! is well-formed and boxes do not overlap. It is drawn in the reader's light or dark colours.
//!
//! The layout: a table stands in the column behind the farthest table that leads to it (a way round a circle does not count);
//! inside a column tables are ordered by the mean height of those that lead to them, which keeps lines short. Tables that no
//! pointer touches stand below, in rows. Letters are taken to be 7.3 units wide, which those of every common monospaced font at
//! 12 units are (0.6 of the size, 7.2).

use super::{Entity, Row};
use std::fmt::Write;

const LETTER: f64 = 7.3;
const LINE: f64 = 20.0;
const HEAD: f64 = 42.0;
const PAD: f64 = 12.0;
/// Room between columns, in which the lines run.
const GAP: f64 = 110.0;
const BETWEEN: f64 = 28.0;
const MARGIN: f64 = 28.0;
/// The widest that rows of tables without pointers become.
const ROW_WIDTH_MIN: f64 = 900.0;

/// Colours stand in rules of their own, and not in variables, which some viewers do not know.
const STYLE: &str = "\
text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2933}\
.paper{fill:#fff}.name{font-weight:700;font-size:14px;fill:#fff}.about{font-size:10.5px;fill:#fff;opacity:.88}\
.type,.rule{fill:#66727f}.rule{font-size:10.5px}.key{font-weight:700}.card{fill:#fbfcfd;stroke:#c9d1da}\
.hash{fill:#2f6fb3}.ordered{fill:#2b8a63}.sack{fill:#a3622a}\
.edge{fill:none;stroke:#5b6b7b;stroke-width:1.4}.null{stroke-dasharray:5 4}.bad{stroke:#c43c3c}.tip{fill:#5b6b7b}.lost{fill:#c43c3c}.rowline{stroke:#c9d1da}\
@media(prefers-color-scheme:dark){text{fill:#e4e9ee}.paper{fill:#15191e}.card{fill:#1d232a;stroke:#3a444f}.rowline{stroke:#3a444f}\
.type,.rule{fill:#95a1ae}.edge{stroke:#8c9bab}.tip{fill:#8c9bab}.bad{stroke:#ef6b6b}.lost{fill:#ef6b6b}}";

/// A table's place.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

pub(super) fn draw(entities: &[Entity]) -> String {
    let (places, width, height) = layout(entities);
    let mut svg = String::new();
    put(
        &mut svg,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>Tables and pointers</title>\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto-start-reverse\"><path d=\"M0 0.6 7.4 4 0 7.4z\" class=\"tip\"/></marker></defs>\n"
        ),
    );
    let mut lanes = 0;
    for (entity, from) in entities.iter().zip(&places) {
        for (at, row) in entity.rows.iter().enumerate() {
            if let Some((_, to)) = &row.to {
                edge(&mut svg, row, (*from, row_middle(*from, at)), to.map(|to| places[to]), &mut lanes);
            }
        }
    }
    // On top of the lines: one that has to pass a table passes behind it.
    for (entity, place) in entities.iter().zip(&places) {
        table(&mut svg, entity, *place);
    }
    svg.push_str("</svg>\n");
    svg
}

fn put(svg: &mut String, words: std::fmt::Arguments<'_>) {
    svg.write_fmt(words).expect("text takes all that is written");
}

/// A size as a number of the drawing.
fn units(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn letters(text: &str) -> f64 {
    units(text.chars().count()) * LETTER
}

fn row_middle(place: Place, at: usize) -> f64 {
    place.top + HEAD + 6.0 + LINE * (units(at) + 0.5)
}

fn about(entity: &Entity) -> String {
    let revision = if entity.revision > 1 { format!(", revision {}", entity.revision) } else { String::new() };
    format!("{}, {}, {}{revision}", entity.type_name, entity.kind, entity.home)
}

/// Where a row's type begins, and where its rules do.
fn columns(entity: &Entity) -> (f64, f64) {
    let widest = |of: fn(&Row) -> &str| entity.rows.iter().map(|row| letters(of(row))).fold(0.0, f64::max);
    let types = PAD + 16.0 + widest(|row| &row.name) + 14.0;
    (types, types + widest(|row| &row.of) + 14.0)
}

fn rule(row: &Row) -> String {
    match (row.rules.is_empty(), row.revision) {
        (_, 1) => row.rules.clone(),
        (true, revision) => format!("since {revision}"),
        (false, revision) => format!("{}, since {revision}", row.rules),
    }
}

fn size(entity: &Entity) -> (f64, f64) {
    let (_, rules) = columns(entity);
    let rows = entity.rows.iter().map(|row| rules + letters(&rule(row)) * 0.9).fold(0.0, f64::max);
    let head = letters(&entity.name) * 1.2 + 2.0 * PAD;
    let width = rows.max(head).max(letters(&about(entity)) * 0.9 + 2.0 * PAD) + PAD;
    (width, HEAD + 12.0 + LINE * units(entity.rows.len()))
}

/// Where every table stands, and how large the whole is.
fn layout(entities: &[Entity]) -> (Vec<Place>, f64, f64) {
    let mut places: Vec<Place> = entities
        .iter()
        .map(|entity| {
            let (width, height) = size(entity);
            Place { width, height, ..Place::default() }
        })
        .collect();
    let edges = edges(entities);
    let touched: Vec<bool> =
        (0..entities.len()).map(|at| edges.iter().any(|(from, to)| *from == at || *to == at)).collect();
    let columns = ordered_columns(&ranks(entities.len(), &edges), &touched, &edges);
    let (mut left, mut bottom) = (MARGIN, MARGIN);
    let tallest = columns.iter().map(|column| column_height(column, &places)).fold(0.0, f64::max);
    for column in &columns {
        let width = column.iter().map(|at| places[*at].width).fold(0.0, f64::max);
        let mut top = MARGIN + (tallest - column_height(column, &places)) / 2.0;
        for at in column {
            (places[*at].left, places[*at].top) = (left, top);
            top += places[*at].height + BETWEEN;
        }
        left += width + GAP;
        bottom = bottom.max(MARGIN + tallest + BETWEEN);
    }
    let mut right = left - if columns.is_empty() { 0.0 } else { GAP } + lane_room(&edges);
    // Those that no pointer touches.
    let row_width = right.max(ROW_WIDTH_MIN);
    let (mut left, mut top, mut next) = (MARGIN, bottom, bottom);
    for at in (0..entities.len()).filter(|at| !touched[*at]) {
        if left > MARGIN && left + places[at].width > row_width {
            (left, top) = (MARGIN, next);
        }
        (places[at].left, places[at].top) = (left, top);
        left += places[at].width + BETWEEN;
        next = next.max(top + places[at].height + BETWEEN);
        right = right.max(left - BETWEEN);
    }
    (places, right + MARGIN, next - BETWEEN + MARGIN)
}

/// Room on the right of the last column for pointers that come back.
fn lane_room(edges: &[(usize, usize)]) -> f64 {
    if edges.is_empty() { 0.0 } else { 60.0 }
}

fn column_height(column: &[usize], places: &[Place]) -> f64 {
    column.iter().map(|at| places[*at].height + BETWEEN).sum::<f64>() - BETWEEN
}

/// Which table leads to which.
fn edges(entities: &[Entity]) -> Vec<(usize, usize)> {
    let of = |(at, entity): (usize, &Entity)| -> Vec<(usize, usize)> {
        let target = |row: &Row| row.to.as_ref().and_then(|(_, to)| *to).map(|to| (at, to));
        entity.rows.iter().filter_map(target).collect()
    };
    let mut edges: Vec<(usize, usize)> = entities.iter().enumerate().flat_map(of).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// The column of each table: behind all that lead to it, but for the ways that close a circle.
fn ranks(tables: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    // One walk in depth tells the ways that lead back to where it is.
    let (mut state, mut forward) = (vec![0_u8; tables], Vec::new());
    for start in 0..tables {
        let mut path = vec![(start, 0)];
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        while let Some((at, seen)) = path.pop() {
            let next = edges.iter().filter(|(from, _)| *from == at).nth(seen);
            let Some((_, to)) = next else {
                state[at] = 2;
                continue;
            };
            path.push((at, seen + 1));
            if state[*to] != 1 {
                forward.push((at, *to));
            }
            if state[*to] == 0 {
                state[*to] = 1;
                path.push((*to, 0));
            }
        }
    }
    let mut ranks = vec![0; tables];
    // Without circles the longest way has fewer steps than there are tables.
    for _ in 0..tables {
        for (from, to) in &forward {
            ranks[*to] = ranks[*to].max(ranks[*from] + 1);
        }
    }
    // Then each as near to those it leads to as it may stand, so that few lines pass behind tables of other columns.
    for _ in 0..tables {
        for at in 0..tables {
            let nearest = forward.iter().filter(|(from, _)| *from == at).map(|(_, to)| ranks[*to] - 1).min();
            ranks[at] = nearest.unwrap_or(0).max(ranks[at]);
        }
    }
    ranks
}

/// The tables of each column, each by the mean place of those that lead to it.
fn ordered_columns(ranks: &[usize], touched: &[bool], edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let last = ranks.iter().zip(touched).filter(|(_, touched)| **touched).map(|(rank, _)| *rank).max();
    let Some(last) = last else { return Vec::new() };
    let mut columns: Vec<Vec<usize>> = Vec::new();
    let mut heights = vec![0.0; ranks.len()];
    for rank in 0..=last {
        let mut column: Vec<usize> = (0..ranks.len()).filter(|at| touched[*at] && ranks[*at] == rank).collect();
        let mean = |at: usize| {
            let from: Vec<f64> = edges.iter().filter(|(_, to)| *to == at).map(|(from, _)| heights[*from]).collect();
            from.iter().sum::<f64>() / units(from.len().max(1))
        };
        let means: Vec<(usize, f64)> = column.iter().map(|at| (*at, mean(*at))).collect();
        let of = |at: &usize| means.iter().find(|(table, _)| table == at).map_or(0.0, |(_, mean)| *mean);
        column.sort_by(|a, b| of(a).total_cmp(&of(b)));
        for (height, at) in column.iter().enumerate() {
            heights[*at] = units(height);
        }
        columns.push(column);
    }
    columns.retain(|column| !column.is_empty());
    columns
}

fn table(svg: &mut String, entity: &Entity, place: Place) {
    let Place { left, top, width, height } = place;
    let (types, rules) = columns(entity);
    put(
        svg,
        format_args!(
            "<g><rect class=\"card\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\"/>"
        ),
    );
    put(
        svg,
        format_args!(
            "<path class=\"{}\" d=\"M{left:.1} {:.1}v{:.1}q0-7 7-7h{:.1}q7 0 7 7v{:.1}z\"/>",
            entity.kind,
            top + HEAD,
            7.0 - HEAD,
            width - 14.0,
            HEAD - 7.0
        ),
    );
    word(svg, "name", (left + PAD, top + 18.0), &entity.name);
    word(svg, "about", (left + PAD, top + 34.0), &about(entity));
    for (at, row) in entity.rows.iter().enumerate() {
        let base = row_middle(place, at) + 4.0;
        if row.is_key {
            word(svg, "type", (left + PAD - 2.0, base), "•");
        }
        word(svg, if row.is_key { "key" } else { "field" }, (left + PAD + 16.0, base), &row.name);
        word(svg, "type", (left + types, base), &row.of);
        word(svg, "rule", (left + rules, base), &rule(row));
        let last_key = row.is_key && entity.rows.get(at + 1).is_some_and(|next| !next.is_key);
        if last_key {
            let (line, right) = (row_middle(place, at) + LINE / 2.0, left + width);
            put(svg, format_args!("<path class=\"rowline\" d=\"M{left:.1} {line:.1}H{right:.1}\"/>"));
        }
    }
    svg.push_str("</g>\n");
}

fn word(svg: &mut String, class: &str, (x, y): (f64, f64), text: &str) {
    if !text.is_empty() {
        put(svg, format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text)));
    }
}

/// A line from a field to the table it leads to: forward to its left side, else round the right sides.
fn edge(svg: &mut String, row: &Row, (from, y): (Place, f64), to: Option<Place>, lanes: &mut usize) {
    let (x, style) = (from.left + from.width, if row.required { "edge" } else { "edge null" });
    let Some(to) = to else {
        // The field's type names it.
        put(svg, format_args!("<path class=\"edge bad\" d=\"M{x:.1} {y:.1}h16\"/>"));
        return word(svg, "rule lost", (x + 20.0, y + 4.0), "no such table");
    };
    let into = to.top + HEAD / 2.0;
    if to.left > x {
        let (end, bend) = (to.left - 2.0, ((to.left - x) / 2.0).min(90.0));
        let (one, two) = (x + bend, end - bend);
        return put(
            svg,
            format_args!(
                "<path class=\"{style}\" marker-end=\"url(#tip)\" d=\"M{x:.1} {y:.1}C{one:.1} {y:.1} {two:.1} {into:.1} {end:.1} {into:.1}\"/>\n"
            ),
        );
    }
    *lanes += 1;
    let end = to.left + to.width + 2.0;
    let out = x.max(end) + 22.0 + 7.0 * units(*lanes % 5);
    put(
        svg,
        format_args!(
            "<path class=\"{style}\" marker-end=\"url(#tip)\" d=\"M{x:.1} {y:.1}C{out:.1} {y:.1} {out:.1} {into:.1} {end:.1} {into:.1}\"/>\n"
        ),
    );
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod seen {
    use super::{Entity, layout};

    /// Left, top, width and height of each table.
    pub(in crate::schema) fn boxes(entities: &[Entity]) -> Vec<[f64; 4]> {
        layout(entities).0.iter().map(|place| [place.left, place.top, place.width, place.height]).collect()
    }
}
