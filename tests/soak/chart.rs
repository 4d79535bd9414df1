//! Throughput and outages over time.

use std::time::Duration;

use sentinel_lab::Chart;

use crate::sample::Sample;

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

/// The samples with a mark for each fault.
pub(crate) fn draw(samples: &[Sample], faults: &[(Duration, &str)]) -> String {
    let mut chart = Chart::new();
    for (title, colour, value) in ROWS {
        let points = samples
            .iter()
            .map(|sample| (Duration::from_secs(sample.second), value(sample) as f64));
        chart.row(title, colour, points);
    }
    for (at, name) in faults {
        chart.mark(*at, name);
    }
    chart.draw()
}
