//! Whom TLS connections trust, as whom they come, and which name they look for.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::Mutex;

use super::failure::plain;
use super::records::{Outset, Records, explain};
use super::sessions::{Look, Sessions};
use super::{AddressMap, DialError, Endpoint};
use crate::base::error::Stage;
use crate::base::thread::aside;
use crate::net::TlsSettings;

/// Where distributions keep the roots they trust, as one file: Debian, Fedora, SUSE, Alpine. The environment, which names
/// others for OpenSSL, is not asked.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// With so many servers sessions are kept; one more, and they begin anew with all.
const SERVERS: usize = 128;

/// TLS to the Sentinels, or to the nodes of one client.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    names: AddressMap,
    /// One connection at a time looks at the files, so that no more than one thread is held where they lie on a disk that
    /// hangs.
    built: Arc<Mutex<Option<Built>>>,
}

/// The files as they were on disk when they could be used last, read and checked.
#[derive(Debug)]
struct Built {
    stamps: Vec<Stamp>,
    trust: Trust,
    /// What is wrong with them as they are now: a certificate is renewed file by file, and in between it and its key do
    /// not match.
    outdated: Option<Arc<str>>,
    /// Each server has sessions of its own: a name may be that of all.
    servers: HashMap<Endpoint, (Arc<ClientConfig>, Arc<Sessions>)>,
}

/// What a server is believed by, and what it is shown.
#[derive(Debug)]
struct Trust {
    config: ClientConfig,
    verifier: Arc<dyn ServerCertVerifier>,
}

/// What changes when a file is written or replaced: inode, size, and the times of its content and of its place.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

impl Tls {
    /// Reads no file yet. `names`: which name the certificate of an address must have, where that was given.
    pub fn new(settings: TlsSettings, names: AddressMap) -> Tls {
        Tls {
            settings,
            names,
            built: Arc::default(),
        }
    }

    /// The TLS of a new connection to `endpoint`. The files count as they are now, if they can be used; they are read on a
    /// thread for what may block, and only when they have changed.
    pub async fn prepare(&self, endpoint: &Endpoint) -> Result<Records, DialError> {
        let failed = |cause: String| DialError::new(Stage::Tls, cause);
        let name = self.name_of(endpoint).map_err(failed)?;
        let (settings, endpoint) = (self.settings.clone(), endpoint.clone());
        let mut built = Arc::clone(&self.built).lock_owned().await;
        let outset = aside(move || Ok(current(&settings, &mut built)?.begin(endpoint, name)))
            .await
            .and_then(|outset| outset);
        Records::new(outset.map_err(failed)?).map_err(failed)
    }

    /// The option, else what `address.map` says of the address, else its host.
    fn name_of(&self, endpoint: &Endpoint) -> Result<ServerName<'static>, String> {
        let given = self.settings.server_name.as_deref();
        let name = given.or_else(|| self.names.tls_name(endpoint));
        let name = name.unwrap_or(&endpoint.host);
        // The zone of a link-local address is this machine's affair.
        let name = match name.split_once('%') {
            Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address,
            _ => name,
        };
        let read = ServerName::try_from(name.to_owned());
        read.map_err(|_| format!("\"{name}\" is no name that a certificate can have"))
    }
}

/// What the files give now; where they cannot be used, what they gave before.
fn current<'a>(settings: &TlsSettings, built: &'a mut Option<Built>) -> Result<&'a mut Built, String> {
    let renewed = renewed(settings, built.as_ref().map(|built| built.stamps.as_slice()));
    match (renewed, built) {
        (Ok(Some(new)), built) => Ok(built.insert(new)),
        (Ok(None), Some(built)) => {
            built.outdated = None;
            Ok(built)
        }
        (Err(why), Some(built)) => {
            built.outdated = Some(why.into());
            Ok(built)
        }
        (Err(why), None) => Err(why),
        (Ok(None), None) => Err("nothing was read".to_owned()),
    }
}

/// What the files hold, unless their stamps are those of before.
fn renewed(settings: &TlsSettings, before: Option<&[Stamp]>) -> Result<Option<Built>, String> {
    let key = settings.key;
    let roots = match &settings.ca_file {
        _ if !settings.verify => None,
        Some(file) => Some(file.as_str()),
        None => Some(system_roots().ok_or(format!("no file of trusted roots in this system: set {key}.ca_file"))?),
    };
    let files = [
        ("ca_file", roots),
        ("cert_file", settings.cert_file.as_deref()),
        ("key_file", settings.key_file.as_deref()),
    ];
    let mut stamps = Vec::new();
    for (option, file) in files {
        let stamped = file.map(stamp).transpose();
        stamps.extend(stamped.map_err(|error| unreadable(key, option, &plain(&error)))?);
    }
    // A change between the stamp and the reading shows as another stamp the next time.
    if before == Some(stamps.as_slice()) {
        return Ok(None);
    }
    Ok(Some(Built {
        stamps,
        trust: build(settings, roots)?,
        outdated: None,
        servers: HashMap::new(),
    }))
}

