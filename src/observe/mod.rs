//! What the library sees and does, for operators: counters, a log, events, and the whole as JSON.
//!
//! Each decision is told to the [`Observer`] once, by whoever takes it; what that comes to (a number, a line, an event)
//! is decided here. [`changes`] says what differs between two moments.

pub mod calls;
pub mod changes;
pub(crate) mod decisions;
pub mod events;
mod failover;
pub mod log;
pub mod nodes;
pub mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::base::sync::Mutex;

use crate::base::clock;
use crate::net::Endpoint;
use crate::topology::Role;

pub use calls::{CallStats, Timing, millis, short_micros};
pub use events::{Bus, Event, Sink};
pub use log::{Level, Log, Scribe};
pub use nodes::{MemberStats, SentinelStats, ServiceStats};
pub use turn::Turn;

/// What a deployment tells of itself. Any thread.
#[derive(Debug)]
pub struct Observer {
    /// The host's log.
    pub log: Log,
    /// The host's queues.
    pub bus: Bus,
    /// What times are counted from.
    opened: Instant,
    calls: Mutex<BTreeMap<(String, &'static str), Arc<CallStats>>>,
    services: Mutex<BTreeMap<String, Arc<ServiceStats>>>,
    sentinels: Mutex<BTreeMap<Endpoint, Arc<SentinelStats>>>,
    /// What became of the Sentinels.
    pub members: MemberStats,
}

/// So many Sentinels without a link are remembered, so that what is counted of them goes on when they come back.
const GONE: usize = 256;

impl Observer {
    /// Nothing seen yet.
    pub fn new(log: Log) -> Observer {
        Observer {
            log,
            bus: Bus::default(),
            opened: clock::now(),
            calls: Mutex::default(),
            services: Mutex::default(),
            sentinels: Mutex::default(),
            members: MemberStats::default(),
        }
    }

    /// When the deployment was opened.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// The counters of the clients of a service in a role, the same for all of them.
    pub fn calls(&self, service: &str, role: Role) -> Arc<CallStats> {
        let mut calls = self.calls.lock();
        let key = (service.to_owned(), events::role_word(role));
        let stats = calls
            .entry(key)
            .or_insert_with(|| Arc::new(CallStats::new(service, role)));
        Arc::clone(stats)
    }

    /// All such counters.
    pub fn all_calls(&self) -> Vec<Arc<CallStats>> {
        self.calls.lock().values().cloned().collect()
    }

    /// What is counted of a service.
    pub fn service(&self, name: &str) -> Arc<ServiceStats> {
        let mut services = self.services.lock();
        if let Some(stats) = services.get(name) {
            return Arc::clone(stats);
        }
        let stats = Arc::new(ServiceStats::default());
        services.insert(name.to_owned(), Arc::clone(&stats));
        stats
    }

    /// Drops what is counted of a service that nobody uses any more.
    pub fn forget(&self, service: &str) {
        self.services.lock().remove(service);
        self.calls.lock().retain(|(of, _), _| of != service);
    }

    /// What is counted of a Sentinel that gets a link now: on from where it was when it had one before.
    pub fn sentinel(&self, endpoint: &Endpoint) -> Arc<SentinelStats> {
        let mut sentinels = self.sentinels.lock();
        let new = || Arc::new(SentinelStats::new(endpoint.clone()));
        let stats = Arc::clone(sentinels.entry(endpoint.clone()).or_insert_with(new));
        stats.begin();
        let gone = sentinels.values().filter(|stats| !has_link(stats));
        if gone.clone().count() > GONE {
            let longest = gone.min_by_key(|stats| stats.now().since);
            let longest = longest.map(|stats| stats.endpoint.clone());
            longest.map(|endpoint| sentinels.remove(&endpoint));
        }
        stats
    }

    /// The Sentinels that have a link, each address once.
    pub fn sentinels(&self) -> Vec<Arc<SentinelStats>> {
        let sentinels = self.sentinels.lock();
        sentinels.values().filter(|stats| has_link(stats)).cloned().collect()
    }
}

/// Whoever holds it besides the observer is a link.
fn has_link(stats: &Arc<SentinelStats>) -> bool {
    Arc::strong_count(stats) > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_of_a_sentinel_is_counted_on_when_it_has_a_link_again() {
        let observer = Observer::new(Log::silent());
        let endpoint = Endpoint::new("s", 1);
        let first = observer.sentinel(&endpoint);
        first.errors.count();
        // The link that is given up may still be ending while the new one begins.
        let second = observer.sentinel(&endpoint);
        second.errors.count();
        drop((first, second));
        assert!(observer.sentinels().is_empty(), "it has no link");
        let again = observer.sentinel(&endpoint);
        assert_eq!(again.errors.get(), 2);
        assert_eq!(again.now().state, nodes::LinkState::Idle);
        assert_eq!(observer.sentinels().len(), 1);
    }

    #[test]
    fn of_the_sentinels_that_are_gone_only_so_many_are_remembered() {
        let observer = Observer::new(Log::silent());
        let kept = observer.sentinel(&Endpoint::new("kept", 1));
        for port in 1..=768 {
            drop(observer.sentinel(&Endpoint::new("s", port)));
        }
        assert!(observer.sentinels.lock().len() <= GONE + 2);
        assert!(Arc::ptr_eq(&kept, &observer.sentinels()[0]));
    }
}
