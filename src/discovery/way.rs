//! How a Sentinel is connected to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::members::Members;
use super::names::Name;
use super::redial::patience;
use crate::base::error::Stage;
use crate::net::{DialError, Endpoint, Greeted, Login, Transport, Vault, Wire, handshake};
use crate::options::DeploymentSettings;

/// Refused credentials are not shown again before this.
const BETWEEN_RENEWALS: Duration = Duration::from_millis(125);

/// The way to one Sentinel.
#[derive(Debug)]
pub struct Way {
    /// Under which address it goes: as given, or as listed.
    pub endpoint: Endpoint,
    /// What was given for all links of the deployment.
    pub settings: Rc<DeploymentSettings>,
    /// The name of which it is one of the addresses.
    pub name: Option<Rc<Name>>,
    /// What to dial; none: the name has not told yet.
    pub at: RefCell<Option<Endpoint>>,
    /// How connections are made.
    pub transport: Rc<Transport>,
    /// The login.
    pub vault: Arc<Vault>,
    /// Tells when an address of the name was found.
    pub members: Rc<Members>,
}

/// A connection that was made, and the one for the events where the Sentinel speaks RESP2.
pub(super) struct Made {
    pub(super) greeted: Greeted,
    pub(super) events: Option<Wire>,
}

impl Way {
    /// An address of the name, from a lookup that ends after this was asked where there was none before.
    async fn address(&self) -> Result<Endpoint, DialError> {
        let known = || self.at.borrow().clone();
        let (None, Some(name)) = (known(), &self.name) else {
            return Ok(known().unwrap_or_else(|| self.endpoint.clone()));
        };
        let (before, mut changes): (u64, watch::Receiver<u64>) = (name.lookups(), self.members.changes());
        name.poke();
        loop {
            if let Some(at) = known() {
                return Ok(at);
            }
            if name.lookups() > before {
                name.found()?;
            }
            if name.lookups() > before + 1 {
                return Err(DialError::new(Stage::Resolve, "the name has no address"));
            }
            let gone = || DialError::new(Stage::Resolve, "closed");
            changes.changed().await.map_err(|_| gone())?;
        }
    }

    async fn greet(&self, at: &Endpoint, too_slow: u32) -> Result<Greeted, DialError> {
        let of = self.name.as_ref().map_or(&self.endpoint, |name| &name.endpoint);
        let limits = (
            patience(self.settings.connect_timeout, too_slow),
            patience(self.settings.answer_timeout, too_slow),
        );
        let login = Login {
            vault: Arc::clone(&self.vault),
            database: 0,
            client_name: self.settings.client_name.clone(),
            client_info: self.settings.client_info,
            protocol: 3,
        };
        handshake::greet_sentinel(of, at, &login, &self.transport, limits).await
    }

    /// Connects, with more patience where it was too slow before. Both connections lead to one address, and to another one
    /// where the name tells of that meanwhile.
    pub(super) async fn connect(&self, too_slow: u32) -> Result<Made, DialError> {
        loop {
            let at = self.address().await?;
            let greeted = self.greet(&at, too_slow).await?;
            let events = match greeted.protocol {
                3 => None,
                _ => Some(self.greet(&at, too_slow).await?.wire),
            };
            let redirected = self.at.borrow().as_ref().is_some_and(|now| *now != at);
            if !redirected {
                return Ok(Made { greeted, events });
            }
        }
    }

    /// A connection has ended, or could not be made: the name may tell of another address.
    pub(super) fn failed(&self) {
        if let Some(name) = &self.name {
            name.poke();
        }
    }

    /// Waits for newer credentials than number `known` and connects with them, not before `wait` is over. Tells which
    /// were shown.
    pub(super) async fn renew(
        self: Rc<Way>,
        known: u64,
        wait: Duration,
        too_slow: u32,
    ) -> (u64, Result<Made, DialError>) {
        sleep(wait).await;
        self.vault.replacements().newer_than(known).await;
        let shown = self.vault.number();
        (shown, self.connect(too_slow).await)
    }

    /// How long to wait before credentials are shown again: longer where the last ones were not taken.
    pub(super) fn renewal_wait(&self, taken: bool) -> Duration {
        if taken {
            BETWEEN_RENEWALS
        } else {
            self.settings.backoff_max
        }
    }
}
