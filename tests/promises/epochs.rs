//! Epochs order what scripted Sentinels say, whatever the order in which it arrives.

use std::time::{Duration, Instant};

use sentinel::{Batch, BatchKind, CallOptions, Client, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel, wait_for, wait_until};

use crate::support::{
    P3_IN_FLIGHT, P7_DIALS, PATIENCE, SERVICE, SLACK, assert_only_allowed, connected, ms, ports_of, run, serving,
    together, write, write_through,
};

/// A lower epoch on which a majority insists is believed after this: SENTINEL.md 1.9, point 3.
const LOWER_EPOCH_AFTER: Duration = Duration::from_secs(2);

/// ... and found by a poll of every Sentinel in turn.
const LOWER_EPOCH_BY: Duration = Duration::from_millis(2000 + 2500);

const LEARN_NOTHING: &[(&str, &str)] = &[("sentinel.learn", "0")];

/// Three Sentinels that name this node, at epoch 1.
fn three(primary: &FakeNode) -> Vec<FakeSentinel> {
    (0..3).map(|_| FakeSentinel::start(SERVICE, primary.port())).collect()
}

fn wait_until_heard(sentinels: &[FakeSentinel]) {
    for sentinel in sentinels {
        sentinel.wait_for_subscribers(1, PATIENCE);
        sentinel.wait_for_command("SENTINEL SENTINELS", PATIENCE);
    }
}

/// Writes until the node gets one.
fn follow(client: &Client, node: &FakeNode) -> Instant {
    wait_until("a write at the new primary", PATIENCE, || {
        write_through(client, "SET k v");
        node.value("k").is_some()
    });
    Instant::now()
}

/// Writes for a while; the node must get nothing of it.
#[track_caller]
fn write_elsewhere(client: &Client, time: Duration, not_here: &FakeNode) {
    let (commands, dials) = (not_here.commands().len(), not_here.connections().len());
    let until = Instant::now() + time;
    while Instant::now() < until {
        write(client, "SET elsewhere v");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(not_here.connections().len(), dials, "dialled");
    assert_eq!(not_here.commands().len(), commands, "written to");
}

#[test]
fn forty_events_and_noise_give_one_switch() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = three(&old);
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    write(&client, "SET before v");
    let callers_of_old = old.callers_connections();
    let (from, to) = (old.port(), new.port());
    let switch = format!("{SERVICE} 127.0.0.1 {from} 127.0.0.1 {to}");
    let about = format!("@ {SERVICE} 127.0.0.1 {from}");
    for sentinel in &sentinels {
        sentinel.change_primary("127.0.0.1", to);
    }
    let noise = [
        (
            "+promoted-slave",
            format!("slave 127.0.0.1:{to} 127.0.0.1 {to} {about}"),
        ),
        (
            "+config-update-from",
            format!("sentinel {:040x} 127.0.0.1 1 {about}", 7),
        ),
        ("+switch-master", format!("another 127.0.0.1 {to} 127.0.0.1 {from}")),
        ("+switch-master", "not of the form".to_owned()),
        ("+slave", format!("slave 127.0.0.1:{from} 127.0.0.1 {from} {about}")),
        ("+sdown", format!("master {SERVICE} 127.0.0.1 {from}")),
        ("+tilt", "#tilt mode entered".to_owned()),
    ];
    let mut sent = 0;
    while sent < 40 {
        for sentinel in &sentinels {
            sent += sentinel.emit("+switch-master", &switch);
            for (channel, payload) in &noise {
                sentinel.emit(channel, payload);
            }
        }
    }
    follow(&client, &new);
    write_elsewhere(&client, Duration::from_millis(1200), &old);
    let dials = new.callers_connections();
    println!("{sent} duplicate events: {dials} connections to the new primary");
    // One caller: one connection, and no second switch that would have made another.
    assert_eq!(dials, 1);
    assert_eq!(old.callers_connections(), callers_of_old);
    sentinels.iter().for_each(assert_only_allowed);
}

