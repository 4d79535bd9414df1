//! A scripted data node: a role, a map of keys, and whatever the test answers in its place.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::gate::{Gate, words};
use crate::peer::Peer;
use crate::session::Session;

/// What a scripted node says it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// A primary, on the wire `master`.
    Primary,
    /// A replica of this host and port, with the state that ROLE gives: `connect`, `connecting`, `sync`, `connected`.
    Replica(String, u16, String),
}

/// All that a scripted node is and holds; a test changes it at any time through [`FakeNode::edit`].
#[derive(Clone, Debug)]
pub struct NodeView {
    /// What it says it is; a replica refuses writes with READONLY.
    pub role: Role,
    /// The keys.
    pub data: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether commands other than HELLO, AUTH, CLIENT, SELECT, ROLE and INFO get `-LOADING`.
    pub loading: bool,
    /// The `run_id` of INFO.
    pub run_id: String,
    /// The replication offset of ROLE and INFO.
    pub offset: u64,
    /// For how many seconds the link to its primary has been down, where INFO tells; -1: it has never been up.
    pub link_down_seconds: Option<i64>,
}

type Override = Box<dyn Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync>;

/// Options of a [`FakeNode`].
pub struct FakeNodeBuilder {
    view: NodeView,
    gate: Gate,
    override_with: Option<Override>,
}

impl FakeNodeBuilder {
    /// Answers HELLO with an error, as Redis 5 does.
    pub fn resp2_only(mut self) -> FakeNodeBuilder {
        self.gate.resp2_only = true;
        self
    }

    /// Wants this password.
    pub fn password(mut self, password: &str) -> FakeNodeBuilder {
        self.gate.password = Some(password.into());
        self
    }

    /// Wants this user and password.
    pub fn user(mut self, user: &str, password: &str) -> FakeNodeBuilder {
        self.gate.user = Some(user.into());
        self.password(password)
    }

    /// Starts as a replica, connected to a primary on this port of 127.0.0.1.
    pub fn replica_of(mut self, primary: u16) -> FakeNodeBuilder {
        self.view.role = Role::Replica("127.0.0.1".into(), primary, "connected".into());
        self
    }

    /// Calls `handler` first for each command; where it returns true, it has sent the reply itself.
    pub fn on(mut self, handler: impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync + 'static) -> FakeNodeBuilder {
        self.override_with = Some(Box::new(handler));
        self
    }

    /// Starts to listen.
    pub fn start(self) -> FakeNode {
        let FakeNodeBuilder {
            view,
            gate,
            override_with,
        } = self;
        let view = Arc::new(Mutex::new(view));
        let held = view.clone();
        let peer = Peer::start(move |session, args| {
            if override_with.as_ref().is_some_and(|handler| handler(session, args)) {
                return;
            }
            answer(
                session,
                args,
                &gate,
                &mut held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
            );
        });
        FakeNode { peer, view }
    }
}

/// A scripted data node. All of [`Peer`] works on it: `commands`, `connections`, `refuse`, `cut_all`, ...
pub struct FakeNode {
    peer: Peer,
    view: Arc<Mutex<NodeView>>,
}

impl FakeNode {
    /// A primary without keys and passwords.
    pub fn builder() -> FakeNodeBuilder {
        let view = NodeView {
            role: Role::Primary,
            data: BTreeMap::new(),
            loading: false,
            run_id: format!("{:040x}", 1),
            offset: 1000,
            link_down_seconds: None,
        };
        FakeNodeBuilder {
            view,
            gate: Gate::default(),
            override_with: None,
        }
    }

    /// A primary, started at once.
    pub fn start() -> FakeNode {
        FakeNode::builder().start()
    }

