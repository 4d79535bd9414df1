//! Waiting for a condition, with a limit and a name for what did not come.

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
