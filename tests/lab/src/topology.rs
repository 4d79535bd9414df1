//! A primary, its replicas and their sentinels, as real processes on loopback.

use std::env::temp_dir;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::config::{Config, Ports, SERVERS_SOURCE};
use crate::ports::{Port, free_port};
use crate::program::Program;
use crate::proxy::Proxy;
use crate::server::Server;
use crate::settled::{ASK_WITHIN, Scene};
use crate::wait::{wait_for, wait_until};
use crate::wire::Value;

const READY_WITHIN: Duration = Duration::from_secs(30);
const START_ATTEMPTS: usize = 3;

const DEFAULT_TIMERS: &str = "SENTINEL DEBUG PING-PERIOD 1000 INFO-PERIOD 10000 ASK-PERIOD 1000 PUBLISH-PERIOD 2000 \
                              MIN-LINK-RECONNECT-PERIOD 15000 ELECTION-TIMEOUT 10000 TILT-PERIOD 30000";

/// No shorter than these, because replicas are asked for INFO only once a second while their primary is down, and no
/// option changes that. A replica whose INFO is older than 5 ping periods is not promoted (`no-good-slave`), and after an
/// ordered failover, which the leader may notice a second late, the others turn the promoted node back after 4 publish
/// periods. Lost links are redialled once a ping period, so down-after has to be longer than that.
fn fast_timers(down_after_ms: u64, publish_period: u64) -> String {
    let ping_period = 240.min(down_after_ms / 2);
    format!(
        "SENTINEL DEBUG PING-PERIOD {ping_period} INFO-PERIOD 300 ASK-PERIOD 100 PUBLISH-PERIOD {publish_period} \
         MIN-LINK-RECONNECT-PERIOD 300 ELECTION-TIMEOUT 1000 TILT-PERIOD 1000"
    )
}

/// The ports of a server that is not there yet.
struct Door {
    plain: Port,
    tls: Option<Port>,
    front: Option<Proxy>,
    ports: Ports,
}

impl Door {
    fn open(config: &Config) -> Door {
        let (plain, tls) = (free_port(), config.tls.as_ref().map(|_| free_port()));
        let mut ports = Ports {
            plain: plain.number(),
            tls: tls.as_ref().map(Port::number),
            front: None,
        };
        let front = config
            .proxied
            .then(|| Proxy::sparing(ports.served(config), SERVERS_SOURCE));
        ports.front = front.as_ref().map(Proxy::port);
        Door {
            plain,
            tls,
            front,
            ports,
        }
    }
}

/// Data nodes and sentinels on loopback. Dropping it kills every process and removes the folder; with LAB_KEEP in the
/// environment the folder stays and its path is printed.
///
/// All methods take `&self`, so several threads can use one topology. The processes also end when this process does.
pub struct Topology {
    config: Config,
    nodes: Vec<Server>,
    sentinels: Vec<Server>,
    dir: PathBuf,
    folder: Mutex<Option<TempDir>>,
    /// A failover was ordered, and not yet a second time.
    ordered: AtomicBool,
}

impl Topology {
    /// Starts all servers and returns when replicas are in sync, sentinels know each other and all replicas, and
    /// CKQUORUM is OK. Panics with the tails of the logs when that takes 30 s.
    #[track_caller]
    pub fn start(config: Config) -> Topology {
        assert!(config.nodes > 0, "a topology needs a data node");
        let mut problem = String::new();
        for _ in 0..START_ATTEMPTS {
            let topology = Topology::lay_out(&config);
            match topology.launch() {
                Ok(()) => {
                    topology.wait_for_settled();
                    let fast = fast_timers(config.down_after(), 400);
                    topology.set_timers(if config.fast { &fast } else { DEFAULT_TIMERS });
                    return topology;
                }
                // Somebody outside the laboratory took a port in the meantime: other ports, then.
                Err(reason) if reason.contains("Address already in use") => problem = reason,
                Err(reason) => panic!("{reason}"),
            }
        }
        panic!("no ports could be bound in {START_ATTEMPTS} attempts; the last:\n{problem}");
    }

