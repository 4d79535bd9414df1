//! What a replica says of the primary that it follows, and of the link to it: its own word, which is never older than the
//! question.

use std::time::Duration;

use super::Endpoint;
use super::role::Role;
use super::wire::{Wire, WireError};
use crate::resp::{Kind, Reply, control};

/// How the link of a replica to its primary stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// What the primary does arrives.
    Up,
    /// Nothing has arrived for so long; `None` where the node does not tell how long.
    Down(Option<Duration>),
    /// It was not in sync since it began to follow a primary: it holds nothing, or what nobody knows the age of.
    Never,
}

/// A replica's word of whom it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// The primary, by the address under which the replica itself knows it.
    pub primary: Endpoint,
    /// The link to it.
    pub link: Link,
}

/// What a node says of its part in a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its role; `None` where it does not tell.
    pub role: Option<Role>,
    /// Of a replica: whom it follows.
    pub following: Option<Following>,
}

impl Part {
    /// ROLE of a replica: `slave`, host, port, state, offset. Only in state `connected` it follows its primary. In the
    /// others (`connect`, `connecting`, `sync`) it answers with whatever it had: how old that is, INFO tells. While it
    /// loads what it was sent it says so in PING.
    pub(super) async fn told(wire: &mut Wire, reply: &Reply) -> Result<Part, WireError> {
        let role = reply.at(0).and_then(|name| role_named(name.data()));
        let port = reply.at(2).and_then(|port| u16::try_from(port.integer()).ok());
        let (Some(Role::Replica), Some(host), Some(port), Some(state)) = (role, reply.at(1), port, reply.at(3)) else {
            return Ok(Part { role, following: None });
        };
        let link = match state.data() {
            b"connected" => Link::Up,
            _ => ask_for_how_long(wire).await?,
        };
        let primary = Endpoint::new(host.text(), port);
        let following = Some(Following { primary, link });
        Ok(Part { role, following })
    }
}

/// The role of this name.
pub(super) fn role_named(name: &[u8]) -> Option<Role> {
    match name {
        b"master" => Some(Role::Primary),
        b"slave" | b"replica" => Some(Role::Replica),
        b"sentinel" => Some(Role::Sentinel),
        _ => None,
    }
}

async fn ask_for_how_long(wire: &mut Wire) -> Result<Link, WireError> {
    wire.send(&control(&["INFO", "replication"])).await?;
    Ok(link_in(&reply(wire).await?.text()))
}

/// No server has been cut off for longer: before version 7 one that was never in sync counts from 1970.
const SINCE_EVER: u64 = 1_000_000_000;

fn link_in(info: &str) -> Link {
    let field = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name));
    if field("master_link_status:") == Some("up") {
        // It came up since ROLE was answered.
        return Link::Up;
    }
    let since = field("master_link_down_since_seconds:").and_then(|since| since.parse::<i64>().ok());
    match since.map(u64::try_from) {
        None => Link::Down(None),
        Some(Ok(seconds)) if seconds < SINCE_EVER => Link::Down(Some(Duration::from_secs(seconds))),
        Some(_) => Link::Never,
    }
}

/// Asks a node for its part, and whether it answers at all: the same two questions that end a greeting. The reply to PING.
pub async fn look(wire: &mut Wire) -> Result<(Part, Reply), WireError> {
    let mut questions = control(&["ROLE"]);
    questions.extend(control(&["PING"]));
    wire.send(&questions).await?;
    let (role, ping) = (reply(wire).await?, reply(wire).await?);
    Ok((Part::told(wire, &role).await?, ping))
}

/// Asks a primary whether it holds back writes for its own FAILOVER (6.2+: INFO, `master_failover_state`), and whether it
/// answers at all. The reply to PING.
pub async fn look_for_failover(wire: &mut Wire) -> Result<(bool, Reply), WireError> {
    let mut questions = control(&["INFO", "replication"]);
    questions.extend(control(&["PING"]));
    wire.send(&questions).await?;
    let (info, ping) = (reply(wire).await?, reply(wire).await?);
    Ok((fails_over(&info.text()), ping))
}

fn fails_over(info: &str) -> bool {
    let state = info
        .lines()
        .find_map(|line| line.strip_prefix("master_failover_state:"));
    state.is_some_and(|state| state.trim_end() != "no-failover")
}

/// The next reply that is not a push.
async fn reply(wire: &mut Wire) -> Result<Reply, WireError> {
    loop {
        let reply = wire.receive().await?;
        if reply.kind() != Kind::Push {
            return Ok(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_tells_of_its_own_failover_where_it_has_one() {
        for (info, is_one) in [
            ("role:master\r\nmaster_failover_state:no-failover\r\n", false),
            ("role:master\r\nmaster_failover_state:waiting-for-sync\r\n", true),
            ("role:master\r\nmaster_failover_state:failover-in-progress\r\n", true),
            ("role:master\r\n", false),
            ("NOPERM this user has no permissions", false),
        ] {
            assert_eq!(fails_over(info), is_one, "{info}");
        }
    }

    #[test]
    fn tells_for_how_long_a_link_has_been_down() {
        let down = |seconds| Link::Down(Some(Duration::from_secs(seconds)));
        let rows = [
            ("role:slave\r\nmaster_link_status:up\r\n", Link::Up),
            (
                "master_link_status:down\r\nmaster_link_down_since_seconds:0\r\n",
                down(0),
            ),
            (
                "master_link_status:down\r\nmaster_link_down_since_seconds:86400\r\n",
                down(86_400),
            ),
            (
                "master_link_status:down\r\nmaster_link_down_since_seconds:-1\r\n",
                Link::Never,
            ),
            (
                "master_link_status:down\r\nmaster_link_down_since_seconds:1760000000\r\n",
                Link::Never,
            ),
            ("master_link_status:down\r\n", Link::Down(None)),
            (
                "master_link_status:down\r\nmaster_link_down_since_seconds:x\r\n",
                Link::Down(None),
            ),
            (
                "NOPERM this user has no permissions to run the 'info' command",
                Link::Down(None),
            ),
            ("", Link::Down(None)),
        ];
        for (info, link) in rows {
            assert_eq!(link_in(info), link, "{info}");
        }
    }
}
