//! `lab demo`: a failover under load, for people to watch.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel_lab::{Config, Topology};

use super::{child, guard};

const SECONDS: u64 = 12;
const KILL_AFTER: Duration = Duration::from_secs(3);
/// Questions under way at once when lost writes are counted.
const BATCH: usize = 500;

pub(crate) fn demo(quickstart: &str, failover: &str) -> Result<u8, String> {
    guard::catch_signals();
    println!("lab: starting one primary, two replicas and three sentinels (down-after 1000 ms, default timers)");
    let topology = Topology::start(Config::default().fast(false).down_after_ms(1000));
    println!(
        "lab: the primary is {}, in {}",
        topology.node(0).address(),
        topology.dir().display()
    );
    let arguments = arguments(&topology);

    println!("\nlab: {quickstart} {}", arguments.join(" "));
    let mut program = Command::new(quickstart);
    program.args(&arguments);
    let status = child::wait(&mut start(program)?, || false);
    if !status.success() {
        return Err(format!("{quickstart} ended with {status}"));
    }

    println!("\nlab: {failover} {}", arguments.join(" "));
    let log = topology.dir().join("acknowledged");
    let summary = watch_failover(&topology, failover, &arguments, &log)?;
    if guard::signalled().is_some() {
        return Err("interrupted".into());
    }
    println!("\nlab: waiting until sentinels and nodes agree");
    topology.wait_for_settled();
    let acknowledged = fs::read_to_string(&log).map_err(|error| format!("{failover} left no FAILOVER_LOG: {error}"))?;
    let numbers: Vec<&str> = acknowledged.lines().collect();
    if numbers.len() as u64 != summary.acknowledged {
        let (listed, counted) = (numbers.len(), summary.acknowledged);
        return Err(format!(
            "{failover} counts {counted} acknowledged writes and lists {listed}"
        ));
    }
    let primary = topology.primary();
    println!(
        "lab: looking for every acknowledged write on the new primary, {}",
        topology.node(primary).address()
    );
    let lost = count_missing(&topology, primary, &numbers)?;
    println!("{}", summary.sentence(lost));
    Ok(0)
}

fn start(program: Command) -> Result<Child, String> {
    child::start(program).map_err(|(_, problem)| problem)
}

fn arguments(topology: &Topology) -> Vec<String> {
    let sentinels = topology
        .sentinels()
        .into_iter()
        .map(|(host, port)| format!("{host}:{port}"));
    std::iter::once(topology.service().to_owned())
        .chain(sentinels)
        .collect()
}

/// What the program says of itself in its last line.
struct Summary {
    acknowledged: u64,
    failed: u64,
    outage_ms: u64,
}

impl Summary {
    /// From `summary acknowledged=<n> failed=<n> outage_ms=<n>`.
    fn from(line: &str) -> Option<Summary> {
        let words = line.strip_prefix("summary ")?.split_whitespace();
        let fields: HashMap<&str, u64> = words
            .filter_map(|word| word.split_once('='))
            .filter_map(|(k, v)| Some((k, v.parse().ok()?)))
            .collect();
        let field = |name: &str| fields.get(name).copied();
        Some(Summary {
            acknowledged: field("acknowledged")?,
            failed: field("failed")?,
            outage_ms: field("outage_ms")?,
        })
    }

    fn sentence(&self, lost: u64) -> String {
        let [outage, acknowledged, failed, lost] = [self.outage_ms, self.acknowledged, self.failed, lost].map(grouped);
        format!(
            "summary: {outage} ms without a successful write, {acknowledged} writes acknowledged, {failed} failed, \
             {lost} lost"
        )
    }
}

/// Runs the program for its twelve seconds and kills the primary under it.
fn watch_failover(topology: &Topology, program: &str, arguments: &[String], log: &Path) -> Result<Summary, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("FAILOVER_SECONDS", SECONDS.to_string())
        .env("FAILOVER_LOG", log);
    let mut running = start({
        command.stdout(Stdio::piped());
        command
    })?;
    let last_summary = Arc::new(Mutex::new(None));
    let echo = echo_lines(&mut running, last_summary.clone());
    let started = Instant::now();
    let mut killed = None;
    let status = child::wait(&mut running, || {
        if killed.is_none() && started.elapsed() >= KILL_AFTER {
            let primary = topology.primary();
            let pid = topology.node(primary).pid().unwrap_or_default();
            topology.kill(primary);
            println!("lab: kill -9 {pid}, the primary {}", topology.node(primary).address());
            killed = Some(primary);
        }
        false
    });
    echo.join().expect("the echoing thread does not panic");
    if !status.success() {
        return Err(format!("{program} ended with {status}"));
    }
    if killed.is_none() {
        return Err(format!(
            "{program} ended after {:?}, before the primary was killed",
            started.elapsed()
        ));
    }
    let summary = last_summary.lock().expect("no panic happens under this lock").take();
    summary.ok_or(format!(
        "{program} printed no line `summary acknowledged=<n> failed=<n> outage_ms=<n>`"
    ))
}

/// Passes the program's lines on and keeps its summary for itself.
fn echo_lines(running: &mut Child, summary: Arc<Mutex<Option<Summary>>>) -> std::thread::JoinHandle<()> {
    let output = running.stdout.take().expect("the program's output is a pipe");
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match Summary::from(&line) {
                Some(found) => *summary.lock().expect("no panic happens under this lock") = Some(found),
                None => println!("{line}"),
            }
        }
    })
}

/// How many of the keys `failover:<n>` the node does not have.
fn count_missing(topology: &Topology, primary: usize, numbers: &[&str]) -> Result<u64, String> {
    let lost = |error: std::io::Error| format!("the new primary does not answer: {error}");
    let mut control = topology.node(primary).connect(Duration::from_secs(5)).map_err(lost)?;
    let mut missing = 0;
    for batch in numbers.chunks(BATCH) {
        for number in batch {
            control.send(&["EXISTS", &format!("failover:{number}")]).map_err(lost)?;
        }
        for _ in batch {
            missing += u64::from(control.read().map_err(lost)?.as_text() != "1");
        }
    }
    Ok(missing)
}

/// `2 312`: digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let (first, rest) = digits.split_at(head);
    let groups = rest
        .as_bytes()
        .chunks(3)
        .map(|group| String::from_utf8_lossy(group).into_owned());
    Some(first.to_owned())
        .filter(|first| !first.is_empty())
        .into_iter()
        .chain(groups)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!(
            [0, 221, 2312, 1_000_000].map(grouped),
            ["0", "221", "2 312", "1 000 000"]
        );
    }

    #[test]
    fn the_summary_of_the_program_becomes_a_sentence() {
        let summary = Summary::from("summary acknowledged=221 failed=0 outage_ms=2312").expect("a summary");
        let sentence = "summary: 2 312 ms without a successful write, 221 writes acknowledged, 0 failed, 3 lost";
        assert_eq!(summary.sentence(3), sentence);
        assert!(Summary::from("12:00:00 127.0.0.1:7000 1 20 0 3").is_none());
    }
}
