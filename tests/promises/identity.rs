//! Whose Sentinel is this: addresses that change hands, Sentinels that move, join and die, and those who have no say.

use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, Options};
use sentinel_lab::{skipped_before, wait_until};

use crate::fleet::{Fleet, Host, ip, known};
use crate::support::{SERVICE, ms, run, together};

/// How long a client may take to find what was learnt in quiet times: the full lists are asked for every ten seconds.
const LEARNT_WITHIN: Duration = Duration::from_secs(20);

/// How long after a switch, or a new beginning at epoch 0, a client may take to be there.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// Long enough for polls and rounds to do what they may do wrong.
const TEMPTATION: Duration = Duration::from_secs(6);

/// Longer than a deployment that was made anew has to wait.
const SILENCE: Duration = Duration::from_secs(12);

/// Longer than anybody waits for a second word, and shorter than whoever answers then is given up.
const SLOWER: Duration = Duration::from_millis(100);

fn connected(options: &Options) -> (Deployment, Client) {
    let deployment = Deployment::open(options).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(5000).unwrap();
    (deployment, client)
}

/// The host that serves the client.
fn serving(client: &Client) -> Option<String> {
    client.node().unwrap().map(|node| node.endpoint.host)
}

/// Writes until the client is at `primary`; how long that took. What fails meanwhile was in flight.
#[track_caller]
fn assert_follows(deployment: &Deployment, client: &Client, primary: Host) -> Duration {
    let since = Instant::now();
    loop {
        let result = run(client, "SET followed v", FOLLOWED_WITHIN.as_millis() as i64);
        if result.is_ok() && serving(client) == Some(ip(primary)) {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < FOLLOWED_WITHIN,
            "not on {} after {:?}, but on {:?}: {:?}; it knows {:?}",
            ip(primary),
            since.elapsed(),
            serving(client),
            result.err().map(|error| error.to_string()),
            known(deployment)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Commands that changed something, as a node counts them.
fn writes_at(fleet: &Fleet, node: Host) -> u64 {
    let stats = fleet.text(node, "INFO commandstats");
    let calls = |line: &str| {
        line.strip_prefix("cmdstat_set:calls=")?
            .split(',')
            .next()?
            .parse::<u64>()
            .ok()
    };
    let sets: u64 = stats.lines().filter_map(calls).sum();
    let keys = fleet.try_ask(node, "DBSIZE").unwrap().as_text().parse::<u64>().unwrap();
    sets.max(keys)
}

/// The Sentinels of another deployment, of which the first answers everybody but takes no news from strangers: with those
/// it would drag the Sentinels that list its address along, and this is about clients.
fn foreign_deployment(beside: &Fleet, primary: Host, sentinels: [Host; 3]) -> Fleet {
    let fleet = beside.beside("foreign");
    fleet.start_node(primary, None);
    let watch = format!("sentinel monitor {SERVICE} {} {} 2", ip(primary), fleet.node_port());
    let epochs = format!("sentinel config-epoch {SERVICE} 50\nsentinel current-epoch 50");
    let users = "user default on nopass ~* &* +@all -publish\nuser peer on >peer ~* &* +@all\n\
                 sentinel sentinel-user peer\nsentinel sentinel-pass peer";
    for host in sentinels {
        fleet.start_sentinel(host, &format!("{watch}\n{epochs}\n{users}\n"));
    }
    assert_eq!(fleet.settle(), primary);
    fleet
}

#[test]
fn an_address_that_another_deployment_takes_over_leads_no_write_there() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    const OWN: [Host; 3] = [2, 3, 4];
    let own = Fleet::with_three_of_each("reused", [10, 11, 12], OWN);
    let [first, _, taken] = OWN;
    let (deployment, client) = connected(&own.options(&OWN));
    wait_until("links to all", LEARNT_WITHIN, || {
        OWN.iter().all(|host| own.links_to(*host) > 0)
    });
    own.kill(taken);
    let foreign = foreign_deployment(&own, 20, [taken, 22, 23]);
    let began = Instant::now();
    let newcomer = connected(&own.options(&[first]));
    let (mut written, mut failures) = ([0, 0], Vec::new());
    while began.elapsed() < TEMPTATION {
        for (which, client) in [&client, &newcomer.1].into_iter().enumerate() {
            match run(client, "SET own v", 1000) {
                Ok(_) => written[which] += 1,
                Err(error) => failures.push(error.to_string()),
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let at_foreign = writes_at(&foreign, 20);
    println!(
        "reused address: {written:?} writes by the old process and the new one, {} failed, {at_foreign} at the other \
         deployment; the clients are on {:?} and {:?}",
        failures.len(),
        serving(&client),
        serving(&newcomer.1)
    );
    let strangers = deployment.metric("sentinel_strangers_total").unwrap();
    assert!(strangers >= 1, "nobody was seen to be a stranger");
    assert_eq!(newcomer.0.metric("sentinel_strangers_total").unwrap(), 1);
    // The laboratory itself: the own Sentinels have not moved.
    assert_eq!(own.settle(), 10);
    assert_eq!(at_foreign, 0, "it knows {:?}", known(&deployment));
    assert!(failures.is_empty(), "{:?}", failures.first());
    assert_eq!([serving(&client), serving(&newcomer.1)], [Some(ip(10)), Some(ip(10))]);
}

#[test]
fn a_stranger_gets_no_write_while_all_of_our_own_are_silent() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let own = Fleet::with_three_of_each("silent", [10, 11, 12], [2, 3, 4]);
    let (deployment, client) = connected(&own.options(&[2, 3, 4]));
    wait_until("links to all", LEARNT_WITHIN, || {
        own.sentinels().iter().all(|host| own.links_to(*host) > 0)
    });
    own.kill(4);
    let foreign = foreign_deployment(&own, 20, [4, 22, 23]);
    wait_until("the stranger to be heard", LEARNT_WITHIN, || {
        deployment.metric("sentinel_strangers_total").unwrap() > 0
    });
    own.kill(2);
    own.kill(3);
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < SILENCE {
        run(&client, "SET own v", 1000).unwrap();
        written += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let at_foreign = writes_at(&foreign, 20);
    println!("silence: {written} writes, {at_foreign} of them at the other deployment");
    assert_eq!(at_foreign, 0, "it knows {:?}", known(&deployment));
    assert_eq!(serving(&client), Some(ip(10)));
}

#[test]
fn a_new_client_hears_most_of_its_seeds_before_it_writes() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let own = Fleet::with_three_of_each("first", [10, 11, 12], [2, 3, 4]);
    own.kill(4);
    let foreign = foreign_deployment(&own, 20, [4, 22, 23]);
    for round in 0..5 {
        own.signal(2, "STOP");
        own.signal(3, "STOP");
        let deployment = Deployment::open(&own.options(&[4, 2, 3])).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..50).for_each(|_| drop(run(&client, "SET own v", 5000).unwrap())));
            wait_until("the stranger to be heard", LEARNT_WITHIN, || foreign.links_to(4) > 0);
            // So much slower are our own.
            std::thread::sleep(SLOWER);
            own.signal(2, "CONT");
            own.signal(3, "CONT");
            writer.join().unwrap();
        });
        let at_foreign = writes_at(&foreign, 20);
        assert_eq!((serving(&client), at_foreign), (Some(ip(10)), 0), "round {round}");
    }
}

