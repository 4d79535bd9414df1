//! Tests in a mount namespace of their own, where files of the system can be others: /etc/hosts, the trusted roots.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sentinel::{Deployment, Options};
use sentinel_lab::{BlackHole, FakeNode, FakeSentinel, wait_until};

use crate::handles::lifecycle::alone_under;
use crate::support::{PATIENCE, SERVICE, run, run_within, text, timed};
use crate::tls::world::{World, assert_tls};

/// Where distributions keep their roots.
const ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// As root of a user namespace, whoever runs the tests.
const UNSHARE: [&str; 2] = ["unshare", "-rm"];

/// The same with a network of its own, which has a loopback and nothing else.
const UNSHARE_NET: [&str; 2] = ["unshare", "-rmn"];

/// Runs `body` where mounts are nobody else's; where that is not allowed the test is skipped and says so.
fn elsewhere(name: &str, body: impl FnOnce()) {
    elsewhere_under(UNSHARE, "true", name, body);
}

fn elsewhere_under(namespaces: [&str; 2], needed: &str, name: &str, body: impl FnOnce()) {
    let [program, flags] = namespaces;
    let tried = Command::new(program).args([flags, "sh", "-c", needed]).output();
    match tried {
        Ok(output) if output.status.success() => alone_under(&namespaces, name, body),
        other => println!("skipped {name}: no such namespace can be made here: {other:?}"),
    }
}

/// Puts `file` in the place of another one of the system, for this process and its children.
fn put_over(file: &str, place: &str) {
    let mounted = Command::new("mount").args(["--bind", file, place]).output().unwrap();
    assert!(mounted.status.success(), "{mounted:?}");
}

#[test]
fn without_a_file_of_roots_those_of_the_system_are_trusted() {
    elsewhere(
        "process::elsewhere::without_a_file_of_roots_those_of_the_system_are_trusted",
        || {
            let Some(roots) = ROOTS.into_iter().find(|file| fs::metadata(file).is_ok()) else {
                println!("skipped: this system has no roots");
                return;
            };
            let world = World::small();
            let systems = [("tls.ca_file", ""), ("sentinel.tls.ca_file", "")];
            let client = world.client(&systems);
            assert_tls(&client, "no authority that is trusted here");
            put_over(&world.authority.ca(), roots);
            // A file that has changed is read anew.
            wait_until("the system's roots to be trusted", PATIENCE, || {
                run(&client, "SET k v").is_ok()
            });
            assert_eq!(text(&world.client(&systems), "SET k v"), "OK");
        },
    );
}

/// Takes connections on a second address of loopback for what listens on the first.
fn also_on(address: &str, port: u16, target: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
}

#[test]
fn a_name_whose_first_address_is_a_black_hole_costs_a_moment() {
    elsewhere(
        "process::elsewhere::a_name_whose_first_address_is_a_black_hole_costs_a_moment",
        || {
            let hosts = std::env::temp_dir().join(format!("hosts-{}", std::process::id()));
            // The resolver gives 127.0.0.1 first, for it is nearest to where connections to all of them come from.
            let lines = ["127.0.0.1", "127.0.0.3", "127.0.0.2"].map(|address| format!("{address} several.test\n"));
            fs::write(&hosts, lines.concat()).unwrap();
            put_over(hosts.to_str().unwrap(), "/etc/hosts");
            fs::remove_file(&hosts).unwrap();
            let node = FakeNode::start();
            let (node_hole, sentinel_hole) = (BlackHole::start(), BlackHole::start());
            // Nothing listens on 127.0.0.3.
            also_on("127.0.0.2", node_hole.port(), node.port());
            let sentinel = FakeSentinel::builder(SERVICE, node.port())
                .view(|view| view.primary = ("several.test".into(), node_hole.port()))
                .start();
            also_on("127.0.0.2", sentinel_hole.port(), sentinel.port());
            let mut options = Options::new();
            options.add_sentinel("several.test", sentinel_hole.port()).unwrap();
            options.set("sentinel.connect_timeout_ms", "1000").unwrap();
            let deployment = Deployment::open(&options).unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let (ok, took) = timed(|| text(&client, "SET k v"));
            assert_eq!(ok, "OK");
            // Each address of the name is a Sentinel of its own; of the node the first has the field to itself for 150 ms.
            let moments = Duration::from_millis(150)..Duration::from_millis(900);
            assert!(moments.contains(&took), "{took:?}");
            assert_eq!(node.value("k").as_deref(), Some(b"v".as_slice()));
        },
    );
}

/// A resolver that takes questions and never answers, for this process; how many have come.
fn hanging_resolver() -> Arc<AtomicUsize> {
    const LO: &str = "ip link set lo up";
    assert!(Command::new("sh").args(["-c", LO]).status().unwrap().success());
    let conf = std::env::temp_dir().join(format!("resolv-{}", std::process::id()));
    fs::write(&conf, "nameserver 127.0.0.53\noptions timeout:30 attempts:1\n").unwrap();
    put_over(conf.to_str().unwrap(), "/etc/resolv.conf");
    fs::remove_file(&conf).unwrap();
    let (socket, asked) = (UdpSocket::bind("127.0.0.53:53").unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        while socket.recv(&mut [0; 512]).is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    asked
}

#[test]
fn a_resolver_that_hangs_keeps_nothing_from_servers_with_addresses() {
    // As long as lookups are given up and asked for again meanwhile.
    const LONG: Duration = Duration::from_secs(8);
    const NAMES: usize = 5;
    elsewhere_under(
        UNSHARE_NET,
        "ip link set lo up",
        "process::elsewhere::a_resolver_that_hangs_keeps_nothing_from_servers_with_addresses",
        || {
            let asked = hanging_resolver();
            let world = World::small();
            let mut options = world.options();
            (0..NAMES).for_each(|n| drop(options.add_sentinel(&format!("sentinel-{n}.test"), 26379)));
            let deployment = Deployment::open(&options).unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let began = Instant::now();
            while began.elapsed() < LONG {
                let (result, took) = timed(|| run_within(&client, "SET k v", 5000));
                assert!(result.is_ok(), "{result:?} after {:?}", began.elapsed());
                assert!(took < Duration::from_secs(1), "{took:?}");
                // Each connection looks at the files.
                world.topology.node(0).ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            // Each name once, for an address of either family.
            let asked = asked.load(Ordering::SeqCst);
            assert!((1..=2 * NAMES).contains(&asked), "{asked} questions");
        },
    );
}
