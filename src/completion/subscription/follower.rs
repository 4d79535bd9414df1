//! The task of sentinel-io that keeps a subscription in force: dials, restores, listens, and does it all again.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;

use super::gap::Gap;
use super::names::{ChannelKind, Names};
use super::outlet::{Notice, Outlet};
use super::route::{Target, candidates};
use super::session::{Ended, Heard, Session};
use super::wanted::Wanted;
use crate::base::clock;
use crate::base::error::{Error, ErrorKind, Stage};
use crate::net::{DialError, Endpoint, Greeted, Login, Transport, handshake};
use crate::observe::events::{Event, What};
use crate::pool::gate::Entry;
use crate::pool::{Common, Pool, verify, way_in};
use crate::resp::Reply;
use crate::topology::{Hint, Snapshot, Unserved};

/// How often a subscription that waits for a node to be named looks by itself.
const STILL_WAITING_MS: std::ops::Range<u64> = 1000..2000;

/// Messages that may come before all names have been restored, and wait for that: usually none, at most this many.
const HELD: usize = 4096;

/// A connection that the program counted on and that is gone.
struct Loss {
    from: Endpoint,
    /// Its last sign of life.
    since: Instant,
}

/// Why a connection is left.
enum Left {
    /// The service named another node.
    Moved,
    /// The node has taken newer credentials on this connection.
    Renewed(Box<Greeted>),
    Ended(Ended),
}

/// The login of a connection.
struct LoggedIn {
    /// The number of the newest credentials that the node was shown.
    number: u64,
    /// RESP3: others can be told on the same connection, beside the subscriptions.
    in_place: bool,
}

impl LoggedIn {
    fn of(greeted: &Greeted) -> LoggedIn {
        LoggedIn {
            number: greeted.login,
            in_place: greeted.protocol == 3,
        }
    }
}

/// A connection that is being made.
type Dialling = Pin<Box<dyn Future<Output = Result<Greeted, DialError>>>>;

/// A second connection to a node, under way or not.
#[derive(Default)]
struct Another(Option<Dialling>);

impl Another {
    fn start(&mut self, greeting: impl Future<Output = Result<Greeted, DialError>> + 'static) {
        self.0 = Some(Box::pin(greeting));
    }

    /// Returns when it is made or could not be; never where none is under way.
    async fn made(&mut self) -> Result<Greeted, DialError> {
        let Some(greeting) = &mut self.0 else {
            return std::future::pending().await;
        };
        let result = greeting.await;
        self.0 = None;
        result
    }
}

/// Keeps a subscription in force for ever, or until it or its queue ends. Runs on sentinel-io.
pub(crate) async fn follow(wanted: Arc<Wanted>, pool: Arc<Pool>, common: Rc<Common>) {
    Follower::new(wanted, pool, common).run().await;
}

struct Follower {
    wanted: Arc<Wanted>,
    pool: Arc<Pool>,
    common: Rc<Common>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    gate_changes: watch::Receiver<u64>,
    /// How connections are made and logged in.
    way: Rc<(Login, Transport)>,
    outlet: Outlet,
    loss: Option<Loss>,
    /// Replicas that could not be connected to since one was.
    failed: Vec<Endpoint>,
    /// Counts the replicas tried; where the first subscription begins is any.
    turn: usize,
    /// The node whose last probe was this task's.
    duty: Option<Endpoint>,
    /// The program was told that no connection can be made.
    told_failure: bool,
    /// Discovery goes on asking while this is held.
    unserved: Option<Unserved>,
}

impl Follower {
    fn new(wanted: Arc<Wanted>, pool: Arc<Pool>, common: Rc<Common>) -> Follower {
        let watched = Arc::clone(&pool);
        let watchers = Box::new(move |gap: &Gap| tell_watchers(&watched, gap));
        let outlet = Outlet::new(Arc::clone(&wanted.queue), wanted.tag, pool.service.name(), watchers);
        Follower {
            snapshots: pool.service.changes(),
            gate_changes: common.gate.changes(),
            way: Rc::new(way_in(&pool, &common)),
            outlet,
            wanted,
            pool,
            common,
            loss: None,
            failed: Vec::new(),
            turn: fastrand::usize(..1 << 16),
            duty: None,
            told_failure: false,
            unserved: None,
        }
    }