#[test]
fn sentinels_that_move_one_by_one_and_keep_their_run_ids_are_followed() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let fleet = Fleet::with_three_of_each("moved", [10, 11, 12], [2, 3, 4]);
    let (deployment, client) = connected(&fleet.options(&[2, 3, 4]));
    wait_until("links to all", LEARNT_WITHIN, || {
        fleet.sentinels().iter().all(|host| fleet.links_to(*host) > 0)
    });
    for (from, to) in [(2, 5), (3, 6), (4, 7)] {
        fleet.move_sentinel(from, to);
        fleet.settle();
        wait_until("a link to where the Sentinel is now", LEARNT_WITHIN, || {
            fleet.links_to(to) > 0
        });
    }
    let new = fleet.fail_over();
    let took = assert_follows(&deployment, &client, new);
    let moved = deployment.metric("sentinels_moved_total").unwrap();
    println!("moved Sentinels: followed within {} ms, {moved} moves seen", ms(took));
    assert_eq!(moved, 3);
    assert_eq!(deployment.metric("sentinel_strangers_total").unwrap(), 0);
    assert_eq!(dead_but_up(&deployment, &fleet), 0, "{:?}", known(&deployment));
}

/// How many Sentinels are taken to be connected that do not run.
fn dead_but_up(deployment: &Deployment, fleet: &Fleet) -> usize {
    let living: Vec<String> = fleet
        .sentinels()
        .iter()
        .map(|host| format!("{}:{}", ip(*host), fleet.sentinel_port()))
        .collect();
    let up = known(deployment).into_iter().filter(|(_, state)| state == "up");
    up.filter(|(address, _)| !living.contains(address)).count()
}

