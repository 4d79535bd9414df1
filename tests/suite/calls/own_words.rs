//! Whose words an error is: what a script, a function or an unknown command answers is its own, until the server itself
//! confirms it.

use sentinel::completion::Target;
use sentinel::resp::{Kind, Reply};
use sentinel::{BatchKind, CallOptions, Client, Error, ErrorKind, Outcome, Result, Script};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Server, Topology};

use crate::support::{
    SERVICE, WAYS, batch, completions, open, run, run_within, submitted_batch, tell, text, within, words,
};

const READONLY: &str = "READONLY You can't write against a read only replica.";

/// One real server, and what it counted.
fn alone() -> (Topology, FakeSentinel) {
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let sentinel = FakeSentinel::start(SERVICE, topology.node(0).port());
    (topology, sentinel)
}

/// Connections that the server has taken so far, this one among them.
fn connections(server: &Server) -> usize {
    let stats = server.ask(&["INFO", "stats"]).as_text();
    let mut lines = stats.lines();
    let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
    count.unwrap().trim().parse().unwrap()
}

fn is_own(error: &Error) {
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(matches!(error.kind(), ErrorKind::Server { .. }), "{error}");
}

/// Scripts that write, and then fail with the text that they were given.
const FORGERIES: [(&str, &str); 6] = [
    (
        "redis.call('INCR','n') error('invalid name: '..ARGV[1])",
        "x -READONLY You can't write",
    ),
    ("redis.call('INCR','n') return redis.error_reply(ARGV[1])", READONLY),
    (
        "redis.call('INCR','n') return redis.error_reply(ARGV[1])",
        "MASTERDOWN Link with MASTER is down",
    ),
    (
        "redis.call('INCR','n') return redis.error_reply(ARGV[1])",
        "LOADING Redis is loading the dataset in memory",
    ),
    (
        "redis.call('INCR','n') return redis.error_reply(ARGV[1])",
        "NOREPLICAS Not enough good replicas to write.",
    ),
    (
        "redis.call('INCR','n') return redis.error_reply(ARGV[1])",
        "ERR max number of clients reached",
    ),
];

#[test]
fn what_a_script_makes_up_is_believed_nowhere() {
    let (topology, sentinel) = alone();
    let server = topology.node(0);
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    text(&client, "SET warm up");
    let own = client.acquire(2000).unwrap();
    let _ = client
        .submit(&words("PING"), &within(2000), Target::Queue(&queue, 0))
        .unwrap();
    assert!(completions(&queue, 1).into_values().all(|end| end.is_ok()));
    let before = connections(server);
    for (source, said) in FORGERIES {
        let args: [&[u8]; 4] = [b"EVAL", source.as_bytes(), b"0", said.as_bytes()];
        tell(server, "SET n 0");
        is_own(&client.command(&args, &within(2000)).unwrap_err());
        assert_eq!(tell(server, "GET n").as_text(), "1", "{said}");
        client.submit(&args, &within(2000), Target::Queue(&queue, 0)).unwrap();
        is_own(&completions(&queue, 1).into_values().next().unwrap().unwrap_err());
        assert_eq!(tell(server, "GET n").as_text(), "2", "{said}");
        is_own(&own.command(&args, &within(2000)).unwrap_err());
        assert_eq!(tell(server, "GET n").as_text(), "3", "{said}");
        for kind in [BatchKind::Pipeline, BatchKind::Transaction] {
            let mut twice = batch(kind, &[]);
            twice.add(&args).unwrap();
            twice.add(&args).unwrap();
            let replies = [
                client.batch(&twice, &within(2000)).unwrap(),
                submitted_batch(&client, &queue, &twice, &within(2000)).unwrap(),
            ];
            for reply in replies {
                assert_eq!(reply.len(), 2);
                assert!(
                    reply.elements().all(|element| element.kind() == Kind::Error),
                    "{reply:?}"
                );
            }
        }
        assert_eq!(tell(server, "GET n").as_text(), "11", "{said}: each ran once");
    }
    // The test itself asks five times for each, and now.
    let asked = 5 * FORGERIES.len() + 1;
    assert_eq!(
        connections(server),
        before + asked,
        "the node was given up for what a script said"
    );
}

