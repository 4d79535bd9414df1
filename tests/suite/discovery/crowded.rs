//! Many services at Sentinels that take their time: what is asked about one does not cost the others their answers.

use std::time::{Duration, Instant};

use sentinel::Client;
use sentinel_lab::{Bottleneck, FakeNode, FakeSentinel, wait_until};

use crate::support::{PATIENCE, SERVICE, open, run_within};

const SERVICES: usize = 120;

/// What a Sentinel takes for each command.
const COMMAND: Duration = Duration::from_millis(1);

/// Within this all links are back, and all services are where they belong. Each Sentinel takes half a second for what is
/// asked about all of them at once.
const SETTLED_WITHIN: Duration = Duration::from_secs(6);

/// The connections of a link with RESP3: one.
const LINK: u64 = 1;

struct Slow {
    sentinel: FakeSentinel,
    way: Bottleneck,
}

impl Slow {
    fn start(number: u64, services: &[String], node: u16) -> Slow {
        let sentinel = FakeSentinel::builder(SERVICE, node).view(|view| {
            view.services = services.to_vec();
            view.my_id = format!("{number:040x}");
        });
        let sentinel = sentinel.start();
        let way = Bottleneck::to(sentinel.port(), COMMAND, COMMAND);
        Slow { sentinel, way }
    }
}

fn names() -> Vec<String> {
    (0..SERVICES).map(|number| format!("service-{number}")).collect()
}

/// How long it takes until each client has been served by the node at `port`.
fn all_are_served_by(clients: &[Client], port: u16) -> Duration {
    let since = Instant::now();
    for client in clients {
        let is_there = || {
            run_within(client, "SET k v", 1000).is_ok()
                && client.node().unwrap().is_some_and(|node| node.endpoint.port == port)
        };
        while !is_there() {
            assert!(
                since.elapsed() < SETTLED_WITHIN,
                "a service is not followed to port {port}"
            );
        }
    }
    since.elapsed()
}

#[test]
fn a_hundred_services_follow_their_primary_though_each_command_takes_a_millisecond_and_a_link_is_cut() {
    let nodes = [FakeNode::start(), FakeNode::start()];
    let services = names();
    let slow: Vec<Slow> = (1..=3)
        .map(|number| Slow::start(number, &services, nodes[0].port()))
        .collect();
    let deployment = open(&slow.iter().map(|slow| slow.way.port()).collect::<Vec<u16>>());
    let clients: Vec<Client> = services
        .iter()
        .map(|service| deployment.primary_for(Some(service), None).unwrap())
        .collect();
    all_are_served_by(&clients, nodes[0].port());
    let accepted = |slow: &Slow| slow.way.accepted();
    let before: Vec<u64> = slow.iter().map(accepted).collect();

    slow[0].way.die();
    slow[0].way.listen();
    wait_until("the link that was cut", PATIENCE, || accepted(&slow[0]) > before[0]);
    for turn in 1..=2 {
        for one in &slow {
            one.sentinel.switch_master("127.0.0.1", nodes[turn % 2].port());
        }
        let took = all_are_served_by(&clients, nodes[turn % 2].port());
        println!("all of {SERVICES} services have followed after {took:?}");
    }
    let dialled: Vec<u64> = slow
        .iter()
        .zip(&before)
        .map(|(slow, before)| accepted(slow) - before)
        .collect();
    assert_eq!(
        dialled,
        [LINK, 0, 0],
        "connections beyond the one that was cut: {}",
        deployment.describe().unwrap()
    );
}

/// No word of the greeting takes longer than the patience with which a slow one is met in the end; all of them together do:
/// HELLO, the library's name and its version.
#[test]
fn a_sentinel_that_takes_its_time_for_each_word_of_the_greeting_is_reached() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    sentinel.set_delay(Duration::from_millis(1100));
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    run_within(&client, "SET k v", PATIENCE.as_millis().try_into().unwrap()).unwrap();
}
