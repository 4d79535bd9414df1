//! A server that is slow because it does one thing at a time, and each takes its time.

use std::io::BufReader;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::link::{Cut, Link};
use crate::wire::{encode_command, read_command};

const PIECE: usize = 16 * 1024;

/// How long a command takes.
#[derive(Clone, Copy)]
struct Cost {
    greeting: Duration,
    command: Duration,
}

impl Cost {
    fn of(self, args: &[Vec<u8>]) -> Duration {
        let name = args.first().map(Vec::as_slice).unwrap_or_default();
        match [b"HELLO".as_slice(), b"AUTH"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            true => self.greeting,
            false => self.command,
        }
    }
}

/// What waits in the one queue.
enum Order {
    Command(Arc<Link>, Instant, Vec<Vec<u8>>),
    /// The client has gone, and all that it sent before was done: as by a server, which reads that first.
    End(Arc<Link>),
}

/// A proxy in front of a port of 127.0.0.1 that lets commands pass one at a time, whichever connections they come on, each
/// after the time that it costs. What was sent is done, and paid for, though the client has gone meanwhile.
pub struct Bottleneck {
    acceptor: Acceptor,
    clients: Arc<Mutex<Vec<Weak<Link>>>>,
    accepted: Arc<AtomicU64>,
}

impl Bottleneck {
    /// Passes everything on to `target`. `greeting` is what HELLO and AUTH cost, `command` what each other command costs.
    pub fn to(target: u16, greeting: Duration, command: Duration) -> Bottleneck {
        Bottleneck::between(vec![target], Cost { greeting, command })
    }

    /// A load balancer: leads each connection to the next of them. Commands cost nothing.
    pub fn balancer(targets: &[u16]) -> Bottleneck {
        let nothing = Duration::ZERO;
        let cost = Cost {
            greeting: nothing,
            command: nothing,
        };
        Bottleneck::between(targets.to_vec(), cost)
    }

    fn between(targets: Vec<u16>, cost: Cost) -> Bottleneck {
        let (orders, inbox) = channel();
        std::thread::spawn(move || work(&inbox, cost));
        let clients: Arc<Mutex<Vec<Weak<Link>>>> = Arc::default();
        let accepted = Arc::new(AtomicU64::new(0));
        let (register, count) = (Arc::clone(&clients), Arc::clone(&accepted));
        let acceptor = Acceptor::start(move |stream| {
            let turn = count.fetch_add(1, Ordering::Relaxed) as usize;
            let target = targets[turn % targets.len()];
            let client = Arc::new(Link::new(stream));
            let mut clients = register.lock().expect("no panic happens under this lock");
            clients.retain(|client| client.strong_count() > 0);
            clients.push(Arc::downgrade(&client));
            let orders = orders.clone();
            std::thread::spawn(move || connect(&client, target, &orders));
        });
        Bottleneck {
            acceptor,
            clients,
            accepted,
        }
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.acceptor.port()
    }

    /// As if the server were killed: refuses new connections and closes all open ones.
    pub fn die(&self) {
        self.acceptor.refuse();
        for client in self.open() {
            client.cut(Cut::Close);
        }
    }

    /// Listens again on the same port.
    pub fn listen(&self) {
        self.acceptor.listen();
    }

    /// How many connections were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    fn open(&self) -> Vec<Arc<Link>> {
        let clients = self.clients.lock().expect("no panic happens under this lock");
        clients.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Bottleneck {
    fn drop(&mut self) {
        self.die();
    }
}

fn connect(client: &Arc<Link>, target: u16, orders: &Sender<Order>) {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
        return client.cut(Cut::Reset);
    };
    let server = Arc::new(Link::new(stream));
    let (from, to) = (Arc::clone(&server), Arc::clone(client));
    std::thread::spawn(move || answer(&from, &to));
    let mut input = BufReader::with_capacity(PIECE, &**client);
    while let Ok(args) = read_command(&mut input) {
        if orders
            .send(Order::Command(Arc::clone(&server), Instant::now(), args))
            .is_err()
        {
            break;
        }
    }
    let _ = orders.send(Order::End(server));
}

/// Passes on what the server says, which costs nothing.
fn answer(mut server: &Link, client: &Link) {
    let mut buffer = vec![0; PIECE];
    while let Ok(count @ 1..) = std::io::Read::read(&mut server, &mut buffer) {
        if client.send(&buffer[..count]).is_err() {
            break;
        }
    }
    client.cut(Cut::Close);
}

fn work(inbox: &Receiver<Order>, cost: Cost) {
    // When it has done all before: what a sleep takes longer than was asked is made up for while there is a queue.
    let mut free = Instant::now();
    for order in inbox {
        match order {
            Order::Command(server, arrived, args) => {
                free = free.max(arrived) + cost.of(&args);
                std::thread::sleep(free.saturating_duration_since(Instant::now()));
                // A server that has ended tells its client by itself.
                server.send(&encode_command(&args)).ok();
            }
            Order::End(server) => server.cut(Cut::Close),
        }
    }
}
