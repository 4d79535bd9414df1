//! Credentials that are replaced while a deployment is in use, and the rights that a login needs at least.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sentinel::completion::Target;
use sentinel::completion::queue::Polled;
use sentinel::net::Credentials;
use sentinel::{Client, Deadline, Deployment, ErrorKind, Reason};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Server, SetOnDrop, Topology, skipped_before, wait_until};

use crate::support::{
    PATIENCE, SERVICE, named_connections, open_on, options, overrides, run, run_within, sentinel_ports, tell, text,
    timed, with, within,
};

/// The rights that the README names as the least.
const NODE_RIGHTS: &str = "-@all +@read +@write +@transaction +ping +role +select";
const SENTINEL_RIGHTS: &str = "-@all +ping +subscribe +sentinel|get-master-addr-by-name +sentinel|master \
                               +sentinel|replicas +sentinel|sentinels +sentinel|myid";

fn app(password: &str) -> Credentials {
    Credentials::new(Some("app"), password.as_bytes()).unwrap()
}

/// A primary that the user `app` may enter by the password `old`.
fn guarded() -> Topology {
    let user = format!("user app on >old ~* &* {NODE_RIGHTS} +client|id +echo");
    Topology::start(Config::default().nodes(1).sentinels(1).node_line(&user))
}

fn open_as_app(topology: &Topology, password: &str) -> Deployment {
    let pairs = [("username", "app"), ("password", password)];
    Deployment::open(&with(options(&sentinel_ports(topology)), &pairs)).unwrap()
}

fn client_of(deployment: &Deployment, name: &str) -> Client {
    let named = overrides(&[("client_name", name), ("pool.direct", "1")]);
    deployment.primary_for(Some(SERVICE), Some(&named)).unwrap()
}

fn id(client: &Client) -> i64 {
    run(client, "CLIENT ID").unwrap().integer()
}

/// The connections that carry this name and were made as `app` with other credentials than the newest have gone.
fn wait_for_new_connection(client: &Client, before: i64) {
    wait_until("a connection with the new credentials", PATIENCE, || {
        id(client) != before
    });
}

/// How many logins the server refused.
fn denied(server: &Server) -> usize {
    let log = server.ask(&["ACL", "LOG"]);
    let refused = log.as_items().iter().filter(|entry| entry.field("reason") == "auth");
    refused
        .map(|entry| entry.field("count").parse::<usize>().unwrap())
        .sum()
}

#[test]
fn a_rotation_fails_no_call_and_moves_all_connections_to_the_new_login() {
    let topology = guarded();
    let node = topology.node(0);
    let deployment = open_as_app(&topology, "old");
    let client = client_of(&deployment, "rotated");
    assert_eq!(text(&client, "SET k v"), "OK");
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lease = client.acquire(5000).unwrap();
    std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let callers: Vec<_> = (0..6)
            .map(|caller| {
                let (client, done, calls) = (&client, &done, &calls);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(text(client, &format!("ECHO {caller}")), caller.to_string());
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let progress = |more: usize| {
            let now = calls.load(Ordering::Relaxed);
            wait_until("calls", PATIENCE, || calls.load(Ordering::Relaxed) > now + more);
        };
        progress(100);
        for turn in 0..5 {
            let before: i64 = newest_id(node, "rotated");
            tell(node, &format!("ACL SETUSER app >new{turn}"));
            deployment.update_credentials(app(&format!("new{turn}"))).unwrap();
            wait_until("the old connections to be closed", PATIENCE, || {
                ids(node, "rotated").iter().filter(|id| **id <= before).count() <= 2
            });
            progress(100);
        }
        drop(guard);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    assert_eq!(denied(node), 0, "nothing was tried with what is not in force");
    drop(lease);
    wait_until("the leased connection to be closed", PATIENCE, || {
        named_connections(node, "rotated") <= 4
    });
}

fn ids(node: &Server, name: &str) -> Vec<i64> {
    let wanted = format!(" name={name} ");
    let list = node.ask(&["CLIENT", "LIST"]).as_text();
    let lines = list.lines().filter(|line| line.contains(&wanted));
    let id = |line: &str| line.split(' ').next()?.strip_prefix("id=")?.parse().ok();
    lines.filter_map(id).collect()
}

fn newest_id(node: &Server, name: &str) -> i64 {
    ids(node, name).into_iter().max().unwrap()
}

#[test]
fn credentials_that_a_node_refuses_cost_no_connection_and_no_storm() {
    let topology = guarded();
    let node = topology.node(0);
    let deployment = open_as_app(&topology, "old");
    let client = client_of(&deployment, "kept");
    let before = id(&client);
    deployment.update_credentials(app("not yet")).unwrap();
    wait_until("the new ones to be refused", PATIENCE, || denied(node) > 0);
    for _ in 0..200 {
        assert_eq!(id(&client), before);
    }
    assert_eq!(denied(node), 1, "shown once");
    tell(node, "ACL SETUSER app >now");
    deployment.update_credentials(app("now")).unwrap();
    wait_for_new_connection(&client, before);
    assert_eq!(denied(node), 1);
}

#[test]
fn a_client_that_was_refused_is_served_right_after_the_right_credentials_came() {
    let topology = guarded();
    let node = topology.node(0);
    let deployment = open_as_app(&topology, "wrong");
    let client = client_of(&deployment, "refused");
    for _ in 0..50 {
        let (result, took) = timed(|| run_within(&client, "SET k v", 5000));
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Auth { .. }), "{error:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    let tried = denied(node);
    assert!(tried < 20, "{tried} attempts for 50 calls");
    deployment.update_credentials(app("old")).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
}

#[test]
fn a_login_refused_while_it_is_replaced_is_repeated_once_with_the_newest() {
    let let_go = Arc::new(AtomicBool::new(false));
    let guard = SetOnDrop(&let_go);
    let waits = Arc::clone(&let_go);
    let node = FakeNode::builder()
        .on(move |session, args| {
            let is_old = args.iter().any(|arg| arg == b"old");
            if !is_old {
                return false;
            }
            while !waits.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            session.error("WRONGPASS invalid username-password pair or user is disabled.");
            true
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &[("password", "old")])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run(&client, "SET k v").map(|reply| reply.text().into_owned()));
        node.wait_for_command("HELLO", PATIENCE);
        deployment.update_credentials(Credentials::default()).unwrap();
        drop(guard);
        assert_eq!(call.join().unwrap().unwrap(), "OK");
    });
}

