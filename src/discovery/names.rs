//! Names that were given in place of addresses: each address of a name is a Sentinel of its own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::members::Members;
use super::redial::{Others, longest_wait};
use crate::base::error::Stage;
use crate::base::{clock, tasks};
use crate::net::{DialError, Endpoint, addresses};

/// A lookup is given up after so long.
const LOOKUP_WITHIN: Duration = Duration::from_secs(3);

/// A name is looked up no more often.
const MIN_BETWEEN_LOOKUPS: Duration = Duration::from_secs(1);

/// A name with its port, and what it stands for.
#[derive(Debug)]
pub struct Name {
    /// As it was given.
    pub endpoint: Endpoint,
    found: RefCell<Result<Vec<SocketAddr>, DialError>>,
    /// Counts the lookups that have ended.
    lookups: Cell<u64>,
    /// Somebody could not connect to an address of it, or has none.
    wanted: Rc<Notify>,
}

impl Drop for Name {
    fn drop(&mut self) {
        // So that the task sees it.
        self.wanted.notify_one();
    }
}

impl Name {
    /// Looked up for the first time when somebody asks for an address, then again each `every` and when a connection
    /// fails.
    pub fn new(endpoint: Endpoint, every: Option<Duration>, members: &Rc<Members>) -> Rc<Name> {
        let name = Rc::new(Name {
            endpoint,
            found: RefCell::new(Ok(Vec::new())),
            lookups: Cell::new(0),
            wanted: Rc::default(),
        });
        let task = keep(
            Rc::downgrade(&name),
            Rc::clone(&name.wanted),
            every,
            Rc::downgrade(members),
        );
        tasks::start(task);
        name
    }

    /// Looks it up again soon.
    pub fn poke(&self) {
        self.wanted.notify_one();
    }

    /// How many lookups have ended.
    pub fn lookups(&self) -> u64 {
        self.lookups.get()
    }

    /// What the last lookup found.
    pub fn found(&self) -> Result<Vec<SocketAddr>, DialError> {
        self.found.borrow().clone()
    }
}

/// One lookup after the other, for as long as somebody has the name.
async fn keep(name: Weak<Name>, wanted: Rc<Notify>, every: Option<Duration>, members: Weak<Members>) {
    let (mut failures, mut due, mut next) = (0u32, None, None::<Instant>);
    loop {
        tokio::select! {
            () = wanted.notified() => {}
            () = tasks::until(next) => {}
        }
        if due.is_some() {
            tasks::until(due).await;
        }
        let Some(endpoint) = name.upgrade().map(|name| name.endpoint.clone()) else {
            return;
        };
        let found = addresses(&endpoint, LOOKUP_WITHIN).await;
        let (Some(name), Some(members)) = (name.upgrade(), members.upgrade()) else {
            return;
        };
        failures = if found.is_ok() { 0 } else { failures.saturating_add(1) };
        let now = clock::now();
        let wait = match failures {
            0 => every.map(|every| every.mul_f64(0.75 + fastrand::f64() / 4.0)),
            _ => Some(longest_wait(failures, Stage::Resolve, Others::Silent).max(MIN_BETWEEN_LOOKUPS)),
        };
        next = wait.map(|wait| now + wait);
        due = Some(now + MIN_BETWEEN_LOOKUPS);
        name.lookups.set(name.lookups.get() + 1);
        *name.found.borrow_mut() = found;
        members.tell();
    }
}
