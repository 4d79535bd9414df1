//! Nodes that the Sentinels name and that cannot serve; passwords.

use std::time::Duration;

use sentinel::base::error::Stage;
use sentinel::{Deployment, ErrorKind, Options, Outcome, Reason};
use sentinel_lab::{BlackHole, FakeNode, FakeReplica, FakeSentinel, Peer, free_port};

use crate::support::{
    DISCOVERIES, PATIENCE, SERVICE, assert_attempts, assert_not_found, fail_each, open, options, run, run_within, text,
    timed, with,
};

/// A Sentinel that names this node as the primary, and as its only replica too when `replica` is set.
fn naming(primary: u16, replica: Option<u16>) -> FakeSentinel {
    FakeSentinel::builder(SERVICE, primary)
        .view(|view| {
            view.replicas = replica
                .map(|port| FakeReplica::new("127.0.0.1", port))
                .into_iter()
                .collect()
        })
        .start()
}

#[test]
fn a_primary_that_refuses_connections_is_unreachable() {
    let down = free_port();
    let sentinel = naming(down.number(), None);
    let failures = fail_each(&open(&[sentinel.port()]), 400, &DISCOVERIES);
    let attempts = [
        (
            sentinel.port(),
            Stage::Query,
            &*format!("it names 127.0.0.1:{}", down.number()),
        ),
        (down.number(), Stage::Connect, "Connection refused"),
    ];
    assert_not_found(&failures, Reason::NodeUnreachable, &attempts);
}

#[test]
fn a_primary_that_is_silent_is_unreachable() {
    let silent = Peer::start(|_, _| {});
    let sentinel = naming(silent.port(), None);
    let keys = [("connect_timeout_ms", "200")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let failures = fail_each(&deployment, 600, &DISCOVERIES);
    let attempts = [(silent.port(), Stage::Query, "no answer in")];
    assert_not_found(&failures, Reason::NodeUnreachable, &attempts);
    // A deadline shorter than the attempt: the node is named all the same.
    let failures = fail_each(&open(&[sentinel.port()]), 300, &DISCOVERIES);
    let primary: Vec<_> = failures.into_iter().filter(|failure| !failure.of_replica).collect();
    assert_not_found(
        &primary,
        Reason::NodeUnreachable,
        &[(silent.port(), Stage::Connect, "no answer yet")],
    );
}

#[test]
fn a_primary_behind_a_black_hole_is_unreachable() {
    let hole = BlackHole::start();
    let sentinel = naming(hole.port(), None);
    let keys = [("connect_timeout_ms", "200")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let failures = fail_each(&deployment, 600, &DISCOVERIES);
    let attempts = [(hole.port(), Stage::Connect, "no answer in")];
    assert_not_found(&failures, Reason::NodeUnreachable, &attempts);
}

#[test]
fn a_primary_that_says_it_is_a_replica_is_never_written_to() {
    for resp2_only in [false, true] {
        let builder = FakeNode::builder().replica_of(1);
        let node = if resp2_only { builder.resp2_only() } else { builder }.start();
        let sentinel = naming(node.port(), None);
        let mut skip = DISCOVERIES.to_vec();
        skip.push("read");
        let failures = fail_each(&open(&[sentinel.port()]), 400, &skip);
        let attempts = [(node.port(), Stage::Role, "the node is a replica")];
        assert_not_found(&failures, Reason::WrongRole, &attempts);
        assert_eq!(node.count("SET"), 0);
    }
}

#[test]
fn a_node_that_becomes_primary_within_the_deadline_is_waited_for() {
    let node = FakeNode::builder().replica_of(1).start();
    let sentinel = naming(node.port(), None);
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run_within(&client, "SET k v", 10_000));
        node.wait_for_command("ROLE", PATIENCE);
        node.set_role(sentinel_lab::Role::Primary);
        assert_eq!(call.join().unwrap().unwrap().text(), "OK");
    });
    assert_eq!(node.count("SET"), 1);
}

#[test]
fn a_primary_that_loads_its_data_is_unreachable_and_not_of_the_wrong_role() {
    let node = FakeNode::start();
    node.edit(|view| view.loading = true);
    let sentinel = naming(node.port(), None);
    let mut skip = DISCOVERIES.to_vec();
    skip.push("read");
    let failures = fail_each(&open(&[sentinel.port()]), 400, &skip);
    for failure in &failures {
        assert_attempts(failure.call, &failure.error, &[(node.port(), Stage::Query, "LOADING")]);
    }
    assert_eq!(node.count("SET"), 0, "nothing is sent to a node that loads");
    assert_not_found(&failures, Reason::NodeUnreachable, &[]);
}

#[test]
fn a_primary_that_has_finished_loading_within_the_deadline_serves() {
    let node = FakeNode::start();
    node.edit(|view| view.loading = true);
    let sentinel = naming(node.port(), None);
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run_within(&client, "SET k v", 10_000));
        node.wait_for_command("PING", PATIENCE);
        node.edit(|view| view.loading = false);
        assert_eq!(call.join().unwrap().unwrap().text(), "OK");
    });
}

