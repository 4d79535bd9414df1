//! One Sentinel: its connection, for every service and client of a deployment.
//!
//! A link is opened by the first question and kept for ever: questions and events share the connection in RESP3,
//! RESP2 needs a second one for the events. A link decides nothing; it tells the watchers what it heard.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::answer::{Answer, Depth, LinkId};
use super::events::Event;
use super::fence::sign_of_life;
use super::members::Members;
use super::redial::{FOR_CALLERS, longest_wait, patience};
use super::session::{PING_EVERY, Session};
use super::way::{Made, Way};
use crate::base::error::{Attempt, Stage};
use crate::base::{clock, tasks};
use crate::net::{DialError, Endpoint};
use crate::observe::{Observer, SentinelStats};
use crate::options::{DeploymentSettings, Foresee};

/// What a link tells the watcher of a service.
#[derive(Debug)]
pub enum Heard {
    /// The Sentinel answered a question.
    Answer(Box<Answer>),
    /// It was asked and did not answer, or the connection to it ended. `late`: it may only be slower than it was given time.
    Failed {
        /// What was tried.
        attempt: Attempt,
        /// It may only be slow.
        late: bool,
    },
    /// It published an event.
    Event(Event),
}

/// What a watcher receives from a link.
pub type Report = (LinkId, Heard);

/// A question about a service; `reports` also gets what follows of its own accord: events and lost connections.
#[derive(Debug, Clone)]
pub struct Question {
    /// The service.
    pub service: Rc<str>,
    /// How much is asked.
    pub depth: Depth,
    /// A caller waits for it: a Sentinel that is not connected is dialled for it.
    pub urgent: bool,
    /// Where the answer goes.
    pub reports: UnboundedSender<Report>,
}

/// What a link has learnt of its Sentinel's identity, to recognise it under another name.
#[derive(Debug, Default, Clone)]
pub struct Identity {
    /// The address of the last connection.
    pub peer: Option<Endpoint>,
    /// The Sentinel's run id (SENTINEL MYID, 6.2 and newer).
    pub run_id: Option<String>,
}

/// The handle of a link.
#[derive(Debug)]
pub struct Link {
    /// Its place among the links.
    pub id: LinkId,
    /// What is known of the Sentinel.
    pub identity: Rc<RefCell<Identity>>,
    way: Rc<Way>,
    questions: UnboundedSender<Question>,
}

impl Link {
    /// Starts the link's task. It dials with the first question.
    pub fn start(id: LinkId, way: Way, members: Rc<Members>, observer: Arc<Observer>) -> Link {
        let (questions, asked) = unbounded_channel();
        let identity = Rc::new(RefCell::new(Identity::default()));
        let way = Rc::new(way);
        let task = Task {
            id,
            endpoint: way.endpoint.clone(),
            settings: Rc::clone(&way.settings),
            stats: observer.sentinel(&way.endpoint),
            observer,
            way: Rc::clone(&way),
            changes: members.changes(),
            members,
            identity: Rc::clone(&identity),
            asked,
            services: HashMap::new(),
            open: HashSet::new(),
            failures: 0,
            too_slow: 0,
            unanswered: None,
        };
        tasks::start(task.run());
        Link {
            id,
            identity,
            way,
            questions,
        }
    }

    /// Under which address it goes.
    pub fn endpoint(&self) -> &Endpoint {
        &self.way.endpoint
    }

    /// How it is connected to.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Asks; the answer or the failure goes to the question's watcher.
    pub fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }
}

struct Task {
    id: LinkId,
    endpoint: Endpoint,
    settings: Rc<DeploymentSettings>,
    observer: Arc<Observer>,
    stats: Arc<SentinelStats>,
    way: Rc<Way>,
    members: Rc<Members>,
    changes: watch::Receiver<u64>,
    identity: Rc<RefCell<Identity>>,
    asked: UnboundedReceiver<Question>,
    /// Every service asked about whose watcher lives, and that watcher.
    services: HashMap<Rc<str>, UnboundedSender<Report>>,
    /// Services whose question has no answer yet.
    open: HashSet<Rc<str>>,
    failures: u32,
    /// How often it took longer than it was given.
    too_slow: u32,
    /// Since when there is no answer yet on the connection.
    unanswered: Option<Instant>,
}

/// A connection that could not be made, or has ended.
struct Lost {
    error: DialError,
    /// When it had been dialled, and with which credentials.
    dialled: Instant,
    shown: u64,
}

