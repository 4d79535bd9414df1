//! What a process does to a library inside it: signals, limits, ends.

use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::os::fd::FromRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sentinel::completion::Target;
use sentinel::completion::queue::Polled;
use sentinel::{CallOptions, Deadline, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Config, Cut, FakeNode, FakeSentinel, Proxy, SetOnDrop, Topology, wait_until};

use crate::handles::lifecycle::alone;
use crate::support::{PATIENCE, SERVICE, SLACK, open, open_on, options, run_within, text, timed, with, within, words};
use crate::tls::world::World;

#[test]
fn a_peer_that_goes_while_it_is_written_to_raises_no_sigpipe() {
    alone(
        "process::signals::a_peer_that_goes_while_it_is_written_to_raises_no_sigpipe",
        || {
            // SAFETY: SIG_DFL is a valid disposition; the test binary's own runtime ignores the signal otherwise.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let node = FakeNode::start();
            let proxy = Proxy::to(node.port());
            let map = format!("127.0.0.1:{}=127.0.0.1:{}", node.port(), proxy.port());
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let deployment = sentinel::Deployment::open(&with(options(&[sentinel.port()]), &[("address.map", &map)]));
            let deployment = deployment.unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let large = vec![b'x'; 4 << 20];
            for round in 0..5 {
                for how in [Cut::Close, Cut::Reset] {
                    text(&client, "SET k v");
                    proxy.cut_at_from_client("large", 100_000 + round, how);
                    let set: [&[u8]; 3] = [b"SET", b"large", &large];
                    let error = client.command(&set, &CallOptions::default()).unwrap_err();
                    assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
                    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                }
            }
            // A switch shuts connections down under callers that are about to write to them.
            let other = FakeNode::start();
            let ended = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let _guard = SetOnDrop(&ended);
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !ended.load(Ordering::Relaxed) {
                            let _ = run_within(&client, "SET k v", 1000);
                        }
                    });
                }
                for turn in 0..300 {
                    let port = [other.port(), node.port()][turn % 2];
                    sentinel.switch_master("127.0.0.1", port);
                    wait_until("the switch", PATIENCE, || {
                        let serving = client.node().unwrap().map(|serving| serving.endpoint.port);
                        serving == Some(if port == node.port() { proxy.port() } else { port })
                    });
                }
            });
            // The links to the Sentinels are written to by sentinel-io.
            for _ in 0..20 {
                let known = sentinel.connections().len();
                sentinel.cut_all(Cut::Reset);
                wait_until("a new link", PATIENCE, || sentinel.connections().len() > known);
            }
            text(&client, "SET k v");
        },
    );
}

/// Shuts this process's connections to `port` down for writing, as a switch or a reset that was noticed does.
fn shut_down_to(port: u16) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Ok(fd) = entry.unwrap().file_name().into_string().unwrap().parse() else {
            continue;
        };
        // SAFETY: the descriptor is not owned here and never closed; of one that is no socket any more only errors come.
        let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) });
        if socket.peer_addr().is_ok_and(|peer| peer.port() == port) {
            socket.shutdown(Shutdown::Write).unwrap();
            count += 1;
        }
    }
    count
}

/// Writes by every way there is to servers that are stopped, over connections that take nothing any more.
fn write_in_vain(topology: &Topology, deployment: &Deployment) {
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(1).unwrap();
    let submit = |timeout_ms| {
        let target = Target::Queue(&queue, 0);
        client.submit(&words("SET k v"), &within(timeout_ms), target).unwrap();
        let mut ended = None;
        let polled = queue.poll(1, Deadline::after(Some(PATIENCE)), |entry| ended = Some(entry.result));
        assert_eq!(polled, Ok(Polled::Some(1)));
        ended.unwrap()
    };
    let large = vec![b'x'; 4 << 20];
    let set: [&[u8]; 3] = [b"SET", b"large", &large];
    type Write<'a> = Box<dyn Fn() -> bool + 'a>;
    let writes: [Write<'_>; 3] = [
        Box::new(|| run_within(&client, "SET k v", 200).is_ok()),
        Box::new(|| client.command(&set, &within(200)).is_ok()),
        Box::new(|| submit(200).is_ok()),
    ];
    for write in writes {
        text(&client, "SET k v");
        submit(5000).unwrap();
        topology.stop(0);
        assert!(shut_down_to(topology.node(0).port()) >= 2);
        assert!(!write());
        topology.cont(0);
    }
    // The link is pinged each second: it is lost, and there is another.
    topology.stop_sentinel(0);
    assert!(shut_down_to(topology.sentinel(0).port()) >= 1);
    wait_until("the loss to be noticed", PATIENCE, || {
        deployment.metric("sentinel_up").unwrap() == 0
    });
    topology.cont_sentinel(0);
    text(&client, "SET k v");
}

