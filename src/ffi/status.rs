//! Status
//!
//! 0 is success, negative numbers are failures, positive ones harmless outcomes. A number is never given a second
//! meaning. Every function that returns a status may return NULL_ARGUMENT, INVALID_ARGUMENT, INVALID_UTF8, FORKED,
//! CLOSED, INTERNAL and PANIC; the comments below name what comes on top.

use std::ffi::{CStr, c_char};

use crate::base::error::ErrorKind;

/// The result of a call: one of `SENTINEL_OK`, `SENTINEL_EMPTY` and `SENTINEL_ERR_*`.
pub type sentinel_status_t = i32;

/// The call did what it says.
pub const SENTINEL_OK: sentinel_status_t = 0;
/// Nothing arrived in the queue in time; the scan is at its end.
pub const SENTINEL_EMPTY: sentinel_status_t = 1;

/// -1xx, misuse by the caller: a pointer that must be given is NULL.
pub const SENTINEL_ERR_NULL_ARGUMENT: sentinel_status_t = -100;
/// An argument or the value of an option cannot be used; the message says which, and what it takes.
pub const SENTINEL_ERR_INVALID_ARGUMENT: sentinel_status_t = -101;
/// No option has this key.
pub const SENTINEL_ERR_UNKNOWN_OPTION: sentinel_status_t = -102;
/// Text that must be UTF-8 is not.
pub const SENTINEL_ERR_INVALID_UTF8: sentinel_status_t = -103;
/// The object cannot do this in the state it is in.
pub const SENTINEL_ERR_WRONG_STATE: sentinel_status_t = -104;
/// A blocking call from inside a callback.
pub const SENTINEL_ERR_WOULD_DEADLOCK: sentinel_status_t = -105;
/// The handle was opened before fork(): open a new one in the child.
pub const SENTINEL_ERR_FORKED: sentinel_status_t = -106;
/// The caller's buffer cannot hold the answer.
pub const SENTINEL_ERR_BUFFER_TOO_SMALL: sentinel_status_t = -107;
/// The command cannot run on a shared connection; the message says what to use instead.
pub const SENTINEL_ERR_UNSUPPORTED_COMMAND: sentinel_status_t = -108;
/// The function is not available in this version or build of the library.
pub const SENTINEL_ERR_UNAVAILABLE: sentinel_status_t = -109;

/// -2xx, discovery, all of them connection errors: no primary could be had; sentinel_error_reason says why.
pub const SENTINEL_ERR_PRIMARY_NOT_FOUND: sentinel_status_t = -200;
/// No replica could be had; sentinel_error_reason says why.
pub const SENTINEL_ERR_REPLICA_NOT_FOUND: sentinel_status_t = -201;

/// -3xx, transport, all of them connection errors: a connection could not be made.
pub const SENTINEL_ERR_CONNECT: sentinel_status_t = -300;
/// A connection ended under a call; sentinel_error_outcome says what became of the command.
pub const SENTINEL_ERR_CONNECTION_LOST: sentinel_status_t = -301;
/// The TLS handshake failed.
pub const SENTINEL_ERR_TLS: sentinel_status_t = -302;
/// A data node refused the login.
pub const SENTINEL_ERR_AUTH: sentinel_status_t = -303;
/// The peer broke the protocol, or a reply is over `max_reply_bytes` or `max_reply_depth`.
pub const SENTINEL_ERR_PROTOCOL: sentinel_status_t = -304;
/// The deadline passed.
pub const SENTINEL_ERR_TIMEOUT: sentinel_status_t = -305;

/// -4xx, an error reply of the server: one that has no status of its own; see sentinel_error_server_code.
pub const SENTINEL_ERR_SERVER: sentinel_status_t = -400;
/// The node is a replica and does not take writes.
pub const SENTINEL_ERR_READONLY: sentinel_status_t = -401;
/// The node is still loading its data.
pub const SENTINEL_ERR_LOADING: sentinel_status_t = -402;
/// The transaction was not executed.
pub const SENTINEL_ERR_TRANSACTION_ABORTED: sentinel_status_t = -403;
/// The write was done, but too few replicas confirmed it in time.
pub const SENTINEL_ERR_NOT_REPLICATED: sentinel_status_t = -404;

/// -5xx, limits and life cycle: `pool.max_connections` connections are in use.
pub const SENTINEL_ERR_POOL_EXHAUSTED: sentinel_status_t = -500;
/// `max_pending` commands are in flight, or a queue is full.
pub const SENTINEL_ERR_QUEUE_FULL: sentinel_status_t = -501;
/// The call was cancelled.
pub const SENTINEL_ERR_CANCELLED: sentinel_status_t = -502;
/// The handle was closed, or a call on it ended with PANIC.
pub const SENTINEL_ERR_CLOSED: sentinel_status_t = -503;

/// -9xx, faults: the library could not do its part.
pub const SENTINEL_ERR_INTERNAL: sentinel_status_t = -900;
/// A panic inside the library was caught; the handle it happened in answers CLOSED from now on.
pub const SENTINEL_ERR_PANIC: sentinel_status_t = -901;

