//! Whom TLS connections trust, as whom they come, and which name they look for.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use crate::sync::Mutex;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::dial::plain;
use super::records::{Records, explain};
use super::sys::aside;
use super::{AddressMap, DialError, Endpoint};
use crate::error::Stage;
use crate::options::TlsSettings;

/// Where distributions keep the roots they trust, as one file: Debian, Fedora, SUSE, Alpine. The environment, which names
/// others for OpenSSL, is not asked.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS to the Sentinels, or to the nodes of one client.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    names: AddressMap,
    built: Arc<Mutex<Option<Built>>>,
}

/// The files as they are on disk, read and checked.
#[derive(Debug)]
struct Built {
    stamps: Vec<Stamp>,
    config: Arc<ClientConfig>,
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

    /// The TLS of a new connection to `endpoint`. The files count as they are now; they are read on a thread for what
    /// may block, and only when they have changed.
    pub async fn prepare(&self, endpoint: &Endpoint) -> Result<Records, DialError> {
        let failed = |cause: String| DialError::new(Stage::Tls, cause);
        let name = self.name_of(endpoint).map_err(failed)?;
        let (settings, built) = (self.settings.clone(), Arc::clone(&self.built));
        let config = aside(move || current(&settings, &mut built.lock()))
            .await
            .map_err(failed)?;
        Records::new(config.map_err(failed)?, name).map_err(failed)
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

/// The configuration that the files give now.
fn current(settings: &TlsSettings, built: &mut Option<Built>) -> Result<Arc<ClientConfig>, String> {
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
    if let Some(built) = built.as_ref().filter(|built| built.stamps == stamps) {
        return Ok(Arc::clone(&built.config));
    }
    let config = Arc::new(build(settings, roots)?);
    *built = Some(Built {
        stamps,
        config: Arc::clone(&config),
    });
    Ok(config)
}

/// For the question whether somebody speaks TLS at all: nothing is told and nothing believed.
pub(super) fn stranger(name: ServerName<'static>) -> Result<Records, String> {
    let nobody = TlsSettings {
        verify: false,
        ..TlsSettings::default()
    };
    Records::new(Arc::new(build(&nobody, None)?), name)
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

fn build(settings: &TlsSettings, roots: Option<&str>) -> Result<ClientConfig, String> {
    let key = settings.key;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let config = config
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match roots {
        Some(file) => config.with_root_certificates(read_roots(settings, file)?),
        None => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let mut config = match (&settings.cert_file, &settings.key_file) {
        (Some(chain_file), Some(key_file)) => {
            let chain = read_certificates(key, "cert_file", chain_file)?;
            let own = PrivateKeyDer::from_pem_file(key_file);
            let own = own.map_err(|error| unreadable(key, "key_file", &error.to_string()))?;
            let config = config.with_client_auth_cert(chain, own);
            config.map_err(|error| unreadable(key, "cert_file or key_file", &explain(&error)))?
        }
        _ => config.with_no_client_auth(),
    };
    // Each connection looks at the certificate anew: one that has expired, or that another authority signed, lets nobody
    // in by an old ticket.
    config.resumption = Resumption::disabled();
    Ok(config)
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
