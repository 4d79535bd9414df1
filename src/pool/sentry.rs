//! Notices a node that is gone without a word: a PING a second on a connection of its own, one for each node in use,
//! however many pools use it.
//!
//! A caller's connection is its thread's alone, so nothing listens on it while it is idle, and a peer that is cut off
//! closes nothing. A missed pong does not end calls under way, for a busy server is not a dead one: it takes the idle
//! connections out of use, so that the next call waits for a verified one instead of writing into a black hole.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Pool;
use super::gate::{Entry, Gate};
use crate::net::clock;
use crate::net::clock::Moment;
use crate::net::{Endpoint, Login, Transport, Wire, WireError, handshake};
use crate::resp::{Kind, control};

/// Between two PINGs, and for a pong: together less than the 2 s within which a dead connection must be noticed.
const PING_EVERY: Duration = Duration::from_millis(950);

/// The sentries of a deployment.
#[derive(Debug, Default)]
pub struct Sentries {
    /// The pools that use a node whose sentry stands.
    posts: RefCell<HashMap<Endpoint, Vec<Weak<Pool>>>>,
    /// When each last answered.
    pongs: RefCell<HashMap<Endpoint, Moment>>,
}

impl Sentries {
    /// Watches `endpoint` on behalf of `pool` until no pool uses it any more or a pong is missed.
    pub(super) fn post(
        self: &Rc<Sentries>,
        gate: &Rc<Gate>,
        pool: &Arc<Pool>,
        endpoint: &Endpoint,
        login: &Rc<Login>,
        transport: &Rc<Transport>,
    ) {
        let mut posts = self.posts.borrow_mut();
        let stands = posts.contains_key(endpoint);
        let pools = posts.entry(endpoint.clone()).or_default();
        if !pools
            .iter()
            .any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(pool)))
        {
            pools.push(Arc::downgrade(pool));
        }
        if !stands {
            let sentry = Sentry {
                sentries: Rc::clone(self),
                gate: Rc::clone(gate),
                endpoint: endpoint.clone(),
                login: Rc::clone(login),
                transport: Rc::clone(transport),
            };
            tokio::task::spawn_local(sentry.stand());
        }
    }

    /// When the node last answered its sentry.
    pub(super) fn last_pong(&self, endpoint: &Endpoint) -> Option<Moment> {
        self.pongs.borrow().get(endpoint).copied()
    }

    /// The pools that still use `endpoint`.
    fn users(&self, endpoint: &Endpoint) -> Vec<Arc<Pool>> {
        let mut posts = self.posts.borrow_mut();
        let Some(pools) = posts.get_mut(endpoint) else {
            return Vec::new();
        };
        let uses = |pool: &Weak<Pool>| pool.upgrade().is_some_and(|pool| pool.uses(endpoint));
        pools.retain(uses);
        pools.iter().filter_map(Weak::upgrade).collect()
    }
}

struct Sentry {
    sentries: Rc<Sentries>,
    gate: Rc<Gate>,
    endpoint: Endpoint,
    login: Rc<Login>,
    transport: Rc<Transport>,
}

impl Sentry {
    async fn stand(self) {
        let missed = self.watch().await;
        let users = self.sentries.users(&self.endpoint);
        // The next pool that connects posts a new one.
        self.sentries.posts.borrow_mut().remove(&self.endpoint);
        self.sentries.pongs.borrow_mut().remove(&self.endpoint);
        if missed {
            self.gate.suspect(&self.endpoint);
            for pool in users {
                pool.lost_touch(&self.endpoint);
            }
        }
    }

    /// True when a pong is missed, false when nobody uses the node or it cannot be watched.
    async fn watch(&self) -> bool {
        let mut wire: Option<Wire> = None;
        let mut shown = 0;
        loop {
            sleep(PING_EVERY).await;
            let Some(pool) = self.sentries.users(&self.endpoint).into_iter().next() else {
                return false;
            };
            let newest = self.login.vault.number();
            if wire.is_some() && newest > shown {
                // What the node does not take changes nothing: any answer is a sign of life.
                wire = self.connect(&pool).await.or(wire);
            }
            shown = newest;
            let answered = match &mut wire {
                Some(wire) => timeout(PING_EVERY, ping(wire)).await == Ok(Ok(())),
                None => match self.connect(&pool).await {
                    Some(connected) => {
                        wire = Some(connected);
                        true
                    }
                    None => return false,
                },
            };
            if !answered {
                return true;
            }
            let now = Moment::now();
            self.sentries.pongs.borrow_mut().insert(self.endpoint.clone(), now);
            for pool in self.sentries.users(&self.endpoint) {
                pool.answered(now);
            }
        }
    }

    async fn connect(&self, pool: &Pool) -> Option<Wire> {
        if self.gate.entry(&self.endpoint, clock::now()) != Entry::Open {
            return None;
        }
        let pass = self.gate.pass(&self.endpoint);
        let settings = &pool.settings;
        let limit = settings.connect_timeout;
        let greeted = handshake::greet_node(&self.endpoint, &self.login, &self.transport, settings.limits, limit)
            .await
            .ok()?;
        pass.succeeded();
        Some(greeted.wire)
    }
}

/// Any answer will do: an error reply is a sign of life as well.
async fn ping(wire: &mut Wire) -> Result<(), WireError> {
    wire.send(&control(&["PING"])).await?;
    while wire.receive().await?.kind() == Kind::Push {}
    Ok(())
}
