//! Who is primary, who are the replicas: by asking and listening to every Sentinel.
//!
//! A [`link`] holds the connection to one Sentinel, a [`watcher`] the view of one service. What decides is pure:
//! [`council`], [`verdict`], [`who`] and [`replicas`] over the [`answer`]s, [`events`] as values.

pub mod answer;
pub mod council;
pub mod events;
pub mod fence;
pub mod foresight;
mod former;
pub mod link;
pub mod members;
mod names;
mod publish;
mod redial;
pub mod replicas;
mod seeds;
mod session;
pub mod verdict;
mod view;
pub mod watcher;
mod way;
pub mod who;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

#[cfg(any(test, fuzzing))]
pub(crate) use session::hear_all;

use answer::LinkId;
use link::Link;
use members::Members;
use names::Name;
use seeds::Seeds;
use way::Way;
use who::Change;

use crate::base::{clock, tasks};
use crate::net::{Endpoint, Tls, Transport, Vault};
use crate::observe::Observer;
use crate::options::DeploymentSettings;

/// The Sentinels of a deployment, shared by the watchers of all its services.
#[derive(Debug)]
pub struct Discovery {
    settings: Rc<DeploymentSettings>,
    transport: Rc<Transport>,
    /// The login at the Sentinels.
    vault: Arc<Vault>,
    links: RefCell<BTreeMap<LinkId, Rc<Link>>>,
    next: Cell<LinkId>,
    seeds: RefCell<Seeds>,
    members: Rc<Members>,
    observer: Arc<Observer>,
}

impl Discovery {
    /// One link for each Sentinel that was named; nothing is dialled yet.
    pub fn new(settings: DeploymentSettings, vault: Arc<Vault>, observer: Arc<Observer>) -> Rc<Discovery> {
        let tls = settings.tls.clone();
        let tls = tls.map(|tls| Tls::new(tls, settings.address_map.clone()));
        let transport = Transport::new(settings.tcp.clone(), tls);
        let members = Rc::new(Members::new(settings.learn));
        let given = settings.sentinels.clone();
        let discovery = Rc::new(Discovery {
            settings: Rc::new(settings),
            transport: Rc::new(transport),
            vault,
            links: RefCell::new(BTreeMap::new()),
            next: Cell::new(0),
            seeds: RefCell::default(),
            members,
            observer,
        });
        discovery.give(&given);
        tasks::start(tend(Rc::downgrade(&discovery), discovery.members.changes()));
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

    /// Who is who among the Sentinels.
    pub fn members(&self) -> &Rc<Members> {
        &self.members
    }

    fn links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().values().cloned().collect()
    }

    fn link(&self, id: LinkId) -> Option<Rc<Link>> {
        self.links.borrow().get(&id).cloned()
    }

    /// These addresses and names take the place of those that were given before.
    pub fn give(&self, sentinels: &[Endpoint]) {
        let gone = self.seeds.borrow_mut().keep_only(sentinels);
        let takes_their_place = !gone.is_empty();
        for link in gone {
            self.members.with(|who| who.withdraw(link));
        }
        self.members.with(who::Who::give_again);
        for sentinel in sentinels {
            if !self.seeds.borrow().has(sentinel) {
                let link = self.give_one(sentinel);
                if takes_their_place {
                    self.members.with(|who| who.decides_anew(link));
                }
            }
        }
        self.members.with(|who| who.settle(clock::now()));
        self.members.tell();
    }

    fn give_one(&self, sentinel: &Endpoint) -> LinkId {
        if !sentinel.is_address() {
            let name = Name::new(sentinel.clone(), self.settings.resolve_every, &self.members);
            let link = self.add(sentinel.clone(), Some(Rc::clone(&name)), None);
            self.members.with(|who| who.give(link, sentinel.clone(), None));
            self.seeds.borrow_mut().add(sentinel.clone(), Some(name), link);
            return link;
        }
        let known = self.links().into_iter().find(|link| link.endpoint() == sentinel);
        let link = match known {
            Some(known) => {
                self.members.with(|who| who.give_known(known.id));
                known.id
            }
            None => {
                let link = self.add(sentinel.clone(), None, None);
                self.members
                    .with(|who| who.give(link, sentinel.clone(), Some(sentinel.clone())));
                link
            }
        };
        self.seeds.borrow_mut().add(sentinel.clone(), None, link);
        link
    }

