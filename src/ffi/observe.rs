//! Events, log, metrics
//!
//! What the library sees and does, for operators. Nothing is printed and no password is ever shown.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use super::completion::sentinel_queue_t;
use super::deployment::sentinel_t;
use super::error::{Failure, sentinel_error_t};
use super::handle::{self, Callable, missing};
use super::options::sentinel_options_t;
use super::status::sentinel_status_t;
use super::{bytes, guard};
use crate::Deployment;
use crate::base::error::{Error, ErrorKind};
use crate::options::LogHook;

/// Event: another node is the primary of a service.
pub const SENTINEL_EVENT_PRIMARY_CHANGED: u32 = 1u32;
/// Event: the usable replicas of a service changed.
pub const SENTINEL_EVENT_REPLICAS_CHANGED: u32 = 2u32;
/// Event: the Sentinels of a service changed.
pub const SENTINEL_EVENT_SENTINELS_CHANGED: u32 = 4u32;
/// Event: a connection was made or lost.
pub const SENTINEL_EVENT_CONNECTION: u32 = 8u32;
/// Event: messages of a subscription may have been missed.
pub const SENTINEL_EVENT_SUBSCRIPTION_GAP: u32 = 16u32;
/// Event: a Sentinel is about to fail the service over, or what was foreseen of that has come about or not.
pub const SENTINEL_EVENT_FAILOVER: u32 = 4096u32;
/// Event: no writes are sent to the primary of a service for now, or they are again.
pub const SENTINEL_EVENT_WRITES_HELD: u32 = 8192u32;

const ALL_EVENTS: u32 = SENTINEL_EVENT_PRIMARY_CHANGED
    | SENTINEL_EVENT_REPLICAS_CHANGED
    | SENTINEL_EVENT_SENTINELS_CHANGED
    | SENTINEL_EVENT_CONNECTION
    | SENTINEL_EVENT_SUBSCRIPTION_GAP
    | SENTINEL_EVENT_FAILOVER
    | SENTINEL_EVENT_WRITES_HELD;

/// Log level: nothing.
pub const SENTINEL_LOG_OFF: i32 = 0;
/// Log level: what an operator must look at.
pub const SENTINEL_LOG_ERROR: i32 = 1;
/// Log level: what the library recovers from by itself.
pub const SENTINEL_LOG_WARN: i32 = 2;
/// Log level: failovers and other changes.
pub const SENTINEL_LOG_INFO: i32 = 3;
/// Log level: connections.
pub const SENTINEL_LOG_DEBUG: i32 = 4;
/// Log level: everything.
pub const SENTINEL_LOG_TRACE: i32 = 5;

/// Gets one line of the log, UTF-8, `len` bytes and a NUL behind them, valid until it returns. Called as callbacks are,
/// on the thread `sentinel-cb`: it may block, which keeps callbacks and further lines waiting and nothing else.
pub type sentinel_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char, len: usize)>;

/// The caller's log function and its data.
struct LogTarget {
    log: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize),
    user_data: *mut c_void,
}

// SAFETY: the caller of sentinel_options_set_log promises that `log` may be called with `user_data` from any thread.
unsafe impl Send for LogTarget {}
// SAFETY: as for Send, and from several threads at once.
unsafe impl Sync for LogTarget {}

impl LogTarget {
    fn line(&self, level: i32, message: &str) {
        let text = bytes::Text::new(message.as_bytes());
        // SAFETY: the caller of sentinel_options_set_log promises that `log` may be called with `user_data` as long as
        // the options or what they were given to live; the text lives through the call.
        unsafe { (self.log)(self.user_data, level, text.as_ptr(), message.len()) }
    }
}

