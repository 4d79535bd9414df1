//! Credentials that may be replaced while connections are made with them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Credentials;

/// The login of a deployment's Sentinels, or of the nodes of its clients. Any thread.
#[derive(Debug)]
pub struct Vault(Mutex<(u64, Arc<Credentials>)>);

impl Vault {
    /// A vault with its first credentials, number 0.
    pub fn new(credentials: Credentials) -> Arc<Vault> {
        Arc::new(Vault(Mutex::new((0, Arc::new(credentials)))))
    }

    /// The newest credentials and their number, which grows with each replacement.
    pub fn newest(&self) -> (u64, Arc<Credentials>) {
        self.0.lock().clone()
    }

    /// The number of the newest.
    pub fn number(&self) -> u64 {
        self.0.lock().0
    }

    /// Puts others in their place. The old ones are wiped when no login under way uses them any more.
    pub fn replace(&self, credentials: Credentials) {
        let mut current = self.0.lock();
        *current = (current.0 + 1, Arc::new(credentials));
    }
}
