//! What is wrong with the addresses that cannot be dialled.

use std::collections::HashMap;
use std::time::Instant;

use crate::base::clock;
use crate::base::error::Stage;
use crate::base::sync::Mutex;
use crate::net::{DialError, Endpoint};

/// How the last dial to each address in trouble failed. Any thread: it is what a caller is told at its deadline, whose
/// dial the error was does not matter to it.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<HashMap<Endpoint, Trouble>>);

#[derive(Debug)]
struct Trouble {
    last: DialError,
    /// Every dial has failed since then, whoever's it was.
    since: Instant,
}

impl Troubles {
    /// The last failure of `endpoint`, if it is in trouble.
    pub fn of(&self, endpoint: &Endpoint) -> Option<DialError> {
        self.0.lock().get(endpoint).map(|trouble| trouble.last.clone())
    }

    /// Since when nobody can reach `endpoint`, if so. That one client's login or trust is refused says nothing of others.
    pub(super) fn since(&self, endpoint: &Endpoint) -> Option<Instant> {
        let all = self.0.lock();
        let trouble = all.get(endpoint)?;
        (!matches!(trouble.last.stage, Stage::Auth | Stage::Tls)).then_some(trouble.since)
    }

    /// There are new credentials: that the old ones were refused is no trouble from here on. Where they were.
    pub fn forgive_logins(&self) -> Vec<Endpoint> {
        let mut refused = Vec::new();
        self.0.lock().retain(|endpoint, trouble| {
            let was_refused = trouble.last.stage == Stage::Auth;
            if was_refused {
                refused.push(endpoint.clone());
            }
            !was_refused
        });
        refused
    }

    /// The last dial to `endpoint` failed. Whether it was not in trouble before.
    pub(super) fn enter(&self, endpoint: &Endpoint, error: &DialError) -> bool {
        let mut all = self.0.lock();
        let since = all.get(endpoint).map(|trouble| trouble.since);
        let trouble = Trouble {
            last: error.clone(),
            since: since.unwrap_or_else(clock::now),
        };
        all.insert(endpoint.clone(), trouble);
        since.is_none()
    }

    /// `endpoint` is in no trouble any more.
    pub(super) fn remove(&self, endpoint: &Endpoint) {
        self.0.lock().remove(endpoint);
    }

    /// How many are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Forgets all but these.
    pub(super) fn retain(&self, kept: impl Fn(&Endpoint) -> bool) {
        self.0.lock().retain(|endpoint, _| kept(endpoint));
    }
}
