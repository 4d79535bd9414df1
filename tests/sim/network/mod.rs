//! Everything between the sockets of the library and the nodes: bytes on their way, and what may befall them.

mod connection;
mod pipe;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use tokio::sync::oneshot::{self, Receiver, Sender};

pub(crate) use connection::{Connection, Fault, READ, Side, WRITE};
pub(crate) use pipe::{Fin, Pipe};

use crate::kernel::kernel;
use crate::kernel::trace::{note, tell};
use crate::net::Socket;
use crate::node::Node;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// What a seed makes of its network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Time on the way, nanoseconds.
    pub(crate) fastest: u64,
    pub(crate) slowest: u64,
    /// Bytes that a connection holds each way before the sender is blocked.
    pub(crate) room: usize,
    /// Bytes that arrive together at most.
    pub(crate) piece: usize,
    /// One send in so many takes less than there is room for.
    pub(crate) short: u64,
    /// Time that a node takes before it looks at what has come.
    pub(crate) service: u64,
    /// One connection in so many has a fault of its own; 0: none.
    pub(crate) faulty: u64,
    /// One dial in so many is refused, and one in so many hangs; 0: none.
    pub(crate) refused: u64,
    pub(crate) hangs: u64,
}

/// The network of a simulation.
pub(crate) struct Network {
    pub(crate) nodes: RefCell<Vec<Node>>,
    pub(crate) connections: RefCell<Vec<Connection>>,
    pub(crate) weather: Cell<Weather>,
    /// Tokens of connections whose peer has hung up, and who is told.
    gone: RefCell<Vec<u64>>,
    watcher: RefCell<Option<Waker>>,
    /// Dials of which nothing is ever heard.
    unheard: RefCell<Vec<Sender<io::Result<Socket>>>>,
}

thread_local! {
    static NETWORK: Cell<Option<&'static Network>> = const { Cell::new(None) };
}

/// The network of this thread's simulation.
pub(crate) fn network() -> &'static Network {
    NETWORK.get().expect("a simulation runs on this thread")
}

impl Network {
    /// Begins that of this thread.
    pub(crate) fn start(weather: Weather) -> &'static Network {
        let network: &'static Network = Box::leak(Box::new(Network {
            nodes: RefCell::default(),
            connections: RefCell::default(),
            weather: Cell::new(weather),
            gone: RefCell::default(),
            watcher: RefCell::default(),
            unheard: RefCell::default(),
        }));
        NETWORK.set(Some(network));
        network
    }

    /// Does something with a connection.
    pub(crate) fn with<T>(&self, id: usize, body: impl FnOnce(&mut Connection) -> T) -> T {
        body(&mut self.connections.borrow_mut()[id])
    }

    /// Does something with a node.
    pub(crate) fn with_node<T>(&self, node: usize, body: impl FnOnce(&mut Node) -> T) -> T {
        body(&mut self.nodes.borrow_mut()[node])
    }

    /// Time on the way, this time.
    pub(crate) fn latency(&self) -> u64 {
        let weather = self.weather.get();
        let usual = kernel().between(weather.fastest, weather.slowest);
        match kernel().below(200) {
            0 => usual + kernel().between(MS, 40 * MS),
            1..5 => usual * 8,
            _ => usual,
        }
    }

    /// Begins to connect to `address`: who waits is told when the connection is open.
    pub(crate) fn connect(&'static self, address: SocketAddr) -> Receiver<io::Result<Socket>> {
        crate::sentinels::dialled();
        let (told, opened) = oneshot::channel();
        let there = self.nodes.borrow().iter().position(|node| node.address == address);
        let Some(node) = there else {
            let _ = told.send(Err(io::ErrorKind::ConnectionRefused.into()));
            return opened;
        };
        let (kernel, weather) = (kernel(), self.weather.get());
        if self.with_node(node, |node| node.is_out_of_reach()) || (weather.hangs > 0 && kernel.one_in(weather.hangs)) {
            note("connect-hangs", node as u64, 0);
            self.unheard.borrow_mut().push(told);
            return opened;
        }
        let refused = weather.refused > 0 && kernel.one_in(weather.refused);
        kernel.after(2 * self.latency(), move || {
            if told.is_closed() {
                return;
            }
            let up = network().with_node(node, |node| node.is_up());
            let opened = (up && !refused).then(|| network().open(node));
            // A socket that nobody takes any more is closed where it is dropped.
            let _ = told.send(
                opened
                    .map(Socket::of)
                    .ok_or_else(|| io::ErrorKind::ConnectionRefused.into()),
            );
        });
        opened
    }

    fn open(&self, node: usize) -> usize {
        let mut connections = self.connections.borrow_mut();
        let id = connections.len();
        let session = self.with_node(node, |node| node.session());
        let mut connection = Connection::new(id, node, self.weather.get().room, session);
        connection.draw_fault(self.weather.get());
        note("open", id as u64, node as u64);
        tell(|| format!("connection {id}: {:?}", connection.fault));
        connections.push(connection);
        id
    }

    /// The connections to a node that are open.
    pub(crate) fn of_node(&self, node: usize) -> Vec<usize> {
        let connections = self.connections.borrow();
        let open = connections
            .iter()
            .filter(|connection| connection.node == node && !connection.is_over());
        open.map(|connection| connection.id).collect()
    }

    /// Sockets that the library holds.
    pub(crate) fn held(&self) -> Vec<usize> {
        let connections = self.connections.borrow();
        let held = connections.iter().filter(|connection| connection.held);
        held.map(|connection| connection.id).collect()
    }

    /// The peer of a watched connection has hung up, or the connection was cut.
    pub(crate) fn hung_up(&self, token: u64) {
        self.gone.borrow_mut().push(token);
        if let Some(watcher) = self.watcher.borrow_mut().take() {
            watcher.wake();
        }
    }

    /// Takes at most 64 of those tokens.
    pub(crate) fn take_gone(&self) -> Vec<u64> {
        let mut gone = self.gone.borrow_mut();
        let most = gone.len().min(64);
        gone.drain(..most).collect()
    }

    /// Whether there are some; `waker` is told of the next ones.
    pub(crate) fn has_gone(&self, waker: &Waker) -> bool {
        self.watcher.replace(Some(waker.clone()));
        !self.gone.borrow().is_empty()
    }

    /// Has the node look at a connection.
    pub(crate) fn serve_later(&'static self, id: usize) {
        let due = self.with(id, |connection| !std::mem::replace(&mut connection.serving, true));
        if due {
            let service = self.weather.get().service;
            kernel().after(kernel().between(US, US + service), move || {
                network().with(id, |connection| connection.serving = false);
                crate::node::serve(id);
            });
        }
    }
}
