//! What the handles of a deployment share: its thread with what runs on it, its services, clients and queues.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::base::sync::Mutex;
use tokio::sync::mpsc;

use super::metrics::Sources;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::flag::Flag;
use crate::base::io_thread::IoThread;
use crate::base::tasks;
use crate::base::thread::may_wait;
use crate::call::learnt::Lessons;
use crate::completion::callbacks::Callbacks;
use crate::completion::{Queue, Wanted, follow};
use crate::discovery::Discovery;
use crate::discovery::watcher::{Ends, Watcher};
use crate::net::{Endpoint, Vault};
use crate::observe::{Level, Observer};
use crate::options::{ClientSettings, DeploymentSettings, Options};
use crate::pool::{Common, Gate, HangupWatch, Keeper, Pool, Sentries, Troubles, Watchdog};
use crate::topology::{self, Role, Service};

/// What belongs to sentinel-io alone.
struct Core {
    discovery: Rc<Discovery>,
    common: Rc<Common>,
}

/// The thread `sentinel-io` and the ways to reach it. Kept alive by every handle that needs it.
pub struct Runtime {
    io: IoThread<Core>,
    closed: Flag,
    services: Arc<Mutex<Services>>,
    pools: Mutex<Vec<Weak<Pool>>>,
    queues: Mutex<Vec<Weak<Queue>>>,
    callbacks: Arc<Callbacks>,
    troubles: Arc<Troubles>,
    /// Commands that the table does not know.
    pub(crate) learnt: Lessons,
    pub(crate) observer: Arc<Observer>,
}

/// A service that is watched.
struct Watched {
    service: Arc<Service>,
    /// Nobody used it when that was looked at last.
    unused: bool,
}

type Services = HashMap<String, Watched>;

/// A service that nobody has used for so long to twice as long is not watched any more.
const UNUSED: Duration = Duration::from_secs(10);

