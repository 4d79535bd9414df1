//! The URL form of the options.
//!
//! `redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/database][?key=value&...]`
//!
//! A message says which part is wrong. Of the parts before the query it never repeats anything: where a password was
//! written without percent-encoding, any of them may be a piece of it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;

use super::Options;
use crate::base::error::{Error, ErrorKind, Result};
use crate::net::endpoint::split;
use crate::net::{Endpoint, Secret};

/// Where Sentinels listen unless told otherwise.
const DEFAULT_PORT: u16 = 26379;

impl Options {
    /// Adds what a URL says:
    /// `redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/database][?key=value&...]`, or
    /// `rediss+sentinel://` for TLS to the nodes and the Sentinels.
    ///
    /// The default port is 26379. All parts but the ports are percent-decoded, and the zone of an IPv6 address is written
    /// `%25eth0`; user and password are those of the data nodes. Without `/service` the options get no default service. A
    /// key in the query stands above what the scheme says. The error never repeats the URL.
    pub fn parse_url(&mut self, text: &str) -> Result<()> {
        let mut changed = self.clone();
        apply(&mut changed, text)?;
        *self = changed;
        Ok(())
    }
}

/// Writes what the URL says into `options`, which are to be thrown away when it fails.
fn apply(options: &mut Options, url: &str) -> Result<()> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(bad("it contains a space or control character"));
    }
    if url.contains('#') {
        return Err(bad("it contains '#', which is written %23"));
    }
    let rest = scheme(options, url)?;
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, None), |(authority, path)| (authority, Some(path)));
    if [path, query].into_iter().flatten().any(|part| part.contains('@')) {
        return Err(bad(
            "an '@' stands after the hosts: '/', '?' and '@' in a user, password, service or value are \
                        written %2F, %3F and %40",
        ));
    }
    let mut given = BTreeSet::new();
    let hosts = match authority.split_once('@') {
        Some((_, hosts)) if hosts.contains('@') => {
            return Err(bad("an '@' in the user or password is written %40"));
        }
        Some((login, hosts)) => {
            credentials(options, login, &mut given)?;
            hosts
        }
        None => authority,
    };
    sentinels(options, hosts)?;
    path.map_or(Ok(()), |path| service(options, path, &mut given))?;
    query.map_or(Ok(()), |query| values(options, query, &mut given))
}

fn bad(problem: impl Into<String>) -> Error {
    Error::invalid("url", problem)
}

fn scheme<'a>(options: &mut Options, url: &'a str) -> Result<&'a str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let tls = if scheme.eq_ignore_ascii_case("redis+sentinel") {
        false
    } else if scheme.eq_ignore_ascii_case("rediss+sentinel") {
        true
    } else {
        return Err(bad("it does not start with redis+sentinel:// or rediss+sentinel://"));
    };
    if tls {
        options.set_int("tls", 1)?;
        options.set_int("sentinel.tls", 1)?;
    }
    Ok(rest)
}

fn credentials(options: &mut Options, login: &str, given: &mut BTreeSet<String>) -> Result<()> {
    let (user, password) = login
        .split_once(':')
        .map_or((login, None), |(user, password)| (user, Some(password)));
    if !user.is_empty() {
        options
            .set("username", &decode_text(user, "the user")?)
            .map_err(|error| name_url(error, "the user"))?;
        given.insert("username".into());
    }
    if let Some(password) = password {
        let password = decode_secret(password, "the password")?;
        options
            .set_secret("password", password.as_bytes())
            .map_err(|error| name_url(error, "the password"))?;
        given.insert("password".into());
    }
    Ok(())
}

fn sentinels(options: &mut Options, hosts: &str) -> Result<()> {
    for (index, host) in hosts.split(',').enumerate() {
        let place = |problem: &str| bad(format!("Sentinel {}: {problem}", index + 1));
        // Unbracketed, the last group of an IPv6 address may be meant as the port.
        if !host.starts_with('[') && host.matches(':').count() > 1 {
            return Err(place("more than one colon: an IPv6 address stands in brackets"));
        }
        let (host, port) = split(host).map_err(|problem| place(&problem))?;
        let host = decode_host(host, &format!("Sentinel {}", index + 1))?;
        let sentinel = Endpoint::of_parts(&host, port, Some(DEFAULT_PORT));
        options.add_endpoint(sentinel.map_err(|problem| place(&problem))?);
    }
    Ok(())
}