/// The name of a status without its prefix, such as `PRIMARY_NOT_FOUND`; `UNKNOWN` for a number that is none.
///
/// The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_status_name(status: sentinel_status_t) -> *const c_char {
    described(status).map_or(c"UNKNOWN", |(_, name, _)| *name).as_ptr()
}

/// What a status means, in one English line without a full stop.
///
/// The text is static. The message of an error object says more: which argument, which node.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_status_message(status: sentinel_status_t) -> *const c_char {
    described(status)
        .map_or(c"not a status of this library", |(_, _, message)| *message)
        .as_ptr()
}

/// 1 for the statuses that mean "no connection to the service": every -2xx and -3xx. Else 0.
///
/// A program that treats connection errors alike needs no other test.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_status_is_connection_error(status: sentinel_status_t) -> i32 {
    i32::from((-399..=-200).contains(&status))
}

/// The status of a core error. No wildcard: a new kind does not compile until it has a number.
pub fn status_of(kind: &ErrorKind) -> sentinel_status_t {
    match kind {
        ErrorKind::NullArgument { .. } => SENTINEL_ERR_NULL_ARGUMENT,
        ErrorKind::InvalidArgument { .. } => SENTINEL_ERR_INVALID_ARGUMENT,
        ErrorKind::UnknownOption { .. } => SENTINEL_ERR_UNKNOWN_OPTION,
        ErrorKind::InvalidUtf8 { .. } => SENTINEL_ERR_INVALID_UTF8,
        ErrorKind::WrongState { .. } => SENTINEL_ERR_WRONG_STATE,
        ErrorKind::WouldDeadlock => SENTINEL_ERR_WOULD_DEADLOCK,
        ErrorKind::Forked => SENTINEL_ERR_FORKED,
        ErrorKind::BufferTooSmall { .. } => SENTINEL_ERR_BUFFER_TOO_SMALL,
        ErrorKind::UnsupportedCommand { .. } => SENTINEL_ERR_UNSUPPORTED_COMMAND,
        ErrorKind::PrimaryNotFound { .. } => SENTINEL_ERR_PRIMARY_NOT_FOUND,
        ErrorKind::ReplicaNotFound { .. } => SENTINEL_ERR_REPLICA_NOT_FOUND,
        ErrorKind::Connect { .. } => SENTINEL_ERR_CONNECT,
        ErrorKind::ConnectionLost { .. } => SENTINEL_ERR_CONNECTION_LOST,
        ErrorKind::Tls { .. } => SENTINEL_ERR_TLS,
        ErrorKind::Auth { .. } => SENTINEL_ERR_AUTH,
        ErrorKind::Protocol { .. } => SENTINEL_ERR_PROTOCOL,
        ErrorKind::Timeout { .. } => SENTINEL_ERR_TIMEOUT,
        ErrorKind::Server { .. } => SENTINEL_ERR_SERVER,
        ErrorKind::Readonly { .. } => SENTINEL_ERR_READONLY,
        ErrorKind::Loading { .. } => SENTINEL_ERR_LOADING,
        ErrorKind::TransactionAborted { .. } => SENTINEL_ERR_TRANSACTION_ABORTED,
        ErrorKind::NotReplicated { .. } | ErrorKind::NotOnDisk { .. } => SENTINEL_ERR_NOT_REPLICATED,
        ErrorKind::PoolExhausted { .. } => SENTINEL_ERR_POOL_EXHAUSTED,
        ErrorKind::QueueFull { .. } => SENTINEL_ERR_QUEUE_FULL,
        ErrorKind::Cancelled => SENTINEL_ERR_CANCELLED,
        ErrorKind::Closed => SENTINEL_ERR_CLOSED,
        ErrorKind::Internal { .. } => SENTINEL_ERR_INTERNAL,
        ErrorKind::Panic { .. } => SENTINEL_ERR_PANIC,
    }
}

type Described = (sentinel_status_t, &'static CStr, &'static CStr);

fn described(status: sentinel_status_t) -> Option<&'static Described> {
    DESCRIBED.iter().find(|(known, _, _)| *known == status)
}