impl Task {
    async fn run(mut self) {
        self.live().await;
        self.members.fails(self.id);
        // A watcher of another service may still count on an answer.
        let attempt = Attempt {
            endpoint: self.endpoint.to_string(),
            stage: Stage::Query,
            cause: "no Sentinel reports it any more".to_owned(),
        };
        self.tell_all(&attempt);
    }

    async fn live(&mut self) {
        let Some(first) = self.asked.recv().await else { return };
        self.note(&first);
        self.stats.connecting();
        while self.may_dial().await {
            let (dialled, shown) = (clock::now(), self.way.vault.number());
            let error = match self.way.connect(self.too_slow).await {
                Ok(made) => {
                    self.unanswered = Some(dialled);
                    self.observer.link_up(&self.stats, made.greeted.protocol);
                    match self.serve(made).await {
                        Some(error) => error,
                        None => return,
                    }
                }
                Err(error) => {
                    if clock::now().saturating_duration_since(dialled)
                        >= self.settings.connect_timeout.min(self.settings.answer_timeout)
                    {
                        self.too_slow = self.too_slow.saturating_add(1);
                    }
                    error
                }
            };
            if !self.pause(Lost { error, dialled, shown }).await {
                return;
            }
        }
    }

    /// Waits for its turn; false: nobody wants the link any more.
    async fn may_dial(&mut self) -> bool {
        while let Err(at) = self.members.take_dial(self.id) {
            tokio::select! {
                question = self.asked.recv() => match question {
                    Some(question) => self.note(&question),
                    None => return false,
                },
                () = sleep_until(at.into()) => {}
            }
        }
        true
    }

    fn note(&mut self, question: &Question) {
        self.open.insert(Rc::clone(&question.service));
        if !self.services.contains_key(&question.service) {
            self.services.retain(|_, reports| !reports.is_closed());
        }
        let service = Rc::clone(&question.service);
        self.services.insert(service, question.reports.clone());
    }

    /// What begins on a new connection: the events, and every question, for what happened before it may have been missed.
    fn begin(&mut self, made: Made) -> Session {
        let Made { greeted, events } = made;
        let peer = greeted.wire.peer();
        let peer = peer.map(|peer| Endpoint::new(peer.ip().to_string(), peer.port()));
        self.identity.borrow_mut().peer.clone_from(&peer);
        if !greeted.has_my_id {
            self.members.answers(self.id, peer, None);
        }
        let limit = patience(self.settings.answer_timeout, self.too_slow);
        let ping_every = self
            .settings
            .fence
            .map_or(PING_EVERY, |limit| PING_EVERY.min(sign_of_life(limit)));
        let asked = (greeted.has_my_id, self.settings.foresee != Foresee::Off);
        let limits = (limit, ping_every);
        let mut session = Session::new(greeted.wire, events, asked, limits, Arc::clone(&self.stats));
        // Its greeting was an answer.
        self.members.hears(self.id);
        self.services.retain(|_, reports| !reports.is_closed());
        for service in self.services.keys() {
            session.ask(service, Depth::Lists);
            self.open.insert(Rc::clone(service));
        }
        session
    }

    /// Serves questions and events until the connection ends; `None` when the deployment is gone. Where the credentials are
    /// replaced, the connection is: when the Sentinel has taken the new ones.
    async fn serve(&mut self, made: Made) -> Option<DialError> {
        let wait = self.way.renewal_wait(true);
        let mut renewal = Box::pin(Rc::clone(&self.way).renew(made.greeted.login, wait, self.too_slow));
        let mut session = self.begin(made);
        loop {
            tokio::select! {
                question = self.asked.recv() => {
                    let question = question?;
                    session.ask(&question.service, question.depth);
                    self.note(&question);
                }
                heard = session.next() => match heard {
                    Ok(heard) => self.hear(heard),
                    Err(error) => {
                        self.too_slow = self.too_slow.saturating_add(u32::from(session.lost_patience()));
                        return Some(error);
                    }
                },
                (shown, renewed) = &mut renewal => {
                    let known = match renewed {
                        Ok(made) => {
                            let login = made.greeted.login;
                            session = self.begin(made);
                            login
                        }
                        Err(error) => self.keep_login(&error, shown),
                    };
                    let wait = self.way.renewal_wait(known >= shown);
                    renewal.set(Rc::clone(&self.way).renew(known, wait, self.too_slow));
                }
            }
        }
    }

    /// The number of the credentials that need not be shown to the Sentinel again: those that it refused.
    fn keep_login(&self, error: &DialError, shown: u64) -> u64 {
        self.observer.login_kept(&error.at(&self.endpoint));
        match error.stage {
            Stage::Auth => shown,
            _ => shown.saturating_sub(1),
        }
    }