    /// Runs until the subscription is freed or its queue takes nothing any more.
    async fn run(mut self) {
        let wanted = Arc::clone(&self.wanted);
        tokio::select! {
            () = wanted.ended.notified() => {}
            () = wanted.queue.over() => {}
            () = self.live() => {}
        }
    }

    async fn live(&mut self) {
        loop {
            while self.wanted.names().is_empty() {
                self.wanted.changed.notified().await;
            }
            let (target, mut greeted) = self.connect().await;
            while let Some(renewed) = self.listen(&target, greeted).await {
                greeted = renewed;
            }
        }
    }

    /// A verified connection to a node that holds the role, tried for as long as it takes.
    async fn connect(&mut self) -> (Target, Greeted) {
        loop {
            self.snapshots.mark_unchanged();
            self.gate_changes.mark_unchanged();
            let now = clock::now();
            let Some(target) = self.target(now) else {
                self.await_node(now).await;
                continue;
            };
            self.unserved = None;
            match self.common.gate.entry(&target.endpoint, now) {
                Entry::Open => {
                    if let Some(greeted) = self.dial(&target).await {
                        self.failed.clear();
                        self.told_failure = false;
                        return (target, greeted);
                    }
                }
                held => self.await_gate(&target, held).await,
            }
        }
    }

    /// The node to dial: the first that may be dialled now, or else the first.
    fn target(&mut self, now: Instant) -> Option<Target> {
        let snapshot = self.pool.service.snapshot();
        if let Some(primary) = &snapshot.primary {
            let service = self.pool.service.name();
            self.common.gate.named(service, snapshot.generation, &primary.endpoint);
        }
        let settings = &self.pool.settings;
        let mut targets = candidates(self.pool.role, &snapshot, settings, &self.failed, self.turn);
        if targets.is_empty() {
            self.failed.clear();
            targets = candidates(self.pool.role, &snapshot, settings, &[], self.turn);
        }
        let is_open = |target: &Target| self.common.gate.entry(&target.endpoint, now) == Entry::Open;
        let open = targets.iter().position(is_open).unwrap_or(0);
        targets.into_iter().nth(open)
    }

    /// Waits for a node to be named; discovery goes on asking meanwhile.
    async fn await_node(&mut self, now: Instant) {
        if self.unserved.is_none() {
            self.unserved = Some(Unserved::new(&self.pool.service));
            self.pool.service.hint(Hint::Lost);
        }
        let look = now + Duration::from_millis(fastrand::u64(STILL_WAITING_MS));
        tokio::select! {
            () = changed(&mut self.snapshots) => {}
            () = sleep_until(look.into()) => {}
        }
    }

    async fn await_gate(&mut self, target: &Target, held: Entry) {
        let at = held.look_again(self.duty.as_ref() == Some(&target.endpoint));
        tokio::select! {
            () = changed(&mut self.snapshots) => {}
            _ = self.gate_changes.changed() => {}
            () = sleep_until(at.into()) => {}
        }
    }

    /// One attempt; given up at once when the service names another node.
    async fn dial(&mut self, target: &Target) -> Option<Greeted> {
        let pass = self.common.gate.pass(&target.endpoint);
        let (pool, way) = (Arc::clone(&self.pool), Rc::clone(&self.way));
        let result = tokio::select! {
            result = greet(&pool, &way, target) => result,
            () = moved(&mut self.snapshots, &pool, target) => return None,
        };
        match result {
            Ok(greeted) => {
                pass.succeeded();
                Some(greeted)
            }
            Err(error) => {
                pass.failed(&error);
                self.note_failure(target, &error);
                None
            }
        }
    }

