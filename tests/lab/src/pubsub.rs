//! Subscriptions of a scripted peer, in the forms of both protocols.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crate::session::{Client, Session};
use crate::wire::{put_bulk, put_head};

#[derive(Default)]
struct Sets {
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

/// What one connection is subscribed to.
#[derive(Default)]
pub(crate) struct Subscriptions {
    sets: Mutex<Sets>,
}

impl Subscriptions {
    fn with<T>(&self, use_them: impl FnOnce(&mut Sets) -> T) -> T {
        use_them(&mut self.sets.lock().expect("no panic happens under this lock"))
    }
}

/// Glob matching as far as tests need it: `*` for anything at the end, or the literal name.
fn matches(pattern: &[u8], channel: &[u8]) -> bool {
    match pattern.strip_suffix(b"*") {
        Some(prefix) => channel.starts_with(prefix),
        None => pattern == channel,
    }
}

impl Client {
    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions
            .with(|sets| !sets.channels.is_empty() || !sets.patterns.is_empty())
    }

    fn event_head(&self, out: &mut Vec<u8>, count: usize) {
        put_head(out, if self.resp3.load(Ordering::SeqCst) { '>' } else { '*' }, count);
    }

    /// Sends one message to the client if it is subscribed; how many times it was sent.
    pub(crate) fn deliver(&self, channel: &[u8], payload: &[u8]) -> usize {
        let mut out = Vec::new();
        let count = self.subscriptions.with(|sets| {
            let mut count = 0;
            if sets.channels.contains(channel) {
                self.event_head(&mut out, 3);
                [b"message", channel, payload]
                    .iter()
                    .for_each(|part| put_bulk(&mut out, part));
                count += 1;
            }
            for pattern in sets.patterns.iter().filter(|pattern| matches(pattern, channel)) {
                self.event_head(&mut out, 4);
                [b"pmessage", pattern.as_slice(), channel, payload]
                    .iter()
                    .for_each(|part| put_bulk(&mut out, part));
                count += 1;
            }
            count
        });
        if count == 0 || self.link.send(&out).is_err() {
            0
        } else {
            count
        }
    }
}

impl Session {
    /// Whether the client is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.client.is_subscribed()
    }

    /// Handles the four (un)subscribing commands, and in RESP2 what a subscribed connection may not send. Returns whether
    /// the command was one of these and has its reply.
    pub fn handle_pubsub(&mut self, args: &[Vec<u8>]) -> bool {
        let Some((name, names)) = args.split_first() else {
            return false;
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match name.as_str() {
            "subscribe" | "psubscribe" => names.iter().for_each(|channel| self.change(&name, Some(channel))),
            "unsubscribe" | "punsubscribe" if names.is_empty() => self.unsubscribe_all(&name),
            "unsubscribe" | "punsubscribe" => names.iter().for_each(|channel| self.change(&name, Some(channel))),
            "ping" if self.is_subscribed() && !self.is_resp3() => self.bulks(&["pong", ""]),
            _ if self.is_subscribed() && !self.is_resp3() => self.error(&format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                 in this context"
            )),
            _ => return false,
        }
        true
    }

    fn unsubscribe_all(&mut self, name: &str) {
        let all: Vec<Vec<u8>> = self.client.subscriptions.with(|sets| {
            let set = if name.starts_with('p') {
                &sets.patterns
            } else {
                &sets.channels
            };
            set.iter().cloned().collect()
        });
        if all.is_empty() {
            self.change(name, None);
        }
        all.iter().for_each(|channel| self.change(name, Some(channel)));
    }

    /// Changes one subscription and confirms it.
    fn change(&mut self, name: &str, channel: Option<&[u8]>) {
        let count = self.client.subscriptions.with(|sets| {
            let set = if name.starts_with('p') {
                &mut sets.patterns
            } else {
                &mut sets.channels
            };
            match channel {
                Some(channel) if name.ends_with("unsubscribe") => set.remove(channel),
                Some(channel) => set.insert(channel.to_vec()),
                None => false,
            };
            sets.channels.len() + sets.patterns.len()
        });
        let mut out = Vec::new();
        self.client.event_head(&mut out, 3);
        put_bulk(&mut out, name.as_bytes());
        match channel {
            Some(channel) => put_bulk(&mut out, channel),
            None if self.is_resp3() => out.extend_from_slice(b"_\r\n"),
            None => out.extend_from_slice(b"$-1\r\n"),
        }
        out.extend_from_slice(format!(":{count}\r\n").as_bytes());
        self.send(out);
    }
}
