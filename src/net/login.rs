//! The login in words: what is said, what a refusal is, and that nothing of it is left behind.

use zeroize::Zeroizing;

use super::dial::DialError;
use crate::error::Stage;
use crate::options::Credentials;
use crate::resp::{Reply, encode};

/// Collects commands for one write, and is wiped after it.
pub(super) struct Script {
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Script {
    /// Room for all that is ever said together: a buffer that grows leaves pieces of the password behind.
    pub(super) fn new(credentials: &Credentials, name: Option<&str>) -> Script {
        let password = credentials
            .password
            .as_ref()
            .map_or(0, |secret| secret.as_bytes().len());
        let texts = [credentials.username.as_deref(), name].into_iter().flatten();
        let room = 512 + password + texts.map(str::len).sum::<usize>();
        Script {
            bytes: Zeroizing::new(Vec::with_capacity(room)),
        }
    }

    pub(super) fn say(&mut self, args: &[&[u8]]) -> &mut Script {
        encode(&mut self.bytes, args);
        self
    }

    /// HELLO with the login in it: one command for both since Redis 6.
    pub(super) fn hello(&mut self, protocol: u8, credentials: &Credentials, name: Option<&str>) -> &mut Script {
        let version = protocol.to_string();
        let mut args: Vec<&[u8]> = vec![b"HELLO", version.as_bytes()];
        if let Some(password) = &credentials.password {
            let user = credentials.username.as_deref().unwrap_or("default");
            args.extend([b"AUTH".as_slice(), user.as_bytes(), password.as_bytes()]);
        }
        if let Some(name) = name {
            args.extend([b"SETNAME".as_slice(), name.as_bytes()]);
        }
        self.say(&args)
    }
}

/// AUTH in its old form, or with a user. False when there is no password to give.
pub(super) fn say_auth(script: &mut Script, credentials: &Credentials) -> bool {
    let Some(password) = &credentials.password else {
        return false;
    };
    match &credentials.username {
        Some(user) => script.say(&[b"AUTH", user.as_bytes(), password.as_bytes()]),
        None => script.say(&[b"AUTH", password.as_bytes()]),
    };
    true
}

/// Whether `text` begins with one of the error codes.
pub(super) fn has_code(text: &str, codes: &[&str]) -> bool {
    text.split(' ').next().is_some_and(|code| codes.contains(&code))
}

/// An error that means the login, not the command, was refused; and the errors that servers send unasked.
pub(super) fn refused_login(reply: &Reply, credentials: &Credentials) -> Result<(), DialError> {
    let text = reply.text();
    if has_code(&text, &["NOAUTH", "WRONGPASS", "NOPERM"]) || text.starts_with("ERR invalid password") {
        return Err(DialError::new(Stage::Auth, without_secret(&text, credentials)));
    }
    if has_code(&text, &["DENIED"]) || text.contains("max number of clients") {
        return Err(DialError::new(Stage::Connect, without_secret(&text, credentials)));
    }
    Ok(())
}

/// Servers quote the arguments of a command they do not know: the password must not travel on in a message.
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