    /// Folders and configuration files, no process yet.
    fn lay_out(config: &Config) -> Topology {
        let mut builder = tempfile::Builder::new();
        let folder = match builder.prefix("lab-") {
            builder if config.folder.is_some() => {
                builder.tempdir_in(config.folder.as_deref().unwrap_or(Path::new(".")))
            }
            builder => builder.tempdir(),
        };
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a folder in {}: {error}", temp_dir().display()));
        let programs = config.node_program().and_then(|node| {
            let sentinel = config.sentinel_program_found()?;
            Ok(((node.version()?, node), (sentinel.version()?, sentinel)))
        });
        let ((node_version, node_program), (sentinel_version, sentinel_program)) =
            programs.unwrap_or_else(|problem| panic!("{problem}"));
        let node_doors: Vec<Door> = (0..config.nodes).map(|_| Door::open(config)).collect();
        let primary = node_doors[0].ports.announced(config);
        let make = |kind: &str, index: usize, door: Door, program: &Program| {
            let dir = folder.path().join(format!("{kind}-{index}"));
            fs::create_dir(&dir).unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
            let text = match kind {
                "node" => config.node_file(door.ports, (index > 0).then_some(primary), node_version),
                _ => config.sentinel_file(door.ports, primary, sentinel_version),
            };
            let file = dir.join("conf");
            fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
            let (port, other) = match (door.plain, door.tls) {
                (plain, Some(tls)) if door.ports.served(config) == tls.number() => (tls, Some(plain)),
                both => both,
            };
            Server::new(format!("{kind}-{index}"), config.host(), port, dir, program.clone())
                .with_other_port(other, door.ports.plain)
                .behind(door.front)
        };
        let nodes = node_doors.into_iter().enumerate();
        let nodes = nodes
            .map(|(index, door)| make("node", index, door, &node_program).with_credentials(config.node_credentials()));
        let sentinels = (0..config.sentinels).map(|index| {
            let credentials = config.sentinel_password.clone().map(|password| (None, password));
            make("sentinel", index, Door::open(config), &sentinel_program).with_credentials(credentials)
        });
        let (nodes, sentinels) = (nodes.collect(), sentinels.collect());
        Topology {
            ordered: AtomicBool::new(false),
            config: config.clone(),
            nodes,
            sentinels,
            dir: folder.path().to_owned(),
            folder: Mutex::new(Some(folder)),
        }
    }

    /// The primary first: a replica whose first attempt to connect fails waits a second for the next.
    fn launch(&self) -> Result<(), String> {
        self.nodes[0].start()?;
        start_together(&self.nodes[1..])?;
        // What a sentinel's first INFO does not list has to wait for the second.
        wait_until("replicas in sync with the first node", READY_WITHIN, || {
            Scene::under(0, &self.nodes, &[]).is_some_and(|scene| scene.node_out_of_step().is_none())
        });
        // Whatever timers it will have: sentinels find each other by what they publish.
        self.set_timers(&fast_timers(self.config.down_after(), 200));
        start_together(&self.sentinels)
    }

    /// Timers for the sentinels that run, and for those that will be started again.
    fn set_timers(&self, command: &str) {
        for sentinel in &self.sentinels {
            sentinel.send_after_start(vec![command.split_whitespace().map(String::from).collect()]);
            if sentinel.is_responsive() {
                sentinel.tell_after_start();
            }
        }
    }

    /// Host and port of every sentinel.
    pub fn sentinels(&self) -> Vec<(String, u16)> {
        self.sentinels
            .iter()
            .map(|server| (server.host().to_owned(), server.port()))
            .collect()
    }

    /// Host and port of every data node.
    pub fn nodes(&self) -> Vec<(String, u16)> {
        self.nodes
            .iter()
            .map(|server| (server.host().to_owned(), server.port()))
            .collect()
    }

    /// The name the sentinels know the primary by.
    pub fn service(&self) -> &str {
        &self.config.service
    }

