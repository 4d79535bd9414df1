//! What the tests of every subject need: options in one line, calls with their time, and checks of what failed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sentinel::base::error::{Attempt, Stage};
use sentinel::completion::queue::Polled;
use sentinel::completion::{Entry, Queue, Target};
use sentinel::resp::Reply;
use sentinel::topology::Node;
use sentinel::{
    Batch, BatchKind, CallOptions, Client, Deadline, Deployment, Error, ErrorKind, Options, Outcome, Reason, Result,
    Tried,
};
use sentinel_lab::{Config, Topology, Value};

/// The service of the scripted Sentinels and of the real ones.
pub(crate) const SERVICE: &str = "mymaster";

/// A call returns by its deadline plus 20 ms; the rest is for a machine that other builds and servers keep busy.
pub(crate) const SLACK: Duration = Duration::from_millis(20 + 100);

/// How long an event may take that has no promised time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Options with these Sentinels on 127.0.0.1.
pub(crate) fn options(sentinels: &[u16]) -> Options {
    let mut options = Options::new();
    for port in sentinels {
        options.add_sentinel("127.0.0.1", *port).unwrap();
    }
    options
}

/// The same options with these keys set.
pub(crate) fn with(mut options: Options, pairs: &[(&str, &str)]) -> Options {
    for (key, value) in pairs {
        options.set(key, value).unwrap();
    }
    options
}

/// Overrides of a client.
pub(crate) fn overrides(pairs: &[(&str, &str)]) -> Options {
    with(Options::new(), pairs)
}

/// A deployment with these Sentinels on 127.0.0.1 and otherwise default options.
pub(crate) fn open(sentinels: &[u16]) -> Deployment {
    Deployment::open(&options(sentinels)).unwrap()
}

/// The ports of a topology's Sentinels.
pub(crate) fn sentinel_ports(topology: &Topology) -> Vec<u16> {
    topology.sentinels().into_iter().map(|(_, port)| port).collect()
}

/// A deployment over the Sentinels of a topology.
pub(crate) fn open_on(topology: &Topology) -> Deployment {
    open(&sentinel_ports(topology))
}

/// One primary, two replicas and three Sentinels that several tests use at the same time. None of them may stop, kill or
/// reconfigure a server, and each has keys of its own. It ends with the last test that holds it.
pub(crate) fn shared() -> Arc<Topology> {
    static SHARED: Mutex<Weak<Topology>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(topology) = shared.upgrade() {
        return topology;
    }
    let topology = Arc::new(Topology::start(Config::default()));
    *shared = Arc::downgrade(&topology);
    topology
}

/// Words as arguments of a command.
pub(crate) fn words(text: &str) -> Vec<&[u8]> {
    text.split(' ').map(str::as_bytes).collect()
}

/// A command of words with the default options of a call.
pub(crate) fn run(client: &Client, text: &str) -> Result<Reply> {
    client.command(&words(text), &CallOptions::default())
}

/// A command of words within `timeout_ms`.
pub(crate) fn run_within(client: &Client, text: &str, timeout_ms: i64) -> Result<Reply> {
    client.command(&words(text), &within(timeout_ms))
}

/// A call with a deadline.
pub(crate) fn within(timeout_ms: i64) -> CallOptions {
    CallOptions {
        timeout_ms,
        ..CallOptions::default()
    }
}

/// What starts this test binary where it is of another processor.
fn runner() -> Option<OsString> {
    std::env::var_os("TEST_RUNNER").filter(|runner| !runner.is_empty())
}

/// Whether another processor is played by a program, which takes several times as long as a processor.
pub(crate) fn is_emulated() -> bool {
    runner().is_some()
}

/// How much longer something may take there.
pub(crate) fn slowness() -> u32 {
    if is_emulated() { 6 } else { 1 }
}

/// The words that start this test binary once more.
pub(crate) fn own_program() -> Vec<OsString> {
    let runner = runner();
    let own = std::env::current_exe().unwrap().into_os_string();
    runner.into_iter().chain([own]).collect()
}

