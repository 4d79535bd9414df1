//! Eight threads open, use, close and let go of everything in an order that a seed decides, while the service moves from
//! node to node all the time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::client::{BatchKind, Connection};
use sentinel::{Client, Deployment, ErrorKind, Result};
use sentinel_lab::{FakeNode, FakeSentinel, count_fds, count_threads, wait_until};

use crate::lifecycle::alone;
use crate::support::{PATIENCE, SERVICE, batch, open, run_within, within, words};

const THREADS: usize = 8;
const SLOTS: usize = 4;

/// Handles that any thread uses, replaces and lets go of: what a call holds lives until the call has ended.
#[derive(Default)]
struct Shelf {
    deployments: [Mutex<Option<Arc<Deployment>>>; SLOTS],
    clients: [Mutex<Option<Arc<Client>>>; SLOTS],
    connections: [Mutex<Option<Connection>>; SLOTS],
    calls: AtomicUsize,
}

fn get<T>(slots: &[Mutex<Option<Arc<T>>>; SLOTS], place: usize) -> Option<Arc<T>> {
    slots[place].lock().unwrap().clone()
}

/// What is let go of is dropped outside the lock, beside whatever the others do.
fn put<T>(slots: &[Mutex<Option<T>>; SLOTS], place: usize, value: Option<T>) {
    let before = std::mem::replace(&mut *slots[place].lock().unwrap(), value);
    drop(before);
}

impl Shelf {
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
                );
                assert!(expected, "{what}: {error}");
                None
            }
        }
    }

    fn act(&self, random: &mut fastrand::Rng, sentinels: &[u16]) {
        let (place, other) = (random.usize(..SLOTS), random.usize(..SLOTS));
        let timeout_ms = [5, 50, 500][random.usize(..3)];
        match random.u32(..100) {
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
                if let Some(mut own) = own {
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
            _ => {
                if let Some(client) = get(&self.clients, place) {
                    let command = ["GET k", "SET k v", "INCR n", "ECHO x"][random.usize(..4)];
                    self.check(command, run_within(&client, command, timeout_ms));
                }
            }
        }
    }
}

#[test]
fn everything_is_let_go_of_in_any_order_while_calls_and_failovers_run() {
    alone(
        "disorder::everything_is_let_go_of_in_any_order_while_calls_and_failovers_run",
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
            let shelf = Shelf::default();
            let ended = AtomicBool::new(false);
            let turns = AtomicUsize::new(0);
            std::thread::scope(|scope| {
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
                while Instant::now() < until {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    for sentinel in &sentinels {
                        sentinel.switch_master("127.0.0.1", nodes[(turn + 1) % 2].port());
                    }
                    nodes.iter().for_each(|node| node.forget_commands());
                    std::thread::sleep(Duration::from_millis(20));
                }
                ended.store(true, Ordering::Relaxed);
            });
            let calls = shelf.calls.load(Ordering::Relaxed);
            println!("{calls} calls, {} switches", turns.load(Ordering::Relaxed));
            assert!(calls > 1000, "only {calls} calls");
            drop(shelf);
            // The peers of the test have threads and descriptors for each connection, too.
            wait_until("threads and descriptors as before", PATIENCE, || {
                (count_threads(own), count_fds(own)) == before
            });
        },
    );
}
