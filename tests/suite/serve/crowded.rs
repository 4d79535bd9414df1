//! Thousands of peers at once, most of them silent, half said or deaf: the others get their answers, and nothing stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sentinel::serve;
use sentinel_lab::{Config, FakeSentinel, Topology, count_fds, count_threads, wait_until};

use crate::serve::peer::{Peer, encoded_text};
use crate::support::{PATIENCE, SERVICE, open, own_program};

const MARK: &str = "SERVE_CROWDED";
/// Descriptors that are no peer's.
const FEW: usize = 10;
/// What may be left of a peer that is gone, in bytes: less than anything that it has.
const LEFT: usize = 200;

/// A name that no file has.
fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("sentinel-crowded-{name}")).unwrap()
}

/// The program: it serves whoever connects to its address, until its input ends.
fn serve_all(port: &str, name: &str) {
    let deployment = open(&[port.parse().unwrap()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let listener = UnixListener::bind_addr(&address(name)).unwrap();
    println!("ready");
    std::thread::scope(|scope| {
        let client = &client;
        scope.spawn(move || {
            for stream in listener.incoming() {
                serve::serve(client, stream.unwrap().into()).unwrap();
            }
        });
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
}

struct Program {
    child: Child,
    address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Program {
    fn start(name: &str, port: u16) -> Program {
        let own = std::process::id().to_string();
        let program = own_program();
        let mut child = Command::new(&program[0])
            .args(&program[1..])
            .args([name, "--exact", "--nocapture"])
            .env(MARK, format!("{port} {own}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("ready")), "it does not begin");
        Program {
            child,
            address: address(&own),
        }
    }

    fn peer(&self) -> UnixStream {
        let stream = UnixStream::connect_addr(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Descriptors and threads.
    fn held(&self) -> (usize, usize) {
        (count_fds(self.child.id()), count_threads(self.child.id()))
    }
}

#[test]
fn thousands_of_peers_disturb_nobody_and_leave_nothing() {
    if let Ok(own) = std::env::var(MARK) {
        let (port, name) = own.split_once(' ').unwrap();
        return serve_all(port, name);
    }
    let topology = Topology::start(Config::default().nodes(1).sentinels(0));
    let sentinel = FakeSentinel::start(SERVICE, topology.node(0).port());
    let name = "serve::crowded::thousands_of_peers_disturb_nobody_and_leave_nothing";
    let program = Program::start(name, sentinel.port());
    let mut other = Peer::on(&program.peer());
    assert_eq!(other.ask(&format!("SET value {}", "v".repeat(1000))), "+OK\\r\\n");
    let count = std::env::var("PEERS").map_or(2000, |text| text.parse().expect("a number"));
    let mut before = (0, 0);
    // With each crowd: what it leaves behind must not add up. Without one it is by chance how much of what is free the
    // system has back.
    let mut memories = Vec::new();
    for round in 0..3 {
        let get = encoded_text("GET value");
        let mut longest = Duration::ZERO;
        let mut crowd: Vec<UnixStream> = (0..count).map(|_| program.peer()).collect();
        for (number, peer) in crowd.iter_mut().enumerate() {
            match number % 5 {
                // Silent.
                0 => {}
                // It has begun to say something.
                1 => peer.write_all(&get[..1 + number % (get.len() - 1)]).unwrap(),
                // It does not read.
                2 => peer.write_all(&get.repeat(4)).unwrap(),
                // It goes away with something under way.
                3 => {
                    peer.write_all(&get.repeat(2)).unwrap();
                    peer.shutdown(std::net::Shutdown::Both).unwrap();
                }
                _ => peer.write_all(b"MULTI\r\nGET value\r\n").unwrap(),
            }
            if number % 50 == 0 {
                let began = Instant::now();
                assert_eq!(other.ask("STRLEN value"), ":1000\\r\\n");
                longest = longest.max(began.elapsed());
            }
        }
        // Each gets its own, who was half said too.
        for (number, peer) in crowd.iter_mut().enumerate().filter(|(number, _)| number % 5 == 1) {
            peer.write_all(&get[1 + number % (get.len() - 1)..]).unwrap();
            let mut answer = [0; 1009];
            peer.read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"$1000\r\nv"));
        }
        let memory = program.memory();
        println!(
            "{round}: {memory} bytes, {:?}, the longest answer took {longest:?}",
            program.held()
        );
        assert!(longest < PATIENCE / 5, "{longest:?}");
        memories.push(memory);
        drop(crowd);
        if round == 0 {
            before = program.held();
            wait_until("them to be gone", PATIENCE, || {
                before = program.held();
                before.0 < 100
            });
        }
        // A connection to the server may have come or gone.
        wait_until("them to be gone", PATIENCE, || {
            let now = program.held();
            now.0 <= before.0 + FEW && now.1 <= before.1
        });
    }
    let most = memories[0] + 2 * count * LEFT;
    assert!(memories[2] <= most, "{memories:?}, more than {most} bytes");
    assert_eq!(other.ask("STRLEN value"), ":1000\\r\\n");
}
