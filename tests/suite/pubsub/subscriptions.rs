//! Pub/sub: what is heard of what, who may hear it, and names that come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sentinel::completion::ChannelKind::{Channel, Pattern, Sharded};
use sentinel::completion::queue::Polled;
use sentinel::{Deployment, ErrorKind};
use sentinel_lab::{Config, Control, FakeNode, FakeSentinel, Topology, skipped_before, wait_until};

use crate::pubsub::hearing::{Got, Hearer, message, publish, scripted, subscribed, while_publishing};
use crate::support::{PATIENCE, SERVICE, open_on, options, overrides, sentinel_ports, shared, tell, with};

#[test]
fn each_kind_of_channel_is_heard_the_same_in_both_protocols() {
    if skipped_before((7, 0), "SSUBSCRIBE") {
        return;
    }
    let topology = shared();
    let node = topology.node(topology.primary());
    for protocol in ["2", "3"] {
        let deployment = open_on(&topology);
        let keys = overrides(&[("protocol", protocol)]);
        let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
        let hearer = Hearer::new(&deployment, &client, 100);
        let names = [(Channel, "kinds"), (Pattern, "kin*"), (Sharded, "kinds")];
        for (kind, name) in names {
            hearer.subscription.add_confirmed(kind, name.as_bytes()).unwrap();
            assert_eq!(hearer.next(), subscribed(kind.name(), name));
        }
        assert_eq!(publish(node, "kinds", "one"), 2);
        assert_eq!(hearer.next(), message("kinds", "one"));
        let pmessage = ["pmessage", "kin*", "kinds", "one"].map(String::from);
        assert_eq!(hearer.next(), Got::Message(pmessage.to_vec()));
        tell(node, "SPUBLISH kinds two");
        let smessage = ["smessage", "kinds", "two"].map(String::from);
        assert_eq!(hearer.next(), Got::Message(smessage.to_vec()));
        for (kind, name) in names {
            // What is there is there once, what is gone is gone.
            hearer.subscription.add_confirmed(kind, name.as_bytes()).unwrap();
            hearer.subscription.remove(kind, name.as_bytes()).unwrap();
            hearer.subscription.remove(kind, name.as_bytes()).unwrap();
        }
        wait_until("the server to forget all", PATIENCE, || {
            publish(node, "kinds", "late") == 0 && tell(node, "SPUBLISH kinds late") == sentinel_lab::Value::Int(0)
        });
        assert_eq!(hearer.take(), []);
        hearer.add("kinds");
        assert_eq!(publish(node, "kinds", "again"), 1);
        assert_eq!(hearer.next(), message("kinds", "again"));
    }
}

#[test]
fn names_and_payloads_are_any_bytes() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let hearer = Hearer::new(&deployment, &client, 100);
    let names: [&[u8]; 3] = [b"", b"bytes\0\xff\r\n$3\r\n", b"bytes [x]*?"];
    for name in names {
        hearer.subscription.add_confirmed(Channel, name).unwrap();
    }
    let mut told = Vec::new();
    for _ in names {
        hearer
            .poll(PATIENCE, |entry| {
                told.push(entry.result.unwrap().get(b"channel").unwrap().data().to_vec());
            })
            .unwrap();
    }
    assert_eq!(told, names);
    for name in names {
        let payload = [b"\r\n\0".as_slice(), name].concat();
        let command: [&[u8]; 3] = [b"PUBLISH", name, &payload];
        client.command(&command, &sentinel::CallOptions::default()).unwrap();
        let mut heard = Vec::new();
        hearer
            .poll(PATIENCE, |entry| {
                let reply = entry.result.unwrap();
                heard = reply.elements().map(|part| part.data().to_vec()).collect();
            })
            .unwrap();
        assert_eq!(heard, [b"message".to_vec(), name.to_vec(), payload]);
    }
}

