use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::endpoint::Endpoint;
use super::socket::Socket;
use super::stream::Stream;
use super::tls::stranger;
use crate::resp::{Decoder, Limits};
use std::sync::Arc;

const CERTIFICATE: &[u8] = include_bytes!("../../tests/sim/node/simulated.pem");

/// The other end: what it has read, and where that stands in its records.
struct Peer {
    socket: TcpStream,
    tls: Option<ServerConnection>,
    plain: u64,
}

fn server() -> ServerConnection {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap);
    let key = PrivateKeyDer::from_pem_slice(CERTIFICATE).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(chain.collect(), key);
    ServerConnection::new(Arc::new(config.unwrap())).unwrap()
}

impl Peer {
    /// Reads at most so much. False when there is nothing.
    fn read(&mut self, most: usize) -> bool {
        let mut bytes = vec![0; most];
        let got = match self.socket.read(&mut bytes) {
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        };
        let Some(tls) = &mut self.tls else {
            self.plain += got as u64;
            return true;
        };
        let mut rest = &bytes[..got];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            let state = tls.process_new_packets().unwrap();
            let mut piece = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut piece).unwrap();
            self.plain += piece.len() as u64;
        }
        true
    }

    fn say(&mut self, word: &[u8]) {
        let Some(tls) = &mut self.tls else {
            return self.socket.write_all(word).unwrap();
        };
        tls.writer().write_all(word).unwrap();
        while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
    }
}

fn pull(stream: &mut Stream, decoder: &mut Decoder) {
    match stream.pull(decoder) {
        Ok(_) => while decoder.next().unwrap().is_some() {},
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
    }
}

#[test]
fn whatever_the_order_of_reads_and_writes_the_account_is_what_the_peer_could_have_read() {
    for (seed, sealed) in (0..40).flat_map(|seed| [(seed, false), (seed, true)]) {
        let random = &mut fastrand::Rng::with_seed(seed);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = listener.accept().unwrap().0;
        socket.set_nonblocking(true).unwrap();
        let tls = sealed.then(|| stranger(&Endpoint::new("localhost", 1)).unwrap());
        let mut stream = Stream::new(Arc::new(Socket::new(own).unwrap()), tls);
        let mut peer = Peer {
            socket,
            tls: sealed.then(server),
            plain: 0,
        };
        let mut decoder = Decoder::new(Limits::default());
        while stream.is_shaking() || peer.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            stream.push(b"").unwrap();
            peer.read(4096);
            peer.say(b"");
            pull(&mut stream, &mut decoder);
        }
        let (mut given, mut full, mut drained) = (0, 0, 0);
        for _ in 0..900 {
            let before = (stream.moved(), stream.sent());
            match random.u8(..40) {
                0..=20 => {
                    let bytes = vec![b'x'; random.usize(..60_000)];
                    let pushed = stream.push(&bytes).unwrap();
                    given += pushed.taken as u64;
                    full += u32::from(pushed.blocked);
                }
                21..=25 => drop(peer.read(random.usize(1..30_000))),
                26 => peer.say(b"+OK\r\n"),
                31..=34 if full > drained => {
                    drained = full;
                    // All that the kernel has, and what a mere read may bring on its way.
                    while peer.read(1 << 20) {}
                    pull(&mut stream, &mut decoder);
                    while peer.read(1 << 20) {}
                }
                27..=30 if peer.tls.is_some() => {
                    // The client owes an answer of the protocol's own, among its records.
                    peer.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
                    peer.say(b"+OK\r\n");
                }
                _ => pull(&mut stream, &mut decoder),
            }
            assert_eq!(stream.taken(), given, "seed {seed}");
            assert!(peer.plain <= stream.sent() && stream.sent() <= given, "seed {seed}");
            assert!(stream.moved() != before.0 || stream.sent() == before.1, "seed {seed}");
        }
        assert!(full > 0, "seed {seed}: the kernel took everything at once");
        peer.socket.set_nonblocking(false).unwrap();
        peer.socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        while peer.plain < given {
            stream.push(b"").unwrap();
            pull(&mut stream, &mut decoder);
            assert!(peer.read(1 << 20), "seed {seed}: {} of {given} came", peer.plain);
        }
        assert_eq!((peer.plain, stream.sent()), (given, given), "seed {seed}");
    }
}
