//! Real topologies: they come up, fail over, come back, and leave nothing behind.

use std::time::{Duration, Instant};

use sentinel_lab::{Config, Topology, process_exists};

const LONG: Duration = Duration::from_secs(15);

fn write(topology: &Topology, index: usize, key: &str) -> String {
    topology.node(index).ask(&["SET", key, "1"]).as_text()
}

#[test]
fn a_killed_primary_is_replaced_within_five_seconds() {
    let started = Instant::now();
    let topology = Topology::start(Config::default());
    eprintln!("started in {:?}", started.elapsed());
    assert_eq!(topology.primary(), 0);
    assert_eq!(topology.replicas(), [1, 2]);
    topology.kill(0);
    let killed = Instant::now();
    let primary = topology.wait_for_primary_change(0, Duration::from_secs(5));
    eprintln!("new primary after {:?}", killed.elapsed());
    topology.wait_for_settled();
    assert_eq!(write(&topology, primary, "a"), "OK");
    topology.restart(0);
    topology.wait_for_settled();
    eprintln!("settled after {:?}", killed.elapsed());
    assert_eq!(topology.primary(), primary);
    assert_eq!(topology.node(0).ask(&["GET", "a"]).as_text(), "1");
}

#[test]
fn a_stopped_primary_is_replaced_and_becomes_a_replica() {
    let topology = Topology::start(Config::default());
    topology.stop(0);
    assert!(topology.node(0).is_stopped());
    let primary = topology.wait_for_primary_change(0, LONG);
    topology.cont(0);
    topology.wait_for_settled();
    assert!(primary != 0 && topology.primary() == primary);
    assert!(write(&topology, 0, "a").starts_with("READONLY"));
}

#[test]
fn a_failover_by_order_works_twice_and_survives_a_dead_sentinel() {
    let topology = Topology::start(Config::default());
    topology.fail_over();
    let second = topology.wait_for_primary_change(0, LONG);
    topology.wait_for_settled();
    topology.kill_sentinel(0);
    topology.fail_over();
    topology.wait_for_primary_change(second, LONG);
    topology.restart_sentinel(0);
    topology.stop_sentinel(1);
    topology.cont_sentinel(1);
    topology.wait_for_settled();
}

#[test]
fn a_terminated_primary_ends_and_is_replaced() {
    let topology = Topology::start(Config::default());
    topology.terminate(0);
    topology.wait_for_primary_change(0, LONG);
    topology.node(0).wait_exit(LONG);
    assert_eq!(topology.node(0).pid(), None);
}

#[test]
fn default_timers_start_as_fast() {
    let started = Instant::now();
    let topology = Topology::start(Config::default().fast(false));
    eprintln!("started with default timers in {:?}", started.elapsed());
    assert!(topology.unsettled().is_none());
}

#[test]
fn passwords_users_names_and_families_of_addresses_work() {
    let secured = Config::default()
        .password("data pass")
        .sentinel_password("s3")
        .service("a b");
    let topology = Topology::start(secured.nodes(2));
    let anonymous = sentinel_lab::Control::connect(topology.node(0).address())
        .expect("connect")
        .ask(&["GET", "a"]);
    assert!(anonymous.as_text().starts_with("NOAUTH"), "{anonymous:?}");
    topology.fail_over();
    topology.wait_for_primary_change(0, LONG);

    let by_user = Topology::start(Config::default().user("app", "secret").nodes(2).hostnames(true));
    assert_eq!(by_user.sentinels()[0].0, "localhost");
    let address = by_user
        .sentinel(0)
        .ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
    assert_eq!(address.as_items()[0].as_text(), "localhost");

    let v6 = Topology::start(Config::default().ipv6(true).nodes(2).sentinels(1));
    assert_eq!(v6.nodes()[1].0, "::1");
}

#[test]
fn one_node_and_no_sentinel_is_a_topology() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    assert_eq!(topology.primary(), 0);
    assert_eq!(write(&topology, 0, "a"), "OK");
}

#[test]
fn nothing_is_left_after_the_drop() {
    let topology = Topology::start(Config::default());
    let dir = topology.dir().to_owned();
    topology.stop(1);
    let servers = (0..3).flat_map(|index| [topology.node(index), topology.sentinel(index)]);
    let pids: Vec<u32> = servers.filter_map(|server| server.pid()).collect();
    assert_eq!(pids.len(), 6);
    drop(topology);
    assert!(pids.iter().all(|pid| !process_exists(*pid)));
    assert!(!dir.exists());
}
