//! What is discovered of real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sentinel::topology::{Node, Role};
use sentinel::{Deployment, Options};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Proxy, Topology, skipped_before, wait_until};

use crate::support::{
    PATIENCE, SERVICE, open, open_on, options, ports, run, sentinel_ports, serving_port, shared, sorted, tell, text,
    with,
};

fn replica_ports(topology: &Topology) -> Vec<u16> {
    sorted(
        topology
            .replicas()
            .iter()
            .map(|index| topology.node(*index).port())
            .collect(),
    )
}

fn sentinels(deployment: &Deployment) -> Vec<u16> {
    ports(&deployment.discover_sentinels(Some(SERVICE), 5000).unwrap())
}

fn replicas(deployment: &Deployment) -> Vec<u16> {
    ports(&deployment.discover_replicas(Some(SERVICE), 5000).unwrap())
}

fn primary(deployment: &Deployment) -> Node {
    let found = deployment.discover_primary(Some(SERVICE), 5000).unwrap();
    assert_eq!(found.len(), 1, "one primary: {found:?}");
    found[0].clone()
}

#[test]
fn tells_the_primary_the_replicas_and_the_sentinels_as_they_are() {
    let topology = shared();
    let deployment = open_on(&topology);
    let at = topology.primary();
    let found = primary(&deployment);
    assert_eq!(
        (found.endpoint.port, found.role),
        (topology.node(at).port(), Role::Primary)
    );
    assert_eq!(found.endpoint.host, "127.0.0.1");
    let port = found.endpoint.port.to_string();
    let expected = [
        ("name", SERVICE),
        ("ip", "127.0.0.1"),
        ("port", &port),
        ("flags", "master"),
        ("config-epoch", "0"),
        ("num-slaves", "2"),
        ("num-other-sentinels", "2"),
        ("quorum", "2"),
    ];
    for (name, value) in expected {
        assert_eq!(found.field(name), Some(value), "{name}");
    }
    let run_id = tell(topology.node(at), "INFO server").as_text();
    let run_id = run_id.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap();
    assert_eq!(found.field("runid"), Some(run_id));

    let found = deployment.discover_replicas(Some(SERVICE), 5000).unwrap();
    assert_eq!(ports(&found), replica_ports(&topology));
    for replica in &found {
        assert_eq!(replica.role, Role::Replica);
        assert_eq!(replica.field("flags"), Some("slave"));
        assert_eq!(replica.field("master-link-status"), Some("ok"));
        assert_eq!(replica.field("master-port"), Some(&*port));
        assert!(replica.field("slave-repl-offset").is_some());
    }

    let found = deployment.discover_sentinels(Some(SERVICE), 5000).unwrap();
    assert_eq!(ports(&found), sorted(sentinel_ports(&topology)));
    for sentinel in &found {
        assert_eq!(sentinel.role, Role::Sentinel);
        assert_eq!(sentinel.field("flags"), Some("sentinel"));
        assert_eq!(sentinel.field("runid").map(str::len), Some(40), "{sentinel:?}");
    }
}

#[test]
fn one_name_of_a_sentinel_and_another_of_its_peers_are_one_sentinel() {
    let topology = shared();
    let mut options = Options::new();
    for port in sentinel_ports(&topology) {
        options.add_sentinel("localhost", port).unwrap();
    }
    let deployment = Deployment::open(&options).unwrap();
    assert_eq!(
        primary(&deployment).endpoint.port,
        topology.node(topology.primary()).port()
    );
    for _ in 0..3 {
        assert_eq!(
            sentinels(&deployment),
            sorted(sentinel_ports(&topology)),
            "each Sentinel once"
        );
    }
}

