//! What else than calls has connections when credentials are replaced: subscriptions, the watch on the nodes' lives, the
//! links to the Sentinels. They log in anew, or are replaced once the new login was taken.

use std::time::Duration;

use sentinel::Deployment;
use sentinel::completion::queue::Polled;
use sentinel::net::Credentials;
use sentinel_lab::{Config, FakeNode, FakeSentinel, Server, Topology, skipped_before, wait_until};

use crate::pubsub::hearing::{Got, Hearer, message, publish};
use crate::support::{PATIENCE, SERVICE, options, overrides, sentinel_ports, text, with};

fn login(user: &str, password: &str) -> Credentials {
    Credentials::new(Some(user), password.as_bytes()).unwrap()
}

/// Number and user of each connection with something in its line.
fn connections(server: &Server, holding: &str) -> Vec<(u64, String)> {
    let list = server.ask(&["CLIENT", "LIST"]).as_text();
    let field = |line: &str, key: &str| {
        let mut fields = line.split(' ');
        fields
            .find_map(|field| field.strip_prefix(key).map(String::from))
            .unwrap()
    };
    let lines = list.lines().filter(|line| line.contains(holding));
    lines
        .map(|line| (field(line, "id=").parse().unwrap(), field(line, "user=")))
        .collect()
}

/// Waits until so many have logged in as `user`, and nobody as the other.
#[track_caller]
fn wait_for_users(server: &Server, holding: &str, user: &str, count: usize) -> Vec<u64> {
    wait_until("the connections to be those of the user", PATIENCE, || {
        let all = connections(server, holding);
        all.len() == count && all.iter().all(|(_, own)| own == user)
    });
    connections(server, holding).into_iter().map(|(id, _)| id).collect()
}

fn refused(server: &Server) -> usize {
    let log = server.ask(&["ACL", "LOG"]);
    let counts = log.as_items().iter().filter(|entry| entry.field("reason") == "auth");
    counts.map(|entry| entry.field("count").parse::<usize>().unwrap()).sum()
}

/// A primary with two users that may do everything, and a deployment that goes in as the first.
fn node_of_two_users() -> (Topology, Deployment) {
    let config = Config::default().nodes(1).sentinels(1);
    let topology = Topology::start(
        config
            .node_line("user one on >a ~* &* +@all")
            .node_line("user two on >b ~* &* +@all"),
    );
    let pairs = [("username", "one"), ("password", "a")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &pairs)).unwrap();
    (topology, deployment)
}

