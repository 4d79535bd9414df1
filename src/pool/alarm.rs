//! What ends the wait of a thread on a connection of its own: set by the thread, rung by the watchdog.

use std::sync::Arc;

use super::silence::Patience;
use crate::base::clock::Moment;
use crate::base::sync::{AtomicU8, AtomicU64, Ordering};
use crate::net::{Endpoint, Socket};

/// No call waits.
const NONE: u64 = 0;
/// It rang: the connection was shut down under the call. The clock has never stood there.
const RUNG: u64 = 1;

/// The alarm of one connection, a thread's own.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The number of the moment, or one of those above.
    due: AtomicU64,
    /// Since when nothing has come or gone.
    since: AtomicU64,
    patience: AtomicU8,
    socket: Arc<Socket>,
    endpoint: Endpoint,
}

impl Alarm {
    /// It is set for nothing yet.
    pub(super) fn new(socket: &Arc<Socket>, endpoint: &Endpoint) -> Alarm {
        Alarm {
            due: AtomicU64::new(NONE),
            since: AtomicU64::new(NONE),
            patience: AtomicU8::new(Patience::Usual as u8),
            socket: Arc::clone(socket),
            endpoint: endpoint.clone(),
        }
    }

    /// How long the connection may be silent from now on.
    pub(super) fn be(&self, patience: Patience) {
        self.patience.store(patience as u8, Ordering::Relaxed);
    }

    /// Has the connection shut down at `at`; the call begins `now`.
    pub(super) fn set(&self, at: Moment, now: Moment) {
        self.since.store(now.number(), Ordering::Relaxed);
        self.due.store(at.number().max(RUNG + 1), Ordering::Release);
    }

    /// Something came or went.
    pub(super) fn goes_on(&self, now: Moment) {
        self.since.store(now.number(), Ordering::Relaxed);
    }

    /// Takes that back: whether it was too late. When that is before the time has come, the connection was silent.
    pub(super) fn unset(&self) -> bool {
        self.due.swap(NONE, Ordering::Relaxed) == RUNG
    }

    /// Rings when it is due; otherwise when it will be. `answered`: when its node last answered elsewhere.
    pub(super) fn look(&self, now: Moment, answered: impl FnOnce(&Endpoint) -> Option<Moment>) -> Option<Moment> {
        let due = self.due.load(Ordering::Relaxed);
        if matches!(due, NONE | RUNG) {
            return None;
        }
        // Perhaps not those of the call that is due then: looked at once more below.
        let terms = || {
            (
                self.since.load(Ordering::Relaxed),
                self.patience.load(Ordering::Relaxed),
            )
        };
        let (since, patience) = terms();
        let is_due = due <= now.number();
        if !is_due && !Patience::of(patience).is_over(Moment::of(since), now, || answered(&self.endpoint)) {
            return Some(Moment::of(due));
        }
        // The caller may have its reply meanwhile, and the connection may carry another call.
        let exchange = |from, to| {
            self.due
                .compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed)
        };
        if exchange(due, RUNG).is_err() {
            return None;
        }
        // Another call may be due at the same moment, that is never, and have begun in between. Its terms are seen by now.
        if !is_due && terms() != (since, patience) && exchange(RUNG, due).is_ok() {
            return Some(Moment::of(due));
        }
        self.socket.cut();
        None
    }
}
