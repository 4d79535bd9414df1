//! The table of option keys: what each is called, takes and means. Validation, defaults, error messages and the
//! documentation are all read from it.

use crate::base::error::{Error, ErrorKind, Result};
use crate::net::AddressMap;

use super::Value;
use crate::net::Secret;

/// The longest time an option takes, ms: what `poll` and the socket options take.
const MAX_MS: i64 = i32::MAX as i64;

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer in a range.
    Int {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A time limit: an integer from 1, or -1 for none.
    Limit,
    /// 0 or 1.
    Flag,
    /// Text without control characters.
    Text,
    /// A user name: text that may also be given as secret bytes.
    User,
    /// Printable ASCII without spaces, as `CLIENT SETNAME` takes it.
    ClientName,
    /// `from_host:port=to_host:port,...`
    AddressMap,
    /// Any bytes, never shown.
    Secret,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

/// Where a key may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For `sentinel_open` only.
    Deployment,
    /// For a client: a default at `sentinel_open`, or in the overrides of one client.
    Client,
    /// For the deployment, and differently for a client by its overrides.
    Both,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name by which it is set.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as text; empty is none.
    pub default: &'static str,
    /// Where it may be set.
    pub scope: Scope,
    /// Its meaning in one line.
    pub help: &'static str,
}

/// Every option, in the order of the documentation.
pub fn keys() -> &'static [Key] {
    KEYS
}

const fn key(name: &'static str, kind: Kind, default: &'static str, scope: Scope, help: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        scope,
        help,
    }
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

use Kind::{Choice, ClientName, Flag, Limit, Text, User};
use Scope::{Both, Client, Deployment};

/// What is checked of a certificate.
const VERIFY: Kind = Choice(&["full", "none"]);

#[rustfmt::skip] // a table: one line an option
static KEYS: &[Key] = &[
    key("sentinel.username", User, "", Deployment, "user of the login at the Sentinels; without a password: an empty one"),
    key("sentinel.password", Kind::Secret, "", Deployment, "password of the login at the Sentinels"),
    key("sentinel.connect_timeout_ms", int(1, MAX_MS), "200", Deployment, "limit of connecting to one Sentinel; more after failures, up to 3 s"),
    key("sentinel.timeout_ms", int(1, MAX_MS), "300", Deployment, "limit of one Sentinel's silence while an answer is due; more after failures, up to 3 s"),
    key("sentinel.min_other_sentinels", int(0, 1000), "0", Deployment, "ignore a Sentinel that knows fewer peers"),
    key("sentinel.learn", Flag, "1", Deployment, "add the Sentinels learnt from the others"),
    key("sentinel.resolve_ms", int(0, MAX_MS), "30000", Deployment, "look up the names of Sentinels again so often; 0: only when a connection fails"),
    key("discovery.refresh_ms", int(0, MAX_MS), "1000", Deployment, "jittered re-check of one Sentinel; 0: never"),
    key("username", User, "", Client, "user of the login at the data nodes; without a password: an empty one"),
    key("password", Kind::Secret, "", Client, "password of the login at the data nodes"),
    key("database", int(0, MAX_MS), "0", Client, "number of the database to SELECT"),
    key("client_name", ClientName, "", Both, "name for CLIENT SETNAME, at nodes and Sentinels"),
    key("client_info", Flag, "1", Both, "CLIENT SETINFO with the library's name and version, at nodes and Sentinels"),
    key("protocol", int(2, 3), "3", Client, "RESP version; 3 falls back to 2, 2 says no HELLO"),
    key("timeout_ms", Limit, "5000", Both, "default deadline of a call; -1: no limit"),
    key("connect_timeout_ms", int(1, MAX_MS), "1000", Client, "limit of connecting to a data node"),
    key("tcp.keepalive_s", int(0, 32767), "60", Both, "idle seconds before TCP keepalive probes; 0: off"),
    key("tcp.user_timeout_ms", int(0, MAX_MS), "5000", Both, "limit of unacknowledged data; 0: off"),
    key("tcp.nodelay", Flag, "1", Both, "TCP_NODELAY: send small writes at once"),
    key("tls", Flag, "0", Client, "TLS to the data nodes"),
    key("tls.ca_file", Text, "", Client, "PEM file: trusted roots; none: the system's"),
    key("tls.cert_file", Text, "", Client, "PEM file: client certificate chain"),
    key("tls.key_file", Text, "", Client, "PEM file: key of that certificate"),
    key("tls.server_name", Text, "", Client, "name to verify; none: the host"),
    key("tls.verify", VERIFY, "full", Client, "none: take whoever answers for the server"),
    key("sentinel.tls", Flag, "0", Deployment, "TLS to the Sentinels"),
    key("sentinel.tls.ca_file", Text, "", Deployment, "PEM file: trusted roots; none: the system's"),
    key("sentinel.tls.cert_file", Text, "", Deployment, "PEM file: client certificate chain"),
    key("sentinel.tls.key_file", Text, "", Deployment, "PEM file: key of that certificate"),
    key("sentinel.tls.server_name", Text, "", Deployment, "name to verify; none: the host"),
    key("sentinel.tls.verify", VERIFY, "full", Deployment, "none: take whoever answers for the server"),
    key("pool.direct", int(1, 1024), "2", Client, "connections whose callers do their own I/O"),
    key("pool.lanes", int(1, 64), "1", Client, "shared connections for all other callers"),
    key("pool.max_connections", int(1, 65535), "64", Client, "acquired and blocking connections at most"),
    key("pool.idle_timeout_ms", int(0, MAX_MS), "60000", Client, "close those after so long unused; 0: never"),
    key("max_pending", int(1, 1 << 24), "65536", Client, "commands in flight a client; one more is QUEUE_FULL"),
    key("retry.backoff_min_ms", int(1, 3_600_000), "5", Both, "shortest backoff between attempts"),
    key("retry.backoff_max_ms", int(1, 3_600_000), "500", Both, "longest backoff between attempts"),
    key("replica.select", Choice(&["round_robin", "random", "latency"]), "round_robin", Client, "which replica next"),
    key("replica.fallback_to_primary", Flag, "1", Client, "1: use the primary; 0: REPLICA_NOT_FOUND"),
    key("replica.max_link_down_ms", int(-1, MAX_MS), "-1", Client, "leave out replicas cut off longer; -1: none"),
    key("replica.max_lag_bytes", int(-1, i64::MAX), "-1", Client, "leave out replicas further behind; -1: none"),
    key("max_reply_bytes", int(1, 1 << 40), "536870912", Client, "size of a reply at most, else PROTOCOL"),
    key("max_reply_depth", int(1, 10_000), "128", Client, "nesting of a reply at most, else PROTOCOL"),
    key("address.map", Kind::AddressMap, "", Deployment, "for NAT, applied to every address learnt"),
];

