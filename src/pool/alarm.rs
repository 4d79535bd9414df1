//! Ends the waits of direct calls at their deadlines.
//!
//! A timer in the kernel for each wait would be more than a hundredth of a call. So a caller whose deadline is far waits
//! without one, and sentinel-io, which looks at all of them a few times a second, shuts the connection down under it
//! when its time has come: a connection on which a reply is overdue is of no use to another call anyway.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::generation::ConnectionId;

/// How often sentinel-io looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Deadlines nearer than this are the caller's own affair: sentinel-io might look too late.
pub(super) const FAR: Duration = LOOK_EVERY.saturating_mul(2);

/// No call waits.
const NONE: u64 = 0;
/// The call's time has come, and its connection was shut down.
const RUNG: u64 = u64::MAX;

/// The alarm of one connection.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Microseconds on the clock of its [`Alarms`], or one of the two above.
    due: AtomicU64,
    base: Instant,
    socket: Arc<TcpStream>,
}

impl Alarm {
    /// Has the connection shut down at `at`.
    pub(super) fn set(&self, at: Instant) {
        self.due.store(self.read(at), Ordering::Release);
    }

    /// Takes that back. True when it was too late.
    pub(super) fn unset(&self) -> bool {
        self.due.swap(NONE, Ordering::AcqRel) == RUNG
    }

    fn read(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.base);
        let micros = since.as_secs().saturating_mul(1_000_000);
        // Rounded up: never early.
        let micros = micros.saturating_add(u64::from(since.subsec_micros()) + 1);
        micros.min(RUNG - 1)
    }

    /// Rings when it is due; otherwise when it will be.
    fn look(&self, now: Instant) -> Option<Instant> {
        let due = self.due.load(Ordering::Acquire);
        if due == NONE || due == RUNG {
            return None;
        }
        let at = self.base.checked_add(Duration::from_micros(due))?;
        if at > now {
            return Some(at);
        }
        // The caller may have its reply meanwhile, and the connection may carry another call.
        let rings = self
            .due
            .compare_exchange(due, RUNG, Ordering::AcqRel, Ordering::Relaxed);
        if rings.is_ok() {
            let _ = self.socket.shutdown(Shutdown::Both);
        }
        None
    }
}

/// The alarms of a deployment's direct connections.
#[derive(Debug)]
pub struct Alarms {
    base: Instant,
    all: Mutex<HashMap<ConnectionId, Arc<Alarm>>>,
    /// There is one: where there is none nobody looks.
    added: Notify,
}

impl Default for Alarms {
    /// None yet.
    fn default() -> Alarms {
        Alarms {
            base: Instant::now(),
            all: Mutex::default(),
            added: Notify::new(),
        }
    }
}

impl Alarms {
    /// An alarm for a connection, until it is removed.
    pub(super) fn add(&self, id: ConnectionId, socket: &Arc<TcpStream>) -> Arc<Alarm> {
        let alarm = Arc::new(Alarm {
            due: AtomicU64::new(NONE),
            base: self.base,
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
            let next = self.look(Instant::now());
            sleep_until(next.into()).await;
        }
    }

    /// Rings those that are due. When to look again.
    fn look(&self, now: Instant) -> Instant {
        let all = self.all.lock();
        let next = all.values().filter_map(|alarm| alarm.look(now)).min();
        let latest = now + LOOK_EVERY;
        next.map_or(latest, |next| next.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(near), listener.accept().unwrap().0)
    }

    #[test]
    fn a_wait_ends_when_its_time_has_come_and_not_before() {
        let (near, _far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near);
        let now = Instant::now();
        assert_eq!(alarms.look(now), now + LOOK_EVERY);
        let at = now + Duration::from_millis(100);
        alarm.set(at);
        let next = alarms.look(now);
        assert!(next >= at && next <= at + Duration::from_micros(2), "{:?}", next - at);
        alarms.look(next);
        assert_eq!((&*near).read(&mut [0]).unwrap(), 0);
        assert!(alarm.unset());
        assert!(!alarm.unset());
    }

    #[test]
    fn a_call_that_is_over_costs_its_connection_nothing() {
        let (near, mut far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near);
        let now = Instant::now();
        alarm.set(now);
        assert!(!alarm.unset());
        alarms.look(now + Duration::from_secs(1));
        alarm.set(now + Duration::from_secs(60));
        alarms.look(now + Duration::from_secs(2));
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert_eq!((&*near).read(&mut [0]).unwrap(), 1);
        alarms.remove(1);
        assert_eq!(alarms.look(now), now + LOOK_EVERY);
    }
}
