//! What each decision of the library comes to: its counters, its line in the log, its event.
//!
//! Lines hold addresses, epochs, times and causes. What a command or a server's answer to one said is never in them:
//! servers quote arguments in their errors.

use std::time::{Duration, Instant};

use super::calls::{CallStats, millis, outcome_word, word};
use super::events::{Event, SentinelChange, What, role_word};
use super::log::Level;
use super::nodes::{LinkState, SentinelStats};
use super::{Observer, changes};
use crate::base::clock;
use crate::base::error::{Attempt, Error, Reason, Stage};
use crate::net::Endpoint;
use crate::topology::{Role, Snapshot, Word, Words};

impl Observer {
    pub(super) fn post(&self, service: &str, what: What) {
        let service = service.to_owned();
        self.bus.post(&Event { service, what });
    }

    /// A view of a service took the place of another one. `words`: what it rests on; `first_sign`: when the first event
    /// or answer came that contradicted the view before.
    pub fn view_changed(&self, service: &str, before: &Snapshot, after: &Snapshot, words: &Words, first_sign: Instant) {
        if let (None, Some(primary)) = (&before.primary, &after.primary) {
            let votes = Votes::of(words, &primary.endpoint);
            let (at, epoch) = (&primary.endpoint, after.epoch);
            self.log.line(
                Level::Info,
                format_args!("{service}: the primary is {at}, epoch {epoch}, named by {votes}"),
            );
        }
        for change in changes::of_snapshots(before, after) {
            match change {
                What::Primary {
                    from,
                    to,
                    epoch,
                    reboot,
                    ..
                } => {
                    let last_good = self.calls(service, Role::Primary).last_good();
                    let last_good_ms = last_good.map(|at| millis(at.elapsed()));
                    let news = if reboot {
                        self.restarted(service, before, after)
                    } else {
                        self.service(service).switched(&to, last_good, first_sign);
                        self.tell_switch(service, (&from, before.epoch), (&to, epoch), words, last_good_ms);
                        true
                    };
                    if news {
                        let what = What::Primary {
                            from,
                            to,
                            epoch,
                            reboot,
                            last_good_ms,
                            foreseen: after.foreseen,
                        };
                        self.post(service, what);
                    }
                }
                other => {
                    if let What::Replicas { usable, added, removed } = &other {
                        self.tell_replicas(service, usable, added, removed);
                    }
                    self.post(service, other);
                }
            }
        }
    }

    /// No writes are sent to the primary of a service, or they are again. `lasted`: for how long what holds them has.
    pub fn writes_changed(&self, service: &str, held: Option<Reason>, lasted: Duration) {
        let milliseconds = millis(lasted);
        match held {
            Some(reason) => self.log.line(
                Level::Warn,
                format_args!("{service}: no writes are sent for now: {reason}, since {milliseconds} ms"),
            ),
            None => self.log.line(
                Level::Info,
                format_args!("{service}: writes are sent again, after {milliseconds} ms"),
            ),
        }
        self.post(service, What::Writes { held, milliseconds });
    }

    fn tell_switch(
        &self,
        service: &str,
        (from, old): (&Endpoint, u64),
        (to, epoch): (&Endpoint, u64),
        words: &Words,
        last_good_ms: Option<u64>,
    ) {
        let votes = Votes::of(words, to);
        let ago = last_good_ms.map_or("never".to_owned(), |ms| format!("{ms} ms ago"));
        self.log.line(
            Level::Info,
            format_args!(
                "{service}: the primary is {to}, epoch {epoch}, and no longer {from}, epoch {old}: named by {votes}; \
                 last good reply {ago}"
            ),
        );
    }

    fn restarted(&self, service: &str, before: &Snapshot, after: &Snapshot) -> bool {
        let run_id = |snapshot: &Snapshot| {
            let primary = snapshot.primary.as_ref();
            primary
                .and_then(|node| node.field("runid"))
                .unwrap_or_default()
                .to_owned()
        };
        let news = self.service(service).restarted(&run_id(before), &run_id(after));
        if let (true, Some(primary)) = (news, &after.primary) {
            let at = &primary.endpoint;
            self.log.line(
                Level::Warn,
                format_args!("{service}: the primary {at} was restarted in its place: data may be gone"),
            );
        }
        news
    }

    fn tell_replicas(&self, service: &str, usable: &[Endpoint], added: &[Endpoint], removed: &[Endpoint]) {
        let (usable, added, removed) = (List(usable), List(added), List(removed));
        self.log.line(
            Level::Info,
            format_args!("{service}: usable replicas: {usable} (added: {added}; removed: {removed})"),
        );
    }

