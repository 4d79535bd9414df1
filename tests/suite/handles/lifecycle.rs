//! Open, close, drop: what they start, what they end, what they leave behind.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sentinel::{Client, Deadline, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{FakeNode, FakeSentinel, count_fds, count_threads, free_port, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, is_emulated, open, options, overrides, own_program, run, run_within, text, timed, with,
    within, words,
};

/// Runs `body` in a process of its own, where nothing but it starts threads or opens files: this test binary once more,
/// with this test alone.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    alone_under(&[], name, body);
}

/// The same, with the process started by another program.
pub(crate) fn alone_under(program: &[&str], name: &str, body: impl FnOnce()) {
    const MARK: &str = "SUITE_ALONE";
    if std::env::var(MARK).is_ok_and(|marked| marked == name) {
        return body();
    }
    let own = own_program();
    let mut words = program
        .iter()
        .map(OsStr::new)
        .chain(own.iter().map(OsString::as_os_str));
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let limit = Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > limit {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name}: {} after {:?}\n{said}",
        output.status,
        started.elapsed()
    );
    assert!(said.contains("1 passed"), "{name} is no test's name\n{said}");
}

/// The ids and names of this process's threads.
fn threads() -> BTreeSet<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let ids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    ids.filter_map(|id| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).ok()?;
        Some((id, name.trim().to_owned()))
    })
    .collect()
}

fn resources() -> (usize, usize) {
    let own = std::process::id();
    (count_threads(own), count_fds(own))
}

#[track_caller]
fn wait_for_resources(before: (usize, usize)) {
    let mut now = resources();
    let until = Instant::now() + PATIENCE;
    while now != before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
        now = resources();
    }
    assert_eq!(now, before, "threads and descriptors; threads are {:?}", threads());
}

#[test]
fn open_starts_one_thread_with_all_signals_blocked_and_no_connection() {
    alone(
        "handles::lifecycle::open_starts_one_thread_with_all_signals_blocked_and_no_connection",
        || {
            let sentinel = FakeSentinel::start(SERVICE, 1);
            let down = free_port();
            let before = threads();
            let deployment = open(&[sentinel.port(), down.number()]);
            let named = |name: &str| threads().difference(&before).find(|(_, own)| own == name).cloned();
            wait_until("the thread's name", PATIENCE, || named("sentinel-io").is_some());
            let new: Vec<_> = threads().difference(&before).cloned().collect();
            assert_eq!(new.len(), 1, "{new:?}");
            let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", new[0].0)).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
            // SIGKILL and SIGSTOP cannot be blocked, 32 and 33 belong to the C library; SIGBUS, SIGSEGV, 34
            // and 35 to qemu.
            let emulators: &[i32] = if is_emulated() { &[7, 11, 34, 35] } else { &[] };
            let others = [9, 19, 32, 33];
            for signal in (1..=64).filter(|signal| !others.contains(signal) && !emulators.contains(signal)) {
                assert!(
                    mask >> (signal - 1) & 1 == 1,
                    "signal {signal} is not blocked: {mask:x}"
                );
            }
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            assert_eq!(
                threads().difference(&before).count(),
                1,
                "a client has no thread of its own"
            );
            assert_eq!(sentinel.connections().len(), 0);
            drop((client, deployment));
            wait_until("the thread to end", PATIENCE, || threads() == before);
        },
    );
}

