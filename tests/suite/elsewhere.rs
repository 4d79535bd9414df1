//! Tests in a mount namespace of their own, where files of the system can be others: /etc/hosts, the trusted roots.

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use sentinel::{Deployment, Options};
use sentinel_lab::{BlackHole, FakeNode, FakeSentinel, wait_until};

use crate::lifecycle::alone_under;
use crate::support::{PATIENCE, SERVICE, run, text, timed};
use crate::tls::{World, assert_tls};

/// Where distributions keep their roots.
const ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// As root of a user namespace, whoever runs the tests.
const UNSHARE: [&str; 2] = ["unshare", "-rm"];

/// Runs `body` where mounts are nobody else's; where that is not allowed the test is skipped and says so.
fn elsewhere(name: &str, body: impl FnOnce()) {
    let [program, flags] = UNSHARE;
    let tried = Command::new(program).args([flags, "true"]).output();
    match tried {
        Ok(output) if output.status.success() => alone_under(&UNSHARE, name, body),
        other => println!("skipped {name}: no mount namespace can be made here: {other:?}"),
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
        "elsewhere::without_a_file_of_roots_those_of_the_system_are_trusted",
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
        "elsewhere::a_name_whose_first_address_is_a_black_hole_costs_a_moment",
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
