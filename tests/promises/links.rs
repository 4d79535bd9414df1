//! The links to the Sentinels: what is said on them, and when they are replaced.

use std::time::{Duration, Instant};

use sentinel_lab::{
    Config, Cut, FakeNode, FakeSentinel, Topology, servers_since, skipped_before, wait_for, wait_until,
};

use crate::events::{Events, FLOOR};
use crate::support::{
    P1_FIRST_WRITE, P5_HALF_OPEN, P5_MISSED_EVENT, PATIENCE, SERVICE, SLACK, assert_only_allowed, connected, ms,
    ms_between, sentinel_ports, serving, together, write, write_through,
};

/// Only events, pings and connections: no poll hides what they miss.
const NO_POLL: &[(&str, &str)] = &[("discovery.refresh_ms", "0")];

/// Writes until the node has the key; how long that took.
fn until_followed(client: &sentinel::Client, node: &FakeNode) -> Duration {
    let since = Instant::now();
    wait_until("a write at the new primary", PATIENCE, || {
        write_through(client, "SET followed v");
        node.value("followed").is_some()
    });
    since.elapsed()
}

#[test]
fn a_sentinel_that_goes_silent_is_replaced_within_two_seconds() {
    let _machine = together();
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let (_deployment, client) = connected(&[sentinel.port()], NO_POLL);
    sentinel.wait_for_subscribers(1, PATIENCE);
    let before = sentinel.connections().len();
    let silent = Instant::now();
    sentinel.set_silent(true);
    let again = wait_for("a new connection", PATIENCE, || {
        sentinel.connections().get(before).copied()
    });
    println!("silent Sentinel: dialled again after {} ms", ms(again - silent));
    assert!(again - silent <= P5_HALF_OPEN + SLACK);
    write(&client, "SET k v");
    assert_only_allowed(&sentinel);
}

#[test]
fn a_link_is_pinged_each_second() {
    let _machine = together();
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let (_deployment, _client) = connected(&[sentinel.port()], NO_POLL);
    sentinel.wait_for_subscribers(1, PATIENCE);
    wait_until("three pings", Duration::from_millis(3500), || {
        sentinel.count("PING") >= 3
    });
    let at: Vec<Instant> = sentinel
        .commands()
        .into_iter()
        .filter(|command| command.text() == "PING")
        .map(|command| command.at)
        .collect();
    for pair in at.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(
            apart > Duration::from_millis(700) && apart < Duration::from_millis(1500),
            "{apart:?}"
        );
    }
}

#[test]
fn each_subscription_is_followed_by_a_question() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let (_deployment, client) = connected(&[sentinel.port()], NO_POLL);
    sentinel.wait_for_subscribers(1, PATIENCE);
    for round in 0..3 {
        let known = sentinel.connections().len();
        sentinel.cut_all(Cut::Reset);
        wait_until("a new connection", PATIENCE, || sentinel.connections().len() > known);
        sentinel.wait_for_subscribers(1, PATIENCE);
        let asked_again = || {
            let commands = sentinel.commands();
            let place = |name: &str| {
                let on_new = |command: &&sentinel_lab::Received| command.connection >= known;
                let texts = commands.iter().filter(on_new).map(|command| command.text());
                texts.into_iter().position(|text| text.starts_with(name))
            };
            place("SUBSCRIBE").zip(place("SENTINEL GET-MASTER-ADDR-BY-NAME"))
        };
        let (subscribed, asked) = wait_for("a question", PATIENCE, asked_again);
        assert!(subscribed < asked, "round {round}");
    }
    // What happened while nobody listened is found by that question alone.
    sentinel.refuse();
    sentinel.cut_all(Cut::Close);
    sentinel.switch_master("127.0.0.1", new.port());
    sentinel.listen();
    let took = until_followed(&client, &new);
    println!("switch while the link was down: followed after {} ms", ms(took));
    assert!(took <= Duration::from_millis(500) + SLACK);
    assert_only_allowed(&sentinel);
}

#[test]
fn a_sentinel_of_redis_5_gets_two_connections_and_its_events_are_followed() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::builder(SERVICE, old.port()).resp2_only().start();
    let (_deployment, client) = connected(&[sentinel.port()], NO_POLL);
    sentinel.wait_for_subscribers(1, PATIENCE);
    assert_eq!(sentinel.open_connections(), 2);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(sentinel.connections().len(), 2, "both connections live");
    assert!(sentinel.count("PING") >= 2);
    sentinel.switch_master("127.0.0.1", new.port());
    let took = until_followed(&client, &new);
    println!("RESP2: switch followed after {} ms", ms(took));
    assert!(took <= P1_FIRST_WRITE + SLACK);
    assert_eq!(sentinel.connections().len(), 2);
    assert_only_allowed(&sentinel);
}

