//! A real module, whose commands no table has: `module.c`, compiled by the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use sentinel::client::BatchKind;
use sentinel::{CallOptions, ErrorKind, Outcome};
use sentinel_lab::{Config, Server, Topology, wait_until};

use crate::support::{PATIENCE, SERVICE, WAYS, batch, open_on, overrides, submitted_batch, tell, text, within, words};

/// The module, as a file that a server loads.
fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/module.c");
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}.so", std::process::id()));
    let compiler = std::env::var_os("CC").filter(|cc| !cc.is_empty());
    let mut cc = Command::new(compiler.unwrap_or_else(|| "cc".into()));
    cc.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]);
    let done = cc.arg(&module).arg(source).status().unwrap();
    assert!(done.success(), "{cc:?}");
    module
}

/// A primary and a replica that have loaded the module.
fn topology() -> Topology {
    let module = build();
    let config = Config::default().nodes(2).sentinels(1);
    let topology = Topology::start(config.node_line(&format!("loadmodule {}", module.display())));
    // The servers have it in memory.
    std::fs::remove_file(module).unwrap();
    topology
}

/// The next `cuts` commands of the module are executed there and not answered.
fn cut(server: &Server, cuts: usize) {
    tell(server, &format!("LAB.CUT {cuts}"));
}

fn runs(server: &Server) -> String {
    tell(server, "LAB.RUNS").as_text()
}

#[test]
fn a_module_s_read_is_repeated_and_its_write_is_not() {
    let topology = topology();
    let primary = topology.node(topology.primary());
    for (way, ask) in WAYS {
        // Each way asks for itself.
        let deployment = open_on(&topology);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(8).unwrap();
        let ask = |command: &str, call: &CallOptions| ask(&client, &queue, command, call);
        let plain = CallOptions::default();
        tell(primary, "SET k 0");
        cut(primary, 2);
        assert_eq!(ask("LAB.READ k", &plain).unwrap().text(), "0", "{way}");
        assert_eq!(runs(primary), "3", "{way}: two were lost");
        // One without a flag promises nothing, whatever it does.
        for (command, done) in [("LAB.WRITE k", "1"), ("lab.quiet k", "2")] {
            cut(primary, 1);
            let error = ask(command, &plain).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{way}: {error}");
            assert_eq!(error.outcome(), Outcome::Unknown, "{way}: {error}");
            assert_eq!(runs(primary), "1", "{way}: {command}");
            assert_eq!(tell(primary, "GET k").as_text(), done, "{way}: {command}");
        }
        let insistent = CallOptions {
            retry_unknown: true,
            ..plain
        };
        cut(primary, 1);
        assert_eq!(ask("LAB.WRITE k", &insistent).unwrap().integer(), 4, "{way}");
        let never = CallOptions {
            no_retry: true,
            ..plain
        };
        cut(primary, 1);
        assert_eq!(ask("LAB.READ k", &never).unwrap_err().outcome(), Outcome::Unknown, "{way}");
    }
}

#[test]
fn batches_of_a_module_s_reads_are_repeated_those_with_a_write_are_not() {
    let topology = topology();
    let primary = topology.node(topology.primary());
    let reads = batch(BatchKind::Pipeline, &["LAB.READ k", "GET k", "LAB.READ k"]);
    let writes = batch(BatchKind::Pipeline, &["LAB.READ k", "LAB.WRITE k"]);
    for waits in [true, false] {
        let deployment = open_on(&topology);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(8).unwrap();
        let run = |batch| match waits {
            true => client.batch(batch, &CallOptions::default()),
            false => submitted_batch(&client, &queue, batch, &CallOptions::default()),
        };
        cut(primary, 1);
        assert_eq!(run(&reads).unwrap().len(), 3);
        assert_eq!(runs(primary), "3");
        cut(primary, 1);
        let error = run(&writes).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert_eq!(runs(primary), "1");
    }
}

#[test]
fn a_module_s_command_that_waits_holds_up_nobody() {
    let topology = topology();
    let primary = topology.node(topology.primary());
    let blocked = |count: usize| {
        wait_until("clients that wait", PATIENCE, || {
            let clients = primary.ask(&["INFO", "clients"]).as_text();
            clients.contains(&format!("blocked_clients:{count}\r"))
        });
    };
    for (way, ask) in WAYS {
        let deployment = open_on(&topology);
        let few = overrides(&[("pool.max_connections", "1")]);
        let client = deployment.primary_for(Some(SERVICE), Some(&few)).unwrap();
        let (queue, other) = (deployment.queue(8).unwrap(), deployment.queue(8).unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ask(&client, &queue, "LAB.WAIT k 60000", &within(2000)));
            blocked(1);
            for (_, ask) in WAYS {
                let echo = ask(&client, &other, "ECHO on", &within(1000));
                assert_eq!(echo.unwrap().text(), "on", "{way}");
            }
            let error = client.acquire(50).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::PoolExhausted { limit: 1 }, "{way}: {error}");
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{way}: {error}");
            assert_eq!(error.outcome(), Outcome::Unknown, "{way}");
        });
        // Its connection is closed, for its reply would be taken for another's.
        blocked(0);
        assert!(ask(&client, &queue, "LAB.WAIT k 20", &within(5000)).unwrap().is_nil(), "{way}");
    }
}

#[test]
fn replicas_take_a_module_s_reads_and_refuse_its_writes() {
    let topology = topology();
    let replica = topology.node(topology.replicas()[0]);
    let deployment = open_on(&topology);
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let confirmed = CallOptions {
        replicas: 1,
        ..within(5000)
    };
    let written = primary.command(&words("LAB.WRITE k"), &confirmed).unwrap();
    assert_eq!(written.integer(), 1);
    let client = deployment.replica_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(8).unwrap();
    for (way, ask) in WAYS {
        cut(replica, 0);
        let read = ask(&client, &queue, "LAB.READ k", &within(5000));
        assert_eq!(read.unwrap().text(), "1", "{way}");
        assert_eq!(runs(replica), "1", "{way}: it went to the replica");
        let error = ask(&client, &queue, "LAB.WRITE k", &within(5000)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Readonly { .. }), "{way}: {error}");
        assert_eq!(error.outcome(), Outcome::Refused, "{way}");
    }
    assert_eq!(text(&primary, "GET k"), "1");
}
