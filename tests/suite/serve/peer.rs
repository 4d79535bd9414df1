//! A peer that knows RESP and nothing else: it writes bytes and reads replies as they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sentinel::{Client, serve};
use sentinel_lab::{Server, servers_are_valkey, servers_since};

use crate::support::PATIENCE;

/// What it is connected to.
pub(crate) trait Stream: Read + Write + Send {}
impl Stream for UnixStream {}
impl Stream for TcpStream {}

pub(crate) struct Peer {
    reader: BufReader<Box<dyn Stream>>,
    writer: Box<dyn Stream>,
}

/// Whether the servers refuse UNSUBSCRIBE from who has subscribed to nothing: Valkey 8.0 does, and none before or after it.
pub(crate) fn refuses_to_unsubscribe() -> bool {
    servers_are_valkey() && !servers_since((8, 1))
}

/// An end of a socket that is served.
pub(crate) fn served(client: &Client) -> UnixStream {
    let stream = UnixStream::from(serve::socket(client).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Peer {
    /// On a socket of the library.
    pub(crate) fn of(client: &Client) -> Peer {
        Peer::on(&served(client))
    }

    pub(crate) fn on(stream: &UnixStream) -> Peer {
        let clone = || Box::new(stream.try_clone().unwrap());
        Peer {
            reader: BufReader::new(clone()),
            writer: clone(),
        }
    }

    /// Straight at a server.
    pub(crate) fn at(server: &Server) -> Peer {
        let stream = TcpStream::connect((server.host(), server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            reader: BufReader::new(Box::new(stream.try_clone().unwrap())),
            writer: Box::new(stream),
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, args: &[&[u8]]) {
        self.raw(&encoded(args));
    }

    /// Commands of words, in one write.
    pub(crate) fn pipeline(&mut self, commands: &[&str]) {
        let all: Vec<u8> = commands.iter().flat_map(|text| encoded_text(text)).collect();
        self.raw(&all);
    }

    /// The next reply, byte for byte.
    pub(crate) fn reply(&mut self) -> Vec<u8> {
        self.try_reply().expect("a reply")
    }

    /// `None` at the end of the stream.
    pub(crate) fn try_reply(&mut self) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            let begin = all.len();
            match self.reader.read_until(b'\n', &mut all) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error} behind {:?}", String::from_utf8_lossy(&all)),
            }
            let line = &all[begin..all.len() - 2];
            let number = || std::str::from_utf8(&line[1..]).unwrap().parse::<i64>().unwrap();
            match line[0] {
                b'$' | b'=' if number() >= 0 => {
                    let len = usize::try_from(number()).unwrap() + 2;
                    let at = all.len();
                    all.resize(at + len, 0);
                    self.reader.read_exact(&mut all[at..]).unwrap();
                }
                b'*' | b'~' | b'>' if number() > 0 => left += usize::try_from(number()).unwrap(),
                b'%' => left += 2 * usize::try_from(number()).unwrap(),
                _ => {}
            }
        }
        Some(all)
    }

    /// The reply to a command of words, as text with its escapes.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.raw(&encoded_text(text));
        self.told()
    }

    /// The next reply as text with its escapes.
    pub(crate) fn told(&mut self) -> String {
        self.reply().escape_ascii().to_string()
    }

    /// So many replies.
    pub(crate) fn replies(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.told()).collect()
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_quiet(&mut self, stream: &UnixStream, time: Duration) -> bool {
        if !self.reader.buffer().is_empty() {
            return false;
        }
        stream.set_read_timeout(Some(time)).unwrap();
        let quiet = self.reader.fill_buf().is_err();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        quiet
    }
}

pub(crate) fn encoded(args: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        out.extend(format!("${}\r\n", arg.len()).bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

pub(crate) fn encoded_text(text: &str) -> Vec<u8> {
    encoded(&crate::support::words(text))
}