/// A host as it is meant. The zone of an address stands behind %25 (RFC 6874); behind a bare % it is taken as it is.
fn decode_host<'a>(host: &'a str, place: &str) -> Result<Cow<'a, str>> {
    if !host.starts_with('[') {
        return decode_text(host, place);
    }
    match host.split_once('%') {
        Some((address, rest)) => match rest.strip_prefix("25") {
            Some(zone) => Ok(format!("{address}%{}", decode_text(zone, place)?).into()),
            None => Ok(host.into()),
        },
        None => Ok(host.into()),
    }
}

fn service(options: &mut Options, path: &str, given: &mut BTreeSet<String>) -> Result<()> {
    let (service, database) = path
        .split_once('/')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let service = decode_text(service, "the service")?;
    match (service.is_empty(), database) {
        (true, None | Some("")) => return Ok(()),
        (true, Some(_)) => return Err(bad("the service before the database is empty")),
        (false, _) if service.chars().any(char::is_control) => {
            return Err(bad("the service contains a control character"));
        }
        (false, _) => options.service = Some(service.into_owned()),
    }
    let Some(database) = database.filter(|database| !database.is_empty()) else {
        return Ok(());
    };
    if database.contains('/') {
        return Err(bad(
            "more than the service and the database stand between the hosts and the query",
        ));
    }
    let key = super::keys::find("database")?;
    let set = options.set(key.name, database);
    set.map_err(|_| bad(format!("the database is not {}", key.takes())))?;
    given.insert("database".into());
    Ok(())
}

fn values(options: &mut Options, query: &str, given: &mut BTreeSet<String>) -> Result<()> {
    if query.is_empty() {
        return Ok(());
    }
    for (index, pair) in query.split('&').enumerate() {
        let place = format!("entry {} of the query", index + 1);
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| bad(format!("{place} is not of the form key=value")))?;
        let key = decode_text(key, &place)?;
        let set = match super::keys::find(&key)?.kind {
            super::Kind::Secret => options.set_secret(&key, decode_secret(value, &place)?.as_bytes()),
            _ => options.set(&key, &decode_text(value, &place)?),
        };
        set.map_err(|error| name_url(error, &place))?;
        if !given.insert(key.into_owned()) {
            return Err(bad(format!("{place} gives a key that is given before")));
        }
    }
    Ok(())
}

/// The error of a key as one of the URL: it keeps naming the key, which names what it takes.
fn name_url(error: Error, place: &str) -> Error {
    match error.kind() {
        ErrorKind::InvalidArgument { argument, problem } => bad(format!("{place}: {argument}: {problem}")),
        _ => error,
    }
}

/// Refuses a `%` that no two hexadecimal digits follow; the decoder would pass it through.
fn check_escapes(text: &str, place: &str) -> Result<()> {
    let escapes = text.split('%').skip(1);
    for escape in escapes {
        if !escape.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()) || escape.len() < 2 {
            return Err(bad(format!(
                "{place}: two hexadecimal digits must follow %, and % itself is written %25"
            )));
        }
    }
    Ok(())
}

fn decode_text<'a>(text: &'a str, place: &str) -> Result<Cow<'a, str>> {
    check_escapes(text, place)?;
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_err(|_| {
        Error::new(ErrorKind::InvalidUtf8 {
            argument: format!("url: {place}"),
        })
    })
}

fn decode_secret(text: &str, place: &str) -> Result<Secret> {
    check_escapes(text, place)?;
    // Room for all of it at once: a vector that grows leaves pieces of the secret behind.
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend(percent_decode_str(text));
    Ok(Secret::from_bytes(bytes))
}
