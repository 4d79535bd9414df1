//! TLS on an open connection: plain bytes in, records out, and back. It belongs to whoever reads and writes the socket,
//! a caller's own thread included; it has no thread and no lock.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection};

use super::failure::ended;
use super::sessions::{Look, Sessions};
use super::socket::Socket;
use crate::resp::Decoder;

/// The TLS state of one connection.
#[derive(Debug)]
pub struct Records {
    tls: ClientConnection,
    /// The peer has said that nothing more will come.
    closed: bool,
    /// What is to be seen to before the handshake counts as done.
    beginning: Option<Beginning>,
    /// Why the files of before are still in use, where they are.
    outdated: Option<Arc<str>>,
}

/// A handshake that is not over.
#[derive(Debug)]
struct Beginning {
    look: Look,
    /// The server was shown one of these.
    shown: Option<Arc<Sessions>>,
}

/// What a connection begins with.
#[derive(Debug)]
pub(super) struct Outset {
    pub(super) config: Arc<ClientConfig>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) look: Look,
    pub(super) outdated: Option<Arc<str>>,
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
    /// The client's side of a connection.
    pub(super) fn new(outset: Outset) -> Result<Records, String> {
        let Outset {
            config,
            sessions,
            look,
            outdated,
        } = outset;
        // One thread prepares all connections to a server.
        let before = sessions.shown();
        let tls = ClientConnection::new(config, look.name.clone()).map_err(|error| explain(&error))?;
        let shown = (sessions.shown() != before).then_some(sessions);
        Ok(Records {
            tls,
            closed: false,
            beginning: Some(Beginning { look, shown }),
            outdated,
        })
    }

    /// The handshake is not over.
    pub fn is_shaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Records wait to be handed to the kernel.
    pub fn has_output(&self) -> bool {
        self.tls.wants_write()
    }

    /// How the handshake went.
    #[cfg(test)]
    pub(super) fn handshake_kind(&self) -> Option<rustls::HandshakeKind> {
        self.tls.handshake_kind()
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
            if let Some(shown) = self.shown() {
                shown.forget();
            }
            return Err(ended());
        }
        let processed = self.tls.process_new_packets();
        let state = processed.map_err(|error| self.broken(&error))?;
        self.closed |= state.peer_has_closed();
        let mut left = state.plaintext_bytes_to_read();
        self.begin()?;
        while left > 0 {
            let n = self.tls.reader().read(decoder.spare())?;
            decoder.filled(n);
            left = left.saturating_sub(n.max(1));
        }
        Ok(inlet.drained)
    }

    /// Once, when the handshake is over.
    fn begin(&mut self) -> io::Result<()> {
        if self.tls.is_handshaking() {
            return Ok(());
        }
        let Some(beginning) = self.beginning.take() else {
            return Ok(());
        };
        beginning.look.verify(&self.tls).map_err(|error| {
            beginning.shown.iter().for_each(|shown| shown.forget());
            self.broken(&error)
        })
    }

    fn shown(&self) -> Option<&Sessions> {
        self.beginning.as_ref().and_then(|beginning| beginning.shown.as_deref())
    }

    /// What ended it. Where the server was shown a session of before, its alert says nothing of a whole handshake: the next
    /// one will.
    fn broken(&self, error: &rustls::Error) -> io::Error {
        if let (Some(shown), rustls::Error::AlertReceived(_)) = (self.shown(), error) {
            shown.renounce();
            let cause = format!("the session of before was not taken up: {}", explain(error));
            return io::Error::new(io::ErrorKind::ConnectionAborted, cause);
        }
        let cause = match &self.outdated {
            Some(why) => format!("{}, with the files of before: {why}", explain(error)),
            None => explain(error),
        };
        io::Error::new(io::ErrorKind::InvalidData, cause)
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
