//! Clients of the replicas: which node serves, and what happens when none can.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel::base::error::Stage;
use sentinel::topology::Role;
use sentinel::{Client, Deployment, ErrorKind, Outcome, Reason};
use sentinel_lab::{Config, FakeNode, FakeReplica, FakeSentinel, Topology, wait_until};

use crate::support::{
    PATIENCE, SERVICE, assert_attempts, open, open_on, options, overrides, run, run_within, serving_port, shared, text,
    timed, with,
};

/// A primary and two replicas, each of which tells who it is by the key `who`.
struct Scene {
    primary: FakeNode,
    replicas: [FakeNode; 2],
    sentinel: FakeSentinel,
}

impl Scene {
    fn start() -> Scene {
        let primary = FakeNode::start();
        let replicas = [0, 1].map(|_| FakeNode::builder().replica_of(primary.port()).start());
        let listed = replicas
            .iter()
            .map(|node| FakeReplica::new("127.0.0.1", node.port()))
            .collect();
        let sentinel = FakeSentinel::builder(SERVICE, primary.port())
            .view(|view| view.replicas = listed)
            .start();
        for (node, name) in [(&primary, "primary"), (&replicas[0], "first"), (&replicas[1], "second")] {
            node.edit(|view| view.data.insert(b"who".to_vec(), name.as_bytes().to_vec()));
        }
        Scene {
            primary,
            replicas,
            sentinel,
        }
    }

    fn open(&self, keys: &[(&str, &str)]) -> (Deployment, Client) {
        let deployment = Deployment::open(&with(options(&[self.sentinel.port()]), keys)).unwrap();
        let client = deployment.replica_for(Some(SERVICE), None).unwrap();
        (deployment, client)
    }
}

#[track_caller]
fn wait_to_be_served_by(client: &Client, name: &str) {
    wait_until(&format!("reads to be served by {name}"), PATIENCE, || {
        text(client, "GET who") == name
    });
}

#[test]
fn reads_take_turns_over_the_replicas_and_leave_the_primary_alone() {
    let topology = shared();
    let client = open_on(&topology).replica_for(Some(SERVICE), None).unwrap();
    let mut served = BTreeMap::<u16, usize>::new();
    wait_until("both replicas to serve", PATIENCE, || {
        served.insert(serving_port(&client), 0);
        served.len() == 2
    });
    for _ in 0..20 {
        *served.entry(serving_port(&client)).or_default() += 1;
    }
    let replicas: Vec<u16> = topology
        .replicas()
        .iter()
        .map(|index| topology.node(*index).port())
        .collect();
    for port in replicas {
        assert!((9..=11).contains(&served[&port]), "turns: {served:?}");
    }
    assert_eq!(served.len(), 2, "{served:?}");
    let node = client.node().unwrap().unwrap();
    assert_eq!(node.role, Role::Replica);
}

#[test]
fn reads_go_to_replica_after_replica_then_to_the_primary_and_return() {
    let scene = Scene::start();
    let (_deployment, client) = scene.open(&[]);
    wait_to_be_served_by(&client, "first");
    wait_to_be_served_by(&client, "second");
    scene.replicas[0].die();
    for _ in 0..10 {
        assert_eq!(text(&client, "GET who"), "second");
    }
    scene.replicas[1].die();
    for _ in 0..10 {
        assert_eq!(text(&client, "GET who"), "primary");
    }
    assert_eq!(client.node().unwrap().unwrap().role, Role::Primary);
    scene.replicas[0].listen();
    wait_to_be_served_by(&client, "first");
    for _ in 0..10 {
        assert_eq!(text(&client, "GET who"), "first", "a client that has returned stays");
    }
    scene.replicas[1].listen();
    wait_to_be_served_by(&client, "second");
}

