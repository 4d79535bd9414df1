//! Secrets in memory: where they were is wiped. On the wire: to whom they do not go. And in texts: no piece of them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::thread;

use sentinel::net::Credentials;
use sentinel::{Deployment, ErrorKind};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Session, Topology, wait_until};
use zeroize::Zeroizing;

use crate::handles::lifecycle::alone;
use crate::pubsub::hearing::Hearer;
use crate::support::{PATIENCE, SERVICE, options, run_within, sentinel_ports, text, with};

const LEN: usize = 24;

/// Two passwords as they may lie about in this program: each byte but for its lowest bit.
const CODED: [&[u8; LEN]; 2] = [b"kTq93vVmPz07LxWc5RbNyG2d", b"w8HsJf4UaQe6XoZiB1tMnC3r"];

/// The password itself, for as long as it is needed.
fn secret(number: usize) -> Zeroizing<[u8; LEN]> {
    Zeroizing::new(CODED[number].map(|byte| byte ^ 1))
}

/// How often the password lies in this process's memory.
fn copies(number: usize) -> usize {
    const STEP: usize = 1 << 16;
    let memory = File::open("/proc/self/mem").unwrap();
    // What is read is memory, too: it is wiped, and not looked at where it lies.
    let mut room = Zeroizing::new(vec![0u8; STEP + LEN - 1]);
    let own = room.as_ptr() as u64;
    let own = own..own + (STEP + LEN) as u64;
    let mut count = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut at = from;
        while at < to {
            let len = usize::try_from(to - at).unwrap().min(room.len());
            let n = memory.read_at(&mut room[..len], at).unwrap_or(0);
            let found = room[..n].windows(LEN).enumerate().filter(|(offset, window)| {
                let here = at + *offset as u64;
                let is_it = window.iter().zip(CODED[number]).all(|(byte, coded)| *byte == coded ^ 1);
                is_it && !own.contains(&here)
            });
            count += found.count();
            at += STEP as u64;
        }
        room.fill(0);
    }
    count
}

#[test]
fn a_password_is_in_memory_only_as_long_as_it_is_needed() {
    alone(
        "credentials::secrets::a_password_is_in_memory_only_as_long_as_it_is_needed",
        || {
            // A user without a password takes any.
            let topology = Topology::start(Config::default().nodes(1).sentinels(1));
            let mut options = options(&sentinel_ports(&topology));
            options.set_secret("password", &*secret(0)).unwrap();
            options.set_secret("sentinel.password", &*secret(0)).unwrap();
            let deployment = Deployment::open(&options).unwrap();
            drop(options);
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            assert_eq!(text(&client, "SET k v"), "OK");
            let hearer = Hearer::new(&deployment, &client, 10);
            hearer.add("c");
            assert!(copies(0) > 0, "the search finds nothing");
            let new = || Credentials::new(None, &*secret(1)).unwrap();
            deployment.update_credentials(new()).unwrap();
            deployment.update_sentinel_credentials(new()).unwrap();
            // Every way in has been gone: calls, subscriptions, Sentinels; the watch on the node's life comes after a second.
            let logins = || {
                let stats = topology.node(0).ask(&["INFO", "commandstats"]).as_text();
                let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_auth:calls="));
                line.map_or(0, |line| line.split(',').next().unwrap().parse::<usize>().unwrap())
            };
            wait_until("the subscription's login", PATIENCE, || logins() == 1);
            assert_eq!(text(&client, "SET k v"), "OK");
            // The one at the nodes and the one at the Sentinels, to connect with again.
            wait_until("no copy but those that are in use", PATIENCE, || copies(1) == 2);
            deployment.close(5000).unwrap();
            drop((hearer, client, deployment));
            for number in [0, 1] {
                wait_until("the password to be wiped", PATIENCE, || copies(number) == 0);
            }
        },
    );
}

/// A server that speaks no TLS and writes down all that it is told, however it takes its leave.
fn listening(answer: &'static [u8], hangs_up: bool) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&told);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let place = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(Vec::new());
                    kept.len() - 1
                };
                let mut room = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut room) {
                    kept.lock().unwrap()[place].extend(&room[..n]);
                    let _ = stream.write_all(answer);
                    if hangs_up {
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                }
            });
        }
    });
    (port, told)
}

