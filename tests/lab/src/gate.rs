//! What scripted sentinels and nodes do alike: the handshake, passwords, PING and CLIENT.

use crate::session::Session;

/// The conditions under which a client is let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) resp2_only: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// The arguments as text, the first in capitals.
pub(crate) fn words(args: &[Vec<u8>]) -> Vec<String> {
    let mut words: Vec<String> = args
        .iter()
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    if let Some(name) = words.first_mut() {
        name.make_ascii_uppercase();
    }
    words
}

impl Gate {
    /// Handles HELLO, AUTH, PING, CLIENT and every command of a client that has not given the password. `fields` are the
    /// entries of HELLO's reply that tell one kind of server from another. Returns whether the command has its reply.
    pub(crate) fn handle(&self, session: &mut Session, args: &[Vec<u8>], fields: &[(&str, &str)]) -> bool {
        let words = words(args);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["HELLO", ..] if self.resp2_only => session.error("ERR unknown command 'HELLO'"),
            ["HELLO", rest @ ..] => self.hello(session, rest, fields),
            ["AUTH", password] => self.auth(session, None, password),
            ["AUTH", user, password] => self.auth(session, Some(user), password),
            _ if self.password.is_some() && !session.is_authenticated() => {
                session.error("NOAUTH Authentication required.");
            }
            ["PING"] if !session.is_subscribed() || session.is_resp3() => session.status("PONG"),
            ["PING", text] => session.bulk(text),
            ["CLIENT", verb, ..] if verb.eq_ignore_ascii_case("ID") => session.int(session.id() as i64 + 1),
            ["CLIENT", verb, ..] if self.resp2_only && verb.eq_ignore_ascii_case("SETINFO") => {
                session.error("ERR Unknown subcommand or wrong number of arguments for 'SETINFO'. Try CLIENT HELP");
            }
            ["CLIENT", ..] => session.ok(),
            _ => return false,
        }
        true
    }

    fn lets_in(&self, user: Option<&str>, password: &str) -> bool {
        let user = user.filter(|user| *user != "default");
        self.user.as_deref() == user && self.password.as_deref().is_none_or(|expected| expected == password)
    }

    fn auth(&self, session: &mut Session, user: Option<&str>, password: &str) {
        if self.password.is_none() && user.is_none() {
            session.error("ERR AUTH <password> called without any password configured for the default user.");
        } else if self.lets_in(user, password) {
            session.set_authenticated();
            session.ok();
        } else {
            session.error("WRONGPASS invalid username-password pair or user is disabled.");
        }
    }

    fn hello(&self, session: &mut Session, rest: &[&str], fields: &[(&str, &str)]) {
        let credentials = rest.windows(3).find(|three| three[0].eq_ignore_ascii_case("AUTH"));
        if let Some(three) = credentials {
            if !self.lets_in(Some(three[1]), three[2]) {
                return session.error("WRONGPASS invalid username-password pair or user is disabled.");
            }
            session.set_authenticated();
        }
        if self.password.is_some() && !session.is_authenticated() {
            return session.error("NOAUTH HELLO must be called with the client already authenticated");
        }
        match rest.first() {
            Some(&"3") => session.set_resp3(true),
            Some(&"2") => session.set_resp3(false),
            None => {}
            Some(_) => return session.error("NOPROTO unsupported protocol version"),
        }
        let mut out = Vec::new();
        let proto = if session.is_resp3() { 3 } else { 2 };
        let head = if session.is_resp3() { '%' } else { '*' };
        let count = (5 + fields.len()) * if session.is_resp3() { 1 } else { 2 };
        crate::wire::put_head(&mut out, head, count);
        let text = |out: &mut Vec<u8>, text: &str| crate::wire::put_bulk(out, text.as_bytes());
        for (name, value) in [("server", "redis"), ("version", "7.0.15")].iter().chain(fields) {
            text(&mut out, name);
            text(&mut out, value);
        }
        for (name, number) in [("proto", proto), ("id", session.id() + 1)] {
            text(&mut out, name);
            out.extend_from_slice(format!(":{number}\r\n").as_bytes());
        }
        text(&mut out, "modules");
        out.extend_from_slice(b"*0\r\n");
        session.send(out);
    }
}
