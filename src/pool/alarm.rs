//! Ends the waits of direct calls at their deadlines.
//!
//! A timer in the kernel for each wait would be more than a hundredth of a call. So a caller whose deadline is far waits
//! without one, and sentinel-io, which looks at all of them a few times a second, shuts the connection down under it
//! when its time has come: a connection on which a reply is overdue is of no use to another call anyway. It does so
//! earlier where the node answers its sentry and the connection says nothing.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::generation::ConnectionId;
use super::sentry::Sentries;
use super::silence::Patience;
use crate::base::clock::Moment;
use crate::net::{Endpoint, Socket};

/// How often sentinel-io looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Deadlines nearer than this are the caller's own affair: sentinel-io might look too late.
pub(super) const FAR: Duration = LOOK_EVERY.saturating_mul(2);

/// No call waits.
const NONE: u64 = 0;
/// The call's time has come, and its connection was shut down. The clock has never stood there, nor at the next.
const RUNG: u64 = 1;
/// Its connection was silent, and was shut down for that.
const SILENCED: u64 = 2;

/// Whether an alarm rang, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rang {
    /// It did not.
    Not,
    /// The call's time had come.
    Due,
    /// The connection said nothing, and its node answered elsewhere.
    Silent,
}

/// The alarm of one connection.
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
    /// How long the connection may be silent from now on.
    pub(super) fn be(&self, patience: Patience) {
        self.patience.store(patience as u8, Ordering::Relaxed);
    }

    /// Has the connection shut down at `at`; the call begins `now`.
    pub(super) fn set(&self, at: Moment, now: Moment) {
        self.since.store(now.number(), Ordering::Relaxed);
        self.due.store(at.number().max(SILENCED + 1), Ordering::Release);
    }

    /// Something came or went.
    pub(super) fn goes_on(&self, now: Moment) {
        self.since.store(now.number(), Ordering::Release);
    }

    /// Takes that back: whether it was too late.
    pub(super) fn unset(&self) -> Rang {
        match self.due.swap(NONE, Ordering::AcqRel) {
            RUNG => Rang::Due,
            SILENCED => Rang::Silent,
            _ => Rang::Not,
        }
    }

    /// Rings when it is due; otherwise when it will be. `answered`: when its node last answered elsewhere.
    fn look(&self, now: Moment, answered: impl FnOnce(&Endpoint) -> Option<Moment>) -> Option<Moment> {
        let due = self.due.load(Ordering::Acquire);
        if matches!(due, NONE | RUNG | SILENCED) {
            return None;
        }
        let since = self.since.load(Ordering::Acquire);
        let word = match due <= now.number() {
            true => RUNG,
            false if self.is_silent(Moment::of(since), now, answered) => SILENCED,
            false => return Some(Moment::of(due)),
        };
        // The caller may have its reply meanwhile, and the connection may carry another call.
        let exchange = |from, to| self.due.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        if exchange(due, word).is_err() {
            return None;
        }
        // Another call may be due at the same moment, that is never, and have begun in between.
        if word == SILENCED && self.since.load(Ordering::Acquire) != since && exchange(word, due).is_ok() {
            return Some(Moment::of(due));
        }
        self.socket.cut();
        None
    }

    fn is_silent(&self, since: Moment, now: Moment, answered: impl FnOnce(&Endpoint) -> Option<Moment>) -> bool {
        let patience = match self.patience.load(Ordering::Relaxed) {
            usual if usual == Patience::Usual as u8 => Patience::Usual,
            long if long == Patience::Long as u8 => Patience::Long,
            _ => return false,
        };
        let long = patience.limit().is_some_and(|limit| now.is_beyond(since, limit));
        long && patience.is_over(since, now, answered(&self.endpoint))
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
    pub(super) fn add(&self, id: ConnectionId, socket: &Arc<Socket>, endpoint: &Endpoint) -> Arc<Alarm> {
        let alarm = Arc::new(Alarm {
            due: AtomicU64::new(NONE),
            since: AtomicU64::new(NONE),
            patience: AtomicU8::new(Patience::Usual as u8),
            socket: Arc::clone(socket),
            endpoint: endpoint.clone(),
        });
        self.all.lock().insert(id, Arc::clone(&alarm));
        self.added.notify_one();
        alarm
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        self.all.lock().remove(&id);
    }

    /// Rings them, for ever. Runs on sentinel-io. `sentries`: those whom the nodes answer.
    pub async fn run(self: Arc<Self>, sentries: Rc<Sentries>) {
        loop {
            if self.all.lock().is_empty() {
                self.added.notified().await;
            }
            let now = Moment::now();
            let next = self.look(now, |endpoint| sentries.last_pong(endpoint));
            sleep(next.since(now)).await;
        }
    }

    /// Rings those that are due. When to look again.
    fn look(&self, now: Moment, answered: impl Fn(&Endpoint) -> Option<Moment>) -> Moment {
        let all = self.all.lock();
        let next = all.values().filter_map(|alarm| alarm.look(now, &answered)).min();
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

    fn silent(_: &Endpoint) -> Option<Moment> {
        None
    }

    #[test]
    fn a_silent_connection_is_given_up_when_its_node_answers_elsewhere() {
        let (near, _far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        alarm.set(Moment::NEVER, now);
        alarms.look(now.plus_ms(60_000), silent);
        alarms.look(now.plus_ms(1_500), |_| Some(now.plus_ms(900)));
        alarms.look(now.plus_ms(60_000), |_| Some(now));
        alarm.be(Patience::Endless);
        alarms.look(now.plus_ms(60_000), |_| Some(now.plus_ms(900)));
        alarm.be(Patience::Long);
        alarms.look(now.plus_ms(10_000), |_| Some(now.plus_ms(900)));
        alarm.be(Patience::Usual);
        alarm.goes_on(now.plus_ms(1_000));
        alarms.look(now.plus_ms(2_400), |_| Some(now.plus_ms(1_200)));
        assert_eq!(alarm.unset(), Rang::Not);
        alarm.set(Moment::NEVER, now);
        alarms.look(now.plus_ms(1_501), |_| Some(now.plus_ms(900)));
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 0);
        assert_eq!(alarm.unset(), Rang::Silent);
    }

    #[test]
    fn a_wait_ends_when_its_time_has_come_and_not_before() {
        let (near, _far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        assert_eq!(alarms.look(now, silent), now.plus(LOOK_EVERY));
        let at = now.plus_ms(100);
        alarm.set(at, now);
        let next = alarms.look(now, silent);
        assert_eq!(next, at);
        alarms.look(next, silent);
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 0);
        assert_eq!(alarm.unset(), Rang::Due);
        assert_eq!(alarm.unset(), Rang::Not);
    }

    #[test]
    fn a_call_that_is_over_costs_its_connection_nothing() {
        let (near, mut far) = pair();
        let alarms = Alarms::default();
        let alarm = alarms.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        alarm.set(now, now);
        assert_eq!(alarm.unset(), Rang::Not);
        alarms.look(now.plus_ms(1_000), silent);
        alarm.set(now.plus_ms(60_000), now);
        alarms.look(now.plus_ms(2_000), silent);
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 1);
        alarms.remove(1);
        assert_eq!(alarms.look(now, silent), now.plus(LOOK_EVERY));
    }
}
