//! The first words on a connection: who logs in, in which protocol, and by which names.

use sentinel::{Client, Deployment, ErrorKind, Reason};
use sentinel_lab::{
    Config, FakeNode, FakeSentinel, Peer, Received, Server, Session, Topology, skipped_before, wait_until,
};

use crate::support::{PATIENCE, SERVICE, open, options, overrides, run_within, sentinel_ports, text, timed, with};

/// What servers say to HELLO that is no word on the credentials.
const REFUSALS: [&str; 5] = [
    "NOPERM this user has no permissions to run the 'hello' command or its subcommand",
    "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' ",
    "NOPROTO unsupported protocol version",
    "NOAUTH HELLO must be called with the client already authenticated",
    "ERR syntax error",
];

/// A handler that answers one command with an error.
fn refusing(name: &'static str, said: &'static str) -> impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync {
    move |session, args| {
        let is_it = args[0].eq_ignore_ascii_case(name.as_bytes());
        if is_it {
            session.error(said);
        }
        is_it
    }
}

/// The names of the commands of each connection, in order.
fn said(commands: &[Received]) -> Vec<Vec<String>> {
    let mut connections: Vec<Vec<String>> = Vec::new();
    for command in commands {
        connections.resize(connections.len().max(command.connection + 1), Vec::new());
        connections[command.connection].push(command.text());
    }
    connections
}

/// The values of a field of CLIENT LIST, of connections that hold `of` in their line.
fn listed(server: &Server, of: &str, field: &str) -> Vec<String> {
    let list = server.ask(&["CLIENT", "LIST"]).as_text();
    let lines = list.lines().filter(|line| line.contains(of));
    let values = lines.filter_map(|line| line.split(' ').find_map(|entry| entry.strip_prefix(field)));
    values.map(str::to_owned).collect()
}

#[test]
fn a_user_without_a_password_is_that_user_at_nodes_and_sentinels() {
    if skipped_before((6, 2), "users at Sentinels") {
        return;
    }
    let config = Config::default().nodes(1).sentinels(1);
    let topology = Topology::start(
        config
            .node_line("user app on nopass ~* &* +@all")
            .sentinel_line("user watcher on nopass &* +@all"),
    );
    let keys = [("username", "app"), ("sentinel.username", "watcher")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
    for protocol in ["3", "2"] {
        let own = overrides(&[("protocol", protocol)]);
        let client = deployment.primary_for(Some(SERVICE), Some(&own)).unwrap();
        assert_eq!(text(&client, "ACL WHOAMI"), "app", "protocol {protocol}");
    }
    let links = listed(topology.sentinel(0), " sub=", "user=");
    assert!(links.iter().any(|user| user == "watcher"), "{links:?}");
}

#[test]
fn a_user_without_a_password_is_entered_by_auth_where_hello_is_denied() {
    let node = FakeNode::builder()
        .user("app", "")
        .on(refusing("HELLO", REFUSALS[0]))
        .start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .user("watcher", "")
        .on(refusing("HELLO", REFUSALS[0]))
        .start();
    let keys = [("username", "app"), ("sentinel.username", "watcher")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
}

#[test]
fn whatever_hello_is_refused_with_the_login_goes_on_in_resp2() {
    for refusal in REFUSALS {
        let node = FakeNode::builder()
            .user("app", "pw")
            .on(refusing("HELLO", refusal))
            .start();
        let sentinel = FakeSentinel::builder(SERVICE, node.port())
            .user("watcher", "spw")
            .on(refusing("HELLO", refusal))
            .start();
        let keys = [
            ("username", "app"),
            ("password", "pw"),
            ("sentinel.username", "watcher"),
            ("sentinel.password", "spw"),
        ];
        let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        assert_eq!(text(&client, "SET k v"), "OK", "{refusal}");
        for (commands, auth) in [
            (node.commands(), "AUTH app pw"),
            (sentinel.commands(), "AUTH watcher spw"),
        ] {
            for said in said(&commands) {
                assert!(said[0].starts_with("HELLO 3 AUTH"), "{refusal}: {said:?}");
                assert!(
                    said.iter().any(|word| word == auth),
                    "no second dial: {refusal}: {said:?}"
                );
            }
        }
    }
}

#[test]
fn without_a_login_to_give_a_refused_hello_costs_no_further_words() {
    let node = FakeNode::builder().resp2_only().start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port()).resp2_only().start();
    let deployment = Deployment::open(&options(&[sentinel.port()])).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    let of_set = said(&node.commands())
        .into_iter()
        .find(|said| said.iter().any(|word| word == "SET k v"))
        .unwrap();
    let roles = of_set.iter().filter(|word| *word == "ROLE").count();
    assert_eq!(roles, 1, "{of_set:?}");
}

#[test]
fn credentials_that_are_wrong_are_refused_on_the_first_connection() {
    const KEYS: [(&str, &str); 2] = [("username", "app"), ("password", "wrong")];
    for denied in [true, false] {
        for protocol in ["3", "2"] {
            let builder = FakeNode::builder().user("app", "right");
            let node = match denied {
                true => builder.on(refusing("HELLO", REFUSALS[0])).start(),
                false => builder.start(),
            };
            let sentinel = FakeSentinel::start(SERVICE, node.port());
            let options = with(with(options(&[sentinel.port()]), &KEYS), &[("protocol", protocol)]);
            let deployment = Deployment::open(&options).unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let (result, took) = timed(|| run_within(&client, "SET k v", 10_000));
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Auth { .. }), "{error}");
            assert_eq!(error.server_code(), Some("WRONGPASS"), "{error}");
            assert!(took.as_secs() < 2, "{took:?}");
            for said in said(&node.commands()) {
                let logins = said.iter().filter(|word| word.contains("AUTH app")).count();
                let shown = if denied && protocol == "3" { 2 } else { 1 };
                assert_eq!(logins, shown, "{said:?}");
            }
        }
    }
    let sentinel = FakeSentinel::builder(SERVICE, 1)
        .user("watcher", "right")
        .on(refusing("HELLO", REFUSALS[0]))
        .start();
    let keys = [("sentinel.username", "watcher"), ("sentinel.password", "wrong")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let error = run_within(&client, "SET k v", 5000).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::SentinelAuth), "{error}");
}