#[test]
fn a_service_name_may_contain_spaces() {
    const NAME: &str = "a b  c";
    let topology = shared();
    let port = topology.node(topology.primary()).port().to_string();
    for index in 0..3 {
        let reply = topology
            .sentinel(index)
            .ask(&["SENTINEL", "MONITOR", NAME, "127.0.0.1", &port, "2"]);
        assert!(!reply.is_error(), "{reply:?}");
    }
    let deployment = open_on(&topology);
    let found = deployment.discover_primary(Some(NAME), 5000).unwrap();
    assert_eq!(
        (found[0].endpoint.port.to_string(), found[0].field("name")),
        (port, Some(NAME))
    );
    let client = deployment.primary_for(Some(NAME), None).unwrap();
    assert_eq!(text(&client, "SET spaces 1"), "OK");
    for index in 0..3 {
        topology.sentinel(index).ask(&["SENTINEL", "REMOVE", NAME]);
    }
}

#[test]
fn the_failover_of_a_service_with_spaces_in_its_name_is_followed_by_its_event() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::start("my own service", old.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "0")])).unwrap();
    let client = deployment.primary_for(Some("my own service"), None).unwrap();
    text(&client, "SET k old");
    sentinel.wait_for_subscribers(1, PATIENCE);
    sentinel.switch_master("127.0.0.1", new.port());
    wait_until("a write at the new primary", PATIENCE, || {
        // The one in flight at the switch may fail.
        run(&client, "SET k new").is_ok() && new.value("k").is_some()
    });
}

#[test]
fn a_service_named_by_the_url_is_the_one_that_is_meant_without_a_name() {
    let topology = shared();
    let seeds: Vec<String> = sentinel_ports(&topology)
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let mut options = Options::new();
    options
        .parse_url(&format!("redis+sentinel://{}/{SERVICE}", seeds.join(",")))
        .unwrap();
    let deployment = Deployment::open(&options).unwrap();
    let found = deployment.discover_primary(None, 5000).unwrap();
    assert_eq!(ports(&found), [topology.node(topology.primary()).port()]);
    assert_eq!(text(&deployment.primary_for(None, None).unwrap(), "SET url 1"), "OK");
}

#[test]
fn a_replica_that_is_down_is_left_out_and_comes_back() {
    let topology = Topology::start(Config::default());
    let deployment = open_on(&topology);
    let both = replica_ports(&topology);
    assert_eq!(replicas(&deployment), both);
    let down = topology.replicas()[0];
    topology.kill(down);
    let alive: Vec<u16> = both
        .iter()
        .copied()
        .filter(|port| *port != topology.node(down).port())
        .collect();
    wait_until("the dead replica to be left out", PATIENCE, || {
        replicas(&deployment) == alive
    });
    topology.restart(down);
    wait_until("the replica to be told again", PATIENCE, || {
        replicas(&deployment) == both
    });
}

