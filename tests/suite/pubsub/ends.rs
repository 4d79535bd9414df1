//! Pub/sub: how much, how slowly, for how long, and what is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::ChannelKind::Channel;
use sentinel::completion::Entry;
use sentinel::completion::queue::Polled;
use sentinel::{Deadline, ErrorKind, Subscription};
use sentinel_lab::{Config, FakeNode, Server, SetOnDrop, Topology, Value, wait_until};

use crate::handles::lifecycle::alone;
use crate::process::forks::{forked, in_child};
use crate::pubsub::hearing::{Got, Hearer, message, publish, scripted, while_publishing};
use crate::support::{PATIENCE, SERVICE, named_connections, open_on, overrides, shared};

#[test]
fn nothing_is_posted_after_the_end_and_the_connection_goes() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let deployment = open_on(&topology);
    let publisher = deployment.primary_for(Some(SERVICE), None).unwrap();
    let keys = overrides(&[("client_name", "ends")]);
    while_publishing(&publisher, "ends", Duration::ZERO, || {
        for round in 0..20 {
            let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
            let hearer = Hearer::new(&deployment, &client, 100_000);
            // The parents first: a child lives on.
            drop(client);
            hearer.subscription.add_confirmed(Channel, b"ends").unwrap();
            wait_until("messages", PATIENCE, || {
                hearer.take().iter().any(|got| got.number().is_some())
            });
            assert_eq!(named_connections(node, "ends"), 1);
            if round % 2 == 0 {
                hearer.subscription.end();
                hearer.take();
                assert_eq!(hearer.poll(Duration::from_millis(3), |_| {}), Ok(Polled::Empty));
                let error = hearer.subscription.add_confirmed(Channel, b"more").unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Closed);
            } else {
                hearer.queue.free();
                let error = hearer.subscription.add_confirmed(Channel, b"more").unwrap_err();
                assert_eq!(*error.kind(), ErrorKind::Closed);
            }
            wait_until("the connection to go", PATIENCE, || {
                named_connections(node, "ends") == 0
            });
        }
    });
}

#[test]
fn a_subscription_outlives_client_and_deployment_and_ends_with_close() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let keys = overrides(&[("client_name", "outlives")]);
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let hearer = Hearer::new(&deployment, &client, 100);
    drop((client, deployment));
    hearer.add("outlives");
    assert_eq!(publish(node, "outlives", "1"), 1);
    assert_eq!(hearer.next(), message("outlives", "1"));

    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let closed = Hearer::new(&deployment, &client, 100);
    closed.add("outlives");
    assert_eq!(publish(node, "outlives", "2"), 2);
    assert_eq!(closed.next(), message("outlives", "2"));
    deployment.close(2000).unwrap();
    let polled = closed.poll(PATIENCE, |entry| panic!("{entry:?}"));
    assert_eq!(*polled.unwrap_err().kind(), ErrorKind::Closed);
    for change in [Subscription::add, Subscription::remove] {
        let error = change(&closed.subscription, Channel, b"outlives").unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Closed);
    }
    wait_until("the connection to go", PATIENCE, || {
        named_connections(node, "outlives") == 1
    });
    assert_eq!(
        *client.subscribe(&closed.queue, 1).unwrap_err().kind(),
        ErrorKind::Closed
    );
}

/// Takes numbers until all up to `until` were heard or told as dropped; how many were dropped.
#[track_caller]
fn hear_or_miss(hearer: &Hearer, first: u64, until: u64) -> u64 {
    let (mut next, mut dropped, mut heard) = (first, 0, Instant::now());
    while next <= until {
        match hearer.next() {
            Got::Gap(_, _, _, count) => {
                // No message comes any more: the room is noticed by itself.
                assert!(heard.elapsed() < Duration::from_millis(300), "{:?}", heard.elapsed());
                dropped += count.unsigned_abs();
                next += count.unsigned_abs();
            }
            got => {
                assert_eq!(got.number(), Some(next));
                next += 1;
            }
        }
        heard = Instant::now();
    }
    assert_eq!((next, hearer.take()), (until + 1, vec![]));
    dropped
}

#[test]
fn a_slow_consumer_gets_the_oldest_and_is_told_how_many_were_dropped() {
    let topology = shared();
    let node = topology.node(topology.primary());
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let hearer = Hearer::new(&deployment, &client, 10);
    hearer.add("slow");
    let mut last = 0;
    for count in [1000, 100, 100, 100, 100, 100] {
        for number in last + 1..=last + count {
            assert_eq!(publish(node, "slow", &number.to_string()), 1);
        }
        let dropped = hear_or_miss(&hearer, last + 1, last + count);
        assert!(dropped > 0 && dropped <= count - 10, "{dropped} of {count}");
        last += count;
    }
    assert_eq!(publish(node, "slow", "after"), 1);
    assert_eq!(hearer.next(), message("slow", "after"));
}

