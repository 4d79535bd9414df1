//! Replicas that are cut off from their primary, and replicas that the Sentinels have forgotten: which of them serve, and
//! for how long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::{Client, Error, ErrorKind, Reason};
use sentinel_lab::{Config, FakeNode, FakeReplica, FakeSentinel, Role, SetOnDrop, Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, options, run, run_within, sentinel_ports, serving_port, text, timed, with};

/// `READ_SECONDS`: how long the primary is dead before it is held to be down, and how long reads are watched without a
/// quorum.
fn seconds(otherwise: u64) -> u64 {
    std::env::var("READ_SECONDS").map_or(otherwise, |text| text.parse().unwrap())
}

/// Reads over and over while `meanwhile` runs. How many were answered, and each failure with when it came.
fn reading(client: &Client, meanwhile: impl FnOnce()) -> (usize, Vec<(Duration, Error)>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&over);
        let reader = scope.spawn(|| {
            let (began, mut answered, mut failed) = (Instant::now(), 0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                match run_within(client, "GET stale:key", 1000) {
                    Ok(reply) => {
                        assert_eq!(reply.data(), b"value");
                        answered += 1;
                    }
                    Err(error) => failed.push((began.elapsed(), error)),
                }
                // Not as fast as it can: the servers and their Sentinels share the machine.
                std::thread::sleep(Duration::from_millis(1));
            }
            (answered, failed)
        });
        meanwhile();
        drop(guard);
        reader.join().unwrap()
    })
}

/// A topology whose nodes all hold the key that is read, and a client of its replicas.
fn replicated(config: Config, keys: &[(&str, &str)]) -> (Topology, sentinel::Deployment, Client) {
    let topology = Topology::start(config);
    topology.node(topology.primary()).ask(&["SET", "stale:key", "value"]);
    for replica in topology.replicas() {
        wait_until("the key to be everywhere", PATIENCE, || {
            topology.node(replica).ask(&["GET", "stale:key"]).as_text() == "value"
        });
    }
    let options = with(options(&sentinel_ports(&topology)), keys);
    let deployment = sentinel::Deployment::open(&options).unwrap();
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    serving_port(&client);
    (topology, deployment, client)
}

/// Until a Sentinel tells of this field of every replica.
fn wait_for_field(topology: &Topology, sentinel: usize, wanted: impl Fn(&sentinel_lab::Value) -> bool) {
    wait_until("a Sentinel to tell it of every replica", PATIENCE, || {
        let listed = topology.sentinel(sentinel).ask(&["SENTINEL", "REPLICAS", SERVICE]);
        listed.as_items().iter().all(&wanted)
    });
}

#[test]
fn no_read_fails_from_the_death_of_the_primary_to_the_end_of_its_failover() {
    let down_after = seconds(4) * 1000;
    for fallback in ["0", "1"] {
        let config = Config::default().down_after_ms(down_after);
        let (topology, _deployment, client) = replicated(config, &[("replica.fallback_to_primary", fallback)]);
        let old = topology.primary();
        let (answered, failed) = reading(&client, || {
            topology.kill(old);
            topology.wait_for_primary_change(old, Duration::from_millis(down_after) + PATIENCE);
            // The old primary comes back with nothing. A replica that has not been told of the new one by then follows the
            // old one again, says that it is in step, and holds nothing either: Redis does so, and no client can help it.
            topology.wait_for_settled();
            topology.restart(old);
            topology.wait_for_settled();
        });
        assert!(
            failed.is_empty(),
            "{} of {answered}: {:?}",
            failed.len(),
            failed.first()
        );
        assert!(answered > 1000, "{answered}");
    }
}

#[test]
fn no_read_fails_while_the_primary_is_dead_and_no_quorum_is_left() {
    let (topology, _deployment, client) = replicated(Config::default(), &[]);
    let (answered, failed) = reading(&client, || {
        topology.kill_sentinel(1);
        topology.kill_sentinel(2);
        topology.kill(topology.primary());
        wait_for_field(&topology, 0, |replica| replica.field("master-link-status") == "err");
        // The library asks each second: reads of several such seconds, and as many as there is time for.
        std::thread::sleep(Duration::from_secs(seconds(4)));
    });
    assert!(
        failed.is_empty(),
        "{} of {answered}: {:?}",
        failed.len(),
        failed.first()
    );
}

