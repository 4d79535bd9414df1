//! The thread `sentinel-io`: what runs on it, and its end.

use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, watch};

use super::deadline::Deadline;
use super::handoff::Latch;
use super::process::fork_count;
use super::sync::Mutex;
use super::thread::{STACK, thread, with_signals_blocked};

/// What it runs between its tasks.
type Job<C> = Box<dyn FnOnce(&Rc<C>) + Send>;

/// The thread, and the way to reach it. `C` is what belongs to it alone.
pub struct IoThread<C> {
    jobs: mpsc::UnboundedSender<Job<C>>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    ended: Arc<Latch>,
    forks: u64,
}

impl<C> std::fmt::Debug for IoThread<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IoThread")
    }
}

impl<C: 'static> IoThread<C> {
    /// Starts it. `make` is run on it, where tasks can be started.
    pub fn start(make: impl FnOnce() -> C + Send + 'static) -> std::io::Result<IoThread<C>> {
        let forks = fork_count();
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job<C>>();
        let (stop, mut stopped) = watch::channel(false);
        let ended = Arc::new(Latch::default());
        let ending = Arc::clone(&ended);
        // What the tasks run on cannot leave its thread, so it is made there.
        let (made, is_made) = std::sync::mpsc::sync_channel(1);
        let life = move || {
            let tokio = match runtime() {
                Ok(tokio) => tokio,
                Err(error) => return drop(made.send(Err(error))),
            };
            let _ = made.send(Ok(()));
            tokio.block_on(async move {
                let core = Rc::new(make());
                loop {
                    tokio::select! {
                        _ = stopped.wait_for(|&stop| stop) => return,
                        job = queue.recv() => match job {
                            Some(job) => job(&core),
                            None => return,
                        },
                    }
                }
            });
            // Its tasks end here. A disk that hangs must not hold the thread: its blocking thread is left to itself.
            tokio.shutdown_background();
            ending.open();
        };
        let thread = with_signals_blocked(|| thread("sentinel-io").spawn(life))?;
        let gone = |_| Err(std::io::Error::other("sentinel-io ended at once"));
        if let Err(error) = is_made.recv().unwrap_or_else(gone) {
            let _ = thread.join();
            return Err(error);
        }
        Ok(IoThread {
            jobs,
            stop,
            thread: Mutex::new(Some(thread)),
            ended,
            forks,
        })
    }

    /// Whether this process is a fork of the one that started it: it is not here.
    pub fn is_forked(&self) -> bool {
        fork_count() != self.forks
    }

    /// Has `job` run on it, unless it has ended.
    pub fn post(&self, job: impl FnOnce(&Rc<C>) + Send + 'static) {
        let _ = self.jobs.send(Box::new(job));
    }

    /// Ends it; true when it is gone by the deadline.
    pub fn end(&self, deadline: Deadline) -> bool {
        self.stop.send_replace(true);
        let ended = self.ended.wait(deadline);
        if let Some(thread) = self.thread.lock().take_if(|_| ended) {
            // It has done all its work: this waits for its last instructions only.
            let _ = thread.join();
        }
        ended
    }
}

fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name("sentinel-files")
        .thread_stack_size(STACK)
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(1))
        .build_local(LocalOptions::default())
}
