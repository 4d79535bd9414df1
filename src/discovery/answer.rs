//! The replies of one Sentinel to one question, as values. Pure.

use std::rc::Rc;
use std::time::Instant;

use crate::base::error::{Attempt, Stage};
use crate::net::{AddressMap, Endpoint};
use crate::resp::{Kind, Reply, Value};
use crate::topology::{Word, field};

/// Which link of a deployment.
pub type LinkId = usize;

/// The run id of a Sentinel.
pub type RunId = Rc<str>;

/// Names and values in the order of the wire.
pub type Fields = Vec<(String, String)>;

/// How much a question asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Where the primary is: one light command.
    Address,
    /// That, and under which epoch.
    Epoch,
    /// Both, and the replicas and the other Sentinels.
    #[default]
    Lists,
}

/// An entry of SENTINELS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its run id.
    pub run_id: RunId,
    /// Where it is, after `address.map`.
    pub at: Endpoint,
    /// The one that lists it holds it to be down.
    pub down: bool,
}

/// Everything that a Sentinel said to one question about a service.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What was asked for.
    pub depth: Depth,
    /// GET-MASTER-ADDR-BY-NAME.
    pub address: Option<Address>,
    /// MASTER; empty when it was refused.
    pub primary: Fields,
    /// REPLICAS; `None` when it was refused.
    pub replicas: Option<Vec<Fields>>,
    /// SENTINELS; `None` when it was refused.
    pub peers: Option<Vec<Fields>>,
}

impl Answer {
    /// Nothing said yet to a question of this depth.
    pub fn of(depth: Depth) -> Answer {
        Answer {
            depth,
            ..Answer::default()
        }
    }

    /// Takes what was not asked for from what the same Sentinel said before.
    pub fn with_lists_of(self, before: Option<Answer>) -> Answer {
        match before {
            Some(before) if self.depth < Depth::Lists => Answer {
                replicas: before.replicas,
                peers: before.peers,
                ..self
            },
            _ => self,
        }
    }

    /// The primary that it names.
    pub fn primary_at(&self, map: &AddressMap) -> Option<Endpoint> {
        match &self.address {
            Some(Address::At(host, port)) => Some(map.map(Endpoint::new(host, *port))),
            _ => None,
        }
    }

    /// Whom the Sentinel lists as its peers: those that are known well enough to be told from others.
    pub fn entries(&self, map: &AddressMap) -> Vec<Entry> {
        let entry = |fields: &Fields| {
            Some(Entry {
                run_id: field(fields, "runid").filter(|id| !id.is_empty())?.into(),
                at: entry_endpoint(fields, map)?,
                down: has_flag(fields, "s_down") || has_flag(fields, "o_down"),
            })
        };
        self.peers.iter().flatten().filter_map(entry).collect()
    }
}

/// What GET-MASTER-ADDR-BY-NAME gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    At(String, u16),
    /// A name that Sentinel could not resolve, or port 0.
    Missing,
    /// No such service.
    Unknown,
    /// An error reply that means the login.
    Refused(String),
    /// Any other error reply, or a reply of the wrong form.
    Failed(String),
}

/// Reads the reply to GET-MASTER-ADDR-BY-NAME.
pub fn read_address(reply: &Reply) -> Address {
    match reply.kind() {
        Kind::Nil => Address::Unknown,
        Kind::Error => read_error(&reply.text()),
        Kind::Array => match (reply.at(0), reply.at(1)) {
            (Some(host), Some(port)) if reply.len() == 2 => address(&host.text(), &port.text()),
            _ => Address::Failed("the answer is not a host and a port".into()),
        },
        _ => Address::Failed("the answer is not a host and a port".into()),
    }
}

fn address(host: &str, port: &str) -> Address {
    match port.parse::<u16>() {
        Ok(port) if port != 0 && !host.is_empty() => Address::At(host.to_owned(), port),
        Ok(_) => Address::Missing,
        Err(_) => Address::Failed(format!("the answer's port is \"{port}\"")),
    }
}

