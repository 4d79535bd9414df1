//! A connection: two pipes, what the library waits for on it, what the node makes of it, and its fate.

use std::io;
use std::task::{Context, Poll, Waker};

use super::pipe::Fin;
use super::{Pipe, Weather, network};
use crate::kernel::kernel;
use crate::kernel::trace::note;
use crate::node::{Handed, Session};

const MS: u64 = 1_000_000;

/// What befalls a connection by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Broken once so many bytes have reached the node.
    CutUp(u64),
    /// Broken once so many bytes have reached the library.
    CutDown(u64),
    /// From so many bytes on nothing more reaches the node, and nobody is told.
    SilentUp(u64),
    /// The same for the library.
    SilentDown(u64),
}

/// A direction: to the node, or to the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Up,
    Down,
}

/// Whether a task may look, and who is told. As with epoll's edges: it stays false until something new comes.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    is: bool,
    tick: u64,
    wakers: Vec<Waker>,
}

impl Readiness {
    fn raise(&mut self) -> Vec<Waker> {
        self.is = true;
        self.tick += 1;
        std::mem::take(&mut self.wakers)
    }

    /// Ready with the number of the edge; otherwise the task is told.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<u64> {
        if self.is {
            return Poll::Ready(self.tick);
        }
        if !self.wakers.iter().any(|known| known.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What was known at that edge is over.
    pub(crate) fn clear(&mut self, tick: u64) {
        self.is &= self.tick != tick;
    }
}

pub(crate) struct Connection {
    pub(crate) id: usize,
    pub(crate) node: usize,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// The library has it open.
    pub(crate) held: bool,
    /// The library has shut it down.
    pub(crate) cut: bool,
    /// It was broken from outside.
    pub(crate) broken: bool,
    pub(crate) reads: Readiness,
    pub(crate) writes: Readiness,
    pub(crate) token: Option<u64>,
    pub(crate) session: Session,
    /// The commands that the library has handed over.
    handed: Handed,
    /// The node will look at it.
    pub(crate) serving: bool,
    pub(crate) fault: Fault,
}

/// What a thread waits for on a connection.
pub(crate) const READ: u32 = 1;
pub(crate) const WRITE: u32 = 2;

impl Connection {
    pub(super) fn new(id: usize, node: usize, room: usize, session: Session) -> Connection {
        let mut connection = Connection {
            id,
            node,
            up: Pipe::new(room),
            down: Pipe::new(room),
            held: true,
            cut: false,
            broken: false,
            reads: Readiness::default(),
            writes: Readiness::default(),
            token: None,
            session,
            handed: Handed::default(),
            serving: false,
            fault: Fault::None,
        };
        connection.writes.is = true;
        connection
    }

    pub(super) fn draw_fault(&mut self, weather: Weather) {
        let kernel = kernel();
        if weather.faulty == 0 || !kernel.one_in(weather.faulty) {
            return;
        }
        // Of the greeting, or of what follows.
        let most = kernel.pick(&[60, 600, 6_000, 60_000]);
        let at = kernel.below(most);
        let faults = [
            Fault::CutUp(at),
            Fault::CutDown(at),
            Fault::SilentUp(at),
            Fault::SilentDown(at),
        ];
        self.fault = kernel.pick(&faults);
    }

    /// What those who wait on it wait on.
    pub(crate) fn key(&self) -> usize {
        (1 << 62) | self.id
    }

    /// Nothing more will come of it.
    pub(crate) fn is_over(&self) -> bool {
        self.broken || self.cut || !self.held
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.down.ready.is_empty() || self.is_read_closed()
    }

    /// Nothing comes any more: for ever, whatever is left to be read.
    fn is_read_closed(&self) -> bool {
        self.down.fin == Fin::Arrived || self.cut || self.broken
    }

    /// There is nothing more to read; the word that the connection is closed stays, as it does in tokio.
    pub(crate) fn clear_reads(&mut self, edge: u64) {
        if !self.is_read_closed() {
            self.reads.clear(edge);
        }
    }

