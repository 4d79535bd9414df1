//! Work that would keep sentinel-io from all else: another thread does it, one piece after the other, and ends when
//! nothing is left.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::process::PerProcess;
use super::thread;
use crate::base::sync::Mutex;

/// Commands about which sentinel-io decides in one turn by itself.
pub const MANY: usize = 4096;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Pile {
    waiting: VecDeque<Work>,
    /// There is a thread that looks here before it ends.
    at_work: bool,
}

/// A forked child has its own: what lies on its parent's is the parent's to do.
static PILE: PerProcess<Mutex<Pile>> = PerProcess::new(Mutex::default);

/// Drops `spent`: elsewhere, where this is sentinel-io.
#[cold]
pub fn discard(spent: Box<dyn Send>) {
    if Handle::try_current().is_ok() {
        add(Box::new(move || drop(spent)));
    }
}

/// What `work` comes to. The error says that it panicked.
pub async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, &'static str> {
    let (tell, told) = oneshot::channel();
    add(Box::new(move || drop(tell.send(work()))));
    told.await.map_err(|_| "a decision was not made")
}

fn add(work: Work) {
    let mut pile = PILE.get().lock();
    pile.waiting.push_back(work);
    let at_work = std::mem::replace(&mut pile.at_work, true);
    drop(pile);
    if at_work {
        return;
    }
    if thread::beside("sentinel-aside", do_all).is_err() {
        // Late is better than never.
        do_all();
    }
}

fn do_all() {
    loop {
        let work = {
            let mut pile = PILE.get().lock();
            let next = pile.waiting.pop_front();
            pile.at_work = next.is_some();
            next
        };
        let Some(work) = work else { return };
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    /// Says on which thread it is dropped.
    struct Spent(mpsc::Sender<thread::ThreadId>);

    impl Drop for Spent {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    fn tokio() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn what_a_thread_with_tasks_discards_is_dropped_by_another() {
        let (spent, dropped) = mpsc::channel();
        tokio().block_on(async {
            (0..100).for_each(|_| discard(Box::new(Spent(spent.clone()))));
        });
        discard(Box::new(Spent(spent)));
        let by: Vec<_> = dropped.iter().collect();
        assert_eq!(by.len(), 101);
        assert_eq!(by.iter().filter(|by| **by == thread::current().id()).count(), 1);
    }

    #[test]
    fn what_panics_is_told_and_the_rest_is_done() {
        tokio().block_on(async {
            let panics: Result<(), _> = elsewhere(|| panic!("on purpose")).await;
            assert!(panics.is_err());
            let here = thread::current().id();
            assert_eq!(elsewhere(move || thread::current().id() != here).await, Ok(true));
        });
    }
}
