//! Notices a node that is gone without a word: a PING a second on a connection of its own, one for each node in use,
//! however many pools use it.
//!
//! A caller's connection is its thread's alone, so nothing listens on it while it is idle, and a peer that is cut off
//! closes nothing. A missed pong does not end calls under way, for a busy server is not a dead one: it takes the idle
//! connections out of use, so that the next call waits for a verified one instead of writing into a black hole. Nothing
//! that happens to the sentry's own connection ends the watch.
//!
//! A replica is asked for more: that its link to the primary is down shows nowhere else in time.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::gate::{Entry, Gate};
use super::holder::Holder;
use crate::base::clock::Moment;
use crate::base::error::Stage;
use crate::base::{clock, tasks};
use crate::net::{Endpoint, Login, Transport, Wire, WireError, handshake, look, look_for_failover};
use crate::resp::{Kind, Reply, control};

/// Between two PINGs, and for a pong: together less than the 2 s within which a dead connection must be noticed.
const PING_EVERY: Duration = Duration::from_millis(950);

/// The sentries of a deployment.
#[derive(Debug, Default)]
pub struct Sentries {
    /// The pools that use a node whose sentry stands.
    posts: RefCell<HashMap<Endpoint, Vec<Weak<dyn Holder>>>>,
    /// When each last answered, and held nothing back as far as it was asked.
    pongs: RefCell<HashMap<Endpoint, Moment>>,
    /// Nodes of which somebody waits for a reply: they are asked whether they hold back writes.
    doubted: RefCell<HashSet<Endpoint>>,
}

impl Sentries {
    /// Watches `endpoint` on behalf of `pool` for as long as a pool uses it.
    pub(super) fn post(
        self: &Rc<Sentries>,
        gate: &Rc<Gate>,
        pool: &Arc<dyn Holder>,
        endpoint: &Endpoint,
        login: &Rc<Login>,
        transport: &Rc<Transport>,
    ) {
        let mut posts = self.posts.borrow_mut();
        let stands = posts.contains_key(endpoint);
        let pools = posts.entry(endpoint.clone()).or_default();
        if !pools
            .iter()
            .any(|known| std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(pool)))
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
            tasks::start(sentry.stand());
        }
    }

    /// When the node last answered its sentry. Somebody waits for a reply of it: whether it holds back writes is asked with
    /// the next PING, before that wait is long.
    pub(super) fn doubt(&self, endpoint: &Endpoint) -> Option<Moment> {
        let pong = self.pongs.borrow().get(endpoint).copied();
        let mut doubted = self.doubted.borrow_mut();
        if !doubted.contains(endpoint) {
            doubted.insert(endpoint.clone());
        }
        pong
    }

    /// The pools that still use `endpoint`.
    fn users(&self, endpoint: &Endpoint) -> Vec<Arc<dyn Holder>> {
        let mut posts = self.posts.borrow_mut();
        let Some(pools) = posts.get_mut(endpoint) else {
            return Vec::new();
        };
        let uses = |pool: &Weak<dyn Holder>| pool.upgrade().is_some_and(|pool| pool.uses(endpoint));
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

/// What a look at the node has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It said something.
    Life,
    /// It said that it answers nobody at the moment, or no writes.
    Busy,
    /// It was asked in vain.
    Silence,
    /// Nothing: it was not asked, or takes no connection.
    None,
}

/// The sentry's own connection.
#[derive(Default)]
struct Post {
    wire: Option<Wire>,
    /// The number of the newest credentials that the node was shown on it.
    shown: u64,
    /// Connects in a row that the node refused by a word of its own.
    refused: u32,
}

impl Sentry {
    async fn stand(self) {
        let mut post = Post::default();
        loop {
            sleep(pause(post.refused)).await;
            let Some(pool) = self.sentries.users(&self.endpoint).into_iter().next() else {
                break;
            };
            let sign = self.look(&mut post, &*pool).await;
            self.tell(sign);
        }
        // Nobody can have come meanwhile; the next pool that connects posts a new one.
        self.sentries.posts.borrow_mut().remove(&self.endpoint);
        self.sentries.pongs.borrow_mut().remove(&self.endpoint);
        self.sentries.doubted.borrow_mut().remove(&self.endpoint);
    }

