//! How connections are made.

use super::probe::Probe;
use super::settings::TcpSettings;
use super::tls::Tls;

/// How connections are made.
#[derive(Debug)]
pub struct Transport {
    /// Options of the sockets.
    pub tcp: TcpSettings,
    /// None: bytes go as they are.
    pub tls: Option<Tls>,
    /// Servers that may speak otherwise.
    pub(super) probe: Probe,
}

impl Transport {
    /// Plain connections, or TLS.
    pub fn new(tcp: TcpSettings, tls: Option<Tls>) -> Transport {
        Transport {
            tcp,
            tls,
            probe: Probe::default(),
        }
    }
}
