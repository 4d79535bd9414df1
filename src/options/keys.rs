//! The table of option keys: what each is called, takes and means. Validation, defaults, error messages, what programs
//! are told by sentinel_options_key, and the documentation are all read from it.

use std::ffi::CStr;

use crate::base::error::{Error, ErrorKind, Result};
use crate::net::AddressMap;

use super::value::Value;
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
    /// One of a few words; here with a space between them.
    Choice(&'static CStr),
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
    /// The name by which it is set. One that ends in `_ms`, `_s` or `_bytes` says its unit by that.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as text; empty is none.
    pub default: &'static str,
    /// Where it may be set.
    pub scope: Scope,
    /// Its meaning, a line of Markdown without a full stop.
    pub help: &'static str,
    /// The same texts for C.
    pub in_c: InC,
}

/// Texts that end with NUL.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields of Key")]
pub struct InC {
    pub name: &'static CStr,
    pub default: &'static CStr,
    pub help: &'static CStr,
}

/// Every option, in the order of the documentation.
pub fn keys() -> &'static [Key] {
    KEYS
}

const fn key(name: &'static CStr, kind: Kind, default: &'static CStr, scope: Scope, help: &'static CStr) -> Key {
    Key {
        name: text(name),
        kind,
        default: text(default),
        scope,
        help: text(help),
        in_c: InC { name, default, help },
    }
}

