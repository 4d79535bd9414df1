//! What every promise's test needs: the bounds, options in one line, and what the servers hold.

use std::collections::HashSet;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use sentinel::resp::Reply;
use sentinel::{CallOptions, Client, Deployment, Options, Outcome, Result};
use sentinel_lab::{Config, FakeSentinel, Server, Topology};

/// P1, one failover: event or changed answer to the first write on the new primary.
pub(crate) const P1_FIRST_WRITE: Duration = Duration::from_millis(50);
/// P2: later than this after the event nothing is sent to the old primary.
pub(crate) const P2_OLD_PRIMARY: Duration = Duration::from_millis(20);
/// P3: calls in flight at the switch have ended.
pub(crate) const P3_IN_FLIGHT: Duration = Duration::from_millis(50);
/// P3: a call ends no later after its deadline.
pub(crate) const P3_DEADLINE: Duration = Duration::from_millis(20);
/// P5: a half-open connection is noticed.
pub(crate) const P5_HALF_OPEN: Duration = Duration::from_secs(2);
/// P5: a missed event is repaired: `discovery.refresh_ms` with its jitter of a quarter.
pub(crate) const P5_MISSED_EVENT: Duration = Duration::from_millis(1250);
/// P7: the first write after the return of the first Sentinel.
pub(crate) const P7_RECOVERY: Duration = Duration::from_secs(1);
/// P7: dials of one address in any second.
pub(crate) const P7_DIALS: usize = 10;
/// P7: percent of a core while everything is down.
pub(crate) const P7_CPU: f64 = 1.0;

/// The service of scripted Sentinels and real ones.
pub(crate) const SERVICE: &str = "mymaster";

/// The name of the library's connections to data nodes.
pub(crate) const NAME: &str = "promises";

/// How long an event may take that has no promised time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a busy machine adds to the bounds of tests without a noise meter.
pub(crate) const SLACK: Duration = Duration::from_millis(250);

static MACHINE: RwLock<()> = RwLock::new(());

/// The machine for one test alone: for limits of a few milliseconds, and for what is asked of the whole process, its
/// processor time, threads and memory. The Makefile names their files in MEASURED.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The machine shared with the other tests that share it: for limits that allow for [`SLACK`] or for the [noise] of their
/// moment.
///
/// [noise]: crate::noise
pub(crate) fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A number from the environment.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number in the environment"))
}

/// Milliseconds with one decimal.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// Milliseconds from `from` to `to`, negative when `to` came first.
pub(crate) fn ms_between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(later) => later.as_secs_f64() * 1e3,
        None => -((from - to).as_secs_f64() * 1e3),
    }
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Sentinel's own timers, down after a second: those of the measured floors.
pub(crate) fn default_timers() -> Config {
    Config::default().fast(false).down_after_ms(1000)
}

/// Options with these Sentinels on 127.0.0.1 and these keys.
pub(crate) fn options(sentinels: &[u16], keys: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    for port in sentinels {
        options.add_sentinel("127.0.0.1", *port).unwrap();
    }
    options.set("client_name", NAME).unwrap();
    for (key, value) in keys {
        options.set(key, value).unwrap();
    }
    options
}

/// A deployment with these Sentinels on 127.0.0.1 and these keys.
pub(crate) fn open(sentinels: &[u16], keys: &[(&str, &str)]) -> Deployment {
    Deployment::open(&options(sentinels, keys)).unwrap()
}

/// The ports of a topology's Sentinels.
pub(crate) fn sentinel_ports(topology: &Topology) -> Vec<u16> {
    topology.sentinels().into_iter().map(|(_, port)| port).collect()
}

/// The ports of scripted Sentinels.
pub(crate) fn ports_of(sentinels: &[FakeSentinel]) -> Vec<u16> {
    sentinels.iter().map(|sentinel| sentinel.port()).collect()
}

/// A deployment with default options, and a connected client of its primary.
#[track_caller]
pub(crate) fn connected(sentinels: &[u16], keys: &[(&str, &str)]) -> (Deployment, Arc<Client>) {
    let deployment = open(sentinels, keys);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    if let Err(error) = client.connect(5000) {
        panic!("no first connection: {error}");
    }
    (deployment, Arc::new(client))
}

/// A command of words within `timeout_ms`.
pub(crate) fn run(client: &Client, text: &str, timeout_ms: i64) -> Result<Reply> {
    let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    let call = CallOptions {
        timeout_ms,
        ..CallOptions::default()
    };
    client.command(&args, &call)
}

/// A command of words that must succeed.
#[track_caller]
pub(crate) fn write(client: &Client, text: &str) {
    if let Err(error) = run(client, text, 0) {
        panic!("{text}: {error}");
    }
}

/// A write through a switch: one that was in flight may fail, and only with its outcome unknown.
#[track_caller]
pub(crate) fn write_through(client: &Client, text: &str) -> bool {
    match run(client, text, 0) {
        Ok(_) => true,
        Err(error) if error.outcome() == Outcome::Unknown => false,
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The port of the node that serves the client now.
pub(crate) fn serving(client: &Client) -> Option<u16> {
    client.node().unwrap().map(|node| node.endpoint.port)
}

/// The keys that the writer left on a node.
#[track_caller]
pub(crate) fn keys_on(node: &Server) -> HashSet<String> {
    let keys = node.ask(&["KEYS", "w:*"]);
    assert!(!keys.is_error(), "{keys:?}");
    keys.as_items().iter().map(|key| key.as_text()).collect()
}

/// The library's connections to a data node.
pub(crate) fn connections_to(node: &Server) -> usize {
    let list = node.ask(&["CLIENT", "LIST"]).as_text();
    let wanted = format!(" name={NAME} ");
    list.lines().filter(|line| line.contains(&wanted)).count()
}

/// Sends a command to a server; an error reply is a failure of the test.
#[track_caller]
pub(crate) fn tell(server: &Server, command: &str) {
    let args: Vec<&str> = command.split(' ').collect();
    let reply = server.ask(&args);
    assert!(!reply.is_error(), "{command}: {reply:?}");
}

/// Commands that every Sentinel answers to a client with the least rights.
const ALLOWED: [&str; 11] = [
    "HELLO",
    "AUTH",
    "CLIENT SETNAME",
    // Refused before 7.2, and nothing depends on it.
    "CLIENT SETINFO",
    "PING",
    "SUBSCRIBE",
    "SENTINEL GET-MASTER-ADDR-BY-NAME",
    "SENTINEL MASTER",
    "SENTINEL REPLICAS",
    "SENTINEL SENTINELS",
    "SENTINEL MYID",
];

/// Checks that a scripted Sentinel got no command that a real one refuses.
#[track_caller]
pub(crate) fn assert_only_allowed(sentinel: &FakeSentinel) {
    for command in sentinel.commands() {
        let text = command.text().to_uppercase();
        let is_it = |allowed: &str| text == allowed || text.starts_with(&format!("{allowed} "));
        assert!(
            ALLOWED.iter().any(|allowed| is_it(allowed)),
            "a Sentinel refuses: {text}"
        );
    }
}