    /// The folder that holds the servers' folders (`node-0`, `sentinel-0`, ...).
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A data node by its index, 0 being the first primary.
    pub fn node(&self, index: usize) -> &Server {
        &self.nodes[index]
    }

    /// A sentinel by its index.
    pub fn sentinel(&self, index: usize) -> &Server {
        &self.sentinels[index]
    }

    /// The index of the node with this port.
    pub fn node_of_port(&self, port: u16) -> Option<usize> {
        self.nodes.iter().position(|node| node.port() == port)
    }

    /// The node the sentinels name now: the answer of the one with the highest config-epoch. Without sentinels, the node
    /// that calls itself a master.
    #[track_caller]
    pub fn primary(&self) -> usize {
        wait_for("a sentinel to name the primary", Duration::from_secs(5), || {
            self.try_primary()
        })
    }

    /// All nodes but the primary.
    #[track_caller]
    pub fn replicas(&self) -> Vec<usize> {
        let primary = self.primary();
        (0..self.nodes.len()).filter(|index| *index != primary).collect()
    }

    /// The same without patience.
    pub fn try_primary(&self) -> Option<usize> {
        if self.sentinels.is_empty() {
            let is_primary = |node: &Server| {
                let role = node.try_ask(ASK_WITHIN, &["ROLE"]).ok()?;
                (role.as_items().first()?.as_text() == "master").then_some(())
            };
            return self
                .nodes
                .iter()
                .position(|node| node.is_responsive() && is_primary(node).is_some());
        }
        self.named().map(|(_, index)| index)
    }

    /// The highest config-epoch that a sentinel answers, and the node it names.
    pub fn named(&self) -> Option<(u64, usize)> {
        let opinions = self
            .responsive_sentinels()
            .filter_map(|sentinel| self.opinion_of(sentinel));
        opinions
            .max_by_key(|(epoch, _)| *epoch)
            .and_then(|(epoch, port)| Some((epoch, self.node_of_port(port)?)))
    }

