//! What the Sentinels publish is followed at once, and old news turns nothing back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, ErrorKind, Outcome};
use sentinel_lab::{FakeNode, FakeSentinel, Proxy, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, open, options, run, run_within, text, timed, with};

/// Two nodes, the first of them the primary, and Sentinels that all say so.
struct Scene {
    old: FakeNode,
    new: FakeNode,
    sentinels: Vec<FakeSentinel>,
    client: Client,
}

impl Scene {
    /// Without polls: what the client learns, it learns by an event or because it asks for a reason.
    fn start(count: usize) -> Scene {
        let (old, new) = (FakeNode::start(), FakeNode::start());
        let sentinels: Vec<_> = (0..count).map(|_| FakeSentinel::start(SERVICE, old.port())).collect();
        for (index, sentinel) in sentinels.iter().enumerate() {
            sentinel.edit(|view| view.my_id = format!("{index:040x}"));
        }
        let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port()).collect();
        let options = with(options(&ports), &[("discovery.refresh_ms", "0")]);
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k first");
        sentinels
            .iter()
            .for_each(|sentinel| sentinel.wait_for_subscribers(1, PATIENCE));
        Scene {
            old,
            new,
            sentinels,
            client,
        }
    }

    fn wait_to_be_served_by(&self, node: &FakeNode) {
        let port = node.port();
        wait_until("the client to move", PATIENCE, || {
            text(&self.client, "PING");
            self.client
                .node()
                .unwrap()
                .is_some_and(|node| node.endpoint.port == port)
        });
    }
}

#[test]
fn nothing_is_written_to_the_old_primary_after_the_event() {
    let scene = Scene::start(3);
    let done = AtomicBool::new(false);
    let mut published = Instant::now();
    // Where what is waited for does not come, the writers end all the same.
    let end = Instant::now() + 3 * PATIENCE;
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) && Instant::now() < end {
                    if let Err(error) = run(&scene.client, "SET k v") {
                        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                    }
                }
            });
        }
        wait_until("writes", PATIENCE, || scene.old.count("SET") > 100);
        published = Instant::now();
        // The event of one is enough, whatever the others still say.
        scene.sentinels[1].switch_master("127.0.0.1", scene.new.port());
        wait_until("writes at the new primary", PATIENCE, || scene.new.count("SET") > 100);
    });
    // Promised are 20 ms; the scripted node's own thread has to be scheduled before it can stamp a command.
    let limit = published + SLACK;
    let late = scene
        .old
        .commands()
        .into_iter()
        .filter(|command| command.args[0] == b"SET" && command.at > limit);
    assert_eq!(late.count(), 0, "writes to the old primary long after the event");
}

#[test]
fn a_call_in_flight_at_the_switch_ends_as_unknown_and_a_late_answer_is_no_success() {
    let scene = Scene::start(1);
    scene.old.set_silent(true);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let result = run_within(&scene.client, "SET k flight", -1);
            (result, Instant::now())
        });
        wait_until("the write at the old primary", PATIENCE, || {
            scene.old.count("SET k flight") == 1
        });
        let published = Instant::now();
        scene.sentinels[0].switch_master("127.0.0.1", scene.new.port());
        let (result, ended) = call.join().unwrap();
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.endpoint(), Some(&*scene.old.address()));
        let took = ended.saturating_duration_since(published);
        assert!(took <= Duration::from_millis(50) + SLACK, "it took {took:?}");
    });
    scene.old.set_silent(false);
    assert_eq!(text(&scene.client, "SET k next"), "OK");
    assert_eq!(scene.new.value("k").as_deref(), Some(&b"next"[..]));
}

#[test]
fn the_promotion_that_the_leader_tells_first_is_followed() {
    let scene = Scene::start(3);
    let (leader, old, new) = (&scene.sentinels[0], scene.old.port(), scene.new.port());
    leader.edit(|view| {
        view.announced = Some(("127.0.0.1".into(), new));
        view.epoch = 2;
    });
    let event = format!("slave 127.0.0.1:{new} 127.0.0.1 {new} @ {SERVICE} 127.0.0.1 {old}");
    assert_eq!(leader.emit("+promoted-slave", &event), 1);
    scene.wait_to_be_served_by(&scene.new);
}

