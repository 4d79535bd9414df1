//! `make crowd PROCESSES=...`: so many clients of real Sentinels, one of which is slow: what they cost in quiet times, in a
//! failover, and when the slow one comes back under their redials.
//!
//! The clients are deployments of their own in a few processes: what they share is the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod clients;
mod scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel_lab::Chart;

use clients::now_us;
use scene::{SENTINELS, Sample, Scene, TOGETHER};

/// Commands a second, client and Sentinel, in quiet times.
const QUIET: f64 = 2.0;
/// And in the second of a failover.
const FAILOVER: f64 = 8.0;
/// All links to a Sentinel are up again so soon after it is back.
const RETURN: Duration = Duration::from_secs(10);

const WINDOW: Duration = Duration::from_secs(10);
/// How long the Sentinel is away: its clients have backed off.
const AWAY: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number in the environment"))
}

/// One line of the table: what, how much, and what is allowed.
struct Figure {
    what: &'static str,
    found: f64,
    unit: &'static str,
    limit: Option<f64>,
}

impl Figure {
    fn is_good(&self) -> bool {
        self.found.is_finite() && self.limit.is_none_or(|limit| self.found <= limit)
    }
}

#[test]
#[ignore = "takes minutes: make crowd"]
fn crowd() {
    let clients = from_env("PROCESSES", 200) as usize;
    let cost = |name: &str, default: u64| Duration::from_micros(from_env(name, default));
    let (greeting, command) = (cost("GREETING_US", 1000), cost("COMMAND_US", 0));
    println!(
        "crowd: {clients} clients; a greeting at the slow Sentinel takes {greeting:?}, another command {command:?}"
    );
    raise_descriptors();
    let scene = Scene::start(clients, greeting, command);
    let watching = scene.watch();
    let figures = play(&scene);
    scene.close_eyes();
    watching.join().unwrap();
    scene.disperse();
    let path = std::env::var("CROWD_CHART").unwrap_or_else(|_| "build/crowd.svg".into());
    std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    std::fs::write(&path, draw(&scene)).unwrap();
    for figure in &figures {
        let limit = figure.limit.map_or("-".into(), |limit| format!("{limit}"));
        let word = if figure.is_good() { "" } else { "  <- too much" };
        println!(
            "crowd: {:<58} {:>9.2} {:<3} {limit:>5}{word}",
            figure.what, figure.found, figure.unit
        );
    }
    println!("crowd: the chart is {path}");
    assert!(figures.iter().all(Figure::is_good), "beyond its limits");
}

/// The process of some of the clients; not a test by itself.
#[test]
#[ignore = "started by the other one"]
fn clients() {
    if std::env::var_os("CROWD_SENTINELS").is_some() {
        clients::run();
    }
}

/// As many descriptors as there can be, for the servers and the clients that are started from here too.
fn raise_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

/// A time without anything happening, and its ends.
fn pass(scene: &Scene, time: Duration) -> (Duration, Duration) {
    let from = scene.now();
    std::thread::sleep(time);
    // The look after the end has to be there.
    std::thread::sleep(Duration::from_millis(600));
    (from, from + time)
}

type Add<'a> = &'a mut dyn FnMut(&'static str, f64, &'static str, Option<f64>);

/// All scenes, or those until one that cannot be played: what did not come to pass has no end.
fn play(scene: &Arc<Scene>) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |what, found, unit, limit| {
        figures.push(Figure {
            what,
            found,
            unit,
            limit,
        })
    };
    let (from, to) = pass(scene, WINDOW / 2);
    let own = scene.commands(from, to);
    if gather(scene, &mut add) {
        let quiet = pass(scene, WINDOW);
        let rate = scene.rate(quiet.0, quiet.1, own);
        add(
            "quiet times, commands a second, client and Sentinel",
            rate,
            "",
            Some(QUIET),
        );
        add("quiet times, processor of all clients", cpu(scene, quiet), "%", None);
        if fail_over(scene, own, &mut add) {
            come_back(scene, &mut add);
        }
    }
    let failed = scene.samples().last().map_or(0, |sample| sample.failed);
    add("calls that failed, in all", failed as f64, "", None);
    figures
}

