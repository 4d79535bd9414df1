//! Credentials that may be replaced while connections are made with them.

use std::sync::Arc;

use tokio::sync::watch;

use super::Credentials;

/// The login of a deployment's Sentinels, or of the nodes of its clients. Any thread.
#[derive(Debug)]
pub struct Vault(watch::Sender<(u64, Arc<Credentials>)>);

/// Tells of replacements.
#[derive(Debug)]
pub struct Replacements(watch::Receiver<(u64, Arc<Credentials>)>);

impl Vault {
    /// A vault with its first credentials, number 0.
    pub fn new(credentials: Credentials) -> Arc<Vault> {
        Arc::new(Vault(watch::Sender::new((0, Arc::new(credentials)))))
    }

    /// The newest credentials and their number, which grows with each replacement.
    pub fn newest(&self) -> (u64, Arc<Credentials>) {
        self.0.borrow().clone()
    }

    /// The number of the newest.
    pub fn number(&self) -> u64 {
        self.0.borrow().0
    }

    /// Puts others in their place. The old ones are wiped when no login under way uses them any more.
    pub fn replace(&self, credentials: Credentials) {
        let credentials = Arc::new(credentials);
        self.0.send_modify(|current| *current = (current.0 + 1, credentials));
    }

    /// What tells of replacements.
    pub fn replacements(&self) -> Replacements {
        Replacements(self.0.subscribe())
    }
}

impl Replacements {
    /// Returns when there are newer credentials than number `known`: at once, where there are.
    pub async fn newer_than(&mut self, known: u64) -> (u64, Arc<Credentials>) {
        match self.0.wait_for(|(number, _)| *number > known).await {
            Ok(newest) => newest.clone(),
            // The vault is gone, and nobody can replace anything.
            Err(_) => std::future::pending().await,
        }
    }
}