#[test]
fn a_peer_without_tls_is_never_told_a_plain_byte() {
    const PASSWORD: &str = "for-friends-only";
    let answers: [(&'static [u8], bool); 5] = [
        (b"", true),
        (b"-ERR unknown command\r\n", false),
        (b"+OK\r\n", true),
        (b"\x15\x03\x03\x00\x02\x02\x28", true),
        (b"\x16\x03\x03\xff\xff", true),
    ];
    for (answer, hangs_up) in answers {
        let (port, told) = listening(answer, hangs_up);
        let sentinel = FakeSentinel::start(SERVICE, port);
        let nodes = [("tls", "1"), ("password", PASSWORD), ("connect_timeout_ms", "300")];
        let sentinels = [("sentinel.tls", "1"), ("sentinel.password", PASSWORD)];
        let options = [
            with(options(&[sentinel.port()]), &nodes),
            with(options(&[port]), &sentinels),
            // Not asking for a name either makes it no plain connection.
            with(with(options(&[sentinel.port()]), &nodes), &[("tls.verify", "none")]),
        ];
        for options in options {
            let deployment = Deployment::open(&options).unwrap();
            let client = deployment.primary_for(Some(SERVICE), None).unwrap();
            let error = run_within(&client, "SET k v", 600).unwrap_err();
            let expected = matches!(error.kind(), ErrorKind::Tls { .. } | ErrorKind::PrimaryNotFound { .. });
            assert!(expected, "{error:?}");
        }
        let told = told.lock().unwrap();
        assert!(told.len() >= 3, "{}", told.len());
        for told in told.iter().filter(|told| !told.is_empty()) {
            // A hello of TLS: handshake, version 3.x; nothing a person could read of what is behind.
            assert_eq!(told[..2], [22, 3], "{:?}", String::from_utf8_lossy(told));
            let shown = String::from_utf8_lossy(told);
            assert!(
                !shown.contains(PASSWORD) && !shown.contains("HELLO") && !shown.contains("PING"),
                "{shown:?}"
            );
        }
    }
}

/// A handler that answers a login with an error that repeats it, as servers and proxies do: cut, without line breaks,
/// in bytes that are no text, in place of the code.
fn repeating(form: usize) -> impl Fn(&mut Session, &[Vec<u8>]) -> bool + Send + Sync {
    move |session, args| {
        if args[0] != b"HELLO" && args[0] != b"AUTH" {
            return false;
        }
        let mut told: Vec<u8> = args[1..]
            .iter()
            .flat_map(|arg| [b" '", &arg[..], b"'"].concat())
            .collect();
        told.iter_mut()
            .filter(|byte| b"\r\n".contains(byte))
            .for_each(|byte| *byte = b' ');
        let told = match form {
            0 => [
                b"-ERR unknown command, with args beginning with:",
                &told[..told.len().min(64)],
            ]
            .concat(),
            1 => [b"-WRONGPASS is not what it wants:", &told[..told.len() - 4]].concat(),
            2 => [b"-", &args[args.len() - 1][..5], &told[..]].concat(),
            _ => [b"-NOPERM", &told[..]].concat(),
        };
        session.send([&told[..], b"\r\n"].concat());
        true
    }
}

#[test]
fn no_piece_of_a_password_is_told_however_a_server_repeats_it() {
    let long: String = (10..60).map(|number| format!("x{number}Z")).collect();
    for password in [long.as_bytes(), b"Hv4kPq\r\nWm8sTz", b"Hv4kPq\xff\xfeWm8sTz"] {
        let is_text = |piece: &&[u8]| piece.iter().all(u8::is_ascii_graphic);
        let pieces = password.windows(4).filter(is_text);
        let pieces: Vec<_> = pieces
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect();
        for (form, protocol) in (0..4).flat_map(|form| ["3", "2"].map(|protocol| (form, protocol))) {
            let node = FakeNode::builder().on(repeating(form)).start();
            let open = FakeSentinel::start(SERVICE, node.port());
            let closed = FakeSentinel::builder(SERVICE, node.port()).on(repeating(form)).start();
            let mut texts = Vec::new();
            for sentinel in [&open, &closed] {
                let (lines, mut options) = (Arc::new(Mutex::new(Vec::new())), options(&[sentinel.port()]));
                let kept = Arc::clone(&lines);
                let hook = move |_: i32, line: &str| kept.lock().unwrap().push(line.to_owned());
                options.set_log(5, Some(Arc::new(hook))).unwrap();
                options.set_secret("password", password).unwrap();
                options.set_secret("sentinel.password", password).unwrap();
                options.set("protocol", protocol).unwrap();
                let deployment = Deployment::open(&options).unwrap();
                let client = deployment.primary_for(Some(SERVICE), None).unwrap();
                let error = run_within(&client, "SET k v", 2000).unwrap_err();
                assert!(error.to_string().contains("auth"), "{error}");
                texts.push(format!("{error} {error:?} {:?}", error.server_code()));
                texts.push(deployment.describe().unwrap());
                deployment.close(5000).unwrap();
                texts.append(&mut lines.lock().unwrap());
            }
            for (text, piece) in texts
                .iter()
                .flat_map(|text| pieces.iter().map(move |piece| (text, piece)))
            {
                assert!(!text.contains(piece), "form {form}, {piece}: {text}");
            }
        }
    }
}
