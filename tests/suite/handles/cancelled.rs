//! A connection of one's own whose call another thread ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sentinel::{CallOptions, Client, Connection, Deployment, ErrorKind, Outcome};
use sentinel_lab::{Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, open_on, overrides, run, shared, text, words};

/// A client with a single place for connections of one's own.
fn world() -> (std::sync::Arc<Topology>, Deployment, Client) {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("pool.max_connections", "1")])))
        .unwrap();
    (topology, deployment, client)
}

/// Whether the server has this connection, and it waits there.
fn waits(client: &Client, id: i64) -> bool {
    let list = text(client, "CLIENT LIST");
    list.lines()
        .any(|line| line.starts_with(&format!("id={id} ")) && line.contains(" cmd=blpop"))
}

fn id(connection: &Connection) -> i64 {
    let reply = connection.command(&words("CLIENT ID"), &CallOptions::default());
    reply.unwrap().integer()
}

fn echo(connection: &Connection, word: &str) -> sentinel::Result<String> {
    let reply = connection.command(&[b"ECHO", word.as_bytes()], &CallOptions::default())?;
    Ok(reply.text().into_owned())
}

#[test]
fn a_call_that_waits_ends_and_its_place_is_free() {
    let (_topology, _deployment, client) = world();
    let connection = client.acquire(0).unwrap();
    let own = id(&connection);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connection.command(&words("BLPOP cancelled:list 0"), &CallOptions::default()));
        wait_until("it waits in the server", PATIENCE, || waits(&client, own));
        connection.cancel();
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (&ErrorKind::Cancelled, Outcome::Unknown)
        );
    });
    let error = echo(&connection, "more").unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (&ErrorKind::Cancelled, Outcome::NotSent)
    );
    drop(connection);
    wait_until("the server has ended it too", PATIENCE, || !waits(&client, own));
    assert_eq!(echo(&client.acquire(0).unwrap(), "next").unwrap(), "next");
}

#[test]
fn cancelled_between_two_calls_it_goes_to_nobody_else() {
    let (_topology, _deployment, client) = world();
    for n in 0..50 {
        let connection = client.acquire(0).unwrap();
        assert_eq!(echo(&connection, &n.to_string()).unwrap(), n.to_string());
        connection.cancel();
        connection.cancel();
        drop(connection);
        assert_eq!(run(&client, &format!("ECHO {n}")).unwrap().text(), n.to_string());
    }
}

#[test]
fn two_threads_at_once_are_told() {
    let (_topology, _deployment, client) = world();
    let connection = client.acquire(0).unwrap();
    let own = id(&connection);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connection.command(&words("BLPOP cancelled:two 0"), &CallOptions::default()));
        wait_until("it waits in the server", PATIENCE, || waits(&client, own));
        let error = echo(&connection, "second").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WrongState { .. }), "{error}");
        run(&client, "RPUSH cancelled:two element").unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    });
    assert_eq!(echo(&connection, "third").unwrap(), "third");
}

/// Whatever the instant: a reply is the call's own, or the call was cancelled.
#[test]
fn at_any_instant() {
    let (_topology, _deployment, client) = world();
    let over = AtomicBool::new(false);
    let cancelled = AtomicU64::new(0);
    thread::scope(|scope| {
        for caller in 0..4 {
            let (client, over, cancelled) = (&client, &over, &cancelled);
            scope.spawn(move || {
                let mut n = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    let Ok(connection) = client.acquire(5_000) else {
                        continue;
                    };
                    n += 1;
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            thread::sleep(Duration::from_micros(n * 37 % 200));
                            connection.cancel();
                        });
                        loop {
                            let want = format!("{caller}:{n}");
                            match echo(&connection, &want) {
                                Ok(got) => assert_eq!(got, want),
                                Err(error) => {
                                    assert_eq!(error.kind(), &ErrorKind::Cancelled);
                                    break;
                                }
                            }
                        }
                    });
                    if cancelled.fetch_add(1, Ordering::Relaxed) > 400 {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(echo(&client.acquire(0).unwrap(), "free").unwrap(), "free");
}
