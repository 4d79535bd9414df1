//! The servers, the crowd in its processes, and what is seen of both.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sentinel_lab::{Bottleneck, Config, Control, Server, Topology, cpu_time, spawn_bound};

use crate::clients::{Report, now_us};

/// Deployments of one process.
pub(crate) const TOGETHER: usize = 125;
const STEP: Duration = Duration::from_millis(250);
/// The Sentinel behind the bottleneck.
const SLOW: usize = 2;
pub(crate) const SENTINELS: usize = 3;

/// What was seen at one moment; counts since the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) commands: [u64; SENTINELS],
    /// Connections at the slow Sentinel that have subscribed.
    pub(crate) subscribed: usize,
    pub(crate) cpu: Duration,
    /// Clients that have written at the node where most have.
    pub(crate) writing: usize,
    pub(crate) failed: u64,
}

struct Process {
    child: Child,
    report: Arc<Mutex<Report>>,
}

/// What runs.
pub(crate) struct Scene {
    pub(crate) topology: Topology,
    pub(crate) slow: Bottleneck,
    pub(crate) clients: usize,
    processes: Mutex<Vec<Process>>,
    samples: Mutex<Vec<Sample>>,
    marks: Mutex<Vec<(Duration, String)>>,
    began: Instant,
    ended: AtomicBool,
}

fn commands_of(sentinel: &Server) -> u64 {
    let stats = sentinel.try_ask(Duration::from_secs(5), &["INFO", "stats"]);
    let count = |text: String| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|count| count.parse().ok())
    };
    stats.ok().and_then(|stats| count(stats.as_text())).unwrap_or(0)
}

/// Connections of clients that listen to events.
fn subscribed_at(sentinel: &Server) -> usize {
    let list = sentinel.try_ask(Duration::from_secs(5), &["CLIENT", "LIST"]);
    let list = list.map(|list| list.as_text()).unwrap_or_default();
    let listens = |line: &&str| !(line.contains(" sub=0 ") && line.contains(" psub=0 "));
    list.lines().filter(listens).count()
}

impl Scene {
    pub(crate) fn start(clients: usize, greeting: Duration, command: Duration) -> Arc<Scene> {
        let topology = Topology::start(Config::default().fast(false).down_after_ms(1000));
        let slow = Bottleneck::to(topology.sentinel(SLOW).port(), greeting, command);
        Arc::new(Scene {
            topology,
            slow,
            clients,
            processes: Mutex::default(),
            samples: Mutex::default(),
            marks: Mutex::default(),
            began: Instant::now(),
            ended: AtomicBool::new(false),
        })
    }

    /// Looks up to four times a second until the end.
    pub(crate) fn watch(self: &Arc<Scene>) -> JoinHandle<()> {
        let scene = Arc::clone(self);
        std::thread::spawn(move || {
            loop {
                // After a look that took long the next one is no sooner: no step is short.
                std::thread::sleep(STEP);
                if scene.ended.load(Ordering::Relaxed) {
                    return;
                }
                let sample = scene.look();
                scene.samples.lock().unwrap().push(sample);
            }
        })
    }

    fn look(&self) -> Sample {
        let commands = std::array::from_fn(|index| commands_of(self.topology.sentinel(index)));
        let at = self.began.elapsed();
        let subscribed = subscribed_at(self.topology.sentinel(SLOW));
        let (writing, _) = self
            .writing()
            .into_iter()
            .map(|(_, clients, last)| (clients, last))
            .max()
            .unwrap_or_default();
        let processes = self.processes.lock().unwrap();
        let (cpu, failed) = processes.iter().fold((Duration::ZERO, 0), |(cpu, failed), process| {
            let report = process.report.lock().unwrap();
            (cpu + cpu_time(process.child.id()), failed + report.failed)
        });
        Sample {
            at,
            commands,
            subscribed,
            cpu,
            writing,
            failed,
        }
    }

