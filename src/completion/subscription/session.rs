//! The talk on one connection of a subscription: what was said, what is expected, what was heard.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use zeroize::{Zeroize, Zeroizing};

use super::names::{Added, Changes, ChannelKind};
use super::said::{Said, read};
use crate::base::clock;
use crate::net::{Credentials, Wire, WireError};
use crate::resp::{Reply, control, encode};

/// Something that the server said and that the program may want to know.
#[derive(Debug)]
pub(super) enum Heard {
    Message(ChannelKind, Reply),
    Confirmed(Added),
    Refused(Added, String),
    /// Everything that was wanted when the connection was made has its answer.
    Restored,
    /// The server refused another login and holds on to the one before.
    LoginRefused,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no sign of life in {} ms", PONG_WITHIN.as_millis())]
    Silent,
    #[error("protocol error: a reply that nobody asked for")]
    Unexpected,
}

/// What the next reply in line belongs to. Each command is about one name, so that a refusal tells which.
#[derive(Debug)]
enum Expected {
    Subscribed(Added),
    Unsubscribed,
    Pong,
    LoggedIn,
}

/// Between two PINGs.
const PING_EVERY: Duration = Duration::from_secs(1);

/// How long a server that was asked may be silent: half-open connections are noticed within 2 s in all.
const PONG_WITHIN: Duration = Duration::from_millis(950);

/// Replies heard at once: what one read brings, unless the messages are tiny.
const BATCH: usize = 4096;

/// A connection that was greeted.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    out: Zeroizing<Vec<u8>>,
    /// A password went through `out`.
    to_wipe: bool,
    expected: VecDeque<Expected>,
    /// Names of the beginning that have no answer yet.
    restoring: usize,
    next_ping: Instant,
    pinged: Option<Instant>,
    /// The last sign of life.
    alive: Instant,
    heard: Vec<Heard>,
}

impl Session {
    /// Subscribes to `names`.
    pub(super) fn new(wire: Wire, names: Vec<Added>) -> Session {
        let now = clock::now();
        let mut session = Session {
            wire,
            out: Zeroizing::default(),
            to_wipe: false,
            expected: VecDeque::new(),
            restoring: names.len(),
            next_ping: now + PING_EVERY,
            pinged: None,
            alive: now,
            heard: Vec::new(),
        };
        if names.is_empty() {
            session.heard.push(Heard::Restored);
        }
        names.into_iter().for_each(|added| session.subscribe(added));
        session
    }

    /// Whether all that was said is in the kernel's hands: only then more is taken, so that a server that does not read
    /// makes nothing grow.
    pub(super) fn is_written(&self) -> bool {
        self.out.is_empty()
    }

    /// Tells the server of changes.
    pub(super) fn tell(&mut self, changes: Changes) {
        for name in changes.removed {
            self.say(name.kind.unsubscribe(), &name.bytes, Expected::Unsubscribed);
        }
        changes.added.into_iter().for_each(|added| self.subscribe(added));
    }

    /// Logs in with other credentials; on RESP3 only, for RESP2 allows no AUTH beside subscriptions. False where there is
    /// none to do it with.
    pub(super) fn log_in(&mut self, credentials: &Credentials) -> bool {
        let Some((user, password)) = credentials.shown() else {
            return false;
        };
        // A buffer that grows would leave pieces of the password behind: a PING may still come.
        self.out.reserve(password.len() + user.len() + 256);
        self.to_wipe = true;
        encode(&mut self.out, &[b"AUTH", user.as_bytes(), password]);
        self.expected.push_back(Expected::LoggedIn);
        true
    }

    /// When the server last said something.
    pub(super) fn alive(&self) -> Instant {
        self.alive
    }

    /// What was heard and not taken yet.
    pub(super) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Waits until something was heard or said. Dropped half-way and called again it loses nothing; what was heard before
    /// the end is there also when it has ended.
    pub(super) async fn next(&mut self) -> Result<(), Ended> {
        if !self.heard.is_empty() {
            return Ok(());
        }
        if self.to_wipe && self.out.is_empty() {
            self.out.zeroize();
            self.to_wipe = false;
        }
        let due = self.due();
        // What lies there unread is heard before anybody is called silent: it is we who may have been late.
        tokio::select! {
            biased;
            reply = self.wire.exchange(&mut self.out) => self.hear_all(reply?),
            () = sleep_until(due.into()) => self.tick(),
        }
    }

    fn due(&self) -> Instant {
        match self.pinged {
            // Messages are signs of life as well: a pong that waits behind many of them is not missed.
            Some(pinged) => pinged.max(self.alive) + PONG_WITHIN,
            None => self.next_ping,
        }
    }

    fn tick(&mut self) -> Result<(), Ended> {
        // A message of which bytes have come is a sign of life before it is whole.
        if self.wire.heard() > self.alive {
            self.alive = self.wire.heard();
            return Ok(());
        }
        if self.pinged.is_some() {
            return Err(Ended::Silent);
        }
        let now = clock::now();
        self.out.extend(control(&["PING"]));
        self.expected.push_back(Expected::Pong);
        self.pinged = Some(now);
        self.next_ping = now + PING_EVERY;
        Ok(())
    }

    fn subscribe(&mut self, added: Added) {
        let (kind, bytes) = (added.name.kind, added.name.bytes.clone());
        self.say(kind.subscribe(), &bytes, Expected::Subscribed(added));
    }

    fn say(&mut self, command: &str, name: &[u8], expected: Expected) {
        encode(&mut self.out, &[command.as_bytes(), name]);
        self.expected.push_back(expected);
    }

    /// Takes a reply and all that have come with it.
    fn hear_all(&mut self, first: Reply) -> Result<(), Ended> {
        self.alive = clock::now();
        self.hear(first)?;
        while self.heard.len() < BATCH {
            // The decoder says an error again when it is asked again.
            let Ok(Some(reply)) = self.wire.decoded() else { break };
            self.hear(reply)?;
        }
        Ok(())
    }

    fn hear(&mut self, reply: Reply) -> Result<(), Ended> {
        match read(&reply) {
            Said::Message(kind) => self.heard.push(Heard::Message(kind, reply.into_push())),
            Said::Subscribed(kind) => match self.expected.pop_front() {
                Some(Expected::Subscribed(added)) if added.name.kind == kind => self.answered(Heard::Confirmed(added)),
                _ => return Err(Ended::Unexpected),
            },
            // A server also ends subscriptions by itself: of sharded channels, when their slot moves.
            Said::Unsubscribed if matches!(self.expected.front(), Some(Expected::Unsubscribed)) => {
                self.expected.pop_front();
            }
            Said::Pong => match self.expected.pop_front() {
                Some(Expected::Pong) => self.pinged = None,
                Some(Expected::LoggedIn) => {}
                _ => return Err(Ended::Unexpected),
            },
            Said::Error => match self.expected.pop_front() {
                Some(Expected::Subscribed(added)) => {
                    let text = reply.text().into_owned();
                    self.answered(Heard::Refused(added, text));
                }
                Some(Expected::Pong) => self.pinged = None,
                Some(Expected::LoggedIn) => self.heard.push(Heard::LoginRefused),
                Some(Expected::Unsubscribed) => {}
                None => return Err(Ended::Unexpected),
            },
            Said::Unsubscribed | Said::Other => {}
        }
        Ok(())
    }

    fn answered(&mut self, heard: Heard) {
        self.heard.push(heard);
        if self.restoring > 0 {
            self.restoring -= 1;
            if self.restoring == 0 {
                self.heard.push(Heard::Restored);
            }
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
