//! A real module, whose commands no table has: `module.c`, compiled by the test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use sentinel::{BatchKind, CallOptions, ErrorKind, Outcome};
use sentinel_lab::{Config, Cut, FakeSentinel, Proxy, Server, Topology, skipped_before, wait_until};

use crate::support::{
    PATIENCE, SERVICE, WAYS, batch, open, open_on, overrides, submitted_batch, tell, text, within, words,
};

/// The module, as a file that a server loads.
fn build() -> PathBuf {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "lab-{}-{}.so",
        std::process::id(),
        BUILT.fetch_add(1, Ordering::Relaxed)
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/calls/module.c");
    let module = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiler = std::env::var_os("CC").filter(|cc| !cc.is_empty());
    let mut cc = Command::new(compiler.unwrap_or_else(|| "cc".into()));
    cc.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]);
    let done = cc.arg(&module).arg(source).status().unwrap();
    assert!(done.success(), "{cc:?}");
    module
}

/// So many nodes that have loaded the module.
fn topology(config: Config) -> Topology {
    let module = build();
    let topology = Topology::start(config.node_line(&format!("loadmodule {}", module.display())));
    // The servers have it in memory.
    std::fs::remove_file(module).unwrap();
    topology
}

/// One such node, behind a line that can be cut.
struct World {
    topology: Topology,
    line: Proxy,
    sentinel: FakeSentinel,
}

impl World {
    fn start() -> World {
        let topology = topology(Config::default().nodes(1).sentinels(0));
        let line = Proxy::to(topology.node(0).port());
        let sentinel = FakeSentinel::start(SERVICE, line.port());
        World {
            topology,
            line,
            sentinel,
        }
    }

    /// The next reply with this text in it is lost on its way.
    fn lose(&self, text: &str) {
        runs(self.topology.node(0));
        self.line.cut_at_from_server(text, 0, Cut::Reset);
    }

    /// How many of the module's commands were executed since.
    fn runs(&self) -> String {
        assert!(!self.line.is_cut_due());
        runs(self.topology.node(0))
    }
}

fn runs(server: &Server) -> String {
    tell(server, "LAB.RUNS").as_text()
}

#[test]
fn a_module_s_read_is_repeated_and_its_write_is_not() {
    if skipped_before((7, 0), "the flag `blocking` of a module's command") {
        return;
    }
    let world = World::start();
    let node = world.topology.node(0);
    for (way, ask) in WAYS {
        // Each way asks for itself.
        let deployment = open(&[world.sentinel.port()]);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(8).unwrap();
        let ask = |command: &str, call: &CallOptions| ask(&client, &queue, command, call);
        let plain = CallOptions::default();
        tell(node, "SET k 700000");
        world.lose("700000");
        assert_eq!(ask("LAB.READ k", &plain).unwrap().text(), "700000", "{way}");
        assert_eq!(world.runs(), "2", "{way}");
        // One without a flag promises nothing, whatever it does.
        for (command, done) in [("LAB.WRITE k", "700001"), ("lab.quiet k", "700002")] {
            world.lose(done);
            let error = ask(command, &plain).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::ConnectionLost { .. }),
                "{way}: {error}"
            );
            assert_eq!(error.outcome(), Outcome::Unknown, "{way}: {error}");
            assert_eq!(world.runs(), "1", "{way}: {command}");
            assert_eq!(tell(node, "GET k").as_text(), done, "{way}: {command}");
        }
        let insistent = CallOptions {
            retry_unknown: true,
            ..plain
        };
        world.lose("700003");
        assert_eq!(ask("LAB.WRITE k", &insistent).unwrap().integer(), 700_004, "{way}");
        let never = CallOptions {
            no_retry: true,
            ..plain
        };
        world.lose("700004");
        assert_eq!(
            ask("LAB.READ k", &never).unwrap_err().outcome(),
            Outcome::Unknown,
            "{way}"
        );
    }
}

#[test]
fn batches_of_a_module_s_reads_are_repeated_those_with_a_write_are_not() {
    if skipped_before((7, 0), "the flag `blocking` of a module's command") {
        return;
    }
    let world = World::start();
    tell(world.topology.node(0), "SET k 700000");
    let reads = batch(BatchKind::Pipeline, &["LAB.READ k", "GET k", "LAB.READ k"]);
    let writes = batch(BatchKind::Pipeline, &["LAB.READ k", "LAB.WRITE k"]);
    for waits in [true, false] {
        let deployment = open(&[world.sentinel.port()]);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(8).unwrap();
        let run = |batch| match waits {
            true => client.batch(batch, &CallOptions::default()),
            false => submitted_batch(&client, &queue, batch, &CallOptions::default()),
        };
        world.lose("70000");
        assert_eq!(run(&reads).unwrap().len(), 3);
        assert_eq!(world.runs(), "4");
        world.lose("70000");
        let error = run(&writes).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert_eq!(world.runs(), "2");
    }
}

#[test]
fn a_module_s_command_that_waits_holds_up_nobody() {
    if skipped_before((7, 0), "the flag `blocking` of a module's command") {
        return;
    }
    let world = World::start();
    let primary = world.topology.node(0);
    let blocked = |count: usize| {
        wait_until("clients that wait", PATIENCE, || {
            let clients = primary.ask(&["INFO", "clients"]).as_text();
            clients.contains(&format!("blocked_clients:{count}\r"))
        });
    };
    for (way, ask) in WAYS {
        let deployment = open(&[world.sentinel.port()]);
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
        assert!(
            ask(&client, &queue, "LAB.WAIT k 20", &within(5000)).unwrap().is_nil(),
            "{way}"
        );
    }
}

#[test]
fn replicas_take_a_module_s_reads_and_refuse_its_writes() {
    if skipped_before((7, 0), "the flag `blocking` of a module's command") {
        return;
    }
    let topology = topology(Config::default().nodes(2).sentinels(1));
    let replica = topology.node(topology.replicas()[0]);
    let deployment = open_on(&topology);
    let primary = deployment.primary_for(Some(SERVICE), None).unwrap();
    let confirmed = CallOptions {
        replicas: 1,
        ..within(5000)
    };
    let written = primary.command(&words("LAB.WRITE k"), &confirmed).unwrap();
    assert_eq!(written.integer(), 1);
    let replicas_alone = overrides(&[("replica.fallback_to_primary", "0")]);
    let client = deployment.replica_for(Some(SERVICE), Some(&replicas_alone)).unwrap();
    let queue = deployment.queue(8).unwrap();
    for (way, ask) in WAYS {
        runs(replica);
        let read = ask(&client, &queue, "LAB.READ k", &within(5000));
        assert_eq!(read.unwrap().text(), "1", "{way}");
        assert_eq!(runs(replica), "1", "{way}: it went to the replica");
        let error = ask(&client, &queue, "LAB.WRITE k", &within(5000)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Readonly { .. }), "{way}: {error}");
        assert_eq!(error.outcome(), Outcome::Refused, "{way}");
    }
    assert_eq!(text(&primary, "GET k"), "1");
}
