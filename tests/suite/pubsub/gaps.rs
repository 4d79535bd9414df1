//! Pub/sub through failovers and other losses of the connection: what is restored where, and what is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::Deployment;
use sentinel::completion::ChannelKind::{Channel, Pattern, Sharded};
use sentinel::completion::queue::Polled;
use sentinel::topology::Role;
use sentinel_lab::{Config, Cut, FakeNode, FakeReplica, FakeSentinel, Proxy, Topology, servers_since, wait_until};

use crate::pubsub::hearing::{
    Got, Hearer, message, publish, scripted, subscribed, subscribers, text, while_publishing,
};
use crate::support::{PATIENCE, SERVICE, SLACK, open, open_on, options, overrides, shared, tell, with};

/// What was heard in the course of a test, checked as it comes: numbers rise by one, but for the gaps that are told.
#[derive(Default)]
struct Course {
    last: u64,
    gaps: Vec<Got>,
    fresh: bool,
}

impl Course {
    /// Hears what has come; gaps may be followed by a jump, nothing else may.
    #[track_caller]
    fn hear(&mut self, hearer: &Hearer) {
        for got in hearer.take() {
            if got.is_gap() {
                self.gaps.push(got);
                self.fresh = true;
                continue;
            }
            let number = got.number().unwrap_or_else(|| panic!("{got:?}"));
            let next = self.last + 1;
            let in_order = number == next || (std::mem::take(&mut self.fresh) && number > next);
            assert!(in_order, "{number} after {}, {:?}", self.last, self.gaps);
            self.last = number;
            self.fresh = false;
        }
    }

    #[track_caller]
    fn hear_until(&mut self, hearer: &Hearer, what: &str, holds: impl Fn(&Course) -> bool) {
        wait_until(what, PATIENCE, || {
            self.hear(hearer);
            holds(self)
        });
    }

    #[track_caller]
    fn hear_more(&mut self, hearer: &Hearer, count: u64) {
        let until = self.last + count;
        self.hear_until(hearer, "messages", |course| course.last >= until);
    }
}

