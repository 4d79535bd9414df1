//! What can go wrong, for every layer above the sockets.
//!
//! An [`Error`] is a kind with its own context, and what all kinds share: the outcome of the command, the endpoint, and
//! the attempts that were made. The mapping to the numbers of the C contract is in `ffi::status`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What became of the command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was never handed to the kernel: safe to repeat.
    NotSent,
    /// The server declined before executing it.
    Refused,
    /// It was written and no reply was received: it may have executed.
    Unknown,
}

/// Why a node of the wanted role could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No Sentinel ever answered.
    NoSentinelReachable,
    /// Sentinels answered that they know no such service.
    UnknownService,
    /// Every reachable Sentinel refused the login.
    SentinelAuth,
    /// The node named did not hold the role.
    WrongRole,
    /// A node was named, but no connection to it succeeded.
    NodeUnreachable,
    /// Replicas are known and all filtered out, or there is none.
    NoUsableReplica,
    /// No Sentinel knew as many peers as `sentinel.min_other_sentinels` asks for.
    TooFewSentinels,
    /// No majority of the Sentinels was heard for `primary.fence_ms`: another one may be the primary by now.
    NoMajority,
    /// A replica took over, or is about to, and no Sentinel has named it as the primary yet.
    Unconfirmed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::NoSentinelReachable => "no Sentinel answered",
            Reason::UnknownService => "the Sentinels know no such service",
            Reason::SentinelAuth => "every reachable Sentinel refused the login",
            Reason::WrongRole => "the node named does not hold the role",
            Reason::NodeUnreachable => "the node named could not be connected to",
            Reason::NoUsableReplica => "no usable replica",
            Reason::TooFewSentinels => "no Sentinel knows as many peers as sentinel.min_other_sentinels asks for",
            Reason::NoMajority => "no majority of the Sentinels is heard: another node may be the primary by now",
            Reason::Unconfirmed => "no Sentinel has confirmed which node is the primary",
        })
    }
}

/// The step of reaching a Sentinel or node at which an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Name resolution.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The login.
    Auth,
    /// A question and its answer.
    Query,
    /// The check that the node holds the role.
    Role,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Resolve => "resolve",
            Stage::Connect => "connect",
            Stage::Tls => "TLS",
            Stage::Auth => "auth",
            Stage::Query => "query",
            Stage::Role => "role",
        })
    }
}

/// One Sentinel or node that was tried: where, at which stage, and why it failed. Reads
/// `10.0.0.2:26379: query: NOAUTH Authentication required.`
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {stage}: {cause}")]
pub struct Attempt {
    /// `host:port` of the Sentinel or node.
    pub endpoint: String,
    /// How far it came.
    pub stage: Stage,
    /// The cause in one line.
    pub cause: String,
}