    fn note_failure(&mut self, target: &Target, error: &DialError) {
        self.duty = Some(target.endpoint.clone());
        // After the primary every replica has its turn again.
        if self.failed.contains(&target.endpoint) || target.role != self.pool.role {
            self.failed.clear();
        } else {
            self.failed.push(target.endpoint.clone());
        }
        self.turn = self.turn.wrapping_add(1);
        self.pool.service.hint(match error.stage {
            Stage::Role => Hint::WrongRole,
            _ => Hint::Lost,
        });
        if let (Some(error), false) = (refused_login(&target.endpoint, error), self.told_failure) {
            self.told_failure = true;
            let wanted = Arc::clone(&self.wanted);
            if let Some(names) = wanted.open_names() {
                self.outlet.notice(&names, Notice::Failed(error));
            };
        }
    }

    /// Restores everything on a new connection and hands on what comes, until the connection is lost or left. Gives the
    /// one that it was left for, with a newer login at the same node.
    async fn listen(&mut self, target: &Target, greeted: Greeted) -> Option<Greeted> {
        let names = self.wanted.names().connect();
        let login = LoggedIn::of(&greeted);
        let mut session = Session::new(greeted.wire, names);
        let mut listening = Listening::default();
        let left = self.attend(target, login, &mut session, &mut listening).await;
        let mut names = self.wanted.names();
        names.disconnect();
        if self.loss.is_none() && names.any_told() {
            self.loss = Some(Loss {
                from: target.endpoint.clone(),
                since: session.alive(),
            });
        }
        drop(names);
        match left {
            Left::Moved => None,
            Left::Renewed(greeted) => Some(*greeted),
            Left::Ended(ended) => {
                match listening.restored {
                    true => self.common.gate.suspect(&target.endpoint),
                    false => self.common.gate.was_useless(&target.endpoint),
                }
                self.pool.service.hint(match ended {
                    Ended::Silent => Hint::Silent,
                    Ended::Wire(_) | Ended::Unexpected => Hint::Lost,
                });
                None
            }
        }
    }

    async fn attend(
        &mut self,
        target: &Target,
        mut login: LoggedIn,
        session: &mut Session,
        listening: &mut Listening,
    ) -> Left {
        let (wanted, pool) = (Arc::clone(&self.wanted), Arc::clone(&self.pool));
        let way = Rc::clone(&self.way);
        let mut replacements = way.0.vault.replacements();
        let mut another = Another::default();
        loop {
            let waits = self.outlet.waits();
            tokio::select! {
                biased;
                () = moved(&mut self.snapshots, &pool, target) => return Left::Moved,
                (number, credentials) = replacements.newer_than(login.number), if session.is_written() => {
                    login.number = number;
                    if !(login.in_place && session.log_in(&credentials)) {
                        let (pool, way, target) = (Arc::clone(&pool), Rc::clone(&way), target.clone());
                        another.start(async move { greet(&pool, &way, &target).await });
                    }
                }
                greeted = another.made() => match greeted {
                    Ok(greeted) => return Left::Renewed(Box::new(greeted)),
                    Err(error) => pool.observer.login_kept(&error.at(&target.endpoint)),
                },
                () = wanted.changed.notified(), if session.is_written() => {
                    session.tell(wanted.names().take_changes());
                }
                ended = session.next() => {
                    self.take(target, session, listening);
                    if let Err(ended) = ended {
                        return Left::Ended(ended);
                    }
                }
                () = self.outlet.room(), if waits => {
                    if let Some(names) = wanted.open_names() {
                        self.outlet.flush(&names);
                    };
                }
            }
        }
    }

