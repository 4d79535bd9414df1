//! What is known of a service: written by discovery, read by everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::base::sync::Mutex;
use tokio::sync::{mpsc, watch};

use crate::base::deadline::Deadline;
use crate::base::error::{Attempt, ErrorKind, Reason, Stage};
use crate::base::flag::Turns;
use crate::base::handoff::{Giver, handoff};
use crate::net::Endpoint;
pub use crate::net::Role;

/// A node as discovery reports it to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is, after `address.map`.
    pub endpoint: Endpoint,
    /// Its part.
    pub role: Role,
    /// Every field as Sentinel reported it, in its order.
    pub fields: Vec<(String, String)>,
}

impl Node {
    /// The field `name` as Sentinel reported it.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }
}

/// The value of the field `name`.
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// Whether writes go out to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writes {
    /// They do.
    #[default]
    Flow,
    /// They wait, for this reason, while reads go on.
    Held(Reason),
}

impl Writes {
    /// Why they wait.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Writes::Flow => None,
            Writes::Held(reason) => Some(reason),
        }
    }
}

/// A service at one moment. Replaced as a whole, so that a reader never sees half of a switch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The config epoch under which the primary was named.
    pub epoch: u64,
    /// The primary, once one was named. It stays through the loss of every Sentinel.
    pub primary: Option<Node>,
    /// The replicas that may be read from, by what the Sentinels say of them.
    pub replicas: Vec<Node>,
    /// Those of them that no Sentinel lists any more: each is to be read from only while it says itself that it follows
    /// the primary it followed.
    pub forgotten: Vec<Endpoint>,
    /// The freshest replication offset that any Sentinel reports of a replica.
    pub freshest: u64,
    /// The replicas that may not, each with what keeps it out.
    pub left_out: Vec<(Node, String)>,
    /// The Sentinels that watch the service.
    pub sentinels: Vec<Node>,
    /// Counts the changes of epoch or primary; pools start a new generation with each.
    pub generation: u64,
    /// No Sentinel names the primary yet: it says itself that it is one, as the leader of a failover told before.
    pub foreseen: bool,
    /// The replica that a Sentinel is about to promote: whoever can log in there asks it what it is.
    pub awaited: Option<Awaited>,
    /// Whether writes go out to the primary.
    pub writes: Writes,
}

/// A replica that a Sentinel is about to promote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Where it is, after `address.map`.
    pub replica: Endpoint,
    /// The config epoch of the failover.
    pub epoch: u64,
}

/// Turns to holding writes or to letting them go, where it was the other. Read before each write.
fn follow(writes: Writes, turns: &Turns) {
    let (now, held) = (turns.now(), writes != Writes::Flow);
    if is_held(now) != held {
        turns.set(now + 1);
    }
}

/// Whether writes are held in this turn.
pub fn is_held(turns: u64) -> bool {
    turns % 2 == 1
}

/// A channel for the snapshots of one service.
pub fn snapshots() -> (Publisher, Snapshots) {
    let (to, from) = watch::channel(Arc::new(Snapshot::default()));
    let turns = Arc::<Turns>::default();
    let of = Arc::clone(&turns);
    (Publisher { to, turns }, Snapshots { from, turns: of })
}

/// Where discovery publishes what is known of a service.
#[derive(Debug)]
pub struct Publisher {
    to: watch::Sender<Arc<Snapshot>>,
    turns: Arc<Turns>,
}

impl Publisher {
    /// What was published last.
    pub fn borrow(&self) -> watch::Ref<'_, Arc<Snapshot>> {
        self.to.borrow()
    }

    /// Publishes what `modify` makes of it, and tells of it where that answers true. Writes are held, or let go, in any case.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut Arc<Snapshot>) -> bool) -> bool {
        self.to.send_if_modified(|current| {
            let before = current.writes;
            let is_told = modify(current);
            follow(current.writes, &self.turns);
            is_told || current.writes != before
        })
    }

    /// Has everybody look again.
    pub fn tell(&self) {
        self.to.send_modify(|_| {});
    }

    /// Holds writes, or lets them go.
    pub fn hold(&self, writes: Writes) {
        self.send_if_modified(|current| {
            if current.writes != writes {
                Arc::make_mut(current).writes = writes;
            }
            false
        });
    }
}

/// The other end, of a [`Service`].
#[derive(Debug)]
pub struct Snapshots {
    from: watch::Receiver<Arc<Snapshot>>,
    turns: Arc<Turns>,
}