const fn text(literal: &'static CStr) -> &'static str {
    match literal.to_str() {
        Ok(text) => text,
        Err(_) => "",
    }
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

use Kind::{Choice, ClientName, Flag, Limit, Text, User};
use Scope::{Both, Client, Deployment};

/// What is checked of a certificate.
const VERIFY: Kind = Choice(c"full none");
/// What is done about a failover that is about to happen.
const FORESEE: Kind = Choice(c"adopt hold off");
/// How the next replica is chosen.
const SELECT: Kind = Choice(c"round_robin random latency");

/// Where an option is added or changed, `make bless` prints its documentation.
#[rustfmt::skip] // a table: one option behind the other
pub const KEYS: &[Key] = &[
    key(c"sentinel.username", User, c"", Deployment,
        c"user of the login at the Sentinels, apart from the data nodes'; a user without a password logs in with \
        an empty one"),
    key(c"sentinel.password", Kind::Secret, c"", Deployment,
        c"password of the login at the Sentinels, apart from the data nodes'"),
    key(c"sentinel.connect_timeout_ms", int(1, MAX_MS), c"200", Deployment,
        c"one attempt to connect to a Sentinel; where it fails the next one is given more, up to 3 s"),
    key(c"sentinel.timeout_ms", int(1, MAX_MS), c"300", Deployment,
        c"one Sentinel's silence while an answer is due; where it fails the next try is given more, up to 3 s"),
    key(c"sentinel.min_other_sentinels", int(0, 1000), c"0", Deployment, c"ignore a Sentinel that knows fewer peers"),
    key(c"sentinel.learn", Flag, c"1", Deployment, c"add the Sentinels that the given ones know"),
    key(c"sentinel.resolve_ms", int(0, MAX_MS), c"30000", Deployment,
        c"names of Sentinels are looked up again so often, and when a connection fails; each address of a name is \
        a Sentinel; 0: only when a connection fails"),
    key(c"discovery.refresh_ms", int(0, MAX_MS), c"1000", Deployment,
        c"ask one Sentinel again so often, with jitter, without any event; 0: never, but for while they contradict \
        each other"),
    key(c"failover.foresee", FORESEE, c"adopt", Deployment,
        c"`adopt`: where the Sentinel that leads a failover tells which replica it is about to promote, writes wait \
        from then on, and go there as soon as the replica says that it is the primary; `hold`: they wait until a \
        Sentinel names it; `off`: neither"),
    key(c"failover.confirm_ms", int(1, MAX_MS), c"3000", Deployment,
        c"a foreseen primary that no Sentinel confirms within so long gets no more writes until one does, or they agree \
        on another"),
    key(c"primary.fence_ms", Limit, c"-1", Deployment,
        c"no write is sent once no majority of the Sentinels was heard for so long: on the wrong side of a partition it \
        would be lost; from 50 on, and the Sentinels are asked for a sign of life every quarter of it; -1: off"),
    key(c"username", User, c"", Client,
        c"user of the login at the data nodes; a user without a password logs in with an empty one"),
    key(c"password", Kind::Secret, c"", Client, c"password of the login at the data nodes"),
    key(c"database", int(0, MAX_MS), c"0", Client, c"number of the database to `SELECT`"),
    key(c"client_name", ClientName, c"", Both, c"name for `CLIENT SETNAME`, at nodes and Sentinels"),
    key(c"client_info", Flag, c"1", Both,
        c"`CLIENT SETINFO` with the library's name and version, at nodes and Sentinels; a server that refuses it \
        (before 7.2, or by its ACL) is served from all the same"),
    key(c"protocol", int(2, 3), c"3", Client,
        c"RESP 3, which falls back to 2 whatever HELLO is refused with; or 2, which says no HELLO"),
    key(c"timeout_ms", Limit, c"5000", Both, c"default deadline of a call; -1: none"),
    key(c"connect_timeout_ms", int(1, MAX_MS), c"1000", Client, c"one attempt to connect to a data node"),
    key(c"fail_fast_after_ms", int(-1, MAX_MS), c"-1", Client,
        c"calls end at once when there has been no usable node for so long, until there is one; 0: they never wait for a \
        node that is not there; -1: they wait until their deadlines"),
    key(c"tcp.keepalive_s", int(0, 32767), c"60", Both, c"idle time before TCP keepalive probes; 0: off"),
    key(c"tcp.user_timeout_ms", int(0, MAX_MS), c"5000", Both,
        c"how long data may stay unacknowledged (`TCP_USER_TIMEOUT`); 0: off"),
    key(c"tcp.nodelay", Flag, c"1", Both, c"`TCP_NODELAY`: small writes are sent at once; 0: off"),
    key(c"tls", Flag, c"0", Client, c"TLS to the data nodes; 1 by the scheme `rediss+sentinel://`"),
    key(c"tls.ca_file", Text, c"", Client, c"PEM file: the authorities that are trusted; none: the system's"),
    key(c"tls.cert_file", Text, c"", Client, c"PEM file: the client certificate with its chain; needs `tls.key_file`"),
    key(c"tls.key_file", Text, c"", Client, c"PEM file: the key of that certificate"),
    key(c"tls.server_name", Text, c"", Client, c"the name that the certificate must have; none: the host"),
    key(c"tls.verify", VERIFY, c"full", Client, c"`none`: take whoever answers for the server"),
    key(c"sentinel.tls", Flag, c"0", Deployment, c"TLS to the Sentinels; 1 by the scheme `rediss+sentinel://`"),
    key(c"sentinel.tls.ca_file", Text, c"", Deployment,
        c"PEM file: the authorities that are trusted; none: the system's"),
    key(c"sentinel.tls.cert_file", Text, c"", Deployment,
        c"PEM file: the client certificate with its chain; needs `sentinel.tls.key_file`"),
    key(c"sentinel.tls.key_file", Text, c"", Deployment, c"PEM file: the key of that certificate"),
    key(c"sentinel.tls.server_name", Text, c"", Deployment, c"the name that the certificate must have; none: the host"),
    key(c"sentinel.tls.verify", VERIFY, c"full", Deployment, c"`none`: take whoever answers for the server"),
    key(c"pool.direct", int(1, 1024), c"2", Client,
        c"connections on which up to so many concurrent callers do their own I/O"),
    key(c"pool.lanes", int(1, 64), c"1", Client,
        c"shared connections that carry everyone else's commands, many in one write"),
    key(c"pool.max_connections", int(1, 65535), c"64", Client,
        c"acquired and blocking connections at most; one more waits, then `POOL_EXHAUSTED`"),
    key(c"pool.idle_timeout_ms", int(0, MAX_MS), c"60000", Client,
        c"close such a connection after so long unused; 0: never"),
    key(c"max_pending", int(1, 1 << 24), c"65536", Client, c"commands in flight a client; one more is `QUEUE_FULL`"),
    key(c"retry.backoff_min_ms", int(1, 3_600_000), c"5", Both,
        c"shortest pause between attempts, with full jitter; not more than `retry.backoff_max_ms`"),
    key(c"retry.backoff_max_ms", int(1, 3_600_000), c"500", Both,
        c"longest pause between attempts, with full jitter; not less than `retry.backoff_min_ms`"),
    key(c"replica.select", SELECT, c"round_robin", Client, c"which replica is next"),
    key(c"replica.fallback_to_primary", Flag, c"1", Client,
        c"read from the primary when there is no replica; 0: `REPLICA_NOT_FOUND`"),
    key(c"replica.max_link_down_ms", int(-1, MAX_MS), c"-1", Client,
        c"leave out replicas whose link to the primary is down for longer; until then, and with -1 for ever, they \
        serve while no fresher one does"),
    key(c"replica.max_lag_bytes", int(-1, i64::MAX), c"-1", Client,
        c"leave out replicas that are further behind the freshest offset that any Sentinel reports; -1: do not"),
    key(c"max_reply_bytes", int(1, 1 << 40), c"536870912", Client,
        c"size of a reply; one beyond it is `PROTOCOL` and closes the connection"),
    key(c"max_reply_depth", int(1, 10_000), c"128", Client,
        c"nesting of a reply; one beyond it is `PROTOCOL` and closes the connection"),
    key(c"address.map", Kind::AddressMap, c"", Deployment, c"applied to every address learnt (NAT, containers)"),
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
            Kind::AddressMap => "from_host:port=to_host:port[#name],...".into(),
            Kind::Secret => "a secret".into(),
            Kind::Choice(words) => format!("one of {}", text(words).replace(' ', ", ")),
        }
    }

    /// What its numbers count: `ms`, `s` or `bytes`; empty where that is told by its meaning alone.
    pub const fn unit(&self) -> &'static CStr {
        match self.name.as_bytes() {
            [.., b'_', b'm', b's'] => c"ms",
            [.., b'_', b's'] => c"s",
            [.., b'_', b'b', b'y', b't', b'e', b's'] => c"bytes",
            _ => c"",
        }
    }

    /// The least and the most of its numbers; of a limit without the -1, of what is no number twice 0.
    pub const fn range(&self) -> (i64, i64) {
        match self.kind {
            Kind::Int { min, max } => (min, max),
            Kind::Limit => (1, MAX_MS),
            Kind::Flag => (0, 1),
            _ => (0, 0),
        }
    }

    /// The words of which it takes one; else none.
    pub const fn words(&self) -> &'static CStr {
        match self.kind {
            Kind::Choice(words) => words,
            _ => c"",
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
            Kind::Choice(words) if !words_of(words).any(|word| word == text) => Err(self.refuse(text)),
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

fn words_of(words: &'static CStr) -> impl Iterator<Item = &'static str> {
    text(words).split(' ')
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