/// What sentinel-io is given to begin with.
struct Outfit {
    settings: DeploymentSettings,
    hangups: Arc<HangupWatch>,
    troubles: Arc<Troubles>,
    vault: Arc<Vault>,
    services: Arc<Mutex<Services>>,
    observer: Arc<Observer>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// How long the last `free` waits for the thread's own clean-up, which does no I/O.
const END_WAIT: Duration = Duration::from_secs(2);

impl Runtime {
    pub(crate) fn start(
        settings: DeploymentSettings,
        vault: Arc<Vault>,
        callbacks: Arc<Callbacks>,
        observer: Arc<Observer>,
    ) -> Result<Arc<Runtime>> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Internal {
                problem: error.to_string(),
            })
        };
        let hangups = Arc::new(HangupWatch::new().map_err(failed)?);
        let troubles = Arc::new(Troubles::default());
        let services = Arc::<Mutex<Services>>::default();
        let outfit = Outfit {
            settings,
            hangups,
            troubles: Arc::clone(&troubles),
            vault,
            services: Arc::clone(&services),
            observer: Arc::clone(&observer),
        };
        let io = IoThread::start(move || make(outfit)).map_err(failed)?;
        Ok(Arc::new(Runtime {
            io,
            closed: Flag::default(),
            services,
            pools: Mutex::default(),
            queues: Mutex::default(),
            callbacks,
            troubles,
            learnt: Lessons::default(),
            observer,
        }))
    }

    /// Whether this process is a fork of the one that opened the deployment: its thread is not here.
    pub(crate) fn is_forked(&self) -> bool {
        self.io.is_forked()
    }

    /// `FORKED` in a forked child, `CLOSED` after close. Every call begins with it.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_forked() {
            return Err(Error::new(ErrorKind::Forked));
        }
        if self.closed.is_up() {
            return Err(Error::new(ErrorKind::Closed));
        }
        Ok(())
    }

    /// The same for a call that may wait: `WOULD_DEADLOCK` inside a callback.
    pub(crate) fn check_to_wait(&self) -> Result<()> {
        self.check()?;
        may_wait()
    }

    /// Runs a task on sentinel-io.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, make: impl FnOnce() -> F + Send + 'static) {
        self.io.post(move |_| {
            tasks::start(make());
        });
    }

    /// The same with what belongs to sentinel-io alone; `start` starts the task.
    pub(crate) fn spawn_with(&self, start: impl FnOnce(Rc<Common>) + Send + 'static) {
        self.io.post(move |core| start(Rc::clone(&core.common)));
    }

    /// What runs the callbacks.
    pub(crate) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    /// The service `name`, watched from its first use on until nobody has used it for a while.
    pub(crate) fn service(&self, name: &str) -> Arc<Service> {
        let mut services = self.services.lock();
        if let Some(watched) = services.get_mut(name) {
            watched.unused = false;
            return Arc::clone(&watched.service);
        }
        let (snapshot, snapshots) = topology::snapshots();
        let (requests, requested) = mpsc::unbounded_channel();
        let words = Arc::new(Mutex::new(Vec::new()));
        let unserved = Arc::new(AtomicUsize::new(0));
        let ends = Ends {
            snapshot,
            words: Arc::clone(&words),
            requests: requested,
            unserved: Arc::clone(&unserved),
        };
        let service = Arc::new(Service::new(name.to_owned(), snapshots, words, requests, unserved));
        let name = name.to_owned();
        let watched = Watched {
            service: Arc::clone(&service),
            unused: false,
        };
        services.insert(name.clone(), watched);
        self.io.post(move |core| {
            tasks::start(Watcher::new(&name, Rc::clone(&core.discovery), ends).run());
        });
        service
    }

    pub(crate) fn pool(
        &self,
        service: &str,
        role: Role,
        settings: ClientSettings,
        overrides: Option<&Options>,
        vault: Arc<Vault>,
    ) -> Arc<Pool> {
        let overrides = overrides.map(Options::shown_if_set).unwrap_or_default();
        let pool = Arc::new(Pool::new(
            self.service(service),
            role,
            (settings, overrides),
            vault,
            Arc::clone(&self.troubles),
            Arc::clone(&self.observer),
        ));
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        let kept = Arc::clone(&pool);
        self.io.post(move |core| {
            tasks::start(Keeper::new(kept, Rc::clone(&core.common)).run());
        });
        pool
    }

    /// Keeps a subscription in force.
    pub(crate) fn follow(&self, pool: Arc<Pool>, wanted: Arc<Wanted>) {
        self.io.post(move |core| {
            tasks::start(follow(wanted, pool, Rc::clone(&core.common)));
        });
    }

    /// A queue that learns when the deployment is closed.
    pub(crate) fn queue(&self, capacity: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(capacity));
        let mut queues = self.queues.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        // Behind the look of who closes: nobody else would close this one.
        if self.closed.is_up() {
            queue.close();
        }
        queue
    }

    /// What the numbers and the description are read from.
    pub(crate) fn sources(&self) -> Sources<'_> {
        let mut services: Vec<Arc<Service>> = self
            .services
            .lock()
            .values()
            .map(|watched| Arc::clone(&watched.service))
            .collect();
        services.sort_by(|one, other| one.name().cmp(other.name()));
        Sources {
            observer: &self.observer,
            services,
            pools: self.pools.lock().iter().filter_map(Weak::upgrade).collect(),
        }
    }

    /// There are new credentials, of the nodes or of the Sentinels: whoever refused the old ones is asked again at once.
    pub(crate) fn renew_logins(&self) {
        // Before any call that comes after this one is told of a refusal.
        let refused = self.troubles.forgive_logins();
        self.io.post(move |core| core.common.gate.forgive(&refused));
        for pool in self.pools.lock().iter().filter_map(Weak::upgrade) {
            pool.renew_logins();
        }
        for watched in self.services.lock().values() {
            watched.service.renew();
        }
    }

    /// These Sentinels take the place of those that were given before.
    pub(crate) fn update_sentinels(&self, sentinels: Vec<Endpoint>) {
        self.io.post(move |core| core.discovery.give(&sentinels));
    }

    /// Ends every call; true when the thread is gone by the deadline.
    pub(crate) fn close(&self, deadline: Deadline) -> bool {
        if self.closed.raise_first() {
            self.observer.log.line(Level::Info, format_args!("closed"));
        }
        // Before the calls end: who takes the last completion finds the queue closed.
        for queue in self.queues.lock().drain(..).filter_map(|queue| queue.upgrade()) {
            queue.close();
        }
        let pools: Vec<Arc<Pool>> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        for pool in pools {
            pool.close();
        }
        self.io.end(deadline)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.close(Deadline::after(Some(END_WAIT)));
        // A callback takes as long as the host likes: free does not wait for it.
        let wait = if self.callbacks.is_idle() {
            END_WAIT
        } else {
            Duration::ZERO
        };
        self.callbacks.close(Deadline::after(Some(wait)));
        // From here on the host may free what its log writes to.
        self.observer.log.end();
        self.callbacks.end_lines(Deadline::after(Some(END_WAIT)));
    }
}

/// What belongs to sentinel-io alone, made on it.
fn make(outfit: Outfit) -> Core {
    let Outfit {
        settings,
        hangups,
        troubles,
        vault,
        services,
        observer,
    } = outfit;
    tasks::start(forget_unused(services, Arc::clone(&observer)));
    let gate = Rc::new(Gate::new(settings.backoff_min, settings.backoff_max, troubles));
    tasks::start(Arc::clone(&hangups).run(Rc::clone(&gate)));
    let sentries = Rc::<Sentries>::default();
    let watchdog = Arc::<Watchdog>::default();
    tasks::start(Arc::clone(&watchdog).run(Rc::clone(&sentries)));
    let names = settings.address_map.clone();
    Core {
        discovery: Discovery::new(settings, vault, observer),
        common: Rc::new(Common {
            gate,
            hangups,
            sentries,
            scouts: Rc::default(),
            watchdog,
            names,
        }),
    }
}

/// Lets those services go that no client has used since this was looked at before: a process that used a thousand once
/// does not ask for them for ever.
async fn forget_unused(services: Arc<Mutex<Services>>, observer: Arc<Observer>) {
    loop {
        tokio::time::sleep(UNUSED).await;
        let mut gone = Vec::new();
        services.lock().retain(|name, watched| {
            let unused = !watched.service.is_in_use();
            let was_unused = std::mem::replace(&mut watched.unused, unused);
            let forget = unused && was_unused;
            if forget {
                gone.push(name.clone());
            }
            !forget
        });
        gone.iter().for_each(|service| observer.forget(service));
    }
}