#[test]
fn threads_add_and_remove_while_messages_come() {
    const THREADS: u64 = 8;
    let topology = shared();
    let node = topology.node(topology.primary());
    let deployment = open_on(&topology);
    let hearer = Hearer::of_primary(&deployment);
    let publisher = deployment.primary_for(Some(SERVICE), None).unwrap();
    hearer.add("steady");
    let last = AtomicU64::new(0);
    let published = while_publishing(&publisher, "steady", Duration::from_micros(200), || {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (subscription, last) = (&hearer.subscription, &last);
                scope.spawn(move || {
                    for round in 0..500 {
                        let name = format!("busy-{thread}-{}", round % 7);
                        subscription.add_confirmed(Channel, name.as_bytes()).unwrap();
                        if round % 3 != 0 {
                            subscription.remove(Channel, name.as_bytes()).unwrap();
                        }
                        last.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    });
    assert_eq!(last.load(Ordering::Relaxed), THREADS * 500);
    let mut heard = 0;
    wait_until("all messages", PATIENCE, || {
        for got in hearer.take() {
            match got.number() {
                Some(number) => {
                    assert_eq!(number, heard + 1);
                    heard = number;
                }
                None => assert!(matches!(got, Got::Subscribed(..)), "{got:?}"),
            }
        }
        heard == published
    });
    // What each thread kept last of its seven names.
    let mut wanted: Vec<String> = Vec::new();
    for thread in 0..THREADS {
        let mut kept = [false; 7];
        (0..500).for_each(|round| kept[round % 7] = round % 3 == 0);
        let names = (0..7).filter(|n| kept[*n]).map(|n| format!("busy-{thread}-{n}"));
        wanted.extend(names);
    }
    wanted.sort();
    wait_until("the server to have what is wanted", PATIENCE, || {
        let mut has: Vec<String> = tell(node, "PUBSUB CHANNELS busy-*")
            .as_items()
            .iter()
            .map(sentinel_lab::Value::as_text)
            .collect();
        has.sort();
        has == wanted
    });
}

#[test]
fn no_message_of_a_removed_name_is_posted_while_messages_are_in_flight() {
    let topology = shared();
    let deployment = open_on(&topology);
    let hearer = Hearer::of_primary(&deployment);
    let publisher = deployment.primary_for(Some(SERVICE), None).unwrap();
    while_publishing(&publisher, "flight", Duration::ZERO, || {
        for _ in 0..200 {
            hearer.subscription.add_confirmed(Channel, b"flight").unwrap();
            wait_until("messages in flight", PATIENCE, || {
                hearer.take().iter().any(|got| got.number().is_some())
            });
            hearer.subscription.remove(Channel, b"flight").unwrap();
            hearer.take();
            assert_eq!(hearer.poll(Duration::from_millis(3), |_| {}), Ok(Polled::Empty));
        }
    });
}

#[test]
fn a_refused_name_is_told_and_the_others_are_heard() {
    if skipped_before((6, 2), "rights for channels") {
        return;
    }
    let topology = Topology::start(Config::default().nodes(1).sentinels(1));
    let node = topology.node(0);
    tell(node, "ACL SETUSER reader on >secret resetchannels &open* +@all");
    for protocol in ["2", "3"] {
        let keys = [("username", "reader"), ("password", "secret"), ("protocol", protocol)];
        let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
        let hearer = Hearer::of_primary(&deployment);
        hearer.subscription.add_confirmed(Channel, b"closed \"x\"").unwrap();
        match hearer.next() {
            Got::Failed(ErrorKind::Server { text }) => {
                assert!(text.starts_with("NOPERM "), "{text}");
                assert!(text.ends_with("(SUBSCRIBE \"closed \\\"x\\\"\")"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        hearer.add("open-1");
        hearer.subscription.add_confirmed(Pattern, b"p*").unwrap();
        assert!(matches!(hearer.next(), Got::Failed(ErrorKind::Server { .. })));
        assert_eq!(publish(node, "open-1", "m"), 1);
        assert_eq!(hearer.next(), message("open-1", "m"));
        // Once it is allowed, adding it again is enough.
        tell(node, "ACL SETUSER reader allchannels");
        hearer.add("closed \"x\"");
        tell(node, "ACL SETUSER reader resetchannels &open*");
        // The server ends connections that hear what they may not hear any more; both refusals are told again.
        let told = [hearer.next(), hearer.next(), hearer.next()];
        let refused = told.iter().filter(|got| matches!(got, Got::Failed(_))).count();
        let gaps = told.iter().filter(|got| got.is_gap()).count();
        assert_eq!((refused, gaps), (2, 1), "{told:?}");
    }
}

#[test]
fn a_server_without_sharded_channels_refuses_them() {
    let node = FakeNode::start();
    let (_sentinel, deployment) = scripted(&node);
    let hearer = Hearer::of_primary(&deployment);
    hearer.add("c");
    hearer.subscription.add_confirmed(Sharded, b"s").unwrap();
    match hearer.next() {
        Got::Failed(ErrorKind::Server { text }) => {
            assert!(
                text.starts_with("ERR unknown command") && text.ends_with("(SSUBSCRIBE \"s\")"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(node.emit("c", "m"), 1);
    assert_eq!(hearer.next(), message("c", "m"));
}

#[test]
fn a_refused_login_is_told_once_and_tried_again() {
    if skipped_before((6, 2), "the count of refusals in INFO") {
        return;
    }
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let node = topology.node(0);
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("password", "right")])).unwrap();
    let hearer = Hearer::of_primary(&deployment);
    let mut control = node.connect(PATIENCE).unwrap();
    control.ask(&["CONFIG", "SET", "requirepass", "wrong"]);
    hearer.subscription.add_confirmed(Channel, b"login").unwrap();
    assert!(matches!(hearer.next(), Got::Failed(ErrorKind::Auth { .. })));
    let refusals = |control: &mut Control| {
        let info = control.ask(&["INFO", "errorstats"]).as_text();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("errorstat_WRONGPASS:count="));
        line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    wait_until("more attempts", PATIENCE, || refusals(&mut control) >= 3);
    control.ask(&["CONFIG", "SET", "requirepass", "right"]);
    assert_eq!(hearer.next(), subscribed("channel", "login"));
    assert_eq!(hearer.take(), []);
}

#[test]
fn a_name_is_told_behind_what_was_heard_before_it_was_in_force() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let last = args[0] == b"SUBSCRIBE" && args[1] == b"last";
            if last {
                let message = "*3\r\n$7\r\nmessage\r\n$5\r\nfirst\r\n$3\r\none\r\n".repeat(3);
                session.send(format!("{message}*3\r\n$9\r\nsubscribe\r\n$4\r\nlast\r\n:2\r\n").replace('*', ">"));
            }
            last
        })
        .start();
    let (_sentinel, deployment) = scripted(&node);
    let hearer = Hearer::of_primary(&deployment);
    hearer.add("first");
    hearer.subscription.add_confirmed(Channel, b"last").unwrap();
    for _ in 0..3 {
        assert_eq!(hearer.next(), message("first", "one"));
    }
    assert_eq!(hearer.next(), subscribed("channel", "last"));
}
