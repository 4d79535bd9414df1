//! A scripted sentinel: it knows what the test tells it, and publishes what the test wants.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use crate::gate::{Gate, words};
use crate::peer::Peer;
use crate::session::Session;

/// How a scripted sentinel treats its clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mode {
    /// It answers.
    #[default]
    Normal,
    /// It accepts connections and never answers anything.
    Silent,
    /// Handshake, PING and subscriptions work; SENTINEL commands get no answer.
    SilentToQueries,
    /// Every command gets this error, such as `NOAUTH Authentication required.`
    ErrorToAll(String),
    /// Every SENTINEL command gets this error.
    ErrorToQueries(String),
    /// It knows no service: nil for the address, errors for the rest.
    UnknownService,
    /// Every SENTINEL command gets these bytes.
    Raw(Vec<u8>),
}

/// A replica as a scripted sentinel sees it.
#[derive(Clone, Debug)]
pub struct FakeReplica {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `flags`, `slave` at first.
    pub flags: String,
    /// `master-link-status`, `ok` at first.
    pub link_status: String,
    /// `slave-priority`, 100 at first.
    pub priority: u32,
    /// `slave-repl-offset`.
    pub offset: u64,
    /// Fields that replace those of the same name, or come after them.
    pub fields: Vec<(String, String)>,
}

impl FakeReplica {
    /// A replica in good order.
    pub fn new(host: &str, port: u16) -> FakeReplica {
        let (host, flags, link_status) = (host.into(), "slave".into(), "ok".into());
        FakeReplica {
            host,
            port,
            flags,
            link_status,
            priority: 100,
            offset: 1000,
            fields: Vec::new(),
        }
    }
}

/// All that a scripted sentinel believes; a test changes it at any time through [`FakeSentinel::edit`].
#[derive(Clone, Debug)]
pub struct SentinelView {
    /// The service it knows.
    pub service: String,
    /// Others of which it believes the same.
    pub services: Vec<String>,
    /// The primary's address, in both answers unless `announced` says otherwise.
    pub primary: (String, u16),
    /// The answer of GET-MASTER-ADDR-BY-NAME where it differs, as a leader's does before its own `+switch-master`.
    pub announced: Option<(String, u16)>,
    /// `config-epoch`.
    pub epoch: u64,
    /// `flags` of the primary, `master` at first.
    pub flags: String,
    /// Fields of MASTER's reply that replace those of the same name, or come after them.
    pub fields: Vec<(String, String)>,
    /// `quorum`.
    pub quorum: usize,
    /// The replicas.
    pub replicas: Vec<FakeReplica>,
    /// The other sentinels.
    pub sentinels: Vec<(String, u16)>,
    /// `flags` of each of them, `sentinel` at first.
    pub sentinel_flags: String,
    /// The answer of MYID; where none is set, the run id under which the others list its port.
    pub my_id: String,
    /// How it treats its clients.
    pub mode: Mode,
}

type Override = Box<dyn Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync>;

/// Options of a [`FakeSentinel`].
pub struct FakeSentinelBuilder {
    view: SentinelView,
    gate: Gate,
    override_with: Option<Override>,
}

impl FakeSentinelBuilder {
    /// Answers HELLO with an error, as Redis 5 does.
    pub fn resp2_only(mut self) -> FakeSentinelBuilder {
        self.gate.resp2_only = true;
        self
    }

    /// Wants this password.
    pub fn password(mut self, password: &str) -> FakeSentinelBuilder {
        self.gate.password = Some(password.into());
        self
    }

    /// Wants this user and password.
    pub fn user(mut self, user: &str, password: &str) -> FakeSentinelBuilder {
        self.gate.user = Some(user.into());
        self.password(password)
    }

    /// Changes what it believes from the start.
    pub fn view(mut self, change: impl FnOnce(&mut SentinelView)) -> FakeSentinelBuilder {
        change(&mut self.view);
        self
    }

    /// Calls `handler` first for each command; where it returns true, it has sent the reply itself.
    pub fn on(
        mut self,
        handler: impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync + 'static,
    ) -> FakeSentinelBuilder {
        self.override_with = Some(Box::new(handler));
        self
    }