#[test]
fn the_sentinels_learnt_from_one_seed_serve_when_it_is_dead() {
    let topology = Topology::start(Config::default().nodes(2));
    let all = sorted(sentinel_ports(&topology));
    let seed = topology.sentinel(0).port();
    let deployment = open(&[seed]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET k v");
    assert_eq!(sentinels(&deployment), all);
    let aloof = Deployment::open(&with(options(&[seed]), &[("sentinel.learn", "0")])).unwrap();
    assert_eq!(primary(&aloof).endpoint.port, topology.node(0).port());

    // Each of the two is connected before the seed goes.
    for port in all.iter().filter(|port| **port != seed) {
        let index = topology.sentinels().iter().position(|(_, each)| each == port).unwrap();
        wait_until("a subscription at a learnt Sentinel", PATIENCE, || {
            let clients = tell(topology.sentinel(index), "CLIENT LIST").as_text();
            clients
                .lines()
                .any(|line| line.contains(" sub=") && !line.contains(" sub=0 "))
        });
    }
    topology.kill_sentinel(0);
    assert_eq!(primary(&deployment).endpoint.port, topology.node(0).port());
    assert!(
        aloof.discover_primary(Some(SERVICE), 500).is_err(),
        "without learning there is only the seed"
    );
    // Two Sentinels of three are a majority: they fail over, and those that were learnt tell it.
    topology.kill(0);
    let new = topology.wait_for_primary_change(0, PATIENCE);
    wait_until("a write at the new primary", PATIENCE, || {
        run(&client, "SET k w").is_ok() && serving_port(&client) == topology.node(new).port()
    });
}

#[test]
fn the_address_map_is_applied_to_the_primary_the_replicas_and_the_sentinels() {
    let topology = shared();
    let direct = |port: u16| (port, Proxy::to(port));
    let nodes: Vec<_> = topology.nodes().iter().map(|(_, port)| direct(*port)).collect();
    let sentinel_proxies: Vec<_> = sentinel_ports(&topology).into_iter().map(direct).collect();
    let map: Vec<String> = nodes
        .iter()
        .chain(&sentinel_proxies)
        .map(|(port, proxy)| format!("127.0.0.1:{port}={}", proxy.address()))
        .collect();
    let seed = with(
        options(&[sentinel_proxies[0].1.port()]),
        &[("address.map", &map.join(","))],
    );
    let deployment = Deployment::open(&seed).unwrap();
    let proxy_of = |port: u16| {
        nodes
            .iter()
            .find(|(own, _)| *own == port)
            .map(|(_, proxy)| proxy)
            .unwrap()
    };
    let at = proxy_of(topology.node(topology.primary()).port());
    assert_eq!(primary(&deployment).endpoint.port, at.port());
    let mapped = replica_ports(&topology).into_iter().map(|port| proxy_of(port).port());
    let mapped = sorted(mapped.collect());
    assert_eq!(replicas(&deployment), mapped);
    assert_eq!(
        sentinels(&deployment),
        sorted(sentinel_proxies.iter().map(|(_, proxy)| proxy.port()).collect())
    );
    text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET mapped 1");
    assert!(at.bytes_from_client() > 0, "the write went through the proxy");
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    let served = serving_port(&client);
    assert!(
        proxy_of(served).bytes_from_client() > 0,
        "the read went through the proxy"
    );
    for (port, proxy) in &sentinel_proxies {
        wait_until(
            &format!("the Sentinel {port} to be asked through its proxy"),
            PATIENCE,
            || proxy.bytes_from_server() > 0,
        );
    }
}

#[test]
fn host_names_are_resolved_for_sentinels_and_nodes() {
    if skipped_before((6, 2), "names of hosts at Sentinels") {
        return;
    }
    let topology = Topology::start(Config::default().hostnames(true).nodes(2).sentinels(1));
    let mut options = Options::new();
    options.add_sentinel("localhost", topology.sentinel(0).port()).unwrap();
    let deployment = Deployment::open(&options).unwrap();
    assert_eq!(primary(&deployment).endpoint.host, "localhost");
    assert_eq!(
        text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET k v"),
        "OK"
    );
    assert_eq!(sentinels(&deployment), [topology.sentinel(0).port()]);
}

#[test]
fn ipv6_is_spoken() {
    let topology = Topology::start(Config::default().ipv6(true).nodes(2).sentinels(1));
    let mut options = Options::new();
    options.add_sentinel("::1", topology.sentinel(0).port()).unwrap();
    let deployment = Deployment::open(&options).unwrap();
    let found = primary(&deployment);
    assert_eq!(found.endpoint.to_string(), format!("[::1]:{}", topology.node(0).port()));
    assert_eq!(
        text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET k v"),
        "OK"
    );
}

#[test]
fn passwords_open_real_sentinels_and_nodes() {
    let config = Config::default()
        .nodes(2)
        .sentinels(1)
        .password("node-secret")
        .user("app", "app-secret");
    let topology = Topology::start(config.sentinel_password("sentinel-secret"));
    let mut base = options(&[topology.sentinel(0).port()]);
    base.set_secret("sentinel.password", b"sentinel-secret").unwrap();
    for (user, password) in [(None, "node-secret"), (Some("app"), "app-secret")] {
        let mut options = base.clone();
        options.set_secret("password", password.as_bytes()).unwrap();
        if let Some(user) = user {
            options.set("username", user).unwrap();
        }
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        assert_eq!(text(&client, "SET k v"), "OK");
        assert_eq!(text(&client, "ACL WHOAMI"), user.unwrap_or("default"));
        let reader = deployment.replica_for(Some(SERVICE), None).unwrap();
        assert_eq!(serving_port(&reader), topology.node(1).port());
    }
}

#[test]
fn sentinels_that_tell_no_epoch_do_not_turn_from_a_primary_that_they_name() {
    let node = FakeNode::start();
    let denied = Arc::new(AtomicUsize::new(0));
    let start = |number: usize| {
        let denied = Arc::clone(&denied);
        let is_master = |args: &[Vec<u8>]| args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"MASTER"));
        FakeSentinel::builder(SERVICE, node.port())
            .view(|view| view.epoch = 7)
            .on(move |session, args| {
                let refused = number < denied.load(Ordering::Relaxed) && is_master(args);
                if refused {
                    session.error("NOPERM this user has no permissions to run the 'sentinel|master' command");
                }
                refused
            })
            .start()
    };
    let sentinels = [0, 1, 2].map(start);
    let options = options(&sentinels.each_ref().map(|sentinel| sentinel.port()));
    let deployment = Deployment::open(&with(options, &[("discovery.refresh_ms", "50")])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    let generation = |deployment: &Deployment| {
        let described = deployment.describe().unwrap();
        let from = described.find("\"generation\":").unwrap();
        described[from..].split(',').next().unwrap().to_owned()
    };
    let before = generation(&deployment);
    denied.store(2, Ordering::Relaxed);
    // A majority that insists on a lower epoch for 2 s is believed: it has done so for longer then.
    let asked = sentinels.each_ref().map(|sentinel| sentinel.count("SENTINEL MASTER"));
    let since = Instant::now();
    wait_until("each of them to be asked for three seconds", PATIENCE, || {
        // All of them, each time.
        primary(&deployment);
        since.elapsed() > Duration::from_secs(3)
            && sentinels
                .iter()
                .zip(asked)
                .all(|(sentinel, asked)| sentinel.count("SENTINEL MASTER") > asked + 20)
    });
    assert_eq!(text(&client, "GET k"), "v");
    assert_eq!(generation(&deployment), before);
    assert_eq!(primary(&deployment).field("config-epoch"), Some("7"));
    // All of them at last, and a failover: now nobody has an epoch.
    denied.store(3, Ordering::Relaxed);
    let next = FakeNode::start();
    sentinels
        .iter()
        .for_each(|sentinel| sentinel.change_primary("127.0.0.1", next.port()));
    wait_until("the sentinels that insist to be followed", PATIENCE, || {
        primary(&deployment).endpoint.port == next.port()
    });
}

#[test]
fn a_service_that_nobody_uses_any_more_is_neither_asked_about_nor_counted() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "50")])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    let is_counted = || deployment.metrics_text().unwrap().contains(SERVICE);
    assert!(is_counted());
    drop(client);
    wait_until("it to be forgotten", PATIENCE * 4, || !is_counted());
    // Its watcher is told by the end of a channel; whatever it had asked by then is answered before the next PING is.
    let pings = sentinel.count("PING");
    wait_until("a PING", PATIENCE, || sentinel.count("PING") > pings + 1);
    let (asked, pings) = (sentinel.count("SENTINEL"), sentinel.count("PING"));
    wait_until("three more", PATIENCE, || sentinel.count("PING") > pings + 3);
    assert_eq!(sentinel.count("SENTINEL"), asked, "questions about what nobody uses");
    // And it is there again for whoever uses it.
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "GET k"), "v");
}
