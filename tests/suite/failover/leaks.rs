//! Ten thousand failovers leave nothing behind. The program is a process of its own, so that its memory is measured
//! without that of the scripted peers.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sentinel_lab::{FakeNode, FakeSentinel, count_fds, count_threads};

use crate::support::{SERVICE, open, own_program, run_within};

/// Names the Sentinels' ports to the program.
const MARK: &str = "SUITE_FAILOVERS";

/// What the allocator and the kernel's accounting may differ by.
const GROWTH_KIB: u64 = 2048;

/// A client has one connection to its node, or a second one that a call took while the first was dialled: which of the two,
/// a failover decides. So many more are tried for the state that was measured before to come back.
const MORE: usize = 60;

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The program: for each line with a port it writes until the node there takes the write; for an empty one it tells what
/// it holds.
fn follow(ports: &str) {
    let ports: Vec<u16> = ports.split(',').map(|port| port.parse().unwrap()).collect();
    let deployment = open(&ports);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let own = std::process::id();
    for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
        let Ok(port) = line.parse::<u16>() else {
            println!("held {} {} {}", rss_kib(), count_fds(own), count_threads(own));
            continue;
        };
        let until = Instant::now() + Duration::from_secs(10);
        let serves = || client.node().unwrap().is_some_and(|node| node.endpoint.port == port);
        while !(run_within(&client, "SET k v", 1000).is_ok() && serves()) {
            assert!(Instant::now() < until, "the node on port {port} is not followed to");
        }
        println!("followed");
    }
}

struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(name: &str, sentinels: &[FakeSentinel]) -> Program {
        let ports: Vec<String> = sentinels.iter().map(|sentinel| sentinel.port().to_string()).collect();
        let own = own_program();
        let mut child = Command::new(&own[0])
            .args(&own[1..])
            .args([name, "--exact", "--nocapture"])
            .env(MARK, ports.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Program {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    /// Says a line, and waits for the one that begins with `answer`.
    fn say(&mut self, line: &str, answer: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut heard = Vec::new();
        for said in self.output.by_ref().map_while(std::result::Result::ok) {
            // The test harness of the program begins a line of its own.
            if let Some(rest) = said.split_once(answer).map(|(_, rest)| rest.to_owned()) {
                return rest;
            }
            heard.push(said);
        }
        panic!("the program has ended: {}", heard.join("\n"));
    }

    /// Resident memory in KiB, descriptors, threads.
    fn held(&mut self) -> [u64; 3] {
        let numbers = self.say("", "held ");
        let numbers: Vec<u64> = numbers.split_whitespace().map(|text| text.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// What it holds once the last failover is over: the same descriptors and threads for half a second.
    fn held_still(&mut self) -> [u64; 3] {
        let until = Instant::now() + Duration::from_secs(5);
        let (mut held, mut since) = (self.held(), Instant::now());
        while since.elapsed() < Duration::from_millis(500) && Instant::now() < until {
            let now = self.held();
            if now[1..] != held[1..] {
                since = Instant::now();
            }
            held = now;
        }
        held
    }

    /// What it holds once old connections are gone: descriptors and threads as `before`, or whatever it is at last.
    fn held_at_rest(&mut self, before: [u64; 3], within: Duration) -> [u64; 3] {
        let until = Instant::now() + within;
        let mut now = self.held();
        while now[1..] != before[1..] && Instant::now() < until {
            now = self.held();
        }
        now
    }
}

#[test]
fn failovers_leave_no_memory_no_descriptor_and_no_thread() {
    if let Ok(ports) = std::env::var(MARK) {
        return follow(&ports);
    }
    let count: usize = std::env::var("FAILOVERS").map_or(200, |text| text.parse().expect("a number"));
    let nodes = [FakeNode::start(), FakeNode::start()];
    let sentinels = [0, 1, 2].map(|_| FakeSentinel::start(SERVICE, nodes[0].port()));
    let name = "failover::leaks::failovers_leave_no_memory_no_descriptor_and_no_thread";
    let mut program = Program::start(name, &sentinels);
    program.say(&nodes[0].port().to_string(), "followed");
    let started = Instant::now();
    let mut before = [0; 3];
    let warm = 100.min(count / 2);
    let fail_over = |turn: usize, program: &mut Program| {
        let new = nodes[turn % 2].port();
        for sentinel in &sentinels {
            sentinel.switch_master("127.0.0.1", new);
        }
        program.say(&new.to_string(), "followed");
        nodes.iter().for_each(|node| node.forget_commands());
        sentinels.iter().for_each(|sentinel| sentinel.forget_commands());
    };
    for turn in 1..=count {
        fail_over(turn, &mut program);
        if turn == warm {
            before = program.held_still();
        }
    }
    let mut after = program.held_at_rest(before, Duration::from_secs(5));
    for turn in count + 1..=count + MORE {
        if after[1..] == before[1..] {
            break;
        }
        fail_over(turn, &mut program);
        after = program.held_at_rest(before, Duration::from_millis(200));
    }
    println!(
        "{count} failovers in {:.1} s: {before:?} KiB, descriptors and threads after {warm}, {after:?} at the end",
        started.elapsed().as_secs_f64()
    );
    assert!(after[0] <= before[0] + GROWTH_KIB, "memory: {before:?}, then {after:?}");
    assert_eq!(after[1..], before[1..], "descriptors and threads");
    drop(program.input);
    assert!(program.child.wait().unwrap().success());
}
