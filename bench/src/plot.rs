//! Figures as an SVG: one panel above the other, lines over the same steps. Nothing but text; it opens anywhere.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const PANEL: f64 = 220.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 30.0;
/// Told apart by shade and by dash, so that paper and eyes of any kind show them.
const STROKES: [&str; 4] = ["#b23", "#147", "#383", "#747"];
const DASHES: [&str; 4] = ["6 4", "none", "2 3", "10 4"];

/// One line of a panel.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) values: &'a [f64],
}

/// Draws panels of lines over the same labelled steps. Each panel's scale begins at nothing.
#[expect(clippy::cast_precision_loss, reason = "coordinates of a drawing")]
pub(crate) fn plot(labels: &[String], below: &str, panels: &[(&str, Vec<Line<'_>>)]) -> String {
    let height = PANEL * panels.len() as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let x = |step: usize| LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / (labels.len().max(2) - 1) as f64;
    for (number, (title, lines)) in panels.iter().enumerate() {
        let top = PANEL * number as f64 + TOP;
        let bottom = PANEL * (number + 1) as f64 - BOTTOM;
        let most = lines.iter().flat_map(|line| line.values).fold(0.0_f64, |most, value| most.max(*value));
        let most = if most > 0.0 { most } else { 1.0 };
        let y = |value: f64| bottom - (bottom - top) * value / most;
        let mut add = |text: String| svg.write_str(&text).expect("a string takes everything");
        add(format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", top - 14.0));
        for part in [0.0, 0.5, 1.0] {
            let (value, at) = (most * part, y(most * part));
            add(format!("<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ccc\"/>", WIDTH - RIGHT));
            add(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>\n", LEFT - 8.0, at + 4.0));
        }
        for (step, label) in labels.iter().enumerate() {
            let at = x(step);
            add(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n", bottom + 16.0));
        }
        for (at, line) in lines.iter().enumerate() {
            let (stroke, dash) = (STROKES[at % 4], DASHES[at % 4]);
            let points: Vec<String> = line
                .values
                .iter()
                .enumerate()
                .map(|(step, value)| format!("{:.1},{:.1}", x(step), y(*value)))
                .collect();
            let points = points.join(" ");
            add(format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" \
                 stroke-dasharray=\"{dash}\"/>\n"
            ));
            let last = line.values.last().copied().unwrap_or(0.0);
            add(format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{stroke}\">{}</text>\n",
                WIDTH - RIGHT + 6.0,
                y(last) + 4.0,
                line.name
            ));
        }
    }
    let middle = WIDTH / 2.0;
    write!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{below}</text>\n</svg>\n", height - 8.0)
        .expect("a string takes everything");
    svg
}