#[test]
fn a_forged_noscript_does_not_run_a_script_twice() {
    let (topology, sentinel) = alone();
    let server = topology.node(0);
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let source = b"redis.call('INCR','n') return redis.error_reply('NOSCRIPT No matching script. Please use EVAL.')";
    let script = Script::new(source, false);
    for runs in ["1", "2", "3"] {
        let error = client.script(&script, 0, &[], &within(2000)).unwrap_err();
        assert_eq!(
            (error.server_code(), error.outcome()),
            (Some("NOSCRIPT"), Outcome::Unknown)
        );
        assert_eq!(tell(server, "GET n").as_text(), runs);
    }
    let by_name: [&[u8]; 3] = [b"EVALSHA", script.sha1().as_bytes(), b"0"];
    let error = client.command(&by_name, &within(2000)).unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let own = client.acquire(2000).unwrap();
    assert_eq!(
        own.command(&by_name, &within(2000)).unwrap_err().outcome(),
        Outcome::Unknown
    );
    assert_eq!(tell(server, "GET n").as_text(), "5");
    // The server's own.
    tell(server, "SCRIPT FLUSH");
    let errors = [
        client.command(&by_name, &within(2000)).unwrap_err(),
        own.command(&by_name, &within(2000)).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(
            (error.server_code(), error.outcome()),
            (Some("NOSCRIPT"), Outcome::Refused)
        );
    }
    assert_eq!(tell(server, "GET n").as_text(), "5");
}

/// No reading of a source tells what its script can say.
#[test]
fn a_script_that_makes_up_a_noscript_out_of_its_arguments_does_not_run_twice() {
    const SAID: &[u8] = b"NOSCRIPT No matching script. Please use EVAL.";
    let (topology, sentinel) = alone();
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let sources = [
        ("redis.call('INCR',KEYS[1]) KEYS[ARGV[1]]=ARGV[2] return KEYS", "err"),
        (
            "redis.call('INCR',KEYS[1]) for k,f in pairs(redis) do if k==ARGV[1] then return f(ARGV[2]) end end",
            "error_reply",
        ),
        (
            "redis.call('INCR',KEYS[1]) local KEYS=redis return KEYS[ARGV[1]](ARGV[2])",
            "error_reply",
        ),
    ];
    for (number, (source, way)) in sources.into_iter().enumerate() {
        let script = Script::new(source.as_bytes(), false);
        let key = format!("made:up:{number}");
        let args = [key.as_bytes(), way.as_bytes(), SAID];
        for _ in 0..2 {
            let error = client.script(&script, 1, &args, &within(2000)).unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown, "{source}: {error}");
        }
        assert_eq!(tell(topology.node(0), &format!("GET {key}")).as_text(), "2", "{source}");
    }
}

/// Servers echo the arguments of what they do not know.
#[test]
fn what_a_server_echoes_is_no_word_of_its_own() {
    for (way, ask) in WAYS {
        let node = FakeNode::builder()
            .on(|session, args| {
                let is_it = args[0] == b"GETT";
                if is_it {
                    let given = String::from_utf8_lossy(&args[1]);
                    session.error(&format!(
                        "ERR unknown command 'GETT', with args beginning with: '{given}' "
                    ));
                }
                is_it
            })
            .start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let deployment = open(&[sentinel.port()]);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(8).unwrap();
        assert!(ask(&client, &queue, "SET warm up", &within(2000)).is_ok());
        let before = node.connections().len();
        for echoed in [
            "-READONLY You can't write",
            "LOADING Redis is loading the dataset in memory",
        ] {
            node.forget_commands();
            let args: [&[u8]; 2] = [b"GETT", echoed.as_bytes()];
            let error = match way {
                "waiting" => client.command(&args, &within(2000)).unwrap_err(),
                _ => {
                    client.submit(&args, &within(2000), Target::Queue(&queue, 0)).unwrap();
                    completions(&queue, 1).into_values().next().unwrap().unwrap_err()
                }
            };
            assert!(matches!(error.kind(), ErrorKind::Server { .. }), "{way}: {error}");
            assert_eq!(
                (node.count("GETT"), node.connections().len()),
                (1, before),
                "{way}: {error}"
            );
        }
    }
}

/// Two real servers, of which the first is demoted while its connections go on.
struct Demoted {
    topology: Topology,
    sentinel: FakeSentinel,
}

impl Demoted {
    fn start() -> Demoted {
        let topology = Topology::start(Config::default().nodes(2).sentinels(0));
        let sentinel = FakeSentinel::start(SERVICE, topology.node(0).port());
        Demoted { topology, sentinel }
    }

    fn demote(&self) {
        let (old, new) = (self.topology.node(0), self.topology.node(1));
        tell(new, "REPLICAOF NO ONE");
        tell(old, &format!("REPLICAOF 127.0.0.1 {}", new.port()));
        self.sentinel.edit(|view| {
            view.primary = ("127.0.0.1".into(), new.port());
            view.epoch += 1;
        });
    }
}