#[test]
fn a_node_that_refuses_the_login_fails_the_call_at_once() {
    for resp2_only in [false, true] {
        let builder = FakeNode::builder().password("right");
        let builder = if resp2_only { builder.resp2_only() } else { builder };
        let node = builder.start();
        let sentinel = naming(node.port(), Some(node.port()));
        let login = |password: Option<&str>| {
            let mut options = options(&[sentinel.port()]);
            if let Some(password) = password {
                options.set_secret("password", password.as_bytes()).unwrap();
            }
            Deployment::open(&options).unwrap()
        };
        for (password, code) in [(None, "NOAUTH"), (Some("wrong"), "WRONGPASS")] {
            for failure in fail_each(&login(password), 5000, &DISCOVERIES) {
                let (call, error) = (failure.call, &failure.error);
                assert!(matches!(error.kind(), ErrorKind::Auth { .. }), "{call}: {error}");
                assert_eq!(error.server_code(), Some(code), "{call}: {error}");
                assert_eq!(error.endpoint(), Some(&*node.address()), "{call}: {error}");
                assert_attempts(call, error, &[(node.port(), Stage::Auth, code)]);
                assert!(failure.took < Duration::from_secs(1), "{call} took {:?}", failure.took);
            }
        }
        let deployment = login(Some("right"));
        text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET k v");
    }
}

#[test]
fn a_login_that_is_refused_again_and_again_is_not_tried_more_than_ten_times_a_second() {
    let node = FakeNode::builder().password("right").start();
    let sentinel = naming(node.port(), None);
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let error = run(&client, "SET k v").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Auth { .. }), "{error}");
    }
    let (dials, seconds) = (node.connections().len(), start.elapsed().as_secs_f64());
    assert!(dials as f64 <= 10.0 * seconds + 2.0, "{dials} dials in {seconds} s");
}

#[test]
fn a_database_that_the_node_does_not_have_fails_the_call_at_once() {
    let node = FakeNode::start();
    let sentinel = naming(node.port(), None);
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("database", "99")])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let (result, took) = timed(|| run(&client, "SET k v"));
    let error = result.unwrap_err();
    assert!(error.to_string().contains("SELECT 99"), "{error}");
    assert!(error.to_string().contains("DB index is out of range"), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_eq!(node.count("SET"), 0, "nothing is written to another database");
}

#[test]
fn a_service_without_a_usable_node_of_either_role_tells_of_both() {
    let (primary, replica) = (free_port(), free_port());
    let sentinel = naming(primary.number(), Some(replica.number()));
    let failures = fail_each(&open(&[sentinel.port()]), 500, &DISCOVERIES);
    let read: Vec<_> = failures.into_iter().filter(|failure| failure.of_replica).collect();
    let attempts = [
        (replica.number(), Stage::Connect, "Connection refused"),
        (primary.number(), Stage::Connect, "Connection refused"),
    ];
    assert_not_found(&read, Reason::NodeUnreachable, &attempts);
}

#[test]
fn a_node_of_redis_5_is_served_in_resp2() {
    let node = FakeNode::builder().resp2_only().password("node-secret").start();
    let sentinel = naming(node.port(), None);
    let keys = [("password", "node-secret"), ("database", "3"), ("client_name", "me")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    assert_eq!(text(&client, "GET k"), "v");
    assert_eq!(node.count("SELECT 3"), 2, "with HELLO, and again without");
    assert_eq!(node.count("CLIENT SETNAME me"), 1);
}

fn secretive(sentinel: u16, sentinels: &[u8], nodes: &[u8]) -> Options {
    let mut options = options(&[sentinel]);
    options.set_secret("sentinel.password", sentinels).unwrap();
    options.set_secret("password", nodes).unwrap();
    options
}

#[test]
fn sentinels_and_nodes_have_logins_of_their_own() {
    let node = FakeNode::builder().user("app", "node-secret").start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .user("ops", "sentinel-secret")
        .start();
    let options = secretive(sentinel.port(), b"sentinel-secret", b"node-secret");
    let options = with(options, &[("username", "app"), ("sentinel.username", "ops")]);
    let deployment = Deployment::open(&options).unwrap();
    text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET k v");
    let said = |received: Vec<sentinel_lab::Received>| -> String {
        received.iter().map(|command| command.text() + "\n").collect()
    };
    assert!(!said(sentinel.commands()).contains("node-secret"));
    assert!(!said(node.commands()).contains("sentinel-secret"));
}

#[test]
fn no_password_appears_in_any_text() {
    // Servers quote the arguments of commands they do not like.
    let quoting = |session: &mut sentinel_lab::Session, args: &[Vec<u8>]| {
        let words: Vec<_> = args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg).into_owned())
            .collect();
        session.error(&format!("WRONGPASS with args beginning with: '{}'", words.join("' '")));
        true
    };
    let node = FakeNode::builder().on(quoting).start();
    let open_sentinel = naming(node.port(), None);
    let closed_sentinel = FakeSentinel::builder(SERVICE, node.port()).on(quoting).start();
    for sentinel in [&open_sentinel, &closed_sentinel] {
        let mut options = options(&[sentinel.port()]);
        options.set_secret("password", b"node-secret").unwrap();
        if std::ptr::eq(sentinel, &closed_sentinel) {
            options.set_secret("sentinel.password", b"sentinel-secret").unwrap();
        }
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let mut shown = vec![format!("{options:?} {deployment:?} {client:?}")];
        let failures = fail_each(
            &deployment,
            400,
            if sentinel.port() == open_sentinel.port() {
                &DISCOVERIES
            } else {
                &[]
            },
        );
        for failure in failures {
            assert!(failure.error.to_string().contains("WRONGPASS"), "{}", failure.error);
            shown.push(format!("{} {:?}", failure.error, failure.error));
        }
        for text in shown {
            assert!(!text.contains("-secret"), "{text}");
        }
    }
}
