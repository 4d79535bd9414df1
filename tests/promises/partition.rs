//! Partitions, with a proxy in place of the network: bytes are held, nothing is closed.

use std::time::{Duration, Instant};

use sentinel::{Outcome, Reason};
use sentinel_lab::{FakeNode, FakeSentinel, Proxy, Topology, wait_for};

use crate::support::{
    P3_DEADLINE, P5_HALF_OPEN, P7_RECOVERY, PATIENCE, SERVICE, SLACK, connected, ms, open, run, serving, together,
    write, write_through,
};

#[test]
fn a_sentinel_that_is_cut_off_without_a_word_is_dialled_again_within_two_seconds() {
    let _machine = together();
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let proxy = Proxy::to(sentinel.port());
    // Without the poll: only PING can notice.
    let (_deployment, _client) = connected(&[proxy.port()], &[("discovery.refresh_ms", "0")]);
    sentinel.wait_for_subscribers(1, PATIENCE);
    let dials = proxy.connections().len();
    let cut = Instant::now();
    proxy.black_hole();
    let again = wait_for("a new connection", PATIENCE, || proxy.connections().get(dials).copied());
    println!(
        "Sentinel behind a black hole: dialled again after {} ms",
        ms(again - cut)
    );
    assert!(again - cut <= P5_HALF_OPEN + SLACK);
}

#[test]
fn a_client_cut_off_with_its_primary_serves_on_and_follows_when_the_network_is_back() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = [0, 1, 2].map(|_| FakeSentinel::start(SERVICE, old.port()));
    let proxies = [0, 1, 2].map(|place: usize| Proxy::to(sentinels[place].port()));
    let ports = [0, 1, 2].map(|place: usize| proxies[place].port());
    let (_deployment, client) = connected(&ports, &[("sentinel.learn", "0")]);
    for sentinel in &sentinels {
        sentinel.wait_for_subscribers(1, PATIENCE);
    }
    for proxy in &proxies {
        proxy.black_hole();
    }
    for sentinel in &sentinels {
        sentinel.switch_master("127.0.0.1", new.port());
    }
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(4) {
        write(&client, "SET k v");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(serving(&client), Some(old.port()));
    let healed = Instant::now();
    for proxy in &proxies {
        proxy.pass();
    }
    let followed = wait_for("a write at the new primary", PATIENCE, || {
        write_through(&client, "SET k new");
        new.value("k").map(|_| Instant::now())
    });
    println!(
        "partition of client and primary: followed {} ms after the heal",
        ms(followed - healed)
    );
    assert!(followed - healed <= P7_RECOVERY + SLACK);
}

#[test]
fn a_call_to_a_primary_cut_off_from_the_client_alone_ends_at_its_deadline_and_the_next_goes_on_after_the_heal() {
    let _machine = together();
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let (_deployment, client) = connected(&[sentinel.port()], &[]);
    write(&client, "SET k v");
    proxy.black_hole();
    let sent = Instant::now();
    let error = run(&client, "SET in flight", 1500).expect_err("nothing can answer");
    let took = sent.elapsed();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(took <= Duration::from_millis(1500) + P3_DEADLINE + SLACK, "{took:?}");
    println!("primary cut off from the client alone: {took:?} of 1.5 s");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (run(&client, "SET k again", 10_000), Instant::now()));
        std::thread::sleep(Duration::from_millis(1500));
        let healed = Instant::now();
        proxy.pass();
        let (result, done) = waiting.join().unwrap();
        result.unwrap();
        println!(
            "primary cut off from the client alone: served {} ms after the heal",
            ms(done - healed)
        );
        assert!(done - healed <= P7_RECOVERY + SLACK);
    });
}

#[test]
fn a_call_that_gets_no_connection_to_a_silent_primary_says_that_the_node_is_unreachable() {
    let _machine = together();
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let (_deployment, client) = connected(&[sentinel.port()], &[]);
    proxy.black_hole();
    let error = run(&client, "SET in flight", 300).expect_err("nothing can answer");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    // Shorter and longer than one attempt to connect.
    for deadline_ms in [600, 1800] {
        let error = run(&client, "SET never sent", deadline_ms).expect_err("nothing can answer");
        println!("silent primary, call of {deadline_ms} ms: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert_eq!(error.reason(), Some(Reason::NodeUnreachable), "{error}");
    }
}

#[test]
fn an_idle_connection_that_died_without_a_word_is_replaced_before_it_is_used() {
    let _machine = together();
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let (_deployment, client) = connected(&[sentinel.port()], &[]);
    write(&client, "SET k v");
    let dials = proxy.connections().len();
    let cut = Instant::now();
    proxy.black_hole();
    let noticed = wait_for("a dial to the node that is silent", 2 * P5_HALF_OPEN, || {
        proxy.connections().get(dials).copied()
    });
    println!(
        "idle connection behind a black hole: noticed after {} ms",
        ms(noticed - cut)
    );
    assert!(noticed - cut <= P5_HALF_OPEN + SLACK);
}

#[test]
fn a_primary_cut_off_from_everyone_is_left_at_the_switch() {
    let _machine = together();
    let topology = Topology::start(sentinel_lab::Config::default().nodes(1).sentinels(1));
    let new = FakeNode::start();
    let proxy = Proxy::to(topology.node(0).port());
    let sentinels = [0, 1, 2].map(|_| FakeSentinel::start(SERVICE, proxy.port()));
    let ports = [0, 1, 2].map(|place: usize| sentinels[place].port());
    let deployment = open(&ports, &[]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(5000).unwrap();
    for sentinel in &sentinels {
        sentinel.wait_for_subscribers(1, PATIENCE);
    }
    write(&client, "SET w:before v");
    proxy.black_hole();
    std::thread::scope(|scope| {
        let in_flight = scope.spawn(|| (run(&client, "SET w:held v", 20_000), Instant::now()));
        std::thread::sleep(Duration::from_millis(700));
        let event = Instant::now();
        sentinels[1].switch_master("127.0.0.1", new.port());
        let (result, ended) = in_flight.join().unwrap();
        let error = result.expect_err("its answer is held");
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        println!(
            "primary cut off from everyone: the call in flight ended {} ms after the event",
            ms(ended - event)
        );
        assert!(ended - event <= crate::support::P3_IN_FLIGHT + SLACK);
        write(&client, "SET w:after v");
        assert!(new.value("w:after").is_some());
    });
    // The network is back: the old node answers what it was sent, to nobody, and gets nothing more.
    proxy.pass();
    for _ in 0..20 {
        write(&client, "SET w:later v");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(topology.node(0).ask(&["GET", "w:later"]).is_nil());
}
