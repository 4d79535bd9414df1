//! The login in words: what is said, in which protocol, what a refusal is, what of it may be told, and that nothing of it
//! is left behind.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::failure::DialError;
use super::probe::Speech;
use super::wire::{Wire, WireError};
use crate::base::error::Stage;
use crate::net::{Credentials, Vault};
use crate::resp::{DecodeError, Kind, Reply, Value, encode};

/// What a peer must be told before it serves a client.
#[derive(Debug, Clone)]
pub struct Login {
    /// User and password, as they are when the connection is made.
    pub vault: Arc<Vault>,
    /// The database to select; 0 needs no command.
    pub database: u32,
    /// A name for `CLIENT LIST`.
    pub client_name: Option<String>,
    /// Whether the library's name and version are told, too.
    pub client_info: bool,
    /// The protocol to ask for: 3 falls back to 2.
    pub protocol: u8,
}

/// A peer that has let us in.
pub(super) struct Entered {
    /// What it answered to HELLO; none: it was not asked, or has none for us.
    pub(super) hello: Option<Reply>,
    /// The protocol in force.
    pub(super) protocol: u8,
}

impl Entered {
    const IN_RESP2: Entered = Entered {
        hello: None,
        protocol: 2,
    };
}

/// The library as `CLIENT LIST` shows it.
const LIBRARY: [[&str; 2]; 2] = [["LIB-NAME", "libsentinel"], ["LIB-VER", env!("CARGO_PKG_VERSION")]];

/// Collects commands for one write, and is wiped after it.
pub(super) struct Script {
    bytes: Zeroizing<Vec<u8>>,
}

impl Script {
    /// Room for all that is ever said together: a buffer that grows leaves pieces of the password behind.
    pub(super) fn new(login: &Login, credentials: &Credentials) -> Script {
        let (user, password) = credentials.shown().unwrap_or_default();
        let name = login.client_name.as_ref().map_or(0, String::len);
        Script {
            bytes: Zeroizing::new(Vec::with_capacity(512 + user.len() + password.len() + name)),
        }
    }

    pub(super) fn say(&mut self, args: &[&[u8]]) -> &mut Script {
        encode(&mut self.bytes, args);
        self
    }

    /// HELLO with the login and the name in it: one command for all three since Redis 6.
    fn hello(&mut self, login: &Login, credentials: &Credentials) {
        let mut args: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some((user, password)) = credentials.shown() {
            args.extend([b"AUTH".as_slice(), user.as_bytes(), password]);
        }
        if let Some(name) = &login.client_name {
            args.extend([b"SETNAME".as_slice(), name.as_bytes()]);
        }
        self.say(&args);
    }

    /// AUTH in its old form, or with a user; nothing where there is nothing to show.
    fn auth(&mut self, credentials: &Credentials) {
        match (credentials.shown(), &credentials.username) {
            (Some((user, password)), Some(_)) => _ = self.say(&[b"AUTH", user.as_bytes(), password]),
            (Some((_, password)), None) => _ = self.say(&[b"AUTH", password]),
            (None, _) => {}
        }
    }

