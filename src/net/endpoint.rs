//! Where a Sentinel or node listens, and the map from addresses as they are announced to addresses that can be reached.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

/// The host name or IP address and the port of a Sentinel or node.
///
/// Two endpoints are equal when their ports are and their hosts differ at most in the case of ASCII letters, as DNS has
/// it. [`Endpoint::new`] and [`Endpoint::parse`] keep an IPv6 address in its shortest form, so that two spellings of
/// one address are equal too.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The host name or IP address, an IPv6 address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint; the host is not checked. Brackets around an IPv6 address are taken off.
    pub fn new(host: impl Into<String>, port: u16) -> Endpoint {
        let host = host.into();
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);
        match shortest_ipv6(bare) {
            Some(host) => Endpoint { host, port },
            None => Endpoint { host, port },
        }
    }

    /// Whether the host is an IP address, and no name.
    pub fn is_address(&self) -> bool {
        self.host.contains(':') || self.host.parse::<IpAddr>().is_ok()
    }

    /// Reads `host:port` or `[ipv6]:port`; with a `default_port` also `host`, `[ipv6]` and `ipv6`.
    ///
    /// The error says what is wrong without repeating `text`.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Endpoint, String> {
        let (host, port) = split(text)?;
        Endpoint::of_parts(host, port, default_port)
    }

    /// An endpoint of what [`split`] has given, or of what that means where it is written in another way.
    pub(crate) fn of_parts(host: &str, port: Option<&str>, default_port: Option<u16>) -> Result<Endpoint, String> {
        let port = match port {
            Some(digits) => parse_port(digits)?,
            None => default_port.ok_or("the port is missing")?,
        };
        check_host(host)?;
        Ok(Endpoint::new(host, port))
    }
}

/// Whether `host` can be a host name or an IP address: why not, as the error.
pub fn check_host(host: &str) -> Result<(), String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if host.is_empty() {
        return Err("the host is empty".into());
    }
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the host contains a space or control character".into());
    }
    if bare.is_some_and(|bare| shortest_ipv6(bare).is_none()) {
        return Err("what stands in brackets is not an IPv6 address".into());
    }
    if bare.is_none() && host.contains(':') && shortest_ipv6(host).is_none() {
        return Err("the host contains a colon but is not an IPv6 address".into());
    }
    match host.chars().find(|c| bare.is_none() && "[]/\\@?#,=\"".contains(*c)) {
        Some(stray) => Err(format!("the host contains '{stray}'")),
        None => Ok(()),
    }
}

/// Host and port as they are written: brackets stay on the host.
pub(crate) fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or("the bracket of the IPv6 address is not closed")?;
        let (host, rest) = text
            .split_at_checked(end + 1)
            .ok_or("the bracket of the IPv6 address is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("only a colon and the port may follow the IPv6 address".into()),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        // Without brackets the last group of an IPv6 address cannot be told from a port.
        Some(_) if shortest_ipv6(text).is_some() => Ok((text, None)),
        Some(_) => Err("more than one colon: an IPv6 address with a port is written [address]:port".into()),
    }
}

fn parse_port(digits: &str) -> Result<u16, String> {
    let port = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match port.and_then(|digits| digits.parse().ok()) {
        Some(0) | None => Err("the port is not a number from 1 to 65535".into()),
        Some(port) => Ok(port),
    }
}

/// The shortest form of an IPv6 address, its zone (`%eth0`) kept; `None` for everything else.
fn shortest_ipv6(text: &str) -> Option<String> {
    match text.split_once('%') {
        None => text.parse::<Ipv6Addr>().ok().map(|address| address.to_string()),
        Some((_, "")) => None,
        Some((address, zone)) => address
            .parse::<Ipv6Addr>()
            .ok()
            .map(|address| format!("{address}%{zone}")),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Endpoint) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.host
            .bytes()
            .for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
        state.write_u8(0xff); // in no UTF-8 text: ends the host
        state.write_u16(self.port);
    }
}

