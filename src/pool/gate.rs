//! Who may dial which address when: one probe at a time to a node that is not known to take connections, however many
//! clients wait for it, and a budget of dials where connections are lost.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::troubles::Troubles;
use crate::base::clock;
use crate::base::error::Stage;
use crate::net::{DialError, Endpoint};

/// No address in trouble is dialled more often in the long run: ten times a second.
const BETWEEN_DIALS: Duration = Duration::from_millis(100);

/// So many of them may come at once.
const BURST: u32 = 10;

/// So long after a connection was lost an address is not trusted to keep what it takes, and so long it must have taken
/// connections for its failures to count no more.
const PROBATION: Duration = Duration::from_secs(1);

/// So many addresses are kept without a look at how old they are.
const FEW: usize = 64;

/// So long after its last dial an address that no keeper comes back to is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Who has no duty to probe a node in trouble looks so much later.
const LEAVE_IT_MS: std::ops::Range<u64> = 0..1000;

/// Those who wait for the budget come one after the other.
const LEAVE_SPENT_MS: std::ops::Range<u64> = 0..50;

#[derive(Debug)]
struct Standing {
    /// Since when it takes connections; `None` while that is unknown or untrue.
    proven: Option<Instant>,
    failures: u32,
    /// After a failed dial: the next one is due then.
    next: Instant,
    probing: bool,
    /// When a connection was last lost.
    lost: Option<Instant>,
    /// When all that was dialled since will have been paid for.
    paid: Instant,
    /// The last dial.
    dialled: Instant,
}

impl Standing {
    fn new(now: Instant) -> Standing {
        Standing {
            proven: None,
            failures: 0,
            next: now,
            probing: false,
            lost: None,
            paid: now,
            dialled: now,
        }
    }

    /// Whether dials cost something: where nothing was lost lately a pool may grow as it likes.
    fn is_doubtful(&self, now: Instant) -> bool {
        self.lost.is_some_and(|at| at + PROBATION > now)
    }

    /// One dial is made.
    fn spend(&mut self, now: Instant) {
        if self.is_doubtful(now) {
            self.paid = self.paid.max(now) + BETWEEN_DIALS;
        }
    }

    /// When the budget has room for a dial.
    fn affordable(&self) -> Instant {
        let ahead = BETWEEN_DIALS * (BURST - 1);
        self.paid.checked_sub(ahead).unwrap_or(self.paid)
    }

    fn is_forgotten(&self, now: Instant, after: Duration) -> bool {
        !self.probing && self.dialled + after <= now && self.next <= now
    }
}

/// The addresses of all pools of a deployment.
#[derive(Debug)]
pub struct Gate {
    standings: RefCell<HashMap<Endpoint, Standing>>,
    /// With so many of them it is time to forget some.
    crowd: Cell<usize>,
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
    /// The budget is spent until then.
    Spent(Instant),
}

