//! One service: hears what the links report, asks when there is reason to, publishes what it amounts to.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::sync::Mutex;
use tokio::sync::{mpsc, watch};

use super::Discovery;
use super::answer::{self, Answer};
use super::council::{Act, Council};
use super::events;
use super::link::{Heard, LinkId, Question, Report};
use super::{replicas, view};
use crate::error::Stage;
use crate::handoff::Giver;
use crate::net::Endpoint;
use crate::tasks::until;
use crate::topology::{Request, Snapshot, Word, Words, turned_away};

/// The ends of a service that discovery writes to and reads from.
#[derive(Debug)]
pub struct Ends {
    /// Publishes the view.
    pub snapshot: watch::Sender<Arc<Snapshot>>,
    /// Publishes what each Sentinel last said.
    pub words: Arc<Mutex<Words>>,
    /// What others want of this service.
    pub requests: mpsc::UnboundedReceiver<Request>,
    /// Clients whose callers wait for a primary to be named.
    pub unserved: Arc<AtomicUsize>,
}

/// The watcher of one service: what the links report goes into the [`Council`], what that decides is done here.
#[derive(Debug)]
pub struct Watcher {
    service: Rc<str>,
    discovery: Rc<Discovery>,
    ends: Ends,
    reports: mpsc::UnboundedReceiver<Report>,
    reports_to: mpsc::UnboundedSender<Report>,
    council: Council,
    answers: BTreeMap<LinkId, Answer>,
    /// The replicas that were listed lately.
    memory: replicas::Memory,
    askers: Vec<Giver<bool>>,
    /// When the first sign of another primary came that nothing was concluded from yet.
    first_sign: Option<Instant>,
}

enum Woken {
    Requested(Request),
    Reported(Report),
    Timer,
    Gone,
}

impl Watcher {
    /// A watcher that does nothing until the first request.
    pub fn new(service: &str, discovery: Rc<Discovery>, ends: Ends) -> Watcher {
        let (reports_to, reports) = mpsc::unbounded_channel();
        let council = Council::new(discovery.settings().refresh);
        Watcher {
            service: service.into(),
            discovery,
            ends,
            reports,
            reports_to,
            council,
            answers: BTreeMap::new(),
            memory: replicas::Memory::default(),
            askers: Vec::new(),
            first_sign: None,
        }
    }

    /// Runs until the service has no user any more.
    pub async fn run(mut self) {
        loop {
            let woken = self.woken().await;
            self.askers.retain(|asker| !asker.is_done());
            let callers = !self.askers.is_empty() || self.ends.unserved.load(Ordering::Relaxed) > 0;
            let (now, jitter) = (Instant::now(), fastrand::f64());
            let acts = match woken {
                Woken::Requested(request) => self.request(request, now, jitter),
                Woken::Reported((link, heard)) => self.hear(link, heard, callers, now, jitter),
                Woken::Timer => self.council.tick(callers, now, jitter),
                Woken::Gone => return,
            };
            self.carry_out(acts);
        }
    }

    async fn woken(&mut self) -> Woken {
        let timer = self.council.next_tick();
        // Reports first: a caller that asks should be served from the newest view.
        tokio::select! {
            biased;
            report = self.reports.recv() => report.map_or(Woken::Gone, Woken::Reported),
            request = self.ends.requests.recv() => request.map_or(Woken::Gone, Woken::Requested),
            () = until(timer) => Woken::Timer,
        }
    }

    fn request(&mut self, request: Request, now: Instant, jitter: f64) -> Vec<Act> {
        self.take_seats();
        match request {
            Request::Ask(asker) => {
                self.askers.push(asker);
                self.council.request(now, jitter)
            }
            Request::Look(_) => self.council.hint(now, jitter),
            Request::Renew => self.council.renew(now),
        }
    }

    fn hear(&mut self, link: LinkId, heard: Heard, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let word = match heard {
            Heard::Answer(answer) => self.word_of(link, *answer, now),
            Heard::Failed(attempt) => {
                self.answers.remove(&link);
                match attempt.stage {
                    Stage::Auth => Some(Word::Refused(attempt)),
                    _ => Some(Word::Failed(attempt)),
                }
            }
            Heard::Event(event) if event.kind == events::Kind::Primary => {
                self.first_sign.get_or_insert(now);
                self.take_seats();
                return self.council.primary_event(now);
            }
            Heard::Event(_) => return vec![Act::Ask(link)],
        };
        if let (Some(Word::Names { primary, .. }), Some(adopted)) = (&word, self.council.adopted()) {
            if *primary != adopted.primary {
                self.first_sign.get_or_insert(now);
            }
        }
        match word {
            Some(word) => self.council.hear(link, word, callers, now, jitter),
            None => Vec::new(),
        }
    }

