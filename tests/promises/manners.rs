//! What a client costs its Sentinels in quiet times, and what the dead cost the client.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sentinel_lab::{
    BlackHole, FakeNode, FakeReplica, FakeSentinel, Server, Topology, cpu_time, spawn_bound, wait_until,
};

use crate::apart;
use crate::cpu::DEBUG_FACTOR;
use crate::support::{
    PATIENCE, SERVICE, SLACK, connected, default_timers, ms, sentinel_ports, together, write, write_through,
};

/// Commands a second, client and Sentinel.
const QUIET_COMMANDS: f64 = 2.0;
/// The Sentinels' own commands are not the same in each window.
const OWN_COMMANDS: f64 = 0.3;
const WINDOW: Duration = Duration::from_secs(10);

/// With hundreds of dead entries, in all.
const DIALS_A_SECOND: f64 = 5.0;
/// Percent of a core, by the whole process.
const DEAD_ENTRIES_CPU: f64 = 1.0;
/// A switch that nobody published is found, whatever number of Sentinels is dead.
const MISSED_EVENT: Duration = Duration::from_millis(1500);
const REFUSING: u16 = 280;
const BLACK_HOLES: usize = 20;
const LOWEST_PORT: u16 = 20_000;

/// Commands that a Sentinel has executed: it has no commandstats.
fn commands_of(sentinel: &Server) -> u64 {
    let stats = sentinel.ask(&["INFO", "stats"]).as_text();
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().parse().unwrap()
}

/// Commands a second that each Sentinel gets now.
fn rates(topology: &Topology) -> Vec<f64> {
    let sentinels = topology.sentinels().len();
    let count = || {
        (0..sentinels)
            .map(|index| commands_of(topology.sentinel(index)))
            .collect::<Vec<u64>>()
    };
    let (before, since) = (count(), Instant::now());
    std::thread::sleep(WINDOW);
    let (after, took) = (count(), since.elapsed().as_secs_f64());
    after
        .iter()
        .zip(before)
        .map(|(after, before)| (after - before) as f64 / took)
        .collect()
}

#[test]
fn a_client_of_one_service_asks_each_sentinel_at_most_twice_a_second_in_quiet_times() {
    let _machine = together();
    let topology = Topology::start(default_timers());
    let own = rates(&topology);
    let (deployment, client) = connected(&sentinel_ports(&topology), &[]);
    write(&client, "SET quiet v");
    wait_until("all links", PATIENCE, || {
        let up = |(_, state): &(String, String)| state == "up";
        crate::fleet::known(&deployment).into_iter().filter(up).count() == 3
    });
    std::thread::sleep(Duration::from_secs(2));
    let with_client = rates(&topology);
    let cost: Vec<f64> = with_client.iter().zip(&own).map(|(with, own)| with - own).collect();
    println!("quiet times: {cost:.2?} commands a second, client and Sentinel; {own:.2?} of the Sentinels' own");
    for cost in cost {
        assert!(cost <= QUIET_COMMANDS + OWN_COMMANDS, "{cost:.2} commands a second");
    }
}

#[test]
fn three_hundred_dead_entries_that_nobody_has_marked_cost_nothing_and_delay_nothing() {
    let _machine = together();
    apart::run("manners::dead_but_unmarked");
}

#[test]
fn three_hundred_dead_entries_cost_nothing_and_delay_nothing() {
    let _machine = together();
    apart::run("manners::dead_and_marked");
}

#[test]
#[ignore = "started by another one, in a network of its own"]
fn dead_but_unmarked() {
    if apart::is_inside() {
        measure_dead_entries("sentinel");
    }
}

#[test]
#[ignore = "started by another one, in a network of its own"]
fn dead_and_marked() {
    if apart::is_inside() {
        measure_dead_entries("s_down,sentinel,disconnected");
    }
}

/// Connections that were begun in this network so far.
fn dials() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let place = names.split_whitespace().position(|name| name == "ActiveOpens").unwrap();
    values.split_whitespace().nth(place).unwrap().parse().unwrap()
}

/// The library in a process that is nothing else: its processor time is the library's.
struct Caller {
    process: Child,
}

impl Caller {
    fn start(seed: u16) -> Caller {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["manners::caller", "--exact", "--ignored", "--nocapture"]);
        command.env("SENTINEL_PROMISES_SEED", seed.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Caller {
            process: spawn_bound(command).unwrap(),
        }
    }

    /// From now on it writes all the time.
    fn let_it_write(&mut self) {
        self.process.stdin.as_mut().unwrap().write_all(b"w").unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
#[ignore = "started by the others"]
fn caller() {
    let Ok(seed) = std::env::var("SENTINEL_PROMISES_SEED") else {
        return;
    };
    let (_deployment, client) = connected(&[seed.parse().unwrap()], &[]);
    write(&client, "SET ready v");
    std::io::stdin().read_exact(&mut [0]).unwrap();
    loop {
        write_through(&client, "SET k v");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn measure_dead_entries(flags: &str) {
    let nodes = [FakeNode::start(), FakeNode::start()];
    let holes: Vec<BlackHole> = (0..BLACK_HOLES).map(|_| BlackHole::start()).collect();
    let refusing = (0..REFUSING).map(|number| (format!("127.0.1.{}", number % 250 + 1), LOWEST_PORT + number));
    let silent = holes.iter().map(|hole| ("127.0.0.1".to_owned(), hole.port()));
    let dead: Vec<(String, u16)> = refusing.chain(silent).collect();
    let sentinel = FakeSentinel::builder(SERVICE, nodes[0].port()).view(|view| {
        view.sentinels = dead;
        view.sentinel_flags = flags.into();
        view.replicas = nodes
            .iter()
            .map(|node| FakeReplica::new("127.0.0.1", node.port()))
            .collect();
    });
    let sentinel = sentinel.start();
    let mut caller = Caller::start(sentinel.port());
    nodes[0].wait_for_command("SET ready", PATIENCE);
    std::thread::sleep(Duration::from_secs(5));

    let pid = caller.process.id();
    let (dialled, used, since) = (dials(), cpu_time(pid), Instant::now());
    std::thread::sleep(WINDOW);
    let took = since.elapsed().as_secs_f64();
    let dialled = (dials() - dialled) as f64 / took;
    let used = 100.0 * (cpu_time(pid) - used).as_secs_f64() / took;

    caller.let_it_write();
    nodes[0].wait_for_command("SET k", PATIENCE);
    let repaired: Vec<Duration> = (1..=4)
        .map(|turn| repair_missed_event(&sentinel, &nodes[turn % 2]))
        .collect();
    let shown: Vec<String> = repaired.iter().copied().map(ms).collect();
    println!(
        "300 dead entries ({flags}): {dialled:.1} dials a second, {used:.2} % of a core, missed events repaired after \
         {shown:?} ms"
    );
    assert!(dialled <= DIALS_A_SECOND, "{dialled:.1} dials a second");
    assert!(used <= DEAD_ENTRIES_CPU * DEBUG_FACTOR, "{used:.2} % of a core");
    for took in repaired {
        assert!(took <= MISSED_EVENT + SLACK, "repaired after {took:?}");
    }
}

/// Changes the primary without a word; how long until it is written to.
fn repair_missed_event(sentinel: &FakeSentinel, new: &FakeNode) -> Duration {
    new.forget_commands();
    let changed = Instant::now();
    sentinel.change_primary("127.0.0.1", new.port());
    wait_until("a write at the new primary", Duration::from_secs(60), || {
        new.count("SET k") > 0
    });
    changed.elapsed()
}