/// Lets the events of `mask`, a sum of `SENTINEL_EVENT_*`, appear in `queue` with `tag`; 0 ends it.
///
/// A queue has one watch for a deployment: another call takes the place of the one before, and freeing the queue ends
/// it. Each event is a completion of kind SENTINEL_COMPLETION_EVENT whose reply is a map with string keys; the receiver
/// frees it. What is known for the first time is no event: events tell of changes from the call on. An event that finds
/// the queue full is dropped and counted in `events_dropped_total`. Addresses are strings `host:port`, lists are
/// arrays. Every map has `event` and `service`, then:
/// - `primary_changed` (PRIMARY_CHANGED): `from`, `to`, `epoch` (integer), `reboot` (boolean: the primary stayed where
///   it is but was restarted, so data may be gone; its run id is another one), `last_good_ms` (milliseconds since the
///   last good reply of the primary before, nil when no client ever had one), `foreseen` (boolean: no Sentinel names it
///   yet, see `failover`). `from` and `to` may be equal without a
///   reboot: the same node was made primary again under another epoch;
/// - `replicas_changed` (REPLICAS_CHANGED): `replicas` (all usable ones now), `added`, `removed`;
/// - `sentinels_changed` (SENTINELS_CHANGED): `sentinel`, `change` (`added`, `removed`, `lost`, `back`, `moved`, or
///   `stranger`: somebody else answers at its address, whose words count for nothing), `cause` (of `lost`, else nil), `to`
///   (of `moved`: where it is now, else nil);
/// - `connection` (CONNECTION): `node`, `role` (that of the node: `primary` or `replica`), `change` (`made` or `lost`),
///   `cause` (of `lost`, else nil). Connections that the library closes itself are not lost;
/// - `subscription_gap` (SUBSCRIPTION_GAP): `node` (that serves the subscription now, or nil);
/// - `failover` (FAILOVER): `change`, `node`, `epoch`, `milliseconds`, `answered`, `cause`, `instead_of`, each nil where it says nothing.
///   `armed`: the Sentinel that leads a failover is about to promote `node`, and writes wait (`failover.foresee`).
///   `disarmed`: they wait no more, for it is not (`cause`). `foreseen`: `node` says that it is the primary, and serves,
///   `milliseconds` after it was selected. `confirmed`: a Sentinel names it, `milliseconds` after it was foreseen.
///   `unconfirmed`: none did within `failover.confirm_ms`, and writes wait; in the `milliseconds` since it was foreseen
///   it has answered so many calls (`answered`, reads among them), whose writes may be lost. `resolved`: they agree on `node`, and not on
///   the foreseen one, `instead_of`: what that acknowledged may be lost;
/// - `writes_held` (WRITES_HELD; `primary.fence_ms`): `held` (boolean: no writes are sent; false: they are again), `reason`
///   (`no_majority`; nil where they are sent), `milliseconds` (where none is sent: since a majority of the
///   Sentinels was heard last; where they are sent: for how long they were not).
///
/// # Safety
/// `sentinel` and `queue` are live or NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_watch_events(
    sentinel: *mut sentinel_t,
    mask: u32,
    queue: *mut sentinel_queue_t,
    tag: u64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` and `queue` are live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let unknown = mask & !ALL_EVENTS;
            if unknown != 0 {
                return Err(Error::invalid("mask", format!("has the unknown bits {unknown:#x}")).into());
            }
            let queue = handle::share(queue)?;
            queue.poison().check()?;
            Ok(sentinel.core.watch_events(queue.queue()?, mask, tag)?)
        })
    }
}

/// Sends the log of what these options are given to, up to `max_level`, to a function; `log` NULL ends it.
///
/// `max_level`: `SENTINEL_LOG_*`. The function is called as callbacks are: on the thread `sentinel-cb` of each deployment
/// made with these options, one line at a time, in their order. It may take its time: nothing else of the library waits
/// for it, and where it falls 4,096 lines behind, the next ones are dropped and a line says how many. A call that waits
/// returns WOULD_DEADLOCK in it. `user_data` is handed through and kept as long as the options, the deployments and the
/// clients made with them live.
///
/// # Safety
/// `options` is live or NULL; `log` may be called with `user_data` from any thread as long as `user_data` is kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_set_log(
    options: *mut sentinel_options_t,
    max_level: i32,
    log: sentinel_log_fn,
    user_data: *mut c_void,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL.
    unsafe {
        guard::exclusive(options, ptr::null_mut(), |options| {
            if !(SENTINEL_LOG_OFF..=SENTINEL_LOG_TRACE).contains(&max_level) {
                return Err(Error::invalid("max_level", format!("is {max_level}, takes SENTINEL_LOG_*")).into());
            }
            let hook = log.map(|log| {
                let target = LogTarget { log, user_data };
                Arc::new(move |level: i32, message: &str| target.line(level, message)) as LogHook
            });
            Ok(options.core.set_log(max_level, hook)?)
        })
    }
}

/// One number of the library's, by its name, such as `commands_total`. INVALID_ARGUMENT for a name that is none.
///
/// The names are those of sentinel_metrics_text, with or without `libsentinel_` in front. A name alone stands for the
/// sum over all labels (for `epoch` and for times: the largest, -1 when there is none); with labels behind it, as in
/// `calls_total{service="mymaster",result="ok"}`, for the sum over those that have them. Counting costs a call a few
/// additions; asking gathers all numbers, so it is for now and then.
///
/// # Safety
/// `sentinel` is live or NULL, `name` ends with NUL or is NULL, `value` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_metric(
    sentinel: *const sentinel_t,
    name: *const c_char,
    value: *mut i64,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `name` ends with NUL or is NULL, `value` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, ptr::null_mut(), |sentinel| {
            let number = sentinel.core.metric(bytes::text(name, "name")?)?;
            bytes::write(value, number);
            Ok(())
        })
    }
}

/// All metrics in the Prometheus text format, ended with NUL. `*len` gets its bytes without the NUL, also with
/// BUFFER_TOO_SMALL when `capacity` is not more than that; then nothing is written to `buffer`.
///
/// All values are integers, and counters only grow while the deployment lives. Every name begins with `libsentinel_`.
/// Labelled with `service` and `role` (that of the clients: `primary` or `replica`): `calls_total` (a command or batch
/// each; `result`: `ok`, `not_sent`, `refused` or `unknown`), `call_errors_total` (`status`: a status in lower case),
/// `commands_total`, `retries_total`, `call_duration_microseconds` (a histogram of the successful calls; where many share a
/// connection, and of submitted calls, some are timed and stand for all),
/// `pending_calls`, `clients`, `connections`, `connections_opened_total`, `connections_lost_total`,
/// `connect_errors_total`, `fallbacks_total`. With `service`: `failovers_total`, `reboots_total`,
/// `failover_detection_milliseconds` (of the last one: from the last good reply of the old primary to the first event or
/// answer that told of the new one), `failover_switch_milliseconds` (from there to the first verified connection to the
/// new one), `failover_foreseen_milliseconds` (of the last one that was foreseen: until a Sentinel named the primary),
/// `failover_armed`, `primary_foreseen`, `epoch`, `usable_replicas`, `disagreeing_sentinels` (that name another primary
/// than the one in force), `writes_held` (1 while no writes are sent), `no_majority_milliseconds` (since a majority of the
/// Sentinels was heard last, while that is why); with `role` too `held_writes` (that wait for it).
/// With `sentinel`: `sentinel_up`, `sentinel_answers_total`, `sentinel_errors_total`, `sentinel_events_total`,
/// `sentinel_rtt_microseconds`. And `events_total` (`event`), `events_dropped_total`, `sentinels_learnt_total`,
/// `sentinels_forgotten_total`, `sentinels_moved_total`, `sentinel_strangers_total` (times that somebody answered whom no
/// Sentinel of the deployment knows). What is counted of a service ends with its last client.
///
/// # Safety
/// `sentinel` is live or NULL, `buffer` has `capacity` bytes or is NULL, `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_metrics_text(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `text_of` asks.
    unsafe { text_of(sentinel, buffer, capacity, len, |core| Ok(core.metrics_text()?)) }
}