    fn tell(&self, sign: Sign) {
        let users = || self.sentries.users(&self.endpoint);
        match sign {
            Sign::Busy => {
                self.sentries.pongs.borrow_mut().remove(&self.endpoint);
                users().iter().for_each(|pool| pool.answered(Moment::now()));
            }
            Sign::Life => {
                let now = Moment::now();
                self.sentries.pongs.borrow_mut().insert(self.endpoint.clone(), now);
                users().iter().for_each(|pool| pool.answered(now));
            }
            Sign::Silence => {
                self.gate.suspect(&self.endpoint);
                users().into_iter().for_each(|pool| pool.lost_touch(&self.endpoint));
            }
            Sign::None => {}
        }
    }

    /// A PING and its answer. A connection that has ended is no missed pong: another one tells whether the node is there.
    async fn look(&self, post: &mut Post, pool: &dyn Holder) -> Sign {
        let newest = self.login.vault.number();
        if newest > post.shown && post.wire.is_some() {
            // What the node does not take changes nothing: any answer is a sign of life.
            post.wire = self.connect(pool).await.ok().or(post.wire.take());
        }
        post.shown = newest;
        if let Some(sign) = self.ask_over(&mut post.wire).await {
            return sign;
        }
        match self.connect(pool).await {
            Ok(wire) => {
                (post.wire, post.refused) = (Some(wire), 0);
                let doubted = self.sentries.doubted.borrow().contains(&self.endpoint);
                match doubted {
                    true => self.ask_over(&mut post.wire).await.unwrap_or(Sign::Life),
                    false => Sign::Life,
                }
            }
            Err((sign, by_word)) => {
                post.refused = if by_word { post.refused + 1 } else { 0 };
                sign
            }
        }
    }

    /// Asks over the connection that there is. `None`: there is none, or it has ended.
    async fn ask_over(&self, wire: &mut Option<Wire>) -> Option<Sign> {
        match timeout(PING_EVERY, self.ask(wire.as_mut()?)).await {
            Ok(Ok(sign)) => Some(sign),
            Ok(Err(_)) => {
                *wire = None;
                None
            }
            Err(_) => {
                *wire = None;
                Some(Sign::Silence)
            }
        }
    }

    /// A PING; a replica is asked for its part as well, and the pools that read from it are told.
    async fn ask(&self, wire: &mut Wire) -> Result<Sign, WireError> {
        let readers = || {
            let users = self.sentries.users(&self.endpoint).into_iter();
            users.filter(|pool| pool.reads_replica(&self.endpoint))
        };
        if readers().next().is_none() {
            if !self.sentries.doubted.borrow_mut().remove(&self.endpoint) {
                return ping(wire).await;
            }
            return match look_for_failover(wire).await? {
                (true, _) => Ok(Sign::Busy),
                (false, pong) => Ok(sign_of(&pong)),
            };
        }
        let (part, pong) = look(wire).await?;
        if part.role.is_some() {
            readers().for_each(|pool| pool.told(&self.endpoint, &part));
        }
        Ok(sign_of(&pong))
    }

    /// A connection of its own; else what its failure says of the node, and whether the node itself refused it.
    async fn connect(&self, pool: &dyn Holder) -> Result<Wire, (Sign, bool)> {
        let began = clock::now();
        if self.gate.entry(&self.endpoint, began) != Entry::Open {
            return Err((Sign::None, false));
        }
        let pass = self.gate.pass(&self.endpoint);
        let (limits, connect_timeout) = pool.terms();
        let limit = connect_timeout.min(PING_EVERY);
        let greeted = handshake::greet_node(&self.endpoint, &self.login, &self.transport, limits, limit);
        match greeted.await {
            Ok(greeted) => {
                pass.succeeded();
                Ok(greeted.wire)
            }
            Err(error) => {
                let silent = error.stage != Stage::Resolve && began + limit <= clock::now();
                let by_word = !silent && !matches!(error.stage, Stage::Resolve | Stage::Connect);
                // The login is that of one pool of many: what the node says of it holds nobody else up.
                if !by_word {
                    pass.failed(&error);
                }
                Err((if silent { Sign::Silence } else { Sign::None }, by_word))
            }
        }
    }
}

/// A node that refuses the sentry by a word is alive, and is asked less often for it.
fn pause(refused: u32) -> Duration {
    PING_EVERY.saturating_mul(1 << refused.min(4))
}

/// Any answer will do: an error reply is a sign of life as well.
async fn ping(wire: &mut Wire) -> Result<Sign, WireError> {
    wire.send(&control(&["PING"])).await?;
    loop {
        let reply = wire.receive().await?;
        if reply.kind() != Kind::Push {
            return Ok(sign_of(&reply));
        }
    }
}

fn sign_of(pong: &Reply) -> Sign {
    match pong.kind() {
        Kind::Error if pong.text().starts_with("BUSY ") => Sign::Busy,
        _ => Sign::Life,
    }
}
