//! What `ctl` can order, carried out.

use std::sync::Arc;
use std::time::Duration;

use sentinel_lab::{Cut, Proxy, Server, Topology};

use super::environment::Addresses;
use super::fakes::{Fakes, Lie};
use super::status;

/// For a failover, whatever timers the Sentinels have.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that orders are about.
pub(crate) struct Lab {
    pub(crate) topology: Arc<Topology>,
    pub(crate) fakes: Fakes,
    pub(crate) addresses: Addresses,
}

/// Why an order is not carried out.
pub(crate) enum Refusal {
    /// It is no order, or its words are wrong.
    Usage(String),
    /// It cannot be done now.
    Now(String),
}

type Answer = Result<String, Refusal>;

fn wrong(text: impl Into<String>) -> Refusal {
    Refusal::Usage(text.into())
}

impl Lab {
    pub(crate) fn all_nodes(&self) -> impl Iterator<Item = &Server> {
        (0..self.topology.nodes().len()).map(|index| self.topology.node(index))
    }

    pub(crate) fn all_sentinels(&self) -> impl Iterator<Item = &Server> {
        (0..self.topology.sentinels().len()).map(|index| self.topology.sentinel(index))
    }

    fn everybody(&self) -> impl Iterator<Item = &Server> {
        self.all_nodes().chain(self.all_sentinels())
    }

    /// The index of a node by the word for it.
    fn node_index(&self, word: &str) -> Option<Result<usize, Refusal>> {
        let count = self.topology.nodes().len();
        let numbered = |number: &str, list: Vec<usize>, what: &str| {
            let index: Option<usize> = number.parse().ok();
            index
                .and_then(|index| list.get(index).copied())
                .ok_or_else(|| match list.len() {
                    0 => wrong(format!("there is no {what}")),
                    len => wrong(format!("{word:?} is no {what}; they are 0 to {}", len - 1)),
                })
        };
        let all = || (0..count).collect();
        // Those that run come first.
        let replicas = || {
            let mut replicas = self.topology.replicas();
            replicas.sort_by_key(|index| self.topology.node(*index).pid().is_none());
            replicas
        };
        match (word, word.split_once('-')) {
            ("primary", _) => Some(Ok(self.topology.primary())),
            ("replica", _) => Some(numbered("0", replicas(), "replica")),
            (_, Some(("replica", number))) => Some(numbered(number, replicas(), "replica")),
            (_, Some(("node", number))) => Some(numbered(number, all(), "node")),
            _ if word.parse::<usize>().is_ok() => Some(numbered(word, all(), "node")),
            _ => self.all_nodes().position(|node| node.address() == word).map(Ok),
        }
    }

    /// A server by the word for it.
    fn target(&self, word: &str) -> Result<&Server, Refusal> {
        if let Some(found) = self.node_index(word) {
            return found.map(|index| self.topology.node(index));
        }
        let count = self.topology.sentinels().len();
        let number = match (word, word.split_once('-')) {
            ("sentinel", _) => Some("0"),
            (_, Some(("sentinel", number))) => Some(number),
            _ => None,
        };
        let server = match number {
            Some(number) => {
                let index = number.parse().ok().filter(|index| *index < count);
                let index: Option<usize> = index;
                index.map(|index| self.topology.sentinel(index))
            }
            None => self.all_sentinels().find(|sentinel| sentinel.address() == word),
        };
        server.ok_or_else(|| {
            wrong(format!(
                "no server {word:?}; there are primary, replica-N, node-0 to node-{}, sentinel-N ({count}), HOST:PORT",
                self.topology.nodes().len() - 1
            ))
        })
    }

    /// The proxy in front of a server.
    fn front(&self, word: &str) -> Result<(&Server, &Proxy), Refusal> {
        let server = self.target(word)?;
        let front = server.front();
        let front =
            front.ok_or_else(|| Refusal::Now("the servers have no proxies; start them by run --proxy".into()))?;
        Ok((server, front))
    }

    pub(crate) fn carry_out(&self, words: &[&str]) -> Answer {
        let topology = &*self.topology;
        match words {
            ["primary"] => Ok(line(topology.node(topology.primary()))),
            ["nodes"] => Ok(self.all_nodes().map(describe).collect()),
            ["sentinels"] => Ok(self.all_sentinels().map(describe).collect()),
            ["status"] => Ok(status::text(self)),
            ["status", "--json"] => Ok(status::json(self)),
            ["logs"] => Ok(self.everybody().map(Server::log_tail).collect()),
            ["logs", target] => Ok(self.target(target)?.log_tail()),
            ["cont" | "thaw"] => {
                let frozen = self.everybody().filter(|server| server.is_stopped());
                Ok(frozen.inspect(|server| server.cont()).map(line).collect())
            }
            ["restart-killed"] => {
                let dead = self.everybody().filter(|server| server.pid().is_none());
                Ok(dead.inspect(|server| server.restart()).map(line).collect())
            }
            ["fail-over"] => {
                topology.fail_over();
                Ok(String::new())
            }
            ["wait-settled"] => {
                topology.wait_for_settled();
                Ok(line(topology.node(topology.primary())))
            }
            ["wait-primary-change", old] => {
                let index = self
                    .node_index(old)
                    .unwrap_or_else(|| Err(wrong(format!("no node {old:?}"))))?;
                Ok(line(topology.node(topology.wait_for_primary_change(index, PATIENCE))))
            }
            ["kill-primary"] => self.signal("kill", "primary"),
            ["stop-primary" | "freeze-primary"] => self.signal("freeze", "primary"),
            ["pass"] => {
                self.everybody().filter_map(Server::front).for_each(Proxy::pass);
                Ok(String::new())
            }
            ["lie", fake, lie] => self.lie(fake, lie, None),
            ["lie", fake, lie, node] => self.lie(fake, lie, Some(node)),
            [verb, target, rest @ ..] if is_fault(verb) => self.fault(verb, target, rest),
            [verb, target] => match verb.strip_suffix("-sentinel") {
                Some(verb) => self.signal(verb, &format!("sentinel-{target}")),
                None => self.signal(verb, target),
            },
            _ => Err(misused(words)),
        }
    }