#[test]
fn sentinels_that_join_in_quiet_times_are_learnt_before_the_seed_dies() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let fleet = Fleet::new("joined", 1);
    fleet.start_node(10, None);
    fleet.start_node(11, Some(10));
    fleet.start_sentinel(2, "");
    fleet.monitor(2, SERVICE, 10);
    fleet.settle();
    let (deployment, client) = connected(&fleet.options(&[2]));
    for host in [3, 4] {
        fleet.start_sentinel(host, "");
        fleet.monitor(host, SERVICE, 10);
    }
    fleet.settle();
    let joined = Instant::now();
    wait_until("links to those who joined", LEARNT_WITHIN, || {
        [3, 4].iter().all(|host| fleet.links_to(*host) > 0)
    });
    println!("joined Sentinels: linked after {} ms", ms(joined.elapsed()));
    fleet.kill(2);
    let new = fleet.fail_over();
    println!(
        "joined Sentinels: followed within {} ms",
        ms(assert_follows(&deployment, &client, new))
    );
}

#[test]
fn a_name_that_does_not_resolve_keeps_nobody_from_being_learnt() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let fleet = Fleet::with_three_of_each("unresolved", [10, 11, 12], [2, 3, 4]);
    let mut options = fleet.options(&[2]);
    options.add_sentinel("127.0.0.3", fleet.sentinel_port()).unwrap();
    let (deployment, client) = connected(&options);
    wait_until("links to those who were learnt", LEARNT_WITHIN, || {
        [3, 4].iter().all(|host| fleet.links_to(*host) > 0)
    });
    fleet.kill(2);
    let new = fleet.fail_over();
    println!(
        "unresolved name: followed within {} ms",
        ms(assert_follows(&deployment, &client, new))
    );
}

/// Makes the service anew on the Sentinels that have it, with another primary and from epoch 0 on: what an operator does
/// after a restore. The client has seen a later epoch.
fn make_anew(fleet: &Fleet, sentinels: &[Host]) -> Host {
    let old = fleet.settle();
    let new = fleet.nodes().into_iter().find(|host| *host != old).unwrap();
    for host in sentinels {
        fleet.tell(*host, &format!("SENTINEL REMOVE {SERVICE}"));
    }
    fleet.tell(new, "REPLICAOF NO ONE");
    for host in fleet.nodes().into_iter().filter(|host| *host != new) {
        fleet.tell(host, &format!("REPLICAOF {} {}", ip(new), fleet.node_port()));
    }
    for host in sentinels {
        fleet.monitor(*host, SERVICE, new);
    }
    new
}

#[test]
fn a_service_made_anew_is_followed_though_half_of_the_sentinels_do_not_have_it() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    const HAVE: [Host; 3] = [2, 3, 4];
    let fleet = Fleet::with_three_of_each("half", [10, 11, 12], HAVE);
    let others = fleet.beside("others");
    others.start_node(30, None);
    for host in [5, 6, 7] {
        others.start_sentinel(host, "");
        others.monitor(host, "another", 30);
    }
    fleet.fail_over();
    let (deployment, client) = connected(&fleet.options(&[2, 3, 4]));
    let new = make_anew(&fleet, &HAVE);
    println!(
        "made anew on 3 of 6: followed within {} ms",
        ms(assert_follows(&deployment, &client, new))
    );
}

#[test]
fn a_service_made_anew_is_followed_though_half_of_the_seeds_are_dead() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    const HAVE: [Host; 3] = [2, 3, 4];
    let fleet = Fleet::with_three_of_each("dead-seeds", [10, 11, 12], HAVE);
    fleet.fail_over();
    let (deployment, client) = connected(&fleet.options(&[2, 3, 4]));
    let new = make_anew(&fleet, &HAVE);
    println!(
        "made anew, 3 of 6 seeds dead: followed within {} ms",
        ms(assert_follows(&deployment, &client, new))
    );
}
