//! What is kept of TLS with one server, so that its next connection need not begin from nothing: the server is spared the
//! signature, which is nearly all that a handshake costs it.

use std::collections::VecDeque;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConnection, HandshakeKind, NamedGroup};

use crate::base::sync::Mutex;

/// As many tickets as a client needs that is turned away a few times, or connects several times at once: each is good
/// for one handshake.
const TICKETS: usize = 4;

/// The sessions with one server.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// The oldest first.
    tickets: VecDeque<Tls13ClientSessionValue>,
    /// The same of TLS 1.2.
    older: Option<Tls12ClientSessionValue>,
    group: Option<NamedGroup>,
    /// How often one of them was shown.
    shown: u64,
    /// The server broke off where it was shown one: it is shown none any more.
    unwanted: bool,
}

impl Sessions {
    /// How often a session was shown.
    pub(super) fn shown(&self) -> u64 {
        self.0.lock().shown
    }

    /// The next handshake is a whole one.
    pub(super) fn forget(&self) {
        let mut kept = self.0.lock();
        kept.tickets.clear();
        kept.older = None;
    }

    /// And all that follow are. Servers of OpenSSL that look at certificates of clients and were given no name for their
    /// sessions hand tickets out and break off when one comes back: redis with `tls-session-caching no`.
    pub(super) fn renounce(&self) {
        self.forget();
        self.0.lock().unwanted = true;
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

/// The name is that of the one server.
impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.lock().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.lock().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        let mut kept = self.0.lock();
        if !kept.unwanted {
            kept.older = Some(session);
        }
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let mut kept = self.0.lock();
        let session = kept.older.clone();
        kept.shown += u64::from(session.is_some());
        session
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.lock().older = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.0.lock();
        if kept.unwanted {
            return;
        }
        if kept.tickets.len() >= TICKETS {
            kept.tickets.pop_front();
        }
        kept.tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.0.lock();
        let ticket = kept.tickets.pop_back();
        kept.shown += u64::from(ticket.is_some());
        ticket
    }
}

/// Looks at the certificate of a session that is taken up again as at that of a new one: what has expired since then lets
/// nobody in.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
    pub(super) name: ServerName<'static>,
}

impl Look {
    /// To be asked once the handshake is over.
    pub(super) fn verify(&self, tls: &ClientConnection) -> Result<(), rustls::Error> {
        if tls.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let (own, others) = tls
            .peer_certificates()
            .and_then(<[_]>::split_first)
            .ok_or(rustls::Error::NoCertificatesPresented)?;
        let looked = self
            .verifier
            .verify_server_cert(own, others, &self.name, &[], UnixTime::now());
        looked.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use sentinel_lab::{Authority, Config, Identity, Topology};

    use super::*;
    use crate::net::{AddressMap, Endpoint, Socket, Tls, TlsSettings, Wire};
    use crate::resp::Limits;

    const NAME: &str = "127.0.0.1";

    fn tls(authority: &Authority) -> Tls {
        let settings = TlsSettings {
            key: "tls",
            ca_file: Some(authority.ca()),
            verify: true,
            ..TlsSettings::default()
        };
        Tls::new(settings, AddressMap::default())
    }

    /// Connects, asks, and tells how the handshake went.
    fn connect(tls: &Tls, port: u16) -> Result<HandshakeKind, String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap().block_on(async {
            let endpoint = Endpoint::new(NAME, port);
            let records = tls.prepare(&endpoint).await.map_err(|error| error.cause)?;
            let socket = Socket::connect(format!("{NAME}:{port}").parse().unwrap())
                .await
                .unwrap();
            let limits = Limits {
                max_bytes: 1024,
                max_depth: 8,
            };
            let mut wire = Wire::new(socket, Some(records), limits).unwrap();
            wire.shake().await.map_err(|error| error.to_string())?;
            wire.send(b"PING\r\n").await.unwrap();
            // What the tickets come before.
            wire.receive().await.unwrap();
            Ok(wire.into_parts().0.stream.handshake_kind().unwrap())
        })
    }

    fn servers(authority: &Authority, versions: &str) -> Topology {
        let line = format!("tls-protocols {versions}");
        let config = Config::default().nodes(1).sentinels(1).node_line(&line);
        Topology::start(config.sentinel_line(&line).tls(sentinel_lab::Tls {
            ca: authority.ca(),
            identity: authority.issue("server", &[NAME]),
            clients_have_certificates: false,
            among_servers: true,
        }))
    }

    #[test]
    fn the_next_connection_to_a_node_or_a_sentinel_takes_the_session_up_again() {
        for versions in ["TLSv1.3", "TLSv1.2"] {
            let authority = Authority::new();
            let topology = servers(&authority, versions);
            let tls = tls(&authority);
            for port in [topology.node(0).port(), topology.sentinel(0).port()] {
                // Each has sessions of its own, though the name is one.
                let kinds = [(); 3].map(|()| connect(&tls, port).unwrap());
                let expected = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
                assert_eq!(kinds, expected, "{versions}");
            }
            // Other files, other trust: nothing of before counts.
            let copied = std::fs::read(authority.ca()).unwrap();
            std::fs::write(authority.ca(), [copied.as_slice(), b"\n"].concat()).unwrap();
            let port = topology.node(0).port();
            let kinds = [(); 2].map(|()| connect(&tls, port).unwrap());
            assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{versions}");
            // And a server that has forgotten it, as each does that was restarted, does the whole handshake.
            topology.node(0).kill();
            topology.node(0).restart();
            assert_eq!(connect(&tls, port), Ok(HandshakeKind::Full), "{versions}");
        }
    }

    /// Answers each client's first words, and takes up any session that it ever gave.
    fn answers(identity: &Identity) -> u16 {
        let chain = CertificateDer::pem_file_iter(&identity.cert).unwrap();
        let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind((NAME, 0)).unwrap());
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(tls, client);
                if stream.read(&mut [0; 64]).is_ok() {
                    let _ = stream.write_all(b"+PONG\r\n");
                }
            }
        });
        port
    }

    #[test]
    fn a_certificate_that_has_expired_since_lets_nobody_in_by_an_old_ticket() {
        let authority = Authority::new();
        let port = answers(&authority.issue_for("brief", &[NAME], 3));
        let (tls, began) = (tls(&authority), Instant::now());
        assert_eq!(connect(&tls, port), Ok(HandshakeKind::Full));
        let cause = loop {
            match connect(&tls, port) {
                Ok(kind) => assert_eq!(kind, HandshakeKind::Resumed),
                Err(cause) => break cause,
            }
            assert!(began.elapsed() < Duration::from_secs(15), "it is let in for ever");
        };
        assert_eq!(cause, "the certificate has expired");
    }
}