#[test]
fn close_ends_every_call_and_leaves_nothing() {
    alone("handles::lifecycle::close_ends_every_call_and_leaves_nothing", || {
        // One service has a node that never answers some commands, the other names a node that is down.
        let node = FakeNode::builder()
            .on(|_, args| [b"BLPOP".as_slice(), b"STALL"].contains(&args[0].as_slice()))
            .start();
        let down = free_port();
        let sentinels = [
            FakeSentinel::start(SERVICE, node.port()),
            FakeSentinel::start("down", down.number()),
            FakeSentinel::builder("silent", 1)
                .view(|view| view.mode = sentinel_lab::Mode::Silent)
                .start(),
        ];
        let before = resources();
        // Without a lane, on which the node would answer GET and say nothing to STALL before it.
        let keys = [
            ("pool.max_connections", "2"),
            ("pool.direct", "4"),
            ("sentinel.timeout_ms", "60000"),
        ];
        let ports = sentinels.each_ref().map(|sentinel| sentinel.port());
        let deployment = Deployment::open(&with(options(&ports), &keys)).unwrap();
        let up = deployment.primary_for(Some(SERVICE), None).unwrap();
        let waiting = deployment.primary_for(Some("down"), None).unwrap();
        let reader = deployment.replica_for(Some("down"), None).unwrap();
        text(&up, "SET k v");
        let held = up.acquire(2000).unwrap();
        type Call<'a> = (&'static str, Box<dyn Fn() -> Result<()> + Send + 'a>);
        let calls: Vec<Call<'_>> = vec![
            (
                "a command in flight",
                Box::new(|| run_within(&up, "STALL", -1).map(drop)),
            ),
            ("a read in flight", Box::new(|| run_within(&up, "STALL", -1).map(drop))),
            (
                "a lane or a wait for a connection",
                Box::new(|| run_within(&up, "GET k", -1).map(drop)),
            ),
            (
                "BLPOP in flight",
                Box::new(|| run_within(&up, "BLPOP k 0", -1).map(drop)),
            ),
            (
                "acquire from a full pool",
                Box::new(|| {
                    node.wait_for_command("BLPOP", PATIENCE);
                    up.acquire(-1).map(drop)
                }),
            ),
            (
                "a command that waits for a primary",
                Box::new(|| run_within(&waiting, "SET k v", -1).map(drop)),
            ),
            ("connect", Box::new(|| waiting.connect(-1))),
            (
                "a read that waits for a node",
                Box::new(|| run_within(&reader, "GET k", -1).map(drop)),
            ),
            (
                "discovery",
                Box::new(|| deployment.discover_primary(Some("silent"), -1).map(drop)),
            ),
            (
                "discovery of replicas",
                Box::new(|| deployment.discover_replicas(Some("silent"), -1).map(drop)),
            ),
        ];
        let (ended, ends) = mpsc::channel();
        let count = calls.len();
        std::thread::scope(|scope| {
            for (name, call) in calls {
                let ended = ended.clone();
                scope.spawn(move || ended.send((name, call(), Instant::now())).unwrap());
            }
            node.wait_for_command("BLPOP", PATIENCE);
            wait_until("both commands in flight", PATIENCE, || node.count("STALL") == 2);
            sentinels[2].wait_for_command("HELLO", PATIENCE);
            wait_until("the calls to have begun", PATIENCE, || {
                sentinels[1].count("SENTINEL") >= 4
            });
            let closing = Instant::now();
            deployment.close(1000).unwrap();
            let took = closing.elapsed();
            assert!(took <= Duration::from_millis(100) + SLACK, "close took {took:?}");
            for _ in 0..count {
                let (name, result, at) = ends.recv_timeout(PATIENCE).expect("every call ends");
                // A call that needed no node that is silent may have ended by itself.
                if name.starts_with("a lane") && result.is_ok() {
                    continue;
                }
                let error = result.expect_err(name);
                assert!(matches!(error.kind(), ErrorKind::Closed), "{name}: {error}");
                let sent = match name.contains("in flight") {
                    true => Outcome::Unknown,
                    false => Outcome::NotSent,
                };
                assert!(error.outcome() == sent || name.starts_with("a lane"), "{name}: {error}");
                let late = at.saturating_duration_since(closing);
                assert!(
                    late <= Duration::from_millis(100) + SLACK,
                    "{name} ended {late:?} after close"
                );
            }
        });
        let closed = |result: Result<()>| matches!(result.unwrap_err().kind(), ErrorKind::Closed);
        assert!(closed(run(&up, "GET k").map(drop)));
        assert!(closed(up.acquire(0).map(drop)));
        assert!(closed(up.connect(0)));
        assert!(closed(deployment.discover_primary(Some(SERVICE), 0).map(drop)));
        assert!(closed(deployment.primary_for(Some(SERVICE), None).map(drop)));
        deployment.close(1000).unwrap();
        drop(held);
        // The handles are still there: close alone has ended everything.
        wait_for_resources(before);
        drop((up, waiting, reader, deployment));
        assert_eq!(resources(), before);
    });
}

