//! The connections to one node under one epoch, retired as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::base::clock;
use crate::base::flag::Flag;
use crate::base::sync::Mutex;

use crate::net::{Endpoint, Socket};
use crate::topology::Role;

/// Identifies a connection within a process.
pub type ConnectionId = u64;

/// Names of scripts that are kept of a node.
const MOST_SCRIPTS: usize = 4096;

/// So long a node that said what it is not may still answer what was sent before: that it refused it too, or had done it.
const LAST_WORDS: Duration = Duration::from_millis(50);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number for a connection, unique in this process.
pub(super) fn next_id() -> ConnectionId {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// A node in the role and epoch in which it was chosen. Every connection belongs to one generation; when the service
/// moves on, the generation is retired and nothing that is still on its way is a success any more.
#[derive(Debug)]
pub struct Generation {
    /// The node.
    pub endpoint: Endpoint,
    /// The role it was verified to hold.
    pub role: Role,
    /// The config epoch under which it was named.
    pub epoch: u64,
    retired: Flag,
    /// When the node said that it is not what it was taken for.
    refuted: OnceLock<Instant>,
    /// Connections open for shared use.
    shared: AtomicUsize,
    /// The newest credentials that the node has taken, and the newest that were shown to it.
    login: AtomicU64,
    shown: AtomicU64,
    /// A connection was lost under its user since somebody looked.
    shaken: AtomicBool,
    /// A lane was given up here for its silence, and no other has been answered since.
    wary: AtomicBool,
    /// Scripts that the node has, by their SHA-1.
    scripts: Mutex<HashSet<Vec<u8>>>,
    sockets: Mutex<HashMap<ConnectionId, Arc<Socket>>>,
}

impl Generation {
    /// A generation without a connection.
    pub fn new(endpoint: Endpoint, role: Role, epoch: u64) -> Generation {
        Generation {
            endpoint,
            role,
            epoch,
            retired: Flag::default(),
            refuted: OnceLock::new(),
            shared: AtomicUsize::new(0),
            login: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            shaken: AtomicBool::new(false),
            wary: AtomicBool::new(false),
            scripts: Mutex::new(HashSet::new()),
            sockets: Mutex::new(HashMap::new()),
        }
    }

    /// Whether new lanes begin with one call and go on when that was answered: the node takes connections and may answer
    /// nothing that matters, as one that shuts down.
    pub(super) fn is_wary(&self) -> bool {
        self.wary.load(Ordering::Relaxed)
    }

    pub(super) fn set_wary(&self, wary: bool) {
        self.wary.store(wary, Ordering::Relaxed);
    }

    /// A connection was lost under its user, who may be any thread: dials cost something for a while.
    pub(super) fn shake(&self) {
        self.shaken.store(true, Ordering::Relaxed);
    }

    /// Whether one was since this was asked last.
    pub(super) fn was_shaken(&self) -> bool {
        self.shaken.swap(false, Ordering::Relaxed)
    }

    /// Whether nothing may be sent to it any more, and no answer of it is good any more.
    pub fn is_retired(&self) -> bool {
        self.retired.is_up()
    }

    /// The node said that it is not what it was taken for: nothing new goes there. What is under way is answered still.
    pub(super) fn refute(&self) {
        let _ = self.refuted.set(clock::now());
    }

    /// When what is under way there has had its time; `None` unless it is refuted.
    pub(super) fn last_words(&self) -> Option<Instant> {
        self.refuted.get().map(|at| *at + LAST_WORDS)
    }

    /// Whether it is left, and what it says still counts.
    pub(super) fn is_heard_out(&self) -> bool {
        self.refuted.get().is_some() && !self.is_retired()
    }

    /// Whether nothing new may be sent to it.
    pub(super) fn is_left(&self) -> bool {
        self.is_retired() || self.refuted.get().is_some()
    }

    /// Ends it: every connection is shut down under whoever uses it.
    pub fn retire(&self) {
        self.retired.raise();
        for socket in self.sockets.lock().values() {
            // The close that follows drops what the kernel has not delivered: a write that was reported as unknown must
            // not reach a cut-off node when the network heals.
            socket.abort();
        }
    }

    /// Whether a connection that logged in with these credentials may take another call: not once the node has taken newer
    /// ones, for the old may be those of somebody who was shut out.
    pub(super) fn takes(&self, login: u64) -> bool {
        login >= self.login.load(Ordering::Relaxed)
    }

    /// The node has taken these.
    pub(super) fn took(&self, login: u64) {
        self.login.fetch_max(login, Ordering::Relaxed);
    }

    /// These are shown to the node.
    pub(super) fn show(&self, login: u64) {
        self.shown.fetch_max(login, Ordering::Relaxed);
    }

    /// The node could not be asked for its word on them.
    pub(super) fn unshow(&self) {
        self.shown.store(0, Ordering::Relaxed);
    }

    /// Whether these were.
    pub(super) fn was_shown(&self, login: u64) -> bool {
        self.shown.load(Ordering::Relaxed) >= login
    }

    /// Whether the node is known to have the script of this name.
    pub(crate) fn has_script(&self, name: &[u8]) -> bool {
        self.scripts.lock().contains(name)
    }

    /// Whether it has was told just now.
    pub(crate) fn note_script(&self, name: &[u8], has: bool) {
        let mut scripts = self.scripts.lock();
        if !has {
            scripts.remove(name);
        } else if !scripts.contains(name) {
            // Of a program that makes scripts without end most are asked for again.
            if scripts.len() >= MOST_SCRIPTS {
                scripts.clear();
            }
            scripts.insert(name.to_vec());
        }
    }

    /// Enters a connection. False when the generation was left meanwhile: the connection must not be used.
    pub(super) fn enter(&self, id: ConnectionId, socket: &Arc<Socket>) -> bool {
        self.sockets.lock().insert(id, Arc::clone(socket));
        !self.is_left()
    }

    pub(super) fn leave(&self, id: ConnectionId) {
        self.sockets.lock().remove(&id);
    }

    /// Connections open.
    pub(super) fn connections(&self) -> usize {
        self.sockets.lock().len()
    }

    /// Whether it has a connection.
    pub(super) fn is_in_use(&self) -> bool {
        !self.sockets.lock().is_empty()
    }

    /// Connections open for shared use.
    pub(super) fn shared(&self) -> usize {
        self.shared.load(Ordering::Relaxed)
    }

    pub(super) fn count_shared(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn discount_shared(&self) {
        self.shared.fetch_sub(1, Ordering::Relaxed);
    }
}
