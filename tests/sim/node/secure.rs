//! The node's side of TLS.

use std::cell::OnceCell;
use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// A certificate that signs itself, and its key: Ed25519, whose signatures all have one length.
const CERTIFICATE: &[u8] = include_bytes!("simulated.pem");

thread_local! {
    static CONFIG: OnceCell<Arc<ServerConfig>> = const { OnceCell::new() };
}

fn config() -> Arc<ServerConfig> {
    CONFIG.with(|config| {
        Arc::clone(config.get_or_init(|| {
            let chain = CertificateDer::pem_slice_iter(CERTIFICATE)
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(CERTIFICATE).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = ServerConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().unwrap();
            Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
        }))
    })
}

/// A new one.
pub(super) fn records() -> Box<ServerConnection> {
    let mut tls = ServerConnection::new(config()).unwrap();
    tls.set_buffer_limit(None);
    Box::new(tls)
}

/// What the records say that have come; `None` when they are no records.
pub(super) fn open(tls: &mut ServerConnection, mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes).ok()?;
        let state = tls.process_new_packets().ok()?;
        let mut piece = vec![0; state.plaintext_bytes_to_read()];
        tls.reader().read_exact(&mut piece).ok()?;
        plain.extend(piece);
    }
    Some(plain)
}

/// Puts it in records.
pub(super) fn seal(tls: &mut ServerConnection, plain: &[u8]) {
    tls.writer().write_all(plain).unwrap();
}

/// The records that are to be sent.
pub(super) fn take(tls: &mut ServerConnection, out: &mut Vec<u8>) {
    while tls.wants_write() {
        tls.write_tls(out).unwrap();
    }
}
