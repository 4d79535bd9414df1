//! One service: hears what the links report, asks when there is reason to, publishes what it amounts to.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::base::sync::Mutex;
use tokio::sync::{mpsc, watch};

use super::answer::{self, Answer, Depth, LinkId, entry_endpoint};
use super::council::{Act, Council, stranger};
use super::fence::Fence;
use super::foresight::Foresight;
use super::former::Former;
use super::link::{Heard, Question, Report};
use super::verdict::Adopted;
use super::who::Standing;
use super::{Discovery, events, replicas};
use crate::base::clock;
use crate::base::error::{Attempt, Stage};
use crate::base::handoff::Giver;
use crate::base::tasks::until;
use crate::net::Endpoint;
use crate::topology::{Publisher, Request, Word, Words, turned_away};

/// The ends of a service that discovery writes to and reads from.
#[derive(Debug)]
pub struct Ends {
    /// Publishes the view.
    pub snapshot: Publisher,
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
    pub(super) service: Rc<str>,
    pub(super) discovery: Rc<Discovery>,
    pub(super) ends: Ends,
    reports: mpsc::UnboundedReceiver<Report>,
    reports_to: mpsc::UnboundedSender<Report>,
    pub(super) council: Council,
    pub(super) foresight: Foresight,
    /// What is believed since others were who tell of the service.
    belief: u64,
    /// Tells when other Sentinels have a say.
    members: watch::Receiver<u64>,
    /// What each of those that have a say said, and whether that has changed since the view was drawn from it.
    pub(super) answers: BTreeMap<LinkId, Answer>,
    pub(super) is_news: bool,
    /// The primary in force when the view was drawn.
    pub(super) drawn: Option<Adopted>,
    /// The replicas that were listed lately.
    pub(super) memory: replicas::Memory,
    askers: Vec<Giver<bool>>,
    /// Whether a majority stands behind the primary, where that is asked for.
    pub(super) fence: Option<Fence>,
    /// When the first sign of another primary came that nothing was concluded from yet.
    pub(super) first_sign: Option<(Instant, LinkId)>,
    pub(super) former: Former,
}

enum Woken {
    Requested(Request),
    Reported(Report),
    Timer,
    Fence,
    Changed,
    Gone,
}

/// Of the replicas that a Sentinel lists so many are looked at to tell whether an address is one of the service.
const MOST_KNOWN: usize = 1024;

impl Watcher {
    /// A watcher that does nothing until the first request.
    pub fn new(service: &str, discovery: Rc<Discovery>, ends: Ends) -> Watcher {
        let (reports_to, reports) = mpsc::unbounded_channel();
        let settings = discovery.settings();
        let council = Council::new(settings.refresh);
        let foresight = Foresight::new(settings.foresee, settings.confirm_within);
        let members = discovery.members().changes();
        let belief = discovery.members().with(|who| who.belief(service));
        let fence = discovery.settings().fence.map(Fence::new);
        Watcher {
            service: service.into(),
            discovery,
            ends,
            reports,
            reports_to,
            council,
            foresight,
            belief,
            members,
            answers: BTreeMap::new(),
            is_news: true,
            drawn: None,
            memory: replicas::Memory::default(),
            askers: Vec::new(),
            fence,
            first_sign: None,
            former: Former::default(),
        }
    }

    /// Runs until the service has no user any more.
    pub async fn run(mut self) {
        loop {
            let woken = self.woken().await;
            self.askers.retain(|asker| !asker.is_done());
            let callers = !self.askers.is_empty() || self.ends.unserved.load(Ordering::Relaxed) > 0;
            let (now, jitter) = (clock::now(), fastrand::f64());
            let acts = match woken {
                Woken::Requested(request) => self.request(request, now, jitter),
                Woken::Reported((link, heard)) => self.hear(link, heard, callers, now, jitter),
                Woken::Timer => {
                    self.foresight.tick(now);
                    self.council.tick(callers, now, jitter)
                }
                Woken::Fence => Vec::new(),
                Woken::Changed => self.reseat(callers, now, jitter),
                Woken::Gone => break,
            };
            self.carry_out(acts, callers);
            self.look_ahead(callers, now, jitter);
            self.mind_the_fence(clock::now());
        }
        self.discovery.members().with(|who| who.forget_service(&self.service));
    }

    async fn woken(&mut self) -> Woken {
        let timer = [self.council.next_tick(), self.foresight.next_tick()];
        let timer = timer.into_iter().flatten().min();
        let fence = self.fence.as_ref().and_then(|fence| fence.next_look(clock::now()));
        // Reports first: a caller that asks should be served from the newest view.
        tokio::select! {
            biased;
            report = self.reports.recv() => report.map_or(Woken::Gone, Woken::Reported),
            request = self.ends.requests.recv() => request.map_or(Woken::Gone, Woken::Requested),
            changed = self.members.changed() => changed.map_or(Woken::Gone, |()| Woken::Changed),
            () = until(timer) => Woken::Timer,
            () = until(fence) => Woken::Fence,
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
            Request::Promoted(awaited) => {
                self.foresight.is_primary(&awaited, now);
                Vec::new()
            }
        }
    }

