//! A process of many deployments, each with a client that writes now and then, as so many small programs would.

use std::fmt;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sentinel::{CallOptions, Client, Deployment, Options};

use crate::from_env;

/// Between two writes of a client.
const PAUSE: Duration = Duration::from_secs(1);
const REPORT: Duration = Duration::from_millis(100);
/// Between two reports when each of them looks at every deployment.
const COUNTED_REPORT: Duration = Duration::from_millis(500);
/// Longer than any outage here: a call ends when there is a primary again.
const CALL_MS: i64 = 60_000;
const STACK: usize = 128 << 10;

/// Microseconds of the clock that all processes of this machine share.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_micros() as u64
}

/// What the clients of a process are at, as one line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// Nodes, how many clients write there now, and since when the last of them does.
    pub(crate) at: Vec<(u16, usize, u64)>,
    pub(crate) failed: u64,
    /// Deployments that are connected to the slow Sentinel, when that was asked for.
    pub(crate) links: Option<usize>,
}

const MARK: &str = "crowd";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK} {}", self.failed)?;
        match self.links {
            Some(links) => write!(f, " {links}")?,
            None => write!(f, " -")?,
        }
        self.at
            .iter()
            .try_for_each(|(port, clients, last)| write!(f, " {port} {clients} {last}"))
    }
}

impl Report {
    pub(crate) fn read(line: &str) -> Option<Report> {
        let mut words = line.strip_prefix(MARK)?.split_whitespace();
        let failed = words.next()?.parse().ok()?;
        let links = words.next()?.parse().ok();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        let at = numbers
            .chunks_exact(3)
            .map(|place| (place[0] as u16, place[1] as usize, place[2]));
        Some(Report {
            at: at.collect(),
            failed,
            links,
        })
    }
}

/// One client.
struct One {
    deployment: Deployment,
    client: Client,
    /// Where its last write was done, and since when it writes there.
    at: Mutex<Option<(u16, u64)>>,
}

impl One {
    fn open(number: usize) -> One {
        let mut options = Options::new();
        for port in std::env::var("CROWD_SENTINELS").unwrap().split(',') {
            options.add_sentinel("127.0.0.1", port.parse().unwrap()).unwrap();
        }
        options
            .set("address.map", &std::env::var("CROWD_MAP").unwrap())
            .unwrap();
        options.set("client_name", &format!("crowd-{number}")).unwrap();
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some("mymaster"), None).unwrap();
        let at = Mutex::default();
        One { deployment, client, at }
    }

    fn write(&self, key: &str, failed: &AtomicU64) {
        let call = CallOptions {
            timeout_ms: CALL_MS,
            ..CallOptions::default()
        };
        if self.client.command(&[b"SET", key.as_bytes(), b"v"], &call).is_err() {
            failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Some(node) = self.client.node().unwrap() else {
            return;
        };
        let (port, mut at) = (node.endpoint.port, self.at.lock().unwrap());
        if at.is_none_or(|(before, _)| before != port) {
            *at = Some((port, now_us()));
        }
    }

    fn is_linked_to(&self, address: &str) -> bool {
        let text = self.deployment.describe().unwrap();
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        let sentinels = shown["sentinels"].as_array().unwrap();
        sentinels
            .iter()
            .any(|entry| entry["address"] == address && entry["state"] == "up")
    }
}

/// Sentinels have machines of their own. Where all are on one, the clients get what the servers leave of it: a Sentinel that is
/// not served for two seconds is in TILT for half a minute, and then it is the machine that is measured.
fn step_back() {
    let none = libc::sched_param { sched_priority: 0 };
    // SAFETY: `none` is valid for the call, which changes only when this thread, and those that it starts, are served.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
}

/// Writes until standard input ends; a line of it is a Sentinel to which links are counted from then on, an empty one ends
/// the counting.
pub(crate) fn run() {
    step_back();
    let (first, count) = (from_env("CROWD_FIRST", 0) as usize, from_env("CROWD_COUNT", 1) as usize);
    let (failed, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let counted: Mutex<String> = Mutex::default();
    let crowd: Vec<Arc<One>> = (first..first + count)
        .map(|number| Arc::new(One::open(number)))
        .collect();
    std::thread::scope(|scope| {
        for (number, one) in crowd.iter().enumerate() {
            let (failed, ended) = (&failed, &ended);
            // Spread over the pause, so that no second is fuller than another.
            let (key, phase) = (
                format!("crowd:{}", first + number),
                PAUSE * number as u32 / count as u32,
            );
            let live = move || {
                std::thread::sleep(phase);
                while !ended.load(Ordering::Relaxed) {
                    one.write(&key, failed);
                    std::thread::sleep(PAUSE);
                }
            };
            std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, live)
                .unwrap();
        }
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let counted = counted.lock().unwrap().clone();
                println!("{}", report(&crowd, &failed, &counted));
                std::thread::sleep(if counted.is_empty() { REPORT } else { COUNTED_REPORT });
            }
        });
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            *counted.lock().unwrap() = line;
        }
        // Whoever waits for a primary that will not come is not waited for.
        std::process::exit(0);
    });
}

fn report(crowd: &[Arc<One>], failed: &AtomicU64, counted: &str) -> Report {
    let mut report = Report {
        failed: failed.load(Ordering::Relaxed),
        ..Report::default()
    };
    for (port, since) in crowd.iter().filter_map(|one| *one.at.lock().unwrap()) {
        match report.at.iter_mut().find(|(at, ..)| *at == port) {
            Some((_, clients, last)) => (*clients, *last) = (*clients + 1, since.max(*last)),
            None => report.at.push((port, 1, since)),
        }
    }
    report.links = (!counted.is_empty()).then(|| crowd.iter().filter(|one| one.is_linked_to(counted)).count());
    report
}
