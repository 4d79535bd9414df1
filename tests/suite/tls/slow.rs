//! A server behind TLS that reads slowly, through a small buffer, and answers at once: records stay sealed while replies
//! arrive, and whatever hands them to the kernel then, they count as sent.

use std::collections::HashMap;
use std::io::{ErrorKind as IoKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection};
use sentinel::completion::Target;
use sentinel::{Batch, BatchKind, Client, Deployment, Outcome};
use sentinel_lab::{Authority, FakeNode, FakeNodeBuilder, FakeSentinel, wait_until};
use socket2::SockRef;

use crate::support::{PATIENCE, SERVICE, completions, options, with, within};
use crate::tls::records::configuration;

/// Bytes that the server's kernel holds, and that it reads at once.
const HELD: usize = 8 << 10;
const READ: u64 = 4 << 10;
const PAUSE: Duration = Duration::from_micros(300);

/// Hands on what comes, a little at a time, and what the node says, all at once.
fn serve(config: Arc<ServerConfig>, mut client: TcpStream, node: u16) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    tls.set_buffer_limit(None);
    let mut node = TcpStream::connect(("127.0.0.1", node))?;
    client.set_nonblocking(true)?;
    node.set_nodelay(true)?;
    let mut room = vec![0; 1 << 16];
    let waits = |error: &std::io::Error| matches!(error.kind(), IoKind::WouldBlock | IoKind::Interrupted);
    loop {
        thread::sleep(PAUSE);
        match tls.read_tls(&mut (&client).take(READ)) {
            Ok(0) => return Ok(()),
            Err(error) if !waits(&error) => return Err(error),
            _ => _ = tls.process_new_packets().map_err(std::io::Error::other)?,
        }
        node.set_nonblocking(false)?;
        while let Ok(count @ 1..) = tls.reader().read(&mut room) {
            node.write_all(&room[..count])?;
        }
        node.set_nonblocking(true)?;
        match node.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(count) => tls.writer().write_all(&room[..count])?,
            Err(error) if !waits(&error) => return Err(error),
            Err(_) => {}
        }
        while tls.wants_write() {
            match tls.write_tls(&mut client) {
                Err(error) if !waits(&error) => return Err(error),
                Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

/// A scripted node behind such a server.
struct World {
    node: FakeNode,
    client: Client,
    deployment: Deployment,
    _sentinel: FakeSentinel,
    _authority: Authority,
}

impl World {
    fn new(node: FakeNodeBuilder) -> World {
        let authority = Authority::new();
        let config = configuration(&authority.issue("server", &["127.0.0.1"]));
        let node = node.start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener).set_recv_buffer_size(HELD).unwrap();
        let (port, target) = (listener.local_addr().unwrap().port(), node.port());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let config = Arc::clone(&config);
                thread::spawn(move || serve(config, client, target));
            }
        });
        let sentinel = FakeSentinel::start(SERVICE, port);
        let ca = authority.ca();
        let pairs = [("tls", "1"), ("tls.ca_file", ca.as_str())];
        let deployment = Deployment::open(&with(options(&[sentinel.port()]), &pairs)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        client.connect(5000).unwrap();
        World {
            node,
            client,
            deployment,
            _sentinel: sentinel,
            _authority: authority,
        }
    }
}

/// A number, filled up to a KiB.
fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("{number:08}").into_bytes();
    payload.resize(1024, b'.');
    payload
}

#[test]
fn a_slow_reader_executes_each_submission_once() {
    const CALLS: usize = 16_000;
    // More than the kernel holds: the last records of each go out bit by bit, as replies come.
    const BURST: usize = 4000;
    let runs = Arc::new(Mutex::new(HashMap::<Vec<u8>, usize>::new()));
    let counted = Arc::clone(&runs);
    let world = World::new(FakeNode::builder().on(move |session, args| {
        let appends = args[0] == b"APPEND";
        if appends {
            *counted.lock().unwrap().entry(args[2][..8].to_vec()).or_default() += 1;
            session.int(1024);
        }
        appends
    }));
    let queue = world.deployment.queue(BURST).unwrap();
    for first in (0..CALLS).step_by(BURST) {
        for number in first..first + BURST {
            let (payload, target) = (payload(number), Target::Queue(&queue, number as u64));
            let args: [&[u8]; 3] = [b"APPEND", b"k", &payload];
            world.client.submit(&args, &within(60_000), target).unwrap();
        }
        let ends = completions(&queue, BURST);
        let failed: Vec<_> = ends.values().filter_map(|end| end.as_ref().err()).take(3).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
    let runs = runs.lock().unwrap();
    let twice = runs.values().filter(|runs| **runs > 1).count();
    assert_eq!((runs.len(), twice), (CALLS, 0), "executed, and twice of these");
    assert_eq!(world.node.callers_connections(), 1, "no connection was given up");
}

/// Nanoseconds of processor time of a thread of this process.
fn spent(thread: u64) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    stat.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The kernel's number of this thread.
fn this_thread() -> u64 {
    let path = std::fs::read_link("/proc/thread-self").unwrap();
    path.file_name().unwrap().to_string_lossy().parse().unwrap()
}

#[test]
fn a_transaction_cut_in_exec_behind_a_slow_reader_is_unknown_and_its_caller_only_waits() {
    const COMMANDS: usize = 4000;
    const HOLDS: Duration = Duration::from_millis(500);
    let (executed, busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, told) = (Arc::clone(&executed), Arc::clone(&busy));
    let caller = this_thread();
    let world = World::new(FakeNode::builder().on(move |session, args| {
        match args[0].as_slice() {
            b"MULTI" => session.ok(),
            b"APPEND" => session.status("QUEUED"),
            b"EXEC" => {
                counted.fetch_add(1, Ordering::SeqCst);
                let before = spent(caller);
                thread::sleep(HOLDS);
                told.store((spent(caller) - before).max(1), Ordering::SeqCst);
                session.close();
            }
            _ => return false,
        }
        true
    }));
    for turn in 1..=4 {
        let mut batch = Batch::new(BatchKind::Transaction);
        (0..COMMANDS).for_each(|number| batch.add(&[b"APPEND", b"k", &payload(number)]).unwrap());
        let began = Instant::now();
        let error = world.client.batch(&batch, &within(60_000)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "turn {turn}: {error}");
        assert!(began.elapsed() > HOLDS);
        wait_until("the end of EXEC", PATIENCE, || busy.load(Ordering::SeqCst) > 0);
        assert_eq!(executed.load(Ordering::SeqCst), turn, "executed more than once");
        let busy = Duration::from_nanos(busy.swap(0, Ordering::SeqCst));
        assert!(
            busy < HOLDS / 5,
            "{busy:?} of processor time while the reply was waited for"
        );
    }
}
