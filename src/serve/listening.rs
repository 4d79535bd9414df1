//! What a peer is subscribed to: a subscription of the library behind it, restored after a failover without a word.

use std::collections::HashSet;
use std::sync::Arc;

use super::failure;
use super::form::Form;
use super::shape::{Protocol, Writer};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind};
use crate::completion::{ChannelKind, Entry, EntryKind, Queue, Wanted};
use crate::resp::Reply;

/// Messages that may wait to be taken. A peer that would lose one is told by the end of its stream, as servers do it.
pub(super) const MOST_MESSAGES: usize = 1 << 16;

/// A name that stands behind what was published, and that no peer is told of.
const BEHIND: &[u8] = b"libsentinel:behind";

/// A SUBSCRIBE whose names are not in force yet.
#[derive(Debug)]
struct Pending {
    kind: ChannelKind,
    names: Vec<Vec<u8>>,
    /// Those of them that the server has not confirmed.
    missing: HashSet<Vec<u8>>,
    deadline: Deadline,
}

/// The subscription of one peer.
#[derive(Debug)]
pub(super) struct Listening {
    wanted: Arc<Wanted>,
    pub(super) queue: Arc<Queue>,
    /// What the peer was told to be subscribed to.
    told: [HashSet<Vec<u8>>; 3],
    pending: Option<Pending>,
    /// Messages that came before the peer was told, and their bytes.
    early: Vec<Reply>,
    early_bytes: usize,
    /// Until when it is waited for what the peer itself has published.
    own: Option<Deadline>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.wanted.end();
        self.queue.free();
    }
}

/// SUBSCRIBE and its kin: of which kind, and whether it begins or ends something.
pub(super) fn kind_of(name: &[u8]) -> Option<(ChannelKind, bool)> {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    ChannelKind::ALL.into_iter().find_map(|kind| match kind.commands() {
        (begins, _) if is(begins) => Some((kind, true)),
        (_, ends) if is(ends) => Some((kind, false)),
        _ => None,
    })
}

/// Where a command publishes something.
pub(super) fn published<'a>(args: &[&'a [u8]]) -> Option<(ChannelKind, &'a [u8])> {
    let [name, channel, _] = args else { return None };
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    match () {
        () if is("PUBLISH") => Some((ChannelKind::Channel, channel)),
        () if is("SPUBLISH") => Some((ChannelKind::Sharded, channel)),
        () => None,
    }
}

impl Listening {
    /// To nothing yet.
    pub(super) fn new(wanted: Arc<Wanted>, queue: Arc<Queue>) -> Listening {
        Listening {
            wanted,
            queue,
            told: Default::default(),
            pending: None,
            early: Vec::new(),
            early_bytes: 0,
            own: None,
        }
    }

    /// Bytes of the messages that wait until the peer is told.
    pub(super) fn early_bytes(&self) -> usize {
        self.early_bytes
    }

    /// How many channels, patterns and sharded channels the peer was told of.
    pub(super) fn counts(&self) -> [usize; 3] {
        self.told.each_ref().map(HashSet::len)
    }

