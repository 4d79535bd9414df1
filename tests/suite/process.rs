//! What a process does to a library inside it: signals, limits, ends.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sentinel::{CallOptions, ErrorKind, Outcome};
use sentinel_lab::{Cut, FakeNode, FakeSentinel, Proxy, wait_until};

use crate::lifecycle::alone;
use crate::support::{PATIENCE, SERVICE, SLACK, open, options, run_within, text, timed, with};

#[test]
fn a_peer_that_goes_while_it_is_written_to_raises_no_sigpipe() {
    alone(
        "process::a_peer_that_goes_while_it_is_written_to_raises_no_sigpipe",
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
                ended.store(true, Ordering::Relaxed);
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
        "process::signals_without_sa_restart_neither_end_nor_shorten_a_call",
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
                        ended.store(true, Ordering::Relaxed);
                        threads.into_iter().for_each(|thread| thread.join().unwrap());
                    });
                    assert!(SIGNALS.load(Ordering::Relaxed) > before, "{name}: no signal came");
                }
            }
        },
    );
}