/// Publishes `rate` numbers a second for so long, 20 at a time; the last number and the time it took.
fn publish_at_rate(node: &Server, channel: &str, rate: u64, time: Duration) -> (u64, Duration) {
    const AT_ONCE: u64 = 20;
    let mut control = node.connect(PATIENCE).unwrap();
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < time {
        let mut bytes = Vec::new();
        for number in sent + 1..=sent + AT_ONCE {
            let number = number.to_string();
            bytes.extend(format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n", channel.len()).bytes());
            bytes.extend(format!("${}\r\n{number}\r\n", number.len()).bytes());
        }
        control.send_raw(&bytes).unwrap();
        for _ in 0..AT_ONCE {
            assert_eq!(control.read().unwrap(), Value::Int(1));
        }
        sent += AT_ONCE;
        let due = start + Duration::from_micros(sent * 1_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    (sent, start.elapsed())
}

#[test]
fn ten_thousand_messages_a_second_arrive_in_order_and_none_is_lost() {
    const RATE: u64 = 10_000;
    let topology = Topology::start(Config::default().nodes(1).sentinels(1));
    let hearer = Hearer::of_primary(&open_on(&topology));
    hearer.add("fast");
    let done = AtomicBool::new(false);
    let (sent, took, heard) = std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let consumer = scope.spawn(|| {
            let mut heard = 0;
            loop {
                let idle = done.load(Ordering::SeqCst);
                let take = |entry: Entry| {
                    assert_eq!(Got::of(&entry).number(), Some(heard + 1));
                    heard += 1;
                };
                let deadline = Deadline::after(Some(Duration::from_millis(200)));
                if hearer.queue.poll(512, deadline, take) == Ok(Polled::Empty) && idle {
                    return heard;
                }
            }
        });
        let (sent, took) = publish_at_rate(topology.node(0), "fast", RATE, Duration::from_secs(4));
        drop(guard);
        (sent, took, consumer.join().unwrap())
    });
    println!(
        "{heard} of {sent} messages, {:.0} a second",
        sent as f64 / took.as_secs_f64()
    );
    assert_eq!(heard, sent);
}

#[test]
fn an_idle_subscription_uses_next_to_no_processor_time() {
    alone(
        "pubsub::ends::an_idle_subscription_uses_next_to_no_processor_time",
        || {
            let topology = Topology::start(Config::default().nodes(1).sentinels(1));
            let hearer = Hearer::of_primary(&open_on(&topology));
            hearer.add("idle");
            let (before, start) = (processor_time(), Instant::now());
            assert_eq!(hearer.poll(Duration::from_secs(8), |_| {}), Ok(Polled::Empty));
            let share = (processor_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
            println!("an idle subscription: {:.3} % of a core", 100.0 * share);
            // The promise is 0.1 % of the build that is shipped; this one is not optimised and shares its machine.
            let promised = 0.001;
            assert!(share < 6.0 * promised, "{share}");
        },
    );
}

/// What all threads of this process have used.
fn processor_time() -> Duration {
    // SAFETY: plain data, for which zero bytes are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is the call's own for its duration.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn a_forked_child_is_told_so_and_ends_nothing() {
    alone("pubsub::ends::a_forked_child_is_told_so_and_ends_nothing", || {
        let node = FakeNode::start();
        let (_sentinel, deployment) = scripted(&node);
        let hearer = Hearer::of_primary(&deployment);
        hearer.add("c");
        let kept = std::mem::ManuallyDrop::new(hearer.subscription);
        let (kept, queue) = (&kept, hearer.queue);
        in_child(|| {
            // SAFETY: the child never returns to the parent's copy.
            let subscription = unsafe { std::ptr::read(&raw const **kept) };
            forked("add", subscription.add_confirmed(Channel, b"more"))?;
            forked("remove", subscription.remove(Channel, b"c"))?;
            subscription.end();
            drop(subscription);
            Ok(())
        });
        assert_eq!(node.emit("c", "m"), 1);
        // SAFETY: the child's copy was in the child's memory; this is the only owner here.
        let subscription = unsafe { std::ptr::read(&raw const **kept) };
        let hearer = Hearer { subscription, queue };
        assert_eq!(hearer.next(), message("c", "m"));
    });
}
