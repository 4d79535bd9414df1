//! What a forked child may do with the handles it has inherited.

use std::time::{Duration, Instant};

use sentinel::completion::Target;
use sentinel::{CallOptions, Client, Connection, Deployment, Error, ErrorKind, Result};
use sentinel_lab::{FakeNode, FakeSentinel, wait_until};

use crate::handles::lifecycle::alone;
use crate::support::{PATIENCE, SERVICE, open, run, text, timed, words};

struct Handles {
    deployment: Deployment,
    client: Client,
    connection: Connection,
}

/// Runs `body` in a forked child; its message when it fails.
pub(crate) fn in_child(body: impl FnOnce() -> std::result::Result<(), String>) {
    // SAFETY: the child only runs `body` and ends with _exit; the locks of the test harness that other threads may hold
    // are not taken by it.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no fork");
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        let code = match done {
            Ok(Ok(())) => 0,
            Ok(Err(problem)) => {
                eprintln!("child: {problem}");
                1
            }
            Err(_) => 2,
        };
        // SAFETY: ends the child at once, no destructor of the parent's runs.
        unsafe { libc::_exit(code) };
    }
    let started = Instant::now();
    let mut status = 0;
    // SAFETY: `status` outlives each call and the child is this process's own.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
        if started.elapsed() > Duration::from_secs(20) {
            // SAFETY: the child was not reaped, so the id is still its.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(status, 0, "how the child ended");
}

pub(crate) fn expect(what: &str, holds: bool) -> std::result::Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

pub(crate) fn forked<T>(what: &str, result: Result<T>) -> std::result::Result<(), String> {
    let is = |error: &Error| matches!(error.kind(), ErrorKind::Forked);
    match result.map(drop) {
        Err(error) if is(&error) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    }
}

fn inherited(handles: Handles) -> std::result::Result<(), String> {
    let Handles {
        deployment,
        client,
        connection,
    } = handles;
    let ping = words("PING");
    forked("command", client.command(&ping, &CallOptions::default()))?;
    forked("acquire", client.acquire(1000))?;
    forked("connect", client.connect(1000))?;
    forked(
        "command on a connection",
        connection.command(&ping, &CallOptions::default()),
    )?;
    forked("discover_primary", deployment.discover_primary(Some(SERVICE), 1000))?;
    forked("primary_for", deployment.primary_for(Some(SERVICE), None))?;
    forked("replica_for", deployment.replica_for(Some(SERVICE), None))?;
    forked("close", deployment.close(1000))?;
    let ((), took) = timed(|| drop((connection, client, deployment)));
    expect("the drops take no time", took < Duration::from_millis(500))
}

#[test]
fn a_child_is_told_that_it_was_forked_and_disturbs_nothing() {
    alone(
        "process::forks::a_child_is_told_that_it_was_forked_and_disturbs_nothing",
        || {
            let node = FakeNode::start();
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let open_all = || {
                let deployment = open(&[sentinel.port()]);
                let client = deployment.primary_for(Some(SERVICE), None).unwrap();
                text(&client, "SET k v");
                let connection = client.acquire(2000).unwrap();
                Handles {
                    deployment,
                    client,
                    connection,
                }
            };
            let handles = open_all();
            let connections = node.connections().len();
            // The child takes the handles by value; in the parent they must stay.
            let kept = std::mem::ManuallyDrop::new(handles);
            let kept = &kept;
            in_child(|| {
                // SAFETY: the child never returns to the parent's copy of the handles.
                inherited(unsafe { std::ptr::read(&raw const **kept) })
            });
            // SAFETY: the child's copy was in the child's memory; this is the only owner here.
            let handles = unsafe { std::ptr::read(&raw const **kept) };
            assert_eq!(text(&handles.client, "GET k"), "v");
            assert_eq!(
                handles
                    .connection
                    .command(&words("GET k"), &CallOptions::default())
                    .unwrap()
                    .text(),
                "v"
            );
            assert_eq!(
                node.connections().len(),
                connections,
                "the parent's connections are what they were"
            );
            sentinel.wait_for_subscribers(1, PATIENCE);
            let new = FakeNode::start();
            sentinel.switch_master("127.0.0.1", new.port());
            wait_until("the parent to follow an event", PATIENCE, || {
                run(&handles.client, "SET k new").is_ok() && new.value("k").is_some()
            });
            drop(handles.connection);
            handles.deployment.close(1000).unwrap();
        },
    );
}

#[test]
fn a_child_forked_inside_a_callback_is_inside_no_more() {
    alone(
        "process::forks::a_child_forked_inside_a_callback_is_inside_no_more",
        || {
            let node = FakeNode::start();
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let port = sentinel.port();
            let deployment = open(&[port]);
            let client = std::sync::Arc::new(deployment.primary_for(Some(SERVICE), None).unwrap());
            let inherited = std::sync::Arc::clone(&client);
            let (tell, told) = std::sync::mpsc::channel();
            let inside = move |_| {
                let here = run(&inherited, "GET k").map_err(|error| error.kind().clone());
                in_child(|| {
                    forked("the inherited client", run(&inherited, "GET k"))?;
                    let deployment = open(&[port]);
                    let own = deployment.primary_for(Some(SERVICE), None);
                    let own = own.map_err(|error| error.to_string())?;
                    run(&own, "SET k child").map_err(|error| error.to_string())?;
                    deployment.close(1000).map_err(|error| error.to_string())
                });
                tell.send(here.map(drop)).unwrap();
            };
            let target = Target::Done(Box::new(inside));
            client.submit(&words("PING"), &CallOptions::default(), target).unwrap();
            assert_eq!(told.recv_timeout(PATIENCE), Ok(Err(ErrorKind::WouldDeadlock)));
            assert_eq!(text(&client, "GET k"), "child");
        },
    );
}

#[test]
fn a_child_may_open_a_deployment_of_its_own() {
    alone("process::forks::a_child_may_open_a_deployment_of_its_own", || {
        let node = FakeNode::start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let before_fork = open(&[sentinel.port()]);
        let client = before_fork.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k parent");
        in_child(|| {
            let deployment = open(&[sentinel.port()]);
            let own = deployment
                .primary_for(Some(SERVICE), None)
                .map_err(|error| error.to_string())?;
            let said = run(&own, "GET k").map_err(|error| error.to_string())?;
            expect("what the parent wrote", said.data() == b"parent")?;
            forked("the inherited client", run(&client, "GET k"))?;
            run(&own, "SET k child").map_err(|error| error.to_string())?;
            deployment.close(1000).map_err(|error| error.to_string())
        });
        assert_eq!(text(&client, "GET k"), "child");
    });
}