    fn hear(&mut self, link: LinkId, heard: Heard, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        match &heard {
            Heard::Answer(answer) => {
                self.council.answered(link, answer.depth);
                self.foresight.heard(link);
            }
            Heard::Event(_) => self.foresight.heard(link),
            Heard::Failed { .. } => self.foresight.lost(link, now),
        }
        let word = match heard {
            Heard::Answer(answer) => match self.read(link, *answer, now) {
                Ok(word) => Some(word),
                Err(acts) => return acts,
            },
            Heard::Failed { attempt, late } => {
                self.council.excuse(link, late);
                return self.hear_failure(link, attempt, callers, now, jitter);
            }
            Heard::Event(_) if !self.discovery.members().standing(link).has_a_say() => None,
            Heard::Event(events::Event {
                kind: events::Kind::Step(step),
                ..
            }) => {
                self.step(link, &step, now);
                return Vec::new();
            }
            Heard::Event(event) if event.kind == events::Kind::Primary => {
                self.first_sign.get_or_insert((now, link));
                self.take_seats();
                return self.council.primary_event(link, event.in_line, now, jitter);
            }
            Heard::Event(event) => return self.council.view_event(link, event.in_line, now, jitter),
        };
        if let (Some(Word::Names { primary, epoch, .. }), Some(adopted)) = (&word, self.council.adopted()) {
            if *primary != adopted.primary && *epoch >= adopted.epoch {
                self.first_sign.get_or_insert((now, link));
            } else if *primary == adopted.primary {
                // What it told of is in force already.
                self.first_sign.take_if(|(_, of)| *of == link);
            }
        }
        let mut acts = self.believe(callers, now, jitter);
        if let Some(word) = word {
            acts.extend(self.council.hear(link, word, callers, now, jitter));
        }
        acts
    }

    /// Where others are believed by now, nothing counts that was told of the service before.
    fn believe(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let members = Rc::clone(self.discovery.members());
        let (belief, remembers) = members.with(|who| (who.belief(&self.service), who.remembers_others()));
        if std::mem::replace(&mut self.belief, belief) == belief {
            return Vec::new();
        }
        self.take_seats();
        let is_ours = |link: LinkId| members.standing(link).has_a_say();
        self.answers.retain(|link, _| is_ours(*link));
        self.is_news = true;
        self.council.remember_the_first(remembers);
        self.foresight.begin_anew(now);
        self.council.begin_anew(is_ours, callers, now, jitter)
    }

    /// Where it had not answered before, the view is what it was.
    fn hear_failure(&mut self, link: LinkId, attempt: Attempt, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        let had_answered = self.forget(link);
        let word = match attempt.stage {
            Stage::Auth => Word::Refused(attempt),
            _ => Word::Failed(attempt),
        };
        let before = self.council.adopted().map(|adopted| adopted.since);
        let mut acts = self.council.hear(link, word, callers, now, jitter);
        if !had_answered && before == self.council.adopted().map(|adopted| adopted.since) {
            acts.retain(|act| *act != Act::Publish);
        }
        acts
    }

    /// What an answer amounts to as a word: the sentinel's own, where it has a say. Or what is to be asked first.
    fn read(&mut self, link: LinkId, answer: Answer, now: Instant) -> Result<Word, Vec<Act>> {
        let (settings, members) = (self.discovery.settings(), self.discovery.members());
        let (map, min_peers) = (&settings.address_map, settings.min_other_sentinels);
        if answer.depth == Depth::Lists {
            let named = answer.primary_at(map);
            let is_kin = named.as_ref().is_some_and(|at| self.council.knows(at));
            let is_of_the_first = named.is_some_and(|at| self.council.knew_first(&at));
            let is_news = members.with(|who| {
                if is_kin {
                    who.is_kin(link);
                }
                if is_of_the_first {
                    who.is_of_the_first(link);
                }
                match &answer.peers {
                    Some(_) => who.lists(link, &self.service, answer.entries(map), now),
                    None => who.does_not_know(link, &self.service, now),
                }
            });
            if is_news {
                members.tell();
            }
        }
        let standing = members.standing(link);
        let (endpoint, before) = self.council.last_word(link).ok_or_else(Vec::new)?;
        if let (Depth::Address, Some(same)) = (answer.depth, answer.primary_at(map)) {
            return match before {
                Word::Names {
                    primary, epoch, since, ..
                } if *primary == same => Ok(Word::Names {
                    primary: same,
                    epoch: *epoch,
                    since: *since,
                    heard: now,
                }),
                _ => Err(vec![Act::Ask(link, Depth::Epoch)]),
            };
        }
        let in_force = self.council.adopted().map(|adopted| (&adopted.primary, adopted.epoch));
        let word = answer::word(&answer, endpoint, (map, min_peers), before, in_force, now);
        match (standing, &word) {
            (Standing::Silent, _) => return Err(Vec::new()),
            (Standing::Stranger, _) => {
                self.forget(link);
                return Ok(stranger(&word));
            }
            (Standing::Voice | Standing::Double, Word::Names { .. }) => {
                let answer = answer.with_lists_of(self.answers.remove(&link));
                self.answers.insert(link, answer);
                self.is_news = true;
                self.know();
            }
            (Standing::Voice | Standing::Double, _) => _ = self.forget(link),
        }
        Ok(word)
    }

