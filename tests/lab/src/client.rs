//! A small blocking client for the laboratory's own questions.

use std::io::{self, BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::wire::{Value, encode_command, read_value};

const PATIENCE: Duration = Duration::from_secs(5);

/// One connection to a server or a sentinel, RESP2 unless `HELLO 3` is asked.
pub struct Control {
    input: BufReader<TcpStream>,
}

impl Control {
    /// Connects, with 5 s for the connection and for each reply.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Control> {
        Control::connect_within(addr, PATIENCE)
    }

    /// Connects, with `timeout` for the connection and for each reply.
    pub fn connect_within(addr: impl ToSocketAddrs, timeout: Duration) -> io::Result<Control> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in addr.to_socket_addrs()? {
            match TcpStream::connect_timeout(&candidate, timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(timeout))?;
                    stream.set_write_timeout(Some(timeout))?;
                    return Ok(Control {
                        input: BufReader::new(stream),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Changes how long a reply may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.input
            .get_ref()
            .set_read_timeout(Some(timeout))
            .expect("set a read timeout above zero");
    }

    /// Sends one command and returns its reply; panics when the connection fails.
    #[track_caller]
    pub fn ask(&mut self, args: &[&str]) -> Value {
        match self.try_ask(args) {
            Ok(value) => value,
            Err(error) => panic!("no reply to {args:?}: {error}; see the server's log in the topology's folder"),
        }
    }

    /// Sends one command and returns its reply, or why there is none.
    pub fn try_ask(&mut self, args: &[&str]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    /// Sends one command and leaves its reply to [`read`](Control::read).
    pub fn send(&mut self, args: &[&str]) -> io::Result<()> {
        self.input.get_mut().write_all(&encode_command(args))
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.input.get_mut().write_all(bytes)
    }

    /// Reads the next reply or event.
    pub fn read(&mut self) -> io::Result<Value> {
        read_value(&mut self.input)
    }
}
