//! Eight threads open, use, close and let go of everything in an order that a seed decides, while the service moves from
//! node to node all the time: calls that wait and calls that are submitted, subscriptions, callbacks that let go of
//! handles themselves.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{ChannelKind, Entry, EntryKind, Queue, Target};
use sentinel::{BatchKind, Client, Connection, Deadline, Deployment, ErrorKind, Result, Subscription};
use sentinel_lab::{FakeNode, FakeSentinel, SetOnDrop, count_fds, count_threads, wait_until};

use crate::handles::lifecycle::alone;
use crate::support::{PATIENCE, SERVICE, batch, open, run_within, slowness, within, words};

const THREADS: usize = 8;

/// More than so many submissions come back through queues, and through functions.
const ENOUGH: usize = 10;
const SLOTS: usize = 4;

/// Handles that any thread uses, replaces and lets go of: what a call holds lives until the call has ended.
#[derive(Default)]
struct Shelf {
    deployments: [Mutex<Option<Arc<Deployment>>>; SLOTS],
    clients: [Mutex<Option<Arc<Client>>>; SLOTS],
    connections: [Mutex<Option<Connection>>; SLOTS],
    queues: [Mutex<Option<Arc<Queue>>>; SLOTS],
    subscriptions: [Mutex<Option<Arc<Subscription>>>; SLOTS],
    calls: AtomicUsize,
    /// Submissions that were accepted, each under its number; those to a function, and how often one was called.
    submitted: AtomicU64,
    to_functions: AtomicUsize,
    functions_called: AtomicUsize,
    /// What queues gave: calls by their numbers, none twice; messages and events.
    completed: Mutex<HashSet<u64>>,
    heard: AtomicUsize,
    unexpected: Mutex<Vec<String>>,
}

/// The tag of subscriptions.
const HEARD: u64 = u64::MAX;

fn get<T>(slots: &[Mutex<Option<Arc<T>>>; SLOTS], place: usize) -> Option<Arc<T>> {
    slots[place].lock().unwrap().clone()
}

/// What is let go of is dropped outside the lock, beside whatever the others do.
fn put<T>(slots: &[Mutex<Option<T>>; SLOTS], place: usize, value: Option<T>) {
    let before = std::mem::replace(&mut *slots[place].lock().unwrap(), value);
    drop(before);
}

impl Shelf {
    fn has_done_enough(&self) -> bool {
        let by_functions = self.functions_called.load(Ordering::Relaxed);
        let heard = self.heard.load(Ordering::Relaxed);
        self.completed.lock().unwrap().len() > ENOUGH && by_functions > ENOUGH && heard > 0
    }