#[test]
fn an_event_with_old_news_turns_nothing_back() {
    let scene = Scene::start(3);
    let [first, second, third] = &scene.sentinels[..] else {
        panic!("three")
    };
    for sentinel in [first, second] {
        sentinel.change_primary("127.0.0.1", scene.new.port());
    }
    first.switch_master("127.0.0.1", scene.new.port());
    scene.wait_to_be_served_by(&scene.new);
    // One that missed it all publishes what it believes, as after a restart with its old configuration.
    let (old, new) = (scene.old.port(), scene.new.port());
    let before = third.count("SENTINEL GET-MASTER-ADDR-BY-NAME");
    third.emit("+switch-master", &format!("{SERVICE} 127.0.0.1 {new} 127.0.0.1 {old}"));
    wait_until("the question after the event", PATIENCE, || {
        third.count("SENTINEL GET-MASTER-ADDR-BY-NAME") > before
    });
    let writes = scene.old.count("SET");
    for _ in 0..50 {
        assert_eq!(text(&scene.client, "SET k still"), "OK");
    }
    assert_eq!(scene.old.count("SET"), writes);
    assert_eq!(scene.new.value("k").as_deref(), Some(&b"still"[..]));
}

#[test]
fn an_event_of_another_service_or_of_no_form_is_ignored() {
    let scene = Scene::start(1);
    let (old, new) = (scene.old.port(), scene.new.port());
    for payload in [
        "",
        "x",
        "other 127.0.0.1 1 127.0.0.1 2",
        &format!("{SERVICE}x 127.0.0.1 {old} 127.0.0.1 {new}"),
    ] {
        scene.sentinels[0].emit("+switch-master", payload);
    }
    for _ in 0..20 {
        assert_eq!(text(&scene.client, "SET k same"), "OK");
    }
    assert_eq!(scene.new.connections().len(), 0);
    assert_eq!(scene.old.callers_connections(), 1, "not even the connection is another");
    scene.sentinels[0].switch_master("127.0.0.1", new);
    scene.wait_to_be_served_by(&scene.new);
}

#[test]
fn a_switch_whose_event_was_missed_is_found_by_the_poll() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET k old");
    sentinel.wait_for_subscribers(1, PATIENCE);
    sentinel.change_primary("127.0.0.1", new.port());
    let ((), took) = timed(|| {
        wait_until("the client to move", PATIENCE, || {
            // The one in flight at the switch may fail.
            run(&client, "SET k new").is_ok() && new.value("k").is_some()
        });
    });
    // discovery.refresh_ms is 1000, and 25 % of jitter.
    assert!(took <= Duration::from_millis(1250) + SLACK, "it took {took:?}");
}

#[test]
fn a_half_open_connection_to_a_sentinel_is_replaced_and_the_question_asked_again() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start(SERVICE, old.port());
    let line = Proxy::to(sentinel.port());
    let options = with(
        options(&[line.port()]),
        &[("discovery.refresh_ms", "0"), ("sentinel.learn", "0")],
    );
    let client = Deployment::open(&options)
        .unwrap()
        .primary_for(Some(SERVICE), None)
        .unwrap();
    text(&client, "SET k old");
    sentinel.wait_for_subscribers(1, PATIENCE);
    let connections = line.connections().len();
    line.black_hole();
    sentinel.switch_master("127.0.0.1", new.port());
    // PING each second, no pong for a second: replaced.
    let ((), took) = timed(|| {
        wait_until("another connection", PATIENCE, || {
            line.connections().len() > connections
        });
    });
    assert!(took <= Duration::from_millis(2500) + SLACK, "it took {took:?}");
    line.pass();
    wait_until("the client to move", PATIENCE, || {
        // The one in flight at the switch may fail.
        run(&client, "SET k new").is_ok() && new.value("k").is_some()
    });
}