    /// The Sentinels of a service said something else than before, or others have a say.
    pub fn words_changed(&self, service: &str, before: &Words, after: &Words) {
        for (sentinel, change) in changes::of_words(before, after) {
            match change {
                SentinelChange::Added => self.log.line(
                    Level::Info,
                    format_args!("{service}: the others tell of a Sentinel at {sentinel}"),
                ),
                SentinelChange::Removed => self.log.line(
                    Level::Info,
                    format_args!("{service}: no Sentinel reports {sentinel} any more"),
                ),
                SentinelChange::Lost(_)
                | SentinelChange::Back
                | SentinelChange::Stranger
                | SentinelChange::Moved(_) => {}
            }
            self.post(service, What::Sentinel { sentinel, change });
        }
        if self.log.takes(Level::Debug) {
            self.tell_words(service, before, after);
        }
    }

    fn tell_words(&self, service: &str, before: &Words, after: &Words) {
        for (sentinel, word) in after {
            let before = before.iter().find(|(at, _)| at == sentinel).map(|(_, word)| word);
            if let Word::Names { primary, epoch, .. } = word {
                let same = matches!(before, Some(Word::Names { primary: said, epoch: under, .. })
                    if said == primary && under == epoch);
                if !same {
                    self.log.line(
                        Level::Debug,
                        format_args!("{service}: Sentinel {sentinel} names {primary}, epoch {epoch}"),
                    );
                }
            } else if before.is_some_and(|before| std::mem::discriminant(before) != std::mem::discriminant(word)) {
                let cause = match word {
                    Word::Asked => continue,
                    Word::Failed(attempt) | Word::Refused(attempt) => attempt.cause.clone(),
                    Word::Unknown => "it knows no such service".to_owned(),
                    Word::NoAddress => "it knows no address of the primary".to_owned(),
                    Word::TooFewPeers(peers) => format!("it knows {peers} other Sentinels, too few"),
                    Word::Stranger(_) => "no Sentinel that has one knows it".to_owned(),
                    Word::Names { .. } => continue,
                };
                self.log.line(
                    Level::Debug,
                    format_args!("{service}: Sentinel {sentinel} has no say: {cause}"),
                );
            }
        }
    }

    /// The others told of a Sentinel that was not known.
    pub fn sentinel_learnt(&self, at: &Endpoint) {
        self.members.learnt.count();
        self.log
            .line(Level::Info, format_args!("the others tell of a Sentinel at {at}"));
    }

    /// No Sentinel lists it any more, and it is down.
    pub fn sentinel_forgotten(&self, at: &Endpoint) {
        self.members.forgotten.count();
        self.log.line(
            Level::Info,
            format_args!("no Sentinel reports {at} any more, it is forgotten"),
        );
    }

    /// The same Sentinel is at another address.
    pub fn sentinel_moved(&self, from: &Endpoint, to: &Endpoint) {
        self.members.moved.count();
        self.log
            .line(Level::Info, format_args!("the Sentinel at {from} is at {to} now"));
        let services: Vec<String> = self.services.lock().keys().cloned().collect();
        for service in services {
            let change = SentinelChange::Moved(to.clone());
            let sentinel = from.clone();
            self.post(&service, What::Sentinel { sentinel, change });
        }
    }

    /// Whoever answers at this address is known to none of those that have a say.
    pub fn sentinel_is_a_stranger(&self, at: &Endpoint) {
        self.members.strangers.count();
        self.log.line(
            Level::Warn,
            format_args!("whoever answers at {at} is no Sentinel of this deployment: its words count for nothing"),
        );
    }

    /// A Sentinel published something.
    pub fn heard_event(&self, sentinel: &SentinelStats, channel: &str, service: Option<&str>) {
        sentinel.events.count();
        let (at, service) = (&sentinel.endpoint, service.unwrap_or("all services"));
        self.log.line(
            Level::Debug,
            format_args!("{service}: Sentinel {at} published {channel}"),
        );
    }

    /// A Sentinel is connected.
    pub fn link_up(&self, sentinel: &SentinelStats, protocol: u8) {
        let (level, again) = match sentinel.up(protocol) {
            LinkState::Down => (Level::Info, "is back"),
            _ => (Level::Debug, "is connected"),
        };
        let at = &sentinel.endpoint;
        self.log
            .line(level, format_args!("Sentinel {at} {again}, RESP{protocol}"));
    }

    /// A Sentinel could not be connected to, or the connection to it ended.
    pub fn link_down(&self, sentinel: &SentinelStats, attempt: &Attempt) {
        let (level, how) = match sentinel.down(attempt) {
            LinkState::Up => (Level::Warn, "is lost"),
            LinkState::Down => (Level::Trace, "is still not to be had"),
            _ => (level_of(attempt), "is not to be had"),
        };
        let (at, stage, cause) = (&sentinel.endpoint, attempt.stage, &attempt.cause);
        self.log
            .line(level, format_args!("Sentinel {at} {how}: {stage}: {cause}"));
    }