#[test]
fn the_first_read_finds_the_one_replica_that_is_up() {
    let scene = Scene::start();
    scene.replicas[0].refuse();
    let (_deployment, client) = scene.open(&[]);
    let (who, took) = timed(|| text(&client, "GET who"));
    assert_eq!(who, "second");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn a_replica_that_hangs_delays_no_read_that_another_can_serve() {
    let scene = Scene::start();
    scene.replicas[0].set_silent(true);
    let (_deployment, client) = scene.open(&[]);
    let (who, took) = timed(|| text(&client, "GET who"));
    assert_eq!(who, "second");
    assert!(
        took < Duration::from_millis(500),
        "it took {took:?}, as long as connecting to the other"
    );
}

#[test]
fn a_replica_that_is_cut_off_from_its_primary_is_not_read_from() {
    let scene = Scene::start();
    let port = scene.primary.port();
    for state in ["connect", "connecting", "sync"] {
        scene.replicas[0].set_role(sentinel_lab::Role::Replica("127.0.0.1".into(), port, state.into()));
        let (_deployment, client) = scene.open(&[]);
        for _ in 0..10 {
            assert_eq!(text(&client, "GET who"), "second", "{state}");
        }
    }
}

#[test]
fn a_replica_that_was_promoted_is_not_read_from_as_a_replica() {
    let scene = Scene::start();
    scene.replicas[0].set_role(sentinel_lab::Role::Primary);
    let (_deployment, client) = scene.open(&[]);
    for _ in 0..10 {
        assert_eq!(text(&client, "GET who"), "second");
    }
}

#[test]
fn without_fallback_no_replica_is_an_error_that_tells_why() {
    let scene = Scene::start();
    let (_deployment, client) = scene.open(&[("replica.fallback_to_primary", "0")]);
    wait_to_be_served_by(&client, "first");
    scene.replicas.iter().for_each(|node| node.die());
    let error = run_within(&client, "GET who", 600).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::NodeUnreachable), "{error}");
    assert!(matches!(error.kind(), ErrorKind::ReplicaNotFound { .. }), "{error}");
    let attempts = scene
        .replicas
        .each_ref()
        .map(|node| (node.port(), Stage::Connect, "Connection refused"));
    assert_attempts("read", &error, &attempts);
    assert_eq!(scene.primary.count("GET"), 0);
    scene.replicas[1].listen();
    wait_until("a replica to serve again", PATIENCE, || {
        run(&client, "GET who").is_ok_and(|reply| reply.data() == b"second")
    });
}

#[test]
fn without_fallback_and_without_replicas_there_is_no_usable_one() {
    let scene = Scene::start();
    let down = |view: &mut sentinel_lab::SentinelView| {
        view.replicas
            .iter_mut()
            .for_each(|replica| replica.flags = "s_down,slave".into());
    };
    for prepare in [down, |view: &mut sentinel_lab::SentinelView| view.replicas.clear()] {
        scene.sentinel.edit(prepare);
        let (deployment, client) = scene.open(&[("replica.fallback_to_primary", "0")]);
        let error = run_within(&client, "GET who", 400).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::NoUsableReplica), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert_eq!(
            deployment.discover_replicas(Some(SERVICE), 1000).unwrap(),
            [],
            "none is no failure"
        );
        let falling_back = overrides(&[("replica.fallback_to_primary", "1")]);
        let client = deployment.replica_for(Some(SERVICE), Some(&falling_back)).unwrap();
        assert_eq!(text(&client, "GET who"), "primary");
    }
}

#[test]
fn a_write_through_a_client_of_replicas_is_refused_at_once() {
    let topology = shared();
    let client = open_on(&topology).replica_for(Some(SERVICE), None).unwrap();
    serving_port(&client);
    for _ in 0..4 {
        let (result, took) = timed(|| run(&client, "SET not:here 1"));
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Readonly { .. }), "{error}");
        assert_eq!(
            (error.outcome(), error.server_code()),
            (Outcome::Refused, Some("READONLY"))
        );
        let at = error
            .endpoint()
            .and_then(|at| at.rsplit_once(':'))
            .unwrap()
            .1
            .parse()
            .unwrap();
        assert_ne!(topology.node_of_port(at), Some(topology.primary()));
        assert!(took < Duration::from_millis(500), "it took {took:?}");
    }
    assert_ne!(
        serving_port(&client),
        topology.node(topology.primary()).port(),
        "the replicas go on serving"
    );
}

#[test]
fn real_replicas_leave_and_return() {
    let topology = Topology::start(Config::default().sentinels(1));
    let deployment = open(&[topology.sentinel(0).port()]);
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    let [first, second] = topology.replicas()[..] else {
        panic!("two replicas")
    };
    let port = |index: usize| topology.node(index).port();
    serving_port(&client);
    topology.kill(first);
    for _ in 0..10 {
        assert_eq!(serving_port(&client), port(second));
    }
    topology.kill(second);
    for _ in 0..10 {
        assert_eq!(serving_port(&client), port(topology.primary()));
    }
    topology.restart(first);
    wait_until("a replica to serve again", PATIENCE, || {
        serving_port(&client) == port(first)
    });
}