    /// Takes what the session has heard. The names stay locked meanwhile: what is removed is not posted afterwards.
    fn take(&mut self, target: &Target, session: &mut Session, listening: &mut Listening) {
        let wanted = Arc::clone(&self.wanted);
        let all_heard = session.take_heard();
        let Some(mut names) = wanted.open_names() else { return };
        for heard in all_heard {
            // In the order of the server: a name is told behind what was heard before it was in force.
            if listening.restored && matches!(heard, Heard::Confirmed(_) | Heard::Refused(..)) {
                let messages = listening.messages.drain(..);
                self.outlet.messages(&names, &target.endpoint, messages);
            }
            match heard {
                Heard::Message(kind, reply) if listening.restored || listening.messages.len() < HELD => {
                    listening.messages.push((kind, reply));
                }
                Heard::Message(..) => listening.dropped += 1,
                Heard::Confirmed(added) => {
                    if names.confirm(&added) {
                        let node = target.endpoint.clone();
                        self.outlet.notice(&names, Notice::Subscribed(added, node));
                    }
                }
                Heard::Refused(added, text) => {
                    if names.refuse(&added) {
                        let error = refusal(&added.name.bytes, added.name.kind, text, &target.endpoint);
                        self.outlet.notice(&names, Notice::Refused(added, error));
                    }
                }
                Heard::LoginRefused => {
                    let refused = DialError::new(Stage::Auth, "the node refused it");
                    self.pool.observer.login_kept(&refused.at(&target.endpoint));
                }
                Heard::Restored => self.restored(&names, target, listening),
            }
        }
        if listening.restored {
            self.outlet
                .messages(&names, &target.endpoint, listening.messages.drain(..));
        }
    }

    /// All names are in force again: what may have been missed until now is told.
    fn restored(&mut self, names: &Names, target: &Target, listening: &mut Listening) {
        listening.restored = true;
        let loss = self.loss.take().filter(|_| names.any_told());
        let dropped = std::mem::take(&mut listening.dropped);
        let to = target.endpoint.clone();
        match loss {
            Some(Loss { from, since }) => self.outlet.gap(names, from, to, since, dropped),
            None if dropped > 0 => self.outlet.gap(names, to.clone(), to, clock::now(), dropped),
            None => {}
        }
    }
}

/// What has come of a new connection so far.
#[derive(Default)]
struct Listening {
    restored: bool,
    messages: Vec<(ChannelKind, Reply)>,
    dropped: u64,
}

/// The one place at which a gap becomes known to those who watch SENTINEL_EVENT_SUBSCRIPTION_GAP: `gap.reply()` is the
/// event for each of them.
fn tell_watchers(pool: &Pool, gap: &Gap) {
    let what = What::Gap {
        from: gap.from.clone(),
        to: gap.to.clone(),
        milliseconds: gap.milliseconds(),
        dropped: gap.dropped,
    };
    pool.observer.bus.post(&Event {
        service: pool.service.name().into(),
        what,
    });
}

/// Returns when the service has changed.
async fn changed(snapshots: &mut watch::Receiver<Arc<Snapshot>>) {
    if snapshots.changed().await.is_err() {
        // Discovery is gone with the deployment: this task is about to be dropped.
        std::future::pending::<()>().await;
    }
}

/// Returns when the service has changed and names another node than `target`.
async fn moved(snapshots: &mut watch::Receiver<Arc<Snapshot>>, pool: &Pool, target: &Target) {
    loop {
        changed(snapshots).await;
        if !target.is_named(&snapshots.borrow(), &pool.settings) {
            return;
        }
    }
}

async fn greet(pool: &Pool, (login, transport): &(Login, Transport), target: &Target) -> Result<Greeted, DialError> {
    let settings = &pool.settings;
    let (limits, limit) = (settings.limits, settings.connect_timeout);
    let greeted = handshake::greet_node(&target.endpoint, login, transport, limits, limit).await?;
    let greeted = verify(greeted, target.role)?;
    target.objection(&greeted).map_or(Ok(greeted), Err)
}

/// The failure that no waiting cures: the program is told, and it is tried again all the same.
fn refused_login(endpoint: &Endpoint, error: &DialError) -> Option<Error> {
    let cause = error.cause.clone();
    let kind = match error.stage {
        Stage::Auth => ErrorKind::Auth { cause },
        Stage::Tls => ErrorKind::Tls { cause },
        _ => return None,
    };
    let attempts = vec![error.at(endpoint)];
    Some(Error::new(kind).at(endpoint.to_string()).with_attempts(attempts))
}

/// The server's word with the name that it is about.
fn refusal(name: &[u8], kind: ChannelKind, text: String, endpoint: &Endpoint) -> Error {
    let text = format!("{text} ({} \"{}\")", kind.subscribe(), name.escape_ascii());
    Error::new(ErrorKind::Server { text })
        .with_outcome(crate::base::error::Outcome::Refused)
        .at(endpoint.to_string())
}