    fn word_of(&mut self, link: LinkId, answer: Answer, now: Instant) -> Option<Word> {
        let (endpoint, before) = self.council.last_word(link)?;
        let settings = self.discovery.settings();
        let (map, min_peers) = (&settings.address_map, settings.min_other_sentinels);
        let in_force = self.council.adopted().map(|adopted| (&adopted.primary, adopted.epoch));
        let word = answer::word(&answer, endpoint, (map, min_peers), before, in_force, now);
        match word {
            Word::Names { .. } => self.answers.insert(link, answer),
            _ => self.answers.remove(&link),
        };
        Some(word)
    }

    fn carry_out(&mut self, acts: Vec<Act>) {
        let acts_end_a_round = acts.contains(&Act::Complete);
        self.publish_words();
        for act in acts {
            match act {
                Act::Ask(link) => self.ask(link),
                Act::Publish => self.publish(),
                Act::Release(named) => {
                    for asker in self.askers.drain(..) {
                        let _ = asker.give(named);
                    }
                    if !named && turned_away(&self.council.words()) {
                        // The pools end their callers' waits.
                        self.ends.snapshot.send_modify(|_| {});
                    }
                }
                Act::Complete => self.learn(),
            }
        }
        if acts_end_a_round {
            // Whatever it was a sign of, all Sentinels have been heard since.
            self.first_sign = None;
        }
    }

    fn ask(&self, link: LinkId) {
        if let Some(link) = self.discovery.link(link) {
            link.ask(Question {
                service: Rc::clone(&self.service),
                reports: self.reports_to.clone(),
            });
        }
    }

    fn publish_words(&self) {
        let words = self.council.words();
        let before = std::mem::replace(&mut *self.ends.words.lock(), words.clone());
        self.discovery.observer().words_changed(&self.service, &before, &words);
    }

    /// Adds the Sentinels that the others report, and forgets some.
    fn learn(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let peers = self.answers.values().filter_map(|answer| answer.peers.as_ref());
        let peers: Vec<&answer::Fields> = peers.flatten().collect();
        let failed = |id| matches!(self.council.last_word(id), Some((_, Word::Failed(_))));
        self.discovery.learn(&self.service, &peers, failed);
        for new in self.take_seats() {
            self.ask(new);
        }
        self.publish_words();
    }

    /// Seats the Sentinels that have a link now, and only those. Returns the new ones.
    fn take_seats(&mut self) -> Vec<LinkId> {
        let links = self.discovery.links();
        self.council.keep_only(|id| links.iter().any(|link| link.id == id));
        self.answers.retain(|id, _| links.iter().any(|link| link.id == *id));
        let mut new = Vec::new();
        for link in links {
            if self.council.seat(link.id, &link.endpoint) {
                new.push(link.id);
            }
        }
        new
    }

    fn publish(&mut self) {
        let before = Arc::clone(&self.ends.snapshot.borrow());
        self.replace_view();
        let after = Arc::clone(&self.ends.snapshot.borrow());
        if Arc::ptr_eq(&before, &after) {
            return;
        }
        let first_sign = self.first_sign.unwrap_or_else(Instant::now);
        if before.generation != after.generation {
            self.first_sign = None;
        }
        let (observer, words) = (self.discovery.observer(), self.council.words());
        observer.view_changed(&self.service, &before, &after, &words, first_sign);
    }

    fn replace_view(&mut self) {
        let Some(adopted) = self.council.adopted() else { return };
        let map = &self.discovery.settings().address_map;
        let links = self.discovery.links();
        let answered = links
            .iter()
            .filter_map(|link| Some((link, self.answers.get(&link.id)?)));
        // Sentinels that still name another primary list its replicas, not this one's.
        let agreeing = || {
            self.answers
                .iter()
                .filter(|(id, _)| match self.council.last_word(**id) {
                    Some((_, Word::Names { primary, .. })) => *primary == adopted.primary,
                    _ => false,
                })
        };
        if agreeing().next().is_none() {
            // No Sentinel left to ask: what was known stays.
            return;
        }
        self.ends.snapshot.send_if_modified(|current| {
            let agreed = agreeing().map(|(_, answer)| answer);
            let listed = replicas::sorted(agreed, Some(&adopted.primary), map);
            let replicas = self.memory.complete(listed, &adopted.primary, Instant::now());
            let mut next = Snapshot {
                epoch: adopted.epoch,
                generation: current.generation,
                primary: Some(view::primary(self.answers.values(), adopted, map)),
                replicas: replicas.usable,
                forgotten: replicas.forgotten,
                freshest: replicas.freshest,
                left_out: replicas.left_out,
                sentinels: view::sentinels(answered, map),
            };
            let at = |snapshot: &Snapshot| snapshot.primary.as_ref().map(|node| node.endpoint.clone());
            let switched = at(current) != Some(adopted.primary.clone()) || current.epoch != adopted.epoch;
            if switched {
                next.generation = current.generation + 1;
            }
            let endpoints = |snapshot: &Snapshot| -> Vec<Endpoint> {
                snapshot.replicas.iter().map(|node| node.endpoint.clone()).collect()
            };
            let changed = switched || endpoints(current) != endpoints(&next);
            *current = Arc::new(next);
            changed
        });
    }
}