/// The kinds of failure, each with the context its message needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// A pointer that must be given was NULL.
    #[error("{argument} is NULL")]
    NullArgument {
        /// The parameter's name.
        argument: String,
    },
    /// An argument or option has a value that cannot be used.
    #[error("{argument}: {problem}")]
    InvalidArgument {
        /// The parameter's or option's name.
        argument: String,
        /// What is wrong with it and what it takes.
        problem: String,
    },
    /// No option has this key.
    #[error("{key}: no such option")]
    UnknownOption {
        /// The key as given.
        key: String,
    },
    /// Text that must be UTF-8 is not.
    #[error("{argument}: not valid UTF-8")]
    InvalidUtf8 {
        /// The parameter's name.
        argument: String,
    },
    /// The object cannot do this in the state it is in.
    #[error("{problem}")]
    WrongState {
        /// What state, and what it forbids.
        problem: String,
    },
    /// A blocking call from inside a callback.
    #[error("a blocking call from inside a callback would wait for itself")]
    WouldDeadlock,
    /// An inherited handle used in a forked child.
    #[error("the handle was opened before fork(): open a new one in the child")]
    Forked,
    /// The caller's buffer cannot hold the answer.
    #[error("the buffer is too small: {needed} bytes are needed")]
    BufferTooSmall {
        /// Bytes that would have been enough.
        needed: usize,
    },
    /// The command cannot run on a shared connection.
    #[error("{command} cannot run on a shared connection: {instead}")]
    UnsupportedCommand {
        /// The command's name, upper case.
        command: String,
        /// What to use instead.
        instead: String,
    },
    /// No primary of the service could be had.
    #[error("no primary of service \"{service}\": {reason}")]
    PrimaryNotFound {
        /// The service.
        service: String,
        /// Why.
        reason: Reason,
    },
    /// No replica of the service could be had.
    #[error("no replica of service \"{service}\": {reason}")]
    ReplicaNotFound {
        /// The service.
        service: String,
        /// Why.
        reason: Reason,
    },
    /// A connection could not be made.
    #[error("could not connect: {cause}")]
    Connect {
        /// The system's or server's word.
        cause: String,
    },
    /// A connection ended under a call.
    #[error("connection lost: {cause}")]
    ConnectionLost {
        /// What ended it.
        cause: String,
    },
    /// The TLS handshake failed.
    #[error("TLS: {cause}")]
    Tls {
        /// What failed.
        cause: String,
    },
    /// A data node refused the login.
    #[error("login refused: {cause}")]
    Auth {
        /// The server's error text.
        cause: String,
    },
    /// The peer broke the protocol or a limit on replies.
    #[error("protocol error: {problem}")]
    Protocol {
        /// What was wrong.
        problem: String,
    },
    /// The deadline passed.
    #[error("timed out {during}")]
    Timeout {
        /// What was being waited for.
        during: String,
    },
    /// The server answered with an error reply.
    #[error("{text}")]
    Server {
        /// The reply's text.
        text: String,
    },
    /// The node is a replica and does not take writes.
    #[error("{text}")]
    Readonly {
        /// The reply's text.
        text: String,
    },
    /// The node is still loading its data.
    #[error("{text}")]
    Loading {
        /// The reply's text.
        text: String,
    },
    /// The transaction was not executed.
    #[error("transaction aborted: {text}")]
    TransactionAborted {
        /// The reply's text, or what was seen instead.
        text: String,
    },
    /// The write was done, but too few replicas confirmed it in time.
    #[error("{have} of {wanted} replicas have the write")]
    NotReplicated {
        /// Replicas asked for.
        wanted: u32,
        /// Replicas that confirmed.
        have: u32,
    },
    /// The write was done, but not confirmed in time to be on enough disks.
    #[error("the write is on the primary's disk: {primary}, on those of {have} of {wanted} replicas")]
    NotOnDisk {
        /// Whether the primary confirmed it.
        primary: bool,
        /// Replicas asked for.
        wanted: u32,
        /// Replicas that confirmed.
        have: u32,
    },
    /// `pool.max_connections` connections are in use.
    #[error("all {limit} connections of pool.max_connections are in use")]
    PoolExhausted {
        /// The limit.
        limit: usize,
    },
    /// `max_pending` commands are in flight, or a queue is full.
    #[error("{limit} are pending, more are not taken")]
    QueueFull {
        /// The limit.
        limit: usize,
    },
    /// The call was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The handle was closed.
    #[error("the handle is closed")]
    Closed,
    /// The library could not do its part.
    #[error("internal error: {problem}")]
    Internal {
        /// What failed.
        problem: String,
    },
    /// A panic was caught at the boundary.
    #[error("panic: {problem}")]
    Panic {
        /// The panic's message.
        problem: String,
    },
}

