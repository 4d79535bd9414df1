//! Who is primary, who are the replicas: by asking and listening to every Sentinel.
//!
//! A [`link`] holds the connection to one Sentinel, a [`watcher`] the view of one service. What decides is pure:
//! [`council`], [`verdict`] and [`replicas`] over the [`answer`]s, [`events`] as values.

pub mod answer;
pub mod council;
pub mod events;
pub mod link;
pub mod replicas;
mod session;
pub mod verdict;
mod view;
pub mod watcher;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

#[cfg(any(test, fuzzing))]
pub(crate) use session::hear_all;

use answer::{Fields, entry_endpoint};
use link::{Link, LinkId};

use crate::net::{Tls, Transport};
use crate::observe::Observer;
use crate::options::{DeploymentSettings, Vault};

/// The Sentinels of a deployment, shared by the watchers of all its services.
#[derive(Debug)]
pub struct Discovery {
    settings: Rc<DeploymentSettings>,
    transport: Rc<Transport>,
    /// The login at the Sentinels.
    vault: Arc<Vault>,
    links: RefCell<BTreeMap<LinkId, Rc<Link>>>,
    next: Cell<LinkId>,
    seeds: usize,
    observer: Arc<Observer>,
}

impl Discovery {
    /// One link for each Sentinel that was named; nothing is dialled yet.
    pub fn new(settings: DeploymentSettings, vault: Arc<Vault>, observer: Arc<Observer>) -> Discovery {
        let tls = settings.tls.clone();
        let tls = tls.map(|tls| Tls::new(tls, settings.address_map.clone()));
        let transport = Transport::new(settings.tcp.clone(), tls);
        let settings = Rc::new(settings);
        let seeds = settings.sentinels.clone();
        let discovery = Discovery {
            settings,
            transport: Rc::new(transport),
            vault,
            links: RefCell::new(BTreeMap::new()),
            next: Cell::new(0),
            seeds: seeds.len(),
            observer,
        };
        for seed in seeds {
            discovery.add(seed);
        }
        discovery
    }

    /// What `sentinel_open` was given.
    pub fn settings(&self) -> &DeploymentSettings {
        &self.settings
    }

    /// Who is told of what is found out.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    fn links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().cloned().collect()
    }

    fn link(&self, id: LinkId) -> Option<Rc<Link>> {
        self.links.borrow().get(&id).cloned()
    }

    fn add(&self, endpoint: crate::net::Endpoint) -> LinkId {
        let id = self.next.replace(self.next.get() + 1);
        let way = (Rc::clone(&self.transport), Arc::clone(&self.vault));
        let (settings, observer) = (Rc::clone(&self.settings), Arc::clone(&self.observer));
        let link = Rc::new(Link::start(id, endpoint, settings, way, observer));
        self.links.borrow_mut().insert(id, link);
        id
    }

    /// Adds a link for each Sentinel in `peers`, as those of `service` report them, that has none, and drops learnt ones
    /// that failed and that no service reports any more. Only complete rounds are learnt from: before a seed is
    /// connected, its name and an address that the others report for it look like two Sentinels.
    fn learn(&self, service: &Rc<str>, peers: &[&Fields], failed: impl Fn(LinkId) -> bool) {
        let map = &self.settings.address_map;
        for link in self.links() {
            let is_reported = peers
                .iter()
                .any(|entry| view::is_same(&link.endpoint, &link.identity.borrow(), entry, map));
            let mut reported_by = link.reported_by.borrow_mut();
            if is_reported {
                reported_by.insert(Rc::clone(service));
            } else {
                reported_by.remove(service);
            }
            let forgotten = reported_by.is_empty() && failed(link.id);
            if link.id >= self.seeds && (forgotten || self.has_twin(&link)) {
                self.links.borrow_mut().remove(&link.id);
            }
        }
        for entry in peers.iter().filter(|_| self.settings.learn) {
            if let Some(endpoint) = entry_endpoint(entry, map).filter(|_| !self.is_known(entry)) {
                self.add(endpoint);
            }
        }
    }

    /// Whether an entry of SENTINELS has a link. A named seed that was never reached may be any address of its port.
    fn is_known(&self, entry: &Fields) -> bool {
        let map = &self.settings.address_map;
        let port = entry_endpoint(entry, map).map(|endpoint| endpoint.port);
        self.links().iter().any(|link| {
            let identity = link.identity.borrow();
            let unresolved = identity.peer.is_none() && link.endpoint.host.parse::<IpAddr>().is_err();
            view::is_same(&link.endpoint, &identity, entry, map) || (unresolved && port == Some(link.endpoint.port))
        })
    }

    /// Whether another link leads to the same Sentinel: one that was down when the others told of it.
    fn has_twin(&self, link: &Link) -> bool {
        let own = link.identity.borrow();
        self.links().iter().any(|other| {
            let identity = other.identity.borrow();
            other.id < link.id && own.run_id.is_some() && own.run_id == identity.run_id
        })
    }
}
