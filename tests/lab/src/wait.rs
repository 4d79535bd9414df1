//! Waiting for a condition, with a limit and a name for what did not come, and an end for those who wait for none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(2);

/// Polls `condition` every 2 ms until it holds; panics with `what` when it does not within `timeout`.
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, timeout, || condition().then_some(()));
}

/// Polls `find` every 2 ms until it yields a value, which is returned; panics with `what` after `timeout`.
#[track_caller]
pub fn wait_for<T>(what: &str, timeout: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < timeout, "waited {timeout:?} in vain for: {what}");
        std::thread::sleep(STEP);
    }
}

/// Sets a flag when it is dropped, so that threads which go on until then end also where the test panics. A scope waits for
/// its threads before it lets a panic out: there it is made inside the closure.
#[must_use]
pub struct SetOnDrop<'a>(pub &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_whose_body_panics_ends() {
        let (done, began) = (AtomicBool::new(false), Instant::now());
        let scope = std::panic::AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let _guard = SetOnDrop(&done);
                scope.spawn(|| wait_for_flag(&done));
                panic!("as a test does");
            });
        });
        assert!(std::panic::catch_unwind(scope).is_err());
        assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    }

    const LONG: Duration = Duration::from_secs(5);

    fn wait_for_flag(done: &AtomicBool) {
        let began = Instant::now();
        while !done.load(Ordering::Relaxed) && began.elapsed() < LONG {
            std::thread::sleep(STEP);
        }
    }
}
