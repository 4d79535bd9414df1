//! Discovery
//!
//! What the Sentinels say of a service, asked anew. No data node is connected to: a client verifies the role on each of
//! its own connections, so programs that use clients need none of this.

use std::ffi::c_char;
use std::ptr;

use super::bytes::{self, Text};
use super::deployment::sentinel_t;
use super::error::sentinel_error_t;
use super::handle::{self, Handle, InBox};
use super::status::sentinel_status_t;
use super::{access, guard};
use crate::Deployment;
use crate::base::error::Result;
use crate::topology::{Node, Role};

/// The node takes writes.
pub const SENTINEL_ROLE_PRIMARY: i32 = 1;
/// The node follows the primary.
pub const SENTINEL_ROLE_REPLICA: i32 = 2;
/// The node is a Sentinel.
pub const SENTINEL_ROLE_SENTINEL: i32 = 3;

/// A list of nodes as they were at one moment. Immutable; share freely.
#[derive(Debug)]
pub struct sentinel_nodes_t {
    nodes: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    host: Text,
    port: u16,
    role: i32,
    fields: Vec<(String, Text)>,
}

impl Handle for sentinel_nodes_t {
    const NAME: &'static str = "nodes";
    type Owner = InBox;
}

impl sentinel_nodes_t {
    /// The list for C, with all its text ready to be lent.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> sentinel_nodes_t {
        sentinel_nodes_t {
            nodes: nodes.into_iter().map(Listed::new).collect(),
        }
    }
}

impl Listed {
    fn new(node: Node) -> Listed {
        Listed {
            host: Text::until_nul(node.endpoint.host.as_bytes()),
            port: node.endpoint.port,
            role: role_number(node.role),
            fields: node
                .fields
                .into_iter()
                .map(|(name, value)| (name, Text::until_nul(value.as_bytes())))
                .collect(),
        }
    }
}

fn role_number(role: Role) -> i32 {
    match role {
        Role::Primary => SENTINEL_ROLE_PRIMARY,
        Role::Replica => SENTINEL_ROLE_REPLICA,
        Role::Sentinel => SENTINEL_ROLE_SENTINEL,
    }
}

/// The body of the three questions.
///
/// # Safety
/// `sentinel` is live or NULL, `service` ends with NUL or is NULL, `out` and `error` may be written or are NULL.
unsafe fn discover(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    timeout_ms: i64,
    out: *mut *mut sentinel_nodes_t,
    error: *mut *mut sentinel_error_t,
    ask: impl FnOnce(&Deployment, Option<&str>, i64) -> Result<Vec<Node>>,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `service` ends with NUL or is NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let service = bytes::optional_text(service, "service")?;
            let nodes = ask(&sentinel.core, service, bytes::timeout(timeout_ms)?)?;
            handle::put(out, sentinel_nodes_t::new(nodes));
            Ok(())
        })
    }
}

/// The primary of a service as the Sentinels name it, one entry: of several answers the one of the highest config epoch.
///
/// `service` NULL: the service of the URL. `timeout_ms`: milliseconds; 0: the deployment's `timeout_ms`; -1: no limit.
/// The caller owns `*out`. PRIMARY_NOT_FOUND with its reason and attempts. Asks
/// `SENTINEL GET-MASTER-ADDR-BY-NAME` and `SENTINEL MASTER`, as the guidelines for Sentinel clients have it.
///
/// # Safety
/// `sentinel` is live or NULL, `service` ends with NUL or is NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_discover_primary(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    timeout_ms: i64,
    out: *mut *mut sentinel_nodes_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `discover` asks.
    unsafe { discover(sentinel, service, timeout_ms, out, error, Deployment::discover_primary) }
}

/// The usable replicas of a service, those that the Sentinels hold to be down left out; there may be none. What all
/// Sentinels have just forgotten (SENTINEL RESET) is among them for 15 s.
///
/// Arguments and ownership as sentinel_discover_primary. REPLICA_NOT_FOUND, with its reason and attempts, when no
/// Sentinel could say. Implements `SENTINEL REPLICAS`.
///
/// # Safety
/// As sentinel_discover_primary.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_discover_replicas(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    timeout_ms: i64,
    out: *mut *mut sentinel_nodes_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `discover` asks.
    unsafe { discover(sentinel, service, timeout_ms, out, error, Deployment::discover_replicas) }
}

/// The Sentinels that watch a service: those that answered and those that they know.
///
/// Arguments and ownership as sentinel_discover_primary. PRIMARY_NOT_FOUND, with its reason and attempts, when no
/// Sentinel could say. Implements `SENTINEL SENTINELS`.
///
/// # Safety
/// As sentinel_discover_primary.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_discover_sentinels(
    sentinel: *mut sentinel_t,
    service: *const c_char,
    timeout_ms: i64,
    out: *mut *mut sentinel_nodes_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `discover` asks.
    unsafe {
        discover(
            sentinel,
            service,
            timeout_ms,
            out,
            error,
            Deployment::discover_sentinels,
        )
    }
}

/// How many nodes the list holds; 0 for NULL.
///
/// # Safety
/// `nodes` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_len(nodes: *const sentinel_nodes_t) -> usize {
    // SAFETY: `nodes` is live or NULL.
    unsafe { access::read(nodes, 0, |nodes| Some(nodes.nodes.len())) }
}

/// A node's host, after `address.map`; NULL beyond the last node. Borrowed from the list.
///
/// # Safety
/// `nodes` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_host(nodes: *const sentinel_nodes_t, index: usize) -> *const c_char {
    // SAFETY: `nodes` is live or NULL.
    unsafe {
        access::read(nodes, ptr::null(), |nodes| {
            nodes.nodes.get(index).map(|node| node.host.as_ptr())
        })
    }
}

/// A node's port, after `address.map`; 0 beyond the last node.
///
/// # Safety
/// `nodes` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_port(nodes: *const sentinel_nodes_t, index: usize) -> u16 {
    // SAFETY: `nodes` is live or NULL.
    unsafe { access::read(nodes, 0, |nodes| nodes.nodes.get(index).map(|node| node.port)) }
}

/// A node's part, one of `SENTINEL_ROLE_*`; 0 beyond the last node.
///
/// # Safety
/// `nodes` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_role(nodes: *const sentinel_nodes_t, index: usize) -> i32 {
    // SAFETY: `nodes` is live or NULL.
    unsafe { access::read(nodes, 0, |nodes| nodes.nodes.get(index).map(|node| node.role)) }
}

/// A field as Sentinel reported it, such as `flags`, `config-epoch` or `slave-repl-offset`; NULL when the node has no
/// such field or there is no such node.
///
/// Borrowed from the list, and ends at the first NUL of the value.
///
/// # Safety
/// `nodes` is live or NULL, `name` ends with NUL or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_field(
    nodes: *const sentinel_nodes_t,
    index: usize,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: `nodes` is live or NULL, `name` ends with NUL or is NULL.
    unsafe {
        access::read(nodes, ptr::null(), |nodes| {
            let name = bytes::optional_text(name, "name").ok()??;
            let fields = &nodes.nodes.get(index)?.fields;
            fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_ptr())
        })
    }
}

/// Frees a list of nodes; NULL is allowed.
///
/// # Safety
/// `nodes` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_nodes_free(nodes: *mut sentinel_nodes_t) {
    // SAFETY: `nodes` is live or NULL, and the caller gives it up.
    unsafe { access::free(nodes) }
}