#[test]
fn whatever_is_in_flight_ends_at_the_switch_with_its_outcome_unknown() {
    let _machine = together();
    // Two at a time, as `pool.direct` has it; a blocking call has a connection of its own.
    end_in_flight(["LPUSH", "EVAL"]);
    end_in_flight(["BLPOP", "MULTI"]);
}

fn end_in_flight(names: [&str; 2]) {
    let mute = |_: &mut sentinel_lab::Session, args: &[Vec<u8>]| {
        let mute: [&[u8]; 5] = [b"BLPOP", b"EVAL", b"LPUSH", b"MULTI", b"EXEC"];
        mute.contains(&args[0].as_slice())
    };
    let (old, new) = (FakeNode::builder().on(mute).start(), FakeNode::start());
    let sentinels = three(&old);
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    let call = |name: &str| match name {
        "MULTI" => {
            let mut transaction = Batch::new(BatchKind::Transaction);
            transaction.add(&[b"SET", b"t", b"v"]).unwrap();
            let options = CallOptions {
                timeout_ms: 20_000,
                ..CallOptions::default()
            };
            client.batch(&transaction, &options).map(drop)
        }
        name => run(&client, &format!("{name} k 0"), 20_000).map(drop),
    };
    std::thread::scope(|scope| {
        let ends = names.map(|name| (name, scope.spawn(move || (call(name), Instant::now()))));
        for name in names {
            old.wait_for_command(name, PATIENCE);
        }
        let event = Instant::now();
        sentinels[1].switch_master("127.0.0.1", new.port());
        for (name, end) in ends {
            let (result, at) = end.join().unwrap();
            let error = result.expect_err(name);
            println!("{name} in flight: ended {} ms after the event: {error}", ms(at - event));
            assert_eq!(error.outcome(), Outcome::Unknown, "{name}: {error}");
            assert!(at - event <= P3_IN_FLIGHT + SLACK, "{name}");
        }
    });
    follow(&client, &new);
}

#[test]
fn one_sentinel_with_a_higher_epoch_is_enough_and_late_answers_do_not_turn_it_back() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = three(&old);
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    // Two still answer the old address, one of them late; the leader of a failover is right before the others are.
    sentinels[2].set_delay(Duration::from_millis(150));
    let event = Instant::now();
    sentinels[0].switch_master("127.0.0.1", new.port());
    let followed = follow(&client, &new);
    println!(
        "one Sentinel at a higher epoch: followed after {} ms",
        ms(followed - event)
    );
    assert!(followed - event <= SLACK);
    let back = format!("{SERVICE} 127.0.0.1 {} 127.0.0.1 {}", new.port(), old.port());
    sentinels[1].emit("+switch-master", &back);
    sentinels[2].emit("+switch-master", &back);
    write_elsewhere(&client, Duration::from_millis(700), &old);
    // The second Sentinel comes round; the third keeps its old news for longer than a lower epoch has to be insisted on.
    sentinels[1].change_primary("127.0.0.1", new.port());
    sentinels[2].set_delay(Duration::ZERO);
    for _ in 0..4 {
        sentinels[2].emit("+switch-master", &back);
        write_elsewhere(&client, Duration::from_millis(700), &old);
    }
    assert_eq!(serving(&client), Some(new.port()));
    assert_eq!(new.callers_connections(), 1, "one switch");
}

