//! One address that leads to another Sentinel with each connection: a load balancer, or the service of a chart.

use std::time::Duration;

use sentinel::Deployment;
use sentinel_lab::{Bottleneck, Config, Topology, wait_until};

use crate::support::{SERVICE, named_connections, options, run_within, sentinel_ports, with};

const SENTINELS: usize = 3;

/// Lists are read every ten seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(15);

/// How many of the Sentinels are heard.
fn heard(topology: &Topology, name: &str) -> usize {
    let is_heard = |index: &usize| named_connections(topology.sentinel(*index), name) > 0;
    (0..SENTINELS).filter(is_heard).count()
}

#[test]
fn behind_a_load_balancer_all_sentinels_are_heard_whichever_it_leads_to() {
    let topology = Topology::start(Config::default().sentinels(SENTINELS));
    let balancer = Bottleneck::balancer(&sentinel_ports(&topology));
    let named = with(options(&[balancer.port()]), &[("client_name", "balanced")]);
    let deployment = Deployment::open(&named).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    run_within(&client, "SET k v", 5000).unwrap();
    for turn in 0..4 {
        if turn > 0 {
            let before = balancer.accepted();
            balancer.die();
            balancer.listen();
            wait_until("a connection that leads to another one", HEARD_WITHIN, || {
                balancer.accepted() > before
            });
        }
        wait_until("all three Sentinels", HEARD_WITHIN, || {
            heard(&topology, "balanced") == SENTINELS
        });
    }
    // They stay when the address leads nowhere.
    balancer.die();
    wait_until("all three Sentinels", HEARD_WITHIN, || {
        heard(&topology, "balanced") == SENTINELS
    });
    let old = topology.primary();
    topology.kill(old);
    topology.wait_for_primary_change(old, Duration::from_secs(20));
    run_within(&client, "SET k v", 5000).unwrap();
}