    /// Starts to listen.
    pub fn start(self) -> FakeSentinel {
        let FakeSentinelBuilder {
            view,
            gate,
            override_with,
        } = self;
        let view = Arc::new(Mutex::new(view));
        let believed = view.clone();
        let peer = Peer::start(move |session, args| {
            let view = believed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
            if override_with.as_ref().is_some_and(|handler| handler(session, args)) {
                return;
            }
            match &view.mode {
                Mode::Silent => {}
                Mode::ErrorToAll(error) => session.error(error),
                _ => answer(session, args, &gate, &view),
            }
        });
        let sentinel = FakeSentinel { peer, view };
        let port = sentinel.peer.port();
        sentinel.edit(|view| {
            if view.my_id.is_empty() {
                view.my_id = run_id_at(port);
            }
        });
        sentinel
    }
}

fn run_id_at(port: u16) -> String {
    format!("{port:040x}")
}

/// A scripted sentinel. All of [`Peer`] works on it: `commands`, `connections`, `emit`, `refuse`, `cut_all`, ...
pub struct FakeSentinel {
    peer: Peer,
    view: Arc<Mutex<SentinelView>>,
}

impl FakeSentinel {
    /// A sentinel with this service, whose primary is on 127.0.0.1, at epoch 1, with neither replicas nor other sentinels.
    pub fn builder(service: &str, primary: u16) -> FakeSentinelBuilder {
        let view = SentinelView {
            service: service.into(),
            services: Vec::new(),
            primary: ("127.0.0.1".into(), primary),
            announced: None,
            epoch: 1,
            flags: "master".into(),
            fields: Vec::new(),
            quorum: 2,
            replicas: Vec::new(),
            sentinels: Vec::new(),
            sentinel_flags: "sentinel".into(),
            my_id: String::new(),
            mode: Mode::Normal,
        };
        FakeSentinelBuilder {
            view,
            gate: Gate::default(),
            override_with: None,
        }
    }

    /// The same, started at once.
    pub fn start(service: &str, primary: u16) -> FakeSentinel {
        FakeSentinel::builder(service, primary).start()
    }

