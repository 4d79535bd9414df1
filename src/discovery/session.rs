//! The talk on one connection to a Sentinel: what was asked, what is expected, what was heard.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::answer::{Answer, read_address, read_fields, read_list};
use super::events::{self, CHANNELS, Event};
use crate::error::Stage;
use crate::net::{DialError, Wire};
use crate::observe::SentinelStats;
use crate::resp::{Kind, Reply, control};

/// Something that a Sentinel said.
#[derive(Debug)]
pub(super) enum Heard {
    /// All four replies to a question.
    Answer(Rc<str>, Box<Answer>),
    /// A published event.
    Event(Event),
    /// Its own run id.
    RunId(String),
    /// A pong, a confirmation, a part of an answer.
    Nothing,
}

/// What the next reply in line belongs to.
#[derive(Debug)]
enum Expected {
    /// SUBSCRIBE on a RESP3 connection: confirmed by pushes, refused by one error in line.
    Subscribed,
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
    again: bool,
}

/// Each second, as a Sentinel does with its own peers.
const PING_EVERY: Duration = Duration::from_secs(1);

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
    answer_timeout: Duration,
    next_ping: Instant,
    /// A PING on the events connection that has no pong yet, since when.
    events_pinged: Option<Instant>,
    stats: Arc<SentinelStats>,
}

impl Session {
    /// Subscribes; every subscription must be followed by questions, so that what was published before it is not
    /// missed.
    pub(super) fn new(
        wire: Wire,
        events: Option<Wire>,
        has_my_id: bool,
        answer_timeout: Duration,
        stats: Arc<SentinelStats>,
    ) -> Session {
        let mut session = Session {
            main: Talk { wire, out: Vec::new() },
            events: events.map(|wire| Talk { wire, out: Vec::new() }),
            expected: VecDeque::new(),
            questions: HashMap::new(),
            answer_timeout,
            next_ping: Instant::now() + PING_EVERY,
            events_pinged: None,
            stats,
        };
        let mut subscribe = vec!["SUBSCRIBE"];
        subscribe.extend(CHANNELS);
        match &mut session.events {
            Some(events) => events.out.extend(control(&subscribe)),
            None => session.say(&subscribe, Expected::Subscribed),
        }
        if has_my_id {
            session.say(&["SENTINEL", "MYID"], Expected::RunId);
        }
        session
    }

    fn say(&mut self, args: &[&str], expected: Expected) {
        self.main.out.extend(control(args));
        self.expected.push_back((Instant::now(), expected));
    }

    /// Asks about `service`: one question in flight, and at most one more waiting behind it. Address, epoch, replicas
    /// and peers go in one write, so that they are of one moment of the Sentinel.
    pub(super) fn ask(&mut self, service: &Rc<str>) {
        if let Some(asked) = self.questions.get_mut(service) {
            asked.again = true;
            return;
        }
        self.say(
            &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service],
            Expected::Address(Rc::clone(service)),
        );
        self.say(&["SENTINEL", "MASTER", service], Expected::Primary(Rc::clone(service)));
        self.say(
            &["SENTINEL", "REPLICAS", service],
            Expected::Replicas(Rc::clone(service)),
        );
        self.say(&["SENTINEL", "SENTINELS", service], Expected::Peers(Rc::clone(service)));
        self.questions.insert(Rc::clone(service), Asked::default());
    }

    /// The next thing the Sentinel says. Dropped half-way and called again it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Heard, DialError> {
        let patience = self.patience();
        tokio::select! {
            reply = self.main.hear() => self.hear(&reply?),
            message = hear_from(&mut self.events) => Ok(self.hear_message(&message?)),
            () = sleep_until(self.next_ping.into()) => {
                self.ping();
                Ok(Heard::Nothing)
            }
            () = sleep_until(patience.into()) => {
                Err(DialError::new(Stage::Query, format!("no answer in {} ms", self.answer_timeout.as_millis())))
            }
        }
    }

    /// Until when the oldest thing expected may take.
    fn patience(&self) -> Instant {
        let oldest = self.expected.front().map(|(since, expected)| match expected {
            Expected::Pong => *since + PONG_WITHIN,
            _ => *since + self.answer_timeout,
        });
        let pinged = self.events_pinged.map(|since| since + PONG_WITHIN);
        let never = Instant::now() + Duration::from_secs(3600);
        oldest.into_iter().chain(pinged).min().unwrap_or(never)
    }

    fn ping(&mut self) {
        self.next_ping = Instant::now() + PING_EVERY;
        if let (Some(events), None) = (&mut self.events, self.events_pinged) {
            events.out.extend(control(&["PING"]));
            self.events_pinged = Some(Instant::now());
        }
        if self.expected.is_empty() {
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
        self.stats.answered_in(since.elapsed());
        match expected {
            // An error in line: without the right to subscribe the polls still work.
            Expected::Subscribed | Expected::Pong => {}
            Expected::RunId if reply.kind() == Kind::String => return Ok(Heard::RunId(reply.text().into_owned())),
            Expected::RunId => {}
            Expected::Address(service) => self.part(&service, |answer| answer.address = Some(read_address(reply))),
            Expected::Primary(service) => self.part(&service, |answer| answer.primary = read_fields(reply.root())),
            Expected::Replicas(service) => self.part(&service, |answer| answer.replicas = read_list(reply)),
            Expected::Peers(service) => return Ok(self.complete(service, reply)),
        }
        Ok(Heard::Nothing)
    }

    fn part(&mut self, service: &Rc<str>, fill: impl FnOnce(&mut Answer)) {
        if let Some(asked) = self.questions.get_mut(service) {
            fill(&mut asked.answer);
        }
    }

    fn complete(&mut self, service: Rc<str>, peers: &Reply) -> Heard {
        let Some(mut asked) = self.questions.remove(&service) else {
            return Heard::Nothing;
        };
        asked.answer.peers = read_list(peers);
        if asked.again {
            self.ask(&service);
        }
        Heard::Answer(service, Box::new(asked.answer))
    }

    /// `message`, channel, payload; confirmations and pongs say nothing more than that the connection lives.
    fn hear_message(&mut self, message: &Reply) -> Heard {
        self.events_pinged = None;
        if matches!(self.expected.front(), Some((_, Expected::Subscribed))) && message.kind() == Kind::Push {
            self.expected.pop_front();
        }
        let part = |index: usize| message.at(index).map(|part| part.text().into_owned());
        let event = match (part(0).as_deref(), part(1), part(2)) {
            (Some("message"), Some(channel), Some(payload)) => events::parse(&channel, &payload),
            _ => None,
        };
        event.map_or(Heard::Nothing, Heard::Event)
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
    let mut session = Session::new(wire, events, true, Duration::from_secs(3600), stats);
    session.ask(&Rc::from("mymaster"));
    let mut meant = 0;
    while let Ok(heard) = session.next().await {
        meant += usize::from(!matches!(heard, Heard::Nothing));
    }
    meant
}