    /// Changes what it is or holds.
    pub fn edit<T>(&self, change: impl FnOnce(&mut NodeView) -> T) -> T {
        change(&mut self.view.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Changes what it says it is. Open connections stay; a real node closes them ([`Peer::cut_all`]).
    pub fn set_role(&self, role: Role) {
        self.edit(|view| view.role = role);
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.edit(|view| view.data.get(key.as_bytes()).cloned())
    }
}

impl Deref for FakeNode {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

fn answer(session: &mut Session, args: &[Vec<u8>], gate: &Gate, view: &mut NodeView) {
    let words = words(args);
    let role = if view.role == Role::Primary {
        "master"
    } else {
        "replica"
    };
    let exempt = ["HELLO", "AUTH", "CLIENT", "SELECT", "ROLE", "INFO"];
    let let_in = gate.password.is_none() || session.is_authenticated();
    if view.loading && let_in && !exempt.contains(&words[0].as_str()) {
        return session.error("LOADING Redis is loading the dataset in memory");
    }
    if gate.handle(session, args, &[("mode", "standalone"), ("role", role)]) || session.handle_pubsub(args) {
        return;
    }
    match words[0].as_str() {
        "SELECT" => select(session, &words),
        "ROLE" => answer_role(session, view),
        "INFO" => session.bulk(info(view)),
        "ECHO" if args.len() == 2 => session.bulk(&args[1]),
        "READONLY" | "READWRITE" => session.ok(),
        "WAIT" => session.int(0),
        "GET" if args.len() == 2 => match view.data.get(&args[1]) {
            Some(value) => session.bulk(value),
            None => session.nil(),
        },
        "EXISTS" => session.int(args[1..].iter().filter(|key| view.data.contains_key(*key)).count() as i64),
        "SET" | "DEL" | "INCR" if view.role != Role::Primary => {
            session.error("READONLY You can't write against a read only replica.");
        }
        "SET" if args.len() >= 3 => {
            view.data.insert(args[1].clone(), args[2].clone());
            session.ok();
        }
        "DEL" => session.int(args[1..].iter().filter(|key| view.data.remove(*key).is_some()).count() as i64),
        "INCR" if args.len() == 2 => increment(session, &args[1], view),
        name => session.error(&format!("ERR unknown command '{name}', with args beginning with: ")),
    }
}

fn select(session: &mut Session, words: &[String]) {
    match words
        .get(1)
        .and_then(|index| index.parse::<u8>().ok())
        .filter(|index| *index < 16)
    {
        Some(index) => {
            session.set_database(index);
            session.ok();
        }
        None => session.error("ERR DB index is out of range"),
    }
}

fn increment(session: &mut Session, key: &[u8], view: &mut NodeView) {
    let old = view
        .data
        .get(key)
        .map_or(Some(0), |value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
    match old {
        Some(old) => {
            view.data.insert(key.to_vec(), (old + 1).to_string().into_bytes());
            session.int(old + 1);
        }
        None => session.error("ERR value is not an integer or out of range"),
    }
}

fn answer_role(session: &mut Session, view: &NodeView) {
    let offset = view.offset;
    match &view.role {
        Role::Primary => session.send(format!("*3\r\n$6\r\nmaster\r\n:{offset}\r\n*0\r\n")),
        Role::Replica(host, port, state) => {
            let (host_length, state_length) = (host.len(), state.len());
            session.send(format!(
                "*5\r\n$5\r\nslave\r\n${host_length}\r\n{host}\r\n:{port}\r\n${state_length}\r\n{state}\r\n:{offset}\r\n"
            ));
        }
    }
}

fn info(view: &NodeView) -> String {
    let NodeView { run_id, offset, .. } = view;
    let server = format!("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:{run_id}\r\n");
    let loading = format!("# Persistence\r\nloading:{}\r\n", u8::from(view.loading));
    let replication = match &view.role {
        Role::Primary => format!("role:master\r\nconnected_slaves:0\r\nmaster_repl_offset:{offset}\r\n"),
        Role::Replica(host, port, state) => {
            let link = if state == "connected" { "up" } else { "down" };
            let down = view.link_down_seconds.filter(|_| link == "down");
            let down = down.map_or(String::new(), |seconds| {
                format!("master_link_down_since_seconds:{seconds}\r\n")
            });
            format!(
                "role:slave\r\nmaster_host:{host}\r\nmaster_port:{port}\r\nmaster_link_status:{link}\r\n\
                 slave_repl_offset:{offset}\r\n{down}"
            )
        }
    };
    format!("{server}{loading}# Replication\r\n{replication}")
}