impl ErrorKind {
    /// What ended a connection, without the words that it was lost.
    pub(crate) fn cause(&self) -> String {
        match self {
            ErrorKind::ConnectionLost { cause } => cause.clone(),
            kind => kind.to_string(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    outcome: Outcome,
    endpoint: Option<String>,
    attempts: Vec<Attempt>,
    /// How long there had been no node when the call ended, without waiting any longer.
    absent: Option<Duration>,
    /// The server's words, where they are no UTF-8.
    words: Option<Vec<u8>>,
}

/// A failure. Small to pass; a clone for another waiter costs a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Arc<Parts>);

impl Error {
    /// A failure before anything was sent. What leads here is kept out of the way of what succeeds.
    #[cold]
    pub fn new(kind: ErrorKind) -> Error {
        Error(Arc::new(Parts {
            kind,
            outcome: Outcome::NotSent,
            endpoint: None,
            attempts: Vec::new(),
            absent: None,
            words: None,
        }))
    }

    /// A bad argument or option value: its name, and what is wrong and what it takes.
    #[cold]
    pub fn invalid(argument: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument {
            argument: argument.into(),
            problem: problem.into(),
        })
    }

    /// A fault of the library, met when something may have been sent.
    #[cold]
    pub(crate) fn fault(problem: &str) -> Error {
        let problem = problem.to_owned();
        Error::new(ErrorKind::Internal { problem }).with_outcome(Outcome::Unknown)
    }

    /// The same failure with what became of the command.
    #[cold]
    pub fn with_outcome(mut self, outcome: Outcome) -> Error {
        if self.0.outcome == outcome {
            return self;
        }
        Arc::make_mut(&mut self.0).outcome = outcome;
        self
    }

    /// The same failure with the node it happened at.
    #[cold]
    pub fn at(mut self, endpoint: impl Into<String>) -> Error {
        Arc::make_mut(&mut self.0).endpoint = Some(endpoint.into());
        self
    }

    /// The same failure with the Sentinels and nodes that were tried.
    pub fn with_attempts(mut self, attempts: Vec<Attempt>) -> Error {
        Arc::make_mut(&mut self.0).attempts = attempts;
        self
    }

    /// The same failure of a call that did not wait, for there had been no node for so long.
    #[cold]
    pub(crate) fn absent_for(mut self, absent: Duration) -> Error {
        Arc::make_mut(&mut self.0).absent = Some(absent);
        self
    }

    /// The same failure with the server's words as they came, which its text repeats as far as they are UTF-8.
    #[cold]
    pub(crate) fn with_words(mut self, words: &[u8]) -> Error {
        if std::str::from_utf8(words).is_err() {
            Arc::make_mut(&mut self.0).words = Some(words.to_vec());
        }
        self
    }

    /// The server's words, where the text has something else in their place.
    pub(crate) fn words(&self) -> Option<&[u8]> {
        self.0.words.as_deref()
    }

    /// Which failure.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What became of the command.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Why discovery failed, for the two kinds that say so.
    pub fn reason(&self) -> Option<Reason> {
        match &self.0.kind {
            ErrorKind::PrimaryNotFound { reason, .. } | ErrorKind::ReplicaNotFound { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// The first word of the server's error reply, such as `WRONGTYPE`.
    pub fn server_code(&self) -> Option<&str> {
        match &self.0.kind {
            ErrorKind::Server { text }
            | ErrorKind::Readonly { text }
            | ErrorKind::Loading { text }
            | ErrorKind::TransactionAborted { text }
            | ErrorKind::Auth { cause: text } => {
                // No word of the server's ends so.
                text.split(' ')
                    .next()
                    .filter(|word| !word.is_empty() && !word.ends_with(':'))
            }
            _ => None,
        }
    }

    /// `host:port` of the node it happened at, where there is one.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The Sentinels and nodes that were tried.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)?;
        if let Some(absent) = self.0.absent {
            write!(f, "; there has been no node to use for {} ms", absent.as_millis())?;
        }
        for (index, attempt) in self.0.attempts.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { "; " })?;
            attempt.fmt(f)?;
        }
        if self.0.attempts.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_an_operator_needs_it() {
        let attempt = Attempt {
            endpoint: "10.0.0.2:26379".into(),
            stage: Stage::Query,
            cause: "NOAUTH Authentication required.".into(),
        };
        let error = Error::new(ErrorKind::PrimaryNotFound {
            service: "my service".into(),
            reason: Reason::SentinelAuth,
        })
        .with_attempts(vec![attempt]);
        assert_eq!(
            error.to_string(),
            "no primary of service \"my service\": every reachable Sentinel refused the login \
             (10.0.0.2:26379: query: NOAUTH Authentication required.)"
        );
        assert_eq!(error.reason(), Some(Reason::SentinelAuth));
        assert_eq!(error.server_code(), None);
    }

    #[test]
    fn the_servers_code_is_the_first_word_of_its_text() {
        let server = |text: &str| Error::new(ErrorKind::Server { text: text.into() });
        assert_eq!(server("WRONGTYPE Operation against").server_code(), Some("WRONGTYPE"));
        assert_eq!(Error::new(ErrorKind::Closed).server_code(), None);
    }
}
