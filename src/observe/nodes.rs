//! What is counted of services and Sentinels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::sync::Mutex;

use super::calls::{Counter, micros};
use crate::base::clock;
use crate::base::error::Attempt;
use crate::net::Endpoint;

/// A switch of primaries whose first connection has not been made yet.
#[derive(Debug, Clone)]
struct Pending {
    to: Endpoint,
    first_sign: Instant,
}

#[derive(Debug, Default)]
struct Switches {
    pending: Option<Pending>,
    detection: Option<Duration>,
    switch: Option<Duration>,
    /// Run ids under which the primary in force was seen: one that a late Sentinel still tells is no other restart.
    run_ids: Vec<String>,
    /// Successful calls when the primary in force was foreseen; none once it was named, or was not.
    foreseen_at: Option<u64>,
    /// How long the last one that was foreseen was so before a Sentinel named it.
    foreseen: Option<Duration>,
}

/// What is counted of a service.
#[derive(Debug, Default)]
pub struct ServiceStats {
    /// Switches to another primary or epoch.
    pub failovers: Counter,
    /// Restarts of the primary in its place.
    pub reboots: Counter,
    switches: Mutex<Switches>,
    /// Since when no majority of its Sentinels was heard, while no writes are sent for that.
    silent: Mutex<Option<Instant>>,
}

impl ServiceStats {
    /// Since when no majority of its Sentinels was heard, where no writes are sent for that.
    pub fn no_majority_since(&self, since: Option<Instant>) {
        *self.silent.lock() = since;
    }

    /// The same.
    pub fn no_majority(&self) -> Option<Instant> {
        *self.silent.lock()
    }

    /// Another primary is in force. `last_good`: the last good reply of the one before; `first_sign`: the first event
    /// or answer that told of the new one.
    pub fn switched(&self, to: &Endpoint, last_good: Option<Instant>, first_sign: Instant) {
        self.failovers.count();
        let mut switches = self.switches.lock();
        switches.detection = last_good.map(|at| first_sign.saturating_duration_since(at));
        switches.switch = None;
        switches.pending = Some(Pending {
            to: to.clone(),
            first_sign,
        });
        switches.run_ids.clear();
    }

    /// A connection to `node` as primary was verified: how long the switch took, when it is the first one since.
    pub fn connected(&self, node: &Endpoint, now: Instant) -> Option<Duration> {
        let mut switches = self.switches.lock();
        let pending = switches.pending.take_if(|pending| pending.to == *node)?;
        let took = now.saturating_duration_since(pending.first_sign);
        switches.switch = Some(took);
        Some(took)
    }

    /// The primary in force has another run id. False when that is no news.
    pub fn restarted(&self, before: &str, after: &str) -> bool {
        let mut switches = self.switches.lock();
        let known = &mut switches.run_ids;
        if !known.iter().any(|id| id == before) {
            known.push(before.to_owned());
        }
        if known.iter().any(|id| id == after) {
            return false;
        }
        known.push(after.to_owned());
        self.reboots.count();
        true
    }

    /// A primary was foreseen when so many calls had succeeded.
    pub fn foreseen(&self, successes: u64) {
        self.switches.lock().foreseen_at = Some(successes);
    }

    /// A Sentinel names it, so much later.
    pub fn confirmed(&self, after: Duration) {
        let mut switches = self.switches.lock();
        (switches.foreseen_at, switches.foreseen) = (None, Some(after));
    }

    /// None does: how many calls it has answered of those that have succeeded by now.
    pub fn unconfirmed(&self, successes: u64) -> u64 {
        let begun = self.switches.lock().foreseen_at.take();
        begun.map_or(0, |begun| successes.saturating_sub(begun))
    }

    /// How long before a Sentinel named it the last primary that was foreseen was.
    pub fn last_foreseen(&self) -> Option<Duration> {
        self.switches.lock().foreseen
    }

    /// How long the last failover took from the last good reply to the first sign of the new primary, and from there to
    /// the first verified connection to it; as far as that is known.
    pub fn last_failover(&self) -> (Option<Duration>, Option<Duration>) {
        let switches = self.switches.lock();
        (switches.detection, switches.switch)
    }
}

/// What became of the Sentinels of a deployment.
#[derive(Debug, Default)]
pub struct MemberStats {
    /// The others told of them.
    pub learnt: Counter,
    /// Nobody lists them any more.
    pub forgotten: Counter,
    /// They are at another address.
    pub moved: Counter,
    /// Those that answered and that nobody knew.
    pub strangers: Counter,
}

/// Where the connection to a Sentinel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Nobody has asked for a service yet.
    Idle,
    /// Its first connection is being made.
    Connecting,
    /// It is connected and greeted.
    Up,
    /// The last attempt or connection failed.
    Down,
}

impl LinkState {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            LinkState::Idle => "idle",
            LinkState::Connecting => "connecting",
            LinkState::Up => "up",
            LinkState::Down => "down",
        }
    }
}