#[test]
fn a_redis_5_sentinel_that_goes_silent_on_its_events_is_replaced() {
    let _machine = together();
    let node = FakeNode::start();
    // The first connection answers for ever, the subscribed one only until it is told not to.
    let mute = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let muted = std::sync::Arc::clone(&mute);
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .resp2_only()
        .on(move |session, _| muted.load(std::sync::atomic::Ordering::SeqCst) && session.is_subscribed())
        .start();
    let (_deployment, _client) = connected(&[sentinel.port()], NO_POLL);
    sentinel.wait_for_subscribers(1, PATIENCE);
    let before = sentinel.connections().len();
    let silent = Instant::now();
    mute.store(true, std::sync::atomic::Ordering::SeqCst);
    let again = wait_for("a new connection", PATIENCE, || {
        sentinel.connections().get(before).copied()
    });
    println!(
        "silent events of a RESP2 Sentinel: dialled again after {} ms",
        ms(again - silent)
    );
    assert!(again - silent <= P5_HALF_OPEN + SLACK);
}

#[test]
fn what_no_event_told_is_found_by_the_poll() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = [0, 1, 2].map(|_| FakeSentinel::start(SERVICE, old.port()));
    let ports = [0, 1, 2].map(|place: usize| sentinels[place].port());
    let (_deployment, client) = connected(&ports, &[("sentinel.learn", "0")]);
    for sentinel in &sentinels {
        sentinel.wait_for_subscribers(1, PATIENCE);
    }
    for sentinel in &sentinels {
        sentinel.change_primary("127.0.0.1", new.port());
    }
    let took = until_followed(&client, &new);
    println!("switch without an event: followed after {} ms", ms(took));
    assert!(took <= P5_MISSED_EVENT + SLACK);
    sentinels.iter().for_each(assert_only_allowed);
}

#[test]
fn what_no_event_told_is_found_by_the_poll_of_the_one_sentinel_that_is_left() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = [0, 1, 2].map(|_| FakeSentinel::start(SERVICE, old.port()));
    let ports = [0, 1, 2].map(|place: usize| sentinels[place].port());
    let (deployment, client) = connected(&ports, &[("sentinel.learn", "0")]);
    // Nobody lists anybody here: who is first heard while the others are silent is nobody's.
    wait_until("a word of each", PATIENCE, || {
        deployment.describe().unwrap().matches(r#""word":"names""#).count() == ports.len()
    });
    let [first, left, last] = &sentinels;
    [first, last].iter().for_each(|sentinel| sentinel.die());
    // Whatever their end makes the client ask is answered by then.
    let asked = left.count("SENTINEL GET-MASTER-ADDR-BY-NAME");
    wait_until("three polls", PATIENCE, || {
        left.count("SENTINEL GET-MASTER-ADDR-BY-NAME") > asked + 3
    });
    left.change_primary("127.0.0.1", new.port());
    let took = until_followed(&client, &new);
    println!(
        "switch without an event, two of three dead: followed after {} ms",
        ms(took)
    );
    assert!(took <= P5_MISSED_EVENT + SLACK);
    assert_only_allowed(left);
}

#[test]
fn the_least_rights_are_enough_to_discover_and_to_follow() {
    if skipped_before((6, 2), "users at Sentinels") {
        return;
    }
    let _machine = together();
    let rights = "user client on >least-rights -@all +auth +hello +ping +role +client|setname \
                  +sentinel|get-master-addr-by-name +sentinel|master +sentinel|replicas +sentinel|sentinels \
                  +sentinel|myid +subscribe +psubscribe &*";
    // What is refused is looked at, and newer Sentinels take the library's name.
    let name = if servers_since((7, 2)) { " +client|setinfo" } else { "" };
    let topology = Topology::start(Config::default().sentinel_line(&format!("{rights}{name}")));
    let events = Events::of(&topology);
    let keys = [
        ("sentinel.username", "client"),
        ("sentinel.password", "least-rights"),
        ("discovery.refresh_ms", "0"),
    ];
    let (deployment, client) = connected(&sentinel_ports(&topology), &keys);
    assert_eq!(deployment.discover_sentinels(Some(SERVICE), 5000).unwrap().len(), 3);
    assert_eq!(deployment.discover_replicas(Some(SERVICE), 5000).unwrap().len(), 2);
    let old = topology.primary();
    let ordered = Instant::now();
    topology.fail_over();
    let event = events.wait(FLOOR, ordered, PATIENCE).at;
    let old_port = topology.node(old).port();
    let moved = wait_for("the client to move", PATIENCE, || {
        (write_through(&client, "SET k v") && serving(&client) != Some(old_port)).then(Instant::now)
    });
    println!(
        "least rights: followed {:+.1} ms after the event",
        ms_between(event, moved)
    );
    assert!(moved <= event + P1_FIRST_WRITE + SLACK);
    for sentinel in 0..3 {
        let denied = topology.sentinel(sentinel).ask(&["ACL", "LOG"]);
        assert!(denied.as_items().is_empty(), "refused: {denied:?}");
    }
}
