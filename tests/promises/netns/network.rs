//! The network: namespaces, what connects them, and the servers in them.
//!
//! The switch is two bridges in a namespace without addresses: the kernel answers ARP for each of its addresses on all
//! interfaces of a namespace, so bridges beside the client would let the cut off side find it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::Client;
use sentinel_lab::{Control, Value, spawn_bound, wait_for, wait_until};

use crate::events::SWITCH;
use crate::support::{PATIENCE, SERVICE, SLACK};

/// The first three hosts have a data node each, the others a Sentinel.
pub(super) const NODES: std::ops::Range<usize> = 0..3;
pub(super) const SENTINELS: std::ops::Range<usize> = 3..6;
pub(super) const HOSTS: std::ops::Range<usize> = 0..6;
/// Two lengths of an election that failed, and its pauses, above what a switch takes.
pub(super) const SWITCHES_WITHIN: Duration = Duration::from_secs(30);
/// The bridges: where the client is, and where it is not.
pub(super) const NEAR: &str = "near";
pub(super) const FAR: &str = "far";
pub(super) const SENTINELS_OWN: &str = "SENTINEL DEBUG PING-PERIOD 1000 INFO-PERIOD 10000 ASK-PERIOD 1000 PUBLISH-PERIOD 2000 \
                             MIN-LINK-RECONNECT-PERIOD 15000 ELECTION-TIMEOUT 10000";
pub(super) const SETTLING: &str = "SENTINEL DEBUG PING-PERIOD 240 INFO-PERIOD 300 ASK-PERIOD 100 PUBLISH-PERIOD 400 \
                        MIN-LINK-RECONNECT-PERIOD 300 ELECTION-TIMEOUT 1000 TILT-PERIOD 1000";

/// What the Sentinels publish: the channels, and when.
pub(super) type Heard = Arc<Mutex<Vec<(Instant, String)>>>;

pub(super) fn first(heard: &Heard, channels: &[&str], since: Instant) -> Option<Instant> {
    let heard = heard.lock().unwrap();
    let is_wanted = |(at, channel): &&(Instant, String)| *at >= since && channels.contains(&channel.as_str());
    heard.iter().filter(is_wanted).map(|(at, _)| *at).min()
}

/// The namespaces, what connects them, and the servers in them; all is gone when it is dropped.
pub(super) struct Lab {
    name: String,
    net: String,
    dir: PathBuf,
    servers: Vec<Child>,
}

impl Lab {
    pub(super) fn new() -> Lab {
        let pid = std::process::id();
        let is_free = |net: &String| ip(&format!("route show {net}.0/24")).is_ok_and(|routes| routes.is_empty());
        let mut nets = (0..250).map(|add| format!("10.213.{}", (pid + add) % 250 + 1));
        let (name, net) = (format!("sn{pid}"), nets.find(is_free).unwrap_or_default());
        let (dir, servers) = (std::env::temp_dir().join(format!("sentinel-netns-{pid}")), Vec::new());
        Lab {
            name,
            net,
            dir,
            servers,
        }
    }

    pub(super) fn address(&self, host: usize) -> String {
        format!("{}.{}", self.net, 10 + host)
    }

    /// Namespaces `snPID-0` to `snPID-5` and `snPID-s`, the switch; the only interface outside them is `snPID`.
    pub(super) fn lay_cables(&self) -> Result<(), String> {
        let (name, net) = (&self.name, &self.net);
        let mut orders = vec![format!("netns add {name}-s")];
        orders.extend([NEAR, FAR].map(|bridge| format!("-n {name}-s link add {bridge} up type bridge")));
        orders.push(format!("link add {name} up type veth peer name client netns {name}-s"));
        orders.push(format!("addr add {net}.1/24 dev {name}"));
        orders.push(format!("-n {name}-s link set client master near up"));
        for host in HOSTS {
            let (own, peer) = (format!("{name}-{host}"), format!("host{host} netns {name}-s"));
            orders.push(format!("netns add {own}"));
            orders.push(format!("link add eth0 netns {own} type veth peer name {peer}"));
            orders.push(format!("-n {own} addr add {}/24 dev eth0", self.address(host)));
            orders.push(format!("-n {own} link set eth0 up"));
            orders.push(format!("-n {name}-s link set host{host} master near up"));
        }
        orders.iter().try_for_each(|order| ip(order).map(drop))
    }