/// Through one failover: every kind of name is restored, one gap is told, and nothing is lost outside of it.
fn follow_one_failover(protocol: &str, fail_over: impl FnOnce(&Topology, usize)) {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let keys = overrides(&[("protocol", protocol)]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let hearer = Hearer::new(&deployment, &client, 100_000);
    hearer.add("numbers");
    let sharded = servers_since((7, 0)).then_some((Sharded, "shard"));
    for (kind, name) in [(Pattern, "other*")].into_iter().chain(sharded) {
        hearer.subscription.add_confirmed(kind, name.as_bytes()).unwrap();
        assert_eq!(hearer.next(), subscribed(kind.name(), name));
    }
    let old = topology.primary();
    let (mut course, mut new) = (Course::default(), old);
    let began = Instant::now();
    let published = while_publishing(&client, "numbers", Duration::from_millis(2), || {
        course.hear_more(&hearer, 50);
        fail_over(&topology, old);
        new = topology.wait_for_primary_change(old, PATIENCE);
        course.hear_until(&hearer, "the gap", |course| !course.gaps.is_empty());
        course.hear_more(&hearer, 50);
    });
    course.hear_until(&hearer, "the last message", |course| course.last == published);
    let [from, to] = [old, new].map(|index| topology.node(index).address());
    match &course.gaps[..] {
        [Got::Gap(gap_from, gap_to, milliseconds, 0)] => {
            assert_eq!((gap_from, gap_to), (&from, &to));
            let all = i64::try_from(began.elapsed().as_millis()).unwrap();
            assert!((1..=all).contains(milliseconds), "{milliseconds} ms of {all}");
            println!("RESP{protocol}: a gap of {milliseconds} ms");
        }
        other => panic!("one gap is to be told: {other:?}"),
    }
    tell(topology.node(new), "PUBLISH others p");
    assert!(matches!(hearer.next(), Got::Message(parts) if parts[0] == "pmessage"));
    if sharded.is_some() {
        tell(topology.node(new), "SPUBLISH shard s");
        assert!(matches!(hearer.next(), Got::Message(parts) if parts[0] == "smessage"));
    }
    assert_eq!(hearer.take(), []);
}

#[test]
fn a_killed_primary_makes_one_gap_and_nothing_is_lost_outside_of_it() {
    follow_one_failover("3", |topology, old| topology.kill(old));
}

#[test]
fn a_killed_primary_makes_one_gap_in_resp2_too() {
    follow_one_failover("2", |topology, old| topology.kill(old));
}

#[test]
fn an_ordered_failover_makes_one_gap_and_nothing_is_lost_outside_of_it() {
    follow_one_failover("3", |topology, _| topology.fail_over());
}

#[test]
fn a_hung_primary_makes_one_gap_and_nothing_is_lost_outside_of_it() {
    follow_one_failover("3", |topology, old| topology.stop(old));
}

#[test]
fn each_loss_of_a_connection_makes_one_gap() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let deployment = open_on(&topology);
    let keys = overrides(&[("client_name", "losses")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let hearer = Hearer::new(&deployment, &client, 1000);
    hearer.add("losses");
    for round in 0..5 {
        let list = node.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]).as_text();
        let own = list.lines().find(|line| line.contains(" name=losses ")).unwrap();
        let id = own.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap();
        tell(node, &format!("CLIENT KILL ID {id}"));
        match hearer.next() {
            Got::Gap(from, to, _, 0) => assert_eq!((&from, &to), (&node.address(), &node.address())),
            other => panic!("{other:?}"),
        }
        let payload = round.to_string();
        assert_eq!(publish(node, "losses", &payload), 1);
        assert_eq!(hearer.next(), message("losses", &payload));
        // A node that closes connections as soon as they are made is dialled less often: this one is to be trusted again.
        assert_eq!(hearer.poll(Duration::from_millis(1100), drop), Ok(Polled::Empty));
    }
}

/// What a scripted node was told about subscriptions, in order.
fn subscribing(node: &FakeNode) -> Vec<String> {
    let all = node.commands().into_iter().map(|command| command.text());
    all.filter(|text| text.contains("SUBSCRIBE")).collect()
}

#[test]
fn names_are_restored_in_the_order_in_which_they_were_added_and_cut_at_the_event() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let (sentinel, deployment) = scripted(&old);
    let hearer = Hearer::of_primary(&deployment);
    let names = [
        (Channel, "z"),
        (Pattern, "a*"),
        (Channel, "b"),
        (Pattern, "z"),
        (Channel, "a"),
    ];
    for (kind, name) in names {
        hearer.subscription.add_confirmed(kind, name.as_bytes()).unwrap();
        assert_eq!(hearer.next(), subscribed(kind.name(), name));
    }
    hearer.subscription.remove(Channel, b"b").unwrap();
    hearer.add("b");
    sentinel.wait_for_subscribers(1, PATIENCE);
    let event = Instant::now();
    sentinel.switch_master("127.0.0.1", new.port());
    wait_until("the old connection to be cut", PATIENCE, || old.open_connections() == 0);
    let took = event.elapsed();
    assert!(took <= Duration::from_millis(50) + SLACK, "{took:?}");
    match hearer.next() {
        Got::Gap(from, to, _, 0) => assert_eq!((from, to), (old.address(), new.address())),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        subscribing(&new),
        [
            "SUBSCRIBE z",
            "PSUBSCRIBE a*",
            "PSUBSCRIBE z",
            "SUBSCRIBE a",
            "SUBSCRIBE b"
        ]
    );
    assert_eq!(new.emit("z", "first"), 2);
    assert_eq!(hearer.next(), message("z", "first"));
}