impl Ord for Endpoint {
    fn cmp(&self, other: &Endpoint) -> Ordering {
        let folded = |endpoint: &Endpoint| endpoint.host.to_ascii_lowercase();
        folded(self).cmp(&folded(other)).then(self.port.cmp(&other.port))
    }
}

impl PartialOrd for Endpoint {
    fn partial_cmp(&self, other: &Endpoint) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<(IpAddr, u16)> for Endpoint {
    fn from((address, port): (IpAddr, u16)) -> Endpoint {
        Endpoint {
            host: address.to_string(),
            port,
        }
    }
}

/// From addresses as Sentinels announce them to addresses that can be reached from here: the option `address.map`.
///
/// Applied once to every address learnt; a target is not mapped again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressMap {
    targets: HashMap<Endpoint, Endpoint>,
    tls_names: HashMap<Endpoint, String>,
}

impl AddressMap {
    /// Reads `from_host:port=to_host:port,...`, where a target may end in `#name`: the name to verify in its
    /// certificate. Empty text is the empty map. The error names the entry.
    pub fn parse(text: &str) -> Result<AddressMap, String> {
        let mut map = AddressMap::default();
        if text.is_empty() {
            return Ok(map);
        }
        for (index, entry) in text.split(',').enumerate() {
            map.add(entry)
                .map_err(|problem| format!("entry {}: {problem}", index + 1))?;
        }
        Ok(map)
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        let (from, to) = entry
            .split_once('=')
            .ok_or("it is not of the form from_host:port=to_host:port")?;
        let (to, name) = to.split_once('#').map_or((to, None), |(to, name)| (to, Some(name)));
        let from = Endpoint::parse(from, None).map_err(|problem| format!("on the left {problem}"))?;
        let to = Endpoint::parse(to, None).map_err(|problem| format!("on the right {problem}"))?;
        if let Some(name) = name {
            check_host(name).map_err(|_| "what follows # is not a host name")?;
            if self
                .tls_names
                .insert(to.clone(), name.to_owned())
                .is_some_and(|before| before != name)
            {
                return Err(format!("{to} has two names"));
            }
        }
        match self.targets.get(&from) {
            Some(before) if *before != to => Err(format!("{from} is mapped twice")),
            _ => {
                self.targets.insert(from, to);
                Ok(())
            }
        }
    }

    /// The address to connect to for an address as announced: itself when the map does not name it.
    pub fn map(&self, announced: Endpoint) -> Endpoint {
        self.targets.get(&announced).cloned().unwrap_or(announced)
    }

    /// The name to verify in the certificate of an address that [`AddressMap::map`] returned, where one was given.
    pub fn tls_name(&self, target: &Endpoint) -> Option<&str> {
        self.tls_names.get(target).map(String::as_str)
    }