    /// What it said counts no more. Whether it had said anything.
    fn forget(&mut self, link: LinkId) -> bool {
        let had_answered = self.answers.remove(&link).is_some();
        self.is_news |= had_answered;
        had_answered
    }

    /// The nodes of the service, as those who have a say list them, and as they did when the view was drawn: the list that
    /// comes with the news of a failover has the old primary among the replicas, and not the new one.
    pub(super) fn know(&mut self) {
        let map = &self.discovery.settings().address_map;
        let drawn = Arc::clone(&self.ends.snapshot.borrow());
        let left_out = drawn.left_out.iter().map(|(node, _)| node);
        let of_the_view = drawn.replicas.iter().chain(left_out).take(MOST_KNOWN);
        let mut nodes: HashSet<Endpoint> = of_the_view.map(|node| node.endpoint.clone()).collect();
        for answer in self.answers.values() {
            let listed = answer.replicas.iter().flatten().take(MOST_KNOWN);
            nodes.extend(listed.filter_map(|fields| entry_endpoint(fields, map)));
        }
        self.council.know(nodes);
    }

    /// Other Sentinels have a say than before.
    fn reseat(&mut self, callers: bool, now: Instant, jitter: f64) -> Vec<Act> {
        if self.council.next_tick().is_none() && self.council.words().is_empty() {
            // Nobody has asked yet.
            return Vec::new();
        }
        let new = self.take_seats();
        let mut acts = self.believe(callers, now, jitter);
        acts.extend(new.into_iter().map(|link| Act::Ask(link, Depth::Lists)));
        for link in self.discovery.links() {
            let standing = self.discovery.members().standing(link.id);
            let Some((_, word)) = self.council.last_word(link.id) else {
                continue;
            };
            match (standing, word) {
                (Standing::Voice | Standing::Double, Word::Stranger(_)) => acts.push(Act::Ask(link.id, Depth::Lists)),
                (Standing::Stranger, Word::Names { .. }) => {
                    let word = stranger(word);
                    self.forget(link.id);
                    acts.extend(self.council.hear(link.id, word, callers, now, jitter));
                }
                _ => {}
            }
        }
        acts.extend(self.council.revise(callers, now, jitter));
        acts
    }

    pub(super) fn carry_out(&mut self, acts: Vec<Act>, callers: bool) {
        let acts_end_a_round = acts.contains(&Act::Complete);
        self.publish_words();
        for act in acts {
            match act {
                Act::Ask(link, depth) => self.ask(link, depth, callers),
                Act::Publish => self.publish(),
                Act::Release(named) => {
                    for asker in self.askers.drain(..) {
                        let _ = asker.give(named);
                    }
                    if !named && turned_away(&self.council.words()) {
                        // The pools end their callers' waits.
                        self.ends.snapshot.tell();
                    }
                }
                Act::Complete => {}
            }
        }
        if acts_end_a_round {
            // Whatever it was a sign of, all Sentinels have been heard since.
            self.first_sign = None;
        }
    }

    pub(super) fn ask(&self, link: LinkId, depth: Depth, urgent: bool) {
        if let Some(link) = self.discovery.link(link) {
            link.ask(Question {
                service: Rc::clone(&self.service),
                depth,
                urgent,
                reports: self.reports_to.clone(),
            });
        }
    }

    /// Seats the Sentinels that have a link now, and only those. Returns the new ones.
    fn take_seats(&mut self) -> Vec<LinkId> {
        let links = self.discovery.links();
        self.council.keep_only(|id| links.iter().any(|link| link.id == id));
        let before = self.answers.len();
        self.answers.retain(|id, _| links.iter().any(|link| link.id == *id));
        self.is_news |= self.answers.len() < before;
        let mut new = Vec::new();
        for link in links {
            if self.council.seat(link.id, link.endpoint()) {
                new.push(link.id);
            }
        }
        let members = self.discovery.members();
        self.council.tell_apart(
            |link| members.with(|who| who.is_spoken_for(link)),
            |link| members.is_given(link),
        );
        new
    }
}