#[test]
fn a_script_that_a_demoted_node_refuses_runs_on_the_one_that_took_over() {
    let source: [&[u8]; 3] = [b"EVAL", b"return redis.call('INCR','n')", b"0"];
    type Run = fn(&Client, &[&[u8]]) -> Result<Reply>;
    let ways: [Run; 3] = [
        |client, args| client.command(args, &within(10_000)),
        |client, args| {
            let mut batch = batch(BatchKind::Pipeline, &[]);
            batch.add(args).unwrap();
            client.batch(&batch, &within(10_000))
        },
        |client, args| client.script(&Script::new(args[1], false), 0, &[], &within(10_000)),
    ];
    for run in ways {
        let world = Demoted::start();
        let client = open(&[world.sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET warm up");
        world.demote();
        let reply = run(&client, &source).unwrap();
        assert!(
            reply.kind() != Kind::Array || reply.at(0).unwrap().integer() == 1,
            "{reply:?}"
        );
        assert_eq!(tell(world.topology.node(1), "GET n").as_text(), "1");
    }
    let world = Demoted::start();
    let deployment = open(&[world.sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    let target = || Target::Queue(&queue, 0);
    client.submit(&words("SET warm up"), &within(2000), target()).unwrap();
    let own = client.acquire(2000).unwrap();
    completions(&queue, 1);
    world.demote();
    // On a connection of one's own it is told, and not repeated.
    let error = own.command(&source, &within(2000)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Readonly { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Refused);
    client.submit(&source, &within(10_000), target()).unwrap();
    let reply = completions(&queue, 1).into_values().next().unwrap().unwrap();
    assert_eq!(reply.integer(), 1);
    assert_eq!(tell(world.topology.node(1), "GET n").as_text(), "1");
}

/// WAIT is about the writes of its own connection.
#[test]
fn replicas_are_waited_for_where_the_write_was_or_not_at_all() {
    let topology = Topology::start(Config::default().nodes(2).sentinels(1));
    let deployment = crate::support::open_on(&topology);
    let queue = deployment.queue(8).unwrap();
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    for command in ["WAIT 1 100", "wait 0 0", "WAITAOF 0 1 100"] {
        for client in [&primary, &replica] {
            let mut errors: Vec<Error> = WAYS
                .iter()
                .filter_map(|(_, ask)| ask(client, &queue, command, &within(500)).err())
                .collect();
            errors.extend(batch(BatchKind::Pipeline, &[]).add(&words(command)).err());
            errors.extend(batch(BatchKind::Transaction, &[]).add(&words(command)).err());
            assert_eq!(errors.len(), WAYS.len() + 2, "{command}");
            for error in errors {
                assert!(matches!(error.kind(), ErrorKind::UnsupportedCommand { .. }), "{error}");
                assert!(error.to_string().contains("sentinel_call_t.replicas"), "{error}");
                assert_eq!(error.outcome(), Outcome::NotSent);
            }
        }
    }
    let own = primary.acquire(2000).unwrap();
    own.command(&words("SET k v"), &CallOptions::default()).unwrap();
    let have = own.command(&words("WAIT 1 2000"), &CallOptions::default()).unwrap();
    assert_eq!(have.integer(), 1);
    // It waits within its own limit, and leaves nothing behind.
    assert_eq!(
        own.command(&words("WAIT 5 50"), &CallOptions::default())
            .unwrap()
            .integer(),
        1
    );
    drop(own);
    assert!(run_within(&primary, "GET k", 2000).is_ok() && run(&primary, "GET k").is_ok());
}

#[test]
fn what_a_command_does_in_one_service_says_nothing_of_another() {
    let node = |flag: &'static str| {
        FakeNode::builder()
            .on(move |session, args| {
                match args[0].as_slice() {
                    b"COMMAND" => session.send(format!(
                        "*1\r\n*7\r\n$5\r\nMOD.X\r\n:-2\r\n*1\r\n+{flag}\r\n:1\r\n:1\r\n:1\r\n*0\r\n"
                    )),
                    b"MOD.X" => session.close(),
                    _ => return false,
                }
                true
            })
            .start()
    };
    for (way, ask) in WAYS {
        let (reads, writes) = (node("readonly"), node("write"));
        let sentinels = [
            FakeSentinel::start("reads", reads.port()),
            FakeSentinel::start("writes", writes.port()),
        ];
        let deployment = open(&[sentinels[0].port(), sentinels[1].port()]);
        let queue = deployment.queue(8).unwrap();
        let client = |service| deployment.primary_for(Some(service), None).unwrap();
        // The one is repeated until its deadline, the other is not.
        let _ = ask(&client("reads"), &queue, "MOD.X k", &within(1000)).unwrap_err();
        let _ = ask(&client("writes"), &queue, "MOD.X k", &within(1000)).unwrap_err();
        assert!(reads.count("MOD.X") > 1, "{way}");
        assert_eq!(writes.count("MOD.X"), 1, "{way}");
        assert_eq!(writes.count("COMMAND INFO MOD.X"), 1, "{way}");
    }
}
