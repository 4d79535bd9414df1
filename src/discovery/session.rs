//! The talk on one connection to a Sentinel: what was asked, what is expected, what was heard.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::answer::{Answer, Depth, read_address, read_fields, read_list};
use super::events::{self, CHANNELS, Event, STEPS};
use crate::base::clock;
use crate::base::error::Stage;
use crate::net::{DialError, Wire};
use crate::observe::SentinelStats;
use crate::resp::{Kind, Reply, control};

/// Something that a Sentinel said.
#[derive(Debug)]
pub(super) enum Heard {
    /// All replies to a question.
    Answer(Rc<str>, Box<Answer>),
    /// A published event.
    Event(Event),
    /// Its own run id; none where it does not tell.
    RunId(Option<String>),
    /// A pong, a confirmation, a part of an answer.
    Nothing,
    /// Not even that: it was asked for a sign of life.
    Silence,
}

/// What the next reply in line belongs to.
#[derive(Debug)]
enum Expected {
    /// SUBSCRIBE to these channels on a RESP3 connection: confirmed by pushes, refused by one error in line.
    Subscribed(&'static [&'static str]),
    RunId,
    Pong,
    Address(Rc<str>),
    Primary(Rc<str>),
    Replicas(Rc<str>),
    Peers(Rc<str>),
}

/// A question in flight.
#[derive(Debug, Default)]
struct Asked {
    answer: Answer,
    /// Something happened after it was sent: ask once more when it is answered.
    again: Option<Depth>,
    /// Its place in all that was said: while that is not handed over, what happens is in the answer.
    begins: usize,
}

/// So many questions are in flight at once: a Sentinel that is slow is not given more than it can answer.
const MOST_IN_FLIGHT: usize = 16;

/// Each second, as a Sentinel does with its own peers.
pub(super) const PING_EVERY: Duration = Duration::from_secs(1);

/// How long a pong may take: a Sentinel that falls silent is noticed within 2 s in all.
const PONG_WITHIN: Duration = Duration::from_millis(950);

/// A connection, and what is still to be written to it.
#[derive(Debug)]
struct Talk {
    wire: Wire,
    out: Vec<u8>,
}

impl Talk {
    async fn hear(&mut self) -> Result<Reply, DialError> {
        self.wire
            .exchange(&mut self.out)
            .await
            .map_err(|error| DialError::new(Stage::Query, error.to_string()))
    }
}

/// A connection to a Sentinel that was greeted.
#[derive(Debug)]
pub(super) struct Session {
    main: Talk,
    /// Where the events come, when the first connection speaks RESP2.
    events: Option<Talk>,
    expected: VecDeque<(Instant, Expected)>,
    questions: HashMap<Rc<str>, Asked>,
    /// Those that wait for one in flight to be answered.
    waiting: VecDeque<(Rc<str>, Depth)>,
    answer_timeout: Duration,
    /// When anything was heard last.
    heard: Instant,
    /// It ended because the Sentinel took too long.
    lost_patience: bool,
    next_ping: Instant,
    ping_every: Duration,
    /// When anything was asked last.
    asked: Instant,
    /// Bytes of all that was said, handed over or not.
    said: usize,
    /// A PING on the events connection that has no pong yet, since when.
    events_pinged: Option<Instant>,
    stats: Arc<SentinelStats>,
}

impl Session {
    /// Subscribes; every subscription must be followed by questions, so that what was published before it is not
    /// missed. `steps`: whether the steps of a failover are listened to.
    pub(super) fn new(
        wire: Wire,
        events: Option<Wire>,
        (has_my_id, steps): (bool, bool),
        (answer_timeout, ping_every): (Duration, Duration),
        stats: Arc<SentinelStats>,
    ) -> Session {
        let mut session = Session {
            main: Talk { wire, out: Vec::new() },
            events: events.map(|wire| Talk { wire, out: Vec::new() }),
            expected: VecDeque::new(),
            questions: HashMap::new(),
            waiting: VecDeque::new(),
            answer_timeout,
            heard: clock::now(),
            lost_patience: false,
            next_ping: clock::now() + ping_every,
            ping_every,
            asked: clock::now(),
            said: 0,
            events_pinged: None,
            stats,
        };
        session.subscribe(&CHANNELS);
        if steps {
            session.subscribe(&STEPS);
        }
        if has_my_id {
            session.say(&["SENTINEL", "MYID"], Expected::RunId);
        }
        session
    }