/// The key of that name, or `UnknownOption`.
pub(super) fn find(name: &str) -> Result<&'static Key> {
    let found = KEYS.iter().find(|key| key.name == name);
    found.ok_or_else(|| Error::new(ErrorKind::UnknownOption { key: name.to_owned() }))
}

impl Key {
    /// What it takes, for a message: `an integer from 1 to 1024`.
    pub fn takes(&self) -> String {
        match self.kind {
            Kind::Int { min, max } => format!("an integer from {min} to {max}"),
            Kind::Limit => format!("an integer from 1 to {MAX_MS}, or -1 for no limit"),
            Kind::Flag => "0 or 1".into(),
            Kind::Text | Kind::User => "text without control characters".into(),
            Kind::ClientName => "printable ASCII without spaces".into(),
            Kind::AddressMap => "from_host:port=to_host:port,...".into(),
            Kind::Secret => "a secret".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// The value that `text` means for this key. An empty text is "none" where that makes sense.
    pub(super) fn value_of_text(&self, text: &str) -> Result<Value> {
        match self.kind {
            Kind::Int { .. } | Kind::Limit | Kind::Flag => match parse_int(text) {
                Some(number) if self.allows(number) => Ok(Value::Int(number)),
                _ => Err(self.refuse(text)),
            },
            Kind::Secret => Ok(Value::Secret(Secret::new(text.as_bytes()))),
            Kind::AddressMap => match AddressMap::parse(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(problem) => Err(Error::invalid(
                    self.name,
                    format!("{problem}; it takes {}", self.takes()),
                )),
            },
            Kind::User if text.chars().any(char::is_control) => {
                Err(Error::invalid(self.name, format!("it takes {}", self.takes())))
            }
            Kind::Text if text.chars().any(char::is_control) => Err(self.refuse(text)),
            Kind::ClientName if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(self.refuse(text)),
            Kind::Choice(words) if !words.contains(&text) => Err(self.refuse(text)),
            Kind::Text | Kind::User | Kind::ClientName | Kind::Choice(_) => Ok(Value::Text(text.to_owned())),
        }
    }

    /// The value that a number means for this key.
    pub(super) fn value_of_int(&self, number: i64) -> Result<Value> {
        match self.kind {
            Kind::Int { .. } | Kind::Limit | Kind::Flag if self.allows(number) => Ok(Value::Int(number)),
            Kind::Int { .. } | Kind::Limit | Kind::Flag => {
                Err(Error::invalid(self.name, format!("{number} is not {}", self.takes())))
            }
            Kind::Choice(_) => Err(Error::invalid(self.name, format!("it takes text: {}", self.takes()))),
            _ => Err(Error::invalid(self.name, "it takes text, not an integer")),
        }
    }

    /// The value that secret bytes mean for this key.
    pub(super) fn value_of_secret(&self, bytes: &[u8]) -> Result<Value> {
        match self.kind {
            Kind::Secret => Ok(Value::Secret(Secret::new(bytes))),
            Kind::User => match std::str::from_utf8(bytes) {
                Ok(text) => self.value_of_text(text),
                Err(_) => Err(Error::new(ErrorKind::InvalidUtf8 {
                    argument: self.name.to_owned(),
                })),
            },
            _ => {
                let problem = format!(
                    "it is not a secret: set it as text or integer; it takes {}",
                    self.takes()
                );
                Err(Error::invalid(self.name, problem))
            }
        }
    }

    fn allows(&self, number: i64) -> bool {
        match self.kind {
            Kind::Int { min, max } => (min..=max).contains(&number),
            Kind::Limit => number == -1 || (1..=MAX_MS).contains(&number),
            Kind::Flag => number == 0 || number == 1,
            _ => false,
        }
    }

    /// Not for secrets: the message repeats the value, cut to what a line can hold.
    fn refuse(&self, text: &str) -> Error {
        let mut shown: String = text.chars().take(40).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        Error::invalid(self.name, format!("{shown:?} is not {}", self.takes()))
    }
}

/// Decimal digits with an optional minus; no plus, no spaces.
fn parse_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}