    fn add(&self, endpoint: Endpoint, name: Option<Rc<Name>>, at: Option<Endpoint>) -> LinkId {
        let id = self.next.replace(self.next.get() + 1);
        let way = Way {
            endpoint,
            settings: Rc::clone(&self.settings),
            name,
            at: RefCell::new(at),
            transport: Rc::clone(&self.transport),
            vault: Arc::clone(&self.vault),
            members: Rc::clone(&self.members),
        };
        let link = Link::start(id, way, Rc::clone(&self.members), Arc::clone(&self.observer));
        self.links.borrow_mut().insert(id, Rc::new(link));
        id
    }

    fn close(&self, link: LinkId) {
        self.links.borrow_mut().remove(&link);
        self.members.close(link);
    }

    /// Opens and closes links, as the names' addresses and what the Sentinels tell of each other have it.
    fn tend(&self) {
        let mut changed = self.follow_names();
        let plan = self.members.with(|who| who.plan(clock::now()));
        changed |= !plan.open.is_empty() || !plan.close.is_empty();
        for link in plan.close {
            self.close(link);
        }
        for (at, run_id) in plan.open {
            let link = self.add(at.clone(), None, None);
            self.members.with(|who| who.opened(link, at, run_id));
        }
        for change in self.members.with(who::Who::take_changes) {
            self.observe(&change);
        }
        if changed {
            self.members.tell();
        }
    }

    /// Every address of a name is a Sentinel of its own.
    fn follow_names(&self) -> bool {
        let steps = self.seeds.borrow_mut().follow_names(|link| {
            let at = self.link(link).and_then(|link| link.way().at.borrow().clone());
            (at, self.members.standing(link))
        });
        for step in &steps {
            match step {
                seeds::Step::Redirect(link, at) => {
                    if let Some(link) = self.link(*link) {
                        link.way().at.replace(Some(at.clone()));
                    }
                    self.members.with(|who| who.redirect(*link, at.clone()));
                }
                seeds::Step::Open(name, at) => {
                    let link = self.add(at.clone(), Some(Rc::clone(name)), Some(at.clone()));
                    self.members.with(|who| who.give(link, at.clone(), Some(at.clone())));
                    self.seeds.borrow_mut().extend(&name.endpoint, link);
                }
                seeds::Step::Close(link) => self.close(*link),
                seeds::Step::Outdated(link, outdated) => {
                    self.members.with(|who| who.is_outdated(*link, *outdated));
                }
                seeds::Step::Replace(link, name, at) => {
                    self.close(*link);
                    let new = self.add(name.endpoint.clone(), Some(Rc::clone(name)), Some(at.clone()));
                    self.members
                        .with(|who| who.give(new, name.endpoint.clone(), Some(at.clone())));
                    self.seeds.borrow_mut().lead(&name.endpoint, new);
                }
            }
        }
        !steps.is_empty()
    }

    fn observe(&self, change: &Change) {
        match change {
            Change::Learnt(at) => self.observer.sentinel_learnt(at),
            Change::Forgotten(at) => self.observer.sentinel_forgotten(at),
            Change::Moved(from, to) => self.observer.sentinel_moved(from, to),
            Change::Stranger(at) => self.observer.sentinel_is_a_stranger(at),
        }
    }
}

/// Whoever is listed no more is forgotten though nothing else changes.
const TENDED_EVERY: Duration = Duration::from_secs(10);

async fn tend(discovery: Weak<Discovery>, mut changes: watch::Receiver<u64>) {
    loop {
        if let Ok(Err(_)) = timeout(TENDED_EVERY, changes.changed()).await {
            return;
        }
        let Some(discovery) = discovery.upgrade() else { return };
        discovery.tend();
    }
}