    pub(super) fn plug(&self, hosts: impl IntoIterator<Item = usize>, bridge: &str) {
        for host in hosts {
            ip(&format!("-n {}-s link set host{host} master {bridge}", self.name)).unwrap();
        }
    }

    /// Packets between the client and a host go to an address that nobody has, both ways, or are let through again.
    pub(super) fn part_client_from(&self, host: usize, apart: bool) {
        let (name, client, server) = (&self.name, format!("{}.1", self.net), self.address(host));
        let (replace, del) = (("replace", "lladdr 02:00:00:00:00:99 nud permanent"), ("del", ""));
        let (verb, address) = if apart { replace } else { del };
        ip(&format!("neigh {verb} {server} dev {name} {address}")).unwrap();
        ip(&format!("-n {name}-{host} neigh {verb} {client} dev eth0 {address}")).unwrap();
    }

    /// The same between two hosts.
    pub(super) fn part(&self, one: usize, other: usize, apart: bool) {
        for (from, to) in [(one, other), (other, one)] {
            let (name, to) = (&self.name, self.address(to));
            let order = match apart {
                true => format!("neigh replace {to} dev eth0 lladdr 02:00:00:00:00:99 nud permanent"),
                false => format!("neigh del {to} dev eth0"),
            };
            ip(&format!("-n {name}-{from} {order}")).unwrap();
        }
    }

    pub(super) fn start_servers(&mut self) {
        let primary = format!("{} {}", self.address(0), port(0));
        let node = "save \"\"\nrepl-diskless-sync-delay 0";
        self.start(0, node);
        self.start(1, &format!("{node}\nreplicaof {primary}"));
        self.start(2, &format!("{node}\nreplicaof {primary}"));
        wait_until("replicas in sync", PATIENCE, || self.has_replicas(0));
        for host in SENTINELS {
            let timers = format!("down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 3000");
            let lines = format!("sentinel monitor {SERVICE} {primary} 2\nsentinel {timers}");
            self.start(host, &lines);
        }
    }