#[test]
fn what_comes_before_all_is_restored_comes_after_the_gap() {
    // Confirms the first of two names, sends a message of it, and the second name only when it may.
    let may = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&may);
    let new = FakeNode::builder()
        .on(move |session, args| {
            if args[0] == b"SUBSCRIBE" && args[1] == b"second" {
                session.send(">3\r\n$7\r\nmessage\r\n$5\r\nfirst\r\n$5\r\nearly\r\n");
                wait_until("the word", PATIENCE, || told.load(Ordering::SeqCst));
            }
            false
        })
        .start();
    let old = FakeNode::start();
    let (sentinel, deployment) = scripted(&old);
    let hearer = Hearer::of_primary(&deployment);
    hearer.add("first");
    hearer.add("second");
    sentinel.wait_for_subscribers(1, PATIENCE);
    sentinel.switch_master("127.0.0.1", new.port());
    new.wait_for_command("SUBSCRIBE second", PATIENCE);
    assert_eq!(hearer.poll(Duration::from_millis(200), drop), Ok(Polled::Empty));
    may.store(true, Ordering::SeqCst);
    assert!(hearer.next().is_gap());
    assert_eq!(hearer.next(), message("first", "early"));
}

#[test]
fn only_a_node_that_holds_the_role_is_listened_to() {
    let node = FakeNode::builder().replica_of(1).start();
    let (_sentinel, deployment) = scripted(&node);
    let hearer = Hearer::of_primary(&deployment);
    hearer.subscription.add_confirmed(Channel, b"c").unwrap();
    wait_until("a second look", PATIENCE, || node.connections().len() >= 2);
    assert_eq!(subscribing(&node), Vec::<String>::new());
    node.set_role(sentinel_lab::Role::Primary);
    assert_eq!(hearer.next(), subscribed("channel", "c"));
}

#[test]
fn a_node_that_ends_every_subscription_is_dialled_at_most_ten_times_a_second() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let ends = args[0] == b"SUBSCRIBE";
            if ends {
                session.close();
            }
            ends
        })
        .start();
    let (_sentinel, deployment) = scripted(&node);
    let hearer = Hearer::of_primary(&deployment);
    hearer.subscription.add_confirmed(Channel, b"c").unwrap();
    wait_until("dials", PATIENCE, || node.connections().len() >= 13);
    for eleven in node.connections()[2..].windows(11) {
        let second = eleven[10] - eleven[0];
        assert!(second >= Duration::from_millis(990), "eleven dials in {second:?}");
    }
    assert_eq!(hearer.take(), [], "nothing was in force, so nothing was lost");
}

/// A proxy in front of the shared primary, and what a Sentinel that names the proxy leads to.
fn through_a_proxy(topology: &Topology, protocol: &str) -> (Proxy, FakeSentinel, Deployment, Hearer) {
    let proxy = Proxy::to(topology.node(topology.primary()).port());
    let sentinel = FakeSentinel::start(SERVICE, proxy.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("protocol", protocol)])).unwrap();
    let hearer = Hearer::of_primary(&deployment);
    (proxy, sentinel, deployment, hearer)
}

#[test]
fn a_half_open_connection_is_noticed_within_two_seconds_and_replaced() {
    let topology = shared();
    let node = topology.node(topology.primary());
    std::thread::scope(|scope| {
        for protocol in ["2", "3"] {
            let topology = &topology;
            scope.spawn(move || {
                let (proxy, _sentinel, _deployment, hearer) = through_a_proxy(topology, protocol);
                let channel = format!("half-open-{protocol}");
                hearer.add(&channel);
                // PINGs come and go first, in the subscribed state.
                let before = proxy.bytes_from_client();
                wait_until("two PINGs", PATIENCE, || proxy.bytes_from_client() >= before + 28);
                assert_eq!(proxy.connections().len(), 1, "its pongs are understood");
                let silent = Instant::now();
                proxy.black_hole();
                wait_until("another connection", PATIENCE, || proxy.connections().len() > 1);
                let noticed = proxy.connections()[1] - silent;
                println!("RESP{protocol}: noticed after {noticed:?}");
                assert!(noticed <= Duration::from_secs(2) + SLACK, "noticed after {noticed:?}");
                proxy.pass();
                assert!(hearer.next().is_gap());
                wait_until("the old connection to be gone for the server", PATIENCE, || {
                    subscribers(node, &channel) == 1
                });
                assert_eq!(publish(node, &channel, "again"), 1);
                assert_eq!(hearer.next(), message(&channel, "again"));
                assert_eq!(hearer.take(), []);
            });
        }
    });
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_a_message_loses_that_message_and_no_more() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let (proxy, _sentinel, _deployment, hearer) = through_a_proxy(&topology, "3");
    hearer.add("middle");
    assert_eq!(publish(node, "middle", "whole"), 1);
    assert_eq!(hearer.next(), message("middle", "whole"));
    proxy.cut_at_from_server("broken", 3, Cut::Reset);
    assert_eq!(publish(node, "middle", "broken"), 1);
    assert!(hearer.next().is_gap());
    assert_eq!(publish(node, "middle", "after"), 1);
    assert_eq!(hearer.next(), message("middle", "after"));
}

