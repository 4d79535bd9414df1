//! One connection to a scripted peer: what a script can send, and what it knows about its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use crate::link::{Cut, Link};
use crate::pubsub::Subscriptions;
use crate::wire::{put_bulk, put_head};

/// The state of a connection that the script, and the test's own thread, share.
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) id: usize,
    pub(crate) resp3: AtomicBool,
    pub(crate) database: AtomicU8,
    pub(crate) authenticated: AtomicBool,
    pub(crate) subscriptions: Subscriptions,
}

impl Client {
    pub(crate) fn new(link: Link, id: usize) -> Client {
        Client {
            link,
            id,
            resp3: AtomicBool::new(false),
            database: AtomicU8::new(0),
            authenticated: AtomicBool::new(false),
            subscriptions: Subscriptions::default(),
        }
    }
}

/// A connection in a script's hands. What it sends to a client that is gone is silently lost.
pub struct Session {
    pub(crate) client: Arc<Client>,
}

impl Session {
    /// The number of the connection; the first a peer accepted is 0.
    pub fn id(&self) -> usize {
        self.client.id
    }

    /// Whether the client has switched to RESP3.
    pub fn is_resp3(&self) -> bool {
        self.client.resp3.load(Ordering::SeqCst)
    }

    /// Switches replies and events to RESP3 or back.
    pub fn set_resp3(&mut self, resp3: bool) {
        self.client.resp3.store(resp3, Ordering::SeqCst);
    }

    /// Whether [`set_authenticated`](Session::set_authenticated) was called.
    pub fn is_authenticated(&self) -> bool {
        self.client.authenticated.load(Ordering::SeqCst)
    }

    /// Notes that the client has given its password.
    pub fn set_authenticated(&mut self) {
        self.client.authenticated.store(true, Ordering::SeqCst);
    }

    /// The database the client has selected.
    pub fn database(&self) -> u8 {
        self.client.database.load(Ordering::SeqCst)
    }

    /// Notes the database the client has selected.
    pub fn set_database(&mut self, index: u8) {
        self.client.database.store(index, Ordering::SeqCst);
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.link.send(bytes.as_ref()).ok();
    }

    /// Sends bytes one at a time, without a pause between them.
    pub fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_pieces(bytes, 1, Duration::ZERO);
    }

    /// Sends bytes one at a time with `pause` between them.
    pub fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        self.send_pieces(bytes, 1, pause);
    }

    /// Sends bytes `size` at a time with `pause` between the pieces.
    pub fn send_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize, pause: Duration) {
        self.client.link.send_pieces(bytes.as_ref(), size, pause).ok();
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.status("OK");
    }

    /// A simple string.
    pub fn status(&mut self, text: &str) {
        self.send(format!("+{text}\r\n"));
    }

    /// An error; `text` begins with its code, such as `ERR` or `READONLY`.
    pub fn error(&mut self, text: &str) {
        self.send(format!("-{text}\r\n"));
    }

    /// An integer.
    pub fn int(&mut self, number: i64) {
        self.send(format!(":{number}\r\n"));
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let mut out = Vec::new();
        put_bulk(&mut out, bytes.as_ref());
        self.send(out);
    }

    /// Nil: `_` in RESP3, `$-1` in RESP2.
    pub fn nil(&mut self) {
        self.send(if self.is_resp3() { "_\r\n" } else { "$-1\r\n" });
    }

    /// The nil where an array was due: `_` in RESP3, `*-1` in RESP2.
    pub fn nil_array(&mut self) {
        self.send(if self.is_resp3() { "_\r\n" } else { "*-1\r\n" });
    }

    /// An array of bulk strings.
    pub fn bulks<A: AsRef<[u8]>>(&mut self, items: &[A]) {
        let mut out = Vec::new();
        put_head(&mut out, '*', items.len());
        items.iter().for_each(|item| put_bulk(&mut out, item.as_ref()));
        self.send(out);
    }

    /// Names and values as a map in RESP3, as a flat array in RESP2.
    pub fn pairs<A: AsRef<str>, B: AsRef<str>>(&mut self, pairs: &[(A, B)]) {
        let mut out = Vec::new();
        self.put_pairs(&mut out, pairs);
        self.send(out);
    }

    /// An array of maps, each as [`pairs`](Session::pairs) would send it.
    pub fn array_of_pairs(&mut self, entries: &[Vec<(String, String)>]) {
        let mut out = Vec::new();
        put_head(&mut out, '*', entries.len());
        entries.iter().for_each(|pairs| self.put_pairs(&mut out, pairs));
        self.send(out);
    }

    fn put_pairs<A: AsRef<str>, B: AsRef<str>>(&self, out: &mut Vec<u8>, pairs: &[(A, B)]) {
        match self.is_resp3() {
            true => put_head(out, '%', pairs.len()),
            false => put_head(out, '*', pairs.len() * 2),
        }
        for (name, value) in pairs {
            put_bulk(out, name.as_ref().as_bytes());
            put_bulk(out, value.as_ref().as_bytes());
        }
    }

    /// Ends the connection with FIN.
    pub fn close(&mut self) {
        self.client.link.cut(Cut::Close);
    }

    /// Ends the connection with RST.
    pub fn reset(&mut self) {
        self.client.link.cut(Cut::Reset);
    }
}
