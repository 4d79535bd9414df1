//! Tasks of sentinel-io.

use std::future::pending;
use std::pin::Pin;
use std::time::Instant;

use tokio::time::sleep_until;

/// Starts a task on the thread that this is called on. All of them are of one type: what tokio does with a task is
/// compiled once for each, 4 KiB a time, and a task is started once for a connection, never for a call.
pub(crate) fn start(task: impl Future<Output = ()> + 'static) {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    tokio::task::spawn_local(task);
}

/// Waits for this moment, or for ever where there is none.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}
