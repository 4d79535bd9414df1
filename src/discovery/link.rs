//! One Sentinel: its connection, for every service and client of a deployment.
//!
//! A link is opened by the first question and kept for ever: questions and events share the connection in RESP3,
//! RESP2 needs a second one for the events. A link decides nothing; it tells the watchers what it heard.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep_until;

use super::answer::Answer;
use super::events::Event;
use super::session::Session;
use crate::error::{Attempt, Stage};
use crate::net::{DialError, Endpoint, Greeted, Transport, Wire, handshake};
use crate::observe::{Observer, SentinelStats};
use crate::options::{DeploymentSettings, Vault};
use crate::tasks;

/// Which link of a deployment.
pub type LinkId = usize;

/// What a link tells the watcher of a service.
#[derive(Debug)]
pub enum Heard {
    /// The Sentinel answered a question.
    Answer(Box<Answer>),
    /// It was asked and did not answer, or the connection to it ended.
    Failed(Attempt),
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
    /// The address it dials.
    pub endpoint: Endpoint,
    /// What is known of the Sentinel.
    pub identity: Rc<RefCell<Identity>>,
    /// The services whose Sentinels report it as a peer.
    pub reported_by: RefCell<BTreeSet<Rc<str>>>,
    questions: UnboundedSender<Question>,
}

impl Link {
    /// Starts the link's task. It dials with the first question.
    pub fn start(
        id: LinkId,
        endpoint: Endpoint,
        settings: Rc<DeploymentSettings>,
        (transport, vault): (Rc<Transport>, Arc<Vault>),
        observer: Arc<Observer>,
    ) -> Link {
        let (questions, asked) = unbounded_channel();
        let identity = Rc::new(RefCell::new(Identity::default()));
        let way = Way {
            endpoint: endpoint.clone(),
            settings: Rc::clone(&settings),
            transport,
            vault,
        };
        let task = Task {
            id,
            endpoint: endpoint.clone(),
            settings,
            stats: observer.sentinel(&endpoint),
            observer,
            way: Rc::new(way),
            identity: Rc::clone(&identity),
            asked,
            services: HashMap::new(),
            open: HashSet::new(),
            failures: 0,
        };
        tasks::start(task.run());
        Link {
            id,
            endpoint,
            identity,
            reported_by: RefCell::new(BTreeSet::new()),
            questions,
        }
    }

    /// Asks; the answer or the failure goes to the question's watcher.
    pub fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }
}

/// No Sentinel is dialled more often, however many questions wait: eight times a second.
const MIN_BETWEEN_DIALS: Duration = Duration::from_millis(125);

/// How a Sentinel is connected to.
struct Way {
    endpoint: Endpoint,
    settings: Rc<DeploymentSettings>,
    transport: Rc<Transport>,
    vault: Arc<Vault>,
}

/// A connection that was made, and the one for the events where the Sentinel speaks RESP2.
struct Made {
    greeted: Greeted,
    events: Option<Wire>,
}

impl Made {
    fn dials_beyond_one(&self) -> u32 {
        u32::from(self.events.is_some())
    }
}

impl Way {
    async fn greet(&self) -> Result<Greeted, DialError> {
        let (settings, limits) = (&self.settings, self.settings.connect_timeout);
        handshake::greet_sentinel(
            &self.endpoint,
            &self.vault,
            &self.transport,
            limits,
            settings.answer_timeout,
        )
        .await
    }

    async fn connect(&self) -> Result<Made, DialError> {
        let greeted = self.greet().await?;
        let events = match greeted.protocol {
            3 => None,
            _ => Some(self.greet().await?.wire),
        };
        Ok(Made { greeted, events })
    }

    /// Waits for newer credentials than number `known` and connects with them, not before `soonest`. Tells which were
    /// shown, and when.
    async fn renew(self: Rc<Way>, known: u64, soonest: Instant) -> (u64, Instant, Result<Made, DialError>) {
        self.vault.replacements().newer_than(known).await;
        sleep_until(soonest.into()).await;
        let (shown, dialled) = (self.vault.number(), Instant::now());
        (shown, dialled, self.connect().await)
    }
}

struct Task {
    id: LinkId,
    endpoint: Endpoint,
    settings: Rc<DeploymentSettings>,
    observer: Arc<Observer>,
    stats: Arc<SentinelStats>,
    way: Rc<Way>,
    identity: Rc<RefCell<Identity>>,
    asked: UnboundedReceiver<Question>,
    /// Every service ever asked about, and its watcher.
    services: HashMap<Rc<str>, UnboundedSender<Report>>,
    /// Services whose question has no answer yet.
    open: HashSet<Rc<str>>,
    failures: u32,
}

