//! Servers that come, move and go: each at an address of its own on loopback, all Sentinels on one port and all data
//! nodes on another, as in a cluster that gives every server its address.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::{Deployment, Options};
use sentinel_lab::{Control, Port, Value, free_port, spawn_bound, wait_for, wait_until};
use serde_json::Value as Json;

use crate::support::{NAME, PATIENCE, SERVICE};

/// Timers for servers that are replaced while somebody waits for it.
const TIMERS: &str = "SENTINEL DEBUG PING-PERIOD 240 INFO-PERIOD 300 ASK-PERIOD 100 PUBLISH-PERIOD 400 \
                      MIN-LINK-RECONNECT-PERIOD 300 ELECTION-TIMEOUT 1000 TILT-PERIOD 1000";
const DOWN_AFTER_MS: u32 = 1000;
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// The last number of an address 127.0.0.x.
pub(crate) type Host = u8;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Node,
    Sentinel,
}

struct Member {
    kind: Kind,
    child: Child,
}

/// The servers that run. Dropping it ends them.
pub(crate) struct Fleet {
    sentinel_port: Arc<Port>,
    node_port: Arc<Port>,
    quorum: usize,
    dir: PathBuf,
    members: Mutex<BTreeMap<Host, Member>>,
}

pub(crate) fn ip(host: Host) -> String {
    format!("127.0.0.{host}")
}

impl Fleet {
    /// Nobody yet; `name` tells it from the others of this process.
    pub(crate) fn new(name: &str, quorum: usize) -> Fleet {
        Fleet::on([free_port(), free_port()].map(Arc::new), name, quorum)
    }

    /// Another fleet on the same ports: their addresses may change hands.
    pub(crate) fn beside(&self, name: &str) -> Fleet {
        Fleet::on(
            [&self.sentinel_port, &self.node_port].map(Arc::clone),
            name,
            self.quorum,
        )
    }

    fn on([sentinel_port, node_port]: [Arc<Port>; 2], name: &str, quorum: usize) -> Fleet {
        let dir = std::env::temp_dir().join(format!("sentinel-fleet-{name}-{}", std::process::id()));
        Fleet {
            sentinel_port,
            node_port,
            quorum,
            dir,
            members: Mutex::default(),
        }
    }

    /// A primary, two replicas and three Sentinels that have found each other.
    pub(crate) fn with_three_of_each(name: &str, nodes: [Host; 3], sentinels: [Host; 3]) -> Fleet {
        let fleet = Fleet::new(name, 2);
        let [primary, replicas @ ..] = nodes;
        fleet.start_node(primary, None);
        replicas.iter().for_each(|host| fleet.start_node(*host, Some(primary)));
        for host in sentinels {
            fleet.start_sentinel(host, "");
            fleet.monitor(host, SERVICE, primary);
        }
        fleet.settle();
        fleet
    }

    pub(crate) fn sentinel_port(&self) -> u16 {
        self.sentinel_port.number()
    }

    pub(crate) fn node_port(&self) -> u16 {
        self.node_port.number()
    }

    fn port(&self, kind: Kind) -> u16 {
        match kind {
            Kind::Node => self.node_port(),
            Kind::Sentinel => self.sentinel_port(),
        }
    }

    fn living(&self, kind: Kind) -> Vec<Host> {
        let members = self.members.lock().unwrap();
        let of_kind = members.iter().filter(|(_, member)| member.kind == kind);
        of_kind.map(|(host, _)| *host).collect()
    }

    /// The Sentinels that run.
    pub(crate) fn sentinels(&self) -> Vec<Host> {
        self.living(Kind::Sentinel)
    }

    /// The data nodes that run.
    pub(crate) fn nodes(&self) -> Vec<Host> {
        self.living(Kind::Node)
    }

    /// Starts a data node and waits until it answers, and follows `primary` if there is one.
    pub(crate) fn start_node(&self, host: Host, primary: Option<Host>) {
        let follows = primary.map(|primary| format!("replicaof {} {}\n", ip(primary), self.node_port()));
        let lines = format!(
            "save \"\"\nrepl-diskless-sync-delay 0\nreplica-announce-ip {}\n{}",
            ip(host),
            follows.unwrap_or_default()
        );
        self.write_conf(host, Kind::Node, &lines);
        self.run(host, Kind::Node);
        wait_until("a replica in sync", SETTLED_WITHIN, || {
            let info = self.text(host, "INFO replication");
            primary.is_none() || info.contains("master_link_status:up")
        });
    }

    /// Starts a Sentinel that nobody knows yet, and that watches nobody unless `lines`, more of its configuration, say so.
    pub(crate) fn start_sentinel(&self, host: Host, lines: &str) {
        self.write_conf(
            host,
            Kind::Sentinel,
            &format!("sentinel announce-ip {}\n{lines}", ip(host)),
        );
        self.run(host, Kind::Sentinel);
        self.tell(host, TIMERS);
    }