#[test]
fn reads_end_when_a_replica_has_been_cut_off_for_as_long_as_its_client_allows() {
    // What the Sentinels know of the link is up to 10 s old: the library finds out by itself.
    let config = Config::default().down_after_ms(30_000).fast(false);
    let keys = [
        ("replica.max_link_down_ms", "3000"),
        ("replica.fallback_to_primary", "0"),
    ];
    let (topology, _deployment, client) = replicated(config, &keys);
    topology.kill(topology.primary());
    let killed = Instant::now();
    let error = loop {
        match run_within(&client, "GET stale:key", 500) {
            Ok(_) if killed.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) => panic!("it reads on after {:?}", killed.elapsed()),
            Err(error) => break error,
        }
    };
    // The call that failed waited for half a second.
    let ended = killed.elapsed().saturating_sub(Duration::from_millis(500));
    assert!(ended >= Duration::from_millis(2900), "after {ended:?}: {error}");
    // Servers count whole seconds, and are asked each second.
    assert!(ended <= Duration::from_millis(6000), "after {ended:?}: {error}");
    assert_eq!(error.reason(), Some(Reason::NoUsableReplica), "{error}");
    assert!(matches!(error.kind(), ErrorKind::ReplicaNotFound { .. }), "{error}");
    assert!(error.to_string().contains("replica.max_link_down_ms"), "{error}");
}

/// A primary and two replicas, scripted. Each tells who it is by the key `who`.
struct Scene {
    primary: FakeNode,
    replicas: [FakeNode; 2],
    sentinel: FakeSentinel,
}

impl Scene {
    fn start() -> Scene {
        let primary = FakeNode::start();
        let replicas = [0, 1].map(|_| FakeNode::builder().replica_of(primary.port()).start());
        let listed = replicas.iter().map(|node| FakeReplica::new("127.0.0.1", node.port()));
        let listed = listed.collect();
        let sentinel = FakeSentinel::builder(SERVICE, primary.port())
            .view(|view| view.replicas = listed)
            .start();
        for (node, name) in [(&primary, "primary"), (&replicas[0], "first"), (&replicas[1], "second")] {
            node.edit(|view| view.data.insert(b"who".to_vec(), name.as_bytes().to_vec()));
        }
        Scene {
            primary,
            replicas,
            sentinel,
        }
    }

    fn open(&self, keys: &[(&str, &str)]) -> (sentinel::Deployment, Client) {
        let options = with(options(&[self.sentinel.port()]), keys);
        let deployment = sentinel::Deployment::open(&options).unwrap();
        let client = deployment.replica_for(Some(SERVICE), None).unwrap();
        (deployment, client)
    }

    /// The link of a replica, as it says itself: down for so many seconds.
    fn cut(&self, replica: usize, seconds: i64) {
        let role = Role::Replica("127.0.0.1".into(), self.primary.port(), "connect".into());
        self.replicas[replica].edit(|view| (view.role, view.link_down_seconds) = (role, Some(seconds)));
    }

    fn mend(&self, replica: usize) {
        let role = Role::Replica("127.0.0.1".into(), self.primary.port(), "connected".into());
        self.replicas[replica].set_role(role);
    }

    /// The same as the Sentinel says.
    fn say(&self, replica: usize, status: &str, down_ms: i64) {
        self.sentinel.edit(|view| {
            let replica = &mut view.replicas[replica];
            replica.link_status = status.into();
            replica.fields = vec![("master-link-down-time".into(), down_ms.to_string())];
        });
    }
}

#[track_caller]
fn wait_to_be_served_by(client: &Client, name: &str) {
    wait_until(&format!("reads to be served by {name}"), PATIENCE, || {
        text(client, "GET who") == name
    });
}

/// Between the first read there and the end of the route that served before, reads go to both.
#[track_caller]
fn wait_to_be_served_by_none_but(client: &Client, name: &str) {
    wait_until(&format!("reads to be served by {name} alone"), PATIENCE, || {
        (0..20).all(|_| text(client, "GET who") == name)
    });
}

#[track_caller]
fn assert_served_by(client: &Client, name: &str) {
    for _ in 0..20 {
        assert_eq!(text(client, "GET who"), name);
    }
}

