//! What keeps watch over a direct connection while it is there, whoever has it.

use std::sync::Arc;

use super::alarm::Alarm;
use super::common::Common;
use super::generation::{ConnectionId, Generation, next_id};
use super::hangup::HangupWatch;
use super::watchdog::Watchdog;
use crate::net::Socket;

/// All of them; they leave when it is dropped.
#[derive(Debug)]
pub(super) struct Watchers {
    pub(super) id: ConnectionId,
    pub(super) generation: Arc<Generation>,
    pub(super) alarm: Arc<Alarm>,
    watchdog: Arc<Watchdog>,
    hangups: Arc<HangupWatch>,
}

impl Watchers {
    /// Those of a new connection; and whether its generation is still one that calls go to.
    pub(super) fn post(generation: Arc<Generation>, socket: &Arc<Socket>, common: &Common) -> (Watchers, bool) {
        let id = next_id();
        let live = generation.enter(id, socket);
        let watchdog = Arc::clone(&common.watchdog);
        let watchers = Watchers {
            id,
            alarm: watchdog.add(id, socket, &generation.endpoint),
            generation,
            watchdog,
            hangups: Arc::clone(&common.hangups),
        };
        (watchers, live)
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.hangups.remove(self.id);
        self.watchdog.remove(self.id);
        self.generation.leave(self.id);
    }
}

/// Ends a connection under whoever has it, because its user wants that: it says nothing about the node.
#[derive(Debug)]
pub struct Breaker {
    id: ConnectionId,
    socket: Arc<Socket>,
    hangups: Arc<HangupWatch>,
}

impl Breaker {
    pub(super) fn of(watchers: &Watchers, socket: &Arc<Socket>) -> Breaker {
        Breaker {
            id: watchers.id,
            socket: Arc::clone(socket),
            hangups: Arc::clone(&watchers.hangups),
        }
    }

    /// Ends it. What the kernel has not delivered is dropped.
    pub fn cut(&self) {
        self.hangups.remove(self.id);
        self.socket.abort();
    }
}