    /// Lets a Sentinel watch a service from epoch 0 on, as an operator does.
    pub(crate) fn monitor(&self, host: Host, service: &str, primary: Host) {
        let (address, port, quorum) = (ip(primary), self.node_port(), self.quorum);
        self.tell(host, &format!("SENTINEL MONITOR {service} {address} {port} {quorum}"));
        let down_after = format!("down-after-milliseconds {DOWN_AFTER_MS}");
        for setting in [down_after.as_str(), "failover-timeout 3000", "parallel-syncs 9"] {
            self.tell(host, &format!("SENTINEL SET {service} {setting}"));
        }
    }

    /// Ends a Sentinel and starts it at another address with all that it has written down, its run id too: a pod with a
    /// volume.
    pub(crate) fn move_sentinel(&self, from: Host, to: Host) {
        self.kill(from);
        let conf = fs::read_to_string(self.folder(from).join("conf")).unwrap();
        let (old_dir, new_dir) = (self.folder(from), self.folder(to));
        let own = |line: &&str| {
            ["bind", "dir", "sentinel announce-ip"]
                .iter()
                .any(|key| line.starts_with(key))
        };
        let moved = conf.lines().map(|line| match own(&line) {
            true => {
                let line = line.replace(&ip(from), &ip(to));
                line.replace(&old_dir.display().to_string(), &new_dir.display().to_string())
            }
            false => line.to_owned(),
        });
        fs::create_dir_all(&new_dir).unwrap();
        fs::write(new_dir.join("conf"), moved.map(|line| line + "\n").collect::<String>()).unwrap();
        self.run(to, Kind::Sentinel);
        self.tell(to, TIMERS);
    }

    fn folder(&self, host: Host) -> PathBuf {
        self.dir.join(host.to_string())
    }

    fn write_conf(&self, host: Host, kind: Kind, lines: &str) {
        let (dir, address, port) = (self.folder(host), ip(host), self.port(kind));
        fs::create_dir_all(&dir).unwrap();
        let common = format!(
            "port {port}\nbind {address}\nprotected-mode no\ndir {}\nlogfile log\n",
            dir.display()
        );
        fs::write(dir.join("conf"), common + lines).unwrap();
    }

    fn run(&self, host: Host, kind: Kind) {
        let server = std::env::var("LAB_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut command = Command::new(server);
        command.arg(self.folder(host).join("conf")).stdin(Stdio::null());
        command.stdout(Stdio::null());
        command.args((kind == Kind::Sentinel).then_some("--sentinel"));
        let child = spawn_bound(command).unwrap();
        self.members.lock().unwrap().insert(host, Member { kind, child });
        wait_until("the answer of a server", PATIENCE, || {
            self.try_ask(host, "PING").is_ok()
        });
    }

    /// kill -9, and the process is gone when this returns.
    pub(crate) fn kill(&self, host: Host) {
        let member = self.members.lock().unwrap().remove(&host);
        let mut member = member.expect("a server that runs");
        member.child.kill().unwrap();
        member.child.wait().unwrap();
    }

    /// Sends its process this signal.
    pub(crate) fn signal(&self, host: Host, name: &str) {
        let pid = self.members.lock().unwrap()[&host].child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "kill -s {name} {pid}");
    }

    fn connect(&self, host: Host) -> io::Result<Control> {
        let kind = self.members.lock().unwrap().get(&host).map(|member| member.kind);
        let port = kind.map(|kind| self.port(kind)).ok_or(io::ErrorKind::NotConnected)?;
        Control::connect_within((ip(host).as_str(), port), ANSWER_WITHIN)
    }

    pub(crate) fn try_ask(&self, host: Host, command: &str) -> io::Result<Value> {
        let args: Vec<&str> = command.split_whitespace().collect();
        self.connect(host)?.try_ask(&args)
    }

    /// The text of an answer, empty where there is none.
    pub(crate) fn text(&self, host: Host, command: &str) -> String {
        self.try_ask(host, command)
            .map(|answer| answer.as_text())
            .unwrap_or_default()
    }

    /// A command that the server must take.
    #[track_caller]
    pub(crate) fn tell(&self, host: Host, command: &str) {
        let answer = self.try_ask(host, command);
        assert!(
            answer.as_ref().is_ok_and(|answer| !answer.is_error()),
            "{command}: {answer:?}"
        );
    }

    /// Lets all Sentinels that run forget who is gone, one after the other, as an operator does. Each finds those that live
    /// before the next forgets.
    pub(crate) fn forget_the_dead(&self) {
        for host in self.sentinels() {
            self.tell(host, &format!("SENTINEL RESET {SERVICE}"));
            self.settle();
        }
    }