/// The text of a reply to a command that must succeed.
#[track_caller]
pub(crate) fn text(client: &Client, command: &str) -> String {
    match run(client, command) {
        Ok(reply) => reply.text().into_owned(),
        Err(error) => panic!("{command}: {error}"),
    }
}

/// A pipeline of commands of words.
pub(crate) fn batch(kind: BatchKind, commands: &[&str]) -> Batch {
    let mut batch = Batch::new(kind);
    for command in commands {
        batch.add(&words(command)).unwrap();
    }
    batch
}

/// A way to run a command of words, with a queue for completions.
pub(crate) type Way = fn(&Client, &Arc<Queue>, &str, &CallOptions) -> Result<Reply>;

/// All ways: what holds for the one holds for the others.
pub(crate) const WAYS: [(&str, Way); 3] = [
    ("waiting", |client, _, text, call| client.command(&words(text), call)),
    ("submitted", |client, queue, text, call| {
        client.submit(&words(text), call, Target::Queue(queue, 0))?;
        completion(queue)
    }),
    ("trying", |client, queue, text, call| {
        match client.try_command(&words(text), call, Duration::from_millis(5), queue, 0)? {
            Tried::Done(reply) => Ok(reply),
            Tried::GoesOn(_) => completion(queue),
        }
    }),
];

/// Submits a batch and waits for its end.
pub(crate) fn submitted_batch(client: &Client, queue: &Arc<Queue>, batch: &Batch, call: &CallOptions) -> Result<Reply> {
    client.submit_batch(batch, call, Target::Queue(queue, 0))?;
    completion(queue)
}

/// The end of the only call of a queue.
#[track_caller]
fn completion(queue: &Queue) -> Result<Reply> {
    let ends = completions(queue, 1).into_values().next();
    ends.expect("one completion")
}

/// Takes `count` completions; none may have a tag that was seen before.
#[track_caller]
pub(crate) fn completions(queue: &Queue, count: usize) -> HashMap<u64, Result<Reply>> {
    let deadline = Deadline::after(Some(PATIENCE * 4));
    let mut all = HashMap::new();
    while all.len() < count {
        let polled = queue.poll(count - all.len(), deadline, |Entry { tag, result, .. }| {
            assert!(all.insert(tag, result).is_none(), "two completions for {tag}");
        });
        assert_ne!(polled, Ok(Polled::Empty), "{} of {count} completions", all.len());
        polled.unwrap();
    }
    all
}

/// What `call` gives, and how long it takes.
pub(crate) fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = call();
    (result, start.elapsed())
}

/// The ports of nodes, sorted.
pub(crate) fn ports(nodes: &[Node]) -> Vec<u16> {
    let mut ports: Vec<u16> = nodes.iter().map(|node| node.endpoint.port).collect();
    ports.sort_unstable();
    ports
}

/// Numbers in order.
pub(crate) fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// The port of the node that serves a client's next command.
#[track_caller]
pub(crate) fn serving_port(client: &Client) -> u16 {
    let reply = run(client, "CONFIG GET port").unwrap();
    let port = reply
        .get(b"port")
        .or(reply.at(1))
        .expect("CONFIG GET port answers one pair");
    port.text().parse().unwrap()
}

/// The connections of a server that carry this name.
pub(crate) fn named_connections(server: &sentinel_lab::Server, name: &str) -> usize {
    let list = server.ask(&["CLIENT", "LIST"]).as_text();
    let wanted = format!(" name={name} ");
    list.lines().filter(|line| line.contains(&wanted)).count()
}

/// Sends a command to a server on a connection of the test's own; an error reply is a failure of the test.
#[track_caller]
pub(crate) fn tell(server: &sentinel_lab::Server, command: &str) -> Value {
    let args: Vec<&str> = command.split(' ').collect();
    let reply = server.ask(&args);
    assert!(!reply.is_error(), "{command}: {reply:?}");
    reply
}

/// One way to need a primary or a replica, and how it failed.
pub(crate) struct Failure {
    pub(crate) call: &'static str,
    pub(crate) of_replica: bool,
    pub(crate) error: Error,
    pub(crate) took: Duration,
}