#[test]
fn a_connection_that_is_shut_down_raises_no_sigpipe_by_any_way_of_writing() {
    alone(
        "process::signals::a_connection_that_is_shut_down_raises_no_sigpipe_by_any_way_of_writing",
        || {
            // SAFETY: SIG_DFL is a valid disposition; the test binary's own runtime ignores the signal otherwise.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let topology = Topology::start(Config::default().nodes(1).sentinels(1).down_after_ms(60_000));
            write_in_vain(&topology, &open_on(&topology));
            drop(topology);
            let world = World::new(Config::default().nodes(1).sentinels(1).down_after_ms(60_000), |tls| tls);
            write_in_vain(&world.topology, &world.open(&[]));
        },
    );
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Handles SIGUSR1 by counting it; system calls that it meets fail with EINTR.
fn interrupt_system_calls() {
    // SAFETY: the action is plain data, all fields that matter are set, and the handler only adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        libc::sigemptyset(&raw mut action.sa_mask);
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

fn interrupt(thread: &libc::pid_t) {
    // SAFETY: of a thread that has ended, tgkill only says so; ids are not used again so soon.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), *thread, libc::SIGUSR1) };
}

#[test]
fn signals_without_sa_restart_neither_end_nor_shorten_a_call() {
    alone(
        "process::signals::signals_without_sa_restart_neither_end_nor_shorten_a_call",
        || {
            interrupt_system_calls();
            let node = FakeNode::builder().on(|_, args| args[0] == b"STALL".as_slice()).start();
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let deployment = open(&[sentinel.port()]);
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let down = deployment.primary_for(Some("unknown"), None).unwrap();
            let large = vec![b'x'; 4 << 20];
            type Call<'a> = (&'static str, Box<dyn Fn() + Send + Sync + 'a>);
            let limit = Duration::from_millis(150);
            let lasts = |name: &'static str, call: &dyn Fn() -> ErrorKind| {
                let (kind, took) = timed(call);
                assert!(
                    matches!(kind, ErrorKind::Timeout { .. } | ErrorKind::PrimaryNotFound { .. }),
                    "{name}: {kind:?}"
                );
                assert!(took >= limit && took <= limit + SLACK, "{name} took {took:?}");
            };
            let calls: Vec<Call<'_>> = vec![
                (
                    "commands",
                    Box::new(|| (0..200).for_each(|_| assert_eq!(text(&client, "SET k v"), "OK"))),
                ),
                (
                    "large values",
                    Box::new(|| {
                        for _ in 0..20 {
                            let set: [&[u8]; 3] = [b"SET", b"large", &large];
                            client.command(&set, &CallOptions::default()).unwrap();
                            let get: [&[u8]; 2] = [b"GET", b"large"];
                            assert!(client.command(&get, &CallOptions::default()).unwrap().data() == large);
                        }
                    }),
                ),
                (
                    "a command that is never answered",
                    Box::new(|| {
                        lasts("STALL", &|| {
                            run_within(&client, "STALL", 150).unwrap_err().kind().clone()
                        })
                    }),
                ),
                (
                    "a service that is never found",
                    Box::new(|| {
                        lasts("discovery", &|| {
                            run_within(&down, "SET k v", 150).unwrap_err().kind().clone()
                        })
                    }),
                ),
            ];
            text(&client, "SET k v");
            for (name, call) in calls {
                // Alone it goes direct; in a crowd on a lane.
                for callers in [1, 4] {
                    let before = SIGNALS.load(Ordering::Relaxed);
                    let ended = AtomicBool::new(false);
                    let ids = Mutex::new(Vec::new());
                    std::thread::scope(|scope| {
                        let guard = SetOnDrop(&ended);
                        let work = || {
                            // SAFETY: gettid has no preconditions.
                            ids.lock().unwrap().push(unsafe { libc::gettid() });
                            call();
                        };
                        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
                        scope.spawn(|| {
                            while !ended.load(Ordering::Relaxed) {
                                ids.lock().unwrap().iter().for_each(interrupt);
                                std::thread::sleep(Duration::from_micros(300));
                            }
                        });
                        wait_until(name, PATIENCE, || threads.iter().all(|thread| thread.is_finished()));
                        drop(guard);
                        threads.into_iter().for_each(|thread| thread.join().unwrap());
                    });
                    assert!(SIGNALS.load(Ordering::Relaxed) > before, "{name}: no signal came");
                }
            }
        },
    );
}