    /// Orders a failover and waits until everybody has moved; the new primary.
    pub(crate) fn fail_over(&self) -> Host {
        let old = self.settle();
        let order = format!("SENTINEL FAILOVER {SERVICE}");
        let taken = |host: &Host| self.try_ask(*host, &order).is_ok_and(|answer| !answer.is_error());
        wait_for("another primary", SETTLED_WITHIN, || {
            let settled = self.settled()?;
            if settled == old {
                // Not ordered yet, or given up by who led it.
                self.sentinels().iter().find(|host| taken(host));
            }
            Some(settled).filter(|primary| *primary != old)
        })
    }

    /// Waits until all Sentinels that run agree and know each other, and all nodes follow; the primary.
    #[track_caller]
    pub(crate) fn settle(&self) -> Host {
        wait_for("a settled fleet", SETTLED_WITHIN, || self.settled())
    }

    fn settled(&self) -> Option<Host> {
        let sentinels = self.sentinels();
        let watching = sentinels.iter().filter(|host| self.watches(**host));
        let mut views = watching.map(|host| self.view(*host));
        let first = views.next()??;
        (views.all(|view| view == Some(first)) && self.follow_closely(first)).then_some(first)
    }

    /// Whether the replicas have what the primary had just now. One whose link is up may have the stream of a second still to
    /// come, and takes that with it when it is promoted.
    fn follow_closely(&self, primary: Host) -> bool {
        let offset = |host: Host, name: &str| -> Option<u64> {
            let info = self.try_ask(host, "INFO replication").ok()?.as_text();
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse().ok()
        };
        let Some(written) = offset(primary, "master_repl_offset") else {
            return false;
        };
        let replicas = self.nodes().into_iter().filter(|host| *host != primary);
        let mut offsets = replicas.map(|host| offset(host, "slave_repl_offset"));
        offsets.all(|read| read.is_some_and(|read| read >= written))
    }

    /// The primary as a Sentinel sees it, if it sees everything in order.
    fn view(&self, sentinel: Host) -> Option<Host> {
        let mut control = self.connect(sentinel).ok()?;
        let mut ask = |what: &str| {
            control
                .try_ask(&["SENTINEL", what, SERVICE])
                .ok()
                .filter(|answer| !answer.is_error())
        };
        let (primary, replicas, sentinels) = (ask("MASTER")?, ask("REPLICAS")?, ask("SENTINELS")?);
        ask("CKQUORUM")?;
        let address = primary.field("ip");
        let is = |entry: &Value, fields: &[(&str, &str)]| fields.iter().all(|(name, text)| entry.field(name) == *text);
        let named = self.nodes().into_iter().find(|host| ip(*host) == address)?;
        let in_order = is(&primary, &[("flags", "master"), ("role-reported", "master")]);
        let wanted = [
            ("flags", "slave"),
            ("role-reported", "slave"),
            ("master-link-status", "ok"),
            ("master-host", &address),
        ];
        let listed = |list: &Value, host: Host, wanted: &[(&str, &str)]| {
            list.as_items()
                .iter()
                .any(|entry| entry.field("ip") == ip(host) && is(entry, wanted))
        };
        let follow = self
            .nodes()
            .into_iter()
            .filter(|host| *host != named)
            .all(|host| listed(&replicas, host, &wanted));
        let others = self.sentinels().into_iter().filter(|host| *host != sentinel);
        let known = others
            .into_iter()
            .all(|host| !self.watches(host) || listed(&sentinels, host, &[("flags", "sentinel")]));
        (in_order && follow && known).then_some(named)
    }

    fn watches(&self, sentinel: Host) -> bool {
        let answer = self.try_ask(sentinel, &format!("SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}"));
        answer.is_ok_and(|answer| !answer.is_nil())
    }

    /// How many connections of the library a Sentinel holds.
    pub(crate) fn links_to(&self, sentinel: Host) -> usize {
        let list = self.text(sentinel, "CLIENT LIST");
        let name = format!(" name={NAME} ");
        list.lines().filter(|line| line.contains(&name)).count()
    }

    /// Options with these Sentinels by address.
    pub(crate) fn options(&self, seeds: &[Host]) -> Options {
        let mut options = Options::new();
        for host in seeds {
            options.add_sentinel(&ip(*host), self.sentinel_port()).unwrap();
        }
        options.set("client_name", NAME).unwrap();
        options
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let members = std::mem::take(&mut *self.members.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        for mut member in members.into_values() {
            let _ = member.child.kill().and_then(|()| member.child.wait());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The Sentinels that a deployment knows: address and state.
pub(crate) fn known(deployment: &Deployment) -> BTreeMap<String, String> {
    let shown: Json = serde_json::from_str(&deployment.describe().unwrap()).unwrap();
    let text = |entry: &Json, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let entries = shown["sentinels"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| (text(entry, "address"), text(entry, "state")))
        .collect()
}