    /// The client's name, and the library's with its version as redis-server 7.2 takes them. How many answers follow.
    fn names(&mut self, client: Option<&String>, library: bool) -> usize {
        if let Some(name) = client {
            self.say(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
        }
        let library = if library { LIBRARY.as_slice() } else { &[] };
        for [what, value] in library {
            self.say(&[b"CLIENT", b"SETINFO", what.as_bytes(), value.as_bytes()]);
        }
        usize::from(client.is_some()) + library.len()
    }

    pub(super) async fn send(&self, wire: &mut Wire) -> Result<(), DialError> {
        wire.send(&self.bytes)
            .await
            .map_err(|error| ended(error, Stage::Connect))
    }
}

/// Tells the peer who we are, by HELLO and, where that is refused or not wanted, in the words of RESP2, and `more` in the same
/// write: the answers to that are the next to be heard. Names are a convenience: a server that refuses them is still served
/// from.
pub(super) async fn enter(
    wire: &mut Wire,
    login: &Login,
    credentials: &Credentials,
    more: &[&[&[u8]]],
) -> Result<Entered, DialError> {
    let mut by_hello = login.protocol == 3;
    loop {
        let mut script = Script::new(login, credentials);
        match by_hello {
            true => script.hello(login, credentials),
            false => script.auth(credentials),
        }
        let name = login.client_name.as_ref().filter(|_| !by_hello);
        let names = script.names(name, login.client_info);
        more.iter().for_each(|command| _ = script.say(command));
        script.send(wire).await?;
        let entered = match by_hello {
            true => hear_hello(wire, login, credentials).await?,
            false => Some(hear_auth(wire, credentials).await?),
        };
        skip(wire, credentials, names).await?;
        if let Some(entered) = entered {
            return Ok(entered);
        }
        // The answers to the rest are to somebody who is not logged in.
        skip(wire, credentials, more.len()).await?;
        by_hello = false;
    }
}

/// `None` where HELLO is refused and what it carried has to be said otherwise.
async fn hear_hello(wire: &mut Wire, login: &Login, credentials: &Credentials) -> Result<Option<Entered>, DialError> {
    let hello = receive(wire, credentials, Stage::Connect).await?;
    if hello.kind() != Kind::Error {
        let (protocol, hello) = (spoken_protocol(&hello)?, Some(hello));
        return Ok(Some(Entered { hello, protocol }));
    }
    // No HELLO here (Redis 5), none for this user (its ACL), or not this protocol.
    refused_hello(&hello, credentials)?;
    let carried_nothing = credentials.shown().is_none() && login.client_name.is_none();
    Ok(carried_nothing.then_some(Entered::IN_RESP2))
}

/// HELLO is refused for many a reason that is none of the login. Credentials that are wrong, or missing, are final.
fn refused_hello(reply: &Reply, credentials: &Credentials) -> Result<(), DialError> {
    let text = reply.text();
    let wrong = has_code(&text, &["WRONGPASS"]) || text.starts_with("ERR invalid password");
    let missing = credentials.shown().is_none() && has_code(&text, &["NOAUTH"]);
    if wrong || missing {
        return Err(DialError::new(Stage::Auth, tellable(&text, credentials)));
    }
    Ok(())
}

/// A server that asks for no password takes any in HELLO; in its old form AUTH is an error there (redis-server 6, 5).
const ASKS_FOR_NONE: [&str; 2] = [
    "ERR AUTH <password> called without any password configured",
    "ERR Client sent AUTH, but no password is set",
];

async fn hear_auth(wire: &mut Wire, credentials: &Credentials) -> Result<Entered, DialError> {
    if credentials.shown().is_none() {
        return Ok(Entered::IN_RESP2);
    }
    let reply = receive(wire, credentials, Stage::Auth).await?;
    let text = reply.text();
    if reply.kind() != Kind::Error || ASKS_FOR_NONE.iter().any(|said| text.starts_with(said)) {
        return Ok(Entered::IN_RESP2);
    }
    Err(DialError::new(Stage::Auth, tellable(&text, credentials)))
}

/// Whether `text` begins with one of the error codes.
pub(super) fn has_code(text: &str, codes: &[&str]) -> bool {
    text.split(' ').next().is_some_and(|code| codes.contains(&code))
}

/// An error that means that the login, not the command, was refused.
pub(super) fn refused_login(reply: &Reply) -> Result<(), DialError> {
    let text = reply.text();
    if has_code(&text, &["NOAUTH", "WRONGPASS", "NOPERM"]) {
        return Err(DialError::new(Stage::Auth, text));
    }
    Ok(())
}

/// Beginnings of what servers say of a login, longer ones first. None holds anything that they were told.
const SAID_OF_LOGINS: [&str; 17] = [
    "WRONGPASS invalid username-password pair or user is disabled.",
    "WRONGPASS invalid username-password pair",
    "NOAUTH HELLO must be called with the client already authenticated",
    "NOAUTH Authentication required.",
    "DENIED Redis is running in protected mode",
    "ERR max number of clients reached",
    "ERR invalid password",
    "ERR wrong number of arguments for 'auth' command",
    "ERR unknown command",
    "WRONGPASS",
    "NOAUTH",
    "NOPERM",
    "DENIED",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "ERR",
];

/// What may be told of an answer to the login. Servers and proxies repeat what they were told: cut, without its line
/// breaks, its bytes replaced. So where a password was said, only words are told that are known beforehand.
fn tellable(text: &str, credentials: &Credentials) -> String {
    if credentials.password.is_none() {
        return text.to_owned();
    }
    match SAID_OF_LOGINS.iter().find(|known| text.starts_with(**known)) {
        Some(known) if known.len() == text.len() => text.to_owned(),
        Some(known) => format!("{known} (...)"),
        None => "ERR (an answer that is not told, for it may repeat the password)".to_owned(),
    }
}

/// The text without the password where that stands in it as it is.
pub(super) fn without_secret(text: &str, credentials: &Credentials) -> String {
    let secret = credentials
        .password
        .as_ref()
        .and_then(|secret| std::str::from_utf8(secret.as_bytes()).ok());
    match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
        _ => text.to_owned(),
    }
}

