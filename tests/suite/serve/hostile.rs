//! Peers that break the protocol, send without reading, or are no sockets at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sentinel::{ErrorKind, serve};
use sentinel_lab::wait_until;

use crate::serve::peer::{Peer, encoded, encoded_text, served};
use crate::support::{PATIENCE, SERVICE, open_on, overrides, shared, tell, text};

#[test]
fn a_broken_protocol_is_answered_as_a_server_does_and_ends_the_stream() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let long = vec![b'x'; 70_000];
    let streams: Vec<Vec<u8>> = vec![
        b"*x\r\n".to_vec(),
        b"*1\r\n+PING\r\n".to_vec(),
        b"*1\r\n$-5\r\n".to_vec(),
        b"*3000000000\r\n".to_vec(),
        b"*1\r\n$99999999999\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n*1\r\n!\r\n".to_vec(),
        b"PING \"a\r\n".to_vec(),
        b"PING\r\n\r\n*0\r\n  PING  'a b'  \r\nGET \"\\x41\r\n".to_vec(),
        [&b"*"[..], &long].concat(),
        long,
        b"GET / HTTP/1.0\r\nPOST / HTTP/1.0\r\nPING\r\n".to_vec(),
        b"Host: somewhere\r\nPING\r\n".to_vec(),
    ];
    for stream in streams {
        let end = |mut peer: Peer| {
            let mut all = Vec::new();
            while let Some(reply) = peer.try_reply() {
                all.push(reply.escape_ascii().to_string());
            }
            all
        };
        let shown = stream.get(..40.min(stream.len())).unwrap().escape_ascii().to_string();
        let (mut own, mut direct) = (Peer::of(&client), Peer::at(topology.node(topology.primary())));
        own.raw(&stream);
        direct.raw(&stream);
        assert_eq!(end(own), end(direct), "{shown}");
    }
}

#[test]
fn requests_may_be_cut_at_every_byte() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut all = encoded(&[b"SET", b"hostile:cut", b"a\r\n\0b"]);
    all.extend_from_slice(b"GET hostile:cut\r\n");
    all.extend(encoded_text("PING x"));
    let mut peer = Peer::of(&client);
    for cut in 0..all.len() {
        peer.raw(&all[..cut]);
        peer.raw(&all[cut..]);
        assert_eq!(
            peer.replies(3),
            ["+OK\\r\\n", "$5\\r\\na\\r\\n\\x00b\\r\\n", "$1\\r\\nx\\r\\n"]
        );
        // What is left half said is forgotten with its peer.
        let mut half = served(&client);
        half.write_all(&all[..cut]).unwrap();
    }
    for byte in &all {
        peer.raw(&[*byte]);
    }
    assert_eq!(peer.replies(3).len(), 3);
}

#[test]
fn a_peer_that_does_not_read_is_closed_and_nobody_else_notices() {
    let topology = shared();
    let keys = overrides(&[("max_reply_bytes", "4000000")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, &format!("SET hostile:value {}", "v".repeat(100_000)));
    let mut other = Peer::of(&client);
    let mut deaf = served(&client);
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    let get = encoded_text("GET hostile:value");
    let mut sent = 0;
    while deaf.write_all(&get).is_ok() {
        sent += 1;
        assert!(sent < 100_000, "it is never closed");
        if sent % 100 == 0 {
            assert_eq!(other.ask("PING"), "+PONG\\r\\n");
        }
    }
    let began = Instant::now();
    assert_eq!(other.ask("GET hostile:none"), "$-1\\r\\n");
    assert!(began.elapsed() < Duration::from_secs(5));
    // What had gone out is all that there is: less than the limit, and a kernel's buffer.
    let mut rest = Vec::new();
    let _ = deaf.read_to_end(&mut rest);
    assert!(rest.len() < 8_000_000, "{}", rest.len());
}

#[test]
fn a_slow_reader_gets_all_that_it_asked_for() {
    let topology = shared();
    let keys = overrides(&[("max_reply_bytes", "4000000")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    text(&client, &format!("SET hostile:slow {}", "v".repeat(100_000)));
    let mut peer = Peer::of(&client);
    // In flight together they are more than it may hold, but they are asked for one after the other.
    for _ in 0..20 {
        peer.pipeline(&["GET hostile:slow"; 10]);
        for _ in 0..10 {
            assert_eq!(peer.reply().len(), 100_011);
        }
    }
}

#[test]
fn only_a_connected_stream_socket_is_served() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lonely = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let rows: [(OwnedFd, &str); 4] = [
        (file.into(), "fd: is not a socket"),
        (
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            "fd: is not a stream socket of TCP or of the Unix family",
        ),
        (
            listener.try_clone().unwrap().into(),
            "fd: listens: takes what accept() returned",
        ),
        (lonely.into(), "fd: is not connected: "),
    ];
    for (fd, message) in rows {
        let error = serve::serve(&client, fd).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }));
        assert!(error.to_string().starts_with(message), "{error}");
    }
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    serve::serve(&client, listener.accept().unwrap().0.into()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut pong = [0; 7];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    client.close();
    assert_eq!(stream.read(&mut pong).unwrap(), 0);
    let (one, _other) = UnixStream::pair().unwrap();
    let error = serve::serve(&client, one.into()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
    assert_eq!(serve::socket(&client).unwrap_err().kind(), &ErrorKind::Closed);
}

#[test]
fn half_a_stream_is_answered_before_it_ends() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut stream = served(&client);
    stream
        .write_all(b"SET hostile:half 1\r\nGET hostile:half\r\nGET hos")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert_eq!(all, "+OK\r\n$1\r\n1\r\n");
}

