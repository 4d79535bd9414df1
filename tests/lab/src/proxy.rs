//! A TCP proxy on loopback that delays, slices, swallows and cuts.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::link::{Cut, Link};
use crate::wait::wait_until;

const PIECE: usize = 16 * 1024;
/// Pieces under way in one direction before the sender is held up.
const UNDER_WAY: usize = 64;
/// Between two slices, so that they arrive as two.
const SLICE_PAUSE: Duration = Duration::from_micros(100);

#[derive(Clone, Copy)]
enum Direction {
    FromClient,
    FromServer,
}

/// Where one connection is cut, once.
#[derive(Clone)]
struct Mark {
    text: Vec<u8>,
    bytes: usize,
    how: Cut,
}

impl Mark {
    /// After how many bytes of `piece` it cuts.
    fn place_in(&self, piece: &[u8]) -> Option<usize> {
        let begin = piece.windows(self.text.len()).position(|text| text == self.text)?;
        Some(piece.len().min(begin + self.bytes))
    }
}

/// What is wrong with the line.
#[derive(Clone, Default)]
struct Faults {
    /// Also for connections from the address that is spared.
    for_everyone: bool,
    refuse: bool,
    black_hole: bool,
    delay: Duration,
    slice: Option<usize>,
    /// For each direction: after how many bytes, and how.
    cut_after: [Option<(usize, Cut)>; 2],
    /// For each direction: at which text.
    cut_at: [Option<Mark>; 2],
    /// Counts the calls that set `cut_after`, from which on bytes are counted.
    generation: u64,
}

/// The two halves of a proxied connection.
struct Pair {
    client: Link,
    server: OnceLock<Link>,
    /// A black hole of its own.
    silent: AtomicBool,
    /// Faults are not meant for it, but those for everyone.
    is_spared: bool,
}

impl Pair {
    fn cut(&self, how: Cut) {
        self.client.cut(how);
        if let Some(server) = self.server.get() {
            server.cut(how);
        }
    }
}

struct Shared {
    target: u16,
    spared: Option<IpAddr>,
    faults: Mutex<Faults>,
    changed: Condvar,
    pairs: Mutex<Vec<Weak<Pair>>>,
    arrivals: Mutex<Vec<Instant>>,
    bytes: [AtomicU64; 2],
}

/// A proxy in front of a port of 127.0.0.1. All faults can be set and lifted while connections are open; they add up.
pub struct Proxy {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    pub fn to(target: u16) -> Proxy {
        Proxy::start(target, None)
    }

    /// The same; connections from the address `source` have none of the faults that are not for everyone.
    pub(crate) fn sparing(target: u16, source: &str) -> Proxy {
        Proxy::start(target, source.parse().ok())
    }