#[test]
fn the_leaders_new_address_under_its_new_epoch_counts_though_its_master_reply_shows_the_old_one() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = three(&old);
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    sentinels[0].edit(|view| {
        view.epoch += 1;
        view.announced = Some(("127.0.0.1".into(), new.port()));
    });
    let (to, from) = (new.port(), old.port());
    let event = Instant::now();
    sentinels[0].emit(
        "+promoted-slave",
        &format!("slave 127.0.0.1:{to} 127.0.0.1 {to} @ {SERVICE} 127.0.0.1 {from}"),
    );
    let followed = follow(&client, &new);
    println!("+promoted-slave: followed after {} ms", ms(followed - event));
    assert!(followed - event <= SLACK);
    // A second later the leader publishes its own +switch-master, at the same epoch: nothing moves again.
    sentinels[0].edit(|view| {
        view.primary = ("127.0.0.1".into(), to);
        view.announced = None;
    });
    sentinels[0].emit("+switch-master", &format!("{SERVICE} 127.0.0.1 {from} 127.0.0.1 {to}"));
    sentinels[1].switch_master("127.0.0.1", to);
    sentinels[2].switch_master("127.0.0.1", to);
    write_elsewhere(&client, Duration::from_millis(500), &old);
    assert_eq!(new.callers_connections(), 1, "one switch");
}

#[test]
fn a_service_that_begins_again_at_epoch_0_is_followed_after_two_seconds_and_not_before() {
    let _machine = together();
    for with_events in [true, false] {
        let (old, new) = (FakeNode::start(), FakeNode::start());
        let sentinels = three(&old);
        for sentinel in &sentinels {
            sentinel.edit(|view| view.epoch = 7);
        }
        let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
        wait_until_heard(&sentinels);
        // What is in force has to be so for 2 s, too, before less is believed.
        std::thread::sleep(LOWER_EPOCH_AFTER);
        let changed = Instant::now();
        for sentinel in &sentinels {
            sentinel.edit(|view| {
                view.epoch = 0;
                view.primary = ("127.0.0.1".into(), new.port());
            });
            if with_events {
                sentinel.emit("-monitor", &format!("master {SERVICE} 127.0.0.1 {}", old.port()));
                sentinel.emit(
                    "+monitor",
                    &format!("master {SERVICE} 127.0.0.1 {} quorum 2", new.port()),
                );
            }
        }
        let followed = follow(&client, &new);
        println!(
            "REMOVE and MONITOR {}: followed after {} ms",
            if with_events { "with events" } else { "without events" },
            ms(followed - changed)
        );
        assert!(followed - changed >= LOWER_EPOCH_AFTER);
        let found = if with_events {
            Duration::ZERO
        } else {
            Duration::from_millis(1250)
        };
        assert!(followed - changed <= LOWER_EPOCH_BY + found + SLACK);
        write_elsewhere(&client, Duration::from_millis(500), &old);
    }
}

#[test]
fn a_lower_epoch_of_a_minority_is_never_believed() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = three(&new);
    for sentinel in &sentinels {
        sentinel.edit(|view| view.epoch = 7);
    }
    sentinels[2].edit(|view| {
        view.epoch = 6;
        view.primary = ("127.0.0.1".into(), old.port());
    });
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    write_elsewhere(&client, Duration::from_millis(3500), &old);
    assert_eq!(serving(&client), Some(new.port()));
}

#[test]
fn all_sentinels_gone_and_back_with_another_primary_it_is_served_within_a_second() {
    let _machine = together();
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels = three(&old);
    let (_deployment, client) = connected(&ports_of(&sentinels), LEARN_NOTHING);
    wait_until_heard(&sentinels);
    write(&client, "SET before v");
    for sentinel in &sentinels {
        sentinel.die();
    }
    old.die();
    let waiting = std::thread::spawn({
        let client = std::sync::Arc::clone(&client);
        move || (run(&client, "SET k v", 30_000), Instant::now())
    });
    std::thread::sleep(Duration::from_secs(4));
    sentinels[1].change_primary("127.0.0.1", new.port());
    let back = Instant::now();
    sentinels[1].listen();
    let (result, done) = waiting.join().unwrap();
    result.unwrap();
    println!("first Sentinel of three back: first write after {} ms", ms(done - back));
    assert!(new.value("k").is_some());
    assert!(done - back <= crate::support::P7_RECOVERY + SLACK);
    let dials = wait_for("a connection", PATIENCE, || Some(sentinels[1].connections()));
    let after = dials.iter().filter(|at| **at >= back).count();
    assert!(after <= P7_DIALS);
}