    fn responsive_sentinels(&self) -> impl Iterator<Item = &Server> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_responsive())
    }

    /// The config-epoch and the port of the primary that one sentinel answers.
    pub fn opinion_of(&self, sentinel: &Server) -> Option<(u64, u16)> {
        let mut control = sentinel.connect(ASK_WITHIN).ok()?;
        // In this order: an epoch that is newer than the address would let an old address win.
        let epoch = control
            .try_ask(&["SENTINEL", "MASTER", self.service()])
            .ok()?
            .field("config-epoch");
        let address = control
            .try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service()])
            .ok()?;
        Some((epoch.parse().ok()?, address.as_items().get(1)?.as_text().parse().ok()?))
    }

    /// Kills a data node with SIGKILL and reaps it.
    pub fn kill(&self, index: usize) {
        self.nodes[index].kill();
    }

    /// Freezes a data node with SIGSTOP.
    #[track_caller]
    pub fn stop(&self, index: usize) {
        self.nodes[index].stop();
    }

    /// Lets a stopped data node go on (SIGCONT).
    #[track_caller]
    pub fn cont(&self, index: usize) {
        self.nodes[index].cont();
    }

    /// Asks a data node to shut down (SIGTERM) and returns at once.
    #[track_caller]
    pub fn terminate(&self, index: usize) {
        self.nodes[index].terminate();
    }

    /// Starts a data node again on its port, with its configuration file as the servers have left it.
    #[track_caller]
    pub fn restart(&self, index: usize) {
        self.nodes[index].restart();
    }

    /// Kills a sentinel with SIGKILL and reaps it.
    pub fn kill_sentinel(&self, index: usize) {
        self.sentinels[index].kill();
    }

    /// Freezes a sentinel with SIGSTOP.
    #[track_caller]
    pub fn stop_sentinel(&self, index: usize) {
        self.sentinels[index].stop();
    }

    /// Lets a stopped sentinel go on (SIGCONT).
    #[track_caller]
    pub fn cont_sentinel(&self, index: usize) {
        self.sentinels[index].cont();
    }

    /// Starts a sentinel again on its port, with its timers.
    #[track_caller]
    pub fn restart_sentinel(&self, index: usize) {
        self.sentinels[index].restart();
    }

    /// Orders a failover (SENTINEL FAILOVER) from a sentinel that accepts the order; returns when it is accepted, not when
    /// it is done. Tries for 15 s while the sentinels refuse with INPROG or NOGOODSLAVE.
    #[track_caller]
    pub fn fail_over(&self) {
        let started = Instant::now();
        let mut refusals = Vec::new();
        while started.elapsed() < Duration::from_secs(15) {
            refusals.clear();
            for sentinel in self.responsive_sentinels() {
                match sentinel.try_ask(ASK_WITHIN, &["SENTINEL", "FAILOVER", self.service()]) {
                    Ok(Value::Status(_)) => return self.ordered.store(true, Ordering::Relaxed),
                    Ok(other) => refusals.push(other.as_text()),
                    Err(error) => refusals.push(error.to_string()),
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        refusals.dedup();
        panic!(
            "no sentinel accepts a failover: {}\n{}",
            refusals.join("; "),
            self.log_tails()
        );
    }

    /// Waits until the sentinels name another node than `old`, and returns its index. Panics with the tails of the logs
    /// after `timeout`. A sentinel whose disk is slow at the wrong moment gives an order up, and says so in its log alone:
    /// after half of the time the order is given once more.
    #[track_caller]
    pub fn wait_for_primary_change(&self, old: usize, timeout: Duration) -> usize {
        let started = Instant::now();
        loop {
            match self.try_primary() {
                Some(primary) if primary != old => {
                    self.ordered.store(false, Ordering::Relaxed);
                    return primary;
                }
                Some(_) if started.elapsed() > timeout / 2 && self.ordered.swap(false, Ordering::Relaxed) => {
                    self.fail_over();
                    self.ordered.store(false, Ordering::Relaxed);
                }
                _ if started.elapsed() < timeout => std::thread::sleep(Duration::from_millis(2)),
                named => panic!(
                    "another primary than node {old} after {timeout:?}? {named:?}\n{}",
                    self.log_tails()
                ),
            }
        }
    }

    /// Waits until nothing moves any more: all sentinels that run agree on a primary that runs, know each other, and see
    /// no failover; all nodes that run are in step with it. Panics with the tails of the logs after 30 s.
    #[track_caller]
    pub fn wait_for_settled(&self) {
        let started = Instant::now();
        while let Some(reason) = self.unsettled() {
            if started.elapsed() > READY_WITHIN {
                panic!("not settled after {READY_WITHIN:?}: {reason}\n{}", self.log_tails());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is still moving, or nothing.
    pub fn unsettled(&self) -> Option<String> {
        let Some(primary) = self.try_primary() else {
            return Some("no primary is named".into());
        };
        let Some(scene) = Scene::under(primary, &self.nodes, &self.sentinels) else {
            return Some(format!("node {primary} is named as the primary and does not run"));
        };
        scene.node_out_of_step().or_else(|| scene.objection(self.service()))
    }

    /// Kills every process and removes the folder, as dropping the topology does.
    pub fn end(&self) {
        for server in self.nodes.iter().chain(&self.sentinels) {
            server.kill();
        }
        let folder = self
            .folder
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .take();
        if let Some(folder) = folder.filter(|_| std::env::var_os("LAB_KEEP").is_some()) {
            eprintln!("lab: the servers' folder stays: {}", folder.keep().display());
        }
    }

    /// The last lines of every server's log.
    pub fn log_tails(&self) -> String {
        self.nodes.iter().chain(&self.sentinels).map(Server::log_tail).collect()
    }
}

/// Starts servers at the same time.
fn start_together(servers: &[Server]) -> Result<(), String> {
    std::thread::scope(|scope| {
        let starts: Vec<_> = servers.iter().map(|server| scope.spawn(|| server.start())).collect();
        starts
            .into_iter()
            .try_for_each(|start| start.join().expect("a server's start reports instead of panicking"))
    })
}

impl Drop for Topology {
    fn drop(&mut self) {
        self.end();
    }
}
