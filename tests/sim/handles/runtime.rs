//! What the library's handles ask of the thread `sentinel-io`: here it is the simulation's own thread. The names are
//! those of `src/handles/runtime.rs`.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::Mutex;
use crate::call::learnt::Lessons;
use crate::completion::callbacks::Callbacks;
use crate::completion::{Queue, Wanted, follow};
use crate::net::Vault;
use crate::observe::{Log, Observer};
use crate::options::Options;
use crate::pool::{Common, Gate, HangupWatch, Keeper, Pool, Sentries, Troubles, Watchdog};
use crate::topology::{self, Publisher, Request, Role, Service};

type Job = Box<dyn FnOnce(&Rc<Common>) + Send>;

pub(crate) struct Runtime {
    jobs: mpsc::UnboundedSender<Job>,
    closed: AtomicBool,
    pools: Mutex<Vec<Weak<Pool>>>,
    queues: Mutex<Vec<Weak<Queue>>>,
    callbacks: Arc<Callbacks>,
    troubles: Arc<Troubles>,
    service: Arc<Service>,
    pub(crate) learnt: Lessons,
    pub(crate) observer: Arc<Observer>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// What the simulation keeps in hand of discovery: it says what is known, and hears what is asked.
pub(crate) struct Discovery {
    pub(crate) snapshot: Publisher,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
}

impl Runtime {
    /// Has the tasks of sentinel-io run here.
    pub(crate) fn start(options: &Options) -> (Arc<Runtime>, Discovery) {
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let (snapshot, snapshots) = topology::snapshots();
        let (requests, asked) = mpsc::unbounded_channel();
        let service = Service::new("s".to_owned(), snapshots, Arc::default(), requests, Arc::default());
        let observer = Arc::new(Observer::new(Log::silent()));
        let troubles = Arc::new(Troubles::default());
        let settings = options.client().unwrap();
        let common = {
            let gate = Rc::new(Gate::new(
                settings.backoff_min,
                settings.backoff_max,
                Arc::clone(&troubles),
            ));
            let hangups = Arc::new(HangupWatch::new().unwrap());
            tokio::task::spawn_local(Arc::clone(&hangups).run(Rc::clone(&gate)));
            let sentries = Rc::<Sentries>::default();
            let watchdog = Arc::<Watchdog>::default();
            tokio::task::spawn_local(Arc::clone(&watchdog).run(Rc::clone(&sentries)));
            Rc::new(Common {
                gate,
                hangups,
                sentries,
                scouts: Rc::default(),
                watchdog,
                names: crate::net::AddressMap::default(),
            })
        };
        tokio::task::spawn_local(async move {
            while let Some(job) = queue.recv().await {
                job(&common);
            }
        });
        let runtime = Arc::new(Runtime {
            jobs,
            closed: AtomicBool::new(false),
            pools: Mutex::default(),
            queues: Mutex::default(),
            callbacks: Arc::default(),
            troubles,
            service: Arc::new(service),
            learnt: Lessons::default(),
            observer,
        });
        let discovery = Discovery {
            snapshot,
            requests: asked,
        };
        (runtime, discovery)
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::new(ErrorKind::Closed)),
            false => Ok(()),
        }
    }

    pub(crate) fn check_to_wait(&self) -> Result<()> {
        self.check()
    }

    fn post(&self, job: impl FnOnce(&Rc<Common>) + Send + 'static) {
        let _ = self.jobs.send(Box::new(job));
    }

    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, make: impl FnOnce() -> F + Send + 'static) {
        self.post(move |_| {
            tokio::task::spawn_local(make());
        });
    }

    pub(crate) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }

    pub(crate) fn pool(&self, role: Role, options: &Options, vault: Arc<Vault>) -> Arc<Pool> {
        let settings = options.client().unwrap();
        let pool = Arc::new(Pool::new(
            Arc::clone(&self.service),
            role,
            (settings, Vec::new()),
            vault,
            Arc::clone(&self.troubles),
            Arc::clone(&self.observer),
        ));
        self.pools.lock().push(Arc::downgrade(&pool));
        let kept = Arc::clone(&pool);
        self.post(move |common| {
            tokio::task::spawn_local(Keeper::new(kept, Rc::clone(common)).run());
        });
        pool
    }

    pub(crate) fn follow(&self, pool: Arc<Pool>, wanted: Arc<Wanted>) {
        self.post(move |common| {
            tokio::task::spawn_local(follow(wanted, pool, Rc::clone(common)));
        });
    }

    pub(crate) fn queue(&self, capacity: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(capacity));
        self.queues.lock().push(Arc::downgrade(&queue));
        queue
    }

    pub(crate) fn renew_logins(&self) {
        let refused = self.troubles.forgive_logins();
        self.post(move |common| common.gate.forgive(&refused));
        for pool in self.live_pools() {
            pool.renew_logins();
        }
    }

    fn live_pools(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Ends every call, as the deployment's own does.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for pool in self.live_pools() {
            pool.close();
        }
        let queues: Vec<_> = self.queues.lock().iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            queue.close();
        }
    }
}