    /// What is done to a process.
    fn signal(&self, verb: &str, target: &str) -> Answer {
        let order: fn(&Server) = match verb {
            "kill" => Server::kill,
            "freeze" | "stop" => Server::stop,
            "thaw" | "cont" => Server::cont,
            "restart" => Server::restart,
            _ => return Err(misused(&[verb, target])),
        };
        let server = self.target(target)?;
        order(server);
        Ok(line(server))
    }

    /// What is done to the connections of a server.
    fn fault(&self, verb: &str, target: &str, rest: &[&str]) -> Answer {
        let (rest, everyone) = match rest.split_last() {
            Some((&"--all", rest)) => (rest, true),
            _ => (rest, false),
        };
        let delay = match (verb, rest) {
            ("delay", [text]) => {
                let delay = text.parse().ok().filter(|delay| *delay <= 60_000);
                Some(delay.ok_or_else(|| wrong(format!("delay: {text:?} is no number of milliseconds up to 60000")))?)
            }
            ("delay", []) => return Err(wrong("delay needs milliseconds behind the server")),
            (_, []) => None,
            (_, [word, ..]) => return Err(wrong(format!("{verb} takes no {word:?}"))),
        };
        let (server, front) = self.front(target)?;
        if verb == "pass" {
            front.pass();
            return Ok(line(server));
        }
        front.set_for_everyone(everyone);
        match verb {
            "delay" => front.delay(Duration::from_millis(delay.unwrap_or_default())),
            "cut" => front.cut_all(Cut::Reset),
            "refuse" => front.turn_away(),
            "black-hole" => front.black_hole(),
            _ => front.silence_open(),
        }
        Ok(line(server))
    }

    fn lie(&self, fake: &str, lie: &str, node: Option<&str>) -> Answer {
        let count = self.fakes.len();
        if count == 0 {
            return Err(Refusal::Now(
                "there are no Sentinels that can lie; start some by run --fake-sentinels N".into(),
            ));
        }
        let index = fake.strip_prefix("fake-").unwrap_or(fake).parse().ok();
        let index: usize = index.filter(|index| *index < count).ok_or_else(|| {
            wrong(format!(
                "no scripted Sentinel {fake:?}; they are fake-0 to fake-{}",
                count - 1
            ))
        })?;
        let lie = Lie::from(lie).map_err(Refusal::Usage)?;
        let node = match node {
            Some(_) if lie != Lie::WrongPrimary => return Err(wrong("only wrong-primary takes a node")),
            Some(word) => match self.node_index(word) {
                Some(index) => Some(index?),
                None => return Err(wrong(format!("no node {word:?}"))),
            },
            None => None,
        };
        self.fakes
            .tell(index, lie, &self.topology, node)
            .map_err(Refusal::Now)?;
        Ok(String::new())
    }
}

fn is_fault(verb: &str) -> bool {
    ["delay", "cut", "refuse", "black-hole", "half-open", "pass"].contains(&verb)
}

/// What stands behind each order.
const BEHIND: [(&str, &str); 22] = [
    ("status", "nothing but --json"),
    ("primary", "nothing"),
    ("nodes", "nothing"),
    ("sentinels", "nothing"),
    ("logs", "nothing or a SERVER"),
    ("kill", "a SERVER"),
    ("kill-primary", "nothing"),
    ("restart", "a SERVER"),
    ("restart-killed", "nothing"),
    ("freeze", "a SERVER"),
    ("stop", "a SERVER"),
    ("thaw", "nothing or a SERVER"),
    ("cont", "nothing or a SERVER"),
    ("fail-over", "nothing"),
    ("wait-settled", "nothing"),
    ("wait-primary-change", "OLD, which is HOST:PORT or node-N"),
    ("delay", "a SERVER and milliseconds"),
    ("cut", "a SERVER"),
    ("refuse", "a SERVER"),
    ("black-hole", "a SERVER"),
    ("half-open", "a SERVER"),
    ("lie", "fake-N, HOW, and perhaps a SERVER"),
];

/// Too few words, too many, or an order that there is not.
fn misused(words: &[&str]) -> Refusal {
    let order = words.first().copied().unwrap_or_default();
    let behind = BEHIND.iter().find(|(name, _)| *name == order);
    wrong(match behind {
        Some((_, behind)) => format!("behind {order} comes {behind}; see --help"),
        None => format!("no such order: {order:?}; see --help"),
    })
}

fn line(server: &Server) -> String {
    format!("{}\n", server.address())
}

/// Address, process id and state in one line.
fn describe(server: &Server) -> String {
    let state = match (server.pid(), server.is_stopped()) {
        (None, _) => "down".into(),
        (Some(pid), true) => format!("{pid} stopped"),
        (Some(pid), false) => format!("{pid} running"),
    };
    format!("{} {state}\n", server.address())
}
