//! Real nodes under a scripted Sentinel that publishes nothing: a client has to go by what the nodes do to it.

use std::time::Duration;

use sentinel::{Client, Deployment};
use sentinel_lab::{Config, FakeReplica, FakeSentinel, Server, Topology, servers_since, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, options, run, run_within, tell, text, timed, with};

/// Node 0 is the primary, the others follow it.
struct Scene {
    topology: Topology,
    sentinel: FakeSentinel,
    deployment: Deployment,
}

impl Scene {
    /// Without polls: what the client learns, it learns because it asks for a reason.
    fn start(nodes: usize, keys: &[(&str, &str)]) -> Scene {
        let topology = Topology::start(Config::default().nodes(nodes).sentinels(0));
        let replicas = (1..nodes).map(|index| FakeReplica::new("127.0.0.1", topology.node(index).port()));
        let replicas: Vec<_> = replicas.collect();
        let sentinel = FakeSentinel::builder(SERVICE, topology.node(0).port())
            .view(|view| view.replicas = replicas)
            .start();
        let options = with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "0")]);
        let deployment = Deployment::open(&with(options, keys)).unwrap();
        Scene {
            topology,
            sentinel,
            deployment,
        }
    }

    fn node(&self, index: usize) -> &Server {
        self.topology.node(index)
    }

    /// A client of the primary that has been served, while the Sentinel is listened to.
    fn served(&self) -> Client {
        let client = self.deployment.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k first");
        self.sentinel.wait_for_subscribers(1, PATIENCE);
        client
    }

    /// Node 1 is the primary from now on, and nobody is told.
    fn promote(&self) {
        tell(self.node(1), "REPLICAOF NO ONE");
        self.sentinel.change_primary("127.0.0.1", self.node(1).port());
    }

    fn is_at(&self, client: &Client, node: usize) -> bool {
        let port = self.node(node).port().to_string();
        let reply = run(client, "CONFIG GET port");
        reply.is_ok_and(|reply| reply.get(b"port").or(reply.at(1)).is_some_and(|own| own.text() == port))
    }
}

fn info(server: &Server, section: &str, line: &str) -> bool {
    let info = server.ask(&["INFO", section]).as_text();
    info.lines().any(|found| found.trim_end().starts_with(line))
}

#[test]
fn a_connection_that_was_lost_makes_the_sentinels_be_asked() {
    let scene = Scene::start(2, &[]);
    let client = scene.served();
    scene.promote();
    let pings = scene.sentinel.count("PING");
    wait_until("three signs of life", PATIENCE, || {
        scene.sentinel.count("PING") > pings + 3
    });
    assert!(scene.is_at(&client, 0), "nothing has told of it");
    // The old primary still takes writes, and says that it is one: by itself it is as good as it was.
    tell(scene.node(0), "CLIENT KILL TYPE normal");
    let ((), took) = timed(|| wait_until("the client to move", PATIENCE, || scene.is_at(&client, 1)));
    assert!(took < Duration::from_millis(100) + SLACK, "it took {took:?}");
    assert_eq!(text(&client, "SET k second"), "OK");
    assert_eq!(scene.node(0).ask(&["GET", "k"]).as_text(), "first");
}

#[test]
fn a_command_that_waits_and_is_sent_away_by_a_demotion_waits_at_the_new_primary() {
    let scene = Scene::start(2, &[]);
    let client = scene.served();
    let waits_at = |node: usize| {
        wait_until("the command to wait", PATIENCE, || {
            info(scene.node(node), "clients", "blocked_clients:1")
        });
    };
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run_within(&client, "BLPOP list 0", 20_000));
        waits_at(0);
        scene.promote();
        tell(scene.node(0), &format!("REPLICAOF 127.0.0.1 {}", scene.node(1).port()));
        waits_at(1);
        tell(scene.node(1), "RPUSH list element");
        let reply = call.join().unwrap().unwrap();
        assert_eq!(reply.at(1).unwrap().text(), "element");
    });
    assert!(
        !servers_since((6, 2)) || info(scene.node(0), "errorstats", "errorstat_UNBLOCKED:count=1"),
        "another way"
    );
}

#[test]
fn reads_leave_a_real_replica_that_has_lost_its_primary_and_serves_no_old_data() {
    let scene = Scene::start(3, &[("replica.fallback_to_primary", "0")]);
    tell(scene.node(0), "SET k v");
    for replica in [1, 2] {
        wait_until("the key on the replicas", PATIENCE, || {
            scene.node(replica).ask(&["GET", "k"]).as_text() == "v"
        });
    }
    tell(scene.node(1), "CONFIG SET replica-serve-stale-data no");
    let client = scene.deployment.replica_for(Some(SERVICE), None).unwrap();
    let serves = |node: usize| {
        tell(scene.node(node), "CONFIG RESETSTAT");
        wait_until("it to serve", PATIENCE, || {
            text(&client, "GET k") == "v" && info(scene.node(node), "commandstats", "cmdstat_get:")
        });
    };
    serves(1);
    serves(2);
    tell(scene.node(1), "CONFIG RESETSTAT");
    tell(scene.node(1), "REPLICAOF 127.0.0.1 1");
    for _ in 0..200 {
        assert_eq!(text(&client, "GET k"), "v");
    }
    assert!(
        !servers_since((6, 2)) || info(scene.node(1), "errorstats", "errorstat_MASTERDOWN:"),
        "no read has met it"
    );
    tell(scene.node(1), &format!("REPLICAOF 127.0.0.1 {}", scene.node(0).port()));
    wait_until("it to be in step", PATIENCE, || {
        info(scene.node(1), "replication", "master_link_status:up")
    });
    serves(1);
}
