//! Notices when a peer closes a connection that nobody is reading from.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;

use super::gate::Gate;
use super::generation::ConnectionId;
use super::holder::Holder;
use crate::net::sys::Hangups;
use crate::net::{Endpoint, Socket};

#[derive(Debug)]
struct Owner {
    holder: Weak<dyn Holder>,
    endpoint: Endpoint,
}

/// The watch on every direct connection of a deployment. Without it the first command after a server's restart, or
/// after its idle timeout, would be written to a dead connection and its outcome be unknown.
#[derive(Debug)]
pub struct HangupWatch {
    hangups: Hangups,
    owners: Mutex<HashMap<ConnectionId, Owner>>,
}

impl HangupWatch {
    /// A watch on nothing yet.
    pub fn new() -> io::Result<HangupWatch> {
        Ok(HangupWatch {
            hangups: Hangups::new()?,
            owners: Mutex::new(HashMap::new()),
        })
    }

    /// Watches a connection of `holder` until it is dropped. A kernel that refuses costs the early notice, not the
    /// connection.
    pub(super) fn add(&self, id: ConnectionId, endpoint: &Endpoint, socket: &Arc<Socket>, holder: Weak<dyn Holder>) {
        let endpoint = endpoint.clone();
        self.owners.lock().insert(id, Owner { holder, endpoint });
        let _ = self.hangups.add(socket, id);
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        self.owners.lock().remove(&id);
    }

    /// Tells the pools, for ever. Runs on sentinel-io.
    pub async fn run(self: Arc<Self>, gate: std::rc::Rc<Gate>) {
        let Ok(mut watch) = self.hangups.watch() else { return };
        while let Ok(gone) = watch.next().await {
            self.tell(&gone, &gate);
        }
    }

    fn tell(&self, gone: &[ConnectionId], gate: &Gate) {
        for id in gone {
            let owner = self.owners.lock().remove(id);
            let Some(owner) = owner else { continue };
            gate.suspect(&owner.endpoint);
            if let Some(holder) = owner.holder.upgrade() {
                holder.hung_up(&owner.endpoint, &[*id]);
            }
        }
    }
}
