//! Clients
//!
//! A client is bound to the primary or to the replicas of a service and follows them through every failover. Making one
//! does no I/O: the first command does, or sentinel_client_connect. A client is used by any number of threads at once.

use std::ffi::c_char;
use std::ptr;

use super::deployment::sentinel_t;
use super::discovery::sentinel_nodes_t;
use super::error::sentinel_error_t;
use super::handle::{self, Callable, Handle, InArc, Poison};
use super::options::sentinel_options_t;
use super::status::sentinel_status_t;
use super::{access, bytes, guard};
use crate::Deployment;
use crate::base::error::Result;
use crate::handles::Client;
use crate::options::Options;

/// A client of the primary or the replicas of a service. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_client_t {
    pub(super) core: Client,
    poison: Poison,
}

impl Handle for sentinel_client_t {
    const NAME: &'static str = "client";
    type Owner = InArc;
}

impl Callable for sentinel_client_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// The body of both makers of clients.
///
/// # Safety
/// `sentinel` and `overrides` are live or NULL, `service` ends with NUL or is NULL, `out` and `error` may be written or
/// are NULL.
unsafe fn client_for(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    overrides: *const sentinel_options_t,
    out: *mut *mut sentinel_client_t,
    error: *mut *mut sentinel_error_t,
    make: impl FnOnce(&Deployment, Option<&str>, Option<&Options>) -> Result<Client>,
) -> sentinel_status_t {
    // SAFETY: the handles are live or NULL, `service` ends with NUL or is NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let service = bytes::optional_text(service, "service")?;
            let overrides = handle::borrow_optional(overrides);
            overrides.map_or(Ok(()), |overrides| overrides.poison().check())?;
            let core = make(&sentinel.core, service, overrides.map(|overrides| &overrides.core))?;
            handle::put(
                out,
                sentinel_client_t {
                    core,
                    poison: Poison::default(),
                },
            );
            Ok(())
        })
    }
}

/// A client of the primary of a service. Does no I/O.
///
/// `service` NULL: the service of the URL. `overrides` NULL: the options of the deployment; otherwise what they leave
/// unset is inherited, and they are copied. The caller owns `*out` and frees it with sentinel_client_free, before or
/// after the deployment.
///
/// # Safety
/// `sentinel` and `overrides` are live or NULL, `service` ends with NUL or is NULL, `out` and `error` may be written or
/// are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_primary_for(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    overrides: *const sentinel_options_t,
    out: *mut *mut sentinel_client_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `client_for` asks.
    unsafe { client_for(sentinel, service, overrides, out, error, Deployment::primary_for) }
}

/// A client of the replicas of a service. Does no I/O.
///
/// Each command goes to one usable replica by `replica.select`; without any, to the primary, or it fails with
/// REPLICA_NOT_FOUND when `replica.fallback_to_primary` is 0. Arguments and ownership as sentinel_primary_for.
///
/// # Safety
/// As sentinel_primary_for.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_replica_for(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    overrides: *const sentinel_options_t,
    out: *mut *mut sentinel_client_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `client_for` asks.
    unsafe { client_for(sentinel, service, overrides, out, error, Deployment::replica_for) }
}

/// Finds the client's node and makes a first verified connection, for programs that want to fail at their start.
///
/// `timeout_ms`: milliseconds; 0: the client's `timeout_ms`; -1: no limit. PRIMARY_NOT_FOUND or REPLICA_NOT_FOUND with
/// reason and attempts, AUTH. A client that fails here still works once its service can be reached.
///
/// # Safety
/// `client` is live or NULL, `error` may be written or is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_connect(
    client: *mut sentinel_client_t,
    timeout_ms: i64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let timeout_ms = bytes::timeout(timeout_ms)?;
            Ok(client.core.connect(timeout_ms)?)
        })
    }
}

/// The node that serves this client now: one entry, or none while there is no connection. Does no I/O.
///
/// The caller owns `*out` and frees it with sentinel_nodes_free.
///
/// # Safety
/// `client` is live or NULL, `out` may be written or is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_node(
    client: *const sentinel_client_t,
    out: *mut *mut sentinel_nodes_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, `out` may be written or is NULL.
    unsafe {
        guard::shared(client, std::ptr::null_mut(), |client| {
            let node = client.core.node()?;
            handle::put(out, sentinel_nodes_t::new(node));
            Ok(())
        })
    }
}

/// Ends what was submitted through the client with CLOSED, and what is submitted from now on; the handle stays valid until
/// it is freed. Never blocks.
///
/// For programs whose other threads may be in calls on it: sentinel_client_free wants them out of it first.
///
/// # Safety
/// `client` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_close(client: *mut sentinel_client_t) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL; no error is written.
    unsafe {
        guard::shared(client, ptr::null_mut(), |client| {
            client.core.close();
            Ok(())
        })
    }
}

/// Frees a client; NULL is allowed. Never blocks; replies, errors and lists that came from it stay valid.
///
/// What was submitted through it ends with CLOSED; connections and scans that came from it work on.
///
/// # Safety
/// `client` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_free(client: *mut sentinel_client_t) {
    // SAFETY: `client` is live or NULL, and the caller gives it up.
    unsafe {
        // Also where a call that is under way keeps it.
        sentinel_client_close(client);
        access::free(client);
    }
}
