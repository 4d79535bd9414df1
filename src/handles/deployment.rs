//! What a program opens: a set of Sentinels, the services they watch, and the clients bound to them.

use std::sync::Arc;

use super::client::Client;
use super::runtime::Runtime;
use super::{describe, metrics};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::process::ForkBound;
use crate::base::thread::may_wait;
use crate::completion::Queue;
use crate::completion::callbacks::Callbacks;
use crate::net::{Credentials, TlsSettings, Vault};
use crate::observe::{Level, Log, Observer};
use crate::options::Options;
use crate::topology::{InUse, Node, Role, Snapshot, unknown_primary};

/// A set of Sentinels and the services they watch. Any thread, any time.
#[derive(Debug)]
pub struct Deployment {
    runtime: ForkBound<Arc<Runtime>>,
    options: Options,
    /// The login at the nodes, for all clients that have none of their own, and that at the Sentinels.
    nodes: ForkBound<Arc<Vault>>,
    sentinels: ForkBound<Arc<Vault>>,
    service: Option<String>,
    timeout_ms: i64,
}

impl Deployment {
    /// Starts the thread; does no I/O.
    pub fn open(options: &Options) -> Result<Deployment> {
        let settings = options.deployment()?;
        let nodes = Vault::new(options.client()?.credentials);
        let sentinels = Vault::new(settings.credentials.clone());
        let (service, timeout_ms) = (settings.service.clone(), settings.timeout_ms);
        let callbacks = Arc::<Callbacks>::default();
        let (level, hook) = options.log();
        let scribe = hook.map(|hook| callbacks.scribe(Arc::clone(hook)));
        let observer = Arc::new(Observer::new(Log::new(level, scribe)));
        let (count, warning) = (
            settings.sentinels.len(),
            settings.tls.as_ref().and_then(TlsSettings::warning),
        );
        let runtime = Runtime::start(settings, Arc::clone(&sentinels), callbacks, Arc::clone(&observer))?;
        let log = &observer.log;
        log.line(Level::Info, format_args!("opened with {count} Sentinels"));
        // Whoever answers is believed.
        if let Some(warning) = warning {
            log.line(Level::Warn, format_args!("{warning}"));
        }
        Ok(Deployment {
            runtime: ForkBound::new(runtime),
            options: options.clone(),
            nodes: ForkBound::new(nodes),
            sentinels: ForkBound::new(sentinels),
            service,
            timeout_ms,
        })
    }

    /// Ends every call and waits up to `timeout_ms` for the thread to be gone.
    pub fn close(&self, timeout_ms: i64) -> Result<()> {
        if self.runtime.is_forked() {
            return Err(Error::new(ErrorKind::Forked));
        }
        may_wait()?;
        let deadline = self.deadline(timeout_ms)?;
        let ended = self.runtime.close(deadline);
        // What completed just now is still told.
        let told = self.runtime.callbacks().close(deadline);
        if ended && told {
            return Ok(());
        }
        let thread = if ended { "sentinel-cb" } else { "sentinel-io" };
        Err(Error::new(ErrorKind::Timeout {
            during: format!("waiting for {thread} to end"),
        }))
    }

    /// The primary as the Sentinels name it now.
    pub fn discover_primary(&self, service: Option<&str>, timeout_ms: i64) -> Result<Vec<Node>> {
        let snapshot = self.discover(service, timeout_ms, Role::Primary)?;
        Ok(snapshot.primary.iter().cloned().collect())
    }

    /// The usable replicas; none is not a failure.
    pub fn discover_replicas(&self, service: Option<&str>, timeout_ms: i64) -> Result<Vec<Node>> {
        Ok(self.discover(service, timeout_ms, Role::Replica)?.replicas.clone())
    }

    /// The Sentinels that watch the service.
    pub fn discover_sentinels(&self, service: Option<&str>, timeout_ms: i64) -> Result<Vec<Node>> {
        Ok(self.discover(service, timeout_ms, Role::Sentinel)?.sentinels.clone())
    }

    /// A queue for up to `capacity` completions.
    pub fn queue(&self, capacity: usize) -> Result<Arc<Queue>> {
        self.runtime.check()?;
        Ok(self.runtime.queue(capacity))
    }

