//! Others answer where our Sentinels were, or hardly any of ours does.

use std::time::{Duration, Instant};

use sentinel::{Client, Deployment};
use sentinel_lab::{Cut, FakeNode, FakeReplica, FakeSentinel, wait_until};

use crate::support::{PATIENCE, SERVICE, open, run_within};

/// Three that list each other, and two nodes.
struct Farm {
    nodes: [FakeNode; 2],
    sentinels: Vec<FakeSentinel>,
}

impl Farm {
    fn start(services: &[&str], count: usize) -> Farm {
        let nodes = [FakeNode::start(), FakeNode::start()];
        let start = |_| FakeSentinel::builder(services[0], nodes[0].port()).start();
        let sentinels: Vec<FakeSentinel> = (0..count).map(start).collect();
        let ports: Vec<u16> = sentinels.iter().map(|one| one.port()).collect();
        for one in &sentinels {
            one.edit(|view| {
                view.services = services[1..].iter().map(|&name| name.to_owned()).collect();
                let others = ports.iter().filter(|port| **port != one.port());
                view.sentinels = others.map(|port| ("127.0.0.1".to_owned(), *port)).collect();
                view.replicas = vec![FakeReplica::new("127.0.0.1", nodes[1].port())];
            });
        }
        Farm { nodes, sentinels }
    }

    fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|one| one.port()).collect()
    }

    /// At all these addresses somebody else answers from now on, and names that node.
    fn change_hands(&self, run_id: char, node: u16) {
        for (number, one) in self.sentinels.iter().enumerate() {
            one.edit(|view| {
                view.my_id = format!("{run_id}{number:039x}");
                (view.primary, view.epoch) = (("127.0.0.1".to_owned(), node), 50);
                view.sentinels.clear();
                view.replicas.clear();
            });
            one.cut_all(Cut::Reset);
        }
    }

    /// One of them tells of a failover to the second node, as its lists have it.
    fn fail_over(&self, teller: usize) {
        let replica = FakeReplica::new("127.0.0.1", self.nodes[0].port());
        self.sentinels[teller].edit(|view| view.replicas = vec![replica]);
        self.sentinels[teller].switch_master("127.0.0.1", self.nodes[1].port());
    }
}

fn write(client: &Client) {
    run_within(client, "SET k v", 2000).unwrap();
}

fn write_for(client: &Client, time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        write(client);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stands_for(deployment: &Deployment, words: usize, word: &str) -> bool {
    let told = deployment.describe().unwrap();
    told.matches(&format!("\"word\":\"{word}\"")).count() == words
}

/// How long writes take until they are made at the second node.
fn follows(client: &Client, farm: &Farm) -> Duration {
    let since = Instant::now();
    wait_until("the second node to take the writes", PATIENCE, || {
        // What is under way when it moves may be lost.
        let _ = run_within(client, "SET k v", 2000);
        client
            .node()
            .unwrap()
            .is_some_and(|node| node.endpoint.port == farm.nodes[1].port())
    });
    since.elapsed()
}

#[test]
fn whoever_takes_all_the_addresses_is_not_believed_and_ours_are_when_they_are_back() {
    let (farm, foreign) = (Farm::start(&[SERVICE], 3), FakeNode::start());
    let deployment = open(&farm.ports());
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    write(&client);
    let ours: Vec<_> = farm.sentinels.iter().map(|one| one.edit(|view| view.clone())).collect();
    farm.change_hands('f', foreign.port());
    wait_until("three strangers", PATIENCE, || stands_for(&deployment, 3, "stranger"));
    write_for(&client, Duration::from_secs(8));
    assert_eq!(foreign.count("SET"), 0);
    for (one, was) in farm.sentinels.iter().zip(ours) {
        one.edit(|view| *view = was);
        one.cut_all(Cut::Reset);
    }
    wait_until("ours", PATIENCE, || stands_for(&deployment, 3, "names"));
    (0..3).for_each(|teller| farm.fail_over(teller));
    follows(&client, &farm);
}

#[test]
fn a_deployment_made_anew_over_the_same_nodes_is_followed() {
    let farm = Farm::start(&[SERVICE], 3);
    let deployment = open(&farm.ports());
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    write(&client);
    farm.change_hands('b', farm.nodes[0].port());
    wait_until("three whose words count", PATIENCE, || {
        stands_for(&deployment, 3, "names")
    });
    (0..3).for_each(|teller| farm.fail_over(teller));
    follows(&client, &farm);
}

#[test]
fn addresses_that_are_given_again_are_those_of_whoever_is_there_now() {
    let (farm, other) = (Farm::start(&[SERVICE], 3), FakeNode::start());
    let deployment = open(&farm.ports());
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    write(&client);
    farm.change_hands('b', other.port());
    wait_until("three strangers", PATIENCE, || stands_for(&deployment, 3, "stranger"));
    deployment
        .update_sentinels(&crate::support::options(&farm.ports()))
        .unwrap();
    wait_until("the new primary to take the writes", PATIENCE, || {
        let _ = run_within(&client, "SET k v", 2000);
        other.count("SET") > 0
    });
}

/// The one that is left lists the new primary among the replicas no more.
#[test]
fn the_last_sentinel_that_can_be_reached_is_believed_at_once() {
    let farm = Farm::start(&[SERVICE], 3);
    let deployment = open(&farm.ports());
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    write(&client);
    wait_until("three whose words count", PATIENCE, || {
        stands_for(&deployment, 3, "names")
    });
    farm.sentinels[..2].iter().for_each(|one| one.die());
    wait_until("one that is left", PATIENCE, || stands_for(&deployment, 1, "names"));
    // So that its lists are read with the news of the failover.
    write_for(&client, Duration::from_secs(3));
    farm.fail_over(2);
    let took = follows(&client, &farm);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// Its greeting is as quick as any.
#[test]
fn a_sentinel_that_takes_its_time_for_answers_alone_is_reached() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port()).on(|_, args| {
        if args[0].eq_ignore_ascii_case(b"SENTINEL") && !args[1].eq_ignore_ascii_case(b"MYID") {
            std::thread::sleep(Duration::from_millis(500));
        }
        false
    });
    let sentinel = sentinel.start();
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    run_within(&client, "SET k v", PATIENCE.as_millis().try_into().unwrap()).unwrap();
}

/// Both are found, in either order, and followed.
#[test]
fn sentinels_that_watch_different_services_are_all_heard() {
    for first in 0..2 {
        let farms = [Farm::start(&["one"], 2), Farm::start(&["two"], 2)];
        let deployment = open(&[farms[0].ports(), farms[1].ports()].concat());
        let order = [first, 1 - first];
        let client = |of: usize| deployment.primary_for(Some(["one", "two"][of]), None).unwrap();
        let clients = order.map(client);
        clients.iter().for_each(write);
        for (of, client) in order.into_iter().zip(&clients) {
            (0..2).for_each(|teller| farms[of].fail_over(teller));
            follows(client, &farms[of]);
        }
    }
}