/// The protocol in which HELLO was answered: 3 with a map, 2 with its flat array, and never another than the answer itself
/// tells.
fn spoken_protocol(hello: &Reply) -> Result<u8, DialError> {
    let wrong = |problem: String| Err(DialError::new(Stage::Connect, format!("protocol error: {problem}")));
    let spoken = match hello.kind() {
        Kind::Map => 3,
        Kind::Array => 2,
        _ => return wrong("HELLO is not answered with a map".into()),
    };
    match hello_field(hello, b"proto") {
        Some(proto) if proto.integer() != i64::from(spoken) => wrong(format!(
            "HELLO 3 is answered in protocol {spoken}, which says it is another"
        )),
        _ => Ok(spoken),
    }
}

/// A field of HELLO's reply: a map in RESP3, a flat array in RESP2.
pub(super) fn hello_field<'a>(hello: &'a Reply, name: &[u8]) -> Option<Value<'a>> {
    if let Some(value) = hello.root().get(name) {
        return Some(value);
    }
    let mut keys = (0..hello.len()).step_by(2);
    let index = keys.find(|&i| hello.at(i).is_some_and(|key| key.data() == name))?;
    hello.at(index + 1)
}

/// The first byte of an alert: how some TLS servers answer what is not TLS. Others hang up.
const ALERT: u8 = 21;

/// What the end of a wire says of the attempt that was at `stage`.
pub(super) fn ended(error: WireError, stage: Stage) -> DialError {
    match error {
        WireError::Tls(cause) => DialError::new(Stage::Tls, cause),
        WireError::Protocol(DecodeError::UnknownType { byte: ALERT }) => Speech::Tls.unexpected(),
        error => DialError::new(stage, error.to_string()),
    }
}

/// The next reply that is not a push: none is asked for here. The errors with which a server sends a client away unasked,
/// whatever it has said, are failures.
pub(super) async fn receive(wire: &mut Wire, credentials: &Credentials, stage: Stage) -> Result<Reply, DialError> {
    loop {
        match wire.receive().await {
            Ok(reply) if reply.kind() == Kind::Push => {}
            Ok(reply) => return sent_away(&reply, credentials).map_or(Ok(reply), Err),
            Err(error) => return Err(ended(error, stage)),
        }
    }
}

fn sent_away(reply: &Reply, credentials: &Credentials) -> Option<DialError> {
    let text = reply.text();
    let is_it = reply.kind() == Kind::Error && (has_code(&text, &["DENIED"]) || text.contains("max number of clients"));
    is_it.then(|| DialError::new(Stage::Connect, tellable(&text, credentials)))
}

async fn skip(wire: &mut Wire, credentials: &Credentials, count: usize) -> Result<(), DialError> {
    for _ in 0..count {
        receive(wire, credentials, Stage::Connect).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_password_was_said_only_known_words_are_told() {
        let secret = Credentials::new(None, b"hunter2").expect("good credentials");
        let hidden = "ERR (an answer that is not told, for it may repeat the password)";
        for (said, told) in [
            ("WRONGPASS", "WRONGPASS"),
            ("NOAUTH Authentication required.", "NOAUTH Authentication required."),
            ("WRONGPASS 'hunt", "WRONGPASS (...)"),
            ("NOPERM hunter", "NOPERM (...)"),
            (
                "ERR unknown command 'AUTH', with args beginning with: 'hun",
                "ERR unknown command (...)",
            ),
            ("hunter2 is wrong", hidden),
            ("", hidden),
        ] {
            assert_eq!(tellable(said, &secret), told, "{said}");
            assert_eq!(tellable(said, &Credentials::default()), said);
        }
    }
}