    /// A call ends well, or because a handle was closed or the service moved.
    fn check<T>(&self, what: &str, result: Result<T>) -> Option<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let expected = matches!(
                    error.kind(),
                    ErrorKind::Closed
                        | ErrorKind::ConnectionLost { .. }
                        | ErrorKind::Connect { .. }
                        | ErrorKind::Timeout { .. }
                        | ErrorKind::PrimaryNotFound { .. }
                        | ErrorKind::ReplicaNotFound { .. }
                        | ErrorKind::PoolExhausted { .. }
                        | ErrorKind::Readonly { .. }
                        | ErrorKind::QueueFull { .. }
                        | ErrorKind::Cancelled
                );
                if !expected {
                    // A panic in a callback would be the library's to catch.
                    self.unexpected.lock().unwrap().push(format!("{what}: {error}"));
                }
                None
            }
        }
    }

    fn empty(&self) {
        for place in 0..SLOTS {
            put(&self.subscriptions, place, None);
            put(&self.queues, place, None);
            put(&self.connections, place, None);
            put(&self.clients, place, None);
            put(&self.deployments, place, None);
        }
    }

    fn act(self: &Arc<Shelf>, random: &mut fastrand::Rng, sentinels: &[u16]) {
        let (place, other) = (random.usize(..SLOTS), random.usize(..SLOTS));
        let timeout_ms = [5, 50, 500][random.usize(..3)];
        match random.u32(..140) {
            0..=3 => put(&self.deployments, place, Some(Arc::new(open(sentinels)))),
            4..=5 => put(&self.deployments, place, None),
            6..=7 => {
                if let Some(deployment) = get(&self.deployments, place) {
                    self.check("close", deployment.close(timeout_ms));
                }
            }
            8..=17 => {
                if let Some(deployment) = get(&self.deployments, place) {
                    let made = match random.bool() {
                        true => deployment.primary_for(Some(SERVICE), None),
                        false => deployment.replica_for(Some(SERVICE), None),
                    };
                    put(&self.clients, other, self.check("a client", made).map(Arc::new));
                }
            }
            18..=21 => put(&self.clients, place, None),
            22..=24 => {
                if let Some(deployment) = get(&self.deployments, place) {
                    self.check("discovery", deployment.discover_primary(Some(SERVICE), timeout_ms));
                }
            }
            25..=30 => {
                if let Some(client) = get(&self.clients, place) {
                    let own = self.check("acquire", client.acquire(timeout_ms));
                    put(&self.connections, other, own);
                }
            }
            31..=34 => put(&self.connections, place, None),
            35..=42 => {
                let own = self.connections[place].lock().unwrap().take();
                if let Some(own) = own {
                    self.check("an own command", own.command(&words("GET k"), &within(timeout_ms)));
                    put(&self.connections, place, Some(own));
                }
            }
            43..=50 => {
                if let Some(client) = get(&self.clients, place) {
                    let commands = batch(BatchKind::Pipeline, &["GET a", "GET b", "GET c"]);
                    self.check("a batch", client.batch(&commands, &within(timeout_ms)));
                }
            }
            51..=53 => {
                // Blocks on a connection of its own until its deadline, whatever is closed meanwhile.
                if let Some(client) = get(&self.clients, place) {
                    self.check("BLPOP", run_within(&client, "BLPOP k 0", 20));
                }
            }
            100..=139 => self.act_unwaited(random, (place, other), timeout_ms),
            _ => {
                if let Some(client) = get(&self.clients, place) {
                    let command = ["GET k", "SET k v", "INCR n", "ECHO x"][random.usize(..4)];
                    self.check(command, run_within(&client, command, timeout_ms));
                }
            }
        }
    }

    /// The same for what no thread waits for.
    fn act_unwaited(self: &Arc<Shelf>, random: &mut fastrand::Rng, (place, other): (usize, usize), timeout_ms: i64) {
        match random.u32(..40) {
            0 => {
                if let Some(deployment) = get(&self.deployments, place) {
                    put(&self.queues, other, self.check("a queue", deployment.queue(8)));
                }
            }
            1 if random.bool() => {
                // As sentinel_queue_free does it.
                if let Some(queue) = self.queues[place].lock().unwrap().take() {
                    queue.free();
                }
            }
            1..=4 => {
                if let (Some(client), Some(queue)) = (get(&self.clients, place), get(&self.queues, other)) {
                    let made = self.check("a subscription", client.subscribe(&queue, HEARD));
                    put(&self.subscriptions, place, made.map(Arc::new));
                }
            }
            5 => put(&self.subscriptions, place, None),
            6..=14 => {
                if let Some(subscription) = get(&self.subscriptions, place) {
                    let name = [b"a", b"b", b"c"][other % 3];
                    let changed = match random.bool() {
                        true => subscription.add_confirmed(ChannelKind::Channel, name),
                        false => subscription.remove(ChannelKind::Channel, name),
                    };
                    self.check("a channel", changed);
                }
            }
            15..=21 => {
                if let Some(queue) = get(&self.queues, place) {
                    self.take(&queue);
                }
            }
            22..=30 => {
                if let (Some(client), Some(queue)) = (get(&self.clients, place), get(&self.queues, other)) {
                    let tag = self.submitted.fetch_add(1, Ordering::Relaxed);
                    let target = Target::Queue(&queue, tag);
                    self.submit(&client, random, target, timeout_ms);
                }
            }
            _ => {
                if let Some(client) = get(&self.clients, place) {
                    let shelf = Arc::clone(self);
                    let done = Box::new(move |entry: Entry| shelf.called(entry, other));
                    // It may be called before the submission has returned.
                    self.to_functions.fetch_add(1, Ordering::Relaxed);
                    if !self.submit(&client, random, Target::Done(done), timeout_ms) {
                        self.to_functions.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Submits; now and then cancels. False when it was not accepted.
    fn submit(&self, client: &Client, random: &mut fastrand::Rng, target: Target<'_>, timeout_ms: i64) -> bool {
        let submitted = client.submit(&words("INCR n"), &within(timeout_ms), target);
        let Some(id) = self.check("a submission", submitted) else {
            return false;
        };
        if random.u32(..10) == 0 {
            self.check("a cancellation", client.cancel(id));
        }
        true
    }

    fn take(&self, queue: &Queue) {
        let deadline = Deadline::after(Some(Duration::from_millis(1)));
        let polled = queue.poll(4, deadline, |entry| match entry.kind {
            EntryKind::Call => {
                let is_first = self.completed.lock().unwrap().insert(entry.tag);
                assert!(is_first, "two completions for {}", entry.tag);
                self.check("a completion", entry.result);
            }
            EntryKind::Message | EntryKind::Event => {
                assert_eq!(entry.tag, HEARD);
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
        });
        match polled {
            Ok(Polled::Some(_) | Polled::Empty) => {}
            Err(error) => assert_eq!(error.kind(), &ErrorKind::Closed),
        }
    }

    /// A callback: lets go of something itself.
    fn called(&self, entry: Entry, place: usize) {
        self.functions_called.fetch_add(1, Ordering::Relaxed);
        self.check("a callback", entry.result);
        match self.functions_called.load(Ordering::Relaxed) % 50 {
            0 => put(&self.clients, place, None),
            1 => put(&self.subscriptions, place, None),
            2 => put(&self.connections, place, None),
            3 => put(&self.deployments, place, None),
            _ => {}
        }
    }
}

#[test]
fn everything_is_let_go_of_in_any_order_while_calls_and_failovers_run() {
    alone(
        "handles::disorder::everything_is_let_go_of_in_any_order_while_calls_and_failovers_run",
        || {
            let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().expect("a number"));
            let seconds = std::env::var("DISORDER_SECONDS").map_or(5, |text| text.parse().expect("a number"));
            println!("SEED={seed}");
            let nodes = [0, 1].map(|_| {
                let stalls = |_: &mut sentinel_lab::Session, args: &[Vec<u8>]| args[0] == b"BLPOP".as_slice();
                FakeNode::builder().on(stalls).start()
            });
            let sentinels = [0, 1].map(|_| FakeSentinel::start(SERVICE, nodes[0].port()));
            let ports = [sentinels[0].port(), sentinels[1].port()];
            let own = std::process::id();
            let before = (count_threads(own), count_fds(own));
            let shelf = Arc::new(Shelf::default());
            let ended = AtomicBool::new(false);
            let turns = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                let _guard = SetOnDrop(&ended);
                for thread in 0..THREADS {
                    let (shelf, ended) = (&shelf, &ended);
                    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(thread as u64));
                    scope.spawn(move || {
                        while !ended.load(Ordering::Relaxed) {
                            shelf.act(&mut random, &ports);
                        }
                    });
                }
                let until = Instant::now() + Duration::from_secs(seconds);
                // A loaded machine takes longer to do what is wanted of each.
                while Instant::now() < until || (!shelf.has_done_enough() && Instant::now() < until + PATIENCE) {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    for sentinel in &sentinels {
                        sentinel.switch_master("127.0.0.1", nodes[(turn + 1) % 2].port());
                    }
                    for node in &nodes {
                        node.forget_commands();
                        node.emit("a", "message");
                    }
                    std::thread::sleep(Duration::from_millis(20) * slowness());
                }
            });
            let calls = shelf.calls.load(Ordering::Relaxed);
            let (completed, heard) = (
                shelf.completed.lock().unwrap().len(),
                shelf.heard.load(Ordering::Relaxed),
            );
            shelf.empty();
            let functions =
                || [&shelf.to_functions, &shelf.functions_called].map(|count| count.load(Ordering::Relaxed));
            wait_until("each function to be called once", PATIENCE, || {
                let [given, called] = functions();
                given == called
            });
            println!(
                "{calls} calls, {completed} completions in queues and {} in functions, {heard} messages and events, {} switches",
                functions()[1],
                turns.load(Ordering::Relaxed)
            );
            assert_eq!(*shelf.unexpected.lock().unwrap(), Vec::<String>::new());
            assert!(calls > 1000, "only {calls} calls");
            assert!(
                completed > ENOUGH && functions()[1] > ENOUGH && heard > 0,
                "hardly anything"
            );
            // The peers of the test have threads and descriptors for each connection, too.
            wait_until("threads and descriptors as before", PATIENCE, || {
                (count_threads(own), count_fds(own)) == before
            });
            let [given, called] = functions();
            assert_eq!(given, called, "each function is called once");
        },
    );
}