    /// Whether it maps nothing.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        Endpoint::parse(text, None).map(|endpoint| endpoint.to_string())
    }

    #[test]
    fn reads_and_shows_hosts_and_ports() {
        for (text, shown) in [
            ("redis-1:6379", "redis-1:6379"),
            ("Redis.Example:1", "Redis.Example:1"),
            ("10.0.0.2:65535", "10.0.0.2:65535"),
            ("[::1]:6379", "[::1]:6379"),
            ("[2001:DB8:0:0::1]:26379", "[2001:db8::1]:26379"),
            ("[fe80::1%eth0]:6379", "[fe80::1%eth0]:6379"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(shown), "{text}");
        }
        for (text, shown) in [
            ("redis-1", "redis-1:7"),
            ("[::1]", "[::1]:7"),
            ("0:0::1", "[::1]:7"),
            ("a:9", "a:9"),
        ] {
            let endpoint = Endpoint::parse(text, Some(7));
            assert_eq!(
                endpoint.map(|endpoint| endpoint.to_string()).as_deref(),
                Ok(shown),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_endpoint() {
        for (text, problem) in [
            ("", "port is missing"),
            (":6379", "host is empty"),
            ("host", "port is missing"),
            ("::1", "port is missing"),
            ("host:", "not a number from 1 to 65535"),
            ("host:0", "not a number from 1 to 65535"),
            ("host:65536", "not a number from 1 to 65535"),
            ("host:+1", "not a number from 1 to 65535"),
            ("host: 1", "not a number from 1 to 65535"),
            ("[::1]", "port is missing"),
            ("[::1:6379", "not closed"),
            ("[::1]6379", "only a colon"),
            ("[host]:6379", "not an IPv6 address"),
            ("[]:6379", "not an IPv6 address"),
            ("[fe80::1%]:1", "not an IPv6 address"),
            ("a:b:1", "more than one colon"),
            ("a b:1", "space or control"),
            ("a\n:1", "space or control"),
            ("a@b:1", "contains '@'"),
            ("a/b:1", "contains '/'"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn equality_ignores_case_and_spelling() {
        let hash = |endpoint: &Endpoint| {
            let mut state = std::hash::DefaultHasher::new();
            endpoint.hash(&mut state);
            state.finish()
        };
        let (upper, lower) = (Endpoint::new("Redis-1", 6379), Endpoint::new("redis-1", 6379));
        assert_eq!(upper, lower);
        assert_eq!(hash(&upper), hash(&lower));
        assert_eq!(upper.cmp(&lower), Ordering::Equal);
        assert_eq!(upper.host, "Redis-1");
        assert_ne!(lower, Endpoint::new("redis-1", 6380));
        assert_eq!(Endpoint::new("0:0::1", 1), Endpoint::new("[::1]", 1));
        assert!(Endpoint::new("a", 2) < Endpoint::new("B", 1));
        assert_eq!(
            Endpoint::from((IpAddr::from([127, 0, 0, 1]), 1)).to_string(),
            "127.0.0.1:1"
        );
    }

    #[test]
    fn maps_what_it_names_and_nothing_else() {
        let map = AddressMap::parse("10.0.0.1:6379=nat:7001,DB-2:6379=[::1]:7002#db2.example,nat:7001=loop:1")
            .expect("the map is well-formed");
        let mapped = |host: &str, port| map.map(Endpoint::new(host, port)).to_string();
        assert_eq!(mapped("10.0.0.1", 6379), "nat:7001");
        assert_eq!(mapped("db-2", 6379), "[::1]:7002");
        assert_eq!(mapped("db-2", 6380), "db-2:6380");
        assert_eq!(map.tls_name(&Endpoint::new("0::1", 7002)), Some("db2.example"));
        assert_eq!(map.tls_name(&Endpoint::new("nat", 7001)), None);
        assert!(!map.is_empty());
        assert!(AddressMap::parse("").is_ok_and(|map| map.is_empty()));
    }

    #[test]
    fn refuses_a_map_it_cannot_follow() {
        for (text, problem) in [
            (",", "entry 1: it is not of the form"),
            ("a:1=b:2,", "entry 2: it is not of the form"),
            ("a:1", "entry 1: it is not of the form"),
            ("a=b:2", "entry 1: on the left the port is missing"),
            ("a:1=b", "entry 1: on the right the port is missing"),
            ("a:1=b:0", "entry 1: on the right the port is not"),
            ("a:1=b:2, c:1=d:1", "entry 2: on the left the host contains a space"),
            ("a:1=b:2=c:3", "entry 1: on the right more than one colon"),
            ("a:1=b:2#", "entry 1: what follows #"),
            ("a:1=b:2,A:1=c:3", "entry 2: A:1 is mapped twice"),
            ("a:1=c:2#x,b:1=c:2#y", "entry 2: c:2 has two names"),
        ] {
            let error = AddressMap::parse(text).expect_err(text);
            assert!(error.starts_with(problem), "{text}: {error}");
        }
    }
}