type Call<'a> = (&'static str, bool, Box<dyn Fn() -> Result<()> + Send + 'a>);

/// The calls that ask the Sentinels and no node.
pub(crate) const DISCOVERIES: [&str; 3] = ["discover_primary", "discover_replicas", "discover_sentinels"];

/// Makes every kind of call at the same time with this deadline; none may succeed, and each must end in time.
#[track_caller]
pub(crate) fn fail_each(deployment: &Deployment, timeout_ms: i64, skip: &[&str]) -> Vec<Failure> {
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    let service = Some(SERVICE);
    let pipeline = batch(BatchKind::Pipeline, &["SET k v", "GET k"]);
    let calls: Vec<Call<'_>> = vec![
        (
            DISCOVERIES[0],
            false,
            Box::new(|| deployment.discover_primary(service, timeout_ms).map(drop)),
        ),
        (
            DISCOVERIES[1],
            true,
            Box::new(|| deployment.discover_replicas(service, timeout_ms).map(drop)),
        ),
        (
            DISCOVERIES[2],
            false,
            Box::new(|| deployment.discover_sentinels(service, timeout_ms).map(drop)),
        ),
        ("connect", false, Box::new(|| primary.connect(timeout_ms))),
        (
            "write",
            false,
            Box::new(|| run_within(&primary, "SET k v", timeout_ms).map(drop)),
        ),
        (
            "batch",
            false,
            Box::new(|| primary.batch(&pipeline, &within(timeout_ms)).map(drop)),
        ),
        ("acquire", false, Box::new(|| primary.acquire(timeout_ms).map(drop))),
        (
            "read",
            true,
            Box::new(|| run_within(&replica, "GET k", timeout_ms).map(drop)),
        ),
    ];
    let limit = Duration::from_millis(timeout_ms.unsigned_abs()) + SLACK * slowness();
    let chosen = calls.into_iter().filter(|(name, ..)| !skip.contains(name));
    let failures: Vec<Failure> = std::thread::scope(|scope| {
        let threads: Vec<_> = chosen
            .map(|(name, of_replica, call)| (name, of_replica, scope.spawn(move || timed(call))))
            .collect();
        let joined = threads.into_iter().map(|(call, of_replica, thread)| {
            let (result, took) = thread.join().unwrap();
            let error = result.err().unwrap_or_else(|| panic!("{call} succeeded"));
            Failure {
                call,
                of_replica,
                error,
                took,
            }
        });
        joined.collect()
    });
    for Failure { call, error, took, .. } in &failures {
        assert!(*took <= limit, "{call} took {took:?} of {timeout_ms} ms: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{call}: {error}");
    }
    failures
}

/// Checks the kind and the reason of failures to find a node, and that each of `attempts` (endpoint, stage, words of
/// the cause) is told.
#[track_caller]
pub(crate) fn assert_not_found(failures: &[Failure], reason: Reason, attempts: &[(u16, Stage, &str)]) {
    for Failure {
        call,
        of_replica,
        error,
        ..
    } in failures
    {
        let service = SERVICE.to_owned();
        let kind = match of_replica {
            true => ErrorKind::ReplicaNotFound { service, reason },
            false => ErrorKind::PrimaryNotFound { service, reason },
        };
        assert_eq!(error.kind(), &kind, "{call}: {error}");
        assert_attempts(call, error, attempts);
    }
}

/// Checks that an error tells of these attempts, in its list and in its text.
#[track_caller]
pub(crate) fn assert_attempts(call: &str, error: &Error, attempts: &[(u16, Stage, &str)]) {
    for (port, stage, cause) in attempts {
        let endpoint = format!("127.0.0.1:{port}");
        let is_it = |attempt: &&Attempt| {
            attempt.endpoint == endpoint && attempt.stage == *stage && attempt.cause.contains(cause)
        };
        let found = error.attempts().iter().find(is_it);
        let found = found.unwrap_or_else(|| panic!("{call}: no {endpoint}: {stage}: {cause} in: {error}"));
        assert!(error.to_string().contains(&found.to_string()), "{call}: {error}");
    }
}
