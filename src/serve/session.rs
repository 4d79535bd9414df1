//! What a socket's peer has said of itself, and the commands that are answered from it: no node is asked. Pure.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::out::Out;
use super::request::canonical;
use super::shape::{Protocol, Writer};
use crate::topology::Role;

/// Numbers of sockets, as a server has them of its clients; where no server's own begin, so that `CLIENT KILL ID` and
/// `CLIENT UNBLOCK` by such a number meet nobody else's connection.
static SERVED: AtomicI64 = AtomicI64::new(1 << 48);

/// What is said to be the server. Clients decide by it what they may use; each command is the node's to know.
const VERSION: &str = "7.0.0";

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is none of these: a node answers it.
    None,
    Given,
    /// Given, and the stream ends behind it.
    Last,
    /// Everything is to be as at the beginning, then this is given.
    Reset,
}

/// Of one socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) protocol: Protocol,
    /// The protocol may be RESP3.
    knows_resp3: bool,
    role: Role,
    database: u32,
    number: i64,
    name: Vec<u8>,
    since: Instant,
}

impl Session {
    pub(super) fn new(role: Role, database: u32, knows_resp3: bool, now: Instant) -> Session {
        Session {
            protocol: Protocol::Resp2,
            knows_resp3,
            role,
            database,
            number: SERVED.fetch_add(1, Ordering::Relaxed) + 1,
            name: Vec::new(),
            since: now,
        }
    }

    /// Forgets what the peer has said.
    pub(super) fn reset(&mut self) {
        self.protocol = Protocol::Resp2;
        self.name.clear();
    }

    /// Answers a command, if it is one of these. `told`: how often it is subscribed, channels, patterns, sharded ones.
    pub(super) fn answer(&mut self, args: &[&[u8]], told: [usize; 3], now: Instant, out: &mut Out) -> Answer {
        let Some((name, rest)) = args.split_first() else {
            return Answer::None;
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let hears = self.protocol == Protocol::Resp2 && told.iter().any(|count| *count > 0);
        let mut to = Writer::new(out, self.protocol);
        if is("PING") {
            match rest {
                [] if hears => to.push(2).bulk(b"pong").bulk(b""),
                [text] if hears => to.push(2).bulk(b"pong").bulk(text),
                [] => to.status("PONG"),
                [text] => to.bulk(text),
                _ => to.error(arity("ping")),
            };
        } else if is("ECHO") {
            match rest {
                [text] => to.bulk(text),
                _ => to.error(arity("echo")),
            };
        } else if is("HELLO") {
            self.hello(rest, out);
        } else if is("AUTH") {
            match rest {
                [_] | [_, _] => to.status("OK"),
                [] => to.error(arity("auth")),
                _ => to.error("ERR syntax error"),
            };
        } else if is("SELECT") {
            match rest {
                [number] => self.select(number, &mut to),
                _ => _ = to.error(arity("select")),
            }
        } else if is("CLIENT") {
            return self.client(rest, told, now, out);
        } else if is("RESET") && rest.is_empty() {
            return Answer::Reset;
        } else if is("QUIT") {
            to.status("OK");
            return Answer::Last;
        } else if is("RESET") || is("READONLY") || is("READWRITE") || is("ASKING") {
            match misfit(args) {
                Some(text) => to.error(text),
                None => to.error("ERR This instance has cluster support disabled"),
            };
        } else {
            return Answer::None;
        }
        Answer::Given
    }

    fn select(&self, number: &[u8], to: &mut Writer<'_>) {
        match canonical(number) {
            None => to.error("ERR value is not an integer or out of range"),
            Some(number) if number == i64::from(self.database) => to.status("OK"),
            Some(_) => to.error(format!(
                "ERR this socket is for database {} alone: set the option database for another one",
                self.database
            )),
        };
    }

    fn hello(&mut self, rest: &[&[u8]], out: &mut Out) {
        let mut refuse = |text: &str| _ = Writer::new(out, self.protocol).error(text);
        let mut protocol = self.protocol;
        if let Some(version) = rest.first() {
            match canonical(version) {
                Some(2) => protocol = Protocol::Resp2,
                Some(3) if self.knows_resp3 => protocol = Protocol::Resp3,
                Some(_) => return refuse("NOPROTO unsupported protocol version"),
                None => return refuse("ERR Protocol version is not an integer or out of range"),
            }
        }
        let mut named = None;
        let mut options = rest.get(1..).unwrap_or_default();
        loop {
            options = match options {
                [] => break,
                [word, _, _, more @ ..] if word.eq_ignore_ascii_case(b"AUTH") => more,
                [word, name, more @ ..] if word.eq_ignore_ascii_case(b"SETNAME") => {
                    if !is_name(name) {
                        return refuse(BAD_NAME);
                    }
                    named = Some(name.to_vec());
                    more
                }
                [word, ..] => {
                    let word = String::from_utf8_lossy(word);
                    return refuse(&format!("ERR Syntax error in HELLO option '{word}'"));
                }
            };
        }
        self.protocol = protocol;
        self.name = named.unwrap_or_else(|| std::mem::take(&mut self.name));
        let role: &[u8] = match self.role {
            Role::Replica => b"replica",
            Role::Primary | Role::Sentinel => b"master",
        };
        let mut to = Writer::new(out, protocol);
        to.map(7)
            .bulk(b"server")
            .bulk(b"redis")
            .bulk(b"version")
            .bulk(VERSION.as_bytes());
        to.bulk(b"proto")
            .integer(self.version())
            .bulk(b"id")
            .integer(self.number);
        to.bulk(b"mode").bulk(b"standalone").bulk(b"role").bulk(role);
        to.bulk(b"modules").array(0);
    }

    fn version(&self) -> i64 {
        match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }

    fn client(&mut self, rest: &[&[u8]], told: [usize; 3], now: Instant, out: &mut Out) -> Answer {
        let Some((word, rest)) = rest.split_first() else {
            return Answer::None;
        };
        let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
        let mut to = Writer::new(out, self.protocol);
        let on_or_off = |word: &[u8]| word.eq_ignore_ascii_case(b"on") || word.eq_ignore_ascii_case(b"off");
        if is("SETNAME") {
            match rest {
                [name] if is_name(name) => {
                    self.name = name.to_vec();
                    to.status("OK");
                }
                [_] => _ = to.error(BAD_NAME),
                _ => _ = to.error(arity("client|setname")),
            }
        } else if is("GETNAME") {
            match rest {
                [] if self.name.is_empty() => to.nil(),
                [] => to.bulk(&self.name),
                _ => to.error(arity("client|getname")),
            };
        } else if is("SETINFO") {
            match rest {
                [key, value] if key.eq_ignore_ascii_case(b"LIB-NAME") || key.eq_ignore_ascii_case(b"LIB-VER") => {
                    match is_name(value) {
                        true => to.status("OK"),
                        false => to.error("ERR it cannot contain spaces, newlines or special characters."),
                    }
                }
                [key, _] => to.error(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(key))),
                _ => to.error(arity("client|setinfo")),
            };
        } else if is("ID") {
            match rest {
                [] => to.integer(self.number),
                _ => to.error(arity("client|id")),
            };
        } else if is("INFO") {
            match rest {
                [] => to.verbatim(None, self.info(told, now).as_bytes()),
                _ => to.error(arity("client|info")),
            };
        } else if is("NO-EVICT") || is("NO-TOUCH") {
            match rest {
                [word] if on_or_off(word) => to.status("OK"),
                [_] => to.error("ERR syntax error"),
                _ if is("NO-EVICT") => to.error(arity("client|no-evict")),
                _ => to.error(arity("client|no-touch")),
            };
        } else {
            return Answer::None;
        }
        Answer::Given
    }