impl Built {
    fn begin(&mut self, endpoint: Endpoint, name: ServerName<'static>) -> Outset {
        if self.servers.len() >= SERVERS && !self.servers.contains_key(&endpoint) {
            self.servers.clear();
        }
        let trust = &self.trust;
        let (config, sessions) = self.servers.entry(endpoint).or_insert_with(|| trust.with_sessions());
        Outset {
            config: Arc::clone(config),
            sessions: Arc::clone(sessions),
            look: trust.look(name),
            outdated: self.outdated.clone(),
        }
    }
}

impl Trust {
    fn with_sessions(&self) -> (Arc<ClientConfig>, Arc<Sessions>) {
        let (mut config, sessions) = (self.config.clone(), Arc::<Sessions>::default());
        config.resumption = Resumption::store(Arc::clone(&sessions) as Arc<dyn ClientSessionStore>);
        (Arc::new(config), sessions)
    }

    fn look(&self, name: ServerName<'static>) -> Look {
        Look {
            verifier: Arc::clone(&self.verifier),
            name,
        }
    }
}

/// For the question whether somebody speaks TLS at all: nothing is told and nothing believed.
pub(super) fn stranger(endpoint: &Endpoint) -> Result<Records, String> {
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
    let nobody = TlsSettings {
        verify: false,
        ..TlsSettings::default()
    };
    let trust = build(&nobody, None)?;
    let (config, sessions) = trust.with_sessions();
    Records::new(Outset {
        config,
        sessions,
        look: trust.look(name),
        outdated: None,
    })
}

fn system_roots() -> Option<&'static str> {
    SYSTEM_ROOTS.into_iter().find(|file| fs::metadata(file).is_ok())
}

fn stamp(file: &str) -> io::Result<Stamp> {
    let data = fs::metadata(file)?;
    let changed = (data.ctime(), data.ctime_nsec());
    Ok((data.ino(), data.size(), (data.mtime(), data.mtime_nsec()), changed))
}

fn unreadable(key: &str, option: &str, cause: &str) -> String {
    format!("{key}.{option} cannot be used: {cause}")
}

fn build(settings: &TlsSettings, roots: Option<&str>) -> Result<Trust, String> {
    let key = settings.key;
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Some(file) => {
            let roots = Arc::new(read_roots(settings, file)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            verifier.map_err(|error| unreadable(key, "ca_file", &error.to_string()))?
        }
        None => Arc::new(Unverified(Arc::clone(&provider))),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier));
    let config = match (&settings.cert_file, &settings.key_file) {
        (Some(chain_file), Some(key_file)) => {
            let chain = read_certificates(key, "cert_file", chain_file)?;
            let own = PrivateKeyDer::from_pem_file(key_file);
            let own = own.map_err(|error| unreadable(key, "key_file", &error.to_string()))?;
            let config = config.with_client_auth_cert(chain, own);
            config.map_err(|error| unreadable(key, "cert_file or key_file", &explain(&error)))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(Trust { config, verifier })
}

fn read_roots(settings: &TlsSettings, file: &str) -> Result<RootCertStore, String> {
    let certificates = read_certificates(settings.key, "ca_file", file)?;
    let mut roots = RootCertStore::empty();
    if settings.ca_file.is_none() {
        // A distribution's file may hold some that are of no use; those that are not are enough.
        roots.add_parsable_certificates(certificates);
        return Ok(roots);
    }
    for certificate in certificates {
        let added = roots.add(certificate);
        added.map_err(|error| unreadable(settings.key, "ca_file", &explain(&error)))?;
    }
    Ok(roots)
}

fn read_certificates(key: &str, option: &str, file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error: rustls::pki_types::pem::Error| unreadable(key, option, &error.to_string());
    let certificates = CertificateDer::pem_file_iter(file).map_err(failed)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(failed)?;
    match certificates.is_empty() {
        true => Err(unreadable(key, option, "it holds no certificate in PEM")),
        false => Ok(certificates),
    }
}

/// `tls.verify` = `none`: whoever answers is taken for the peer. That it holds the key of its certificate is still
/// checked, but where the certificate is one that cannot be read here, such as those of X.509 version 1.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        unless_unreadable(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        unless_unreadable(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whoever could not sign for such a certificate could show one of its own as well.
fn unless_unreadable(
    signed: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match signed {
        Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding | CertificateError::Other(_))) => {
            Ok(HandshakeSignatureValid::assertion())
        }
        signed => signed,
    }
}
