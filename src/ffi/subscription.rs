//! Pub/sub
//!
//! A subscription is a set of channels, patterns and sharded channels on a connection of its own to the node of its
//! client's role. Everything arrives in its queue with its tag, in the order in which the server sent it; no call waits.
//!
//! A message is a SENTINEL_COMPLETION_MESSAGE, a SENTINEL_REPLY_PUSH of strings, the same in RESP2 and RESP3:
//! `message`, channel, payload; `pmessage`, pattern, channel, payload; `smessage`, channel, payload.
//!
//! The rest is SENTINEL_COMPLETION_EVENT, a SENTINEL_REPLY_MAP whose first pair is `event`:
//!
//! `subscribed`: `service`, `kind` (`channel`, `pattern` or `sharded`), `channel` (the name or pattern), `node`
//! (`host:port`). Once for each add with SENTINEL_SUBSCRIBE_CONFIRM, when it is in force.
//!
//! `subscription_gap`: `service`, `from` and `to` (`host:port`), `milliseconds`, `dropped`. Messages may be missing
//! here. After a failover, or any other loss of the connection, everything is restored on a node that holds the role, in
//! the order in which it was added, and then one such event comes, before the first message of the new connection;
//! `milliseconds` have passed since the last sign of life of the old one. The other cause is a full queue: messages that
//! find no room are dropped, the newest ones, and counted; once there is room the event tells how many were `dropped`,
//! before the next message. Events wait for room. Gaps that find none come as one.
//!
//! An event with another status than SENTINEL_OK, and an error in place of the map: SERVER when the server refuses a
//! name (an ACL; SSUBSCRIBE before Redis 7), whose message ends with the command and the name: `NOPERM ... (SUBSCRIBE
//! "news")`. The name stays and is tried again on the next connection, or when it is added again. AUTH or TLS when the
//! node refuses the login, once until a connection succeeds; it is tried again for ever.
//!
//! A connection that is silent for 2 seconds is replaced. A client of replicas listens to one of them, or to the primary
//! when none can be connected to, until that connection ends.

use std::ffi::c_void;

use super::client::sentinel_client_t;
use super::completion::sentinel_queue_t;
use super::error::sentinel_error_t;
use super::handle::{self, Callable, Handle, InArc, Poison};
use super::status::sentinel_status_t;
use super::{access, bytes, guard};
use crate::base::error::{Error, Result};
use crate::completion::ChannelKind;
use crate::handles::Subscription;

/// A channel by its name (`SUBSCRIBE`).
pub const SENTINEL_SUBSCRIBE_CHANNEL: i32 = 1;
/// Channels by a pattern (`PSUBSCRIBE`).
pub const SENTINEL_SUBSCRIBE_PATTERN: i32 = 2;
/// A sharded channel (`SSUBSCRIBE`), Redis 7 and newer.
pub const SENTINEL_SUBSCRIBE_SHARDED: i32 = 3;

/// To be added to one of the kinds: an event `subscribed` tells when the name is in force for the first time.
pub const SENTINEL_SUBSCRIBE_CONFIRM: i32 = 16;

/// A set of channels and patterns. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_subscription_t {
    core: Subscription,
    poison: Poison,
}

impl Handle for sentinel_subscription_t {
    const NAME: &'static str = "subscription";
    type Owner = InArc;
}

impl Callable for sentinel_subscription_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

fn read_kind(kind: i32) -> Result<ChannelKind> {
    match kind {
        SENTINEL_SUBSCRIBE_CHANNEL => Ok(ChannelKind::Channel),
        SENTINEL_SUBSCRIBE_PATTERN => Ok(ChannelKind::Pattern),
        SENTINEL_SUBSCRIBE_SHARDED => Ok(ChannelKind::Sharded),
        _ => Err(Error::invalid("kind", format!("is {kind}, takes SENTINEL_SUBSCRIBE_*"))),
    }
}

/// The body of adding and removing.
///
/// # Safety
/// `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
unsafe fn change(
    subscription: *mut sentinel_subscription_t,
    kind: i32,
    channel: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
    change: impl FnOnce(&Subscription, ChannelKind, &[u8]) -> Result<()>,
) -> sentinel_status_t {
    // SAFETY: `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(subscription, error, |subscription| {
            let kind = read_kind(kind)?;
            let channel = bytes::bytes(channel, len, || "channel".to_owned())?;
            Ok(change(&subscription.core, kind, channel)?)
        })
    }
}

/// An empty subscription whose messages and events appear in `queue` with `tag`. Does no I/O: the first add does.
///
/// It connects with the options of `client`, for itself alone. The caller owns `*out` and frees it with
/// sentinel_subscription_free; it lives on when the client is freed before it. It ends with sentinel_close and with
/// sentinel_queue_free: after these nothing more is posted, and adding to it is CLOSED.
///
/// # Safety
/// `client` and `queue` are live or NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_new(
    client: *mut sentinel_client_t,
    queue: *mut sentinel_queue_t,
    tag: u64,
    out: *mut *mut sentinel_subscription_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` and `queue` are live or NULL, `out` and `error` may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let queue = handle::share(queue)?;
            let core = client.core.subscribe(queue.queue()?, tag)?;
            let poison = Poison::default();
            handle::put(out, sentinel_subscription_t { core, poison });
            Ok(())
        })
    }
}

/// Adds a channel or pattern, any bytes, copied. `kind`: `SENTINEL_SUBSCRIBE_*`. One that is there already is no error.
///
/// Returns at once. With SENTINEL_SUBSCRIBE_CONFIRM added to `kind` the event `subscribed` tells when it is in force,
/// also when that takes a failover. Messages published before that are missed.
///
/// # Safety
/// `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_add(
    subscription: *mut sentinel_subscription_t,
    kind: i32,
    channel: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    let add = match kind & SENTINEL_SUBSCRIBE_CONFIRM {
        0 => Subscription::add,
        _ => Subscription::add_confirmed,
    };
    let kind = kind & !SENTINEL_SUBSCRIBE_CONFIRM;
    // SAFETY: this function asks of its caller what `change` asks.
    unsafe { change(subscription, kind, channel, len, error, add) }
}

/// Removes a channel or pattern; one that was not added is no error. `kind`: `SENTINEL_SUBSCRIBE_*`.
///
/// Returns at once. None of its messages is posted after that; those that are in the queue stay there.
///
/// # Safety
/// As sentinel_subscription_add.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_remove(
    subscription: *mut sentinel_subscription_t,
    kind: i32,
    channel: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `change` asks.
    unsafe { change(subscription, kind, channel, len, error, Subscription::remove) }
}

/// Ends and frees a subscription; NULL is allowed. Nothing is posted after that; what is in the queue stays there.
///
/// # Safety
/// `subscription` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_free(subscription: *mut sentinel_subscription_t) {
    // SAFETY: `subscription` is live or NULL, and the caller gives it up.
    unsafe {
        access::read(subscription, (), |subscription| {
            subscription.core.end();
            Some(())
        });
        access::free(subscription);
    }
}