    fn info(&self, [channels, patterns, sharded]: [usize; 3], now: Instant) -> String {
        let age = now.saturating_duration_since(self.since).as_secs();
        let flags = if channels + patterns + sharded > 0 { "P" } else { "N" };
        format!(
            "id={} addr=?:0 laddr=?:0 fd=-1 name={} age={age} idle=0 flags={flags} db={} sub={channels} psub={patterns} \
             ssub={sharded} multi=-1 cmd=client|info user=default redir=-1 resp={}\n",
            self.number,
            String::from_utf8_lossy(&self.name),
            self.database,
            self.version(),
        )
    }
}

/// Whether a command of a transaction is about the socket alone: it is answered here, in its place. What a node answers as
/// well is left to it.
pub(super) fn is_ours(args: &[&[u8]]) -> bool {
    const NAMES: [&str; 7] = ["HELLO", "AUTH", "SELECT", "READONLY", "READWRITE", "ASKING", "UNWATCH"];
    const OF_CLIENT: [&str; 7] = ["SETNAME", "GETNAME", "SETINFO", "ID", "INFO", "NO-EVICT", "NO-TOUCH"];
    let is = |at: usize, words: &[&str]| {
        let word = args.get(at).copied().unwrap_or_default();
        words.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
    };
    is(0, &NAMES) || (is(0, &["CLIENT"]) && is(1, &OF_CLIENT))
}

/// What is wrong with the number of arguments of a command that is taken up here, where a server looks at it first.
pub(super) fn misfit(args: &[&[u8]]) -> Option<String> {
    const FIT: [(&str, usize); 17] = [
        ("multi", 1),
        ("exec", 1),
        ("discard", 1),
        ("watch", 0),
        ("reset", 1),
        ("echo", 2),
        ("select", 2),
        ("readonly", 1),
        ("readwrite", 1),
        ("asking", 1),
        ("unwatch", 1),
        ("client|setname", 3),
        ("client|getname", 2),
        ("client|setinfo", 4),
        ("client|id", 2),
        ("client|info", 2),
        ("auth", 0),
    ];
    let is = |at: usize, word: &str| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let (name, count) = FIT.into_iter().find(|(name, _)| match name.split_once('|') {
        Some((name, sub)) => is(0, name) && is(1, sub),
        None => is(0, name),
    })?;
    let fits = args.len() == count || (count == 0 && args.len() > 1);
    (!fits).then(|| arity(name))
}

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// A server's word on a command with too few or too many arguments.
pub(super) fn arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}
