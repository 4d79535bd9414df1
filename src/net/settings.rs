//! What a connection is made with: a login, socket options, TLS.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::base::error::{Error, Result};

/// Bytes that are wiped from memory when dropped and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes themselves, without another copy.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes, to be sent and not to be shown.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A login. With a user and no password, the user is one without (`nopass`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; none: `default`.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl Credentials {
    /// The user and the password that are shown to a server; none: it is entered without a login. A user without a
    /// password shows an empty one.
    pub fn shown(&self) -> Option<(&str, &[u8])> {
        match (&self.username, &self.password) {
            (None, None) => None,
            (user, password) => Some((
                user.as_deref().unwrap_or("default"),
                password.as_ref().map_or(&[], Secret::as_bytes),
            )),
        }
    }

    /// Those that a rotation gives; empty ones are none.
    pub fn new(username: Option<&str>, password: &[u8]) -> Result<Credentials> {
        let username = username.filter(|name| !name.is_empty());
        if username.is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(Error::invalid("username", "it takes text without control characters"));
        }
        Ok(Credentials {
            username: username.map(str::to_owned),
            password: Some(password).filter(|bytes| !bytes.is_empty()).map(Secret::new),
        })
    }
}

/// Socket options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSettings {
    /// Idle time before keepalive probes; none: off.
    pub keepalive: Option<Duration>,
    /// `TCP_USER_TIMEOUT`; none: off.
    pub user_timeout: Option<Duration>,
    /// `TCP_NODELAY`.
    pub nodelay: bool,
}

/// How TLS is to be spoken. The files are not opened before a connection needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The key that these belong to, for messages: `tls` or `sentinel.tls`.
    pub key: &'static str,
    /// Trusted roots; none: the system's.
    pub ca_file: Option<String>,
    /// Client certificate chain.
    pub cert_file: Option<String>,
    /// Key of the client certificate.
    pub key_file: Option<String>,
    /// Name to verify; none: the host.
    pub server_name: Option<String>,
    /// Whether the certificate is checked at all.
    pub verify: bool,
}

impl TlsSettings {
    /// What the log must say as a warning when a deployment is opened, or a client made, with these.
    pub fn warning(&self) -> Option<String> {
        let of = match self.key {
            "sentinel.tls" => "Sentinels",
            _ => "data nodes",
        };
        let told = || format!("{}.verify is none: whoever answers is taken for the {of}", self.key);
        (!self.verify).then(told)
    }
}