impl Snapshots {
    /// The newest.
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.from.borrow())
    }
}

/// What one Sentinel last said of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It was asked and has not answered yet.
    Asked,
    /// The question failed.
    Failed(Attempt),
    /// It refused the login.
    Refused(Attempt),
    /// It knows no such service.
    Unknown,
    /// It knows the service but no address of its primary: a name it could not resolve, or port 0.
    NoAddress,
    /// It knows fewer peers than `sentinel.min_other_sentinels`.
    TooFewPeers(u32),
    /// None of the Sentinels that have a say knows it: what it names, and under which epoch, counts for nothing.
    Stranger(Option<(Endpoint, u64)>),
    /// It names this primary.
    Names {
        /// The address, after `address.map`.
        primary: Endpoint,
        /// The config epoch of its view.
        epoch: u64,
        /// Since when it has said so without a break.
        since: Instant,
        /// When it last said so.
        heard: Instant,
    },
}

impl Word {
    /// Makes a refused login one that was not tried yet.
    pub fn forget_refusal(&mut self) {
        if let Word::Refused(_) = self {
            *self = Word::Asked;
        }
    }
}

/// The words of all Sentinels, in the order in which they are asked.
pub type Words = Vec<(Endpoint, Word)>;

/// Why no primary is known, from what each Sentinel last said.
pub fn why_unknown(words: &Words) -> (Reason, Vec<Attempt>) {
    use Stage::Query;
    let mut refused = 0;
    let (mut unknown, mut few, mut failed) = (false, false, false);
    let mut attempts = Vec::new();
    for (endpoint, word) in words {
        let note = |cause: String| Attempt {
            endpoint: endpoint.to_string(),
            stage: Query,
            cause,
        };
        match word {
            Word::Asked => {
                failed = true;
                attempts.push(note("no answer yet".into()));
            }
            Word::Failed(attempt) => {
                failed = true;
                attempts.push(attempt.clone());
            }
            Word::Refused(attempt) => {
                refused += 1;
                attempts.push(attempt.clone());
            }
            Word::Unknown => {
                unknown = true;
                attempts.push(note("it knows no such service".into()));
            }
            Word::NoAddress => attempts.push(note("it knows no address of the primary".into())),
            Word::Stranger(_) => {
                failed = true;
                attempts.push(note(
                    "it is no Sentinel of this deployment: none that is knows it".into(),
                ));
            }
            Word::TooFewPeers(peers) => {
                few = true;
                attempts.push(note(format!("it knows {peers} other Sentinels")));
            }
            Word::Names { primary, epoch, .. } => attempts.push(note(format!("it names {primary}, epoch {epoch}"))),
        }
    }
    let reason = match () {
        () if unknown => Reason::UnknownService,
        () if few => Reason::TooFewSentinels,
        () if refused > 0 => Reason::SentinelAuth,
        () if !failed && !attempts.is_empty() => Reason::NodeUnreachable,
        () => Reason::NoSentinelReachable,
    };
    (reason, attempts)
}

/// The error of a service whose Sentinels name no primary, and all attempts.
pub fn unknown_primary(service: &str, role: Role, words: &Words) -> (ErrorKind, Vec<Attempt>) {
    let (reason, attempts) = why_unknown(words);
    let service = service.to_owned();
    let kind = match (tls_failure(words), role) {
        (Some(cause), _) => ErrorKind::Tls { cause },
        (None, Role::Replica) => ErrorKind::ReplicaNotFound { service, reason },
        (None, Role::Primary | Role::Sentinel) => ErrorKind::PrimaryNotFound { service, reason },
    };
    (kind, attempts)
}

/// What is wrong with TLS, when that is what keeps every Sentinel known from being asked.
pub fn tls_failure(words: &Words) -> Option<String> {
    let causes = words.iter().map(|(_, word)| match word {
        Word::Failed(attempt) if attempt.stage == Stage::Tls => Some(attempt.cause.clone()),
        _ => None,
    });
    let causes: Option<Vec<String>> = causes.collect();
    causes?.into_iter().next()
}

/// Whether it is for who or what we are that the Sentinels cannot be asked: what their callers wait for then is of no use.
pub fn turned_away(words: &Words) -> bool {
    why_unknown(words).0 == Reason::SentinelAuth || tls_failure(words).is_some()
}