const DESCRIBED: &[Described] = &[
    (SENTINEL_OK, c"OK", c"success"),
    (SENTINEL_EMPTY, c"EMPTY", c"nothing arrived in time, or nothing is left"),
    (
        SENTINEL_ERR_NULL_ARGUMENT,
        c"NULL_ARGUMENT",
        c"a pointer that must be given is NULL",
    ),
    (
        SENTINEL_ERR_INVALID_ARGUMENT,
        c"INVALID_ARGUMENT",
        c"an argument has a value that cannot be used",
    ),
    (
        SENTINEL_ERR_UNKNOWN_OPTION,
        c"UNKNOWN_OPTION",
        c"no option has this key",
    ),
    (
        SENTINEL_ERR_INVALID_UTF8,
        c"INVALID_UTF8",
        c"text that must be UTF-8 is not",
    ),
    (
        SENTINEL_ERR_WRONG_STATE,
        c"WRONG_STATE",
        c"the object cannot do this in the state it is in",
    ),
    (
        SENTINEL_ERR_WOULD_DEADLOCK,
        c"WOULD_DEADLOCK",
        c"a blocking call from inside a callback would wait for itself",
    ),
    (SENTINEL_ERR_FORKED, c"FORKED", c"the handle was opened before fork()"),
    (
        SENTINEL_ERR_BUFFER_TOO_SMALL,
        c"BUFFER_TOO_SMALL",
        c"the buffer cannot hold the answer",
    ),
    (
        SENTINEL_ERR_UNSUPPORTED_COMMAND,
        c"UNSUPPORTED_COMMAND",
        c"the command cannot run on a shared connection",
    ),
    (
        SENTINEL_ERR_UNAVAILABLE,
        c"UNAVAILABLE",
        c"not available in this version or build of the library",
    ),
    (
        SENTINEL_ERR_PRIMARY_NOT_FOUND,
        c"PRIMARY_NOT_FOUND",
        c"no primary of the service could be had",
    ),
    (
        SENTINEL_ERR_REPLICA_NOT_FOUND,
        c"REPLICA_NOT_FOUND",
        c"no replica of the service could be had",
    ),
    (SENTINEL_ERR_CONNECT, c"CONNECT", c"a connection could not be made"),
    (
        SENTINEL_ERR_CONNECTION_LOST,
        c"CONNECTION_LOST",
        c"the connection ended under the call",
    ),
    (SENTINEL_ERR_TLS, c"TLS", c"the TLS handshake failed"),
    (SENTINEL_ERR_AUTH, c"AUTH", c"a data node refused the login"),
    (
        SENTINEL_ERR_PROTOCOL,
        c"PROTOCOL",
        c"the peer broke the protocol or a limit on replies",
    ),
    (SENTINEL_ERR_TIMEOUT, c"TIMEOUT", c"the deadline passed"),
    (SENTINEL_ERR_SERVER, c"SERVER", c"the server answered with an error"),
    (
        SENTINEL_ERR_READONLY,
        c"READONLY",
        c"the node is a replica and does not take writes",
    ),
    (SENTINEL_ERR_LOADING, c"LOADING", c"the node is still loading its data"),
    (
        SENTINEL_ERR_TRANSACTION_ABORTED,
        c"TRANSACTION_ABORTED",
        c"the transaction was not executed",
    ),
    (
        SENTINEL_ERR_NOT_REPLICATED,
        c"NOT_REPLICATED",
        c"too few replicas confirmed the write in time",
    ),
    (
        SENTINEL_ERR_POOL_EXHAUSTED,
        c"POOL_EXHAUSTED",
        c"all connections of the pool are in use",
    ),
    (SENTINEL_ERR_QUEUE_FULL, c"QUEUE_FULL", c"too many are pending"),
    (SENTINEL_ERR_CANCELLED, c"CANCELLED", c"the call was cancelled"),
    (SENTINEL_ERR_CLOSED, c"CLOSED", c"the handle is closed"),
    (SENTINEL_ERR_INTERNAL, c"INTERNAL", c"the library could not do its part"),
    (SENTINEL_ERR_PANIC, c"PANIC", c"a panic inside the library was caught"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The numbers of the header that this build generated: every `#define` with a plain number, bar the version.
    fn numbers_of_the_header() -> BTreeMap<&'static str, i64> {
        let header = include_str!(concat!(env!("OUT_DIR"), "/sentinel.h"));
        let defines = header
            .lines()
            .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
        defines
            .filter(|(name, _)| !name.starts_with("SENTINEL_VERSION_"))
            .filter_map(|(name, value)| Some((name, value.trim_end_matches('u').parse().ok()?)))
            .collect()
    }

    fn numbers_of_the_list() -> BTreeMap<&'static str, i64> {
        let list = include_str!("../../tests/c/numbers.txt")
            .lines()
            .filter(|line| !line.starts_with('#'));
        list.filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn numbers_are_forever() {
        assert_eq!(numbers_of_the_header(), numbers_of_the_list());
    }

    #[test]
    fn every_status_has_its_own_name() {
        for (name, number) in numbers_of_the_list() {
            let statuses = ["SENTINEL_OK", "SENTINEL_EMPTY"];
            if !name.starts_with("SENTINEL_ERR_") && !statuses.contains(&name) {
                continue;
            }
            let status = sentinel_status_t::try_from(number).unwrap();
            let (_, known, message) = described(status).unwrap();
            let short = name.trim_start_matches("SENTINEL_").trim_start_matches("ERR_");
            assert_eq!(known.to_str(), Ok(short));
            assert!(!message.is_empty());
        }
        assert_eq!(described(-999), None);
    }

    #[test]
    fn discovery_and_transport_are_connection_errors() {
        for (status, _, _) in DESCRIBED {
            let expected = matches!(status / 100, -2 | -3);
            assert_eq!(sentinel_status_is_connection_error(*status) == 1, expected, "{status}");
        }
    }
}