/// The connection to a Sentinel at one moment.
#[derive(Debug, Clone)]
pub struct LinkNow {
    /// Where it stands.
    pub state: LinkState,
    /// Since when.
    pub since: Instant,
    /// The last failure, kept when it is up again.
    pub failure: Option<Attempt>,
    /// The Sentinel's own run id.
    pub run_id: Option<String>,
    /// The RESP version in force.
    pub protocol: u8,
}

/// What is counted of one Sentinel.
#[derive(Debug)]
pub struct SentinelStats {
    /// Its address.
    pub endpoint: Endpoint,
    /// Questions that it answered.
    pub answers: Counter,
    /// Attempts and connections that failed.
    pub errors: Counter,
    /// Events that it published.
    pub events: Counter,
    /// The last round trip, microseconds; 0: none yet.
    rtt: AtomicU64,
    now: Mutex<LinkNow>,
}

impl SentinelStats {
    /// A Sentinel that was not dialled yet.
    pub fn new(endpoint: Endpoint) -> SentinelStats {
        let now = LinkNow {
            state: LinkState::Idle,
            since: clock::now(),
            failure: None,
            run_id: None,
            protocol: 0,
        };
        SentinelStats {
            endpoint,
            answers: Counter::default(),
            errors: Counter::default(),
            events: Counter::default(),
            rtt: AtomicU64::new(0),
            now: Mutex::new(now),
        }
    }

    /// Something that was asked was answered.
    pub fn answered_in(&self, time: Duration) {
        self.rtt.store(micros(time).max(1), Ordering::Relaxed);
    }

    /// The last round trip, microseconds.
    pub fn rtt_micros(&self) -> Option<u64> {
        Some(self.rtt.load(Ordering::Relaxed)).filter(|rtt| *rtt > 0)
    }

    /// How the connection stands now.
    pub fn now(&self) -> LinkNow {
        self.now.lock().clone()
    }

    /// The Sentinel told its run id.
    pub fn named(&self, run_id: &str) {
        self.now.lock().run_id = Some(run_id.to_owned());
    }

    /// It has a link, which was not dialled yet. What was counted stays.
    pub fn begin(&self) {
        self.enter(LinkState::Idle, |_| {});
    }

    /// The first attempt to connect begins.
    pub fn connecting(&self) {
        self.enter(LinkState::Connecting, |_| {});
    }

    /// It is connected. Returns what it was before.
    pub fn up(&self, protocol: u8) -> LinkState {
        self.enter(LinkState::Up, |now| now.protocol = protocol)
    }

    /// The attempt or the connection failed. Returns what it was before.
    pub fn down(&self, attempt: &Attempt) -> LinkState {
        self.errors.count();
        self.enter(LinkState::Down, |now| now.failure = Some(attempt.clone()))
    }

    fn enter(&self, state: LinkState, change: impl FnOnce(&mut LinkNow)) -> LinkState {
        let mut now = self.now.lock();
        change(&mut now);
        let before = std::mem::replace(&mut now.state, state);
        if before != state {
            now.since = clock::now();
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Stage;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_failover_is_timed_from_the_last_reply_to_the_first_connection() {
        let (stats, base, b) = (ServiceStats::default(), Instant::now(), Endpoint::new("b", 1));
        assert_eq!(stats.last_failover(), (None, None));
        stats.switched(&b, Some(base), base + ms(700));
        assert_eq!(stats.last_failover(), (Some(ms(700)), None));
        assert_eq!(stats.connected(&Endpoint::new("a", 1), base + ms(701)), None);
        assert_eq!(stats.connected(&b, base + ms(703)), Some(ms(3)));
        assert_eq!(stats.connected(&b, base + ms(900)), None, "only the first counts");
        assert_eq!(stats.last_failover(), (Some(ms(700)), Some(ms(3))));
        stats.switched(&b, None, base + ms(999));
        assert_eq!(stats.last_failover(), (None, None));
        assert_eq!(stats.failovers.get(), 2);
    }

    #[test]
    fn a_restart_is_told_once_however_late_a_sentinel_is() {
        let stats = ServiceStats::default();
        assert!(stats.restarted("x", "y"));
        assert!(!stats.restarted("y", "x"), "an answer from before it");
        assert!(!stats.restarted("x", "y"));
        assert!(stats.restarted("y", "z"));
        assert_eq!(stats.reboots.get(), 2);
    }

    #[test]
    fn a_state_keeps_its_age_while_it_lasts() {
        let stats = SentinelStats::new(Endpoint::new("s", 1));
        let attempt = Attempt {
            endpoint: "s:1".into(),
            stage: Stage::Connect,
            cause: "refused".into(),
        };
        stats.connecting();
        assert_eq!(stats.down(&attempt), LinkState::Connecting);
        let since = stats.now().since;
        assert_eq!(stats.down(&attempt), LinkState::Down);
        assert_eq!(stats.now().since, since);
        assert_eq!(stats.up(3), LinkState::Down);
        assert_eq!(stats.errors.get(), 2);
        assert_eq!(stats.now().failure, Some(attempt));
    }
}
