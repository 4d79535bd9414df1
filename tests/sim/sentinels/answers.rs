//! What a Sentinel of the model answers.

use super::court::{Court, NODES};
use super::{address, court};
use crate::kernel::kernel;
use crate::network::network;
use crate::node::Session;

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn pairs(pushes: bool, pairs: &[(&str, String)]) -> String {
    let head = match pushes {
        true => format!("%{}\r\n", pairs.len()),
        false => format!("*{}\r\n", 2 * pairs.len()),
    };
    let body: String = pairs.iter().map(|(name, value)| bulk(name) + &bulk(value)).collect();
    head + &body
}

/// What is published, as a subscriber gets it.
pub(super) fn message(pushes: bool, channel: &str, payload: &str) -> Vec<u8> {
    let head = if pushes { ">3\r\n" } else { "*3\r\n" };
    (head.to_owned() + &bulk("message") + &bulk(channel) + &bulk(payload)).into_bytes()
}

/// A node's host: those of ours are another network's than those of the others.
pub(super) fn host(foreign: bool, node: usize) -> String {
    format!("10.{}.0.{}", if foreign { 3 } else { 2 }, node + 1)
}

/// The answer to a command on a connection to an address, in a world of Sentinels.
pub(crate) fn answer(slot: usize, connection: usize, session: &mut Session, args: &[Vec<u8>]) -> Option<Vec<u8>> {
    let text = |place: usize| {
        args.get(place)
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .unwrap_or_default()
    };
    let name = text(0).to_ascii_uppercase();
    court(|court| {
        court.asked += 1;
        court.commands.push((kernel().now(), slot));
        if name == "HELLO" {
            court.greeted.insert(slot);
        }
        let who = court.at(slot)?;
        let pushes = session.has_pushes();
        let reply = match name.as_str() {
            "HELLO" if court.old => "-ERR unknown command `HELLO`\r\n".to_owned(),
            "HELLO" => {
                session.speaks_pushes();
                "%3\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$4\r\nmode\r\n$8\r\nsentinel\r\n"
                    .to_owned()
            }
            "CLIENT" => "+OK\r\n".to_owned(),
            "PING" if court.sentinels[who].subscribers.contains(&connection) && !pushes => {
                "*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_owned()
            }
            "PING" => "+PONG\r\n".to_owned(),
            "SUBSCRIBE" => {
                let subscribers = &mut court.sentinels[who].subscribers;
                if !subscribers.contains(&connection) {
                    subscribers.push(connection);
                }
                let head = if pushes { ">3\r\n" } else { "*3\r\n" };
                let one = |place: usize| format!("{head}{}{}:{place}\r\n", bulk("subscribe"), bulk(&text(place)));
                (1..args.len()).map(one).collect()
            }
            "SENTINEL" => court.tell(who, &text(1).to_ascii_uppercase(), pushes),
            other => panic!("a Sentinel is asked {other}"),
        };
        Some(reply.into_bytes())
    })
}

impl Court {
    fn tell(&self, who: usize, what: &str, pushes: bool) -> String {
        let sentinel = &self.sentinels[who];
        let primary = host(sentinel.foreign, sentinel.primary);
        match what {
            "MYID" => bulk(&sentinel.run_id),
            "GET-MASTER-ADDR-BY-NAME" => format!("*2\r\n{}{}", bulk(&primary), bulk("6379")),
            "MASTER" => pairs(
                pushes,
                &[
                    ("name", "s".to_owned()),
                    ("ip", primary),
                    ("port", "6379".to_owned()),
                    ("flags", "master".to_owned()),
                    ("config-epoch", sentinel.epoch.to_string()),
                ],
            ),
            "REPLICAS" => {
                let replicas = (0..NODES).filter(|node| *node != sentinel.primary);
                let listed: Vec<String> = replicas
                    .map(|node| {
                        let fields = [
                            ("ip", host(sentinel.foreign, node)),
                            ("port", "6379".to_owned()),
                            ("flags", "slave".to_owned()),
                            ("master-link-status", "ok".to_owned()),
                        ];
                        pairs(pushes, &fields)
                    })
                    .collect();
                format!("*{}\r\n{}", listed.len(), listed.concat())
            }
            "SENTINELS" => self.peers(who, pushes),
            other => panic!("a Sentinel is asked SENTINEL {other}"),
        }
    }

    fn peers(&self, who: usize, pushes: bool) -> String {
        let sentinel = &self.sentinels[who];
        let entry = |run_id: &str, ip: String, port: u16, down: bool| {
            let flags = if down {
                "s_down,sentinel,disconnected"
            } else {
                "sentinel"
            };
            let fields = [
                ("ip", ip),
                ("port", port.to_string()),
                ("runid", run_id.to_owned()),
                ("flags", flags.to_owned()),
            ];
            pairs(pushes, &fields)
        };
        let mut listed: Vec<String> = Vec::new();
        let dead = if sentinel.foreign { 0 } else { self.dead };
        for number in 0..dead {
            let ip = format!("10.9.{}.{}", number / 250, number % 250 + 1);
            listed.push(entry(&format!("d{number:039}"), ip, 26_379, true));
        }
        for (run_id, peer) in &sentinel.peers {
            let at = address(peer.slot);
            listed.push(entry(run_id, at.ip().to_string(), at.port(), peer.down));
        }
        format!("*{}\r\n{}", listed.len(), listed.concat())
    }
}