#[test]
fn a_replica_that_is_cut_off_serves_when_no_fresher_one_does() {
    for said in ["ok", "err"] {
        let scene = Scene::start();
        scene.cut(0, 100);
        scene.say(0, said, 100_000);
        let (_deployment, client) = scene.open(&[]);
        assert_served_by(&client, "second");
        scene.replicas[1].die();
        assert_served_by(&client, "first");
        scene.replicas[1].listen();
        wait_to_be_served_by_none_but(&client, "second");
        scene.mend(0);
        scene.say(0, "ok", 0);
        wait_to_be_served_by(&client, "first");
        assert_eq!(scene.primary.count("GET"), 0);
    }
}

#[test]
fn a_replica_that_loses_its_primary_gives_way_to_one_that_has_not() {
    let scene = Scene::start();
    let (_deployment, client) = scene.open(&[]);
    wait_to_be_served_by(&client, "first");
    wait_to_be_served_by(&client, "second");
    scene.cut(1, 0);
    wait_until("only the fresh one to serve", PATIENCE, || {
        (0..20).all(|_| text(&client, "GET who") == "first")
    });
    scene.mend(1);
    wait_to_be_served_by(&client, "second");
}

#[test]
fn what_is_cut_off_for_too_long_is_left_for_the_primary_and_returned_to() {
    let keys = [("replica.max_link_down_ms", "3000")];
    for said in ["ok", "err"] {
        let scene = Scene::start();
        for replica in [0, 1] {
            scene.cut(replica, 4);
            scene.say(replica, said, 4000);
        }
        let (_deployment, client) = scene.open(&keys);
        assert_served_by(&client, "primary");
        scene.cut(1, 3);
        scene.say(1, said, 3000);
        wait_to_be_served_by_none_but(&client, "second");
        scene.cut(1, 4);
        scene.say(1, said, 4000);
        wait_to_be_served_by_none_but(&client, "primary");
    }
}

#[test]
fn a_replica_that_has_never_been_in_sync_holds_nothing_to_be_read() {
    for state in ["connect", "sync"] {
        let scene = Scene::start();
        for replica in &scene.replicas {
            let role = Role::Replica("127.0.0.1".into(), scene.primary.port(), state.into());
            replica.edit(|view| (view.role, view.link_down_seconds) = (role, Some(-1)));
        }
        let (_deployment, client) = scene.open(&[]);
        assert_served_by(&client, "primary");
        scene.mend(0);
        wait_to_be_served_by(&client, "first");
    }
}

#[test]
fn lag_is_measured_against_the_freshest_offset_that_any_sentinel_reports() {
    let scene = Scene::start();
    let other = FakeSentinel::builder(SERVICE, scene.primary.port())
        .view(|view| {
            view.replicas = scene.sentinel.edit(|view| view.replicas.clone());
        })
        .start();
    scene
        .sentinel
        .edit(|view| view.sentinels = vec![("127.0.0.1".into(), other.port())]);
    // The newer word of the other Sentinel: the second has 5,000 bytes more than the first.
    other.edit(|view| {
        view.replicas[1].offset = 6000;
        view.replicas[1].fields = vec![("info-refresh".into(), "10".into())];
    });
    let both = with(
        options(&[scene.sentinel.port(), other.port()]),
        &[("replica.max_lag_bytes", "4999")],
    );
    let deployment = sentinel::Deployment::open(&both).unwrap();
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    wait_until("only the one in front to serve", PATIENCE, || {
        (0..20).all(|_| text(&client, "GET who") == "second")
    });
    assert_served_by(&client, "second");
    scene.sentinel.edit(|view| view.replicas[0].offset = 1001);
    other.edit(|view| view.replicas[0].offset = 1001);
    wait_to_be_served_by(&client, "first");
}

#[test]
fn no_read_fails_when_the_sentinels_are_reset() {
    let keys = [("replica.fallback_to_primary", "0")];
    let (topology, _deployment, client) = replicated(Config::default().fast(false), &keys);
    let (answered, failed) = reading(&client, || {
        for sentinel in 0..3 {
            assert!(
                !topology
                    .sentinel(sentinel)
                    .ask(&["SENTINEL", "RESET", SERVICE])
                    .is_error()
            );
        }
        for sentinel in 0..3 {
            wait_until("the replicas to be known again", PATIENCE, || {
                let listed = topology.sentinel(sentinel).ask(&["SENTINEL", "REPLICAS", SERVICE]);
                let known = |replica: &sentinel_lab::Value| replica.field("master-link-status") == "ok";
                listed.as_items().len() == 2 && listed.as_items().iter().all(known)
            });
        }
    });
    assert!(
        failed.is_empty(),
        "{} of {answered}: {:?}",
        failed.len(),
        failed.first()
    );
    assert!(answered > 500, "{answered}");
}

