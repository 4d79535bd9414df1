//! A node's side of a connection.

use rustls::ServerConnection;

use super::commands::{self, Args, Said};
use super::request::{Parsed, parse};
use super::{Life, secure};
use crate::kernel::kernel;
use crate::kernel::trace::{note, tell};
use crate::ledger::ledger;
use crate::network::network;

/// Bytes of a request from which on a hasty node may answer before it has come.
const LARGE: usize = 2_000;

#[derive(Default)]
pub(crate) struct Session {
    tls: Option<Box<ServerConnection>>,
    /// What has come and is no whole command yet.
    input: Vec<u8>,
    /// What is still to be sent.
    out: Vec<u8>,
    pub(super) logged_in: bool,
    /// Pushes may stand between replies.
    pub(super) has_pushes: bool,
    /// The commands since MULTI, and whether one of them was refused.
    pub(super) multi: Option<Vec<Args>>,
    pub(super) spoilt: bool,
    /// The call that waits in the node.
    pub(super) waiting: Option<u64>,
    unblocked: bool,
    /// The request that is coming has its answer already.
    answered: bool,
    closed: bool,
}

impl Session {
    pub(super) fn new(tls: bool) -> Session {
        Session {
            tls: tls.then(secure::records),
            ..Session::default()
        }
    }

    /// The node hears and says nothing more on it.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.waiting = None;
    }

    /// Whether pushes may stand between replies.
    pub(crate) fn has_pushes(&self) -> bool {
        self.has_pushes
    }

    /// From now on they may.
    pub(crate) fn speaks_pushes(&mut self) {
        self.has_pushes = true;
    }

    /// Says something of its own accord.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.say(bytes);
        }
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether something is still to be sent.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Sends away who waits. True when somebody did.
    pub(super) fn unblock(&mut self) -> bool {
        self.unblocked = self.waiting.is_some();
        self.unblocked
    }

    /// Puts an answer behind the others.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => secure::seal(tls, bytes),
            None => self.out.extend_from_slice(bytes),
        }
    }

    /// Takes what has come. False when it is nothing that a client says.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(bytes);
            return true;
        };
        let plain = secure::open(tls, bytes);
        self.input.extend(plain.as_deref().unwrap_or_default());
        plain.is_some()
    }

    fn next(&mut self) -> Result<Option<Args>, ()> {
        match parse(&self.input) {
            Parsed::Whole(args, len) => {
                self.input.drain(..len);
                Ok(Some(args))
            }
            Parsed::Part => Ok(None),
            Parsed::Garbage => Err(()),
        }
    }

    /// Answers all that has come whole, but what stands behind a call that waits.
    fn work(&mut self, node: usize, connection: usize) {
        let unblocked = self.waiting.take_if(|_| std::mem::take(&mut self.unblocked));
        if let Some(id) = unblocked {
            ledger().refused(id);
            self.say(
                b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            );
        }
        while self.waiting.is_none() && !self.closed {
            let args = match self.next() {
                Ok(Some(args)) => args,
                Ok(None) => break,
                // The library wonders, at times, whether who hangs up speaks TLS.
                Err(()) if self.input.first() == Some(&22) => return self.close(),
                Err(()) => {
                    ledger().garbled(connection, &self.input);
                    return self.close();
                }
            };
            tell(|| format!("node {node}, connection {connection}: {}", shown(&args)));
            if std::mem::take(&mut self.answered) {
                commands::swallowed(&args);
                continue;
            }
            match commands::run(node, connection, self, args) {
                Said::Now(reply) => {
                    self.say(&reply);
                    self.chat(node);
                }
                Said::Later(id, after) => self.wait_for(id, connection, after),
            }
        }
        self.hurry(node);
    }

    fn wait_for(&mut self, id: u64, connection: usize, after: u64) {
        self.waiting = Some(id);
        kernel().after(after, move || {
            let network = network();
            let node = network.with(connection, |connection| connection.node);
            let runs = network.with_node(node, |node| node.life == Life::Up);
            let (waits, again) = network.with(connection, |connection| {
                let session = &mut connection.session;
                let waits = session.waiting == Some(id) && !session.unblocked && !session.closed;
                if waits && !runs {
                    session.wait_for(id, connection.id, 10_000_000);
                } else if waits {
                    session.waiting = None;
                }
                (waits, waits && !runs)
            });
            if !waits || again {
                return;
            }
            let reply = commands::blocked_ends(id, node, connection);
            network.with(connection, |connection| connection.session.say(&reply));
            network.serve_later(connection);
        });
    }

    /// A chatty node says more than it was asked for.
    fn chat(&mut self, node: usize) {
        let chatty = network().with_node(node, |node| node.chatty);
        if self.has_pushes && chatty > 0 && kernel().one_in(chatty) {
            let size = kernel().index(200);
            let noise = "$1\r\n".repeat(size.div_ceil(4));
            let push = format!(">2\r\n$5\r\nnoise\r\n${}\r\n{noise}\r\n", noise.len());
            self.say(push.as_bytes());
        }
    }

    /// A hasty node answers a large request before it has it.
    fn hurry(&mut self, node: usize) {
        let hasty = network().with_node(node, |node| node.hasty);
        let comes = self.input.len() > LARGE && self.logged_in && self.multi.is_none() && !self.answered;
        if comes && hasty > 0 && kernel().one_in(hasty) {
            note("hasty", node as u64, self.input.len() as u64);
            self.answered = true;
            self.say(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
        }
    }
}

/// The node looks at a connection.
pub(crate) fn serve(id: usize) {
    let network = network();
    let node = network.with(id, |connection| connection.node);
    if network.with_node(node, |node| node.life) != Life::Up {
        return;
    }
    let most = kernel().pick(&[64, 1_024, 16_384, 1 << 20]);
    let (mut session, bytes, ended) = network.with(id, |connection| {
        let full = connection.up.free() == 0;
        let bytes = connection.up.read(most);
        if full && connection.up.free() > 0 && !connection.is_over() {
            connection.tell_writes();
        }
        let ended = connection.up.fin == crate::network::Fin::Arrived && connection.up.ready.is_empty();
        (std::mem::take(&mut connection.session), bytes, ended)
    });
    if !session.closed {
        if !session.hear(&bytes) {
            note("not-tls", id as u64, 0);
            session.close();
        }
        session.work(node, id);
    }
    let (again, over) = network.with(id, |connection| {
        if let Some(tls) = &mut session.tls {
            secure::take(tls, &mut session.out);
        }
        let sent = connection.answer(&session.out);
        session.out.drain(..sent);
        connection.session = session;
        let over = (ended || connection.session.closed) && connection.session.out.is_empty();
        (!connection.up.ready.is_empty() && !connection.broken, over)
    });
    if over {
        network.with(id, |connection| {
            connection.session.close();
            connection.close_down();
        });
    } else if again {
        network.serve_later(id);
    }
}

/// A command as the story tells it.
fn shown(args: &[Vec<u8>]) -> String {
    let part = |arg: &Vec<u8>| match arg.len() {
        0..=24 => String::from_utf8_lossy(arg).into_owned(),
        len => format!("({len} bytes)"),
    };
    args.iter().map(part).collect::<Vec<_>>().join(" ")
}
