//! `make check-limits`: how late anything is under the heaviest loads, each figure beside its limit. It takes a machine to
//! itself: what that was late by meanwhile stands behind each figure and counts as the machine's.
//!
//! A line beyond its limit is measured again, three times at most; the best counts and all are printed. `LINE=text`
//! measures the lines whose name holds the text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]

mod crowds;
mod deadlines;
mod loads;
#[allow(dead_code, reason = "one of its questions is for the promises alone")]
#[path = "../promises/noise.rs"]
mod noise;
mod outage;
mod probe;
mod support;

use support::Figure;

/// How often a line is measured before it is beyond its limit.
const TRIES: usize = 3;

/// What is measured, in which unit, and the most that it may be.
struct Line {
    name: &'static str,
    unit: &'static str,
    limit: f64,
    measure: fn() -> Figure,
}

const fn line(name: &'static str, unit: &'static str, limit: f64, measure: fn() -> Figure) -> Line {
    Line {
        name,
        unit,
        limit,
        measure,
    }
}

const LINES: [Line; 19] = [
    line(
        "1,000 threads x 60 KB, silent node: behind the deadline",
        "ms",
        20.0,
        deadlines::thousand,
    ),
    line(
        "64 threads, deadlines of 1 ms, no Sentinel: behind the deadline",
        "ms",
        20.0,
        deadlines::short,
    ),
    line("a cancel, 20,000 calls unsent", "us", 10.0, deadlines::cancel_of_20_000),
    line("the same to that with 5,000", "times", 1.5, deadlines::cancel_growth),
    line(
        "400 x 1 MB submitted: small calls beside it",
        "ms",
        20.0,
        loads::megabytes,
    ),
    line(
        "40 x 10 MB submitted: small calls beside it",
        "ms",
        20.0,
        loads::ten_megabytes,
    ),
    line(
        "pipeline of 4,000 x 100 KB, waited for: small calls beside it",
        "ms",
        20.0,
        loads::pipeline_waited,
    ),
    line(
        "pipeline of 4,000 x 100 KB, submitted: small calls beside it",
        "ms",
        20.0,
        loads::pipeline_submitted,
    ),
    line(
        "pipeline of 1,000,000 that all fail, submitted: small calls beside it",
        "ms",
        20.0,
        loads::pipeline_of_failures,
    ),
    line(
        "4 x 400 MB submitted: small calls beside it",
        "ms",
        20.0,
        loads::four_of_400_megabytes,
    ),
    line(
        "a GET beside 12 SETs of a second",
        "ms",
        10.0,
        loads::small_beside_large,
    ),
    line(
        "60,000 submitted, no primary: small calls beside them",
        "ms",
        20.0,
        outage::beside_outage,
    ),
    line(
        "60,000 submitted, no primary: behind their deadlines",
        "ms",
        20.0,
        outage::behind,
    ),
    line(
        "60,000 in flight at a switch: first to last completion",
        "ms",
        50.0,
        outage::switch,
    ),
    line(
        "60,000 in flight at a switch: small calls beside them",
        "ms",
        20.0,
        outage::beside_switch,
    ),
    line(
        "60,000 in flight at a switch: first completion behind the event",
        "ms",
        50.0,
        outage::switch_begin,
    ),
    line(
        "60,000 submitted into 1,000 queues: small calls beside them",
        "ms",
        20.0,
        crowds::queues,
    ),
    line(
        "3,000 BLPOPs submitted: small calls beside them",
        "ms",
        20.0,
        crowds::own_connections,
    ),
    line(
        "a poll of 60,000 failures: small calls beside it",
        "ms",
        20.0,
        crowds::one_poll,
    ),
];

/// Measures until the limit is kept; false when it never was.
fn judge(line: &Line) -> bool {
    let mut tries = Vec::new();
    let mut kept = false;
    while !kept && tries.len() < TRIES {
        let figure = (line.measure)();
        kept = figure.net() <= line.limit;
        tries.push(figure);
    }
    let shown: Vec<String> = tries.iter().map(ToString::to_string).collect();
    let Line { name, unit, limit, .. } = line;
    let verdict = if kept { "ok     " } else { "BEYOND " };
    println!("{verdict}{name}: {} {unit} of {limit}", shown.join(", "));
    kept
}

#[test]
#[ignore = "takes a machine to itself for some minutes: make check-limits"]
fn limits() {
    let wanted = std::env::var("LINE").unwrap_or_default();
    println!("worst of each, behind + what the machine itself was late by just then");
    let chosen = LINES.iter().filter(|line| line.name.contains(&wanted));
    let beyond = chosen.filter(|line| !judge(line)).count();
    assert_eq!(beyond, 0, "lines beyond their limits");
}
