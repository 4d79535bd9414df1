//! TLS on an open connection: plain bytes in, records out, and back. It belongs to whoever reads and writes the socket,
//! a caller's own thread included; it has no thread and no lock.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection};

use super::socket::Socket;
use super::stream::ended;
use crate::resp::Decoder;

/// The TLS state of one connection.
#[derive(Debug)]
pub struct Records {
    tls: ClientConnection,
    /// The peer has said that nothing more will come.
    closed: bool,
}

/// What the records are received by.
struct Inlet<F> {
    receive: F,
    /// The last read was given less than it had room for: the kernel has no more.
    drained: bool,
}

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for Inlet<F> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let n = (self.receive)(room)?;
        self.drained = n < room.len();
        Ok(n)
    }
}

/// What the records are sent by.
struct Outlet<'a>(&'a Socket);

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_parts(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Records {
    /// The client's side of a connection whose peer must prove to be `name`.
    pub fn new(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Records, String> {
        let tls = ClientConnection::new(config, name).map_err(|error| explain(&error))?;
        Ok(Records { tls, closed: false })
    }

    /// The handshake is not over.
    pub fn is_shaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Records wait to be handed to the kernel.
    pub fn has_output(&self) -> bool {
        self.tls.wants_write()
    }

    /// The peer has closed its side.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Puts what there is room for (64 KiB) of `bytes` in records; how many bytes. They leave with [`Records::flush`].
    pub(super) fn seal(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tls.writer().write(bytes)
    }

    /// Hands records to the kernel in one system call; how many bytes of them it took. Never waits. What that means in
    /// plaintext is the account's affair: nobody else calls this.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<usize> {
        self.tls.write_tls(&mut Outlet(socket))
    }

    /// Receives once and gives `decoder` what the records that are whole now hold: nothing, where they are the
    /// protocol's own. True when the kernel has no more. An end of the stream is an error, `InvalidData` one of TLS.
    /// Nothing is sent: what the protocol has to say waits to be flushed.
    pub(super) fn pull(
        &mut self,
        receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
        decoder: &mut Decoder,
    ) -> io::Result<bool> {
        let mut inlet = Inlet {
            receive,
            drained: false,
        };
        if self.tls.read_tls(&mut inlet)? == 0 {
            return Err(ended());
        }
        let processed = self.tls.process_new_packets();
        let state = processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, explain(&error)))?;
        self.closed |= state.peer_has_closed();
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let n = self.tls.reader().read(decoder.spare())?;
            decoder.filled(n);
            left = left.saturating_sub(n.max(1));
        }
        Ok(inlet.drained)
    }
}

/// What went wrong, for an operator.
pub(super) fn explain(error: &rustls::Error) -> String {
    use rustls::Error;
    match error {
        // The second is what an authority of the same name with another key comes to.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the certificate is signed by no authority that is trusted here".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the certificate has expired".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "the certificate is not valid yet".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => {
            let (expected, presented) = (expected.to_str(), presented.join(", "));
            match presented.is_empty() {
                true => format!("the certificate is not that of {expected}: it has no subject alternative name"),
                false => format!("the certificate is not that of {expected}, but of {presented}"),
            }
        }
        Error::InvalidCertificate(CertificateError::Other(cause)) => match cause.to_string().as_str() {
            "UnsupportedCertVersion" => "the certificate is not of X.509 version 3".to_owned(),
            cause => format!("the certificate cannot be used: {cause}"),
        },
        Error::InvalidMessage(_) => "what the server sent is not TLS".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server wants a client certificate".to_owned()
        }
        Error::AlertReceived(alert) => format!("the server broke off: {alert:?}"),
        error => error.to_string(),
    }
}