/// Every Sentinel and node as the library sees it now, and why, as JSON. Buffer and length as sentinel_metrics_text.
///
/// An object: `version`, `opened_ms` (ago; so are all times ending in `_ms` that are not options), `options` (each key
/// with its value in force; a secret that is set is `"***"`), `sentinels` (the deployment's connections to them:
/// `address`, `state` (`idle`, `connecting`, `up` or `down`), `since_ms`, `rtt_us`, `run_id`, `protocol`, `answers`,
/// `errors`, `last_failure`), `services` (`name`, `epoch`, `generation`, `primary`, `replicas` and `left_out` with every
/// field that Sentinel reported and with why one is left out, `words`: what each Sentinel last said, and the last
/// failover's times) and `clients` (`service`, `role`, `pending`, `waiting`, `connections`, `leases`, `overrides`,
/// `routes`: the nodes that calls go to, `failures`: how others failed). Members may be added.
///
/// # Safety
/// As sentinel_metrics_text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_describe(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> sentinel_status_t {
    // SAFETY: this function asks of its caller what `text_of` asks.
    unsafe { text_of(sentinel, buffer, capacity, len, |core| Ok(core.describe()?)) }
}

/// Writes a text to the caller's buffer.
///
/// # Safety
/// `sentinel` is live or NULL, `buffer` has `capacity` bytes or is NULL, `len` may be written or is NULL.
unsafe fn text_of(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
    make: impl FnOnce(&Deployment) -> Result<String, Failure>,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `len` may be written or is NULL; the text and its NUL fit into `buffer`, which
    // has `capacity` bytes.
    unsafe {
        guard::shared(sentinel, ptr::null_mut(), |sentinel| {
            if buffer.is_null() && capacity > 0 {
                return Err(missing("buffer").into());
            }
            let text = make(&sentinel.core)?;
            bytes::write(len, text.len());
            if text.len() >= capacity {
                let needed = text.len() + 1;
                return Err(Error::new(ErrorKind::BufferTooSmall { needed }).into());
            }
            ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
            buffer.add(text.len()).write(0);
            Ok(())
        })
    }
}