/// Whether asking again cannot help: every Sentinel known refuses the login or fails in TLS, or a majority knows no such
/// service and none does.
pub fn is_final(words: &Words) -> bool {
    let count = |want: fn(&Word) -> bool| words.iter().filter(|(_, word)| want(word)).count();
    let turned_away =
        |word: &Word| matches!(word, Word::Refused(_)) || matches!(word, Word::Failed(at) if at.stage == Stage::Tls);
    let refused = count(turned_away);
    let unknown = count(|word| matches!(word, Word::Unknown));
    let silent = count(|word| matches!(word, Word::Failed(_) | Word::Refused(_)));
    let others = words.len() - unknown - silent;
    (refused > 0 && refused == words.len()) || (unknown * 2 > words.len() && others == 0)
}

/// Something that makes it likely that the view of a service is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A connection to its node was lost or could not be made.
    Lost,
    /// A node did not hold the role, or said so in an error reply.
    WrongRole,
    /// A node does not answer in time.
    Silent,
}

/// What is wanted of the watcher of a service.
#[derive(Debug)]
pub enum Request {
    /// Look again: something looked wrong.
    Look(Hint),
    /// Ask all Sentinels now; true when one of them named a primary, false when asking again cannot help.
    Ask(Giver<bool>),
    /// There are new credentials: ask whoever refused the old ones.
    Renew,
    /// The replica that was awaited says that it is the primary.
    Promoted(Awaited),
}

/// A service as everything outside of discovery sees it. Any thread.
#[derive(Debug)]
pub struct Service {
    name: String,
    snapshots: Snapshots,
    words: Arc<Mutex<Words>>,
    requests: mpsc::UnboundedSender<Request>,
    unserved: Arc<AtomicUsize>,
    in_use: Arc<()>,
}

/// Held by whoever uses a service: while somebody does, it is watched.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl InUse {
    /// A user of `service`.
    pub fn new(service: &Service) -> InUse {
        InUse(Arc::clone(&service.in_use))
    }
}

/// The mark of a client whose callers wait for a primary to be named: while there is one, discovery goes on asking.
#[derive(Debug)]
pub struct Unserved(Arc<AtomicUsize>);

impl Unserved {
    /// Marks a client of `service`.
    pub fn new(service: &Service) -> Unserved {
        service.unserved.fetch_add(1, Ordering::Relaxed);
        Unserved(Arc::clone(&service.unserved))
    }
}

impl Drop for Unserved {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service {
    /// Binds the ends that discovery writes.
    pub fn new(
        name: String,
        snapshots: Snapshots,
        words: Arc<Mutex<Words>>,
        requests: mpsc::UnboundedSender<Request>,
        unserved: Arc<AtomicUsize>,
    ) -> Service {
        Service {
            name,
            snapshots,
            words,
            requests,
            unserved,
            in_use: Arc::default(),
        }
    }

    /// Whether somebody uses it.
    pub fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.in_use) > 1
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.newest()
    }

    /// Whether no write is to be handed over to the primary now. Writes in flight end as they end.
    #[inline]
    pub fn holds_writes(&self) -> bool {
        is_held(self.snapshots.turns.now())
    }

    /// Counts how often writes were held, and let go again.
    pub fn turns(&self) -> u64 {
        self.snapshots.turns.now()
    }

    /// Tells of each new snapshot.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.from.clone()
    }

    /// What each Sentinel last said.
    pub fn words(&self) -> Words {
        self.words.lock().clone()
    }

    /// Asks discovery to look again. Many hints make one question.
    pub fn hint(&self, hint: Hint) {
        let _ = self.requests.send(Request::Look(hint));
    }

    /// There are new credentials for the Sentinels: what was said to the old ones holds for no later call.
    pub fn renew(&self) {
        for (_, word) in self.words.lock().iter_mut() {
            word.forget_refusal();
        }
        let _ = self.requests.send(Request::Renew);
    }

    /// The replica that was awaited says that it is the primary.
    pub fn promoted(&self, awaited: Awaited) {
        let _ = self.requests.send(Request::Promoted(awaited));
    }

    /// Asks all Sentinels and waits for the outcome: true when one named a primary, false when asking again cannot
    /// help, `None` at the deadline.
    pub fn ask(&self, deadline: Deadline) -> Option<bool> {
        let (giver, taker) = handoff();
        let _ = self.requests.send(Request::Ask(giver));
        taker.take(deadline)
    }
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
