//! Ends the waits of direct calls at their deadlines.
//!
//! A timer in the kernel for each wait would be more than a hundredth of a call. So a caller whose deadline is far waits
//! without one, and sentinel-io, which looks at all of them a few times a second, shuts the connection down under it
//! when its time has come: a connection on which a reply is overdue is of no use to another call anyway.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::generation::ConnectionId;
use crate::net::Socket;
use crate::net::clock::Moment;

/// How often sentinel-io looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Deadlines nearer than this are the caller's own affair: sentinel-io might look too late.
pub(super) const FAR: Duration = LOOK_EVERY.saturating_mul(2);

/// No call waits.
const NONE: u64 = 0;
/// The call's time has come, and its connection was shut down. The clock has never stood there.
const RUNG: u64 = 1;

/// The alarm of one connection.
#[derive(Debug)]
pub(super) struct Alarm {
    /// The number of the moment, or one of the two above.
    due: AtomicU64,
    socket: Arc<Socket>,
}

impl Alarm {
    /// Has the connection shut down at `at`.
    pub(super) fn set(&self, at: Moment) {
        self.due.store(at.number().max(RUNG + 1), Ordering::Release);
    }

    /// Takes that back. True when it was too late.
    pub(super) fn unset(&self) -> bool {
        self.due.swap(NONE, Ordering::AcqRel) == RUNG
    }

    /// Rings when it is due; otherwise when it will be.
    fn look(&self, now: Moment) -> Option<Moment> {
        let due = self.due.load(Ordering::Acquire);
        if due == NONE || due == RUNG {
            return None;
        }
        if due > now.number() {
            return Some(Moment::of(due));
        }
        // The caller may have its reply meanwhile, and the connection may carry another call.
        let rings = self
            .due
            .compare_exchange(due, RUNG, Ordering::AcqRel, Ordering::Relaxed);
        if rings.is_ok() {
            self.socket.cut();
        }
        None
    }
}

/// The alarms of a deployment's direct connections.
#[derive(Debug, Default)]
pub struct Alarms {
    all: Mutex<HashMap<ConnectionId, Arc<Alarm>>>,
    /// There is one: where there is none nobody looks.
    added: Notify,
}

impl Alarms {
    /// An alarm for a connection, until it is removed.
    pub(super) fn add(&self, id: ConnectionId, socket: &Arc<Socket>) -> Arc<Alarm> {
        let alarm = Arc::new(Alarm {
            due: AtomicU64::new(NONE),
            socket: Arc::clone(socket),
        });
        self.all.lock().insert(id, Arc::clone(&alarm));
        self.added.notify_one();
        alarm
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        self.all.lock().remove(&id);
    }

    /// Rings them, for ever. Runs on sentinel-io.
    pub async fn run(self: Arc<Self>) {
        loop {
            if self.all.lock().is_empty() {
                self.added.notified().await;
            }
            let now = Moment::now();
            sleep(self.look(now).since(now)).await;
        }
    }

    /// Rings those that are due. When to look again.
    fn look(&self, now: Moment) -> Moment {
        let all = self.all.lock();
        let next = all.values().filter_map(|alarm| alarm.look(now)).min();
        let latest = now.plus(LOOK_EVERY);
        next.map_or(latest, |next| next.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn pair() -> (Arc<Socket>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(Socket::new(near).unwrap()), listener.accept().unwrap().0)
    }

    #[test]
    fn a_wait_ends_when_its_time_has_come_and_not_before() {
        let (near, _far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near);
        let now = Moment::now();
        assert_eq!(alarms.look(now), now.plus(LOOK_EVERY));
        let at = now.plus_ms(100);
        alarm.set(at);
        let next = alarms.look(now);
        assert_eq!(next, at);
        alarms.look(next);
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 0);
        assert!(alarm.unset());
        assert!(!alarm.unset());
    }

    #[test]
    fn a_call_that_is_over_costs_its_connection_nothing() {
        let (near, mut far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near);
        let now = Moment::now();
        alarm.set(now);
        assert!(!alarm.unset());
        alarms.look(now.plus_ms(1_000));
        alarm.set(now.plus_ms(60_000));
        alarms.look(now.plus_ms(2_000));
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 1);
        alarms.remove(1);
        assert_eq!(alarms.look(now), now.plus(LOOK_EVERY));
    }
}