    /// Changes what it believes.
    pub fn edit<T>(&self, change: impl FnOnce(&mut SentinelView) -> T) -> T {
        change(&mut self.view.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Changes how it treats its clients.
    pub fn set_mode(&self, mode: Mode) {
        self.edit(|view| view.mode = mode);
    }

    /// Takes another primary at the next epoch without saying so.
    pub fn change_primary(&self, host: &str, port: u16) {
        self.edit(|view| {
            view.primary = (host.into(), port);
            view.announced = None;
            view.epoch += 1;
        });
    }

    /// Takes another primary at the next epoch and publishes `+switch-master`; how many messages went out.
    pub fn switch_master(&self, host: &str, port: u16) -> usize {
        let (mut services, (old_host, old_port)) = self.edit(|view| (view.services.clone(), view.primary.clone()));
        services.insert(0, self.edit(|view| view.service.clone()));
        self.change_primary(host, port);
        let switch = |service: &String| format!("{service} {old_host} {old_port} {host} {port}");
        let sent = services
            .iter()
            .map(|service| self.emit("+switch-master", &switch(service)));
        sent.sum()
    }
}

impl Deref for FakeSentinel {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

fn answer(session: &mut Session, args: &[Vec<u8>], gate: &Gate, view: &SentinelView) {
    if gate.handle(session, args, &[("mode", "sentinel")]) || session.handle_pubsub(args) {
        return;
    }
    let words = words(args);
    match words[0].as_str() {
        "SENTINEL" => match &view.mode {
            Mode::SilentToQueries => {}
            Mode::ErrorToQueries(error) => session.error(error),
            Mode::Raw(bytes) => session.send(bytes),
            _ => answer_query(session, &words[1..], view),
        },
        "ROLE" => session.send(format!(
            "*2\r\n$8\r\nsentinel\r\n*1\r\n${}\r\n{}\r\n",
            view.service.len(),
            view.service
        )),
        "INFO" => session.bulk("# Server\r\nredis_version:7.0.15\r\nredis_mode:sentinel\r\n"),
        name => session.error(&format!("ERR unknown command '{name}', with args beginning with: ")),
    }
}

fn answer_query(session: &mut Session, words: &[String], view: &SentinelView) {
    let verb = words.first().map(|verb| verb.to_ascii_uppercase()).unwrap_or_default();
    let is_one = |name: &String| *name == view.service || view.services.contains(name);
    let known = words.get(1).is_some_and(is_one) && view.mode != Mode::UnknownService;
    match verb.as_str() {
        "MYID" => session.bulk(&view.my_id),
        "MASTERS" => session.array_of_pairs(&[primary_fields(view)]),
        "GET-MASTER-ADDR-BY-NAME" if known => {
            let (host, port) = view.announced.as_ref().unwrap_or(&view.primary);
            session.bulks(&[host.as_str(), &port.to_string()]);
        }
        "GET-MASTER-ADDR-BY-NAME" => session.nil_array(),
        "MASTER" | "REPLICAS" | "SLAVES" | "SENTINELS" | "CKQUORUM" | "FAILOVER" if !known => {
            session.error("ERR No such master with that name");
        }
        "MASTER" => session.pairs(&primary_fields(view)),
        "REPLICAS" | "SLAVES" => {
            let entries: Vec<_> = view
                .replicas
                .iter()
                .map(|replica| replica_fields(replica, view))
                .collect();
            session.array_of_pairs(&entries);
        }
        "SENTINELS" => {
            let entries: Vec<_> = view
                .sentinels
                .iter()
                .map(|(host, port)| sentinel_fields(host, *port, &view.sentinel_flags))
                .collect();
            session.array_of_pairs(&entries);
        }
        "CKQUORUM" => session.status("OK 3 usable Sentinels. Quorum and failover authorization can be reached"),
        "FAILOVER" => session.ok(),
        other => session.error(&format!("ERR unknown subcommand '{other}'. Try SENTINEL HELP.")),
    }
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The fields that every kind of entry begins with.
fn common_fields(name: &str, host: &str, port: u16, flags: &str) -> Vec<(String, String)> {
    let run_id = run_id_at(port);
    let port = port.to_string();
    let mut fields = owned(&[
        ("name", name),
        ("ip", host),
        ("port", &port),
        ("runid", &run_id),
        ("flags", flags),
    ]);
    fields.extend(owned(&[
        ("link-pending-commands", "0"),
        ("link-refcount", "1"),
        ("last-ping-sent", "0"),
    ]));
    fields.extend(owned(&[("last-ok-ping-reply", "90"), ("last-ping-reply", "90")]));
    fields.extend(owned(&[("down-after-milliseconds", "1000")]));
    fields
}

fn replace(mut fields: Vec<(String, String)>, with: &[(String, String)]) -> Vec<(String, String)> {
    for (name, value) in with {
        match fields.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value.clone(),
            None => fields.push((name.clone(), value.clone())),
        }
    }
    fields
}

fn primary_fields(view: &SentinelView) -> Vec<(String, String)> {
    let (host, port) = &view.primary;
    let mut fields = common_fields(&view.service, host, *port, &view.flags);
    fields.extend(owned(&[
        ("info-refresh", "300"),
        ("role-reported", "master"),
        ("role-reported-time", "5000"),
    ]));
    fields.extend(owned(&[
        ("config-epoch", &view.epoch.to_string()),
        ("num-slaves", &view.replicas.len().to_string()),
    ]));
    fields.extend(owned(&[("num-other-sentinels", &view.sentinels.len().to_string())]));
    fields.extend(owned(&[
        ("quorum", &view.quorum.to_string()),
        ("failover-timeout", "180000"),
    ]));
    fields.extend(owned(&[("parallel-syncs", "1")]));
    replace(fields, &view.fields)
}

fn replica_fields(replica: &FakeReplica, view: &SentinelView) -> Vec<(String, String)> {
    let name = format!("{}:{}", replica.host, replica.port);
    let mut fields = common_fields(&name, &replica.host, replica.port, &replica.flags);
    fields.extend(owned(&[
        ("info-refresh", "300"),
        ("role-reported", "slave"),
        ("role-reported-time", "5000"),
    ]));
    fields.extend(owned(&[
        ("master-link-down-time", "0"),
        ("master-link-status", &replica.link_status),
    ]));
    fields.extend(owned(&[
        ("master-host", &view.primary.0),
        ("master-port", &view.primary.1.to_string()),
    ]));
    fields.extend(owned(&[("slave-priority", &replica.priority.to_string())]));
    fields.extend(owned(&[
        ("slave-repl-offset", &replica.offset.to_string()),
        ("replica-announced", "1"),
    ]));
    replace(fields, &replica.fields)
}

fn sentinel_fields(host: &str, port: u16, flags: &str) -> Vec<(String, String)> {
    let mut fields = common_fields(&format!("{port:040x}"), host, port, flags);
    fields.extend(owned(&[
        ("last-hello-message", "100"),
        ("voted-leader", "?"),
        ("voted-leader-epoch", "0"),
    ]));
    fields
}
