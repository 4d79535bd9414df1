//! Throughput and outages over time, as an SVG without any program to draw it.

use std::fmt::Write;
use std::time::Duration;

use crate::sample::Sample;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 60.0;
const ROW: f64 = 130.0;
const TOP: f64 = 40.0;

/// A row of the chart: title, colour, a second's value.
type Row = (&'static str, &'static str, fn(&Sample) -> u64);

const ROWS: [Row; 4] = [
    ("calls that succeeded, a second", "#2b6cb0", |sample| sample.succeeded),
    ("calls that failed, a second", "#c53030", |sample| sample.failed),
    (
        "longest time without a success at the primary, ms",
        "#b7791f",
        |sample| sample.gap_ms,
    ),
    ("resident memory, KiB", "#2f855a", |sample| sample.rss_kib),
];

/// The samples with a mark for each fault, which shows its name under the pointer.
pub(crate) fn draw(samples: &[Sample], faults: &[(Duration, &str)]) -> String {
    let seconds = samples.last().map_or(1, |sample| sample.second.max(1)) as f64;
    let x = |second: f64| LEFT + (WIDTH - LEFT - 20.0) * second / seconds;
    let height = TOP + ROW * ROWS.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, name) in faults {
        let place = x(at.as_secs_f64());
        let _ = writeln!(
            svg,
            "<line x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#cbd5e0\"><title>{name}</title></line>",
            height - 30.0
        );
    }
    for (index, (title, colour, value)) in ROWS.iter().enumerate() {
        let base = TOP + ROW * (index as f64 + 1.0) - 15.0;
        let most = samples.iter().map(value).max().unwrap_or(1).max(1) as f64;
        let mut points = String::new();
        for sample in samples {
            let y = base - (ROW - 40.0) * value(sample) as f64 / most;
            let _ = write!(points, "{:.1},{y:.1} ", x(sample.second as f64));
        }
        let _ = writeln!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{points}\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\">{title} (most: {most})</text>",
            base - ROW + 32.0
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{base:.1}\" y2=\"{base:.1}\" stroke=\"#4a5568\"/>",
            WIDTH - 20.0
        );
    }
    for minute in 0..=(seconds / 60.0) as u32 {
        let place = x(f64::from(minute) * 60.0);
        let _ = writeln!(
            svg,
            "<text x=\"{place:.1}\" y=\"{:.1}\">{minute} min</text>",
            height - 15.0
        );
    }
    svg + "</svg>\n"
}
