//! A thousand clients share the links of their deployment, and together they are patient while everything is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment};
use sentinel_lab::{BlackHole, Config, Cut, FakeNode, FakeSentinel, Server, Topology, count_threads, wait_until};

use crate::cpu::{DEBUG_FACTOR, IO, LIBRARY_AND_CALLERS, Meter};
use crate::support::{
    P7_CPU, P7_DIALS, P7_RECOVERY, PATIENCE, SERVICE, SLACK, alone, connected, ms, number_from_env, open, ports_of,
    run, sentinel_ports, tell, write,
};

const SERVICES: usize = 10;
const CLIENTS: usize = 1000;

/// Connections to a Sentinel that are not those of another Sentinel, nor the one that asks.
fn clients_of(sentinel: &Server) -> usize {
    let list = sentinel.ask(&["CLIENT", "LIST"]).as_text();
    let lines = list.lines().filter(|line| !line.contains(" name=sentinel-"));
    lines.count() - 1
}

#[test]
fn a_thousand_clients_of_ten_services_hold_as_many_links_as_one_client() {
    let _machine = alone();
    let topology = Topology::start(Config::default());
    let primary = topology.node(topology.primary());
    let names: Vec<String> = (0..SERVICES).map(|number| format!("service {number}")).collect();
    for sentinel in 0..3 {
        let sentinel = topology.sentinel(sentinel);
        for name in &names {
            let port = primary.port().to_string();
            let reply = sentinel.ask(&["SENTINEL", "MONITOR", name, "127.0.0.1", &port, "2"]);
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
    let count = || -> Vec<usize> { (0..3).map(|place| clients_of(topology.sentinel(place))).collect() };
    let before = count();
    let (one, _client) = connected(&sentinel_ports(&topology), &[]);
    std::thread::sleep(Duration::from_millis(300));
    let with_one = count();
    one.close(2000).unwrap();
    wait_until("the links of the first deployment to be gone", PATIENCE, || {
        count() == before
    });

    let threads = count_threads(std::process::id());
    let deployment = open(&sentinel_ports(&topology), &[]);
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|number| deployment.primary_for(Some(&names[number % SERVICES]), None).unwrap())
        .collect();
    let began = Instant::now();
    for client in &clients {
        write(client, "SET w:shared v");
    }
    let took = began.elapsed();
    std::thread::sleep(Duration::from_millis(300));
    let with_all = count();
    let threads = count_threads(std::process::id()) - threads;
    println!(
        "{CLIENTS} clients of {SERVICES} services: Sentinel connections {with_all:?}, with one client {with_one:?}, with none \
         {before:?}; {threads} more thread; their first writes took {} ms",
        ms(took)
    );
    assert_eq!(with_all, with_one);
    assert_eq!(threads, 1);
    // The poll costs no more connections either.
    let meter = Meter::start(IO);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(count(), with_one);
    println!("{CLIENTS} idle clients: {:.2} % of a core", meter.percent());
    tell(primary, "PING");
}

/// P10: what a client takes that has a connection and nothing to do.
const IDLE_KIB: usize = 50;

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_idle_client_takes_no_more_than_50_kib() {
    let _machine = alone();
    let topology = Topology::start(Config::default().nodes(1).sentinels(1));
    let deployment = open(&sentinel_ports(&topology), &[]);
    let connected = |count: usize| -> Vec<Client> {
        let client = |_| {
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            write(&client, "SET w:idle v");
            client
        };
        (0..count).map(client).collect()
    };
    // What is there once for all of them is there by then.
    let first = connected(50);
    let before = resident_kib();
    let clients = connected(CLIENTS);
    let each = resident_kib().saturating_sub(before) as f64 / CLIENTS as f64;
    println!("{CLIENTS} idle clients: {each:.1} KiB each");
    assert!(each <= IDLE_KIB as f64, "{each} KiB each");
    drop((first, clients));
}

/// Scripted servers that can all go down at once: connections are still taken, so that they can be counted, and closed
/// with the first command.
struct World {
    down: Arc<AtomicBool>,
    sentinels: Vec<FakeSentinel>,
    node: FakeNode,
}

impl World {
    fn new() -> World {
        let down = Arc::new(AtomicBool::new(false));
        let closes = |down: &Arc<AtomicBool>| {
            let down = Arc::clone(down);
            move |session: &mut sentinel_lab::Session, _: &[Vec<u8>]| {
                let is_down = down.load(Ordering::SeqCst);
                if is_down {
                    session.close();
                }
                is_down
            }
        };
        let node = FakeNode::builder().on(closes(&down)).start();
        let sentinel = |_| FakeSentinel::builder(SERVICE, node.port()).on(closes(&down)).start();
        World {
            sentinels: (0..3).map(sentinel).collect(),
            node,
            down,
        }
    }

    fn go_down(&self) {
        self.down.store(true, Ordering::SeqCst);
        self.sentinels.iter().for_each(|sentinel| sentinel.cut_all(Cut::Close));
        self.node.cut_all(Cut::Close);
    }

    /// The connections of each address since then, by its name.
    fn dials(&self, since: Instant) -> HashMap<String, Vec<Instant>> {
        let mut dials = HashMap::new();
        let of = |all: Vec<Instant>| all.into_iter().filter(|at| *at >= since).collect::<Vec<_>>();
        for (place, sentinel) in self.sentinels.iter().enumerate() {
            dials.insert(format!("sentinel {place}"), of(sentinel.connections()));
        }
        dials.insert("node".into(), of(self.node.connections()));
        dials
    }
}

/// The most instants that fall into any second.
fn busiest_second(at: &[Instant]) -> usize {
    let within = |from: &Instant| {
        at.iter()
            .filter(|at| *at >= from && **at - *from < Duration::from_secs(1))
            .count()
    };
    at.iter().map(within).max().unwrap_or(0)
}

/// Threads that call without a pause while everything is down; each call waits until its deadline.
fn call_until(clients: &[Client], ended: &AtomicBool) -> (Vec<Instant>, usize) {
    std::thread::scope(|scope| {
        let callers: Vec<_> = clients
            .iter()
            .map(|client| {
                let caller = std::thread::Builder::new().name("writer".into());
                let calls = move || {
                    let mut failures = 0;
                    loop {
                        match run(client, "SET k v", 2000) {
                            Ok(_) if ended.load(Ordering::SeqCst) => return (Instant::now(), failures),
                            Ok(_) => {}
                            Err(_) => failures += 1,
                        }
                    }
                };
                caller.spawn_scoped(scope, calls).unwrap()
            })
            .collect();
        let ends: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let failures = ends.iter().map(|(_, failures)| failures).sum();
        (ends.into_iter().map(|(at, _)| at).collect(), failures)
    })
}

#[test]
fn while_everything_is_down_nobody_is_stormed_and_the_first_write_comes_soon_after_it() {
    let _machine = alone();
    let seconds = number_from_env("DOWN_SECONDS", 8);
    let world = World::new();
    let deployment = open(&ports_of(&world.sentinels), &[("sentinel.learn", "0")]);
    let clients = connect_all(&deployment, 200);
    world.go_down();
    let since = Instant::now();
    std::thread::sleep(Duration::from_millis(100));
    let back = AtomicBool::new(false);
    let meter = Meter::start(LIBRARY_AND_CALLERS);
    let (first_writes, failures, cpu, returned) = std::thread::scope(|scope| {
        let calling = scope.spawn(|| call_until(&clients[..20], &back));
        std::thread::sleep(Duration::from_secs(seconds));
        let cpu = meter.percent();
        back.store(true, Ordering::SeqCst);
        let returned = Instant::now();
        world.down.store(false, Ordering::SeqCst);
        let (first_writes, failures) = calling.join().unwrap();
        (first_writes, failures, cpu, returned)
    });
    let first = *first_writes.iter().min().unwrap() - returned;
    let last = *first_writes.iter().max().unwrap() - returned;
    let dials = world.dials(since);
    let down_dials = |at: &Vec<Instant>| at.iter().filter(|at| **at < returned).count();
    println!(
        "everything down for {seconds} s, 20 of 200 clients calling: {cpu:.2} % of a core, {failures} calls failed, first \
         write after {} ms, the last caller's after {} ms",
        ms(first),
        ms(last)
    );
    for (name, at) in &dials {
        let down: Vec<Instant> = at.iter().copied().filter(|at| *at < returned).collect();
        println!(
            "    {name}: {} dials, {} in the busiest second",
            down_dials(at),
            busiest_second(&down)
        );
    }
    for (name, at) in &dials {
        let down: Vec<Instant> = at.iter().copied().filter(|at| *at < returned).collect();
        assert!(
            busiest_second(&down) <= P7_DIALS,
            "{name}: {} dials in a second",
            busiest_second(&down)
        );
        assert!(down_dials(at) > 0, "{name} is not tried any more");
    }
    assert!(cpu < P7_CPU * DEBUG_FACTOR, "{cpu} % of a core");
    assert!(first <= P7_RECOVERY && last <= P7_RECOVERY + SLACK);
}

fn connect_all(deployment: &Deployment, count: usize) -> Vec<Client> {
    let clients: Vec<Client> = (0..count)
        .map(|_| deployment.primary_for(Some(SERVICE), None).unwrap())
        .collect();
    for client in &clients {
        client.connect(5000).unwrap();
    }
    // A node that loses its clients this soon is taken for one that flaps.
    std::thread::sleep(Duration::from_millis(1200));
    clients
}

#[test]
fn while_connections_are_refused_nobody_spins_and_the_return_is_noticed() {
    let _machine = alone();
    let seconds = number_from_env("DOWN_SECONDS", 8) / 2;
    let world = World::new();
    let deployment = open(&ports_of(&world.sentinels), &[("sentinel.learn", "0")]);
    let clients = connect_all(&deployment, 20);
    world.sentinels.iter().for_each(|sentinel| sentinel.die());
    world.node.die();
    std::thread::sleep(Duration::from_millis(100));
    let meter = Meter::start(LIBRARY_AND_CALLERS);
    let back = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| call_until(&clients, &back));
        std::thread::sleep(Duration::from_secs(seconds));
        let cpu = meter.percent();
        back.store(true, Ordering::SeqCst);
        let returned = Instant::now();
        world.node.listen();
        world.sentinels[2].listen();
        let (first_writes, failures) = calling.join().unwrap();
        let first = *first_writes.iter().min().unwrap() - returned;
        let last = *first_writes.iter().max().unwrap() - returned;
        println!(
            "everything refused for {seconds} s, 20 callers: {cpu:.2} % of a core, {failures} calls failed, first write after \
             {} ms, the last caller's after {} ms",
            ms(first),
            ms(last)
        );
        assert!(cpu < P7_CPU * DEBUG_FACTOR, "{cpu} % of a core");
        assert!(first <= P7_RECOVERY && last <= P7_RECOVERY + SLACK);
    });
}