    /// There is no room; the same.
    pub(crate) fn clear_writes(&mut self, edge: u64) {
        if !self.cut && !self.broken {
            self.writes.clear(edge);
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.up.free() > 0 || self.cut || self.broken
    }

    /// There is something to read.
    pub(crate) fn tell_reads(&mut self) {
        self.reads.raise().into_iter().for_each(Waker::wake);
        kernel().wake(self.key(), READ, usize::MAX);
    }

    /// There is room.
    pub(crate) fn tell_writes(&mut self) {
        self.writes.raise().into_iter().for_each(Waker::wake);
        kernel().wake(self.key(), WRITE, usize::MAX);
    }

    fn tell_hung_up(&mut self) {
        if let Some(token) = self.token.take() {
            network().hung_up(token);
        }
    }

    /// Takes what there is room for. A kernel that takes less than it is given takes nothing more for a moment.
    pub(crate) fn send(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let given: usize = parts.iter().map(|part| part.len()).sum();
        let mut takes = given.min(self.up.free());
        let short = network().weather.get().short;
        if takes > 1 && short > 0 && kernel().one_in(short) {
            takes = 1 + kernel().index(takes - 1);
            self.stuff();
        }
        note("send", self.id as u64, takes as u64);
        if takes == 0 && given > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = Vec::with_capacity(takes);
        for part in parts {
            let left = takes - bytes.len();
            bytes.extend_from_slice(&part[..left.min(part.len())]);
        }
        self.up.flight.extend(&bytes);
        if !self.session.is_sealed() {
            self.handed.take(self.node, &bytes);
        }
        let (id, pieces) = (self.id, self.up.depart(takes));
        for (at, size) in pieces {
            kernel().at(at, move || arrive(id, Side::Up, size));
        }
        Ok(takes)
    }

    fn stuff(&mut self) {
        self.up.stuffed = true;
        let id = self.id;
        kernel().after(kernel().between(1_000, MS), move || {
            network().with(id, |connection| {
                connection.up.stuffed = false;
                connection.tell_writes();
            });
        });
    }

    /// Gives what has come.
    pub(crate) fn receive(&mut self, room: &mut [u8], takes: bool) -> io::Result<usize> {
        if !self.down.ready.is_empty() {
            let count = room.len().min(self.down.ready.len());
            let (first, second) = self.down.ready.as_slices();
            let split = first.len().min(count);
            room[..split].copy_from_slice(&first[..split]);
            room[split..count].copy_from_slice(&second[..count - split]);
            if takes {
                self.down.ready.drain(..count);
                note("receive", self.id as u64, count as u64);
            }
            return Ok(count);
        }
        if self.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.cut || self.down.fin == Fin::Arrived {
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The node sends what there is room for; how much that is.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> usize {
        let takes = bytes.len().min(self.down.free());
        self.down.flight.extend(&bytes[..takes]);
        let (id, pieces) = (self.id, self.down.depart(takes));
        for (at, size) in pieces {
            kernel().at(at, move || arrive(id, Side::Down, size));
        }
        takes
    }

    /// The node closes it, once all that was sent has arrived.
    pub(crate) fn close_down(&mut self) {
        if self.down.fin == Fin::None {
            self.down.fin = Fin::Sent;
            let (id, at) = (self.id, self.down.next_arrival());
            kernel().at(at, move || ended(id, Side::Down));
        }
    }

    /// The library sends nothing more.
    pub(crate) fn finish(&mut self) {
        if self.up.fin == Fin::None {
            self.up.fin = Fin::Sent;
            let (id, at) = (self.id, self.up.next_arrival());
            kernel().at(at, move || ended(id, Side::Up));
        }
    }

    /// Whether its peer has hung up, or it was cut.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.down.fin == Fin::Arrived || self.cut || self.broken
    }

    /// The library shuts it down, both ways; `drops`: what is on its way may be lost.
    pub(crate) fn shut(&mut self, drops: bool) {
        if self.cut {
            return;
        }
        note("cut", self.id as u64, u64::from(drops));
        self.cut = true;
        if drops && !self.up.flight.is_empty() {
            let keeps = kernel().index(self.up.flight.len() + 1);
            self.up.flight.truncate(keeps);
        }
        self.finish();
        self.tell_reads();
        self.tell_writes();
        self.tell_hung_up();
    }

    /// It breaks: whoever uses it is told, and what is on its way is lost.
    pub(crate) fn break_off(&mut self) {
        if self.broken {
            return;
        }
        note("broken", self.id as u64, 0);
        self.broken = true;
        self.up.flight.clear();
        self.down.flight.clear();
        self.session.close();
        self.tell_reads();
        self.tell_writes();
        self.tell_hung_up();
    }

    fn pipe(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Up => &mut self.up,
            Side::Down => &mut self.down,
        }
    }

    /// From now on nothing passes that way, or it passes again with all that was held back.
    pub(crate) fn silence(&mut self, side: Side, silent: bool) {
        let pipe = self.pipe(side);
        pipe.silent = silent;
        if silent {
            return;
        }
        let (held, ends) = (std::mem::take(&mut pipe.held), pipe.fin == Fin::Sent);
        let id = self.id;
        if held > 0 {
            kernel().after(0, move || arrive(id, side, held));
        }
        if ends {
            kernel().after(0, move || ended(id, side));
        }
    }
}

/// Bytes come to their end of a connection.
fn arrive(id: usize, side: Side, bytes: usize) {
    let network = network();
    network.with(id, |connection| {
        let (arrived, bytes) = (connection.pipe(side).arrived, bytes as u64);
        let past = |at: u64| arrived + bytes > at;
        let before = |at: u64| usize::try_from(at.saturating_sub(arrived)).unwrap_or(0);
        let mut passes = bytes as usize;
        let (mut breaks, mut silences) = (false, false);
        match (connection.fault, side) {
            (Fault::CutUp(at), Side::Up) | (Fault::CutDown(at), Side::Down) if past(at) => {
                (passes, breaks) = (before(at), true);
            }
            (Fault::SilentUp(at), Side::Up) | (Fault::SilentDown(at), Side::Down) if past(at) => {
                (passes, silences) = (before(at), true);
            }
            _ => {}
        }
        let news = connection.pipe(side).arrive(passes);
        if silences {
            note("silent", id as u64, side as u64);
            connection.fault = Fault::None;
            connection.silence(side, true);
            connection.pipe(side).held += bytes as usize - passes;
        }
        if news && side == Side::Down {
            connection.tell_reads();
        }
        if breaks && !connection.broken {
            connection.fault = Fault::None;
            connection.pipe(side).silent = true;
            // What has come to the node by then is still looked at.
            kernel().after(kernel().between(0, MS), move || network.with(id, Connection::break_off));
        }
    });
    if side == Side::Up {
        network.serve_later(id);
    }
}

/// The end of the stream comes to its end of a connection.
fn ended(id: usize, side: Side) {
    let network = network();
    network.with(id, |connection| {
        let pipe = connection.pipe(side);
        if pipe.silent {
            return;
        }
        pipe.fin = Fin::Arrived;
        if side == Side::Down {
            connection.tell_reads();
            connection.tell_hung_up();
        }
    });
    if side == Side::Up {
        network.serve_later(id);
    }
}