    fn start(target: u16, spared: Option<IpAddr>) -> Proxy {
        let (faults, changed, pairs, arrivals, bytes) = Default::default();
        let shared = Arc::new(Shared {
            target,
            spared,
            faults,
            changed,
            pairs,
            arrivals,
            bytes,
        });
        let accepting = shared.clone();
        let acceptor = Acceptor::start(move |stream| {
            let source = stream.peer_addr().map(|address| address.ip()).ok();
            let pair = Arc::new(Pair {
                client: Link::new(stream),
                server: OnceLock::new(),
                silent: AtomicBool::new(false),
                is_spared: accepting.spared.is_some() && accepting.spared == source,
            });
            locked(&accepting.arrivals).push(Instant::now());
            let mut pairs = locked(&accepting.pairs);
            pairs.retain(|pair| pair.strong_count() > 0);
            pairs.push(Arc::downgrade(&pair));
            drop(pairs);
            let serving = accepting.clone();
            std::thread::spawn(move || serving.connect(pair));
        });
        Proxy { acceptor, shared }
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.acceptor.port()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Lifts every fault; what a black hole holds goes on its way.
    pub fn pass(&self) {
        for pair in locked(&self.shared.pairs).iter().filter_map(Weak::upgrade) {
            pair.silent.store(false, Ordering::SeqCst);
        }
        self.set(|faults| {
            *faults = Faults {
                generation: faults.generation + 1,
                ..Faults::default()
            }
        });
        self.acceptor.listen();
    }

    /// Forwards nothing from now on, in neither direction, and connects nobody to the target, though connections are
    /// accepted. Bytes sent meanwhile are held, as TCP would hold them across a partition.
    pub fn black_hole(&self) {
        self.set(|faults| faults.black_hole = true);
    }

    /// The same for one of the open connections alone, the `which`-th of them counted round and round; the others go on.
    /// False when none is open.
    pub fn silence_one(&self, which: usize) -> bool {
        let open: Vec<Arc<Pair>> = locked(&self.shared.pairs).iter().filter_map(Weak::upgrade).collect();
        let one = which.checked_rem(open.len()).and_then(|which| open.get(which));
        let found = one.map(|pair| pair.silent.store(true, Ordering::SeqCst));
        self.shared.wake();
        found.is_some()
    }

    /// The same for all that are open and not spared; new ones go through: the other side is gone without a word.
    pub fn silence_open(&self) {
        let everyone = locked(&self.shared.faults).for_everyone;
        for pair in locked(&self.shared.pairs).iter().filter_map(Weak::upgrade) {
            if everyone || !pair.is_spared {
                pair.silent.store(true, Ordering::SeqCst);
            }
        }
        self.shared.wake();
    }

    /// Whether the faults are also for the address that is spared.
    pub fn set_for_everyone(&self, for_everyone: bool) {
        self.set(|faults| faults.for_everyone = for_everyone);
    }

    /// Resets every new connection at once.
    pub fn turn_away(&self) {
        self.set(|faults| faults.refuse = true);
    }

    /// The faults that last, in words; empty when there are none.
    pub fn faults(&self) -> String {
        let faults = locked(&self.shared.faults).clone();
        let mut words = Vec::new();
        if !faults.delay.is_zero() {
            words.push(format!("delay {} ms", faults.delay.as_millis()));
        }
        words.extend(faults.refuse.then(|| "refuse".to_owned()));
        words.extend(faults.black_hole.then(|| "black-hole".to_owned()));
        let everyone = faults.for_everyone && !words.is_empty();
        words.extend(everyone.then(|| "for everyone".to_owned()));
        words.join(", ")
    }

    /// Delays everything by this time each way.
    pub fn delay(&self, each_way: Duration) {
        self.set(|faults| faults.delay = each_way);
    }

    /// Forwards `bytes` bytes at a time.
    pub fn slice(&self, bytes: usize) {
        self.set(|faults| faults.slice = Some(bytes));
    }

    /// Cuts each connection when `bytes` more bytes of its client were forwarded; with 0, in place of the first.
    pub fn cut_after_from_client(&self, bytes: usize, how: Cut) {
        self.cut_after(Direction::FromClient, bytes, how);
    }

    /// Cuts each connection when `bytes` more bytes of the server were forwarded; with 0, in place of the first.
    pub fn cut_after_from_server(&self, bytes: usize, how: Cut) {
        self.cut_after(Direction::FromServer, bytes, how);
    }

    fn cut_after(&self, direction: Direction, bytes: usize, how: Cut) {
        self.set(|faults| {
            faults.cut_after[direction as usize] = Some((bytes, how));
            faults.generation += 1;
        });
    }

    /// Cuts, once, the connection whose client sends `text`, when `bytes` bytes from its beginning on were forwarded.
    pub fn cut_at_from_client(&self, text: &str, bytes: usize, how: Cut) {
        self.cut_at(Direction::FromClient, text, bytes, how);
    }

    /// Cuts, once, the connection whose server sends `text`, when `bytes` bytes from its beginning on were forwarded.
    pub fn cut_at_from_server(&self, text: &str, bytes: usize, how: Cut) {
        self.cut_at(Direction::FromServer, text, bytes, how);
    }

    fn cut_at(&self, direction: Direction, text: &str, bytes: usize, how: Cut) {
        let text = text.as_bytes().to_vec();
        assert!(!text.is_empty(), "every piece holds the empty text");
        self.set(|faults| faults.cut_at[direction as usize] = Some(Mark { text, bytes, how }));
    }

    /// Whether a text at which a connection is to be cut has not come yet.
    pub fn is_cut_due(&self) -> bool {
        locked(&self.shared.faults).cut_at.iter().any(Option::is_some)
    }

    /// Refuses new connections; open ones stay.
    pub fn refuse(&self) {
        self.acceptor.refuse();
    }

    /// Listens again after [`refuse`](Proxy::refuse).
    pub(crate) fn listen(&self) {
        self.acceptor.listen();
    }

    /// As the port of a process that is dead: refuses new connections, and ends those that are open.
    pub(crate) fn shut(&self) {
        self.acceptor.refuse();
        for pair in locked(&self.shared.pairs).iter().filter_map(Weak::upgrade) {
            pair.cut(Cut::Close);
        }
        self.shared.wake();
    }

    /// Ends all open connections but those that are spared, on both sides, and returns when they are gone.
    pub fn cut_all(&self, how: Cut) {
        let everyone = locked(&self.shared.faults).for_everyone;
        let is_meant = |pair: &Weak<Pair>| pair.upgrade().is_some_and(|pair| everyone || !pair.is_spared);
        let (pairs, others) = std::mem::take(&mut *locked(&self.shared.pairs))
            .into_iter()
            .partition(is_meant);
        let pairs: Vec<Weak<Pair>> = pairs;
        locked(&self.shared.pairs).extend::<Vec<_>>(others);
        for pair in pairs.iter().filter_map(Weak::upgrade) {
            pair.cut(how);
        }
        self.shared.wake();
        wait_until("the cut connections to be gone", Duration::from_secs(10), || {
            pairs.iter().all(|pair| pair.strong_count() == 0)
        });
    }

    /// When each connection so far has arrived.
    pub fn connections(&self) -> Vec<Instant> {
        locked(&self.shared.arrivals).clone()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        locked(&self.shared.pairs)
            .iter()
            .filter(|pair| pair.strong_count() > 0)
            .count()
    }

    /// Bytes forwarded so far from clients to the server.
    pub fn bytes_from_client(&self) -> u64 {
        self.shared.bytes[Direction::FromClient as usize].load(Ordering::SeqCst)
    }

    /// Bytes forwarded so far from the server to clients.
    pub fn bytes_from_server(&self) -> u64 {
        self.shared.bytes[Direction::FromServer as usize].load(Ordering::SeqCst)
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut locked(&self.shared.faults));
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.refuse();
        for pair in locked(&self.shared.pairs).iter().filter_map(Weak::upgrade) {
            pair.cut(Cut::Close);
        }
        self.shared.wake();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Shared {
    /// Lets the threads that wait for the end of a black hole look again.
    fn wake(&self) {
        // Whoever has looked before a change is waiting once this lock is free.
        drop(locked(&self.faults));
        self.changed.notify_all();
    }

    /// The faults of now, after the end of any black hole.
    fn faults_when_open(&self, pair: &Pair) -> Faults {
        let is_silent = || pair.silent.load(Ordering::SeqCst);
        let is_spared = |faults: &Faults| pair.is_spared && !faults.for_everyone;
        let held =
            |faults: &mut Faults| (faults.black_hole && !is_spared(faults) || is_silent()) && !pair.client.has_ended();
        let faults = self.changed.wait_while(locked(&self.faults), held);
        let faults = faults.unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        match is_spared(&faults) {
            true => Faults {
                generation: faults.generation,
                ..Faults::default()
            },
            false => faults,
        }
    }

    fn connect(self: Arc<Shared>, pair: Arc<Pair>) {
        if self.faults_when_open(&pair).refuse {
            return pair.cut(Cut::Reset);
        }
        if pair.client.has_ended() {
            return;
        }
        let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target)) else {
            return pair.cut(Cut::Reset);
        };
        pair.server.get_or_init(|| Link::new(stream));
        if pair.client.has_ended() {
            // It was cut while it was connected.
            return pair.cut(Cut::Close);
        }
        for direction in [Direction::FromClient, Direction::FromServer] {
            let (pieces, outbox) = sync_channel(UNDER_WAY);
            let (source, sink, shared) = (pair.clone(), pair.clone(), self.clone());
            std::thread::spawn(move || collect(&source, direction, &pieces));
            std::thread::spawn(move || shared.forward(&sink, direction, &outbox));
        }
    }