#[test]
fn a_client_with_credentials_of_its_own_keeps_them() {
    let topology = guarded();
    let node = topology.node(0);
    tell(node, "ACL SETUSER other on >own ~* +@all");
    let deployment = open_as_app(&topology, "old");
    let own = overrides(&[("username", "other"), ("password", "own"), ("pool.direct", "1")]);
    let own = deployment.primary_for(Some(SERVICE), Some(&own)).unwrap();
    let shared = client_of(&deployment, "shared");
    let (own_id, shared_id) = (id(&own), id(&shared));
    tell(node, "ACL SETUSER app >new");
    deployment.update_credentials(app("new")).unwrap();
    wait_for_new_connection(&shared, shared_id);
    assert_eq!(id(&own), own_id);
    assert_eq!(text(&own, "ACL WHOAMI"), "other");
    let later = client_of(&deployment, "later");
    tell(node, "ACL SETUSER app <old");
    assert_eq!(text(&later, "SET k v"), "OK", "a new client has the newest");
}

#[test]
fn the_login_at_the_sentinels_is_replaced_too() {
    let config = Config::default().nodes(1).sentinels(3).sentinel_password("right");
    let topology = Topology::start(config);
    let options = with(options(&sentinel_ports(&topology)), &[("sentinel.password", "wrong")]);
    let deployment = Deployment::open(&options).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let (result, took) = timed(|| run_within(&client, "SET k v", 10_000));
    let error = result.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::SentinelAuth), "{error:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let right = Credentials::new(None, b"right").unwrap();
    deployment.update_sentinel_credentials(right).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
}

#[test]
fn the_least_rights_of_the_readme_are_enough_through_a_failover() {
    if skipped_before((6, 2), "users at Sentinels") {
        return;
    }
    let config = Config::default()
        .node_line(&format!("user app on >pw ~app:* resetchannels {NODE_RIGHTS}"))
        .sentinel_line(&format!("user watcher on >spw &* {SENTINEL_RIGHTS}"));
    let topology = Topology::start(config);
    let pairs = [
        ("username", "app"),
        ("password", "pw"),
        ("sentinel.username", "watcher"),
        ("sentinel.password", "spw"),
        ("database", "2"),
    ];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &pairs)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET app:k v"), "OK");
    wait_until("the value on a replica", PATIENCE, || {
        run(&replica, "GET app:k").is_ok_and(|reply| reply.text() == "v")
    });
    let refused = run(&client, "SET k v").unwrap_err();
    assert_eq!(refused.server_code(), Some("NOPERM"));
    let old = topology.primary();
    topology.kill(old);
    let (result, took) = timed(|| run_within(&client, "SET app:k w", 20_000));
    assert!(result.is_ok(), "{took:?}: {result:?}");
    // The events of the Sentinels were heard: without them the poll each second would be all there is.
    let admin = open_on(&topology);
    assert_eq!(
        text(
            &admin
                .primary_for(Some(SERVICE), Some(&overrides(&[("database", "2")])))
                .unwrap(),
            "GET app:k"
        ),
        "w"
    );
}

