//! `make soak MINUTES=... SEED=...`: a program that calls all the time, on real servers that get one fault after the
//! other. At the end: was anything executed twice, did every call end in time, did the program grow?
//!
//! The callers are a process of their own, so that its memory, descriptors and threads are those of a user's program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod callers;
mod chart;
mod faults;
mod flood;
mod hearers;
mod ledger;
mod program;
mod punctual;
mod sample;
mod submitter;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faults::Faults;
use sample::Sample;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number in the environment"))
}

#[test]
#[ignore = "takes MINUTES: make soak"]
fn soak() {
    let length = Duration::from_secs(from_env("MINUTES", 20) * 60);
    let seed = from_env("SEED", u64::from(std::process::id()));
    let tls = from_env("TLS", 0);
    println!("soak: {} minutes, SEED={seed} TLS={tls}", length.as_secs() / 60);
    let mut faults = Faults::start(seed);
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["callers", "--exact", "--ignored", "--nocapture"])
        .env("SOAK_SENTINELS", faults.sentinels())
        .env("SOAK_MAP", faults.address_map())
        .env("SOAK_CA", faults.ca())
        .env("SOAK_SEED", seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
    let (output, kept) = (program.stdout.take().unwrap(), Arc::clone(&samples));
    let reading = std::thread::spawn(move || {
        let mut rest = Vec::new();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match Sample::read(&line) {
                Some(sample) => kept.lock().unwrap().push(sample),
                None => rest.push(line),
            }
        }
        rest
    });
    while started.elapsed() < length && program.try_wait().unwrap().is_none() {
        faults.next(started);
    }
    faults.settle();
    // The end of its input is the end of its calls.
    drop(program.stdin.take());
    let status = program.wait().unwrap();
    let said = reading.join().unwrap();
    let samples = samples.lock().unwrap();
    let chart = std::env::var("SOAK_CHART").unwrap_or_else(|_| "build/soak.svg".into());
    std::fs::create_dir_all(std::path::Path::new(&chart).parent().unwrap()).unwrap();
    std::fs::write(&chart, chart::draw(&samples, faults.log())).unwrap();
    println!("{}", faults.summary());
    for line in said.iter().filter(|line| line.starts_with("soak:")) {
        println!("{line}");
    }
    println!("soak: the chart is {chart}; again with SEED={seed} TLS={tls}");
    assert!(
        status.success(),
        "the program found a fault: {status}\n{}",
        said.join("\n")
    );
    assert_eq!(faults.troubles(), 0, "the servers did not do what they were told");
    sample::assert_stable(&samples);
}

/// The process of the callers; not a test by itself.
#[test]
#[ignore = "started by the other one"]
fn callers() {
    if std::env::var_os("SOAK_SENTINELS").is_some() {
        program::run();
    }
}