fn read_error(text: &str) -> Address {
    match text.split(' ').next() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Address::Refused(text.to_owned()),
        Some("IDONTKNOW") => Address::Unknown,
        _ if text.contains("No such master") => Address::Unknown,
        _ => Address::Failed(text.to_owned()),
    }
}

/// Reads a map of names and values: a map in RESP3, a flat array in RESP2. Anything else is empty.
pub fn read_fields(value: Value<'_>) -> Fields {
    let text = |value: Option<Value<'_>>| value.map(|value| value.text().into_owned());
    match value.kind() {
        Kind::Map => (0..value.len())
            .filter_map(|i| Some((text(value.key_at(i))?, text(value.value_at(i))?)))
            .collect(),
        Kind::Array => {
            let pairs = (0..value.len()).step_by(2);
            pairs
                .filter_map(|i| Some((text(value.at(i))?, text(value.at(i + 1))?)))
                .collect()
        }
        _ => Fields::new(),
    }
}

/// So many entries of a list are read: to take apart what nobody has would hold up everybody else.
const READ: usize = 1024;

/// Reads an array of such maps; `None` when it is not one. Of a longer list than anybody has, rather those that are not
/// down: Sentinel never forgets by itself what is.
pub fn read_list(reply: &Reply) -> Option<Vec<Fields>> {
    if reply.kind() != Kind::Array {
        return None;
    }
    let up = reply
        .root()
        .elements()
        .filter(|entry| !is_down(*entry))
        .take(READ)
        .count();
    let (mut of_up, mut of_down) = (up, READ - up);
    let entries = reply.root().elements().filter(|entry| {
        let left = if is_down(*entry) { &mut of_down } else { &mut of_up };
        let kept = *left > 0;
        *left = left.saturating_sub(1);
        kept
    });
    Some(entries.map(read_fields).collect())
}

fn is_down(entry: Value<'_>) -> bool {
    let flags = match entry.kind() {
        Kind::Map => entry.get(b"flags"),
        _ => {
            let mut names = (0..entry.len()).step_by(2);
            let name = names.find(|&i| entry.at(i).is_some_and(|name| name.data() == b"flags"));
            name.and_then(|i| entry.at(i + 1))
        }
    };
    let mut flags = flags.iter().flat_map(|flags| flags.data().split(|&byte| byte == b','));
    flags.any(|flag| matches!(flag, b"s_down" | b"o_down"))
}

/// The address of an entry of REPLICAS or SENTINELS, mapped; `None` for one that is not known well enough to use.
pub fn entry_endpoint(fields: &Fields, map: &AddressMap) -> Option<Endpoint> {
    let host = field(fields, "ip").filter(|host| !host.is_empty())?;
    let port = field(fields, "port")?.parse::<u16>().ok().filter(|&port| port != 0)?;
    Some(map.map(Endpoint::new(host, port)))
}

/// Whether the comma separated `flags` hold exactly `flag`: `master` is also the beginning of `master_down`.
pub fn has_flag(fields: &Fields, flag: &str) -> bool {
    field(fields, "flags").is_some_and(|flags| flags.split(',').any(|each| each == flag))
}