#[test]
fn a_user_who_may_not_ask_for_the_role_is_served_by_what_info_tells() {
    let config = Config::default().nodes(2).sentinels(0);
    let topology = Topology::start(config.node_line("user app on >pw ~* &* +@all -role"));
    let (primary, replica) = (topology.node(0), topology.node(1));
    let sentinel = FakeSentinel::start(SERVICE, primary.port());
    // HELLO would tell it too.
    let pairs = [("username", "app"), ("password", "pw"), ("protocol", "2")];
    let open = || Deployment::open(&with(options(&[sentinel.port()]), &pairs)).unwrap();
    let (deployment, later) = (open(), open());
    assert_eq!(
        text(&deployment.primary_for(Some(SERVICE), None).unwrap(), "SET k v"),
        "OK"
    );
    tell(replica, "REPLICAOF NO ONE");
    tell(primary, &format!("REPLICAOF 127.0.0.1 {}", replica.port()));
    tell(primary, "CONFIG RESETSTAT");
    let client = later.primary_for(Some(SERVICE), None).unwrap();
    let error = run_within(&client, "SET k w", 600).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::WrongRole), "{error}");
    let stats = primary.ask(&["INFO", "commandstats"]).as_text();
    assert!(
        stats.contains("cmdstat_info:") && !stats.contains("cmdstat_set:"),
        "{stats}"
    );
    sentinel.change_primary("127.0.0.1", replica.port());
    assert_eq!(run_within(&client, "SET k w", 5000).unwrap().text(), "OK");
}

/// The server holds still for a moment each time, so that what is submitted gathers on the connection that is left.
#[test]
fn submissions_keep_their_order_while_the_login_is_replaced() {
    const WINDOW: usize = 2000;
    let topology = guarded();
    let node = topology.node(0);
    let deployment = open_as_app(&topology, "old");
    let client = client_of(&deployment, "ordered");
    let queue = deployment.queue(2 * WINDOW).unwrap();
    let (done, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let submit = || {
        let (padding, mut submitted) = ("x".repeat(4096), 0);
        while !done.load(Ordering::Relaxed) || ended.load(Ordering::Relaxed) < submitted {
            if submitted < ended.load(Ordering::Relaxed) + WINDOW && !done.load(Ordering::Relaxed) {
                let element = format!("{submitted:08}{padding}");
                let command: [&[u8]; 3] = [b"RPUSH", b"order", element.as_bytes()];
                client
                    .submit(&command, &within(20_000), Target::Queue(&queue, submitted as u64))
                    .unwrap();
                submitted += 1;
                continue;
            }
            let took = queue.poll(WINDOW, Deadline::after(Some(PATIENCE)), |entry| {
                entry.result.unwrap();
                ended.fetch_add(1, Ordering::Relaxed);
            });
            assert_ne!(took, Ok(Polled::Empty));
        }
        submitted
    };
    let submitted = std::thread::scope(|scope| {
        let guard = SetOnDrop(&done);
        let submitter = scope.spawn(submit);
        let progress = |more: usize| {
            let now = ended.load(Ordering::Relaxed);
            wait_until("calls", PATIENCE, || ended.load(Ordering::Relaxed) > now + more);
        };
        progress(WINDOW);
        for turn in 0..5 {
            let before = newest_id(node, "ordered");
            tell(node, "CLIENT PAUSE 150");
            tell(node, &format!("ACL SETUSER app >new{turn}"));
            deployment.update_credentials(app(&format!("new{turn}"))).unwrap();
            progress(2 * WINDOW);
            assert!(newest_id(node, "ordered") > before, "the connection is the same");
        }
        drop(guard);
        submitter.join().unwrap()
    });
    let list = node.ask(&["LRANGE", "order", "0", "-1"]);
    let numbers: Vec<usize> = list
        .as_items()
        .iter()
        .map(|element| element.as_text()[..8].parse().unwrap())
        .collect();
    let strays = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!((numbers.len(), strays), (submitted, 0), "executed, out of their order");
}