impl Task {
    async fn run(mut self) {
        self.live().await;
        // A watcher of another service may still count on an answer.
        self.fail(&DialError::new(Stage::Query, "no Sentinel reports it any more"));
    }

    async fn live(&mut self) {
        let Some(first) = self.asked.recv().await else { return };
        self.note(first);
        self.stats.connecting();
        loop {
            let mut soonest = Instant::now() + MIN_BETWEEN_DIALS;
            let error = match self.way.connect().await {
                Ok(made) => {
                    self.observer.link_up(&self.stats, made.greeted.protocol);
                    match self.serve(made, &mut soonest).await {
                        Some(error) => error,
                        None => return,
                    }
                }
                Err(error) => error,
            };
            self.observer.link_down(&self.stats, &error.at(&self.endpoint));
            self.fail(&error);
            if !self.pause(soonest).await {
                return;
            }
        }
    }

    fn note(&mut self, question: Question) {
        self.open.insert(Rc::clone(&question.service));
        self.services.insert(question.service, question.reports);
    }

    /// What begins on a new connection: the events, and every question, for what happened before it may have been missed.
    fn begin(&mut self, made: Made) -> Session {
        let Made { greeted, events } = made;
        let peer = greeted.wire.peer();
        self.identity.borrow_mut().peer = peer.map(|peer| Endpoint::new(peer.ip().to_string(), peer.port()));
        let limit = self.settings.answer_timeout;
        let mut session = Session::new(greeted.wire, events, greeted.has_my_id, limit, Arc::clone(&self.stats));
        for service in self.services.keys() {
            session.ask(service);
            self.open.insert(Rc::clone(service));
        }
        session
    }

    /// Serves questions and events until the connection ends; `None` when the deployment is gone. Where the credentials are
    /// replaced, the connection is: when the Sentinel has taken the new ones. It may be dialled again from `soonest` on.
    async fn serve(&mut self, made: Made, soonest: &mut Instant) -> Option<DialError> {
        *soonest += MIN_BETWEEN_DIALS * made.dials_beyond_one();
        let mut renewal = Box::pin(Rc::clone(&self.way).renew(made.greeted.login, *soonest));
        let mut session = self.begin(made);
        loop {
            tokio::select! {
                question = self.asked.recv() => {
                    let question = question?;
                    session.ask(&question.service);
                    self.note(question);
                }
                heard = session.next() => match heard {
                    Ok(heard) => self.hear(heard),
                    Err(error) => return Some(error),
                },
                (shown, dialled, renewed) = &mut renewal => {
                    *soonest = dialled + MIN_BETWEEN_DIALS;
                    let known = match renewed {
                        Ok(made) => {
                            let login = made.greeted.login;
                            *soonest += MIN_BETWEEN_DIALS * made.dials_beyond_one();
                            session = self.begin(made);
                            login
                        }
                        Err(error) => self.keep_login(&error, shown),
                    };
                    let next = if known < shown { *soonest + self.settings.backoff_max } else { *soonest };
                    renewal.set(Rc::clone(&self.way).renew(known, next));
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
        match heard {
            Said::Answer(service, answer) => {
                self.failures = 0;
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
                self.stats.named(&run_id);
                self.identity.borrow_mut().run_id = Some(run_id);
            }
            Said::Nothing => {}
        }
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
    fn fail(&mut self, error: &DialError) {
        self.failures = self.failures.saturating_add(1);
        self.open.clear();
        let attempt = error.at(&self.endpoint);
        for reports in self.services.values() {
            let _ = reports.send((self.id, Heard::Failed(attempt.clone())));
        }
    }

    /// Waits before the next dial: capped backoff with full jitter, cut short by a question, but not before `soonest`.
    /// False when the deployment is gone.
    async fn pause(&mut self, soonest: Instant) -> bool {
        let until = soonest.max(Instant::now() + self.backoff());
        loop {
            let wake = if self.open.is_empty() { until } else { soonest };
            tokio::select! {
                () = sleep_until(wake.into()) => return true,
                question = self.asked.recv() => match question {
                    Some(question) => self.note(question),
                    None => return false,
                },
            }
        }
    }

    fn backoff(&self) -> Duration {
        let ceiling = self.settings.backoff_min.saturating_mul(1 << self.failures.min(10));
        ceiling.min(self.settings.backoff_max).mul_f64(fastrand::f64())
    }
}
