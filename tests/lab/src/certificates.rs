//! Certificates for tests, made when they are needed: an authority, and what it or another one signs.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

/// A certificate and its key as files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate in PEM.
    pub cert: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
}

impl Identity {
    /// The path of the certificate as text.
    pub fn cert(&self) -> &str {
        self.cert.to_str().expect("the folder's name is text")
    }

    /// The path of the key as text.
    pub fn key(&self) -> &str {
        self.key.to_str().expect("the folder's name is text")
    }
}

/// An authority of its own and the folder of what it has signed; the folder goes with it.
pub struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority that nobody else trusts.
    pub fn new() -> Authority {
        Authority::new_in(&std::env::temp_dir())
    }

    /// The same, with its folder in this one.
    pub fn new_in(parent: &Path) -> Authority {
        let folder = tempfile::Builder::new().prefix("lab-ca-").tempdir_in(parent);
        let folder = folder.unwrap_or_else(|error| panic!("cannot make a folder in {}: {error}", parent.display()));
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lab authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("make a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("sign the authority's own certificate");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("write a certificate; is the disk full?");
        Authority { folder, issuer }
    }

    /// The authority's own certificate.
    pub fn ca(&self) -> String {
        self.path("ca.pem")
    }

    /// A file of this name in the folder.
    pub fn path(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        path.to_str().expect("the folder's name is text").to_owned()
    }

    /// A certificate for these names and addresses, valid for an hour around now.
    pub fn issue(&self, name: &str, subjects: &[&str]) -> Identity {
        let hour = Duration::hours(1);
        self.issue_for_time(name, subjects, -hour, hour)
    }

    /// One that is valid for so many seconds more.
    pub fn issue_for(&self, name: &str, subjects: &[&str], seconds: i64) -> Identity {
        self.issue_for_time(name, subjects, -Duration::hours(1), Duration::seconds(seconds))
    }

    /// One that was valid until an hour ago.
    pub fn issue_expired(&self, name: &str, subjects: &[&str]) -> Identity {
        let hour = Duration::hours(1);
        self.issue_for_time(name, subjects, -hour * 2, -hour)
    }

    fn issue_for_time(&self, name: &str, subjects: &[&str], from: Duration, until: Duration) -> Identity {
        let subjects: Vec<String> = subjects.iter().map(|&subject| subject.to_owned()).collect();
        let mut params = CertificateParams::new(subjects).expect("the subjects are names or addresses");
        params.distinguished_name.push(DnType::CommonName, name);
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + from, now + until);
        let key = KeyPair::generate().expect("make a key");
        let signed = params.signed_by(&key, &self.issuer).expect("sign a certificate");
        let identity = Identity {
            cert: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        replace(&identity.cert, &signed.pem());
        replace(&identity.key, &key.serialize_pem());
        identity
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

/// Puts a file in place of another in one step, as tools that renew certificates do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("write a file; is the disk full?");
    fs::rename(&new, path).expect("put a file in place");
}