#[test]
fn protocol_2_says_no_hello() {
    let config = Config::default().nodes(1).sentinels(1).password("node-password");
    let topology = Topology::start(config);
    let keys = [("password", "node-password"), ("protocol", "2"), ("database", "3")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    let stats = topology.node(0).ask(&["INFO", "commandstats"]).as_text();
    assert!(!stats.contains("cmdstat_hello"), "{stats}");
    assert!(stats.contains("cmdstat_auth"), "{stats}");
}

#[test]
fn a_password_for_a_server_that_wants_none_is_no_failure_in_any_protocol() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(1));
    for protocol in ["3", "2"] {
        let keys = [("password", "any"), ("protocol", protocol)];
        let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        assert_eq!(text(&client, "SET k v"), "OK", "protocol {protocol}");
    }
}

#[test]
fn a_server_that_sends_every_client_away_is_told_whatever_was_said_to_it() {
    let node = FakeNode::builder()
        .on(|session, _| {
            session.error("ERR max number of clients reached");
            session.close();
            true
        })
        .start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    for keys in [
        &[][..],
        &[("password", "p")],
        &[("client_name", "n"), ("database", "3")],
    ] {
        for protocol in ["3", "2"] {
            let options = with(with(options(&[sentinel.port()]), keys), &[("protocol", protocol)]);
            let deployment = Deployment::open(&options).unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let error = run_within(&client, "SET k v", 300).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("connect: ERR max number of clients"), "{keys:?}: {text}");
        }
    }
}

/// What tells of this library, as the scripted peers note it.
fn library() -> [String; 2] {
    let version = env!("CARGO_PKG_VERSION");
    ["LIB-NAME libsentinel".to_owned(), format!("LIB-VER {version}")].map(|words| format!("CLIENT SETINFO {words}"))
}