    /// One number by its name.
    pub fn metric(&self, name: &str) -> Result<i64> {
        self.runtime.check()?;
        metrics::value(&self.runtime.sources(), name)
    }

    /// All numbers as text that Prometheus reads.
    pub fn metrics_text(&self) -> Result<String> {
        self.runtime.check()?;
        Ok(metrics::text(&self.runtime.sources()))
    }

    /// The deployment as the library sees it, as JSON.
    pub fn describe(&self) -> Result<String> {
        self.runtime.check()?;
        Ok(describe::text(&self.runtime.sources(), &self.options.shown()?))
    }

    /// Lets the events of `mask` go to `queue` with `tag`, in place of what it waited for before; 0: none.
    pub fn watch_events(&self, queue: &Arc<Queue>, mask: u32, tag: u64) -> Result<()> {
        self.runtime.check()?;
        self.runtime.observer.bus.watch(queue, mask, tag);
        Ok(())
    }

    /// A client of the primary; no I/O.
    pub fn primary_for(&self, service: Option<&str>, overrides: Option<&Options>) -> Result<Client> {
        self.client(service, overrides, Role::Primary)
    }

    /// A client of the replicas; no I/O.
    pub fn replica_for(&self, service: Option<&str>, overrides: Option<&Options>) -> Result<Client> {
        self.client(service, overrides, Role::Replica)
    }

    /// Other credentials for the data nodes, from now on: those of all clients that have none of their own.
    pub fn update_credentials(&self, credentials: Credentials) -> Result<()> {
        self.renew(&self.nodes, credentials)
    }

    /// Other credentials for the Sentinels, from now on.
    pub fn update_sentinel_credentials(&self, credentials: Credentials) -> Result<()> {
        self.renew(&self.sentinels, credentials)
    }

    /// The Sentinels of `options` take the place of those given before; whatever is under way goes on.
    pub fn update_sentinels(&self, options: &Options) -> Result<()> {
        self.runtime.check()?;
        self.runtime.update_sentinels(options.given_sentinels()?.to_vec());
        Ok(())
    }

    fn renew(&self, vault: &Vault, credentials: Credentials) -> Result<()> {
        self.runtime.check()?;
        vault.replace(credentials);
        self.runtime.renew_logins();
        Ok(())
    }

    fn client(&self, service: Option<&str>, overrides: Option<&Options>, role: Role) -> Result<Client> {
        self.runtime.check()?;
        let settings = match overrides {
            Some(overrides) => self.options.overridden_by(overrides)?.client()?,
            None => self.options.client()?,
        };
        let vault = match overrides.filter(|overrides| overrides.have_login()) {
            Some(_) => Vault::new(settings.credentials.clone()),
            None => Arc::clone(&self.nodes),
        };
        let pool = self.runtime.pool(self.name(service)?, role, settings, overrides, vault);
        Ok(Client::new(pool, Arc::clone(&self.runtime)))
    }

    /// Asks until a Sentinel names a primary, asking again cannot help, or the deadline has passed.
    fn discover(&self, service: Option<&str>, timeout_ms: i64, role: Role) -> Result<Arc<Snapshot>> {
        self.runtime.check_to_wait()?;
        let deadline = self.deadline(timeout_ms)?;
        let name = self.name(service)?;
        let service = self.runtime.service(name);
        let _in_use = InUse::new(&service);
        if service.ask(deadline) == Some(true) {
            return Ok(service.snapshot());
        }
        self.runtime.check()?;
        let (kind, attempts) = unknown_primary(name, role, &service.words());
        Err(Error::new(kind).with_attempts(attempts))
    }

    fn name<'a>(&'a self, service: Option<&'a str>) -> Result<&'a str> {
        match service.or(self.service.as_deref()) {
            Some("") => Err(Error::invalid("service", "the name is empty")),
            Some(name) => Ok(name),
            None => Err(Error::invalid(
                "service",
                "no name is given and the options have no URL that names one",
            )),
        }
    }

    fn deadline(&self, timeout_ms: i64) -> Result<Deadline> {
        Deadline::of_call(timeout_ms, self.timeout_ms)
    }
}