#[test]
fn black_holes_cost_nothing_either() {
    let _machine = alone();
    let node = FakeNode::start();
    let holes = [BlackHole::start(), BlackHole::start()];
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let ports = [holes[0].port(), sentinel.port(), holes[1].port()];
    let (deployment, _client) = connected(&ports, &[("sentinel.learn", "0")]);
    sentinel.set_silent(true);
    node.set_silent(true);
    let clients: Vec<Client> = (0..10)
        .map(|_| deployment.primary_for(Some(SERVICE), None).unwrap())
        .collect();
    let meter = Meter::start(LIBRARY_AND_CALLERS);
    let since = Instant::now();
    let back = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| call_until(&clients, &back));
        std::thread::sleep(Duration::from_secs(4));
        let cpu = meter.percent();
        back.store(true, Ordering::SeqCst);
        let returned = Instant::now();
        sentinel.set_silent(false);
        node.set_silent(false);
        let (first_writes, _) = calling.join().unwrap();
        let first = *first_writes.iter().min().unwrap() - returned;
        let dials = |all: Vec<Instant>| busiest_second(&all.into_iter().filter(|at| *at > since).collect::<Vec<_>>());
        let (to_sentinel, to_node) = (dials(sentinel.connections()), dials(node.connections()));
        println!(
            "everything silent for 4 s: {cpu:.2} % of a core, first write after {} ms, busiest second {to_sentinel} dials of the \
             Sentinel",
            ms(first)
        );
        assert!(to_sentinel <= P7_DIALS && to_node <= P7_DIALS + clients.len());
        assert!(cpu < P7_CPU * DEBUG_FACTOR, "{cpu} % of a core");
        assert!(first <= P7_RECOVERY + SLACK);
    });
}