#[test]
fn who_is_gone_before_its_turn_waits_for_nothing_and_takes_nothing() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut other = Peer::of(&client);
    for number in 0..20 {
        let mut stream = served(&client);
        let said = ["GET hostile:none", "ECHO a", "BLPOP hostile:gone 0", "ECHO b"].map(encoded_text);
        stream.write_all(&said.concat()).unwrap();
        if number % 2 == 0 {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            assert_eq!(all, "$-1\r\n$1\r\na\r\n");
        }
    }
    let node = topology.node(topology.primary());
    wait_until("all of them to be gone", PATIENCE, || {
        !tell(node, "CLIENT LIST").as_text().contains("cmd=blpop")
    });
    assert_eq!(other.ask("RPUSH hostile:gone job"), ":1\\r\\n");
    assert_eq!(other.ask("DEL hostile:gone"), ":1\\r\\n");
}

#[test]
fn whatever_bytes_come_the_stream_ends_with_them_and_others_go_on() {
    let topology = shared();
    let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
    let mut other = Peer::of(&client);
    let mut count = 0;
    for target in ["decoder", "requests", "socket", "answers", "events", "handshake"] {
        for file in std::fs::read_dir(format!("fuzz/corpus/{target}")).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let mut stream = served(&client);
            stream.write_all(&bytes).unwrap_or_default();
            stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
            let mut all = Vec::new();
            let ended = stream.read_to_end(&mut all);
            assert!(ended.is_ok(), "{}: {ended:?}", path.display());
            assert_eq!(other.ask("PING"), "+PONG\\r\\n");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn whatever_peers_do_and_wherever_they_leave_nothing_of_them_stays() {
    const CONNECTIONS: usize = 8;
    const ACTS: [&str; 12] = [
        "WATCH hostile:left",
        "GET hostile:left",
        "MULTI",
        "INCR hostile:left",
        "EXEC",
        "DISCARD",
        "BLPOP hostile:never 0",
        "BLPOP hostile:never 0.001",
        "SUBSCRIBE hostile:a",
        "PSUBSCRIBE hostile:*",
        "UNSUBSCRIBE",
        "RESET",
    ];
    let topology = shared();
    let keys = overrides(&[("client_name", "served-left"), ("pool.max_connections", "8")]);
    let client = open_on(&topology).primary_for(Some(SERVICE), Some(&keys)).unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut stream = served(&client);
        let acts: Vec<u8> = (0..random.usize(1..8))
            .flat_map(|_| encoded_text(ACTS[random.usize(..ACTS.len())]))
            .collect();
        let cut = random.usize(..=acts.len());
        let _ = stream.write_all(&acts[..cut]);
        if random.bool() {
            stream
                .set_read_timeout(Some(Duration::from_millis(random.u64(1..5))))
                .unwrap();
            let _ = stream.read(&mut [0; 100]);
        }
    }
    let node = topology.node(topology.primary());
    wait_until("all of them to be gone", PATIENCE, || {
        let list = tell(node, "CLIENT LIST").as_text();
        let mut own = list.lines().filter(|line| line.contains(" name=served-left "));
        own.all(|line| !line.contains("cmd=blpop") && line.contains(" sub=0 psub=0 "))
    });
    // Every place is free, and nothing is watched there.
    let all: Vec<_> = (0..CONNECTIONS).map(|_| client.acquire(5000).unwrap()).collect();
    for connection in &all {
        let run = |text: &str| connection.command(&crate::support::words(text), &Default::default());
        run("INCR hostile:left").unwrap();
        run("MULTI").unwrap();
        assert_eq!(run("EXEC").unwrap().len(), 0);
    }
}
