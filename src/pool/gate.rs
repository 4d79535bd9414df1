//! Who may dial which address when: one probe at a time to a node that is not known to take connections, however many
//! clients wait for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::Mutex;
use tokio::sync::watch;

use crate::error::Stage;
use crate::net::clock;
use crate::net::{DialError, Endpoint};

/// No address in trouble is dialled more often: at most ten times a second.
const MIN_BETWEEN_DIALS: Duration = Duration::from_millis(100);

/// A node that closes a connection sooner than this after it took it is in trouble all the same.
const PROBATION: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Standing {
    /// Since when it takes connections; `None` while that is unknown or untrue.
    proven: Option<Instant>,
    /// It closed connections right after it took them: a success lets in one dial after the other, not all at once.
    flaps: bool,
    failures: u32,
    /// The next dial is due then.
    next: Instant,
    probing: bool,
}

/// How the last dial to each address in trouble failed. Any thread: it is what a caller is told at its deadline, whose
/// dial the error was does not matter to it.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<HashMap<Endpoint, DialError>>);

impl Troubles {
    /// The last failure of `endpoint`, if it is in trouble.
    pub fn of(&self, endpoint: &Endpoint) -> Option<DialError> {
        self.0.lock().get(endpoint).cloned()
    }
}

/// The addresses of all pools of a deployment.
#[derive(Debug)]
pub struct Gate {
    standings: RefCell<HashMap<Endpoint, Standing>>,
    /// The generation of each service's snapshot that was made way for.
    generations: RefCell<HashMap<String, u64>>,
    changed: watch::Sender<u64>,
    backoff_min: Duration,
    backoff_max: Duration,
    troubles: Arc<Troubles>,
}

/// What a dialler may do.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Dial now.
    Open,
    /// Not before then, or when the gate changes.
    Wait(Instant),
}

/// The right to one dial; tells the gate how it ended.
#[derive(Debug)]
pub struct Pass {
    gate: Rc<Gate>,
    endpoint: Endpoint,
    done: bool,
}

impl Gate {
    /// A gate that knows no address.
    pub fn new(backoff_min: Duration, backoff_max: Duration, troubles: Arc<Troubles>) -> Gate {
        Gate {
            standings: RefCell::new(HashMap::new()),
            generations: RefCell::new(HashMap::new()),
            changed: watch::Sender::new(0),
            backoff_min,
            backoff_max,
            troubles,
        }
    }

    /// Whether `endpoint` may be dialled now.
    pub fn entry(&self, endpoint: &Endpoint, now: Instant) -> Entry {
        match self.standings.borrow().get(endpoint) {
            Some(standing) if standing.next > now => Entry::Wait(standing.next),
            Some(standing) if standing.probing => Entry::Wait(now + MIN_BETWEEN_DIALS),
            _ => Entry::Open,
        }
    }

    /// The right to dial `endpoint` once, after [`Entry::Open`].
    pub fn pass(self: &Rc<Gate>, endpoint: &Endpoint) -> Pass {
        let now = clock::now();
        let mut standings = self.standings.borrow_mut();
        let standing = standings.entry(endpoint.clone()).or_insert(Standing {
            proven: None,
            flaps: false,
            failures: 0,
            next: now,
            probing: false,
        });
        standing.probing = standing.proven.is_none();
        if standing.proven.is_some_and(|since| since + PROBATION <= now) {
            standing.flaps = false;
            standing.failures = 0;
        } else if standing.flaps {
            standing.next = now + MIN_BETWEEN_DIALS;
        }
        Pass {
            gate: Rc::clone(self),
            endpoint: endpoint.clone(),
            done: false,
        }
    }

    /// A connection to `endpoint` was lost: the next dial is a probe.
    pub fn suspect(&self, endpoint: &Endpoint) {
        let now = clock::now();
        if let Some(standing) = self.standings.borrow_mut().get_mut(endpoint) {
            let Some(since) = standing.proven.take() else { return };
            let soon = since + PROBATION > now;
            // Once may be an accident; from then on it is let in one dial after the other, and later.
            if soon && standing.flaps {
                standing.failures = standing.failures.saturating_add(1);
                standing.next = now + self.backoff(standing.failures);
            }
            standing.flaps = soon;
        }
    }

    /// `endpoint` is the primary of `service` from `generation` on: it may be dialled at once, once.
    pub fn named(&self, service: &str, generation: u64, endpoint: &Endpoint) {
        let before = self.generations.borrow_mut().insert(service.to_owned(), generation);
        if before.is_none_or(|before| before < generation) && self.standings.borrow_mut().remove(endpoint).is_some() {
            self.troubles.0.lock().remove(endpoint);
            self.tell();
        }
    }

    /// There are new credentials: whoever refused the old ones may be dialled at once.
    pub fn forgive_logins(&self) {
        let mut standings = self.standings.borrow_mut();
        self.troubles.0.lock().retain(|endpoint, error| {
            let refused = error.stage == Stage::Auth;
            if refused {
                standings.remove(endpoint);
            }
            !refused
        });
        drop(standings);
        self.tell();
    }