    /// Starts the process of the clients from this number on.
    pub(crate) fn gather(&self, first: usize) {
        let ports: Vec<u16> = self.topology.sentinels().into_iter().map(|(_, port)| port).collect();
        let seeds = [ports[0], ports[1], self.slow.port()]
            .map(|port| port.to_string())
            .join(",");
        let map = format!("127.0.0.1:{}=127.0.0.1:{}", ports[SLOW], self.slow.port());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["clients", "--exact", "--ignored", "--nocapture"]);
        command.env("CROWD_SENTINELS", &seeds).env("CROWD_MAP", &map);
        command.env("CROWD_FIRST", first.to_string());
        command.env("CROWD_COUNT", TOGETHER.min(self.clients - first).to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn_bound(command).unwrap();
        let (output, report) = (child.stdout.take().unwrap(), Arc::new(Mutex::default()));
        let latest = Arc::clone(&report);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(report) = Report::read(&line) {
                    *latest.lock().unwrap() = report;
                }
            }
        });
        self.processes.lock().unwrap().push(Process { child, report });
    }

    fn reports(&self) -> Vec<Report> {
        let processes = self.processes.lock().unwrap();
        processes
            .iter()
            .map(|process| process.report.lock().unwrap().clone())
            .collect()
    }

    /// Nodes, how many clients write there, and since when (of [`now_us`]) the last of them does.
    fn writing(&self) -> Vec<(u16, usize, u64)> {
        let mut at: Vec<(u16, usize, u64)> = Vec::new();
        for (port, clients, last) in self.reports().into_iter().flat_map(|report| report.at) {
            match at.iter_mut().find(|(known, ..)| *known == port) {
                Some((_, sum, latest)) => (*sum, *latest) = (*sum + clients, last.max(*latest)),
                None => at.push((port, clients, last)),
            }
        }
        at
    }

    /// Since when, of [`now_us`], so many clients write at the node of this port.
    pub(crate) fn write_at(&self, port: u16, wanted: usize) -> Option<u64> {
        let found = self.writing().into_iter().find(|(at, ..)| *at == port);
        found
            .filter(|(_, clients, _)| *clients == wanted)
            .map(|(.., last)| last)
    }

    /// From now on the clients count their links to the slow Sentinel, or do so no more.
    pub(crate) fn count_links(&self, wanted: bool) {
        let line = if wanted {
            format!("127.0.0.1:{}\n", self.slow.port())
        } else {
            "\n".into()
        };
        for process in self.processes.lock().unwrap().iter_mut() {
            process
                .child
                .stdin
                .as_mut()
                .unwrap()
                .write_all(line.as_bytes())
                .unwrap();
        }
    }

    /// Links to the slow Sentinel that are up, as the clients see it, once all have counted.
    pub(crate) fn links(&self) -> Option<usize> {
        self.reports().into_iter().map(|report| report.links).sum()
    }

    pub(crate) fn mark(&self, name: &str) {
        self.marks.lock().unwrap().push((self.began.elapsed(), name.into()));
    }

    pub(crate) fn marks(&self) -> Vec<(Duration, String)> {
        self.marks.lock().unwrap().clone()
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap().clone()
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The largest count of commands a second, client and Sentinel between two times, less what the Sentinels do by
    /// themselves.
    pub(crate) fn rate(&self, from: Duration, to: Duration, own: [f64; SENTINELS]) -> f64 {
        let per_second = self.commands(from, to);
        let each = per_second
            .iter()
            .zip(own)
            .map(|(rate, own)| (rate - own).max(0.0) / self.clients as f64);
        each.fold(0.0, f64::max)
    }

    /// Commands a second of each Sentinel between the looks before `from` and after `to`.
    pub(crate) fn commands(&self, from: Duration, to: Duration) -> [f64; SENTINELS] {
        let samples = self.samples();
        let first = samples.iter().rfind(|sample| sample.at <= from).unwrap_or(&samples[0]);
        let last = samples
            .iter()
            .find(|sample| sample.at >= to)
            .unwrap_or(&samples[samples.len() - 1]);
        let took = (last.at - first.at).as_secs_f64().max(0.001);
        std::array::from_fn(|index| last.commands[index].saturating_sub(first.commands[index]) as f64 / took)
    }

    /// When, of [`now_us`], the first Sentinel publishes that the primary has changed.
    pub(crate) fn listen_for_switch(&self) -> Arc<Mutex<Option<u64>>> {
        let first = Arc::new(Mutex::new(None));
        for (host, port) in self.topology.sentinels() {
            let mut control = Control::connect((host.as_str(), port)).unwrap();
            control.ask(&["SUBSCRIBE", "+switch-master"]);
            control.set_timeout(Duration::from_secs(600));
            let first: Arc<Mutex<Option<u64>>> = Arc::clone(&first);
            std::thread::spawn(move || {
                if control.read().is_ok() {
                    first.lock().unwrap().get_or_insert_with(now_us);
                }
            });
        }
        first
    }

    /// Lets nobody look any more.
    pub(crate) fn close_eyes(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Ends the crowd, which nobody may look at any more.
    pub(crate) fn disperse(&self) {
        for process in self.processes.lock().unwrap().iter_mut() {
            let _ = process.child.kill().and_then(|()| process.child.wait());
        }
    }
}