/// A deployment over a scripted Sentinel, and a client that was served.
fn served(sentinel: &FakeSentinel, keys: &[(&str, &str)]) -> (Deployment, Client) {
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK", "{keys:?}");
    (deployment, client)
}

#[test]
fn nodes_and_sentinels_are_told_the_name_and_the_library() {
    for old in [false, true] {
        for protocol in ["3", "2"] {
            let node = FakeNode::builder();
            let node = if old { node.resp2_only() } else { node }.start();
            let sentinel = FakeSentinel::builder(SERVICE, node.port());
            let sentinel = if old { sentinel.resp2_only() } else { sentinel }.start();
            let _served = served(&sentinel, &[("client_name", "shop-7"), ("protocol", protocol)]);
            for commands in [node.commands(), sentinel.commands()] {
                for said in said(&commands) {
                    let is_named = |word: &String| word.ends_with("SETNAME shop-7");
                    assert!(said.iter().any(is_named), "{said:?}");
                    for words in library() {
                        assert!(said.contains(&words), "{said:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_client_has_its_own_name_and_may_keep_the_library_to_itself() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let keys = [("client_name", "links"), ("client_info", "0")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let own = overrides(&[("client_name", "calls"), ("client_info", "1")]);
    let client = deployment.primary_for(Some(SERVICE), Some(&own)).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    assert_eq!(sentinel.count("CLIENT SETINFO"), 0);
    assert!(
        said(&sentinel.commands())
            .iter()
            .all(|said| said[0] == "HELLO 3 SETNAME links")
    );
    assert!(
        said(&node.commands())
            .iter()
            .all(|said| said[0] == "HELLO 3 SETNAME calls")
    );
    library()
        .iter()
        .for_each(|words| assert!(node.count(words) > 0, "{words}"));

    let silent = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, silent.port());
    let _served = served(&sentinel, &[("client_info", "0")]);
    assert_eq!(silent.count("CLIENT"), 0);
}

#[test]
fn names_that_are_refused_are_no_failure() {
    for said in [
        "ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.",
        "NOPERM User app has no permissions to run the 'client|setinfo' command",
        "NOAUTH Authentication required.",
    ] {
        for protocol in ["3", "2"] {
            let node = FakeNode::builder().on(refusing("CLIENT", said)).start();
            let sentinel = FakeSentinel::builder(SERVICE, node.port())
                .on(refusing("CLIENT", said))
                .start();
            let _served = served(&sentinel, &[("client_name", "shop-7"), ("protocol", protocol)]);
            assert!(node.count("CLIENT SETINFO") > 0 && sentinel.count("CLIENT SETINFO") > 0);
        }
    }
}

#[test]
fn real_servers_list_the_connections_by_the_name() {
    let topology = Topology::start(Config::default().nodes(1).sentinels(1));
    let keys = [("client_name", "shop-7")];
    let deployment = Deployment::open(&with(options(&sentinel_ports(&topology)), &keys)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(text(&client, "SET k v"), "OK");
    for server in [topology.node(0), topology.sentinel(0)] {
        wait_until("a connection of that name", PATIENCE, || {
            !listed(server, " name=shop-7 ", "id=").is_empty()
        });
    }
}

#[test]
fn the_names_are_in_the_first_write() {
    // It answers nothing: what it hears was said without waiting for an answer.
    let silent = Peer::start(|_, _| {});
    let _deployment = {
        let deployment = open(&[silent.port()]);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let _ = run_within(&client, "GET k", 100);
        deployment
    };
    silent.wait_for_command("CLIENT SETINFO LIB-VER", PATIENCE);
    for protocol in ["3", "2"] {
        let silent = Peer::start(|_, _| {});
        let sentinel = FakeSentinel::start(SERVICE, silent.port());
        let keys = [("protocol", protocol), ("database", "3"), ("password", "p")];
        let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let _ = run_within(&client, "GET k", 100);
        for word in ["CLIENT SETINFO LIB-VER", "SELECT 3", "ROLE", "PING"] {
            silent.wait_for_command(word, PATIENCE);
        }
    }
}