/// The Sentinel's word on who is primary: the address from the first command, the epoch from the second, since the
/// leader of a failover shows the new epoch with the old address in MASTER for a second. Where an ACL refuses MASTER the
/// word has no epoch: it confirms `in_force`, the primary and the epoch in force, when it names that, and counts as the
/// oldest when it does not.
pub fn word(
    answer: &Answer,
    asked: &Endpoint,
    (map, min_peers): (&AddressMap, u32),
    before: &Word,
    in_force: Option<(&Endpoint, u64)>,
    now: Instant,
) -> Word {
    let attempt = |cause: &String| Attempt {
        endpoint: asked.to_string(),
        stage: Stage::Query,
        cause: cause.clone(),
    };
    let (host, port) = match &answer.address {
        Some(Address::At(host, port)) => (host, *port),
        Some(Address::Missing) => return Word::NoAddress,
        Some(Address::Unknown) => return Word::Unknown,
        Some(Address::Refused(cause)) => return Word::Refused(attempt(cause)),
        Some(Address::Failed(cause)) => return Word::Failed(attempt(cause)),
        None => return Word::Failed(attempt(&"no answer".to_owned())),
    };
    if let Some(peers) = known_peers(answer).filter(|&peers| peers < min_peers) {
        return Word::TooFewPeers(peers);
    }
    let primary = map.map(Endpoint::new(host, port));
    let told = field(&answer.primary, "config-epoch").and_then(|epoch| epoch.parse().ok());
    let confirms = in_force.filter(|(at, _)| **at == primary).map(|(_, epoch)| epoch);
    let epoch = told.or(confirms).unwrap_or(0);
    let since = match before {
        Word::Names {
            primary: said,
            epoch: under,
            since,
            ..
        } if *said == primary && *under == epoch => *since,
        _ => now,
    };
    Word::Names {
        primary,
        epoch,
        since,
        heard: now,
    }
}

