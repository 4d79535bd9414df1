//! What waits in its server waits for as long as its caller does, however well the server answers others meanwhile.

use std::time::Duration;

use sentinel::{CallOptions, ErrorKind, Outcome};

use crate::support::{SERVICE, WAYS, open_on, run_within, shared, text, timed, within, words};

/// Longer than a connection that only owes a reply is kept while its node answers its sentry.
const LONG: Duration = Duration::from_millis(4200);

#[test]
fn a_command_that_waits_in_the_server_is_not_taken_for_a_silent_connection() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "DEL patient:list");
    let seconds = LONG.as_secs_f64();
    let command = format!("BLPOP patient:list {seconds}");
    std::thread::scope(|scope| {
        for (way, call) in WAYS {
            let (deployment, client, command) = (&deployment, &client, &command);
            scope.spawn(move || {
                let queue = deployment.queue(1).unwrap();
                let (result, took) = timed(|| call(client, &queue, command, &within(20_000)));
                let reply = result.unwrap_or_else(|error| panic!("{way}: {error} after {took:?}"));
                assert!(reply.is_nil() && took >= LONG, "{way}: {reply:?} after {took:?}");
            });
        }
        scope.spawn(|| {
            let own = client.acquire(5_000).unwrap();
            let (result, took) = timed(|| own.command(&words(&command), &within(20_000)));
            assert!(result.unwrap().is_nil() && took >= LONG, "{took:?}");
        });
    });
}

#[test]
fn a_write_that_waits_for_its_replicas_is_not_taken_for_a_silent_connection() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let call = CallOptions {
        replicas: 9,
        ..within(i64::try_from(LONG.as_millis()).unwrap())
    };
    std::thread::scope(|scope| {
        for (way, run) in WAYS {
            let (deployment, client, call) = (&deployment, &client, &call);
            scope.spawn(move || {
                let queue = deployment.queue(1).unwrap();
                let (result, took) = timed(|| run(client, &queue, "SET patient:key 1", call));
                let error = result.unwrap_err();
                assert_eq!(error.outcome(), Outcome::Unknown, "{way}: {error}");
                let lost = matches!(error.kind(), ErrorKind::ConnectionLost { .. });
                assert!(!lost, "{way}: {error} after {took:?}");
            });
        }
    });
    run_within(&client, "GET patient:key", 1_000).unwrap();
}
