//! What TLS 1.3 sends between the records of replies: new keys and tickets. A server in front of a scripted node seals
//! what that says, and does more of it than any real one would.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use sentinel::completion::Target;
use sentinel::completion::queue::Polled;
use sentinel::resp::Reply;
use sentinel::{CallOptions, Client, Deadline, Deployment};
use sentinel_lab::{Authority, FakeNode, FakeSentinel, Identity};

use crate::support::{PATIENCE, SERVICE, options, with};

/// How often a server looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn configuration(identity: &Identity) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&identity.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    config.send_tls13_tickets = 8;
    Arc::new(config)
}

/// Speaks TLS on `client` and hands on what it says to `node`, with a new key before every reply, and one whenever
/// `unasked` asks for more than there were.
fn serve(config: Arc<ServerConfig>, client: TcpStream, node: u16, unasked: &AtomicUsize) -> std::io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut node = TcpStream::connect(("127.0.0.1", node))?;
    let mut client = client;
    client.set_read_timeout(Some(LOOK))?;
    node.set_read_timeout(Some(LOOK))?;
    let mut room = vec![0; 1 << 20];
    let mut renewed = unasked.load(Ordering::SeqCst);
    loop {
        match Stream::new(&mut tls, &mut client).read(&mut room) {
            Ok(0) => return node.shutdown(Shutdown::Both),
            Ok(n) => node.write_all(&room[..n])?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let wanted = unasked.load(Ordering::SeqCst);
        if wanted > renewed && !tls.is_handshaking() {
            renewed = wanted;
            tls.refresh_traffic_keys().map_err(std::io::Error::other)?;
            Stream::new(&mut tls, &mut client).flush()?;
        }
        match node.read(&mut room) {
            Ok(0) => return client.shutdown(Shutdown::Both),
            Ok(n) => {
                for part in room[..n].chunks(5000) {
                    tls.refresh_traffic_keys().map_err(std::io::Error::other)?;
                    Stream::new(&mut tls, &mut client).write_all(part)?;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A scripted node behind such a server.
struct World {
    node: FakeNode,
    unasked: Arc<AtomicUsize>,
    client: Client,
    deployment: Deployment,
    _sentinel: FakeSentinel,
    /// Its file is looked at before each connection.
    _authority: Authority,
}

impl World {
    fn new() -> World {
        let authority = Authority::new();
        let config = configuration(&authority.issue("server", &["127.0.0.1"]));
        let node = FakeNode::start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, target) = (listener.local_addr().unwrap().port(), node.port());
        let unasked = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&unasked);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (config, unasked) = (Arc::clone(&config), Arc::clone(&shared));
                thread::spawn(move || serve(config, client, target, &unasked));
            }
        });
        let sentinel = FakeSentinel::start(SERVICE, port);
        let ca = authority.ca();
        let pairs = [("tls", "1"), ("tls.ca_file", ca.as_str()), ("pool.direct", "1")];
        let deployment = Deployment::open(&with(options(&[sentinel.port()]), &pairs)).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        client.connect(5000).unwrap();
        World {
            node,
            unasked,
            client,
            deployment,
            _sentinel: sentinel,
            _authority: authority,
        }
    }
}

/// Sets and gets with `call`: between the replies, within large ones and while nobody calls there are new keys.
fn new_keys_disturb_nothing(world: &World, call: impl Fn(&[&[u8]]) -> Reply) {
    for turn in 0..20 {
        let value = turn.to_string();
        assert_eq!(call(&[b"SET", b"k", value.as_bytes()]).text(), "OK");
        assert_eq!(call(&[b"GET", b"k"]).text(), value);
        world.unasked.fetch_add(1, Ordering::SeqCst);
        // Now and then long enough for the key to come before the next call.
        thread::sleep(if turn % 4 == 0 { 4 * LOOK } else { Duration::ZERO });
    }
    let large = vec![b'x'; 100_000];
    for _ in 0..3 {
        assert_eq!(call(&[b"SET", b"large", &large]).text(), "OK");
        assert!(call(&[b"GET", b"large"]).data() == large);
    }
    assert_eq!(world.node.callers_connections(), 1, "no connection was given up");
}

#[test]
fn new_keys_and_tickets_disturb_no_call_on_its_own_thread() {
    let world = World::new();
    new_keys_disturb_nothing(&world, |args| {
        world.client.command(args, &CallOptions::default()).unwrap()
    });
}

#[test]
fn new_keys_and_tickets_disturb_no_call_on_a_lane() {
    let world = World::new();
    let queue = world.deployment.queue(1).unwrap();
    new_keys_disturb_nothing(&world, |args| {
        let target = Target::Queue(&queue, 0);
        world.client.submit(args, &CallOptions::default(), target).unwrap();
        let mut reply = None;
        let polled = queue.poll(1, Deadline::after(Some(PATIENCE)), |entry| reply = Some(entry.result));
        assert_eq!(polled, Ok(Polled::Some(1)));
        reply.unwrap().unwrap()
    });
}