    fn start(&mut self, host: usize, lines: &str) {
        let (name, port, dir) = (&self.name, port(host), self.dir.join(host.to_string()));
        let common = format!("port {port}\nprotected-mode no\ndir {}\nlogfile log\n", dir.display());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("conf"), common + lines + "\n").unwrap();
        let server = std::env::var("LAB_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{name}-{host}"), &server]);
        command.arg(dir.join("conf")).stdin(Stdio::null());
        command.args(SENTINELS.contains(&host).then_some("--sentinel"));
        // `ip netns exec` becomes the program: the same process, bound to this one.
        self.servers.push(spawn_bound(command).unwrap());
        wait_for("the answer of a server", PATIENCE, || self.ask(host, "PING"));
    }

    pub(super) fn ask(&self, host: usize, command: &str) -> Option<Value> {
        let mut control = Control::connect_within((self.address(host).as_str(), port(host)), SLACK * 4).ok()?;
        let args: Vec<&str> = command.split_whitespace().collect();
        control.try_ask(&args).ok().filter(|answer| !answer.is_error())
    }

    pub(super) fn has_replicas(&self, host: usize) -> bool {
        let info = self.ask(host, "INFO replication").map(|info| info.as_text());
        info.is_some_and(|info| info.contains("role:master") && info.matches("state=online").count() == 2)
    }

    /// What a node holds, if it says afterwards that it is a primary.
    pub(super) fn keys_on_primary(&self, host: usize) -> Option<HashSet<String>> {
        let keys = self.ask(host, "KEYS *")?;
        let role = self.ask(host, "ROLE")?.as_items().first()?.as_text();
        (role == "master").then(|| keys.as_items().iter().map(Value::as_text).collect())
    }

    /// The host that serves the client.
    pub(super) fn serving(&self, client: &Client) -> Option<usize> {
        let node = client.node().unwrap()?;
        NODES.into_iter().find(|host| self.address(*host) == node.endpoint.host)
    }

    pub(super) fn listen(&self) -> Heard {
        let heard = Heard::default();
        for host in SENTINELS {
            let mut control = Control::connect((self.address(host).as_str(), port(host))).unwrap();
            control.ask(&["PSUBSCRIBE", "*"]);
            control.set_timeout(Duration::from_secs(600));
            let heard = Arc::clone(&heard);
            let next = move || Some((control.read().ok()?, Instant::now()));
            let tell = move |(event, at): (Value, _)| heard.lock().unwrap().push((at, event.as_items()[2].as_text()));
            std::thread::spawn(|| std::iter::from_fn(next).for_each(tell));
        }
        heard
    }

    /// How often each Sentinel wrote that it switched: heard even where the client is not.
    pub(super) fn switches_in_logs(&self) -> Vec<usize> {
        let log = |host: usize| fs::read_to_string(self.dir.join(host.to_string()).join("log")).unwrap_or_default();
        SENTINELS.map(|host| log(host).matches(SWITCH[0]).count()).collect()
    }

    /// Waits with short timers until all agree and nothing moves, and returns the primary. Then the timers are Sentinel's
    /// own again.
    pub(super) fn settle(&self) -> usize {
        let all = |timers: &str| SENTINELS.into_iter().all(|host| self.ask(host, timers).is_some());
        wait_until("Sentinels that answer", PATIENCE, || all(SETTLING));
        let primary = wait_for("a settled topology", SWITCHES_WITHIN, || {
            let view = self.settled_view(SENTINELS.start)?;
            let all_agree = SENTINELS.into_iter().all(|host| self.settled_view(host) == Some(view));
            (all_agree && self.has_replicas(view)).then_some(view)
        });
        assert!(all(SENTINELS_OWN));
        primary
    }

    /// The primary as a Sentinel sees it, if it sees everything in order.
    fn settled_view(&self, host: usize) -> Option<usize> {
        let ask = |what: &str| self.ask(host, &format!("SENTINEL {what} {SERVICE}"));
        let (primary, replicas, quorum) = (ask("MASTER")?, ask("REPLICAS")?, ask("CKQUORUM")?);
        let (address, replicas) = (primary.field("ip"), replicas.as_items());
        let is = |entry: &Value, name: &str, text: &str| entry.field(name) == text;
        let follows = |replica: &&Value| is(replica, "flags", "slave") && is(replica, "master-host", &address);
        let settled = is(&primary, "flags", "master") && is(&primary, "role-reported", "master");
        let settled = settled && replicas.iter().filter(follows).count() == 2;
        let settled = settled && quorum.as_text().contains("OK 3 usable");
        NODES.into_iter().find(|host| settled && self.address(*host) == address)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill().and_then(|()| server.wait());
        }
        // Namespaces go when the kernel finds the time, interfaces at once.
        let name = &self.name;
        let _ = ip(&format!("link del {name}"));
        for host in HOSTS {
            let _ = ip(&format!("-n {name}-s link del host{host}"));
            let _ = ip(&format!("netns del {name}-{host}"));
        }
        let _ = ip(&format!("netns del {name}-s"));
        // After a failure the logs are of use.
        let _ = std::thread::panicking() || fs::remove_dir_all(&self.dir).is_ok();
    }
}

pub(super) fn port(host: usize) -> u16 {
    if NODES.contains(&host) { 6379 } else { 26379 }
}

fn ip(args: &str) -> Result<String, String> {
    let output = Command::new("ip").args(args.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