    /// How many bytes of `piece` come before a cut, when it holds the text of one; nobody else is cut for it then.
    fn take_mark(&self, direction: Direction, piece: &[u8]) -> Option<(usize, Cut)> {
        let mut faults = locked(&self.faults);
        let mark = &mut faults.cut_at[direction as usize];
        let place = mark.as_ref()?.place_in(piece)?;
        mark.take().map(|mark| (place, mark.how))
    }

    fn forward(&self, pair: &Pair, direction: Direction, outbox: &Receiver<(Instant, Vec<u8>)>) {
        let to = match direction {
            Direction::FromClient => pair.server.get().expect("connected before anything is forwarded"),
            Direction::FromServer => &pair.client,
        };
        let (mut generation, mut counted) = (0, 0);
        for (arrived, mut piece) in outbox {
            let delay = self.faults_when_open(pair).delay;
            std::thread::sleep((arrived + delay).saturating_duration_since(Instant::now()));
            let faults = self.faults_when_open(pair);
            if generation != faults.generation {
                (generation, counted) = (faults.generation, 0);
            }
            let cut = faults.cut_after[direction as usize].filter(|(limit, _)| counted + piece.len() >= *limit);
            let cut = cut.map(|(limit, how)| (limit - counted, how));
            let cut = cut.or_else(|| self.take_mark(direction, &piece));
            if let Some((limit, _)) = cut {
                piece.truncate(limit);
            }
            counted += piece.len();
            let size = faults.slice.unwrap_or(piece.len());
            if to.send_pieces(&piece, size, SLICE_PAUSE).is_err() {
                return;
            }
            self.bytes[direction as usize].fetch_add(piece.len() as u64, Ordering::SeqCst);
            if let Some((_, how)) = cut {
                return pair.cut(how);
            }
        }
        // The other side has finished; what it may still have to hear goes the other way.
        if !pair.client.has_ended() {
            to.finish_writing();
        }
    }
}

/// Reads from one side until it ends, and stamps each piece with its time.
fn collect(pair: &Pair, direction: Direction, pieces: &SyncSender<(Instant, Vec<u8>)>) {
    let mut from = match direction {
        Direction::FromClient => &pair.client,
        Direction::FromServer => pair.server.get().expect("connected before anything is read"),
    };
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if pieces.send((Instant::now(), buffer[..count].to_vec())).is_ok() => {}
            Ok(_) => return,
            // A reset on one side is a reset on the other.
            Err(_) => return pair.cut(Cut::Reset),
        }
    }
}
