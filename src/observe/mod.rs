//! What the library sees and does, for operators: counters, a log, events, and the whole as JSON.
//!
//! Each decision is told to the [`Observer`] once, by whoever takes it; what that comes to (a number, a line, an event)
//! is decided here. [`changes`] says what differs between two moments, [`metrics`] and [`describe`] read what is.

pub mod calls;
pub mod changes;
mod decisions;
pub mod describe;
pub mod events;
mod json;
pub mod log;
pub mod metrics;
pub mod nodes;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::sync::Mutex;

use crate::net::Endpoint;
use crate::net::clock;
use crate::topology::Role;

pub use calls::{CallStats, Timing, short_micros};
pub use events::{Bus, Event};
pub use log::{Level, Log, Scribe};
pub use nodes::{MemberStats, SentinelStats, ServiceStats};

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
    sentinels: Mutex<Vec<Weak<SentinelStats>>>,
    /// What became of the Sentinels.
    pub members: MemberStats,
}

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

    /// What is counted of a Sentinel that gets a link now.
    pub fn sentinel(&self, endpoint: &Endpoint) -> Arc<SentinelStats> {
        let stats = Arc::new(SentinelStats::new(endpoint.clone()));
        let mut sentinels = self.sentinels.lock();
        sentinels.retain(|stats| stats.strong_count() > 0);
        sentinels.push(Arc::downgrade(&stats));
        stats
    }

    /// The Sentinels that have a link, each address once.
    pub fn sentinels(&self) -> Vec<Arc<SentinelStats>> {
        let stats: Vec<_> = self.sentinels.lock().iter().filter_map(Weak::upgrade).collect();
        let by_endpoint: BTreeMap<Endpoint, Arc<SentinelStats>> =
            stats.into_iter().map(|stats| (stats.endpoint.clone(), stats)).collect();
        by_endpoint.into_values().collect()
    }
}
