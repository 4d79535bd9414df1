//! Real nodes under scripted Sentinels that lead a failover: what is foreseen of it, and what becomes of that.

use std::time::{Duration, Instant};

use sentinel::{Client, Deployment};
use sentinel_lab::{Config, FakeReplica, FakeSentinel, Server, Topology, wait_until};

use sentinel::completion::Target;

use crate::support::{
    PATIENCE, SERVICE, completions, options, run_within, serving_port, tell, text, with, within, words,
};

/// Node 0 is the primary under epoch 1, the others follow it.
struct Scene {
    topology: Topology,
    leader: FakeSentinel,
    deployment: Deployment,
}

impl Scene {
    /// Without polls: what the client learns, it is told.
    fn start(keys: &[(&str, &str)]) -> Scene {
        let topology = Topology::start(Config::default().nodes(3).sentinels(0));
        let replicas: Vec<_> = [1, 2]
            .iter()
            .map(|index| FakeReplica::new("127.0.0.1", topology.node(*index).port()))
            .collect();
        let leader = FakeSentinel::builder(SERVICE, topology.node(0).port())
            .view(|view| view.replicas = replicas)
            .start();
        let options = with(options(&[leader.port()]), &[("discovery.refresh_ms", "0")]);
        let deployment = Deployment::open(&with(options, keys)).unwrap();
        Scene {
            topology,
            leader,
            deployment,
        }
    }

    fn node(&self, index: usize) -> &Server {
        self.topology.node(index)
    }

    fn port(&self, index: usize) -> u16 {
        self.node(index).port()
    }

    /// A client of the primary that has been served, while the Sentinel is listened to.
    fn served(&self) -> Client {
        let client = self.deployment.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k first");
        self.leader.wait_for_subscribers(1, PATIENCE);
        client
    }

    /// The Sentinel announces an epoch, and that it is about to promote a node.
    fn selects(&self, epoch: u64, port: u16) {
        let primary = self.port(0);
        self.leader.emit("+new-epoch", &epoch.to_string());
        self.leader
            .emit("+try-failover", &format!("master {SERVICE} 127.0.0.1 {primary}"));
        self.leader.emit(
            "+failover-state-send-slaveof-noone",
            &format!("slave 127.0.0.1:{port} 127.0.0.1 {port} @ {SERVICE} 127.0.0.1 {primary}"),
        );
    }

    fn gives_up(&self) {
        let primary = self.port(0);
        let payload = format!("master {SERVICE} 127.0.0.1 {primary}");
        self.leader.emit("-failover-abort-no-good-slave", &payload);
    }

    /// Writes wait: none is at any node within so long. What was published a moment ago is heard a little later.
    #[track_caller]
    fn assert_writes_wait(&self, client: &Client) {
        wait_until("writes to wait", PATIENCE, || {
            run_within(client, "SET probe yes", 20).is_err()
        });
        let error = run_within(client, "SET waits yes", 150).expect_err("it was not held");
        assert_eq!(error.outcome(), sentinel::Outcome::NotSent, "{error}");
        for index in 0..3 {
            let kept = self.node(index).ask(&["GET", "waits"]);
            assert_eq!(kept, sentinel_lab::Value::Bulk(None), "at {index}");
        }
    }
}

