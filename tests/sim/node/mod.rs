//! A model of a server: it speaks the protocol, plays its part, and tells the ledger what it has executed.

mod commands;
mod request;
mod secure;
mod session;

use std::net::SocketAddr;

pub(crate) use request::Handed;
pub(crate) use session::{Session, serve};

use crate::kernel::kernel;
use crate::kernel::trace::note;
use crate::ledger::ledger;
use crate::network::{Connection, network};

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Up,
    /// Its process is stopped: the kernel takes connections and bytes for it.
    Frozen,
    /// Its process is gone: connections are refused.
    Down,
    /// Its machine is out of reach: nothing is heard of it.
    Away,
}

/// A node.
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) address: SocketAddr,
    pub(crate) is_primary: bool,
    pub(crate) life: Life,
    /// It serves nothing yet.
    pub(crate) loading: bool,
    pub(crate) speaks_tls: bool,
    /// It has no HELLO, or none for this user.
    pub(crate) is_old: bool,
    /// Passwords that it takes; none: it asks for none.
    pub(crate) passwords: Vec<String>,
    /// The newest rotation of passwords that it has heard of.
    pub(crate) rotation: u64,
    /// One large request in so many is answered before it has come; 0: none.
    pub(crate) hasty: u64,
    /// It was so before.
    pub(crate) was_hasty: bool,
    /// One reply in so many has a push behind it, where the protocol knows such; 0: none.
    pub(crate) chatty: u64,
    /// One command in so many is refused although nothing is wrong with it; 0: none.
    pub(crate) moody: u64,
}

impl Node {
    pub(crate) fn is_up(&self) -> bool {
        self.life != Life::Down
    }

    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.life == Life::Away
    }

    /// What a new connection to it begins with.
    pub(crate) fn session(&self) -> Session {
        Session::new(self.speaks_tls)
    }
}

/// Changes what a node is.
pub(crate) fn live(number: usize, life: Life) {
    let network = network();
    let before = network.with_node(number, |node| std::mem::replace(&mut node.life, life));
    if before == life {
        return;
    }
    note("life", number as u64, life as u64);
    let away = |life: Life| life == Life::Away;
    for id in network.of_node(number) {
        if away(before) != away(life) {
            network.with(id, |connection| {
                connection.silence(crate::network::Side::Up, away(life));
                connection.silence(crate::network::Side::Down, away(life));
            });
        }
        match life {
            Life::Down => network.with(id, Connection::break_off),
            Life::Up => network.serve_later(id),
            Life::Frozen | Life::Away => {}
        }
    }
}

/// Makes it a primary or a replica. Who waits in it is sent away.
pub(crate) fn play(number: usize, is_primary: bool) {
    let network = network();
    let before = network.with_node(number, |node| std::mem::replace(&mut node.is_primary, is_primary));
    if before == is_primary {
        return;
    }
    note("role", number as u64, u64::from(is_primary));
    if !is_primary {
        ledger().demoted(number);
    }
    for id in network.of_node(number) {
        if !is_primary && network.with(id, |connection| connection.session.unblock()) {
            network.serve_later(id);
        } else if kernel().one_in(2) && !is_primary {
            // Servers that are demoted drop their clients, at times.
            network.with(id, Connection::close_down);
            network.with(id, |connection| connection.session.close());
        }
    }
}