fn hearer(deployment: &Deployment, name: &str, protocol: &str) -> Hearer {
    let keys = overrides(&[("client_name", name), ("protocol", protocol)]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let hearer = Hearer::new(deployment, &client, 1000);
    hearer.add(name);
    hearer
}

#[test]
fn a_subscription_logs_in_anew_where_it_is_and_hears_everything() {
    let (topology, deployment) = node_of_two_users();
    let node = topology.node(0);
    let hearer = hearer(&deployment, "heard", "3");
    let before = wait_for_users(node, " name=heard ", "one", 1);
    deployment.update_credentials(login("two", "b")).unwrap();
    assert_eq!(wait_for_users(node, " name=heard ", "two", 1), before);
    assert_eq!(publish(node, "heard", "m"), 1);
    assert_eq!(hearer.next(), message("heard", "m"), "no gap");
    // What the node does not take, it is shown once; and what was subscribed stays so.
    deployment.update_credentials(login("two", "wrong")).unwrap();
    wait_until("the refusal", PATIENCE, || refused(node) == 1);
    hearer.add("more");
    assert_eq!(publish(node, "more", "m"), 1);
    assert_eq!(hearer.next(), message("more", "m"), "no gap");
    assert_eq!(refused(node), 1);
}

#[test]
fn a_subscription_becomes_a_user_without_a_password_where_it_is() {
    let (topology, deployment) = node_of_two_users();
    let node = topology.node(0);
    node.ask(&["ACL", "SETUSER", "two", "nopass"]);
    let hearer = hearer(&deployment, "heard", "3");
    let before = wait_for_users(node, " name=heard ", "one", 1);
    deployment.update_credentials(login("two", "")).unwrap();
    assert_eq!(wait_for_users(node, " name=heard ", "two", 1), before);
    assert_eq!(publish(node, "heard", "m"), 1);
    assert_eq!(hearer.next(), message("heard", "m"), "no gap");
}

#[test]
fn a_subscription_of_resp2_is_replaced_when_the_new_login_was_taken() {
    let (topology, deployment) = node_of_two_users();
    let node = topology.node(0);
    let hearer = hearer(&deployment, "heard", "2");
    let before = wait_for_users(node, " name=heard ", "one", 1);
    deployment.update_credentials(login("two", "wrong")).unwrap();
    wait_until("the refusal", PATIENCE, || refused(node) == 1);
    assert_eq!(publish(node, "heard", "m"), 1);
    assert_eq!(hearer.next(), message("heard", "m"), "no gap");
    deployment.update_credentials(login("two", "b")).unwrap();
    assert_ne!(wait_for_users(node, " name=heard ", "two", 1), before);
    match hearer.next() {
        Got::Gap(from, to, ..) => assert_eq!((&from, &to), (&node.address(), &node.address())),
        other => panic!("{other:?}"),
    }
    assert_eq!(publish(node, "heard", "n"), 1);
    assert_eq!(hearer.next(), message("heard", "n"));
    assert_eq!(refused(node), 1);
}

#[test]
fn the_watch_on_a_nodes_life_logs_in_anew() {
    let (topology, deployment) = node_of_two_users();
    let node = topology.node(0);
    let keys = overrides(&[("client_name", "alive"), ("pool.direct", "1")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&keys)).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    // The one of the calls, and the watch, which begins a second after it.
    wait_for_users(node, " name=alive ", "one", 2);
    deployment.update_credentials(login("two", "b")).unwrap();
    assert_eq!(text(&client, "ECHO x"), "x");
    wait_for_users(node, " name=alive ", "two", 2);
}

#[test]
fn the_links_to_the_sentinels_log_in_anew() {
    if skipped_before((6, 2), "users at Sentinels") {
        return;
    }
    let config = Config::default().nodes(1).sentinels(1);
    let topology = Topology::start(
        config
            .sentinel_line("user one on >a &* +@all")
            .sentinel_line("user two on >b &* +@all"),
    );
    let sentinel = topology.sentinel(0);
    let pairs = [("sentinel.username", "one"), ("sentinel.password", "a")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &pairs)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    let links = || {
        connections(sentinel, " user=")
            .into_iter()
            .filter(|(_, user)| user != "default")
    };
    let before: Vec<_> = links().collect();
    assert_eq!(before.len(), 1, "{before:?}");
    deployment.update_sentinel_credentials(login("two", "wrong")).unwrap();
    wait_until("the refusal", PATIENCE, || refused(sentinel) > 0);
    deployment.discover_primary(Some(SERVICE), 5000).unwrap();
    std::thread::sleep(Duration::from_millis(700)); // for an attempt that must not come
    assert_eq!((links().collect::<Vec<_>>(), refused(sentinel)), (before, 1));
    deployment.update_sentinel_credentials(login("two", "b")).unwrap();
    wait_until("a link of the other user, and no other", PATIENCE, || {
        let users: Vec<_> = links().map(|(_, user)| user).collect();
        users == ["two"]
    });
    wait_until("its subscription", PATIENCE, || {
        let list = sentinel.ask(&["CLIENT", "LIST"]).as_text();
        list.lines()
            .any(|line| line.contains(" user=two ") && !line.contains(" sub=0 "))
    });
    deployment.discover_primary(Some(SERVICE), 5000).unwrap();
    assert_eq!(refused(sentinel), 1);
}

#[test]
fn both_connections_to_a_sentinel_of_resp2_are_replaced() {
    let (one, two) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::builder(SERVICE, one.port())
        .resp2_only()
        .on(|session, args| {
            let is_login = args[0] == b"AUTH";
            if is_login {
                session.send("+OK\r\n");
            }
            is_login
        })
        .start();
    let keys = [("sentinel.password", "old"), ("discovery.refresh_ms", "0")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let hearer = Hearer::of_primary(&deployment);
    hearer.add("c");
    sentinel.wait_for_subscribers(1, PATIENCE);
    let before = sentinel.connections().len();
    assert_eq!(before, 2);
    deployment
        .update_sentinel_credentials(Credentials::new(None, b"new").unwrap())
        .unwrap();
    wait_until("two more, and only those", PATIENCE, || {
        sentinel.connections().len() == 4 && sentinel.open_connections() == 2
    });
    assert_eq!(sentinel.count("AUTH new"), 2);
    sentinel.wait_for_subscribers(1, PATIENCE);
    // The event is heard on the new one: no poll is there to help.
    sentinel.switch_master("127.0.0.1", two.port());
    assert!(hearer.next().is_gap());
    assert_eq!(two.emit("c", "m"), 1);
    assert_eq!(hearer.next(), message("c", "m"));
    assert_eq!(hearer.poll(Duration::ZERO, drop), Ok(Polled::Empty));
}
