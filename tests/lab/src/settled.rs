//! Whether a topology has come to rest: what its nodes and its sentinels say, held against each other.

use std::time::Duration;

use crate::client::Control;
use crate::server::Server;
use crate::wire::Value;

/// How long one answer may take.
pub(crate) const ASK_WITHIN: Duration = Duration::from_millis(500);

/// The servers that run, seen from the primary that is named.
pub(crate) struct Scene<'a> {
    primary: &'a Server,
    replicas: Vec<&'a Server>,
    sentinels: Vec<&'a Server>,
}

impl<'a> Scene<'a> {
    /// Nothing when the primary does not run.
    pub(crate) fn under(primary: usize, nodes: &'a [Server], sentinels: &'a [Server]) -> Option<Scene<'a>> {
        let others = nodes
            .iter()
            .enumerate()
            .filter(|(index, node)| *index != primary && node.is_responsive());
        let replicas = others.map(|(_, node)| node).collect();
        let sentinels = sentinels.iter().filter(|sentinel| sentinel.is_responsive()).collect();
        let primary = nodes[primary].is_responsive().then_some(&nodes[primary])?;
        Some(Scene {
            primary,
            replicas,
            sentinels,
        })
    }

    /// The first node that is not what it should be.
    pub(crate) fn node_out_of_step(&self) -> Option<String> {
        let port = self.primary.port().to_string();
        let primary = lines_lacking(self.primary, |line| {
            let online = line.iter().filter(|line| line.contains("state=online")).count();
            line.contains(&"role:master") && online >= self.replicas.len()
        });
        let from = format!("master_port:{port}");
        let replica = |node: &&Server| {
            lines_lacking(node, |line| {
                ["role:slave", from.as_str(), "master_link_status:up"]
                    .iter()
                    .all(|wanted| line.contains(wanted))
            })
        };
        primary.or_else(|| self.replicas.iter().find_map(replica))
    }

    /// The first sentinel that sees something else, and what.
    pub(crate) fn objection(&self, service: &str) -> Option<String> {
        self.sentinels.iter().find_map(|sentinel| {
            let opinion = match sentinel.connect(ASK_WITHIN) {
                Ok(mut control) => self.opinion(sentinel, &mut control, service),
                Err(error) => Err(format!("refuses: {error}")),
            };
            opinion
                .err()
                .map(|objection| format!("the sentinel on {} {objection}", sentinel.address()))
        })
    }

    fn opinion(&self, own: &Server, control: &mut Control, service: &str) -> Result<(), String> {
        let mut ask = |what: &str| {
            control
                .try_ask(&["SENTINEL", what, service])
                .map_err(|error| format!("does not answer {what}: {error}"))
        };
        let (primary, replicas, sentinels) = (ask("MASTER")?, ask("REPLICAS")?, ask("SENTINELS")?);
        let port = self.primary.port().to_string();
        if !has(
            &primary,
            &[("port", &port), ("flags", "master"), ("role-reported", "master")],
        ) {
            return Err(format!("has another view of the primary: {:?}", primary.as_pairs()));
        }
        // A sentinel that has not seen a demotion yet would undo the next promotion, hence role-reported.
        let expected = [
            ("flags", "slave"),
            ("role-reported", "slave"),
            ("master-link-status", "ok"),
        ];
        for node in &self.replicas {
            let entry = entry_of(&replicas, node).filter(|entry| has(entry, &expected));
            if !entry.is_some_and(|entry| has(entry, &[("master-port", &port)])) {
                return Err(format!("does not see a replica in order on {}", node.address()));
            }
        }
        for peer in self.sentinels.iter().filter(|peer| peer.port() != own.port()) {
            if !entry_of(&sentinels, peer).is_some_and(|entry| has(entry, &[("flags", "sentinel")])) {
                return Err(format!("does not see the sentinel on {}", peer.address()));
            }
        }
        let quorum = ask("CKQUORUM")?;
        if quorum.is_error() {
            Err(format!("says {}", quorum.as_text()))
        } else {
            Ok(())
        }
    }
}

/// The node's INFO when its lines are not as `wanted`, or why there is none.
fn lines_lacking(node: &Server, wanted: impl Fn(&[&str]) -> bool) -> Option<String> {
    let info = match node.try_ask(ASK_WITHIN, &["INFO", "replication"]) {
        Ok(info) => info.as_text(),
        Err(error) => return Some(format!("the node on {} does not answer: {error}", node.address())),
    };
    let lines: Vec<&str> = info.lines().collect();
    (!wanted(&lines)).then(|| format!("the node on {} is not in step: {info}", node.address()))
}

fn has(entry: &Value, fields: &[(&str, &str)]) -> bool {
    fields.iter().all(|(name, text)| entry.field(name) == *text)
}

/// The entry with a server's port in a list of REPLICAS or SENTINELS.
fn entry_of<'a>(list: &'a Value, server: &Server) -> Option<&'a Value> {
    let port = server.port().to_string();
    list.as_items().iter().find(|entry| entry.field("port") == port)
}
