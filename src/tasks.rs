//! Tasks of sentinel-io.

use std::pin::Pin;

/// Starts a task on the thread that this is called on. All of them are of one type: what tokio does with a task is
/// compiled once for each, 4 KiB a time, and a task is started once for a connection, never for a call.
pub(crate) fn start(task: impl Future<Output = ()> + 'static) {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    tokio::task::spawn_local(task);
}
