//! A rolling replacement: every Sentinel and every data node gives way to another one at another address, under callers who
//! notice nothing.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, Options};
use sentinel_lab::{skipped_before, wait_until};

use crate::apart;
use crate::books::{Disturbance, Traffic};
use crate::fleet::{Fleet, Host, ip, known};
use crate::names::{NAME_OF_ALL, Names};
use crate::support::{PATIENCE, SERVICE, ms, number_from_env, together};

/// What no Sentinel lists any more is dropped after a minute.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(75);

const THREADS: usize = 16;

/// Sentinels of now, and those that come for them: first with the same run ids, then with others.
const SENTINELS: [[Host; 3]; 3] = [[2, 3, 4], [5, 6, 7], [8, 9, 10]];
const NODES: [[Host; 3]; 3] = [[102, 103, 104], [105, 106, 107], [108, 109, 110]];

#[test]
fn everything_is_replaced_under_callers_whose_seed_is_a_name() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    apart::run("replaced::by_name");
}

#[test]
fn everything_is_replaced_under_callers_who_are_told_the_addresses() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let fleet = Fleet::with_three_of_each("told", NODES[0], SENTINELS[0]);
    let options = fleet.options(&SENTINELS[0]);
    replace_everything(&fleet, &options, |deployment| {
        update_sentinels(deployment, &fleet.options(&fleet.sentinels()));
    });
}

/// What `sentinel_update_sentinels` does.
fn update_sentinels(deployment: &Deployment, options: &Options) {
    deployment.update_sentinels(options).unwrap();
}

#[test]
#[ignore = "started by the other one, in a network of its own"]
fn by_name() {
    if !apart::is_inside() {
        return;
    }
    let names = Names::listen().unwrap();
    let fleet = Fleet::with_three_of_each("named", NODES[0], SENTINELS[0]);
    let follow = || names.set(fleet.sentinels().into_iter().map(|host| Ipv4Addr::new(127, 0, 0, host)));
    follow();
    let mut options = fleet.options(&[]);
    options.add_sentinel(NAME_OF_ALL, fleet.sentinel_port()).unwrap();
    replace_everything(&fleet, &options, |_| follow());
}

/// Two passes under sixteen threads. `tell` is called whenever other Sentinels live than before.
fn replace_everything(fleet: &Fleet, options: &Options, tell: impl Fn(&Deployment)) {
    let deployment = Deployment::open(options).unwrap();
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    primary.connect(5000).unwrap();
    replica.connect(5000).unwrap();
    let (traffic, mut disturbances, began) = (Traffic::default(), Vec::new(), Instant::now());
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (traffic, primary, replica) = (&traffic, &primary, &replica);
            scope.spawn(move || match number % 4 {
                0 | 2 => traffic.write(number / 2, primary),
                1 => traffic.read(primary),
                _ => traffic.read(replica),
            });
        }
        // The callers end also when the scene panics.
        let scene = std::panic::AssertUnwindSafe(|| {
            for pass in 1..=2 {
                replace_sentinels(fleet, pass, &|| tell(&deployment));
                replace_nodes(fleet, pass, &mut disturbances);
                println!("pass {pass} is over after {:.1} s", began.elapsed().as_secs_f64());
            }
            wait_for_traffic(&traffic);
        });
        let ended = std::panic::catch_unwind(scene);
        traffic.stop();
        if let Err(panic) = ended {
            println!("it knows {:?}", known(&deployment));
            std::panic::resume_unwind(panic);
        }
    });
    let last = fleet.settle();
    assert_serves(&primary, last);
    let faults = traffic.balance(&disturbances, |command| fleet.try_ask(last, command).unwrap());
    assert!(
        faults.is_empty(),
        "{} faults: {:#?}",
        faults.len(),
        &faults[..faults.len().min(20)]
    );
    assert_knows_only_the_living(&deployment, fleet);
}

/// A Sentinel with its run id moves; one with another run id comes before the old one goes, which all are then told to
/// forget.
fn replace_sentinels(fleet: &Fleet, pass: usize, tell: &dyn Fn()) {
    for (old, new) in SENTINELS[pass - 1].into_iter().zip(SENTINELS[pass]) {
        if pass == 1 {
            fleet.move_sentinel(old, new);
        } else {
            let primary = fleet.settle();
            fleet.start_sentinel(new, "");
            fleet.monitor(new, SERVICE, primary);
            fleet.settle();
            tell();
            fleet.kill(old);
            fleet.forget_the_dead();
        }
        fleet.settle();
        tell();
    }
}

/// A replica joins, the primary is moved away from who has to go, and that one goes.
fn replace_nodes(fleet: &Fleet, pass: usize, disturbances: &mut Vec<Disturbance>) {
    for (old, new) in NODES[pass - 1].into_iter().zip(NODES[pass]) {
        fleet.start_node(new, Some(fleet.settle()));
        if fleet.settle() == old {
            let ordered = Instant::now();
            fleet.fail_over();
            disturbances.push((ordered, Instant::now()));
        }
        let before = Instant::now();
        fleet.kill(old);
        disturbances.push((before, before + Duration::from_millis(50)));
        fleet.forget_the_dead();
    }
}

/// All goes on at the end: as many writes again as there are writers, several times.
fn wait_for_traffic(traffic: &Traffic) {
    let done = || traffic.writes.load(Ordering::Relaxed);
    let before = done();
    wait_until("writes after all was replaced", PATIENCE, || {
        done() > before + 10 * THREADS as u64
    });
}

fn assert_serves(client: &Client, primary: Host) {
    let node = client.node().unwrap().map(|node| node.endpoint.host);
    assert_eq!(node, Some(ip(primary)));
}

/// Links lead to all that live. Who is gone is forgotten after a minute: that is waited for where there is time (`FORGET=1`).
/// A name may be shown beside its addresses.
fn assert_knows_only_the_living(deployment: &Deployment, fleet: &Fleet) {
    let living: Vec<String> = fleet
        .sentinels()
        .iter()
        .map(|host| format!("{}:{}", ip(*host), fleet.sentinel_port()))
        .collect();
    let since = Instant::now();
    let waits = number_from_env("FORGET", 0) > 0;
    let is_in_order = || {
        let of_living = |address: &String| !address.starts_with("127.") || living.contains(address);
        let linked = fleet.sentinels().into_iter().all(|host| fleet.links_to(host) > 0);
        linked && (!waits || known(deployment).keys().all(of_living))
    };
    while !is_in_order() {
        let known = known(deployment);
        assert!(
            since.elapsed() < FORGOTTEN_WITHIN,
            "{living:?} live, after {FORGOTTEN_WITHIN:?} it knows {known:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    if waits {
        println!("only living Sentinels are known after {} ms", ms(since.elapsed()));
    }
}