/// Waits for what is found, as long as there is patience.
fn look_for<T>(mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Instant::now();
    loop {
        let found = find();
        if found.is_some() || since.elapsed() > PATIENCE {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts the clients, a process after the other: how they start is not what this is about.
fn gather(scene: &Scene, add: Add<'_>) -> bool {
    scene.mark("the clients start");
    let since = Instant::now();
    let primary = scene.topology.node(scene.topology.primary()).port();
    for first in (0..scene.clients).step_by(TOGETHER) {
        scene.gather(first);
        let wanted = scene.clients.min(first + TOGETHER);
        if look_for(|| scene.write_at(primary, wanted)).is_none() {
            println!("crowd: at the start not all of {wanted} clients write within {PATIENCE:?}");
            add("start, until all clients write", f64::INFINITY, "s", None);
            return false;
        }
    }
    add(
        "start, until all clients write",
        since.elapsed().as_secs_f64(),
        "s",
        None,
    );
    let links = wait_for_links(scene, since);
    add("start, until all links to the slow Sentinel are up", links, "s", None);
    true
}

/// Seconds until all links are up: first as the Sentinel sees it, then as the clients do. Without end when they are not.
fn wait_for_links(scene: &Scene, since: Instant) -> f64 {
    let listen = || {
        scene
            .samples()
            .last()
            .is_some_and(|sample| sample.subscribed >= scene.clients)
    };
    look_for(|| listen().then_some(()));
    let listening = since.elapsed();
    scene.count_links(true);
    let all_up = look_for(|| (scene.links() == Some(scene.clients)).then_some(()));
    let (took, up) = (since.elapsed(), scene.links());
    scene.count_links(false);
    println!("crowd: the Sentinel had them after {listening:.1?}, the clients said so after {took:.1?}: {up:?} are up");
    all_up.map_or(f64::INFINITY, |()| took.as_secs_f64())
}

fn fail_over(scene: &Scene, own: [f64; SENTINELS], add: Add<'_>) -> bool {
    const WRITE_AGAIN: &str = "failover, from the first event until all clients write";
    let switched = scene.listen_for_switch();
    let old = scene.topology.primary();
    scene.mark("the primary is killed");
    scene.topology.kill(old);
    let Some(event) = look_for(|| *switched.lock().unwrap()) else {
        println!("crowd: the Sentinels have not switched within {PATIENCE:?}");
        add(WRITE_AGAIN, f64::INFINITY, "s", None);
        return false;
    };
    let at = scene.now() - Duration::from_micros(now_us() - event);
    scene.mark("the first +switch-master");
    scene.topology.wait_for_primary_change(old, PATIENCE);
    // Where the Sentinels switch once more, it is the last one that counts.
    let primary = || scene.topology.node(scene.topology.primary()).port();
    let last = look_for(|| scene.write_at(primary(), scene.clients));
    let took = last.map_or(f64::INFINITY, |last| last.saturating_sub(event) as f64 / 1e6);
    add(WRITE_AGAIN, took, "s", None);
    pass(scene, Duration::from_millis(1500));
    let rate = scene.rate(at, at + Duration::from_secs(1), own);
    add(
        "failover, commands in its second, client and Sentinel",
        rate,
        "",
        Some(FAILOVER),
    );
    scene.topology.restart(old);
    look_for(|| scene.topology.unsettled().is_none().then_some(()));
    scene.mark("the old primary is back");
    pass(scene, Duration::from_secs(3));
    true
}

fn come_back(scene: &Scene, add: Add<'_>) {
    scene.mark("the slow Sentinel dies");
    scene.slow.die();
    let away = pass(scene, AWAY);
    add("a Sentinel away, processor of all clients", cpu(scene, away), "%", None);
    let before = scene.slow.accepted();
    scene.mark("the slow Sentinel is back");
    let since = Instant::now();
    scene.slow.listen();
    let took = wait_for_links(scene, since);
    add(
        "a Sentinel's return, until all links are up",
        took,
        "s",
        Some(RETURN.as_secs_f64()),
    );
    let dials = (scene.slow.accepted() - before) as f64 / scene.clients as f64;
    add("a Sentinel's return, connections that a client needed", dials, "", None);
    scene.mark("all links are up, or patience is over");
    pass(scene, Duration::from_secs(3));
}

/// Percent of a core.
fn cpu(scene: &Scene, (from, to): (Duration, Duration)) -> f64 {
    let samples = scene.samples();
    let within: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.at >= from && sample.at <= to)
        .collect();
    let (first, last) = (within[0], within[within.len() - 1]);
    100.0 * last.cpu.saturating_sub(first.cpu).as_secs_f64() / (last.at - first.at).as_secs_f64()
}

fn draw(scene: &Scene) -> String {
    let (samples, clients) = (scene.samples(), scene.clients as f64);
    let mut chart = Chart::new();
    let steps = |value: &dyn Fn(&Sample, &Sample, f64) -> f64| -> Vec<(Duration, f64)> {
        let pairs = samples.windows(2);
        let step = |pair: &[Sample]| {
            (
                pair[1].at,
                value(&pair[0], &pair[1], (pair[1].at - pair[0].at).as_secs_f64()),
            )
        };
        pairs.map(step).collect()
    };
    let names = ["first Sentinel", "second Sentinel", "slow Sentinel"];
    for (index, name) in names.into_iter().enumerate() {
        let rate = |before: &Sample, now: &Sample, took: f64| {
            now.commands[index].saturating_sub(before.commands[index]) as f64 / took / clients
        };
        chart.row(
            &format!("commands a second and client, {name}"),
            "#2b6cb0",
            steps(&rate),
        );
    }
    let level = |value: &dyn Fn(&Sample) -> f64| {
        samples
            .iter()
            .map(|sample| (sample.at, value(sample)))
            .collect::<Vec<_>>()
    };
    chart.row(
        "links to the slow Sentinel that listen",
        "#2f855a",
        level(&|sample| sample.subscribed as f64),
    );
    chart.row(
        "clients that write at one primary",
        "#b7791f",
        level(&|sample| sample.writing as f64),
    );
    let busy =
        |before: &Sample, now: &Sample, took: f64| 100.0 * now.cpu.saturating_sub(before.cpu).as_secs_f64() / took;
    chart.row("processor of all clients, % of a core", "#c53030", steps(&busy));
    for (at, name) in scene.marks() {
        chart.mark(at, &name);
    }
    chart.draw()
}