#[test]
fn what_was_forgotten_serves_only_while_it_follows_the_primary() {
    for gone in ["another primary", "no primary", "15 s"] {
        let scene = Scene::start();
        let (_deployment, client) = scene.open(&[("replica.fallback_to_primary", "0")]);
        wait_to_be_served_by(&client, "first");
        wait_to_be_served_by(&client, "second");
        scene.sentinel.edit(|view| view.replicas.clear());
        let reset = format!("master {SERVICE} 127.0.0.1 {}", scene.primary.port());
        assert_eq!(scene.sentinel.emit("+reset-master", &reset), 1);
        let forgotten = Instant::now();
        let both = |client: &Client| {
            let served: Vec<String> = (0..20).map(|_| text(client, "GET who")).collect();
            ["first", "second"]
                .iter()
                .all(|name| served.iter().any(|by| by == name))
        };
        let asked = scene.sentinel.count("SENTINEL");
        wait_until("the Sentinel to be asked again", PATIENCE, || {
            scene.sentinel.count("SENTINEL") > asked + 4
        });
        assert!(both(&client), "what it still is");
        match gone {
            "another primary" => scene.replicas[0].set_role(Role::Replica("127.0.0.1".into(), 1, "connected".into())),
            "no primary" => scene.replicas[0].set_role(Role::Primary),
            _ => {
                let (_, took) = timed(|| {
                    wait_until("them to be given up", PATIENCE * 2, || {
                        // Not for another reason: one that is only late is not given up.
                        let result = run_within(&client, "GET who", 200);
                        result.is_err_and(|error| error.reason() == Some(Reason::NoUsableReplica))
                    });
                });
                let since = forgotten.elapsed();
                assert!(
                    since > Duration::from_secs(14) && since < Duration::from_secs(20),
                    "{since:?}, {took:?}"
                );
                continue;
            }
        }
        wait_until("the other alone to serve", PATIENCE, || {
            (0..20).all(|_| text(&client, "GET who") == "second")
        });
        let other = scene.open(&[("replica.fallback_to_primary", "0")]);
        assert!(
            run_within(&other.1, "GET who", 300).is_err(),
            "it was never known to this one"
        );
        assert!(run(&client, "GET who").is_ok());
    }
}

/// REPLICAS with so many entries that are down, and this one behind them.
fn long_list(dead: usize, alive: u16) -> Vec<u8> {
    let mut list = format!("*{}\r\n", dead + 1).into_bytes();
    let mut add = |host: &str, port: &str, flags: &str| {
        let pairs = ["ip", host, "port", port, "flags", flags];
        list.extend(b"*6\r\n");
        for part in pairs {
            list.extend(format!("${}\r\n{part}\r\n", part.len()).bytes());
        }
    };
    (0..dead).for_each(|number| add(&format!("10.{}.{}.1", number / 256, number % 256), "1", "s_down,slave"));
    add("127.0.0.1", &alive.to_string(), "slave");
    list
}

#[test]
fn sixty_thousand_replicas_that_are_gone_hide_none_and_hold_nobody_up() {
    let scene = Scene::start();
    let list = long_list(60_000, scene.replicas[1].port());
    let sentinel = FakeSentinel::builder(SERVICE, scene.primary.port())
        .on(move |session, args| {
            let asked = args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"REPLICAS"));
            if asked {
                session.send(&list);
            }
            asked
        })
        .start();
    let patient = with(options(&[sentinel.port()]), &[("sentinel.timeout_ms", "5000")]);
    let deployment = sentinel::Deployment::open(&patient).unwrap();
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    let (who, took) = timed(|| text(&client, "GET who"));
    assert_eq!(who, "second");
    // Unoptimised, with the answer read several times; where each entry is compared with each other it is minutes.
    assert!(took < Duration::from_secs(4), "{took:?}");
    let described = deployment.describe().unwrap();
    assert!(described.len() < 1 << 20, "{} bytes are kept", described.len());
}
