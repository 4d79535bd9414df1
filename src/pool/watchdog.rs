//! Sees to the end of waits whose deadlines are far, and to connections that say nothing.
//!
//! A timer in the kernel for each wait would be more than a hundredth of a call, on a lane an eighth. So a thread whose
//! deadline is far waits for its reply without one, and sentinel-io looks at each connection with such a wait a few times
//! a second:
//!
//! - One that is the thread's own it shuts down when the time has come: a connection on which a reply is overdue is of no
//!   use to another call anyway. It does so earlier where the node answers its sentry and the connection says nothing.
//! - A lane's driver is woken. It has all who wait there look at the time, who go on with timers of their own, and looks
//!   at the lane's silence.
//!
//! Threads that wait for anything else have a timer from the beginning: for a connection, a place, a completion, and where
//! the deadline is near. Calls that no thread waits for stand in `completion::agenda`, near or far, and sentinel-io's own
//! timer is set by the first of them.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::base::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::alarm::Alarm;
use super::generation::ConnectionId;
use super::sentry::Sentries;
use crate::base::clock::Moment;
use crate::base::deadline::LOOK_EVERY;
use crate::net::{Endpoint, Socket};

/// Looks after the connections of a deployment.
#[derive(Debug, Default)]
pub struct Watchdog {
    alarms: Mutex<HashMap<ConnectionId, Arc<Alarm>>>,
    /// Of the lanes on which somebody waits.
    drivers: Mutex<Vec<Waker>>,
    /// How often those were woken.
    round: AtomicU64,
    /// There is one of either: where there is none nobody looks.
    added: Notify,
}

impl Watchdog {
    /// An alarm for a connection, until it is removed.
    pub(super) fn add(&self, id: ConnectionId, socket: &Arc<Socket>, endpoint: &Endpoint) -> Arc<Alarm> {
        let alarm = Arc::new(Alarm::new(socket, endpoint));
        self.alarms.lock().insert(id, Arc::clone(&alarm));
        self.added.notify_one();
        alarm
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        self.alarms.lock().remove(&id);
    }

    /// Wakes a driver in the next round. The number of this one.
    pub(super) fn wake(&self, driver: &Waker) -> u64 {
        self.drivers.lock().push(driver.clone());
        self.added.notify_one();
        self.round()
    }

    pub(super) fn round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    /// Looks, for ever. Runs on sentinel-io. `sentries`: those whom the nodes answer.
    pub async fn run(self: Arc<Self>, sentries: Rc<Sentries>) {
        let mut round = Moment::now();
        loop {
            if self.alarms.lock().is_empty() && self.drivers.lock().is_empty() {
                self.added.notified().await;
            }
            let now = Moment::now();
            if round <= now {
                self.go_round();
                round = now.plus(LOOK_EVERY);
            }
            let next = self.look(now, |endpoint| sentries.doubt(endpoint));
            sleep(next.min(round).since(now)).await;
        }
    }

    /// Wakes the drivers.
    fn go_round(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
        let mut drivers = self.drivers.lock();
        while let Some(driver) = drivers.pop() {
            driver.wake();
        }
    }

    /// Rings the alarms that are due. When the next one is.
    fn look(&self, now: Moment, answered: impl Fn(&Endpoint) -> Option<Moment>) -> Moment {
        let alarms = self.alarms.lock();
        let due = alarms.values().filter_map(|alarm| alarm.look(now, &answered));
        due.min().unwrap_or(Moment::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Patience;
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
        let watchdog = Watchdog::default();
        let alarm = watchdog.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        alarm.set(Moment::NEVER, now);
        watchdog.look(now.plus_ms(60_000), silent);
        watchdog.look(now.plus_ms(1_500), |_| Some(now.plus_ms(900)));
        watchdog.look(now.plus_ms(60_000), |_| Some(now));
        alarm.be(Patience::Endless);
        watchdog.look(now.plus_ms(60_000), |_| Some(now.plus_ms(900)));
        alarm.be(Patience::Long);
        watchdog.look(now.plus_ms(10_000), |_| Some(now.plus_ms(900)));
        alarm.be(Patience::Usual);
        alarm.goes_on(now.plus_ms(1_000));
        watchdog.look(now.plus_ms(2_400), |_| Some(now.plus_ms(1_200)));
        assert!(!alarm.unset());
        alarm.set(Moment::NEVER, now);
        watchdog.look(now.plus_ms(1_501), |_| Some(now.plus_ms(900)));
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 0);
        assert!(alarm.unset());
    }

    #[test]
    fn a_wait_ends_when_its_time_has_come_and_not_before() {
        let (near, _far) = pair();
        let watchdog = Watchdog::default();
        let alarm = watchdog.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        assert_eq!(watchdog.look(now, silent), Moment::NEVER);
        let at = now.plus_ms(100);
        alarm.set(at, now);
        let next = watchdog.look(now, silent);
        assert_eq!(next, at);
        watchdog.look(next, silent);
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 0);
        assert!(alarm.unset());
        assert!(!alarm.unset());
    }

    #[test]
    fn a_call_that_is_over_costs_its_connection_nothing() {
        let (near, mut far) = pair();
        let watchdog = Watchdog::default();
        let alarm = watchdog.add(1, &near, &Endpoint::new("n", 1));
        let now = Moment::now();
        alarm.set(now, now);
        assert!(!alarm.unset());
        watchdog.look(now.plus_ms(1_000), silent);
        alarm.set(now.plus_ms(60_000), now);
        watchdog.look(now.plus_ms(2_000), silent);
        std::io::Write::write_all(&mut far, b"x").unwrap();
        assert_eq!(near.receive_waiting(&mut [0]).unwrap(), 1);
        alarm.set(now, now);
        watchdog.remove(1);
        watchdog.look(now, silent);
        assert!(!alarm.unset());
    }

    #[test]
    fn a_driver_is_woken_once_in_the_next_round() {
        struct Woken(AtomicU64);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Woken>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (watchdog, woken) = (Watchdog::default(), Arc::new(Woken(AtomicU64::new(0))));
        let times = || woken.0.load(Ordering::Relaxed);
        let round = watchdog.wake(&Arc::clone(&woken).into());
        assert_eq!((watchdog.round(), times()), (round, 0));
        watchdog.go_round();
        assert!(watchdog.round() != round);
        watchdog.go_round();
        assert_eq!(times(), 1);
    }
}