#[test]
fn handles_are_dropped_in_any_order_by_any_thread_while_calls_run() {
    alone(
        "handles::lifecycle::handles_are_dropped_in_any_order_by_any_thread_while_calls_run",
        || {
            let node = FakeNode::start();
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let before = resources();
            for round in 0..20 {
                let deployment = open(&[sentinel.port()]);
                let clients: Vec<Client> = (0..4)
                    .map(|_| deployment.primary_for(Some(SERVICE), None).unwrap())
                    .collect();
                let own = clients[0].acquire(2000).unwrap();
                let mut deployment = Some(deployment);
                let mut own = Some(own);
                std::thread::scope(|scope| {
                    for (at, client) in clients.into_iter().enumerate() {
                        if (round + at) % 4 == 0 {
                            drop(deployment.take());
                        }
                        let own = if at == round % 3 { own.take() } else { None };
                        scope.spawn(move || {
                            for turn in 0..20 {
                                assert_eq!(text(&client, &format!("SET {at} {turn}")), "OK");
                            }
                            drop(client);
                            if let Some(own) = own {
                                let reply = own.command(&words("PING"), &within(2000));
                                assert!(
                                    reply.is_ok()
                                        || matches!(
                                            reply.as_ref().unwrap_err().kind(),
                                            ErrorKind::Closed | ErrorKind::ConnectionLost { .. }
                                        ),
                                    "{reply:?}"
                                );
                            }
                        });
                    }
                    drop(deployment.take());
                });
            }
            wait_for_resources(before);
        },
    );
}

#[test]
fn a_client_works_on_when_its_deployment_was_dropped() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    drop(deployment);
    assert_eq!(text(&client, "SET k v"), "OK");
}

#[test]
fn a_dropped_client_ends_its_connections_and_no_others() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = |database| {
        deployment
            .primary_for(Some(SERVICE), Some(&overrides(&[("database", database)])))
            .unwrap()
    };
    let (first, second) = (client("1"), client("2"));
    text(&first, "SET k v");
    text(&second, "SET k v");
    drop(first.acquire(2000).unwrap());
    assert_eq!(node.open_connections(), 3);
    drop(first);
    wait_until("the connections of the dropped client to end", PATIENCE, || {
        node.open_connections() == 1
    });
    assert_eq!(text(&second, "GET k"), "v");
    assert_eq!(node.connections().len(), 3);
}

#[test]
fn a_hundred_deployments_leave_nothing() {
    alone("handles::lifecycle::a_hundred_deployments_leave_nothing", || {
        let node = FakeNode::start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let down = free_port();
        let before = resources();
        for round in 0..100 {
            let deployment = open(&[sentinel.port(), down.number()]);
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            match round % 4 {
                0 => {}
                1 => drop(run_within(&client, "SET k v", 2000).unwrap()),
                2 => drop(client.acquire(2000).unwrap()),
                // Dropped in the middle of everything.
                _ => drop(run_within(&client, "SET k v", 1)),
            }
            if round % 2 == 0 {
                deployment.close(1000).unwrap();
            }
        }
        wait_for_resources(before);
        wait_until("the peers to see it too", PATIENCE, || {
            node.open_connections() == 0 && sentinel.open_connections() == 0
        });
    });
}

#[test]
fn dropping_a_deployment_that_talks_to_nobody_takes_no_time() {
    let hole = sentinel_lab::BlackHole::start();
    let deployment = open(&[hole.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert!(run_within(&client, "GET k", 50).is_err());
    let ((), took) = timed(|| drop((deployment, client)));
    assert!(took < Duration::from_millis(200), "it took {took:?}");
}

#[test]
fn a_queue_that_is_made_while_the_deployment_closes_is_closed_too() {
    let down = free_port();
    for round in 0..300 {
        let deployment = open(&[down.number()]);
        let make = || {
            let mut made = VecDeque::new();
            while let Ok(queue) = deployment.queue(1) {
                made.truncate(63);
                made.push_front(queue);
            }
            made
        };
        let made: Vec<_> = std::thread::scope(|threads| {
            let makers = [(); 3].map(|()| threads.spawn(make));
            deployment.close(5000).unwrap();
            makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
        });
        for queue in made {
            let polled = queue.poll(1, Deadline::after(Some(Duration::ZERO)), drop);
            assert_eq!(*polled.unwrap_err().kind(), ErrorKind::Closed, "round {round}");
        }
    }
}