#[test]
fn a_replica_client_listens_to_a_replica_and_to_the_primary_when_there_is_none() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    let hearer = Hearer::new(&deployment, &client, 1000);
    hearer.subscription.add_confirmed(Channel, b"copies").unwrap();
    let mut at = String::new();
    let polled = hearer.poll(PATIENCE, |entry| at = text(&entry.result.unwrap(), "node"));
    assert_eq!(polled, Ok(Polled::Some(1)));
    let primary = topology.primary();
    let mut left = topology.replicas();
    while !left.is_empty() {
        let place = left.iter().position(|index| topology.node(*index).address() == at);
        let place = place.unwrap_or_else(|| panic!("{at} is none of the replicas {left:?}"));
        let sent = format!("{}-left", left.len());
        tell(topology.node(primary), &format!("PUBLISH copies {sent}"));
        // A replica that lags tells once more what the one before it told already.
        let told = format!("{}-left", left.len() + 1);
        let mut got = hearer.next();
        if got == message("copies", &told) {
            got = hearer.next();
        }
        assert_eq!(got, message("copies", &sent));
        topology.kill(left.remove(place));
        match hearer.next() {
            Got::Gap(from, to, ..) => {
                assert_eq!(from, at);
                at = to;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(at, topology.node(primary).address());
    assert_eq!(publish(topology.node(primary), "copies", "alone"), 1);
    assert_eq!(hearer.next(), message("copies", "alone"));
}

#[test]
fn a_replica_that_is_promoted_is_left() {
    let primary = FakeNode::start();
    let replicas = [0, 1].map(|_| FakeNode::builder().replica_of(primary.port()).start());
    let listed = |ports: &[u16]| ports.iter().map(|port| FakeReplica::new("127.0.0.1", *port)).collect();
    let ports = replicas.each_ref().map(|node| node.port());
    let sentinel = FakeSentinel::builder(SERVICE, primary.port())
        .view(|view| view.replicas = listed(&ports))
        .start();
    let deployment = open(&[sentinel.port()]);
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    assert_eq!(client.node().unwrap(), None);
    let hearer = Hearer::new(&deployment, &client, 1000);
    hearer.add("c");
    let (promoted, other) = match replicas[0].emit("c", "m") {
        1 => (&replicas[0], &replicas[1]),
        _ => {
            assert_eq!(replicas[1].emit("c", "m"), 1);
            (&replicas[1], &replicas[0])
        }
    };
    assert_eq!(hearer.next(), message("c", "m"));
    promoted.set_role(sentinel_lab::Role::Primary);
    sentinel.edit(|view| view.replicas = listed(&[other.port()]));
    sentinel.switch_master("127.0.0.1", promoted.port());
    match hearer.next() {
        Got::Gap(from, to, ..) => assert_eq!((from, to), (promoted.address(), other.address())),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        deployment.discover_primary(Some(SERVICE), 2000).unwrap()[0].role,
        Role::Primary
    );
}