    /// New credentials were not taken where a connection with older ones serves on.
    pub fn login_kept(&self, attempt: &Attempt) {
        let (at, stage, cause) = (&attempt.endpoint, attempt.stage, &attempt.cause);
        self.log.line(
            Level::Warn,
            format_args!("{at} did not take the new login, its connection keeps the old one: {stage}: {cause}"),
        );
    }

    /// A verified connection was put to use.
    pub fn connection_made(&self, calls: &CallStats, node: &Endpoint, role: Role, kind: &str) {
        calls.opened.count();
        let (service, is) = (&calls.service, role_word(role));
        self.log.line(
            Level::Debug,
            format_args!("{service}: connected to the {is} {node} ({kind})"),
        );
        let first = match role {
            Role::Primary => self.service(service).connected(node, clock::now()),
            _ => None,
        };
        if let Some(took) = first {
            let ms = millis(took);
            self.log.line(
                Level::Info,
                format_args!(
                    "{service}: the switch to {node} is done: first verified connection {ms} ms after its first sign"
                ),
            );
        }
        let node = node.clone();
        self.post(service, What::Connection { node, role, lost: None });
    }

    /// A connection ended without the library's wish.
    pub fn connection_lost(&self, calls: &CallStats, node: &Endpoint, role: Role, cause: &str) {
        calls.lost.count();
        let (service, is) = (&calls.service, role_word(role));
        self.log.line(
            Level::Warn,
            format_args!("{service}: a connection to the {is} {node} is lost: {cause}"),
        );
        let (node, lost) = (node.clone(), Some(cause.to_owned()));
        self.post(service, What::Connection { node, role, lost });
    }

    /// A node could not be connected to. `again`: for the same cause as the time before.
    pub fn node_refused(&self, calls: &CallStats, node: &Endpoint, attempt: &Attempt, again: bool) {
        calls.refused.count();
        let (level, still) = match again {
            true => (Level::Trace, "still "),
            false => (level_of(attempt), ""),
        };
        let (service, stage, cause) = (&calls.service, attempt.stage, &attempt.cause);
        self.log.line(
            level,
            format_args!("{service}: {node} is {still}not to be had: {stage}: {cause}"),
        );
    }

    /// A node refused a command for what it is or does: it is left until it was verified anew.
    pub fn node_condemned(&self, calls: &CallStats, node: &Endpoint) {
        let service = &calls.service;
        self.log.line(
            Level::Warn,
            format_args!("{service}: {node} refused a command for what it is or does: it is verified anew"),
        );
    }

    /// A call is repeated because of `error`.
    pub fn retried(&self, calls: &CallStats, error: &Error) {
        calls.retries.count();
        let (service, why, outcome) = (&calls.service, word(error), outcome_word(error.outcome()));
        let at = error.endpoint().unwrap_or("no node");
        self.log.line(
            Level::Debug,
            format_args!("{service}: a call is repeated: {why} at {at}, outcome {outcome}"),
        );
    }

    /// A client of replicas has none to read from and turns to the primary, or turns back.
    pub fn fell_back(&self, calls: &CallStats, primary: &Endpoint, back: bool) {
        let service = &calls.service;
        if back {
            self.log.line(
                Level::Info,
                format_args!("{service}: reads go to replicas again, not to the primary {primary}"),
            );
        } else {
            calls.fallbacks.count();
            self.log.line(
                Level::Warn,
                format_args!("{service}: no replica can be read from: reads go to the primary {primary}"),
            );
        }
    }
}

/// A refused login or certificate stays refused until an operator does something; anything else may pass.
fn level_of(attempt: &Attempt) -> Level {
    match attempt.stage {
        Stage::Auth | Stage::Tls => Level::Error,
        _ => Level::Warn,
    }
}

/// How many Sentinels name a primary: `2 of 3 Sentinels`.
struct Votes {
    name: usize,
    all: usize,
}

impl Votes {
    fn of(words: &Words, at: &Endpoint) -> Votes {
        let names = |word: &Word| matches!(word, Word::Names { primary, .. } if primary == at);
        let count = |is_one: &dyn Fn(&Word) -> bool| words.iter().filter(|(_, word)| is_one(word)).count();
        Votes {
            name: count(&names),
            all: count(&|word| !matches!(word, Word::Stranger(_))),
        }
    }
}

impl std::fmt::Display for Votes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} Sentinels", self.name, self.all)
    }
}

/// Addresses, or `none`.
struct List<'a>(&'a [Endpoint]);

impl std::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, endpoint) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{endpoint}")?;
        }
        if self.0.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}