    fn subscribe(&mut self, channels: &'static [&'static str]) {
        let subscribe = [&["SUBSCRIBE"], channels].concat();
        match &mut self.events {
            Some(events) => events.out.extend(control(&subscribe)),
            None => self.say(&subscribe, Expected::Subscribed(channels)),
        }
    }

    fn say(&mut self, args: &[&str], expected: Expected) {
        let bytes = control(args);
        self.said += bytes.len();
        self.main.out.extend(bytes);
        self.asked = clock::now();
        if self.events.is_none() {
            // A question is a sign of life as good as a PING.
            self.next_ping = self.asked + self.ping_every;
        }
        self.expected.push_back((clock::now(), expected));
    }

    /// Asks about `service`: one question in flight, and at most one more waiting behind it. All parts go in one write,
    /// so that they are of one moment of the Sentinel.
    pub(super) fn ask(&mut self, service: &Rc<str>, depth: Depth) {
        if let Some(asked) = self.questions.get_mut(service) {
            // A smaller question that has not gone out is not enough for a larger one.
            let is_under_way = self.said.saturating_sub(self.main.out.len()) > asked.begins;
            if is_under_way || asked.answer.depth < depth {
                asked.again = asked.again.max(Some(depth));
            }
            return;
        }
        if let Some((_, waiting)) = self.waiting.iter_mut().find(|(waiting, _)| waiting == service) {
            *waiting = depth.max(*waiting);
        } else if self.questions.len() >= MOST_IN_FLIGHT {
            self.waiting.push_back((Rc::clone(service), depth));
        } else {
            self.put(service, depth);
        }
    }

    fn put(&mut self, service: &Rc<str>, depth: Depth) {
        let of = || Rc::clone(service);
        let parts = [
            ("GET-MASTER-ADDR-BY-NAME", Depth::Address, Expected::Address(of())),
            ("MASTER", Depth::Epoch, Expected::Primary(of())),
            ("REPLICAS", Depth::Lists, Expected::Replicas(of())),
            ("SENTINELS", Depth::Lists, Expected::Peers(of())),
        ];
        let begins = self.said;
        for (command, _, expected) in parts.into_iter().filter(|(_, part, _)| *part <= depth) {
            self.say(&["SENTINEL", command, service], expected);
        }
        let asked = Asked {
            answer: Answer::of(depth),
            begins,
            ..Asked::default()
        };
        self.questions.insert(Rc::clone(service), asked);
    }

    /// The next thing the Sentinel says. Dropped half-way and called again it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Heard, DialError> {
        let (due, limit) = self.patience();
        // What lies there unread is heard before anybody is called silent: it is we who may have been late.
        tokio::select! {
            biased;
            reply = self.main.hear() => {
                self.heard = clock::now();
                self.hear(&reply?)
            }
            message = hear_from(&mut self.events) => {
                Ok(self.hear_message(&message?))
            }
            () = sleep_until(self.next_ping.into()) => {
                self.ping();
                Ok(Heard::Silence)
            }
            () = sleep_until(due.into()) => self.lose_patience(limit),
        }
    }

    /// Where bytes have come since, a long answer is on its way.
    fn lose_patience(&mut self, limit: Duration) -> Result<Heard, DialError> {
        let heard = self.main.wire.heard().max(self.heard);
        if heard > self.heard {
            self.heard = heard;
            return Ok(Heard::Nothing);
        }
        self.lost_patience = true;
        Err(DialError::new(
            Stage::Query,
            format!("no answer in {} ms", limit.as_millis()),
        ))
    }

    /// Whether it ended because the Sentinel took longer than it was given.
    pub(super) fn lost_patience(&self) -> bool {
        self.lost_patience
    }

    /// Until when something must have been heard, and how long that is: since the oldest thing expected was asked for, and
    /// since the last thing was heard. A Sentinel that is slow answers one after the other.
    fn patience(&self) -> (Instant, Duration) {
        let oldest = self.expected.front().map(|(since, expected)| {
            let limit = match expected {
                Expected::Pong => PONG_WITHIN.max(self.answer_timeout),
                _ => self.answer_timeout,
            };
            ((*since).max(self.heard) + limit, limit)
        });
        let pinged = self.events_pinged.map(|since| (since + PONG_WITHIN, PONG_WITHIN));
        let never = Duration::from_secs(3600);
        oldest
            .into_iter()
            .chain(pinged)
            .min()
            .unwrap_or((clock::now() + never, never))
    }

    fn ping(&mut self) {
        self.next_ping = clock::now() + self.ping_every;
        if let (Some(events), None) = (&mut self.events, self.events_pinged) {
            events.out.extend(control(&["PING"]));
            self.events_pinged = Some(clock::now());
        }
        // Where there are two connections, that of the events tells of a Sentinel that is gone.
        let every = if self.events.is_some() {
            2 * self.ping_every
        } else {
            self.ping_every
        };
        if self.expected.is_empty() && self.asked + every <= clock::now() {
            self.say(&["PING"], Expected::Pong);
        }
    }

    fn hear(&mut self, reply: &Reply) -> Result<Heard, DialError> {
        if reply.kind() == Kind::Push {
            return Ok(self.hear_message(reply));
        }
        let Some((since, expected)) = self.expected.pop_front() else {
            return Err(DialError::new(Stage::Query, "protocol error: a reply to no question"));
        };
        self.stats.answered_in(clock::now().saturating_duration_since(since));
        match expected {
            // An error in line: without the right to subscribe the polls still work.
            Expected::Subscribed(_) | Expected::Pong => {}
            Expected::RunId if reply.kind() == Kind::String => {
                return Ok(Heard::RunId(Some(reply.text().into_owned())));
            }
            Expected::RunId => return Ok(Heard::RunId(None)),
            Expected::Address(service) => {
                return Ok(self.part(service, Depth::Address, |answer| {
                    answer.address = Some(read_address(reply))
                }));
            }
            Expected::Primary(service) => {
                return Ok(self.part(service, Depth::Epoch, |answer| {
                    answer.primary = read_fields(reply.root())
                }));
            }
            Expected::Replicas(service) => self.fill(&service, |answer| answer.replicas = read_list(reply)),
            Expected::Peers(service) => {
                return Ok(self.part(service, Depth::Lists, |answer| answer.peers = read_list(reply)));
            }
        }
        Ok(Heard::Nothing)
    }

    fn fill(&mut self, service: &Rc<str>, fill: impl FnOnce(&mut Answer)) {
        if let Some(asked) = self.questions.get_mut(service) {
            fill(&mut asked.answer);
        }
    }

    /// A part of an answer: the last one of a question of its depth completes it.
    fn part(&mut self, service: Rc<str>, last_of: Depth, fill: impl FnOnce(&mut Answer)) -> Heard {
        self.fill(&service, fill);
        let is_done = |asked: &&Asked| asked.answer.depth == last_of;
        if self.questions.get(&service).filter(is_done).is_none() {
            return Heard::Nothing;
        }
        let Some(asked) = self.questions.remove(&service) else {
            return Heard::Nothing;
        };
        if let Some(depth) = asked.again {
            self.ask(&service, depth);
        }
        if let Some((next, depth)) = self.waiting.pop_front() {
            self.ask(&next, depth);
        }
        Heard::Answer(service, Box::new(asked.answer))
    }

    /// `message`, channel, payload; confirmations and pongs say nothing more than that the connection lives.
    fn hear_message(&mut self, message: &Reply) -> Heard {
        self.events_pinged = None;
        if message.kind() == Kind::Push {
            self.hear_confirmation(message);
        }
        let part = |index: usize| message.at(index).map(|part| part.text().into_owned());
        let event = match (part(0).as_deref(), part(1), part(2)) {
            (Some("message"), Some(channel), Some(payload)) => {
                let in_line = self.events.is_none();
                events::parse(&channel, &payload).map(|event| Event { in_line, ..event })
            }
            _ => None,
        };
        let Some(event) = event else {
            return Heard::Nothing;
        };
        self.ask_what_is_half_answered(&event);
        Heard::Event(event)
    }

    /// The first push that is not about a channel of an earlier SUBSCRIBE confirms the next one.
    fn hear_confirmation(&mut self, push: &Reply) {
        let Some((_, Expected::Subscribed(channels))) = self.expected.front() else {
            return;
        };
        let about = push.at(1).map(|channel| channel.text().into_owned());
        let is_in = |channels: &[&str]| about.as_deref().is_some_and(|about| channels.contains(&about));
        if is_in(channels) || !(is_in(&CHANNELS) || is_in(&STEPS)) {
            self.expected.pop_front();
        }
    }

    /// An answer of which some parts were read before the event, and some after it, is of no moment.
    fn ask_what_is_half_answered(&mut self, event: &Event) {
        for (service, asked) in &mut self.questions {
            let is_about = event.service.as_deref().is_none_or(|about| *about == **service);
            let is_news = !matches!(event.kind, events::Kind::Step(_));
            if event.in_line && is_news && is_about && asked.answer.address.is_some() {
                asked.again = asked.again.max(Some(asked.answer.depth));
            }
        }
    }
}

async fn hear_from(talk: &mut Option<Talk>) -> Result<Reply, DialError> {
    match talk {
        Some(talk) => talk.hear().await,
        None => std::future::pending().await,
    }
}

/// All that a Sentinel says to a question, until a connection ends; how much of it meant something.
#[cfg(any(test, fuzzing))]
pub(crate) async fn hear_all(wire: Wire, events: Option<Wire>) -> usize {
    let stats = Arc::new(SentinelStats::new(crate::net::Endpoint::new("127.0.0.1", 26379)));
    let limits = (Duration::from_secs(3600), PING_EVERY);
    let mut session = Session::new(wire, events, (true, true), limits, stats);
    session.ask(&Rc::from("mymaster"), Depth::Lists);
    let mut meant = 0;
    while let Ok(heard) = session.next().await {
        meant += usize::from(!matches!(heard, Heard::Nothing | Heard::Silence));
    }
    meant
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