impl Entry {
    /// When who was not let in looks again. `mine`: its dial was the last, so that to probe the node is its duty; the
    /// others leave that to it for a while, since its callers may be gone.
    pub fn look_again(&self, mine: bool) -> Instant {
        let (at, leave) = match self {
            Entry::Open => return clock::now(),
            Entry::Wait(at) => (*at, if mine { 0..1 } else { LEAVE_IT_MS }),
            Entry::Spent(at) => (*at, LEAVE_SPENT_MS),
        };
        at + Duration::from_millis(fastrand::u64(leave))
    }
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
            crowd: Cell::new(FEW),
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
            Some(standing) if standing.probing => Entry::Wait(now + BETWEEN_DIALS),
            Some(standing) if standing.is_doubtful(now) && standing.affordable() > now => {
                Entry::Spent(standing.affordable())
            }
            _ => Entry::Open,
        }
    }

    /// The right to dial `endpoint` once, after [`Entry::Open`].
    pub fn pass(self: &Rc<Gate>, endpoint: &Endpoint) -> Pass {
        let now = clock::now();
        self.forget(now);
        let mut standings = self.standings.borrow_mut();
        let standing = standings.entry(endpoint.clone()).or_insert_with(|| Standing::new(now));
        standing.dialled = now;
        standing.probing = standing.proven.is_none();
        if standing.proven.is_some_and(|since| since + PROBATION <= now) {
            standing.failures = 0;
        }
        standing.spend(now);
        Pass {
            gate: Rc::clone(self),
            endpoint: endpoint.clone(),
            done: false,
        }
    }

    /// Forgets the addresses that nobody dials any more: whenever there are twice as many as the last time.
    fn forget(&self, now: Instant) {
        let mut standings = self.standings.borrow_mut();
        if standings.len() < self.crowd.get() {
            return;
        }
        let after = FORGET.max(self.backoff_max);
        standings.retain(|_, standing| !standing.is_forgotten(now, after));
        self.troubles.retain(|endpoint| standings.contains_key(endpoint));
        self.crowd.set(FEW.max(standings.len() * 2));
    }

    /// A connection to `endpoint` was lost: the next dial is a probe.
    pub fn suspect(&self, endpoint: &Endpoint) {
        if let Some(standing) = self.standings.borrow_mut().get_mut(endpoint) {
            standing.proven = None;
            standing.lost = Some(clock::now());
        }
    }

    /// Connections to `endpoint` do not last: each dial costs something for a while.
    pub fn doubt(&self, endpoint: &Endpoint) {
        if let Some(standing) = self.standings.borrow_mut().get_mut(endpoint) {
            standing.lost = Some(clock::now());
        }
    }

    /// A connection to `endpoint` was lost before it was of any use: as if its dial had failed.
    pub fn was_useless(&self, endpoint: &Endpoint) {
        self.suspect(endpoint);
        if let Some(standing) = self.standings.borrow_mut().get_mut(endpoint) {
            standing.failures = standing.failures.saturating_add(1);
            standing.next = clock::now() + self.backoff(standing.failures);
        }
    }

    /// `endpoint` is the primary of `service` from `generation` on: it may be dialled at once, once.
    pub fn named(&self, service: &str, generation: u64, endpoint: &Endpoint) {
        let before = self.generations.borrow_mut().insert(service.to_owned(), generation);
        if before.is_none_or(|before| before < generation) && self.standings.borrow_mut().remove(endpoint).is_some() {
            self.troubles.remove(endpoint);
            self.tell();
        }
    }

    /// These may be dialled at once.
    pub fn forgive(&self, endpoints: &[Endpoint]) {
        let mut standings = self.standings.borrow_mut();
        for endpoint in endpoints {
            standings.remove(endpoint);
        }
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
        let is_news = self.troubles.enter(endpoint, error);
        // A refused login ends every wait, and that there is no node may; any other failure is the prober's affair, or it
        // would wake everybody.
        if is_news || matches!(error.stage, Stage::Auth | Stage::Tls) {
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
            self.troubles.remove(endpoint);
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
        BETWEEN_DIALS + ceiling.mul_f64(fastrand::f64())
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
    fn a_connection_that_was_lost_before_it_was_of_use_is_a_dial_that_failed() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        for _ in 0..3 {
            gate.pass(&node).succeeded();
            gate.was_useless(&node);
            let wait = Instant::now() + Duration::from_millis(90);
            assert!(matches!(gate.entry(&node, Instant::now()), Entry::Wait(at) if at > wait));
        }
    }

    /// Dials `node` until the gate says no. How often that was.
    fn dial_all(gate: &Rc<Gate>, node: &Endpoint, most: u32) -> u32 {
        let mut dials = 0;
        while dials < most && gate.entry(node, Instant::now()) == Entry::Open {
            gate.pass(node).succeeded();
            dials += 1;
        }
        dials
    }

    #[test]
    fn a_connection_that_was_lost_costs_nothing_but_the_dial_that_replaces_it() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        gate.pass(&node).succeeded();
        for _ in 0..BURST {
            gate.suspect(&node);
            assert_eq!(gate.entry(&node, Instant::now()), Entry::Open);
            let pass = gate.pass(&node);
            assert!(
                matches!(gate.entry(&node, Instant::now()), Entry::Wait(_)),
                "one probe at a time"
            );
            pass.succeeded();
        }
    }

    #[test]
    fn dials_to_a_node_that_closes_what_it_takes_have_a_budget() {
        let (gate, node) = (gate(), Endpoint::new("n", 1));
        assert_eq!(
            dial_all(&gate, &node, 100),
            100,
            "a pool may grow where nothing is lost"
        );
        gate.suspect(&node);
        let dials = dial_all(&gate, &node, 100);
        assert!((BURST..=BURST + 2).contains(&dials), "{dials} at once");
        let now = Instant::now();
        let entry = gate.entry(&node, now);
        assert!(
            matches!(entry, Entry::Spent(at) if at > now && at <= now + BETWEEN_DIALS),
            "{entry:?}"
        );
        assert_eq!(gate.entry(&node, now + BETWEEN_DIALS), Entry::Open);
        assert_eq!(
            gate.entry(&node, now + PROBATION),
            Entry::Open,
            "it keeps what it takes now"
        );
    }

    #[test]
    fn an_outage_of_losses_is_dialled_ten_times_a_second_in_the_long_run() {
        let start = Instant::now();
        let mut standing = Standing::new(start);
        standing.lost = Some(start);
        let (mut now, mut dials) = (start, 0);
        while now < start + Duration::from_secs(60) {
            standing.lost = Some(now);
            if standing.affordable() <= now {
                standing.spend(now);
                dials += 1;
            }
            now += Duration::from_millis(1);
        }
        assert!((600..=600 + BURST).contains(&dials), "{dials} in a minute");
    }

    #[test]
    fn addresses_that_nobody_dials_any_more_are_forgotten() {
        let gate = gate();
        let error = DialError::new(Stage::Connect, "refused");
        for port in 1..10_000 {
            let node = Endpoint::new("n", port);
            match port % 2 {
                0 => gate.pass(&node).succeeded(),
                _ => gate.pass(&node).failed(&error),
            }
            // As if each had been dialled ten minutes before the next.
            for standing in gate.standings.borrow_mut().values_mut() {
                let ago = |at: Instant| at.checked_sub(FORGET * 10).unwrap_or(at);
                (standing.dialled, standing.next) = (ago(standing.dialled), ago(standing.next));
            }
        }
        let kept = (gate.standings.borrow().len(), gate.troubles.len());
        assert!(kept.0 <= FEW && kept.1 <= FEW, "{kept:?}");
    }
}