    fn hear(&mut self, heard: super::session::Heard) {
        use super::session::Heard as Said;
        if !matches!(heard, Said::Silence) {
            self.members.hears(self.id);
        }
        match heard {
            Said::Answer(service, answer) => {
                self.failures = 0;
                self.was_answered();
                self.stats.answers.count();
                self.open.remove(&service);
                self.report(&service, Heard::Answer(answer));
            }
            Said::Event(event) => {
                let service = event.service.as_deref();
                self.observer.heard_event(&self.stats, event.channel, service);
                self.spread(event);
            }
            Said::RunId(run_id) => {
                if let Some(run_id) = &run_id {
                    self.stats.named(run_id);
                }
                let peer = self.identity.borrow().peer.clone();
                self.members.answers(self.id, peer, run_id.as_deref());
                self.identity.borrow_mut().run_id = run_id;
            }
            Said::Nothing | Said::Silence => {}
        }
    }

    /// Whoever greets and answers in a small part of what it is given needs no more.
    fn was_answered(&mut self) {
        let soon = (self.settings.connect_timeout + self.settings.answer_timeout) / 8;
        let dialled = self.unanswered.take();
        let is_quick = dialled.is_some_and(|at| clock::now().saturating_duration_since(at) < soon);
        self.too_slow = self.too_slow.saturating_sub(u32::from(is_quick));
    }

    fn spread(&mut self, event: Event) {
        match &event.service {
            Some(service) => self.report(service.as_str(), Heard::Event(event.clone())),
            None => {
                let services: Vec<Rc<str>> = self.services.keys().cloned().collect();
                for service in services {
                    self.report(&service, Heard::Event(event.clone()));
                }
            }
        }
    }

    fn report(&self, service: &str, heard: Heard) {
        if let Some(reports) = self.services.get(service) {
            let _ = reports.send((self.id, heard));
        }
    }

    /// Tells every watcher: even one without an open question must not go on counting on this Sentinel's last word.
    fn tell_all(&mut self, attempt: &Attempt) {
        self.open.clear();
        for reports in self.services.values() {
            let _ = reports.send((self.id, self.failed(attempt)));
        }
    }

    fn failed(&self, attempt: &Attempt) -> Heard {
        Heard::Failed {
            attempt: attempt.clone(),
            late: self.too_slow > 0 || attempt.stage == Stage::Resolve,
        }
    }

    /// Waits before the next dial, with full jitter. Questions are answered by the failure meanwhile; one that a caller
    /// waits for makes the wait end a second after the last dial. False when the deployment is gone.
    async fn pause(&mut self, Lost { error, dialled, shown }: Lost) -> bool {
        let attempt = error.at(&self.endpoint);
        self.failures = self.failures.saturating_add(1);
        self.observer.link_down(&self.stats, &attempt);
        self.members.fails(self.id);
        self.way.failed();
        self.tell_all(&attempt);
        let (mut failed, share) = (clock::now(), fastrand::f64());
        let mut revived = self.members.revived(self.id);
        let at = self.way.at.borrow().clone();
        let way = Rc::clone(&self.way);
        let mut replacements = way.vault.replacements();
        let mut renewed = pin!(replacements.newer_than(shown));
        let mut urgent = false;
        loop {
            let wait = longest_wait(self.failures, error.stage, self.members.others(self.id)).mul_f64(share);
            let soonest = dialled + FOR_CALLERS;
            let due = if urgent {
                soonest.min(failed + wait)
            } else {
                failed + wait
            };
            tokio::select! {
                () = sleep_until(due.into()) => return true,
                // Whoever refused the old ones may take these.
                _ = &mut renewed => return true,
                changed = self.changes.changed() => {
                    // Its name has another address now.
                    let redirected = *self.way.at.borrow() != at;
                    if changed.is_err() || redirected {
                        return redirected;
                    }
                    let signs = self.members.revived(self.id);
                    if std::mem::replace(&mut revived, signs) != signs {
                        // It may be back: as after the first failure.
                        (self.failures, failed) = (1, clock::now());
                    }
                }
                question = self.asked.recv() => {
                    let Some(question) = question else { return false };
                    self.note(&question);
                    if self.way.vault.number() > shown {
                        // What was refused is no answer to it.
                        return true;
                    }
                    urgent |= question.urgent;
                    if !question.urgent {
                        self.open.remove(&question.service);
                        self.report(&question.service, self.failed(&attempt));
                    }
                }
            }
        }
    }
}