    /// Whether nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        self.pending.is_none() && self.told.iter().all(HashSet::is_empty)
    }

    /// Until when a SUBSCRIBE waits, or a PUBLISH for what it published, if one does.
    pub(super) fn waits_until(&self) -> Option<Deadline> {
        self.own.or(self.pending.as_ref().map(|pending| pending.deadline))
    }

    /// Whether the peer may hear what it publishes there.
    pub(super) fn hears(&self, kind: ChannelKind, channel: &[u8]) -> bool {
        let by_pattern = kind == ChannelKind::Channel && !self.told(ChannelKind::Pattern).is_empty();
        by_pattern || self.told(kind).contains(channel)
    }

    /// The peer has published something: what it hears of that comes in front of the reply. It comes on another connection,
    /// where the server confirms one more name behind it.
    pub(super) fn await_own(&mut self, deadline: Deadline) {
        let asked = self
            .wanted
            .change(|wanted| wanted.add(ChannelKind::Channel, BEHIND, true));
        self.own = asked.is_ok().then_some(deadline);
    }

    /// Whether it is waited for that.
    pub(super) fn awaits_own(&self) -> bool {
        self.own.is_some()
    }

    fn has_own(&mut self) {
        if self.own.take().is_some() {
            let _ = self.wanted.change(|wanted| wanted.remove(ChannelKind::Channel, BEHIND));
        }
    }

    /// Begins to listen; the answer is written once all names are in force.
    pub(super) fn subscribe(&mut self, kind: ChannelKind, names: &[&[u8]], deadline: Deadline, to: &mut Writer<'_>) {
        let is_new = |name: &&&[u8]| !self.told(kind).contains(**name);
        let missing: HashSet<Vec<u8>> = names.iter().filter(is_new).map(|name| name.to_vec()).collect();
        for name in &missing {
            let _ = self.wanted.change(|wanted| wanted.add(kind, name, true));
        }
        self.pending = Some(Pending {
            kind,
            names: names.iter().map(|name| name.to_vec()).collect(),
            missing,
            deadline,
        });
        self.confirm(to);
    }

    /// Ends it for these names, or for all.
    pub(super) fn unsubscribe(&mut self, kind: ChannelKind, names: &[&[u8]], to: &mut Writer<'_>) {
        let all: Vec<Vec<u8>> = match names {
            [] => self.told(kind).iter().cloned().collect(),
            names => names.iter().map(|name| name.to_vec()).collect(),
        };
        for name in &all {
            let _ = self.wanted.change(|wanted| wanted.remove(kind, name));
            self.told_mut(kind).remove(name);
            unsubscribed(kind, Some(name), self.counts(), to);
        }
        if all.is_empty() {
            unsubscribed(kind, None, self.counts(), to);
        }
    }

    /// Something has come. False when messages were lost.
    pub(super) fn take(&mut self, entry: Entry, to: &mut Writer<'_>) -> bool {
        match (entry.kind, entry.result) {
            (EntryKind::Message, Ok(message)) if self.pending.is_some() => {
                self.early_bytes += message.memory();
                self.early.push(message);
                return self.early.len() <= MOST_MESSAGES;
            }
            (EntryKind::Message, Ok(message)) => self.message(message, to),
            (_, Ok(event)) => {
                let text = |key: &[u8]| event.get(key).map(|value| value.data().to_vec()).unwrap_or_default();
                match text(b"event").as_slice() {
                    b"subscribed" if text(b"channel") == BEHIND => self.has_own(),
                    b"subscribed" => self.in_force(&text(b"kind"), &text(b"channel"), to),
                    _ => return event.get(b"dropped").is_none_or(|dropped| dropped.integer() == 0),
                }
            }
            (_, Err(_)) if self.own.is_some() => self.has_own(),
            (_, Err(error)) => self.fail(&error, to),
        }
        true
    }

    /// The time of a SUBSCRIBE has passed.
    pub(super) fn late(&mut self, to: &mut Writer<'_>) {
        if self.own.is_some() {
            return self.has_own();
        }
        let during = "waiting for the subscription".to_owned();
        self.fail(&Error::new(ErrorKind::Timeout { during }), to);
    }

    fn in_force(&mut self, kind: &[u8], name: &[u8], to: &mut Writer<'_>) {
        if let Some(pending) = &mut self.pending {
            if pending.kind.name().as_bytes() == kind {
                pending.missing.remove(name);
            }
        }
        self.confirm(to);
    }

    /// Tells the peer once nothing is missing.
    fn confirm(&mut self, to: &mut Writer<'_>) {
        let Some(pending) = self.pending.take_if(|pending| pending.missing.is_empty()) else {
            return;
        };
        let kind = pending.kind;
        for name in pending.names {
            to.push(3).bulk(word(kind.commands().0).as_bytes()).bulk(&name);
            self.told_mut(kind).insert(name);
            to.integer(count(kind, self.counts()));
        }
        self.catch_up(to);
    }

    /// What is waited for will not be.
    fn fail(&mut self, error: &Error, to: &mut Writer<'_>) {
        let Some(pending) = self.pending.take() else { return };
        let names = pending
            .names
            .iter()
            .filter(|name| !self.told(pending.kind).contains(*name));
        for name in names {
            let _ = self.wanted.change(|wanted| wanted.remove(pending.kind, name));
        }
        let text = failure::text(error);
        // Behind a server's word stands for which command and name it is.
        let text = match error.server_code() {
            Some(_) => {
                let end = text.windows(2).rposition(|pair| pair == b" (");
                text.get(..end.unwrap_or(text.len())).unwrap_or_default()
            }
            None => &text,
        };
        to.error(text);
        self.catch_up(to);
    }

    fn catch_up(&mut self, to: &mut Writer<'_>) {
        self.early_bytes = 0;
        for message in std::mem::take(&mut self.early) {
            self.message(message, to);
        }
    }

    fn message(&self, message: Reply, to: &mut Writer<'_>) {
        let word = message.at(0).map(|word| word.data()).unwrap_or_default();
        let kind = match word {
            b"pmessage" => ChannelKind::Pattern,
            b"smessage" => ChannelKind::Sharded,
            _ => ChannelKind::Channel,
        };
        let name = message.at(1).map(|name| name.data()).unwrap_or_default();
        if self.told(kind).contains(name) {
            to.reply(message, Form::default());
        }
    }

    fn told(&self, kind: ChannelKind) -> &HashSet<Vec<u8>> {
        let [channels, patterns, sharded] = &self.told;
        match kind {
            ChannelKind::Channel => channels,
            ChannelKind::Pattern => patterns,
            ChannelKind::Sharded => sharded,
        }
    }

    fn told_mut(&mut self, kind: ChannelKind) -> &mut HashSet<Vec<u8>> {
        let [channels, patterns, sharded] = &mut self.told;
        match kind {
            ChannelKind::Channel => channels,
            ChannelKind::Pattern => patterns,
            ChannelKind::Sharded => sharded,
        }
    }
}

/// Tells that a name is heard no more; `None`: that none was.
pub(super) fn unsubscribed(kind: ChannelKind, name: Option<&[u8]>, counts: [usize; 3], to: &mut Writer<'_>) {
    to.push(3).bulk(word(kind.commands().1).as_bytes());
    match name {
        Some(name) => to.bulk(name),
        None => to.nil(),
    };
    to.integer(count(kind, counts));
}

/// A command as confirmations name it.
fn word(command: &str) -> String {
    command.to_ascii_lowercase()
}

/// Sharded channels are counted apart.
fn count(kind: ChannelKind, [channels, patterns, sharded]: [usize; 3]) -> i64 {
    let count = match kind {
        ChannelKind::Sharded => sharded,
        ChannelKind::Channel | ChannelKind::Pattern => channels + patterns,
    };
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether a peer of this protocol that is subscribed may say this.
pub(super) fn is_allowed(protocol: Protocol, name: &[u8]) -> bool {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    protocol == Protocol::Resp3 || kind_of(name).is_some() || is("PING") || is("QUIT") || is("RESET")
}