    /// How the last dial to `endpoint` failed, if it is in trouble.
    pub fn error(&self, endpoint: &Endpoint) -> Option<DialError> {
        self.troubles.of(endpoint)
    }

    /// Tells of every probe that succeeded or was refused the login.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The node takes connections and yet does not serve: not to be dialled again at once.
    pub fn failed(&self, endpoint: &Endpoint, error: &DialError) {
        if let Some(standing) = self.standings.borrow_mut().get_mut(endpoint) {
            standing.failures = standing.failures.saturating_add(1);
            standing.next = clock::now() + self.backoff(standing.failures);
            standing.proven = None;
            standing.probing = false;
        }
        self.troubles.0.lock().insert(endpoint.clone(), error.clone());
        // A refused login ends every wait; any other failure is the prober's affair, or it would wake everybody.
        if matches!(error.stage, Stage::Auth | Stage::Tls) {
            self.tell();
        }
    }

    fn succeeded(&self, endpoint: &Endpoint) {
        let proves = match self.standings.borrow_mut().get_mut(endpoint) {
            Some(standing) if standing.proven.is_none() => {
                standing.proven = Some(clock::now());
                standing.probing = false;
                true
            }
            _ => false,
        };
        if proves {
            self.troubles.0.lock().remove(endpoint);
            self.tell();
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn backoff(&self, failures: u32) -> Duration {
        let ceiling = self
            .backoff_min
            .saturating_mul(1 << failures.min(10))
            .min(self.backoff_max);
        MIN_BETWEEN_DIALS + ceiling.mul_f64(fastrand::f64())
    }
}

impl Pass {
    /// The dial succeeded: everybody may connect.
    pub fn succeeded(mut self) {
        self.done = true;
        self.gate.succeeded(&self.endpoint);
    }

    /// The dial failed: the next one is due after a backoff with full jitter.
    pub fn failed(mut self, error: &DialError) {
        self.done = true;
        self.gate.failed(&self.endpoint, error);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Some(standing) = self.gate.standings.borrow_mut().get_mut(&self.endpoint) {
            standing.probing = false;
        }
        self.gate.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Rc<Gate> {
        Rc::new(Gate::new(
            Duration::from_millis(5),
            Duration::from_millis(500),
            Arc::default(),
        ))
    }

    #[test]
    fn an_unknown_node_is_probed_by_one_and_then_open_to_all() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        assert_eq!(gate.entry(&node, Instant::now()), Entry::Open);
        let pass = gate.pass(&node);
        assert!(matches!(gate.entry(&node, Instant::now()), Entry::Wait(_)));
        pass.succeeded();
        let (one, other) = (gate.pass(&node), gate.pass(&node));
        assert_eq!(gate.entry(&node, Instant::now()), Entry::Open);
        one.succeeded();
        other.succeeded();
    }

    #[test]
    fn a_failed_probe_is_followed_by_a_wait_and_an_abandoned_one_is_not() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        gate.pass(&node).failed(&DialError::new(Stage::Connect, "refused"));
        let now = Instant::now();
        assert!(matches!(gate.entry(&node, now), Entry::Wait(at) if at > now + Duration::from_millis(90)));
        let later = now + Duration::from_secs(2);
        assert_eq!(gate.entry(&node, later), Entry::Open);
        drop(gate.pass(&node));
        assert_eq!(gate.entry(&node, later), Entry::Open);
        assert_eq!(gate.error(&node).map(|error| error.cause), Some("refused".to_owned()));
    }

    #[test]
    fn a_primary_named_anew_is_dialled_at_once_but_once() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        gate.pass(&node).failed(&DialError::new(Stage::Connect, "refused"));
        gate.named("service", 1, &node);
        assert_eq!(gate.entry(&node, Instant::now()), Entry::Open);
        gate.pass(&node).failed(&DialError::new(Stage::Connect, "refused"));
        gate.named("service", 1, &node);
        assert!(
            matches!(gate.entry(&node, Instant::now()), Entry::Wait(_)),
            "for every client the same news"
        );
        gate.named("service", 2, &node);
        assert_eq!(gate.entry(&node, Instant::now()), Entry::Open);
    }

    #[test]
    fn a_node_that_closes_what_it_takes_is_dialled_by_one_after_the_other() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        gate.pass(&node).succeeded();
        gate.suspect(&node);
        assert_eq!(
            gate.entry(&node, Instant::now()),
            Entry::Open,
            "once may be an accident"
        );
        gate.pass(&node).succeeded();
        let taken = gate.entry(&node, Instant::now());
        assert!(matches!(taken, Entry::Wait(_)), "taken, but not trusted yet: {taken:?}");
        gate.suspect(&node);
        let wait = Instant::now() + Duration::from_millis(90);
        assert!(matches!(gate.entry(&node, Instant::now()), Entry::Wait(at) if at > wait));
    }
}