#[test]
fn a_replica_that_was_selected_serves_as_soon_as_it_says_that_it_is_the_primary() {
    let scene = Scene::start(&[]);
    let client = scene.served();
    scene.selects(2, scene.port(1));
    wait_until("the replica to be asked", PATIENCE, || {
        scene
            .node(1)
            .ask(&["INFO", "commandstats"])
            .as_text()
            .contains("cmdstat_role:")
    });
    scene.assert_writes_wait(&client);
    assert_eq!(text(&client, "GET k"), "first", "reads go on");
    std::thread::scope(|scope| {
        let write = scope.spawn(|| {
            let reply = run_within(&client, "SET k second", 10_000);
            (reply, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(50));
        let promoted = Instant::now();
        tell(scene.node(1), "REPLICAOF NO ONE");
        let (reply, at) = write.join().unwrap();
        assert_eq!(reply.unwrap().text(), "OK");
        println!("first write {:?} after the promotion", at - promoted);
    });
    assert_eq!(serving_port(&client), scene.port(1));
    assert_eq!(scene.node(0).ask(&["GET", "k"]).as_text(), "first");
    // And it stays there when the Sentinel names it.
    scene.leader.switch_master("127.0.0.1", scene.port(1));
    assert_eq!(serving_port(&client), scene.port(1));
}

#[test]
fn writes_go_on_where_the_failover_is_given_up() {
    let scene = Scene::start(&[]);
    let client = scene.served();
    scene.selects(2, scene.port(1));
    scene.assert_writes_wait(&client);
    scene.gives_up();
    text(&client, "SET k second");
    assert_eq!(serving_port(&client), scene.port(0));
    // The next one is another.
    scene.selects(3, scene.port(2));
    scene.assert_writes_wait(&client);
    tell(scene.node(2), "REPLICAOF NO ONE");
    assert_eq!(text(&client, "SET k third"), "OK");
    assert_eq!(serving_port(&client), scene.port(2));
}

#[test]
fn what_no_sentinel_confirms_gets_no_writes_until_they_agree() {
    let scene = Scene::start(&[("failover.confirm_ms", "300")]);
    let client = scene.served();
    scene.selects(2, scene.port(1));
    scene.assert_writes_wait(&client);
    tell(scene.node(1), "REPLICAOF NO ONE");
    let foreseen = Instant::now();
    assert_eq!(text(&client, "SET k second"), "OK");
    // The leader answers nothing any more, and names nobody.
    scene.leader.set_silent(true);
    wait_until("writes to wait", PATIENCE, || {
        run_within(&client, "SET k third", 20).is_err()
    });
    assert!(foreseen.elapsed() > Duration::from_millis(300));
    let left = scene.node(1).ask(&["GET", "k"]).as_text();
    scene.assert_writes_wait(&client);
    scene.assert_writes_wait(&client);
    assert_eq!(scene.node(1).ask(&["GET", "k"]).as_text(), left, "a write went there");
    // It is back, and names the old one: that is what counts.
    scene.leader.set_silent(false);
    assert_eq!(run_within(&client, "SET k fourth", 10_000).unwrap().text(), "OK");
    assert_eq!(serving_port(&client), scene.port(0));
}

#[test]
fn where_foresight_holds_the_write_waits_for_the_sentinels_word() {
    let scene = Scene::start(&[("failover.foresee", "hold")]);
    let client = scene.served();
    scene.selects(2, scene.port(1));
    tell(scene.node(1), "REPLICAOF NO ONE");
    scene.assert_writes_wait(&client);
    scene.leader.switch_master("127.0.0.1", scene.port(1));
    assert_eq!(text(&client, "SET k second"), "OK");
    assert_eq!(serving_port(&client), scene.port(1));
}

#[test]
fn where_foresight_is_off_nothing_waits() {
    let scene = Scene::start(&[("failover.foresee", "off")]);
    let client = scene.served();
    scene.selects(2, scene.port(1));
    tell(scene.node(1), "REPLICAOF NO ONE");
    text(&client, "SET k second");
    assert_eq!(serving_port(&client), scene.port(0));
    assert_eq!(scene.leader.count("SUBSCRIBE +new-epoch"), 0);
}

/// Nobody is believed for what he says alone.
#[test]
fn what_cannot_be_changes_nothing() {
    let scene = Scene::start(&[]);
    let client = scene.served();
    // A node that nobody lists, the primary itself, an epoch that is in force already.
    let stray = Topology::start(Config::default().nodes(1).sentinels(0));
    for (epoch, port) in [(2, stray.node(0).port()), (2, scene.port(0)), (1, scene.port(1))] {
        scene.selects(epoch, port);
    }
    // Another service.
    scene.leader.emit(
        "+failover-state-send-slaveof-noone",
        &format!(
            "slave h:1 127.0.0.1 {} @ other 127.0.0.1 {}",
            scene.port(1),
            scene.port(0)
        ),
    );
    // What is asked now was asked after all of it.
    text(&client, "SET k second");
    assert_eq!(serving_port(&client), scene.port(0));
}

/// What a thread submits behind a write that waits reads what that has written. Nobody else waits for it.
#[test]
fn what_a_thread_submits_stays_behind_its_writes_that_wait() {
    let scene = Scene::start(&[]);
    let client = scene.served();
    let queue = scene.deployment.queue(64).unwrap();
    let submit = |text: &str, tag| {
        let call = within(10_000);
        client.submit(&words(text), &call, Target::Queue(&queue, tag)).unwrap();
    };
    scene.selects(2, scene.port(1));
    scene.assert_writes_wait(&client);
    for tag in 0..20 {
        submit("INCR count", 2 * tag);
        submit("GET count", 2 * tag + 1);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            submit("GET k", 100);
            let first = completions(&queue, 1);
            assert_eq!(
                first.keys().collect::<Vec<_>>(),
                [&100],
                "what only reads waits for nobody"
            );
        });
    });
    tell(scene.node(1), "REPLICAOF NO ONE");
    let ends = completions(&queue, 40);
    for tag in 0..20 {
        let (write, read) = (
            ends[&(2 * tag)].as_ref().unwrap(),
            ends[&(2 * tag + 1)].as_ref().unwrap(),
        );
        assert_eq!(write.integer().to_string(), read.text(), "the read of {tag}");
    }
}