fn known_peers(answer: &Answer) -> Option<u32> {
    let listed = answer.peers.as_ref().and_then(|peers| u32::try_from(peers.len()).ok());
    listed.or_else(|| field(&answer.primary, "num-other-sentinels")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::tests::decode;

    #[test]
    fn reads_every_form_of_an_address() {
        let rows: &[(&[u8], Address)] = &[
            (
                b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7000\r\n",
                Address::At("127.0.0.1".into(), 7000),
            ),
            (b"*2\r\n$3\r\n::1\r\n$4\r\n7000\r\n", Address::At("::1".into(), 7000)),
            (b"*-1\r\n", Address::Unknown),
            (b"_\r\n", Address::Unknown),
            (b"$-1\r\n", Address::Unknown),
            (b"-ERR No such master with that name\r\n", Address::Unknown),
            (b"-IDONTKNOW I have not enough information\r\n", Address::Unknown),
            (b"*2\r\n$0\r\n\r\n$4\r\n7000\r\n", Address::Missing),
            (b"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", Address::Missing),
            (
                b"*2\r\n$1\r\nh\r\n$5\r\n70000\r\n",
                Address::Failed("the answer's port is \"70000\"".into()),
            ),
            (
                b"*1\r\n$1\r\nh\r\n",
                Address::Failed("the answer is not a host and a port".into()),
            ),
            (
                b"+OK\r\n",
                Address::Failed("the answer is not a host and a port".into()),
            ),
            (
                b"-NOAUTH Authentication required.\r\n",
                Address::Refused("NOAUTH Authentication required.".into()),
            ),
            (b"-NOPERM no\r\n", Address::Refused("NOPERM no".into())),
            (
                b"-ERR unknown command\r\n",
                Address::Failed("ERR unknown command".into()),
            ),
        ];
        for (bytes, address) in rows {
            assert_eq!(&read_address(&decode(bytes)), address);
        }
    }

    #[test]
    fn reads_maps_of_both_protocols_alike() {
        let fields = vec![("flags".to_owned(), "slave,disconnected".to_owned())];
        let flat = decode(b"*2\r\n$5\r\nflags\r\n$18\r\nslave,disconnected\r\n");
        let map = decode(b"%1\r\n$5\r\nflags\r\n$18\r\nslave,disconnected\r\n");
        assert_eq!(read_fields(flat.root()), fields);
        assert_eq!(read_fields(map.root()), fields);
        assert!(has_flag(&fields, "slave"));
        assert!(!has_flag(&fields, "disc"));
    }

    #[test]
    fn of_a_list_that_nobody_has_those_are_read_that_are_not_down() {
        for kind in ['*', '%'] {
            let entry = |number: usize, flags: &str| {
                let port = number.to_string();
                let count = if kind == '*' { 4 } else { 2 };
                let fields = ["port", &port, "flags", flags].map(|part| format!("${}\r\n{part}\r\n", part.len()));
                format!("{kind}{count}\r\n{}", fields.concat())
            };
            let read = |flags: &dyn Fn(usize) -> &'static str| {
                let entries: String = (0..5000).map(|number| entry(number, flags(number))).collect();
                let list = read_list(&decode(format!("*5000\r\n{entries}").as_bytes())).unwrap();
                let number = |fields: &Fields| field(fields, "port").unwrap().parse::<usize>().unwrap();
                list.iter().map(number).collect::<Vec<_>>()
            };
            let few = read(&|number| if number % 1000 == 999 { "slave" } else { "s_down,slave" });
            assert_eq!(few.len(), READ);
            assert!((1..=5).all(|of| few.contains(&(of * 1000 - 1))) && few.is_sorted());
            let all: Vec<usize> = (0..READ).collect();
            assert_eq!(read(&|_| "slave"), all);
            assert_eq!(read(&|_| "slave,s_down"), all);
        }
    }

    #[test]
    fn an_entry_without_host_or_port_has_no_endpoint() {
        let map = AddressMap::default();
        let entry = |ip: &str, port: &str| vec![("ip".to_owned(), ip.to_owned()), ("port".to_owned(), port.to_owned())];
        assert_eq!(entry_endpoint(&entry("h", "1"), &map), Some(Endpoint::new("h", 1)));
        assert_eq!(entry_endpoint(&entry("", "1"), &map), None);
        assert_eq!(entry_endpoint(&entry("h", "0"), &map), None);
        assert_eq!(entry_endpoint(&entry("h", "x"), &map), None);
    }

    #[test]
    fn a_sentinel_that_knows_too_few_peers_has_no_say() {
        let mut answer = Answer {
            address: Some(Address::At("h".into(), 1)),
            ..Answer::default()
        };
        answer.primary = vec![
            ("config-epoch".into(), "7".into()),
            ("num-other-sentinels".into(), "1".into()),
        ];
        let now = Instant::now();
        let asked = Endpoint::new("s", 26379);
        let map = AddressMap::default();
        assert_eq!(
            word(&answer, &asked, (&map, 2), &Word::Asked, None, now),
            Word::TooFewPeers(1)
        );
        let named = |heard| Word::Names {
            primary: Endpoint::new("h", 1),
            epoch: 7,
            since: now,
            heard,
        };
        assert_eq!(word(&answer, &asked, (&map, 1), &Word::Asked, None, now), named(now));
        let later = now + std::time::Duration::from_secs(1);
        assert_eq!(
            word(&answer, &asked, (&map, 1), &named(now), None, later),
            named(later),
            "the same word keeps its age"
        );
    }

    #[test]
    fn a_word_without_an_epoch_confirms_what_is_in_force_and_else_is_the_oldest() {
        let (now, map) = (Instant::now(), AddressMap::default());
        let (asked, h, other) = (Endpoint::new("s", 26379), Endpoint::new("h", 1), Endpoint::new("o", 1));
        let epoch = |told: Option<&str>, in_force: Option<(&Endpoint, u64)>| {
            let primary = told.map(|told| ("config-epoch".to_owned(), told.to_owned()));
            let answer = Answer {
                address: Some(Address::At("h".into(), 1)),
                primary: primary.into_iter().collect(),
                ..Answer::default()
            };
            match word(&answer, &asked, (&map, 0), &Word::Asked, in_force, now) {
                Word::Names { epoch, .. } => epoch,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(epoch(None, None), 0);
        assert_eq!(epoch(None, Some((&h, 7))), 7);
        assert_eq!(epoch(None, Some((&other, 7))), 0);
        assert_eq!(epoch(Some("x"), Some((&h, 7))), 7);
        assert_eq!(epoch(Some("3"), Some((&h, 7))), 3, "what it tells counts");
    }
}
